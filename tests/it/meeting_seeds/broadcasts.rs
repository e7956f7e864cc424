//! Each item for everybody, from when they subscribed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use ropewalk::Cancelled;
use ropewalk::channel::broadcast::{self, broadcast, lossy};
use ropewalk::channel::{Lagged, RecvError, SendError, TryRecvError, TrySendError};
use ropewalk::lowlevel::TaskId;
use ropewalk::testing::random;

use super::channels::{word_of_received, word_of_sent};
use super::item::Item;
use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

/// With a sender that nobody has, by which one can see what is going on. Not always: then it can lose all of them.
struct Broadcast<S> {
    spare: Option<S>,
    items: Rc<Cell<u64>>,
}

pub(super) fn furnish(furniture: &mut Furniture) {
    let capacity = 1 + random(3);
    let (sender, first) = broadcast(capacity);
    let thing = furniture.next_thing();
    let mut model = BroadcastModel::new(furniture, capacity, false);
    for seat in 0..furniture.seats() {
        if random(3) < 2 {
            model.senders += 1;
            furniture.give(seat, thing, Held::CastSender(sender.clone()));
        }
        if random(3) < 2 {
            let number = model.add(furniture);
            furniture.give(seat, thing, Held::CastReceiver(number, first.clone()));
        }
    }
    let spare = (random(2) == 0).then(|| sender.clone());
    model.senders += u64::from(spare.is_some());
    model.settle();
    furniture.add(Broadcast { spare, items: furniture.diary.items.clone() }, model);
}

pub(super) fn furnish_lossy(furniture: &mut Furniture) {
    let capacity = 1 + random(3);
    let (sender, first) = lossy(capacity);
    let thing = furniture.next_thing();
    let mut model = BroadcastModel::new(furniture, capacity, true);
    for seat in 0..furniture.seats() {
        if random(2) == 0 {
            model.senders += 1;
            furniture.give(seat, thing, Held::LossySender(sender.clone()));
        }
        if random(4) > 0 {
            let number = model.add(furniture);
            furniture.give(seat, thing, Held::LossyReceiver(number, first.clone()));
        }
    }
    let spare = (random(2) == 0).then(|| sender.clone());
    model.senders += u64::from(spare.is_some());
    model.settle();
    furniture.add(Broadcast { spare, items: furniture.diary.items.clone() }, model);
}

pub(super) fn word_of_lossy(received: Result<Result<Item, Lagged>, RecvError>) -> Word {
    match received {
        Ok(Err(Lagged(missed))) => Word("lagged", missed),
        Ok(Ok(item)) => word_of_received(Ok(item)),
        Err(error) => word_of_received(Err(error)),
    }
}

/// Two numbers in one.
fn both(first: u64, second: u64) -> u64 {
    first << 32 | second
}

fn choose(hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
    let hand = pick(hands, |_| true)?;
    let choice = match (hands[hand], random(24)) {
        (Held::CastSender(_) | Held::LossySender(_), 0) => Choice::acts("close", 0),
        (Held::CastSender(_) | Held::LossySender(_), 1) => Choice::acts("clone sender", 0),
        (Held::CastSender(_) | Held::LossySender(_), 2) => Choice::acts("subscribe", fresh),
        (Held::CastSender(_) | Held::LossySender(_), 3 | 4) => Choice::waits("closed", 0),
        (Held::CastSender(_), 5..9) => Choice::acts("try send", fresh),
        (Held::CastSender(_), _) => Choice::waits("send", fresh),
        (Held::LossySender(_), _) => Choice::acts("overwrite", fresh),
        (Held::CastReceiver(number, _) | Held::LossyReceiver(number, _), kind) => match kind {
            0 => Choice::acts("clone receiver", both(*number, fresh)),
            1..5 => Choice::acts("try recv", *number),
            _ => Choice::waits("recv", *number),
        },
        _ => unreachable!(),
    };
    Some(choice.with(hand))
}

fn part(hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
    let hand = pick(hands, |_| true)?;
    let choice = match hands[hand] {
        Held::CastReceiver(number, _) | Held::LossyReceiver(number, _) => Choice::waits("recv", *number),
        Held::CastSender(_) if random(5) > 0 => Choice::waits("send", fresh),
        _ => Choice::waits("closed", 0),
    };
    Some(choice.with(hand))
}

/// What both kinds do in the same way.
macro_rules! act_alike {
    ($sender:ident, $receiver:ident, $verb:expr, $hand:expr) => {
        match ($verb.0, $hand) {
            ("drop sender" | "drop receiver", end) => {
                drop(end);
                (Word("done", 0), Vec::new())
            }
            ("close", Held::$sender(sender)) => {
                sender.close();
                (Word("done", 0), vec![Held::$sender(sender)])
            }
            ("clone sender", Held::$sender(sender)) => {
                (Word("done", 0), vec![Held::$sender(sender.clone()), Held::$sender(sender)])
            }
            ("subscribe", Held::$sender(sender)) => {
                let receiver = Held::$receiver($verb.1, sender.subscribe());
                (Word("done", 0), vec![receiver, Held::$sender(sender)])
            }
            ("clone receiver", Held::$receiver(number, receiver)) => {
                let other = Held::$receiver($verb.1 & 0xffff_ffff, receiver.clone());
                (Word("done", 0), vec![other, Held::$receiver(number, receiver)])
            }
            _ => unreachable!(),
        }
    };
}

