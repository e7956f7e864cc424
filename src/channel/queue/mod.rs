//! Python's queues: one object that tasks share, which counts what is still to be done.
//!
//! A channel has two ends, and is closed when nobody holds one of them any more. A [`Queue`] is one thing, borrowed or in an `Rc`:
//! whoever has it may put and take, nothing closes it but [`shutdown`](AnyQueue::shutdown), and [`join`](AnyQueue::join)
//! waits until every item that was put is [done](AnyQueue::task_done), not merely taken.
//!
//! Invariants:
//! - While getters wait no items are there. While putters wait there is no room. Whoever gives, gives to the first of them.
//! - `unfinished` counts items from when they are put until they are done; nobody waits to join while it is zero.
//! - Comparisons, the only code of the user's that runs while `shelf` is borrowed, cannot wait.

mod arms;
mod job;
mod order;

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::Deref;

pub use arms::{Getting, Joining, Putting};
pub use job::Job;
pub use order::{Fifo, Lifo, Order, SmallestFirst};

use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, WaitList, Why};
use order::sealed::Shelf;

/// What [`Queue`], [`LifoQueue`] and [`PriorityQueue`] have in common: all but their order.
pub struct AnyQueue<T, O: Order<T> = Fifo> {
    shelf: RefCell<O::Shelf>,
    capacity: usize,
    /// Woken with an item, or with nothing when the queue was shut down.
    getters: WaitList<Option<T>>,
    /// Woken when their item was taken, which is what they offer. They keep it when the queue was shut down.
    putters: WaitList<(), T>,
    joiners: WaitList,
    unfinished: Cell<usize>,
    is_shut_down: Cell<bool>,
}

/// `$order` with constructors of its own, for nothing would say which order a bare `AnyQueue::new` is to have.
macro_rules! queue {
    ($(#[$doc:meta])* $queue:ident, $order:ty $(, $bound:path)?) => {
        $(#[$doc])*
        pub struct $queue<T $(: $bound)?>(AnyQueue<T, $order>);

        impl<T $(: $bound)?> $queue<T> {
            /// A queue that holds as many items as there is memory for.
            pub fn new() -> $queue<T> {
                $queue(AnyQueue::new(usize::MAX))
            }

            /// A queue that holds up to `capacity` items; whoever puts more waits until one is taken.
            ///
            /// # Panics
            ///
            /// Without any capacity: in Python that is a queue without a limit, elsewhere one that holds nothing.
            #[doc(alias = "maxsize")]
            #[track_caller]
            pub fn bounded(capacity: usize) -> $queue<T> {
                assert!(
                    capacity > 0,
                    "a queue of capacity 0: `new` makes one without a limit, and channel::rendezvous hands over"
                );
                $queue(AnyQueue::new(capacity))
            }
        }

        impl<T $(: $bound)?> Default for $queue<T> {
            fn default() -> $queue<T> {
                $queue::new()
            }
        }

        impl<T $(: $bound)?> Deref for $queue<T> {
            type Target = AnyQueue<T, $order>;

            fn deref(&self) -> &AnyQueue<T, $order> {
                &self.0
            }
        }

        impl<'a, T $(: $bound)?> IntoIterator for &'a $queue<T> {
            type Item = T;
            type IntoIter = Iter<'a, T, $order>;

            fn into_iter(self) -> Iter<'a, T, $order> {
                self.iter()
            }
        }

        impl<T $(: $bound)?> fmt::Debug for $queue<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.show(stringify!($queue), f)
            }
        }
    };
}

