//! A scheduler with one task, for models: a thread of loom's that reads its mail while it waits. Loom cannot switch stacks.
//!
//! It has what the library's files import from `scheduler`, under the same names, and keeps the same promises: a ticket that
//! comes too late is thrown away, a ticket that is spent at home needs no door, and a wait is decided by this thread alone.
//! The door and the alarm are the library's own.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use loom::sync::Arc;

use crate::driver::idle::{Idle, IdleAlarm};
use crate::scheduler::door::Door;

/// When the task's waits are cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cancel {
    Never,
    /// As soon as it waits, whatever is in its mail.
    AtOnce,
    /// When it has read its mail and waits still.
    AfterALook,
}

type Slot = Rc<Cell<Option<()>>>;
type Gate = Arc<Door<u64, IdleAlarm>>;

struct Loop {
    gate: Gate,
    idle: Idle,
    cancel: Cancel,
    wait: Cell<u64>,
    is_open: Cell<bool>,
    is_shielded: Cell<bool>,
    /// Tickets that other threads have keys to, each with the number of its wait.
    kept: RefCell<HashMap<u64, (u64, Slot)>>,
    last_key: Cell<u64>,
}

loom::thread_local! {
    static LOOP: RefCell<Option<Rc<Loop>>> = RefCell::new(None);
}

fn here() -> Option<Rc<Loop>> {
    LOOP.with(|here| here.borrow().clone())
}

/// Runs `body` as the one task of a runtime, which ends with it.
pub(crate) fn task<R>(cancel: Cancel, body: impl FnOnce() -> R) -> R {
    let idle = Idle::new();
    let gate = Arc::new(Door::new(idle.alarm()));
    let here = Rc::new(Loop {
        gate,
        idle,
        cancel,
        wait: Cell::new(0),
        is_open: Cell::new(false),
        is_shielded: Cell::new(false),
        kept: RefCell::default(),
        last_key: Cell::new(0),
    });
    LOOP.with(|place| *place.borrow_mut() = Some(here.clone()));
    let result = body();
    LOOP.with(|place| *place.borrow_mut() = None);
    here.gate.close().for_each(|key| here.deliver(key));
    result
}

impl Loop {
    fn begin(&self) -> u64 {
        self.wait.set(self.wait.get() + 1);
        self.is_open.set(true);
        self.wait.get()
    }

    /// Spends a ticket.
    fn deliver(&self, key: u64) {
        if let Some((wait, slot)) = self.kept.borrow_mut().remove(&key) {
            if self.is_open.get() && self.wait.get() == wait {
                self.is_open.set(false);
                slot.set(Some(()));
            }
        }
    }

    fn read_mail(&self) {
        self.gate.take().for_each(|key| self.deliver(key));
    }

    /// Whether the wait is to be cancelled now.
    fn is_cancelled(&self) -> bool {
        if self.is_shielded.get() {
            return false;
        }
        if self.cancel == Cancel::AfterALook && self.is_open.get() {
            // As one that slept until a deadline came. It is not enough to load the word that others exchange: loom does not
            // try an exchange before a load if whoever exchanges has loaded in between.
            if self.gate.fall_asleep() {
                self.gate.wake_up();
            }
            self.read_mail();
        }
        self.cancel != Cancel::Never && self.is_open.get()
    }

    fn sleep(&self) {
        loop {
            self.read_mail();
            if !self.is_open.get() {
                return;
            }
            if self.gate.fall_asleep() {
                self.idle.wait(None);
                self.gate.wake_up();
            }
        }
    }
}

pub(crate) mod here {
    pub(crate) fn core() -> *const () {
        match super::here() {
            Some(here) => std::rc::Rc::as_ptr(&here).cast(),
            None => std::ptr::null(),
        }
    }

    /// A runtime, whose clock is not virtual.
    pub(crate) struct Core;

    impl Core {
        pub(crate) fn count_elsewhere(&self) {}
    }

    pub(crate) fn lend_core() -> Option<Core> {
        super::here().map(|_| Core)
    }
}

/// Waits in it are not cancelled.
pub(crate) fn shield<T>(body: impl FnOnce() -> T) -> T {
    let here = here().unwrap();
    let before = here.is_shielded.replace(true);
    let result = body();
    here.is_shielded.set(before);
    result
}

/// Something that goes when another thread drops it.
#[allow(dead_code)]
pub(crate) struct Deposit(pub(crate) Arc<()>);

/// No process is forked in a model.
pub(crate) mod fork {
    pub(crate) fn generation() -> usize {
        0
    }

