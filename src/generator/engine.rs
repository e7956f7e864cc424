//! The life of a generator: created, started on a stack, suspended and resumed, ended.
//!
//! States and the moves between them:
//!
//! ```text
//! Created ---start---> Running <---resume / exit---> Suspended
//!    |                    |
//!    +---close--> Closed <+  (returned, exited, panicked, abandoned)
//! ```
//!
//! Invariants:
//! - `fiber` holds a fiber while the state is `Running` or `Suspended`. It is only touched by the frame that moves the
//!   state; while the state is `Running` everybody else looks at `state` only.
//! - `yielder` points into the generator's stack and is good while the state is `Running` or `Suspended`.
//! - The truthful state is written before the switch and before any code of the user's is run or dropped.
//! - A body that may borrow (of a [`Scope`](super::Scope)) has ended before anything it borrows goes.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe, Location};
use std::{ptr, thread};

use super::builder::Builder;
use super::handoff::{Closing, Handoff, Outlet, Port};
use super::switch::{Fiber, Parent, Turn};
use super::yielder::Yielder;
use crate::stack::{self, Label, LabelKind};

/// Where a generator stands; Python's `inspect.getgeneratorstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started: it has no stack yet.
    Created,
    /// Its body is being executed, or it stands in for another generator.
    Running,
    /// Its body waits at a yield.
    Suspended,
    /// Its body has ended, or will never begin.
    Closed,
}

/// A body before it is started. For scoped generators `'static` is a lie that the scope keeps from mattering.
pub(super) type Body<Y, S, R> = Box<dyn FnOnce(&Yielder<Y, S>) -> R>;

pub(super) type Payload = Box<dyn Any + Send>;

pub(super) struct Engine<Y, S, R> {
    state: Cell<State>,
    /// Until it is started.
    body: Cell<Option<Body<Y, S, R>>>,
    /// Built, run and dropped in place: moving it would make the processor wait for its own stores.
    fiber: UnsafeCell<MaybeUninit<Fiber<MaybeUninit<Y>, End<R>>>>,
    yielder: Cell<*const Yielder<Y, S>>,
    /// What the body returned to nobody.
    returned: Cell<Option<R>>,
    created: &'static Location<'static>,
    options: Option<Box<Builder>>,
}

/// How a body ended.
enum End<R> {
    Returned(R),
    Exited,
    Panicked(Payload),
}

/// Where a resume has led.
pub(super) enum Outcome<Y, R> {
    Yielded(Y),
    Returned(R),
    /// Unwound by `Exit`.
    Exited,
    Panicked(Payload),
    /// Could not be unwound; its stack is leaked. Only with `panic = "abort"`.
    Abandoned,
}

impl<Y, S, R> Engine<Y, S, R> {
    pub(super) fn new(
        body: Body<Y, S, R>,
        created: &'static Location<'static>,
        options: Option<Box<Builder>>,
    ) -> Self {
        Engine {
            state: Cell::new(State::Created),
            body: Cell::new(Some(body)),
            fiber: UnsafeCell::new(MaybeUninit::uninit()),
            yielder: Cell::new(ptr::null()),
            returned: Cell::new(None),
            created,
            options,
        }
    }

    #[inline(always)]
    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn created(&self) -> &'static Location<'static> {
        self.created
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.options.as_ref()?.name_text()
    }

    pub(super) fn options(&self) -> Option<&Builder> {
        self.options.as_deref()
    }

    pub(super) fn delegates(&self) -> bool {
        match self.state.get() {
            // SAFETY: see the invariant of `yielder`.
            State::Running | State::Suspended => unsafe { (*self.yielder.get()).delegates.get() },
            State::Created | State::Closed => false,
        }
    }

