//! Cancelling: a level, not an event. What is cancelled stays so until it is left.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::{Cancelled, JoinError, Reason, task, time};

use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, run, seconds, sleep, unhandled_by};

fn slept(slept: Result<(), Cancelled>) -> String {
    match slept {
        Ok(()) => format!("slept until {} s", clock()),
        Err(why) => format!("{:?} at {} s", why.reason(), clock()),
    }
}

// A level.

/// Python throws once, and later waits work; here every wait fails until the scope is left.
#[test]
fn every_wait_in_a_cancelled_scope_fails_until_it_is_left() {
    check(
        |log| {
            task::cancel_scope(|scope| {
                assert!(scope.cancelled().is_none());
                assert!(scope.cancel());
                for _ in 0..3 {
                    log.add(slept(sleep(1)));
                }
                assert_eq!(task::checkpoint().unwrap_err().reason(), Reason::Requested);
                assert_eq!(
                    WaitList::<()>::new().wait(&Why::new("it")).unwrap_err().reason(),
                    Reason::Requested
                );
            });
            log.add(slept(sleep(1)));
        },
        &["Requested at 0 s", "Requested at 0 s", "Requested at 0 s", "slept until 1 s"],
    );
}

#[test]
fn a_waiting_task_is_woken_by_its_cancellation_and_what_it_returns_counts() {
    run(|| {
        let task = task::spawn(|| match sleep(100) {
            Err(_) => format!("partial result at {} s", clock()),
            Ok(()) => unreachable!(),
        });
        sleep(5).unwrap();
        assert!(task.cancel());
        assert_eq!(task.join().unwrap(), "partial result at 5 s");
        assert!(!task.cancel(), "it has ended");
    });
}

/// Python's task ends cancelled even then.
#[test]
fn a_task_that_cancels_itself_fails_at_its_next_wait_and_a_value_wins() {
    run(|| {
        let own: Rc<Cell<Option<task::JoinHandle<&str>>>> = Rc::default();
        let task = |wait: bool| {
            let own = own.clone();
            task::spawn(move || {
                let handle = own.take().unwrap();
                handle.cancel();
                own.set(Some(handle));
                match wait {
                    true => sleep(1).map_or("cancelled", |()| "slept"),
                    false => "value",
                }
            })
        };
        for (wait, expected) in [(false, "value"), (true, "cancelled")] {
            own.set(Some(task(wait)));
            sleep(5).unwrap();
            assert_eq!(own.take().unwrap().join().unwrap(), expected);
        }
    });
}

/// As Python: no stack is needed.
#[test]
fn a_task_that_is_cancelled_before_its_first_step_never_runs() {
    check(
        |log| {
            let captured = log.on_drop("what it captured is dropped");
            let ours = log.clone();
            let never = task::spawn(move || {
                let _captured = captured;
                ours.add("ran");
            });
            assert!(never.cancel());
            assert!(!never.is_finished(), "its turn has not come");
            match never.join() {
                Err(JoinError::NeverRan(why)) => log.add(format!("{:?}", why.reason())),
                other => panic!("{other:?}"),
            }
        },
        &["what it captured is dropped", "Requested"],
    );
}

#[test]
fn a_loop_that_ignores_its_cancellation_does_not_starve_others() {
    check(
        |log| {
            let stop = Rc::new(Cell::new(false));
            let stubborn = task::spawn({
                let stop = stop.clone();
                move || {
                    let mut failures = 0;
                    while !stop.get() {
                        failures += u32::from(sleep(1).is_err());
                    }
                    failures
                }
            });
            task::yield_now();
            stubborn.cancel();
            for turn in 1..=3 {
                task::yield_now();
                log.add(format!("turn {turn}"));
            }
            stop.set(true);
            assert_eq!(stubborn.join().unwrap(), 4);
        },
        &["turn 1", "turn 2", "turn 3"],
    );
}

// Reasons.

