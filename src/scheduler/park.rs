//! The only way for a task to sleep, and to let others run.
//!
//! Words: a *wait* has a number. A task begins one, leaves the number with whoever is to wake it, and parks; a wake names
//! the task and the number. A wait is *granted* by a wake or *cancelled* by what it stands in.
//!
//! Invariants:
//! - A wait is decided once, by the waker or by the canceller. Whoever is second finds it gone: a waker keeps what it
//!   would have given, and a granted wait returns what it was given, cancelled or not.
//! - A wait that fails had no effect, and has let other tasks run.
//! - No task suspends while it unwinds, but at the end of a scope, where its children may borrow what would go.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::panic::Location;
use std::thread;

use super::branch::Branch;
use super::core::Core;
use super::fork;
use super::here;
use super::hot::{Cancel, Hot, Order, Outcome, SHARE};
use super::record::{Record, State};
use super::why::Why;
use crate::error::{Cancelled, Reason};
use crate::generator::mark;

/// The branch that the running task's waits stand under.
///
/// # Safety
///
/// There must be a running task.
#[inline(always)]
pub(super) unsafe fn current_branch() -> *const Branch {
    mark::current().0.cast()
}

/// The scheduler and the task, for a call that may wait.
///
/// # Errors
///
/// Outside of tasks; while the task unwinds; and in what has been cancelled, after other tasks had their turn.
///
/// # Panics
///
/// Outside of `run`.
#[inline]
#[track_caller]
pub(super) fn whoever_waits() -> Result<(&'static Core, *const Record), Cancelled> {
    let (core, task) = (here::core(), here::task());
    if task.is_null() {
        return Err(outside(core));
    }
    if thread::panicking() {
        return Err(Cancelled::new(Reason::Unwinding));
    }
    // SAFETY: there is a task, so there is its scheduler, and its branch. That the reference is not really static does
    // no harm: it stays in this file's callers, which run under the scheduler.
    unsafe {
        let core = &*core;
        if core.config.debug {
            core.pass_moment();
        }
        match (*current_branch()).effective() {
            None => Ok((core, task)),
            Some(reason) => Err(refuse(core, task, reason)),
        }
    }
}

#[cold]
#[track_caller]
fn outside(core: *const Core) -> Cancelled {
    if core.is_null() {
        here::no_runtime();
    }
    Cancelled::new(here::why_outside())
}

/// # Safety
///
/// `task` must be running.
#[cold]
unsafe fn refuse(core: &Core, task: *const Record, reason: Reason) -> Cancelled {
    // SAFETY: running, says the caller.
    unsafe {
        note_failure(core, task);
        // Code that ignores this in a loop must not keep the thread for itself.
        yield_(core, task);
    }
    Cancelled::new(reason)
}

/// # Safety
///
/// `task` must be alive and have a stack, for as long as the reference is used.
#[inline(always)]
pub(super) unsafe fn hot<'a>(task: *const Record) -> &'a Hot {
    // SAFETY: as the caller says.
    unsafe { &*(*task).hot.get() }
}

/// Begins a wait and returns its number.
///
/// # Safety
///
/// `task` must be running.
#[inline]
pub(super) unsafe fn begin(task: *const Record) -> u64 {
    // SAFETY: running, says the caller.
    let hot = unsafe { hot(task) };
    let wait = hot.wait.get() + 1;
    hot.wait.set(wait);
    hot.outcome.set(Outcome::Waiting);
    wait
}

/// Sleeps until the wait that was begun last is decided, or is to be taken back.
///
/// # Safety
///
/// `task` must be running, and have begun a wait. Nothing else of it may have waited since.
#[inline]
#[track_caller]
pub(super) unsafe fn park(core: &Core, task: *const Record, why: &Why<'_>, cancel: Cancel) -> Outcome {
    // SAFETY: as the caller says.
    unsafe { park_at(core, task, why, Location::caller(), cancel) }
}