queue! {
    /// A queue that tasks share, first in, first out; Python's `Queue`.
    ///
    /// ```
    /// use ropewalk::channel::Queue;
    /// use ropewalk::task;
    /// use std::cell::RefCell;
    ///
    /// ropewalk::run(|| {
    ///     let (jobs, lengths) = (Queue::bounded(2), RefCell::new(Vec::new()));
    ///     task::scope(|s| {
    ///         for _ in 0..3 {
    ///             s.spawn(|| {
    ///                 for word in &jobs {                            // Until the queue is shut down.
    ///                     task::yield_now();
    ///                     lengths.borrow_mut().push(str::len(word));
    ///                     jobs.task_done();
    ///                 }
    ///             });
    ///         }
    ///         for word in ["hemp", "sisal", "jute", "coir", "ramie"] {
    ///             jobs.put(word).unwrap();
    ///         }
    ///         jobs.join().unwrap();
    ///         assert_eq!(lengths.borrow().len(), 5);
    ///         jobs.shutdown();
    ///     });
    /// });
    /// ```
    ///
    /// What is put belongs to the getter that has waited longest, at once. So a consumer that comes back for more does not
    /// pass one that waits.
    ///
    /// [`LifoQueue`] and [`PriorityQueue`] give their items out in another order, and are the same in all else.
    ///
    /// All that it can do but to be made is in [`AnyQueue`].
    #[doc(alias = "JoinableQueue")]
    Queue, Fifo
}

queue! {
    /// A queue that gives out first what was put last; Python's `LifoQueue`.
    ///
    /// ```
    /// use ropewalk::channel::LifoQueue;
    ///
    /// let plates = LifoQueue::new();
    /// (1..=3).for_each(|plate| plates.try_put(plate).unwrap());
    /// assert_eq!(plates.try_iter().collect::<Vec<_>>(), [3, 2, 1]);
    /// ```
    LifoQueue, Lifo
}

queue! {
    /// A queue that gives out the smallest item first, and of equal ones that which was put first; Python's `PriorityQueue`,
    /// where equal ones come as they please.
    ///
    /// [`Reverse`](std::cmp::Reverse) gives out the largest first. A getter that waits is given what is put at once, also if
    /// something smaller is put before it runs.
    ///
    /// ```
    /// use ropewalk::channel::PriorityQueue;
    ///
    /// let errands = PriorityQueue::new();
    /// for errand in [(2, "buy rope"), (1, "wake up"), (2, "go home")] {
    ///     errands.try_put(errand).unwrap();
    /// }
    /// assert_eq!(errands.try_iter().collect::<Vec<_>>(), [(1, "wake up"), (2, "buy rope"), (2, "go home")]);
    /// ```
    ///
    /// A comparison cannot wait, and panics if it uses the queue that it is made for. If one panics no item is lost, but
    /// they may come in any order from then on.
    PriorityQueue, SmallestFirst, Ord
}

impl<T, O: Order<T>> AnyQueue<T, O> {
    fn new(capacity: usize) -> AnyQueue<T, O> {
        AnyQueue {
            shelf: RefCell::default(),
            capacity,
            getters: WaitList::new(),
            putters: WaitList::new(),
            joiners: WaitList::new(),
            unfinished: Cell::new(0),
            is_shut_down: Cell::new(false),
        }
    }

    // Putting.

