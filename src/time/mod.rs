//! Waiting for time to pass, and limiting how long something may take.
//!
//! A timeout is a scope with a deadline: whatever waits inside fails when that has passed. Nothing here has a timeout
//! parameter, for everything that waits can be put into a scope.
//!
//! Nothing happens before its time. Equal deadlines come in the order in which they were set.
//!
//! ```
//! use ropewalk::{Cancelled, time};
//! use std::time::Duration;
//!
//! fn slow() -> Result<&'static str, Cancelled> {
//!     time::sleep(Duration::from_secs(3600))?;
//!     Ok("done")
//! }
//!
//! ropewalk::run(|| {
//!     let result = time::timeout(Duration::from_millis(5), slow);
//!     assert_eq!(result.unwrap_err().to_string(), "the deadline has passed");
//! });
//! ```

mod call;
mod interval;
mod limit;
mod sleep;

use std::time::Instant;

pub use call::{Timer, call_at, call_later};
pub use interval::{Interval, Missed, Ticking, interval, interval_at};
pub use limit::{effective_deadline, move_on_after, move_on_at, timeout, timeout_at};
pub use sleep::{Sleeping, sleep, sleep_until, sleeping, sleeping_until};

use crate::scheduler;

/// Now, by the clock of the runtime, which may be virtual; Python's `loop.time()`.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn now() -> Instant {
    scheduler::now()
}
