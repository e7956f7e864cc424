//! What threads share, from std; or from loom, which tries out every order in which it can happen.
//!
//! Code that other threads reach takes its atomics and its waiting from here and from nowhere else, so that the models
//! in `tests/loom` explore the very files that the library is built of. `--cfg loom` chooses.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

/// Waiting in a thread.
pub(crate) mod thread {
    #[cfg(loom)]
    pub(crate) use loom::thread::{Thread, current, park};
    #[cfg(not(loom))]
    pub(crate) use std::thread::{Thread, current, park, park_timeout};

    /// Loom has no clock: for all that a model knows, the time is over whenever somebody else has run.
    #[cfg(loom)]
    pub(crate) fn park_timeout(_timeout: std::time::Duration) {
        loom::thread::yield_now();
    }
}
