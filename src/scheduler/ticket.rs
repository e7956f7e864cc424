//! Waits of any kind: a sleeper leaves a *ticket* with whoever will wake it and says how to take it back, its *undo*.
//!
//! A ticket can be kept anywhere, for ever. Whoever spends it after the wait is over gets back what it would have given.
//!
//! Invariant: a ticket's slot lies on the stack of its task, or where that keeps it, while its wait is open. Nobody looks at
//! it through the ticket after that.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::cross::CrossError;
use super::frame::{FrameKind, with_frame};
use super::here;
use super::hot::{Cancel, Outcome};
use super::park::{self, Slot};
use super::record::{Record, TaskId, TaskRef};
use super::why::Why;
use crate::error::{Cancelled, Reason};
use crate::generator::mark::{self, Mark};

/// The right to wake one wait of one task, with a value.
///
/// To drop it ends nothing: the task waits until it is cancelled, or for ever, which may be found to be a deadlock. Whoever
/// may have no answer sends that as a value, such as `None`.
pub struct Ticket<T> {
    task: TaskRef,
    wait: u64,
    slot: *const Slot<T>,
}

/// What has become of an operation that a cancelled waiter has taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Undo {
    /// It is taken back: it had no effect, and never will.
    Done,
    /// It cannot be taken back at once: the answer will come, and must be waited for.
    Later,
}

impl<T> Ticket<T> {
    /// # Safety
    ///
    /// `task` must be running and have begun this wait. The slot must stay where it is while the wait is open.
    pub(super) unsafe fn new(task: *const Record, wait: u64, slot: *const Slot<T>) -> Ticket<T> {
        // SAFETY: a running task is alive.
        Ticket { task: unsafe { TaskRef::to(task) }, wait, slot }
    }

    /// Ends the wait: it returns `value`.
    ///
    /// # Errors
    ///
    /// The wait is over: the value comes back.
    pub fn wake(self, value: T) -> Result<(), T> {
        // SAFETY: the ticket keeps the record alive. While the wait is open, its task is alive, the slot is where it was, and
        // there is a scheduler.
        unsafe {
            let task = self.task.as_ptr();
            let Some(core) = here::core().as_ref() else { return Err(value) };
            if !core.is_waiting(task, self.wait) {
                return Err(value);
            }
            (*self.slot).set(Some(value));
            core.grant(task);
        }
        Ok(())
    }

    /// Whether the wait is still open.
    pub fn is_waiting(&self) -> bool {
        // SAFETY: the ticket keeps the record alive.
        unsafe { here::core().as_ref().is_some_and(|core| core.is_waiting(self.task.as_ptr(), self.wait)) }
    }

    /// The task that waits, or waited.
    pub fn task(&self) -> TaskId {
        self.task.record().id
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket(task {}, wait {})", self.task(), self.wait)
    }
}

/// Parks the running task until its ticket is spent; returns what it was spent with.
///
/// `register` hands the ticket to whoever will wake the task, and may spend it itself. When the wait is cancelled, `undo`
/// takes back what `register` arranged, and says whether that is done: if not, the wait goes on until the ticket is
/// spent after all, and cannot be cancelled any more. Neither may wait.
///
/// ```
/// use ropewalk::lowlevel::{self, Ticket, Undo, Why};
/// use ropewalk::task;
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// ropewalk::run(|| {
///     // A cell that can be filled once, and waited for.
///     let waiting: Rc<Cell<Option<Ticket<&str>>>> = Rc::default();
///     let reader = task::spawn({
///         let waiting = waiting.clone();
///         move || lowlevel::park(&Why::new("value"), |ticket| waiting.set(Some(ticket)), || Undo::Done)
///     });
///     task::yield_now();
///     waiting.take().unwrap().wake("filled").unwrap();
///     assert_eq!(reader.join().unwrap(), Ok("filled"));
/// });
/// ```
///
/// # Cancellation
///
/// A ticket may still be spent after the wait was cancelled, until the task runs: then the value is returned. A wait that
/// returns [`Cancelled`] had no effect, if `undo` keeps its word.
///
/// # Errors
///
/// [`Cancelled`]; if that was known before, `register` is not called.
///
/// # Panics
///
/// Outside of [`run`](crate::run). A panic of `register` goes on; its ticket is void then.
#[track_caller]
pub fn park<T>(
    why: &Why<'_>,
    register: impl FnOnce(Ticket<T>),
    undo: impl FnOnce() -> Undo,
) -> Result<T, Cancelled> {
    park_at(Location::caller(), why, register, undo)
}

