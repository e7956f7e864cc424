//! Permits, of which there are so many; handed out in the order of asking.
//!
//! Invariants:
//! - What is available and what permits have make `total`. So giving back overflows nothing.
//! - While somebody waits, the first in line asks for more than is available. Therefore whatever makes more available, and
//!   whoever leaves the line without permits, has to [`serve`](Semaphore::serve) those who wait.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, Held, InLine, WaitList, Why};

/// So many at a time: each takes a permit, or several, and gives them back by dropping them.
///
/// ```
/// use ropewalk::sync::Semaphore;
/// use ropewalk::{task, time};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let connections = Semaphore::new(2);
///     let (now, most) = (Cell::new(0), Cell::new(0));
///     task::scope(|s| {
///         for _ in 0..5 {
///             s.spawn(|| {
///                 let _permit = connections.acquire().unwrap();
///                 now.set(now.get() + 1);
///                 most.set(most.get().max(now.get()));
///                 time::sleep(Duration::from_millis(1)).unwrap();
///                 now.set(now.get() - 1);
///             });
///         }
///     });
///     assert_eq!((most.get(), connections.available()), (2, 2));
/// });
/// ```
///
/// Permits are handed out strictly in the order of asking. A request that is too big for what is available holds back those
/// behind it, however small they are, so that it is not starved; and nobody passes those who wait, not even with a try-form.
/// If it is given up, those behind it are looked at again. One that asks for more than there will ever be waits for ever.
///
/// What is acquired cannot be released twice, for it is released by dropping it; so this is Python's `BoundedSemaphore` too.
/// Where permits stand for things that come up, such as items in a store, [add](Semaphore::add_permits) one for each, and
/// [forget](Permit::forget) those that are used up. There is no way to close a semaphore: to send those home who wait, cancel
/// the scope they stand in.
#[doc(alias = "BoundedSemaphore")]
pub struct Semaphore {
    available: Cell<usize>,
    total: Cell<usize>,
    /// Whoever is woken has the permits that it offered to take.
    waiting: WaitList<(), usize>,
}

/// Permits of a [`Semaphore`], which go back when this is dropped.
///
/// It refers to the semaphore with a plain reference, or owns a share of it: then it can go wherever it likes.
///
/// In debug mode a task that ends without having dropped its permits is reported: see [`Held`]. Those that own a share are
/// not counted, for they are made for leaving the task.
#[must_use = "the permits go back when this is dropped"]
pub struct Permit<S: Deref<Target = Semaphore>> {
    semaphore: S,
    count: usize,
    held: Option<Held>,
}

/// What is going on at a semaphore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// Permits that are there.
    pub available: usize,
    /// Permits that have been handed out, and will come back.
    pub taken: usize,
    /// Tasks that wait for permits.
    pub waiting: usize,
    /// How many permits the first of them asks for, which are more than are available.
    pub next: Option<usize>,
}

