//! Locks and other places where tasks meet. All of them serve those first who came first.
//!
//! - [`Mutex`]: one at a time.
//! - [`cross::Event`]: an event for tasks and threads, of several runtimes.

pub mod cross;
mod mutex;

pub use mutex::{Locking, Mutex, MutexGuard};
