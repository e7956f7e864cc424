//! Barriers: rounds, their order, and how they are broken off.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use ropewalk::select::{Arm, Chosen, select, try_select};
use ropewalk::sync::{Barrier, BarrierError, BarrierWait};
use ropewalk::{Cancelled, Reason, task, testing, time};

use super::{check, deadlock_of, settle, waits_for};
use crate::log::{panic_text, while_unwinding};
use crate::world::{seconds, sleep};

const BROKEN: Result<usize, BarrierError> = Err(BarrierError::Broken);

fn index(barrier: &Barrier) -> Result<usize, BarrierError> {
    barrier.wait().map(|passed| passed.index())
}

/// N24.
#[test]
fn all_go_on_when_the_last_has_arrived_each_with_its_index() {
    check(
        |log| {
            let barrier = Barrier::new(3);
            assert_eq!((barrier.parties(), barrier.waiters(), barrier.is_broken()), (3, 0, false));
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let (barrier, log) = (&barrier, log.clone());
                    s.spawn(move || {
                        sleep(1).unwrap();
                        let passed = barrier.wait().unwrap();
                        log.add(format!("{name} {} {}", passed.index(), passed.is_leader()));
                    });
                }
            });
            assert_eq!(barrier.waiters(), 0);
        },
        &["c 2 true", "a 0 false", "b 1 false"],
    );
}

/// N24: one at a time.
#[test]
fn those_who_have_arrived_are_counted() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let first = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(barrier.waiters(), 1);
            let second = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(barrier.waiters(), 2);
            assert!(!first.is_finished());
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!((barrier.waiters(), barrier.is_broken()), (0, false));
            assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(0), Ok(1)));
        });
    });
}

/// N24: what `threading` has an `action` for.
#[test]
fn what_the_leader_does_up_to_its_next_wait_is_done_before_the_others_go_on() {
    testing::explore(0..200, || {
        let (barrier, merged) = (Barrier::new(4), Cell::new(0));
        task::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for round in 1..=3 {
                        if barrier.wait().unwrap().is_leader() {
                            merged.set(merged.get() + 1);
                        }
                        assert_eq!(merged.get(), round);
                    }
                });
            }
        });
    });
}

/// N24.
#[test]
fn a_barrier_for_one_keeps_nobody_and_one_for_nobody_is_refused() {
    testing::run(|| {
        let barrier = Barrier::new(1);
        for _ in 0..2 {
            let passed = barrier.wait().unwrap();
            assert_eq!((passed.index(), passed.is_leader(), barrier.waiters()), (0, true, 0));
        }
        barrier.reset();
        assert_eq!(index(&barrier), Ok(0));
    });
    assert_eq!(panic_text(|| Barrier::new(0)), "a barrier needs somebody who waits at it");
}

/// N25.
#[test]
fn a_barrier_is_used_again_and_again_and_no_round_mixes_with_another() {
    testing::explore(0..200, || {
        let (barrier, rounds) = (Barrier::new(3), RefCell::new(vec![BTreeSet::new(); 5]));
        task::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for round in 0..5 {
                        let passed = barrier.wait().unwrap();
                        assert!(rounds.borrow_mut()[round].insert(passed.index()));
                        // Nobody is a round ahead of somebody who waits for it.
                        assert!(rounds.borrow().iter().skip(round + 2).all(BTreeSet::is_empty));
                        assert!(rounds.borrow().iter().take(round).all(|round| round.len() == 3));
                    }
                });
            }
        });
        assert!(rounds.borrow().iter().all(|round| round.iter().copied().eq(0..3)));
    });
}

/// N25: with asyncio the late one waits until all have drained. Here it begins the next round, which comes to the same.
#[test]
fn whoever_comes_before_all_have_gone_on_belongs_to_the_next_round() {
    testing::run(|| {
        let barrier = Barrier::new(2);
        task::scope(|s| {
            let first = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(index(&barrier), Ok(1));
            // The first has not run yet.
            let late = task::Builder::new().eager(true).spawn_in(s, || index(&barrier));
            assert_eq!(barrier.waiters(), 1);
            assert!(!first.is_finished());
            assert_eq!(first.join().unwrap(), Ok(0));
            assert_eq!(index(&barrier), Ok(1));
            assert_eq!(late.join().unwrap(), Ok(0));
        });
    });
}

