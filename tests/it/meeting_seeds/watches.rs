//! The latest value.

use std::collections::BTreeMap;

use ropewalk::Cancelled;
use ropewalk::channel::RecvError;
use ropewalk::channel::watch::{self, watch};
use ropewalk::lowlevel::TaskId;
use ropewalk::testing::random;
use std::rc::Rc;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

/// With a sender that nobody has, by which one can see what is going on. Not always: then it can lose all of them.
struct Watch {
    spare: Option<watch::Sender<u64>>,
}

pub(super) fn furnish(furniture: &mut Furniture) {
    let (sender, first) = watch(0);
    let thing = furniture.next_thing();
    let (mut senders, mut receivers) = (0, BTreeMap::new());
    for seat in 0..furniture.seats() {
        if random(2) == 0 {
            senders += 1;
            furniture.give(seat, thing, Held::WatchSender(sender.clone()));
        }
        if random(3) < 2 {
            let number = furniture.fresh();
            receivers.insert(number, 0);
            furniture.give(seat, thing, Held::WatchReceiver(number, first.clone()));
        }
    }
    let spare = (random(2) == 0).then(|| sender.clone());
    let model = WatchModel {
        value: 0,
        version: 0,
        senders: senders + u64::from(spare.is_some()),
        has_ended: receivers.is_empty(),
        receivers,
        changing: furniture.line(),
        ending: furniture.line(),
    };
    furniture.add(Watch { spare }, model);
}

pub(super) fn word_of(seen: Result<Rc<u64>, RecvError>) -> Word {
    match seen {
        Ok(value) => Word("value", *value),
        Err(RecvError::Closed) => Word("closed", 0),
        Err(RecvError::Cancelled(_)) => Word("cancelled", 0),
    }
}

/// Two numbers in one.
fn both(first: u64, second: u64) -> u64 {
    first << 32 | second
}

impl Thing for Watch {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true)?;
        let choice = match (hands[hand], random(12)) {
            (Held::WatchSender(_), 0) => Choice::acts("clone sender", 0),
            (Held::WatchSender(_), 1) => Choice::acts("subscribe", fresh),
            (Held::WatchSender(_), 2 | 3) => Choice::waits("closed", 0),
            (Held::WatchSender(_), 4 | 5) => Choice::acts("modify", fresh),
            (Held::WatchSender(_), _) => Choice::acts("set", fresh),
            (Held::WatchReceiver(number, _), 0) => Choice::acts("clone receiver", both(*number, fresh)),
            (Held::WatchReceiver(number, _), 1) => Choice::acts("get", *number),
            (Held::WatchReceiver(number, _), 2) => Choice::acts("peek", *number),
            (Held::WatchReceiver(number, _), 3) => Choice::acts("mark", *number),
            (Held::WatchReceiver(number, _), _) => Choice::waits("changed", *number),
            _ => unreachable!(),
        };
        Some(choice.with(hand))
    }

    fn wait<'a>(&'a self, _: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match hand {
            Some(Held::WatchSender(sender)) => sender.closed().map(|()| (Word("ended", 0), None)),
            Some(Held::WatchReceiver(_, receiver)) => match receiver.changed() {
                Err(RecvError::Cancelled(cancelled)) => Err(cancelled),
                seen => Ok((word_of(seen), None)),
            },
            _ => unreachable!(),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let mut word = Word("done", 0);
        let hands = match (verb.0, hand.expect("an end")) {
            ("drop sender" | "drop receiver", end) => {
                drop(end);
                Vec::new()
            }
            ("clone sender", Held::WatchSender(sender)) => {
                vec![Held::WatchSender(sender.clone()), Held::WatchSender(sender)]
            }
            ("subscribe", Held::WatchSender(sender)) => {
                let receiver = sender.subscribe();
                vec![Held::WatchReceiver(verb.1, receiver), Held::WatchSender(sender)]
            }
            ("set", Held::WatchSender(sender)) => {
                sender.set(verb.1);
                vec![Held::WatchSender(sender)]
            }
            ("modify", Held::WatchSender(sender)) => {
                // Odd ones say that they changed nothing, though they do.
                let is_changed = sender.modify_if(|value| {
                    *value = verb.1;
                    verb.1 % 2 == 0
                });
                word = Word("modified", u64::from(is_changed));
                vec![Held::WatchSender(sender)]
            }
            ("clone receiver", Held::WatchReceiver(number, receiver)) => {
                let other = Held::WatchReceiver(verb.1 & 0xffff_ffff, receiver.clone());
                vec![other, Held::WatchReceiver(number, receiver)]
            }
            (_, Held::WatchReceiver(number, receiver)) => {
                match verb.0 {
                    "get" => word = Word("value", *receiver.get()),
                    "peek" => word = Word("value", *receiver.peek()),
                    _ => receiver.mark_changed(),
                }
                vec![Held::WatchReceiver(number, receiver)]
            }
            _ => unreachable!(),
        };
        (word, hands)
    }

    fn part(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true)?;
        let choice = match hands[hand] {
            Held::WatchReceiver(number, _) => Choice::waits("changed", *number),
            _ => Choice::waits("closed", 0),
        };
        Some(choice.with(hand))
    }

    fn arm<'a, 'h>(&'a self, _: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        match hand {
            Some(Held::WatchSender(sender)) => arm.4.1 = Some(sender.closing()),
            Some(Held::WatchReceiver(_, receiver)) => arm.4.3 = Some(receiver.changing()),
            _ => unreachable!(),
        }
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let spare = self.spare.as_ref()?;
        Some(vec![*spare.get(), spare.receiver_count() as u64, u64::from(spare.is_closed())])
    }
}