fn tried(tried: TryRecvError) -> Word {
    match tried {
        TryRecvError::Empty => Word("empty", 0),
        TryRecvError::Closed => Word("closed", 0),
    }
}

impl Thing for Broadcast<broadcast::Sender<Item>> {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        choose(hands, fresh)
    }

    fn wait<'a>(&'a self, verb: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        let word = match hand {
            Some(Held::CastSender(sender)) if verb.0 == "closed" => {
                sender.closed()?;
                Word("ended", 0)
            }
            Some(Held::CastSender(sender)) => match sender.send(Item::new(verb.1, &self.items)) {
                Err(SendError::Cancelled(cancelled, item)) => {
                    assert_eq!(item.number, verb.1, "what comes back");
                    return Err(cancelled);
                }
                sent => word_of_sent(sent),
            },
            Some(Held::CastReceiver(_, receiver)) => match receiver.recv() {
                Err(RecvError::Cancelled(cancelled)) => return Err(cancelled),
                received => word_of_received(received),
            },
            _ => unreachable!(),
        };
        Ok((word, None))
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        match (verb.0, hand.expect("an end")) {
            ("try send", Held::CastSender(sender)) => {
                let word = match sender.try_send(Item::new(verb.1, &self.items)) {
                    Ok(()) => Word("sent", 0),
                    Err(TrySendError::Full(item)) => Word("full", item.number),
                    Err(TrySendError::Closed(item)) => Word("closed", item.number),
                };
                (word, vec![Held::CastSender(sender)])
            }
            ("try recv", Held::CastReceiver(number, receiver)) => {
                let word = receiver.try_recv().map_or_else(tried, |item| Word("item", item.number));
                (word, vec![Held::CastReceiver(number, receiver)])
            }
            (_, hand) => act_alike!(CastSender, CastReceiver, verb, hand),
        }
    }

    fn part(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        part(hands, fresh)
    }

    fn arm<'a, 'h>(&'a self, verb: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        match hand {
            Some(Held::CastSender(sender)) if verb.0 == "closed" => arm.4.1 = Some(sender.closing()),
            Some(Held::CastSender(sender)) => arm.4.4 = Some(sender.sending(Item::new(verb.1, &self.items))),
            Some(Held::CastReceiver(_, receiver)) => arm.4.5 = Some(receiver.receiving()),
            _ => unreachable!(),
        }
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let spare = self.spare.as_ref()?;
        Some(vec![spare.len() as u64, spare.receiver_count() as u64, u64::from(spare.is_closed())])
    }
}

impl Thing for Broadcast<broadcast::LossySender<Item>> {
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        choose(hands, fresh)
    }

    fn wait<'a>(&'a self, _: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match hand {
            Some(Held::LossySender(sender)) => sender.closed().map(|()| (Word("ended", 0), None)),
            Some(Held::LossyReceiver(_, receiver)) => match receiver.recv() {
                Err(RecvError::Cancelled(cancelled)) => Err(cancelled),
                received => Ok((word_of_lossy(received), None)),
            },
            _ => unreachable!(),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        match (verb.0, hand.expect("an end")) {
            ("overwrite", Held::LossySender(sender)) => {
                let word = match sender.send(Item::new(verb.1, &self.items)) {
                    Ok(()) => Word("sent", 0),
                    Err(closed) => Word("closed", closed.0.number),
                };
                (word, vec![Held::LossySender(sender)])
            }
            ("try recv", Held::LossyReceiver(number, receiver)) => {
                let word = receiver.try_recv().map_or_else(tried, |received| word_of_lossy(Ok(received)));
                (word, vec![Held::LossyReceiver(number, receiver)])
            }
            (_, hand) => act_alike!(LossySender, LossyReceiver, verb, hand),
        }
    }

    fn part(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice> {
        part(hands, fresh)
    }

    fn arm<'a, 'h>(&'a self, _: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        match hand {
            Some(Held::LossySender(sender)) => arm.4.1 = Some(sender.closing()),
            Some(Held::LossyReceiver(_, receiver)) => arm.4.6 = Some(receiver.receiving()),
            _ => unreachable!(),
        }
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let spare = self.spare.as_ref()?;
        Some(vec![spare.len() as u64, spare.receiver_count() as u64, u64::from(spare.is_closed())])
    }
}

#[derive(Clone, Default)]
struct Place {
    items: VecDeque<u64>,
    /// How many items it missed since it last received.
    missed: u64,
}

