//! Each item for everybody: a receiver gets all that is sent from when it subscribed.
//!
//! ```
//! use ropewalk::{channel, task};
//!
//! ropewalk::run(|| {
//!     let (sender, first) = channel::broadcast(16);
//!     let second = sender.subscribe();
//!     task::scope(|s| {
//!         let readers = [first, second].map(|receiver| s.spawn(move || receiver.iter().sum::<u32>()));
//!         sender.send_all([1, 2, 3]).unwrap();
//!         drop(sender);
//!         assert_eq!(readers.map(|reader| reader.join().unwrap()), [6, 6]);
//!     });
//! });
//! ```
//!
//! Nothing is lost: a send waits until there is room, which the *slowest* receiver makes. One that never receives
//! holds all the others up, as soon as `capacity` items wait for it: drop what is not read. Where receivers may miss items rather
//! than make others wait, there is [`lossy`]. Where only the latest item counts, there is [`watch`](super::watch()).
//!
//! An item is shared until it is received: each receiver clones it, and the last takes it as it is.

mod ends;
mod lossy;
mod ring;

pub use ends::{IntoIter, Iter, Receiver, Receiving, Sender, Sending, TryIter};
pub use lossy::{LossyIntoIter, LossyIter, LossyReceiver, LossyReceiving, LossySender, LossyTryIter, lossy};

use ring::Ring;

/// A channel whose receivers get every item, up to `capacity` of which can wait for the slowest of them.
///
/// See the [module](self) for what that means.
///
/// # Panics
///
/// Without any capacity.
#[track_caller]
pub fn broadcast<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends::pair(Ring::new(capacity))
}

/// What senders can do, whether or not they overwrite.
macro_rules! any_sender {
    ($sender:ident, $receiver:ident) => {
        impl<T> $sender<T> {
            /// One more receiver, of what is sent from now on.
            pub fn subscribe(&self) -> $receiver<T> {
                $receiver { place: self.ring.subscribe(), ring: self.ring.clone() }
            }

            /// Closes the channel for all senders: what was sent can still be received.
            pub fn close(&self) {
                self.ring.close();
            }

            /// Whether nothing can be sent now: nobody receives, or the channel was closed.
            pub fn is_closed(&self) -> bool {
                self.ring.end.has_come()
            }

            /// Waits until nobody receives any more, or the channel is closed.
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
                self.ring.end.wait()
            }

            /// An arm that waits until nobody receives any more, or the channel is closed, for
            /// [`select`](crate::select::select).
            pub fn closing(&self) -> Closing<'_> {
                Closing::of(&self.ring.end)
            }

            /// How many items somebody has still to receive.
            pub fn len(&self) -> usize {
                self.ring.len()
            }

            /// Whether everybody has received everything.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many items can wait for the slowest receiver.
            pub fn capacity(&self) -> usize {
                self.ring.capacity()
            }

            /// How many receivers there are.
            pub fn receiver_count(&self) -> usize {
                self.ring.receiver_count.get()
            }

            /// Whether both are ends of one channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Rc::ptr_eq(&self.ring, &other.ring)
            }
        }

        impl<T> Clone for $sender<T> {
            fn clone(&self) -> Self {
                self.ring.sender_count.set(self.ring.sender_count.get() + 1);
                $sender { ring: self.ring.clone() }
            }
        }

        impl<T> Drop for $sender<T> {
            fn drop(&mut self) {
                let left = self.ring.sender_count.get() - 1;
                self.ring.sender_count.set(left);
                if left == 0 {
                    self.ring.close();
                }
            }
        }

        impl<T> fmt::Debug for $sender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct(stringify!($sender));
                shown.field("len", &self.len()).field("capacity", &self.capacity());
                shown
                    .field("receivers", &self.receiver_count())
                    .field("is_closed", &self.is_closed())
                    .finish()
            }
        }
    };
}

