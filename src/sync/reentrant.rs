//! One at a time, but the same one again and again.
//!
//! Invariant: there are as many guards as the depth says; the lock is taken while there are any, or while it has been handed
//! to somebody who has not run yet: then the depth is one already.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use super::lock::Lock;
use super::mutex::show_value;
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, Held, InLine, TaskId};

/// A value that one task at a time may use, which may lock it again while it has it; Python's `RLock`, around what it protects.
///
/// For functions that lock what they use and call one another. As there can be several guards, they only lend the value out
/// shared; a `Cell` or a `RefCell` in it makes it changeable.
///
/// The lock goes from hand to hand as that of a [`Mutex`](super::Mutex), once the owner has dropped as many guards as it took.
///
/// ```
/// use ropewalk::sync::ReentrantMutex;
/// use ropewalk::{Cancelled, task};
/// use std::cell::Cell;
///
/// struct Account(ReentrantMutex<Cell<i64>>);
///
/// impl Account {
///     fn add(&self, amount: i64) -> Result<(), Cancelled> {
///         let balance = self.0.lock()?;
///         task::checkpoint()?;
///         Ok(balance.set(balance.get() + amount))
///     }
///
///     fn exchange(&self, out: i64, into: i64) -> Result<(), Cancelled> {
///         let _both_or_none = self.0.lock()?;
///         self.add(-out)?;
///         self.add(into)
///     }
/// }
///
/// ropewalk::run(|| {
///     let account = Account(ReentrantMutex::new(Cell::new(100)));
///     account.exchange(30, 5).unwrap();
///     assert_eq!(account.0.into_inner().get(), 75);
/// });
/// ```
///
/// # Whose lock it is
///
/// That of the task that took it, until all its guards are gone. A guard that has moved to another task is still one of
/// the owner's: it counts wherever it is dropped, and does not let the other task lock.
///
/// Outside of tasks nobody can be told from anybody else: there [`try_lock`](ReentrantMutex::try_lock) fails if the lock is taken,
/// by whomever.
#[doc(alias = "RLock")]
pub struct ReentrantMutex<T: ?Sized> {
    lock: Lock,
    depth: Cell<usize>,
    value: T,
}

/// The lock is held until this, and the owner's other guards, are dropped.
///
/// In debug mode a task that ends without having dropped its guards is reported: see [`Held`].
#[must_use = "the lock is given back when this is dropped"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    value: &'a T,
    entered: Entered<'a>,
}

/// A part of what a mutex protects: see [`ReentrantMutexGuard::map`].
#[must_use = "the lock is given back when this is dropped"]
pub struct MappedReentrantMutexGuard<'a, T: ?Sized> {
    value: &'a T,
    entered: Entered<'a>,
}

/// Leaves once when it is dropped.
struct Entered<'a> {
    lock: &'a Lock,
    depth: &'a Cell<usize>,
    _held: Held,
}

/// What is going on at a [`ReentrantMutex`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReentrantMutexStatistics {
    /// Whether somebody has the lock.
    pub is_locked: bool,
    /// The task that has it; `None` too if it was locked outside of tasks.
    pub owner: Option<TaskId>,
    /// How many times the owner has locked it.
    pub depth: usize,
    /// How many tasks wait for it.
    pub waiting: usize,
}

