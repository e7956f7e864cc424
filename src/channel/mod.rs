//! Channels: values go from tasks to tasks, first come first served.
//!
//! - [`bounded`], [`unbounded`], [`rendezvous`]: many senders, many receivers, each item for one of them.
//! - [`cross`]: the same between threads, for tasks and for threads without any.
//!
//! What is sent belongs to the receiver that has waited longest, at once: nobody who comes later can take it, and a receiver
//! that is cancelled has not taken anything. What cannot be sent comes back in the error.
//!
//! ```
//! use ropewalk::{channel, task};
//!
//! ropewalk::run(|| {
//!     let (sender, receiver) = channel::bounded(2);
//!     task::spawn(move || {
//!         for number in 1..=5 {
//!             sender.send(number * number).unwrap();             // Waits while two are underway.
//!         }
//!     });                                                        // Dropping the last sender closes the channel.
//!     assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 4, 9, 16, 25]);
//! });
//! ```

pub mod broadcast;
mod closing;
pub mod cross;
mod ends;
mod error;
mod flow;
pub mod oneshot;
mod permit;
pub mod queue;
pub mod stream;
pub mod watch;

pub use broadcast::broadcast;
pub use closing::Closing;
pub use ends::{IntoIter, Iter, Receiver, Receiving, Sender, Sending, TryIter, WeakSender};
pub use error::{Closed, Lagged, RecvError, SendError, TryRecvError, TrySendError};
pub use flow::Statistics;
pub use oneshot::oneshot;
pub use permit::{Permit, Reserving};
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use stream::{Stream, stream};
pub use watch::watch;

use flow::Flow;

/// A channel that holds up to `capacity` items; whoever sends more waits until one is taken.
///
/// Without any capacity a send waits for its receiver: see [`rendezvous`].
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends::pair(Flow::new(capacity))
}

/// A channel that holds as many items as there is memory for: a send never waits.
///
/// ```
/// use ropewalk::channel;
///
/// let (sender, receiver) = channel::unbounded();
/// sender.try_send("hemp").unwrap();
/// assert_eq!(receiver.try_recv(), Ok("hemp"));
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends::pair(Flow::new(usize::MAX))
}

/// A channel that holds nothing: a send waits until somebody receives.
///
/// ```
/// use ropewalk::{channel, task};
///
/// ropewalk::run(|| {
///     let (sender, receiver) = channel::rendezvous();
///     assert!(sender.try_send("nobody there").is_err());
///     task::scope(|s| {
///         s.spawn(|| sender.send("here").unwrap());
///         assert_eq!(receiver.recv(), Ok("here"));
///     });
/// });
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    bounded(0)
}