/// As [`park`], for whoever knows better than the call where the program waits.
#[track_caller]
pub(super) fn park_at<T>(
    at: &'static Location<'static>,
    why: &Why<'_>,
    register: impl FnOnce(Ticket<T>),
    undo: impl FnOnce() -> Undo,
) -> Result<T, Cancelled> {
    let (core, task) = park::whoever_waits()?;
    let slot: Slot<T> = Cell::new(None);
    // SAFETY: the task runs, and this is its code; between here and the end of the wait it is in no other.
    unsafe {
        let hot = park::hot(task);
        let wait = park::begin(task);
        let _void = Void(hot);
        let ticket = Ticket::new(task, wait, &raw const slot);
        without_waiting(|| register(ticket));
        // Cancelled while it was arranged: nobody would come to say so.
        let cancelled = (*park::current_branch()).effective().is_some();
        if cancelled && hot.outcome.get() == Outcome::Waiting {
            hot.outcome.set(Outcome::Asked);
        }
        let mut outcome = park::park_at(core, task, why, at, Cancel::Asks);
        if outcome == Outcome::Asked {
            let undone = without_waiting(undo);
            outcome = hot.outcome.get();
            if outcome == Outcome::Asked && undone == Undo::Later {
                hot.outcome.set(Outcome::Waiting);
                outcome = park::park_at(core, task, why, at, Cancel::Never);
            }
        }
        match slot.take() {
            Some(value) => Ok(value),
            None => {
                debug_assert_eq!(outcome, Outcome::Asked);
                park::note_failure(core, task);
                Err(park::cancelled())
            }
        }
    }
}

/// As [`park`], for no longer than `limit`.
#[track_caller]
pub(super) fn park_for<T>(
    limit: Duration,
    why: &Why<'_>,
    register: impl FnOnce(Ticket<T>),
    undo: impl FnOnce() -> Undo,
) -> Result<T, CrossError> {
    let at = Location::caller();
    with_frame(FrameKind::Plain, |frame| {
        frame.set_deadline(super::after(limit));
        if limit.is_zero() {
            frame.cancel(Reason::Deadline);
        }
        park_at(at, why, register, undo).map_err(|cancelled| {
            let is_over = frame.cancelled_itself() == Some(Reason::Deadline) && frame.has_cut_short();
            if is_over { CrossError::Elapsed } else { CrossError::Cancelled(cancelled) }
        })
    })
}

/// Decides a wait when it is over, whatever ended it.
pub(super) struct Void<'a>(pub(super) &'a super::hot::Hot);

impl Drop for Void<'_> {
    fn drop(&mut self) {
        if self.0.outcome.get().is_open() {
            self.0.outcome.set(Outcome::Cancelled);
        }
    }
}

/// Runs code in which waits fail, as they do in a callback, and yields of generators are refused.
///
/// For code of the user's that a primitive calls in the middle of a change: a comparison, a closure that gets at what is inside.
/// If it could wait, others would find what is half done.
///
/// ```
/// use ropewalk::{Cancelled, Reason, lowlevel, task};
///
/// ropewalk::run(|| {
///     let refused = lowlevel::without_waiting(task::checkpoint);
///     assert_eq!(refused, Err(Cancelled::new(Reason::OutsideTask)));
///     task::checkpoint().unwrap();
/// });
/// ```
pub fn without_waiting<R>(code: impl FnOnce() -> R) -> R {
    struct Restore(*const Record, Mark);
    impl Drop for Restore {
        fn drop(&mut self) {
            if !here::is_forked() {
                here::set_task(self.0);
            }
            mark::set(self.1);
        }
    }
    // As in `Core::outside`: a mark that nothing else has.
    let place = 0_u8;
    let _restore = Restore(here::task(), mark::set(Mark((&raw const place).cast())));
    here::set_task(std::ptr::null());
    code()
}