/// N25: asyncio's `test_blocking_tasks_while_draining`.
#[test]
fn some_wait_again_at_once_and_others_meet_elsewhere_before() {
    testing::explore(0..100, || {
        let (barrier, others, again) = (Barrier::new(5), Barrier::new(3), Cell::new(2));
        task::scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    barrier.wait().unwrap();
                    match again.get() {
                        0 => drop(others.wait().unwrap()),
                        left => again.set(left - 1),
                    }
                    barrier.wait().unwrap();
                });
            }
        });
        assert_eq!((barrier.waiters(), others.waiters()), (0, 0));
    });
}

/// N26: a barrier of threads would break.
#[test]
fn one_who_is_cancelled_while_it_waits_has_not_been_there() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let cut = s.spawn(|| index(&barrier));
            let second = s.spawn(|| index(&barrier));
            settle();
            cut.cancel();
            assert_eq!(barrier.waiters(), 1);
            assert!(matches!(cut.join().unwrap(), Err(BarrierError::Cancelled(_))));
            let third = s.spawn(|| index(&barrier));
            settle();
            assert!(!barrier.is_broken());
            assert_eq!(barrier.waiters(), 2);
            assert_eq!(index(&barrier), Ok(2));
            // Each index is there once: with asyncio two of them would be 1.
            assert_eq!((second.join().unwrap(), third.join().unwrap()), (Ok(0), Ok(1)));
        });
    });
}

/// N26.
#[test]
fn one_who_was_cancelled_and_has_not_run_yet_completes_no_round() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let cut = [1, 2].map(|_| s.spawn(|| index(&barrier)));
            settle();
            assert!(cut.iter().all(|task| task.cancel()));
            // In the same step: there are three places in the line, but two of them are empty.
            let late = task::Builder::new().eager(true).spawn_in(s, || index(&barrier));
            assert_eq!(barrier.waiters(), 1);
            settle();
            let last = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!((late.join().unwrap(), last.join().unwrap()), (Ok(0), Ok(1)));
        });
    });
}

/// N26.
#[test]
fn one_whose_round_was_complete_before_it_was_cancelled_goes_on_with_it() {
    testing::run(|| {
        let barrier = Barrier::new(2);
        task::scope(|s| {
            let first = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(index(&barrier), Ok(1));
            first.cancel();
            assert_eq!(first.join().unwrap(), Ok(0));
        });
    });
}

/// N27.
#[test]
fn a_reset_sends_those_home_who_wait_and_the_barrier_can_be_used() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        barrier.reset();
        task::scope(|s| {
            let waiting = [1, 2].map(|_| s.spawn(|| index(&barrier)));
            settle();
            barrier.reset();
            assert_eq!((barrier.waiters(), barrier.is_broken()), (0, false));
            assert_eq!(waiting.map(|task| task.join().unwrap()), [BROKEN, BROKEN]);
            let waiting = [1, 2].map(|_| s.spawn(|| index(&barrier)));
            settle();
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!(waiting.map(|task| task.join().unwrap()), [Ok(0), Ok(1)]);
        });
    });
}

/// N27: asyncio's `test_reset_barrier_while_tasks_waiting_and_waiting_again`.
#[test]
fn those_who_were_sent_home_may_come_again_at_once() {
    testing::explore(0..100, || {
        let (barrier, broken, passed) = (Barrier::new(5), Cell::new(0), Cell::new(0));
        let count = |cell: &Cell<i32>| cell.set(cell.get() + 1);
        task::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    if index(&barrier) == BROKEN {
                        count(&broken);
                    }
                    barrier.wait().unwrap();
                    count(&passed);
                });
            }
            settle();
            barrier.reset();
            barrier.wait().unwrap();
            count(&passed);
        });
        assert_eq!((broken.get(), passed.get(), barrier.is_broken()), (4, 5, false));
    });
}

/// N27: asyncio breaks off for those who were on their way out.
#[test]
fn a_round_that_was_complete_is_not_broken_off() {
    for abort in [false, true] {
        testing::run(|| {
            let barrier = Barrier::new(3);
            task::scope(|s| {
                let others = [1, 2].map(|_| s.spawn(|| index(&barrier)));
                settle();
                assert_eq!(index(&barrier), Ok(2));
                match abort {
                    true => barrier.abort(),
                    false => barrier.reset(),
                }
                assert_eq!(others.map(|task| task.join().unwrap()), [Ok(0), Ok(1)]);
                assert_eq!(barrier.is_broken(), abort);
            });
        });
    }
}

