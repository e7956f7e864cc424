//! Tasks: functions that run side by side on one thread, and read like blocking code.
//!
//! A task runs until it calls something that waits; then others have their turn. [`spawn`] starts one on its own,
//! [`scope`] starts some that may borrow and are waited for.
//!
//! ```
//! use ropewalk::{Cancelled, task, time};
//! use std::time::Duration;
//!
//! fn say_after(delay: u64, what: &str) -> Result<String, Cancelled> {
//!     time::sleep(Duration::from_millis(delay))?;
//!     Ok(what.to_uppercase())
//! }
//!
//! ropewalk::run(|| {
//!     let words = [String::from("hello"), String::from("world")];
//!     let both = task::scope(|s| {
//!         let hello = s.spawn(|| say_after(2, &words[0]));       // They wait at the same time,
//!         let world = s.spawn(|| say_after(1, &words[1]));       // and borrow from here.
//!         [hello, world].map(|word| word.join().unwrap().unwrap())
//!     });
//!     assert_eq!(both, ["HELLO", "WORLD"]);
//! });
//! ```
//!
//! # Order
//!
//! Tasks that are ready run first come, first served: a spawned task goes to the end of the line, and whoever spawned it
//! goes on. Those that wait for the same thing are woken in the order in which they began to.
//!
//! # Cancellation
//!
//! Whatever waits returns a [`Result`]: in a scope that has been cancelled it fails with [`Cancelled`],
//! again and again until the scope is left. A wait that fails had no effect. See [`cancel_scope`].
//!
//! # Errors
//!
//! `?` in a closure turns errors into *some* type, and the compiler has to learn which. Where nothing after a scope says it,
//! the `Ok` at the end of its body does. A loop that starts tasks moves what each has for itself, and lends the rest:
//!
//! ```
//! use ropewalk::{Cancelled, task, time};
//! use std::cell::Cell;
//! use std::time::Duration;
//!
//! ropewalk::run(|| {
//!     let slept = Cell::new(0);
//!     let result = task::try_scope(|s| {
//!         let slept = &slept;                                    // A reference: it is moved in its place.
//!         for ms in [1, 2, 3] {
//!             s.spawn(move || {                                  // `ms` is the loop's, so `move`.
//!                 time::sleep(Duration::from_millis(ms))?;
//!                 Ok(slept.set(slept.get() + ms))
//!             });
//!         }
//!         Ok::<_, Cancelled>(())                                 // The error of all tasks of this scope.
//!     });
//!     result.unwrap();
//!     assert_eq!(slept.get(), 6);
//! });
//! ```
//!
//! A body that never ends by itself, such as `loop { ticks.tick()?; }`, has no `Ok` that could say it. Its type does:
//! `|| -> Result<(), Cancelled> { loop { ticks.tick()?; } }`.
//!
//! An error of your own has to come from [`Cancelled`], for `?` after waits, and from what becomes of a scope:
//!
//! ```
//! use ropewalk::{Cancelled, ErrorGroup, task};
//!
//! #[derive(Debug, PartialEq)]
//! enum Failed {
//!     Cancelled,
//!     TooLong(usize),
//! }
//!
//! impl From<Cancelled> for Failed {
//!     fn from(_: Cancelled) -> Failed {
//!         Failed::Cancelled
//!     }
//! }
//!
//! fn check(words: &[&str]) -> Result<(), Failed> {
//!     task::try_scope(|s| {
//!         for word in words {
//!             s.spawn(move || {
//!                 task::checkpoint()?;
//!                 if word.len() > 5 { Err(Failed::TooLong(word.len())) } else { Ok(()) }
//!             });
//!         }
//!         Ok(())
//!     })
//!     .map_err(ErrorGroup::into_first)                           // `io::Error` and `Cancelled` need no more than `?`.
//! }
//!
//! ropewalk::run(|| assert_eq!(check(&["oakum", "marline"]), Err(Failed::TooLong(7))));
//! ```

mod builder;
mod cancel;
mod combine;
mod finally;
mod handle;
mod local;
mod scope;
mod try_scope;

use std::marker::PhantomData;

pub use builder::Builder;
pub use cancel::{cancel_scope, shield};
pub use combine::{
    AsCompleted, Race, Until, Waited, as_completed, gather, race, try_gather, wait, wait_until,
};
pub use finally::{finally, finally_within};
pub use handle::{JoinHandle, ScopedJoinHandle};
pub use local::TaskLocal;
pub use scope::{NotReady, Ready, Scope, scope};
pub use try_scope::{TryScope, try_scope};

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{TaskId, TaskInfo};
use crate::scheduler::{self, Options};
pub use crate::scheduler::{CancelScope, Canceller, Handle, Joining};

/// Starts a task that belongs to no scope; Python's `create_task`.
///
/// It begins after the tasks that are ready now; the caller goes on first. When the first task of
/// [`run`](crate::run) ends, it is cancelled and waited for.
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let answer = task::spawn(|| 6 * 7);
///     assert!(!answer.is_finished());
///     assert_eq!(answer.join().unwrap(), 42);
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "create_task")]
#[doc(alias = "ensure_future")]
#[inline]
#[track_caller]
pub fn spawn<T: 'static>(task: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    JoinHandle::new(scheduler::spawn(task, Options::default()))
}

/// Lets the other tasks run that are ready: this one goes to the end of the line. Python's `sleep(0)`.
///
/// It does not look whether the task was cancelled: [`checkpoint`] does. While the task is panicking, and in a
/// callback, it does nothing.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn yield_now() {
    scheduler::yield_now();
}

/// Lets the other tasks run that are ready, as [`yield_now`] does, and fails if this one was cancelled.
///
/// # Errors
///
/// [`Cancelled`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn checkpoint() -> Result<(), Cancelled> {
    scheduler::checkpoint()
}

/// The running task; `None` outside of tasks. Python's `current_task`.
///
/// ```
/// use ropewalk::task;
///
/// assert!(task::current().is_none());
/// ropewalk::run(|| assert_eq!(task::current().unwrap().id.get(), 1));
/// ```
#[doc(alias = "current_task")]
pub fn current() -> Option<TaskInfo> {
    scheduler::current_info()
}

/// The number of the running task; `None` outside of tasks.
pub fn current_id() -> Option<TaskId> {
    scheduler::current_id()
}

/// All tasks that have not ended, in the order in which they were spawned; Python's `all_tasks`.
///
/// Empty outside of [`run`](crate::run).
#[doc(alias = "all_tasks")]
pub fn all() -> Vec<TaskInfo> {
    let mut tasks = scheduler::all_info();
    tasks.sort_by_key(|task| task.id);
    tasks
}

/// Keeps `'scope` from being shortened or lengthened, as `std::thread::Scope` does.
type Invariant<'a> = PhantomData<&'a mut &'a ()>;
