//! Several things at once: all of them, the first of them, as they come.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, Location};
use std::rc::Rc;

use super::scope::Scope;
use super::{ScopedJoinHandle, scope, shield, try_scope};
use crate::error::{Cancelled, ErrorGroup, JoinError, Panic, Reason};
use crate::scheduler::{self, Ends, FrameKind, Handle, with_frame};

/// Runs all of `tasks` side by side and returns what became of each, in the order in which they were given; Python's
/// `gather(.., return_exceptions=True)`.
///
/// None of them concerns the others: a panic of one is its result. They may borrow.
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let text = String::from("three small words");
///     let lengths = task::gather(text.split(' ').map(|word| move || word.len()));
///     assert_eq!(lengths.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [5, 5, 5]);
/// });
/// ```
///
/// # Cancellation
///
/// What cancels the caller cancels the tasks, which are still waited for. Those that had not begun are
/// [`JoinError::NeverRan`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn gather<F: FnOnce() -> T, T>(tasks: impl IntoIterator<Item = F>) -> Vec<Result<T, JoinError>> {
    let tasks: Vec<F> = tasks.into_iter().collect();
    let at = Location::caller();
    scope(|s| {
        // A panic that leaves a task would cancel the others.
        let run = |task: F| s.spawn(move || panic::catch_unwind(AssertUnwindSafe(task)));
        let handles: Vec<_> = tasks.into_iter().map(run).collect();
        shield(|| {
            handles
                .iter()
                .map(|task| task.join_at(at)?.map_err(|payload| JoinError::Panicked(Panic::new(payload))))
                .collect()
        })
    })
}

/// Runs all of `tasks` side by side and returns their values, in the order in which they were given, or all their
/// errors; Python's `gather`, but nothing is left running.
///
/// The first error cancels the others. They may borrow.
///
/// ```
/// use ropewalk::{Cancelled, task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let slept = task::try_gather([3, 1, 2].map(|ms| move || {
///         time::sleep(Duration::from_millis(ms))?;
///         Ok::<_, Cancelled>(ms)
///     }));
///     assert_eq!(slept.unwrap(), [3, 1, 2]);
/// });
/// ```
///
/// # Cancellation
///
/// What cancels the caller cancels the tasks, which are still waited for.
///
/// # Errors
///
/// Those of the tasks, in the order in which they ended; and [`Cancelled`], turned into an `E`, if a task never began.
///
/// # Panics
///
/// With the first panic of a task. Outside of [`run`](crate::run).
#[track_caller]
pub fn try_gather<F, T, E>(tasks: impl IntoIterator<Item = F>) -> Result<Vec<T>, ErrorGroup<E>>
where
    F: FnOnce() -> Result<T, E>,
    E: From<Cancelled>,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let at = Location::caller();
    let values = try_scope(|s| {
        let handles: Vec<_> = tasks.into_iter().map(|task| s.spawn(task)).collect();
        shield(|| handles.iter().map(|task| value_of(task, at)).collect::<Result<Vec<_>, E>>())
    })?;
    // A task without a value has failed, so that the scope has too; but for a panic, which went on.
    Ok(values.into_iter().flatten().collect())
}

/// `None` for a task whose error the scope keeps.
fn value_of<T, E: From<Cancelled>>(task: &Handle<T>, at: &'static Location<'static>) -> Result<Option<T>, E> {
    match task.join_at(at) {
        Ok(value) => Ok(Some(value)),
        Err(JoinError::NeverRan(cancelled) | JoinError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(JoinError::Panicked(panic)) => panic.resume(),
        Err(JoinError::NoStack(error)) => panic!("a task could not begin: {error}"),
        Err(JoinError::Failed | JoinError::Taken) => Ok(None),
    }
}

/// Takes the tasks of a [`race`].
pub struct Race<'scope, 'env, T> {
    scope: &'scope Scope<'scope, 'env>,
    winner: Rc<Cell<Option<T>>>,
    has_tasks: Cell<bool>,
}

/// Runs tasks side by side and returns what the first one to end returns. The others are cancelled *and* waited for.
///
/// They may borrow. What the losers return is dropped. An error wins too, if it comes first: for the first *success*,
/// start the tasks and use [`wait_until`].
///
/// ```
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let first = task::race(|r| {
///         r.add(|| time::sleep(Duration::from_secs(3600)).map(|()| "tortoise"));
///         r.add(|| time::sleep(Duration::from_millis(1)).map(|()| "hare"));
///     });
///     assert_eq!(first.unwrap(), Ok("hare"));
/// });
/// ```
///
/// # Cancellation
///
/// What cancels the caller cancels the tasks, and the first to return then is the winner.
///
/// # Errors
///
/// [`Cancelled`], if no task began before it was cancelled.
///
/// # Panics
///
/// With the panic of a task, unless another one had ended before: then it goes to the runtime's hook. When no task was
/// added. Outside of [`run`](crate::run).
#[track_caller]
pub fn race<'env, T, F>(add: F) -> Result<T, Cancelled>
where
    F: for<'scope> FnOnce(&Race<'scope, 'env, T>),
    T: 'env,
{
    let winner = Rc::new(Cell::new(None));
    let has_tasks = scope(|s| {
        let race = Race { scope: s, winner: winner.clone(), has_tasks: Cell::new(false) };
        add(&race);
        race.has_tasks.get()
    });
    match winner.take() {
        Some(value) => Ok(value),
        None if has_tasks => Err(why_nothing_begins().unwrap_or(Cancelled::new(Reason::Requested))),
        None => panic!("a race needs at least one task"),
    }
}

/// Why a task of a scope that were opened here would not begin.
fn why_nothing_begins() -> Option<Cancelled> {
    with_frame(FrameKind::Plain, |frame| frame.is_cancelled().or_else(|| frame.barren().map(Cancelled::new)))
}

impl<'scope, T> Race<'scope, '_, T> {
    /// Adds a task. It begins after the tasks that are ready now, as with [`Scope::spawn`].
    ///
    /// The handle is for cancelling this one alone: what the task returns is the race's.
    #[track_caller]
    pub fn add(&self, task: impl FnOnce() -> T + 'scope) -> ScopedJoinHandle<'scope, ()>
    where
        T: 'scope,
    {
        self.has_tasks.set(true);
        let (scope, winner) = (self.scope, self.winner.clone());
        scope.spawn(move || {
            let ended = panic::catch_unwind(AssertUnwindSafe(task));
            match (winner.take(), ended) {
                (None, Ok(value)) => {
                    winner.set(Some(value));
                    scope.frames.cancel(Reason::Done);
                }
                (None, Err(payload)) => panic::resume_unwind(payload),
                (Some(first), ended) => {
                    winner.set(Some(first));
                    ended.map_or_else(scheduler::unhandled_panic, drop);
                }
            }
        })
    }
}

impl<T> fmt::Debug for Race<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").finish_non_exhaustive()
    }
}

/// How long to [`wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until one has ended.
    First,
    /// Until one has ended without a value (it panicked, or never ran), or all have ended.
    FirstFailure,
    /// Until all have ended.
    All,
}

