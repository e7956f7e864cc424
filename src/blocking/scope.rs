//! Jobs that borrow from whoever has them done, who waits for them.
//!
//! Invariant: [`Pool::scope`] does not return, nor unwind, before each job of its is over or has been taken back. Then the closure is gone, with all
//! that it has captured; what it has given belongs to its [`Job`], whose type names what that borrows.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe};

use super::handle::Job;
use super::imap::Imap;
use super::job::{self, Bomb};
use super::pool::Pool;
use super::submitted::Submitted;
use super::{Answer, Unheard};
use crate::error::Reason;
use crate::primitive::{Arc, Lock};

/// Has jobs done that may borrow what outlives the scope. See [`Pool::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pool: &'env Pool,
    /// All that may not be over.
    jobs: Lock<Vec<Arc<Submitted>>>,
    unheard: Arc<Unheard>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl Pool {
    /// Runs `body`, which may have jobs done that borrow, and returns when they all have ended; as `std::thread::scope` does.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(2);
    /// let mut left = vec![3, 1, 2];
    /// let mut right = vec![9, 7, 8];
    /// pool.scope(|s| {
    ///     s.submit(|| left.sort());
    ///     s.submit(|| right.sort());
    /// });
    /// assert_eq!((left, right), (vec![1, 2, 3], vec![7, 8, 9]));
    /// ```
    ///
    /// # Cancellation
    ///
    /// It waits all the same. Jobs that no thread has begun are taken back, and those that run find themselves
    /// [`cancelled`](super::cancelled). So it is where no task can wait, in a callback or while a task unwinds; there the whole thread waits.
    ///
    /// # Panics
    ///
    /// With the panic of `body`: as if it was cancelled, and then it goes on. Else with the first panic of a job whose
    /// [`Job`] was dropped without having been asked.
    #[track_caller]
    pub fn scope<'env, T>(&'env self, body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
        let scope = Scope {
            pool: self,
            jobs: Lock::new(Vec::new()),
            unheard: Arc::default(),
            scope: PhantomData,
            env: PhantomData,
        };
        let bomb = Bomb;
        let result = panic::catch_unwind(AssertUnwindSafe(|| body(&scope)));
        if result.is_err() {
            scope.cancel_as(Reason::Parent);
        }
        scope.wait_for_all();
        mem::forget(bomb);
        let value = result.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        scope.unheard.take().map_or(value, |panicked| panic::resume_unwind(panicked))
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Has a thread of the pool call it, now or when one is free.
    ///
    /// It may submit more, to this scope too.
    ///
    /// # Panics
    ///
    /// If the pool is [stopped](Pool::stop).
    #[track_caller]
    pub fn submit<T: Send + 'scope>(&'scope self, call: impl FnOnce() -> T + Send + 'scope) -> Job<T> {
        let (answer, call) = Answer::of(self.pool.prepared(call), Some(self.unheard.clone()));
        Job::new(self.start(Box::new(call)), answer)
    }

    /// As [`Pool::imap`], with a function that may borrow.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(2);
    /// let words = String::from("hemp sisal jute");
    /// let prefix = String::from("a rope of ");
    /// let ropes: Vec<String> = pool.scope(|s| {
    ///     s.imap(words.split(' '), |word| format!("{prefix}{word}")).map(Result::unwrap).collect()
    /// });
    /// assert_eq!(ropes, ["a rope of hemp", "a rope of sisal", "a rope of jute"]);
    /// ```
    pub fn imap<I, R, F>(&'scope self, items: I, f: F) -> Imap<'scope, I::IntoIter, R>
    where
        I: IntoIterator,
        I::Item: Send + 'scope,
        R: Send + 'scope,
        F: Fn(I::Item) -> R + Send + Sync + 'scope,
    {
        Imap::new(items, self.pool, f, true, |call| self.start(call))
    }

    /// As [`Pool::imap_unordered`], with a function that may borrow.
    pub fn imap_unordered<I, R, F>(&'scope self, items: I, f: F) -> Imap<'scope, I::IntoIter, R>
    where
        I: IntoIterator,
        I::Item: Send + 'scope,
        R: Send + 'scope,
        F: Fn(I::Item) -> R + Send + Sync + 'scope,
    {
        Imap::new(items, self.pool, f, false, |call| self.start(call))
    }

    /// Takes back all jobs that no thread has begun. Those that run find themselves [`cancelled`](super::cancelled).
    pub fn cancel(&self) {
        self.cancel_as(Reason::Requested);
    }

    pub(super) fn cancel_as(&self, reason: Reason) {
        let jobs = self.jobs.lock().clone();
        for job in jobs {
            job.cancel(reason);
        }
    }

    #[track_caller]
    fn start(&self, call: Box<dyn FnOnce() + Send + 'scope>) -> Arc<Submitted> {
        self.pool.assert_open();
        // SAFETY: `Pool::scope` waits for all that is in the list, or takes it back, before `'scope` is over. The closure is in the list before
        // anybody can run it, and nobody else takes it out.
        let submitted = Submitted::new(unsafe { job::erase(call) });
        let mut jobs = self.jobs.lock();
        if jobs.len() == jobs.capacity() {
            jobs.retain(|job| !job.is_over());
        }
        jobs.push(submitted.clone());
        drop(jobs);
        self.pool.start(&submitted);
        submitted
    }

    #[track_caller]
    fn wait_for_all(&self) {
        while let Some(job) = self.last() {
            job.wait_whatever_happens(|cancelled| self.cancel_as(cancelled.reason()));
            // It may have submitted more before it was over.
            self.jobs.lock().retain(|job| !job.is_over());
        }
    }

    fn last(&self) -> Option<Arc<Submitted>> {
        self.jobs.lock().last().cloned()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("pool", self.pool).finish_non_exhaustive()
    }
}
