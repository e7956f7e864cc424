//! A call on another thread: the *job*, the task that waits for it, its *host*, and what they tell each other.
//!
//! A host parks until its job is over. Before it has begun the host may take it back. While it runs, it may have its host do something,
//! with the loop and all, and blocks until that is done. (What has no host is in `submitted.rs`.)
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
use std::thread;

use super::submitted::Submitted;
use super::threads::{self, Nobody};
use crate::error::{Cancelled, Reason};
use crate::primitive::{self, Arc, Condvar, Lock, thread_local};
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
pub(super) type Erased = Box<dyn FnOnce() + Send>;

/// A call on another thread, as both sides see it.
pub(super) struct Job {
    state: Lock<State>,
    /// For the thread that has asked its host.
    answered: Condvar,
    /// The process whose it is: see [`fork`].
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

/// What is in a thread's queue, of a job with a host.
pub(super) struct Hosted(Arc<Job>);

/// What a thread does, as the call itself finds it.
#[derive(Clone)]
pub(super) enum Current {
    Hosted(Arc<Job>),
    Submitted(Arc<Submitted>),
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "loom has no such form")]
    static CURRENT: RefCell<Option<Current>> = RefCell::new(None);
}

/// Extends the life of a closure.
///
/// # Safety
///
/// It must be called or dropped before anything goes that it borrows.
pub(super) unsafe fn erase<'a>(call: Box<dyn FnOnce() + Send + 'a>) -> Erased {
    // SAFETY: only the lifetime changes, and the caller sees to that.
    unsafe { mem::transmute::<Box<dyn FnOnce() + Send + 'a>, Erased>(call) }
}

/// Ends the process rather than let a stack unwind that others borrow from.
pub(super) struct Bomb;

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
    start: impl FnOnce(Hosted) -> Result<(), Nobody>,
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
    let job = Arc::new(Job { state: Lock::new(state), answered: Condvar::new(), generation });
    let result = {
        // On a thread of a pool's: under a runtime that one of its jobs runs.
        let _aside = threads::step_aside();
        if start(Hosted(job.clone())) == Err(Nobody) {
            // So it is done here, as it would be without this library.
            job.run(None);
        }
        job.host(may_abandon, why)
    };
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
            job.state.lock().left = left;
            Err(cancelled)
        }
    }
}

impl Job {
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
            let mut state = self.state.lock();
            match (&mut state.stage, parked) {
                (Stage::Over, _) => return Ok(()),
                (Stage::Asking(call), _) => {
                    let call = call.take().expect("a thread asks for one thing at a time");
                    drop(state);
                    // It keeps what it panics with for the thread.
                    call();
                    // The thread that waits for it is not in that process, and may have had the state locked.
                    fork::end_if_forked(self.generation);
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
        self.state.lock().stage = Stage::Running;
        self.answered.notify_all();
    }

    /// Why the host is cancelled, if it is.
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        match self.is_elsewhere() {
            true => Some(Cancelled::new(Reason::Forked)),
            false => self.state.lock().cancelled,
        }
    }

    /// Whether this is a process that was forked by the call: its host is in the other one.
    fn is_elsewhere(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Calls it, unless it was taken back. From its end on the host may be gone, and all that the call has borrowed.
    ///
    /// `known_as`: what the call finds as [`current`].
    fn run(&self, known_as: Option<Current>) {
        let mut state = self.state.lock();
        if !matches!(state.stage, Stage::Queued(_)) {
            return;
        }
        let Stage::Queued(call) = mem::replace(&mut state.stage, Stage::Running) else {
            unreachable!("it is queued")
        };
        drop(state);
        let before = set_current(known_as);
        // Whoever has made it keeps what it panics with. This is for the drops of what it has captured.
        panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(report::discard);
        // In a process that was forked by the call there is no host, and the jobs that come next are done in the other one.
        fork::end_if_forked(self.generation);
        drop(set_current(before));
        let mut state = self.state.lock();
        state.stage = Stage::Over;
        let host = state.host.take();
        drop(state);
        if let Some(ticket) = host {
            ticket.wake();
        }
    }

    /// Has the host call this, and blocks the thread until it has. False if there is no host any more.
    fn ask(&self, call: Box<dyn FnOnce() + Send + '_>) -> bool {
        if self.is_elsewhere() {
            return false;
        }
        let _aside = threads::step_aside();
        // SAFETY: below, this does not go on before the host has called it; and it cannot unwind in between.
        let call = unsafe { erase(call) };
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
        while matches!(state.stage, Stage::Asking(_)) {
            state = primitive::wait(&self.answered, state);
        }
        mem::forget(bomb);
        true
    }
}

impl Hosted {
    pub(super) fn run(self) {
        self.0.run(Some(Current::Hosted(self.0.clone())));
    }

    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.0.state.lock().stage, Stage::Queued(_))
    }
}

/// The wait of a host for its turn.
struct Hosting<'a> {
    job: &'a Job,
}

impl CrossWait for Hosting<'_> {
    fn register(&self, ticket: CrossTicket) {
        let mut state = self.job.state.lock();
        match state.stage {
            Stage::Over | Stage::Asking(_) => {
                drop(state);
                ticket.wake();
            }
            Stage::Queued(_) | Stage::Running => state.host = Some(ticket),
        }
    }

    fn is_over(&self) -> bool {
        self.job.state.lock().host.is_none()
    }

    fn undo(&self) -> Undo {
        let taken = self.job.state.lock().host.take();
        if taken.is_some() { Undo::Done } else { Undo::Later }
    }
}

/// The job that this thread does.
pub(super) fn current() -> Option<Current> {
    // Where thread-locals are gone the thread does none.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

pub(super) fn set_current(job: Option<Current>) -> Option<Current> {
    // Where thread-locals are gone, the call finds none.
    CURRENT.try_with(|current| current.replace(job)).ok().flatten()
}

/// Has the task that waits for this thread's job call this, and blocks until it has.
///
/// # Errors
///
/// The task was cancelled, and does not wait any more: the call comes back.
pub(super) fn ask<T: Send, F: FnOnce() -> T + Send>(job: &Job, call: F) -> Result<thread::Result<T>, F> {
    let call = Lock::new(Some(call));
    let answer = Lock::new(None);
    let asked = job.ask(Box::new(|| {
        let Some(call) = call.lock().take() else { return };
        let result = panic::catch_unwind(AssertUnwindSafe(call));
        *answer.lock() = Some(result);
    }));
    match asked {
        true => Ok(answer.lock().take().expect("the host has called it")),
        false => Err(call.lock().take().expect("nobody has called it")),
    }
}
