//! A call on another thread: the *job*, the task that waits for it, its *host*, and what they tell each other.
//!
//! A host parks until its job is over. Before it has begun the host may take it back. While it runs, it may have its host do something,
//! with the loop and all, and blocks until that is done.
//!
//! | stage | whose turn it is |
//! |---|---|
//! | queued | a thread's, to begin; or the host's, to take it back |
//! | running | the thread's |
//! | asking | the host's, to do what it is asked for; the thread waits for that |
//! | over | the host's, to go on; nobody else knows the job any more |
//!
//! Invariants:
//! - The closure of a job, and all that it has captured, is gone when its stage is over. A host that did not say that it abandons the job
//!   stays until then, and so whatever the closure borrows from it or from its callers stays.
//! - What a thread has the host do is done or dropped when the thread goes on: it may borrow from the thread's stack.
//! - Whoever changes the stage takes the ticket of the other side out, and wakes it.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::threads;
use crate::error::Cancelled;
use crate::report;
use crate::scheduler::lowlevel::{self, CrossTicket, CrossWait, Undo, Why};
use crate::scheduler::{Deposit, fork, wait_elsewhere};

/// What a thread is to call.
pub(super) enum Call<'a> {
    /// It may borrow, and is waited for.
    Borrows(Box<dyn FnOnce() + Send + 'a>),
    /// It borrows nothing, and is abandoned when its host is cancelled.
    Owns(Box<dyn FnOnce() + Send>),
}

/// A closure whose lifetime nobody knows but who has made it.
type Erased = Box<dyn FnOnce() + Send>;

/// A call on another thread, as both sides see it.
pub(super) struct Job {
    state: Mutex<State>,
    /// For the thread that has asked its host.
    answered: Condvar,
    /// The process whose it is.
    generation: usize,
}

struct State {
    stage: Stage,
    host: Option<CrossTicket>,
    cancelled: Option<Cancelled>,
    /// The host is gone, and the job runs for nobody.
    is_abandoned: bool,
    /// What goes with the job, where the host has gone.
    left: Option<Deposit>,
}

enum Stage {
    Queued(Erased),
    Running,
    /// `None` while the host does it.
    Asking(Option<Erased>),
    Over,
}

/// What is in a thread's queue.
pub(super) struct Queued(Arc<Job>);

thread_local! {
    /// The job that this thread does.
    static CURRENT: RefCell<Option<Arc<Job>>> = const { RefCell::new(None) };
}

/// Extends the life of a closure.
///
/// # Safety
///
/// It must be called or dropped before anything goes that it borrows.
unsafe fn erase<'a>(call: Box<dyn FnOnce() + Send + 'a>) -> Erased {
    // SAFETY: only the lifetime changes, and the caller sees to that.
    unsafe { mem::transmute::<Box<dyn FnOnce() + Send + 'a>, Erased>(call) }
}

/// Ends the process rather than let a stack unwind that others borrow from.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        report::fatal("a task unwinds from a job that may borrow from it");
    }
}

/// Has `start` give the call to a thread, and parks until it is over.
///
/// # Errors
///
/// It was cancelled: the call was not begun, or goes on without anybody, if it may be abandoned. Then what `leave` leaves goes when
/// the call has ended.
#[track_caller]
pub(super) fn perform(
    call: Call<'_>,
    why: &Why<'_>,
    start: impl FnOnce(Queued) -> Result<(), Queued>,
    leave: impl FnOnce() -> Option<Deposit>,
) -> Result<(), Cancelled> {
    let bomb = Bomb;
    let may_abandon = matches!(call, Call::Owns(_));
    let call = match call {
        // SAFETY: this function does not return, nor unwind, before the job is over or has been taken back; in both cases the closure is
        // gone.
        Call::Borrows(call) => unsafe { erase(call) },
        Call::Owns(call) => call,
    };
    let state =
        State { stage: Stage::Queued(call), host: None, cancelled: None, is_abandoned: false, left: None };
    let generation = fork::generation();
    let job = Arc::new(Job { state: Mutex::new(state), answered: Condvar::new(), generation });
    if let Err(unwanted) = start(Queued(job.clone())) {
        // No thread can be had. So it is done here, as it would be without this library.
        threads::Job::run(unwanted);
    }
    let result = job.host(may_abandon, why);
    mem::forget(bomb);
    match result {
        Ok(()) => Ok(()),
        Err((cancelled, Some(call))) => {
            // Not before: its drop is the user's code.
            drop(call);
            Err(cancelled)
        }
        Err((cancelled, None)) => {
            let left = leave();
            // The job may be over by now. Then this is the last who knows of it, and it goes here.
            job.lock().left = left;
            Err(cancelled)
        }
    }
}