/// As [`park`], for whoever knows better than the call where the user's code waits.
///
/// # Safety
///
/// As for [`park`].
#[inline]
pub(super) unsafe fn park_at(
    core: &Core,
    task: *const Record,
    why: &Why<'_>,
    at: &'static Location<'static>,
    cancel: Cancel,
) -> Outcome {
    // SAFETY: running, says the caller. `why` is looked at while the task is parked, no longer.
    unsafe {
        let hot = hot(task);
        // It may have been granted while it was being arranged.
        if hot.outcome.get() == Outcome::Waiting {
            // What has arranged the wait is the program's code, and may have forked.
            fork::end_child();
            hot.why.set(std::ptr::from_ref(why).cast());
            hot.at.set(at);
            hot.since.set(core.seen());
            hot.cancel.set(cancel);
            (*task).state.set(State::Parked);
            suspend(hot);
            hot.why.set(std::ptr::null());
            hot.cancel.set(Cancel::Never);
        }
        let outcome = hot.outcome.get();
        debug_assert_ne!(outcome, Outcome::Waiting, "a task goes on when its wait is decided");
        match outcome {
            Outcome::Granted => hot.ignored.set(0),
            // Not yet: it can still be granted, or cannot be taken back.
            Outcome::Asked => {}
            _ => note_failure(core, task),
        }
        outcome
    }
}

/// The task's wait goes on, for another reason, and is not cut short any more.
///
/// # Safety
///
/// `task` must be parked in a wait that is undecided. `why` must stay where it is until that has returned.
pub(super) unsafe fn send_on(core: &Core, task: *const Record, why: *const Why<'static>) {
    // SAFETY: parked, says the caller.
    unsafe {
        debug_assert_eq!((*task).state.get(), State::Parked);
        let hot = hot(task);
        hot.why.set(why);
        hot.since.set(core.seen());
        hot.cancel.set(Cancel::EndsAtLast);
    }
}

/// # Safety
///
/// `task` must be running.
#[cold]
pub(super) unsafe fn note_failure(core: &Core, task: *const Record) {
    // SAFETY: running, says the caller.
    unsafe {
        (*current_branch()).deliver();
        let hot = hot(task);
        hot.ignored.set(hot.ignored.get().saturating_add(1));
        core.note_ignored(task, hot.ignored.get());
    }
}

/// Why the running task's waits fail. They must.
///
/// # Safety
///
/// There must be a running task.
pub(super) unsafe fn cancelled() -> Cancelled {
    // SAFETY: as the caller says.
    let reason = unsafe { (*current_branch()).effective() };
    Cancelled::new(reason.expect("a wait fails only in what has been cancelled"))
}

/// After a wait that was asked to end, and has.
///
/// # Errors
///
/// What it stands in is cancelled, as it must be then.
///
/// # Safety
///
/// `task` must be running.
#[cold]
pub(super) unsafe fn fail_if_cancelled(core: &Core, task: *const Record) -> Result<(), Cancelled> {
    // SAFETY: running, says the caller.
    unsafe {
        match (*current_branch()).effective() {
            None => Ok(()),
            Some(reason) => {
                note_failure(core, task);
                Err(Cancelled::new(reason))
            }
        }
    }
}

/// Goes to the end of the ready queue.
///
/// # Safety
///
/// `task` must be running.
#[inline(always)]
pub(super) unsafe fn yield_(core: &Core, task: *const Record) {
    // SAFETY: running, says the caller.
    unsafe {
        let hot = hot(task);
        core.make_ready(task, hot);
        suspend(hot);
    }
}

/// Switches to the scheduler; returns when it resumes the task.
///
/// # Safety
///
/// `hot` must be that of the running task, and somebody must know that it is to be resumed.
#[inline(always)]
unsafe fn suspend(hot: &Hot) {
    hot.share.set(SHARE);
    hot.mark.set(mark::current());
    // SAFETY: the task runs: this is its stack, or that of a generator which it resumed. Another task's code cannot get
    // here, for it finds itself in `here`.
    unsafe { (*hot.way_back.get()).suspend(()) };
    while hot.order.get() != Order::GoOn {
        super::backtrace::answer(hot);
        // SAFETY: as above.
        unsafe { (*hot.way_back.get()).suspend(()) };
    }
    mark::set(hot.mark.get());
}

