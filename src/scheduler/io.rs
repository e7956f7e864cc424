//! Waiting for descriptors: operations go to the driver under a number, and their completions wake tasks.
//!
//! Invariant: an operation in flight points to its place, which stays where it is; when the place is left, the operation has
//! completed or was taken back.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arm;
use super::core::Core;
use super::here;
use super::hot::Outcome;
use super::park;
use super::place::{Sleeper, sealed};
use super::why::Why;
pub(crate) use crate::driver::Direction;
use crate::driver::Key;
use crate::driver::readiness::Submitted;

/// A descriptor that schedulers may wait for, by a number of its own: those of descriptors are used again.
///
/// It belongs to no thread: whichever scheduler waits for it registers it. It stands before the descriptor in whatever owns that,
/// so that it is dropped first.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    number: u64,
}

impl Source {
    pub(crate) fn new(fd: RawFd) -> Source {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Relaxed: that no two are equal is all there is to it.
        Source { fd, number: LAST.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Whether a system call on it is known to have to wait.
    #[inline]
    pub(crate) fn would_block(&self, direction: Direction) -> bool {
        let readiness = here::lend_core().and_then(|core| core.driver().if_made());
        readiness.is_some_and(|readiness| readiness.would_block(self.fd, self.number, direction))
    }

    /// A system call has found that it would have to wait, or has taken all there was.
    #[inline]
    pub(crate) fn set_blocked(&self, direction: Direction) {
        if let Some(readiness) = here::lend_core().and_then(|core| core.driver().if_made()) {
            readiness.set_blocked(self.fd, self.number, direction);
        }
    }

    /// Parks the running task until a system call need not wait, as far as is known.
    ///
    /// # Errors
    ///
    /// The wait was cancelled; another task waits for the same; the system cannot wait for such a descriptor.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        let (core, task) = park::whoever_waits()?;
        let place = AtDescriptor::new(self.fd, self.number, direction);
        // SAFETY: the task runs, and this is its code. The place stays where it is.
        let outcome = unsafe { arm::park_in(&place, core, task, &Why::new(what), Location::caller()) };
        match (place.error.take(), outcome) {
            (Some(error), _) => Err(error),
            (None, Outcome::Granted) => Ok(()),
            // SAFETY: the task runs.
            (None, _) => Err(unsafe { park::cancelled() }.into()),
        }
    }
}

/// The descriptor is about to be closed, or used by somebody else.
impl Drop for Source {
    fn drop(&mut self) {
        if let Some(readiness) = here::lend_core().and_then(|core| core.driver().if_made()) {
            readiness.forget(self.fd, self.number);
        }
    }
}

/// A wait for a descriptor to be ready.
pub(super) struct AtDescriptor {
    fd: RawFd,
    source: u64,
    direction: Direction,
    sleeper: Cell<Option<Sleeper>>,
    key: Cell<Option<Key>>,
    pub(super) is_ready: Cell<bool>,
    pub(super) error: Cell<Option<io::Error>>,
}

impl AtDescriptor {
    pub(super) fn new(fd: RawFd, source: u64, direction: Direction) -> AtDescriptor {
        AtDescriptor {
            fd,
            source,
            direction,
            sleeper: Cell::new(None),
            key: Cell::new(None),
            is_ready: Cell::new(false),
            error: Cell::new(None),
        }
    }

    fn submit(&self, core: &Core) -> io::Result<Submitted> {
        let readiness = core.driver().readiness()?;
        let key = core.operations().insert(self);
        match readiness.submit(self.fd, self.source, self.direction, Key(key)) {
            Ok(Submitted::InFlight) => {
                self.key.set(Some(Key(key)));
                Ok(Submitted::InFlight)
            }
            ended => {
                core.operations().take(key);
                ended
            }
        }
    }

    /// It is ready: wakes the sleeper, if nothing else has.
    ///
    /// # Safety
    ///
    /// `this` must be alive.
    unsafe fn complete(this: *const AtDescriptor, core: &Core) {
        // SAFETY: alive, says the caller.
        let this = unsafe { &*this };
        this.key.set(None);
        if let Some(sleeper) = this.sleeper.get() {
            // SAFETY: the sleeper's task has not ended, for it leaves its places before.
            this.is_ready.set(unsafe { core.wake(sleeper.task, sleeper.wait) });
        }
    }

    fn take_back(&self) {
        if let (Some(key), Some(sleeper)) = (self.key.take(), self.sleeper.get()) {
            // SAFETY: the sleeper's task runs, and so its scheduler.
            let core = unsafe { &*sleeper.core };
            core.operations().take(key.0);
            if let Some(readiness) = core.driver().if_made() {
                readiness.cancel(self.fd, self.source, self.direction);
            }
        }
    }
}

// SAFETY: only an operation in flight points to it, which is taken back by both.
unsafe impl sealed::Place for AtDescriptor {
    unsafe fn enter(&self, sleeper: &Sleeper) {
        self.sleeper.set(Some(*sleeper));
        // SAFETY: there is a scheduler while its task runs.
        let core = unsafe { &*sleeper.core };
        match self.submit(core) {
            Ok(Submitted::InFlight) => return,
            Ok(Submitted::Ready) => {}
            Err(error) => self.error.set(Some(error)),
        }
        // SAFETY: the sleeper's task runs.
        self.is_ready.set(unsafe { core.wake(sleeper.task, sleeper.wait) });
    }

    unsafe fn leave(&self) {
        self.take_back();
    }
}

impl Drop for AtDescriptor {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl Core {
    /// An operation has completed.
    pub(super) fn complete(&self, key: Key) {
        let place = self.operations().take(key.0);
        if let Some(place) = place {
            // SAFETY: an operation in flight points to a living place.
            unsafe { AtDescriptor::complete(place, self) };
        }
    }
}