impl<T> ReentrantMutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> ReentrantMutex<T> {
        ReentrantMutex { lock: Lock::new(), depth: Cell::new(0), value }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until no other task has the lock, and takes it, once more if this one has it.
    ///
    /// # Cancellation
    ///
    /// One that was handed the lock before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: the lock was not taken; not once more either.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Result<ReentrantMutexGuard<'_, T>, Cancelled> {
        lowlevel::may_wait()?;
        let me = lowlevel::current_id();
        if !self.enter(me) {
            self.lock.wait(me)?;
        }
        Ok(self.guard())
    }

    /// Takes the lock if no other task has it. It works in callbacks, in destructors and outside of [`run`](crate::run) too; there
    /// it fails if the lock is taken.
    #[inline]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        self.enter(lowlevel::current_id()).then(|| self.guard())
    }

    /// An arm that takes the lock, for [`select`](crate::select::select); it gives the guard.
    pub fn locking(&self) -> ReentrantLocking<'_, T> {
        ReentrantLocking { mutex: self }
    }

    /// Whether somebody has the lock.
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.lock.is_taken()
    }

    /// Whether the running task has the lock.
    #[doc(alias = "_is_owned")]
    pub fn is_mine(&self) -> bool {
        self.is_owner(lowlevel::current_id())
    }

    /// The task that has the lock; `None` too if it was locked outside of tasks.
    pub fn owner(&self) -> Option<TaskId> {
        self.lock.owner()
    }

    /// What is going on at the lock.
    pub fn statistics(&self) -> ReentrantMutexStatistics {
        ReentrantMutexStatistics {
            is_locked: self.lock.is_taken(),
            owner: self.lock.owner(),
            depth: self.depth.get(),
            waiting: self.lock.line().len(),
        }
    }

    /// The value, for whoever has the mutex to itself.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    #[inline(always)]
    fn is_owner(&self, me: Option<TaskId>) -> bool {
        me.is_some() && self.lock.owner() == me
    }

    /// Takes it without waiting.
    #[inline(always)]
    fn enter(&self, me: Option<TaskId>) -> bool {
        let enters = self.lock.take(me) || self.is_owner(me);
        self.depth.set(self.depth.get() + usize::from(enters));
        enters
    }

    /// For whoever has just entered, or was handed the lock.
    #[inline(always)]
    fn guard(&self) -> ReentrantMutexGuard<'_, T> {
        let entered = Entered { lock: &self.lock, depth: &self.depth, _held: Held::new() };
        ReentrantMutexGuard { value: &self.value, entered }
    }
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let left = self.depth.get() - 1;
        // Whoever is handed the lock has it once, before it runs: code of its task may lock again before its wait returns.
        self.depth.set(if left > 0 { left } else { usize::from(self.lock.give_back()) });
    }
}

impl<'a, T: ?Sized> ReentrantMutexGuard<'a, T> {
    /// Makes a guard of a part of the value; a function, for methods are those of the value.
    pub fn map<U: ?Sized>(
        guard: ReentrantMutexGuard<'a, T>,
        part: impl FnOnce(&T) -> &U,
    ) -> MappedReentrantMutexGuard<'a, U> {
        MappedReentrantMutexGuard { value: part(guard.value), entered: guard.entered }
    }
}

impl<'a, T: ?Sized> MappedReentrantMutexGuard<'a, T> {
    /// As [`ReentrantMutexGuard::map`].
    pub fn map<U: ?Sized>(
        guard: MappedReentrantMutexGuard<'a, T>,
        part: impl FnOnce(&T) -> &U,
    ) -> MappedReentrantMutexGuard<'a, U> {
        MappedReentrantMutexGuard { value: part(guard.value), entered: guard.entered }
    }
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: ?Sized> Deref for MappedReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.value
    }
}

/// An arm that takes a lock: see [`ReentrantMutex::locking`].
#[must_use = "nothing is locked until it is selected"]
pub struct ReentrantLocking<'a, T: ?Sized> {
    mutex: &'a ReentrantMutex<T>,
}

impl<'a, T: ?Sized> Arm for ReentrantLocking<'a, T> {
    type Output = ReentrantMutexGuard<'a, T>;
    type Place = InLine<'a, (), Option<TaskId>>;

    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.mutex.try_lock()
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.mutex.lock.line().place(lowlevel::current_id())
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(self.mutex.lock.line()).value.map(|()| self.mutex.guard())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lock")
    }

    fn holder(&self) -> Option<TaskId> {
        self.mutex.owner()
    }
}

impl<T: ?Sized> Clone for ReentrantLocking<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ReentrantLocking<'_, T> {}

impl<T: ?Sized> fmt::Debug for ReentrantLocking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReentrantLocking")
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> ReentrantMutex<T> {
        ReentrantMutex::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> ReentrantMutex<T> {
        ReentrantMutex::new(value)
    }
}

/// It takes the lock meanwhile, for to show the value is code of its own, which may wait.
impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Some(guard) => shown.field("value", &&*guard),
            None => shown.field("value", &format_args!("<locked>")).field("owner", &self.owner()),
        };
        shown.finish()
    }
}

show_value!(ReentrantMutexGuard MappedReentrantMutexGuard);