    pub(crate) fn end_if_forked(_since: usize) {}
}

pub(crate) mod record {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct TaskId;

    impl std::fmt::Display for TaskId {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Ok(())
        }
    }
}

pub(crate) mod why {
    use std::marker::PhantomData;

    pub(crate) struct Why<'a>(PhantomData<&'a ()>);

    impl Why<'_> {
        pub(crate) const fn new(_what: &'static str) -> Why<'static> {
            Why(PhantomData)
        }
    }
}

pub(crate) mod remote {
    use super::Gate;
    use loom::sync::Arc;
    use std::marker::PhantomData;

    pub(crate) struct RemoteTicket<T> {
        pub(super) gate: Gate,
        pub(super) key: Option<u64>,
        pub(super) values: PhantomData<fn(T) -> T>,
    }

    impl<T> RemoteTicket<T> {
        pub(crate) fn is_beside(&self, other: &RemoteTicket<T>) -> bool {
            Arc::ptr_eq(&self.gate, &other.gate)
        }

        pub(crate) fn is_asleep(&self) -> bool {
            self.gate.is_asleep()
        }

        pub(crate) fn wake(mut self, _value: T) -> Result<(), u64> {
            let key = self.key.take().unwrap();
            match super::here().filter(|here| Arc::ptr_eq(&here.gate, &self.gate)) {
                Some(here) => {
                    here.deliver(key);
                    Ok(())
                }
                None => self.gate.push(key),
            }
        }
    }

    impl<T> Drop for RemoteTicket<T> {
        fn drop(&mut self) {
            // Elsewhere none is dropped that was not spent.
            let here = super::here().filter(|here| Arc::ptr_eq(&here.gate, &self.gate));
            if let (Some(key), Some(here)) = (self.key, here) {
                here.kept.borrow_mut().remove(&key);
            }
        }
    }
}

pub(crate) mod park {
    use crate::error::Cancelled;

    pub(crate) fn may_wait() -> Result<(), Cancelled> {
        Ok(())
    }
}

pub(crate) mod ticket {
    use std::marker::PhantomData;
    use std::panic::Location;
    use std::rc::Rc;
    use std::time::Duration;

    use super::record::TaskId;
    use super::remote::RemoteTicket;
    use super::why::Why;
    use super::{Slot, here};
    use crate::error::Cancelled;
    use crate::scheduler::cross::CrossError;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[must_use]
    pub(crate) enum Undo {
        Done,
        Later,
    }

    pub(crate) struct Ticket<T> {
        pub(super) wait: u64,
        pub(super) slot: Slot,
        pub(super) values: PhantomData<fn(T) -> T>,
    }

    impl<T> Ticket<T> {
        pub(crate) fn task(&self) -> TaskId {
            TaskId
        }

        pub(crate) fn into_remote(self) -> RemoteTicket<T> {
            let here = here().unwrap();
            here.last_key.set(here.last_key.get() + 1);
            let key = here.last_key.get();
            here.kept.borrow_mut().insert(key, (self.wait, self.slot));
            RemoteTicket { gate: here.gate.clone(), key: Some(key), values: PhantomData }
        }
    }

    pub(crate) fn park<T>(
        why: &Why<'_>,
        register: impl FnOnce(Ticket<T>),
        undo: impl FnOnce() -> Undo,
    ) -> Result<(), Cancelled> {
        park_at(Location::caller(), why, register, undo)
    }

    pub(crate) fn park_at<T>(
        _at: &'static Location<'static>,
        _why: &Why<'_>,
        register: impl FnOnce(Ticket<T>),
        undo: impl FnOnce() -> Undo,
    ) -> Result<(), Cancelled> {
        let here = here().unwrap();
        let slot = Slot::default();
        register(Ticket { wait: here.begin(), slot: slot.clone(), values: PhantomData });
        if here.is_cancelled() && undo() == Undo::Done {
            here.is_open.set(false);
            return Err(Cancelled);
        }
        here.sleep();
        assert!(slot.take().is_some());
        assert_eq!(Rc::strong_count(&slot), 1);
        Ok(())
    }

    pub(crate) fn park_for<T>(
        _limit: Duration,
        why: &Why<'_>,
        register: impl FnOnce(Ticket<T>),
        undo: impl FnOnce() -> Undo,
    ) -> Result<(), CrossError> {
        park(why, register, undo).map_err(|_| CrossError::Elapsed)
    }
}

