//! One value, once, between threads: a promise that somebody else keeps.

use std::fmt;
use std::time::Duration;

use super::arms::Receiving;
use super::ends;
use super::error::RecvTimeoutError;
use crate::channel::{Closed, RecvError, TryRecvError, TrySendError};

/// The end that the value goes into. Dropped without having been used, it makes the receiver fail.
pub struct Sender<T> {
    sender: ends::Sender<T>,
}

/// The end that the value comes out of.
pub struct Receiver<T> {
    receiver: ends::Receiver<T>,
}

/// A channel for one value, which one task or thread sends and another one receives; Python's `concurrent.futures.Future`.
///
/// ```
/// use ropewalk::channel::cross;
/// use std::thread;
///
/// ropewalk::run(|| {
///     let (sender, receiver) = cross::oneshot();
///     thread::spawn(move || sender.send(6 * 7));
///     assert_eq!(receiver.recv(), Ok(42));                      // Other tasks run meanwhile.
/// });
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = ends::pair(1);
    (Sender { sender }, Receiver { receiver })
}

impl<T> Sender<T> {
    /// Gives the value to the receiver, without waiting. It works everywhere.
    ///
    /// # Errors
    ///
    /// The receiver is gone, or closed; the value comes back.
    #[doc(alias = "set_result")]
    pub fn send(self, value: T) -> Result<(), Closed<T>> {
        self.sender.try_send(value).map_err(TrySendError::into_inner).map_err(Closed)
    }

    /// Whether nobody will take the value.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Takes the value. If it is not there a task parks until it is, and a thread blocks.
    ///
    /// # Cancellation
    ///
    /// A wait that fails has taken nothing, and can be begun again. One that was given the value before it was cancelled
    /// returns it.
    ///
    /// # Errors
    ///
    /// The value cannot come: the sender was dropped, this was [closed](Receiver::close), or somebody has taken it. Or the
    /// wait was cancelled, which happens to tasks and in callbacks of a runtime only.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// As [`recv`](Receiver::recv), for no longer than `limit`: see [`recv_timeout`](ends::Receiver::recv_timeout) of other
    /// channels.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Receiver::recv), and when the time is over.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.receiver.recv_timeout(limit)
    }

    /// Takes the value if it is there. It works everywhere.
    ///
    /// # Errors
    ///
    /// The value is not there yet, or cannot come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// An arm that takes the value, for [`select`](crate::select::select) in a task.
    pub fn receiving(&self) -> Receiving<'_, T> {
        self.receiver.receiving()
    }

    /// Says that nobody waits for the value any more. What was sent before can still be taken.
    pub fn close(&self) {
        self.receiver.close();
    }

    /// Whether nothing will be sent any more. What was sent may be there.
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_closed", &self.is_closed()).finish()
    }
}
