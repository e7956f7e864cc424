//! Each kind, cancelled at every moment at which that makes a difference: one of those who use it, and all of them.
//!
//! The others are not cancelled. If they were left waiting for what the cancelled one has taken with it, all would wait, and
//! the run would fail as a deadlock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::select::select;
use ropewalk::sync::{Barrier, Borrower, Event, Latch, Lazy, Limiter, OnceCell, Semaphore, WaitGroup};
use ropewalk::testing::{Cut, Setup};
use ropewalk::{Cancelled, task, time};

use crate::world::sleep;

type Ends = Result<(), Cancelled>;

/// Cuts a program everywhere, in order and under some schedules.
#[track_caller]
fn everywhere(fewest: usize, program: impl Fn(&Cut)) {
    let moments = Setup::new().cancel_everywhere(&program);
    assert!(moments >= fewest, "{moments} moments");
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(&program);
    }
}

/// N17.
#[test]
fn wherever_one_who_takes_permits_is_cancelled_the_others_have_theirs() {
    everywhere(8, |cut| {
        let semaphore = Semaphore::new(3);
        let taker = |count: usize| -> Ends {
            for _ in 0..2 {
                let permit = semaphore.acquire_many(count)?;
                sleep(1)?;
                drop(permit);
                let selected = select((semaphore.acquiring_many(count), time::sleeping(3 * TICK)))?;
                task::checkpoint()?;
                drop(selected);
            }
            Ok(())
        };
        task::scope(|s| {
            s.spawn(|| taker(1).unwrap());
            s.spawn(|| cut.here(|| taker(3)));
            s.spawn(|| taker(2).unwrap());
            s.spawn(|| taker(1).unwrap());
        });
        let statistics = semaphore.statistics();
        assert_eq!((statistics.available, statistics.taken, statistics.waiting), (3, 0, 0));
    });
}

/// N17.
#[test]
fn wherever_all_who_take_permits_are_cancelled_none_is_lost() {
    everywhere(30, |cut| {
        let semaphore = Rc::new(Semaphore::new(2));
        let taker = |count: usize| -> Ends {
            let mut permit = semaphore.acquire_many(count)?;
            task::checkpoint()?;
            let part = permit.split(count / 2);
            task::checkpoint()?;
            let owned = semaphore.acquire_owned();
            drop(part);
            let more = select((semaphore.acquiring(), time::sleeping(TICK)))?;
            drop((permit, more, owned?));
            Ok(())
        };
        let _ = cut.here(|| {
            task::try_gather([1, 2, 2, 1].map(|count| {
                let taker = &taker;
                move || match count {
                    1 => time::move_on_after(10 * TICK, |_| taker(1)).unwrap_or(Ok(())),
                    count => time::move_on_after(20 * TICK, |_| taker(count)).unwrap_or(Ok(())),
                }
            }))
        });
        let statistics = semaphore.statistics();
        assert_eq!((statistics.available, statistics.taken, statistics.waiting), (2, 0, 0));
    });
}

/// N17.
#[test]
fn wherever_one_who_borrows_tokens_is_cancelled_the_others_have_theirs() {
    everywhere(8, |cut| {
        let limiter = Limiter::new(1);
        let borrower = || -> Ends {
            let token = limiter.acquire()?;
            sleep(1)?;
            drop(token);
            let borrower = Borrower::new();
            let selected = select((limiter.acquiring_on_behalf_of(borrower), time::sleeping(2 * TICK)))?;
            limiter.set_limit(2);
            task::checkpoint()?;
            drop(selected);
            limiter.set_limit(1);
            Ok(())
        };
        task::scope(|s| {
            s.spawn(|| borrower().unwrap());
            s.spawn(|| cut.here(borrower));
            s.spawn(|| borrower().unwrap());
        });
        let statistics = limiter.statistics();
        assert_eq!((statistics.borrowed, statistics.waiting), (0, 0));
    });
}

