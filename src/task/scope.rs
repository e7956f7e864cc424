//! Tasks that may borrow from whoever starts them, who waits for them: structured concurrency.
//!
//! Two frames: the tasks proper hang on the inner one; *services*, which are cancelled last, on the outer one.
//!
//! Invariant: `scope` does not return or unwind before all its tasks have ended, whatever happens. A panic of the body is
//! caught, the tasks are waited for, and then it goes on: catch, wait, rethrow.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, Location};
use std::rc::Rc;

use super::{Invariant, ScopedJoinHandle};
use crate::error::{Cancelled, JoinError, Reason};
use crate::scheduler::lowlevel::{WaitList, Why};
use crate::scheduler::{Failed, Frame, FrameKind, Options, spawn_on, with_frame};

/// Starts tasks that may borrow what outlives the scope. See [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pub(super) frames: Frames<'scope>,
    scope: Invariant<'scope>,
    env: Invariant<'env>,
}

/// What the two kinds of scopes have in common.
pub(super) struct Frames<'frames> {
    tasks: &'frames Frame,
    services: &'frames Frame,
    /// Where the user's code opened the scope, and so where it waits for the tasks.
    opened: &'static Location<'static>,
}

/// Runs `body`, which may start tasks that borrow, and returns when they all have ended; as `std::thread::scope` does.
///
/// A task that panics makes the scope cancel the others and the body, and the scope panics with it when all have ended,
/// unless its handle was joined. What tasks return is up to whoever joins them; where an error of one should cancel
/// the others, use [`try_scope`](super::try_scope).
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let mut left = vec![3, 1, 2];
///     let mut right = vec![9, 7, 8];
///     task::scope(|s| {
///         s.spawn(|| left.sort());
///         s.spawn(|| right.sort());
///     });
///     assert_eq!((left, right), (vec![1, 2, 3], vec![7, 8, 9]));
/// });
/// ```
///
/// # Cancellation
///
/// What cancels the body cancels the tasks: they hang below it. The scope still waits for them. Tasks that have not begun
/// then never do.
///
/// # Panics
///
/// With the panic of `body`; else with the first panic of a task that was not joined, or a message if a task got no stack.
/// Further panics go to the runtime's hook. Outside of [`run`](crate::run).
#[doc(alias = "nursery")]
#[doc(alias = "TaskGroup")]
#[track_caller]
pub fn scope<'env, T, F>(body: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    Frames::with(|frames| {
        let scope = Scope { frames, scope: Invariant::default(), env: Invariant::default() };
        // SAFETY: `Frames::with` waits for all tasks before `scope` goes.
        let result = panic::catch_unwind(AssertUnwindSafe(|| body(&scope)));
        if result.is_err() {
            scope.frames.tasks.cancel(Reason::Parent);
        }
        scope.frames.wait();
        let panicked = scope.frames.first_panic();
        match (result, panicked) {
            (Ok(value), None) => value,
            (Ok(_), Some(failed)) => panic::resume_unwind(failed.into_payload()),
            (Err(payload), other) => {
                other.into_iter().for_each(Failed::tell);
                panic::resume_unwind(payload)
            }
        }
    })
}