/// Arms, and a select.
pub(crate) mod arm {
    use std::cell::Cell;
    use std::fmt;
    use std::marker::PhantomData;

    use super::ticket::Ticket;
    use super::{Slot, here};
    use crate::error::Cancelled;

    pub(crate) trait Arm {
        type Output;
        type Place: Place;
        fn try_now(&mut self) -> Option<Self::Output>;
        fn place(&mut self) -> Self::Place;
        fn end(&mut self, place: Self::Place) -> Option<Self::Output>;
        #[allow(dead_code)]
        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    }

    pub(crate) trait Register {
        type Value;
        fn register(&self, ticket: Ticket<Self::Value>);
        fn undo(&self);
    }

    pub(crate) trait Place {
        fn enter(&self, wait: u64);
        fn leave(&self);
    }

    pub(crate) struct ByTicket<R: Register<Value = ()>> {
        with: R,
        is_entered: Cell<bool>,
        slot: Slot,
    }

    impl<R: Register<Value = ()>> ByTicket<R> {
        pub(crate) fn new(with: R) -> ByTicket<R> {
            ByTicket { with, is_entered: Cell::new(false), slot: Slot::default() }
        }

        pub(crate) fn with(&self) -> &R {
            &self.with
        }

        pub(crate) fn was_spent(&self) -> bool {
            self.slot.get().is_some()
        }

        pub(crate) fn into_value(self) -> Option<()> {
            self.slot.get()
        }
    }

    impl<R: Register<Value = ()>> Place for ByTicket<R> {
        fn enter(&self, wait: u64) {
            self.is_entered.set(true);
            self.with.register(Ticket { wait, slot: self.slot.clone(), values: PhantomData });
        }

        fn leave(&self) {
            if self.is_entered.replace(false) && !self.was_spent() {
                self.with.undo();
            }
        }
    }

    impl<P: Place> Place for Option<P> {
        fn enter(&self, wait: u64) {
            self.iter().for_each(|place| place.enter(wait));
        }

        fn leave(&self) {
            self.iter().for_each(P::leave);
        }
    }

    impl<A: Place, B: Place> Place for (A, B) {
        fn enter(&self, wait: u64) {
            self.0.enter(wait);
            self.1.enter(wait);
        }

        fn leave(&self) {
            self.0.leave();
            self.1.leave();
        }
    }

    impl<A: Arm> Arm for &mut A {
        type Output = A::Output;
        type Place = A::Place;

        fn try_now(&mut self) -> Option<A::Output> {
            (**self).try_now()
        }

        fn place(&mut self) -> A::Place {
            (**self).place()
        }

        fn end(&mut self, place: A::Place) -> Option<A::Output> {
            (**self).end(place)
        }

        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).show(f)
        }
    }

    impl<T, A: Arm<Output = T>, B: Arm<Output = T>> Arm for (A, B) {
        type Output = T;
        type Place = (A::Place, B::Place);

        fn try_now(&mut self) -> Option<T> {
            self.0.try_now().or_else(|| self.1.try_now())
        }

        fn place(&mut self) -> Self::Place {
            (self.0.place(), self.1.place())
        }

        fn end(&mut self, place: Self::Place) -> Option<T> {
            let (first, second) = (self.0.end(place.0), self.1.end(place.1));
            assert!(first.is_none() || second.is_none(), "one is chosen");
            first.or(second)
        }

        fn show(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Ok(())
        }
    }

    pub(crate) fn select<A: Arm>(mut arm: A) -> Result<A::Output, Cancelled> {
        let here = here().unwrap();
        loop {
            if let Some(output) = arm.try_now() {
                return Ok(output);
            }
            let place = arm.place();
            place.enter(here.begin());
            let was_cancelled = here.is_cancelled();
            if was_cancelled {
                here.is_open.set(false);
            } else {
                here.sleep();
            }
            place.leave();
            match arm.end(place) {
                Some(output) => return Ok(output),
                None if was_cancelled => return Err(Cancelled),
                None => {}
            }
        }
    }
}

#[allow(unreachable_pub)]
pub(crate) mod error {
    use std::{fmt, io};

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Cancelled;

    /// As far as what is modelled names them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Reason {
        Requested,
        Forked,
    }

    impl Cancelled {
        pub const fn new(_reason: Reason) -> Cancelled {
            Cancelled
        }
    }

    impl fmt::Display for Cancelled {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Ok(())
        }
    }

    impl From<Cancelled> for io::Error {
        fn from(_: Cancelled) -> io::Error {
            io::ErrorKind::Other.into()
        }
    }
}
