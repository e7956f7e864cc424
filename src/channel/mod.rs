//! Channels: values go from tasks to tasks, first come first served.
//!
//! - [`bounded`], [`unbounded`], [`rendezvous`]: many senders, many receivers, each item for one of them.
//! - [`oneshot`](oneshot()): one value, once; a promise.
//! - [`broadcast`](broadcast()): each item for every receiver; [`broadcast::lossy`], where slow ones may miss some.
//! - [`watch`](watch()): the latest value, for all who look.
//! - [`Queue`], [`LifoQueue`], [`PriorityQueue`]: Python's, which also know what is done, and end by a shutdown.
//! - [`stream`](stream()): a generator in a task of its own.
//! - [`cross`]: the first four between threads, for tasks and for threads without any.
//!
//! Which one to take, what they promise, what `?` makes of their errors: the guide `docs/sync.md` in the repository.
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
//!
//! # Closing
//!
//! A channel is closed when all senders are gone, or all receivers, or when somebody [closes](Sender::close) it. Then nothing
//! can be sent any more, and what is underway can be received. Senders learn of it from their next send, or wait for it:
//! [`Sender::closed`].
//!
//! A channel that holds one of its own ends is closed by hand or never, as an `Rc` that holds itself is never dropped.
//! [`Sender::downgrade`] makes a sender that keeps nothing open.
//!
//! # What is not here, because it is somewhere else
//!
//! - Timeouts: [`time::timeout`](crate::time::timeout) limits whatever waits in it.
//! - Receiving several items at once: [`Receiver::recv`], then [`Receiver::try_iter`]. No other task runs in between.
//! - Making room for a newer item by force: [`broadcast::lossy`] does it, or whoever has a receiver at hand.

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
