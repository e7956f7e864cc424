//! Cleaning up, in a way that may wait: destructors cannot.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::scheduler::{self, FrameKind, with_frame};

/// Runs `body`, then `cleanup`, whatever became of `body`; Python's `finally`.
///
/// `cleanup` runs outside of unwinding and under a [`shield`](super::shield): it may wait, also when `body` was cancelled or
/// has panicked. It should not wait for long for others: [`finally_within`] gives it a time.
/// It returns nothing, so that nothing of it is lost unseen: what fails in `cleanup` is dealt with inside of it, not by `?`.
///
/// ```
/// use ropewalk::{task, time};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let said_goodbye = Cell::new(false);
///     task::cancel_scope(|scope| {
///         scope.cancel();
///         task::finally(
///             || time::sleep(Duration::from_secs(1)),
///             || said_goodbye.set(time::sleep(Duration::from_millis(1)).is_ok()),
///         )
///     }).unwrap_err();
///     assert!(said_goodbye.get());
/// });
/// ```
///
/// # Panics
///
/// With the panic of `body`, after `cleanup`; one of `cleanup` goes to the runtime's hook then. Outside of
/// [`run`](crate::run).
#[track_caller]
pub fn finally<T>(body: impl FnOnce() -> T, cleanup: impl FnOnce()) -> T {
    run(body, None, cleanup)
}

/// As [`finally`]; after `grace` the waits of `cleanup` fail.
///
/// # Panics
///
/// As [`finally`].
#[track_caller]
pub fn finally_within<T>(grace: Duration, body: impl FnOnce() -> T, cleanup: impl FnOnce()) -> T {
    run(body, Some(grace), cleanup)
}

#[track_caller]
fn run<T>(body: impl FnOnce() -> T, grace: Option<Duration>, cleanup: impl FnOnce()) -> T {
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let cleaned = panic::catch_unwind(AssertUnwindSafe(|| {
        with_frame(FrameKind::Shield, |frame| {
            if let Some(grace) = grace {
                frame.set_deadline(scheduler::after(grace));
            }
            cleanup();
        });
    }));
    match (result, cleaned) {
        (Ok(value), Ok(())) => value,
        (Ok(_), Err(payload)) => panic::resume_unwind(payload),
        (Err(payload), cleaned) => {
            if let Err(another) = cleaned {
                scheduler::unhandled_panic(another);
            }
            panic::resume_unwind(payload)
        }
    }
}
