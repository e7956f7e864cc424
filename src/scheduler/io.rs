//! Input and output: a task performs an operation, and parks until its driver says that it is done, or may be done.
//!
//! Invariants:
//! - What has been done is returned, cancelled or not; what fails with `Cancelled` has done nothing.
//! - A task that has lent memory to the system parks until the system has given it back, whatever is cancelled meanwhile. Nothing
//!   can unwind between the two.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use super::core::Core;
use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::place::{Sleeper, sealed};
use super::record::Record;
use super::why::Why;
use crate::driver::operation::{self, Attempt};
pub(crate) use crate::driver::operation::{Kind, Message, Operation};
use crate::driver::{Blocked, Completion, Descriptor, Key, Submitted, Taken};
pub(crate) use crate::driver::{Direction, busy};
use crate::report;

/// A descriptor that operations are performed on. It does not own it, and belongs to no scheduler: whichever it is used under
/// registers it.
#[derive(Debug)]
pub(crate) struct Source {
    at: Descriptor,
}

impl Source {
    pub(crate) fn new(fd: RawFd) -> Source {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Relaxed: that no two are equal is all there is to it.
        Source { at: Descriptor { fd, source: LAST.fetch_add(1, Ordering::Relaxed) + 1 } }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on descriptor {}", self.at.fd)
    }
}

impl Drop for Source {
    #[inline]
    fn drop(&mut self) {
        if let Some(core) = here::lend_core() {
            core.driver().forget(self.at);
        }
    }
}

/// Performs an operation; parks the running task for as long as it takes.
///
/// # Errors
///
/// Those of the operation; a cancellation, and then it has done nothing; another task waits in the same direction.
///
/// # Panics
///
/// Outside of `run`.
#[inline]
#[track_caller]
pub(crate) fn perform(
    source: &Source,
    what: &'static str,
    mut operation: Operation<'_, '_>,
) -> io::Result<usize> {
    park::may_wait()?;
    perform_begun(source, what, &mut operation, Location::caller())
}

fn perform_begun(
    source: &Source,
    what: &'static str,
    operation: &mut Operation<'_, '_>,
    at: &'static Location<'static>,
) -> io::Result<usize> {
    // That a descriptor is set not to block is found out by carrying a call out on it.
    let mut is_impatient = false;
    loop {
        if here::need_core().driver().may_attempt(source.at, operation)? {
            if let Some(done) = attempt(source.at, operation) {
                return done;
            }
        }
        // Asked anew: a call may be the user's code, and go on in another task, or under another scheduler.
        let (core, task) = park::whoever_waits()?;
        let why = Why::new(what).on(source);
        let waiting = Waiting::new(source.at, operation.direction());
        let key = core.operations().insert(&raw const waiting);
        let submitted = match std::mem::take(&mut is_impatient) {
            true => core.driver().watch(Key(key), source.at, operation.direction()),
            // SAFETY: until its completion has come this function does not go on, nor unwind.
            false => unsafe { core.driver().submit(Key(key), source.at, operation) },
        };
        let submitted = match submitted {
            Ok(Submitted::Ready) => {
                core.operations().take(key);
                continue;
            }
            Ok(submitted) => submitted,
            Err(error) => {
                core.operations().take(key);
                return Err(error);
            }
        };
        // SAFETY: the task runs, and what it has just submitted has not been waited for.
        let ended = unsafe { waiting.park(core, task, Key(key), &why, at) };
        core.driver().finish(Key(key), source.at, operation.direction(), submitted, ended);
        match (ended, submitted) {
            // SAFETY: the task runs.
            (None, _) => unsafe { park::fail_if_cancelled(core, task)? },
            (Some(Completion { result, .. }), Submitted::Carried) => match usize::try_from(result) {
                Ok(count) => return Ok(count),
                Err(_) => match -result {
                    // By this task, for nobody else knows the key; or by a signal.
                    libc::ECANCELED => {
                        // SAFETY: the task runs.
                        unsafe { park::fail_if_cancelled(core, task)? };
                    }
                    libc::EINTR => {}
                    libc::EAGAIN => is_impatient = true,
                    errno => return Err(io::Error::from_raw_os_error(errno)),
                },
            },
            (Some(Completion { result, .. }), _) if result < 0 && -result != libc::ECANCELED => {
                return Err(io::Error::from_raw_os_error(-result));
            }
            // It is ready: attempted again even if it was cancelled meanwhile, for what can be done now is done.
            (Some(_), _) => {}
        }
    }
}

/// Attempts it; `None` if it would wait.
#[inline]
fn attempt(at: Descriptor, operation: &mut Operation<'_, '_>) -> Option<io::Result<usize>> {
    let (done, blocked) = match operation.attempt(at.fd) {
        Attempt::Done(result) => return Some(result),
        Attempt::Drained(count) => (Some(Ok(count)), Blocked::UnlessFinal),
        Attempt::WouldBlock => (None, Blocked::Now),
    };
    if let Some(core) = here::lend_core() {
        core.driver().note(at, operation.direction(), blocked);
    }
    done
}

/// Whoever waits for an operation in flight: lies on the waiter's stack.
pub(super) struct Waiting {
    at: Descriptor,
    direction: Direction,
    sleeper: Cell<Option<Sleeper>>,
    completion: Cell<Option<Completion>>,
    /// Whether that is what its wait was granted by.
    is_granted: Cell<bool>,
}

