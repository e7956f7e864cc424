//! What the shards of a run share: the jobs, and how the whole ends.
//!
//! Invariants:
//! - `pending` counts bodies and jobs that are not over. Only they can add jobs; so once it is zero it stays so, and the work is closed.
//! - After the whole was stopped nobody takes jobs. Whoever has stopped it drops those that it finds; whoever adds one after that
//!   finds it stopped, and drops what is there.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Shard;
use super::statistics::{Counters, ShardStatistics};
use crate::channel::cross::oneshot;
use crate::channel::{Closed, RecvError, TryRecvError};
use crate::error::{Cancelled, JoinError, Panic, Reason};
use crate::report;
use crate::scheduler;
use crate::scheduler::Canceller;
use crate::scheduler::lowlevel::{self, Remote, WaitList, Why};
use crate::work::{Local, Work};

/// A closure that has not begun, and the shard that it is to run on.
pub(super) type Job<'env> = Box<dyn for<'team> FnOnce(&Shard<'team, 'env>) + Send + 'env>;

type Payload = Box<dyn Any + Send>;

pub(super) struct Team<'env> {
    work: Work<Job<'env>>,
    /// Jobs for one shard and no other.
    addressed: Vec<Mutex<VecDeque<Job<'env>>>>,
    counters: Vec<Counters>,
    pending: AtomicUsize,
    is_stopped: AtomicBool,
    members: Mutex<Vec<Option<Remote>>>,
    panic: Mutex<Option<Payload>>,
    ended: AtomicUsize,
}

/// What others find of a shard on its own thread, when they have something run there.
struct Member {
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
        let (work, locals) = Work::new(count);
        let team = Team {
            work,
            addressed: (0..count).map(|_| Mutex::default()).collect(),
            counters: (0..count).map(|_| Counters::default()).collect(),
            pending: AtomicUsize::new(count),
            is_stopped: AtomicBool::new(false),
            members: Mutex::new((0..count).map(|_| None).collect()),
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
    pub(super) fn job<T: Send + 'env>(
        &self,
        call: impl FnOnce(&Shard<'_, 'env>) -> T + Send + 'env,
    ) -> (Job<'env>, ShardJob<'_, 'env, T>) {
        let (sender, receiver) = oneshot();
        let job = move |shard: &Shard<'_, 'env>| {
            let result = panic::catch_unwind(AssertUnwindSafe(|| call(shard)));
            if let Err(Closed(Err(payload))) = sender.send(result) {
                // Nobody will ask.
                shard.team.fail(payload);
            }
        };
        (Box::new(job), ShardJob { team: self, receiver, is_taken: Cell::new(false) })
    }