#[test]
fn the_first_reason_wins() {
    run(|| {
        let seen = time::move_on_after(seconds(5), |scope| {
            assert!(scope.cancel());
            assert!(!scope.cancel());
            let before = sleep(1).unwrap_err().reason();
            task::shield(|| sleep(10)).unwrap();
            (before, sleep(1).unwrap_err().reason(), scope.cancelled().unwrap().reason())
        });
        assert_eq!(seen, None, "it was cut short");
        let seen = task::cancel_scope(|outer| {
            task::cancel_scope(|inner| {
                inner.cancel();
                let first = sleep(1).unwrap_err().reason();
                outer.cancel();
                (first, inner.cancel(), sleep(1).unwrap_err().reason())
            })
        });
        assert_eq!(seen, (Reason::Requested, false, Reason::Requested));
    });
}

#[test]
fn an_error_says_why() {
    let why = |reason| Cancelled::new(reason).to_string();
    assert_eq!(why(Reason::Requested), "cancelled");
    assert_eq!(why(Reason::Deadline), "cancelled: a deadline has passed");
    assert_eq!(why(Reason::Unwinding), "not waited: the task is panicking");
    run(|| {
        let late = time::timeout(seconds(1), || sleep(2)).unwrap_err().into_inner();
        assert_eq!(late.unwrap_err().reason(), Reason::Deadline);
    });
}

/// Never `Interrupted`, which std's loops retry for ever.
#[test]
fn inside_an_io_error_it_is_recognised_and_not_retried() {
    struct Slow;
    impl std::io::Read for Slow {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            sleep(1)?;
            Ok(0)
        }
    }
    run(|| {
        task::cancel_scope(|scope| {
            scope.cancel();
            let error = std::io::Read::read_to_end(&mut Slow, &mut Vec::new()).unwrap_err();
            assert!(Cancelled::is(&error));
            assert_eq!(Cancelled::in_error(&error).unwrap().reason(), Reason::Requested);
        });
    });
}

// Shields.

#[test]
fn a_shield_keeps_cancellation_out_and_lets_it_in_again_when_it_ends() {
    check(
        |log| {
            task::cancel_scope(|scope| {
                scope.cancel();
                task::shield(|| log.add(slept(sleep(2))));
                log.add(slept(sleep(2)));
            });
        },
        &["slept until 2 s", "Requested at 2 s"],
    );
}

#[test]
fn what_comes_while_a_shield_is_up_is_felt_when_it_is_down() {
    check(
        |log| {
            let task = task::spawn({
                let log = log.clone();
                move || {
                    task::shield(|| log.add(slept(sleep(10))));
                    log.add(slept(sleep(10)));
                }
            });
            sleep(3).unwrap();
            assert!(task.cancel());
            task.join().unwrap();
        },
        &["slept until 10 s", "Requested at 10 s"],
    );
}

#[test]
fn shields_and_scopes_nest_in_any_order() {
    check(
        |log| {
            task::cancel_scope(|outer| {
                outer.cancel();
                task::shield(|| {
                    task::shield(|| log.add(slept(sleep(1))));
                    log.add(slept(sleep(1)));
                    task::cancel_scope(|inner| {
                        log.add(slept(sleep(1)));
                        inner.cancel();
                        log.add(slept(sleep(1)));
                        task::shield(|| log.add(slept(sleep(1))));
                        log.add(slept(sleep(1)));
                    });
                    log.add(slept(sleep(1)));
                });
                log.add(slept(sleep(1)));
            });
        },
        &[
            "slept until 1 s",
            "slept until 2 s",
            "slept until 3 s",
            "Requested at 3 s",
            "slept until 4 s",
            "Requested at 4 s",
            "slept until 5 s",
            "Requested at 5 s",
        ],
    );
}

#[test]
fn a_shield_can_be_given_a_limit() {
    check(
        |log| {
            task::cancel_scope(|outer| {
                outer.cancel();
                let done = task::shield(|| time::timeout(seconds(3), || sleep(100)));
                log.add(format!("{:?} at {} s", done.is_err(), clock()));
            });
        },
        &["true at 3 s"],
    );
}

