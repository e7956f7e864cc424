//! Waits that are the same for tasks and for threads: a task parks, a plain thread blocks, and both are woken from anywhere.
//!
//! Whoever waits leaves a [`CrossTicket`] behind a mutex, with those who will grant it. *Who* is granted is decided under
//! that mutex, and *what* lies behind it too. A ticket carries nothing and decides nothing: it says "it is decided: come
//! and look". So nothing is lost with a ticket that comes too late.
//!
//! Invariant: whoever takes a ticket out from behind the mutex has decided the wait that it is of, and wakes it.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use super::here;
use super::park;
use super::record::TaskId;
use super::remote::RemoteTicket;
use super::ticket::{self, Ticket, Undo};
use super::why::Why;
use crate::clock::Clock;
use crate::error::Cancelled;
use crate::primitive::thread::{self, Thread};

/// A wait that a task can do, by parking, and a plain thread, by blocking.
///
/// ```
/// use ropewalk::lowlevel::{self, CrossLine, CrossTicket, CrossWait, Undo, Why};
/// use ropewalk::Cancelled;
/// use std::cell::Cell;
/// use std::sync::Mutex;
/// use std::thread;
///
/// /// Opens once, for all.
/// struct Gate(Mutex<(bool, CrossLine)>);
///
/// struct AtGate<'a> {
///     gate: &'a Gate,
///     number: Cell<u64>,
/// }
///
/// impl CrossWait for AtGate<'_> {
///     fn register(&self, ticket: CrossTicket) {
///         let mut gate = self.gate.0.lock().unwrap();
///         if gate.0 {
///             drop(gate);
///             return ticket.wake();                             // It was opened in the meantime.
///         }
///         self.number.set(gate.1.push(ticket, ()));
///     }
///
///     fn is_over(&self) -> bool {
///         !self.gate.0.lock().unwrap().1.contains(self.number.get())
///     }
///
///     fn undo(&self) -> Undo {
///         let left = self.gate.0.lock().unwrap().1.remove(self.number.get());
///         if left.is_some() { Undo::Done } else { Undo::Later }
///     }
/// }
///
/// impl Gate {
///     fn pass(&self) -> Result<(), Cancelled> {
///         lowlevel::cross_park(&Why::new("gate"), &AtGate { gate: self, number: Cell::new(0) })
///     }
///
///     fn open(&self) {
///         let mut gate = self.0.lock().unwrap();
///         gate.0 = true;
///         let waiting = gate.1.take_all();
///         drop(gate);
///         waiting.for_each(|waiter| waiter.ticket.wake());
///     }
/// }
///
/// let gate = Gate(Mutex::new((false, CrossLine::new())));
/// thread::scope(|s| {
///     s.spawn(|| gate.pass().unwrap());                         // This thread blocks,
///     s.spawn(|| ropewalk::run(|| gate.pass()).unwrap());       // this task parks.
///     gate.open();
/// });
/// ```
pub trait CrossWait {
    /// Leaves the ticket with whoever will wake it, or wakes it. It cannot wait.
    fn register(&self, ticket: CrossTicket);

    /// Whether the wait is decided: its ticket was taken. Threads ask, for they may wake for no reason.
    fn is_over(&self) -> bool;

    /// Takes the ticket back. If it is [`Undo::Later`], the wait was decided before, and will be woken. It cannot wait.
    fn undo(&self) -> Undo;
}

/// Wakes one wait, of a task or of a thread, from any thread. It is given to [`CrossWait::register`].
///
/// While there is one of a task, no deadlock is found under its runtime.
pub struct CrossTicket(Whose);

enum Whose {
    Task(RemoteTicket<()>, TaskId),
    Thread(Thread),
}

impl CrossTicket {
    /// Wakes whoever waits. If the wait is over that does no harm.
    pub fn wake(self) {
        match self.0 {
            // If the runtime is gone, nobody waits there.
            Whose::Task(ticket, _) => drop(ticket.wake(())),
            Whose::Thread(thread) => thread.unpark(),
        }
    }

    /// Whether both are of one task, which waits for several things.
    pub fn is_of_same_task(&self, other: &CrossTicket) -> bool {
        match (&self.0, &other.0) {
            (Whose::Task(ticket, task), Whose::Task(other, other_task)) => {
                task == other_task && ticket.is_beside(other)
            }
            _ => false,
        }
    }
}

/// For an arm of [`select`](crate::select::select), which has a ticket of its own.
impl From<Ticket<()>> for CrossTicket {
    #[track_caller]
    fn from(ticket: Ticket<()>) -> CrossTicket {
        let task = ticket.task();
        CrossTicket(Whose::Task(ticket.into_remote(), task))
    }
}

impl fmt::Debug for CrossTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Whose::Task(_, task) => write!(f, "CrossTicket(task {task})"),
            Whose::Thread(thread) => write!(f, "CrossTicket({:?})", thread.id()),
        }
    }
}

/// Begins something that may have to wait, and may not; in a task as [`may_wait`](super::lowlevel::may_wait). A thread on which no
/// runtime runs may always wait.
///
/// # Errors
///
/// [`Cancelled`], as a wait would.
#[inline]
#[track_caller]
pub fn cross_may_wait() -> Result<(), Cancelled> {
    if here::core().is_null() { Ok(()) } else { park::may_wait() }
}