/// N17: whoever is cancelled comes again, and the round is complete.
#[test]
fn wherever_one_at_a_barrier_is_cancelled_it_can_come_again_and_all_go_on() {
    everywhere(5, |cut| {
        let (barrier, indices) = (Barrier::new(3), RefCell::new(Vec::new()));
        let arrive = || barrier.wait().map(|passed| indices.borrow_mut().push(passed.index()));
        task::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    arrive().unwrap();
                    arrive().unwrap();
                });
            }
            s.spawn(|| {
                let passed = Cell::new(0);
                let arrive = || -> Ends {
                    let selected = select((barrier.waiting(), time::sleeping(1000 * TICK)))?;
                    let ropewalk::select::Chosen::First(Ok(round)) = selected else { panic!("{selected:?}") };
                    indices.borrow_mut().push(round.index());
                    passed.set(passed.get() + 1);
                    Ok(())
                };
                let _ = cut.here(|| arrive().and_then(|()| arrive()));
                while passed.get() < 2 {
                    arrive().unwrap();
                }
            });
        });
        let mut indices = indices.take();
        indices[..3].sort_unstable();
        indices[3..].sort_unstable();
        assert_eq!(indices, [0, 1, 2, 0, 1, 2]);
        assert_eq!(barrier.waiters(), 0);
    });
}

/// N17: each maker has a value of its own to offer.
#[test]
fn wherever_one_who_makes_a_value_is_cancelled_another_one_makes_it() {
    everywhere(4, |cut| {
        let (cell, lazy) = (OnceCell::new(), Lazy::new(|| sleep(1).map(|()| "made")));
        let make = |name: &'static str| {
            cell.get_or_try_init(|| {
                sleep(1)?;
                task::checkpoint()?;
                Ok::<_, Cancelled>(name)
            })
            .copied()
            .and_then(|made| lazy.force().map(|_| made))
        };
        task::scope(|s| {
            let first = s.spawn(|| cut.here(|| make("first")));
            let others = ["second", "third"].map(|name| {
                let make = &make;
                s.spawn(move || make(name).unwrap())
            });
            let waits = s.spawn(|| *cell.wait().unwrap());
            let made = others.map(|task| task.join().unwrap());
            assert_eq!((made[0], waits.join().unwrap()), (made[1], made[1]));
            assert_eq!((cell.get(), lazy.get()), (Some(&made[0]), Some(&"made")));
            if let Ok(first) = first.join().unwrap() {
                assert_eq!(first, made[0]);
            }
        });
        assert_eq!((cell.waiters(), lazy.waiters()), (0, 0));
    });
}

/// N17.
#[test]
fn wherever_those_who_wait_for_something_to_happen_are_cancelled_they_leave_no_trace() {
    everywhere(20, |cut| {
        let (event, latch, group) = (Event::new(), Latch::new(), WaitGroup::new());
        task::scope(|s| {
            s.spawn(|| {
                let token = group.token();
                sleep(1).unwrap();
                event.set();
                event.clear();
                drop(token);
                sleep(1).unwrap();
                latch.set();
                event.set();
            });
            let uncut = s.spawn(|| {
                event.wait().unwrap();
                latch.wait().unwrap();
                group.wait().unwrap();
            });
            let _ = cut.here(|| {
                let wait = || -> Ends {
                    select((event.waiting(), latch.waiting(), group.waiting()))?;
                    let token = group.token();
                    latch.wait()?;
                    drop(token);
                    event.wait()?;
                    group.wait()
                };
                task::try_gather([wait, wait, wait]).map(drop).map_err(Cancelled::from)
            });
            uncut.join().unwrap();
        });
        assert_eq!((event.waiters(), latch.waiters(), group.waiters(), group.left()), (0, 0, 0, 0));
    });
}

const TICK: std::time::Duration = std::time::Duration::from_millis(500);
