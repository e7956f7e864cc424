//! The jobs of all shards: where they lie until somebody begins them, when there will be no more, and what becomes of them when all is
//! stopped.
//!
//! Bodies and jobs are *pending* until they are over. Only they add jobs: so once none is pending, none ever will be, and the work is closed.
//!
//! Whoever adds a job while somebody else stops the whole must not leave it lying, for whoever waits for its end would wait for ever. Both leave
//! a mark and then look for the other's: the job is in its queue before its adder asks whether all is stopped; that all is stopped is said
//! before whoever says so looks through the queues. Between the two stands a fence, or the mutex around the queue. So one of them
//! *clears* the queues of it.
//!
//! Invariant: a job is taken once, by a shard or by whoever clears the queues.

use std::collections::VecDeque;

use crate::error::Cancelled;
use crate::primitive::{AtomicUsize, Lock, Ordering, fence};
use crate::scheduler::lowlevel::Why;
use crate::work::{Local, Work};

/// Jobs of type `J`.
pub(crate) struct Jobs<J> {
    work: Work<J>,
    /// For one shard and no other.
    addressed: Vec<Lock<VecDeque<J>>>,
    /// Bodies and jobs that are not over.
    pending: AtomicUsize,
    /// Zero or one.
    is_stopped: AtomicUsize,
}

impl<J> Jobs<J> {
    /// For so many shards, each of which has a queue and a body.
    pub(crate) fn new(shards: usize) -> (Jobs<J>, Vec<Local<J>>) {
        let (work, locals) = Work::new(shards);
        let jobs = Jobs {
            work,
            addressed: (0..shards).map(|_| Lock::new(VecDeque::new())).collect(),
            pending: AtomicUsize::new(shards),
            is_stopped: AtomicUsize::new(0),
        };
        (jobs, locals)
    }

    /// Adds a job that anybody may take. If it is false all is stopped, and the queues are to be cleared.
    #[must_use]
    pub(crate) fn add(&self, local: &Local<J>, job: J) -> bool {
        self.begin();
        self.work.add_to(local, job);
        self.goes_on()
    }

    /// Adds a job for that shard alone, which is to be told. If it is false all is stopped, and the queues are to be cleared.
    #[must_use]
    pub(crate) fn add_for(&self, index: usize, job: J) -> bool {
        self.begin();
        self.addressed[index].lock().push_back(job);
        self.goes_on()
    }

    fn begin(&self) {
        // Relaxed: whoever adds is pending itself, so that nobody can find none before this.
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_stopped.load(Ordering::Relaxed) == 0
    }

    /// A body is over, or a job that was taken.
    pub(crate) fn end(&self) {
        // Whoever finds that none is left has seen all that was done.
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.work.close();
        }
    }

    /// Nobody is to wait for jobs any more. The queues are to be cleared.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.work.close();
    }

    /// A job that nobody has begun, whosever it is.
    pub(crate) fn clear_one(&self) -> Option<J> {
        let addressed = || self.addressed.iter().find_map(|jobs| jobs.lock().pop_front());
        self.work.take().or_else(addressed)
    }

    /// A job for that shard alone.
    pub(crate) fn take_addressed(&self, index: usize) -> Option<J> {
        self.addressed[index].lock().pop_front()
    }

    /// A job that this shard has added.
    pub(crate) fn take_own(&self, local: &Local<J>) -> Option<J> {
        self.work.take_own(local)
    }

    /// A job that another shard has added.
    pub(crate) fn steal(&self, local: &Local<J>) -> Option<J> {
        self.work.take_beside(local)
    }

    /// Parks until there may be jobs to steal.
    ///
    /// # Errors
    ///
    /// It was cancelled.
    #[track_caller]
    pub(crate) fn wait(&self, local: &Local<J>, why: &Why<'_>) -> Result<(), Cancelled> {
        self.work.wait(Some(local), why)
    }

    /// Where this shard was called and is busy itself: has another one look, if there are jobs to steal.
    pub(crate) fn pass_on(&self, local: &Local<J>) {
        self.work.pass_on(local);
    }

    /// Whether there are no jobs any more, and will be none that anybody may begin.
    pub(crate) fn is_closed(&self) -> bool {
        self.work.is_closed()
    }
}
