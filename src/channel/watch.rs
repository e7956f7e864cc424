//! The latest value, for all who look: what was before it is gone.
//!
//! ```
//! use ropewalk::{channel, task};
//!
//! ropewalk::run(|| {
//!     let (sender, receiver) = channel::watch("asleep");
//!     let watcher = task::spawn(move || {
//!         let seen = receiver.wait_for(|state| *state == "awake").map(|state| *state);
//!         (seen, receiver.changed().is_err())                    // Nobody will set it again.
//!     });
//!     task::yield_now();
//!     sender.set("dreaming");
//!     sender.set("awake");
//!     drop(sender);
//!     assert_eq!(watcher.join().unwrap(), (Ok("awake"), true));
//! });
//! ```
//!
//! Words: each value that was set is a *version*. A receiver has *seen* a version when it has taken a look at it, and every
//! one before.
//!
//! Whoever looks gets an `Rc` of the value, a snapshot. It can be kept across waits, for ever, and is in nobody's way: a new value
//! takes the place of the old one, and does not wait for those who still look at that.
//!
//! Invariants:
//! - The value is in its place, unless code of `modify` has it. That code cannot wait, so nobody else ever finds it missing.
//! - Whoever waits for a change has seen the latest version.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::closing::{Closing, End};
use super::error::RecvError;
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, WaitList, Why};

/// The end that values go into. Cloning makes another one; receivers wait until all are gone.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// The end that shows the latest value. A clone has seen what this one has.
///
/// It can be iterated over, by reference or by value, which gives the latest version whenever there is one that it has not
/// seen.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    seen: Cell<u64>,
}

struct Shared<T> {
    value: Cell<Option<Rc<T>>>,
    version: Cell<u64>,
    changed: WaitList,
    sender_count: Cell<usize>,
    receiver_count: Cell<usize>,
    /// Of the receivers. They may come back.
    end: End,
}

/// A channel that holds one value, the latest; senders replace it, receivers look at it.
///
/// The receiver has seen the first value already.
pub fn watch<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(Some(Rc::new(value))),
        version: Cell::new(0),
        changed: WaitList::new(),
        sender_count: Cell::new(1),
        receiver_count: Cell::new(1),
        end: End::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: Cell::new(0) })
}

impl<T> Shared<T> {
    #[track_caller]
    fn get(&self) -> Rc<T> {
        let value = self.take();
        self.value.set(Some(value.clone()));
        value
    }

    /// The value, for whoever puts one back at once, or cannot wait until he does.
    #[track_caller]
    fn take(&self) -> Rc<T> {
        self.value.take().expect("the value is just being modified: use what the closure is given")
    }

    fn announce(&self) {
        self.version.set(self.version.get() + 1);
        self.changed.wake_all(());
    }

    fn is_closed(&self) -> bool {
        self.sender_count.get() == 0
    }
}

impl<T> Sender<T> {
    /// Sets the value, whether or not somebody looks.
    #[doc(alias = "send")]
    #[doc(alias = "send_replace")]
    #[track_caller]
    pub fn set(&self, value: T) {
        let value = Rc::new(value);
        let old = self.shared.take();
        self.shared.value.set(Some(value));
        self.shared.announce();
        drop(old);
    }

    /// Changes the value in its place. If somebody has kept a snapshot, it changes a clone of it.
    ///
    /// ```
    /// use ropewalk::channel;
    ///
    /// let (sender, receiver) = channel::watch(vec![1]);
    /// let before = receiver.get();
    /// sender.modify(|numbers| numbers.push(2));
    /// assert_eq!((before.as_slice(), receiver.get().as_slice()), ([1].as_slice(), [1, 2].as_slice()));
    /// ```
    ///
    /// # Panics
    ///
    /// When `change` panics: the value is as `change` has left it, and nobody is told. When `change` uses the channel.
    /// A wait in it fails.
    #[doc(alias = "send_modify")]
    #[track_caller]
    pub fn modify(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.modify_if(|value| {
            change(value);
            true
        });
    }

    /// As [`modify`](Sender::modify), where `change` says whether it has changed anything: only then receivers are told.
    /// Returns what it says.
    ///
    /// # Panics
    ///
    /// As [`modify`](Sender::modify).
    #[doc(alias = "send_if_modified")]
    #[track_caller]
    pub fn modify_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        /// Puts the value back, also if `change` panics.
        struct PutBack<'a, T>(&'a Shared<T>, Rc<T>);
        impl<T> Drop for PutBack<'_, T> {
            fn drop(&mut self) {
                self.0.value.set(Some(self.1.clone()));
            }
        }
        let mut value = PutBack(&self.shared, self.shared.take());
        // Others must not come by while the value is not in its place.
        let is_changed = lowlevel::without_waiting(|| change(Rc::make_mut(&mut value.1)));
        drop(value);
        if is_changed {
            self.shared.announce();
        }
        is_changed
    }

    /// A snapshot of the value.
    ///
    /// # Panics
    ///
    /// In the closure of [`modify`](Sender::modify).
    #[track_caller]
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// One more receiver, which has seen what is there now.
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.end.take_back();
        self.shared.add_receiver(self.shared.version.get(), &self.shared)
    }

    /// Whether nobody looks now.
    pub fn is_closed(&self) -> bool {
        self.shared.end.has_come()
    }

    /// Waits until nobody looks any more.
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

    /// An arm that waits until nobody looks any more, for [`select`](crate::select::select).
    pub fn closing(&self) -> Closing<'_> {
        Closing::of(&self.shared.end)
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receiver_count.get()
    }
}

