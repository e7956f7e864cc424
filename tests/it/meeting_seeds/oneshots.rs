//! One value, once.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::Cancelled;
use ropewalk::channel::{self, RecvError, TryRecvError};
use ropewalk::lowlevel::TaskId;
use ropewalk::testing::random;

use super::channels::word_of_received;
use super::item::Item;
use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

struct Oneshot {
    items: Rc<Cell<u64>>,
}

pub(super) fn furnish(furniture: &mut Furniture) {
    let (sender, receiver) = channel::oneshot();
    let thing = furniture.next_thing();
    let (to_send, to_receive) = (random(furniture.seats()), random(furniture.seats()));
    furniture.give(to_send, thing, Held::OneSender(sender));
    furniture.give(to_receive, thing, Held::OneReceiver(receiver));
    let model = OneshotModel {
        value: None,
        is_settled: false,
        has_ended: false,
        receiving: furniture.line(),
        ending: furniture.line(),
    };
    furniture.add(Oneshot { items: furniture.diary.items.clone() }, model);
}

impl Thing for Oneshot {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true)?;
        let choice = match (hands[hand], random(8)) {
            (Held::OneSender(_), 0..4) => Choice::acts("send once", fresh),
            (Held::OneSender(_), 4) => Choice::acts("drop sender", 0),
            (Held::OneSender(_), _) => Choice::waits("closed", 0),
            (_, 0) => Choice::acts("close", 0),
            (_, 1) => Choice::acts("try recv", 0),
            _ => Choice::waits("recv", 0),
        };
        Some(choice.with(hand))
    }

    fn wait<'a>(&'a self, _: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match hand {
            Some(Held::OneSender(sender)) => sender.closed().map(|()| (Word("ended", 0), None)),
            Some(Held::OneReceiver(receiver)) => match receiver.recv() {
                Err(RecvError::Cancelled(cancelled)) => Err(cancelled),
                received => Ok((word_of_received(received), None)),
            },
            _ => unreachable!(),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let done = Word("done", 0);
        match (verb.0, hand.expect("an end")) {
            ("send once", Held::OneSender(sender)) => match sender.send(Item::new(verb.1, &self.items)) {
                Ok(()) => (Word("sent", 0), Vec::new()),
                Err(closed) => (Word("closed", closed.0.number), Vec::new()),
            },
            ("close", Held::OneReceiver(receiver)) => {
                receiver.close();
                (done, vec![Held::OneReceiver(receiver)])
            }
            ("try recv", Held::OneReceiver(receiver)) => {
                let word = match receiver.try_recv() {
                    Ok(item) => Word("item", item.number),
                    Err(TryRecvError::Empty) => Word("empty", 0),
                    Err(TryRecvError::Closed) => Word("closed", 0),
                };
                (word, vec![Held::OneReceiver(receiver)])
            }
            (_, end) => {
                drop(end);
                (done, Vec::new())
            }
        }
    }

    fn part(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true)?;
        let verb = if matches!(hands[hand], Held::OneSender(_)) { "closed" } else { "recv" };
        Some(Choice::waits(verb, 0).with(hand))
    }

    fn arm<'a, 'h>(&'a self, _: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        match hand {
            Some(Held::OneSender(sender)) => arm.4.1 = Some(sender.closing()),
            Some(Held::OneReceiver(receiver)) => arm.4.2 = Some(receiver.receiving()),
            _ => unreachable!(),
        }
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        None
    }
}

struct OneshotModel {
    value: Option<u64>,
    /// The sender is gone.
    is_settled: bool,
    /// The receiver is closed or gone.
    has_ended: bool,
    receiving: usize,
    ending: usize,
}

impl OneshotModel {
    fn receive(&mut self) -> Option<Word> {
        match self.value.take() {
            Some(item) => Some(Word("item", item)),
            None => (self.is_settled || self.has_ended).then_some(Word("closed", 0)),
        }
    }
}

impl Model for OneshotModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        let mut word = Word("done", 0);
        match verb.0 {
            "recv" => return self.receive(),
            "try recv" => return self.receive().or(Some(Word("empty", 0))),
            "closed" => return self.has_ended.then_some(Word("ended", 0)),
            "send once" => {
                self.is_settled = true;
                if self.has_ended {
                    return Some(Word("closed", verb.1));
                }
                if lines.wake(self.receiving, Word("item", verb.1)).is_none() {
                    self.value = Some(verb.1);
                }
                word = Word("sent", 0);
            }
            "drop sender" => self.is_settled = true,
            "close" | "drop receiver" => {
                self.has_ended = true;
                lines.wake_all(self.ending, Word("ended", 0));
                if verb.0 == "drop receiver" {
                    self.value = None;
                }
            }
            other => unreachable!("{other}"),
        }
        lines.wake_all(self.receiving, Word("closed", 0));
        Some(word)
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        (if verb.0 == "closed" { self.ending } else { self.receiving }, 0)
    }

    fn seen(&self, _: &Lines) -> Vec<u64> {
        Vec::new()
    }
}
