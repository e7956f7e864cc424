//! Where a task waits that waits for several things: one *place* for each, and the first that is granted decides.
//!
//! All places of a wait share its number. So whoever is second to wake the task finds the wait decided, keeps what it would
//! have given, and gives it to the next in its line: exactly one thing is committed, without any place knowing of the others.
//!
//! Invariant: between `enter` and `leave` a place stays where it is. `leave` is called before the wait's task goes on in
//! other code; where `enter` panics, `drop` does the same.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::thread;
use std::time::Instant;

use super::core::{Core, Target};
use super::here;
use super::park::Slot;
use super::record::Record;
use super::ticket::{Ticket, without_waiting};
use super::timers::TimerKey;
use super::wait_list::{WaitList, Waiter};
use crate::clock::Nanos;

/// Where an [`Arm`](super::lowlevel::Arm) waits. It is made by the arm, used by one wait, and given back to the arm.
///
/// There are three kinds, [`InLine`], [`AtTime`] and [`ByTicket`]; tuples, arrays and boxed slices of places; and an `Option`
/// of one, where `None` waits for ever.
pub trait Place: sealed::Place {}

impl<P: sealed::Place> Place for P {}

/// The one that waits.
#[derive(Clone, Copy)]
pub struct Sleeper {
    pub(super) core: *const Core,
    pub(super) task: *const Record,
    pub(super) wait: u64,
}

pub(super) mod sealed {
    use super::Sleeper;

    /// # Safety
    ///
    /// Once it has been entered, `leave` and `drop` must each take back whatever points to it.
    pub unsafe trait Place {
        /// # Safety
        ///
        /// It must stay where it is until it has been left or dropped. The sleeper must be the running task, and have begun
        /// that wait.
        unsafe fn enter(&self, sleeper: &Sleeper);

        /// The part of entering that runs user's code, when all places of the wait have been entered.
        ///
        /// # Safety
        ///
        /// As for [`enter`](Place::enter), after it.
        #[inline(always)]
        unsafe fn register(&self, _sleeper: &Sleeper) {}

        /// # Safety
        ///
        /// In the task that entered it, when its wait is decided.
        unsafe fn leave(&self);
    }
}

/// A place in a [`WaitList`], by [`WaitList::place`].
pub struct InLine<'a, T, O = ()> {
    line: &'a WaitList<T, O>,
    waiter: Waiter<T, O>,
}

#[cold]
#[inline(never)]
#[track_caller]
fn not_in_this_line() -> ! {
    panic!("this place is in another line: an arm ends with a place of its own")
}

/// What the first wait has left in it would be dropped, or be missing, where somebody wakes the second.
#[cold]
#[inline(never)]
fn used_twice() -> ! {
    panic!("this place has been waited in: an arm makes a new one for each wait")
}

/// What became of a waiter in a [`WaitList`] with offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Woken<T, O> {
    /// What it was woken with; `None` if it was not woken, which only happens to one of several places.
    pub value: Option<T>,
    /// What it brought; `None` if that was taken in exchange.
    pub offer: Option<O>,
}

impl<'a, T, O> InLine<'a, T, O> {
    #[inline(always)]
    pub(super) fn new(line: &'a WaitList<T, O>, offer: O) -> InLine<'a, T, O> {
        InLine { line, waiter: Waiter::new(offer) }
    }

    /// What became of it. `line` is that which it is a place in: an arm that asks is not deceived by who wraps it up.
    ///
    /// # Panics
    ///
    /// When it is a place in another line.
    #[inline(always)]
    #[track_caller]
    pub fn into_woken(self, line: &WaitList<T, O>) -> Woken<T, O> {
        // It is in no line any more, and what is in it is taken out: nothing is left to drop.
        let this = ManuallyDrop::new(self);
        debug_assert!(!this.waiter.is_linked());
        let woken = this.waiter.take_woken();
        if !ptr::eq(this.line, line) {
            not_in_this_line();
        }
        woken
    }
}

// SAFETY: only the line points to the waiter, and only while it is linked.
unsafe impl<T, O> sealed::Place for InLine<'_, T, O> {
    #[inline(always)]
    unsafe fn enter(&self, sleeper: &Sleeper) {
        if self.waiter.was_linked() {
            used_twice();
        }
        // SAFETY: it stays where it is, says the caller.
        unsafe { self.line.link(&self.waiter, sleeper.task, sleeper.wait) };
    }

    #[inline(always)]
    unsafe fn leave(&self) {
        // SAFETY: it was linked there or nowhere.
        unsafe { self.line.unlink(&self.waiter) };
    }
}

impl<T, O> Drop for InLine<'_, T, O> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as in `leave`.
        unsafe { self.line.unlink(&self.waiter) };
    }
}

/// A moment to wait for, by [`time::sleeping`](crate::time::sleeping).
pub struct AtTime {
    deadline: Nanos,
    timer: Cell<Option<TimerKey>>,
    sleeper: Cell<Option<Sleeper>>,
    has_come: Cell<bool>,
}

