//! The queue of deadlines, which is private: its file is compiled into this test.

use proptest::prelude::*;

#[path = "../../src/scheduler/timers.rs"]
mod queue;

use queue::{TimerKey, Timers};

/// What is done to it.
#[derive(Clone, Copy, Debug)]
enum Call {
    Set(u64),
    /// So many at once, with few deadlines between them.
    Burst(u16),
    /// One of the keys there ever were, stale ones too.
    Cancel(prop::sample::Index),
    /// Each of the keys but every so-many-th.
    CancelMost(u16),
    Deadline(prop::sample::Index),
    Pop(u64),
    PopAll(u64),
}

/// Deadlines and targets in the order in which they will fire: by deadline, then as they were set.
#[derive(Default)]
struct Model {
    sorted: Vec<(u64, u32)>,
}

impl Model {
    fn set(&mut self, deadline: u64, target: u32) {
        let place = self.sorted.partition_point(|&(earlier, _)| earlier <= deadline);
        self.sorted.insert(place, (deadline, target));
    }

    fn cancel(&mut self, target: u32) -> Option<u32> {
        let place = self.sorted.iter().position(|&(_, other)| other == target)?;
        Some(self.sorted.remove(place).1)
    }

    fn deadline(&self, target: u32) -> Option<u64> {
        self.sorted.iter().find(|&&(_, other)| other == target).map(|&(deadline, _)| deadline)
    }

    fn pop_due(&mut self, now: u64) -> Option<u32> {
        let &(deadline, target) = self.sorted.first()?;
        (deadline <= now).then(|| {
            self.sorted.remove(0);
            target
        })
    }
}

/// The queue and its model, side by side.
#[derive(Default)]
struct Pair {
    timers: Timers<u32>,
    model: Model,
    /// The targets are counted, and a target's key is in its place.
    keys: Vec<TimerKey>,
}

impl Default for Timers<u32> {
    fn default() -> Self {
        Timers::new()
    }
}

impl Pair {
    fn set(&mut self, deadline: u64) {
        let target = self.keys.len() as u32;
        self.keys.push(self.timers.set(deadline, target));
        self.model.set(deadline, target);
    }

    fn cancel(&mut self, target: usize) {
        assert_eq!(self.timers.cancel(self.keys[target]), self.model.cancel(target as u32));
    }

    fn deadline(&self, target: usize) {
        assert_eq!(self.timers.deadline(self.keys[target]), self.model.deadline(target as u32));
    }

    /// Whether there was one that is due.
    fn pop_due(&mut self, now: u64) -> bool {
        let popped = self.timers.pop_due(now);
        assert_eq!(popped, self.model.pop_due(now));
        popped.is_some()
    }

    fn call(&mut self, call: Call) {
        let known = self.keys.len();
        match call {
            Call::Set(deadline) => self.set(deadline),
            Call::Burst(count) => (0..u64::from(count)).for_each(|n| self.set(n * 7 % 31)),
            Call::CancelMost(but) => {
                (0..known).filter(|n| n % usize::from(but) != 0).for_each(|n| self.cancel(n))
            }
            Call::Pop(now) => _ = self.pop_due(now),
            Call::PopAll(now) => while self.pop_due(now) {},
            Call::Cancel(_) | Call::Deadline(_) if known == 0 => {}
            Call::Cancel(which) => self.cancel(which.index(known)),
            Call::Deadline(which) => self.deadline(which.index(known)),
        }
    }

    fn assert_alike(&self) {
        assert_eq!(self.timers.len(), self.model.sorted.len());
        assert_eq!(self.timers.is_empty(), self.model.sorted.is_empty());
        assert_eq!(self.timers.next_deadline(), self.model.sorted.first().map(|&(deadline, _)| deadline));
    }

    /// Every key, also the stale ones, and the order of what is left.
    fn assert_alike_to_the_end(mut self) {
        (0..self.keys.len()).for_each(|target| self.deadline(target));
        while self.pop_due(u64::MAX) {}
        self.assert_alike();
    }
}

/// Few, so that many are equal.
fn deadlines() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..20u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn small_calls() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => deadlines().prop_map(Call::Set),
        3 => any::<prop::sample::Index>().prop_map(Call::Cancel),
        1 => any::<prop::sample::Index>().prop_map(Call::Deadline),
        2 => deadlines().prop_map(Call::Pop),
        1 => deadlines().prop_map(Call::PopAll),
    ]
}

