//! Permits: the order in which they are handed out, and that none is lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::channel;
use ropewalk::select::{Arm, Chosen, select, try_select};
use ropewalk::sync::{Permit, Semaphore};
use ropewalk::task::{Scope, ScopedJoinHandle};
use ropewalk::{Cancelled, Reason, Runtime, generate, task, testing, time};

use super::{check, deadlock_of, settle, waits_for};
use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{seconds, sleep};

/// A task that takes `count` permits, says whether it has got them, and gives them back a second later.
fn taker<'scope>(
    s: &'scope Scope<'scope, '_>,
    semaphore: &'scope Semaphore,
    log: &Log,
    name: &'scope str,
    count: usize,
) -> ScopedJoinHandle<'scope, ()> {
    let log = log.clone();
    s.spawn(move || match semaphore.acquire_many(count) {
        Ok(_permit) => {
            log.add(format!("{name} has {count}"));
            let _ = sleep(1);
        }
        Err(_) => log.add(format!("{name} gave up")),
    })
}

/// N6.
#[test]
fn permits_are_handed_out_in_the_order_of_asking() {
    check(
        |log| {
            let semaphore = Semaphore::new(1);
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let (semaphore, log) = (&semaphore, log.clone());
                    s.spawn(move || {
                        for turn in 1..=2 {
                            let _permit = semaphore.acquire().unwrap();
                            log.add(format!("{name}{turn}"));
                            sleep(1).unwrap();
                        }
                    });
                }
            });
            assert_eq!(semaphore.available(), 1);
        },
        &["a1", "b1", "c1", "a2", "b2", "c2"],
    );
}

/// N6.
#[test]
fn whoever_gives_back_and_asks_again_stands_behind_those_who_wait() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            task::scope(|s| {
                taker(s, &semaphore, log, "first", 1);
                s.spawn(|| {
                    semaphore.acquire().unwrap().forget();
                    log.add("second");
                    semaphore.add_permits(1);
                    semaphore.acquire().unwrap().forget();
                    log.add("second again");
                });
                taker(s, &semaphore, log, "third", 1);
                settle();
                semaphore.add_permits(2);
            });
        },
        &["first has 1", "second", "third has 1", "second again"],
    );
}

/// N6: three permits at a time, as asyncio's own suite has it.
#[test]
fn permits_that_come_together_wake_as_many_in_order() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            task::scope(|s| {
                for name in ["a", "b", "c", "d"] {
                    taker(s, &semaphore, log, name, 1);
                }
                settle();
                semaphore.add_permits(3);
                // They have them, though none of them has run.
                assert_eq!((semaphore.available(), semaphore.statistics().waiting), (0, 1));
                settle();
                log.add("one more");
                semaphore.add_permits(1);
            });
        },
        &["a has 1", "b has 1", "c has 1", "one more", "d has 1"],
    );
}

/// N7: in the step in which a permit is handed over, nobody takes it.
#[test]
fn a_newcomer_does_not_pass_one_who_was_woken_and_has_not_run_yet() {
    check(
        |log| {
            let semaphore = Semaphore::new(1);
            let permit = semaphore.acquire().unwrap();
            task::scope(|s| {
                taker(s, &semaphore, log, "waiter", 1);
                settle();
                drop(permit);
                assert!(semaphore.try_acquire().is_none());
                assert!(try_select(semaphore.acquiring()).is_none());
                let newcomer = semaphore.acquire().unwrap();
                log.add("newcomer");
                drop(newcomer);
            });
        },
        &["waiter has 1", "newcomer"],
    );
}

/// N8.
#[test]
fn a_big_request_holds_back_small_ones_behind_it() {
    check(
        |log| {
            let semaphore = Semaphore::new(3);
            let (one, two) = (semaphore.acquire().unwrap(), semaphore.acquire().unwrap());
            task::scope(|s| {
                taker(s, &semaphore, log, "big", 3);
                taker(s, &semaphore, log, "small", 1);
                settle();
                let statistics = semaphore.statistics();
                assert_eq!((statistics.available, statistics.taken), (1, 2));
                assert_eq!((statistics.waiting, statistics.next), (2, Some(3)));
                assert!(semaphore.try_acquire().is_none(), "one is there, but others wait");
                drop(one);
                settle();
                log.add("two are there");
                drop(two);
            });
        },
        &["two are there", "big has 3", "small has 1"],
    );
}