/// N28.
#[test]
fn an_aborted_barrier_stays_broken_until_it_is_reset() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let waiting = [1, 2].map(|_| s.spawn(|| index(&barrier)));
            settle();
            barrier.abort();
            assert!(barrier.is_broken());
            assert_eq!(index(&barrier), BROKEN);
            assert_eq!(try_select(barrier.waiting()), Some(Err(BarrierError::Broken)));
            assert_eq!(waiting.map(|task| task.join().unwrap()), [BROKEN, BROKEN]);
            barrier.abort();
            assert_eq!((index(&barrier), barrier.waiters()), (BROKEN, 0));
            barrier.reset();
            let waiting = [1, 2].map(|_| s.spawn(|| index(&barrier)));
            settle();
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!(waiting.map(|task| task.join().unwrap()), [Ok(0), Ok(1)]);
        });
    });
}

/// N28: as asyncio's and threading's suites have it: one fails between two rounds, then all meet elsewhere and mend it.
#[test]
fn one_who_fails_between_two_rounds_aborts_for_all_and_they_mend_the_barrier() {
    testing::explore(0..100, || {
        const PARTIES: usize = 5;
        let (barrier, elsewhere) = (Barrier::new(PARTIES), Barrier::new(PARTIES));
        let (twice, broken, thrice) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let count = |cell: &Cell<usize>| cell.set(cell.get() + 1);
        task::scope(|s| {
            for _ in 0..PARTIES {
                s.spawn(|| {
                    let passed = barrier.wait().unwrap();
                    if passed.index() == PARTIES / 2 {
                        barrier.abort();
                    } else if barrier.wait().is_ok() {
                        count(&twice);
                    } else {
                        count(&broken);
                    }
                    if elsewhere.wait().unwrap().is_leader() {
                        barrier.reset();
                    }
                    elsewhere.wait().unwrap();
                    barrier.wait().unwrap();
                    count(&thrice);
                });
            }
        });
        assert_eq!((twice.get(), broken.get(), thrice.get()), (0, PARTIES - 1, PARTIES));
        assert_eq!((barrier.waiters(), barrier.is_broken()), (0, false));
    });
}

/// N29.
#[test]
fn an_arm_that_is_not_chosen_has_not_been_at_the_barrier() {
    testing::run(|| {
        let barrier = Barrier::new(2);
        let late = select((barrier.waiting(), time::sleeping(seconds(1))));
        assert_eq!(late, Ok(Chosen::Second(())));
        assert_eq!(barrier.waiters(), 0);
        task::scope(|s| {
            let next = s.spawn(|| index(&barrier));
            settle();
            let chosen = select((time::sleeping(seconds(1)), barrier.waiting())).unwrap();
            let Chosen::Second(Ok(passed)) = chosen else { panic!("{chosen:?}") };
            assert_eq!(passed.index(), 1);
            assert_eq!(next.join().unwrap(), Ok(0));
            // One that was chosen by waiting, and one for which it is broken off.
            let waits =
                || select((time::sleeping(seconds(9)), barrier.waiting().map(|passed| passed.is_ok())));
            let chosen = s.spawn(waits);
            settle();
            assert_eq!(index(&barrier), Ok(1));
            assert_eq!(chosen.join().unwrap(), Ok(Chosen::Second(true)));
            let broken = s.spawn(waits);
            settle();
            barrier.reset();
            assert_eq!(broken.join().unwrap(), Ok(Chosen::Second(false)));
        });
    });
}

/// N29: a round is not completed by one task that is there twice.
#[test]
fn a_task_is_at_a_barrier_once_however_many_arms_it_has_there() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let twice = s.spawn(|| {
                let index = |passed: Result<BarrierWait, BarrierError>| passed.unwrap().index();
                select([barrier.waiting().map(index), barrier.waiting().map(index)])
            });
            settle();
            assert_eq!(barrier.waiters(), 1);
            let second = s.spawn(|| index(&barrier));
            settle();
            assert!(!twice.is_finished() && !second.is_finished());
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!(twice.join().unwrap(), Ok((0, 0)));
            assert_eq!(second.join().unwrap(), Ok(1));
        });
    });
}

