//! Each kind under many schedules, with cancellations at moments that chance chooses.

use std::cell::{Cell, RefCell};

use ropewalk::select::{Chosen, fairly, select};
use ropewalk::sync::{Barrier, Borrower, Limiter, Semaphore};
use ropewalk::testing::random;
use ropewalk::{task, testing, time};

use super::settle;
use crate::world::seconds;

/// A moment, or some.
fn pause() {
    for _ in 0..random(3) {
        task::yield_now();
    }
}

/// N18: what is handed out is never more than there is, and in the end all is there.
#[test]
fn under_any_schedule_and_cancellation_permits_are_neither_lost_nor_made() {
    testing::explore(0..2000, || {
        let (semaphore, most) = (Semaphore::new(4), 4);
        let taken = Cell::new(0);
        task::scope(|s| {
            for _ in 0..6 {
                let task = s.spawn(|| {
                    for _ in 0..3 {
                        let count = random(5);
                        let permit = match random(3) {
                            0 => time::timeout(seconds(1), || semaphore.acquire_many(count))
                                .ok()
                                .and_then(Result::ok),
                            1 => match select(fairly((
                                semaphore.acquiring_many(count),
                                time::sleeping(seconds(1)),
                            ))) {
                                Ok(Chosen::First(permit)) => Some(permit),
                                _ => None,
                            },
                            _ => semaphore.acquire_many(count).ok(),
                        };
                        let Some(mut permit) = permit else { continue };
                        assert_eq!(permit.count(), count);
                        taken.set(taken.get() + count);
                        assert!(taken.get() <= most);
                        pause();
                        let half = permit.split(count / 2);
                        let _ = time::sleep(seconds(random(2) as u64));
                        taken.set(taken.get() - count);
                        drop((half, permit));
                    }
                });
                if random(3) == 0 {
                    pause();
                    task.cancel();
                }
            }
        });
        let statistics = semaphore.statistics();
        assert_eq!((statistics.available, statistics.taken, statistics.waiting), (most, 0, 0));
    });
}

/// N18: those who have had permits are always the first of those who came and were not cancelled.
#[test]
fn under_any_schedule_permits_are_handed_out_in_the_order_of_asking() {
    testing::explore(0..500, || {
        let (semaphore, served) = (Semaphore::new(0), RefCell::new(Vec::new()));
        task::scope(|s| {
            let mut line = Vec::new();
            for name in 0..6 {
                let (semaphore, served) = (&semaphore, &served);
                let count = 1 + random(3);
                let task = s.spawn(move || {
                    if let Ok(permit) = semaphore.acquire_many(count) {
                        served.borrow_mut().push(name);
                        permit.forget();
                    }
                });
                settle();
                line.push((name, task));
            }
            while !line.is_empty() {
                if random(4) == 0 {
                    line.remove(random(line.len())).1.cancel();
                } else {
                    semaphore.add_permits(1 + random(3));
                }
                settle();
                let mut served = served.take();
                served.sort_unstable();
                let first: Vec<_> = line.drain(..served.len()).map(|(name, _)| name).collect();
                assert_eq!(served, first);
                // Nobody waits for what is there.
                let statistics = semaphore.statistics();
                assert_eq!(statistics.waiting, line.len());
                assert!(statistics.next.is_none_or(|next| next > statistics.available));
            }
        });
    });
}

/// N18.
#[test]
fn under_any_schedule_and_cancellation_tokens_are_neither_lost_nor_made() {
    testing::explore(0..2000, || {
        let limiter = Limiter::new(2);
        task::scope(|s| {
            for _ in 0..5 {
                let task = s.spawn(|| {
                    for _ in 0..3 {
                        let token = match random(3) {
                            0 => time::timeout(seconds(1), || limiter.acquire()).ok().and_then(Result::ok),
                            1 => match select(fairly((time::sleeping(seconds(1)), limiter.acquiring()))) {
                                Ok(Chosen::Second(token)) => Some(token),
                                _ => None,
                            },
                            _ => limiter.acquire_on_behalf_of(Borrower::new()).ok(),
                        };
                        if token.is_some() && random(4) == 0 {
                            limiter.set_limit(1 + random(3));
                        }
                        assert!(limiter.borrowed() <= 5);
                        pause();
                    }
                });
                if random(3) == 0 {
                    pause();
                    task.cancel();
                }
            }
            // Whatever is free is not waited for.
            s.spawn(|| {
                for _ in 0..5 {
                    settle();
                    let statistics = limiter.statistics();
                    assert!(
                        statistics.waiting == 0 || statistics.borrowed >= statistics.limit,
                        "{statistics:?}"
                    );
                }
            });
        });
        let statistics = limiter.statistics();
        assert_eq!((statistics.borrowed, statistics.waiting), (0, 0));
    });
}

/// N18: rounds are of so many different tasks, in the order in which they came, whoever is cancelled.
#[test]
fn under_any_schedule_and_cancellation_a_round_is_complete_or_does_not_take_place() {
    testing::explore(0..2000, || {
        const PARTIES: usize = 3;
        let (barrier, passed) = (Barrier::new(PARTIES), RefCell::new(Vec::new()));
        task::scope(|s| {
            for name in 0..7 {
                let (barrier, passed) = (&barrier, &passed);
                let task = s.spawn(move || {
                    pause();
                    let round = match random(3) {
                        0 => match select(fairly((barrier.waiting(), time::sleeping(seconds(1))))) {
                            Ok(Chosen::First(Ok(round))) => round,
                            _ => return,
                        },
                        1 => match time::timeout(seconds(2), || barrier.wait()) {
                            Ok(Ok(round)) => round,
                            _ => return,
                        },
                        _ => match barrier.wait() {
                            Ok(round) => round,
                            Err(_) => return,
                        },
                    };
                    passed.borrow_mut().push((name, round.index()));
                });
                if random(4) == 0 {
                    pause();
                    task.cancel();
                }
            }
            time::sleep(seconds(3)).unwrap();
            // Those who are left are fewer than a round needs.
            assert!(barrier.waiters() < PARTIES);
            barrier.abort();
        });
        let passed = passed.take();
        assert_eq!(passed.len() % PARTIES, 0, "{passed:?}");
        let times = |index: usize| passed.iter().filter(|(_, at)| *at == index).count();
        assert!((0..PARTIES).all(|index| times(index) == passed.len() / PARTIES), "{passed:?}");
    });
}
