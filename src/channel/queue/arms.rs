//! The waits of a queue as values, for [`select`](crate::select::select).

use std::fmt;

use super::{AnyQueue, Fifo, Order};
use crate::channel::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{Arm, InLine};

/// An arm that puts an item: see [`AnyQueue::putting`].
#[must_use = "nothing is put until it is selected"]
pub struct Putting<'a, T, O: Order<T> = Fifo> {
    queue: &'a AnyQueue<T, O>,
    item: Option<T>,
}

/// An arm that takes an item: see [`AnyQueue::getting`].
#[must_use = "nothing is taken until it is selected"]
pub struct Getting<'a, T, O: Order<T> = Fifo> {
    queue: &'a AnyQueue<T, O>,
}

/// An arm that waits until all is done: see [`AnyQueue::joining`].
#[must_use = "nothing is waited for until it is selected"]
pub struct Joining<'a, T, O: Order<T> = Fifo> {
    queue: &'a AnyQueue<T, O>,
}

impl<'a, T, O: Order<T>> Putting<'a, T, O> {
    pub(super) fn new(queue: &'a AnyQueue<T, O>, item: T) -> Putting<'a, T, O> {
        Putting { queue, item: Some(item) }
    }

    /// The item, if it was not put.
    pub fn into_item(self) -> Option<T> {
        self.item
    }
}

impl<'a, T, O: Order<T>> Getting<'a, T, O> {
    pub(super) fn new(queue: &'a AnyQueue<T, O>) -> Getting<'a, T, O> {
        Getting { queue }
    }
}

impl<'a, T, O: Order<T>> Joining<'a, T, O> {
    pub(super) fn new(queue: &'a AnyQueue<T, O>) -> Joining<'a, T, O> {
        Joining { queue }
    }
}

impl<'a, T, O: Order<T>> Arm for Putting<'a, T, O> {
    type Output = Result<(), SendError<T>>;
    type Place = Option<InLine<'a, (), T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.queue.try_put(self.item.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Closed(item)) => Some(Err(SendError::Closed(item))),
            Err(TrySendError::Full(item)) => {
                self.item = Some(item);
                None
            }
        }
    }

    /// Once its item is gone it is never ready.
    fn place(&mut self) -> Self::Place {
        self.item.take().map(|item| self.queue.putters.place(item))
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let woken = place?.into_woken(&self.queue.putters);
        match (woken.value, woken.offer) {
            (Some(()), None) => Some(Ok(())),
            (Some(()), Some(item)) => Some(Err(SendError::Closed(item))),
            (None, offer) => {
                self.item = offer;
                None
            }
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("put")
    }
}

impl<'a, T, O: Order<T>> Arm for Getting<'a, T, O> {
    type Output = Result<T, RecvError>;
    type Place = InLine<'a, Option<T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.queue.try_get() {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn place(&mut self) -> Self::Place {
        self.queue.getters.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(&self.queue.getters).value.map(|item| item.ok_or(RecvError::Closed))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("get")
    }
}

impl<'a, T, O: Order<T>> Arm for Joining<'a, T, O> {
    type Output = ();
    type Place = InLine<'a, ()>;

    fn try_now(&mut self) -> Option<()> {
        (self.queue.unfinished() == 0).then_some(())
    }

    fn place(&mut self) -> Self::Place {
        self.queue.joiners.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_woken(&self.queue.joiners).value
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs to be done")
    }
}

impl<T, O: Order<T>> Copy for Getting<'_, T, O> {}

impl<T, O: Order<T>> Clone for Getting<'_, T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O: Order<T>> Copy for Joining<'_, T, O> {}

impl<T, O: Order<T>> Clone for Joining<'_, T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O: Order<T>> fmt::Debug for Putting<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Putting").field("is_put", &self.item.is_none()).finish()
    }
}

impl<T, O: Order<T>> fmt::Debug for Getting<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Getting")
    }
}

impl<T, O: Order<T>> fmt::Debug for Joining<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Joining")
    }
}
