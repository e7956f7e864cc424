//! Memory of tasks that are gone, kept for the next ones: a general allocator takes a fifth of the time of a short task.
//!
//! Invariant: what is in a list was allocated with the size of the list and an alignment of 8, and nobody else has it.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// The largest cell that is kept, in bytes: a record and some 150 bytes of captures.
const LARGEST: usize = 256;

/// Cells of each size that are kept.
const KEPT: u32 = 1024;

/// A cell that nobody uses.
struct Idle {
    next: *mut Idle,
}

struct List {
    first: Cell<*mut Idle>,
    length: Cell<u32>,
}

pub(super) struct Cells {
    /// By size, in words.
    lists: [List; LARGEST / 8 + 1],
}

impl Cells {
    pub(super) fn new() -> Cells {
        Cells {
            lists: [const { List { first: Cell::new(ptr::null_mut()), length: Cell::new(0) } };
                LARGEST / 8 + 1],
        }
    }

    #[inline]
    fn list(&self, layout: Layout) -> Option<&List> {
        let fits = layout.align() == 8 && layout.size() <= LARGEST;
        if fits { Some(&self.lists[layout.size() / 8]) } else { None }
    }

    /// Memory for a cell, not initialised.
    #[inline]
    pub(super) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        if let Some(list) = self.list(layout) {
            let first = list.first.get();
            if !first.is_null() {
                // SAFETY: it is in the list, so it is ours, and was made an `Idle`.
                list.first.set(unsafe { (*first).next });
                list.length.set(list.length.get() - 1);
                // SAFETY: not null.
                return unsafe { NonNull::new_unchecked(first.cast()) };
            }
        }
        allocate_anew(layout)
    }

    /// # Safety
    ///
    /// The cell must come from [`allocate`](Cells::allocate) with this layout, of any `Cells`, and hold nothing.
    #[inline]
    pub(super) unsafe fn give_back(&self, cell: *mut u8, layout: Layout) {
        if let Some(list) = self.list(layout) {
            if list.length.get() < KEPT {
                let idle: *mut Idle = cell.cast();
                // SAFETY: a cell is larger than a pointer, and aligned for one.
                unsafe { idle.write(Idle { next: list.first.get() }) };
                list.first.set(idle);
                list.length.set(list.length.get() + 1);
                return;
            }
        }
        // SAFETY: as the caller says.
        unsafe { alloc::dealloc(cell, layout) };
    }
}

#[cold]
fn allocate_anew(layout: Layout) -> NonNull<u8> {
    // SAFETY: a cell holds a record, so it is not empty.
    let cell = unsafe { alloc::alloc(layout) };
    NonNull::new(cell).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

impl Drop for Cells {
    fn drop(&mut self) {
        for (words, list) in self.lists.iter().enumerate() {
            let layout = Layout::from_size_align(words * 8, 8).expect("it is small");
            while !list.first.get().is_null() {
                let first = list.first.get();
                // SAFETY: it is in the list, so it is ours and of this layout.
                unsafe {
                    list.first.set((*first).next);
                    alloc::dealloc(first.cast(), layout);
                }
            }
        }
    }
}
