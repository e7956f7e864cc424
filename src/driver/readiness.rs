//! The readiness driver: says when a descriptor can be read or written, through mio: epoll on Linux, kqueue elsewhere.
//!
//! A descriptor is *registered* once, for both directions and for changes only (edge-triggered), and then *ready* or not in
//! each. A call on it is made at once unless it is known that it would wait.
//!
//! Invariants:
//! - A direction that is not ready gives an event when it becomes so. Therefore it is said to block only after a system call has
//!   found that, with no wait for events in between.
//! - What is closed at the other side, or broken, is *final*: there may be no more changes to be told of. A call on it is made
//!   again each time, until one says that it would wait. So it is with urgent bytes, for a read ends before them and there may
//!   be more behind.
//! - In each direction of a descriptor there waits one operation, or none.
//! - Whoever waits is told, also when the descriptor was closed under it.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::{Blocked, Completion, Descriptor, Direction, Key, Submitted};

/// Events taken from the system at a time: tokio takes as many; more come with the next wait.
const EVENTS: usize = 1024;

/// The token of the alarm.
const ALARM: Token = Token(usize::MAX);

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
/// Of urgent bytes nobody is told there, and therefore a short read says nothing.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(super) struct Readiness {
    poll: RefCell<Poll>,
    events: RefCell<Events>,
    registry: Registry,
    /// By descriptor: the numbers are small, for the system takes the lowest that is free.
    entries: RefCell<Vec<Entry>>,
    /// Those whose descriptor was closed under them. They count as in flight.
    orphans: RefCell<Vec<Key>>,
    in_flight: Cell<usize>,
}

/// What is known of a descriptor.
#[derive(Clone, Default)]
struct Entry {
    /// Of which source; 0 if nothing is registered.
    source: u64,
    directions: [State; 2],
}

#[derive(Clone, Default)]
struct State {
    is_ready: bool,
    /// The other side has closed, or there is an error, or something urgent.
    is_final: bool,
    waiting: Option<Waiter>,
}

/// An operation, and the source that it was submitted for: one descriptor may be used under several, one after the other or
/// side by side.
#[derive(Clone, Copy)]
struct Waiter {
    key: Key,
    source: u64,
}

impl State {
    fn set_blocked(&mut self) {
        (self.is_ready, self.is_final) = (false, false);
    }
}

