//! Channels with several ends: who has waited longest is given to, and what cannot be sent comes back.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use ropewalk::Cancelled;
use ropewalk::channel::{self, Permit, RecvError, SendError, Sender, TryRecvError, TrySendError};
use ropewalk::lowlevel::TaskId;
use ropewalk::testing::random;

use super::item::Item;
use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

struct Channel {
    /// An end that nobody has, by which one can see what is going on. Not always: then it can lose all of its ends.
    spare: Option<Held<'static>>,
    /// Whether room can be kept here.
    has_room: bool,
    items: Rc<Cell<u64>>,
}

/// A channel of some kind, and its ends for some tasks.
pub(super) fn furnish(furniture: &mut Furniture) {
    let (capacity, (sender, receiver)) = match random(5) {
        0 => (u64::MAX, channel::unbounded()),
        1 | 2 => (0, channel::rendezvous()),
        _ => {
            let capacity = 1 + random(3);
            (capacity as u64, channel::bounded(capacity))
        }
    };
    let thing = furniture.next_thing();
    let (mut senders, mut receivers) = (0, 0);
    for seat in 0..furniture.seats() {
        if random(3) < 2 {
            senders += 1;
            furniture.give(seat, thing, Held::Sender(sender.clone()));
        }
        if random(3) < 2 {
            receivers += 1;
            furniture.give(seat, thing, Held::Receiver(receiver.clone()));
        }
    }
    let spare = match random(3) {
        0 => {
            senders += 1;
            Some(Held::Sender(sender.clone()))
        }
        1 => {
            receivers += 1;
            Some(Held::Receiver(receiver.clone()))
        }
        _ => None,
    };
    let model = ChannelModel {
        capacity,
        items: VecDeque::new(),
        peak: 0,
        senders,
        receivers,
        permits: 0,
        is_closed: senders == 0 || receivers == 0,
        sending: furniture.line(),
        receiving: furniture.line(),
        ending: furniture.line(),
    };
    let items = furniture.diary.items.clone();
    furniture.add(Channel { spare, has_room: capacity > 0, items }, model);
}

impl Channel {
    /// The sender that room is kept with.
    fn reserver(&self) -> Option<&Sender<Item>> {
        match &self.spare {
            Some(Held::Sender(sender)) if self.has_room => Some(sender),
            _ => None,
        }
    }
}

