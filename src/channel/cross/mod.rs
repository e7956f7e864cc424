//! Channels between threads: each end is used by tasks, which park, and by plain threads, which block.
//!
//! So they join several runtimes on several threads, and a pool of threads with a loop. What is here has the
//! names of [`channel`](crate::channel), and promises the same: first come, first served; what is handed to a receiver is
//! its own; what cannot be sent comes back. A method that waits finds out by itself whether it runs in a task or in a
//! thread without a runtime. In a callback of a runtime, which may do neither, it fails as every wait does.
//!
//! ```
//! use ropewalk::channel::cross;
//! use ropewalk::task;
//! use std::thread;
//!
//! let (to_pool, jobs) = cross::bounded::<(String, cross::oneshot::Sender<usize>)>(8);
//! let pool: Vec<_> = (0..2)
//!     .map(|_| {
//!         let jobs = jobs.clone();
//!         thread::spawn(move || {
//!             for (text, answer) in jobs {                       // Blocks this thread.
//!                 let _ = answer.send(text.len());
//!             }
//!         })
//!     })
//!     .collect();
//! drop(jobs);
//!
//! let lengths = ropewalk::run(|| {
//!     task::gather(["hemp", "sisal"].map(|word| {
//!         let to_pool = &to_pool;
//!         move || {
//!             let (sender, answer) = cross::oneshot();
//!             to_pool.send((word.to_owned(), sender)).unwrap();
//!             answer.recv().unwrap()                             // Parks this task.
//!         }
//!     }))
//! });
//! assert_eq!(lengths.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [4, 5]);
//! drop(to_pool);                                                 // Closes the channel: the threads end.
//! pool.into_iter().for_each(|thread| thread.join().unwrap());
//! ```
//!
//! Arms for [`select`](crate::select::select) are for tasks. While an arm waits, another thread may give it an item at the
//! moment at which its task chooses another arm: then the item goes to the next who waits, or stays in the channel.
//!
//! While a task waits here its runtime finds no deadlock, for a thread could wake it. A clock that is
//! [virtual](crate::Clock::Virtual) does not wait for threads: it jumps to the next deadline, whatever they are about to do.
//!
//! Within one runtime the channels of [`channel`](crate::channel) are several times faster, and may carry what is not `Send`.

mod arms;
mod ends;
mod error;
mod flow;
pub mod oneshot;
mod state;

pub use arms::{Receiving, Sending};
pub use ends::{IntoIter, Iter, Receiver, Sender, TryIter};
pub use error::{RecvTimeoutError, SendTimeoutError};
pub use oneshot::oneshot;

/// A channel that holds up to `capacity` items; whoever sends more waits until one is taken.
///
/// Without any capacity a send waits for its receiver: see [`rendezvous`].
///
/// ```
/// use ropewalk::channel::cross;
/// use std::thread;
///
/// let (sender, receiver) = cross::bounded(2);
/// thread::scope(|s| {
///     s.spawn(move || sender.send_all(1..=5).unwrap());          // A plain thread.
///     ropewalk::run(|| assert_eq!(receiver.iter().sum::<i32>(), 15));
/// });
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends::pair(capacity)
}

/// A channel that holds as many items as there is memory for: a send never waits.
///
/// ```
/// use ropewalk::channel::cross;
///
/// let (sender, receiver) = cross::unbounded();
/// sender.try_send("hemp").unwrap();
/// assert_eq!(receiver.recv(), Ok("hemp"));                       // In no runtime at all.
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends::pair(usize::MAX)
}

/// A channel that holds nothing: a send waits until somebody receives.
///
/// ```
/// use ropewalk::channel::cross;
/// use std::thread;
///
/// let (sender, receiver) = cross::rendezvous();
/// assert!(sender.try_send("nobody there").is_err());
/// thread::scope(|s| {
///     s.spawn(|| sender.send("here").unwrap());
///     assert_eq!(receiver.recv(), Ok("here"));
/// });
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    bounded(0)
}