struct WatchModel {
    value: u64,
    version: u64,
    senders: u64,
    has_ended: bool,
    /// Which version each of them has seen.
    receivers: BTreeMap<u64, u64>,
    changing: usize,
    ending: usize,
}

/// No version has that number.
const NONE: u64 = u64::MAX;

impl WatchModel {
    fn see(&mut self, receiver: u64) -> Option<Word> {
        if self.receivers[&receiver] != self.version {
            self.receivers.insert(receiver, self.version);
            return Some(Word("value", self.value));
        }
        (self.senders == 0).then_some(Word("closed", 0))
    }

    fn announce(&mut self, lines: &mut Lines) {
        self.version += 1;
        lines.wake_all(self.changing, Word("look", 0));
    }
}

impl Model for WatchModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "changed" => return self.see(verb.1),
            "closed" => return self.has_ended.then_some(Word("ended", 0)),
            "get" => {
                self.receivers.insert(verb.1, self.version);
                return Some(Word("value", self.value));
            }
            "peek" => return Some(Word("value", self.value)),
            "mark" => {
                self.receivers.insert(verb.1, NONE);
            }
            "set" => {
                self.value = verb.1;
                self.announce(lines);
            }
            "modify" => {
                self.value = verb.1;
                let is_changed = verb.1 % 2 == 0;
                if is_changed {
                    self.announce(lines);
                }
                return Some(Word("modified", u64::from(is_changed)));
            }
            "clone sender" => self.senders += 1,
            "subscribe" => {
                self.has_ended = false;
                self.receivers.insert(verb.1, self.version);
            }
            "clone receiver" => {
                let seen = self.receivers[&(verb.1 >> 32)];
                self.receivers.insert(verb.1 & 0xffff_ffff, seen);
            }
            "drop sender" => {
                self.senders -= 1;
                if self.senders == 0 {
                    lines.wake_all(self.changing, Word("look", 0));
                }
            }
            "drop receiver" => {
                self.receivers.remove(&verb.1);
                if self.receivers.is_empty() {
                    self.has_ended = true;
                    lines.wake_all(self.ending, Word("ended", 0));
                }
            }
            other => unreachable!("{other}"),
        }
        Some(Word("done", 0))
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        (if verb.0 == "closed" { self.ending } else { self.changing }, 0)
    }

    /// What it sees is the latest when it goes on.
    fn leave(&mut self, _: &mut Lines, _: usize, verb: Word, granted: Option<Word>) -> Option<Word> {
        match granted {
            Some(Word("look", _)) => self.see(verb.1),
            granted => granted,
        }
    }

    fn seen(&self, _: &Lines) -> Vec<u64> {
        vec![self.value, self.receivers.len() as u64, u64::from(self.has_ended)]
    }
}
