//! The two ends of a channel between threads. Both can be cloned, sent and shared.

use std::fmt;
use std::time::Duration;

use super::arms::{Receiving, Sending};
use super::error::{RecvTimeoutError, SendTimeoutError};
use super::flow::Flow;
use crate::channel::{RecvError, SendError, Statistics, TryRecvError, TrySendError};
use crate::primitive::Arc;

/// The end of a channel that items go into, for tasks and threads. Cloning makes another one; the channel is closed when all
/// are gone.
pub struct Sender<T> {
    flow: Arc<Flow<T>>,
}

/// The end of a channel that items come out of, for tasks and threads. Cloning makes another one; each item goes to one of
/// them.
///
/// It can be iterated over, by reference or by value: that ends when the channel is closed and empty, and when the task is
/// cancelled, which the next wait will tell.
pub struct Receiver<T> {
    flow: Arc<Flow<T>>,
}

pub(super) fn pair<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let flow = Arc::new(Flow::new(capacity));
    (Sender { flow: flow.clone() }, Receiver { flow })
}

impl<T> Sender<T> {
    /// Sends an item. If there is no room, a task parks until there is, and a thread blocks.
    ///
    /// # Cancellation
    ///
    /// A send that fails has sent nothing.
    ///
    /// # Errors
    ///
    /// The channel is closed, or the wait was cancelled, which happens to tasks and in callbacks of a runtime only; the item
    /// comes back.
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.flow.send(item, None).map_err(SendTimeoutError::without_limit)
    }

    /// As [`send`](Sender::send), for no longer than `limit`.
    ///
    /// A thread has no scopes that could be cancelled: this is what it has instead of [`timeout`](crate::time::timeout).
    /// In a task it does what that would, by the runtime's clock.
    ///
    /// # Errors
    ///
    /// As for [`send`](Sender::send), and when the time is over.
    #[track_caller]
    pub fn send_timeout(&self, item: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.flow.send(item, Some(limit))
    }

    /// Sends an item if that needs no waiting. It works everywhere.
    ///
    /// # Errors
    ///
    /// There is no room, or the channel is closed; the item comes back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.flow.try_send(item)
    }

    /// An arm that sends `item`, for [`select`](crate::select::select) in a task.
    ///
    /// Lend it, as `&mut arm`: then [`into_item`](Sending::into_item) gives the item back if another arm was chosen.
    pub fn sending(&self, item: T) -> Sending<'_, T> {
        Sending::new(&self.flow, item)
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

    /// Closes the channel for all senders: what is underway can still be received.
    pub fn close(&self) {
        self.flow.close();
    }
}

impl<T> Receiver<T> {
    /// Receives the next item. If there is none, a task parks until there is, and a thread blocks.
    ///
    /// # Cancellation
    ///
    /// A receive that fails has taken nothing. One that was given an item before it was cancelled returns it.
    ///
    /// # Errors
    ///
    /// The channel is closed and empty, or the wait was cancelled, which happens to tasks and in callbacks of a runtime
    /// only.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.flow.recv(None).map_err(RecvTimeoutError::without_limit)
    }

    /// As [`recv`](Receiver::recv), for no longer than `limit`.
    ///
    /// A thread has no scopes that could be cancelled: this is what it has instead of [`timeout`](crate::time::timeout).
    /// In a task it does what that would, by the runtime's clock.
    ///
    /// ```
    /// use ropewalk::channel::cross::{self, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = cross::unbounded::<()>();
    /// let limit = Duration::from_millis(1);
    /// assert_eq!(receiver.recv_timeout(limit), Err(RecvTimeoutError::Elapsed));
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(limit), Err(RecvTimeoutError::Closed));
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`recv`](Receiver::recv), and when the time is over.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.flow.recv(Some(limit))
    }

    /// Receives the next item if there is one. It works everywhere.
    ///
    /// # Errors
    ///
    /// The channel is empty now, or for ever.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.flow.with(|state, calls| state.try_recv_now(calls))
    }

    /// An arm that receives an item, for [`select`](crate::select::select) in a task; it gives [`RecvError::Closed`] when
    /// nothing can come.
    ///
    /// What it was given when another arm had been chosen already, it gives to the next receiver; if there is none, that
    /// stays in the channel, beyond its capacity if need be.
    pub fn receiving(&self) -> Receiving<'_, T> {
        Receiving::new(&self.flow)
    }

    /// The items to come, until the channel is closed and empty or the task is cancelled.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The items that are there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Closes the channel: nothing more can be sent, what is underway can still be received.
    pub fn close(&self) {
        self.flow.close();
    }
}

/// What both ends can tell. Other threads may have changed it when the answer is there.
macro_rules! both_ends {
    ($end:ident, $count:ident, $last:ident) => {
        impl<T> $end<T> {
            /// How many items are underway, without those that a receiver was given and is about to take.
            pub fn len(&self) -> usize {
                self.flow.with(|state, _| state.len())
            }

            /// Whether no item is underway.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room for an item now.
            pub fn is_full(&self) -> bool {
                self.flow.with(|state, _| state.capacity().is_some_and(|capacity| state.len() >= capacity))
            }

            /// How many items can be underway; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                self.flow.with(|state, _| state.capacity())
            }

            /// Whether nothing can be sent any more.
            pub fn is_closed(&self) -> bool {
                self.flow.with(|state, _| state.is_closed())
            }

            /// What is going on in the channel.
            pub fn statistics(&self) -> Statistics {
                self.flow.with(|state, _| state.statistics())
            }

            /// Whether both are ends of one channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.flow, &other.flow)
            }
        }

        impl<T> Clone for $end<T> {
            fn clone(&self) -> Self {
                self.flow.with(|state, _| state.$count += 1);
                $end { flow: self.flow.clone() }
            }
        }

        impl<T> Drop for $end<T> {
            fn drop(&mut self) {
                // What comes out of it is dropped when the mutex is free.
                let _items = self.flow.with(|state, calls| {
                    state.$count -= 1;
                    (state.$count == 0).then(|| state.$last(calls))
                });
            }
        }

        impl<T> fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let now = self.statistics();
                let mut shown = f.debug_struct(stringify!($end));
                shown.field("len", &now.len).field("capacity", &now.capacity);
                shown.field("is_closed", &now.is_closed).finish()
            }
        }
    };
}

both_ends!(Sender, sender_count, close);
both_ends!(Receiver, receiver_count, abandon);

/// The items to come: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The items to come, of a receiver that it owns.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

/// The items that are there: see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
