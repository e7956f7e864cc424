//! One value, once: a promise that somebody else keeps; Python's `Future`.
//!
//! ```
//! use ropewalk::{channel, task};
//!
//! ropewalk::run(|| {
//!     let (sender, receiver) = channel::oneshot();
//!     task::spawn(move || sender.send(6 * 7).unwrap());
//!     assert_eq!(receiver.recv(), Ok(42));
//! });
//! ```
//!
//! Invariants:
//! - The value goes to a receive that waits, or lies in the cell; it is in one place.
//! - Nobody waits for a value when it is there, or can no longer come.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::closing::{Closing, End};
use super::error::{Closed, RecvError, TryRecvError};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, WaitList, Why};

/// The end that the value goes into. Dropped without having been used, it makes the receiver fail.
#[doc(alias = "Future")]
#[doc(alias = "Promise")]
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// The end that the value comes out of.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    value: Cell<Option<T>>,
    /// The sender is gone: what is not there now never will be.
    is_settled: Cell<bool>,
    /// Of the receiver.
    end: End,
    /// Woken with the value, or with nothing when it cannot come.
    receivers: WaitList<Option<T>>,
}

/// A channel for one value; Python's `Future`, whose result is set from elsewhere.
///
/// The first allocation is the only one. A task that makes the value itself needs none of it: its
/// [`join`](crate::task::Handle::join) is just that.
///
/// ```
/// use ropewalk::channel;
/// use std::cell::RefCell;
/// use std::collections::HashMap;
/// use std::rc::Rc;
///
/// ropewalk::run(|| {
///     // Questions that wait for their answers, by number.
///     let asked: Rc<RefCell<HashMap<u32, channel::oneshot::Sender<String>>>> = Rc::default();
///     let ask = |number| {
///         let (sender, receiver) = channel::oneshot();
///         asked.borrow_mut().insert(number, sender);
///         receiver
///     };
///     let first = ask(1);
///     let second = ask(2);
///     asked.borrow_mut().remove(&2).unwrap().send("jute".to_owned()).unwrap();
///     assert_eq!(second.recv().as_deref(), Ok("jute"));
///     asked.borrow_mut().clear();
///     assert!(first.recv().is_err());                            // Nobody will ever answer.
/// });
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        is_settled: Cell::new(false),
        end: End::new(),
        receivers: WaitList::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

impl<T> Sender<T> {
    /// Gives the value to the receiver. It never waits, and works in callbacks, in destructors and outside of
    /// [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// The receiver is gone, or closed; the value comes back.
    #[doc(alias = "set_result")]
    pub fn send(self, value: T) -> Result<(), Closed<T>> {
        if self.shared.end.has_come() {
            return Err(Closed(value));
        }
        if let Err(value) = self.shared.receivers.wake_one(Some(value)) {
            self.shared.value.set(value);
        }
        Ok(())
    }

    /// Whether nobody will take the value.
    pub fn is_closed(&self) -> bool {
        self.shared.end.has_come()
    }

    /// Waits until nobody will take the value any more, so that whoever makes it can stop.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn closed(&self) -> Result<(), Cancelled> {
        self.shared.end.wait()
    }

    /// An arm that waits until nobody will take the value any more, for [`select`](crate::select::select).
    pub fn closing(&self) -> Closing<'_> {
        Closing::of(&self.shared.end)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.settle();
    }
}

impl<T> Receiver<T> {
    /// Takes the value, waiting for it if it is not there.
    ///
    /// # Cancellation
    ///
    /// A wait that fails has taken nothing, and can be begun again. One that was given the value before it was cancelled
    /// returns it.
    ///
    /// # Errors
    ///
    /// The value cannot come: the sender was dropped, this was [closed](Receiver::close), or somebody has taken it. Or the
    /// wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        lowlevel::may_wait()?;
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => {
                self.shared.receivers.wait(&Why::new("recv"))?.ok_or(RecvError::Closed)
            }
        }
    }

    /// Takes the value if it is there. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// The value is not there yet, or cannot come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.value.take().ok_or_else(|| match self.is_closed() {
            true => TryRecvError::Closed,
            false => TryRecvError::Empty,
        })
    }

    /// An arm that takes the value, for [`select`](crate::select::select).
    pub fn receiving(&self) -> Receiving<'_, T> {
        Receiving { receiver: self }
    }

    /// Says that nobody waits for the value any more. What was sent before can still be taken.
    pub fn close(&self) {
        self.shared.abandon();
    }

    /// Whether nothing will be sent any more. What was sent may be there.
    pub fn is_closed(&self) -> bool {
        self.shared.is_settled.get() || self.shared.end.has_come()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Where there is a value, the sender is gone: it goes with what they shared.
        self.shared.abandon();
    }
}

impl<T> Shared<T> {
    /// Nothing more can come.
    fn settle(&self) {
        self.is_settled.set(true);
        self.turn_away();
    }

    fn abandon(&self) {
        if self.end.come() {
            self.turn_away();
        }
    }

    fn turn_away(&self) {
        while self.receivers.wake_one(None).is_ok() {}
    }
}

/// An arm that takes the value of a oneshot: see [`Receiver::receiving`].
#[must_use = "nothing is received until it is selected"]
pub struct Receiving<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<'a, T> Arm for Receiving<'a, T> {
    type Output = Result<T, RecvError>;
    type Place = InLine<'a, Option<T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.receiver.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn place(&mut self) -> Self::Place {
        self.receiver.shared.receivers.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(&self.receiver.shared.receivers).value.map(|value| value.ok_or(RecvError::Closed))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recv")
    }
}

impl<T> Copy for Receiving<'_, T> {}

impl<T> Clone for Receiving<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiving")
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_closed", &self.is_closed()).finish()
    }
}
