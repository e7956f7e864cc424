//! Chance that can be repeated: a sequence of numbers that only depends on its seed.

use std::cell::Cell;

use super::here;

/// SplitMix64 (Steele, Lea and Flood, 2014): tiny, and good enough to shuffle a queue.
pub(crate) struct Chance {
    state: Cell<u64>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { state: Cell::new(seed) }
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&self, bound: usize) -> usize {
        // The high half of a product: as even as 64 bits are, without a division.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// A number below `bound`, by the runtime's seed; `None` outside of [`run`](crate::run).
///
/// # Panics
///
/// When `bound` is zero.
pub fn random(bound: usize) -> Option<usize> {
    assert!(bound > 0, "there is no number below zero");
    here::lend_core().map(|core| core.dice().below(bound))
}
