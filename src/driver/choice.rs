//! The driver of a scheduler. A program without I/O has no descriptors: the readiness driver is made for the first operation.
//!
//! Invariant: the alarm rings whatever the loop waits in. The loop changes from one to the other between two waits; whoever
//! finds the door asleep after that sees the change, for the door hands it over.

use std::cell::OnceCell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::idle::{Idle, IdleAlarm};
use super::readiness::Readiness;
use super::{Alarm, Key};

/// Belongs to the thread that made it; its alarms go anywhere.
pub(crate) struct Driver {
    idle: Idle,
    readiness: OnceCell<Readiness>,
    alarm: DriverAlarm,
}

/// Ends the wait of the [`Driver`] that it is from, now or next time.
#[derive(Clone)]
pub(crate) struct DriverAlarm(Arc<Ringers>);

struct Ringers {
    thread: IdleAlarm,
    waker: OnceLock<mio::Waker>,
}

impl Driver {
    pub(crate) fn new() -> Driver {
        let idle = Idle::new();
        let ringers = Ringers { thread: idle.alarm(), waker: OnceLock::new() };
        Driver { idle, readiness: OnceCell::new(), alarm: DriverAlarm(Arc::new(ringers)) }
    }

    pub(crate) fn alarm(&self) -> DriverAlarm {
        self.alarm.clone()
    }

    /// The part that does I/O; it is made if there is none yet.
    pub(crate) fn readiness(&self) -> io::Result<&Readiness> {
        if let Some(readiness) = self.readiness.get() {
            return Ok(readiness);
        }
        let (readiness, waker) = Readiness::new()?;
        let _only_now = self.alarm.0.waker.set(waker);
        Ok(self.readiness.get_or_init(|| readiness))
    }

    /// The part that does I/O, if there is one.
    #[inline]
    pub(crate) fn if_made(&self) -> Option<&Readiness> {
        self.readiness.get()
    }

    /// Whether an operation is in flight, so that something can happen though no thread and no timer does it.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.readiness.get().is_some_and(Readiness::is_busy)
    }

    /// Returns when the time is over, the alarm was rung or operations have completed, of which it tells; or for no reason.
    pub(crate) fn wait(&self, timeout: Option<Duration>, complete: impl FnMut(Key)) {
        match self.readiness.get() {
            Some(readiness) => readiness.wait(timeout, complete),
            None => self.idle.wait(timeout),
        }
    }
}

impl Alarm for DriverAlarm {
    fn ring(&self) {
        match self.0.waker.get() {
            // What cannot be written is full of rings.
            Some(waker) => drop(waker.wake()),
            None => self.0.thread.ring(),
        }
    }
}
