//! A call on another thread that nobody has to wait for: whoever wants to know how it ended waits in a line.
//!
//! | stage | whose turn it is |
//! |---|---|
//! | queued | a thread's, to begin; or anybody's, to take it back |
//! | running | the thread's |
//! | over | those who wait |
//!
//! Invariant: the closure, and all that it has captured, is gone when the stage is over. Who takes it back has the closure.

use std::cell::Cell;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::thread;

use super::job::{self, Current, Erased};
use super::threads;
use crate::error::{Cancelled, Reason};
use crate::primitive::{Arc, Lock};
use crate::report;
use crate::scheduler::lowlevel::{self, CrossLine, CrossTicket, CrossWait, Undo, Why};
use crate::scheduler::{fork, wait_elsewhere};

pub(super) struct Submitted {
    state: Lock<State>,
    /// The process whose it is: see [`fork`].
    generation: usize,
}

struct State {
    stage: Stage,
    cancelled: Option<Cancelled>,
    waiting: CrossLine,
}

enum Stage {
    Queued(Erased),
    Running,
    /// It was taken back, or it has ended.
    Over {
        was_called: bool,
    },
}

impl Submitted {
    pub(super) fn new(call: Erased) -> Arc<Submitted> {
        let state = State { stage: Stage::Queued(call), cancelled: None, waiting: CrossLine::new() };
        Arc::new(Submitted { state: Lock::new(state), generation: fork::generation() })
    }

    /// Calls it, unless it was taken back.
    pub(super) fn run(this: &Arc<Submitted>) {
        let mut state = this.state.lock();
        if !matches!(state.stage, Stage::Queued(_)) {
            return;
        }
        let Stage::Queued(call) = mem::replace(&mut state.stage, Stage::Running) else {
            unreachable!("it is queued")
        };
        drop(state);
        let before = job::set_current(Some(Current::Submitted(this.clone())));
        // Whoever has made it keeps what it panics with. This is for the drops of what it has captured.
        panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(report::discard);
        // In a process that was forked by the call nobody waits for it, and the jobs that come next are done in the other one.
        fork::end_if_forked(this.generation);
        drop(job::set_current(before));
        this.end(Stage::Over { was_called: true });
    }

    /// Takes it back, if no thread has begun it; else lets it know. True if it was taken back, now or before.
    pub(super) fn cancel(&self, reason: Reason) -> bool {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Queued(_) => {}
            Stage::Running => {
                state.cancelled.get_or_insert(Cancelled::new(reason));
                return false;
            }
            Stage::Over { was_called } => return !was_called,
        }
        // It is nobody's else from here on, and not over before it is gone.
        let Stage::Queued(call) = mem::replace(&mut state.stage, Stage::Running) else {
            unreachable!("it is queued")
        };
        drop(state);
        panic::catch_unwind(AssertUnwindSafe(|| drop(call))).unwrap_or_else(report::discard);
        self.end(Stage::Over { was_called: false });
        true
    }

    fn end(&self, over: Stage) {
        let mut state = self.state.lock();
        state.stage = over;
        let waiting = state.waiting.take_all();
        drop(state);
        waiting.for_each(|waiter| waiter.ticket.wake());
    }

    /// Whether it has been asked to end.
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        match self.generation == fork::generation() {
            true => self.state.lock().cancelled,
            false => Some(Cancelled::new(Reason::Forked)),
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Queued(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Over { .. })
    }

    /// Whether it is over because it has ended.
    pub(super) fn was_called(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Over { was_called: true })
    }

    /// Waits until it is over: a task parks, a thread blocks.
    ///
    /// # Errors
    ///
    /// It was cancelled, as a task can be.
    #[track_caller]
    pub(super) fn wait(&self) -> Result<(), Cancelled> {
        self.wait_as(&Why::new("job"))
    }

    /// As [`wait`](Submitted::wait), with something else for dumps to say.
    #[track_caller]
    pub(super) fn wait_as(&self, why: &Why<'_>) -> Result<(), Cancelled> {
        lowlevel::cross_may_wait()?;
        if self.is_over() {
            return Ok(());
        }
        let _aside = threads::step_aside();
        wait_elsewhere(Location::caller(), why, &AtJob::new(self))
    }

    /// Waits until it is over, whatever happens. If that is cancelled, says so once.
    #[track_caller]
    pub(super) fn wait_whatever_happens(&self, mut cancelled: impl FnMut(Cancelled)) {
        if let Err(reason) = self.wait() {
            cancelled(reason);
            while !self.is_over() && lowlevel::shield(|| self.wait()).is_err() {
                fork::end_if_forked(self.generation);
                // Not even a shield helps: then it is the whole thread that waits.
                thread::yield_now();
            }
        }
    }
}

/// Somebody who waits for the end. It is named as the place of an arm, and is for nobody to use.
pub(super) struct AtJob<'a> {
    job: &'a Submitted,
    number: Cell<u64>,
}

impl<'a> AtJob<'a> {
    pub(super) fn new(job: &'a Submitted) -> AtJob<'a> {
        AtJob { job, number: Cell::new(0) }
    }

    pub(super) fn enter(&self, ticket: CrossTicket) {
        let mut state = self.job.state.lock();
        if matches!(state.stage, Stage::Over { .. }) {
            drop(state);
            return ticket.wake();
        }
        self.number.set(state.waiting.push(ticket, ()));
    }

    /// False if it was woken before.
    pub(super) fn leave(&self) -> bool {
        let left = self.job.state.lock().waiting.remove(self.number.get());
        left.is_some()
    }
}

impl CrossWait for AtJob<'_> {
    fn register(&self, ticket: CrossTicket) {
        self.enter(ticket);
    }

    fn is_over(&self) -> bool {
        !self.job.state.lock().waiting.contains(self.number.get())
    }

    fn undo(&self) -> Undo {
        if self.leave() { Undo::Done } else { Undo::Later }
    }
}
