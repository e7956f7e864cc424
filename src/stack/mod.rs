//! Memory for stacks: reserved wide, committed by the page, guarded, and reused hottest first.
//!
//! Words: a *slot* is the address range of one stack, with its *guard page* (or pages) at the low end; a *slab*
//! is one mapping cut into slots; the *pool* holds the slots that nobody uses. An idle slot is *warm* while it
//! still owns its pages and *cold* once they were given back to the system.
//!
//! Invariant: a slot has one owner, its `Stack` value, and goes back to the pool only when that value is
//! dropped. Whoever forgets a `Stack` leaks its slot and nothing else: slabs are never unmapped, so memory that
//! anybody might still look at stays what it was.
//!
//! Nothing here knows what runs on a stack, except for the label that an overflow report prints.

mod overflow;
mod pool;
mod shape;
mod slab;

pub(crate) use overflow::{Label, LabelKind};
pub(crate) use pool::{Held, Stack, acquire, hold};
pub(crate) use shape::Shape;
pub use shape::{DEFAULT_GUARD_SIZE, DEFAULT_SIZE, MAX_SIZE, MIN_SIZE, default_size, set_default_size};
pub use slab::GuardMethod;

use std::fmt;

/// What the stacks of this process take up, as [`stats`] saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Slots that were cut and guarded so far, whatever became of them.
    pub slots: usize,
    /// Idle slots that still hold their pages.
    pub idle_warm: usize,
    /// Idle slots without pages: never used, or their pages were given back to the system.
    pub idle_cold: usize,
    /// Address space reserved for slots, in bytes, guard pages included. It costs no memory until it is used.
    pub reserved_bytes: usize,
    /// How guard pages are made here; `None` before the first stack was needed.
    pub guard: Option<GuardMethod>,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.idle_warm + self.idle_cold;
        write!(
            f,
            "{} stacks in use, {idle} idle ({} warm), {} MiB reserved",
            self.slots - idle,
            self.idle_warm,
            self.reserved_bytes >> 20
        )
    }
}

/// How many bytes are left of the stack that this code runs on, if it is one of ours.
pub(crate) fn room_left() -> Option<usize> {
    let here = 0u8;
    let address = std::hint::black_box(&raw const here) as usize;
    let slot = slab::find_slot(address)?;
    address.checked_sub(slot.low + slot.guard_bytes)
}

/// Counts the stacks of this process.
///
/// Slots that another thread keeps ready for its own reuse (at most 64 of each size) count as in use.
///
/// ```
/// use ropewalk::{generate, stack};
///
/// let mut numbers = generate(|co| (1..4).for_each(|n| co.yield_(n)));
/// let before = stack::stats();
/// numbers.next();                       // The first step takes a stack.
/// let during = stack::stats();
/// assert!(during.slots - during.idle_warm > before.slots - before.idle_warm);
/// ```
pub fn stats() -> Stats {
    pool::stats()
}

/// Sets how many idle stacks of each size keep their pages; the rest give them back as they fall idle.
///
/// The default is 16,384: 64 MiB where each has used one page, as most do. A warm stack is taken again in
/// nanoseconds; a cold one costs a page fault for each page it touches (1.4 µs each on the virtual machine where
/// this was measured, see `docs/stacks.md`). The pages of 64 stacks are given back in one system call.
///
/// # Platform
///
/// Pages are given back on Linux only, and not where memory is locked (`mlockall`).
pub fn set_high_water(idle_stacks: usize) {
    pool::set_high_water(idle_stacks);
}

/// Gives the pages of all idle stacks back to the system, and returns how many stacks that were.
///
/// Covers the pool and the calling thread's own cache. What the kernel keeps are the page tables (about 0.5 KiB
/// a slot of 256 KiB), for the guard pages live in them.
///
/// # Platform
///
/// Pages are given back on Linux only, and not where memory is locked (`mlockall`): 0 then.
///
/// ```
/// # ropewalk::generate(|co| co.yield_(())).for_each(drop);
/// let given_back = ropewalk::stack::trim();
/// assert!(given_back >= 1);
/// assert_eq!(ropewalk::stack::stats().idle_warm, 0);
/// ```
pub fn trim() -> usize {
    pool::trim()
}