/// N8.
#[test]
fn permits_that_are_not_enough_yet_are_kept_for_the_first_in_line() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            task::scope(|s| {
                for (name, count) in [("a", 1), ("b", 2), ("c", 1)] {
                    let (semaphore, log) = (&semaphore, log.clone());
                    s.spawn(move || {
                        semaphore.acquire_many(count).unwrap().forget();
                        log.add(name);
                    });
                }
                for _ in 0..4 {
                    settle();
                    log.add("one more");
                    semaphore.add_permits(1);
                }
            });
            assert_eq!(semaphore.available(), 0);
        },
        &["one more", "a", "one more", "one more", "b", "one more", "c"],
    );
}

/// N10: none is a number of permits like any other.
#[test]
fn asking_for_none_waits_for_ones_turn() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            drop(semaphore.acquire_many(0).unwrap());
            task::scope(|s| {
                taker(s, &semaphore, log, "first", 1);
                taker(s, &semaphore, log, "second", 0);
                let third = taker(s, &semaphore, log, "third", 1);
                taker(s, &semaphore, log, "fourth", 0);
                settle();
                assert!(semaphore.try_acquire_many(0).is_none());
                log.add("add one");
                semaphore.add_permits(1);
                settle();
                assert_eq!(semaphore.statistics().waiting, 2);
                third.cancel();
            });
        },
        &["add one", "first has 1", "second has 0", "third gave up", "fourth has 0"],
    );
}

/// N9: the lost wake-up of all semaphores with big requests. However a request ends that held back others, these are looked
/// at again; and whatever happens in the same step.
#[test]
fn whatever_ends_a_big_request_those_behind_it_are_let_in() {
    type Ends = fn(&Semaphore, &Log) -> Result<(), Cancelled>;
    let ways: [(&str, Ends); 6] = [
        ("cancelled", |semaphore, _| semaphore.acquire_many(5).map(drop)),
        ("too late", |semaphore, _| {
            time::timeout(seconds(2), || semaphore.acquire_many(5)).unwrap_err().into_inner().map(drop)
        }),
        ("another arm", |semaphore, _| {
            let late = time::sleeping(seconds(2));
            match select((semaphore.acquiring_many(5), late))? {
                Chosen::First(_) => unreachable!(),
                Chosen::Second(()) => Ok(()),
            }
        }),
        ("another arm before it", |semaphore, _| {
            let late = time::sleeping(seconds(2));
            match select((late, semaphore.acquiring_many(5)))? {
                Chosen::First(()) => Ok(()),
                Chosen::Second(_) => unreachable!(),
            }
        }),
        ("another arm that panics", |semaphore, _| {
            let late = time::sleeping(seconds(2)).map(|()| panic!("late"));
            let text = panic_text(|| select((late, semaphore.acquiring_many(5))).map(drop));
            assert_eq!(text, "late");
            Ok(())
        }),
        ("its scope failed", |semaphore, log| {
            let failed = task::try_scope(|s| {
                s.spawn(|| semaphore.acquire_many(5).map(drop).map_err(|_| "cut"));
                let _ = sleep(2);
                log.add("fails");
                Err::<(), _>("failed")
            });
            assert_eq!(*failed.unwrap_err().first(), "failed");
            Ok(())
        }),
    ];
    for (way, ends) in ways {
        // What comes back in the step in which the request ends: before it or after it.
        for (released, before) in [(0, true), (1, true), (1, false)] {
            let log = Log::new();
            testing::run(|| {
                let semaphore = Semaphore::new(3);
                let mut permit = semaphore.acquire_many(3).unwrap();
                drop(permit.split(1));
                task::scope(|s| {
                    let big = s.spawn(|| {
                        let _ = ends(&semaphore, &log);
                    });
                    settle();
                    let small = ["first", "second"].map(|name| {
                        let (semaphore, log) = (&semaphore, &log);
                        s.spawn(move || {
                            semaphore.acquire().unwrap().forget();
                            log.add(name);
                        })
                    });
                    settle();
                    assert_eq!(log.take(), [""; 0], "{way}");
                    let release = |permit: &mut Permit<_>| drop(permit.split(released));
                    if before {
                        release(&mut permit);
                    }
                    match way {
                        "cancelled" => assert!(big.cancel()),
                        // At the same moment as the end of the request, and after it.
                        _ => sleep(2).unwrap(),
                    }
                    if !before {
                        release(&mut permit);
                    }
                    settle();
                    assert!(small[0].is_finished(), "{way}: the first is let in");
                    assert_eq!(small[1].is_finished(), released == 1, "{way}: no more than there are");
                    drop(permit);
                });
            });
        }
    }
}