impl Job {
    // Nothing of the user's runs under it, and what it guards is whole whenever it is free.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its host is in another process: this one was forked while the job ran.
    fn is_elsewhere(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Waits for the end, and does meanwhile what it is asked for.
    ///
    /// # Errors
    ///
    /// It was cancelled. Here is the call, if it was taken back.
    #[track_caller]
    fn host(&self, may_abandon: bool, why: &Why<'_>) -> Result<(), (Cancelled, Option<Erased>)> {
        let at = Location::caller();
        let mut is_stubborn = false;
        loop {
            let hosting = Hosting { job: self };
            let parked = match is_stubborn {
                false => wait_elsewhere(at, why, &hosting),
                true => lowlevel::shield(|| wait_elsewhere(at, why, &hosting)),
            };
            let mut state = self.lock();
            match (&mut state.stage, parked) {
                (Stage::Over, _) => return Ok(()),
                (Stage::Asking(call), _) => {
                    let call = call.take().expect("a thread asks for one thing at a time");
                    drop(state);
                    // It keeps what it panics with for the thread.
                    call();
                    self.answer();
                }
                (Stage::Running, Ok(())) => {}
                (stage @ Stage::Queued(_), Err(cancelled)) => {
                    let Stage::Queued(call) = mem::replace(stage, Stage::Over) else {
                        unreachable!("it is queued")
                    };
                    return Err((cancelled, Some(call)));
                }
                (Stage::Queued(_), Ok(())) => {}
                (Stage::Running, Err(cancelled)) => {
                    state.cancelled.get_or_insert(cancelled);
                    if may_abandon {
                        state.is_abandoned = true;
                        return Err((cancelled, None));
                    }
                    drop(state);
                    if is_stubborn {
                        // Not even a shield helps: then it is the whole thread that waits.
                        thread::yield_now();
                    }
                    is_stubborn = true;
                }
            }
        }
    }

    /// The host has done what it was asked for.
    fn answer(&self) {
        self.lock().stage = Stage::Running;
        self.answered.notify_all();
    }

    /// Why the host is cancelled, if it is.
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        self.lock().cancelled
    }

    /// Has the host call this, and blocks the thread until it has. False if there is no host any more.
    fn ask(&self, call: Box<dyn FnOnce() + Send + '_>) -> bool {
        if self.is_elsewhere() {
            return false;
        }
        // SAFETY: below, this does not go on before the host has called it; and it cannot unwind in between.
        let call = unsafe { erase(call) };
        let mut state = self.lock();
        if state.is_abandoned {
            drop(state);
            drop(call);
            return false;
        }
        debug_assert!(matches!(state.stage, Stage::Running), "the thread that asks runs the job");
        state.stage = Stage::Asking(Some(call));
        let host = state.host.take();
        drop(state);
        let bomb = Bomb;
        if let Some(ticket) = host {
            ticket.wake();
        }
        let mut state = self.lock();
        while matches!(state.stage, Stage::Asking(_)) {
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        mem::forget(bomb);
        true
    }
}

impl threads::Job for Queued {
    fn run(self) {
        let job = self.0;
        let mut state = job.lock();
        let Stage::Queued(call) = mem::replace(&mut state.stage, Stage::Running) else {
            // It was taken back.
            state.stage = Stage::Over;
            return;
        };
        drop(state);
        let before = CURRENT.replace(Some(job.clone()));
        // Whoever has made it keeps what it panics with. This is for the drops of what it has captured.
        panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(report::discard);
        if job.is_elsewhere() {
            // What comes next is the parent's: an answer for its task, and its other jobs.
            fork::fatal();
        }
        CURRENT.set(before);
        let mut state = job.lock();
        state.stage = Stage::Over;
        let host = state.host.take();
        drop(state);
        // From here on the host may be gone, and all that the call has borrowed.
        if let Some(ticket) = host {
            ticket.wake();
        }
    }
}

/// The wait of a host for its turn.
struct Hosting<'a> {
    job: &'a Job,
}

impl CrossWait for Hosting<'_> {
    fn register(&self, ticket: CrossTicket) {
        let mut state = self.job.lock();
        match state.stage {
            Stage::Over | Stage::Asking(_) => {
                drop(state);
                ticket.wake();
            }
            Stage::Queued(_) | Stage::Running => state.host = Some(ticket),
        }
    }

    fn is_over(&self) -> bool {
        self.job.lock().host.is_none()
    }

    fn undo(&self) -> Undo {
        let taken = self.job.lock().host.take();
        if taken.is_some() { Undo::Done } else { Undo::Later }
    }
}

/// The job that this thread does.
pub(super) fn current() -> Option<Arc<Job>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Has the task that waits for this thread's job call this, and blocks until it has.
///
/// # Errors
///
/// The task was cancelled, and does not wait any more: the call comes back.
pub(super) fn ask<T: Send, F: FnOnce() -> T + Send>(job: &Job, call: F) -> Result<thread::Result<T>, F> {
    let call = Mutex::new(Some(call));
    let answer = Mutex::new(None);
    let asked = job.ask(Box::new(|| {
        let Some(call) = call.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let result = panic::catch_unwind(AssertUnwindSafe(call));
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }));
    match asked {
        true => {
            let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
            Ok(answer.expect("the host has called it"))
        }
        false => {
            let call = call.into_inner().unwrap_or_else(PoisonError::into_inner);
            Err(call.expect("nobody has called it"))
        }
    }
}
