//! What both ends of a channel share: items underway, and two lines of those who wait.
//!
//! Invariants:
//! - While receivers wait there are no items and no waiting senders: whatever comes goes to the first of them.
//! - While senders wait there is no room. Whoever makes room fills it with the item of the first of them.
//! - No item is dropped, and nobody is woken, while `items` is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{self, InLine, WaitList, Why, Woken};

pub(super) struct Flow<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    /// Woken with an item; with nothing when the channel has been closed.
    receivers: WaitList<Option<T>>,
    /// Woken when their item was taken, which is what they offer. They keep it when the channel has been closed.
    senders: WaitList<(), T>,
    is_closed: Cell<bool>,
    peak: Cell<usize>,
    pub(super) sender_count: Cell<usize>,
    pub(super) receiver_count: Cell<usize>,
}

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
            receivers: WaitList::new(),
            senders: WaitList::new(),
            is_closed: Cell::new(false),
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
            Err(TrySendError::Full(item)) => match self.senders.wait_with(&Why::new("send"), item) {
                Ok(woken) => sent(woken),
                Err((cancelled, item)) => Err(SendError::Cancelled(cancelled, item)),
            },
        }
    }

    #[inline]
    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.is_closed.get() {
            return Err(TrySendError::Closed(item));
        }
        match self.receivers.wake_one(Some(item)) {
            Ok(()) => Ok(()),
            Err(item) => {
                let item = item.expect("it comes back as it was");
                if self.items.borrow().len() >= self.capacity {
                    return Err(TrySendError::Full(item));
                }
                self.push(item);
                Ok(())
            }
        }
    }

    #[inline]
    fn push(&self, item: T) {
        let mut items = self.items.borrow_mut();
        items.push_back(item);
        self.peak.set(self.peak.get().max(items.len()));
    }

    #[inline]
    #[track_caller]
    pub(super) fn recv(&self) -> Result<T, RecvError> {
        lowlevel::may_wait()?;
        match self.try_recv() {
            Ok(item) => Ok(item),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => self.receivers.wait(&Why::new("recv"))?.ok_or(RecvError::Closed),
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let item = self.items.borrow_mut().pop_front();
        // The room that this makes, or that a rendezvous needs, is for the first who waits.
        match (item, self.senders.exchange(())) {
            (Some(item), Ok(next)) => {
                self.push(next);
                Ok(item)
            }
            (Some(item), Err(())) | (None, Ok(item)) => Ok(item),
            (None, Err(())) if self.is_closed.get() => Err(TryRecvError::Closed),
            (None, Err(())) => Err(TryRecvError::Empty),
        }
    }

    pub(super) fn place_to_send(&self, item: T) -> InLine<'_, (), T> {
        self.senders.place(item)
    }

    pub(super) fn place_to_receive(&self) -> InLine<'_, Option<T>> {
        self.receivers.place(())
    }

    /// Nothing more can be sent. Those who wait to send have their items back; what is underway can be received.
    pub(super) fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        while self.senders.wake_one(()).is_ok() {}
        while self.receivers.wake_one(None).is_ok() {}
    }

    /// Nobody receives any more.
    pub(super) fn abandon(&self) {
        self.close();
        let items = self.items.take();
        drop(items);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            len: self.len(),
            capacity: self.capacity(),
            peak: self.peak.get(),
            senders: self.sender_count.get(),
            receivers: self.receiver_count.get(),
            waiting_to_send: self.senders.len(),
            waiting_to_receive: self.receivers.len(),
            is_closed: self.is_closed.get(),
        }
    }
}

/// What became of somebody who waited to send.
#[inline]
pub(super) fn sent<T>(woken: Woken<(), T>) -> Result<(), SendError<T>> {
    woken.offer.map_or(Ok(()), |item| Err(SendError::Closed(item)))
}