    /// Runs the body from its beginning to its first stop. With a `port`, its yields go there.
    ///
    /// # Errors
    ///
    /// No stack: nothing has happened.
    ///
    /// The state must be `Created`.
    pub(super) fn start(&self, port: Option<Port<Y, S>>) -> io::Result<Outcome<Y, R>> {
        debug_assert_eq!(self.state.get(), State::Created);
        let stack = stack::acquire(Builder::shape_of(self.options.as_deref())?)?;
        stack.set_label(self.label());

        let engine: *const Self = self;
        // SAFETY: the first switch below runs this while the engine is borrowed.
        let run = move |parent: &Parent<MaybeUninit<Y>>| unsafe { run_body(engine, port, parent) };
        // SAFETY: in the state `Created` there is no fiber and nobody looks for one. `run` does not unwind. What the body
        // borrows is `'static`, or outlives the scope that ends the body before it returns.
        unsafe { (*self.fiber.get()).write(Fiber::<_, _>::new(stack, run)) };
        let turn = self.switch();
        if thread::panicking() {
            self.forget_resumer(&turn);
        }
        Ok(self.outcome(turn))
    }

    #[inline]
    fn label(&self) -> Label {
        match &self.options {
            None => Label { kind: LabelKind::Generator, name: None, created: self.created, sized: false },
            Some(options) => Label {
                kind: LabelKind::Generator,
                name: options.name_text().map(|name| name.as_bytes().into()),
                created: self.created,
                sized: options.is_sized(),
            },
        }
    }

    /// Whether a resume may take the short way: the body waits at a yield, and whoever resumes it does not unwind.
    #[inline(always)]
    pub(super) fn is_ready(&self) -> bool {
        self.state.get() == State::Suspended && !thread::panicking()
    }

    /// Lets the body go on from its yield with `value`. It must be ready: see [`is_ready`](Engine::is_ready).
    #[inline(always)]
    pub(super) fn resume(&self, value: S) -> Outcome<Y, R> {
        debug_assert!(self.is_ready());
        self.handoff().send(value);
        let turn = self.switch();
        self.outcome(turn)
    }

    /// As [`resume`](Engine::resume), also for somebody who unwinds. The state must be `Suspended`.
    #[inline(never)]
    pub(super) fn resume_anyhow(&self, value: S) -> Outcome<Y, R> {
        self.handoff().send(value);
        let turn = if thread::panicking() { self.switch_unwinding() } else { self.switch() };
        self.outcome(turn)
    }

    /// Asks a suspended body to end, or forces it. The state must be `Suspended`.
    pub(super) fn exit(&self, closing: Closing) -> Outcome<Y, R> {
        self.handoff().begin_closing(closing);
        let turn = if thread::panicking() { self.switch_unwinding() } else { self.switch() };
        if matches!(turn, Turn::Suspended(_)) {
            if self.handoff().is_abandoned() {
                self.leak();
                return Outcome::Abandoned;
            }
            self.handoff().stop_closing();
        }
        self.outcome(turn)
    }

    /// Switches for somebody who unwinds, which is not the body's doing.
    #[cold]
    fn switch_unwinding(&self) -> Turn<MaybeUninit<Y>, End<R>> {
        self.handoff().resumer_unwinds(true);
        let turn = self.switch();
        self.forget_resumer(&turn);
        turn
    }

    /// The next resumer may not unwind.
    #[cold]
    fn forget_resumer(&self, turn: &Turn<MaybeUninit<Y>, End<R>>) {
        if matches!(turn, Turn::Suspended(_)) {
            self.handoff().resumer_unwinds(false);
        }
    }

