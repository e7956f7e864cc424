//! Sleeping.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Cancelled;
use crate::scheduler;
use crate::scheduler::lowlevel::{Arm, AtTime};

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

/// An arm that waits until `delay` from now has passed, for [`select`](crate::select::select).
///
/// The delay counts from this call: used in one select after another, it limits them together.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn sleeping(delay: Duration) -> Sleeping {
    Sleeping { deadline: scheduler::moment_as_instant(scheduler::after(delay)) }
}

/// An arm that waits until `deadline`, for [`select`](crate::select::select).
pub fn sleeping_until(deadline: Instant) -> Sleeping {
    Sleeping { deadline }
}

/// An arm that waits for a moment: see [`sleeping`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Sleeping {
    deadline: Instant,
}

impl Sleeping {
    /// Until when.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Arm for Sleeping {
    type Output = ();
    type Place = AtTime;

    fn try_now(&mut self) -> Option<()> {
        (scheduler::now() >= self.deadline).then_some(())
    }

    fn place(&mut self) -> AtTime {
        AtTime::new(self.deadline)
    }

    fn end(&mut self, place: AtTime) -> Option<()> {
        place.has_come().then_some(())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sleep")
    }
}
