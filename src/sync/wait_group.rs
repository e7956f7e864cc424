//! Counting what is in flight, and waiting until nothing is.
//!
//! Invariant: the gate is open exactly while nothing is in flight.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::gate::{Gate, Of, WaitingUntil};
use crate::error::Cancelled;

/// Waits until all of its tokens have been dropped; Go's `WaitGroup`, whose count cannot be wrong.
///
/// Where it is tasks that one waits for, [`task::scope`](crate::task::scope) does it, and sees to their panics and their
/// cancellation. This is for what is not a task, or belongs to nobody who waits: requests that one task answers many of,
/// items on their way through channels, connections that are served by detached tasks and should have time to finish. A
/// token goes wherever the thing goes. To wait changes nothing: it can be given up, and done again, and by many.
///
/// ```
/// use ropewalk::select::{Chosen, select};
/// use ropewalk::sync::WaitGroup;
/// use ropewalk::{channel, task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let (sender, receiver) = channel::unbounded();
///     let underway = WaitGroup::new();
///     for job in 1..=3 {
///         sender.send((job, underway.token())).unwrap();
///     }
///     task::spawn(move || {
///         for (job, _token) in receiver {
///             time::sleep(Duration::from_millis(job)).unwrap();
///         }
///     });
///     // A grace period:
///     match select((underway.waiting(), time::sleeping(Duration::from_secs(60)))).unwrap() {
///         Chosen::First(()) => assert_eq!(underway.left(), 0),
///         Chosen::Second(()) => unreachable!("that was enough"),
///     }
/// });
/// ```
#[doc(alias = "TaskTracker")]
pub struct WaitGroup {
    shared: Rc<Shared>,
}

/// Something is in flight until this is dropped: see [`WaitGroup::token`]. Its clones count for themselves.
///
/// It borrows nothing, and may outlive the group.
#[must_use = "nothing is in flight any more when this is dropped"]
pub struct WaitToken {
    shared: Rc<Shared>,
}

struct Shared {
    left: Cell<usize>,
    gate: Gate,
}

impl WaitGroup {
    /// A group of which nothing is in flight.
    pub fn new() -> WaitGroup {
        WaitGroup { shared: Rc::new(Shared { left: Cell::new(0), gate: Gate::new(true) }) }
    }

    /// One more thing is in flight, until the token is dropped.
    pub fn token(&self) -> WaitToken {
        WaitToken::new(&self.shared)
    }

    /// How many things are in flight.
    pub fn left(&self) -> usize {
        self.shared.left.get()
    }

    /// Waits for a moment at which nothing is in flight. If that is now, it does not wait.
    ///
    /// When the last token is dropped all who wait go on, in the order in which they came; also if there are new ones before
    /// they have their turn. Who wants to know that nothing will be in flight any more sees to it that no tokens are made.
    ///
    /// # Cancellation
    ///
    /// One that was released before it was cancelled is released.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> Result<(), Cancelled> {
        self.shared.gate.pass(Of::WaitGroup(&self.shared.left))
    }

    /// An arm that waits for a moment at which nothing is in flight, for [`select`](crate::select::select).
    pub fn waiting(&self) -> WaitingUntil<'_> {
        self.shared.gate.arm(Of::WaitGroup(&self.shared.left))
    }

    /// How many tasks wait for that.
    pub fn waiters(&self) -> usize {
        self.shared.gate.waiters()
    }
}

impl WaitToken {
    fn new(shared: &Rc<Shared>) -> WaitToken {
        shared.left.set(shared.left.get() + 1);
        shared.gate.shut();
        WaitToken { shared: shared.clone() }
    }
}

impl Clone for WaitToken {
    fn clone(&self) -> WaitToken {
        WaitToken::new(&self.shared)
    }
}

impl Drop for WaitToken {
    fn drop(&mut self) {
        let left = self.shared.left.get() - 1;
        self.shared.left.set(left);
        if left == 0 {
            self.shared.gate.open();
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("left", &self.left()).field("waiters", &self.waiters()).finish()
    }
}

impl fmt::Debug for WaitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitToken(one of {})", self.shared.left.get())
    }
}
