//! What the shards of a run share: the jobs, and how the whole ends.
//!
//! Invariant: after the whole was stopped no job is left lying. Whoever has stopped it drops those that it finds; whoever adds one after that
//! finds it stopped, and drops what is there. One that a shard takes meanwhile is dropped there, for it is cancelled before it begins.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, Location};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Shard;
use super::job::ShardJob;
use super::jobs::Jobs;
use super::statistics::{Counters, ShardStatistics};
use crate::channel::Closed;
use crate::channel::cross::oneshot;
use crate::error::Reason;
use crate::report;
use crate::scheduler;
use crate::scheduler::Canceller;
use crate::scheduler::lowlevel::{self, Remote, WaitList};
use crate::work::Local;

/// A closure that has not begun, and where it was added.
pub(super) struct Job<'env> {
    pub(super) call: Call<'env>,
    pub(super) spawned: &'static Location<'static>,
}

/// It is given the shard that it runs on.
type Call<'env> = Box<dyn for<'team> FnOnce(&Shard<'team, 'env>) + Send + 'env>;

type Payload = Box<dyn Any + Send>;

pub(super) struct Team<'env> {
    pub(super) jobs: Jobs<Job<'env>>,
    counters: Vec<Counters>,
    members: Mutex<Members>,
    panic: Mutex<Option<Payload>>,
    ended: AtomicUsize,
}

/// Who can be told that all is cancelled.
struct Members {
    remotes: Vec<Option<Remote>>,
    /// Why; the first reason wins.
    stopped: Option<Reason>,
}

/// What others find of a shard on its own thread, when they have something run there.
struct Member {
    /// Where its team lies: the one who looks may be of another, which is run by a job of it or runs it.
    team: usize,
    canceller: Canceller,
    added: Rc<WaitList>,
}

// What is locked here is whole whenever it is unlocked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'env> Team<'env> {
    /// For so many shards, each of which has a queue.
    pub(super) fn new(count: usize) -> (Team<'env>, Vec<Local<Job<'env>>>) {
        let (jobs, locals) = Jobs::new(count);
        let team = Team {
            jobs,
            counters: (0..count).map(|_| Counters::default()).collect(),
            members: Mutex::new(Members { remotes: (0..count).map(|_| None).collect(), stopped: None }),
            panic: Mutex::new(None),
            ended: AtomicUsize::new(0),
        };
        (team, locals)
    }

    pub(super) fn count(&self) -> usize {
        self.counters.len()
    }

    // Jobs.

    /// A job that leaves its result with a handle.
    #[track_caller]
    pub(super) fn job<T: Send + 'env>(
        &self,
        call: impl FnOnce(&Shard<'_, 'env>) -> T + Send + 'env,
    ) -> (Job<'env>, ShardJob<'_, 'env, T>) {
        let (sender, receiver) = oneshot();
        let call = move |shard: &Shard<'_, 'env>| {
            let counters = shard.team.counters(shard.index());
            counters.begun();
            let result = panic::catch_unwind(AssertUnwindSafe(|| call(shard)));
            // Whoever has the result finds it counted.
            counters.finished();
            match sender.send(result) {
                Ok(()) => {}
                // Nobody will ask.
                Err(Closed(Ok(value))) => drop(value),
                Err(Closed(Err(payload))) => shard.team.fail(payload),
            }
        };
        let job = Job { call: Box::new(call), spawned: Location::caller() };
        (job, ShardJob::new(self, receiver))
    }

    pub(super) fn add(&self, local: &Local<Job<'env>>, job: Job<'env>) {
        if !self.jobs.add(local, job) {
            self.drop_jobs();
        }
    }

    pub(super) fn add_for(&self, index: usize, job: Job<'env>) {
        if !self.jobs.add_for(index, job) {
            return self.drop_jobs();
        }
        // One that has not registered yet looks when it has.
        let remote = lock(&self.members).remotes[index].clone();
        let wake = || {
            if let Some(member) = scheduler::extension::<Member>() {
                // If it does not wait, it is about to look.
                let _ = member.added.wake_one(());
            }
        };
        // One that is gone is gone because the whole was stopped.
        let _ = remote.map(|remote| remote.post(wake));
    }

    /// When this is dropped, a body or a job is over.
    pub(super) fn over(&self) -> Over<'_, 'env> {
        Over { team: self }
    }

    // The end.

    /// Which one of the bodies ends now: the first, or a later one.
    pub(super) fn next_order(&self) -> usize {
        self.ended.fetch_add(1, Ordering::Relaxed)
    }

    /// Somebody has panicked with this: ends the whole.
    pub(super) fn fail(&self, payload: Payload) {
        let mut panic = lock(&self.panic);
        let further = match *panic {
            Some(_) => Some(payload),
            None => {
                *panic = Some(payload);
                None
            }
        };
        drop(panic);
        further.into_iter().for_each(report::discard);
        self.stop(Reason::Sibling);
    }

    pub(super) fn take_panic(&self) -> Option<Payload> {
        lock(&self.panic).take()
    }

    /// Cancels all shards, and drops the jobs that nobody has begun.
    pub(super) fn stop(&self, reason: Reason) {
        let (members, reason) = {
            let mut members = lock(&self.members);
            (members.remotes.clone(), *members.stopped.get_or_insert(reason))
        };
        self.jobs.stop();
        let team = self.address();
        let cancel = move || {
            if let Some(member) = scheduler::extension::<Member>().filter(|member| member.team == team) {
                member.canceller.cancel_for(reason);
            }
        };
        // This shard at once, if it is one of them: the next wait fails.
        cancel();
        for member in members.into_iter().flatten() {
            // One that is gone needs no cancelling.
            let _ = member.post(cancel);
        }
        self.drop_jobs();
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Why all is cancelled, if it is.
    pub(super) fn stopped(&self) -> Option<Reason> {
        lock(&self.members).stopped
    }

    fn drop_jobs(&self) {
        while let Some(job) = self.jobs.clear_one() {
            let over = self.over();
            let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(job)));
            dropped.unwrap_or_else(report::discard);
            drop(over);
        }
    }

    /// From now on others can cancel that shard, and say that it has jobs; until what this returns is dropped.
    pub(super) fn register(
        &self,
        index: usize,
        canceller: Canceller,
        added: Rc<WaitList>,
    ) -> Registered<'_, 'env> {
        let member = Member { team: self.address(), canceller: canceller.clone(), added };
        scheduler::set_extension(Some(Rc::new(member)));
        let stopped = {
            let mut members = lock(&self.members);
            members.remotes[index] = Some(lowlevel::remote());
            members.stopped
        };
        if let Some(reason) = stopped {
            canceller.cancel_for(reason);
        }
        Registered { team: self, index }
    }

    // What was done.

    pub(super) fn counters(&self, index: usize) -> &Counters {
        &self.counters[index]
    }

    pub(super) fn statistics(&self) -> Vec<ShardStatistics> {
        self.counters.iter().map(Counters::read).collect()
    }
}

/// A body or a job, which is over when this is dropped.
pub(super) struct Over<'team, 'env> {
    team: &'team Team<'env>,
}

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.team.jobs.end();
    }
}

/// That a shard can be reached.
pub(super) struct Registered<'team, 'env> {
    team: &'team Team<'env>,
    index: usize,
}

impl Drop for Registered<'_, '_> {
    fn drop(&mut self) {
        let remote = lock(&self.team.members).remotes[self.index].take();
        drop(remote);
    }
}
