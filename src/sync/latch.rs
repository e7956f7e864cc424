//! Something that happens once, and stays.

use std::fmt;

use super::gate::{Gate, Of, WaitingUntil};
use crate::error::Cancelled;

/// Tasks wait until it is set, which happens once; an [`Event`](super::Event) without `clear`.
///
/// That makes it worth a type of its own: whoever has waited for it, or has seen it set, may rely on that from then on,
/// whatever runs in between. And of several who set it exactly one is told that it was the first:
///
/// ```
/// use ropewalk::sync::Latch;
/// use ropewalk::task;
/// use std::cell::Cell;
///
/// ropewalk::run(|| {
///     let (stopping, cleaned_up) = (Latch::new(), Cell::new(0));
///     task::scope(|s| {
///         for _ in 0..3 {
///             s.spawn(|| {
///                 if stopping.set() {
///                     cleaned_up.set(cleaned_up.get() + 1);      // No matter how many ask for it.
///                 }
///             });
///         }
///         stopping.wait().unwrap();
///     });
///     assert_eq!(cleaned_up.get(), 1);
/// });
/// ```
///
/// With a value to look at, it is a [`OnceCell`](super::OnceCell).
pub struct Latch {
    gate: Gate,
}

impl Latch {
    /// One that is not set.
    pub const fn new() -> Latch {
        Latch { gate: Gate::new(false) }
    }

    /// Sets it for good, and returns whether this was the first time. All who wait go on, in the order in which they came.
    ///
    /// It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    #[inline]
    pub fn set(&self) -> bool {
        self.gate.open()
    }

    /// Whether it is set. Once it is, it stays so.
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
        self.gate.pass(Of::Latch)
    }

    /// An arm that waits until it is set, for [`select`](crate::select::select).
    pub fn waiting(&self) -> WaitingUntil<'_> {
        self.gate.arm(Of::Latch)
    }

    /// How many tasks wait for it.
    pub fn waiters(&self) -> usize {
        self.gate.waiters()
    }
}

impl Default for Latch {
    fn default() -> Latch {
        Latch::new()
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").field("is_set", &self.is_set()).field("waiters", &self.waiters()).finish()
    }
}
