//! A lock that is given back until somebody is notified.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Condvar, Mutex};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::mutex::MutexModel;
use super::things::{AnyArm, Choice, Got, Held, Thing};
use super::world::Furniture;

#[derive(Default)]
struct Condition {
    mutex: Mutex<u64>,
    notified: Condvar,
}

pub(super) fn furnish(furniture: &mut Furniture) {
    let mutex = MutexModel::new(furniture.line());
    let line = furniture.line();
    furniture.add(Condition::default(), ConditionModel { mutex, line });
}

impl Thing for Condition {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        match random(8) {
            0 | 1 => Some(Choice::acts("notify one", 0)),
            2 => Some(Choice::acts("notify all", 0)),
            3 => Some(Choice::acts("notify", random(3) as u64)),
            4..7 if !hands.is_empty() => Some(Choice::waits("wait", 0).with(0)),
            _ => self.mutex.choose(hands, fresh),
        }
    }

    fn wait<'a>(&'a self, verb: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match hand {
            Some(Held::Lock(guard)) => {
                self.notified.wait(guard)?;
                **guard += 1;
                Ok((Word("notified", 0), None))
            }
            _ => self.mutex.wait(verb, None),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let notified = match verb.0 {
            "notify one" => usize::from(self.notified.notify_one()),
            "notify all" => self.notified.notify_all(),
            "notify" => self.notified.notify(verb.1 as usize),
            _ => return self.mutex.act(verb, hand),
        };
        (Word("notified", notified as u64), Vec::new())
    }

    fn part(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        self.mutex.part(hands, fresh)
    }

    fn arm<'a, 'h>(&'a self, verb: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        self.mutex.arm(verb, hand)
    }

    fn seen(&self, seat: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let mut seen = self.mutex.seen(seat)?;
        seen.push(self.notified.statistics().waiting as u64);
        Some(seen)
    }
}

struct ConditionModel {
    mutex: MutexModel,
    line: usize,
}

impl ConditionModel {
    fn notify(&mut self, lines: &mut Lines, most: usize) -> u64 {
        let mut notified = 0;
        while notified < most && lines.send_on(self.line, self.mutex.line) {
            notified += 1;
            self.mutex.serve(lines);
        }
        notified as u64
    }
}

impl Model for ConditionModel {
    fn try_now(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<Word> {
        let most = match verb.0 {
            "notify one" => 1,
            "notify all" => usize::MAX,
            "notify" => verb.1 as usize,
            "wait" => return None,
            _ => return self.mutex.try_now(lines, seat, verb),
        };
        Some(Word("notified", self.notify(lines, most)))
    }

    fn place(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> (usize, u64) {
        if verb.0 == "wait" {
            self.mutex.give_back(lines);
            return (self.line, 0);
        }
        self.mutex.place(lines, seat, verb)
    }

    fn leave(&mut self, _: &mut Lines, _: usize, verb: Word, granted: Option<Word>) -> Option<Word> {
        if verb.0 == "wait" { granted.map(|_| Word("notified", 0)) } else { granted }
    }

    /// Nobody goes on without the lock.
    fn after_cut(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<(usize, u64)> {
        if verb.0 != "wait" || self.mutex.try_now(lines, seat, Word("lock", 0)).is_some() {
            return None;
        }
        Some((self.mutex.line, 0))
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let mut seen = self.mutex.seen(lines);
        seen.push(lines.len(self.line) as u64);
        seen
    }
}