impl AtTime {
    /// A wait until then.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn new(deadline: Instant) -> AtTime {
        AtTime::at(here::need_core().clock().moment(deadline))
    }

    pub(super) fn at(deadline: Nanos) -> AtTime {
        AtTime { deadline, timer: Cell::new(None), sleeper: Cell::new(None), has_come: Cell::new(false) }
    }

    /// Whether that is what ended the wait.
    pub fn has_come(&self) -> bool {
        self.has_come.get()
    }

    /// The deadline has passed: wakes the sleeper, if nothing else has.
    ///
    /// # Safety
    ///
    /// `this` must be alive, and the scheduler that of its sleeper.
    pub(super) unsafe fn ring(this: *const AtTime, core: &Core) {
        // SAFETY: alive, says the caller.
        let this = unsafe { &*this };
        this.timer.set(None);
        if let Some(sleeper) = this.sleeper.get() {
            // SAFETY: the sleeper's task has not ended, for it leaves its places before.
            this.has_come.set(unsafe { core.wake(sleeper.task, sleeper.wait) });
        }
    }

    fn unset(&self) {
        if let (Some(timer), Some(sleeper)) = (self.timer.take(), self.sleeper.get()) {
            // SAFETY: the sleeper's task runs, and so its scheduler.
            unsafe { (*sleeper.core).timers().cancel(timer) };
        }
    }
}

// SAFETY: only a timer points to it, which is taken back by both.
unsafe impl sealed::Place for AtTime {
    unsafe fn enter(&self, sleeper: &Sleeper) {
        if self.sleeper.replace(Some(*sleeper)).is_some() {
            used_twice();
        }
        // SAFETY: there is a scheduler while its task runs.
        let core = unsafe { &*sleeper.core };
        self.timer.set(Some(core.timers().set(self.deadline, Target::Ring(self))));
    }

    unsafe fn leave(&self) {
        self.unset();
    }
}

impl Drop for AtTime {
    fn drop(&mut self) {
        self.unset();
    }
}

/// Whoever can wake a task, with a [`Ticket`]: something that is neither a line nor a time.
///
/// ```
/// use ropewalk::lowlevel::{self, Arm, ByTicket, Register, Ticket};
/// use ropewalk::task;
/// use std::cell::Cell;
/// use std::fmt;
/// use std::rc::Rc;
///
/// /// Rung by whoever takes the ticket and spends it.
/// #[derive(Clone, Default)]
/// struct Bell(Rc<Cell<Option<Ticket<()>>>>);
///
/// impl Register for Bell {
///     type Value = ();
///
///     fn register(&self, ticket: Ticket<()>) {
///         self.0.set(Some(ticket));
///     }
///
///     fn undo(&self) {
///         self.0.set(None);
///     }
/// }
///
/// impl Arm for Bell {
///     type Output = ();
///     type Place = ByTicket<Bell>;
///
///     fn try_now(&mut self) -> Option<()> {
///         None
///     }
///
///     fn place(&mut self) -> ByTicket<Bell> {
///         ByTicket::new(self.clone())
///     }
///
///     fn end(&mut self, place: ByTicket<Bell>) -> Option<()> {
///         place.into_value()
///     }
///
///     fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("bell")
///     }
/// }
///
/// ropewalk::run(|| {
///     let bell = Bell::default();
///     let ringer = bell.clone();
///     task::spawn(move || ringer.0.take().unwrap().wake(()));
///     lowlevel::wait(&mut bell.clone()).unwrap();
/// });
/// ```
pub trait Register {
    /// What a ticket is spent with.
    type Value;

    /// Hands the ticket to whoever will spend it, or spends it. It cannot wait.
    fn register(&self, ticket: Ticket<Self::Value>);

    /// The wait has ended, and not by this ticket: takes it back. It cannot wait.
    fn undo(&self);
}

/// A wait for a [`Ticket`] to be spent.
pub struct ByTicket<R: Register> {
    with: R,
    was_entered: Cell<bool>,
    is_registered: Cell<bool>,
    slot: Slot<R::Value>,
}

impl<R: Register> ByTicket<R> {
    /// A wait for the ticket that will be registered `with` this.
    pub fn new(with: R) -> ByTicket<R> {
        ByTicket {
            with,
            was_entered: Cell::new(false),
            is_registered: Cell::new(false),
            slot: Cell::new(None),
        }
    }

    /// What it was made with. It is for whoever made it, and for nobody who is only lent the arm: it could be registered again.
    pub(crate) fn with(&self) -> &R {
        &self.with
    }

    /// Whether its ticket is what ended the wait.
    pub fn was_spent(&self) -> bool {
        let value = self.slot.take();
        let was_spent = value.is_some();
        self.slot.set(value);
        was_spent
    }

    /// What the ticket was spent with, if it was.
    pub fn into_value(self) -> Option<R::Value> {
        self.slot.take()
    }

