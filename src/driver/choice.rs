//! The driver of a scheduler. A program without I/O has no descriptors: what does I/O is made for the first operation.
//!
//! Invariant: the alarm rings whatever the loop waits in. The loop changes from one to the other between two waits; whoever
//! finds the door asleep after that sees the change, for the door hands it over.
#![allow(unsafe_code)]

use std::cell::{OnceCell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::file::FileCall;
use super::idle::{Idle, IdleAlarm};
use super::operation::Operation;
use super::readiness::Readiness;
#[cfg(target_os = "linux")]
use super::uring::{Bell, Uring};
use super::{Alarm, Blocked, Completion, Descriptor, Direction, Key, Submitted, Taken};

/// What a scheduler is to have its input and output done by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// The one that works everywhere: today [`Epoll`](Driver::Epoll).
    #[default]
    Auto,
    /// epoll, or kqueue where that is what there is.
    Epoll,
    /// io_uring; where that is refused, as [`Epoll`](Driver::Epoll).
    Uring,
}

/// Which driver does the input and output of a runtime, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverChoice {
    /// "epoll", "kqueue" or "io_uring"; "idle" before the first operation.
    pub name: &'static str,
    /// Why that one.
    pub reason: String,
    /// Operations that are waited for at this moment.
    pub in_flight: usize,
}

/// Belongs to the thread that made it; its alarms go anywhere.
pub(crate) struct Chosen {
    wish: Driver,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no ring"))]
    ring_entries: u32,
    idle: Idle,
    made: OnceCell<Made>,
    reason: RefCell<String>,
    alarm: DriverAlarm,
}

enum Made {
    Readiness(Readiness),
    #[cfg(target_os = "linux")]
    Uring(Box<Uring>),
}

/// Ends the wait of the [`Chosen`] that it is from, now or next time.
#[derive(Clone)]
pub(crate) struct DriverAlarm(Arc<Ringers>);

struct Ringers {
    thread: IdleAlarm,
    made: OnceLock<Ringer>,
}

enum Ringer {
    Waker(mio::Waker),
    #[cfg(target_os = "linux")]
    Bell(Bell),
}

impl Chosen {
    pub(crate) fn new(wish: Driver, ring_entries: u32) -> Chosen {
        let idle = Idle::new();
        let ringers = Ringers { thread: idle.alarm(), made: OnceLock::new() };
        let reason = RefCell::new("no operation yet".to_owned());
        Chosen {
            wish,
            ring_entries,
            idle,
            made: OnceCell::new(),
            reason,
            alarm: DriverAlarm(Arc::new(ringers)),
        }
    }

    pub(crate) fn alarm(&self) -> DriverAlarm {
        self.alarm.clone()
    }

    pub(crate) fn choice(&self) -> DriverChoice {
        let (name, in_flight) = match self.made.get() {
            None => ("idle", 0),
            Some(Made::Readiness(readiness)) => (READINESS, readiness.in_flight()),
            #[cfg(target_os = "linux")]
            Some(Made::Uring(uring)) => ("io_uring", uring.in_flight()),
        };
        DriverChoice { name, reason: self.reason.borrow().clone(), in_flight }
    }

    /// A descriptor that is ready to be read when a [`wait`](Chosen::wait) would return before its time.
    pub(crate) fn descriptor(&self) -> io::Result<RawFd> {
        Ok(match self.made()? {
            Made::Readiness(readiness) => readiness.descriptor(),
            #[cfg(target_os = "linux")]
            Made::Uring(uring) => uring.descriptor()?,
        })
    }

    /// What does I/O; it is made if there is none yet.
    #[inline]
    fn made(&self) -> io::Result<&Made> {
        match self.made.get() {
            Some(made) => Ok(made),
            None => self.make(),
        }
    }

    #[cold]
    fn make(&self) -> io::Result<&Made> {
        let (made, ringer, reason) = match self.wish {
            #[cfg(target_os = "linux")]
            Driver::Uring => match Uring::new(self.ring_entries) {
                Ok((uring, bell, setup)) => (
                    Made::Uring(Box::new(uring)),
                    Ringer::Bell(bell),
                    format!("asked for; set up with {setup}"),
                ),
                Err(error) => readiness(format!("io_uring was asked for and refused: {error}"))?,
            },
            #[cfg(not(target_os = "linux"))]
            Driver::Uring => readiness("io_uring was asked for, and there is none here".to_owned())?,
            Driver::Epoll => readiness("asked for".to_owned())?,
            Driver::Auto => readiness("it works everywhere".to_owned())?,
        };
        self.reason.replace(reason);
        let _only_now = self.alarm.0.made.set(ringer);
        Ok(self.made.get_or_init(|| made))
    }

    /// Whether an operation is to be attempted first: it is not known that it would wait, nor is the system rather to carry it out.
    #[inline]
    pub(crate) fn may_attempt(&self, at: Descriptor, operation: &Operation<'_, '_>) -> io::Result<bool> {
        Ok(match self.made()? {
            Made::Readiness(readiness) => readiness.may_attempt(at, operation.direction()),
            #[cfg(target_os = "linux")]
            Made::Uring(_) => operation.is_call() || operation.is_peek(),
        })
    }

    /// What an attempt has found.
    #[inline]
    pub(crate) fn note(&self, at: Descriptor, direction: Direction, blocked: Blocked) {
        if let Some(Made::Readiness(readiness)) = self.made.get() {
            readiness.note(at, direction, blocked);
        }
    }

