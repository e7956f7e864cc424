//! A lock that its owner may take again.

use std::cell::Cell;

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{ReentrantMutex, ReentrantMutexGuard};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(ReentrantMutex::new(Cell::new(0)), ReentrantModel { owner: None, depth: 0, line });
}

pub(super) fn got(guard: ReentrantMutexGuard<'_, Cell<u64>>) -> Got<'_> {
    guard.set(guard.get() + 1);
    (Word("locked", 0), Some(Held::Reentrant(guard)))
}

impl Thing for ReentrantMutex<Cell<u64>> {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(match (pick(hands, |_| true), random(6)) {
            (Some(hand), 0..3) => Choice::acts("unlock", 0).with(hand),
            (_, 3) => Choice::acts("try lock", 0),
            _ => Choice::waits("lock", 0),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.lock().map(got)
    }

    fn act<'a>(&'a self, _: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        if let Some(Held::Reentrant(guard)) = hand {
            assert!(guard.get() > 0, "whoever has it has been there");
            return (Word("unlocked", 0), Vec::new());
        }
        match self.try_lock() {
            Some(guard) => {
                let (word, held) = got(guard);
                (word, held.into_iter().collect())
            }
            None => (Word("taken", 0), Vec::new()),
        }
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("lock", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.1.1 = Some(self.locking());
        arm
    }

    fn seen(&self, seat: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let seen = self.statistics();
        assert_eq!(seen.is_locked, seen.depth > 0);
        Some(vec![seen.owner.map_or(u64::MAX, seat), seen.depth as u64, seen.waiting as u64])
    }
}

struct ReentrantModel {
    owner: Option<usize>,
    depth: u64,
    line: usize,
}

impl Model for ReentrantModel {
    fn try_now(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<Word> {
        if verb.0 == "unlock" {
            self.depth -= 1;
            if self.depth == 0 {
                self.owner = lines.wake(self.line, Word("locked", 0)).map(|next| next.seat);
                self.depth = u64::from(self.owner.is_some());
            }
            return Some(Word("unlocked", 0));
        }
        if self.owner.is_some_and(|owner| owner != seat) {
            return (verb.0 == "try lock").then_some(Word("taken", 0));
        }
        self.owner = Some(seat);
        self.depth += 1;
        Some(Word("locked", 0))
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let owner = self.owner.map_or(u64::MAX, |owner| owner as u64);
        vec![owner, self.depth, lines.len(self.line) as u64]
    }
}
