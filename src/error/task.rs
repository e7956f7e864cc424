//! What a wait can fail with, and how a task can end.

use std::any::Any;
use std::error::Error;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};
use std::{fmt, io};

/// The wait was not carried out, or was taken back: it had no effect. The scope it stands in has been cancelled.
///
/// Pass it on with `?`. Until the scope is left every other wait in it fails too, except inside
/// [`task::shield`](crate::task::shield).
///
/// Inside an [`io::Error`] it is of the kind `Other`, never `Interrupted`: `read_exact`, `write_all` and their
/// like would retry that for ever. [`Cancelled::is`] finds it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "pass it on with `?`: the scope it comes from waits for this task to end"]
pub struct Cancelled {
    reason: Reason,
}

/// Why something was cancelled. The first reason wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it.
    Requested,
    /// A deadline has passed.
    Deadline,
    /// A sibling in the same scope failed or panicked.
    Sibling,
    /// The body of the scope failed or panicked.
    Parent,
    /// The scope has all it needs: the race is won, or only services are left.
    Done,
    /// `run` is about to return.
    Shutdown,
    /// Every task waited, and nothing was left that could wake one.
    Deadlock,
    /// A signal has asked the program to end: [`signal::cancel_on`](crate::signal::cancel_on).
    Interrupted,
    /// The task is panicking: a wait in a destructor must not switch.
    Unwinding,
    /// This process was forked from one in which a runtime runs, under that runtime: its tasks, and its input and output, are not here.
    Forked,
    /// The wait was called where there is no task: in a callback, or in a destructor that the scheduler runs.
    OutsideTask,
}

impl Cancelled {
    /// For a wait of your own that cannot be carried out.
    pub const fn new(reason: Reason) -> Cancelled {
        Cancelled { reason }
    }

    /// Why the scope was cancelled.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether `error` says that the operation was cancelled.
    ///
    /// ```
    /// use ropewalk::{Cancelled, Reason};
    ///
    /// let error = std::io::Error::from(Cancelled::new(Reason::Requested));
    /// assert!(Cancelled::is(&error));
    /// assert!(!Cancelled::is(&std::io::ErrorKind::NotFound.into()));
    /// ```
    pub fn is(error: &io::Error) -> bool {
        Cancelled::in_error(error).is_some()
    }

    /// The `Cancelled` inside an I/O error, if there is one.
    pub fn in_error(error: &io::Error) -> Option<Cancelled> {
        error.get_ref()?.downcast_ref::<Cancelled>().copied()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::Requested => "cancelled",
            Reason::Deadline => "cancelled: a deadline has passed",
            Reason::Sibling => "cancelled: a sibling task failed",
            Reason::Parent => "cancelled: the body of the scope failed",
            Reason::Done => "cancelled: the scope needs it no longer",
            Reason::Shutdown => "cancelled: the runtime is shutting down",
            Reason::Deadlock => "cancelled: every task waited, and nothing could wake one",
            Reason::Interrupted => "cancelled: a signal has asked the program to end",
            Reason::Unwinding => "not waited: the task is panicking",
            Reason::Forked => "not waited: the runtime is that of the process which this one was forked from",
            Reason::OutsideTask => "not waited: this is a callback, not a task",
        })
    }
}

impl Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> io::Error {
        io::Error::other(cancelled)
    }
}

/// The deadline passed before the work was done: what [`time::timeout`](crate::time::timeout) returns then.
///
/// It holds what the work returned when it was cut short.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Elapsed<T = ()>(pub T);

impl<T> Elapsed<T> {
    /// What the work returned when it was cut short.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Without what the work returned: an error that borrows nothing, for `?` in functions that return boxed errors.
    ///
    /// ```
    /// use ropewalk::sync::Semaphore;
    /// use ropewalk::{Elapsed, time};
    /// use std::error::Error;
    /// use std::time::Duration;
    ///
    /// fn call(limit: &Semaphore) -> Result<(), Box<dyn Error + Send + Sync>> {
    ///     let _permit = time::timeout(Duration::from_secs(1), || limit.acquire()).map_err(Elapsed::forget)??;
    ///     Ok(())
    /// }
    ///
    /// ropewalk::run(|| call(&Semaphore::new(1))).unwrap();
    /// ```
    pub fn forget(self) -> Elapsed {
        Elapsed(())
    }
}

impl<T> fmt::Debug for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elapsed").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl<T> Error for Elapsed<T> {}

impl<T> From<Elapsed<T>> for io::Error {
    fn from(_: Elapsed<T>) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, Elapsed(()))
    }
}

/// Why a task has no result to give.
///
/// ```
/// use ropewalk::task;
/// use std::error::Error;
///
/// fn answer() -> Result<i32, Box<dyn Error + Send + Sync>> {
///     Ok(task::spawn(|| 42).join()?)
/// }
///
/// assert_eq!(ropewalk::run(answer).unwrap(), 42);
/// ```
#[non_exhaustive]
pub enum JoinError {
    /// It panicked, with this.
    Panicked(Panic),
    /// It was cancelled before its first step, and never ran.
    NeverRan(Cancelled),
    /// There was no stack for it: the message names what ran out and the knob.
    NoStack(io::Error),
    /// It returned an error, which its scope keeps.
    Failed,
    /// Its result has been taken already.
    Taken,
    /// The wait for it was cancelled; it goes on, and can be waited for again.
    Cancelled(Cancelled),
}

impl JoinError {
    /// Whether the wait was cancelled, rather than the task.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled(_))
    }

    /// Goes on with the panic of the task, if that is what happened to it.
    pub fn resume_panic(self) -> JoinError {
        match self {
            JoinError::Panicked(panic) => panic.resume(),
            other => other,
        }
    }
}

