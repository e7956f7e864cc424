//! The record of a task: one allocation that holds its closure until it starts and its result once it has ended.
//!
//! Words: a *cell* is a record together with its payload, the closure or the result; only the functions in its `Table`
//! know the types. A [`TaskRef`] keeps a record's memory, nothing else.
//!
//! Invariants:
//! - The payload is the closure up to the task's first step, and from its end on what `end` says. The result is dropped
//!   by whoever has the handle (or with it), never with the memory: a stray reference to a task may outlive what its
//!   result borrows.
//! - `hot` is null but between a task's first step and its end.
//! - The scheduler holds one reference until the task has ended, the handle one until it is dropped.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr::{self, NonNull};

use super::branch::{Branch, Kind};
use super::cells::Cells;
use super::here;
use super::hot::Hot;
use super::local::Locals;
use super::wait_list::WaitList;
use crate::error::{Cancelled, JoinError, Panic, Reason};
use crate::report;
use crate::stack::Shape;

/// A number for each task of a runtime, in the order in which they were spawned; the first task of `run` is 1.
///
/// Tasks of different runs on one thread are never equal, though they may have the same number. (But for every 4096th run.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(super) NonZeroU64);

/// The lower bits are the number, those above tell the runs of a thread apart: something may remember a task of an earlier run.
const NUMBER_BITS: u32 = 52;

thread_local! {
    static RUNS: Cell<u64> = const { Cell::new(0) };
}

impl TaskId {
    /// To be replaced by the scheduler.
    pub(super) const NONE: TaskId = TaskId(NonZeroU64::MAX);

    /// What comes before the first task of a new run.
    pub(super) fn before_first() -> u64 {
        let run = RUNS.get();
        RUNS.set(run.wrapping_add(1));
        run << NUMBER_BITS
    }

    /// The task after that one.
    #[inline(always)]
    pub(super) fn after(last: u64) -> TaskId {
        TaskId(NonZeroU64::new(last + 1).expect("2^52 tasks take decades"))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get() & ((1 << NUMBER_BITS) - 1)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.get())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// In the ready queue, without a stack.
    New,
    /// In the ready queue.
    Ready,
    Running,
    /// In nobody's queue but that of what it waits for.
    Parked,
    Ended,
}

/// What the payload of a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The closure, or nothing while it runs.
    NotYet,
    Value,
    /// A failure that somebody has to be told of.
    Failure,
    /// A failure that is no news: it was cancelled before it began.
    Quiet,
    /// It failed, and its scope keeps the error.
    Kept,
    /// Nothing any more.
    Taken,
    /// Nothing any more; it was a failure.
    FailureTaken,
}

/// What only few tasks have.
pub(super) struct Extras {
    pub(super) name: Option<String>,
    pub(super) shape: Option<Shape>,
    pub(super) locals: Locals,
    /// Guards that the task has and must give back.
    pub(super) held: u32,
    /// In debug mode: the error that it returned, until somebody takes its result.
    pub(super) error: Option<String>,
    /// It was told to end, and whoever told it does not wait: no news if it is still there.
    pub(super) is_dismissed: bool,
    /// If there is no stack for it, the hook is told, and not the scope.
    pub(super) is_contained: bool,
}

#[repr(C)]
pub(crate) struct Record {
    /// The first field: found again by a cast.
    pub(super) branch: Branch,
    // What a switch looks at stands together.
    pub(super) hot: Cell<*const Hot>,
    pub(super) state: Cell<State>,
    pub(super) end: Cell<End>,
    /// Whether somebody has a handle.
    pub(super) handled: Cell<bool>,
    /// Whether its failure concerns the scope it hangs on.
    pub(super) scoped: Cell<bool>,
    pub(super) joiners: WaitList,
    table: &'static Table,
    pub(super) id: TaskId,
    pub(super) spawned: &'static Location<'static>,
    extras: Cell<Option<Box<Extras>>>,
}

/// What knows the types of a cell.
struct Table {
    /// Runs the closure, on the task's stack.
    run: unsafe fn(*const Record),
    /// Drops the closure without running it, and fails.
    fail: unsafe fn(*const Record, JoinError),
    /// Moves the value to where the second argument points.
    take: unsafe fn(*const Record, *mut ()),
    /// Moves a value in that was taken.
    put_back: unsafe fn(*const Record, *mut ()),
    take_failure: unsafe fn(*const Record) -> JoinError,
    drop_value: unsafe fn(*const Record),
    free: unsafe fn(*const Record),
}

#[repr(C)]
struct TaskCell<F, T> {
    record: Record,
    payload: UnsafeCell<Payload<F, T>>,
}

