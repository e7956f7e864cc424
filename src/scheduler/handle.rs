//! Spawning tasks, and the handle to a task: waiting for its result, cancelling it.
//!
//! Invariant: a result is taken or dropped by way of the handle, on which the lifetime of what it may borrow stands, and
//! never later.
#![allow(unsafe_code)]

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use super::arm::Arm;
use super::branch::Branch;
use super::core::Core;
use super::frame::Frame;
use super::here;
use super::info::{TaskInfo, TaskState};
use super::place::InLine;
use super::record::{Birth, End, Extras, Record, State, TaskId, TaskRef};
use super::unhandled::Problem;
use super::wait_list::Watch;
use super::why::Why;
use crate::error::{Cancelled, JoinError, Reason};
use crate::stack::Shape;

/// What both kinds of handles can do: [`JoinHandle`](crate::task::JoinHandle) and
/// [`ScopedJoinHandle`](crate::task::ScopedJoinHandle).
pub struct Handle<T> {
    task: TaskRef,
    result: PhantomData<T>,
}

/// How a task is to be spawned.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) shape: Option<Shape>,
    pub(crate) eager: bool,
    /// If there is no stack for it, that concerns nobody else: the hook is told, and not the scope.
    pub(crate) contained: bool,
    /// Where it was spawned, if not by the caller.
    pub(crate) spawned: Option<&'static Location<'static>>,
}

impl Options {
    #[inline]
    fn extras(&mut self) -> Option<Box<Extras>> {
        if self.name.is_none() && self.shape.is_none() && !self.contained {
            return None;
        }
        let mut extras = Extras::none();
        extras.name = self.name.take();
        extras.shape = self.shape;
        extras.is_contained = self.contained;
        Some(extras)
    }
}

#[inline]
fn birth(options: &mut Options, spawned: &'static Location<'static>, scoped: bool) -> Birth {
    Birth { id: TaskId::NONE, spawned, extras: options.extras(), handled: true, scoped }
}

/// Spawns a task that belongs to no scope.
#[inline]
#[track_caller]
pub(crate) fn spawn<T: 'static>(closure: impl FnOnce() -> T + 'static, options: Options) -> Handle<T> {
    spawn_from(Location::caller(), closure, options)
}

/// As [`spawn`], for somebody else, who stands at `spawned`.
#[inline]
#[track_caller]
pub(super) fn spawn_from<T: 'static>(
    spawned: &'static Location<'static>,
    closure: impl FnOnce() -> T + 'static,
    mut options: Options,
) -> Handle<T> {
    let core = here::need_live_core();
    let birth = birth(&mut options, spawned, false);
    // SAFETY: the trunk is there as long as the core is. What the closure borrows is static.
    let task = unsafe {
        if core.config.debug {
            core.spawn(core.trunk(), birth, move || {
                let result = closure();
                note_error(&result);
                Ok(result)
            })
        } else {
            core.spawn(core.trunk(), birth, move || Ok(closure()))
        }
    };
    if options.eager {
        begin_now(core);
    }
    Handle { task, result: PhantomData }
}

/// Spawns a task that hangs on `frame`.
///
/// # Safety
///
/// Whoever opened the frame must wait for its tasks before it closes it. What `closure` and its result borrow must live
/// until then, and as long as the handle.
#[inline]
#[track_caller]
pub(crate) unsafe fn spawn_on<T>(
    frame: &Frame,
    closure: impl FnOnce() -> Result<T, JoinError>,
    mut options: Options,
) -> Handle<T> {
    // SAFETY: a scheduler outlives the code that runs under it, and there is a frame of it.
    let core = unsafe { &*here::core() };
    let spawned = options.spawned.unwrap_or(Location::caller());
    let birth = birth(&mut options, spawned, frame.barren().is_none());
    if let Some(reason) = frame.barren() {
        // It could not be waited for: it hangs on the trunk, never runs, and is over when this returns.
        let task = core.stillborn(birth, closure, Cancelled::new(reason));
        return Handle { task, result: PhantomData };
    }
    frame.task_begins();
    // SAFETY: the frame was told, and the rest is the caller's promise.
    let task = unsafe { core.spawn(frame.branch(), birth, closure) };
    if options.eager {
        begin_now(core);
    }
    Handle { task, result: PhantomData }
}

/// Lets the task that was spawned last take its first step now.
fn begin_now(core: &Core) {
    // It would begin in the middle of a panic, and every wait of its would fail.
    if !std::thread::panicking() {
        core.begin_last();
    }
}

