//! What tasks meet at, and what they have in their hands.

use std::cell::{Cell, RefCell};
use std::fmt;

use ropewalk::Cancelled;
use ropewalk::channel::queue::{self, Fifo, Lifo, SmallestFirst};
use ropewalk::channel::{self, broadcast, oneshot, watch};
use ropewalk::channel::{Closing, Receiver, Receiving, RecvError, Reserving, SendError, Sender, Sending};
use ropewalk::select::{Arm, Chosen};
use ropewalk::sync::{
    Acquiring, Borrowing, Limiter, Locking, MutexGuard, Permit, Reading, ReentrantLocking,
    ReentrantMutexGuard, RwLockReadGuard, RwLockWriteGuard, Semaphore, Token, WaitToken, WaitingAtBarrier,
    WaitingForValue, WaitingUntil, Writing,
};
use ropewalk::task::Joining;
use ropewalk::testing::random;
use ropewalk::time::Sleeping;

use super::item::Item;
use super::ledger::Word;
use super::{barrier, broadcasts, channels, helpers, limiter, mutex, reentrant, rw_lock, semaphore, watches};

/// One primitive, as it is.
pub(super) trait Thing {
    /// Something that a task can do now which has these in its hands. `fresh` is a number that nobody had.
    fn choose(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice>;

    /// Does something that may wait.
    fn wait<'a>(&'a self, verb: Word, hand: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled>;

    /// Does something that does not wait, with what is taken from the hands for it and given back, or not.
    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>);

