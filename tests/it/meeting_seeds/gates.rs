//! Events, latches and wait groups: what opens, and lets everybody through.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Event, Latch, WaitGroup};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

pub(super) fn furnish_event(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(Event::new(), GateModel { shut_by: 1, line });
}

pub(super) fn furnish_latch(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(Latch::new(), GateModel { shut_by: 1, line });
}

pub(super) fn furnish_wait_group(furniture: &mut Furniture) {
    let line = furniture.line();
    furniture.add(WaitGroup::new(), GateModel { shut_by: 0, line });
}

const OPEN: Word = Word("open", 0);

impl Thing for Event {
    fn choose(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(match random(8) {
            0 | 1 => Choice::acts("set", 0),
            2 | 3 => Choice::acts("clear", 0),
            _ => Choice::waits("wait", 0),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.wait().map(|()| (OPEN, None))
    }

    fn act<'a>(&'a self, verb: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        match verb.0 {
            "set" => self.set(),
            _ => self.clear(),
        }
        (Word("done", 0), Vec::new())
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("wait", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.3.0 = Some(self.waiting());
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        Some(vec![u64::from(!self.is_set()), self.waiters() as u64])
    }
}

impl Thing for Latch {
    fn choose(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(if random(12) == 0 { Choice::acts("set once", 0) } else { Choice::waits("wait", 0) })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.wait().map(|()| (OPEN, None))
    }

    fn act<'a>(&'a self, _: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        (Word("first", u64::from(self.set())), Vec::new())
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("wait", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.3.0 = Some(self.waiting());
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        Some(vec![u64::from(!self.is_set()), self.waiters() as u64])
    }
}

impl Thing for WaitGroup {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true);
        Some(match (random(8), hand) {
            (0..2, _) => Choice::acts("start", 0),
            (2, Some(hand)) => Choice::acts("start another", 0).with(hand),
            (3..5, Some(hand)) => Choice::acts("land", 0).with(hand),
            _ => Choice::waits("wait", 0),
        })
    }

    fn wait<'a>(&'a self, _: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        self.wait().map(|()| (OPEN, None))
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let done = Word("done", 0);
        match (verb.0, hand) {
            ("start", _) => (done, vec![Held::InFlight(self.token())]),
            ("start another", Some(Held::InFlight(token))) => {
                (done, vec![Held::InFlight(token.clone()), Held::InFlight(token)])
            }
            (_, token) => {
                drop(token);
                (done, Vec::new())
            }
        }
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("wait", 0))
    }

    fn arm<'a, 'h>(&'a self, _: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.3.0 = Some(self.waiting());
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        Some(vec![self.left() as u64, self.waiters() as u64])
    }
}

struct GateModel {
    /// By so many things; open if there are none.
    shut_by: u64,
    line: usize,
}

impl GateModel {
    fn open(&mut self, lines: &mut Lines) {
        self.shut_by = 0;
        lines.wake_all(self.line, OPEN);
    }
}

impl Model for GateModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "wait" => return (self.shut_by == 0).then_some(OPEN),
            "set" => self.open(lines),
            "clear" => self.shut_by = 1,
            "set once" => {
                let first = self.shut_by;
                self.open(lines);
                return Some(Word("first", first));
            }
            "start" | "start another" => self.shut_by += 1,
            _ if self.shut_by > 1 => self.shut_by -= 1,
            _ => self.open(lines),
        }
        Some(Word("done", 0))
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        vec![self.shut_by, lines.len(self.line) as u64]
    }
}
