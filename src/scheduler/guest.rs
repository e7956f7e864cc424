//! A runtime that somebody else's loop drives: it never waits by itself, and says what to wait for.
//!
//! Invariants:
//! - From its making to its drop the guest's scheduler is the one of its thread, also between its turns. So whoever wakes a task there
//!   finds the scheduler that it belongs to.
//! - As under `run`, no task is left when the scheduler goes. Whoever forgets a guest leaks it, with all stacks of its tasks; it stays the
//!   scheduler of the thread.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::Location;
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use super::branch::Branch;
use super::core::Core;
use super::fork;
use super::here;
use super::record::{State, TaskRef};
use super::rounds::Rest;
use super::runtime::{self, Present, RunError, Runtime};
use crate::error::Reason;
use crate::generator::mark;

/// A runtime inside another event loop, of a window system or of an async runtime; trio's guest mode.
///
/// The host calls [`tick`](Guest::tick), which runs tasks that are ready and does not wait. Then it waits with everything else that it
/// waits for: until the guest's descriptor can be read, and for no longer than [`limit`](Guest::limit) says.
///
/// ```
/// use ropewalk::lowlevel::Guest;
/// use ropewalk::{Runtime, time};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use std::time::Duration;
///
/// let mut guest = Guest::new(&Runtime::new(), || {
///     time::sleep(Duration::from_millis(5))?;
///     Ok::<_, ropewalk::Cancelled>("slept")
/// })?;
/// let result = loop {
///     if let Some(result) = guest.tick() {
///         break result;
///     }
///     let limit = guest.limit().map(|limit| Timespec::try_from(limit).unwrap());
///     // The host's own descriptors would stand beside it.
///     poll(&mut [PollFd::new(&guest, PollFlags::IN)], limit.as_ref())?;
/// };
/// assert_eq!(result.unwrap(), Ok("slept"));
/// # std::io::Result::Ok(())
/// ```
///
/// No deadlock is found: the host may always wake somebody.
///
/// The guest's runtime is that of the thread as long as the guest is there; there is no other one on it. What the host does between two turns
/// is as in a callback: it can spawn tasks, cancel, send to a channel that has room; it cannot wait. Tasks that this wakes go on with the
/// next turn, so that the host asks for the limit after it.
///
/// # Dropping
///
/// Cancels all tasks, and blocks the thread until they have ended.
pub struct Guest<T> {
    /// From a box. Not one any more, for a box says that nobody else points there.
    core: NonNull<Core>,
    present: ManuallyDrop<Present>,
    first: TaskRef,
    descriptor: RawFd,
    rest: Rest,
    is_done: bool,
    /// What the first task gives.
    result: PhantomData<T>,
}

impl<T: 'static> Guest<T> {
    /// A guest whose first task this is. It begins with the first tick.
    ///
    /// # Errors
    ///
    /// There is no descriptor to be had.
    ///
    /// # Panics
    ///
    /// When the thread has a runtime already.
    #[track_caller]
    pub fn new(runtime: &Runtime, first: impl FnOnce() -> T + 'static) -> io::Result<Guest<T>> {
        assert!(!here::is_forked(), "{}", fork::FORKED);
        assert!(here::core().is_null(), "a runtime runs on this thread already, and there can be one");
        let core = Box::new(Core::new(runtime.config().clone()));
        core.plant();
        core.is_guest.set(true);
        let descriptor = core.driver().descriptor()?;
        let birth = runtime::birth_of_first(&core, Location::caller());
        let present = Present::new(&core);
        // By a pointer: tasks point there too, while this is moved about.
        let core = NonNull::from(Box::leak(core));
        // SAFETY: the core stays where it is until the task has ended, and the closure borrows nothing.
        let first = unsafe { core.as_ref().spawn(core.as_ref().top(), birth, || Ok(first())) };
        Ok(Guest {
            core,
            present: ManuallyDrop::new(present),
            first,
            descriptor,
            rest: Rest::None,
            is_done: false,
            result: PhantomData,
        })
    }

    /// Runs tasks that are ready, for up to 64 turns of theirs, and does not wait. When all tasks have ended, it returns what
    /// [`Runtime::try_run`] would.
    ///
    /// # Panics
    ///
    /// With the panic of the first task. After it has returned the result.
    #[track_caller]
    pub fn tick(&mut self) -> Option<Result<T, RunError<T>>> {
        assert!(!self.is_done, "the guest has returned its result");
        assert!(!here::is_forked(), "{}", fork::FORKED);
        self.is_done = self.turn();
        if !self.is_done {
            return None;
        }
        // SAFETY: `T` is what the task was spawned with, and it has ended.
        let result = unsafe { self.first.record().take() };
        Some(runtime::conclude(self.core(), result.expect("a task that has ended has a result")))
    }
}

impl<T> Guest<T> {
    fn core<'a>(&self) -> &'a Core {
        // SAFETY: it is there until the drop of this, and no caller keeps the reference.
        unsafe { self.core.as_ref() }
    }

    /// For how long the host may wait, if nothing can be read from the guest's descriptor before: `None` is as long as it takes. It is
    /// zero where tasks are ready.
    pub fn limit(&self) -> Option<Duration> {
        match self.rest {
            Rest::Until(limit) if self.core().has_nobody_ready() => self.core().time_left().unwrap_or(limit),
            _ => Some(Duration::ZERO),
        }
    }

    /// Whether all is over.
    fn turn(&mut self) -> bool {
        let core = self.core();
        let _turn = InTurn { unwound: thread::panicking() };
        let mark = mark::current();
        let is_ending = self.first.record().state.get() == State::Ended;
        let done = || match is_ending {
            false => self.first.record().state.get() == State::Ended,
            true => core.alive() == 0,
        };
        self.rest = core.turn(done);
        let is_over = core.alive() == 0 && core.is_over() && core.alive() == 0;
        // The one that had the last step.
        here::set_task(std::ptr::null());
        mark::set(mark);
        is_over
    }
}

/// That a guest has its turn.
struct InTurn {
    unwound: bool,
}

impl Drop for InTurn {
    fn drop(&mut self) {
        runtime::assert_sound(self.unwound);
    }
}

impl<T> AsFd for Guest<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the driver keeps it open as long as the core is there.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

impl<T> AsRawFd for Guest<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}

impl<T> Drop for Guest<T> {
    fn drop(&mut self) {
        let core = self.core();
        if here::is_forked() {
            // Its tasks go on elsewhere: all of it stays.
            return;
        }
        // From now on nobody comes in between. The last turn has left it asleep, and who is asleep does not fall asleep: it would never look.
        core.is_guest.set(false);
        core.gate.wake_up();
        let mark = mark::current();
        let turn = InTurn { unwound: thread::panicking() };
        if !self.is_done {
            // SAFETY: the top is a field of the core.
            unsafe { Branch::cancel(core.top(), core, Reason::Shutdown) };
            core.run_until(|| self.first.record().state.get() == State::Ended);
        }
        // Also where all was over: the host may have spawned tasks since.
        core.wind_up();
        here::set_task(std::ptr::null());
        mark::set(mark);
        drop(turn);
        // SAFETY: no task is left, and neither is used again.
        unsafe {
            self.present.allow_panic();
            ManuallyDrop::drop(&mut self.present);
            drop(Box::from_raw(self.core.as_ptr()));
        }
    }
}

impl<T> fmt::Debug for Guest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("limit", &self.limit())
            .field("is_done", &self.is_done)
            .finish_non_exhaustive()
    }
}