impl Readiness {
    pub(super) fn new() -> io::Result<(Readiness, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), ALARM)?;
        let readiness = Readiness {
            registry: poll.registry().try_clone()?,
            poll: RefCell::new(poll),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            entries: RefCell::default(),
            orphans: RefCell::default(),
            in_flight: Cell::new(0),
        };
        Ok((readiness, waker))
    }

    /// That of the system's own queue of events.
    pub(super) fn descriptor(&self) -> RawFd {
        self.poll.borrow().as_raw_fd()
    }

    /// How many operations are waited for.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether a call is to be attempted: it is not known that it would wait.
    #[inline]
    pub(super) fn may_attempt(&self, at: Descriptor, direction: Direction) -> bool {
        let entries = self.entries.borrow();
        let entry = entries.get(at.fd as usize).filter(|entry| entry.source == at.source);
        entry.is_none_or(|entry| {
            let state = &entry.directions[direction as usize];
            state.is_ready || state.is_final
        })
    }

    /// What an attempt has found: the next one would wait, whatever the other side has done, or unless it has closed.
    #[inline]
    pub(super) fn note(&self, at: Descriptor, direction: Direction, blocked: Blocked) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(at.fd as usize).filter(|entry| entry.source == at.source) {
            let state = &mut entry.directions[direction as usize];
            state.is_ready = false;
            state.is_final &= blocked == Blocked::UnlessFinal;
        }
    }

    /// Waits until the descriptor may be ready, and then says so of `key`.
    ///
    /// # Errors
    ///
    /// Somebody waits for that already; or the system can register no more, or not this kind of descriptor.
    pub(super) fn submit(&self, key: Key, at: Descriptor, direction: Direction) -> io::Result<Submitted> {
        let mut entries = self.entries.borrow_mut();
        let index = super::index_of(at)?;
        if entries.len() <= index {
            entries.resize(index + 1, Entry::default());
        }
        let entry = &mut entries[index];
        if entry.source != at.source {
            self.register(entry, at, direction)?;
        }
        let state = &mut entry.directions[direction as usize];
        if state.waiting.is_some() {
            return Err(super::busy(direction));
        }
        if state.is_ready || state.is_final {
            return Ok(Submitted::Ready);
        }
        state.waiting = Some(Waiter { key, source: at.source });
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(Submitted::Awaited)
    }

    /// As [`submit`](Readiness::submit), for whoever has found in another way that a call would wait.
    pub(super) fn watch(&self, key: Key, at: Descriptor, direction: Direction) -> io::Result<Submitted> {
        if let Some(entry) = self.entries.borrow_mut().get_mut(at.fd as usize) {
            entry.directions[direction as usize].set_blocked();
        }
        self.submit(key, at, direction)
    }

    /// A call has found that it would wait, and now the system is to tell of changes.
    fn register(&self, entry: &mut Entry, at: Descriptor, direction: Direction) -> io::Result<()> {
        let mut fd = SourceFd(&at.fd);
        if entry.source != 0 {
            // It fails if what was there has been closed. Else this is another who uses the same descriptor, and takes over what is
            // registered, with whoever waits. The system looks whether it is ready, and tells.
            if self.registry.reregister(&mut fd, token(at), BOTH).is_ok() {
                entry.source = at.source;
                entry.directions[direction as usize].set_blocked();
                return Ok(());
            }
            self.orphan(entry, |_| true);
            *entry = Entry::default();
        }
        match self.registry.register(&mut fd, token(at), BOTH) {
            // What had it has gone elsewhere, and was used up there, but for the descriptor.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.registry.reregister(&mut fd, token(at), BOTH)?;
            }
            registered => registered?,
        }
        entry.source = at.source;
        // Of the other direction nothing is known: a call is tried. Of this one the first event tells.
        entry.directions[1 - direction as usize].is_ready = true;
        Ok(())
    }

    fn orphan(&self, entry: &mut Entry, whom: impl Fn(&Waiter) -> bool) {
        let orphaned =
            entry.directions.iter_mut().filter_map(|state| state.waiting.take_if(|waiter| whom(waiter)));
        self.orphans.borrow_mut().extend(orphaned.map(|waiter| waiter.key));
    }

    /// Takes an operation back that is in flight: its completion will not come.
    pub(super) fn cancel(&self, key: Key, at: Descriptor, direction: Direction) {
        let mut entries = self.entries.borrow_mut();
        let state = entries.get_mut(at.fd as usize).map(|entry| &mut entry.directions[direction as usize]);
        // By its key alone: another may have taken over what is registered.
        let taken = state.and_then(|state| state.waiting.take_if(|waiter| waiter.key == key));
        if taken.is_none() {
            self.orphans.borrow_mut().retain(|&orphan| orphan != key);
        }
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// The descriptor is about to be closed, or used elsewhere.
    pub(super) fn forget(&self, at: Descriptor) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(at.fd as usize) else { return };
        self.orphan(entry, |waiter| waiter.source == at.source);
        if entry.source != at.source {
            return;
        }
        let mut fd = SourceFd(&at.fd);
        if let Some(other) = entry.directions.iter().find_map(|state| state.waiting) {
            // Another who uses the same descriptor waits on.
            entry.source = other.source;
            let theirs = token(Descriptor { source: other.source, ..at });
            if self.registry.reregister(&mut fd, theirs, BOTH).is_ok() {
                return;
            }
            self.orphan(entry, |_| true);
        }
        *entry = Entry::default();
        // It would have been forgotten anyway when it is closed, unless a duplicate lives on.
        let _ = self.registry.deregister(&mut fd);
    }

    /// Returns when the time is over, the alarm was rung or descriptors are ready, and tells of those that are waited for; or
    /// for no reason.
    pub(super) fn wait(&self, timeout: Option<Duration>, mut complete: impl FnMut(Key, Completion)) {
        let orphans = self.orphans.take();
        let timeout = if orphans.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.in_flight.set(self.in_flight.get() - orphans.len());
        for orphan in orphans {
            complete(orphan, Completion::new(-Errno::BADF.raw_os_error()));
        }
        let mut events = self.events.borrow_mut();
        let mut poll = self.poll.borrow_mut();
        let timeout = Self::exactly(poll.as_raw_fd(), timeout).or(timeout);
        if poll.poll(&mut events, timeout).is_err() {
            // Interrupted by a signal. There is no other error while the descriptor is good.
            return;
        }
        for event in events.iter().filter(|event| event.token() != ALARM) {
            let [read, write] = self.note_event(event);
            for key in [read, write].into_iter().flatten() {
                complete(key, Completion::new(0));
            }
        }
    }

    /// What is left of the time when the system is to wait for the rest of it, which it does in whole milliseconds, rounded up.
    /// If little is left it is waited here, to the nanosecond.
    fn exactly(poll: RawFd, timeout: Option<Duration>) -> Option<Duration> {
        let soon = timeout.filter(|&left| !left.is_zero() && left < ROUGH)?;
        // SAFETY: it is open as long as this is.
        let poll = unsafe { BorrowedFd::borrow_raw(poll) };
        let left = Timespec { tv_sec: 0, tv_nsec: soon.subsec_nanos().into() };
        // Whatever it says, the next call says it again.
        let _ = rustix::event::poll(&mut [PollFd::new(&poll, PollFlags::IN)], Some(&left));
        Some(Duration::ZERO)
    }

    /// Notes what an event says; the operations that are complete by that.
    fn note_event(&self, event: &mio::event::Event) -> [Option<Key>; 2] {
        let mut entries = self.entries.borrow_mut();
        let (fd, number) = from_token(event.token());
        let Some(entry) = entries.get_mut(fd).filter(|entry| low(entry.source) == number) else {
            return [None, None];
        };
        let is_error = event.is_error();
        let [read, write] = &mut entry.directions;
        read.is_final |= event.is_read_closed() || is_error || event.is_priority();
        write.is_final |= event.is_write_closed() || is_error;
        read.is_ready |= event.is_readable();
        write.is_ready |= event.is_writable();
        let done = [read, write]
            .map(|state| if state.is_ready || state.is_final { state.waiting.take() } else { None })
            .map(|waiter| waiter.map(|waiter| waiter.key));
        self.in_flight.set(self.in_flight.get() - done.iter().flatten().count());
        done
    }
}

/// Below this a wait of whole milliseconds would be much too long.
const ROUGH: Duration = Duration::from_millis(10);

/// The part of a source's number that an event brings back. Where it brings none, an event of an earlier one may be taken for one
/// of this: it says that a call may be made, which then says that it would wait.
const fn low(source: u64) -> usize {
    if usize::BITS == 64 { (source & 0xffff_ffff) as usize } else { 0 }
}

fn token(at: Descriptor) -> Token {
    let fd = at.fd as usize;
    match usize::BITS {
        64 => Token(((low(at.source) as u64) << 32 | fd as u64) as usize),
        _ => Token(fd),
    }
}

fn from_token(token: Token) -> (usize, usize) {
    match usize::BITS {
        64 => ((token.0 as u64 & 0xffff_ffff) as usize, (token.0 as u64 >> 32) as usize),
        _ => (token.0, 0),
    }
}
