//! Input and output: a task performs an operation, and parks until its driver says that it is done, or may be done.
//!
//! Invariants:
//! - What has been done is returned, cancelled or not; what fails with `Cancelled` has done nothing.
//! - A task that has lent memory to the system parks until the system has given it back, whatever is cancelled meanwhile. Nothing
//!   can unwind between the two.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::core::Core;
use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::place::{Sleeper, sealed};
use super::record::Record;
use super::why::Why;
pub(crate) use crate::driver::file::{FileCall, Position};
use crate::driver::operation::{self, Attempt};
pub(crate) use crate::driver::operation::{Kind, Message, Operation};
use crate::driver::{Blocked, Completion, Descriptor, Key, Submitted, Taken};
pub(crate) use crate::driver::{Direction, busy};
use crate::error::Cancelled;
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
        // A forked child shares what the driver keeps with its parent.
        if let Some(core) = here::lend_core().filter(|_| !here::is_forked()) {
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
    let mut in_vain = 0_u32;
    loop {
        if here::need_core().driver().may_attempt(source.at, operation)? {
            if let Some(done) = attempt(source.at, operation) {
                return done;
            }
        }
        // Asked anew: a call may be the user's code, and go on in another task, or under another scheduler.
        let (core, task) = park::whoever_waits()?;
        let direction = operation.direction();
        // SAFETY: the task runs.
        let wait = unsafe { park::begin(task) };
        let key = Key(core.operations().insert(InFlight::new(task, wait)));
        let submitted = match std::mem::take(&mut is_impatient) {
            true => core.driver().watch(key, source.at, direction),
            // SAFETY: until its completion has come this function does not go on, nor unwind.
            false => unsafe { core.driver().submit(key, source.at, operation) },
        };
        let submitted = match submitted {
            Ok(submitted @ (Submitted::Awaited | Submitted::Carried)) => submitted,
            over => {
                core.operations().take(key.0);
                // SAFETY: the task runs.
                unsafe { park::hot(task).outcome.set(Outcome::Cancelled) };
                over?;
                continue;
            }
        };
        // SAFETY: the task runs, and has just submitted that.
        let ended = unsafe {
            let why = Why::new(what).on(source);
            park_until_complete(core, task, key, source.at, direction, &why, at)
        };
        core.driver().finish(key, source.at, direction, submitted, ended);
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
            (Some(_), _) => {
                in_vain += 1;
                if in_vain > CREDULITY {
                    pause_in_vain()?;
                }
            }
        }
    }
}

/// What a call on a file is about, for what is done of it elsewhere: see [`carry`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ends {
    /// Soon, by itself. So a virtual clock stands still meanwhile, as it does while a thread makes a call.
    ByItself,
    /// When somebody at another end does something, or never.
    ByOthers,
}

/// Whether calls on files need no thread here, as far as can be said of all of them.
pub(crate) fn has_ring() -> bool {
    here::lend_core().is_some_and(|core| core.driver().has_ring())
}

/// Has the system carry out a call on a file, and parks the running task until that is over. `None` if it does not: then a thread
/// is to make the call. Of what a call opens, [`carry_open`] makes a descriptor.
///
/// Whoever calls this has asked before whether it may wait.
///
/// # Errors
///
/// Those of the call; a cancellation, and then it has done nothing.
#[track_caller]
pub(crate) fn carry(
    what: &'static str,
    on: &dyn fmt::Display,
    ends: Ends,
    mut call: FileCall<'_, '_>,
) -> io::Result<Option<usize>> {
    /// It is known by its key alone.
    const NONE: Descriptor = Descriptor { fd: -1, source: 0 };
    let at = Location::caller();
    if !here::need_core().driver().carries(&call) {
        return Ok(None);
    }
    loop {
        let (core, task) = park::whoever_waits()?;
        // SAFETY: the task runs.
        let wait = unsafe { park::begin(task) };
        let key = Key(core.operations().insert(InFlight::new(task, wait)));
        // SAFETY: until its completion has come this function does not go on, nor unwind.
        if unsafe { core.driver().carry(key, &mut call).is_err() } {
            core.operations().take(key.0);
            // SAFETY: the task runs.
            unsafe { park::hot(task).outcome.set(Outcome::Cancelled) };
            return Ok(None);
        }
        let elsewhere = (ends == Ends::ByItself).then(|| core.count_elsewhere());
        let why = Why::new(what).on(on);
        // SAFETY: the task runs, and has just submitted that.
        let ended = unsafe { park_until_complete(core, task, key, NONE, Direction::Read, &why, at) };
        drop(elsewhere);
        core.driver().finish_carrying();
        let result = ended.expect("what is carried completes, cancelled or not").result;
        match usize::try_from(result) {
            Ok(done) => return Ok(Some(done)),
            Err(_) => match -result {
                // By this task, for nobody else knows the key; or by a signal, which a cancellation may be too.
                libc::ECANCELED | libc::EINTR => {
                    // SAFETY: the task runs.
                    unsafe { park::fail_if_cancelled(core, task)? };
                }
                errno => return Err(io::Error::from_raw_os_error(errno)),
            },
        }
    }
}

