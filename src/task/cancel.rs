//! Cancelling a part of what a task does, and keeping a part from being cancelled.

use crate::scheduler::lowlevel;
use crate::scheduler::{CancelScope, FrameKind, with_frame};

/// Runs `body` in a scope of its own, which can be cancelled; trio's `CancelScope`.
///
/// Once it is, *every* wait in it fails, in this task and in those of the task scopes that were opened inside, until
/// `body` returns; except under a [`shield`]. What `body` returns is returned, cancelled or not.
///
/// ```
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let done = task::cancel_scope(|scope| {
///         scope.cancel();
///         time::sleep(Duration::from_secs(1)).is_ok()
///     });
///     assert!(!done);
///     time::sleep(Duration::from_millis(1)).unwrap();       // Outside, nothing is cancelled.
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "CancelScope")]
#[track_caller]
pub fn cancel_scope<T>(body: impl FnOnce(&CancelScope<'_>) -> T) -> T {
    with_frame(FrameKind::Plain, |frame| body(&CancelScope::of(frame)))
}

/// Runs `body` where no cancellation from outside reaches; Python's `shield`, but nothing is left behind.
///
/// For what must be done to the end: writing a last record, saying goodbye to a peer. What is cancelled outside fails
/// again when `body` has returned. A scope or a timeout that is opened inside works as ever: give the shield one, where
/// it waits for others.
///
/// ```
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     task::cancel_scope(|scope| {
///         scope.cancel();
///         task::shield(|| time::sleep(Duration::from_millis(1))).unwrap();
///         time::sleep(Duration::from_millis(1)).unwrap_err();
///     });
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn shield<T>(body: impl FnOnce() -> T) -> T {
    lowlevel::shield(body)
}
