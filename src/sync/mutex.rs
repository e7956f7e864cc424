//! One at a time, handed over in the order of coming.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, Held, InLine, TaskId, WaitList, Why};

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
pub struct Mutex<T: ?Sized> {
    is_locked: Cell<bool>,
    /// Who has it: the task that locked it, if it was a task.
    owner: Cell<Option<TaskId>>,
    /// Whoever is woken has the lock; each offers its name.
    waiting: WaitList<(), Option<TaskId>>,
    value: RefCell<T>,
}

/// The lock is held, and the value at hand, until this is dropped.
///
/// In debug mode a task that ends without having dropped its guard is reported: see [`Held`].
#[must_use = "the lock is given back when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>,
    // Dropped after the value was given back.
    _locked: Locked<'a>,
}

/// Gives the lock back when it is dropped.
struct Locked<'a> {
    is_locked: &'a Cell<bool>,
    owner: &'a Cell<Option<TaskId>>,
    waiting: &'a WaitList<(), Option<TaskId>>,
    _held: Held,
}

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            is_locked: Cell::new(false),
            owner: Cell::new(None),
            waiting: WaitList::new(),
            value: RefCell::new(value),
        }
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
    /// When the task that took the lock takes it again, for it would wait for itself. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Cancelled> {
        lowlevel::may_wait()?;
        let me = lowlevel::current_id();
        if !self.take(me) {
            assert!(
                self.owner.get() != me,
                "this task has the lock already: drop its guard first, or use a ReentrantMutex"
            );
            let holder = || self.owner.get();
            let why = Why::new("lock").held_by(&holder);
            let _handed_over = self.waiting.wait_with(&why, me).map_err(|(cancelled, _)| cancelled)?;
        }
        Ok(self.guard())
    }

    /// Takes the lock if nobody has it. It works outside of tasks too.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.take(lowlevel::current_id()).then(|| self.guard())
    }

    /// An arm that takes the lock, for [`select`](crate::select::select); it gives the guard.
    pub fn locking(&self) -> Locking<'_, T> {
        Locking { mutex: self }
    }

    /// Whether somebody has the lock.
    pub fn is_locked(&self) -> bool {
        self.is_locked.get()
    }

    /// The task that has the lock.
    pub fn owner(&self) -> Option<TaskId> {
        self.owner.get()
    }

    /// How many tasks wait for it.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The value, for whoever has the lock to itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline(always)]
    fn take(&self, me: Option<TaskId>) -> bool {
        if self.is_locked.get() {
            return false;
        }
        self.is_locked.set(true);
        self.owner.set(me);
        true
    }

    /// For whoever has just taken the lock, or was handed it.
    #[inline(always)]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            value: self.value.borrow_mut(),
            _locked: Locked {
                is_locked: &self.is_locked,
                owner: &self.owner,
                waiting: &self.waiting,
                _held: Held::new(),
            },
        }
    }
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        match self.waiting.exchange(()) {
            Ok(next) => self.owner.set(next),
            Err(()) => {
                self.owner.set(None);
                self.is_locked.set(false);
            }
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
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
        self.mutex.waiting.place(lowlevel::current_id())
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken().value.map(|()| self.mutex.guard())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lock")
    }

    fn holder(&self) -> Option<TaskId> {
        self.mutex.owner()
    }
}

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

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.owner.get();
        let mut shown = f.debug_struct("Mutex");
        // Not without the lock: while the value shows itself others may run, and take it.
        match self.try_lock() {
            Some(value) => shown.field("value", &&*value),
            None => shown.field("value", &format_args!("<locked>")),
        };
        shown.field("owner", &owner).finish()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
