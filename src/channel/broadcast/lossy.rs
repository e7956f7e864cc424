//! The two ends of a broadcast whose receivers may miss items, and are told so.

use std::fmt;
use std::rc::Rc;

use super::ring::{Place, Received, Ring};
use super::{any_receiver, any_sender};
use crate::channel::closing::Closing;
use crate::channel::error::{Closed, Lagged, RecvError, TryRecvError};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{Arm, InLine};

/// The end of a lossy broadcast that items go into. Cloning makes another one; the channel is closed when all are gone.
pub struct LossySender<T> {
    ring: Rc<Ring<T>>,
}

/// The end of a lossy broadcast that items come out of, or that so many were missed. A clone gets what this one has still to
/// receive.
///
/// Tasks that share a receiver get each item once between them: clone it for each.
pub struct LossyReceiver<T> {
    ring: Rc<Ring<T>>,
    place: Place,
}

/// A broadcast that keeps the latest `capacity` items: a send never waits, and overwrites the oldest.
///
/// A receiver to which an overwritten item was to go is told once how many it has missed, then goes on with the oldest that is
/// kept.
///
/// ```
/// use ropewalk::channel::{Lagged, broadcast};
///
/// ropewalk::run(|| {
///     let (sender, slow) = broadcast::lossy(2);
///     for number in 1..=5 {
///         sender.send(number).unwrap();
///     }
///     drop(sender);
///     assert_eq!(slow.iter().collect::<Vec<_>>(), [Err(Lagged(3)), Ok(4), Ok(5)]);
/// });
/// ```
///
/// # Panics
///
/// Without any capacity.
#[track_caller]
pub fn lossy<T>(capacity: usize) -> (LossySender<T>, LossyReceiver<T>) {
    let (ring, place) = Ring::new(capacity);
    let ring = Rc::new(ring);
    (LossySender { ring: ring.clone() }, LossyReceiver { ring, place })
}

impl<T> LossySender<T> {
    /// Sends an item to every receiver; if there is no room the oldest item goes. It never waits, and works in callbacks, in
    /// destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// Nobody receives now, or the channel is closed; the item comes back.
    pub fn send(&self, item: T) -> Result<(), Closed<T>> {
        self.ring.overwrite(item)
    }
}

impl<T: Clone> LossyReceiver<T> {
    /// Receives the next item, or that some were missed; waits if there is neither.
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
    pub fn recv(&self) -> Result<Result<T, Lagged>, RecvError> {
        self.ring.recv(self.place).map(item)
    }

    /// Receives the next item, or that some were missed, without waiting. It works in callbacks, in destructors and outside
    /// of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// No item is there now, or for ever.
    pub fn try_recv(&self) -> Result<Result<T, Lagged>, TryRecvError> {
        self.ring.try_recv(self.place).map(item)
    }
}

fn item<T: Clone>(received: Received<Rc<T>>) -> Result<T, Lagged> {
    received.map(Rc::unwrap_or_clone)
}

any_sender!(LossySender, LossyReceiver);
any_receiver!(
    LossyReceiver,
    LossyReceiving,
    LossyIter,
    LossyIntoIter,
    LossyTryIter,
    Result<T, Lagged>,
    item
);
