//! How tasks begin and end: from a closure in the queue to a result, with a stack in between.
//!
//! Invariant: a task hangs on its parent, and counts as alive, from its spawn until it is buried; then the scheduler lets
//! its record go. What ends it has ended everything that lies on its stack.
#![allow(unsafe_code)]

use super::branch::Branch;
use super::core::Core;
use super::fork;
use super::frame::Frame;
use super::here;
use super::hot::{Hot, TaskFiber};
use super::record::{Birth, End, Extras, Record, State, TaskId, TaskRef};
use super::unhandled::Problem;
use crate::error::{Cancelled, JoinError};
use crate::generator::mark::{self, Mark};
use crate::generator::switch::Parent;
use crate::stack::{self, Label, LabelKind, Shape};

impl Core {
    /// Makes a task and puts it at the end of the queue.
    ///
    /// # Safety
    ///
    /// `parent` must be alive until the task has ended; if it is that of a frame, that one has been told. For what the
    /// closure borrows see [`TaskRef::new`].
    #[inline]
    pub(super) unsafe fn spawn<F: FnOnce() -> Result<T, JoinError>, T>(
        &self,
        parent: *const Branch,
        mut birth: Birth,
        closure: F,
    ) -> TaskRef {
        birth.id = TaskId::after(self.last_id.get());
        self.last_id.set(birth.id.0.get());
        inherit(&mut birth.extras);
        // SAFETY: as the caller says.
        unsafe {
            let task = TaskRef::new(&self.cells, birth, closure).into_raw();
            Branch::hang(&raw const (*task).branch, parent);
            self.alive.set(self.alive.get() + 1);
            self.queue.push(task, std::ptr::null());
            TaskRef::to(task)
        }
    }

    /// A task that never runs: it is over when this returns, and what the closure borrows is not looked at after it.
    pub(super) fn stillborn<F: FnOnce() -> Result<T, JoinError>, T>(
        &self,
        birth: Birth,
        closure: F,
        why: Cancelled,
    ) -> TaskRef {
        // SAFETY: the trunk is there; the closure is dropped below, and the task has no result but its failure.
        unsafe {
            let running = here::task();
            let task = self.spawn(self.trunk(), birth, closure);
            let record = self.queue.pop_back();
            debug_assert_eq!(record, task.as_ptr());
            self.outside(|| Record::fail(record, JoinError::NeverRan(why)));
            self.bury(record);
            here::set_task(running);
            task
        }
    }

    /// Lets the task that was spawned last take its first step now, on top of whatever runs here. It must still be in its
    /// place.
    pub(super) fn begin_last(&self) {
        let (running, mark) = (here::task(), mark::current());
        // SAFETY: it comes from the queue, where it was new. Its fiber returns here when it suspends or ends, whoever
        // resumes it later.
        unsafe { self.step(self.queue.pop_back()) };
        here::set_task(running);
        mark::set(mark);
    }

    /// Gives a new task a stack. Without one it ends.
    ///
    /// # Safety
    ///
    /// `task` must be new.
    #[inline]
    pub(super) unsafe fn begin(&self, task: *const Record) -> Option<*const Hot> {
        // SAFETY: alive, says the caller.
        let record = unsafe { &*task };
        let usual = self.config.shape.unwrap_or_else(Shape::of_default);
        let plain = Label { kind: LabelKind::Task, name: None, created: record.spawned, sized: false };
        let (shape, label) =
            if record.has_extras() { with_extras(record, usual, plain) } else { (usual, plain) };
        let stack = match stack::acquire(shape) {
            Ok(stack) => stack,
            Err(error) => {
                self.no_stack(task, error);
                return None;
            }
        };
        stack.set_label(label);
        let hot: *const Hot = TaskFiber::room_on(&stack).as_ptr().cast();
        // SAFETY: the room is ours while the stack is. `run` does not unwind. What the closure borrows outlives the task.
        unsafe {
            let fiber = TaskFiber::new(stack, move |parent: &Parent<()>| run_task(task, hot, parent));
            hot.cast_mut().write(Hot::new(fiber, Mark(task.cast())));
        }
        record.hot.set(hot);
        Some(hot)
    }