fn large_calls() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (1..600u16).prop_map(Call::Burst),
        2 => (1..100u16).prop_map(Call::CancelMost),
        1 => (0..40u64).prop_map(Call::PopAll),
        4 => small_calls(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn timers_fire_as_in_a_sorted_list(calls in prop::collection::vec(small_calls(), 0..60)) {
        let mut pair = Pair::default();
        for call in calls {
            pair.call(call);
            pair.assert_alike();
        }
        pair.assert_alike_to_the_end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn timers_fire_as_in_a_sorted_list_when_they_come_in_bursts(
        calls in prop::collection::vec(large_calls(), 0..20)
    ) {
        let mut pair = Pair::default();
        for call in calls {
            pair.call(call);
            pair.assert_alike();
        }
        pair.assert_alike_to_the_end();
    }
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let mut timers = Timers::new();
    for target in 0..1000 {
        timers.set(5, target);
    }
    let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(5)).collect();
    assert_eq!(fired, Vec::from_iter(0..1000));
}

#[test]
fn a_timer_is_due_at_its_deadline_and_not_before() {
    let mut timers = Timers::new();
    timers.set(10, "ten");
    assert_eq!(timers.next_deadline(), Some(10));
    assert_eq!(timers.pop_due(9), None);
    assert_eq!(timers.pop_due(10), Some("ten"));
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn the_last_deadline_there_is_comes_at_the_end_of_time() {
    let mut timers = Timers::new();
    let first = timers.set(u64::MAX, "first");
    timers.set(u64::MAX, "second");
    timers.set(0, "at once");
    assert_eq!(timers.pop_due(0), Some("at once"));
    assert_eq!(timers.pop_due(u64::MAX - 1), None);
    assert_eq!(timers.deadline(first), Some(u64::MAX));
    assert_eq!(timers.pop_due(u64::MAX), Some("first"));
    assert_eq!(timers.pop_due(u64::MAX), Some("second"));
}

#[test]
fn a_stale_key_never_hits_a_later_timer() {
    let mut timers = Timers::new();
    let cancelled = timers.set(1, 0);
    assert_eq!(timers.cancel(cancelled), Some(0));
    let fired = timers.set(1, 1);
    assert_eq!(timers.pop_due(1), Some(1));
    // The slot is used again, and again after the table was given back.
    for round in 0..10_000 {
        let key = timers.set(2, round);
        for stale in [cancelled, fired] {
            assert_ne!(stale, key);
            assert_eq!(timers.deadline(stale), None);
            assert_eq!(timers.cancel(stale), None);
        }
        if round % 1000 < 500 {
            assert_eq!(timers.cancel(key), Some(round));
        } else if round % 1000 == 999 {
            while timers.pop_due(2).is_some() {}
        }
    }
    assert!(timers.is_empty());
}

#[test]
fn a_million_timers_set_and_cancelled_take_no_memory() {
    let mut timers = Timers::new();
    for n in 0..50 {
        timers.set(n * 1_000_000, n);
    }
    let before = timers.memory_bytes();
    for now in 0..1_000_000 {
        let key = timers.set(now + 30_000, now);
        assert_eq!(timers.cancel(key), Some(now));
    }
    assert_eq!(timers.memory_bytes(), before);
    assert_eq!(timers.len(), 50);
}

#[test]
fn memory_is_given_back_after_a_burst() {
    const BURST: u64 = 100_000;
    let mut timers = Timers::new();
    let small = timers.set(0, 0);
    let kept = timers.memory_bytes();
    timers.cancel(small);
    for end in ["they fire", "they are cancelled"] {
        let keys: Vec<_> = (0..BURST).map(|n| timers.set(n * 37 % 1009, n)).collect();
        assert!(timers.memory_bytes() > BURST as usize * 16);
        match end {
            "they fire" => while timers.pop_due(u64::MAX).is_some() {},
            _ => keys.iter().for_each(|&key| _ = timers.cancel(key)),
        }
        assert!(timers.memory_bytes() < 100 * kept, "{} after {end}", timers.memory_bytes());
    }
}

#[test]
fn memory_is_given_back_also_where_some_timers_live_on() {
    const BURST: u64 = 100_000;
    let mut timers = Timers::new();
    let mut living: Vec<_> = (0..100).map(|n| timers.set(n, n)).collect();
    let burst: Vec<_> = (0..BURST).map(|n| timers.set(n, n)).collect();
    let full = timers.memory_bytes();
    burst.into_iter().for_each(|key| _ = timers.cancel(key));
    // Life goes on: it is the later traffic that pays for the sweep.
    for round in 0..10 {
        for key in &mut living {
            let target = timers.cancel(*key).unwrap();
            *key = timers.set(BURST + round, target);
        }
    }
    assert_eq!(timers.len(), living.len());
    assert!(timers.memory_bytes() < full / 50, "{} of {full}", timers.memory_bytes());
}
