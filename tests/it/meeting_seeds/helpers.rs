//! Tasks that end after a while, and are joined.

use std::time::Duration;

use ropewalk::lowlevel::TaskId;
use ropewalk::task::{self, JoinHandle};
use ropewalk::testing::random;
use ropewalk::{Cancelled, JoinError, time};

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let thing = furniture.next_thing();
    let line = furniture.line();
    let diary = furniture.diary.clone();
    let delay = Duration::from_millis(random(8) as u64);
    let helper = task::spawn(move || {
        if time::sleep(delay).is_err() {
            return 0;
        }
        diary.tell(|ledger| ledger.now(0, thing, Word("end", 0), Word("done", 0)));
        7
    });
    furniture.add(Helper(helper), HelperModel { has_ended: false, is_taken: false, line });
}

struct Helper(JoinHandle<u64>);

pub(super) fn word_of(joined: Result<u64, JoinError>) -> Word {
    match joined {
        Ok(value) => Word("joined", value),
        Err(JoinError::Taken) => Word("taken", 0),
        Err(error) => panic!("{error}"),
    }
}

impl Thing for Helper {
    fn choose(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        // Once its value was taken there is nothing to wait for.
        Some(if random(4) == 0 { Choice::acts("try join", 0) } else { Choice::waits("join", 0) })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match self.0.join() {
            Err(JoinError::Cancelled(cancelled)) => Err(cancelled),
            joined => Ok((word_of(joined), None)),
        }
    }

    fn act<'a>(&'a self, _: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        (self.0.try_result().map_or(Word("runs", 0), word_of), Vec::new())
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("joining", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.0.1 = Some(self.0.joining());
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        None
    }
}

struct HelperModel {
    has_ended: bool,
    is_taken: bool,
    line: usize,
}

impl HelperModel {
    fn result(&mut self) -> Word {
        if std::mem::replace(&mut self.is_taken, true) { Word("taken", 0) } else { Word("joined", 7) }
    }
}

impl Model for HelperModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "end" => {
                self.has_ended = true;
                lines.wake_all(self.line, Word("over", 0));
                Some(Word("done", 0))
            }
            _ if self.has_ended => Some(self.result()),
            "try join" => Some(Word("runs", 0)),
            _ => None,
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    /// Whoever goes on first takes the value.
    fn leave(&mut self, _: &mut Lines, _: usize, _: Word, granted: Option<Word>) -> Option<Word> {
        granted.map(|_| self.result())
    }

    fn ignores_cuts(&self, verb: Word) -> bool {
        verb.0 == "join" && self.has_ended
    }

    fn seen(&self, _: &Lines) -> Vec<u64> {
        Vec::new()
    }
}
