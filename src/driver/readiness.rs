//! The readiness driver: says when a descriptor can be read or written, through mio: epoll on Linux, kqueue elsewhere.
//!
//! Words: a *source* is what has a descriptor, known by a number of its own, because the numbers of descriptors are used again.
//! It is *registered* once, for both directions and for changes only (edge-triggered), and then *ready* or not in each. Whoever
//! uses it tries the system call first and says when it *would block*.
//!
//! Invariants:
//! - A direction that is not ready gives an event when it becomes so. Therefore it is said to block only after a system call has
//!   found that, with no wait for events in between.
//! - What is closed at the other side, or broken, stays ready: there are no more changes to be told of.
//! - In each direction of a source there waits one operation, or none.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::{Direction, Key};

/// Events taken from the system at a time: tokio takes as many; more come with the next wait.
const EVENTS: usize = 1024;

/// The token of the alarm.
const ALARM: Token = Token(usize::MAX);

pub(crate) struct Readiness {
    poll: RefCell<Poll>,
    events: RefCell<Events>,
    registry: Registry,
    /// By descriptor: the numbers are small, for the system takes the lowest that is free.
    entries: RefCell<Vec<Entry>>,
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
    /// The other side has closed, or there is an error.
    is_final: bool,
    waiting: Option<Key>,
}

/// What has become of an operation that was submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Submitted {
    /// It has been ready before.
    Ready,
    /// Its completion will come.
    InFlight,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<(Readiness, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), ALARM)?;
        let readiness = Readiness {
            registry: poll.registry().try_clone()?,
            poll: RefCell::new(poll),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            entries: RefCell::default(),
            in_flight: Cell::new(0),
        };
        Ok((readiness, waker))
    }

    /// Whether operations are in flight.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0
    }

    /// Whether a system call is known to have to wait, so that it need not be tried.
    #[inline]
    pub(crate) fn would_block(&self, fd: RawFd, source: u64, direction: Direction) -> bool {
        let entries = self.entries.borrow();
        let entry = entries.get(fd as usize).filter(|entry| entry.source == source);
        entry.is_some_and(|entry| {
            let state = &entry.directions[direction as usize];
            !state.is_ready && !state.is_final
        })
    }

    /// A system call has found that it would block, or has taken all there was.
    #[inline]
    pub(crate) fn set_blocked(&self, fd: RawFd, source: u64, direction: Direction) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(fd as usize).filter(|entry| entry.source == source) {
            entry.directions[direction as usize].is_ready = false;
        }
    }

    /// Waits until the descriptor is ready, and then says so of `key`.
    ///
    /// # Errors
    ///
    /// Somebody waits for that already; or the system can register no more, or not this kind of descriptor.
    pub(crate) fn submit(
        &self,
        fd: RawFd,
        source: u64,
        direction: Direction,
        key: Key,
    ) -> io::Result<Submitted> {
        let mut entries = self.entries.borrow_mut();
        let index = fd as usize;
        if entries.len() <= index {
            entries.resize(index + 1, Entry::default());
        }
        let entry = &mut entries[index];
        if entry.source != source {
            // What was there before was closed without telling this scheduler, which has made the system forget it.
            self.in_flight.set(self.in_flight.get() - entry.waiting());
            *entry = Entry::default();
            self.registry.register(&mut SourceFd(&fd), token(fd, source), BOTH)?;
            entry.source = source;
            // Of the other direction nothing is known: a system call is tried. For this one the first event says it.
            entry.directions[1 - direction as usize].is_ready = true;
        }
        let state = &mut entry.directions[direction as usize];
        if state.waiting.is_some() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, Busy(direction)));
        }
        if state.is_ready || state.is_final {
            return Ok(Submitted::Ready);
        }
        state.waiting = Some(key);
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(Submitted::InFlight)
    }

    /// Takes an operation back that is in flight: its completion will not come.
    pub(crate) fn cancel(&self, fd: RawFd, source: u64, direction: Direction) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(fd as usize).filter(|entry| entry.source == source) {
            let waited = entry.directions[direction as usize].waiting.take();
            self.in_flight.set(self.in_flight.get() - usize::from(waited.is_some()));
        }
    }

    /// The source is about to be closed, or used elsewhere.
    pub(crate) fn forget(&self, fd: RawFd, source: u64) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(fd as usize).filter(|entry| entry.source == source) {
            self.in_flight.set(self.in_flight.get() - entry.waiting());
            *entry = Entry::default();
            // It would have been forgotten anyway when it is closed, unless a duplicate lives on.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    /// Returns when the time is over, the alarm was rung or descriptors are ready, and tells of those that are waited for; or
    /// for no reason.
    pub(crate) fn wait(&self, timeout: Option<Duration>, mut complete: impl FnMut(Key)) {
        let mut events = self.events.borrow_mut();
        if self.poll.borrow_mut().poll(&mut events, timeout).is_err() {
            // Interrupted by a signal. There is no other error while the descriptor is good.
            return;
        }
        for event in events.iter() {
            if event.token() == ALARM {
                continue;
            }
            let [read, write] = self.note(event);
            read.into_iter().chain(write).for_each(&mut complete);
        }
    }

    /// Notes what an event says; the operations that are complete by that.
    fn note(&self, event: &mio::event::Event) -> [Option<Key>; 2] {
        let mut entries = self.entries.borrow_mut();
        let (fd, number) = from_token(event.token());
        let Some(entry) = entries.get_mut(fd).filter(|entry| low(entry.source) == number) else {
            return [None, None];
        };
        let is_error = event.is_error();
        let [read, write] = &mut entry.directions;
        read.is_final |= event.is_read_closed() || is_error;
        write.is_final |= event.is_write_closed() || is_error;
        read.is_ready |= event.is_readable();
        write.is_ready |= event.is_writable();
        let done = [read, write]
            .map(|state| if state.is_ready || state.is_final { state.waiting.take() } else { None });
        self.in_flight.set(self.in_flight.get() - done.iter().flatten().count());
        done
    }
}

impl Entry {
    /// How many operations wait.
    fn waiting(&self) -> usize {
        self.directions.iter().filter(|state| state.waiting.is_some()).count()
    }
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The part of a source's number that an event brings back.
const fn low(source: u64) -> usize {
    if usize::BITS == 64 { (source & 0xffff_ffff) as usize } else { 0 }
}

fn token(fd: RawFd, source: u64) -> Token {
    if usize::BITS == 64 { Token(low(source) << 32 | fd as usize) } else { Token(fd as usize) }
}

fn from_token(token: Token) -> (usize, usize) {
    if usize::BITS == 64 { (token.0 & 0xffff_ffff, token.0 >> 32) } else { (token.0, 0) }
}

#[derive(Debug)]
struct Busy(Direction);

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.0 {
            Direction::Read => "read from",
            Direction::Write => "write to",
        };
        write!(
            f,
            "another task waits to {what} this: give each direction to one task, or put a lock around it"
        )
    }
}

impl std::error::Error for Busy {}
