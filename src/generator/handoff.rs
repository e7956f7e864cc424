//! What the two sides of a generator share: the value that comes with a resume, and the way back out.
//!
//! Words: a *handoff* lies on the generator's own stack, in its first frame. A *port* is the handoff through which
//! a body yields: its own, or if another generator started it to stand in, that one's port. So an item that comes out of
//! a chain of delegations is switched once, straight from the innermost body to whoever resumed the outermost.
//!
//! A body that runs *in place*, on the stack of whoever runs it, has a handoff in that one's frame, and a port that leads to an
//! *outlet*: a function that takes the item, and returns when the body is to go on.
//!
//! Invariants:
//! - Whoever resumes a suspended generator leaves a value in its handoff first, or says that it is being closed. The
//!   body takes the value as soon as it wakes.
//! - A body can reach its port only while it runs, and then the port's generator runs too, for it (or something it
//!   resumed) resumed the body. That is why suspending through a port is sound.
//! - Nobody switches while unwinding: `thread::panicking` counts for a whole thread, so a stack parked in the
//!   middle of a panic would make every other one look as if it were panicking.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, ptr, thread};

use super::mark::{self, Mark};
use super::switch::Parent;

/// What a body gets for a yield.
pub(super) enum Order<S> {
    /// The yield was refused, for the body unwinds: there was no switch.
    Refused,
    /// Go on with this value.
    Value(S),
    /// End, please: [`Exit`](crate::Exit) goes to the body, as a value where it asked for one.
    Exit,
    /// End: unwinds also a body that asked for a value.
    ForcedExit,
}

/// Whether the generator is being closed, between the resume that brought `Exit` and the next stop of its body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    Asked,
    Forced,
}

/// What became of an item of a body that runs in place.
pub(crate) enum Passed<S> {
    /// It was taken: the body goes on with this.
    On(S),
    /// Nobody wants another: the body is to end.
    Unwanted,
    /// The body cannot yield from where it is: in a callback, or in another task.
    Misplaced,
}

/// Where the items go of a body that runs in place.
pub(crate) type Outlet<'a, Y, S> = &'a dyn Fn(Y) -> Passed<S>;

/// Lies on the generator's stack for as long as its body runs.
pub(super) struct Handoff<S> {
    /// Holds a value from a resume until the body wakes.
    sent: UnsafeCell<MaybeUninit<S>>,
    closing: Cell<Closing>,
    /// That of the last resume: see [`mark`]. In place, the address of the handoff, which nobody's mark is: whoever finds
    /// that the marks differ looks whether there is an outlet, and nobody else has to.
    mark: Cell<Mark>,
    /// Whether whoever resumed the generator is unwinding. Only then is it looked at, and only then is it written.
    resumer_unwinds: Cell<bool>,
    /// Since the body was unwound by [`Port::raise_exit`]: how many payloads of that there are. Any of them may unwind.
    exit: Cell<Option<Arc<AtomicUsize>>>,
    /// The body has switched away for good: see [`Port::raise_exit`].
    abandoned: Cell<bool>,
}

/// The payload that unwinds a body on close. It runs no panic hook.
pub(super) struct ExitPayload {
    /// Shared with the handoff that is being closed, which knows its own exit by it: bodies of other generators on the
    /// way must let it pass. Counts the payloads that have not been dropped: by the first frame of the body, or by
    /// whoever caught one on the way.
    alive: Arc<AtomicUsize>,
}

