//! Threads that run jobs: started when there is more to do than threads are idle, and gone after a while without work.
//!
//! Invariants:
//! - A job that was accepted has a thread that will come to it: one that was called, one that was started, or, where there may be no
//!   more of them, any that is done with what it does.
//! - A thread counts itself out before it looks for jobs a last time, and whoever adds one looks at the count after that. So the two
//!   cannot miss each other.

use std::time::Duration;

use crate::primitive::{Arc, Lock, MutexGuard, thread};
use crate::scheduler::lowlevel::Why;
use crate::work::{Called, Work};

/// What a thread is to do.
pub(super) trait Job: Send {
    /// Does it, and must not unwind.
    fn run(self);
}

/// Threads of one kind.
pub(super) struct Threads<J> {
    work: Work<J>,
    count: Lock<usize>,
    name: &'static str,
    most: usize,
    /// How long a thread waits for more.
    patience: Duration,
}

impl<J: Job + 'static> Threads<J> {
    /// None yet, and at most so many.
    pub(super) fn new(name: &'static str, most: usize, patience: Duration) -> Threads<J> {
        Threads { work: Work::new(0).0, count: Lock::new(0), name, most, patience }
    }

    /// Has a thread run the job, now or when one is free.
    ///
    /// # Errors
    ///
    /// There is no thread, and none can be started: here is a job that nobody else will run.
    pub(super) fn run(self: &Arc<Self>, job: J) -> Result<(), J> {
        if self.work.add(job) {
            return Ok(());
        }
        let mut count = self.count.lock();
        if *count == self.most {
            return Ok(());
        }
        *count += 1;
        drop(count);
        let threads = self.clone();
        if thread::start(self.name, move || threads.work()).is_ok() {
            return Ok(());
        }
        let mut count = self.count.lock();
        *count -= 1;
        if *count > 0 {
            // Those that are there will come to it.
            return Ok(());
        }
        self.take_leftover(count)
    }

    /// # Errors
    ///
    /// It comes back, or another that was left when nobody was there: each of those who find nobody takes one.
    fn take_leftover(&self, count: MutexGuard<'_, usize>) -> Result<(), J> {
        let leftover = self.work.take();
        drop(count);
        leftover.map_or(Ok(()), Err)
    }

    /// What a thread does until it has been idle for too long.
    fn work(&self) {
        loop {
            while let Some(job) = self.work.take() {
                job.run();
            }
            let called = self.work.wait_for(self.patience, &Why::new("job"));
            if (called == Ok(Called::TooLong) || self.work.is_closed()) && self.leaves() {
                return;
            }
        }
    }

    /// Counts this thread out, unless there is something to do after all.
    fn leaves(&self) -> bool {
        let mut count = self.count.lock();
        let leaves = !self.work.has_jobs();
        if leaves {
            *count -= 1;
        }
        leaves
    }

    /// No thread waits for jobs any more. Those that were accepted are done.
    pub(super) fn close(&self) {
        self.work.close();
    }

    /// How many there are, and how many of them wait for jobs.
    pub(super) fn count(&self) -> (usize, usize) {
        (*self.count.lock(), self.work.idle())
    }
}
