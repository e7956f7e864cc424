//! What a task has only while it has a stack: it lies at the hot end of that stack, in cache lines that a switch touches
//! anyway, so that a task which has not started needs no room for it.

use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr;

use super::why::Why;
use crate::clock::Nanos;
use crate::generator::mark::Mark;
use crate::generator::switch::{Fiber, Parent};

/// How much of a stack is set apart for it, in bytes. A fiber is of different sizes on different machines.
const ROOM: usize = if cfg!(feature = "sanitizer") { 160 } else { 96 };

/// Waits in a row that a task goes through without waiting, because what it asks for is there: so many that letting others run
/// costs little beside them, and so few that nobody waits long for a task that always finds something.
pub(super) const SHARE: u8 = 64;

pub(super) type TaskFiber = Fiber<(), (), ROOM>;

const _: () = assert!(size_of::<Hot>() <= ROOM);

/// What has become of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Waiting,
    /// What it stands in was cancelled, and the task is to take the wait back when it runs. Until then it can be granted.
    Asked,
    /// It was woken by whoever it waited for.
    Granted,
    /// What it stands in was cancelled.
    Cancelled,
}

impl Outcome {
    /// Whether a wake still counts.
    #[inline(always)]
    pub(super) fn is_open(self) -> bool {
        matches!(self, Outcome::Waiting | Outcome::Asked)
    }
}

/// What a cancellation does to a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cancel {
    /// Nothing.
    Never,
    /// Ends it.
    Ends,
    /// Wakes the task, which then takes the wait back, or waits on.
    Asks,
    /// Nothing, until shields keep nothing out any more; then it ends it.
    EndsAtLast,
}

/// What to do when it is resumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    GoOn,
    /// Say where you are, and suspend again.
    Backtrace,
}

#[repr(C, align(16))]
pub(super) struct Hot {
    pub(super) fiber: UnsafeCell<TaskFiber>,
    pub(super) way_back: Cell<*const Parent<()>>,
    /// While the task does not run: its mark, that is, its current branch.
    pub(super) mark: Cell<Mark>,
    /// Counts the task's waits. A wake that names an older one finds it gone.
    pub(super) wait: Cell<u64>,
    /// What the task waits for; null unless it is parked.
    pub(super) why: Cell<*const Why<'static>>,
    /// Where the task began its last wait: the place in the user's code, for all that waits is `track_caller`.
    pub(super) at: Cell<&'static Location<'static>>,
    pub(super) outcome: Cell<Outcome>,
    pub(super) cancel: Cell<Cancel>,
    pub(super) order: Cell<Order>,
    /// Waits that need not wait which the task may still go through before it lets others run.
    pub(super) share: Cell<u8>,
    /// Waits that failed since one last succeeded, because what they stood in was cancelled.
    pub(super) ignored: Cell<u32>,
    pub(super) since: Cell<Nanos>,
}

impl Hot {
    pub(super) fn new(fiber: TaskFiber, mark: Mark) -> Hot {
        Hot {
            fiber: UnsafeCell::new(fiber),
            way_back: Cell::new(ptr::null()),
            mark: Cell::new(mark),
            wait: Cell::new(0),
            why: Cell::new(ptr::null()),
            at: Cell::new(Location::caller()),
            outcome: Cell::new(Outcome::Waiting),
            cancel: Cell::new(Cancel::Never),
            order: Cell::new(Order::GoOn),
            share: Cell::new(SHARE),
            ignored: Cell::new(0),
            since: Cell::new(0),
        }
    }
}