impl Semaphore {
    /// With so many permits.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { available: Cell::new(permits), total: Cell::new(permits), waiting: WaitList::new() }
    }

    /// Waits for a permit, and takes it.
    ///
    /// # Cancellation
    ///
    /// One that was given a permit before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was taken.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Result<Permit<&Semaphore>, Cancelled> {
        self.acquire_many(1)
    }

    /// Waits for `count` permits, and takes them all at once.
    ///
    /// Asking for none means to wait for one's turn.
    ///
    /// ```
    /// use ropewalk::sync::Semaphore;
    /// use ropewalk::task;
    ///
    /// ropewalk::run(|| {
    ///     let megabytes = Semaphore::new(100);
    ///     task::scope(|s| {
    ///         let small = megabytes.acquire_many(30).unwrap();
    ///         let large = s.spawn(|| megabytes.acquire_many(80).unwrap().count());
    ///         task::yield_now();
    ///         assert!(megabytes.try_acquire().is_none());           // There are 70; but one waits.
    ///         drop(small);
    ///         assert_eq!(large.join().unwrap(), 80);
    ///     });
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// One that was given the permits before it was cancelled has them. One that was not leaves its place to those behind it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was taken.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Result<Permit<&Semaphore>, Cancelled> {
        lowlevel::may_wait()?;
        if !self.take(count) {
            self.wait_for(count)?;
        }
        Ok(self.permit(count))
    }

    /// Takes a permit if that needs no waiting. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<&Semaphore>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if there are so many and nobody waits.
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<&Semaphore>> {
        self.take(count).then(|| self.permit(count))
    }

    /// As [`acquire`](Semaphore::acquire); the permit can go where the semaphore cannot be borrowed.
    ///
    /// What tries or selects makes such a one with [`Permit::into_owned`].
    ///
    /// ```
    /// use ropewalk::sync::Semaphore;
    /// use ropewalk::task;
    /// use std::rc::Rc;
    ///
    /// ropewalk::run(|| {
    ///     let connections = Rc::new(Semaphore::new(100));
    ///     let permit = connections.acquire_owned().unwrap();
    ///     let served = task::spawn(move || {
    ///         let _permit = permit;                                 // Goes back when the task has ended.
    ///         "served"
    ///     });
    ///     assert_eq!(connections.available(), 99);
    ///     assert_eq!(served.join().unwrap(), "served");
    ///     assert_eq!(connections.available(), 100);
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was taken.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire_owned(self: &Rc<Self>) -> Result<Permit<Rc<Semaphore>>, Cancelled> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many); the permits can go where the semaphore cannot be borrowed.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was taken.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire_many_owned(self: &Rc<Self>, count: usize) -> Result<Permit<Rc<Semaphore>>, Cancelled> {
        Ok(self.acquire_many(count)?.into_owned(self))
    }

    /// An arm that takes a permit, for [`select`](crate::select::select).
    pub fn acquiring(&self) -> Acquiring<'_> {
        self.acquiring_many(1)
    }

    /// An arm that takes `count` permits, for [`select`](crate::select::select).
    ///
    /// Each arm is a request for itself, also beside others in the same select.
    pub fn acquiring_many(&self, count: usize) -> Acquiring<'_> {
        Acquiring { semaphore: self, count }
    }

    /// How many permits are there. While tasks wait these are kept for them.
    pub fn available(&self) -> usize {
        self.available.get()
    }

    /// Makes `count` more. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Panics
    ///
    /// When there would be more than `usize::MAX`, those included that have been handed out.
    #[track_caller]
    pub fn add_permits(&self, count: usize) {
        let total = self.total.get().checked_add(count);
        self.total.set(total.expect("a semaphore cannot have so many permits"));
        self.put(count);
    }

    /// Takes `count` permits away for good, or as many as are available, and returns how many that were.
    pub fn forget_permits(&self, count: usize) -> usize {
        let count = count.min(self.available.get());
        self.available.set(self.available.get() - count);
        self.total.set(self.total.get() - count);
        count
    }

    /// What is going on here.
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics {
            available: self.available.get(),
            taken: self.total.get() - self.available.get(),
            waiting: self.waiting.len(),
            next: self.waiting.first_offer(),
        }
    }

    #[inline(always)]
    fn take(&self, count: usize) -> bool {
        let available = self.available.get();
        let is_there = count <= available && self.waiting.is_empty();
        if is_there {
            self.available.set(available - count);
        }
        is_there
    }

    #[track_caller]
    fn wait_for(&self, count: usize) -> Result<(), Cancelled> {
        let asked = Asked { semaphore: self, count };
        match self.waiting.wait_with(&Why::new("").on(&asked), count) {
            Ok(_handed_over) => Ok(()),
            Err((cancelled, _)) => {
                // It may have held back others.
                self.serve();
                Err(cancelled)
            }
        }
    }

    /// For whoever has just taken so many, or was handed them.
    #[inline(always)]
    fn permit(&self, count: usize) -> Permit<&Semaphore> {
        Permit { semaphore: self, count, held: Some(Held::new()) }
    }

    #[inline]
    fn put(&self, count: usize) {
        self.available.set(self.available.get() + count);
        self.serve();
    }

    /// Hands permits to those who wait, as long as there are enough for the first of them.
    #[inline]
    fn serve(&self) {
        while let Some(count) = self.waiting.first_offer() {
            let Some(left) = self.available.get().checked_sub(count) else { return };
            self.available.set(left);
            self.waiting.wake_one(()).expect("it is the first of those who wait");
        }
    }
}