/// N9.
#[test]
fn several_big_requests_that_are_given_up_together_let_all_in_that_there_is_room_for() {
    check(
        |log| {
            let semaphore = Semaphore::new(2);
            task::scope(|s| {
                let big = ["a", "b", "c"].map(|name| taker(s, &semaphore, log, name, 5));
                taker(s, &semaphore, log, "d", 1);
                taker(s, &semaphore, log, "e", 1);
                taker(s, &semaphore, log, "f", 1);
                settle();
                big[1].cancel();
                settle();
                assert_eq!(log.take(), ["b gave up"]);
                big[2].cancel();
                big[0].cancel();
                settle();
                assert_eq!(log.take(), ["c gave up", "a gave up", "d has 1", "e has 1"]);
            });
        },
        &["f has 1"],
    );
}

/// N9: cancelled before the permits come.
#[test]
fn those_who_were_cancelled_before_the_permits_came_are_passed_over() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            task::scope(|s| {
                let tasks = ["a", "b", "c", "d"].map(|name| taker(s, &semaphore, log, name, 1));
                settle();
                tasks[0].cancel();
                tasks[1].cancel();
                semaphore.add_permits(1);
                assert_eq!((semaphore.available(), semaphore.statistics().waiting), (0, 1));
                settle();
                tasks[3].cancel();
            });
            assert_eq!(semaphore.available(), 1);
        },
        &["a gave up", "b gave up", "c has 1", "d gave up"],
    );
}

/// N9: cancelled after it.
#[test]
fn one_who_was_given_permits_before_it_was_cancelled_has_them_and_gives_them_back() {
    check(
        |log| {
            let semaphore = Semaphore::new(0);
            task::scope(|s| {
                let first = taker(s, &semaphore, log, "first", 2);
                taker(s, &semaphore, log, "second", 1);
                settle();
                semaphore.add_permits(2);
                first.cancel();
            });
            assert_eq!(semaphore.available(), 2);
        },
        &["first has 2", "second has 1"],
    );
}

/// N9: asyncio lost the permit in one of these orders, and the wake-up in the other.
#[test]
fn a_permit_that_comes_in_the_step_of_a_cancellation_is_not_lost() {
    for cancel_first in [true, false] {
        testing::run(|| {
            let semaphore = Semaphore::new(1);
            let permit = semaphore.acquire().unwrap();
            task::scope(|s| {
                let first = s.spawn(|| semaphore.acquire().map(|permit| permit.count()));
                let second = s.spawn(|| semaphore.acquire().map(|permit| permit.count()));
                settle();
                if cancel_first {
                    first.cancel();
                    drop(permit);
                } else {
                    drop(permit);
                    first.cancel();
                }
                assert_eq!(first.join().unwrap().is_err(), cancel_first);
                assert_eq!(second.join().unwrap(), Ok(1));
            });
            assert!(semaphore.acquire().is_ok());
        });
    }
}

/// N11.
#[test]
fn permits_can_be_added_and_taken_away_while_others_wait() {
    testing::run(|| {
        let semaphore = Semaphore::new(2);
        assert_eq!(semaphore.forget_permits(5), 2);
        assert_eq!(semaphore.forget_permits(5), 0);
        task::scope(|s| {
            let waiter = s.spawn(|| semaphore.acquire_many(3).map(|permit| permit.count()));
            settle();
            semaphore.add_permits(2);
            assert_eq!(semaphore.forget_permits(1), 1, "they are there, and nobody has them");
            semaphore.add_permits(1);
            settle();
            assert!(!waiter.is_finished());
            semaphore.add_permits(1);
            assert_eq!(waiter.join().unwrap(), Ok(3));
        });
        let statistics = semaphore.statistics();
        assert_eq!((statistics.available, statistics.taken, statistics.next), (3, 0, None));
        semaphore.try_acquire_many(2).unwrap().forget();
        assert_eq!((semaphore.available(), semaphore.statistics().taken), (1, 0));
    });
}

