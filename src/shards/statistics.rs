//! What shards have done: counted by each for itself, read by anybody.

use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a shard has done, or several: they can be summed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ShardStatistics {
    /// Jobs that it has added.
    pub spawned: u64,
    /// Jobs that it has begun.
    pub begun: u64,
    /// Those among them that it took from another shard.
    pub stolen: u64,
    /// Jobs that have ended on it.
    pub finished: u64,
    /// How often it had nothing to do, and waited until it was called.
    pub rested: u64,
}

impl Add for ShardStatistics {
    type Output = ShardStatistics;

    fn add(self, other: ShardStatistics) -> ShardStatistics {
        ShardStatistics {
            spawned: self.spawned + other.spawned,
            begun: self.begun + other.begun,
            stolen: self.stolen + other.stolen,
            finished: self.finished + other.finished,
            rested: self.rested + other.rested,
        }
    }
}

impl Sum for ShardStatistics {
    fn sum<I: Iterator<Item = ShardStatistics>>(shards: I) -> ShardStatistics {
        shards.fold(ShardStatistics::default(), Add::add)
    }
}

/// Counters that one thread writes. They lie on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Counters {
    spawned: Counter,
    begun: Counter,
    stolen: Counter,
    finished: Counter,
    rested: Counter,
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    /// By its own thread only.
    fn count(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn spawned(&self) {
        self.spawned.count();
    }

    pub(super) fn begun(&self, was_stolen: bool) {
        self.begun.count();
        if was_stolen {
            self.stolen.count();
        }
    }

    pub(super) fn finished(&self) {
        self.finished.count();
    }

    pub(super) fn rested(&self) {
        self.rested.count();
    }

    pub(super) fn read(&self) -> ShardStatistics {
        ShardStatistics {
            spawned: self.spawned.get(),
            begun: self.begun.get(),
            stolen: self.stolen.get(),
            finished: self.finished.get(),
            rested: self.rested.get(),
        }
    }
}