struct BroadcastModel {
    capacity: usize,
    is_lossy: bool,
    senders: u64,
    receivers: BTreeMap<u64, Place>,
    is_closed: bool,
    has_ended: bool,
    sending: usize,
    receiving: usize,
    ending: usize,
}

impl BroadcastModel {
    fn new(furniture: &mut Furniture, capacity: usize, is_lossy: bool) -> BroadcastModel {
        BroadcastModel {
            capacity,
            is_lossy,
            senders: 0,
            receivers: BTreeMap::new(),
            is_closed: false,
            has_ended: false,
            sending: furniture.line(),
            receiving: furniture.line(),
            ending: furniture.line(),
        }
    }

    fn add(&mut self, furniture: &Furniture) -> u64 {
        let number = furniture.fresh();
        self.receivers.insert(number, Place::default());
        number
    }

    /// The ends that nobody was given are dropped.
    fn settle(&mut self) {
        self.is_closed = self.senders == 0;
        self.has_ended = self.is_closed || self.receivers.is_empty();
    }

    /// An item is kept for the slowest.
    fn len(&self) -> usize {
        self.receivers.values().map(|place| place.items.len()).max().unwrap_or(0)
    }

    fn send(&mut self, lines: &mut Lines, item: u64) -> Option<Word> {
        if self.has_ended {
            return Some(Word("closed", item));
        }
        let len = self.len();
        if len >= self.capacity {
            if !self.is_lossy {
                return None;
            }
            for place in self.receivers.values_mut().filter(|place| place.items.len() == len) {
                place.items.pop_front();
                place.missed += 1;
            }
        }
        self.deliver(lines, item);
        Some(Word("sent", 0))
    }

    fn deliver(&mut self, lines: &mut Lines, item: u64) {
        let mut given = BTreeSet::new();
        while let Some(first) = lines.wake(self.receiving, Word("item", item)) {
            given.insert(first.offer);
        }
        for (number, place) in &mut self.receivers {
            if !given.contains(number) {
                place.items.push_back(item);
            }
        }
    }

    fn receive(&mut self, lines: &mut Lines, receiver: u64) -> Option<Word> {
        let place = self.receivers.get_mut(&receiver).expect("it has not been dropped");
        match (std::mem::take(&mut place.missed), place.items.pop_front()) {
            (0, None) => self.is_closed.then_some(Word("closed", 0)),
            (0, Some(item)) => {
                self.give_room(lines);
                Some(Word("item", item))
            }
            (missed, next) => {
                next.into_iter().for_each(|next| place.items.push_front(next));
                Some(Word("lagged", missed))
            }
        }
    }

    fn give_room(&mut self, lines: &mut Lines) {
        while self.len() < self.capacity {
            let Some(next) = lines.wake(self.sending, Word("sent", 0)) else { return };
            self.deliver(lines, next.offer);
        }
    }

    fn end_sending(&mut self, lines: &mut Lines) {
        self.has_ended = true;
        lines.wake_all(self.ending, Word("ended", 0));
        while let Some(first) = lines.first(self.sending) {
            lines.grant(first, Word("closed", first.offer));
        }
    }

    fn close(&mut self, lines: &mut Lines) {
        self.is_closed = true;
        self.end_sending(lines);
        lines.wake_all(self.receiving, Word("look", 0));
    }
}

impl Model for BroadcastModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "send" | "overwrite" => return self.send(lines, verb.1),
            "try send" => return self.send(lines, verb.1).or(Some(Word("full", verb.1))),
            "recv" => return self.receive(lines, verb.1),
            "try recv" => return self.receive(lines, verb.1).or(Some(Word("empty", 0))),
            "closed" => return self.has_ended.then_some(Word("ended", 0)),
            "close" => self.close(lines),
            "clone sender" => self.senders += 1,
            "subscribe" => {
                self.has_ended = self.is_closed;
                self.receivers.insert(verb.1, Place::default());
            }
            "clone receiver" => {
                let place = self.receivers[&(verb.1 >> 32)].clone();
                self.receivers.insert(verb.1 & 0xffff_ffff, place);
            }
            "drop sender" => {
                self.senders -= 1;
                if self.senders == 0 {
                    self.close(lines);
                }
            }
            "drop receiver" => {
                self.receivers.remove(&verb.1);
                if self.receivers.is_empty() {
                    self.end_sending(lines);
                } else {
                    self.give_room(lines);
                }
            }
            other => unreachable!("{other}"),
        }
        Some(Word("done", 0))
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        match verb.0 {
            "closed" => (self.ending, 0),
            "send" => (self.sending, verb.1),
            _ => (self.receiving, verb.1),
        }
    }

    /// Whoever was given nothing tries again.
    fn leave(&mut self, _: &mut Lines, _: usize, _: Word, granted: Option<Word>) -> Option<Word> {
        granted.filter(|word| word.0 != "look")
    }

    fn seen(&self, _: &Lines) -> Vec<u64> {
        vec![self.len() as u64, self.receivers.len() as u64, u64::from(self.has_ended)]
    }
}
