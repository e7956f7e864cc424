//! Stacks for bare corosensei, as many as one likes: one mapping, cut into slots, without guard pages.
//!
//! corosensei's own stacks are a mapping and a guard each, of which a stock kernel allows some 32,700.

use std::num::NonZeroUsize;
use std::ptr;

use corosensei::stack::{Stack, StackPointer};

/// ropewalk's default, its guard included.
const SLOT_BYTES: usize = 260 << 10;

/// One slot of a mapping that is never unmapped.
pub struct Slot {
    low: NonZeroUsize,
}

// SAFETY: the slot is ours alone. It has no guard, so it must not overflow: the bodies here use less than a page of it.
unsafe impl Stack for Slot {
    fn base(&self) -> StackPointer {
        self.low.saturating_add(SLOT_BYTES)
    }

    fn limit(&self) -> StackPointer {
        self.low
    }
}

/// So many slots, which no page of memory stands behind yet.
pub fn map(count: usize) -> impl Iterator<Item = Slot> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping touches no memory that exists.
    let base = unsafe { libc::mmap(ptr::null_mut(), count * SLOT_BYTES, rights, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    // SAFETY: the range was mapped just now. A huge page would span several stacks.
    unsafe { libc::madvise(base, count * SLOT_BYTES, libc::MADV_NOHUGEPAGE) };
    (0..count)
        .filter_map(move |slot| NonZeroUsize::new(base.addr() + slot * SLOT_BYTES).map(|low| Slot { low }))
}
