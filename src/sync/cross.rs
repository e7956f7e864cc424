//! What tasks of several runtimes and plain threads wait for together: a task parks, a thread blocks.
//!
//! For channels between threads see [`channel::cross`](crate::channel::cross).
//!
//! Invariants:
//! - Whoever is in the line waits for the next [`Event::set`]. That takes all out, and with the mutex free wakes them.
//! - No code of the program runs while the mutex is held.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use crate::error::Cancelled;
use crate::primitive::Lock;
use crate::scheduler::lowlevel::{
    self, Arm, ByTicket, CrossError, CrossLine, CrossTicket, CrossWait, Register, Ticket, Undo, Why,
};

/// Tasks and threads wait until it is set; Python's `Event`, between threads.
///
/// ```
/// use ropewalk::sync::cross::Event;
/// use std::thread;
///
/// static READY: Event = Event::new();
///
/// let waiting = thread::spawn(|| READY.wait());                  // A plain thread: it blocks.
/// ropewalk::run(|| {
///     READY.set();
///     READY.wait().unwrap();                                     // A task would park; but it is set.
/// });
/// waiting.join().unwrap().unwrap();
/// ```
///
/// While a task waits here its runtime finds no deadlock, for a thread could wake it.
#[doc(alias = "ManualResetEvent")]
pub struct Event {
    state: Lock<State>,
}

struct State {
    is_set: bool,
    waiting: CrossLine,
}

impl State {
    const fn new() -> State {
        State { is_set: false, waiting: CrossLine::new() }
    }
}

impl Event {
    /// One that is not set.
    #[cfg(not(loom))]
    pub const fn new() -> Event {
        Event { state: Lock::new(State::new()) }
    }

    /// One that is not set.
    #[cfg(loom)]
    pub fn new() -> Event {
        Event { state: Lock::new(State::new()) }
    }

    /// Sets it: all who wait go on, and nobody has to wait any more. It works everywhere.
    pub fn set(&self) {
        let mut state = self.state.lock();
        state.is_set = true;
        let waiting = state.waiting.take_all();
        drop(state);
        waiting.for_each(|waiter| waiter.ticket.wake());
    }

    /// Takes it back: whoever comes now waits until it is set again. Those who were woken by the last [`set`](Event::set) go
    /// on.
    pub fn clear(&self) {
        self.state.lock().is_set = false;
    }

    /// Whether it is set. Other threads may have changed that when the answer is there.
    pub fn is_set(&self) -> bool {
        self.state.lock().is_set
    }

    /// Waits until it is set: a task parks, a thread blocks.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], in tasks and in callbacks of a runtime; never in a thread without one.
    #[track_caller]
    pub fn wait(&self) -> Result<(), Cancelled> {
        lowlevel::cross_may_wait()?;
        if self.is_set() { Ok(()) } else { lowlevel::cross_park(&EVENT, &AtEvent::new(self)) }
    }

    /// As [`wait`](Event::wait), for no longer than `limit`. Says whether it was set.
    ///
    /// A thread has no scopes that could be cancelled: this is what it has instead of [`timeout`](crate::time::timeout).
    /// In a task it does what that would, by the runtime's clock.
    ///
    /// ```
    /// use ropewalk::sync::cross::Event;
    /// use std::time::Duration;
    ///
    /// assert_eq!(Event::new().wait_timeout(Duration::from_millis(1)), Ok(false));
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`wait`](Event::wait).
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Cancelled> {
        lowlevel::cross_may_wait()?;
        if self.is_set() {
            return Ok(true);
        }
        match lowlevel::cross_park_for(limit, &EVENT, &AtEvent::new(self)) {
            Ok(()) => Ok(true),
            Err(CrossError::Elapsed) => Ok(false),
            Err(CrossError::Cancelled(cancelled)) => Err(cancelled),
        }
    }

    /// An arm that waits until it is set, for [`select`](crate::select::select) in a task.
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { event: self }
    }

    /// How many tasks and threads wait for it.
    pub fn waiters(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

const EVENT: Why<'static> = Why::new("event");

/// Somebody who waits. It is named as the place of an arm, and is for nobody to use.
#[doc(hidden)]
pub struct AtEvent<'a> {
    event: &'a Event,
    number: Cell<u64>,
}

impl<'a> AtEvent<'a> {
    fn new(event: &'a Event) -> AtEvent<'a> {
        AtEvent { event, number: Cell::new(0) }
    }

    fn enter(&self, ticket: CrossTicket) {
        let mut state = self.event.state.lock();
        if state.is_set {
            drop(state);
            return ticket.wake();
        }
        self.number.set(state.waiting.push(ticket, ()));
    }

    /// False if it was woken before.
    fn leave(&self) -> bool {
        let left = self.event.state.lock().waiting.remove(self.number.get());
        left.is_some()
    }
}

impl CrossWait for AtEvent<'_> {
    fn register(&self, ticket: CrossTicket) {
        self.enter(ticket);
    }

    fn is_over(&self) -> bool {
        !self.event.state.lock().waiting.contains(self.number.get())
    }

    fn undo(&self) -> Undo {
        if self.leave() { Undo::Done } else { Undo::Later }
    }
}

impl Register for AtEvent<'_> {
    type Value = ();

    fn register(&self, ticket: Ticket<()>) {
        self.enter(ticket.into());
    }

    fn undo(&self) {
        self.leave();
    }
}

/// An arm that waits for an [`Event`]: see [`Event::waiting`].
#[derive(Clone, Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Waiting<'a> {
    event: &'a Event,
}

impl<'a> Arm for Waiting<'a> {
    type Output = ();
    type Place = ByTicket<AtEvent<'a>>;

    fn try_now(&mut self) -> Option<()> {
        self.event.is_set().then_some(())
    }

    fn place(&mut self) -> Self::Place {
        ByTicket::new(AtEvent::new(self.event))
    }

    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_value()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event")
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).field("waiters", &self.waiters()).finish()
    }
}
