//! Arms of a channel between threads, for `select` in a task.
//!
//! Another thread calls an arm while its task may choose another one. So what the arm was called for stays set aside until
//! the task has chosen: the one that was chosen claims it, every other one declines.

use std::fmt;

use super::flow::{Flow, ForRoom, ToReceive};
use crate::channel::{RecvError, SendError, TryRecvError, TrySendError};
use crate::scheduler::lowlevel::{Arm, ByTicket};

/// An arm that sends: see [`Sender::sending`](super::Sender::sending).
#[must_use = "nothing is sent until it is selected"]
pub struct Sending<'a, T> {
    flow: &'a Flow<T>,
    item: Option<T>,
}

impl<'a, T> Sending<'a, T> {
    pub(super) fn new(flow: &'a Flow<T>, item: T) -> Sending<'a, T> {
        Sending { flow, item: Some(item) }
    }

    /// The item, if it was not sent.
    pub fn into_item(self) -> Option<T> {
        self.item
    }

    fn sent(&mut self, sent: Result<(), TrySendError<T>>) -> Option<Result<(), SendError<T>>> {
        match sent {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Closed(item)) => Some(Err(SendError::Closed(item))),
            Err(TrySendError::Full(item)) => {
                self.item = Some(item);
                None
            }
        }
    }
}

impl<'a, T> Arm for Sending<'a, T> {
    type Output = Result<(), SendError<T>>;
    type Place = Option<ByTicket<ForRoom<'a, T>>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        let sent = self.flow.try_send(self.item.take()?);
        self.sent(sent)
    }

    /// Once its item is gone it is never ready.
    fn place(&mut self) -> Self::Place {
        self.item.take().map(|item| ByTicket::new(ForRoom::new(self.flow, item)))
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let place = place?;
        let waited = place.with().in_line_of(self.flow);
        if place.was_spent() {
            let sent = waited.claim();
            return self.sent(sent);
        }
        self.item = waited.take_item();
        None
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("send")
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("is_sent", &self.item.is_none()).finish()
    }
}

/// An arm that receives: see [`Receiver::receiving`](super::Receiver::receiving).
#[must_use = "nothing is received until it is selected"]
pub struct Receiving<'a, T> {
    flow: &'a Flow<T>,
}

impl<'a, T> Receiving<'a, T> {
    pub(super) fn new(flow: &'a Flow<T>) -> Receiving<'a, T> {
        Receiving { flow }
    }
}

impl<'a, T> Arm for Receiving<'a, T> {
    type Output = Result<T, RecvError>;
    type Place = ByTicket<ToReceive<'a, T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.flow.with(|state, calls| state.try_recv(calls)) {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn place(&mut self) -> Self::Place {
        ByTicket::new(ToReceive::new(self.flow))
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let waited = place.with().in_line_of(self.flow);
        place.was_spent().then(|| waited.claim().ok_or(RecvError::Closed))
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
