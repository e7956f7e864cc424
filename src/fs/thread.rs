//! What a ring does not do, or there is no ring for: a thread does it.

use std::io;

use crate::blocking::Unblock;
use crate::scheduler::lowlevel;

/// Whether this is a task, which can wait, and may not now; on a thread without a runtime calls block.
///
/// # Errors
///
/// [`Cancelled`](crate::Cancelled), as a wait would.
#[track_caller]
pub(super) fn is_in_task() -> io::Result<bool> {
    lowlevel::cross_may_wait()?;
    Ok(lowlevel::current_id().is_some())
}

/// Has a thread make the call, and parks until it has; where there is no task it is made here.
#[track_caller]
pub(super) fn on_thread<T: Send>(
    what: &'static str,
    call: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    Unblock::new().name(what).run(call)?
}

/// As [`on_thread`], for what may wait for others, and has no effect by itself: a cancellation does not wait for it.
#[track_caller]
pub(super) fn on_thread_or_abandon<T: Send + 'static>(
    what: &'static str,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    Unblock::new().name(what).run_or_abandon(call)?
}
