//! The two ends of a broadcast that loses nothing.

use std::fmt;
use std::rc::Rc;

use super::ring::{Place, Received, Ring};
use super::{any_receiver, any_sender};
use crate::channel::closing::Closing;
use crate::channel::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{Arm, InLine};

/// The end of a broadcast that items go into. Cloning makes another one; the channel is closed when all are gone.
pub struct Sender<T> {
    ring: Rc<Ring<T>>,
}

/// The end of a broadcast that every item comes out of. A clone gets what this one has still to receive; one that
/// [subscribes](Sender::subscribe) gets what is sent from then on.
///
/// Tasks that share a receiver get each item once between them: clone it for each.
pub struct Receiver<T> {
    ring: Rc<Ring<T>>,
    place: Place,
}

pub(super) fn pair<T>((ring, place): (Ring<T>, Place)) -> (Sender<T>, Receiver<T>) {
    let ring = Rc::new(ring);
    (Sender { ring: ring.clone() }, Receiver { ring, place })
}

impl<T> Sender<T> {
    /// Sends an item to every receiver, waiting for room if the slowest has left none.
    ///
    /// # Cancellation
    ///
    /// A send that fails has sent nothing.
    ///
    /// # Errors
    ///
    /// Nobody receives now, or the channel is closed, or the wait was cancelled; the item comes back.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.ring.send(item)
    }

    /// Sends an item if that needs no waiting. It works in callbacks, in destructors and outside of [`run`](crate::run)
    /// too.
    ///
    /// # Errors
    ///
    /// There is no room, or nobody receives now, or the channel is closed; the item comes back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.ring.try_send(item)
    }

    /// An arm that sends `item`, for [`select`](crate::select::select).
    ///
    /// Lend it, as `&mut arm`: then [`into_item`](Sending::into_item) gives the item back if another arm was chosen.
    pub fn sending(&self, item: T) -> Sending<'_, T> {
        Sending { ring: &self.ring, item: Some(item) }
    }

    /// Sends all items of an iterator, one after the other.
    ///
    /// # Errors
    ///
    /// As for [`send`](Sender::send), with the item that could not be sent.
    #[track_caller]
    pub fn send_all(&self, items: impl IntoIterator<Item = T>) -> Result<(), SendError<T>> {
        for item in items {
            self.send(item)?;
        }
        Ok(())
    }

    /// Whether there is no room for an item now.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity()
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next item, waiting for one if there is none.
    ///
    /// # Cancellation
    ///
    /// A receive that fails has taken nothing. One that was given an item before it was cancelled returns it.
    ///
    /// # Errors
    ///
    /// The channel is closed and all was received, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.ring.recv(self.place).map(item)
    }

    /// Receives the next item if there is one. It works in callbacks, in destructors and outside of [`run`](crate::run)
    /// too.
    ///
    /// # Errors
    ///
    /// No item is there now, or for ever.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.ring.try_recv(self.place).map(item)
    }
}

/// What comes out where nothing is overwritten.
fn item<T: Clone>(received: Received<Rc<T>>) -> T {
    Rc::unwrap_or_clone(received.expect("nobody overwrites"))
}

any_sender!(Sender, Receiver);
any_receiver!(Receiver, Receiving, Iter, IntoIter, TryIter, T, item);

/// An arm that sends: see [`Sender::sending`].
#[must_use = "nothing is sent until it is selected"]
pub struct Sending<'a, T> {
    ring: &'a Ring<T>,
    item: Option<T>,
}

impl<T> Sending<'_, T> {
    /// The item, if it was not sent.
    pub fn into_item(self) -> Option<T> {
        self.item
    }
}

impl<'a, T> Arm for Sending<'a, T> {
    type Output = Result<(), SendError<T>>;
    type Place = Option<InLine<'a, (), T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.ring.try_send(self.item.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Closed(item)) => Some(Err(SendError::Closed(item))),
            Err(TrySendError::Full(item)) => {
                self.item = Some(item);
                None
            }
        }
    }

    /// Once its item is gone it is never ready.
    fn place(&mut self) -> Self::Place {
        self.item.take().map(|item| self.ring.place_to_send(item))
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let woken = place?.into_woken(&self.ring.senders);
        match (woken.value, woken.offer) {
            (Some(()), None) => Some(Ok(())),
            (Some(()), Some(item)) => Some(Err(SendError::Closed(item))),
            (None, offer) => {
                self.item = offer;
                None
            }
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("send")
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("is_sent", &self.item.is_none()).finish()
    }
}