impl Frames<'_> {
    /// Opens the frames. `body` must call [`wait`](Frames::wait) before it returns, and must not unwind before.
    #[track_caller]
    pub(super) fn with<T>(body: impl FnOnce(Frames<'_>) -> T) -> T {
        let opened = Location::caller();
        with_frame(FrameKind::Plain, |tasks| {
            // Services end when the scope says so, whatever is cancelled outside.
            with_frame(FrameKind::Aside, |services| body(Frames { tasks, services, opened }))
        })
    }

    /// Waits for the tasks, and then for the services, which are cancelled.
    pub(super) fn wait(&self) {
        self.tasks.wait_for_tasks(self.opened);
        // More than once: a service may spawn tasks while it ends.
        while self.services.has_tasks() {
            self.services.cancel(Reason::Done);
            self.services.wait_for_tasks(self.opened);
            self.tasks.wait_for_tasks(self.opened);
        }
    }

    pub(super) fn cancel(&self, reason: Reason) -> bool {
        self.tasks.cancel(reason)
    }

    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        self.tasks.is_cancelled()
    }

    /// Whether the services have been cancelled because everybody else is done.
    pub(super) fn has_dismissed_services(&self) -> bool {
        self.services.cancelled_itself() == Some(Reason::Done)
    }

    /// Whether a wait of the body has failed because it was cancelled.
    pub(super) fn was_delivered(&self) -> bool {
        self.tasks.was_delivered()
    }

    /// The first panic of a task that nobody has taken; the others go to the hook. A task without a stack counts.
    pub(super) fn first_panic(&self) -> Option<Failed> {
        let failed = [self.tasks.take_failures(), self.services.take_failures()];
        let mut failed = failed.into_iter().flatten();
        let first = failed.next();
        failed.for_each(Failed::tell);
        first
    }

    /// # Safety
    ///
    /// The frames must be waited for, by [`wait`](Frames::wait), before anything goes that the task or its result
    /// borrows.
    #[inline]
    #[track_caller]
    pub(super) unsafe fn spawn<'scope, T: 'scope>(
        &self,
        service: bool,
        options: Options,
        task: impl FnOnce() -> Result<T, JoinError> + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        let frame = if service { self.services } else { self.tasks };
        // SAFETY: the caller waits for the frames. A handle lives no longer than `'scope`.
        ScopedJoinHandle::new(unsafe { spawn_on(frame, task, options) })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a task in the scope. It begins after the tasks that are ready now; the caller goes on first.
    ///
    /// In a scope that was opened by a destructor during a panic, or in a callback, nobody could wait for tasks: there
    /// they never run, as if they had been cancelled.
    #[inline]
    #[track_caller]
    pub fn spawn<T: 'scope>(&'scope self, task: impl FnOnce() -> T + 'scope) -> ScopedJoinHandle<'scope, T> {
        self.spawn_with(Options::default(), task)
    }

    #[inline]
    #[track_caller]
    pub(super) fn spawn_with<T: 'scope>(
        &'scope self,
        options: Options,
        task: impl FnOnce() -> T + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        // SAFETY: `scope` waits for the frames before it returns, and `'scope` is over only then.
        unsafe { self.frames.spawn(false, options, move || Ok(task())) }
    }

    /// As [`spawn`](Scope::spawn), for somebody else, who stands at `spawned`.
    pub(crate) fn spawn_from<T: 'scope>(
        &'scope self,
        spawned: &'static Location<'static>,
        task: impl FnOnce() -> T + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        self.spawn_with(Options { spawned: Some(spawned), ..Options::default() }, task)
    }

    /// Starts a *service*: a task for the others to use, which is cancelled when they all have ended.
    ///
    /// A log writer, a connection pool, a ticker. Neither a failure nor a cancellation of the scope reaches it before the
    /// last of the other tasks has ended. If it fails itself, those are cancelled. What it spawns while it ends is waited
    /// for too.
    ///
    /// ```
    /// use ropewalk::{task, time};
    /// use std::cell::Cell;
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let ticks = Cell::new(0);
    ///     task::scope(|s| {
    ///         s.spawn_service(|| {
    ///             while time::sleep(Duration::from_millis(1)).is_ok() {
    ///                 ticks.set(ticks.get() + 1);
    ///             }
    ///         });
    ///         s.spawn(|| time::sleep(Duration::from_millis(20)));
    ///     });
    ///     assert!(ticks.get() > 0);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_service<T: 'scope>(
        &'scope self,
        task: impl FnOnce() -> T + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        // SAFETY: as in `spawn_with`.
        unsafe { self.frames.spawn(true, Options::default(), move || Ok(task())) }
    }

    /// Starts a task and waits until it says that it is ready; trio's `nursery.start`.
    ///
    /// ```
    /// use ropewalk::task;
    ///
    /// ropewalk::run(|| {
    ///     task::scope(|s| {
    ///         let (port, server) = s.start(|ready| {
    ///             ready.set(8080);                    // It listens; from here on it serves.
    ///             "served"
    ///         }).unwrap();
    ///         assert_eq!(port, 8080);
    ///         assert_eq!(server.join().unwrap(), "served");
    ///     });
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// If the wait is cancelled the task goes on: its handle is in the error.
    ///
    /// # Errors
    ///
    /// The task ended, or dropped its [`Ready`], without having said so; or the wait was cancelled.
    #[track_caller]
    pub fn start<V: 'scope, T: 'scope>(
        &'scope self,
        task: impl FnOnce(Ready<V>) -> T + 'scope,
    ) -> Result<(V, ScopedJoinHandle<'scope, T>), NotReady<'scope, T>> {
        let said = Rc::new(WaitList::new());
        let ready = Ready { said: said.clone(), value: Rc::new(Cell::new(None)) };
        let value = ready.value.clone();
        let over = Over(said.clone());
        let handle = self.spawn(move || {
            // Also if it was forgotten, nobody is to wait for it any longer.
            let _over = over;
            task(ready)
        });
        let waited = said.wait(&Why::new("start").on(&handle.id()));
        match value.take() {
            Some(value) => Ok((value, handle)),
            None => Err(NotReady { task: handle, cancelled: waited.err() }),
        }
    }

    /// Cancels all tasks of the scope, and the waits of its body. Says whether this was the first time.
    pub fn cancel(&self) -> bool {
        self.frames.cancel(Reason::Requested)
    }

    /// Why waits in the scope fail, if they do.
    pub fn cancelled(&self) -> Option<Cancelled> {
        self.frames.cancelled()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("cancelled", &self.cancelled()).finish_non_exhaustive()
    }
}

/// With this a task says that it is ready: see [`Scope::start`].
pub struct Ready<V> {
    said: Rc<WaitList>,
    value: Rc<Cell<Option<V>>>,
}

impl<V> Ready<V> {
    /// The task is ready: whoever started it goes on with `value`.
    pub fn set(self, value: V) {
        self.value.set(Some(value));
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        // Whether it was said or not, there is nothing left to wait for.
        let _ = self.said.wake_one(());
    }
}

/// The task that was to say that it is ready has ended.
struct Over(Rc<WaitList>);

impl Drop for Over {
    fn drop(&mut self) {
        let _ = self.0.wake_one(());
    }
}

impl<V> fmt::Debug for Ready<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// A task did not say that it is ready: see [`Scope::start`].
#[non_exhaustive]
pub struct NotReady<'scope, T> {
    /// The task, which may go on or have ended.
    pub task: ScopedJoinHandle<'scope, T>,
    /// If the wait was cancelled. Else the task will never say so.
    pub cancelled: Option<Cancelled>,
}

impl<T> fmt::Display for NotReady<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cancelled {
            Some(cancelled) => write!(f, "{cancelled}, while it waited for a task to be ready"),
            None => f.write_str("the task ended without having said that it is ready"),
        }
    }
}

impl<T> fmt::Debug for NotReady<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotReady({self})")
    }
}

impl<T> std::error::Error for NotReady<'_, T> {}