/// What a task has panicked with.
///
/// It is `Sync`, which a payload need not be, so that errors that hold it can be boxed and passed on with `?`.
pub struct Panic {
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    /// For a panic that was caught.
    pub fn new(payload: Box<dyn Any + Send>) -> Panic {
        Panic { payload: Mutex::new(payload) }
    }

    /// The payload, as `std::panic::catch_unwind` gives it.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the panic.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_payload())
    }

    /// What it said, if that was a text.
    pub fn text(&self) -> String {
        panic_text(&**self.payload.lock().unwrap_or_else(PoisonError::into_inner)).to_owned()
    }

    pub(crate) fn payload(&mut self) -> &(dyn Any + Send) {
        &**self.payload.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.text()).finish()
    }
}

/// The text of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(not a string)")
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panic) => f.debug_tuple("Panicked").field(&panic.text()).finish(),
            JoinError::NeverRan(cancelled) => f.debug_tuple("NeverRan").field(cancelled).finish(),
            JoinError::NoStack(error) => f.debug_tuple("NoStack").field(error).finish(),
            JoinError::Failed => f.write_str("Failed"),
            JoinError::Taken => f.write_str("Taken"),
            JoinError::Cancelled(cancelled) => f.debug_tuple("Cancelled").field(cancelled).finish(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panic) => write!(f, "the task panicked: {}", panic.text()),
            JoinError::NeverRan(_) => f.write_str("the task was cancelled before it began"),
            JoinError::NoStack(error) => write!(f, "the task could not begin: {error}"),
            JoinError::Failed => f.write_str("the task failed, and its scope keeps the error"),
            JoinError::Taken => f.write_str("the result of the task has been taken already"),
            JoinError::Cancelled(cancelled) => write!(f, "{cancelled}, while it waited for a task"),
        }
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JoinError::NoStack(error) => Some(error),
            JoinError::NeverRan(cancelled) | JoinError::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        match error {
            JoinError::NoStack(error) => error,
            JoinError::Cancelled(cancelled) => cancelled.into(),
            other => io::Error::other(other),
        }
    }
}

/// All errors of the tasks of a scope, in the order in which the tasks ended; Python's `ExceptionGroup`.
///
/// There is at least one. The first is what made the scope cancel the rest, unless that had been cancelled from
/// outside.
pub struct ErrorGroup<E> {
    failures: Vec<Failure<E>>,
}

/// One error of an [`ErrorGroup`], and whose it was.
#[non_exhaustive]
pub struct Failure<E> {
    /// What the task returned.
    pub error: E,
    /// Whether one of the task's waits had been cancelled before: then the error may just say that.
    pub cancelled: bool,
    /// What the task is called; `None` for one without a name, and for the body of the scope.
    pub task: Option<String>,
    /// Where the task was spawned, or the scope opened.
    pub spawned: &'static Location<'static>,
}

impl<E> ErrorGroup<E> {
    /// # Panics
    ///
    /// When there are no failures: a group tells of at least one.
    pub(crate) fn new(failures: Vec<Failure<E>>) -> ErrorGroup<E> {
        assert!(!failures.is_empty(), "an error group has at least one error");
        ErrorGroup { failures }
    }

    /// All of them, in the order in which the tasks ended.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All of them, in the order in which the tasks ended.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The error that came first, of those that do not come from being cancelled if there is one.
    pub fn first(&self) -> &E {
        &self.failures[self.first_index()].error
    }

    /// As [`first`](ErrorGroup::first), by value; the others are dropped.
    pub fn into_first(mut self) -> E {
        let first = self.first_index();
        self.failures.swap_remove(first).error
    }

    /// The error, if it is the only one that does not come from being cancelled; else the group.
    ///
    /// # Errors
    ///
    /// The group itself, when it tells of several causes.
    pub fn only(self) -> Result<E, Self> {
        match self.causes().count() {
            0 | 1 => Ok(self.into_first()),
            _ => Err(self),
        }
    }

    /// Whether all tasks only failed because they were cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.causes().next().is_none()
    }

    /// The errors of tasks that had not been cancelled.
    pub fn causes(&self) -> impl Iterator<Item = &Failure<E>> {
        self.failures.iter().filter(|failure| !failure.cancelled)
    }

    fn first_index(&self) -> usize {
        self.failures.iter().position(|failure| !failure.cancelled).unwrap_or(0)
    }
}

impl<E: fmt::Debug> fmt::Debug for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.failures).finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Failure");
        shown.field("error", &self.error).field("cancelled", &self.cancelled);
        shown.field("task", &self.task).field("spawned", &format_args!("{}", self.spawned)).finish()
    }
}

impl<E: fmt::Display> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first())?;
        let causes = self.causes().count().max(1);
        match causes - 1 {
            0 => {}
            1 => f.write_str(" (and one more error)")?,
            more => write!(f, " (and {more} more errors)")?,
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for ErrorGroup<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.first())
    }
}

/// With `?` in a function that returns [`io::Result`], the first error goes on.
impl<E: Into<io::Error>> From<ErrorGroup<E>> for io::Error {
    fn from(group: ErrorGroup<E>) -> io::Error {
        group.into_first().into()
    }
}

impl From<ErrorGroup<Cancelled>> for Cancelled {
    fn from(group: ErrorGroup<Cancelled>) -> Cancelled {
        group.into_first()
    }
}

/// Why another thread gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteError {
    /// `run` has returned, or is about to; or it runs in the process that this one was forked from.
    Gone,
    /// The task panicked, or never ran; the runtime's hook was told.
    Lost,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemoteError::Gone => "the runtime is gone",
            RemoteError::Lost => "the task ended without a result",
        })
    }
}

impl Error for RemoteError {}