    /// Has the operation done, or says when it can be: its completion comes under `key`.
    ///
    /// # Errors
    ///
    /// Somebody waits for that already; or the system takes no more, or not this kind of descriptor.
    ///
    /// # Safety
    ///
    /// If it is [`Carried`](Submitted::Carried), the operation and what it borrows must stay where they are, and nobody may
    /// touch them, until its completion has come.
    #[inline]
    pub(crate) unsafe fn submit(
        &self,
        key: Key,
        at: Descriptor,
        operation: &mut Operation<'_, '_>,
    ) -> io::Result<Submitted> {
        match self.made()? {
            Made::Readiness(readiness) => readiness.submit(key, at, operation.direction()),
            #[cfg(target_os = "linux")]
            // SAFETY: as the caller says.
            Made::Uring(uring) => unsafe { uring.submit(key, at, operation) },
        }
    }

    /// As [`submit`](Chosen::submit), for whoever only wants to know when the descriptor is ready.
    pub(crate) fn watch(&self, key: Key, at: Descriptor, direction: Direction) -> io::Result<Submitted> {
        match self.made()? {
            Made::Readiness(readiness) => readiness.watch(key, at, direction),
            #[cfg(target_os = "linux")]
            Made::Uring(uring) => uring.watch(key, at, direction),
        }
    }

    /// Whether there is a ring, so that calls on files are carried out by the system, if it knows them.
    pub(crate) fn has_ring(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.wish == Driver::Uring {
            return matches!(self.made(), Ok(Made::Uring(_)));
        }
        false
    }

    /// Whether calls like this on files are carried out by the system. A driver that would not is not made for them.
    #[inline]
    pub(crate) fn carries(&self, call: &FileCall<'_, '_>) -> bool {
        #[cfg(target_os = "linux")]
        if self.wish == Driver::Uring {
            return matches!(self.made(), Ok(Made::Uring(uring)) if uring.carries(call));
        }
        let _ = call;
        false
    }

    /// Has the system carry out a call on a file: its completion comes under `key`. Only where it [`carries`](Chosen::carries) it.
    ///
    /// # Errors
    ///
    /// The system takes no more.
    ///
    /// # Safety
    ///
    /// The call and what it borrows must stay where they are, and nobody may touch them, until its completion has come.
    pub(crate) unsafe fn carry(&self, key: Key, call: &mut FileCall<'_, '_>) -> io::Result<()> {
        match self.made()? {
            #[cfg(target_os = "linux")]
            // SAFETY: as the caller says.
            Made::Uring(uring) => unsafe { uring.carry(key, call) },
            Made::Readiness(_) => {
                let _ = (key, call);
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// A call on a file has been carried out.
    pub(crate) fn finish_carrying(&self) {
        #[cfg(target_os = "linux")]
        if let Some(Made::Uring(uring)) = self.made.get() {
            uring.finish_carrying();
        }
    }

    /// Asks for the end of an operation that is in flight.
    pub(crate) fn cancel(&self, key: Key, at: Descriptor, direction: Direction) -> Taken {
        match self.made.get() {
            Some(Made::Readiness(readiness)) => {
                readiness.cancel(key, at, direction);
                Taken::Back
            }
            #[cfg(target_os = "linux")]
            Some(Made::Uring(uring)) => {
                uring.cancel(key);
                Taken::Later
            }
            None => Taken::Back,
        }
    }

    /// An operation is over for whoever submitted it: it has completed, or its completion will be ignored, which only one that is
    /// not carried may be.
    #[inline]
    pub(crate) fn finish(
        &self,
        key: Key,
        at: Descriptor,
        direction: Direction,
        submitted: Submitted,
        completion: Option<Completion>,
    ) {
        #[cfg(target_os = "linux")]
        if let Some(Made::Uring(uring)) = self.made.get() {
            uring.finish(key, at, direction, submitted, completion);
        }
    }

    /// The descriptor is about to be closed, or used elsewhere.
    pub(crate) fn forget(&self, at: Descriptor) {
        match self.made.get() {
            Some(Made::Readiness(readiness)) => readiness.forget(at),
            #[cfg(target_os = "linux")]
            Some(Made::Uring(uring)) => uring.forget(at),
            None => {}
        }
    }

    /// Whether an operation is in flight, so that something can happen though no thread and no timer does it.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        match self.made.get() {
            None => false,
            Some(Made::Readiness(readiness)) => readiness.in_flight() > 0,
            #[cfg(target_os = "linux")]
            Some(Made::Uring(uring)) => uring.in_flight() > 0,
        }
    }

    /// Returns when the time is over, the alarm was rung or operations have completed, of which it tells; or for no reason.
    pub(crate) fn wait(&self, timeout: Option<Duration>, complete: impl FnMut(Key, Completion)) {
        match self.made.get() {
            None => self.idle.wait(timeout),
            Some(Made::Readiness(readiness)) => readiness.wait(timeout, complete),
            #[cfg(target_os = "linux")]
            Some(Made::Uring(uring)) => uring.wait(timeout, complete),
        }
    }
}

const READINESS: &str =
    if cfg!(any(target_os = "linux", target_os = "android")) { "epoll" } else { "kqueue" };

fn readiness(reason: String) -> io::Result<(Made, Ringer, String)> {
    let (readiness, waker) = Readiness::new()?;
    Ok((Made::Readiness(readiness), Ringer::Waker(waker), reason))
}

impl Alarm for DriverAlarm {
    fn ring(&self) {
        match self.0.made.get() {
            // What cannot be written is full of rings.
            Some(Ringer::Waker(waker)) => drop(waker.wake()),
            #[cfg(target_os = "linux")]
            Some(Ringer::Bell(bell)) => bell.ring(),
            None => self.0.thread.ring(),
        }
    }
}
