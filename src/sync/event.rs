//! Something that has happened or has not, and that can be taken back.

use std::fmt;

use super::gate::{Gate, Of, WaitingUntil};
use crate::error::Cancelled;

/// Tasks wait until it is set; Python's `Event`.
///
/// ```
/// use ropewalk::sync::Event;
/// use ropewalk::task;
/// use std::cell::RefCell;
///
/// ropewalk::run(|| {
///     let (start, log) = (Event::new(), RefCell::new(Vec::new()));
///     task::scope(|s| {
///         for name in ["first", "second"] {
///             let (start, log) = (&start, &log);
///             s.spawn(move || {
///                 start.wait().unwrap();
///                 log.borrow_mut().push(name);
///             });
///         }
///         task::yield_now();                                     // Both wait.
///         log.borrow_mut().push("ready");
///         start.set();
///     });
///     assert_eq!(*log.borrow(), ["ready", "first", "second"]);
///     start.wait().unwrap();                                     // It is set: nobody waits.
/// });
/// ```
///
/// As it can be [cleared](Event::clear), whoever has waited for it only knows that it was set at some moment. Where it is
/// set once and for all, a [`Latch`](super::Latch) says so.
pub struct Event {
    gate: Gate,
}

impl Event {
    /// One that is not set.
    pub const fn new() -> Event {
        Event { gate: Gate::new(false) }
    }

    /// Sets it: all who wait go on, in the order in which they came, and nobody has to wait any more.
    ///
    /// It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    #[inline]
    pub fn set(&self) {
        self.gate.open();
    }

    /// Takes it back: whoever comes now waits until it is set again. Those who were released by the last `set` still are, also
    /// if they did not have their turn yet.
    #[inline]
    pub fn clear(&self) {
        self.gate.shut();
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.gate.is_open()
    }

    /// Waits until it is set.
    ///
    /// # Cancellation
    ///
    /// One that was released before it was cancelled is released.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> Result<(), Cancelled> {
        self.gate.pass(Of::Event)
    }

    /// An arm that waits until it is set, for [`select`](crate::select::select).
    pub fn waiting(&self) -> WaitingUntil<'_> {
        self.gate.arm(Of::Event)
    }

    /// How many tasks wait for it.
    pub fn waiters(&self) -> usize {
        self.gate.waiters()
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).field("waiters", &self.waiters()).finish()
    }
}