    /// Keeps everybody from resuming a suspended body, for as long as the guard lives.
    pub(super) fn hold(&self) -> impl Drop + use<'_, Y, S, R> {
        struct Held<'a>(&'a Cell<State>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.set(State::Suspended);
            }
        }
        debug_assert_eq!(self.state.get(), State::Suspended);
        self.state.set(State::Running);
        Held(&self.state)
    }

    #[inline(always)]
    fn handoff(&self) -> &Handoff<S> {
        debug_assert_eq!(self.state.get(), State::Suspended);
        // SAFETY: see the invariant of `yielder`.
        unsafe { &(*self.yielder.get()).own }
    }

    /// Switches to the body and back, and keeps the state true.
    #[inline(always)]
    fn switch(&self) -> Turn<MaybeUninit<Y>, End<R>> {
        self.state.set(State::Running);
        // SAFETY: there is a fiber, for the state was `Suspended` or is about to be so for the first time; nobody else
        // touches it before the state is something else again.
        let fiber = unsafe { (*self.fiber.get()).assume_init_mut() };
        let turn = fiber.resume();
        self.state.set(match turn {
            Turn::Suspended(_) => State::Suspended,
            Turn::Returned(_) => State::Closed,
        });
        turn
    }

    #[inline(always)]
    fn outcome(&self, turn: Turn<MaybeUninit<Y>, End<R>>) -> Outcome<Y, R> {
        match turn {
            // SAFETY: only a body that is abandoned suspends without a value, and `exit` looks for that first.
            Turn::Suspended(value) => Outcome::Yielded(unsafe { value.assume_init() }),
            Turn::Returned(end) => self.ended(end),
        }
    }

    // Out of line: it would crowd the registers of the switch.
    #[cold]
    #[inline(never)]
    fn ended(&self, end: End<R>) -> Outcome<Y, R> {
        // SAFETY: the fiber has returned, and the state says already that there is none.
        unsafe { (*self.fiber.get()).assume_init_drop() };
        match end {
            End::Returned(value) => Outcome::Returned(value),
            End::Exited => Outcome::Exited,
            End::Panicked(payload) => Outcome::Panicked(payload),
        }
    }

    /// Closes a generator that was never started: its body is dropped and will not begin.
    pub(super) fn discard_body(&self) {
        debug_assert_eq!(self.state.get(), State::Created);
        self.state.set(State::Closed);
        drop(self.body.take());
    }

    /// The body, of a generator that was never started. It is closed then.
    pub(super) fn take_body(&self) -> Option<Body<Y, S, R>> {
        if self.state.get() != State::Created {
            return None;
        }
        self.state.set(State::Closed);
        self.body.take()
    }

    /// Keeps the value of a return for [`take_return`](Engine::take_return).
    pub(super) fn keep_return(&self, value: R) {
        self.returned.set(Some(value));
    }

    pub(super) fn holds_return(&self) -> bool {
        let returned = self.returned.take();
        let holds = returned.is_some();
        self.returned.set(returned);
        holds
    }

    pub(super) fn take_return(&self) -> Option<R> {
        self.returned.take()
    }

    /// Leaves a suspended body as it is, for ever: nothing on its stack is dropped, its slot is never used again.
    pub(super) fn leak(&self) {
        debug_assert_eq!(self.state.get(), State::Suspended);
        // The fiber is not dropped, here or with the engine: that is all it takes.
        self.state.set(State::Closed);
    }
}

/// Runs a body on the stack of whoever calls this; its yields go to `outlet`. `None` if it was unwound because its items were
/// not wanted any more.
///
/// # Panics
///
/// With the panic of the body.
pub(super) fn run_in_place<Y, S, R>(body: Body<Y, S, R>, outlet: Outlet<'_, Y, S>) -> Option<R> {
    let yielder = Yielder::new();
    yielder.own.set_in_place();
    // SAFETY: the body gets at its port only through its `Yielder`, whose borrow ends with the body. All three stay where
    // they are until then.
    yielder.open(unsafe { Port::to_outlet(&yielder.own, &outlet) });
    match panic::catch_unwind(AssertUnwindSafe(|| body(&yielder))) {
        Ok(value) => Some(value),
        Err(payload) if yielder.port().exits_with(&*payload) => None,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// The first frame on a generator's stack.
///
/// # Safety
///
/// `engine` must be alive when this is called; later it may move. `parent` must be the parent of this stack's fiber.
unsafe fn run_body<Y, S, R>(
    engine: *const Engine<Y, S, R>,
    port: Option<Port<Y, S>>,
    parent: &Parent<MaybeUninit<Y>>,
) -> End<R> {
    let yielder = Yielder::new();
    // SAFETY: a body gets at its port only through its `Yielder`, whose borrow ends with the body, and code of a
    // body runs only while its generator does. The yielder stays where it is until then.
    yielder.open(port.unwrap_or_else(|| unsafe { Port::to(&yielder.own, parent) }));
    // SAFETY: the engine is alive, says the caller; both are cells.
    let body = unsafe {
        (*engine).yielder.set(&yielder);
        (*engine).body.take()
    };
    let body = body.expect("a generator is started once");
    match panic::catch_unwind(AssertUnwindSafe(|| body(&yielder))) {
        Ok(value) => End::Returned(value),
        Err(payload) if yielder.port().exits_with(&*payload) => End::Exited,
        Err(payload) => End::Panicked(payload),
    }
}