    /// Puts an item, waiting for room if there is none.
    ///
    /// # Cancellation
    ///
    /// A put that fails has put nothing.
    ///
    /// # Errors
    ///
    /// The queue was shut down, or the wait was cancelled; the item comes back.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn put(&self, item: T) -> Result<(), SendError<T>> {
        if let Err(cancelled) = lowlevel::may_wait() {
            return Err(SendError::Cancelled(cancelled, item));
        }
        match self.try_put(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(item)) => Err(SendError::Closed(item)),
            Err(TrySendError::Full(item)) => match self.putters.wait_with(&Why::new("put"), item) {
                Ok(woken) => woken.offer.map_or(Ok(()), |item| Err(SendError::Closed(item))),
                Err((cancelled, item)) => Err(SendError::Cancelled(cancelled, item)),
            },
        }
    }

    /// Puts an item if that needs no waiting. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// There is no room, or the queue was shut down; the item comes back.
    #[doc(alias = "put_nowait")]
    #[track_caller]
    pub fn try_put(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.is_shut_down.get() {
            return Err(TrySendError::Closed(item));
        }
        if self.is_full() {
            return Err(TrySendError::Full(item));
        }
        self.unfinished.set(self.unfinished.get() + 1);
        if let Err(item) = self.getters.wake_one(Some(item)) {
            self.store(item.expect("it comes back as it was"));
        }
        Ok(())
    }

    /// An arm that puts `item`, for [`select`](crate::select::select).
    ///
    /// Lend it, as `&mut arm`: then [`into_item`](Putting::into_item) gives the item back if another arm was chosen.
    pub fn putting(&self, item: T) -> Putting<'_, T, O> {
        Putting::new(self, item)
    }

    #[track_caller]
    fn store(&self, item: T) {
        let mut shelf = self.shelf();
        lowlevel::without_waiting(|| shelf.put(item));
    }

    #[track_caller]
    fn shelf(&self) -> RefMut<'_, O::Shelf> {
        match self.shelf.try_borrow_mut() {
            Ok(shelf) => shelf,
            Err(_) => panic!("a comparison must not use the queue that it is made for"),
        }
    }

    // Getting.

    /// Takes the next item, waiting for one if there is none.
    ///
    /// # Cancellation
    ///
    /// A get that fails has taken nothing. One that was given an item before it was cancelled returns it.
    ///
    /// # Errors
    ///
    /// The queue was shut down and is empty, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn get(&self) -> Result<T, RecvError> {
        lowlevel::may_wait()?;
        match self.try_get() {
            Ok(item) => Ok(item),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => self.getters.wait(&Why::new("get"))?.ok_or(RecvError::Closed),
        }
    }

    /// Takes the next item if there is one. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// The queue is empty now, or for ever.
    #[doc(alias = "get_nowait")]
    #[track_caller]
    pub fn try_get(&self) -> Result<T, TryRecvError> {
        /// An item that goes back if the one that takes its room makes a comparison panic.
        struct PutBack<'a, T, S: Shelf<T>>(RefMut<'a, S>, Option<T>);
        impl<T, S: Shelf<T>> Drop for PutBack<'_, T, S> {
            fn drop(&mut self) {
                if let Some(item) = self.1.take() {
                    self.0.put_back(item);
                }
            }
        }
        let mut taken = PutBack(self.shelf(), None);
        taken.1 = lowlevel::without_waiting(|| taken.0.take());
        if taken.1.is_none() {
            return Err(if self.is_shut_down.get() { TryRecvError::Closed } else { TryRecvError::Empty });
        }
        // The room is for the first who waits.
        if let Ok(next) = self.putters.exchange(()) {
            self.unfinished.set(self.unfinished.get() + 1);
            lowlevel::without_waiting(|| taken.0.put(next));
        }
        Ok(taken.1.take().expect("it was just taken"))
    }

    /// An arm that takes the next item, for [`select`](crate::select::select); it gives [`RecvError::Closed`] when nothing
    /// can come.
    pub fn getting(&self) -> Getting<'_, T, O> {
        Getting::new(self)
    }

    /// Takes the next item as a [`Job`], which is done when it is dropped.
    ///
    /// So nobody forgets to say so: not on an early return, and not in a panic.
    ///
    /// ```
    /// use ropewalk::channel::Queue;
    ///
    /// ropewalk::run(|| {
    ///     let queue = Queue::new();
    ///     queue.put("splice").unwrap();
    ///     {
    ///         let job = queue.get_job().unwrap();
    ///         assert_eq!((job.len(), queue.unfinished()), (6, 1));
    ///     }
    ///     queue.join().unwrap();
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// As for [`get`](AnyQueue::get).
    ///
    /// # Errors
    ///
    /// As for [`get`](AnyQueue::get).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn get_job(&self) -> Result<Job<'_, T, O>, RecvError> {
        Ok(Job::new(self, self.get()?))
    }

    /// The items to come, until the queue was shut down and is empty or the task is cancelled.
    pub fn iter(&self) -> Iter<'_, T, O> {
        Iter { queue: self }
    }

    /// The items that are there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T, O> {
        TryIter { queue: self }
    }

    // The end.

    /// Says that an item which was taken is done.
    ///
    /// # Panics
    ///
    /// When it is said more often than items were put.
    #[track_caller]
    pub fn task_done(&self) {
        let unfinished = self.unfinished.get();
        assert!(unfinished > 0, "task_done was called more often than items were put");
        self.finish(1);
    }

    fn finish(&self, items: usize) {
        let left = self.unfinished.get().saturating_sub(items);
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.wake_all(());
        }
    }

    /// Waits until every item that was put is done.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn join(&self) -> Result<(), Cancelled> {
        lowlevel::may_wait()?;
        if self.unfinished.get() == 0 {
            return Ok(());
        }
        self.joiners.wait(&Why::new("jobs to be done"))
    }

    /// An arm that waits until every item that was put is done, for [`select`](crate::select::select).
    pub fn joining(&self) -> Joining<'_, T, O> {
        Joining::new(self)
    }

    /// Ends the queue: nothing can be put any more, also by those who wait to. What is there can be taken; then
    /// gets fail too.
    pub fn shutdown(&self) {
        if self.is_shut_down.replace(true) {
            return;
        }
        while self.putters.wake_one(()).is_ok() {}
        while self.getters.wake_one(None).is_ok() {}
    }

    /// Ends the queue at once: as [`shutdown`](AnyQueue::shutdown), and takes out what is there, which counts as done. Those who
    /// wait to join go on when what was taken before is done too.
    ///
    /// Returns what was there, in order; Python's `shutdown(immediate=True)` drops it.
    #[track_caller]
    pub fn shutdown_now(&self) -> Vec<T> {
        self.shutdown();
        let mut shelf = std::mem::take(&mut *self.shelf());
        self.finish(shelf.len());
        std::iter::from_fn(|| shelf.take()).collect()
    }

    /// Whether the queue was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.is_shut_down.get()
    }

    // What can be asked.

    /// How many items are there.
    #[doc(alias = "qsize")]
    #[track_caller]
    pub fn len(&self) -> usize {
        self.shelf().len()
    }

    /// Whether no item is there.
    #[doc(alias = "empty")]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for an item now.
    #[doc(alias = "full")]
    #[track_caller]
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many items there is room for; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    /// How many items were put and are not done.
    pub fn unfinished(&self) -> usize {
        self.unfinished.get()
    }
}