impl Drop for ExitPayload {
    fn drop(&mut self) {
        // Never leaves its thread but in the hands of somebody who caught it: no order is needed.
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> Handoff<S> {
    pub(super) fn new() -> Handoff<S> {
        Handoff {
            sent: UnsafeCell::new(MaybeUninit::uninit()),
            closing: Cell::new(Closing::No),
            mark: Cell::new(mark::current()),
            resumer_unwinds: Cell::new(thread::panicking()),
            exit: Cell::new(None),
            abandoned: Cell::new(false),
        }
    }

    /// Says that the body runs in place. The handoff stays where it is from now on.
    pub(super) fn set_in_place(&self) {
        self.mark.set(self.own_mark());
    }

    fn own_mark(&self) -> Mark {
        Mark(ptr::from_ref(self).cast())
    }

    fn is_in_place(&self) -> bool {
        self.mark.get() == self.own_mark()
    }

    /// Leaves a value for the body; the resume comes next.
    #[inline(always)]
    pub(super) fn send(&self, value: S) {
        // SAFETY: the body is suspended, so nobody reads the value; the last one was taken when the body woke.
        unsafe { (*self.sent.get()).write(value) };
        self.mark.set(mark::current());
    }

    pub(super) fn resumer_unwinds(&self, unwinds: bool) {
        self.resumer_unwinds.set(unwinds);
    }

    /// Says that the body is to end when it wakes.
    pub(super) fn begin_closing(&self, closing: Closing) {
        self.closing.set(closing);
        self.mark.set(mark::current());
    }

    /// The body has stopped without having ended. So it does not unwind, whatever payload somebody may have kept.
    pub(super) fn stop_closing(&self) {
        self.closing.set(Closing::No);
        self.exit.set(None);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }

    #[cold]
    fn refuses_while_unwinding(&self) -> bool {
        // If the resumer did not unwind, it is the body that does. If it did, the body may do so too: that is known if
        // it was unwound on close. (If it panicked itself, it is not: see `docs/generators.md`.)
        !self.resumer_unwinds.get() || self.exit_unwinds()
    }

    fn exit_unwinds(&self) -> bool {
        self.with_exit(|alive| alive.load(Ordering::Relaxed) > 0)
    }

    /// Asks something of the last exit, if there was one.
    fn with_exit(&self, ask: impl FnOnce(&Arc<AtomicUsize>) -> bool) -> bool {
        let exit = self.exit.take();
        let answer = exit.as_ref().is_some_and(ask);
        self.exit.set(exit);
        answer
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn out_of_a_scope() -> ! {
    panic!(
        "a generator must not yield while a scope that was opened in its body is open, nor in a task that did not resume \
         it: yield after the scope, or read the generator through a task of its own"
    );
}

/// A handoff to yield through.
pub(super) struct Port<Y, S> {
    handoff: *const Handoff<S>,
    /// The way back of the generator that the handoff belongs to.
    parent: *const Parent<MaybeUninit<Y>>,
}

impl<Y, S> Clone for Port<Y, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Y, S> Copy for Port<Y, S> {}

impl<Y, S> Port<Y, S> {
    /// To be replaced before anything is yielded.
    pub(super) fn nowhere() -> Port<Y, S> {
        Port { handoff: ptr::null(), parent: ptr::null() }
    }

    /// # Safety
    ///
    /// Both must belong to one generator. The port must only be used while that runs, on its stack or on one that was
    /// resumed from there.
    pub(super) unsafe fn to(handoff: &Handoff<S>, parent: &Parent<MaybeUninit<Y>>) -> Port<Y, S> {
        Port { handoff, parent }
    }

    /// # Safety
    ///
    /// As for [`to`](Port::to); the handoff must be that of a body that runs in place, for as long as both are there.
    pub(super) unsafe fn to_outlet(handoff: &Handoff<S>, outlet: &Outlet<'_, Y, S>) -> Port<Y, S> {
        debug_assert!(handoff.is_in_place());
        Port { handoff, parent: ptr::from_ref(outlet).cast() }
    }

    #[inline(always)]
    fn handoff(&self) -> &Handoff<S> {
        // SAFETY: the generator that owns the handoff runs (see `to`), so its first frame is alive.
        unsafe { &*self.handoff }
    }

    /// Whether `payload` is that of this port's own close.
    pub(super) fn exits_with(self, payload: &(dyn Any + Send)) -> bool {
        let own = |exit: &ExitPayload| self.handoff().with_exit(|own| Arc::ptr_eq(own, &exit.alive));
        self.closing() != Closing::No && payload.downcast_ref::<ExitPayload>().is_some_and(own)
    }

    pub(super) fn closing(self) -> Closing {
        self.handoff().closing.get()
    }

    /// Hands `value` to the resumer and stops until it is resumed. A refused value is dropped.
    ///
    /// # Panics
    ///
    /// When a scope that was opened since the last resume is still open, and when another task than the one that
    /// resumed the generator calls this.
    #[inline(always)]
    #[track_caller]
    pub(super) fn pass(self, value: Y) -> Order<S> {
        if thread::panicking() && self.handoff().refuses_while_unwinding() {
            return Order::Refused;
        }
        if self.handoff().mark.get() != mark::current() {
            return self.pass_to_outlet(value);
        }
        // SAFETY: the generator runs, and this code on its stack or on one resumed from it: see `to`, and for a port
        // that another task borrows, `mark`.
        unsafe { (*self.parent).suspend(MaybeUninit::new(value)) };
        match self.handoff().closing.get() {
            // SAFETY: the body was resumed and is not being closed, so a value was left for it, which is taken here.
            Closing::No => Order::Value(unsafe { (*self.handoff().sent.get()).assume_init_read() }),
            Closing::Asked => Order::Exit,
            Closing::Forced => Order::ForcedExit,
        }
    }

    /// Hands `value` to the outlet of a body that runs in place.
    ///
    /// # Panics
    ///
    /// Where there is none: then this is a yield out of a scope.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn pass_to_outlet(self, value: Y) -> Order<S> {
        if !self.handoff().is_in_place() {
            out_of_a_scope();
        }
        // SAFETY: a port to such a handoff was made by `to_outlet`, or is a copy of that one, and has its types. The frame in
        // which the outlet lies is there while the body runs.
        let outlet = unsafe { *self.parent.cast::<Outlet<'_, Y, S>>() };
        match outlet(value) {
            Passed::On(sent) => Order::Value(sent),
            Passed::Misplaced => out_of_a_scope(),
            Passed::Unwanted => match self.handoff().closing.replace(Closing::Forced) {
                Closing::No => {
                    self.handoff().closing.set(Closing::Asked);
                    Order::Exit
                }
                // It was told before, and yields all the same.
                Closing::Asked | Closing::Forced => Order::ForcedExit,
            },
        }
    }

    /// Unwinds the body, from a yield that got no value.
    ///
    /// With `panic = "abort"` nothing can be unwound: the body switches away for good instead, and its stack is
    /// leaked.
    #[cold]
    pub(super) fn raise_exit(self) -> ! {
        if cfg!(panic = "unwind") {
            let alive = self.handoff().exit.take().unwrap_or_default();
            alive.fetch_add(1, Ordering::Relaxed);
            self.handoff().exit.set(Some(alive.clone()));
            panic::resume_unwind(Box::new(ExitPayload { alive }))
        }
        assert!(
            !self.handoff().is_in_place(),
            "a generator in a task of its own was stopped in a plain yield_, which panic = \"abort\" forbids to unwind: use try_yield"
        );
        if self.handoff().mark.get() != mark::current() {
            out_of_a_scope();
        }
        self.handoff().abandoned.set(true);
        loop {
            // SAFETY: as in `pass`. Whoever closes the generator looks at `abandoned` before the value.
            unsafe { (*self.parent).suspend(MaybeUninit::uninit()) };
        }
    }

    /// A plain `yield_` got no value: it cannot return.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn leave(self, order: Order<S>) -> ! {
        if matches!(order, Order::Refused) && !self.handoff().resumer_unwinds.get() {
            panic!("a generator must not yield while it unwinds: in a destructor use try_yield");
        }
        self.raise_exit()
    }
}
