//! An item that is done when it is dropped.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::{AnyQueue, Fifo, Order};
use crate::scheduler::lowlevel::Held;

/// An item that was taken from a queue, and is done when this is dropped: see [`AnyQueue::get_job`].
#[must_use = "it counts as done when it is dropped"]
pub struct Job<'a, T, O: Order<T> = Fifo> {
    // Dropped first: then it is done.
    item: T,
    _done: Done<'a, T, O>,
}

struct Done<'a, T, O: Order<T>> {
    queue: &'a AnyQueue<T, O>,
    _held: Held,
}

impl<'a, T, O: Order<T>> Job<'a, T, O> {
    pub(super) fn new(queue: &'a AnyQueue<T, O>, item: T) -> Job<'a, T, O> {
        Job { item, _done: Done { queue, _held: Held::new() } }
    }

    /// The item, which counts as done.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T, O: Order<T>> Drop for Done<'_, T, O> {
    fn drop(&mut self) {
        // Somebody may have said so already: no reason to panic in a destructor.
        self.queue.finish(1);
    }
}

impl<T, O: Order<T>> Deref for Job<'_, T, O> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T, O: Order<T>> DerefMut for Job<'_, T, O> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.item
    }
}

impl<T: fmt::Debug, O: Order<T>> fmt::Debug for Job<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Job").field(&self.item).finish()
    }
}
