//! Closing a generator that nobody will resume again: by dropping it, or at the end of its scope.
//!
//! There is no caller to whom an error could be returned. The body is asked to end; if it yields instead, it is unwound by
//! force; if it yields even then, its stack is leaked, or in a scope the process ends.

use std::panic::{self, AssertUnwindSafe};

use super::Generator;
use super::engine::{Outcome, Payload, State};
use super::handoff::Closing;
use crate::report::{self, Unraisable, Unraised};

/// How a generator took it to be closed for good.
pub(super) enum Closed {
    Now,
    Already,
    Running,
    /// It yields whatever one does; it is suspended still.
    Refused,
    Abandoned,
    Panicked(Payload),
}

/// Closes the generator. What goes wrong is told to the hook: see [`set_unraisable_hook`](crate::set_unraisable_hook).
impl<Y, S, R> Drop for Generator<Y, S, R> {
    fn drop(&mut self) {
        match self.engine.state() {
            // As a value that is dropped anywhere: what the body captured is dropped, and may panic.
            State::Created | State::Closed => {}
            // Whoever resumed it borrows it until it stops running. So this is a generator that stands in for another
            // whose stack, with that borrow on it, was forgotten or leaked. Neither stack will be run on again: what
            // lies on them is left as it is.
            State::Running => self.tell(Unraised::Stranded),
            State::Suspended => self.drop_suspended(),
        }
    }
}

impl<Y, S, R> Generator<Y, S, R> {
    /// Closes a generator that nobody will resume again, by force if it must.
    pub(super) fn close_for_good(&self) -> Closed {
        match self.engine.state() {
            State::Running => return Closed::Running,
            State::Closed => return Closed::Already,
            State::Created => {
                self.engine.discard_body();
                return Closed::Now;
            }
            State::Suspended => {}
        }
        // What it yields instead is dropped when all is done, for that may panic.
        let mut ignored = None;
        let mut outcome = self.engine.exit(Closing::Asked);
        if let Outcome::Yielded(value) = outcome {
            ignored = Some(value);
            outcome = self.engine.exit(Closing::Forced);
        }
        match outcome {
            Outcome::Yielded(value) => {
                // A panic of theirs must not hide that the body goes on. They are lost with its stack.
                std::mem::forget((value, ignored));
                Closed::Refused
            }
            Outcome::Panicked(payload) => Closed::Panicked(payload),
            Outcome::Abandoned => Closed::Abandoned,
            Outcome::Returned(_) | Outcome::Exited => {
                if ignored.is_some() {
                    self.tell(Unraised::IgnoredExit);
                }
                Closed::Now
            }
        }
    }

    #[cold]
    fn tell(&self, what: Unraised<'_>) {
        report::unraisable(&Unraisable { what, created: self.created_at(), name: self.name() });
    }

    #[cold]
    fn drop_suspended(&self) {
        // Nobody must be unwound by dropping a generator: not by its body, nor by what the body yielded or returned, nor
        // by a payload whose drop panics.
        let closed = panic::catch_unwind(AssertUnwindSafe(|| self.close_for_good()));
        match closed.unwrap_or_else(Closed::Panicked) {
            Closed::Now => {}
            Closed::Already | Closed::Running => unreachable!("it was suspended"),
            Closed::Refused => {
                self.engine.leak();
                self.tell(Unraised::Leaked);
            }
            Closed::Abandoned => self.tell(Unraised::Abandoned),
            Closed::Panicked(payload) => {
                self.tell(Unraised::Panicked(&*payload));
                report::discard(payload);
            }
        }
    }
}