impl<T> Handle<T> {
    /// Waits until the task has ended, and takes its result.
    ///
    /// The result can be taken once. A wait that fails can be begun again.
    ///
    /// # Cancellation
    ///
    /// A join that is cancelled leaves the task alone.
    ///
    /// # Errors
    ///
    /// How the task ended if it did not return; and [`JoinError::Cancelled`] if *this* wait was cancelled.
    ///
    /// # Panics
    ///
    /// In the task itself, which cannot wait for its own end; and outside of [`run`](crate::run).
    #[track_caller]
    pub fn join(&self) -> Result<T, JoinError> {
        self.join_at(Location::caller())
    }

    /// As [`join`](Handle::join), for whoever knows better than the call where the user's code waits.
    #[track_caller]
    pub(crate) fn join_at(&self, at: &'static Location<'static>) -> Result<T, JoinError> {
        let record = self.task.record();
        while record.state.get() != State::Ended {
            assert!(here::task() != self.task.as_ptr(), "a task cannot wait for its own end");
            let task = &record.id;
            let holder = || Some(*task);
            let name = Named(record);
            record
                .joiners
                .wait_at(&Why::new("task").on(&name).held_by(&holder), at)
                .map_err(JoinError::Cancelled)?;
        }
        self.try_result().expect("a task that has ended has a result")
    }

    /// An arm that waits for the end of the task, for [`select`](crate::select::select); it gives what
    /// [`join`](Handle::join) returns.
    pub fn joining(&self) -> Joining<'_, T> {
        Joining { handle: self }
    }

    /// The result, if the task has ended.
    pub fn try_result(&self) -> Option<Result<T, JoinError>> {
        let record = self.task.record();
        if record.state.get() != State::Ended {
            return None;
        }
        // SAFETY: `T` is what the task was spawned with.
        unsafe { record.take() }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.record().state.get() == State::Ended
    }

    /// Cancels the task: every wait of its fails from now on, but under a [`shield`](crate::task::shield).
    ///
    /// It goes on until it returns, and returns what it returns. If it has not begun it never will. A task that has
    /// ended is left as it is. Says whether this was the first time.
    pub fn cancel(&self) -> bool {
        let record = self.task.record();
        if record.state.get() == State::Ended {
            return false;
        }
        let core =
            here::lend_core().expect("a task that has not ended belongs to the scheduler of this thread");
        // SAFETY: it has not ended, so its branch hangs where it was hung.
        unsafe { Branch::cancel(&raw const record.branch, core, Reason::Requested) }
    }

    /// Nobody waits for the task, which was told to end: if it is still there when the first task ends, that is no news.
    pub(crate) fn dismiss(&self) {
        let record = self.task.record();
        if record.state.get() != State::Ended {
            record.extras_mut(|extras| extras.is_dismissed = true);
        }
    }

    /// Whether the task has ended without a value: it panicked, never ran, or its scope has its error.
    pub fn has_failed(&self) -> bool {
        let record = self.task.record();
        record.state.get() == State::Ended
            && matches!(record.end.get(), End::Failure | End::Quiet | End::Kept | End::FailureTaken)
    }

    /// Looks at the value without taking it; `None` if there is none, or not any more.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let record = self.task.record();
        if record.state.get() != State::Ended || record.end.get() != End::Value {
            return None;
        }
        /// Puts the value back, also if `look` panics.
        struct PutBack<'a, T>(&'a Record, Option<T>);
        impl<T> Drop for PutBack<'_, T> {
            fn drop(&mut self) {
                if let Some(value) = self.1.take() {
                    // SAFETY: it was taken from there, as a `T`, and there is a handle: it is borrowed.
                    unsafe { self.0.put_back(value) };
                }
            }
        }
        // Taken out meanwhile: `look` could take it through the same handle.
        // SAFETY: `T` is what the task was spawned with.
        let value = unsafe { record.take::<T>() }?.ok()?;
        let value = PutBack(record, Some(value));
        value.1.as_ref().map(look)
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.task.record().id
    }

    /// What the task is called, if it has a name.
    pub fn name(&self) -> Option<String> {
        self.task.record().name()
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.record().spawned
    }

    /// What is known of the task now.
    pub fn info(&self) -> TaskInfo {
        // SAFETY: a scheduler outlives the code that runs under it.
        TaskInfo::of(self.task.record(), unsafe { here::core().as_ref() })
    }
}

/// An arm that waits for the end of a task: see [`Handle::joining`].
#[derive(Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Joining<'a, T> {
    handle: &'a Handle<T>,
}

impl<'a, T> Arm for Joining<'a, T> {
    type Output = Result<T, JoinError>;
    type Place = InLine<'a, ()>;

    fn try_now(&mut self) -> Option<Self::Output> {
        self.handle.try_result()
    }

    fn place(&mut self) -> Self::Place {
        self.handle.task.record().joiners.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(&self.handle.task.record().joiners).value.and_then(|()| self.handle.try_result())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", Named(self.handle.task.record()))
    }