/// As [`carry`], of a call that opens something. What was opened is returned, cancelled or not.
///
/// # Errors
///
/// As there.
#[track_caller]
pub(crate) fn carry_open(
    on: &dyn fmt::Display,
    path: &CStr,
    flags: i32,
    mode: u32,
) -> io::Result<Option<OwnedFd>> {
    let opened = carry("open", on, Ends::ByItself, FileCall::Open { path, flags, mode })?;
    // SAFETY: the system has just given it, and to nobody else.
    Ok(opened.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}

/// So often in a row is believed that a call need not wait, which then says that it would.
const CREDULITY: u32 = 16;

/// The descriptor is said to be ready, and calls say that they would wait: some are both at once, such as a Unix stream with
/// nothing but an urgent byte for whoever peeks. To ask again and again would keep the processor busy.
#[cold]
fn pause_in_vain() -> Result<(), Cancelled> {
    super::sleep_until(super::after(Duration::from_millis(5)))
}

/// Attempts it; `None` if it would wait.
#[inline]
fn attempt(at: Descriptor, operation: &mut Operation<'_, '_>) -> Option<io::Result<usize>> {
    let waits = here::waits();
    let (done, blocked) = match operation.attempt(at.fd) {
        Attempt::Done(result) => return Some(result),
        Attempt::Drained(count) => (Some(Ok(count)), Blocked::UnlessFinal),
        Attempt::WouldBlock => (None, Blocked::Now),
    };
    // A call of the user's may have parked after it found that; then there may have been an event, of which there is no second one.
    if let Some(core) = here::lend_core().filter(|_| here::waits() == waits) {
        core.driver().note(at, operation.direction(), blocked);
    }
    done
}

/// An operation in flight: who waits for it, and what has become of it.
///
/// It is the scheduler's, not the waiter's: what is told of an operation is noted in memory that is in use anyway, and the stack of
/// whoever waits is left alone until it goes on.
pub(super) struct InFlight {
    task: *const Record,
    wait: u64,
    completion: Option<Completion>,
    /// Whether that is what the wait was granted by.
    is_granted: bool,
}

impl InFlight {
    fn new(task: *const Record, wait: u64) -> InFlight {
        InFlight { task, wait, completion: None, is_granted: false }
    }
}

/// Parks until the completion has come. `None` if it was cancelled, and none will come.
///
/// # Safety
///
/// The task must be running, have begun a wait, and have submitted the operation under that key for it.
#[inline]
unsafe fn park_until_complete(
    core: &Core,
    task: *const Record,
    key: Key,
    descriptor: Descriptor,
    direction: Direction,
    why: &Why<'_>,
    at: &'static Location<'static>,
) -> Option<Completion> {
    let bomb = Bomb;
    // SAFETY: the task runs, says the caller, and waits for nothing else.
    unsafe {
        let outcome = park::park_at(core, task, why, at, Cancel::Asks);
        if outcome != Outcome::Granted {
            let hot = park::hot(task);
            match core.driver().cancel(key, descriptor, direction) {
                Taken::Back => hot.outcome.set(Outcome::Cancelled),
                // It is the system's still, with all that it was lent.
                Taken::Later => {
                    hot.outcome.set(Outcome::Waiting);
                    park::park_at(core, task, why, at, Cancel::Never);
                }
            }
        }
    }
    std::mem::forget(bomb);
    core.operations().take(key.0)?.completion
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
    at: Descriptor,
    direction: Direction,
    entered: Cell<Option<(*const Core, Key)>>,
    /// What the wait was granted with, if it was here.
    granted: Cell<Option<io::Result<()>>>,
}

impl AtDescriptor {
    /// For whoever has just found that a call would wait.
    pub(crate) fn new(source: &Source, direction: Direction) -> AtDescriptor {
        AtDescriptor { at: source.at, direction, entered: Cell::new(None), granted: Cell::new(None) }
    }

    /// Whether the wait ended here: `None` if not. What cannot be waited for is an error.
    pub(crate) fn into_woken(self) -> Option<io::Result<()>> {
        self.granted.take()
    }

    fn take_back(&self) {
        // As where a source is dropped.
        let Some((core, key)) = self.entered.take().filter(|_| !here::is_forked()) else { return };
        // SAFETY: the task that has entered it runs, and so its scheduler.
        let core = unsafe { &*core };
        let in_flight = core.operations().take(key.0);
        match in_flight.as_ref().and_then(|in_flight| in_flight.completion) {
            None => {
                // A completion that comes later finds nobody, and it brings nothing.
                core.driver().cancel(key, self.at, self.direction);
            }
            Some(completion) if in_flight.is_some_and(|in_flight| in_flight.is_granted) => {
                self.granted.set(Some(match completion.result {
                    result if result < 0 => Err(io::Error::from_raw_os_error(-result)),
                    _ => Ok(()),
                }));
            }
            Some(_) => {}
        }
        core.driver().finish(key, self.at, self.direction, Submitted::Awaited, None);
    }
}

// SAFETY: nothing points to it.
unsafe impl sealed::Place for AtDescriptor {
    unsafe fn enter(&self, sleeper: &Sleeper) {
        // SAFETY: there is a scheduler while its task runs.
        let core = unsafe { &*sleeper.core };
        let key = Key(core.operations().insert(InFlight::new(sleeper.task, sleeper.wait)));
        let result = match core.driver().watch(key, self.at, self.direction) {
            Ok(Submitted::Awaited | Submitted::Carried) => return self.entered.set(Some((core, key))),
            Ok(Submitted::Ready) => Ok(()),
            Err(error) => Err(error),
        };
        core.operations().take(key.0);
        // SAFETY: the sleeper's task runs.
        if unsafe { core.wake(sleeper.task, sleeper.wait) } {
            self.granted.set(Some(result));
        }
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
    #[inline]
    pub(super) fn complete(&self, key: Key, completion: Completion) {
        let mut operations = self.operations();
        // Nobody waits any more for some that were cancelled.
        let Some(in_flight) = operations.get_mut(key.0) else { return };
        in_flight.completion = Some(completion);
        // SAFETY: the task has not ended, for it takes its key back before.
        in_flight.is_granted = unsafe { self.wake(in_flight.task, in_flight.wait) };
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
