//! What opens and lets everybody through: the common ground of events, latches and wait groups.
//!
//! Invariant: while it is open nobody waits.

use std::cell::Cell;
use std::fmt;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, WaitList, Why};

pub(super) struct Gate {
    is_open: Cell<bool>,
    waiting: WaitList,
}

/// Whose gate it is, for dumps.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    Event,
    Latch,
    /// With the number of things that are in flight.
    WaitGroup(&'a Cell<usize>),
}

impl Gate {
    pub(super) const fn new(is_open: bool) -> Gate {
        Gate { is_open: Cell::new(is_open), waiting: WaitList::new() }
    }

    /// Lets everybody through, in the order of coming, also those who come later. Whether it was shut before.
    #[inline]
    pub(super) fn open(&self) -> bool {
        let was_shut = !self.is_open.replace(true);
        if was_shut {
            while self.waiting.wake_one(()).is_ok() {}
        }
        was_shut
    }

    /// Those who have been let through are through.
    #[inline]
    pub(super) fn shut(&self) {
        self.is_open.set(false);
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    #[inline]
    #[track_caller]
    pub(super) fn pass(&self, of: Of<'_>) -> Result<(), Cancelled> {
        lowlevel::may_wait()?;
        if self.is_open.get() {
            return Ok(());
        }
        self.waiting.wait(&Why::new("").on(&of))
    }

    pub(super) fn waiters(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn arm<'a>(&'a self, of: Of<'a>) -> WaitingUntil<'a> {
        WaitingUntil { gate: self, of }
    }
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Of::Event => f.write_str("event"),
            Of::Latch => f.write_str("latch"),
            Of::WaitGroup(left) => write!(f, "wait group: {} left", left.get()),
        }
    }
}

/// An arm that waits until an [`Event`](super::Event) or a [`Latch`](super::Latch) is set, or until nothing of a
/// [`WaitGroup`](super::WaitGroup) is left: see their methods `waiting`.
#[derive(Clone, Copy)]
#[must_use = "nothing waits until it is selected"]
pub struct WaitingUntil<'a> {
    gate: &'a Gate,
    of: Of<'a>,
}

impl<'a> Arm for WaitingUntil<'a> {
    type Output = ();
    type Place = InLine<'a, ()>;

    #[inline]
    fn try_now(&mut self) -> Option<()> {
        self.gate.is_open().then_some(())
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.gate.waiting.place(())
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_woken(&self.gate.waiting).value
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.of)
    }
}

impl fmt::Debug for WaitingUntil<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitingUntil({})", self.of)
    }
}
