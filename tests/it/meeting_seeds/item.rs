//! What is sent.

use std::cell::Cell;
use std::cmp::Ordering;
use std::rc::Rc;

/// It is known how many there are. Some are as urgent as others, and are no less different.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u64,
    count: Rc<Cell<u64>>,
}

impl Item {
    pub(super) fn new(number: u64, count: &Rc<Cell<u64>>) -> Item {
        count.set(count.get() + 1);
        Item { number, count: count.clone() }
    }
}

/// In which class a number is, of which the smallest come first.
pub(super) fn urgency(number: u64) -> u64 {
    number % 3
}

impl Clone for Item {
    fn clone(&self) -> Item {
        Item::new(self.number, &self.count)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> Ordering {
        urgency(self.number).cmp(&urgency(other.number))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item {}
