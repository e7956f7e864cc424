//! Limits: scopes with a deadline.

use std::time::{Duration, Instant};

use crate::clock::Nanos;
use crate::error::{Elapsed, Reason};
use crate::scheduler::{self, CancelScope, Frame, FrameKind, with_frame};

/// Runs `body`, whose waits fail once `limit` has passed; Python's `wait_for` and `timeout`.
///
/// ```
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let limit = Duration::from_millis(5);
///     assert_eq!(time::timeout(limit, || 42), Ok(42));
///     assert!(time::timeout(limit, || time::sleep(Duration::from_secs(3600))).is_err());
/// });
/// ```
///
/// # Cancellation
///
/// Only this deadline makes it `Elapsed`. If something outside was cancelled too, `body`'s own value is returned, and
/// whoever cancelled it will say so. Of nested timeouts that are both over, the outer one says `Elapsed`.
///
/// # Errors
///
/// [`Elapsed`], with what `body` returned, if a wait in it was cut short by the deadline. That need not be an error: a call [on a
/// thread](crate::blocking), and one that uses a file, may have done all the same what it was to do. [`Elapsed::into_inner`] tells. A `body` that
/// ends late without having waited has its value returned.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "wait_for")]
#[doc(alias = "fail_after")]
#[track_caller]
pub fn timeout<T>(limit: Duration, body: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    limited_by(limit, |frame| {
        let value = body();
        if is_over(frame) { Err(Elapsed(value)) } else { Ok(value) }
    })
}

/// As [`timeout`], with a moment for a limit.
///
/// # Errors
///
/// As for [`timeout`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn timeout_at<T>(deadline: Instant, body: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    limited_until(deadline, |frame| {
        let value = body();
        if is_over(frame) { Err(Elapsed(value)) } else { Ok(value) }
    })
}

/// Runs `body`, whose waits fail once `limit` has passed, and returns its value unless that happened; trio's
/// `move_on_after`.
///
/// The scope can also be cancelled by hand, and its deadline moved. Where a value must not be lost that comes too late there is [`timeout`].
///
/// ```
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let heard = time::move_on_after(Duration::from_millis(5), |_| {
///         time::sleep(Duration::from_secs(3600)).map(|()| "an answer")
///     });
///     assert_eq!(heard, None);
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn move_on_after<T>(limit: Duration, body: impl FnOnce(&CancelScope<'_>) -> T) -> Option<T> {
    limited_by(limit, |frame| {
        let value = body(&CancelScope::of(frame));
        (!frame.has_cut_short()).then_some(value)
    })
}

/// As [`move_on_after`], with a moment for a limit.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn move_on_at<T>(deadline: Instant, body: impl FnOnce(&CancelScope<'_>) -> T) -> Option<T> {
    limited_until(deadline, |frame| {
        let value = body(&CancelScope::of(frame));
        (!frame.has_cut_short()).then_some(value)
    })
}

/// The earliest deadline that the waits of the running task are under, up to the next shield; `None` if there is none,
/// and outside of tasks.
///
/// ```
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     assert_eq!(time::effective_deadline(), None);
///     let outer = time::now() + Duration::from_secs(1);
///     let _ = time::timeout_at(outer, || {
///         time::timeout(Duration::from_secs(60), || assert_eq!(time::effective_deadline(), Some(outer)))
///     });
/// });
/// ```
#[doc(alias = "current_effective_deadline")]
pub fn effective_deadline() -> Option<Instant> {
    scheduler::effective_deadline()
}

#[track_caller]
fn limited<R>(deadline: Nanos, body: impl FnOnce(&Frame) -> R) -> R {
    with_frame(FrameKind::Plain, |frame| {
        frame.set_deadline(deadline);
        body(frame)
    })
}

/// In a scope that is over at once, if there is no time at all.
#[track_caller]
fn limited_by<R>(limit: Duration, body: impl FnOnce(&Frame) -> R) -> R {
    limited(scheduler::after(limit), |frame| {
        if limit.is_zero() {
            frame.cancel(Reason::Deadline);
        }
        body(frame)
    })
}

/// In a scope that is over at once, if that moment has passed.
#[track_caller]
fn limited_until<R>(deadline: Instant, body: impl FnOnce(&Frame) -> R) -> R {
    limited(scheduler::moment(Some(deadline)), |frame| {
        if deadline <= scheduler::now() {
            frame.cancel(Reason::Deadline);
        }
        body(frame)
    })
}

/// Whether a wait has failed because of the frame's own deadline.
fn is_over(frame: &Frame) -> bool {
    frame.cancelled_itself() == Some(Reason::Deadline) && frame.has_cut_short()
}
