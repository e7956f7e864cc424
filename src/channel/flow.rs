//! What both ends of a channel share: items underway, and two lines of those who wait.
//!
//! Words: *room* is what an item needs to be underway. A *permit* keeps room for an item that is to come.
//!
//! Invariants:
//! - While receivers wait there are no items. Whatever comes goes to the first of them.
//! - While senders wait there is no room. Whoever makes room gives it to the first of them. Without permits no senders
//!   wait while receivers do.
//! - No item is dropped, and nobody is woken, while `items` is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::closing::End;
use super::error::{Closed, RecvError, SendError, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{self, InLine, WaitList, Why, Woken};

/// Whoever waits to send offers the item, or nothing: then it waits for a permit.
pub(super) type Offer<T> = Option<T>;

pub(super) struct Flow<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    permits: Cell<usize>,
    /// Closed, or with permits: the only thing that those look at who go the short way.
    is_special: Cell<bool>,
    /// Woken with an item; with nothing when the channel has been closed.
    pub(super) receivers: WaitList<Option<T>>,
    /// Woken when what they offer was taken. They keep it when the channel has been closed.
    pub(super) senders: WaitList<(), Offer<T>>,
    pub(super) end: End,
    peak: Cell<usize>,
    pub(super) sender_count: Cell<usize>,
    pub(super) receiver_count: Cell<usize>,
}

/// Room for so many items is kept when a channel has been emptied. What a burst took beyond that is given back.
const KEPT: usize = 1024;

const RECV: &Why<'static> = &Why::new("recv");

/// What is going on in a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// Items underway.
    pub len: usize,
    /// The most items that can be underway; `None` if there is no limit.
    pub capacity: Option<usize>,
    /// The most items that were underway at a time.
    pub peak: usize,
    /// Permits that keep room for an item.
    pub permits: usize,
    /// Senders that have not been dropped.
    pub senders: usize,
    /// Receivers that have not been dropped.
    pub receivers: usize,
    /// Tasks that wait for room.
    pub waiting_to_send: usize,
    /// Tasks that wait for an item.
    pub waiting_to_receive: usize,
    /// Whether nothing can be sent any more.
    pub is_closed: bool,
}

impl<T> Flow<T> {
    pub(super) fn new(capacity: usize) -> Flow<T> {
        Flow {
            items: RefCell::default(),
            capacity,
            permits: Cell::new(0),
            is_special: Cell::new(false),
            receivers: WaitList::new(),
            senders: WaitList::new(),
            end: End::new(),
            peak: Cell::new(0),
            sender_count: Cell::new(1),
            receiver_count: Cell::new(1),
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn send(&self, item: T) -> Result<(), SendError<T>> {
        if let Err(cancelled) = lowlevel::may_wait() {
            return Err(SendError::Cancelled(cancelled, item));
        }
        match self.try_send(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(item)) => Err(SendError::Closed(item)),
            Err(TrySendError::Full(item)) => match self.senders.wait_with(&Why::new("send"), Some(item)) {
                Ok(woken) => sent(woken),
                Err((cancelled, offer)) => Err(SendError::Cancelled(cancelled, kept(offer))),
            },
        }
    }

    #[inline]
    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.is_special.get() {
            return self.try_send_specially(item);
        }
        match self.receivers.wake_one(Some(item)) {
            Ok(()) => Ok(()),
            Err(item) => {
                let mut items = self.items.borrow_mut();
                if items.len() >= self.capacity {
                    return Err(TrySendError::Full(kept(item)));
                }
                self.push_to(&mut items, kept(item));
                Ok(())
            }
        }
    }

    #[cold]
    fn try_send_specially(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.end.has_come() {
            return Err(TrySendError::Closed(item));
        }
        // Where permits keep the room, senders may wait although receivers do: they must not be passed.
        if !self.senders.is_empty() || (!self.has_room() && self.receivers.is_empty()) {
            return Err(TrySendError::Full(item));
        }
        self.deliver(item);
        Ok(())
    }

    fn has_room(&self) -> bool {
        // A permit keeps room that there was: the sum is no more than the capacity.
        self.items.borrow().len() + self.permits.get() < self.capacity
    }

    fn set_permits(&self, permits: usize) {
        self.permits.set(permits);
        self.is_special.set(permits > 0 || self.end.has_come());
    }

    #[inline(always)]
    fn push_to(&self, items: &mut VecDeque<T>, item: T) {
        items.push_back(item);
        self.peak.set(self.peak.get().max(items.len()));
    }

