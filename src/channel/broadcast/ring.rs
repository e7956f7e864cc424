//! What senders and receivers of a broadcast share: the items that somebody has still to receive, and where each receiver is.
//!
//! Words: items are numbered. A receiver's *position* is the number of the item that it receives next. The *head* is the number
//! of the first item that is kept, the *tail* that of the next to come.
//!
//! Invariants:
//! - An item is kept while receivers are left that have not received it; those of a later item are no fewer. In a ring that
//!   overwrites, the oldest goes sooner.
//! - A receiver that waits has its position at the tail. It is given the next item at once, and moves on before it runs.
//! - While senders wait there is no room, and somebody receives.
//! - No code of the user's runs while `state` is borrowed: items are cloned and dropped outside.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::channel::closing::End;
use crate::channel::error::{Closed, Lagged, RecvError, SendError, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{self, InLine, WaitList, Why};

/// An index of `positions`.
#[derive(Clone, Copy)]
pub struct Place(usize);

pub(super) struct Ring<T> {
    state: RefCell<State<T>>,
    capacity: usize,
    /// Woken with an item; with nothing, to look again. Each offers its place.
    pub(super) receivers: WaitList<Option<Rc<T>>, Place>,
    /// Woken when their item was taken, which is what they offer. They keep it when the channel has been closed.
    pub(super) senders: WaitList<(), T>,
    /// Nothing can be sent: it was closed for good, or nobody receives now.
    pub(super) end: End,
    is_closed: Cell<bool>,
    pub(super) sender_count: Cell<usize>,
    pub(super) receiver_count: Cell<usize>,
}

struct State<T> {
    kept: VecDeque<Kept<T>>,
    head: u64,
    positions: Vec<u64>,
    /// Of receivers that are gone.
    free_places: Vec<Place>,
}

struct Kept<T> {
    item: Rc<T>,
    /// How many receivers have not received it.
    left: usize,
}

/// What comes out of a ring that may overwrite.
pub(super) type Received<T> = Result<T, Lagged>;

impl<T> State<T> {
    fn tail(&self) -> u64 {
        self.head + self.kept.len() as u64
    }

    fn add_place(&mut self, position: u64) -> Place {
        match self.free_places.pop() {
            Some(place) => {
                self.positions[place.0] = position;
                place
            }
            None => {
                self.positions.push(position);
                Place(self.positions.len() - 1)
            }
        }
    }

    /// The items that come for a receiver at that position.
    fn ahead_of(&mut self, position: u64) -> impl Iterator<Item = &mut Kept<T>> {
        let received = position.saturating_sub(self.head) as usize;
        self.kept.iter_mut().skip(received)
    }

    fn pop(&mut self) -> Option<Rc<T>> {
        let kept = self.kept.pop_front()?;
        self.head += 1;
        Some(kept.item)
    }

    /// Takes out the items that everybody has received.
    fn pop_received(&mut self) -> Vec<Rc<T>> {
        let received = self.kept.iter().take_while(|kept| kept.left == 0).count();
        self.head += received as u64;
        self.kept.drain(..received).map(|kept| kept.item).collect()
    }
}

impl<T> Ring<T> {
    /// With one sender, and one receiver in the place that is returned.
    ///
    /// # Panics
    ///
    /// Without any capacity.
    #[track_caller]
    pub(super) fn new(capacity: usize) -> (Ring<T>, Place) {
        assert!(
            capacity > 0,
            "a broadcast needs room for one item at least: receivers come for it one after another"
        );
        let mut state =
            State { kept: VecDeque::new(), head: 0, positions: Vec::new(), free_places: Vec::new() };
        let place = state.add_place(0);
        let ring = Ring {
            state: RefCell::new(state),
            capacity,
            receivers: WaitList::new(),
            senders: WaitList::new(),
            end: End::new(),
            is_closed: Cell::new(false),
            sender_count: Cell::new(1),
            receiver_count: Cell::new(1),
        };
        (ring, place)
    }

    // Sending.

    #[track_caller]
    pub(super) fn send(&self, item: T) -> Result<(), SendError<T>> {
        if let Err(cancelled) = lowlevel::may_wait() {
            return Err(SendError::Cancelled(cancelled, item));
        }
        match self.try_send(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(item)) => Err(SendError::Closed(item)),
            Err(TrySendError::Full(item)) => match self.senders.wait_with(&Why::new("send"), item) {
                Ok(woken) => woken.offer.map_or(Ok(()), |item| Err(SendError::Closed(item))),
                Err((cancelled, item)) => Err(SendError::Cancelled(cancelled, item)),
            },
        }
    }

    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.end.has_come() {
            return Err(TrySendError::Closed(item));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(item));
        }
        self.deliver(item);
        Ok(())
    }

    /// Sends without waiting: the oldest item goes if there is no room.
    pub(super) fn overwrite(&self, item: T) -> Result<(), Closed<T>> {
        if self.end.has_come() {
            return Err(Closed(item));
        }
        let overwritten = match self.has_room() {
            true => None,
            false => self.state.borrow_mut().pop(),
        };
        self.deliver(item);
        drop(overwritten);
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.state.borrow().kept.len() < self.capacity
    }

    /// Gives an item to all who wait, and keeps it for the others. There must be room.
    fn deliver(&self, item: T) {
        let item = Rc::new(item);
        let mut state = self.state.borrow_mut();
        let number = state.tail();
        let mut left = self.receiver_count.get();
        while let Some(place) = self.receivers.first_offer() {
            // If two tasks wait for one receiver, the item is for the first of them.
            let position = &mut state.positions[place.0];
            let is_next = *position == number;
            if is_next {
                *position += 1;
                left -= 1;
            }
            let given = is_next.then(|| item.clone());
            let woken = self.receivers.wake_one(given);
            debug_assert!(woken.is_ok(), "whoever offers waits");
        }
        if left > 0 {
            state.kept.push_back(Kept { item, left });
        } else {
            // All have waited, so they have received all that was before.
            debug_assert!(state.kept.is_empty());
            state.head += 1;
        }
    }

    /// Room was made: it is for those who wait, in order.
    fn give_room(&self) {
        while self.has_room() {
            match self.senders.exchange(()) {
                Ok(item) => self.deliver(item),
                Err(()) => return,
            }
        }
    }

    pub(super) fn place_to_send(&self, item: T) -> InLine<'_, (), T> {
        self.senders.place(item)
    }

    // Receiving.

    #[track_caller]
    pub(super) fn recv(&self, place: Place) -> Result<Received<Rc<T>>, RecvError> {
        lowlevel::may_wait()?;
        loop {
            match self.try_recv(place) {
                Ok(received) => return Ok(received),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Empty) => {}
            }
            let woken =
                self.receivers.wait_with(&Why::new("recv"), place).map_err(|(cancelled, _)| cancelled)?;
            if let Some(item) = woken.value.flatten() {
                return Ok(Ok(item));
            }
        }
    }

    pub(super) fn try_recv(&self, place: Place) -> Result<Received<Rc<T>>, TryRecvError> {
        let mut state = self.state.borrow_mut();
        let (head, position) = (state.head, state.positions[place.0]);
        if position < head {
            state.positions[place.0] = head;
            return Ok(Err(Lagged(head - position)));
        }
        let Some(next) = state.kept.get_mut((position - head) as usize) else {
            return Err(if self.is_over() { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        next.left -= 1;
        let is_last = next.left == 0;
        let item = if is_last { None } else { Some(next.item.clone()) };
        state.positions[place.0] += 1;
        // Whoever is the last to receive an item has it to itself. All before it have been received.
        let item = item.or_else(|| state.pop()).expect("it is the first");
        drop(state);
        if is_last {
            self.give_room();
        }
        Ok(Ok(item))
    }

    pub(super) fn place_to_receive(&self, place: Place) -> InLine<'_, Option<Rc<T>>, Place> {
        self.receivers.place(place)
    }

    // Who takes part.

    /// One more receiver: of what is sent from now on.
    pub(super) fn subscribe(&self) -> Place {
        if !self.is_closed.get() {
            self.end.take_back();
        }
        self.receiver_count.set(self.receiver_count.get() + 1);
        let mut state = self.state.borrow_mut();
        let tail = state.tail();
        state.add_place(tail)
    }

    /// One more receiver, at the same position.
    pub(super) fn clone_receiver(&self, place: Place) -> Place {
        self.receiver_count.set(self.receiver_count.get() + 1);
        let mut state = self.state.borrow_mut();
        let position = state.positions[place.0];
        state.ahead_of(position).for_each(|kept| kept.left += 1);
        state.add_place(position)
    }

    /// One receiver less. What only it had still to receive goes.
    pub(super) fn drop_receiver(&self, place: Place) {
        self.receiver_count.set(self.receiver_count.get() - 1);
        let mut state = self.state.borrow_mut();
        let position = state.positions[place.0];
        state.ahead_of(position).for_each(|kept| kept.left -= 1);
        state.free_places.push(place);
        let received = state.pop_received();
        drop(state);
        if self.receiver_count.get() == 0 {
            self.end_sending();
        } else {
            self.give_room();
        }
        drop(received);
    }

    /// Nothing more can be sent. What is underway can be received.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.end_sending();
        while self.receivers.wake_one(None).is_ok() {}
    }

    /// Those who wait to send have their items back.
    fn end_sending(&self) {
        self.end.come();
        while self.senders.wake_one(()).is_ok() {}
    }

    /// Whether nothing will come any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many items are kept.
    pub(super) fn len(&self) -> usize {
        self.state.borrow().kept.len()
    }

    /// How many items a receiver can receive now.
    pub(super) fn len_for(&self, place: Place) -> usize {
        let state = self.state.borrow();
        (state.tail() - state.positions[place.0].max(state.head)) as usize
    }
}