    pub(super) fn add(&self, local: &Local<Job<'env>>, job: Job<'env>) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.work.add_to(local, job);
        self.drop_if_stopped();
    }

    pub(super) fn add_for(&self, index: usize, job: Job<'env>) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        lock(&self.addressed[index]).push_back(job);
        self.drop_if_stopped();
        // One that has not registered yet looks when it has.
        let remote = lock(&self.members)[index].clone();
        let wake = || {
            if let Some(member) = scheduler::extension::<Member>() {
                // If it does not wait, it is about to look.
                let _ = member.added.wake_one(());
            }
        };
        // One that is gone is gone because the whole was stopped.
        let _ = remote.map(|remote| remote.post(wake));
    }

    pub(super) fn take_own(&self, local: &Local<Job<'env>>) -> Option<Job<'env>> {
        let addressed = lock(&self.addressed[local.index()]).pop_front();
        addressed.or_else(|| self.work.take_own(local))
    }

    /// A job, and whether it is another shard's.
    pub(super) fn steal(&self, local: &Local<Job<'env>>) -> Option<(Job<'env>, bool)> {
        let own = self.take_own(local).map(|job| (job, false));
        own.or_else(|| Some((self.work.take_beside(local)?, true)))
    }

    /// Parks until there may be jobs.
    #[track_caller]
    pub(super) fn wait(&self, local: &Local<Job<'env>>, why: &Why<'_>) -> Result<(), Cancelled> {
        self.work.wait(local, why)
    }

    /// Whether there are no jobs any more, and will be none.
    pub(super) fn is_closed(&self) -> bool {
        self.work.is_closed()
    }

    /// When this is dropped, a job is over that was begun on that shard.
    pub(super) fn over(&self, index: usize) -> Over<'_, 'env> {
        Over { team: self, index: Some(index) }
    }

    /// When this is dropped, a body is over.
    pub(super) fn body(&self) -> Over<'_, 'env> {
        Over { team: self, index: None }
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
        self.stop();
    }

    pub(super) fn take_panic(&self) -> Option<Payload> {
        lock(&self.panic).take()
    }

    /// Cancels all shards, and drops the jobs that nobody has begun.
    pub(super) fn stop(&self) {
        let members: Vec<Remote> = {
            let members = lock(&self.members);
            self.is_stopped.store(true, Ordering::SeqCst);
            members.iter().flatten().cloned().collect()
        };
        self.work.close();
        let cancel = || {
            if let Some(member) = scheduler::extension::<Member>() {
                member.canceller.cancel();
            }
        };
        // This shard at once: the next wait fails.
        cancel();
        for member in members {
            // One that is gone needs no cancelling.
            let _ = member.post(cancel);
        }
        self.drop_if_stopped();
    }

    fn drop_if_stopped(&self) {
        if !self.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let addressed = || self.addressed.iter().find_map(|jobs| lock(jobs).pop_front());
        while let Some(job) = self.work.take().or_else(addressed) {
            let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(job)));
            dropped.unwrap_or_else(report::discard);
            drop(Over { team: self, index: None });
        }
    }

    /// From now on others can cancel that shard, and say that it has jobs; until what this returns is dropped.
    pub(super) fn register(
        &self,
        index: usize,
        canceller: Canceller,
        added: Rc<WaitList>,
    ) -> Registered<'_, 'env> {
        let member = Member { canceller: canceller.clone(), added };
        scheduler::set_extension(Some(Rc::new(member)));
        let mut members = lock(&self.members);
        members[index] = Some(lowlevel::remote());
        let is_stopped = self.is_stopped.load(Ordering::SeqCst);
        drop(members);
        if is_stopped {
            canceller.cancel();
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
    /// Of the shard that the job was begun on.
    index: Option<usize>,
}

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.team.counters(index).finished();
        }
        if self.team.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.team.work.close();
        }
    }
}

/// That a shard can be reached.
pub(super) struct Registered<'team, 'env> {
    team: &'team Team<'env>,
    index: usize,
}

impl Drop for Registered<'_, '_> {
    fn drop(&mut self) {
        let remote = lock(&self.team.members)[self.index].take();
        drop(remote);
    }
}

/// A job that was added to the [shards](super::run), as whoever has added it sees it.
#[must_use = "a job that nobody joins ends the whole if it panics"]
pub struct ShardJob<'team, 'env, T> {
    team: &'team Team<'env>,
    receiver: oneshot::Receiver<thread::Result<T>>,
    is_taken: Cell<bool>,
}

impl<T> ShardJob<'_, '_, T> {
    /// Parks until the job has ended, wherever it runs, and takes its result.
    ///
    /// # Cancellation
    ///
    /// The job goes on, and can be waited for again.
    ///
    /// # Errors
    ///
    /// It panicked; it never ran, because all was cancelled; its result was taken already; the wait was cancelled.
    #[track_caller]
    pub fn join(&self) -> Result<T, JoinError> {
        match self.receiver.recv() {
            Ok(result) => self.taken(result),
            Err(RecvError::Cancelled(cancelled)) => Err(JoinError::Cancelled(cancelled)),
            Err(RecvError::Closed) => Err(self.nothing()),
        }
    }

    /// The result, if the job has ended.
    ///
    /// # Errors
    ///
    /// As for [`join`](ShardJob::join).
    pub fn try_join(&self) -> Option<Result<T, JoinError>> {
        match self.receiver.try_recv() {
            Ok(result) => Some(self.taken(result)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(self.nothing())),
        }
    }

    fn taken(&self, result: thread::Result<T>) -> Result<T, JoinError> {
        self.is_taken.set(true);
        result.map_err(|payload| JoinError::Panicked(Panic::new(payload)))
    }

    fn nothing(&self) -> JoinError {
        if self.is_taken.get() {
            JoinError::Taken
        } else {
            JoinError::NeverRan(Cancelled::new(Reason::Sibling))
        }
    }
}

impl<T> Drop for ShardJob<'_, '_, T> {
    fn drop(&mut self) {
        // From here on the job keeps what it cannot send.
        self.receiver.close();
        if let Ok(Err(payload)) = self.receiver.try_recv() {
            self.team.fail(payload);
        }
    }
}

impl<T> fmt::Debug for ShardJob<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardJob").finish_non_exhaustive()
    }
}