    fn take_back(&self) {
        if self.is_registered.replace(false) && !self.was_spent() {
            let undo = || without_waiting(|| self.with.undo());
            if thread::panicking() {
                // As may be because another one panicked as it was undone. A second panic would end the process.
                panic::catch_unwind(AssertUnwindSafe(undo)).unwrap_or_else(super::unhandled_panic);
            } else {
                undo();
            }
        }
    }
}

// SAFETY: a ticket looks at the slot only while its wait is open; the wait is decided before the place goes.
unsafe impl<R: Register> sealed::Place for ByTicket<R> {
    unsafe fn enter(&self, _: &Sleeper) {
        if self.was_entered.replace(true) {
            used_twice();
        }
    }

    unsafe fn register(&self, sleeper: &Sleeper) {
        self.is_registered.set(true);
        // SAFETY: the sleeper runs, says the caller; the slot is in this place, which stays.
        let ticket = unsafe { Ticket::new(sleeper.task, sleeper.wait, &self.slot) };
        without_waiting(|| self.with.register(ticket));
    }

    unsafe fn leave(&self) {
        self.take_back();
    }
}

impl<R: Register> Drop for ByTicket<R> {
    fn drop(&mut self) {
        self.take_back();
    }
}

// SAFETY: there is nothing in it that could be pointed to but its place.
unsafe impl<P: sealed::Place> sealed::Place for Option<P> {
    #[inline]
    unsafe fn enter(&self, sleeper: &Sleeper) {
        if let Some(place) = self {
            // SAFETY: as the caller says.
            unsafe { place.enter(sleeper) };
        }
    }

    #[inline]
    unsafe fn register(&self, sleeper: &Sleeper) {
        if let Some(place) = self {
            // SAFETY: as the caller says.
            unsafe { place.register(sleeper) };
        }
    }

    #[inline]
    unsafe fn leave(&self) {
        if let Some(place) = self {
            // SAFETY: as the caller says.
            unsafe { place.leave() };
        }
    }
}

/// # Safety
///
/// As for [`sealed::Place::enter`], of each.
#[inline]
unsafe fn enter_all<P: sealed::Place>(places: &[P], sleeper: &Sleeper) {
    // SAFETY: as the caller says.
    places.iter().for_each(|place| unsafe { place.enter(sleeper) });
}

/// # Safety
///
/// As for [`sealed::Place::register`], of each.
#[inline]
unsafe fn register_all<P: sealed::Place>(places: &[P], sleeper: &Sleeper) {
    // SAFETY: as the caller says.
    places.iter().for_each(|place| unsafe { place.register(sleeper) });
}

/// # Safety
///
/// As for [`sealed::Place::leave`], of each.
#[inline]
unsafe fn leave_all<P: sealed::Place>(places: &[P]) {
    // SAFETY: as the caller says.
    places.iter().for_each(|place| unsafe { place.leave() });
}

// SAFETY: there is nothing in it that could be pointed to but its places.
unsafe impl<P: sealed::Place, const N: usize> sealed::Place for [P; N] {
    #[inline]
    unsafe fn enter(&self, sleeper: &Sleeper) {
        // SAFETY: as the caller says.
        unsafe { enter_all(self, sleeper) };
    }

    #[inline]
    unsafe fn register(&self, sleeper: &Sleeper) {
        // SAFETY: as the caller says.
        unsafe { register_all(self, sleeper) };
    }

    #[inline]
    unsafe fn leave(&self) {
        // SAFETY: as the caller says.
        unsafe { leave_all(self) };
    }
}

// SAFETY: as for arrays; they stay where they are even if the box moves.
unsafe impl<P: sealed::Place> sealed::Place for Box<[P]> {
    #[inline]
    unsafe fn enter(&self, sleeper: &Sleeper) {
        // SAFETY: as the caller says.
        unsafe { enter_all(self, sleeper) };
    }

    #[inline]
    unsafe fn register(&self, sleeper: &Sleeper) {
        // SAFETY: as the caller says.
        unsafe { register_all(self, sleeper) };
    }

    #[inline]
    unsafe fn leave(&self) {
        // SAFETY: as the caller says.
        unsafe { leave_all(self) };
    }
}

macro_rules! tuples {
    ($($place:ident $index:tt),+) => {
        // SAFETY: there is nothing in it that could be pointed to but its places.
        unsafe impl<$($place: sealed::Place),+> sealed::Place for ($($place,)+) {
            #[inline]
            unsafe fn enter(&self, sleeper: &Sleeper) {
                // SAFETY: as the caller says.
                unsafe { $(self.$index.enter(sleeper);)+ }
            }

            #[inline]
            unsafe fn register(&self, sleeper: &Sleeper) {
                // SAFETY: as the caller says.
                unsafe { $(self.$index.register(sleeper);)+ }
            }

            #[inline]
            unsafe fn leave(&self) {
                // SAFETY: as the caller says.
                unsafe { $(self.$index.leave();)+ }
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
