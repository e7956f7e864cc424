//! A channel for one item.

use std::fmt;
use std::time::Duration;

use super::arms::Receiving;
use super::ends::{Receiver, Sender, pair};
use super::error::RecvTimeoutError;
use crate::channel::{RecvError, TryRecvError, TrySendError};

/// A channel for one item, which one task or thread sends and another one receives.
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
pub fn oneshot<T>() -> (OneSender<T>, OneReceiver<T>) {
    let (sender, receiver) = pair(1);
    (OneSender { sender }, OneReceiver { receiver })
}

/// The end of a [`oneshot`] channel that its item goes into. Dropping it says that none will come.
pub struct OneSender<T> {
    sender: Sender<T>,
}

/// The end of a [`oneshot`] channel that its item comes out of.
pub struct OneReceiver<T> {
    receiver: Receiver<T>,
}

impl<T> OneSender<T> {
    /// Sends the item, without waiting. It works everywhere.
    ///
    /// # Errors
    ///
    /// The receiver is gone or has closed the channel: the item comes back.
    pub fn send(self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(TrySendError::into_inner)
    }

    /// Whether nobody will receive.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl<T> OneReceiver<T> {
    /// Receives the item. If it is not there a task parks until it is, and a thread blocks.
    ///
    /// # Cancellation
    ///
    /// A receive that fails has taken nothing, and can be tried again.
    ///
    /// # Errors
    ///
    /// The sender is gone, or the item has been received already: the channel is closed. Or the wait was cancelled, which
    /// happens to tasks and in callbacks of a runtime only.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// As [`recv`](OneReceiver::recv), for no longer than `limit`: see [`Receiver::recv_timeout`].
    ///
    /// # Errors
    ///
    /// As for [`recv`](OneReceiver::recv), and when the time is over.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.receiver.recv_timeout(limit)
    }

    /// Receives the item if it is there. It works everywhere.
    ///
    /// # Errors
    ///
    /// It is not there now, or will never be.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// An arm that receives the item, for [`select`](crate::select::select) in a task.
    pub fn receiving(&self) -> Receiving<'_, T> {
        self.receiver.receiving()
    }

    /// Nothing can be sent from now on. What was sent before can still be received.
    pub fn close(&self) {
        self.receiver.close();
    }
}

impl<T> fmt::Debug for OneSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneSender").field("is_closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for OneReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.receiver.statistics();
        f.debug_struct("OneReceiver")
            .field("is_sent", &(now.len > 0))
            .field("is_closed", &now.is_closed)
            .finish()
    }
}