/// N11: nothing overflows when permits come back, for it is refused before.
#[test]
fn there_cannot_be_more_permits_than_can_be_counted() {
    let semaphore = Semaphore::new(usize::MAX);
    let permit = semaphore.try_acquire_many(10).unwrap();
    let text = panic_text(|| semaphore.add_permits(1));
    assert_eq!(text, "a semaphore cannot have so many permits");
    drop(permit);
    assert_eq!(semaphore.available(), usize::MAX);
    semaphore.try_acquire().unwrap().forget();
    semaphore.add_permits(1);
}

/// N12.
#[test]
fn permits_can_be_split_and_merged_and_none_is_lost() {
    let semaphore = Semaphore::new(5);
    let mut permit = semaphore.try_acquire_many(5).unwrap();
    let mut two = permit.split(2).unwrap();
    let none = two.split(0).unwrap();
    assert!(two.split(3).is_none());
    assert_eq!((permit.count(), two.count(), none.count()), (3, 2, 0));
    drop(none);
    permit.merge(two);
    assert_eq!((permit.count(), semaphore.available()), (5, 0));
    drop(permit.split(4));
    assert_eq!(semaphore.available(), 4);
    permit.forget();
    assert_eq!((semaphore.available(), semaphore.statistics().taken), (4, 0));
}

/// N12.
#[test]
fn permits_of_different_semaphores_do_not_mix() {
    let (one, other) = (Rc::new(Semaphore::new(1)), Rc::new(Semaphore::new(1)));
    let text = panic_text(|| one.try_acquire().unwrap().merge(other.try_acquire().unwrap()));
    assert_eq!(text, "these are permits of another semaphore");
    let text = panic_text(|| one.try_acquire().unwrap().into_owned(&other).count());
    assert_eq!(text, "these are permits of another semaphore");
    assert_eq!((one.available(), other.available()), (1, 1));
}

/// N12.
#[test]
fn a_permit_that_owns_a_share_of_its_semaphore_goes_anywhere() {
    testing::run(|| {
        let semaphore = Rc::new(Semaphore::new(3));
        let (sender, receiver) = channel::unbounded();
        let taking = task::spawn({
            let semaphore = semaphore.clone();
            move || {
                // This task ends, and the permits live on; also in debug mode nobody minds.
                sender.send(semaphore.acquire_many_owned(2).unwrap()).unwrap();
                let selected = select(semaphore.acquiring().map(|permit| permit.into_owned(&semaphore)));
                sender.send(selected.unwrap()).unwrap();
            }
        });
        taking.join().unwrap();
        assert_eq!((semaphore.available(), Rc::strong_count(&semaphore)), (0, 3));
        let permits: Vec<_> = receiver.iter().map(|permit: Permit<Rc<Semaphore>>| permit.count()).collect();
        assert_eq!(permits, [2, 1]);
        assert_eq!((semaphore.available(), Rc::strong_count(&semaphore)), (3, 1));
    });
}

/// N13.
#[test]
fn a_panic_gives_the_permits_back() {
    testing::run(|| {
        let semaphore = Semaphore::new(1);
        task::scope(|s| {
            let breaks = s.spawn(|| {
                let _permit = semaphore.acquire().unwrap();
                sleep(1).unwrap();
                panic!("broke");
            });
            let next = s.spawn(|| semaphore.acquire().map(|permit| permit.count()));
            assert!(breaks.join().is_err());
            assert_eq!(next.join().unwrap(), Ok(1));
        });
    });
}

/// N13.
#[test]
fn a_permit_that_is_forgotten_is_told_of_and_one_that_owns_its_semaphore_is_not() {
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let hook = told.clone();
    let semaphore = Rc::new(Semaphore::new(2));
    let runtime = Runtime::builder().debug(true).slow_step(seconds(9));
    runtime.on_unhandled(move |event| hook.borrow_mut().push(event.to_string())).build().run(|| {
        task::scope(|s| {
            s.spawn(|| std::mem::forget(semaphore.acquire().unwrap()));
        });
        task::scope(|s| {
            s.spawn(|| std::mem::forget(semaphore.acquire_owned().unwrap()));
        });
    });
    assert_eq!(told.borrow().len(), 1, "{told:?}");
    assert!(told.borrow()[0].ends_with("ended with 1 guard that it did not give back"), "{told:?}");
    assert_eq!((semaphore.available(), semaphore.statistics().taken), (0, 2));
}