impl<T> Shared<T> {
    fn add_receiver(&self, seen: u64, shared: &Rc<Shared<T>>) -> Receiver<T> {
        self.receiver_count.set(self.receiver_count.get() + 1);
        Receiver { shared: shared.clone(), seen: Cell::new(seen) }
    }
}

impl<T> Receiver<T> {
    /// A snapshot of the value, which counts as seen.
    ///
    /// # Panics
    ///
    /// In the closure of [`modify`](Sender::modify).
    #[doc(alias = "borrow_and_update")]
    #[track_caller]
    pub fn get(&self) -> Rc<T> {
        let value = self.shared.get();
        self.seen.set(self.shared.version.get());
        value
    }

    /// A snapshot of the value, which does not count as seen.
    ///
    /// # Panics
    ///
    /// In the closure of [`modify`](Sender::modify).
    #[doc(alias = "borrow")]
    #[track_caller]
    pub fn peek(&self) -> Rc<T> {
        self.shared.get()
    }

    /// Looks at the value, which counts as seen. `look` may wait: nobody waits for it.
    ///
    /// # Panics
    ///
    /// In the closure of [`modify`](Sender::modify).
    #[track_caller]
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.get())
    }

    /// Waits until there is a version that was not seen, and gives a snapshot of the latest.
    ///
    /// Versions between the one that was seen and the latest are skipped. Tasks that share a receiver see each
    /// version once between them: clone it for each.
    ///
    /// # Cancellation
    ///
    /// A wait that fails has seen nothing.
    ///
    /// # Errors
    ///
    /// All senders are gone, and the last version was seen; or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn changed(&self) -> Result<Rc<T>, RecvError> {
        lowlevel::may_wait()?;
        loop {
            if self.has_changed() {
                return Ok(self.get());
            }
            if self.is_closed() {
                return Err(RecvError::Closed);
            }
            self.shared.changed.wait(&Why::new("change"))?;
        }
    }

    /// An arm that waits for a version that was not seen, for [`select`](crate::select::select).
    pub fn changing(&self) -> Changing<'_, T> {
        Changing { receiver: self }
    }

    /// Waits until the value is as `is_right` wants it; looks at the one that is there first. Each that is looked at
    /// counts as seen. `is_right` may wait, and misses the versions that are replaced meanwhile.
    ///
    /// # Errors
    ///
    /// All senders are gone and the last version is not right; or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_for(&self, mut is_right: impl FnMut(&T) -> bool) -> Result<Rc<T>, RecvError> {
        lowlevel::may_wait()?;
        let mut value = self.get();
        while !is_right(&value) {
            value = self.changed()?;
        }
        Ok(value)
    }

    /// Whether there is a version that was not seen.
    pub fn has_changed(&self) -> bool {
        self.seen.get() != self.shared.version.get()
    }

    /// Forgets that the latest version was seen: the next [`changed`](Receiver::changed) returns it.
    pub fn mark_changed(&self) {
        // No version has this number before 2^64 have been set.
        self.seen.set(self.shared.version.get().wrapping_sub(1));
    }

    /// Whether all senders are gone.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// The latest version, whenever there is one that was not seen, until all senders are gone or the task is
    /// cancelled.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.sender_count.set(self.shared.sender_count.get() + 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.add_receiver(self.seen.get(), &self.shared)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.sender_count.get() - 1;
        self.shared.sender_count.set(left);
        if left == 0 {
            self.shared.changed.wake_all(());
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.shared.receiver_count.get() - 1;
        self.shared.receiver_count.set(left);
        if left == 0 {
            self.shared.end.come();
        }
    }
}

/// An arm that waits for a new version: see [`Receiver::changing`].
#[must_use = "nothing is waited for until it is selected"]
pub struct Changing<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<'a, T> Arm for Changing<'a, T> {
    type Output = Result<Rc<T>, RecvError>;
    type Place = InLine<'a, ()>;

    fn try_now(&mut self) -> Option<Self::Output> {
        if self.receiver.has_changed() {
            return Some(Ok(self.receiver.get()));
        }
        self.receiver.is_closed().then_some(Err(RecvError::Closed))
    }

    fn place(&mut self) -> Self::Place {
        self.receiver.shared.changed.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        // Somebody who shares the receiver may have seen it meanwhile.
        place.into_woken(&self.receiver.shared.changed).value.and_then(|()| self.try_now())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("change")
    }
}

impl<T> Copy for Changing<'_, T> {}

impl<T> Clone for Changing<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

/// The latest versions: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The latest versions, by a receiver that it owns.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = Rc<T>;

    #[track_caller]
    fn next(&mut self) -> Option<Rc<T>> {
        self.receiver.changed().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = Rc<T>;

    #[track_caller]
    fn next(&mut self) -> Option<Rc<T>> {
        self.receiver.changed().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = Rc<T>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = Rc<T>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> fmt::Debug for Changing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changing")
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        let mut shown = f.debug_struct("Sender");
        shown.field("version", &shared.version.get()).field("receivers", &shared.receiver_count.get());
        shown.finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Receiver");
        shown.field("has_changed", &self.has_changed()).field("is_closed", &self.is_closed()).finish()
    }
}
