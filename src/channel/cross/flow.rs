//! What both ends of a channel share, and how tasks and threads wait for it.
//!
//! Invariant: the mutex is held in [`Flow::with`] and nowhere else. While it is, no code of the program runs: wakes come
//! after it, and so do the drops of items and tickets, which the state gives out for that.

use std::cell::Cell;
use std::time::Duration;

use super::error::{RecvTimeoutError, SendTimeoutError};
use super::state::{Calls, State};
use crate::channel::{TryRecvError, TrySendError};
use crate::primitive::Lock;
use crate::scheduler::lowlevel::{self, CrossError, CrossTicket, CrossWait, Register, Ticket, Undo, Why};

pub(super) struct Flow<T> {
    state: Lock<State<T>>,
}

impl<T> Flow<T> {
    pub(super) fn new(capacity: usize) -> Flow<T> {
        Flow { state: Lock::new(State::new(capacity)) }
    }

    /// Looks at the state, or changes it; then wakes those who were called.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State<T>, &mut Calls) -> R) -> R {
        let mut calls = Calls::default();
        let result = act(&mut self.state.lock(), &mut calls);
        calls.wake();
        result
    }

    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.with(|state, calls| state.try_send(item, calls))
    }

    #[track_caller]
    pub(super) fn send(&self, item: T, limit: Option<Duration>) -> Result<(), SendTimeoutError<T>> {
        if let Err(cancelled) = lowlevel::cross_may_wait() {
            return Err(SendTimeoutError::Cancelled(cancelled, item));
        }
        let item = match self.try_send(item) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(item)) => return Err(SendTimeoutError::Closed(item)),
            Err(TrySendError::Full(item)) => item,
        };
        let wait = ToSend::new(self, item);
        match park("send", limit, &wait) {
            Ok(()) => wait.claim().map_or(Ok(()), |item| Err(SendTimeoutError::Closed(item))),
            Err(CrossError::Elapsed) => Err(SendTimeoutError::Elapsed(wait.into_item())),
            Err(CrossError::Cancelled(cancelled)) => {
                Err(SendTimeoutError::Cancelled(cancelled, wait.into_item()))
            }
        }
    }

    #[track_caller]
    pub(super) fn recv(&self, limit: Option<Duration>) -> Result<T, RecvTimeoutError> {
        lowlevel::cross_may_wait()?;
        match self.with(|state, calls| state.try_recv(calls)) {
            Ok(item) => return Ok(item),
            Err(TryRecvError::Closed) => return Err(RecvTimeoutError::Closed),
            Err(TryRecvError::Empty) => {}
        }
        let wait = ToReceive::new(self);
        park("recv", limit, &wait)?;
        wait.claim().ok_or(RecvTimeoutError::Closed)
    }

    pub(super) fn close(&self) {
        self.with(|state, calls| state.close(calls));
    }
}

#[track_caller]
fn park(what: &'static str, limit: Option<Duration>, wait: &impl CrossWait) -> Result<(), CrossError> {
    let why = Why::new(what);
    match limit {
        None => Ok(lowlevel::cross_park(&why, wait)?),
        Some(limit) => lowlevel::cross_park_for(limit, &why, wait),
    }
}

/// An arm that ends is not deceived by who wraps it up.
#[track_caller]
fn assert_is_of<T>(flow: &Flow<T>, arm: &Flow<T>) {
    assert!(std::ptr::eq(flow, arm), "this place is in another channel: an arm ends with a place of its own");
}

/// What is not a number in a line.
const NOWHERE: u64 = 0;

/// Somebody who waits for an item. If it was called and does not claim what for, it declines.
pub struct ToReceive<'a, T> {
    flow: &'a Flow<T>,
    number: Cell<u64>,
}

impl<'a, T> ToReceive<'a, T> {
    pub(super) fn new(flow: &'a Flow<T>) -> ToReceive<'a, T> {
        ToReceive { flow, number: Cell::new(NOWHERE) }
    }

    fn enter(&self, ticket: CrossTicket) {
        self.flow.with(|state, calls| self.number.set(state.enter_receiver(ticket, calls)));
    }

    #[track_caller]
    pub(super) fn in_line_of(&self, flow: &Flow<T>) -> &Self {
        assert_is_of(self.flow, flow);
        self
    }

    /// For whoever was called: an item, or nothing if the channel is closed and empty.
    pub(super) fn claim(&self) -> Option<T> {
        self.number.set(NOWHERE);
        self.flow.with(|state, calls| state.claim_item(calls))
    }

    fn decline(&self) {
        let number = self.number.replace(NOWHERE);
        if number == NOWHERE {
            return;
        }
        let _ticket = self.flow.with(|state, calls| {
            let ticket = state.leave_receiver(number);
            if ticket.is_none() {
                state.decline_item(calls);
            }
            ticket
        });
    }
}

impl<T> CrossWait for ToReceive<'_, T> {
    fn register(&self, ticket: CrossTicket) {
        self.enter(ticket);
    }

