//! A list whose nodes lie where their owners put them: on parked stacks, in records of tasks. Linking allocates nothing.
//!
//! Invariant: a linked node stays where it is, and alive, until it has been removed; it is in one list. A list is a ring
//! of nodes, so that both ends are at hand with one pointer.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

/// What is linked: the first field of its owner, which is found again by a cast.
#[repr(C)]
pub(crate) struct Node {
    /// Null while it is not linked.
    next: Cell<*const Node>,
    previous: Cell<*const Node>,
}

/// First in, first out.
pub(crate) struct List {
    first: Cell<*const Node>,
}

impl Node {
    pub(crate) const fn new() -> Node {
        Node { next: Cell::new(ptr::null()), previous: Cell::new(ptr::null()) }
    }

    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        !self.next.get().is_null()
    }
}

impl List {
    pub(crate) const fn new() -> List {
        List { first: Cell::new(ptr::null()) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// The first node, or null.
    #[inline]
    pub(crate) fn first(&self) -> *const Node {
        self.first.get()
    }

    /// # Safety
    ///
    /// `node` must point to a node that is not linked, and may be cast to its owner. It must stay where it is until it
    /// has been removed.
    #[inline]
    pub(crate) unsafe fn push_back(&self, node: *const Node) {
        let first = self.first.get();
        // SAFETY: the caller's node is alive, and so are those that are linked.
        unsafe {
            debug_assert!(!(*node).is_linked());
            if first.is_null() {
                (*node).next.set(node);
                (*node).previous.set(node);
                self.first.set(node);
                return;
            }
            let last = (*first).previous.get();
            (*node).next.set(first);
            (*node).previous.set(last);
            (*last).next.set(node);
            (*first).previous.set(node);
        }
    }

    /// # Safety
    ///
    /// `node` must be linked in this list.
    #[inline]
    pub(crate) unsafe fn remove(&self, node: *const Node) {
        // SAFETY: a linked node is alive, and so are its neighbours.
        unsafe {
            debug_assert!((*node).is_linked());
            let (next, previous) = ((*node).next.get(), (*node).previous.get());
            (*node).next.set(ptr::null());
            if next == node {
                self.first.set(ptr::null());
                return;
            }
            (*previous).next.set(next);
            (*next).previous.set(previous);
            if self.first.get() == node {
                self.first.set(next);
            }
        }
    }

    /// Removes the first node; null if there is none.
    #[inline]
    pub(crate) fn pop_front(&self) -> *const Node {
        let first = self.first.get();
        if !first.is_null() {
            // SAFETY: it is linked here.
            unsafe { self.remove(first) };
        }
        first
    }

    /// The node after `node`; null after the last one.
    ///
    /// # Safety
    ///
    /// `node` must be linked in this list.
    #[inline]
    pub(crate) unsafe fn after(&self, node: *const Node) -> *const Node {
        // SAFETY: linked, says the caller, hence alive.
        let next = unsafe { (*node).next.get() };
        if next == self.first.get() { ptr::null() } else { next }
    }
}