#[test]
fn tasks_of_a_scope_under_a_shield_are_shielded_too() {
    check(
        |log| {
            task::cancel_scope(|outer| {
                outer.cancel();
                task::shield(|| {
                    task::scope(|s| {
                        s.spawn(|| log.add(slept(sleep(4))));
                    });
                });
            });
        },
        &["slept until 4 s"],
    );
}

// Waits that have been granted.

/// cpython #90155, #112202: nothing that was handed over gets lost.
#[test]
fn a_wait_that_was_granted_returns_its_grant_although_the_task_was_cancelled() {
    check(
        |log| {
            let line = WaitList::new();
            task::scope(|s| {
                let waiter = s.spawn(|| {
                    let granted = line.wait(&Why::new("it"));
                    log.add(format!("granted: {granted:?}"));
                    log.add(slept(sleep(1)));
                });
                task::yield_now();
                line.wake_one("value").unwrap();
                waiter.cancel();
                assert!(line.is_empty());
            });
        },
        &["granted: Ok(\"value\")", "Requested at 0 s"],
    );
}

#[test]
fn a_cancelled_waiter_leaves_its_place_to_the_next() {
    check(
        |log| {
            let line = WaitList::new();
            task::scope(|s| {
                let waiters = ["a", "b", "c"].map(|name| {
                    let line = &line;
                    s.spawn(move || {
                        let got = line.wait(&Why::new("it")).map_err(|why| why.reason());
                        log.add(format!("{name}: {got:?}"));
                    })
                });
                task::yield_now();
                assert_eq!((line.len(), line.first()), (3, Some(waiters[0].id())));
                waiters[0].cancel();
                // It still has to run to leave the line; a wake passes over it already.
                assert_eq!((line.len(), line.first()), (2, Some(waiters[1].id())));
                line.wake_one(1).unwrap();
                line.wake_one(2).unwrap();
                assert_eq!(line.wake_one(3), Err(3));
            });
        },
        &["a: Err(Requested)", "b: Ok(1)", "c: Ok(2)"],
    );
}

#[test]
fn a_join_that_was_granted_returns_the_result_although_the_joiner_was_cancelled() {
    run(|| {
        let worker = Rc::new(task::spawn(|| sleep(1).map(|()| "result")));
        let joiner = task::spawn({
            let worker = worker.clone();
            move || worker.join()
        });
        let canceller = task::spawn({
            let worker = worker.clone();
            move || {
                // Woken after the joiner, in the same instant.
                task::wait(&[&*worker], task::Until::All).unwrap();
            }
        });
        canceller.join().unwrap();
        joiner.cancel();
        assert_eq!(joiner.join().unwrap().unwrap(), Ok("result"));
    });
}

// While unwinding.

#[test]
fn the_waits_of_a_panicking_task_fail_at_once_and_do_not_switch() {
    check(
        |log| {
            let other = task::spawn({
                let log = log.clone();
                move || log.add("other task")
            });
            let ours = log.clone();
            while_unwinding(move || {
                let why = |waited: Result<(), Cancelled>| waited.unwrap_err().reason();
                assert_eq!(why(sleep(1)), Reason::Unwinding);
                assert_eq!(why(sleep(0)), Reason::Unwinding);
                assert_eq!(why(task::checkpoint()), Reason::Unwinding);
                assert_eq!(why(task::shield(|| sleep(1))), Reason::Unwinding);
                assert_eq!(why(WaitList::new().wait(&Why::new("it"))), Reason::Unwinding);
                task::yield_now();
                ours.add("destructor");
            });
            log.add("caught");
            other.join().unwrap();
        },
        &["destructor", "caught", "other task"],
    );
}

#[test]
fn a_destructor_that_runs_during_a_panic_may_spawn_wake_and_cancel() {
    run(|| {
        let line = Rc::new(WaitList::new());
        let waiter = task::spawn({
            let line = line.clone();
            move || line.wait(&Why::new("it"))
        });
        let sleeper = task::spawn(|| sleep(100));
        task::yield_now();
        let spawned = while_unwinding(move || {
            line.wake_one("woken").unwrap();
            sleeper.cancel();
            let ended = task::spawn(|| ());
            (task::Builder::new().eager(true).spawn(|| "spawned"), ended, sleeper)
        });
        assert_eq!(waiter.join().unwrap(), Ok("woken"));
        assert_eq!(spawned.0.join().unwrap(), "spawned");
        assert!(spawned.2.join().unwrap().is_err());
    });
}

