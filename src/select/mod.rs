//! Waiting for several things, and taking exactly one.
//!
//! Nearly everything that waits has a form that only *describes* the wait, an [`Arm`]: [`receiving`] for [`recv`], [`locking`] for
//! [`lock`], [`joining`] for [`join`], [`sleeping`] for [`sleep`]. An arm is a value; nothing happens until it is selected.
//!
//! ```
//! use ropewalk::select::{Chosen, select};
//! use ropewalk::{channel, task, time};
//! use std::time::Duration;
//!
//! ropewalk::run(|| {
//!     let (sender, receiver) = channel::bounded(1);
//!     task::spawn(move || sender.send("rope").unwrap());
//!
//!     let late = time::sleeping(Duration::from_secs(5));
//!     let mut received = Vec::new();
//!     loop {
//!         match select((receiver.receiving(), late)).unwrap() {
//!             Chosen::First(Ok(item)) => received.push(item),
//!             Chosen::First(Err(_)) => break,                    // The sender is gone.
//!             Chosen::Second(()) => panic!("too late"),
//!         }
//!     }
//!     assert_eq!(received, ["rope"]);
//! });
//! ```
//!
//! One is committed, and the others have had no effect: no item is taken, no permit, no place in a line. What a sending arm
//! holds is still there when another one was chosen, if it was lent: `&mut arm` is an arm too.
//!
//! Of arms that are ready at once the first wins, in the order in which they stand. [`fairly`] lets chance decide.
//! A wait allocates nothing; no task is spawned.
//!
//! [`receiving`]: crate::channel::Receiver::receiving
//! [`recv`]: crate::channel::Receiver::recv
//! [`locking`]: crate::sync::Mutex::locking
//! [`lock`]: crate::sync::Mutex::lock
//! [`joining`]: crate::task::Handle::joining
//! [`join`]: crate::task::Handle::join
//! [`sleeping`]: crate::time::sleeping
//! [`sleep`]: crate::time::sleep

mod many;
mod tuples;

use std::fmt;

pub use tuples::Chosen;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, TaskId};
pub use crate::scheduler::lowlevel::{Arm, Map};

/// Waits for the first of several arms, and for no more than one.
///
/// A tuple of arms gives a [`Chosen`]; an array, a slice or a vector gives the index and the output. A single arm
/// gives its output, so that one arm can be waited for as well. `None` is an arm that is never ready: it switches one off.
///
/// ```
/// use ropewalk::select::select;
/// use ropewalk::channel;
///
/// ropewalk::run(|| {
///     let channels: Vec<_> = (0..3).map(|_| channel::unbounded()).collect();
///     channels[1].0.send("from the second").unwrap();
///     let arms: Vec<_> = channels.iter().map(|(_, receiver)| receiver.receiving()).collect();
///     assert_eq!(select(arms), Ok((1, Ok("from the second"))));
/// });
/// ```
///
/// # Cancellation
///
/// A wait that was granted before it was cancelled returns what it was granted.
///
/// # Errors
///
/// [`Cancelled`]: no arm has had an effect.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn select<A: Arm>(mut arms: A) -> Result<A::Output, Cancelled> {
    lowlevel::wait_as("select", &mut arms)
}

/// As [`select`], if that needs no waiting; `None` if no arm is ready.
///
/// It works in callbacks and outside of [`run`](crate::run) too.
#[inline]
pub fn try_select<A: Arm>(mut arms: A) -> Option<A::Output> {
    arms.try_now()
}

/// Arms that stand beside one another.
pub trait Several: Arm {
    /// How many.
    fn count(&self) -> usize;

    /// [`Arm::try_now`] of one of them.
    fn try_one(&mut self, index: usize) -> Option<Self::Output>;
}

/// Lets chance decide between arms that are ready at once, so that none of them starves the others.
///
/// Chance is that of the runtime: it depends on its [seed](crate::Builder::seed) and on nothing else.
///
/// ```
/// use ropewalk::channel;
/// use ropewalk::select::{Chosen, fairly, select};
///
/// ropewalk::run(|| {
///     let ((sender, urgent), (other_sender, other)) = (channel::unbounded(), channel::unbounded());
///     for number in 0..100 {
///         sender.send(number).unwrap();
///         other_sender.send(number).unwrap();
///     }
///     let mut from_other = 0;
///     for _ in 0..100 {
///         match select(fairly((urgent.receiving(), other.receiving()))).unwrap() {
///             Chosen::First(_) => {}
///             Chosen::Second(_) => from_other += 1,
///         }
///     }
///     assert!((20..80).contains(&from_other));
/// });
/// ```
pub fn fairly<A: Several>(arms: A) -> Fairly<A> {
    Fairly { arms }
}

/// Arms of which chance chooses: see [`fairly`].
#[derive(Clone, Debug)]
pub struct Fairly<A> {
    arms: A,
}

impl<A: Several> Arm for Fairly<A> {
    type Output = A::Output;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<A::Output> {
        let count = self.arms.count();
        if count == 0 {
            return None;
        }
        // Outside of a runtime there is no chance, and nobody who could starve.
        let first = lowlevel::random(count).unwrap_or(0);
        (first..count).chain(0..first).find_map(|index| self.arms.try_one(index))
    }

    fn place(&mut self) -> A::Place {
        self.arms.place()
    }

    fn end(&mut self, place: A::Place) -> Option<A::Output> {
        self.arms.end(place)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arms.show(f)
    }

    fn holder(&self) -> Option<TaskId> {
        self.arms.holder()
    }
}
