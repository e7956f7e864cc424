//! What lies behind the mutex of a channel, and every decision about it. Nothing here waits, wakes, or drops an item.
//!
//! Words: a waiter is *called* when it is its turn: it is taken out of its line, and its ticket goes out to be woken. What it
//! was called for is set aside until it comes, and *claims* or *declines* that. For a receiver this is an item; which one
//! does not matter, for they come out in their order. For the arm of a `select` that sends, it is room. A plain sender
//! leaves its item in the line, and has sent it when it is called; it comes for what a closed channel has returned.
//!
//! Only arms decline: when they are called, another arm may have been chosen.
//!
//! Invariants, whenever the mutex is free:
//! - While a receiver waits, every item is set aside for others.
//! - While a sender waits there is no room for it. A receiver that waits is room, but not for its own task.
//! - Once closed no sender waits. Once closed and empty no receiver does either.

use std::collections::{BTreeMap, VecDeque};

use crate::channel::{Statistics, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{CrossLine, CrossTicket, CrossWaiter};

pub(super) struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    receivers: CrossLine,
    /// How many receivers were called and have not come yet: so many items are set aside.
    called_receivers: usize,
    /// With their items; arms keep theirs.
    senders: CrossLine<Option<T>>,
    /// How many arms that send were called and have not come yet: so much room is set aside.
    called_senders: usize,
    /// Items of senders that waited when the channel was closed, by their numbers.
    returned: BTreeMap<u64, T>,
    is_closed: bool,
    peak: usize,
    pub(super) sender_count: usize,
    pub(super) receiver_count: usize,
}

/// Tickets of those who were called, to be woken when the mutex is free again.
#[derive(Default)]
#[must_use = "whoever was called has to be woken"]
pub(super) struct Calls {
    /// Most often there is one, for which nothing is allocated.
    first: Option<CrossTicket>,
    more: Vec<CrossTicket>,
}

impl Calls {
    fn add(&mut self, ticket: CrossTicket) {
        match &self.first {
            None => self.first = Some(ticket),
            Some(_) => self.more.push(ticket),
        }
    }

    #[inline]
    pub(super) fn wake(self) {
        // Nobody waits while all are busy.
        if let Some(first) = self.first {
            first.wake();
            self.more.into_iter().for_each(CrossTicket::wake);
        }
    }
}

impl<T> State<T> {
    pub(super) const fn new(capacity: usize) -> State<T> {
        State {
            items: VecDeque::new(),
            capacity,
            receivers: CrossLine::new(),
            called_receivers: 0,
            senders: CrossLine::new(),
            called_senders: 0,
            returned: BTreeMap::new(),
            is_closed: false,
            peak: 0,
            sender_count: 1,
            receiver_count: 1,
        }
    }

    // Without waiting.

    pub(super) fn try_send(&mut self, item: T, calls: &mut Calls) -> Result<(), TrySendError<T>> {
        if self.is_closed {
            return Err(TrySendError::Closed(item));
        }
        if !self.has_room(self.receivers.len()) {
            return Err(TrySendError::Full(item));
        }
        self.items.push_back(item);
        self.settle(calls);
        Ok(())
    }

    /// Passes nobody who waits.
    pub(super) fn try_recv(&mut self, calls: &mut Calls) -> Result<T, TryRecvError> {
        self.take(false, calls)
    }

    /// Passes arms that wait for a receiver, for nobody knows when they come.
    pub(super) fn try_recv_now(&mut self, calls: &mut Calls) -> Result<T, TryRecvError> {
        self.take(true, calls)
    }

