//! What has arrived and nobody has taken yet: a mark for each signal, and a bell that says that there is one.
//!
//! Words: a signal is *pending* from when it was heard until it is taken; however often it is heard meanwhile, it is taken once.
//! The *bell* is a pipe. A byte in it says that something may be pending, and which signal that is it does not say: so a
//! pipe that is full loses nothing.
//!
//! Invariants:
//! - A signal is marked before the bell rings, and the bell is silenced before marks are looked at. So whoever finds nothing
//!   pending hears the bell for what comes after.
//! - While something is pending the bell rings, or somebody is about to look: whoever has silenced it and leaves something pending
//!   rings it again, for others may wait.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::name::Signal;
use crate::io::nonblocking_pipe;
use crate::scheduler::fork;
use crate::scheduler::io::{Direction, Source, wait_until_ready};

/// When each signal was heard that is pending: counted, so that they can be taken in that order.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// The mark of a signal that is not pending.
const NOT_PENDING: u64 = u64::MAX;

pub(super) struct Inbox {
    // Dropped first: a scheduler forgets a descriptor before it is closed.
    source: Source,
    bell: OwnedFd,
    rope: OwnedFd,
    marks: Box<[Mark]>,
    is_closed: AtomicBool,
    /// The process that has made it: one that was forked from it shares the pipe, and is to leave it alone.
    generation: usize,
}

struct Mark {
    signal: Signal,
    /// When it was heard, the first time since it was taken.
    heard: AtomicU64,
}

impl Inbox {
    /// For these signals, each once.
    pub(super) fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Inbox> {
        let mut signals: Vec<Signal> = signals.into_iter().collect();
        signals.sort_unstable();
        signals.dedup();
        let mark = |signal| Mark { signal, heard: AtomicU64::new(NOT_PENDING) };
        let (bell, rope) = nonblocking_pipe()?;
        fork::watch();
        Ok(Inbox {
            source: Source::new(bell.as_raw_fd()),
            bell,
            rope,
            marks: signals.into_iter().map(mark).collect(),
            is_closed: AtomicBool::new(false),
            generation: fork::generation(),
        })
    }

    pub(super) fn signals(&self) -> impl ExactSizeIterator<Item = Signal> + '_ {
        self.marks.iter().map(|mark| mark.signal)
    }

    pub(super) fn signal(&self, index: usize) -> Signal {
        self.marks[index].signal
    }

    /// A signal has arrived.
    ///
    /// It is async-signal-safe: atomics that need no lock, and `write`, which does not wait. `errno` is the handler's to keep.
    pub(super) fn hear(&self, index: usize) {
        let Some(mark) = self.marks.get(index).filter(|_| self.is_at_home()) else { return };
        let now = HEARD.fetch_add(1, Ordering::SeqCst);
        // It always writes, so that it sees whether the signal has just been taken. A comparison that fails might be with a value
        // of before.
        mark.heard.fetch_min(now, Ordering::SeqCst);
        self.ring();
    }

    /// If there is no room, it rings already.
    fn ring(&self) {
        let _ = rustix::io::write(&self.rope, b"!");
    }

    /// Whether this is the process that has made it.
    fn is_at_home(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Takes the pending signal that was heard first.
    pub(super) fn take(&self) -> Option<Signal> {
        if !self.is_at_home() {
            return None;
        }
        // Some of what rings may stay, and ring for nothing.
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 64]);
        loop {
            let first = self.first_pending()?;
            // Else another thread has taken it.
            if first.heard.swap(NOT_PENDING, Ordering::SeqCst) != NOT_PENDING {
                if self.first_pending().is_some() {
                    self.ring();
                }
                return Some(first.signal);
            }
        }
    }

    fn first_pending(&self) -> Option<&Mark> {
        let marks = self.marks.iter().map(|mark| (mark.heard.load(Ordering::SeqCst), mark));
        let pending = marks.filter(|(heard, _)| *heard != NOT_PENDING);
        pending.min_by_key(|(heard, _)| *heard).map(|(_, mark)| mark)
    }

    /// Parks the running task until the bell rings.
    #[track_caller]
    pub(super) fn wait(&self) -> io::Result<()> {
        wait_until_ready(&self.source, self.bell.as_fd(), Direction::Read, "signal")
    }

    /// Blocks this thread until the bell rings. False if nobody wants to know any more.
    pub(super) fn block(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, poll};
        // Whoever has silenced the bell for a signal may have silenced this too.
        if self.is_closed.load(Ordering::SeqCst) {
            return Ok(false);
        }
        match poll(&mut [PollFd::new(&self.bell, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!self.is_closed.load(Ordering::SeqCst)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends what [`block`](Inbox::block)s.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(super) fn bell(&self) -> &OwnedFd {
        &self.bell
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.signals()).finish()
    }
}
