//! That nobody receives any more: said once, and waited for by senders that want to stop.
//!
//! Invariant: nobody waits for an end that has come.

use std::cell::Cell;
use std::fmt;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, WaitList, Why};

/// Whether a channel is closed, and those who wait for that.
#[derive(Default)]
pub(super) struct End {
    has_come: Cell<bool>,
    waiting: WaitList,
}

impl End {
    pub(super) const fn new() -> End {
        End { has_come: Cell::new(false), waiting: WaitList::new() }
    }

    #[inline(always)]
    pub(super) fn has_come(&self) -> bool {
        self.has_come.get()
    }

    /// Says so. False if it was said before.
    pub(super) fn come(&self) -> bool {
        if self.has_come.replace(true) {
            return false;
        }
        self.waiting.wake_all(());
        true
    }

    /// Somebody receives again.
    pub(super) fn take_back(&self) {
        self.has_come.set(false);
    }

    #[track_caller]
    pub(super) fn wait(&self) -> Result<(), Cancelled> {
        lowlevel::may_wait()?;
        if self.has_come() {
            return Ok(());
        }
        self.waiting.wait(&Why::new("end of channel"))
    }
}

/// An arm that waits until nobody receives any more: see [`Sender::closing`](super::Sender::closing).
#[must_use = "nothing is waited for until it is selected"]
#[derive(Clone, Copy)]
pub struct Closing<'a> {
    end: &'a End,
}

impl<'a> Closing<'a> {
    pub(super) fn of(end: &'a End) -> Closing<'a> {
        Closing { end }
    }
}

impl<'a> Arm for Closing<'a> {
    type Output = ();
    type Place = InLine<'a, ()>;

    fn try_now(&mut self) -> Option<()> {
        self.end.has_come().then_some(())
    }

    fn place(&mut self) -> Self::Place {
        self.end.waiting.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_woken(&self.end.waiting).value
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("end of channel")
    }
}

impl fmt::Debug for Closing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("is_closed", &self.end.has_come()).finish()
    }
}
