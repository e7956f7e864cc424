//! Where tasks wait for one another until so many have arrived.
//!
//! A round is decided in one go: the last to arrive wakes all others, each with its index. So there is no phase of draining in
//! which those of the next round would have to be kept out; they begin it.

use std::cell::Cell;
use std::error::Error;
use std::{fmt, io};

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, WaitList, Why};

/// So many tasks wait here for one another, and go on together; again and again.
///
/// ```
/// use ropewalk::sync::Barrier;
/// use ropewalk::task;
/// use std::cell::RefCell;
///
/// ropewalk::run(|| {
///     let (barrier, log) = (Barrier::new(3), RefCell::new(Vec::new()));
///     task::scope(|s| {
///         for name in ["a", "b", "c"] {
///             let (barrier, log) = (&barrier, &log);
///             s.spawn(move || {
///                 log.borrow_mut().push(format!("{name} is there"));
///                 let passed = barrier.wait().unwrap();
///                 log.borrow_mut().push(format!("{name} goes on as {}", passed.index()));
///             });
///         }
///     });
///     let log = log.into_inner();
///     assert_eq!(log[..3], ["a is there", "b is there", "c is there"]);
///     assert_eq!(log[3..], ["c goes on as 2", "a goes on as 0", "b goes on as 1"]);
/// });
/// ```
///
/// One that is cancelled while it waits is not there, and the others wait for somebody else; as with asyncio's. A `Barrier`
/// of Python's threads would break. Who wants that [aborts](Barrier::abort) it.
#[doc(alias = "CyclicBarrier")]
pub struct Barrier {
    parties: usize,
    /// No fewer than wait here: those that have left again are counted until somebody needs to know.
    arrived: Cell<usize>,
    is_broken: Cell<bool>,
    /// Woken with their index, or with nothing where the round was broken off.
    waiting: WaitList<Option<usize>>,
}

/// That all have arrived, and as which of them: see [`Barrier::wait`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierWait {
    index: usize,
    parties: usize,
}

/// Why nobody waits at a barrier any more, though not all have arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarrierError {
    /// The round was broken off, or the barrier is broken.
    Broken,
    /// The wait was cancelled.
    Cancelled(Cancelled),
}

impl Barrier {
    /// One where so many wait for one another.
    ///
    /// # Panics
    ///
    /// When nobody would.
    #[track_caller]
    pub const fn new(parties: usize) -> Barrier {
        assert!(parties > 0, "a barrier needs somebody who waits at it");
        Barrier { parties, arrived: Cell::new(0), is_broken: Cell::new(false), waiting: WaitList::new() }
    }

