//! What the system does when a signal arrives: it tells those who listen; and when nobody listens any more, what it did before.
//!
//! The handler itself is `signal-hook`'s, so that other crates of the process that listen by way of it are told too.
//!
//! Invariants:
//! - What runs in the handler is [`Inbox::hear`], or what `signal-hook` has for it: atomics and one `write`. It allocates nothing and
//!   locks nothing.
//! - The handler runs on the alternate stack: the thread may be in a task that has hardly any of its own left. That stack has room for
//!   two or three signals at a time, so that while one is handled the others wait.
//! - Whoever listens is counted. The first puts the handler in, and the last puts back what was there before; unless somebody
//!   else has put something there meanwhile.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::{SigId, flag, low_level};

use super::inbox::Inbox;
use super::name::Signal;

/// Never locked in a handler.
static DISPOSITIONS: Mutex<BTreeMap<Signal, Disposition>> = Mutex::new(BTreeMap::new());

/// What is known of a signal that somebody listens to, or has listened to.
struct Disposition {
    listeners: usize,
    before: libc::sigaction,
    /// With the handler in place. `signal-hook` puts it there once, and believes it there for ever.
    handled: libc::sigaction,
}

// What is locked here is whole whenever it is unlocked.
fn dispositions() -> MutexGuard<'static, BTreeMap<Signal, Disposition>> {
    DISPOSITIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That an inbox is told of a signal, until this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    signal: Signal,
    actions: Vec<SigId>,
}

impl Listening {
    /// Has the inbox told of its signal of that number.
    ///
    /// With `kills`, the first signal sets that, and one that finds it set does what such a signal does by default. That is done
    /// in the handler, whatever the threads of this process are busy with.
    pub(super) fn new(
        inbox: &Arc<Inbox>,
        index: usize,
        kills: Option<&Arc<AtomicBool>>,
    ) -> io::Result<Listening> {
        let signal = inbox.signal(index);
        if !signal.can_be_caught() {
            let message = format!(
                "no program can wait for {signal}: it cannot be caught, or is a fault of the program's own"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut dispositions = dispositions();
        let before = action_of(signal)?;
        let mut actions = Vec::new();
        let registered = register(inbox, index, kills, &mut actions)
            .and_then(|()| Disposition::listen(&mut dispositions, signal, before));
        if let Err(error) = registered {
            unregister(actions);
            return Err(error);
        }
        Ok(Listening { signal, actions })
    }
}

/// Each action goes into `actions`, also when a later one fails.
fn register(
    inbox: &Arc<Inbox>,
    index: usize,
    kills: Option<&Arc<AtomicBool>>,
    actions: &mut Vec<SigId>,
) -> io::Result<()> {
    let number = inbox.signal(index).as_raw();
    let heard = inbox.clone();
    // First: from then on the system does not do what it did before, and a signal that came in between would be lost.
    // SAFETY: `hear` is async-signal-safe, as it says there. The inbox is dropped where this is unregistered, not in the handler.
    actions.push(unsafe { low_level::register(number, move || heard.hear(index)) }?);
    if let Some(kills) = kills {
        // In this order, for so they run: the signal that sets it does not find it set.
        actions.push(flag::register_conditional_default(number, kills.clone())?);
        actions.push(flag::register(number, kills.clone())?);
    }
    Ok(())
}

impl Disposition {
    /// One more listens.
    fn listen(
        dispositions: &mut BTreeMap<Signal, Disposition>,
        signal: Signal,
        before: libc::sigaction,
    ) -> io::Result<()> {
        if let Some(known) = dispositions.get_mut(&signal) {
            if known.listeners == 0 {
                set_action(signal, &known.handled)?;
                known.before = before;
            }
            known.listeners += 1;
            return Ok(());
        }
        let mut handled = action_of(signal)?;
        handled.sa_flags |= libc::SA_ONSTACK;
        block_others(&mut handled);
        set_action(signal, &handled)?;
        dispositions.insert(signal, Disposition { listeners: 1, before, handled });
        Ok(())
    }

    /// One fewer does.
    fn unlisten(&mut self, signal: Signal) {
        self.listeners -= 1;
        let is_ours = action_of(signal).is_ok_and(|now| now.sa_sigaction == self.handled.sa_sigaction);
        if self.listeners == 0 && is_ours {
            // It was put there by the same call before.
            let _ = set_action(signal, &self.before);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut dispositions = dispositions();
        // First, so that no signal falls between the two, to be neither heard nor obeyed.
        if let Some(known) = dispositions.get_mut(&self.signal) {
            known.unlisten(self.signal);
        }
        unregister(std::mem::take(&mut self.actions));
    }
}

fn unregister(actions: Vec<SigId>) {
    for action in actions {
        low_level::unregister(action);
    }
}

/// Whether the signal is ignored when nobody listens: by whoever started the process, or by the program itself.
pub(super) fn is_ignored(signal: Signal) -> io::Result<bool> {
    let dispositions = dispositions();
    let before = match dispositions.get(&signal).filter(|known| known.listeners > 0) {
        Some(known) => known.before,
        None => action_of(signal)?,
    };
    Ok(before.sa_sigaction == libc::SIG_IGN)
}

/// What the system does now.
fn action_of(signal: Signal) -> io::Result<libc::sigaction> {
    // SAFETY: zeros are a valid `sigaction`, to be written over; no action is given.
    let (failed, action) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal.as_raw(), std::ptr::null(), &mut action), action)
    };
    if failed == 0 { Ok(action) } else { Err(io::Error::last_os_error()) }
}

/// Has all signals wait while this one is handled, but for those that cannot: faults of the program.
fn block_others(action: &mut libc::sigaction) {
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];
    // SAFETY: they change the set that they are given.
    unsafe {
        libc::sigfillset(&mut action.sa_mask);
        for fault in faults {
            libc::sigdelset(&mut action.sa_mask, fault);
        }
    }
}

fn set_action(signal: Signal, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: it is what the system itself said that it did, with the alternate stack at most; a handler in it is still there, for
    // it is `signal-hook`'s or was there before this was.
    match unsafe { libc::sigaction(signal.as_raw(), action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// To this thread: if it does not block the signal, that has been heard when this returns.
pub(super) fn raise(signal: Signal) -> io::Result<()> {
    low_level::raise(signal.as_raw())
}

/// Ends the process as the signal does by default.
pub(super) fn die_of(signal: Signal) -> ! {
    let _ = low_level::emulate_default_handler(signal.as_raw());
    // It is one that does not end processes.
    std::process::abort()
}

/// The numbers of the real-time signals that are free for programs.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn real_time() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn real_time() -> RangeInclusive<i32> {
    i32::MAX..=i32::MIN
}