    fn is_over(&self) -> bool {
        self.flow.with(|state, _| state.is_receiver_called(self.number.get()))
    }

    fn undo(&self) -> Undo {
        match self.flow.with(|state, _| state.leave_receiver(self.number.get())) {
            Some(_ticket) => {
                self.number.set(NOWHERE);
                Undo::Done
            }
            None => Undo::Later,
        }
    }
}

impl<T> Register for ToReceive<'_, T> {
    type Value = ();

    fn register(&self, ticket: Ticket<()>) {
        self.enter(ticket.into());
    }

    fn undo(&self) {
        self.decline();
    }
}

impl<T> Drop for ToReceive<'_, T> {
    fn drop(&mut self) {
        self.decline();
    }
}

/// Somebody who waits for its item to be taken, in `send`. The item is in the line while it waits.
struct ToSend<'a, T> {
    flow: &'a Flow<T>,
    number: Cell<u64>,
    item: Cell<Option<T>>,
}

impl<'a, T> ToSend<'a, T> {
    fn new(flow: &'a Flow<T>, item: T) -> ToSend<'a, T> {
        ToSend { flow, number: Cell::new(NOWHERE), item: Cell::new(Some(item)) }
    }

    /// For whoever was called: the item, if it was not taken before the channel was closed.
    fn claim(&self) -> Option<T> {
        self.flow.with(|state, _| state.claim_returned(self.number.get()))
    }

    /// For whoever was not.
    fn into_item(self) -> T {
        self.item.take().expect("an item that is not in the line is here")
    }
}

impl<T> CrossWait for ToSend<'_, T> {
    fn register(&self, ticket: CrossTicket) {
        let item = self.item.take();
        self.flow.with(|state, calls| self.number.set(state.enter_sender(ticket, item, calls)));
    }

    fn is_over(&self) -> bool {
        self.flow.with(|state, _| state.is_sender_called(self.number.get()))
    }

    fn undo(&self) -> Undo {
        match self.flow.with(|state, _| state.leave_sender(self.number.get())) {
            Some(sender) => {
                self.item.set(sender.offer);
                Undo::Done
            }
            None => Undo::Later,
        }
    }
}

/// An arm that waits for room. If it was called and does not claim that, it declines.
pub struct ForRoom<'a, T> {
    flow: &'a Flow<T>,
    number: Cell<u64>,
    item: Cell<Option<T>>,
}

impl<'a, T> ForRoom<'a, T> {
    pub(super) fn new(flow: &'a Flow<T>, item: T) -> ForRoom<'a, T> {
        ForRoom { flow, number: Cell::new(NOWHERE), item: Cell::new(Some(item)) }
    }

    #[track_caller]
    pub(super) fn in_line_of(&self, flow: &Flow<T>) -> &Self {
        assert_is_of(self.flow, flow);
        self
    }

    /// The item, for whoever was not called.
    pub(super) fn take_item(&self) -> Option<T> {
        self.item.take()
    }

    /// For whoever was called. Where the room has gone it has to be tried again.
    pub(super) fn claim(&self) -> Result<(), TrySendError<T>> {
        self.number.set(NOWHERE);
        let item = self.item.take().expect("it is sent once");
        self.flow.with(|state, calls| state.claim_room(item, calls))
    }

    fn decline(&self) {
        let number = self.number.replace(NOWHERE);
        if number == NOWHERE {
            return;
        }
        let _sender = self.flow.with(|state, calls| {
            let sender = state.leave_sender(number);
            if sender.is_none() {
                state.decline_room(calls);
            }
            sender
        });
    }
}

impl<T> Register for ForRoom<'_, T> {
    type Value = ();

    fn register(&self, ticket: Ticket<()>) {
        let ticket = ticket.into();
        self.flow.with(|state, calls| self.number.set(state.enter_sender(ticket, None, calls)));
    }

    fn undo(&self) {
        self.decline();
    }
}

impl<T> Drop for ForRoom<'_, T> {
    fn drop(&mut self) {
        self.decline();
    }
}
