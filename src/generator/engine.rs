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
//! - `life` is only touched by whoever moves the state; while the state is `Running` that is the frame which set it,
//!   and everybody else looks at `state` only.
//! - `yielder` points into the generator's stack and is good while the state is `Running` or `Suspended`.
//! - The truthful state is written before the switch and before any code of the user's is run or dropped.
//! - A body that may borrow (of a [`Scope`](super::Scope)) has ended before anything it borrows goes.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::mem::{self, MaybeUninit};
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr;

use super::builder::Builder;
use super::channel::{Channel, Closing, ExitPayload, Order, Port};
use super::switch::{Fiber, Parent, Turn};
use super::yielder::Yielder;
use crate::stack::{self, Owner};

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
    life: UnsafeCell<Life<Y, S, R>>,
    yielder: Cell<*const Yielder<Y, S>>,
    created: &'static Location<'static>,
    options: Option<Box<Builder>>,
}

enum Life<Y, S, R> {
    Created(Body<Y, S, R>),
    Started(Fiber<MaybeUninit<Y>, End<R>>),
    /// The value is that of a return which nobody has been given.
    Ended(Option<R>),
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
            life: UnsafeCell::new(Life::Created(body)),
            yielder: Cell::new(ptr::null()),
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
        let shape = Builder::shape_of(self.options.as_deref())?;
        let stack = stack::acquire(shape)?;
        stack
            .set_owner(Owner { name: self.name().map(|name| name.as_bytes().into()), created: self.created });

        // SAFETY: the state is not `Running`, so nobody holds a reference into `life`.
        let life = unsafe { &mut *self.life.get() };
        let Life::Created(body) = mem::replace(life, Life::Ended(None)) else {
            unreachable!("the state is Created")
        };
        let yielder: *const Cell<*const Yielder<Y, S>> = &self.yielder;
        let run = move |parent: &Parent<MaybeUninit<Y>>| {
            // SAFETY: the engine is borrowed by `start`, which returns only after this store.
            run_body(body, parent, port, |address| unsafe { (*yielder).set(address) })
        };
        // SAFETY: `run` catches what the body unwinds with. What the body borrows is `'static`, or outlives the scope
        // that ends the body before it returns.
        *life = Life::Started(unsafe { Fiber::new(stack, run) });
        let turn = self.switch();
        Ok(self.outcome(turn))
    }

    /// Lets the body go on from its yield with `value`. The state must be `Suspended`.
    #[inline(always)]
    pub(super) fn resume(&self, value: S) -> Outcome<Y, R> {
        self.channel().give(Order::Value(value));
        let turn = self.switch();
        self.outcome(turn)
    }

    /// Asks a suspended body to end, or forces it. The state must be `Suspended`.
    pub(super) fn exit(&self, closing: Closing) -> Outcome<Y, R> {
        let order = if closing == Closing::Forced { Order::ForcedExit } else { Order::Exit };
        self.channel().begin_closing(closing);
        self.channel().give(order);
        let turn = self.switch();
        if matches!(turn, Turn::Suspended(_)) {
            if self.channel().is_abandoned() {
                self.leak();
                return Outcome::Abandoned;
            }
            self.channel().stop_closing();
        }
        self.outcome(turn)
    }

    /// Makes the yields of a suspended body go through `port` from now on.
    pub(super) fn redirect(&self, port: Port<Y, S>) {
        debug_assert_eq!(self.state.get(), State::Suspended);
        // SAFETY: see the invariant of `yielder`.
        unsafe { (*self.yielder.get()).port.set(port) };
    }

    #[inline(always)]
    fn channel(&self) -> &Channel<Y, S> {
        debug_assert_eq!(self.state.get(), State::Suspended);
        // SAFETY: see the invariant of `yielder`.
        unsafe { &(*self.yielder.get()).own }
    }

    /// Switches to the body and back, and keeps the state true.
    #[inline(always)]
    fn switch(&self) -> Turn<MaybeUninit<Y>, End<R>> {
        self.state.set(State::Running);
        // SAFETY: the state was not `Running`, so nobody holds a reference into `life`, and nobody will take one
        // before it is something else again.
        let Life::Started(fiber) = (unsafe { &mut *self.life.get() }) else {
            unreachable!("whoever switches has started the fiber")
        };
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

    #[inline]
    fn ended(&self, end: End<R>) -> Outcome<Y, R> {
        // SAFETY: `switch` is done with its reference, and the state is `Closed`.
        if let Life::Started(fiber) = mem::replace(unsafe { &mut *self.life.get() }, Life::Ended(None)) {
            fiber.retire();
        }
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
        // SAFETY: the state was not `Running`. The old life leaves before its drop runs code of the user's.
        drop(mem::replace(unsafe { &mut *self.life.get() }, Life::Ended(None)));
    }

    /// Keeps the value of a return for [`take_return`](Engine::take_return).
    pub(super) fn keep_return(&self, value: R) {
        debug_assert_eq!(self.state.get(), State::Closed);
        // SAFETY: the state is `Closed`: no frame works on `life`.
        let before = mem::replace(unsafe { &mut *self.life.get() }, Life::Ended(Some(value)));
        drop(before);
    }

    pub(super) fn take_return(&self) -> Option<R> {
        if self.state.get() != State::Closed {
            return None;
        }
        // SAFETY: the state is `Closed`: no frame works on `life`.
        match unsafe { &mut *self.life.get() } {
            Life::Ended(value) => value.take(),
            Life::Created(_) | Life::Started(_) => None,
        }
    }

    /// Leaves a suspended body as it is, for ever.
    pub(super) fn leak(&self) {
        debug_assert_eq!(self.state.get(), State::Suspended);
        self.state.set(State::Closed);
        // SAFETY: the state was not `Running`.
        if let Life::Started(fiber) = mem::replace(unsafe { &mut *self.life.get() }, Life::Ended(None)) {
            fiber.leak();
        }
    }
}

/// The first frame on a generator's stack.
fn run_body<Y, S, R>(
    body: Body<Y, S, R>,
    parent: &Parent<MaybeUninit<Y>>,
    port: Option<Port<Y, S>>,
    publish: impl FnOnce(*const Yielder<Y, S>),
) -> End<R> {
    // SAFETY: `parent` lies below this frame on the same stack.
    let yielder = Yielder::new(unsafe { Channel::new(parent) });
    // SAFETY: a body gets at its port only through its `Yielder`, whose borrow ends with the body, and code of a
    // body runs only while its generator does. The yielder stays where it is until then.
    yielder.port.set(port.unwrap_or_else(|| unsafe { Port::to(&yielder.own) }));
    publish(&yielder);
    match panic::catch_unwind(AssertUnwindSafe(|| body(&yielder))) {
        Ok(value) => End::Returned(value),
        Err(payload) if payload.is::<ExitPayload>() && yielder.port.get().closing() != Closing::No => {
            End::Exited
        }
        Err(payload) => End::Panicked(payload),
    }
}