    #[inline]
    #[track_caller]
    pub(super) fn recv(&self) -> Result<T, RecvError> {
        // Where nothing is there to take, the wait itself sees whether it may: that is asked once.
        if !self.is_idle() {
            lowlevel::may_wait()?;
            match self.try_recv() {
                Ok(item) => return Ok(item),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Empty) => {}
            }
        }
        self.receivers.wait(RECV)?.ok_or(RecvError::Closed)
    }

    /// Whether the channel is open, nothing is underway, and so nobody waits to send. A rendezvous never says so, nor does one
    /// that has memory to give back.
    #[inline(always)]
    fn is_idle(&self) -> bool {
        let items = self.items.borrow();
        !self.is_special.get() && self.capacity > 0 && items.is_empty() && items.capacity() <= KEPT
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut items = self.items.borrow_mut();
        let Some(item) = items.pop_front() else {
            if items.capacity() > KEPT {
                items.shrink_to(KEPT);
            }
            drop(items);
            return self.recv_from_sender();
        };
        drop(items);
        // The room that this makes is for the first who waits.
        match self.senders.exchange(()) {
            Ok(Some(next)) => self.push_to(&mut self.items.borrow_mut(), next),
            Ok(None) => self.set_permits(self.permits.get() + 1),
            Err(()) => {}
        }
        Ok(item)
    }

    /// No item is underway: only in a rendezvous one may wait to be. Elsewhere senders wait for room, which permits keep.
    #[inline]
    fn recv_from_sender(&self) -> Result<T, TryRecvError> {
        if self.capacity == 0 {
            if let Ok(offer) = self.senders.exchange(()) {
                return Ok(kept(offer));
            }
        }
        Err(if self.end.has_come() { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    pub(super) fn place_to_send(&self, offer: Offer<T>) -> InLine<'_, (), Offer<T>> {
        self.senders.place(offer)
    }

    pub(super) fn place_to_receive(&self) -> InLine<'_, Option<T>> {
        self.receivers.place(())
    }

    // Permits.

    /// Waits for room and keeps it.
    ///
    /// # Panics
    ///
    /// In a rendezvous.
    #[track_caller]
    pub(super) fn reserve(&self) -> Result<(), SendError<()>> {
        self.assert_has_capacity();
        lowlevel::may_wait().map_err(|cancelled| SendError::Cancelled(cancelled, ()))?;
        match self.try_reserve() {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(())) => Err(SendError::Closed(())),
            Err(TrySendError::Full(())) => match self.senders.wait_with(&Why::new("room to send"), None) {
                Ok(woken) => reserved(woken),
                Err((cancelled, _)) => Err(SendError::Cancelled(cancelled, ())),
            },
        }
    }

    #[track_caller]
    pub(super) fn try_reserve(&self) -> Result<(), TrySendError<()>> {
        self.assert_has_capacity();
        if self.end.has_come() {
            return Err(TrySendError::Closed(()));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(()));
        }
        self.set_permits(self.permits.get() + 1);
        Ok(())
    }

    #[track_caller]
    pub(super) fn assert_has_capacity(&self) {
        assert!(
            self.capacity > 0,
            "a rendezvous holds nothing, so there is no room to reserve: send waits there"
        );
    }

    /// Sends an item for which a permit keeps room.
    pub(super) fn send_reserved(&self, item: T) -> Result<(), Closed<T>> {
        if self.end.has_come() {
            return Err(Closed(item));
        }
        self.deliver(item);
        Ok(())
    }

    /// Gives back the room that a permit kept, or that its item has now.
    pub(super) fn end_permit(&self) {
        self.set_permits(self.permits.get() - 1);
        while self.has_room() {
            match self.senders.exchange(()) {
                Ok(Some(item)) => self.deliver(item),
                Ok(None) => self.set_permits(self.permits.get() + 1),
                Err(()) => return,
            }
        }
    }

    /// For an item that may be underway.
    fn deliver(&self, item: T) {
        if let Err(item) = self.receivers.wake_one(Some(item)) {
            self.push_to(&mut self.items.borrow_mut(), kept(item));
        }
    }

    // Ends.

    /// Nothing more can be sent. Those who wait to send have their items back; what is underway can be received.
    pub(super) fn close(&self) {
        if self.end.come() {
            self.is_special.set(true);
            while self.senders.wake_one(()).is_ok() {}
            while self.receivers.wake_one(None).is_ok() {}
        }
    }

    /// Nobody receives any more.
    pub(super) fn abandon(&self) {
        self.close();
        let items = self.items.take();
        drop(items);
    }

    pub(super) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(super) fn is_full(&self) -> bool {
        !self.has_room()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            len: self.len(),
            capacity: self.capacity(),
            peak: self.peak.get(),
            permits: self.permits.get(),
            senders: self.sender_count.get(),
            receivers: self.receiver_count.get(),
            waiting_to_send: self.senders.len(),
            waiting_to_receive: self.receivers.len(),
            is_closed: self.end.has_come(),
        }
    }
}

/// What somebody has back who had something.
#[inline]
fn kept<T>(item: Option<T>) -> T {
    item.expect("it comes back as it was")
}

/// What became of somebody who waited to send.
#[inline]
pub(super) fn sent<T>(woken: Woken<(), Offer<T>>) -> Result<(), SendError<T>> {
    woken.offer.map_or(Ok(()), |offer| Err(SendError::Closed(kept(offer))))
}

/// What became of somebody who waited for a permit.
pub(super) fn reserved<T>(woken: Woken<(), Offer<T>>) -> Result<(), SendError<()>> {
    woken.offer.map_or(Ok(()), |_| Err(SendError::Closed(())))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Flow, KEPT};
    use crate::scheduler::{self, Options};

    #[test]
    fn memory_of_a_burst_is_given_back_when_all_was_received() {
        let burst = |flow: &Flow<usize>| {
            (0..100 * KEPT).for_each(|number| flow.try_send(number).unwrap());
            assert!(flow.items.borrow().capacity() >= 100 * KEPT);
        };
        let flow = Rc::new(Flow::new(usize::MAX));
        burst(&flow);
        while flow.try_recv().is_ok() {}
        assert!(flow.items.borrow().capacity() <= KEPT);
        burst(&flow);
        scheduler::run(|| {
            let ours = flow.clone();
            scheduler::spawn(move || while ours.recv().is_ok() {}, Options::default());
            while flow.receivers.is_empty() {
                scheduler::yield_now();
            }
            assert!(flow.items.borrow().capacity() <= KEPT);
            flow.close();
            scheduler::yield_now();
        });
    }

    #[test]
    fn memory_that_is_usual_is_kept() {
        let flow = Flow::new(usize::MAX);
        (0..10).for_each(|number| flow.try_send(number).unwrap());
        let usual = flow.items.borrow().capacity();
        while flow.try_recv().is_ok() {}
        assert_eq!(flow.items.borrow().capacity(), usual);
    }
}