union Payload<F, T> {
    closure: ManuallyDrop<F>,
    value: ManuallyDrop<T>,
    failure: ManuallyDrop<Box<JoinError>>,
}

impl<F: FnOnce() -> Result<T, JoinError>, T> TaskCell<F, T> {
    const TABLE: &'static Table = &Table {
        run: Self::run,
        fail: Self::fail,
        take: Self::take,
        put_back: Self::put_back,
        take_failure: Self::take_failure,
        drop_value: Self::drop_value,
        free: Self::free,
    };

    /// # Safety
    ///
    /// For all functions of the table: `record` must be that of such a cell, and its `end` what the function needs.
    unsafe fn payload<'a>(record: *const Record) -> *mut Payload<F, T>
    where
        Self: 'a,
    {
        // SAFETY: a record is the first field of its cell.
        unsafe { (*record.cast::<Self>()).payload.get() }
    }

    unsafe fn run(record: *const Record) {
        // Taken out where it is used, so that large captures are not moved about on the stack.
        // SAFETY: a task that has not run holds its closure, and it is taken once.
        let closure =
            || unsafe { ManuallyDrop::into_inner(ptr::read(&raw const (*Self::payload(record)).closure)) };
        // SAFETY: alive, says the caller.
        let result = match unsafe { (*record).branch.effective() } {
            None => match panic::catch_unwind(AssertUnwindSafe(|| closure()())) {
                Ok(result) => result,
                Err(payload) => Err(JoinError::Panicked(Panic::new(payload))),
            },
            // Cancelled before its first step: it never runs. Its captures are dropped here, where they may wait.
            Some(reason) => {
                let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(closure())));
                dropped.unwrap_or_else(super::unhandled_panic);
                Err(JoinError::NeverRan(Cancelled::new(reason)))
            }
        };
        // SAFETY: the closure is gone, and nobody looks at the payload before `end` says what it is.
        unsafe { Self::finish(record, result) };
    }

    unsafe fn fail(record: *const Record, error: JoinError) {
        // SAFETY: a task that has not run holds its closure.
        let closure = unsafe { ptr::read(&raw const (*Self::payload(record)).closure) };
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(ManuallyDrop::into_inner(closure))));
        dropped.unwrap_or_else(super::unhandled_panic);
        // SAFETY: as in `run`.
        unsafe { Self::finish(record, Err(error)) };
    }

    unsafe fn finish(record: *const Record, result: Result<T, JoinError>) {
        // SAFETY: alive, says the caller; the payload is empty.
        unsafe {
            match result {
                Ok(value) if (*record).handled.get() => {
                    (*Self::payload(record)).value = ManuallyDrop::new(value);
                    (*record).end.set(End::Value);
                }
                Ok(value) => {
                    super::handle::tell_error(&*record);
                    // Nobody is interested. Dropped on the task's own stack, where it may wait.
                    (*record).end.set(End::Taken);
                    let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(value)));
                    if let Err(payload) = dropped {
                        (*Self::payload(record)).failure =
                            ManuallyDrop::new(Box::new(JoinError::Panicked(Panic::new(payload))));
                        (*record).end.set(End::Failure);
                    }
                }
                Err(error) => {
                    let end = match error {
                        JoinError::NeverRan(_) => End::Quiet,
                        JoinError::Failed => End::Kept,
                        _ => End::Failure,
                    };
                    (*Self::payload(record)).failure = ManuallyDrop::new(Box::new(error));
                    (*record).end.set(end);
                }
            }
        }
    }

    unsafe fn take(record: *const Record, to: *mut ()) {
        // SAFETY: `end` was `Value`, says the caller, and says now that it is not any more.
        unsafe {
            (*record).end.set(End::Taken);
            let value = ptr::read(&raw const (*Self::payload(record)).value);
            to.cast::<T>().write(ManuallyDrop::into_inner(value));
        }
    }

    unsafe fn put_back(record: *const Record, from: *mut ()) {
        // SAFETY: `end` was `Taken`, says the caller.
        unsafe {
            (*Self::payload(record)).value = ManuallyDrop::new(from.cast::<T>().read());
            (*record).end.set(End::Value);
        }
    }

    unsafe fn take_failure(record: *const Record) -> JoinError {
        // SAFETY: `end` told of a failure, says the caller, and says now that it is not there any more.
        unsafe {
            (*record).end.set(End::FailureTaken);
            *ManuallyDrop::into_inner(ptr::read(&raw const (*Self::payload(record)).failure))
        }
    }

    unsafe fn drop_value(record: *const Record) {
        // SAFETY: as in `take`.
        unsafe {
            (*record).end.set(End::Taken);
            drop(ManuallyDrop::into_inner(ptr::read(&raw const (*Self::payload(record)).value)));
        }
    }

    unsafe fn free(record: *const Record) {
        let cell = record.cast::<Self>().cast_mut();
        // SAFETY: it is such a cell, and this was the last reference. A value is not dropped with it; a failure that nobody
        // took borrows nothing.
        unsafe {
            let failure = (*record).take_failure();
            let extras = (*record).extras.take();
            let layout = Layout::new::<Self>();
            match here::lend_core() {
                Some(core) => core.cells().give_back(cell.cast(), layout),
                None => alloc::dealloc(cell.cast(), layout),
            }
            drop((failure, extras));
        }
    }
}

