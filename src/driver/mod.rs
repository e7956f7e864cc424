//! Drivers: what a scheduler does with its thread while no task can run.
//!
//! Words: a driver *waits*, until something is ready, a deadline comes or its *alarm* is *rung*. The alarm is the only
//! part of it that other threads have. An *operation* is submitted under a *key*; its *completion* comes out of a wait.
//!
//! - [`idle`]: no I/O at all; it only waits.
//! - [`readiness`]: says when descriptors can be read or written: epoll or kqueue.
//! - [`choice`]: the one a scheduler has: idle, until the first operation.

#[cfg(not(loom))]
pub(crate) mod choice;
pub(crate) mod idle;
#[cfg(not(loom))]
pub(crate) mod readiness;

/// Ends a driver's wait, from any thread.
///
/// A ring is remembered: if nobody waits, the next wait ends at once. Rings are not counted, and nothing is promised to
/// stay away: a wait may end for no reason. So an alarm only says "look again"; what there is to see lies elsewhere, and
/// is handed over there.
pub(crate) trait Alarm: Send + Sync {
    /// Neither blocks nor panics.
    fn ring(&self);
}

/// Names an operation in flight, for whoever submitted it. A driver only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(pub(crate) u64);

/// What a descriptor is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}
