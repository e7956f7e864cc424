//! A job as whoever has added it sees it: its result comes back over a channel, or ends the whole.
//!
//! Invariant: the panic of a job is somebody's. Whoever joins it has it; once nobody can, the whole ends with it.

use std::cell::Cell;
use std::fmt;
use std::thread;

use super::team::Team;
use crate::channel::cross::{Receiving, oneshot};
use crate::channel::{RecvError, TryRecvError};
use crate::error::{Cancelled, JoinError, Panic, Reason};
use crate::scheduler::lowlevel::Arm;

/// A job that was added to the [shards](super::run), as whoever has added it sees it.
#[must_use = "a job that nobody joins ends the whole if it panics"]
pub struct ShardJob<'team, 'env, T> {
    team: &'team Team<'env>,
    receiver: oneshot::Receiver<thread::Result<T>>,
    is_taken: Cell<bool>,
}

impl<'team, 'env, T> ShardJob<'team, 'env, T> {
    pub(super) fn new(
        team: &'team Team<'env>,
        receiver: oneshot::Receiver<thread::Result<T>>,
    ) -> ShardJob<'team, 'env, T> {
        ShardJob { team, receiver, is_taken: Cell::new(false) }
    }

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
        self.ended(self.receiver.recv())
    }

    /// An arm that waits for the end of the job, for [`select`](crate::select::select); it gives what [`join`](ShardJob::join) returns.
    ///
    /// ```
    /// use ropewalk::select::select;
    /// use ropewalk::{shards, time};
    /// use std::time::Duration;
    ///
    /// shards::run(1, |shard| {
    ///     let jobs = [30, 10, 20].map(|ms| shard.spawn(move |_| time::sleep(Duration::from_millis(ms))));
    ///     let (first, _) = select(jobs.each_ref().map(|job| job.joining())).unwrap();
    ///     assert_eq!(first, 1);
    /// });
    /// ```
    pub fn joining(&self) -> Joining<'_, 'team, 'env, T> {
        Joining { job: self, receiving: self.receiver.receiving() }
    }

    /// Whether there is nothing left to wait for: the job has ended, or never will begin.
    pub fn is_finished(&self) -> bool {
        self.receiver.is_closed()
    }

    /// The result, if the job has ended.
    ///
    /// # Errors
    ///
    /// As for [`join`](ShardJob::join).
    pub fn try_result(&self) -> Option<Result<T, JoinError>> {
        match self.receiver.try_recv() {
            Ok(result) => Some(self.taken(result)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(self.nothing())),
        }
    }

    fn ended(&self, received: Result<thread::Result<T>, RecvError>) -> Result<T, JoinError> {
        match received {
            Ok(result) => self.taken(result),
            Err(RecvError::Cancelled(cancelled)) => Err(JoinError::Cancelled(cancelled)),
            Err(RecvError::Closed) => Err(self.nothing()),
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
            let reason = self.team.stopped().unwrap_or(Reason::Sibling);
            JoinError::NeverRan(Cancelled::new(reason))
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
        f.debug_struct("ShardJob").field("is_finished", &self.is_finished()).finish()
    }
}

/// An arm that waits for the end of a job: see [`ShardJob::joining`].
#[must_use = "nothing is waited for until it is selected"]
pub struct Joining<'a, 'team, 'env, T> {
    job: &'a ShardJob<'team, 'env, T>,
    receiving: Receiving<'a, thread::Result<T>>,
}

impl<'a, T> Arm for Joining<'a, '_, '_, T> {
    type Output = Result<T, JoinError>;
    type Place = <Receiving<'a, thread::Result<T>> as Arm>::Place;

    fn try_now(&mut self) -> Option<Self::Output> {
        let received = self.receiving.try_now()?;
        Some(self.job.ended(received))
    }

    fn place(&mut self) -> Self::Place {
        self.receiving.place()
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let received = self.receiving.end(place)?;
        Some(self.job.ended(received))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("job")
    }
}

impl<T> fmt::Debug for Joining<'_, '_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joining").field(self.job).finish()
    }
}