/// What a task is to be.
pub(super) struct Birth {
    pub(super) id: TaskId,
    pub(super) spawned: &'static Location<'static>,
    pub(super) extras: Option<Box<Extras>>,
    pub(super) handled: bool,
    pub(super) scoped: bool,
}

/// A counted reference to the record of a task.
pub(crate) struct TaskRef(NonNull<Record>);

impl TaskRef {
    /// Makes a task; the reference is the scheduler's own.
    ///
    /// # Safety
    ///
    /// What `closure` and its result borrow must live until the task has ended, and for its result until it was taken or
    /// dropped.
    #[inline]
    pub(super) unsafe fn new<F: FnOnce() -> Result<T, JoinError>, T>(
        cells: &Cells,
        birth: Birth,
        closure: F,
    ) -> TaskRef {
        let branch = Branch::new(Kind::Task, false);
        branch.count.set(1);
        let memory = cells.allocate(Layout::new::<TaskCell<F, T>>()).cast::<TaskCell<F, T>>();
        // SAFETY: it is ours, and large enough. Everything in a record but `extras`, which `free` takes out, needs no drop.
        unsafe {
            memory.write(TaskCell {
                record: Record {
                    branch,
                    hot: Cell::new(ptr::null()),
                    state: Cell::new(State::New),
                    end: Cell::new(End::NotYet),
                    handled: Cell::new(birth.handled),
                    scoped: Cell::new(birth.scoped),
                    joiners: WaitList::new(),
                    table: TaskCell::<F, T>::TABLE,
                    id: birth.id,
                    spawned: birth.spawned,
                    extras: Cell::new(birth.extras),
                },
                payload: UnsafeCell::new(Payload::<F, T> { closure: ManuallyDrop::new(closure) }),
            });
        }
        TaskRef(memory.cast())
    }

    /// One more reference.
    ///
    /// # Safety
    ///
    /// `record` must be alive.
    #[inline]
    pub(super) unsafe fn to(record: *const Record) -> TaskRef {
        // SAFETY: alive, says the caller, hence not null.
        unsafe {
            let count = &(*record).branch.count;
            // As `Rc` does: references can be forgotten, and 2^32 of them would free what is still used.
            count.set(
                count.get().checked_add(1).unwrap_or_else(|| report::fatal("too many references to a task")),
            );
            TaskRef(NonNull::new_unchecked(record.cast_mut()))
        }
    }

    /// Takes over a reference that [`into_raw`](TaskRef::into_raw) gave.
    ///
    /// # Safety
    ///
    /// Once for each time.
    #[inline]
    pub(super) unsafe fn from_raw(record: *const Record) -> TaskRef {
        // SAFETY: it came from a reference, hence not null.
        TaskRef(unsafe { NonNull::new_unchecked(record.cast_mut()) })
    }

    #[inline]
    pub(super) fn into_raw(self) -> *const Record {
        ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline]
    pub(super) fn as_ptr(&self) -> *const Record {
        self.0.as_ptr()
    }

    #[inline]
    pub(crate) fn record(&self) -> &Record {
        // SAFETY: this reference keeps it alive. A record is all cells, and never leaves its thread.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        // SAFETY: this reference keeps it alive.
        unsafe { TaskRef::to(self.as_ptr()) }
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let count = &self.record().branch.count;
        let left = count.get() - 1;
        count.set(left);
        if left == 0 {
            // SAFETY: this was the last reference.
            unsafe { (self.record().table.free)(self.as_ptr()) };
        }
    }
}

impl Record {
    /// # Safety
    ///
    /// On the task's stack, once.
    #[inline]
    pub(super) unsafe fn run(this: *const Record) {
        // SAFETY: as the caller says.
        unsafe { ((*this).table.run)(this) };
    }

    /// # Safety
    ///
    /// The task must not have run.
    pub(super) unsafe fn fail(this: *const Record, error: JoinError) {
        // SAFETY: as the caller says.
        unsafe { ((*this).table.fail)(this, error) };
    }

