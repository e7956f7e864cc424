//! Callbacks at a later time.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use crate::clock::Nanos;
use crate::scheduler;

/// A callback that was set for later: see [`call_later`]. Dropping it changes nothing.
pub struct Timer {
    call: scheduler::LaterCall,
    deadline: Instant,
    cancelled: Cell<bool>,
}

/// Has `call` run after `delay`, between the steps of tasks; Python's `loop.call_later`.
///
/// It must be short and cannot wait, but it may spawn tasks and wake them. It never runs if [`run`](crate::run) returns
/// before. A panic goes to the runtime's hook.
///
/// ```
/// use ropewalk::time;
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let called = Rc::new(Cell::new(0));
///     let count = |by: u32| {
///         let called = called.clone();
///         move || called.set(called.get() + by)
///     };
///     time::call_later(Duration::from_millis(1), count(1));
///     time::call_later(Duration::from_millis(1), count(10)).cancel();
///     time::sleep(Duration::from_millis(2)).unwrap();
///     assert_eq!(called.get(), 1);
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn call_later(delay: Duration, call: impl FnOnce() + 'static) -> Timer {
    set(scheduler::after(delay), call)
}

/// As [`call_later`], at a given moment; as soon as possible if that has passed. Python's `loop.call_at`.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn call_at(deadline: Instant, call: impl FnOnce() + 'static) -> Timer {
    set(scheduler::moment(Some(deadline)), call)
}

#[track_caller]
fn set(deadline: Nanos, call: impl FnOnce() + 'static) -> Timer {
    Timer {
        call: scheduler::call_at(deadline, Box::new(call)),
        deadline: scheduler::moment_as_instant(deadline),
        cancelled: Cell::new(false),
    }
}

impl Timer {
    /// Keeps the callback from running, and drops it. Says whether it had not run yet.
    pub fn cancel(&self) -> bool {
        let cancelled = self.call.cancel();
        self.cancelled.set(cancelled || self.cancelled.get());
        cancelled
    }

    /// Whether it was cancelled before it ran.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// When it runs, or would have.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
