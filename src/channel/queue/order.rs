//! In which order a queue gives its items out.
//!
//! Invariant: an item that was put on a shelf is there until it is taken, whatever a comparison does: it may panic, and it may be no
//! order at all.

use std::collections::VecDeque;
use std::fmt;

/// First in, first out: the order of [`Queue`](super::Queue).
#[derive(Clone, Copy, Debug)]
pub enum Fifo {}

/// Last in, first out: the order of [`LifoQueue`](super::LifoQueue).
#[derive(Clone, Copy, Debug)]
pub enum Lifo {}

/// The smallest first, of equal ones the first in: the order of [`PriorityQueue`](super::PriorityQueue).
#[derive(Clone, Copy, Debug)]
pub enum SmallestFirst {}

/// In which order a queue of `T` gives its items out: [`Fifo`], [`Lifo`] or [`SmallestFirst`].
pub trait Order<T>: sealed::Order<T> {}

impl<T, O: sealed::Order<T>> Order<T> for O {}

pub(super) mod sealed {
    /// What a shelf is made of.
    pub trait Order<T> {
        type Shelf: Shelf<T>;
    }

    /// Where a queue keeps its items.
    pub trait Shelf<T>: Default {
        fn put(&mut self, item: T);
        fn take(&mut self) -> Option<T>;
        fn len(&self) -> usize;
        /// For an item that is as good as taken: it comes next, or as soon as its order lets it. Compares nothing.
        fn put_back(&mut self, item: T);
    }
}

use sealed::Shelf;

impl<T> sealed::Order<T> for Fifo {
    type Shelf = VecDeque<T>;
}

impl<T> sealed::Order<T> for Lifo {
    type Shelf = Vec<T>;
}

impl<T: Ord> sealed::Order<T> for SmallestFirst {
    type Shelf = Heap<T>;
}

impl<T> Shelf<T> for VecDeque<T> {
    fn put(&mut self, item: T) {
        self.push_back(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn put_back(&mut self, item: T) {
        self.push_front(item);
    }
}

impl<T> Shelf<T> for Vec<T> {
    fn put(&mut self, item: T) {
        self.push(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn put_back(&mut self, item: T) {
        self.push(item);
    }
}

/// A heap that takes out the smallest item, of equal ones that which was put first.
///
/// std's would lose an item when a comparison panics, and knows no first among equals.
pub struct Heap<T> {
    /// No item comes after one of its two children, at twice its index plus one and plus two.
    items: Vec<Ranked<T>>,
    puts: u64,
}

struct Ranked<T> {
    item: T,
    /// How many were put before.
    rank: u64,
}

impl<T: Ord> Ranked<T> {
    fn comes_before(&self, other: &Ranked<T>) -> bool {
        self.item.cmp(&other.item).then(self.rank.cmp(&other.rank)).is_lt()
    }
}

impl<T> Default for Heap<T> {
    fn default() -> Heap<T> {
        Heap { items: Vec::new(), puts: 0 }
    }
}

impl<T: Ord> Heap<T> {
    /// Moves the item at `index` towards the top, as far as it belongs.
    fn rise(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / 2;
            if !self.items[index].comes_before(&self.items[parent]) {
                return;
            }
            self.items.swap(index, parent);
            index = parent;
        }
    }

    /// Moves the first item towards the bottom, as far as it belongs among the first `count`.
    fn sink_first(&mut self, count: usize) {
        let mut index = 0;
        while let Some(child) = self.first_child(index, count) {
            if !self.items[child].comes_before(&self.items[index]) {
                return;
            }
            self.items.swap(index, child);
            index = child;
        }
    }

    /// That of the children which comes before the other, among the first `count`.
    fn first_child(&self, index: usize, count: usize) -> Option<usize> {
        let items = &self.items[..count];
        let (left, right) = (2 * index + 1, 2 * index + 2);
        match (items.get(left), items.get(right)) {
            (Some(a), Some(b)) if b.comes_before(a) => Some(right),
            (Some(_), _) => Some(left),
            (None, _) => None,
        }
    }
}

impl<T: Ord> Shelf<T> for Heap<T> {
    fn put(&mut self, item: T) {
        self.items.push(Ranked { item, rank: self.puts });
        self.puts += 1;
        self.rise(self.items.len() - 1);
    }

    fn take(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        // It is taken out when all has been compared.
        self.items.swap(0, last);
        self.sink_first(last);
        self.items.pop().map(|ranked| ranked.item)
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn put_back(&mut self, item: T) {
        self.items.push(Ranked { item, rank: 0 });
    }
}

impl<T> fmt::Debug for Heap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heap of {}", self.items.len())
    }
}