    /// The value, if there is one.
    ///
    /// # Safety
    ///
    /// `T` must be the type of the task's result.
    #[inline]
    pub(super) unsafe fn take<T>(&self) -> Option<Result<T, JoinError>> {
        match self.end.get() {
            End::NotYet => None,
            End::Value => {
                let mut value = std::mem::MaybeUninit::<T>::uninit();
                // SAFETY: `end` says that there is one, and its type is `T`, says the caller.
                unsafe {
                    (self.table.take)(self, value.as_mut_ptr().cast());
                    Some(Ok(value.assume_init()))
                }
            }
            End::Failure | End::Quiet | End::Kept => self.take_failure().map(Err),
            End::Taken | End::FailureTaken => Some(Err(JoinError::Taken)),
        }
    }

    /// Undoes a [`take`](Record::take).
    ///
    /// # Safety
    ///
    /// `T` must be the type of the task's result, and that have been taken; there must be a handle.
    pub(super) unsafe fn put_back<T>(&self, value: T) {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: as the caller says; it is moved from here.
        unsafe { (self.table.put_back)(self, (&raw mut value).cast()) };
    }

    pub(super) fn take_failure(&self) -> Option<JoinError> {
        // SAFETY: `end` says that there is one.
        matches!(self.end.get(), End::Failure | End::Quiet | End::Kept)
            .then(|| unsafe { (self.table.take_failure)(self) })
    }

    /// The handle is gone: what it could have taken goes too.
    ///
    /// # Safety
    ///
    /// Whatever the result borrows must still be alive.
    pub(super) unsafe fn drop_value(&self) {
        if self.end.get() == End::Value {
            // SAFETY: `end` says that there is one.
            unsafe { (self.table.drop_value)(self) };
        }
    }

    #[inline(always)]
    pub(super) fn has_extras(&self) -> bool {
        // SAFETY: as in `with_extras`.
        unsafe { (*self.extras.as_ptr()).is_some() }
    }

    /// Lends what only few tasks have.
    #[inline]
    pub(super) fn with_extras<R>(&self, look: impl FnOnce(Option<&Extras>) -> R) -> R {
        // SAFETY: extras are only replaced through `extras_mut`; `look` does not get at it, for it runs no user's code.
        look(unsafe { (*self.extras.as_ptr()).as_deref() })
    }

    /// Changes what only few tasks have; `change` must run no user's code.
    pub(super) fn extras_mut<R>(&self, change: impl FnOnce(&mut Extras) -> R) -> R {
        let mut extras = self.extras.take().unwrap_or_else(Extras::none);
        let result = change(&mut extras);
        self.extras.set(Some(extras));
        result
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.with_extras(|extras| extras?.name.clone())
    }

    pub(super) fn is_cancelled(&self) -> Option<Reason> {
        self.branch.effective()
    }

    /// Whether a wait of its has failed, and nothing but the task itself was cancelled.
    pub(super) fn was_cancelled_alone(&self) -> bool {
        self.branch.was_delivered() && self.branch.is_outermost()
    }
}

impl Extras {
    pub(super) fn none() -> Box<Extras> {
        let locals = Locals::default();
        Box::new(Extras {
            name: None,
            shape: None,
            locals,
            held: 0,
            error: None,
            is_dismissed: false,
            is_contained: false,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "task {} '{name}' spawned at {}", self.id, self.spawned),
            None => write!(f, "task {} spawned at {}", self.id, self.spawned),
        }
    }
}

/// The last thing that a task does on its stack: what belongs to it goes.
#[inline]
pub(super) fn leave(record: &Record) {
    if record.has_extras() {
        leave_extras(record);
    }
}

#[cold]
fn leave_extras(record: &Record) {
    drop_locals(record);
    // One of them may have had the handle.
    if !record.handled.get() && record.end.get() == End::Value {
        super::handle::tell_error(record);
        // SAFETY: the task has not ended, so what its result borrows is alive.
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| unsafe { record.drop_value() })) {
            crate::scheduler::unhandled_panic(payload);
        }
        drop_locals(record);
    }
    let held = record.with_extras(|extras| extras.map_or(0, |extras| extras.held));
    if held > 0 {
        super::life::tell_held(record, held);
    }
}

/// Until none is left: what is dropped may set others, and those must not go with the memory, wherever that is freed.
fn drop_locals(record: &Record) {
    while record.with_extras(|extras| extras.is_some_and(|extras| !extras.locals.is_empty())) {
        let locals = record.extras_mut(|extras| std::mem::take(&mut extras.locals));
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(locals)));
        dropped.unwrap_or_else(super::unhandled_panic);
    }
}
