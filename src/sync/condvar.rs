//! Giving a lock back until somebody says that what it protects has changed.
//!
//! Words: whoever waits is *notified*. From then on it waits in the lock's line, as if it had called `lock` at that moment.
//!
//! Invariants:
//! - Whoever returns from a wait has the lock, whatever is returned.
//! - A notification that somebody was given is what its wait returns, even if it is cancelled afterwards. Whoever was
//!   cancelled before is passed over. So none is lost.

use std::fmt;

use super::lock::Line;
use super::mutex::MutexGuard;
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, WaitList, Why};

/// A place to wait, with the guard of a [`Mutex`](super::Mutex), until what that protects has changed; asyncio's `Condition`.
///
/// The guard gives the lock back while its task waits, and has it again when the wait returns. Whoever changes something
/// notifies one task, or all: they have the lock in the order in which they came, each as soon as those before it give
/// it back.
///
/// ```
/// use ropewalk::sync::{Condvar, Mutex};
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let (stock, arrived) = (Mutex::new(0), Condvar::new());
///     task::scope(|s| {
///         s.spawn(|| {
///             let mut stock = stock.lock().unwrap();
///             arrived.wait_while(&mut stock, |stock| *stock < 3).unwrap();
///             *stock -= 3;
///         });
///         for _ in 0..5 {
///             *stock.lock().unwrap() += 1;
///             arrived.notify_one();
///             task::yield_now();
///         }
///     });
///     assert_eq!(stock.into_inner(), 2);
/// });
/// ```
///
/// A notification is for those who wait now: nobody who comes later finds it. A task waits until it is notified, and never
/// returns without, unless it is cancelled. What it waits for may still be gone again when its turn comes, so that it has to
/// look: [`wait_while`](Condvar::wait_while) does.
///
/// Several conditions can share one mutex. Those who wait for one condition may have guards of several mutexes too:
/// each has its own back.
///
/// There is no arm for [`select`](crate::select::select): whatever was chosen, the lock would have to be waited for
/// afterwards. A deadline is a [`timeout`](crate::time::timeout) around the wait.
#[doc(alias = "Condition")]
pub struct Condvar {
    /// Nobody is woken here: who is notified is sent on to the line of its lock.
    waiting: Line,
}

/// What is going on at a [`Condvar`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CondvarStatistics {
    /// How many tasks wait to be notified. Those that were, and wait for their lock, do not count.
    pub waiting: usize,
}

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar { waiting: WaitList::new() }
    }

    /// Gives the lock back, waits to be notified, and has the lock again.
    ///
    /// # Cancellation
    ///
    /// *A wait that was cancelled has the lock too* when it returns: it waits for that in any case, whatever is cancelled.
    /// One that was notified before it was cancelled returns as if it had not been.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], and the lock is held.
    ///
    /// # Panics
    ///
    /// If all tasks wait for one another and nothing but an end of the wait for the lock can change that: then the guard has
    /// lost the lock, and using it panics as well. Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) -> Result<(), Cancelled> {
        // Nothing may happen between what the caller has looked at and this.
        lowlevel::will_wait()?;
        guard.wait_in(&self.waiting, &Why::new("notification"))
    }

    /// [Waits](Condvar::wait) as often as it takes, while `condition` says that it is not yet over.
    ///
    /// It looks first, and each time with the lock held.
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Condvar::wait). In what has been cancelled it fails without having looked.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], and the lock is held; `condition` has not said since that it is over.
    ///
    /// # Panics
    ///
    /// As [`wait`](Condvar::wait).
    #[doc(alias = "wait_for")]
    #[track_caller]
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(), Cancelled> {
        lowlevel::may_wait()?;
        while condition(guard) {
            self.wait(guard)?;
        }
        Ok(())
    }

    /// Notifies the task that has waited longest. Says whether there was one.
    ///
    /// Nobody need have the lock; who has it keeps it. It works in callbacks and in destructors too.
    #[doc(alias = "signal")]
    pub fn notify_one(&self) -> bool {
        self.waiting.send_on()
    }

    /// Notifies all tasks that wait now, and returns how many that were.
    #[doc(alias = "broadcast")]
    pub fn notify_all(&self) -> usize {
        self.notify(self.waiting.len())
    }

    /// Notifies up to so many tasks, those first that have waited longest, and returns how many that were.
    pub fn notify(&self, most: usize) -> usize {
        (0..most).take_while(|_| self.notify_one()).count()
    }

    /// What is going on at the condition.
    pub fn statistics(&self) -> CondvarStatistics {
        CondvarStatistics { waiting: self.waiting.len() }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("waiting", &self.waiting.len()).finish()
    }
}
