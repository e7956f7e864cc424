//! Sleeping.

use std::time::{Duration, Instant};

use crate::error::Cancelled;
use crate::scheduler;

/// Lets this task sleep for `delay`, while others run.
///
/// A delay of zero lets the others run that are ready, once.
///
/// ```
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let began = time::now();
///     time::sleep(Duration::from_millis(2)).unwrap();
///     assert!(time::now() - began >= Duration::from_millis(2));
/// });
/// ```
///
/// # Errors
///
/// [`Cancelled`]: the time may not have passed.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn sleep(delay: Duration) -> Result<(), Cancelled> {
    if delay.is_zero() {
        return scheduler::checkpoint();
    }
    scheduler::sleep_until(scheduler::after(delay))
}

/// Lets this task sleep until `deadline`; if that has passed, it lets the others run that are ready, once.
///
/// # Errors
///
/// [`Cancelled`]: the deadline may not have come.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Result<(), Cancelled> {
    if deadline <= scheduler::now() {
        return scheduler::checkpoint();
    }
    scheduler::sleep_until(scheduler::moment(Some(deadline)))
}
