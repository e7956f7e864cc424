//! Processes that are forked from this one while a runtime runs.
//!
//! Such a child has a copy of everything: of the tasks that wait, and of the descriptors, which it shares. If both went on, each
//! would do the other's input and output. So in the child no task waits, begins or ends: see [`Reason::Forked`](crate::Reason).
//! It is there to call `exec` or `_exit`.
//!
//! Invariant: the thread that has forked inside [`run`](crate::run) knows so in the child, before any other code runs there.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::here;

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
        // SAFETY: the function does what may be done in a child of a process with several threads: it stores into an atomic and into
        // thread-locals, which need no initialisation and have no destructors. If it cannot be registered, for want of memory,
        // nothing is noticed.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    here::note_fork();
}

/// Ends a forked process that goes on where it would touch what belongs to its parent: what was made when the process was of another
/// [`generation`].
pub(crate) fn end_if_forked(since: usize) {
    if since != generation() {
        fatal();
    }
}

/// A forked process has come where the tasks of its parent would go on.
#[cold]
pub(super) fn fatal() -> ! {
    crate::report::fatal(FORKED)
}

pub(super) const FORKED: &str = "this process was forked from one in which a runtime runs: its tasks, and its input and output, \
    belong to that one. Call exec or _exit after a fork, or fork before run";
