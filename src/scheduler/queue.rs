//! The ready queue: tasks that can go on, in the order in which they became ready.
//!
//! A ring, so that it can look ahead. With many tasks a switch waits for memory: each one lies in other cache lines. While
//! one task runs, the lines of the task that is four turns away are being fetched.
//!
//! Invariants: `entries` points to `mask + 1` of them, a power of two, all of them initialised. `head` and `tail` count
//! up and wrap; the tasks between them are alive.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use super::record::Record;

/// Turns to look ahead. Measured before we began, with 1,000 to 100,000 tasks: 2 is too late, 8 gains nothing.
const AHEAD: usize = 4;

/// Cache lines of a stack to fetch: what a parked task has at its hot end, and the one that may begin above the hint. Five of
/// them cost 93 ns a yield with 100,000 tasks, seven 77. A task that waits in a call on a socket is 900 bytes deep: with fourteen of
/// them an echo server of 1,000 connections takes 4 % less of the processor than with seven.
const LINES: usize = 14;

#[derive(Clone, Copy)]
struct Entry {
    task: *const Record,
    /// The hot end of its stack; null for a task that has none yet. Only ever prefetched.
    hint: *const u8,
}

const NOBODY: Entry = Entry { task: ptr::null(), hint: ptr::null() };

pub(super) struct Queue {
    entries: Cell<*mut Entry>,
    mask: Cell<usize>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl Queue {
    pub(super) fn new() -> Queue {
        let entries = Box::into_raw(vec![NOBODY; 64].into_boxed_slice());
        Queue {
            entries: Cell::new(entries.cast()),
            mask: Cell::new(63),
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.tail.get() == self.head.get()
    }

    #[inline]
    fn entry(&self, at: usize) -> *mut Entry {
        // SAFETY: the mask keeps the index below the number of entries.
        unsafe { self.entries.get().add(at & self.mask.get()) }
    }

    #[inline]
    pub(super) fn push(&self, task: *const Record, hint: *const u8) {
        if self.len() > self.mask.get() {
            self.grow();
        }
        let tail = self.tail.get();
        // SAFETY: in bounds; nobody holds a reference to an entry.
        unsafe { *self.entry(tail) = Entry { task, hint } };
        self.tail.set(tail.wrapping_add(1));
    }

    /// Takes the last one back. There must be one.
    pub(super) fn pop_back(&self) -> *const Record {
        debug_assert!(!self.is_empty());
        let tail = self.tail.get().wrapping_sub(1);
        self.tail.set(tail);
        // SAFETY: in bounds; all entries are initialised.
        unsafe { (*self.entry(tail)).task }
    }

    /// The task whose turn it is. There must be one.
    #[inline]
    pub(super) fn pop(&self) -> *const Record {
        debug_assert!(!self.is_empty());
        let head = self.head.get();
        self.head.set(head.wrapping_add(1));
        // What lies there may be an old entry, if fewer tasks than that are ready. To fetch its lines does no harm.
        // SAFETY: in bounds; all entries are initialised.
        let (now, later) = unsafe { (*self.entry(head), *self.entry(head.wrapping_add(AHEAD))) };
        prefetch(later.task.cast());
        let highest = later.hint.wrapping_add(64);
        for line in 0..LINES {
            prefetch(highest.wrapping_sub(64 * line));
        }
        now.task
    }

    /// The task at `index` in the queue, out of turn: the first one takes its place.
    pub(super) fn pop_at(&self, index: usize) -> *const Record {
        debug_assert!(index < self.len());
        let (head, chosen) = (self.head.get(), self.head.get().wrapping_add(index));
        // SAFETY: in bounds; all entries are initialised.
        unsafe { ptr::swap(self.entry(head), self.entry(chosen)) };
        self.pop()
    }

    #[cold]
    fn grow(&self) {
        let (length, capacity) = (self.len(), self.mask.get() + 1);
        let mut entries = Vec::with_capacity(capacity * 2);
        // SAFETY: in bounds; all entries are initialised.
        entries.extend((0..length).map(|index| unsafe { *self.entry(self.head.get().wrapping_add(index)) }));
        entries.resize(capacity * 2, NOBODY);
        self.free();
        self.entries.set(Box::into_raw(entries.into_boxed_slice()).cast());
        self.mask.set(capacity * 2 - 1);
        self.head.set(0);
        self.tail.set(length);
    }

    fn free(&self) {
        let entries = ptr::slice_from_raw_parts_mut(self.entries.get(), self.mask.get() + 1);
        // SAFETY: it came from such a box, and whoever calls this puts another in its place or goes.
        drop(unsafe { Box::from_raw(entries) });
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.free();
    }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults, whatever the address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: a prefetch never faults, whatever the address, and changes no state that the program can see.
        unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly)) };
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