    /// Something to wait for, with others. None if that cannot be.
    fn part(&self, hands: &[&Held<'_>], fresh: u64) -> Option<Choice>;

    fn arm<'a, 'h>(&'a self, verb: Word, hand: Option<&'h Held<'a>>) -> AnyArm<'a, 'h>;

    /// Has a value made if there is none. What came of it, if nobody had to make it.
    fn make(&self, _make: &mut dyn FnMut() -> Result<u64, Stopped>) -> Result<Word, Stopped> {
        unreachable!("nothing is made here")
    }

    /// What can be seen from outside, if anything can.
    fn seen(&self, seat: &dyn Fn(ropewalk::lowlevel::TaskId) -> u64) -> Option<Vec<u64>>;
}

/// What came of something, and what is in the hand now.
pub(super) type Got<'a> = (Word, Option<Held<'a>>);

/// Why no value was made.
pub(super) enum Stopped {
    Cut,
    GaveUp,
}

impl From<Cancelled> for Stopped {
    fn from(_: Cancelled) -> Stopped {
        Stopped::Cut
    }
}

/// What to do next.
pub(super) struct Choice {
    pub(super) verb: Word,
    /// With which of the hands that are for this.
    pub(super) hand: Option<usize>,
    pub(super) waits: bool,
    pub(super) makes: bool,
}

impl Choice {
    pub(super) fn waits(verb: &'static str, number: u64) -> Choice {
        Choice { verb: Word(verb, number), hand: None, waits: true, makes: false }
    }

    pub(super) fn acts(verb: &'static str, number: u64) -> Choice {
        Choice { verb: Word(verb, number), hand: None, waits: false, makes: false }
    }

    /// Does it in the middle of which others may be met: see [`Thing::make`].
    pub(super) fn makes(verb: &'static str) -> Choice {
        Choice { makes: true, ..Choice::waits(verb, 0) }
    }

    pub(super) fn with(self, hand: usize) -> Choice {
        Choice { hand: Some(hand), ..self }
    }
}

/// What a task has in its hand.
pub(super) enum Held<'a> {
    Lock(MutexGuard<'a, u64>),
    Reentrant(ReentrantMutexGuard<'a, Cell<u64>>),
    /// With what was read at first.
    Read(u64, RwLockReadGuard<'a, u64>),
    Write(RwLockWriteGuard<'a, u64>),
    Sender(Sender<Item>),
    Receiver(Receiver<Item>),
    Permit(Permit<&'a Semaphore>),
    Token(Token<&'a Limiter>),
    InFlight(WaitToken),
    Room(channel::Permit<'a, Item>),
    OneSender(oneshot::Sender<Item>),
    OneReceiver(oneshot::Receiver<Item>),
    WatchSender(watch::Sender<u64>),
    /// Receivers that have a place of their own have a number.
    WatchReceiver(u64, watch::Receiver<u64>),
    CastSender(broadcast::Sender<Item>),
    CastReceiver(u64, broadcast::Receiver<Item>),
    LossySender(broadcast::LossySender<Item>),
    LossyReceiver(u64, broadcast::LossyReceiver<Item>),
}

impl Held<'_> {
    /// How it is given back.
    pub(super) fn farewell(&self) -> Word {
        match self {
            Held::Lock(_) | Held::Reentrant(_) => Word("unlock", 0),
            Held::Read(..) => Word("end read", 0),
            Held::Write(_) => Word("end write", 0),
            Held::Sender(_)
            | Held::OneSender(_)
            | Held::WatchSender(_)
            | Held::CastSender(_)
            | Held::LossySender(_) => Word("drop sender", 0),
            Held::Receiver(_) | Held::OneReceiver(_) => Word("drop receiver", 0),
            Held::WatchReceiver(number, _)
            | Held::CastReceiver(number, _)
            | Held::LossyReceiver(number, _) => Word("drop receiver", *number),
            Held::Room(_) => Word("give room", 0),
            Held::Permit(permit) => Word("release", permit.count() as u64),
            Held::Token(_) => Word("give back", 0),
            Held::InFlight(_) => Word("land", 0),
        }
    }
}

/// Any of the arms there are: all but one are switched off.
pub(super) type AnyArm<'a, 'h> = (
    (Option<Sleeping>, Option<Joining<'a, u64>>, Option<Sending<'h, Item>>, Option<Receiving<'h, Item>>),
    (
        Option<Locking<'a, u64>>,
        Option<ReentrantLocking<'a, Cell<u64>>>,
        Option<Reading<'a, u64>>,
        Option<Writing<'a, u64>>,
    ),
    (Option<Acquiring<'a>>, Option<Borrowing<'a>>),
    (Option<WaitingUntil<'a>>, Option<WaitingAtBarrier<'a>>, Option<WaitingForValue<'a, u64>>),
    (
        Option<Reserving<'a, Item>>,
        Option<Closing<'h>>,
        Option<oneshot::Receiving<'h, Item>>,
        Option<watch::Changing<'h, u64>>,
        Option<broadcast::Sending<'h, Item>>,
        Option<broadcast::Receiving<'h, Item>>,
        Option<broadcast::LossyReceiving<'h, Item>>,
    ),
    (OfQueue<'a, Fifo>, OfQueue<'a, Lifo>, OfQueue<'a, SmallestFirst>),
);

type OfQueue<'a, O> = (
    Option<queue::Putting<'a, Item, O>>,
    Option<queue::Getting<'a, Item, O>>,
    Option<queue::Joining<'a, Item, O>>,
);

type Put = Result<(), SendError<Item>>;
type Gotten = Result<Item, RecvError>;

fn word_of_queue(chosen: Chosen<Put, Gotten, ()>) -> Word {
    match chosen {
        Chosen::First(put) => channels::word_of_sent(put),
        Chosen::Second(got) => channels::word_of_received(got),
        Chosen::Third(()) => Word("all done", 0),
    }
}

pub(super) fn got_of<'a>(chosen: <AnyArm<'a, '_> as Arm>::Output) -> Got<'a> {
    match chosen {
        Chosen::First(Chosen::First(())) => (Word("slept", 0), None),
        Chosen::First(Chosen::Second(joined)) => (helpers::word_of(joined), None),
        Chosen::First(Chosen::Third(sent)) => (channels::word_of_sent(sent), None),
        Chosen::First(Chosen::Fourth(received)) => (channels::word_of_received(received), None),
        Chosen::Second(Chosen::First(guard)) => mutex::got(guard),
        Chosen::Second(Chosen::Second(guard)) => reentrant::got(guard),
        Chosen::Second(Chosen::Third(guard)) => rw_lock::got_to_read(guard),
        Chosen::Second(Chosen::Fourth(guard)) => rw_lock::got_to_write(guard),
        Chosen::Third(Chosen::First(permit)) => semaphore::got(permit),
        Chosen::Third(Chosen::Second(token)) => limiter::got(token),
        Chosen::Fourth(Chosen::First(())) => (Word("open", 0), None),
        Chosen::Fourth(Chosen::Second(passed)) => (barrier::word_of(passed), None),
        Chosen::Fourth(Chosen::Third(value)) => (Word("value", *value), None),
        Chosen::Fifth(Chosen::First(reserved)) => channels::got_room(reserved),
        Chosen::Fifth(Chosen::Second(())) => (Word("ended", 0), None),
        Chosen::Fifth(Chosen::Third(received)) => (channels::word_of_received(received), None),
        Chosen::Fifth(Chosen::Fourth(seen)) => (watches::word_of(seen), None),
        Chosen::Fifth(Chosen::Fifth(sent)) => (channels::word_of_sent(sent), None),
        Chosen::Fifth(Chosen::Sixth(received)) => (channels::word_of_received(received), None),
        Chosen::Fifth(Chosen::Seventh(received)) => (broadcasts::word_of_lossy(received), None),
        Chosen::Sixth(Chosen::First(chosen)) => (word_of_queue(chosen), None),
        Chosen::Sixth(Chosen::Second(chosen)) => (word_of_queue(chosen), None),
        Chosen::Sixth(Chosen::Third(chosen)) => (word_of_queue(chosen), None),
    }
}

/// What was to be sent, and was not.
pub(super) fn left_in(arm: AnyArm<'_, '_>) -> Option<u64> {
    let sending = arm.0.2.and_then(Sending::into_item);
    let casting = arm.4.4.and_then(broadcast::Sending::into_item);
    let putting = arm.5.0.0.and_then(queue::Putting::into_item);
    let putting = putting.or(arm.5.1.0.and_then(queue::Putting::into_item));
    let putting = putting.or(arm.5.2.0.and_then(queue::Putting::into_item));
    sending.or(casting).or(putting).map(|item| item.number)
}

/// One of the hands that are for this.
pub(super) fn pick(hands: &[&Held<'_>], wanted: impl Fn(&Held<'_>) -> bool) -> Option<usize> {
    let fit: Vec<usize> = (0..hands.len()).filter(|&hand| wanted(hands[hand])).collect();
    (!fit.is_empty()).then(|| fit[random(fit.len())])
}

/// An arm that says when it is tried.
pub(super) struct Probed<'t, A> {
    pub(super) arm: A,
    pub(super) number: usize,
    /// Those that were tried since all of them waited last.
    pub(super) tried: &'t RefCell<Vec<usize>>,
}

impl<A: Arm> Arm for Probed<'_, A> {
    type Output = A::Output;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<A::Output> {
        self.tried.borrow_mut().push(self.number);
        self.arm.try_now()
    }

    fn place(&mut self) -> A::Place {
        self.tried.borrow_mut().clear();
        self.arm.place()
    }

    fn end(&mut self, place: A::Place) -> Option<A::Output> {
        self.arm.end(place)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arm.show(f)
    }
}