#[test]
fn a_panicking_task_can_take_a_result_that_is_there() {
    run(|| {
        let (ready, slow) = (task::spawn(|| "ready"), task::spawn(|| sleep(100)));
        task::yield_now();
        let seen = while_unwinding(move || (ready.join(), slow.join().map(drop)));
        assert_eq!(seen.0.unwrap(), "ready");
        assert!(matches!(seen.1, Err(JoinError::Cancelled(why)) if why.reason() == Reason::Unwinding));
    });
}

// Cleaning up.

#[test]
fn finally_cleans_up_whatever_happened_and_may_wait() {
    check(
        |log| {
            let tidy = || {
                task::shield(|| sleep(1)).unwrap();
                log.add(slept(sleep(1)));
            };
            assert_eq!(task::finally(|| 5, tidy), 5);
            task::cancel_scope(|scope| {
                scope.cancel();
                let _ = task::finally(|| sleep(100), tidy);
            });
            let text = panic_text(|| task::finally(|| panic!("body broke"), tidy));
            log.add(text);
        },
        &["slept until 2 s", "slept until 4 s", "slept until 6 s", "body broke"],
    );
}

#[test]
fn finally_within_gives_its_cleanup_a_limit() {
    check(
        |log| {
            task::cancel_scope(|scope| {
                scope.cancel();
                task::finally_within(seconds(3), || (), || log.add(slept(sleep(100))));
            });
            task::finally_within(seconds(3), || (), || log.add(slept(sleep(2))));
        },
        &["Deadline at 3 s", "slept until 5 s"],
    );
}

#[test]
fn of_two_panics_that_of_the_body_goes_on_and_that_of_the_cleanup_goes_to_the_hook() {
    let (text, told) = unhandled_by(|| panic_text(|| task::finally(|| panic!("body"), || panic!("cleanup"))));
    assert_eq!(text, "body");
    assert_eq!(told, ["task 1 panicked, and nobody joined it: cleanup"]);
    assert_eq!(run(|| panic_text(|| task::finally(|| 1, || panic!("cleanup")))), "cleanup");
}

#[test]
fn finally_in_a_task_that_the_end_of_run_cancels_is_run() {
    let log = Log::new();
    let (_, _) = unhandled_by(|| {
        let ours = log.clone();
        task::spawn(move || task::finally(|| sleep(100), || ours.add(slept(sleep(2)))));
        sleep(1).unwrap();
    });
    log.assert(&["slept until 3 s"]);
}

// Cancelling from elsewhere.

#[test]
fn a_canceller_works_from_tasks_and_callbacks_while_the_scope_is_open() {
    check(
        |log| {
            let kept = task::cancel_scope(|scope| {
                let (canceller, kept) = (scope.canceller(), scope.canceller());
                let ours = log.clone();
                time::call_later(seconds(2), move || {
                    ours.add(format!("did something: {}", canceller.cancel()))
                });
                log.add(slept(sleep(100)));
                assert!(!kept.cancel(), "it was cancelled before");
                kept
            });
            assert!(!kept.cancel(), "it is closed");
            log.add(slept(sleep(1)));
        },
        &["did something: true", "Requested at 2 s", "slept until 3 s"],
    );
}

#[test]
fn a_canceller_that_is_kept_does_nothing_to_a_later_scope() {
    run(|| {
        let mut kept = Vec::new();
        for _ in 0..3 {
            // Each lies where the one before it lay.
            task::cancel_scope(|scope| {
                assert!(kept.iter().all(|old: &task::Canceller| !old.cancel()));
                assert!(scope.cancelled().is_none());
                kept.push(scope.canceller());
            });
        }
    });
}

#[test]
fn what_the_body_of_a_cancelled_scope_returns_is_returned() {
    run(|| {
        let value = task::cancel_scope(|scope| {
            scope.cancel();
            "value"
        });
        assert_eq!(value, "value");
    });
}