/// N29: and many who come and go do not either.
#[test]
fn those_who_come_and_go_are_not_counted() {
    testing::run(|| {
        let barrier = Barrier::new(3);
        task::scope(|s| {
            let waiting = s.spawn(|| index(&barrier));
            settle();
            for _ in 0..10 {
                let soon = select((time::sleeping(seconds(1)), barrier.waiting()));
                assert_eq!(soon, Ok(Chosen::First(())));
                assert!(time::move_on_after(seconds(1), |_| index(&barrier)).is_none());
            }
            assert_eq!(barrier.waiters(), 1);
            let second = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(index(&barrier), Ok(2));
            assert_eq!((waiting.join().unwrap(), second.join().unwrap()), (Ok(0), Ok(1)));
        });
    });
}

/// N29.
#[test]
fn callbacks_may_complete_reset_and_abort_but_not_wait() {
    testing::run(|| {
        let barrier = Rc::new(Barrier::new(2));
        let told = Rc::new(RefCell::new(Vec::new()));
        let calls: [fn(&Barrier); 3] = [
            |barrier| assert!(try_select(barrier.waiting()).is_some_and(|passed| passed.is_ok())),
            Barrier::reset,
            Barrier::abort,
        ];
        for (delay, call) in (1..).zip(calls) {
            let (barrier, told) = (barrier.clone(), told.clone());
            time::call_later(seconds(delay), move || {
                told.borrow_mut().push(barrier.wait());
                call(&barrier);
            });
        }
        let ends: Vec<_> = (0..3).map(|_| index(&barrier)).collect();
        assert_eq!(ends, [Ok(0), BROKEN, BROKEN]);
        let outside = Err(BarrierError::Cancelled(Cancelled::new(Reason::OutsideTask)));
        assert_eq!(*told.borrow(), [outside; 3]);
    });
}

/// N26.
#[test]
fn in_a_cancelled_scope_and_while_unwinding_nobody_arrives() {
    testing::run(|| {
        let barrier = Rc::new(Barrier::new(1));
        task::cancel_scope(|scope| {
            scope.cancel();
            let cancelled = index(&barrier).unwrap_err();
            assert_eq!(cancelled.cancelled().unwrap().reason(), Reason::Requested);
        });
        let in_a_destructor = barrier.clone();
        let waited = while_unwinding(move || index(&in_a_destructor));
        assert_eq!(waited, Err(BarrierError::Cancelled(Cancelled::new(Reason::Unwinding))));
    });
}

#[test]
fn what_went_wrong_can_be_told_and_passed_on() {
    let cancelled = BarrierError::from(Cancelled::new(Reason::Requested));
    assert_eq!(BarrierError::Broken.to_string(), "the barrier was broken before all had arrived");
    assert_eq!(cancelled.to_string(), "cancelled");
    assert!(BarrierError::Broken.is_broken() && !cancelled.is_broken());
    assert_eq!(BarrierError::Broken.cancelled(), None);
    assert!(Cancelled::is(&io::Error::from(cancelled)));
    assert_eq!(io::Error::from(BarrierError::Broken).kind(), io::ErrorKind::Other);
}

/// N16.
#[test]
fn reports_say_how_many_are_there() {
    let barrier = Barrier::new(3);
    let reported = deadlock_of(|| {
        task::scope(|s| {
            s.spawn(|| barrier.wait().is_err());
            s.spawn(|| select((barrier.waiting(), barrier.waiting())).is_err());
        });
    });
    let there = "barrier: 2 of 3 there";
    assert_eq!(reported, ["scope with 2 tasks", there, &format!("select {there}, {there}")]);
    testing::run(|| {
        let barrier = Barrier::new(2);
        task::scope(|s| {
            let waiter = s.spawn(|| index(&barrier));
            settle();
            assert_eq!(waits_for(&waiter), "barrier: 1 of 2 there");
            assert_eq!(format!("{barrier:?}"), "Barrier { parties: 2, waiters: 1, is_broken: false }");
            barrier.wait().unwrap();
        });
    });
}
