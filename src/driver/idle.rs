//! The driver that has no I/O: it only waits.
//!
//! It waits in `std::thread::park`, whose *token* remembers a ring that comes early. The thread has one token, and the
//! program's own code may use it too: a task may call `thread::park`, and anybody who has the thread's handle may unpark
//! it. That is harmless, for three reasons:
//!
//! - Somebody rings only after he has found the scheduler's door asleep. The door falls asleep last of all before the
//!   wait, and no code of the program runs on this thread between the two. So the token of a ring that the wait is to
//!   hear cannot be eaten by anybody else.
//! - A ring may also come late: found asleep, rung when the loop was long awake for another reason. Its token ends a
//!   later wait early, or a `thread::park` of the program, which has to expect that (std says so). It may be eaten as well:
//!   what it was rung for is behind the door already, and the loop looks there before it waits again.
//! - A token that the program left behind ends one wait early. Waits may end for no reason.

use std::marker::PhantomData;
use std::time::Duration;

use super::Alarm;
use crate::primitive::thread::{self, Thread};

/// Belongs to the thread that made it; its alarms go anywhere.
pub(crate) struct Idle {
    thread: Thread,
    /// Another thread would wait for a token that is not its own.
    _stays_here: PhantomData<*const ()>,
}

/// Ends the wait of the [`Idle`] that it is from, now or next time. May outlive it, and its thread.
#[derive(Clone)]
pub(crate) struct IdleAlarm {
    thread: Thread,
}

impl Idle {
    /// Waits on this thread, and on no other.
    pub(crate) fn new() -> Idle {
        Idle { thread: thread::current(), _stays_here: PhantomData }
    }

    pub(crate) fn alarm(&self) -> IdleAlarm {
        IdleAlarm { thread: self.thread.clone() }
    }

    /// Returns when the time is over or an alarm is rung, at once if one was rung before; or for no reason.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => thread::park_timeout(timeout),
            None => thread::park(),
        }
    }
}

impl Alarm for IdleAlarm {
    fn ring(&self) {
        self.thread.unpark();
    }
}
