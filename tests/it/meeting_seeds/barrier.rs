//! So many wait for one another.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Barrier, BarrierError, BarrierWait};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let parties = [1, 2, 2, 2, 3, 3][random(6)];
    let line = furniture.line();
    furniture.add(Barrier::new(parties), BarrierModel { parties, is_broken: false, line });
}

pub(super) fn word_of(passed: Result<BarrierWait, BarrierError>) -> Word {
    match passed {
        // The leader is the last to arrive.
        Ok(passed) if passed.is_leader() => Word("leads", passed.index() as u64),
        Ok(passed) => Word("passes", passed.index() as u64),
        Err(BarrierError::Broken) => Word("broken", 0),
        Err(BarrierError::Cancelled(_)) => Word("cancelled", 0),
    }
}

impl Thing for Barrier {
    fn choose(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(match random(16) {
            0 => Choice::acts("abort", 0),
            1 | 2 => Choice::acts("reset", 0),
            _ => Choice::waits("wait", 0),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match self.wait() {
            Err(BarrierError::Cancelled(cancelled)) => Err(cancelled),
            passed => Ok((word_of(passed), None)),
        }
    }

    fn act<'a>(&'a self, verb: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        match verb.0 {
            "abort" => self.abort(),
            _ => self.reset(),
        }
        (Word("done", 0), Vec::new())
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("wait", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.3.1 = Some(self.waiting());
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        Some(vec![self.waiters() as u64, u64::from(self.is_broken())])
    }
}

struct BarrierModel {
    parties: usize,
    is_broken: bool,
    line: usize,
}

impl Model for BarrierModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "abort" | "reset" => {
                self.is_broken = verb.0 == "abort";
                lines.wake_all(self.line, Word("broken", 0));
                Some(Word("done", 0))
            }
            _ if self.is_broken => Some(Word("broken", 0)),
            _ if lines.len(self.line) + 1 < self.parties => None,
            _ => {
                for index in 0..self.parties as u64 - 1 {
                    lines.wake(self.line, Word("passes", index));
                }
                Some(Word("leads", self.parties as u64 - 1))
            }
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        vec![lines.len(self.line) as u64, u64::from(self.is_broken)]
    }
}
