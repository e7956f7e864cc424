//! Many readers or one writer, in the order of coming.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use ropewalk::testing::random;

use super::ledger::{Entry, Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(RwLock::new(0), RwLockModel { readers: 0, writer: None, line });
}

pub(super) fn got_to_read(guard: RwLockReadGuard<'_, u64>) -> Got<'_> {
    (Word("reads", 0), Some(Held::Read(*guard, guard)))
}

pub(super) fn got_to_write(mut guard: RwLockWriteGuard<'_, u64>) -> Got<'_> {
    *guard += 1;
    (Word("writes", 0), Some(Held::Write(guard)))
}

impl Thing for RwLock<u64> {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let writes = pick(hands, |held| matches!(held, Held::Write(_)));
        Some(match (random(12), pick(hands, |_| true)) {
            (0, _) => Choice::acts("try read", 0),
            (1, _) => Choice::acts("try write", 0),
            (2..5, Some(_)) if writes.is_some() => Choice::acts("downgrade", 0).with(writes?),
            (2..9, Some(hand)) => {
                let end = hands[hand].farewell();
                Choice::acts(end.0, 0).with(hand)
            }
            // It would wait for itself.
            _ if writes.is_some() => return None,
            (_, _) => Choice::waits(if random(3) < 2 { "read" } else { "write" }, 0),
        })
    }

    fn wait<'a>(&'a self, verb: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match verb.0 {
            "read" => self.read().map(got_to_read),
            _ => self.write().map(got_to_write),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let tried = match (verb.0, hand) {
            ("try read", _) => self.try_read().map(got_to_read),
            ("try write", _) => self.try_write().map(got_to_write),
            ("downgrade", Some(Held::Write(guard))) => Some(got_to_read(RwLockWriteGuard::downgrade(guard))),
            (_, hand) => {
                if let Some(Held::Read(seen, guard)) = hand {
                    assert_eq!(*guard, seen, "nobody writes while somebody reads");
                }
                return (Word("done", 0), Vec::new());
            }
        };
        match tried {
            Some((word, held)) => (word, held.into_iter().collect()),
            None => (Word("taken", 0), Vec::new()),
        }
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits(if random(3) < 2 { "read" } else { "write" }, 0))
    }

    fn arm<'a, 'h>(&'a self, verb: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        match verb.0 {
            "read" => arm.1.2 = Some(self.reading()),
            _ => arm.1.3 = Some(self.writing()),
        }
        arm
    }

    fn seen(&self, seat: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let seen = self.statistics();
        assert_eq!(seen.is_writing, seen.writer.is_some());
        Some(vec![seen.readers as u64, seen.writer.map_or(u64::MAX, seat), seen.waiting as u64])
    }
}

struct RwLockModel {
    readers: u64,
    writer: Option<usize>,
    line: usize,
}

/// What those in line offer.
const READ: u64 = 0;
const WRITE: u64 = 1;

impl RwLockModel {
    fn is_open_to(&self, wish: u64) -> bool {
        self.writer.is_none() && (wish == READ || self.readers == 0)
    }

    fn admit(&mut self, seat: usize, wish: u64) -> Word {
        if wish == READ {
            self.readers += 1;
            Word("reads", 0)
        } else {
            self.writer = Some(seat);
            Word("writes", 0)
        }
    }

    fn let_in(&mut self, lines: &mut Lines) {
        while let Some(first) = lines.first(self.line).filter(|first| self.is_open_to(first.offer)) {
            let Entry { seat, offer, .. } = first;
            let word = self.admit(seat, offer);
            lines.grant(first, word);
        }
    }
}

fn wish(verb: Word) -> u64 {
    if matches!(verb.0, "read" | "try read") { READ } else { WRITE }
}

impl Model for RwLockModel {
    fn try_now(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "end read" => {
                self.readers -= 1;
                if self.readers == 0 {
                    self.let_in(lines);
                }
                Some(Word("done", 0))
            }
            "end write" => {
                self.writer = None;
                self.let_in(lines);
                Some(Word("done", 0))
            }
            "downgrade" => {
                self.writer = None;
                self.readers += 1;
                self.let_in(lines);
                Some(Word("reads", 0))
            }
            _ => {
                // If the first was cut, those behind it need not wait for it to go.
                self.let_in(lines);
                if lines.len(self.line) == 0 && self.is_open_to(wish(verb)) {
                    Some(self.admit(seat, wish(verb)))
                } else {
                    verb.0.starts_with("try").then_some(Word("taken", 0))
                }
            }
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        (self.line, wish(verb))
    }

    fn leave(&mut self, lines: &mut Lines, _: usize, _: Word, granted: Option<Word>) -> Option<Word> {
        if granted.is_none() {
            self.let_in(lines);
        }
        granted
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let writer = self.writer.map_or(u64::MAX, |writer| writer as u64);
        vec![self.readers, writer, lines.len(self.line) as u64]
    }
}