/// Which tasks have ended when a [`wait`] is over: indices into what was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waited {
    /// In the order in which they ended.
    pub done: Vec<usize>,
    /// In the order in which they were given.
    pub pending: Vec<usize>,
}

/// Waits for tasks without taking their results and without cancelling any; Python's `asyncio.wait`.
///
/// For a time limit put it into [`time::timeout`](crate::time::timeout). See [`wait_until`] to stop at the first error.
///
/// ```
/// use ropewalk::task::{self, Until};
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let tasks = [9, 1].map(|ms| task::spawn(move || time::sleep(Duration::from_millis(ms))));
///     let waited = task::wait(&tasks, Until::First).unwrap();
///     assert_eq!((waited.done, waited.pending), (vec![1], vec![0]));
/// });
/// ```
///
/// # Cancellation
///
/// A wait that is cancelled leaves the tasks alone.
///
/// # Errors
///
/// [`Cancelled`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn wait<T>(tasks: &[impl AsRef<Handle<T>>], until: Until) -> Result<Waited, Cancelled> {
    wait_until(tasks, |task| match until {
        Until::First => true,
        Until::FirstFailure => task.has_failed(),
        Until::All => false,
    })
}

/// As [`wait`], until `enough` says so of a task that has ended, or all have ended.
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let tasks = [1, -1, 2].map(|n| task::spawn(move || u32::try_from(n)));
///     let waited = task::wait_until(&tasks, |task| task.peek(|result| result.is_err()).unwrap_or(true));
///     assert!(waited.unwrap().done.contains(&1));
/// });
/// ```
///
/// # Cancellation
///
/// A wait that is cancelled leaves the tasks alone.
///
/// # Errors
///
/// [`Cancelled`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn wait_until<T>(
    tasks: &[impl AsRef<Handle<T>>],
    mut enough: impl FnMut(&Handle<T>) -> bool,
) -> Result<Waited, Cancelled> {
    let tasks: Vec<&Handle<T>> = tasks.iter().map(AsRef::as_ref).collect();
    let mut ends = Ends::of(tasks.clone());
    let mut done = Vec::new();
    let mut is_enough = false;
    while !is_enough {
        let Some(index) = ends.next()? else { break };
        done.push(index);
        is_enough = enough(tasks[index]);
    }
    // More may have ended meanwhile: those are done too.
    while let Some(index) = ends.next_told() {
        done.push(index);
    }
    let mut left = vec![true; tasks.len()];
    done.iter().for_each(|&index| left[index] = false);
    let pending = (0..tasks.len()).filter(|&index| left[index]).collect();
    Ok(Waited { done, pending })
}

/// The results of tasks in the order in which they end: see [`as_completed`].
#[must_use = "it waits only when it is asked for the next one"]
pub struct AsCompleted<'a, T> {
    tasks: Vec<&'a Handle<T>>,
    ends: Ends<'a, T>,
}

/// Takes the results of `tasks` as they end; Python's `as_completed`.
///
/// Each item is the index of a task and its result. An item costs the same however many tasks there are.
///
/// ```
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let tasks = [3, 1, 2].map(|ms| task::spawn(move || time::sleep(Duration::from_millis(ms)).map(|()| ms)));
///     let order: Vec<_> = task::as_completed(&tasks).map(|(_, result)| result.unwrap().unwrap()).collect();
///     assert_eq!(order, [1, 2, 3]);
/// });
/// ```
///
/// # Cancellation
///
/// When the wait for the next one is cancelled, the item is [`JoinError::Cancelled`] with the number of tasks for an
/// index, and the next call waits again.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
pub fn as_completed<T>(tasks: &[impl AsRef<Handle<T>>]) -> AsCompleted<'_, T> {
    let tasks: Vec<&Handle<T>> = tasks.iter().map(AsRef::as_ref).collect();
    AsCompleted { ends: Ends::of(tasks.clone()), tasks }
}

impl<T> Iterator for AsCompleted<'_, T> {
    type Item = (usize, Result<T, JoinError>);

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        match self.ends.next() {
            Ok(index) => index.map(|index| (index, self.tasks[index].join())),
            Err(cancelled) => Some((self.tasks.len(), Err(JoinError::Cancelled(cancelled)))),
        }
    }
}

impl<T> fmt::Debug for AsCompleted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}