impl Thing for Channel {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        if self.reserver().is_some() && random(4) == 0 {
            return Some(if random(4) == 0 {
                Choice::acts("try reserve", 0)
            } else {
                Choice::waits("reserve", 0)
            });
        }
        let hand = pick(hands, |_| true)?;
        let choice = match (hands[hand], random(24)) {
            (Held::Room(_), 0..4) => Choice::acts("give room", 0),
            (Held::Room(_), _) => Choice::acts("send reserved", fresh),
            (Held::Sender(_), 6) => Choice::waits("closed", 0),
            (Held::Sender(_), 0) => Choice::acts("close by sender", 0),
            (Held::Sender(_), 1) => Choice::acts("clone sender", 0),
            (Held::Sender(_), 2..6) => Choice::acts("try send", fresh),
            (Held::Sender(_), _) => Choice::waits("send", fresh),
            (_, 0) => Choice::acts("close by receiver", 0),
            (_, 1) => Choice::acts("clone receiver", 0),
            (_, 2..6) => Choice::acts("try recv", 0),
            _ => Choice::waits("recv", 0),
        };
        Some(choice.with(hand))
    }

    fn wait<'a>(&'a self, verb: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        if verb.0 == "reserve" {
            return match self.reserver().expect("it was there").reserve() {
                Err(SendError::Cancelled(cancelled, ())) => Err(cancelled),
                reserved => Ok(got_room(reserved)),
            };
        }
        match hand.expect("an end") {
            Held::Sender(sender) if verb.0 == "closed" => sender.closed().map(|()| (Word("ended", 0), None)),
            Held::Sender(sender) => match sender.send(Item::new(verb.1, &self.items)) {
                Err(SendError::Cancelled(cancelled, item)) => {
                    assert_eq!(item.number, verb.1, "what comes back");
                    Err(cancelled)
                }
                sent => Ok((word_of_sent(sent), None)),
            },
            Held::Receiver(receiver) => match receiver.recv() {
                Err(RecvError::Cancelled(cancelled)) => Err(cancelled),
                received => Ok((word_of_received(received), None)),
            },
            _ => unreachable!(),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let done = Word("done", 0);
        if verb.0 == "try reserve" {
            return match self.reserver().expect("it was there").try_reserve() {
                Ok(permit) => (Word("room", 0), vec![Held::Room(permit)]),
                Err(TrySendError::Full(())) => (Word("full", 0), Vec::new()),
                Err(TrySendError::Closed(())) => (Word("closed", 0), Vec::new()),
            };
        }
        match (verb.0, hand.expect("an end")) {
            ("send reserved", Held::Room(permit)) => match permit.send(Item::new(verb.1, &self.items)) {
                Ok(()) => (Word("sent", 0), Vec::new()),
                Err(closed) => (Word("closed", closed.0.number), Vec::new()),
            },
            ("drop sender" | "drop receiver" | "give room", end) => {
                drop(end);
                (done, Vec::new())
            }
            ("close by sender", Held::Sender(sender)) => {
                sender.close();
                (done, vec![Held::Sender(sender)])
            }
            ("close by receiver", Held::Receiver(receiver)) => {
                receiver.close();
                (done, vec![Held::Receiver(receiver)])
            }
            ("clone sender", Held::Sender(sender)) => {
                (done, vec![Held::Sender(sender.clone()), Held::Sender(sender)])
            }
            ("clone receiver", Held::Receiver(receiver)) => {
                (done, vec![Held::Receiver(receiver.clone()), Held::Receiver(receiver)])
            }
            ("try send", Held::Sender(sender)) => {
                let word = match sender.try_send(Item::new(verb.1, &self.items)) {
                    Ok(()) => Word("sent", 0),
                    Err(TrySendError::Full(item)) => Word("full", item.number),
                    Err(TrySendError::Closed(item)) => Word("closed", item.number),
                };
                (word, vec![Held::Sender(sender)])
            }
            ("try recv", Held::Receiver(receiver)) => {
                let word = match receiver.try_recv() {
                    Ok(item) => Word("item", item.number),
                    Err(TryRecvError::Empty) => Word("empty", 0),
                    Err(TryRecvError::Closed) => Word("closed", 0),
                };
                (word, vec![Held::Receiver(receiver)])
            }
            _ => unreachable!(),
        }
    }

    fn part(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        if self.reserver().is_some() && random(4) == 0 {
            return Some(Choice::waits("reserve", 0));
        }
        let hand = pick(hands, |held| !matches!(held, Held::Room(_)))?;
        let choice = match hands[hand] {
            Held::Sender(_) if random(6) == 0 => Choice::waits("closed", 0),
            Held::Sender(_) => Choice::waits("send", fresh),
            _ => Choice::waits("recv", 0),
        };
        Some(choice.with(hand))
    }

    fn arm<'a, 'h>(&'a self, verb: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        if verb.0 == "reserve" {
            arm.4.0 = Some(self.reserver().expect("it was there").reserving());
            return arm;
        }
        match hand.expect("an end") {
            Held::Sender(sender) if verb.0 == "closed" => arm.4.1 = Some(sender.closing()),
            Held::Sender(sender) => arm.0.2 = Some(sender.sending(Item::new(verb.1, &self.items))),
            Held::Receiver(receiver) => arm.0.3 = Some(receiver.receiving()),
            _ => unreachable!(),
        }
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let statistics = match self.spare.as_ref()? {
            Held::Sender(sender) => sender.statistics(),
            Held::Receiver(receiver) => receiver.statistics(),
            _ => unreachable!(),
        };
        let numbers = [
            statistics.len,
            statistics.peak,
            statistics.permits,
            statistics.senders,
            statistics.receivers,
            statistics.waiting_to_send,
            statistics.waiting_to_receive,
            usize::from(statistics.is_closed),
        ];
        Some(numbers.map(|number| number as u64).to_vec())
    }
}

