//! Scopes whose tasks can fail: the first error cancels the rest, and none is lost.
//!
//! Invariant: as for [`scope`](super::scope::scope), nothing returns before all tasks have ended.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, Location};

use super::scope::Frames;
use super::{Invariant, ScopedJoinHandle};
use crate::error::{Cancelled, ErrorGroup, Failure, JoinError, Reason};
use crate::scheduler::{self, Failed, Options};

/// Starts tasks that may borrow and may fail. See [`try_scope`].
pub struct TryScope<'scope, 'env: 'scope, E> {
    frames: Frames<'scope>,
    failures: RefCell<Vec<Failure<E>>>,
    /// Whether one of the failures is more than that of a task which was cancelled by itself.
    has_failed: Cell<bool>,
    scope: Invariant<'scope>,
    env: Invariant<'env>,
}

/// As [`scope`](super::scope()), for tasks that return a `Result`: the first error cancels the others and the body, and all
/// errors come back together; Python's `TaskGroup`.
///
/// ```
/// use ropewalk::{task, time};
/// use std::io;
/// use std::time::Duration;
///
/// fn fetch(page: u32) -> io::Result<String> {
///     time::sleep(Duration::from_millis(page.into()))?;
///     match page {
///         3 => Err(io::ErrorKind::NotFound.into()),
///         page => Ok(format!("page {page}")),
///     }
/// }
///
/// ropewalk::run(|| {
///     let good = task::try_scope(|s| {
///         let pages = [2, 1].map(|page| s.spawn(move || fetch(page)));
///         Ok(pages.map(|page| page.join().unwrap()))
///     });
///     assert_eq!(good.unwrap(), ["page 2", "page 1"]);
///
///     let bad = task::try_scope(|s| {
///         for page in [5000, 3] {
///             s.spawn(move || fetch(page));             // Page 5000 is cancelled when page 3 fails.
///         }
///         Ok(())
///     });
///     assert_eq!(bad.unwrap_err().first().kind(), io::ErrorKind::NotFound);
/// });
/// ```
///
/// # Cancellation
///
/// As for [`scope`](super::scope()). What tasks return because they were cancelled is in the group too, marked so.
///
/// A task that was cancelled by itself, through its handle, and returns an error after a wait of its has failed, does not
/// fail the scope. Its error is in the group if the scope fails all the same.
///
/// # Errors
///
/// The errors of all tasks and of the body, in the order in which they ended. [`ErrorGroup::first`] is what it is all
/// about, and where `?` turns the group into an [`io::Error`](std::io::Error) or a [`Cancelled`] it becomes that. When the
/// compiler cannot tell `E`: see [`task`](super#errors).
///
/// # Panics
///
/// As for [`scope`](super::scope()). Panics go before errors.
#[doc(alias = "TaskGroup")]
#[doc(alias = "nursery")]
#[track_caller]
pub fn try_scope<'env, T, E, F>(body: F) -> Result<T, ErrorGroup<E>>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: 'env,
{
    let opened = Location::caller();
    Frames::with(|frames| {
        let scope = TryScope {
            frames,
            failures: RefCell::default(),
            has_failed: Cell::new(false),
            scope: Invariant::default(),
            env: Invariant::default(),
        };
        // SAFETY: below, the tasks are waited for before `scope` goes.
        let result = panic::catch_unwind(AssertUnwindSafe(|| body(&scope)));
        let result = match result {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error)) => {
                let cancelled = scope.frames.was_delivered();
                scope.failures.borrow_mut().push(Failure { error, cancelled, task: None, spawned: opened });
                scope.has_failed.set(true);
                scope.frames.cancel(Reason::Parent);
                Ok(None)
            }
            Err(payload) => {
                scope.frames.cancel(Reason::Parent);
                Err(payload)
            }
        };
        scope.frames.wait();
        let panicked = scope.frames.first_panic();
        let failures = scope.failures.take();
        match (result, panicked) {
            (Ok(Some(value)), None) if !scope.has_failed.get() => Ok(value),
            (Ok(_), None) => Err(ErrorGroup::new(failures)),
            (Ok(_), Some(failed)) => panic::resume_unwind(failed.into_payload()),
            (Err(payload), other) => {
                other.into_iter().for_each(Failed::tell);
                panic::resume_unwind(payload)
            }
        }
    })
}

impl<'scope, 'env, E: 'env> TryScope<'scope, 'env, E> {
    /// Starts a task in the scope; its error cancels the others. See [`Scope::spawn`](super::Scope::spawn).
    ///
    /// The handle gives what the task returned inside `Ok`. Its error belongs to the scope: then a join says
    /// [`JoinError::Failed`].
    #[inline]
    #[track_caller]
    pub fn spawn<T: 'scope>(
        &'scope self,
        task: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        self.spawn_with(Options::default(), task)
    }

    #[inline]
    #[track_caller]
    pub(super) fn spawn_with<T: 'scope>(
        &'scope self,
        options: Options,
        task: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        // SAFETY: `try_scope` waits for the frames before it returns, and `'scope` is over only then.
        unsafe { self.frames.spawn(false, options, self.keeping_errors(false, task)) }
    }

    /// Starts a service: see [`Scope::spawn_service`](super::Scope::spawn_service). What it returns because it was cancelled
    /// at the end does not fail the scope.
    #[track_caller]
    pub fn spawn_service<T: 'scope>(
        &'scope self,
        task: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        // SAFETY: as in `spawn_with`.
        unsafe { self.frames.spawn(true, Options::default(), self.keeping_errors(true, task)) }
    }

    /// Keeps the error of a task for the scope.
    #[inline]
    fn keeping_errors<T>(
        &'scope self,
        service: bool,
        task: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> impl FnOnce() -> Result<T, JoinError> + 'scope {
        move || {
            task().map_err(|error| {
                let (task, spawned, cancelled, alone) = scheduler::failing_task();
                // A service that says that it was cancelled when everybody was done says nothing.
                let dismissed = service && cancelled && self.frames.has_dismissed_services();
                self.failures.borrow_mut().push(Failure { error, cancelled, task, spawned });
                self.has_failed.set(self.has_failed.get() || !(alone || dismissed));
                // That cancels the others, as soon as the task has ended.
                JoinError::Failed
            })
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

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope").field("failures", &self.failures.borrow().len()).finish_non_exhaustive()
    }
}