impl<S: Deref<Target = Semaphore>> Permit<S> {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does not give them back: there are so many fewer now.
    pub fn forget(mut self) {
        let count = self.hand_on();
        self.semaphore.total.set(self.semaphore.total.get() - count);
    }

    /// Splits `count` permits off; `None` if these are not so many.
    ///
    /// ```
    /// use ropewalk::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(5);
    /// let mut most = semaphore.try_acquire_many(5).unwrap();
    /// let some = most.split(2).unwrap();
    /// assert_eq!((most.count(), some.count()), (3, 2));
    /// assert!(most.split(4).is_none());
    /// drop(most);
    /// assert_eq!(semaphore.available(), 3);
    /// ```
    pub fn split(&mut self, count: usize) -> Option<Permit<S>>
    where
        S: Clone,
    {
        let left = self.count.checked_sub(count)?;
        let semaphore = self.semaphore.clone();
        let held = self.held.as_ref().map(|_| Held::new());
        self.count = left;
        Some(Permit { semaphore, count, held })
    }

    /// Adds those of another one to these.
    ///
    /// # Panics
    ///
    /// When they are of different semaphores.
    #[track_caller]
    pub fn merge(&mut self, mut other: Permit<S>) {
        self.assert_of(&other.semaphore);
        self.count += other.hand_on();
    }

    #[track_caller]
    fn assert_of(&self, semaphore: &Semaphore) {
        assert!(std::ptr::eq(&*self.semaphore, semaphore), "these are permits of another semaphore");
    }

    /// For whoever sees to them from now on.
    #[inline]
    fn hand_on(&mut self) -> usize {
        std::mem::take(&mut self.count)
    }
}

impl Permit<&Semaphore> {
    /// The same permits, with a share of their semaphore.
    ///
    /// ```
    /// use ropewalk::sync::Semaphore;
    /// use std::rc::Rc;
    ///
    /// let semaphore = Rc::new(Semaphore::new(1));
    /// let permit = semaphore.try_acquire().map(|permit| permit.into_owned(&semaphore));
    /// drop(semaphore);
    /// assert_eq!(permit.unwrap().count(), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// When they are of another semaphore.
    #[inline]
    #[track_caller]
    pub fn into_owned(mut self, semaphore: &Rc<Semaphore>) -> Permit<Rc<Semaphore>> {
        self.assert_of(semaphore);
        Permit { semaphore: semaphore.clone(), count: self.hand_on(), held: None }
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Permit<S> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.put(self.count);
    }
}

/// An arm that takes permits: see [`Semaphore::acquiring`].
#[derive(Clone, Copy)]
#[must_use = "nothing is taken until it is selected"]
pub struct Acquiring<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> Arm for Acquiring<'a> {
    type Output = Permit<&'a Semaphore>;
    type Place = InLine<'a, (), usize>;

    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.semaphore.try_acquire_many(self.count)
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.semaphore.waiting.place(self.count)
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let woken = place.into_woken(&self.semaphore.waiting);
        match woken.offer.filter(|_| woken.value.is_some()) {
            Some(count) => Some(self.semaphore.permit(count)),
            None => {
                // It may have held back others.
                self.semaphore.serve();
                None
            }
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Asked { semaphore: self.semaphore, count: self.count })
    }
}

/// What is asked for, and what there is if that is not enough or not for this one; for dumps.
struct Asked<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore")?;
        match (self.count, self.semaphore.available()) {
            (1, 0) => Ok(()),
            (count, 0) => write!(f, ": {count} permits"),
            (1, available) => write!(f, ": 1 permit of {available} available"),
            (count, available) => write!(f, ": {count} permits of {available} available"),
        }
    }
}

impl fmt::Debug for Acquiring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").field("count", &self.count).finish()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Semaphore");
        shown.field("available", &self.available()).field("waiting", &self.waiting.len()).finish()
    }
}

impl<S: Deref<Target = Semaphore>> fmt::Debug for Permit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish()
    }
}
