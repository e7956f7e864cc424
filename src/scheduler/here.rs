//! What runs on this thread: its scheduler, and the task whose turn it is.
//!
//! Invariants: `core` is null or points to a scheduler inside `run`, which outlives all its tasks. `task` is null while no
//! task runs (the scheduler's own code, callbacks); else it is the task on whose stack the code runs, or on that of a
//! generator which it resumed.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use super::core::Core;
use super::record::{Record, TaskRef};
use crate::error::Reason;

pub(crate) struct Here {
    pub(super) core: Cell<*const Core>,
    pub(super) task: Cell<*const Record>,
    /// How often drivers were asked for completions on this thread.
    waits: Cell<u64>,
    /// This is a child that was forked under a scheduler, which it has a copy of.
    is_forked: Cell<bool>,
    /// What to do instead where this thread has no runtime.
    advice: Cell<Option<&'static str>>,
}

thread_local! {
    static HERE: Here = const {
        Here { core: Cell::new(ptr::null()), task: Cell::new(ptr::null()), waits: Cell::new(0), is_forked: Cell::new(false), advice: Cell::new(None) }
    };
}

/// How often drivers were asked for completions on this thread: what a call has found before the last time may be over.
#[inline(always)]
pub(super) fn waits() -> u64 {
    HERE.with(|here| here.waits.get())
}

#[inline(always)]
pub(super) fn count_wait() {
    HERE.with(|here| here.waits.set(here.waits.get() + 1));
}

#[inline(always)]
pub(super) fn core() -> *const Core {
    HERE.with(|here| here.core.get())
}

#[inline(always)]
pub(super) fn task() -> *const Record {
    HERE.with(|here| here.task.get())
}

#[inline(always)]
pub(super) fn set_task(task: *const Record) {
    HERE.with(|here| here.task.set(task));
}

/// Whether the scheduler of this thread is the copy of one that runs in another process.
#[inline(always)]
pub(super) fn is_forked() -> bool {
    HERE.with(|here| here.is_forked.get())
}

/// What this thread is told by whoever finds no runtime here.
pub(super) fn advise(advice: &'static str) {
    HERE.with(|here| here.advice.set(Some(advice)));
}

/// Why a wait fails that is called where no task runs.
#[cold]
pub(super) fn why_outside() -> Reason {
    if is_forked() { Reason::Forked } else { Reason::OutsideTask }
}

/// The process was forked just now. No task runs any more: what would wait finds itself outside of all.
pub(super) fn note_fork() {
    HERE.with(|here| {
        if !here.core.get().is_null() {
            here.is_forked.set(true);
            here.task.set(ptr::null());
        }
    });
}

/// The scheduler of this thread, for code that runs under it.
#[inline]
pub(super) fn lend_core<'a>() -> Option<&'a Core> {
    // SAFETY: a scheduler outlives the code that runs under it, and no caller keeps the reference.
    unsafe { core().as_ref() }
}

/// The scheduler of this thread, for calls that need one.
///
/// # Panics
///
/// Outside of `run`, at the caller's place.
#[inline]
#[track_caller]
pub(super) fn need_core<'a>() -> &'a Core {
    // Not by a closure, which would be the place that the panic names.
    match lend_core() {
        Some(core) => core,
        None => no_runtime(),
    }
}

/// As [`need_core`], for what makes the scheduler do something later.
///
/// # Panics
///
/// Outside of `run`, and in a child that was forked inside of it, at the caller's place.
#[inline]
#[track_caller]
pub(super) fn need_live_core<'a>() -> &'a Core {
    match lend_core() {
        Some(core) if !is_forked() => core,
        _ => no_runtime(),
    }
}

/// The running task, for code that runs in it.
#[inline]
pub(super) fn lend_task<'a>() -> Option<&'a Record> {
    // SAFETY: the running task is alive, and no caller keeps the reference.
    unsafe { task().as_ref() }
}

/// The running task, for whoever keeps it.
#[inline]
pub(super) fn keep_task() -> Option<TaskRef> {
    let task = task();
    // SAFETY: the running task is alive.
    (!task.is_null()).then(|| unsafe { TaskRef::to(task) })
}

pub(super) fn set_core(core: *const Core) {
    HERE.with(|here| here.core.set(core));
}

#[cold]
#[inline(never)]
#[track_caller]
pub(super) fn no_runtime() -> ! {
    assert!(!is_forked(), "{}", super::fork::FORKED);
    match HERE.with(|here| here.advice.get()) {
        None => panic!("no runtime runs on this thread: call this inside ropewalk::run"),
        Some(advice) => panic!("no runtime runs on this thread: {advice}"),
    }
}
