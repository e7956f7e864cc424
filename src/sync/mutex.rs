//! One at a time, handed over in the order of coming.
//!
//! Invariant: the value is borrowed by whoever has the lock and by nobody else, so that borrowing it never fails.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::lock::{Line, Lock, Taken};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, TaskId};

/// A value that one task at a time may use, also across waits; Python's `Lock`, around what it protects.
///
/// Between two waits no other task runs, and a `RefCell` does. This is for what has to stay untouched while its task waits.
///
/// The lock goes from hand to hand: whoever has waited longest has it as soon as the guard is dropped, and nobody passes. A panic
/// while it is held drops the guard and does not poison it.
///
/// ```
/// use ropewalk::sync::Mutex;
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let total = Mutex::new(0);
///     task::scope(|s| {
///         for _ in 0..3 {
///             s.spawn(|| {
///                 let mut total = total.lock().unwrap();
///                 let before = *total;
///                 task::yield_now();                             // The others wait.
///                 *total = before + 1;
///             });
///         }
///     });
///     assert_eq!(total.into_inner(), 3);
/// });
/// ```
///
/// # Whose lock it is
///
/// That of the task that took it, until the guard is dropped, wherever that is by then: so say dumps, reports of deadlocks, and
/// [`lock`](Mutex::lock), which panics rather than have a task wait for itself. A task that is given a guard can
/// [adopt](MutexGuard::adopt) it.
///
/// A guard that was forgotten keeps all others out for ever. In debug mode a task that ends without having given its guards
/// back is reported; and those who wait are shown to wait for a task "which has ended".
#[doc(alias = "Lock")]
#[doc(alias = "asyncio.Lock")]
pub struct Mutex<T: ?Sized> {
    lock: Lock,
    value: RefCell<T>,
}

/// The lock is held, and the value at hand, until this is dropped.
///
/// In debug mode a task that ends without having dropped its guard is reported: see [`Held`](lowlevel::Held).
#[must_use = "the lock is given back when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// There but while a condition is waited for.
    has: Option<Has<'a, T>>,
}

struct Has<'a, T: ?Sized> {
    // In this order: who is handed the lock borrows the value.
    value: RefMut<'a, T>,
    taken: Taken<'a>,
}

/// A part of what a mutex protects: see [`MutexGuard::map`].
#[must_use = "the lock is given back when this is dropped"]
pub struct MappedMutexGuard<'a, T: ?Sized> {
    // In this order: who is handed the lock borrows the value.
    value: RefMut<'a, T>,
    taken: Taken<'a>,
}

/// What is going on at a [`Mutex`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MutexStatistics {
    /// Whether somebody has the lock.
    pub is_locked: bool,
    /// The task that has it; `None` too if it was locked outside of tasks.
    pub owner: Option<TaskId>,
    /// How many tasks wait for it.
    pub waiting: usize,
}

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { lock: Lock::new(), value: RefCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody has the lock, and takes it.
    ///
    /// # Cancellation
    ///
    /// One that was handed the lock before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: the lock was not taken.
    ///
    /// # Panics
    ///
    /// When the task that took the lock takes it again, for it would wait for itself; even if its guard has gone elsewhere. (Who
    /// wants to wait for that selects [`locking`](Mutex::locking).) Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Cancelled> {
        lowlevel::may_wait()?;
        let me = lowlevel::current_id();
        if !self.lock.take(me) {
            self.lock.wait(me)?;
        }
        Ok(self.guard())
    }

    /// Takes the lock if nobody has it. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.lock.take(lowlevel::current_id()).then(|| self.guard())
    }

    /// An arm that takes the lock, for [`select`](crate::select::select); it gives the guard.
    ///
    /// It waits for whoever has the lock, even if that is the task itself: another arm may be what it waits for.
    pub fn locking(&self) -> Locking<'_, T> {
        Locking { mutex: self }
    }

    /// Whether somebody has the lock.
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.lock.is_taken()
    }

    /// The task that has the lock; `None` too if it was locked outside of tasks.
    pub fn owner(&self) -> Option<TaskId> {
        self.lock.owner()
    }

    /// How many tasks wait for it.
    pub fn waiters(&self) -> usize {
        self.lock.line().len()
    }

    /// What is going on at the lock.
    pub fn statistics(&self) -> MutexStatistics {
        MutexStatistics { is_locked: self.lock.is_taken(), owner: self.lock.owner(), waiting: self.waiters() }
    }

    /// The value, for whoever has the mutex to itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// For whoever has just taken the lock, or was handed it.
    #[inline(always)]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, has: Some(self.have()) }
    }

    #[inline(always)]
    fn have(&self) -> Has<'_, T> {
        Has { value: self.value.borrow_mut(), taken: self.lock.taken() }
    }
}