/// Parks the running task, or blocks the thread if no runtime runs on it, until the ticket is woken.
///
/// # Cancellation
///
/// [`CrossWait::undo`] says whether the wait had been decided before: then it is not cancelled.
///
/// # Errors
///
/// [`Cancelled`], in tasks and in callbacks of a runtime; never in a thread where none runs.
#[track_caller]
pub fn cross_park(why: &Why<'_>, wait: &impl CrossWait) -> Result<(), Cancelled> {
    if here::core().is_null() {
        let blocked = block(None, wait);
        debug_assert!(blocked.is_ok(), "without a limit it waits");
        return Ok(());
    }
    ticket::park(why, |ticket| wait.register(ticket.into()), || wait.undo())
}

/// As [`cross_park`], for what is done on other threads meanwhile: as long as it lasts a virtual clock stands still, as it does
/// while a task runs. `at` is where the program waits.
#[cfg(not(loom))]
#[track_caller]
pub(crate) fn wait_elsewhere(
    at: &'static std::panic::Location<'static>,
    why: &Why<'_>,
    wait: &impl CrossWait,
) -> Result<(), Cancelled> {
    let Some(core) = here::lend_core() else { return cross_park(why, wait) };
    let _elsewhere = core.count_elsewhere();
    ticket::park_at(at, why, |ticket| wait.register(ticket.into()), || wait.undo())
}

/// As [`cross_park`], for no longer than `limit`: by the runtime's clock in a task, else by the system's.
///
/// # Errors
///
/// The time is over, or the wait was cancelled.
#[track_caller]
pub fn cross_park_for(limit: Duration, why: &Why<'_>, wait: &impl CrossWait) -> Result<(), CrossError> {
    if here::core().is_null() {
        return block(Some(limit), wait);
    }
    ticket::park_for(limit, why, |ticket| wait.register(ticket.into()), || wait.undo())
}

/// Waits in a thread.
fn block(limit: Option<Duration>, wait: &impl CrossWait) -> Result<(), CrossError> {
    wait.register(CrossTicket(Whose::Thread(thread::current())));
    let mut limit = limit.map(|limit| {
        let clock = Clock::real();
        let deadline = clock.after(limit);
        (clock, deadline)
    });
    loop {
        match limit.as_ref().map(|(clock, deadline)| deadline.saturating_sub(clock.now())) {
            None => thread::park(),
            Some(0) if wait.undo() == Undo::Done => return Err(CrossError::Elapsed),
            // It was decided before: whoever did that is about to say so.
            Some(0) => limit = None,
            Some(left) => thread::park_timeout(Duration::from_nanos(left)),
        }
        if wait.is_over() {
            return Ok(());
        }
    }
}

/// Why a wait with a limit has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CrossError {
    /// The time is over.
    Elapsed,
    /// The wait was cancelled, by something else than its limit.
    Cancelled(Cancelled),
}

impl From<Cancelled> for CrossError {
    fn from(cancelled: Cancelled) -> CrossError {
        CrossError::Cancelled(cancelled)
    }
}

impl fmt::Display for CrossError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrossError::Elapsed => f.write_str("the time is over"),
            CrossError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl Error for CrossError {}

impl From<CrossError> for io::Error {
    fn from(error: CrossError) -> io::Error {
        match error {
            CrossError::Elapsed => io::Error::new(io::ErrorKind::TimedOut, error),
            CrossError::Cancelled(cancelled) => cancelled.into(),
        }
    }
}

/// Tasks and threads in line, each with an *offer* beside its ticket. It is kept behind a mutex.
///
/// Whoever is in the line waits; to take somebody out decides that wait. It stays the same line for as long as anybody may look
/// for its number: in a new one numbers begin anew.
///
/// Invariant: numbers grow from the front to the back.
#[derive(Debug)]
pub struct CrossLine<O = ()> {
    waiters: VecDeque<CrossWaiter<O>>,
    last: u64,
}

/// Somebody in a [`CrossLine`].
#[derive(Debug)]
#[must_use = "whoever was taken out of the line has to be woken"]
pub struct CrossWaiter<O = ()> {
    /// Its number in the line, which nobody else has or had.
    pub number: u64,
    /// Wakes it.
    pub ticket: CrossTicket,
    /// What it has brought.
    pub offer: O,
}

impl<O> CrossLine<O> {
    /// A line in which nobody waits.
    #[expect(clippy::new_without_default, reason = "`mem::take` would make another line of it")]
    pub const fn new() -> CrossLine<O> {
        CrossLine { waiters: VecDeque::new(), last: 0 }
    }

    /// Puts somebody at the end of the line, and gives it a number, from 1 on.
    pub fn push(&mut self, ticket: CrossTicket, offer: O) -> u64 {
        self.last += 1;
        self.waiters.push_back(CrossWaiter { number: self.last, ticket, offer });
        self.last
    }

    /// Takes out whoever has waited longest.
    pub fn pop(&mut self) -> Option<CrossWaiter<O>> {
        self.waiters.pop_front()
    }

    /// Takes out whoever has that number.
    pub fn remove(&mut self, number: u64) -> Option<CrossWaiter<O>> {
        self.waiters.remove(self.index_of(number)?)
    }

    /// Takes out the one at that place, counted from zero.
    pub fn remove_at(&mut self, index: usize) -> Option<CrossWaiter<O>> {
        self.waiters.remove(index)
    }

    /// Takes out all who wait now, from the front to the back.
    pub fn take_all(&mut self) -> impl Iterator<Item = CrossWaiter<O>> + use<O> {
        std::mem::take(&mut self.waiters).into_iter()
    }

    /// Whether whoever has that number waits still.
    pub fn contains(&self, number: u64) -> bool {
        self.index_of(number).is_some()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// All who wait, from the front to the back.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &CrossWaiter<O>> + ExactSizeIterator {
        self.waiters.iter()
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&number, |waiter| waiter.number).ok()
    }
}
