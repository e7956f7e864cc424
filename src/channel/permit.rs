//! Room for an item that is to come.
//!
//! Invariant: there are as many permits as the flow counts, or more of it was forgotten: then the room is lost, as the
//! permit is.

use std::fmt;

use super::error::{Closed, SendError, TrySendError};
use super::flow::{Flow, Offer, reserved};
use crate::scheduler::lowlevel::{Arm, Held, InLine};

/// Room for one item: see [`Sender::reserve`](super::Sender::reserve). Dropped, it gives the room back.
///
/// It does not keep the channel open.
#[must_use = "the room is given back when this is dropped"]
pub struct Permit<'a, T> {
    flow: &'a Flow<T>,
    _held: Held,
}

impl<'a, T> Permit<'a, T> {
    /// For whoever has just been given the room.
    pub(super) fn new(flow: &'a Flow<T>) -> Permit<'a, T> {
        Permit { flow, _held: Held::new() }
    }

    /// Sends an item, without waiting.
    ///
    /// # Errors
    ///
    /// The channel has been closed since; the item comes back.
    pub fn send(self, item: T) -> Result<(), Closed<T>> {
        // Then it gives its room back: the item has it now, unless it went to somebody who waited.
        self.flow.send_reserved(item)
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.flow.end_permit();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// An arm that reserves room: see [`Sender::reserving`](super::Sender::reserving).
#[must_use = "nothing is reserved until it is selected"]
pub struct Reserving<'a, T> {
    flow: &'a Flow<T>,
}

impl<'a, T> Reserving<'a, T> {
    #[track_caller]
    pub(super) fn new(flow: &'a Flow<T>) -> Reserving<'a, T> {
        flow.assert_has_capacity();
        Reserving { flow }
    }
}

impl<'a, T> Arm for Reserving<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;
    type Place = InLine<'a, (), Offer<T>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.flow.try_reserve() {
            Ok(()) => Some(Ok(Permit::new(self.flow))),
            Err(TrySendError::Closed(())) => Some(Err(SendError::Closed(()))),
            Err(TrySendError::Full(())) => None,
        }
    }

    fn place(&mut self) -> Self::Place {
        self.flow.place_to_send(None)
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let woken = place.into_woken(&self.flow.senders);
        woken.value?;
        Some(reserved(woken).map(|()| Permit::new(self.flow)))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("room to send")
    }
}

impl<T> Copy for Reserving<'_, T> {}

impl<T> Clone for Reserving<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for Reserving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserving")
    }
}