/// What `guard` is for, if it has the lock: it has, but in the destructors of a task whose wait for a condition panicked.
const LOST: &str = "this guard has lost its lock in a deadlock";

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Makes a guard of a part of the value. It cannot be waited with at a [`Condvar`](super::Condvar).
    ///
    /// A function and not a method, as everything here that a guard has: methods are those of the value.
    ///
    /// ```
    /// use ropewalk::sync::{Mutex, MutexGuard};
    ///
    /// ropewalk::run(|| {
    ///     let pair = Mutex::new((1, "two"));
    ///     let mut first = MutexGuard::map(pair.lock().unwrap(), |pair| &mut pair.0);
    ///     *first += 41;
    ///     drop(first);
    ///     assert_eq!(pair.into_inner(), (42, "two"));
    /// });
    /// ```
    pub fn map<U: ?Sized>(
        guard: MutexGuard<'a, T>,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedMutexGuard<'a, U> {
        let Has { value, taken } = guard.has.expect(LOST);
        MappedMutexGuard { value: RefMut::map(value, part), taken }
    }

    /// As [`map`](MutexGuard::map), for a part that may not be there.
    ///
    /// # Errors
    ///
    /// It is not: the guard comes back.
    pub fn filter_map<U: ?Sized>(
        guard: MutexGuard<'a, T>,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, MutexGuard<'a, T>> {
        let Has { value, taken } = guard.has.expect(LOST);
        match RefMut::filter_map(value, part) {
            Ok(value) => Ok(MappedMutexGuard { value, taken }),
            Err(value) => Err(MutexGuard { mutex: guard.mutex, has: Some(Has { value, taken }) }),
        }
    }

    /// Makes the lock that of the running task, which was given the guard by another one; of nobody, outside of tasks.
    ///
    /// ```
    /// use ropewalk::sync::{Mutex, MutexGuard};
    /// use ropewalk::task;
    ///
    /// ropewalk::run(|| {
    ///     let log = Mutex::new(Vec::new());
    ///     task::scope(|s| {
    ///         let mut guard = log.lock().unwrap();
    ///         s.spawn(move || {
    ///             MutexGuard::adopt(&mut guard);
    ///             guard.push("child");
    ///         });
    ///         task::yield_now();
    ///         log.lock().unwrap().push("parent");                    // It is not this task's any more.
    ///     });
    ///     assert_eq!(log.into_inner(), ["child", "parent"]);
    /// });
    /// ```
    pub fn adopt(guard: &mut MutexGuard<'a, T>) {
        guard.has.as_mut().expect(LOST).taken.adopt();
    }

    /// The mutex that it is a guard of.
    pub fn mutex(guard: &MutexGuard<'a, T>) -> &'a Mutex<T> {
        guard.mutex
    }

    /// Gives the lock back, waits in `line` until sent on, and has the lock again, whatever is returned.
    #[track_caller]
    pub(super) fn wait_in(&mut self, line: &Line, why: &lowlevel::Why<'_>) -> Result<(), Cancelled> {
        assert!(self.has.is_some(), "{LOST}");
        self.has = None;
        let waited = self.mutex.lock.wait_after(line, why);
        self.has = Some(self.mutex.have());
        waited
    }
}

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// As [`MutexGuard::map`].
    pub fn map<U: ?Sized>(
        guard: MappedMutexGuard<'a, T>,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedMutexGuard<'a, U> {
        let MappedMutexGuard { value, taken } = guard;
        MappedMutexGuard { value: RefMut::map(value, part), taken }
    }

    /// As [`MutexGuard::filter_map`].
    ///
    /// # Errors
    ///
    /// The part is not there: the guard comes back.
    pub fn filter_map<U: ?Sized>(
        guard: MappedMutexGuard<'a, T>,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, MappedMutexGuard<'a, T>> {
        let MappedMutexGuard { value, taken } = guard;
        match RefMut::filter_map(value, part) {
            Ok(value) => Ok(MappedMutexGuard { value, taken }),
            Err(value) => Err(MappedMutexGuard { value, taken }),
        }
    }

    /// As [`MutexGuard::adopt`].
    pub fn adopt(guard: &mut MappedMutexGuard<'a, T>) {
        guard.taken.adopt();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.has.as_ref().expect(LOST).value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.has.as_mut().expect(LOST).value
    }
}

impl<T: ?Sized> Deref for MappedMutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MappedMutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// An arm that takes a lock: see [`Mutex::locking`].
#[must_use = "nothing is locked until it is selected"]
pub struct Locking<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<'a, T: ?Sized> Arm for Locking<'a, T> {
    type Output = MutexGuard<'a, T>;
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

impl<T: ?Sized> Clone for Locking<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Locking<'_, T> {}

impl<T: ?Sized> fmt::Debug for Locking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locking")
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

/// It takes the lock meanwhile, for to show the value is code of its own, which may wait.
impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => shown.field("value", &&*guard),
            None => shown.field("value", &format_args!("<locked>")).field("owner", &self.owner()),
        };
        shown.finish()
    }
}

macro_rules! show_value {
    ($($guard:ident)+) => {$(
        impl<T: ?Sized + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    )+};
}

pub(super) use show_value;

show_value!(MutexGuard MappedMutexGuard);