/// Lets the other tasks run that are ready: this one goes to the end of the queue.
///
/// Does nothing while the task unwinds, and outside of tasks.
///
/// # Panics
///
/// Outside of `run`.
#[inline]
#[track_caller]
pub(crate) fn yield_now() {
    let task = here::task();
    if task.is_null() {
        let _ = outside(here::core());
        return;
    }
    if thread::panicking() {
        return;
    }
    // SAFETY: there is a task, so there is its scheduler; it runs.
    unsafe { yield_(&*here::core(), task) };
}

/// Begins something that may have to wait, and may not: fails where a wait would.
///
/// What waits always lets others run. What finds at once what it would wait for should not starve them either: every so
/// many calls in a row, this one lets the others run that are ready. With a seed it is left to chance.
///
/// ```
/// use ropewalk::Cancelled;
/// use ropewalk::lowlevel::{self, WaitList, Why};
/// use std::cell::Cell;
///
/// struct Counter {
///     left: Cell<u32>,
///     waiting: WaitList,
/// }
///
/// impl Counter {
///     fn take(&self) -> Result<(), Cancelled> {
///         lowlevel::may_wait()?;
///         match self.left.get() {
///             0 => self.waiting.wait(&Why::new("counter")),
///             left => Ok(self.left.set(left - 1)),
///         }
///     }
/// }
///
/// let counter = Counter { left: Cell::new(1), waiting: WaitList::new() };
/// ropewalk::run(|| counter.take()).unwrap();
/// ```
///
/// # Errors
///
/// [`Cancelled`], as a wait would.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn may_wait() -> Result<(), Cancelled> {
    let (core, task) = whoever_waits()?;
    // SAFETY: the task runs.
    let hot = unsafe { hot(task) };
    let share = hot.share.get();
    if share == 0 || core.chance.is_some() {
        return let_others(core, task);
    }
    hot.share.set(share - 1);
    Ok(())
}

/// Begins something that will wait, whatever it finds: fails where a wait would, and does not let others run before.
///
/// For what has to do something first which a wait that fails must not have done, such as to give back a lock.
///
/// # Errors
///
/// [`Cancelled`], as a wait would.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn will_wait() -> Result<(), Cancelled> {
    whoever_waits()?;
    Ok(())
}

#[cold]
#[inline(never)]
#[track_caller]
fn let_others(core: &Core, task: *const Record) -> Result<(), Cancelled> {
    // SAFETY: the task runs.
    unsafe {
        match give_way(core, task) {
            true => fail_if_cancelled(core, task),
            false => Ok(()),
        }
    }
}

/// Lets others run; with a seed, if chance says so. Says whether they have.
///
/// # Safety
///
/// `task` must be running.
unsafe fn give_way(core: &Core, task: *const Record) -> bool {
    let now = match &core.chance {
        // Any moment at which it could happen is one of the schedules.
        Some(chance) => chance.below(4) == 0,
        None => true,
    };
    if now {
        // SAFETY: running, says the caller.
        unsafe { yield_(core, task) };
    }
    now
}

/// Lets others run now and then, as [`may_wait`] does, in the middle of something that has been waited for already. So it
/// does not fail: that is for the next wait, if there is one.
pub(crate) fn share_thread() {
    let task = here::task();
    if task.is_null() || thread::panicking() {
        return;
    }
    // SAFETY: there is a task, so there is its scheduler; it runs.
    unsafe {
        let (core, hot) = (&*here::core(), hot(task));
        match hot.share.get() {
            share if share > 0 && core.chance.is_none() => hot.share.set(share - 1),
            _ => {
                give_way(core, task);
            }
        }
    }
}

/// As [`yield_now`], where a cancellation is to be seen.
#[inline]
#[track_caller]
pub(crate) fn checkpoint() -> Result<(), Cancelled> {
    let (core, task) = whoever_waits()?;
    // SAFETY: the task runs.
    unsafe {
        yield_(core, task);
        match (*current_branch()).effective() {
            None => {
                hot(task).ignored.set(0);
                Ok(())
            }
            Some(reason) => {
                (*current_branch()).deliver();
                Err(Cancelled::new(reason))
            }
        }
    }
}

/// A slot for the value that comes with a wake.
pub(super) type Slot<T> = Cell<Option<T>>;
