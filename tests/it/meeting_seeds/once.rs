//! A value that one task makes, and others wait for.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::OnceCell;
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Stopped, Thing};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let (claiming, watching) = (furniture.line(), furniture.line());
    furniture.add(OnceCell::new(), OnceModel { value: None, claimed: false, claiming, watching });
}

impl Thing for OnceCell<u64> {
    fn choose(&self, _: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        Some(match random(16) {
            0 => Choice::acts("set", fresh),
            1 => Choice::acts("get", 0),
            2..8 => Choice::waits("wait", 0),
            _ => Choice::makes("claim"),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.wait().map(|value| (Word("value", *value), None))
    }

    fn act<'a>(&'a self, verb: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let word = match verb.0 {
            "set" => self.set(verb.1).map_or_else(|value| Word("refused", value), |()| Word("set", 0)),
            _ => self.get().map_or(Word("none", 0), |value| Word("value", *value)),
        };
        (word, Vec::new())
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("wait", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.3.2 = Some(self.waiting());
        arm
    }

    fn make(&self, make: &mut dyn FnMut() -> Result<u64, Stopped>) -> Result<Word, Stopped> {
        self.get_or_try_init(make).map(|value| Word("value", *value))
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        Some(vec![self.get().copied().unwrap_or(0), self.waiters() as u64])
    }
}

struct OnceModel {
    value: Option<u64>,
    claimed: bool,
    claiming: usize,
    watching: usize,
}

impl OnceModel {
    fn tell(&mut self, lines: &mut Lines, value: u64) {
        self.value = Some(value);
        lines.wake_all(self.claiming, Word("value", value));
        lines.wake_all(self.watching, Word("value", value));
    }
}

impl Model for OnceModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match (verb.0, self.value) {
            ("made", None) => {
                self.claimed = false;
                self.tell(lines, verb.1);
                Some(Word("done", 0))
            }
            ("gave up", None) => {
                self.claimed = lines.wake(self.claiming, Word("yours", 0)).is_some();
                Some(Word("done", 0))
            }
            ("set", value) if value.is_some() || self.claimed => Some(Word("refused", verb.1)),
            ("set", _) => {
                self.tell(lines, verb.1);
                Some(Word("set", 0))
            }
            (_, Some(value)) => Some(Word("value", value)),
            ("get", None) => Some(Word("none", 0)),
            ("claim", None) if !self.claimed => {
                self.claimed = true;
                Some(Word("yours", 0))
            }
            _ => None,
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        (if verb.0 == "claim" { self.claiming } else { self.watching }, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let waiting = lines.len(self.claiming) + lines.len(self.watching);
        vec![self.value.unwrap_or(0), waiting as u64]
    }
}
