//! The two ends of a channel, which can be cloned, and their arms for [`select`](crate::select::select).

use std::fmt;
use std::rc::{Rc, Weak};

use super::closing::Closing;
use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use super::flow::{Flow, Offer, Statistics, sent};
use super::permit::{Permit, Reserving};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{Arm, InLine};

/// The end of a channel that items go into. Cloning makes another one; the channel is closed when all are gone.
pub struct Sender<T> {
    flow: Rc<Flow<T>>,
}

/// A sender that does not keep the channel open: see [`Sender::downgrade`].
pub struct WeakSender<T> {
    flow: Weak<Flow<T>>,
}

/// The end of a channel that items come out of. Cloning makes another one; each item goes to one of them.
///
/// It can be iterated over, by reference or by value: that ends when the channel is closed and empty, and when the task is
/// cancelled, which the next wait will tell.
pub struct Receiver<T> {
    flow: Rc<Flow<T>>,
}

pub(super) fn pair<T>(flow: Flow<T>) -> (Sender<T>, Receiver<T>) {
    let flow = Rc::new(flow);
    (Sender { flow: flow.clone() }, Receiver { flow })
}

impl<T> Sender<T> {
    /// Sends an item, waiting for room if there is none.
    ///
    /// # Cancellation
    ///
    /// A send that fails has sent nothing.
    ///
    /// # Errors
    ///
    /// The channel is closed or the wait was cancelled; the item comes back.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.flow.send(item)
    }

    /// Sends an item if that needs no waiting. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// There is no room, or the channel is closed; the item comes back.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.flow.try_send(item)
    }

    /// An arm that sends `item`, for [`select`](crate::select::select).
    ///
    /// Lend it, as `&mut arm`: then [`into_item`](Sending::into_item) gives the item back if another arm was chosen.
    pub fn sending(&self, item: T) -> Sending<'_, T> {
        Sending { flow: &self.flow, item: Some(item) }
    }

    /// Sends all items of an iterator, such as a generator, one after the other.
    ///
    /// In a task of a scope, it reads a generator that borrows; [`stream`](super::stream()) is for those that do not.
    ///
    /// ```
    /// use ropewalk::{channel, generator, task};
    ///
    /// let text = String::from("hemp sisal jute");
    /// ropewalk::run(|| {
    ///     let (sender, receiver) = channel::rendezvous();
    ///     task::scope(|s| {
    ///         let text = &text;
    ///         s.spawn(move || generator::scope(|g| {
    ///             let words = g.generate(|co| co.yield_all(text.split(' ')));
    ///             sender.send_all(words)
    ///         }));
    ///         assert_eq!(receiver.iter().collect::<Vec<_>>(), ["hemp", "sisal", "jute"]);
    ///     });
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`send`](Sender::send), with the item that could not be sent. The items after it stay in the iterator, if that
    /// was lent.
    #[track_caller]
    pub fn send_all(&self, items: impl IntoIterator<Item = T>) -> Result<(), SendError<T>> {
        for item in items {
            self.send(item)?;
        }
        Ok(())
    }

    /// Waits for room and keeps it: what is sent by the permit does not wait.
    ///
    /// For an item that can only be had by taking it from somewhere: there it stays until it is sure to have a place.
    ///
    /// ```
    /// use ropewalk::channel::{Receiver, Sender};
    /// use ropewalk::{channel, task};
    ///
    /// /// Wherever it is cancelled, no item is lost.
    /// fn relay(from: &Receiver<u32>, to: &Sender<u32>) -> Option<()> {
    ///     loop {
    ///         let permit = to.reserve().ok()?;
    ///         permit.send(from.recv().ok()?).ok()?;
    ///     }
    /// }
    ///
    /// ropewalk::run(|| {
    ///     let ((sender, from), (to, receiver)) = (channel::bounded(1), channel::bounded(1));
    ///     task::spawn(move || relay(&from, &to));
    ///     task::spawn(move || sender.send_all([1, 2, 3]));
    ///     assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// One that was given room before it was cancelled returns the permit.
    ///
    /// # Errors
    ///
    /// The channel is closed, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// In a rendezvous, which has no room. Outside of [`run`](crate::run).
    #[track_caller]
    pub fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        self.flow.reserve()?;
        Ok(Permit::new(&self.flow))
    }

    /// Keeps room for an item, if there is some.
    ///
    /// # Errors
    ///
    /// There is no room, or the channel is closed.
    ///
    /// # Panics
    ///
    /// In a rendezvous, which has no room.
    #[track_caller]
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.flow.try_reserve()?;
        Ok(Permit::new(&self.flow))
    }

    /// An arm that waits for room and keeps it, for [`select`](crate::select::select); it gives the [`Permit`].
    ///
    /// # Panics
    ///
    /// In a rendezvous, which has no room.
    #[track_caller]
    pub fn reserving(&self) -> Reserving<'_, T> {
        Reserving::new(&self.flow)
    }

    /// Closes the channel for all senders: what is underway can still be received.
    pub fn close(&self) {
        self.flow.close();
    }

    /// Waits until the channel is closed: until nobody receives any more, or somebody has closed it.
    ///
    /// So whoever makes items can stop before the next one is due.
    ///
    /// ```
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::{channel, task, time};
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let (sender, receiver) = channel::bounded::<u32>(1);
    ///     let forecaster = task::spawn(move || {
    ///         let tomorrow = time::sleeping(Duration::from_secs(86_400));
    ///         matches!(select((sender.closing(), tomorrow)), Ok(Chosen::First(())))
    ///     });
    ///     drop(receiver);
    ///     assert!(forecaster.join().unwrap());
    /// });
    /// ```
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
        self.flow.end.wait()
    }

    /// An arm that waits until the channel is closed, for [`select`](crate::select::select).
    pub fn closing(&self) -> Closing<'_> {
        Closing::of(&self.flow.end)
    }

    /// A sender that does not keep the channel open.
    ///
    /// For whoever receives and at times sends to itself: with a sender of its own it would wait for itself for ever.
    ///
    /// ```
    /// use ropewalk::channel;
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// let weak = sender.downgrade();
    /// weak.upgrade().unwrap().try_send(1).unwrap();
    /// drop(sender);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    /// assert!(receiver.is_closed());
    /// ```
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { flow: Rc::downgrade(&self.flow) }
    }
}