    /// An item that is here, else one of a sender that waits.
    fn take(&mut self, passing_arms: bool, calls: &mut Calls) -> Result<T, TryRecvError> {
        if self.len() > 0 {
            let item = self.items.remove(self.called_receivers).expect("more are here than are set aside");
            self.settle(calls);
            return Ok(item);
        }
        match self.sender_to_take_from(passing_arms).and_then(|index| self.senders.remove_at(index)) {
            Some(CrossWaiter { ticket, offer, .. }) => {
                calls.add(ticket);
                Ok(offer.expect("it was looked for by its item"))
            }
            None if self.is_closed && self.items.is_empty() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    fn sender_to_take_from(&self, passing_arms: bool) -> Option<usize> {
        // A receiver that waits goes before whoever comes now.
        if !self.receivers.is_empty() {
            return None;
        }
        let to_look_at = if passing_arms { usize::MAX } else { 1 };
        self.senders.iter().take(to_look_at).position(|sender| sender.offer.is_some())
    }

    // Receivers that wait.

    /// The receiver's number in the line. It may be called at once.
    pub(super) fn enter_receiver(&mut self, ticket: CrossTicket, calls: &mut Calls) -> u64 {
        let number = self.receivers.push(ticket, ());
        self.settle(calls);
        number
    }

    pub(super) fn is_receiver_called(&self, number: u64) -> bool {
        !self.receivers.contains(number)
    }

    /// `None` if it was called before.
    pub(super) fn leave_receiver(&mut self, number: u64) -> Option<CrossTicket> {
        self.receivers.remove(number).map(|receiver| receiver.ticket)
    }

    /// What it was called for: an item, or to hear that none will come.
    pub(super) fn claim_item(&mut self, calls: &mut Calls) -> Option<T> {
        self.called_receivers -= 1;
        let item = self.items.pop_front();
        self.settle(calls);
        item
    }

    pub(super) fn decline_item(&mut self, calls: &mut Calls) {
        self.called_receivers -= 1;
        self.settle(calls);
    }

    // Senders that wait.

    /// The sender's number in the line. It may be called at once.
    pub(super) fn enter_sender(&mut self, ticket: CrossTicket, item: Option<T>, calls: &mut Calls) -> u64 {
        let number = self.senders.push(ticket, item);
        self.settle(calls);
        number
    }

    pub(super) fn is_sender_called(&self, number: u64) -> bool {
        !self.senders.contains(number)
    }

    /// With its item. `None` if it was called before.
    pub(super) fn leave_sender(&mut self, number: u64) -> Option<CrossWaiter<Option<T>>> {
        self.senders.remove(number)
    }

    /// The item of a plain sender that was called, if the channel has returned it.
    pub(super) fn claim_returned(&mut self, number: u64) -> Option<T> {
        self.returned.remove(&number)
    }

    /// Sends the item of an arm that was called. There is no room if the receiver that was the room has gone.
    pub(super) fn claim_room(&mut self, item: T, calls: &mut Calls) -> Result<(), TrySendError<T>> {
        self.called_senders -= 1;
        self.try_send(item, calls)
    }

    pub(super) fn decline_room(&mut self, calls: &mut Calls) {
        self.called_senders -= 1;
        self.settle(calls);
    }

    // Closing.

    /// Nothing more can be sent; what is underway can be received.
    pub(super) fn close(&mut self, calls: &mut Calls) {
        self.is_closed = true;
        self.settle(calls);
    }

    /// Nobody receives any more: gives what is underway.
    pub(super) fn abandon(&mut self, calls: &mut Calls) -> VecDeque<T> {
        self.close(calls);
        std::mem::take(&mut self.items)
    }

    // Who is next.

    /// Calls all whose turn it is.
    fn settle(&mut self, calls: &mut Calls) {
        while self.call_receiver(calls) || self.call_sender(calls) {}
        self.peak = self.peak.max(self.len());
    }

    fn call_receiver(&mut self, calls: &mut Calls) -> bool {
        // That an item is set aside does not mean that it will be taken: it is not the end for the others.
        let is_over = self.is_closed && self.items.is_empty();
        if self.len() == 0 && !is_over {
            return false;
        }
        let Some(receiver) = self.receivers.pop() else { return false };
        self.called_receivers += 1;
        calls.add(receiver.ticket);
        true
    }

    fn call_sender(&mut self, calls: &mut Calls) -> bool {
        let Some(index) = self.next_sender() else { return false };
        let sender = self.senders.remove_at(index).expect("it is in the line");
        match sender.offer {
            Some(item) if self.is_closed => drop(self.returned.insert(sender.number, item)),
            Some(item) => self.items.push_back(item),
            None => self.called_senders += 1,
        }
        calls.add(sender.ticket);
        true
    }

    /// The first sender that there is room for; none is needed to hear that the channel is closed.
    fn next_sender(&self) -> Option<usize> {
        if self.is_closed {
            return (!self.senders.is_empty()).then_some(0);
        }
        if !self.has_room(self.receivers.len()) {
            return None;
        }
        self.senders
            .iter()
            .position(|sender| sender.offer.is_some() || self.has_room(self.others_than(sender)))
    }

    /// Receivers that do not wait in the same `select` as the sender: with itself it could not agree.
    fn others_than(&self, sender: &CrossWaiter<Option<T>>) -> usize {
        self.receivers.iter().filter(|receiver| !receiver.ticket.is_of_same_task(&sender.ticket)).count()
    }

    /// Where so many receivers wait.
    fn has_room(&self, receivers: usize) -> bool {
        self.len() + self.called_senders < self.capacity.saturating_add(receivers)
    }

    // What can be told.

    /// Items that are set aside for nobody.
    pub(super) fn len(&self) -> usize {
        self.items.len().saturating_sub(self.called_receivers)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            len: self.len(),
            capacity: self.capacity(),
            peak: self.peak,
            senders: self.sender_count,
            receivers: self.receiver_count,
            permits: 0,
            waiting_to_send: self.senders.len(),
            waiting_to_receive: self.receivers.len(),
            is_closed: self.is_closed,
        }
    }
}
