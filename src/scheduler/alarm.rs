//! What timers are set for: tasks that sleep, scopes with a deadline, callbacks.
#![allow(unsafe_code)]

use std::panic::Location;
use std::rc::{Rc, Weak};

use super::arm;
use super::branch::{Branch, Kind};
use super::core::{Core, Target};
use super::frame::Frame;
use super::here;
use super::hot::Outcome;
use super::park;
use super::place::AtTime;
use super::timers::TimerKey;
use super::why::Why;
use crate::clock::{NEVER, Nanos};
use crate::error::Cancelled;

/// Parks the running task until `deadline`.
#[track_caller]
pub(super) fn sleep_until(deadline: Nanos) -> Result<(), Cancelled> {
    let (core, task) = park::whoever_waits()?;
    let place = AtTime::at(deadline);
    // SAFETY: the task runs, and this is its code. The place stays where it is.
    unsafe {
        match arm::park_in(&place, core, task, &Why::new("sleep"), Location::caller()) {
            Outcome::Granted => Ok(()),
            _ => Err(park::cancelled()),
        }
    }
}

/// A callback that is set for later.
pub(crate) struct LaterCall {
    timer: TimerKey,
    /// Whether the scheduler is still there: keys of another one mean nothing.
    core: Weak<()>,
}

#[track_caller]
pub(crate) fn call_at(deadline: Nanos, call: Box<dyn FnOnce()>) -> LaterCall {
    let core = here::need_live_core();
    LaterCall { timer: core.timers().set(deadline, Target::Call(call)), core: Rc::downgrade(core.presence()) }
}

impl LaterCall {
    /// Drops the callback, if it has not run. Says whether that was so.
    pub(crate) fn cancel(&self) -> bool {
        let core: Option<&Core> = here::lend_core();
        let Some(core) = core.filter(|core| std::ptr::eq(Rc::as_ptr(core.presence()), self.core.as_ptr()))
        else {
            return false;
        };
        let call = core.timers().cancel(self.timer);
        let was_set = call.is_some();
        // What it has captured is dropped here, by whoever cancels it.
        drop(call);
        was_set
    }
}

/// The earliest deadline of the frames around the running task's waits, up to a shield. There must be one.
pub(super) fn effective_deadline() -> Nanos {
    let mut earliest = NEVER;
    // SAFETY: there is a running task, says the caller; a branch hangs on one that lives longer.
    unsafe {
        let mut at = park::current_branch();
        while let Some(branch) = at.as_ref() {
            if branch.kind() == Kind::Frame {
                earliest = earliest.min((*at.cast::<Frame>()).deadline());
            }
            if branch.is_shield() {
                break;
            }
            at = Branch::parent(branch);
        }
    }
    earliest
}