/// N14.
#[test]
fn callbacks_and_code_outside_of_a_runtime_may_try_add_and_give_back_but_not_wait() {
    let semaphore = Rc::new(Semaphore::new(1));
    let permit = semaphore.try_acquire().unwrap().into_owned(&semaphore);
    assert!(semaphore.try_acquire().is_none());
    assert_eq!(
        panic_text(|| semaphore.acquire().map(drop)),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
    testing::run(|| {
        let refused = Rc::new(Cell::new(None));
        task::scope(|s| {
            let waiters = [1, 2].map(|count| {
                s.spawn({
                    let semaphore = &semaphore;
                    move || semaphore.acquire_many(count).map(|permit| permit.forget())
                })
            });
            time::call_later(seconds(1), move || drop(permit));
            time::call_later(seconds(2), {
                let (semaphore, refused) = (semaphore.clone(), refused.clone());
                move || {
                    semaphore.add_permits(3);
                    drop(semaphore.try_acquire().unwrap());
                    refused.set(semaphore.acquire().map(drop).err());
                }
            });
            sleep(1).unwrap();
            settle();
            assert!(waiters[0].is_finished() && !waiters[1].is_finished());
            waiters[1].join().unwrap().unwrap();
        });
        assert_eq!(refused.get().unwrap().reason(), Reason::OutsideTask);
        assert_eq!(semaphore.available(), 1);
    });
}

/// N14.
#[test]
fn in_a_cancelled_scope_and_while_unwinding_nothing_is_taken() {
    testing::run(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(semaphore.acquire().map(drop).unwrap_err().reason(), Reason::Requested);
            assert!(select(semaphore.acquiring()).is_err());
            assert!(semaphore.try_acquire().is_some(), "what does not wait does not fail");
            assert!(task::shield(|| semaphore.acquire().map(drop)).is_ok());
        });
        let in_a_destructor = semaphore.clone();
        let (waits, tries) = while_unwinding(move || {
            let waits = in_a_destructor.acquire().map(drop).map_err(|cancelled| cancelled.reason());
            (waits, in_a_destructor.try_acquire().is_some())
        });
        assert_eq!((waits, tries), (Err(Reason::Unwinding), true));
        assert_eq!(semaphore.available(), 1);
    });
}

/// N15.
#[test]
fn of_two_semaphores_exactly_one_permit_is_taken() {
    testing::run(|| {
        let (first, second) = (Semaphore::new(0), Semaphore::new(0));
        task::scope(|s| {
            let selecting = s.spawn(|| {
                let chosen = select((first.acquiring(), second.acquiring())).unwrap();
                assert_eq!((first.statistics().waiting, second.statistics().waiting), (0, 0));
                match chosen {
                    Chosen::First(permit) => (1, permit.count()),
                    Chosen::Second(permit) => (2, permit.count()),
                }
            });
            settle();
            assert_eq!((first.statistics().waiting, second.statistics().waiting), (1, 1));
            // In one step: the second to come finds nobody, and stays.
            second.add_permits(1);
            first.add_permits(1);
            assert_eq!((first.available(), second.available()), (1, 0));
            assert_eq!(selecting.join().unwrap(), (2, 1));
            assert_eq!((first.available(), second.available()), (1, 1));
        });
        // Both are there: the first arm has it.
        let chosen = select((first.acquiring(), second.acquiring_many(1)));
        assert!(matches!(chosen, Ok(Chosen::First(_))));
        assert_eq!((first.available(), second.available()), (0, 1));
        // An arm that nobody waits for does nothing.
        let _unused = second.acquiring();
        assert_eq!(second.available(), 1);
    });
}