pub(super) fn got_room(reserved: Result<Permit<'_, Item>, SendError<()>>) -> Got<'_> {
    match reserved {
        Ok(permit) => (Word("room", 0), Some(Held::Room(permit))),
        Err(SendError::Closed(())) => (Word("closed", 0), None),
        Err(SendError::Cancelled(..)) => (Word("cancelled", 0), None),
    }
}

pub(super) fn word_of_sent(sent: Result<(), SendError<Item>>) -> Word {
    match sent {
        Ok(()) => Word("sent", 0),
        Err(SendError::Closed(item)) => Word("closed", item.number),
        Err(SendError::Cancelled(..)) => Word("cancelled", 0),
    }
}

pub(super) fn word_of_received(received: Result<Item, RecvError>) -> Word {
    match received {
        Ok(item) => Word("item", item.number),
        Err(RecvError::Closed) => Word("closed", 0),
        Err(RecvError::Cancelled(_)) => Word("cancelled", 0),
    }
}

struct ChannelModel {
    capacity: u64,
    items: VecDeque<u64>,
    permits: u64,
    peak: u64,
    senders: u64,
    receivers: u64,
    is_closed: bool,
    sending: usize,
    receiving: usize,
    ending: usize,
}

/// What those offer who wait for room and have no item yet.
const ROOM: u64 = u64::MAX;

impl ChannelModel {
    fn has_room(&self) -> bool {
        self.items.len() as u64 + self.permits < self.capacity
    }

    fn send(&mut self, lines: &mut Lines, item: u64) -> Option<Word> {
        if self.is_closed {
            return Some(Word("closed", item));
        }
        let receives = lines.len(self.receiving) > 0;
        // Where permits keep the room, somebody may wait to send although somebody receives; nobody passes those who do.
        // Without permits only a task that waits for both does, and it does not meet itself.
        let passes = self.permits > 0 && lines.len(self.sending) > 0;
        if passes || !receives && !self.has_room() {
            return None;
        }
        self.deliver(lines, item);
        Some(Word("sent", 0))
    }

    fn deliver(&mut self, lines: &mut Lines, item: u64) {
        if lines.wake(self.receiving, Word("item", item)).is_none() {
            self.items.push_back(item);
            self.peak = self.peak.max(self.items.len() as u64);
        }
    }

    fn reserve(&mut self) -> Option<Word> {
        if self.is_closed {
            return Some(Word("closed", 0));
        }
        self.has_room().then(|| {
            self.permits += 1;
            Word("room", 0)
        })
    }

    /// Room is there for the first who waits for it.
    fn fill(&mut self, lines: &mut Lines) {
        while self.has_room() {
            match lines.first(self.sending) {
                None => return,
                Some(first) if first.offer == ROOM => {
                    lines.grant(first, Word("room", 0));
                    self.permits += 1;
                }
                Some(first) => {
                    lines.grant(first, Word("sent", 0));
                    self.deliver(lines, first.offer);
                }
            }
        }
    }

    fn receive(&mut self, lines: &mut Lines) -> Option<Word> {
        if let Some(item) = self.items.pop_front() {
            self.fill(lines);
            return Some(Word("item", item));
        }
        if self.capacity == 0 {
            if let Some(next) = lines.wake(self.sending, Word("sent", 0)) {
                return Some(Word("item", next.offer));
            }
        }
        self.is_closed.then_some(Word("closed", 0))
    }

    fn close(&mut self, lines: &mut Lines) {
        self.is_closed = true;
        lines.wake_all(self.ending, Word("ended", 0));
        while let Some(first) = lines.first(self.sending) {
            let item = if first.offer == ROOM { 0 } else { first.offer };
            lines.grant(first, Word("closed", item));
        }
        lines.wake_all(self.receiving, Word("closed", 0));
    }
}

impl Model for ChannelModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "send" => return self.send(lines, verb.1),
            "try send" => return self.send(lines, verb.1).or(Some(Word("full", verb.1))),
            "recv" => return self.receive(lines),
            "try recv" => return self.receive(lines).or(Some(Word("empty", 0))),
            "reserve" => return self.reserve(),
            "try reserve" => return self.reserve().or(Some(Word("full", 0))),
            "closed" => return self.is_closed.then_some(Word("ended", 0)),
            "send reserved" => {
                let word = if self.is_closed { Word("closed", verb.1) } else { Word("sent", 0) };
                if !self.is_closed {
                    self.deliver(lines, verb.1);
                }
                self.permits -= 1;
                self.fill(lines);
                return Some(word);
            }
            "give room" => {
                self.permits -= 1;
                self.fill(lines);
            }
            "close by sender" | "close by receiver" => self.close(lines),
            "clone sender" => self.senders += 1,
            "clone receiver" => self.receivers += 1,
            "drop sender" => {
                self.senders -= 1;
                if self.senders == 0 {
                    self.close(lines);
                }
            }
            "drop receiver" => {
                self.receivers -= 1;
                if self.receivers == 0 {
                    self.close(lines);
                    self.items.clear();
                }
            }
            other => unreachable!("{other}"),
        }
        Some(Word("done", 0))
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        match verb.0 {
            "send" => (self.sending, verb.1),
            "reserve" => (self.sending, ROOM),
            "closed" => (self.ending, 0),
            _ => (self.receiving, 0),
        }
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let waiting = [lines.len(self.sending), lines.len(self.receiving)];
        let [to_send, to_receive] = waiting.map(|waiting| waiting as u64);
        let len = self.items.len() as u64;
        let is_closed = u64::from(self.is_closed);
        vec![len, self.peak, self.permits, self.senders, self.receivers, to_send, to_receive, is_closed]
    }
}
