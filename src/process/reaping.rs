//! One child, and the only place where it is reaped.
//!
//! Words: to *reap* a child is to take its status from the system, which forgets it with that, and may give its number to another
//! process. Until then a child that has ended is a *zombie*. To *watch* a child is to wait for it in a thread.
//!
//! Invariants:
//! - A child is reaped with its lock held. Whoever uses its number holds the lock too, and has seen that it was not reaped:
//!   no signal reaches who has the number after it.
//! - A thread that watches uses the number without the lock, for it blocks. As long as there is one, nobody else reaps.
//! - Nothing in here parks, and but for the thread that watches nothing blocks: destructors and other threads use it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal};

use super::peek;
use crate::sync::cross::Event;

/// A child, until it is reaped and after.
#[derive(Debug)]
pub(super) struct Reaping {
    pid: Pid,
    state: Mutex<State>,
    /// Set when who watches has reaped it.
    has_ended: Event,
}

#[derive(Debug)]
struct State {
    child: Child,
    /// Once it was reaped.
    status: Option<ExitStatus>,
    is_watched: bool,
    /// Whether those who are left of its group go with it.
    is_swept: bool,
}

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    Child,
    /// All in the process group that has the child's number.
    Group,
}

impl Reaping {
    pub(super) fn new(child: Child) -> Reaping {
        let pid = Pid::from_child(&child);
        let state = State { child, status: None, is_watched: false, is_swept: false };
        Reaping { pid, state: Mutex::new(state), has_ended: Event::new() }
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here leaves it half done when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status, if the child has ended; then it is reaped, or about to be.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.lock();
        match state.status {
            None if state.is_watched => peek::peek(self.pid),
            None => state.reap(self.pid),
            status => Ok(status),
        }
    }

    /// Sends a signal. It reaches nobody, and that is no error, when the child was reaped.
    pub(super) fn signal(&self, signal: Signal, whom: Whom) -> io::Result<()> {
        let state = self.lock();
        if state.status.is_some() {
            return Ok(());
        }
        // Fails if somebody else has reaped it, which nobody should: the number is not ours any more.
        peek::peek(self.pid)?;
        match whom {
            Whom::Child => rustix::process::kill_process(self.pid, signal)?,
            Whom::Group => rustix::process::kill_process_group(self.pid, signal)?,
        }
        Ok(())
    }

    /// From now on, who is left of the child's group when it has ended is killed before it is reaped: after that the group might
    /// be another one.
    pub(super) fn sweep(&self) {
        self.lock().is_swept = true;
    }

    /// A descriptor that is readable when the child has ended.
    #[cfg(target_os = "linux")]
    pub(super) fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        use rustix::process::{PidfdFlags, pidfd_open};
        let state = self.lock();
        match state.status {
            None => Ok(pidfd_open(self.pid, PidfdFlags::empty())?),
            // As the system would say.
            Some(_) => Err(rustix::io::Errno::SRCH.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_watched(&self) -> bool {
        self.lock().is_watched
    }

    /// Has a thread wait for the child, and reap it. Says whether there is one, or nothing to wait for.
    ///
    /// It is none of a pool's: those are counted, and a child may take days.
    pub(super) fn watch(self: &Arc<Reaping>) -> bool {
        let mut state = self.lock();
        if state.status.is_none() && !state.is_watched {
            let child = self.clone();
            let watching = thread::Builder::new().name("ropewalk-child".to_owned());
            state.is_watched = watching.spawn(move || child.watch_to_the_end()).is_ok();
        }
        state.status.is_some() || state.is_watched
    }

    fn watch_to_the_end(&self) {
        loop {
            let blocked = peek::block_until_ended(self.pid);
            let mut state = self.lock();
            if let (Ok(()), Ok(None)) = (blocked, state.reap(self.pid)) {
                continue;
            }
            // There is a status, or nothing that ever would be: who asks is told what the system says.
            state.is_watched = false;
            break;
        }
        self.has_ended.set();
    }

    /// Set when whoever [watches](Reaping::watch) has reaped it.
    pub(super) fn has_ended(&self) -> &Event {
        &self.has_ended
    }
}

impl State {
    fn reap(&mut self, pid: Pid) -> io::Result<Option<ExitStatus>> {
        if self.is_swept && peek::peek(pid)?.is_some() {
            // There may be nobody but the zombie.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        self.status = self.child.try_wait()?;
        Ok(self.status)
    }
}