impl<T> WeakSender<T> {
    /// A sender, unless all have been dropped.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let flow = self.flow.upgrade().filter(|flow| flow.sender_count.get() > 0)?;
        flow.sender_count.set(flow.sender_count.get() + 1);
        Some(Sender { flow })
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender { flow: self.flow.clone() }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakSender")
    }
}

impl<T> Receiver<T> {
    /// Receives the next item, waiting for one if there is none.
    ///
    /// # Cancellation
    ///
    /// A receive that fails has taken nothing. One that was given an item before it was cancelled returns it.
    ///
    /// # Errors
    ///
    /// The channel is closed and empty, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.flow.recv()
    }

    /// Receives the next item if there is one. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// The channel is empty now, or for ever.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.flow.try_recv()
    }

    /// An arm that receives an item, for [`select`](crate::select::select); it gives [`RecvError::Closed`] when nothing
    /// can come.
    pub fn receiving(&self) -> Receiving<'_, T> {
        Receiving { flow: &self.flow }
    }

    /// The items to come, until the channel is closed and empty or the task is cancelled.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The items that are there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Closes the channel: nothing more can be sent, what is underway can still be received.
    pub fn close(&self) {
        self.flow.close();
    }
}

/// What both ends can tell.
macro_rules! both_ends {
    ($end:ident, $count:ident, $last:ident) => {
        impl<T> $end<T> {
            /// How many items are underway.
            pub fn len(&self) -> usize {
                self.flow.len()
            }

            /// Whether no item is underway.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room for an item now. A rendezvous always says so.
            pub fn is_full(&self) -> bool {
                self.flow.is_full()
            }

            /// How many items can be underway; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                self.flow.capacity()
            }

            /// Whether nothing can be sent any more.
            pub fn is_closed(&self) -> bool {
                self.flow.end.has_come()
            }

            /// What is going on in the channel.
            pub fn statistics(&self) -> Statistics {
                self.flow.statistics()
            }

            /// Whether both are ends of one channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Rc::ptr_eq(&self.flow, &other.flow)
            }
        }

        impl<T> Clone for $end<T> {
            fn clone(&self) -> Self {
                self.flow.$count.set(self.flow.$count.get() + 1);
                $end { flow: self.flow.clone() }
            }
        }

        impl<T> Drop for $end<T> {
            fn drop(&mut self) {
                let left = self.flow.$count.get() - 1;
                self.flow.$count.set(left);
                if left == 0 {
                    self.flow.$last();
                }
            }
        }

        impl<T> fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct(stringify!($end));
                shown.field("len", &self.len()).field("capacity", &self.capacity());
                shown.field("is_closed", &self.is_closed()).finish()
            }
        }
    };
}

both_ends!(Sender, sender_count, close);
both_ends!(Receiver, receiver_count, abandon);

/// An arm that sends: see [`Sender::sending`].
#[must_use = "nothing is sent until it is selected"]
pub struct Sending<'a, T> {
    flow: &'a Flow<T>,
    item: Option<T>,
}

impl<T> Sending<'_, T> {
    /// The item, if it was not sent.
    pub fn into_item(self) -> Option<T> {
        self.item
    }
}

impl<'a, T> Arm for Sending<'a, T> {
    type Output = Result<(), SendError<T>>;
    type Place = Option<InLine<'a, (), Offer<T>>>;

    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        match self.flow.try_send(self.item.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Closed(item)) => Some(Err(SendError::Closed(item))),
            Err(TrySendError::Full(item)) => {
                self.item = Some(item);
                None
            }
        }
    }

    /// Once its item is gone it is never ready.
    #[inline]
    fn place(&mut self) -> Self::Place {
        self.item.take().map(|item| self.flow.place_to_send(Some(item)))
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        let woken = place?.into_woken(&self.flow.senders);
        match woken.value {
            Some(()) => Some(sent(woken)),
            None => {
                self.item = woken.offer.flatten();
                None
            }
        }
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

/// An arm that receives: see [`Receiver::receiving`].
#[must_use = "nothing is received until it is selected"]
pub struct Receiving<'a, T> {
    flow: &'a Flow<T>,
}

impl<'a, T> Arm for Receiving<'a, T> {
    type Output = Result<T, RecvError>;
    type Place = InLine<'a, Option<T>>;

    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        match self.flow.try_recv() {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.flow.place_to_receive()
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_woken(&self.flow.receivers).value.map(|item| item.ok_or(RecvError::Closed))
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

/// The items to come: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The items to come, of a receiver that it owns.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

/// The items that are there: see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
