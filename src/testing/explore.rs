//! Many schedules of one program. Each comes from a seed, and a seed that fails can be replayed.

use std::cell::Cell;
use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::Setup;

/// Runs `program` once for each seed, as [`run`](super::run) does but with its tasks in an order that comes from the seed.
///
/// An order is random among the tasks that are ready: whatever it shows can happen. If one fails, a line is printed that
/// replays it, and the panic goes on:
///
/// ```text
/// ropewalk: seed 17 failed; to replay: ROPEWALK_SEED=17 cargo test lost_update
/// ```
///
/// With `ROPEWALK_SEED` in the environment only that seed is run; with `ROPEWALK_SEEDS`, so many: the first ones of
/// `seeds`, and those that follow on its last one if there are fewer.
///
/// ```should_panic
/// use ropewalk::{task, testing};
/// use std::cell::Cell;
///
/// testing::explore(0..100, || {
///     let account = Cell::new(0);
///     task::scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 let seen = account.get();
///                 task::yield_now();
///                 account.set(seen + 1);                    // An update is lost.
///             });
///         }
///     });
///     assert_eq!(account.get(), 2);
/// });
/// ```
///
/// A program that calls [`run`](super::run) itself can be explored too: that runs in place then. Settings that it makes
/// give way to the explorer's, and what it leaves behind is found when the whole program has ended.
///
/// # Panics
///
/// With the first panic of a run, or because of what was left behind: see [`run`](super::run). If one of the variables is not
/// a number.
#[track_caller]
pub fn explore(seeds: impl IntoIterator<Item = u64>, program: impl FnMut()) {
    explore_with(&Setup::new(), seeds, program);
}

#[track_caller]
pub(super) fn explore_with(setup: &Setup, seeds: impl IntoIterator<Item = u64>, mut program: impl FnMut()) {
    for seed in chosen(seeds.into_iter(), number("ROPEWALK_SEED"), number("ROPEWALK_SEEDS")) {
        let setup = setup.clone().seed(seed);
        let ran = panic::catch_unwind(AssertUnwindSafe(|| {
            setup.run(|| {
                let _explored = Explored::new();
                program();
            });
        }));
        if let Err(payload) = ran {
            eprintln!(
                "ropewalk: seed {seed} failed; to replay: ROPEWALK_SEED={seed} cargo test{}",
                test_name()
            );
            panic::resume_unwind(payload);
        }
    }
}

/// Which seeds to run: `only` one, or `count` of them, or all.
fn chosen(
    seeds: impl Iterator<Item = u64>,
    only: Option<u64>,
    count: Option<u64>,
) -> impl Iterator<Item = u64> {
    let mut seeds = seeds.fuse();
    let mut last = u64::MAX;
    let mut left = only.map(|_| 1).or(count);
    std::iter::from_fn(move || {
        let following = last.wrapping_add(1);
        match &mut left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        last = only.or_else(|| seeds.next()).or(count.map(|_| following))?;
        Some(last)
    })
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.trim().parse().unwrap_or_else(|_| panic!("{variable} must be a number, and is {text:?}")))
}

/// The test harness gives its threads the names of the tests.
fn test_name() -> String {
    match thread::current().name() {
        Some("main") | None => String::new(),
        Some(name) => format!(" {name}"),
    }
}

thread_local! {
    static EXPLORED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a program that is explored.
pub(super) fn is_explored() -> bool {
    EXPLORED.get()
}

struct Explored;

impl Explored {
    fn new() -> Explored {
        EXPLORED.set(true);
        Explored
    }
}

impl Drop for Explored {
    fn drop(&mut self) {
        EXPLORED.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn the_environment_chooses_among_the_seeds_and_adds_to_them() {
        let seeds = |only, count| chosen(3..6, only, count).collect::<Vec<_>>();
        assert_eq!(seeds(None, None), [3, 4, 5]);
        assert_eq!(seeds(Some(99), Some(2)), [99]);
        assert_eq!(seeds(None, Some(2)), [3, 4]);
        assert_eq!(seeds(None, Some(5)), [3, 4, 5, 6, 7]);
        assert_eq!(chosen(std::iter::empty(), None, Some(2)).collect::<Vec<_>>(), [0, 1]);
    }
}