impl Waiting {
    fn new(at: Descriptor, direction: Direction) -> Waiting {
        let (sleeper, completion) = (Cell::new(None), Cell::new(None));
        Waiting { at, direction, sleeper, completion, is_granted: Cell::new(false) }
    }

    /// Parks until the completion has come. `None` if it was cancelled, and none will come.
    ///
    /// # Safety
    ///
    /// The task must be running, and `key` name an operation in flight that this waits for.
    #[inline]
    unsafe fn park(
        &self,
        core: &Core,
        task: *const Record,
        key: Key,
        why: &Why<'_>,
        at: &'static Location<'static>,
    ) -> Option<Completion> {
        let bomb = Bomb;
        // SAFETY: the task runs, says the caller, and waits for nothing else.
        unsafe {
            let hot = park::hot(task);
            let wait = park::begin(task);
            self.sleeper.set(Some(Sleeper { core, task, wait }));
            let outcome = park::park_at(core, task, why, at, Cancel::Asks);
            if outcome != Outcome::Granted {
                match core.driver().cancel(key, self.at, self.direction) {
                    Taken::Back => {
                        core.operations().take(key.0);
                        hot.outcome.set(Outcome::Cancelled);
                    }
                    // It is the system's still, with all that it was lent.
                    Taken::Later => {
                        hot.outcome.set(Outcome::Waiting);
                        park::park_at(core, task, why, at, Cancel::Never);
                    }
                }
            }
        }
        std::mem::forget(bomb);
        self.completion.get()
    }
}

/// Ends the process rather than let a stack unwind that the system may still write to.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        report::fatal("a task unwinds from an operation in flight");
    }
}

/// A place at a descriptor: whoever waits in it is woken when a call may be made.
pub struct AtDescriptor {
    waiting: Waiting,
    key: Cell<Option<Key>>,
    error: Cell<Option<io::Error>>,
}

impl AtDescriptor {
    /// For whoever has just found that a call would wait.
    pub(crate) fn new(source: &Source, direction: Direction) -> AtDescriptor {
        AtDescriptor {
            waiting: Waiting::new(source.at, direction),
            key: Cell::new(None),
            error: Cell::new(None),
        }
    }

    /// Whether the wait ended here: `None` if not. What cannot be waited for is an error.
    pub(crate) fn into_woken(self) -> Option<io::Result<()>> {
        if !self.waiting.is_granted.get() {
            return None;
        }
        Some(match (self.error.take(), self.waiting.completion.get()) {
            (Some(error), _) => Err(error),
            (None, Some(Completion { result, .. })) if result < 0 => {
                Err(io::Error::from_raw_os_error(-result))
            }
            (None, _) => Ok(()),
        })
    }

    fn take_back(&self) {
        if let (Some(key), Some(sleeper)) = (self.key.take(), self.waiting.sleeper.get()) {
            let (at, direction) = (self.waiting.at, self.waiting.direction);
            // SAFETY: the sleeper's task runs, and so its scheduler.
            let core = unsafe { &*sleeper.core };
            if core.operations().take(key.0).is_some() {
                // A completion that comes later finds nobody, and it brings nothing.
                core.driver().cancel(key, at, direction);
            }
            core.driver().finish(key, at, direction, Submitted::Awaited, None);
        }
    }
}

// SAFETY: only the driver's key leads here, and that is taken back.
unsafe impl sealed::Place for AtDescriptor {
    unsafe fn enter(&self, sleeper: &Sleeper) {
        self.waiting.sleeper.set(Some(*sleeper));
        // SAFETY: there is a scheduler while its task runs.
        let core = unsafe { &*sleeper.core };
        let key = core.operations().insert(&raw const self.waiting);
        match core.driver().watch(Key(key), self.waiting.at, self.waiting.direction) {
            Ok(Submitted::Awaited | Submitted::Carried) => return self.key.set(Some(Key(key))),
            Ok(Submitted::Ready) => {}
            Err(error) => self.error.set(Some(error)),
        }
        core.operations().take(key);
        // SAFETY: the sleeper's task runs.
        self.waiting.is_granted.set(unsafe { core.wake(sleeper.task, sleeper.wait) });
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
    pub(super) fn complete(&self, key: Key, completion: Completion) {
        // Nobody waits any more for some that were cancelled.
        let Some(waiting) = self.operations().take(key.0) else { return };
        // SAFETY: who waits takes its key back before it goes.
        let waiting = unsafe { &*waiting };
        waiting.completion.set(Some(completion));
        if let Some(sleeper) = waiting.sleeper.get() {
            // SAFETY: the sleeper's task has not ended, for it takes its key back before.
            waiting.is_granted.set(unsafe { self.wake(sleeper.task, sleeper.wait) });
        }
    }
}

/// Whether a call on the descriptor need not wait now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    operation::is_ready(fd, direction)
}

/// Parks the running task until a call on the descriptor need not wait.
#[track_caller]
pub(crate) fn wait_until_ready(
    source: &Source,
    fd: BorrowedFd<'_>,
    direction: Direction,
    what: &'static str,
) -> io::Result<()> {
    debug_assert_eq!(fd.as_raw_fd(), source.at.fd);
    let mut call = || match is_ready(fd, direction) {
        Ok(true) => Ok(0),
        Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    };
    perform(source, what, Operation::Call { direction, call: &mut call }).map(drop)
}