    /// Waits until all have arrived, this one included.
    ///
    /// The last to arrive does not wait. It is the [leader](BarrierWait::is_leader), and what it does up to its next wait is
    /// done before the others go on.
    ///
    /// # Cancellation
    ///
    /// One that is cancelled while it waits has not been there. One whose round was complete before goes on with it.
    ///
    /// # Errors
    ///
    /// The round was broken off by [`reset`](Barrier::reset), the barrier is broken, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> Result<BarrierWait, BarrierError> {
        lowlevel::may_wait()?;
        if let Some(passed) = self.pass() {
            return passed;
        }
        self.arrive();
        let arrived = Arrived(self);
        let index = self.waiting.wait(&Why::new("").on(&arrived))?;
        self.verdict(index)
    }

    /// An arm that waits until all have arrived, for [`select`](crate::select::select).
    ///
    /// The task is there while it waits, once however many arms it has here. If another arm is chosen it has not been.
    pub fn waiting(&self) -> WaitingAtBarrier<'_> {
        WaitingAtBarrier { barrier: self }
    }

    /// Breaks the round off: for those who wait now their wait fails. The barrier is whole again, also if it was broken.
    ///
    /// A round that was complete is not broken off any more, also if not all have gone on yet.
    pub fn reset(&self) {
        self.is_broken.set(false);
        self.send_home();
    }

    /// Breaks the barrier: for those who wait now, and for all who come, their wait fails; until it is
    /// [reset](Barrier::reset).
    pub fn abort(&self) {
        self.is_broken.set(true);
        self.send_home();
    }

    /// Whether it is broken: see [`abort`](Barrier::abort).
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// How many wait for one another.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many of them wait now.
    #[doc(alias = "n_waiting")]
    pub fn waiters(&self) -> usize {
        self.waiting.len()
    }

    /// Goes on at once if this is the last who was missing, or if nobody shall wait.
    #[inline]
    fn pass(&self) -> Option<Result<BarrierWait, BarrierError>> {
        if self.is_broken.get() {
            return Some(Err(BarrierError::Broken));
        }
        // To count them is to walk along the line; that is done when there may be enough.
        if self.arrived.get() + 1 < self.parties {
            return None;
        }
        let others = self.waiting.len();
        self.arrived.set(others);
        if others + 1 < self.parties {
            return None;
        }
        self.arrived.set(0);
        for index in 0..others {
            self.waiting.wake_one(Some(index)).expect("so many wait");
        }
        Some(Ok(BarrierWait { index: others, parties: self.parties }))
    }

    #[inline]
    fn arrive(&self) {
        self.arrived.set(self.arrived.get() + 1);
    }

    fn send_home(&self) {
        self.arrived.set(0);
        while self.waiting.wake_one(None).is_ok() {}
    }

    #[inline]
    fn verdict(&self, index: Option<usize>) -> Result<BarrierWait, BarrierError> {
        match index {
            Some(index) => Ok(BarrierWait { index, parties: self.parties }),
            None => Err(BarrierError::Broken),
        }
    }
}

impl BarrierWait {
    /// As which of them it arrived: from 0 for the first to one less than [`parties`](Barrier::parties) for the last. Each index
    /// is there once.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether it was the last to arrive. Exactly one is, and it goes on before the others do.
    pub fn is_leader(&self) -> bool {
        self.index + 1 == self.parties
    }
}

/// An arm that waits at a barrier: see [`Barrier::waiting`].
#[derive(Clone, Copy)]
#[must_use = "nobody arrives until it is selected"]
pub struct WaitingAtBarrier<'a> {
    barrier: &'a Barrier,
}

impl<'a> Arm for WaitingAtBarrier<'a> {
    type Output = Result<BarrierWait, BarrierError>;
    type Place = InLine<'a, Option<usize>>;

    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.barrier.pass()
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.barrier.arrive();
        self.barrier.waiting.place(())
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(&self.barrier.waiting).value.map(|index| self.barrier.verdict(index))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Arrived(self.barrier))
    }
}

/// How many there are; for dumps.
struct Arrived<'a>(&'a Barrier);

impl fmt::Display for Arrived<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "barrier: {} of {} there", self.0.waiters(), self.0.parties)
    }
}

impl fmt::Debug for WaitingAtBarrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingAtBarrier")
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Barrier");
        shown.field("parties", &self.parties).field("waiters", &self.waiters());
        shown.field("is_broken", &self.is_broken()).finish()
    }
}

impl BarrierError {
    /// Whether the round was broken off, or the barrier is broken.
    pub fn is_broken(&self) -> bool {
        matches!(self, BarrierError::Broken)
    }

    /// That the wait was cancelled, if it was.
    pub fn cancelled(&self) -> Option<Cancelled> {
        match self {
            BarrierError::Cancelled(cancelled) => Some(*cancelled),
            BarrierError::Broken => None,
        }
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken => f.write_str("the barrier was broken before all had arrived"),
            BarrierError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl Error for BarrierError {}

impl From<Cancelled> for BarrierError {
    fn from(cancelled: Cancelled) -> BarrierError {
        BarrierError::Cancelled(cancelled)
    }
}

impl From<BarrierError> for io::Error {
    fn from(error: BarrierError) -> io::Error {
        match error {
            BarrierError::Broken => io::Error::other(error),
            BarrierError::Cancelled(cancelled) => cancelled.into(),
        }
    }
}
