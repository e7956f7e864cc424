//! A lock that goes from hand to hand.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Mutex, MutexGuard};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(Mutex::new(0), MutexModel::new(line));
}

pub(super) fn got(mut guard: MutexGuard<'_, u64>) -> Got<'_> {
    *guard += 1;
    (Word("locked", 0), Some(Held::Lock(guard)))
}

impl Thing for Mutex<u64> {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(match (hands, random(4)) {
            ([_, ..], 0..2) => Choice::acts("unlock", 0).with(0),
            ([], 1..) => Choice::waits("lock", 0),
            _ => Choice::acts("try lock", 0),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.lock().map(got)
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        match verb.0 {
            "unlock" => {
                drop(hand);
                (Word("unlocked", 0), Vec::new())
            }
            _ => match self.try_lock() {
                Some(guard) => {
                    let (word, held) = got(guard);
                    (word, held.into_iter().collect())
                }
                None => (Word("taken", 0), Vec::new()),
            },
        }
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("lock", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.1.0 = Some(self.locking());
        arm
    }

    fn seen(&self, seat: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let owner = self.owner().map_or(u64::MAX, seat);
        Some(vec![u64::from(self.is_locked()), owner, self.waiters() as u64])
    }
}

pub(super) struct MutexModel {
    owner: Option<usize>,
    pub(super) line: usize,
}

impl MutexModel {
    pub(super) fn new(line: usize) -> MutexModel {
        MutexModel { owner: None, line }
    }

    pub(super) fn give_back(&mut self, lines: &mut Lines) {
        self.owner = lines.wake(self.line, Word("locked", 0)).map(|next| next.seat);
    }

    /// Somebody has come into the line without having looked.
    pub(super) fn serve(&mut self, lines: &mut Lines) {
        if self.owner.is_none() {
            self.give_back(lines);
        }
    }
}

impl Model for MutexModel {
    fn try_now(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<Word> {
        match (verb.0, self.owner) {
            ("unlock", _) => {
                self.give_back(lines);
                Some(Word("unlocked", 0))
            }
            (_, None) => {
                self.owner = Some(seat);
                Some(Word("locked", 0))
            }
            ("try lock", Some(_)) => Some(Word("taken", 0)),
            (_, Some(_)) => None,
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let owner = self.owner.map_or(u64::MAX, |owner| owner as u64);
        vec![u64::from(self.owner.is_some()), owner, lines.len(self.line) as u64]
    }
}