    #[cold]
    fn no_stack(&self, task: *const Record, error: std::io::Error) {
        here::set_task(std::ptr::null());
        // SAFETY: it is new, and alive until it has ended.
        unsafe {
            self.outside(|| {
                Record::fail(task, JoinError::NoStack(error));
                super::record::leave(&*task);
            });
            if (*task).with_extras(|extras| extras.is_some_and(|extras| extras.is_contained)) {
                self.tell_failure(&*task);
            }
            self.bury(task);
        }
    }

    /// The task has returned: its stack can be used by another.
    ///
    /// # Safety
    ///
    /// The fiber of `hot` must have returned, and be that of `task`.
    #[inline]
    pub(super) unsafe fn end(&self, task: *const Record, hot: *const Hot) {
        // SAFETY: nobody looks at the room again: `hot` is null from now on. The fiber is moved out of it, for it gives
        // the stack back in which it lies.
        unsafe {
            (*task).hot.set(std::ptr::null());
            here::set_task(std::ptr::null());
            drop((*hot).fiber.get().read());
            self.bury(task);
        }
    }

    /// # Safety
    ///
    /// `task` must have ended, and never have been buried.
    #[inline]
    unsafe fn bury(&self, task: *const Record) {
        // SAFETY: the scheduler's own reference, which is dropped at the end of this.
        let task = unsafe { TaskRef::from_raw(task) };
        let record = task.record();
        record.state.set(State::Ended);
        while !record.joiners.is_unused() && record.joiners.wake_one(()).is_ok() {}
        let parent = record.branch.parent();
        // SAFETY: it hangs there since it was spawned, and its frames are closed. The parent outlives it.
        unsafe {
            Branch::unhang(&raw const record.branch);
            if record.scoped.get() {
                (*parent.cast::<Frame>()).task_ends(&task);
            }
        }
        self.alive.set(self.alive.get() - 1);
        if std::ptr::eq(parent, &self.top) {
            self.first_task_ends();
        }
        if !record.handled.get() && !record.scoped.get() {
            self.tell_failure(record);
        }
    }

    /// Nobody will ask for the result of `record`: if it failed, the hook is told.
    pub(super) fn tell_failure(&self, record: &Record) {
        if record.end.get() != End::Failure {
            return;
        }
        if let Some(mut error) = record.take_failure() {
            self.unhandled(Some(record), Problem::from_failure(&mut error));
            self.outside(|| drop(error));
        }
    }
}

/// A child starts with what its parent has set.
#[inline]
fn inherit(extras: &mut Option<Box<Extras>>) {
    // SAFETY: a running task is alive.
    if let Some(parent) = unsafe { here::task().as_ref() } {
        let locals = parent.with_extras(|extras| extras.map(|extras| extras.locals.clone()));
        if let Some(locals) = locals.filter(|locals| !locals.is_empty()) {
            extras.get_or_insert_with(Extras::none).locals = locals;
        }
    }
}

/// The stack of a task that may have asked for another, and what an overflow of it is blamed on.
#[cold]
fn with_extras(record: &Record, usual: Shape, plain: Label) -> (Shape, Label) {
    record.with_extras(|extras| {
        let shape = extras.and_then(|extras| extras.shape);
        let name = extras.and_then(|extras| extras.name.as_deref()).map(|name| name.as_bytes().into());
        (shape.unwrap_or(usual), Label { name, sized: shape.is_some(), ..plain })
    })
}

/// The first frame on the stack of a task.
///
/// # Safety
///
/// `task` must be alive until it has ended, and `hot` be its own; `parent` must be the parent of this stack's fiber.
unsafe fn run_task(task: *const Record, hot: *const Hot, parent: &Parent<()>) {
    // SAFETY: as the caller says.
    unsafe {
        (*hot).way_back.set(parent);
        mark::set(Mark(task.cast()));
        Record::run(task);
        fork::end_child();
        super::record::leave(&*task);
    }
}

/// A task has ended with guards that it did not give back. Only debug mode says so.
#[cold]
pub(super) fn tell_held(record: &Record, guards: u32) {
    // SAFETY: the task is just ending, so its scheduler is there.
    let core = unsafe { &*here::core() };
    if core.config.debug {
        core.unhandled(Some(record), Problem::GuardsHeld(guards));
    }
}