    fn holder(&self) -> Option<TaskId> {
        Some(self.handle.id())
    }
}

impl<T> Drop for Handle<T> {
    #[inline]
    fn drop(&mut self) {
        let record = self.task.record();
        record.handled.set(false);
        if record.state.get() == State::Ended {
            drop_result(record);
        }
    }
}

#[inline(never)]
fn drop_result(record: &Record) {
    if record.end.get() == End::Value {
        tell_error(record);
    }
    // SAFETY: the handle is just being dropped, so what the result borrows is alive.
    unsafe { record.drop_value() };
    // The failure of a task in a scope is the scope's business.
    if record.end.get() == End::Failure && !record.scoped.get() {
        // SAFETY: a scheduler outlives the code that runs under it.
        match unsafe { here::core().as_ref() } {
            Some(core) => core.tell_failure(record),
            None => {
                let mut error = record.take_failure().expect("`end` says that there is one");
                super::unhandled::Unhandled::new(Some(record), None, None, Problem::from_failure(&mut error))
                    .print();
            }
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.task.record();
        let state = match record.state.get() {
            State::New => TaskState::New,
            State::Ready => TaskState::Ready,
            State::Running => TaskState::Running,
            State::Ended => TaskState::Ended,
            State::Parked => return write!(f, "<{record}: waiting>"),
        };
        write!(f, "<{record}: {state}>")
    }
}

/// Tasks in the order in which they end.
pub(crate) struct Ends<'a, T> {
    handles: Vec<&'a Handle<T>>,
    watch: Watch,
    left: usize,
}

impl<'a, T> Ends<'a, T> {
    /// Those that have ended already come first.
    pub(crate) fn of(handles: Vec<&'a Handle<T>>) -> Ends<'a, T> {
        let line = |handle: &&'a Handle<T>| {
            let record = handle.task.record();
            (record.state.get() != State::Ended).then_some(&record.joiners)
        };
        // SAFETY: the handles keep the records where they are, and are borrowed for longer than this lives.
        let watch = unsafe { Watch::new(handles.iter().map(line)) };
        let left = handles.len();
        Ends { handles, watch, left }
    }

    /// The index of the next one to end; `None` when all have.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Result<Option<usize>, Cancelled> {
        if self.left == 0 {
            return Ok(None);
        }
        let left = self.left;
        let count = if left == 1 { "1 task".to_owned() } else { format!("one of {left} tasks") };
        let index = self.watch.next(&Why::new("the end of").on(&count))?;
        self.left -= 1;
        Ok(Some(index))
    }

    /// The index of the next one that has ended already.
    pub(crate) fn next_told(&mut self) -> Option<usize> {
        let index = self.watch.next_told()?;
        self.left -= 1;
        Some(index)
    }
}

impl<T> Drop for Ends<'_, T> {
    fn drop(&mut self) {
        self.watch.end(self.handles.iter().map(|handle| &handle.task.record().joiners));
    }
}

/// How a task is called where another waits for it.
struct Named<'a>(&'a Record);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => write!(f, "'{name}'"),
            None => write!(f, "{}", self.0.id),
        }
    }
}

// What debug mode finds in results.

/// Notes the error that a task returned, if it is of a type that can be recognised.
fn note_error<T: 'static>(result: &T) {
    let text = error_text(result);
    // SAFETY: this runs in the task.
    if let (Some(text), Some(task)) = (text, unsafe { here::task().as_ref() }) {
        task.extras_mut(|extras| extras.error = Some(text));
    }
}

fn error_text(result: &dyn Any) -> Option<String> {
    fn of<E: fmt::Display + 'static>(result: &dyn Any) -> Option<String> {
        result.downcast_ref::<Result<(), E>>()?.as_ref().err().map(E::to_string)
    }
    of::<std::io::Error>(result)
        .or_else(|| of::<Box<dyn Error>>(result))
        .or_else(|| of::<Box<dyn Error + Send + Sync>>(result))
        .or_else(|| of::<String>(result))
        .or_else(|| of::<&'static str>(result))
        .or_else(|| of::<JoinError>(result))
}

/// Nobody will look at the result: if it is an error that debug mode has noted, the hook is told.
#[inline]
pub(super) fn tell_error(record: &Record) {
    if record.has_extras() {
        tell_noted(record);
    }
}

#[cold]
fn tell_noted(record: &Record) {
    if record.with_extras(|extras| extras.is_none_or(|extras| extras.error.is_none())) {
        return;
    }
    let text = record.extras_mut(|extras| extras.error.take());
    if let (Some(text), Some(core)) = (text, here::lend_core()) {
        core.unhandled(Some(record), Problem::Error(&text));
    }
}
