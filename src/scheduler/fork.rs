//! Processes that are forked from this one.
//!
//! A child that is forked under a runtime has a copy of everything: of the tasks that wait, and of the descriptors, which it shares.
//! If both went on, each would do the other's input and output. So in the child no task waits, begins or ends: see
//! [`Reason::Forked`](crate::Reason). It is there to call `exec` or `_exit`.
//!
//! A child that is forked by a thread on which no runtime runs may have runtimes of its own. Of what its parent's threads shared it has
//! copies too, but none of those threads: it makes its own, see [`PerProcess`].
//!
//! Invariants:
//! - The thread that has forked inside [`run`](crate::run) knows so in the child, before any other code runs there.
//! - No thread is inside the pool of stacks in the moment of a fork, so that the child finds it whole and unlocked.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::here;
use crate::report;
use crate::stack;

/// How many forks lie between this process and the one that began.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Which of the processes this is: of what has been made in another one there is a copy here, and none of its threads.
#[inline]
pub(crate) fn generation() -> usize {
    // Relaxed: it changes where there is one thread.
    FORKS.load(Ordering::Relaxed)
}

/// From now on forks are noticed. Those that go round the C library are not.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: what runs in the child does what may be done in that of a process with several threads: it stores into an atomic and
        // into thread-locals, which need no initialisation and have no destructors, and unlocks what this thread has locked. If they
        // cannot be registered, for want of memory, nothing is noticed.
        unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) };
    });
}

thread_local! {
    /// What keeps others out of the pool of stacks while this thread forks. It is dropped after the fork, and else not at all.
    static HELD: Cell<Option<ManuallyDrop<stack::Held>>> = const { Cell::new(None) };
}

unsafe extern "C" fn before() {
    HELD.set(Some(ManuallyDrop::new(stack::hold())));
}

unsafe extern "C" fn after() {
    drop(HELD.take().map(ManuallyDrop::into_inner));
}

unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    here::note_fork();
    drop(HELD.take().map(ManuallyDrop::into_inner));
}

/// Ends a forked process that goes on where it would touch what belongs to its parent: what was made when the process was of another
/// [`generation`].
pub(crate) fn end_if_forked(since: usize) {
    if since != generation() {
        fatal();
    }
}

/// Called where the tasks of this thread's scheduler would go on: a forked child comes no further.
#[inline(always)]
pub(super) fn end_child() {
    if here::is_forked() {
        fatal();
    }
}

/// This process has come where its parent goes on, and would do the same again.
#[cold]
pub(crate) fn fatal() -> ! {
    report::fatal(FORKED)
}

pub(super) const FORKED: &str = "this process was forked from one in which a runtime runs: its tasks, and its input and output, \
    belong to that one. Call exec or _exit after a fork, or fork before run";

/// Something that each process has one of, for all its threads. What a fork finds is left alone in the child: nobody knows who had it
/// locked, or was to do what is in it.
///
/// Invariant: what it points to lives as long as the process, and was made in this process or in one that this was forked from.
pub(crate) struct PerProcess<T: 'static> {
    newest: AtomicPtr<Made<T>>,
}

struct Made<T> {
    generation: usize,
    thing: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// That of this process; it is made if there is none yet. Of two that are made at once one is dropped.
    pub(crate) fn get(&'static self, make: impl FnOnce() -> T) -> &'static T {
        watch();
        let found = self.newest.load(Ordering::Acquire);
        // SAFETY: as the invariant says.
        if let Some(made) = unsafe { found.as_ref() }.filter(|made| made.generation == generation()) {
            return &made.thing;
        }
        let made = Box::into_raw(Box::new(Made { generation: generation(), thing: make() }));
        let exchanged = self.newest.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire);
        let kept = match exchanged {
            Ok(_) => made,
            Err(theirs) => {
                // SAFETY: it was made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                theirs
            }
        };
        // SAFETY: as the invariant says.
        unsafe { &(*kept).thing }
    }
}