/// N15.
#[test]
fn two_arms_at_one_semaphore_are_two_requests_of_which_one_is_granted() {
    testing::run(|| {
        let semaphore = Semaphore::new(0);
        task::scope(|s| {
            let both = s.spawn(|| {
                let count = |permit: Permit<_>| permit.count();
                let arms = (semaphore.acquiring_many(2).map(count), semaphore.acquiring().map(count));
                select(arms).unwrap()
            });
            let next = s.spawn(|| semaphore.acquire().map(|permit| permit.forget()));
            settle();
            assert_eq!(semaphore.statistics().waiting, 2);
            semaphore.add_permits(1);
            settle();
            assert!(!both.is_finished(), "the request for two stands first");
            semaphore.add_permits(1);
            assert_eq!(both.join().unwrap(), Chosen::First(2));
            next.join().unwrap().unwrap();
        });
        assert_eq!(semaphore.available(), 1);
    });
}

/// N15.
#[test]
fn permits_that_were_granted_to_a_select_that_panics_come_back() {
    testing::run(|| {
        let semaphore = Semaphore::new(0);
        task::scope(|s| {
            let breaks = s.spawn(|| select(semaphore.acquiring_many(2).map(|_permit| panic!("broke"))));
            let next = s.spawn(|| semaphore.acquire().map(drop));
            settle();
            semaphore.add_permits(2);
            assert!(breaks.join().is_err());
            next.join().unwrap().unwrap();
        });
        assert_eq!(semaphore.available(), 2);
    });
}

/// N16.
#[test]
fn dumps_and_deadlock_reports_say_how_many_are_asked_for_and_how_many_there_are() {
    let (few, many) = (Semaphore::new(0), Semaphore::new(2));
    let reported = deadlock_of(|| {
        task::scope(|s| {
            s.spawn(|| few.acquire().is_err());
            s.spawn(|| many.acquire_many(3).is_err());
            s.spawn(|| many.acquire().is_err());
            s.spawn(|| select((few.acquiring(), many.acquiring_many(2))).is_err());
        });
    });
    let expected = [
        "scope with 4 tasks",
        "semaphore",
        "semaphore: 3 permits of 2 available",
        "semaphore: 1 permit of 2 available",
        "select semaphore, semaphore: 2 permits of 2 available",
    ];
    assert_eq!(reported, expected);
}

/// N10.
#[test]
fn a_request_for_more_than_there_are_waits_until_there_are_more() {
    testing::run(|| {
        let semaphore = Semaphore::new(2);
        task::scope(|s| {
            let big = s.spawn(|| semaphore.acquire_many(3).map(|permit| permit.count()));
            settle();
            assert_eq!(waits_for(&big), "semaphore: 3 permits of 2 available");
            semaphore.add_permits(1);
            assert_eq!(big.join().unwrap(), Ok(3));
        });
    });
}

#[test]
fn a_task_that_always_finds_permits_lets_others_run() {
    testing::run(|| {
        let (semaphore, turns) = (Semaphore::new(1), Cell::new(0));
        task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    turns.set(turns.get() + 1);
                }
            });
            for _ in 0..10_000 {
                drop(semaphore.acquire().unwrap());
            }
        });
        assert!(turns.get() > 10, "others had {} turns", turns.get());
    });
}

#[test]
fn a_generator_may_keep_a_permit_between_its_items() {
    testing::run(|| {
        task::scope(|s| {
            let kept = Rc::new(Semaphore::new(1));
            let shared = kept.clone();
            let items = generate(move |co| {
                for item in 0.. {
                    let _permit = shared.acquire().unwrap();
                    sleep(1).unwrap();
                    co.yield_(item);
                }
            });
            assert_eq!(items.next(), Some(0));
            assert_eq!(kept.available(), 0);
            let other = s.spawn({
                let kept = kept.clone();
                move || kept.acquire().map(drop)
            });
            settle();
            assert!(!other.is_finished());
            // When it asks again it stands behind the other task.
            assert_eq!(items.next(), Some(1));
            assert!(other.is_finished());
            drop(items);
            assert_eq!(kept.available(), 1);
        });
    });
}

#[test]
fn it_shows_what_is_there() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire().unwrap();
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 1, waiting: 0 }");
    assert_eq!(format!("{permit:?}"), "Permit { count: 1 }");
    assert_eq!(format!("{:?}", semaphore.acquiring_many(2)), "Acquiring { count: 2 }");
}
