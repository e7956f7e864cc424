//! Many who look, or one who changes, in the order of coming.
//!
//! Invariant: the value is borrowed as the [turns](turns) say, so that borrowing it never fails.

mod arms;
mod guards;
mod turns;

use std::cell::RefCell;
use std::fmt;

pub use arms::{Reading, Writing};
pub use guards::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard};

use turns::{To, Turns, Wish};

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, TaskId};

/// A value that many tasks may look at, or one change, also across waits.
///
/// All stand in one line. A reader that comes while a writer waits stands behind it, so that no stream of readers keeps
/// writers out; and nobody passes anybody. Readers that stand side by side go in together.
///
/// ```
/// use ropewalk::sync::RwLock;
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let price = RwLock::new(10);
///     task::scope(|s| {
///         for _ in 0..3 {
///             s.spawn(|| {
///                 let price = price.read().unwrap();
///                 time::sleep(Duration::from_millis(5)).unwrap();      // All three at the same time.
///                 assert_eq!(*price, 10);
///             });
///         }
///         task::yield_now();
///         *price.write().unwrap() += 1;                                // When all have read.
///     });
///     assert_eq!(price.into_inner(), 11);
/// });
/// ```
///
/// # Reading twice
///
/// A task that reads already and reads again waits for the writer that waits for it, if one has come in between. Both
/// wait for ever; if all others wait too, the report of the deadlock shows the ring. Hand the first guard on instead. It
/// is the same with a task that reads and wishes to write: drop the guard first. (The other way round there is
/// [`downgrade`](RwLockWriteGuard::downgrade).)
///
/// # Whose lock it is
///
/// As for a [`Mutex`](super::Mutex): a guard is that of the task that took it, wherever it goes, unless another one
/// [adopts](RwLockWriteGuard::adopt) it. Of several readers a dump names one.
pub struct RwLock<T: ?Sized> {
    turns: Turns,
    value: RefCell<T>,
}

/// What is going on at a [`RwLock`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many read.
    pub readers: usize,
    /// Whether somebody writes.
    pub is_writing: bool,
    /// The task that writes; `None` too if the lock was taken outside of tasks.
    pub writer: Option<TaskId>,
    /// How many tasks wait, to read or to write.
    pub waiting: usize,
}

impl<T> RwLock<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { turns: Turns::new(), value: RefCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and nobody who came before waits to, and reads.
    ///
    /// # Cancellation
    ///
    /// One that was let in before it was cancelled reads.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: it was not let in.
    ///
    /// # Panics
    ///
    /// When the task writes, for it would wait for itself. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T>, Cancelled> {
        lowlevel::may_wait()?;
        let wish = Wish::of_this_task(To::Read);
        if !self.turns.enter(wish) {
            self.turns.wait(wish)?;
        }
        Ok(RwLockReadGuard::of(self, wish))
    }

    /// Waits until nobody reads or writes, and nobody who came before waits to, and writes.
    ///
    /// # Cancellation
    ///
    /// One that was let in before it was cancelled writes. One that is cancelled first leaves its place: readers behind it
    /// need not wait any more.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: it was not let in.
    ///
    /// # Panics
    ///
    /// When the task writes already, for it would wait for itself. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T>, Cancelled> {
        lowlevel::may_wait()?;
        let wish = Wish::of_this_task(To::Write);
        if !self.turns.enter(wish) {
            self.turns.wait(wish)?;
        }
        Ok(RwLockWriteGuard::of(self, wish))
    }

    /// Reads if that needs no waiting: it fails while a task writes, or waits to. It works in callbacks, in destructors and outside
    /// of [`run`](crate::run) too.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let wish = Wish::of_this_task(To::Read);
        self.turns.enter(wish).then(|| RwLockReadGuard::of(self, wish))
    }

    /// Writes if nobody reads or writes. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let wish = Wish::of_this_task(To::Write);
        self.turns.enter(wish).then(|| RwLockWriteGuard::of(self, wish))
    }

    /// An arm that reads, for [`select`](crate::select::select); it gives the guard.
    pub fn reading(&self) -> Reading<'_, T> {
        Reading::of(self)
    }

    /// An arm that writes, for [`select`](crate::select::select); it gives the guard.
    ///
    /// While the select waits, readers that come later stand behind it; when another arm is chosen, they are let in.
    pub fn writing(&self) -> Writing<'_, T> {
        Writing::of(self)
    }

    /// What is going on at the lock.
    pub fn statistics(&self) -> RwLockStatistics {
        self.turns.statistics()
    }

    /// The value, for whoever has the lock to itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

/// It reads meanwhile, for to show the value is code of its own, which may wait.
impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => shown.field("value", &&*guard),
            None => {
                shown.field("value", &format_args!("<locked>")).field("writer", &self.statistics().writer)
            }
        };
        shown.finish()
    }
}