impl<T, O: Order<T>> fmt::Debug for AnyQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show("AnyQueue", f)
    }
}

impl<T, O: Order<T>> AnyQueue<T, O> {
    fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(name);
        if let Ok(shelf) = self.shelf.try_borrow() {
            shown.field("len", &shelf.len());
        }
        shown.field("capacity", &self.capacity()).field("unfinished", &self.unfinished());
        shown.field("is_shut_down", &self.is_shut_down()).finish()
    }
}

/// The items to come: see [`AnyQueue::iter`].
pub struct Iter<'a, T, O: Order<T> = Fifo> {
    queue: &'a AnyQueue<T, O>,
}

/// The items that are there: see [`AnyQueue::try_iter`].
pub struct TryIter<'a, T, O: Order<T> = Fifo> {
    queue: &'a AnyQueue<T, O>,
}

impl<T, O: Order<T>> Iterator for Iter<'_, T, O> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.queue.get().ok()
    }
}

impl<T, O: Order<T>> Iterator for TryIter<'_, T, O> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.queue.try_get().ok()
    }
}

impl<'a, T, O: Order<T>> IntoIterator for &'a AnyQueue<T, O> {
    type Item = T;
    type IntoIter = Iter<'a, T, O>;

    fn into_iter(self) -> Iter<'a, T, O> {
        self.iter()
    }
}

impl<T, O: Order<T>> fmt::Debug for Iter<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Iter").field(self.queue).finish()
    }
}

impl<T, O: Order<T>> fmt::Debug for TryIter<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryIter").field(self.queue).finish()
    }
}
