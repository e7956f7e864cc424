//! Wait groups: until nothing is in flight.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::select::{Chosen, select};
use ropewalk::sync::{WaitGroup, WaitToken};
use ropewalk::{channel, task, testing, time};

use super::{check, deadlock_of, settle};
use crate::world::{seconds, sleep};

/// N35.
#[test]
fn whoever_waits_goes_on_when_the_last_token_is_dropped() {
    check(
        |log| {
            let group = WaitGroup::new();
            let tokens = [group.token(), group.token(), group.token()];
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (group, log) = (&group, log.clone());
                    s.spawn(move || {
                        group.wait().unwrap();
                        log.add(name);
                    });
                }
                for (left, token) in (0..3).rev().zip(tokens) {
                    settle();
                    log.add(format!("{left} left"));
                    drop(token);
                    assert_eq!(group.left(), left);
                }
                settle();
            });
            assert_eq!(group.waiters(), 0);
        },
        &["2 left", "1 left", "0 left", "a", "b"],
    );
}

/// N35: Go's may not be waited for before something was added; here it just does not wait.
#[test]
fn a_group_of_which_nothing_is_in_flight_is_not_waited_for() {
    testing::run(|| {
        let group = WaitGroup::new();
        group.wait().unwrap();
        drop(group.token());
        group.wait().unwrap();
        assert_eq!((group.left(), group.waiters()), (0, 0));
    });
}

/// N36.
#[test]
fn a_group_can_be_waited_for_again_and_those_who_were_released_go_on_whatever_begins_then() {
    check(
        |log| {
            let group = WaitGroup::new();
            let token = group.token();
            task::scope(|s| {
                let (of_task, of_log) = (&group, log.clone());
                s.spawn(move || {
                    of_task.wait().unwrap();
                    of_log.add(format!("released, with {} left", of_task.left()));
                    of_task.wait().unwrap();
                    of_log.add("released again");
                });
                settle();
                drop(token);
                let token = group.token();
                settle();
                log.add("drops the next");
                drop(token);
            });
        },
        &["released, with 1 left", "drops the next", "released again"],
    );
}

/// N36.
#[test]
fn clones_of_a_token_count_for_themselves_and_may_outlive_the_group() {
    testing::run(|| {
        let group = WaitGroup::new();
        let token = group.token();
        let clone = token.clone();
        assert_eq!(group.left(), 2);
        assert_eq!(format!("{group:?} {token:?}"), "WaitGroup { left: 2, waiters: 0 } WaitToken(one of 2)");
        drop(token);
        assert_eq!(group.left(), 1);
        drop(group);
        drop(clone.clone());
        drop(clone);
    });
}

/// N36.
#[test]
fn to_give_up_waiting_changes_nothing() {
    testing::run(|| {
        let group = WaitGroup::default();
        let token = group.token();
        assert!(time::move_on_after(seconds(1), |_| group.wait()).is_none());
        let late = select((group.waiting(), time::sleeping(seconds(1))));
        assert_eq!(late, Ok(Chosen::Second(())));
        assert_eq!((group.left(), group.waiters()), (1, 0));
        task::scope(|s| {
            let cut = s.spawn(|| group.wait());
            let kept = s.spawn(|| group.wait());
            settle();
            cut.cancel();
            drop(token);
            assert!(cut.join().unwrap().is_err());
            assert_eq!(kept.join().unwrap(), Ok(()));
        });
    });
}

/// N35: what it is there for.
#[test]
fn a_graceful_shutdown_waits_for_what_is_in_flight_up_to_a_limit() {
    let shut_down = |slowest: u64| {
        testing::run(|| {
            let (requests, incoming) = channel::unbounded::<(u64, WaitToken)>();
            let group = WaitGroup::new();
            let served = Rc::new(Cell::new(0));
            // One task serves all of them, and others that it hands the slow ones to.
            let server = task::spawn({
                let served = served.clone();
                move || {
                    for (takes, token) in incoming {
                        let served = served.clone();
                        task::spawn(move || {
                            let _token = token;
                            if sleep(takes).is_ok() {
                                served.set(served.get() + 1);
                            }
                        });
                    }
                }
            });
            for takes in [1, 2, slowest] {
                requests.send((takes, group.token())).unwrap();
            }
            drop(requests);
            let chosen = select((group.waiting(), time::sleeping(seconds(10)))).unwrap();
            server.join().unwrap();
            let counts = (matches!(chosen, Chosen::First(())), served.get(), group.left());
            // The rest.
            group.wait().unwrap();
            counts
        })
    };
    assert_eq!(shut_down(5), (true, 3, 0));
    assert_eq!(shut_down(50), (false, 2, 1));
}

/// N36.
#[test]
fn tokens_that_a_panic_or_a_callback_drops_count() {
    testing::run(|| {
        let group = WaitGroup::new();
        let (first, second) = (group.token(), group.token());
        let breaks = task::spawn(move || {
            let _first = first;
            panic!("broke");
        });
        time::call_later(seconds(1), move || drop(second));
        group.wait().unwrap();
        assert!(breaks.join().is_err());
    });
}

/// N16.
#[test]
fn reports_say_how_much_is_left() {
    let group = WaitGroup::new();
    let tokens = [group.token(), group.token()];
    let reported = deadlock_of(|| {
        assert!(group.wait().is_err());
        drop(tokens);
    });
    assert_eq!(reported, ["wait group: 2 left"]);
}

/// N36.
#[test]
fn under_any_schedule_nobody_waits_when_nothing_is_left() {
    testing::explore(0..300, || {
        let group = WaitGroup::new();
        task::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let token = group.token();
                    task::yield_now();
                    let more = token.clone();
                    drop(token);
                    task::yield_now();
                    drop(more);
                });
                s.spawn(|| {
                    group.wait().unwrap();
                    task::yield_now();
                    select((group.waiting(), time::sleeping(seconds(9)))).map(drop).unwrap();
                });
            }
        });
        assert_eq!((group.left(), group.waiters()), (0, 0));
    });
}
