//! Locks and other places where tasks meet. All of them serve those first who came first.
//!
//! - [`Mutex`]: one at a time.

mod mutex;

pub use mutex::{Locking, Mutex, MutexGuard};