/// What receivers can do, whether or not they may miss something. `$item` is what comes out, `$out` makes it of what the ring
/// gives.
macro_rules! any_receiver {
    ($receiver:ident, $receiving:ident, $iter:ident, $into_iter:ident, $try_iter:ident, $item:ty, $out:path) => {
        impl<T> $receiver<T> {
            /// How many items are there for this receiver.
            pub fn len(&self) -> usize {
                self.ring.len_for(self.place)
            }

            /// Whether no item is there for this receiver.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many items can wait for the slowest receiver.
            pub fn capacity(&self) -> usize {
                self.ring.capacity()
            }

            /// Whether nothing will be sent any more.
            pub fn is_closed(&self) -> bool {
                self.ring.is_over()
            }

            /// Whether both are ends of one channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Rc::ptr_eq(&self.ring, &other.ring)
            }
        }

        impl<T: Clone> $receiver<T> {
            /// An arm that receives the next item, for [`select`](crate::select::select); it gives [`RecvError::Closed`]
            /// when nothing can come.
            pub fn receiving(&self) -> $receiving<'_, T> {
                $receiving { receiver: self }
            }

            /// The items to come, until the channel is closed and all were received, or the task is cancelled.
            pub fn iter(&self) -> $iter<'_, T> {
                $iter { receiver: self }
            }

            /// The items that are there, without waiting.
            pub fn try_iter(&self) -> $try_iter<'_, T> {
                $try_iter { receiver: self }
            }
        }

        /// A receiver that gets what this one has still to receive.
        impl<T> Clone for $receiver<T> {
            fn clone(&self) -> Self {
                $receiver { place: self.ring.clone_receiver(self.place), ring: self.ring.clone() }
            }
        }

        impl<T> Drop for $receiver<T> {
            fn drop(&mut self) {
                self.ring.drop_receiver(self.place);
            }
        }

        impl<T> fmt::Debug for $receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct(stringify!($receiver));
                shown.field("len", &self.len()).field("is_closed", &self.is_closed()).finish()
            }
        }

        /// An arm that receives: see `receiving` of its receiver.
        #[must_use = "nothing is received until it is selected"]
        pub struct $receiving<'a, T> {
            receiver: &'a $receiver<T>,
        }

        impl<'a, T: Clone> Arm for $receiving<'a, T> {
            type Output = Result<$item, RecvError>;
            type Place = InLine<'a, Option<Rc<T>>, Place>;

            fn try_now(&mut self) -> Option<Self::Output> {
                match self.receiver.try_recv() {
                    Ok(item) => Some(Ok(item)),
                    Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
                    Err(TryRecvError::Empty) => None,
                }
            }

            fn place(&mut self) -> Self::Place {
                self.receiver.ring.place_to_receive(self.receiver.place)
            }

            fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
                // Woken with nothing it tries again: it is closed, or another task with this receiver got the item.
                place.into_woken(&self.receiver.ring.receivers).value?.map(|item| Ok($out(Ok(item))))
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("recv")
            }
        }

        impl<T> Copy for $receiving<'_, T> {}

        impl<T> Clone for $receiving<'_, T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> fmt::Debug for $receiving<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($receiving))
            }
        }

        /// The items to come: see `iter` of the receiver.
        #[derive(Debug)]
        pub struct $iter<'a, T> {
            receiver: &'a $receiver<T>,
        }

        /// The items to come, of a receiver that it owns.
        #[derive(Debug)]
        pub struct $into_iter<T> {
            receiver: $receiver<T>,
        }

        /// The items that are there: see `try_iter` of the receiver.
        #[derive(Debug)]
        pub struct $try_iter<'a, T> {
            receiver: &'a $receiver<T>,
        }

        impl<T: Clone> Iterator for $iter<'_, T> {
            type Item = $item;

            #[track_caller]
            fn next(&mut self) -> Option<$item> {
                self.receiver.recv().ok()
            }
        }

        impl<T: Clone> Iterator for $into_iter<T> {
            type Item = $item;

            #[track_caller]
            fn next(&mut self) -> Option<$item> {
                self.receiver.recv().ok()
            }
        }

        impl<T: Clone> Iterator for $try_iter<'_, T> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.receiver.try_recv().ok()
            }
        }

        impl<'a, T: Clone> IntoIterator for &'a $receiver<T> {
            type Item = $item;
            type IntoIter = $iter<'a, T>;

            fn into_iter(self) -> $iter<'a, T> {
                self.iter()
            }
        }

        impl<T: Clone> IntoIterator for $receiver<T> {
            type Item = $item;
            type IntoIter = $into_iter<T>;

            fn into_iter(self) -> $into_iter<T> {
                $into_iter { receiver: self }
            }
        }
    };
}

use {any_receiver, any_sender};
