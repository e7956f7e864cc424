//! Cancel scopes as users see them: a frame that is open, and the ways to cancel it.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::frame::{Frame, FrameKind, WayIn, with_frame};
use crate::error::{Cancelled, Reason};

/// A part of a task that can be cancelled. See [`task::cancel_scope`](crate::task::cancel_scope).
pub struct CancelScope<'a> {
    frame: &'a Frame,
}

/// Cancels a [`CancelScope`] from anywhere on the thread, if that is still open.
#[derive(Clone)]
pub struct Canceller(Rc<WayIn>);

/// Runs `body` where no cancellation from outside reaches: [`task::shield`](crate::task::shield), for what is below tasks.
///
/// A primitive that has promised something for whatever way its wait ends keeps the promise in here.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn shield<T>(body: impl FnOnce() -> T) -> T {
    with_frame(FrameKind::Shield, |_| body())
}

impl<'a> CancelScope<'a> {
    pub(crate) fn of(frame: &'a Frame) -> CancelScope<'a> {
        CancelScope { frame }
    }

    /// Cancels the scope. Says whether this was the first time.
    pub fn cancel(&self) -> bool {
        self.frame.cancel(Reason::Requested)
    }

    /// Why waits in the scope fail, if they do: it was cancelled, or something around it was.
    pub fn cancelled(&self) -> Option<Cancelled> {
        self.frame.is_cancelled()
    }

    /// When the scope is cancelled by itself, if it has a deadline of its own.
    pub fn deadline(&self) -> Option<Instant> {
        super::instant(self.frame.deadline())
    }

    /// Sets the deadline anew, or takes it away. One that has passed cancels at the next look at the clock; once the scope
    /// is cancelled nothing takes that back.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.frame.set_deadline(super::moment(deadline));
        if deadline.is_some_and(|deadline| deadline <= super::now()) {
            self.frame.cancel(Reason::Deadline);
        }
    }

    /// A handle with which other tasks, and callbacks, can cancel the scope.
    ///
    /// ```
    /// use ropewalk::{task, time};
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     task::cancel_scope(|scope| {
    ///         let canceller = scope.canceller();
    ///         task::spawn(move || canceller.cancel());
    ///         time::sleep(Duration::from_secs(3600)).unwrap_err();
    ///     });
    /// });
    /// ```
    pub fn canceller(&self) -> Canceller {
        Canceller(self.frame.way_in())
    }
}

impl Canceller {
    /// Cancels the scope, if it is still open. Says whether this did anything.
    pub fn cancel(&self) -> bool {
        self.cancel_for(Reason::Requested)
    }

    /// As [`cancel`](Canceller::cancel), for that reason.
    pub(crate) fn cancel_for(&self, reason: Reason) -> bool {
        self.0.cancel(reason)
    }
}

impl fmt::Debug for CancelScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope").field("cancelled", &self.cancelled()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("open", &self.0.is_open()).finish()
    }
}
