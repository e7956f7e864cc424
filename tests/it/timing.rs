//! Time: sleeping, limits, ticks and callbacks. Nothing comes before its time, and equal times in the order of setting.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ropewalk::lowlevel;
use ropewalk::time::Missed;
use ropewalk::{Cancelled, Clock, Elapsed, Reason, RunError, Runtime, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep, unhandled_by};

// Sleeping.

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    check(
        |log| {
            task::scope(|s| {
                for delay in [3, 1, 4, 1, 5] {
                    s.spawn(move || {
                        sleep(delay).unwrap();
                        log.add(format!("{delay} at {} s", clock()));
                    });
                }
            });
        },
        &["1 at 1 s", "1 at 1 s", "3 at 3 s", "4 at 4 s", "5 at 5 s"],
    );
}

/// Python does not promise it and does not do it.
#[test]
fn equal_deadlines_come_in_the_order_in_which_they_were_set() {
    run(|| {
        let order = Rc::new(Cell::new(Vec::new()));
        let note = |number: usize| {
            let order = order.clone();
            move || {
                let mut numbers = order.take();
                numbers.push(number);
                order.set(numbers);
            }
        };
        let deadline = time::now() + seconds(1);
        for number in (0..30).step_by(3) {
            time::call_at(deadline, note(number));
            let noted = note(number + 1);
            task::Builder::new().eager(true).spawn(move || {
                time::sleep_until(deadline).unwrap();
                noted();
            });
            time::call_at(deadline, note(number + 2));
        }
        // A callback runs when it is due, a sleeper in its turn after that.
        sleep(2).unwrap();
        let (mut calls, mut sleepers) = (Vec::new(), Vec::new());
        for number in order.take() {
            if number % 3 == 1 { sleepers.push(number) } else { calls.push(number) }
        }
        assert!(calls.is_sorted() && calls.len() == 20, "{calls:?}");
        assert!(sleepers.is_sorted() && sleepers.len() == 10, "{sleepers:?}");
    });
}

#[test]
fn nothing_wakes_before_its_time() {
    run(|| {
        task::scope(|s| {
            for nanos in (1..2_000_000).step_by(99_991) {
                s.spawn(move || {
                    let deadline = time::now() + Duration::from_nanos(nanos);
                    time::sleep(Duration::from_nanos(nanos)).unwrap();
                    assert_eq!(time::now(), deadline);
                });
            }
        });
    });
}

/// S4.26.
#[test]
fn a_sleep_of_nothing_is_exactly_one_switch() {
    check(
        |log| {
            task::scope(|s| {
                for name in ["a", "b"] {
                    s.spawn(move || {
                        log.add(format!("{name}1"));
                        sleep(0).unwrap();
                        log.add(format!("{name}2"));
                        time::sleep_until(time::now()).unwrap();
                        log.add(format!("{name}3"));
                    });
                }
            });
            log.add(format!("{} s", clock()));
        },
        &["a1", "b1", "a2", "b2", "a3", "b3", "0 s"],
    );
}

#[test]
fn a_sleep_that_is_longer_than_time_itself_can_be_cancelled() {
    run(|| {
        let late = time::timeout(seconds(1), || time::sleep(Duration::MAX));
        assert!(late.is_err());
        assert_eq!(clock(), 1.0);
    });
}

#[test]
fn a_sleep_that_never_ends_keeps_nobody_waiting() {
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    let ended = runtime.try_run(|| {
        time::call_later(Duration::MAX, || unreachable!("time has no end"));
        time::sleep(Duration::MAX).map_err(|why| why.reason())
    });
    let Err(RunError::Deadlock { value, report, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(value, Err(Reason::Deadlock));
    assert!(report.contains("waits for sleep ("), "{report}");
}

// Limits.

#[test]
fn a_limit_of_nothing_is_over_before_the_first_wait() {
    run(|| {
        let late = time::timeout(Duration::ZERO, || task::checkpoint().map_err(|why| why.reason()));
        assert_eq!(late.unwrap_err().into_inner(), Err(Reason::Deadline));
        let past = time::now();
        sleep(1).unwrap();
        assert!(time::timeout_at(past, task::checkpoint).is_err());
        assert_eq!(time::move_on_at(past, |_| task::checkpoint().is_ok()), None);
        let moved = time::move_on_after(seconds(5), |scope| {
            scope.set_deadline(Some(past));
            task::checkpoint().is_ok()
        });
        assert_eq!(moved, None);
        // Whoever does not wait is not late.
        assert_eq!(time::timeout(Duration::ZERO, || 7), Ok(7));
    });
}

#[test]
fn a_limit_ends_the_waits_in_it_and_nothing_else() {
    run(|| {
        assert_eq!(time::timeout(seconds(5), || sleep(3).map(|()| "in time")), Ok(Ok("in time")));
        let late = time::timeout(seconds(5), || sleep(100).map_err(|why| (why.reason(), clock())));
        assert_eq!(late.unwrap_err().into_inner(), Err((Reason::Deadline, 8.0)));
        sleep(1).unwrap();
        assert_eq!(time::timeout_at(time::now() + seconds(1), || sleep(2).is_ok()), Err(Elapsed(false)));
    });
}

/// S4.23: what is in it is waited for, also when it takes its time.
#[test]
fn a_limit_waits_for_what_is_in_it() {
    run(|| {
        let late = time::timeout(seconds(1), || {
            task::scope(|s| {
                s.spawn(|| {
                    let _ = sleep(100);
                    task::shield(|| sleep(9)).unwrap();
                });
            });
        });
        assert!(late.is_err(), "a wait of a child has failed");
        assert_eq!(clock(), 10.0);
    });
}

#[test]
fn of_nested_limits_the_one_that_comes_first_says_so() {
    run(|| {
        let nested = |outer, inner| {
            time::timeout(seconds(outer), || {
                let inner = time::timeout(seconds(inner), || sleep(100).unwrap_err().reason());
                (inner.is_err(), sleep(3).is_ok())
            })
        };
        // The inner one: the rest of the body goes on.
        assert_eq!(nested(10, 1), Ok((true, true)));
        assert_eq!(clock(), 4.0);
        // The outer one: the inner one's body was cut short, but not by its own deadline.
        assert_eq!(nested(1, 10), Err(Elapsed((false, false))));
        assert_eq!(clock(), 5.0);
        // The inner one first, and the outer one before the body has ended.
        assert_eq!(nested(2, 1), Err(Elapsed((true, false))));
        assert_eq!(clock(), 7.0);
    });
}

/// A3: as in Python.
#[test]
fn of_nested_limits_that_are_both_over_the_outer_one_says_so() {
    run(|| {
        for (outer, inner) in [(5, 5), (5, 4), (4, 5)] {
            let both = time::timeout(seconds(outer), || {
                time::timeout(seconds(inner), || {
                    // It is past both when it waits.
                    task::shield(|| sleep(6)).unwrap();
                    sleep(1).unwrap_err().reason()
                })
            });
            assert!(matches!(both, Err(Elapsed(Ok(Reason::Deadline)))), "{outer} {inner}: {both:?}");
        }
    });
}

#[test]
fn a_cancellation_from_elsewhere_is_no_elapsed_limit() {
    run(|| {
        let task = task::spawn(|| time::timeout(seconds(10), || sleep(100).map_err(|why| why.reason())));
        sleep(5).unwrap();
        task.cancel();
        assert_eq!(task.join().unwrap(), Ok(Err(Reason::Requested)));
        // Also when the limit passes later, while the body cleans up.
        let task = task::spawn(|| {
            time::timeout(seconds(10), || {
                let why = sleep(100).unwrap_err().reason();
                task::shield(|| sleep(60)).unwrap();
                (why, sleep(1).unwrap_err().reason())
            })
        });
        sleep(5).unwrap();
        task.cancel();
        assert_eq!(task.join().unwrap(), Ok((Reason::Requested, Reason::Requested)));
    });
}

#[test]
fn a_body_that_is_late_without_having_waited_has_its_value_returned() {
    run(|| {
        let late = time::timeout(seconds(1), || {
            task::shield(|| sleep(5)).unwrap();
            "late"
        });
        assert_eq!(late, Ok("late"));
        let late = time::move_on_after(seconds(1), |_| {
            task::shield(|| sleep(5)).unwrap();
            "late"
        });
        assert_eq!(late, Some("late"));
    });
}

/// Python's `wait_for(.., 0)` does not even begin; a body that does not wait is not concerned here.
#[test]
fn a_limit_of_nothing_lets_through_what_does_not_wait() {
    run(|| {
        assert_eq!(time::timeout(seconds(0), || 42), Ok(42));
        assert!(time::timeout(seconds(0), || sleep(1)).is_err());
        assert!(time::timeout_at(time::now(), || sleep(1)).is_err());
        assert_eq!(clock(), 0.0);
    });
}

#[test]
fn moving_on_gives_the_value_unless_the_limit_cut_it_short() {
    run(|| {
        assert_eq!(time::move_on_after(seconds(2), |_| sleep(1).map(|()| 1)), Some(Ok(1)));
        assert_eq!(time::move_on_after(seconds(2), |_| sleep(3)), None);
        assert_eq!(time::move_on_at(time::now() + seconds(1), |_| sleep(3)), None);
        assert_eq!(clock(), 4.0);
        let cancelled = time::move_on_after(seconds(2), |scope| {
            scope.cancel();
            sleep(1)
        });
        assert_eq!(cancelled, None, "by hand it is cut short too");
        // Cut short from outside, the value is for whoever cancelled.
        task::cancel_scope(|outer| {
            outer.cancel();
            let inner = time::move_on_after(seconds(2), |_| sleep(1).map_err(|why| why.reason()));
            assert_eq!(inner, Some(Err(Reason::Requested)));
        });
    });
}

#[test]
fn a_deadline_can_be_moved_and_taken_away() {
    run(|| {
        let at = |s: f64| time::now() + Duration::from_secs_f64(s - clock());
        let later = time::move_on_after(seconds(5), |scope| {
            assert_eq!(scope.deadline(), Some(at(5.0)));
            scope.set_deadline(Some(at(20.0)));
            sleep(10).map(|()| clock())
        });
        assert_eq!(later, Some(Ok(10.0)));
        let sooner = time::move_on_after(seconds(90), |scope| {
            scope.set_deadline(Some(at(12.0)));
            sleep(50)
        });
        assert_eq!((sooner, clock()), (None, 12.0));
        let never = time::move_on_after(seconds(1), |scope| {
            scope.set_deadline(None);
            assert_eq!(scope.deadline(), None);
            sleep(100).map(|()| clock())
        });
        assert_eq!(never, Some(Ok(112.0)));
        let given = task::cancel_scope(|scope| {
            scope.set_deadline(Some(at(113.0)));
            sleep(100).map_err(|why| (why.reason(), clock()))
        });
        assert_eq!(given, Err((Reason::Deadline, 113.0)));
        let passed = task::cancel_scope(|scope| {
            scope.set_deadline(Some(time::now() - seconds(13)));
            sleep(100).map_err(|why| (why.reason(), clock()))
        });
        assert_eq!(passed, Err((Reason::Deadline, 113.0)), "what has passed counts at once");
    });
}

#[test]
fn a_deadline_that_has_fired_cannot_be_taken_back() {
    run(|| {
        let cut = time::move_on_after(seconds(1), |scope| {
            let _ = sleep(5);
            scope.set_deadline(None);
            scope.set_deadline(Some(time::now() + seconds(10)));
            sleep(1)
        });
        assert_eq!((cut, clock()), (None, 1.0));
    });
}

#[test]
fn the_effective_deadline_is_the_earliest_up_to_a_shield() {
    run(|| {
        let at = |s: u64| Some(time::now() + seconds(s));
        assert_eq!(time::effective_deadline(), None);
        time::timeout(seconds(5), || {
            assert_eq!(time::effective_deadline(), at(5));
            time::timeout(seconds(9), || assert_eq!(time::effective_deadline(), at(5))).unwrap();
            time::timeout(seconds(3), || assert_eq!(time::effective_deadline(), at(3))).unwrap();
            task::shield(|| {
                assert_eq!(time::effective_deadline(), None);
                time::timeout(seconds(9), || assert_eq!(time::effective_deadline(), at(9))).unwrap();
            });
            task::finally_within(seconds(7), || (), || assert_eq!(time::effective_deadline(), at(7)));
            // Children in a scope are under it; a task of no scope is not.
            task::scope(|s| {
                assert_eq!(s.spawn(time::effective_deadline).join().unwrap(), at(5));
            });
            assert_eq!(task::spawn(time::effective_deadline).join().unwrap(), None);
        })
        .unwrap();
    });
    assert_eq!(time::effective_deadline(), None);
}

#[test]
fn an_elapsed_limit_is_an_io_error_of_its_own_kind() {
    fn fetch() -> std::io::Result<()> {
        time::timeout(seconds(1), || sleep(2))??;
        Ok(())
    }
    run(|| assert_eq!(fetch().unwrap_err().kind(), std::io::ErrorKind::TimedOut));
}

// Ticks.

fn ticks(missed: Missed) -> Vec<(f64, f64)> {
    run(|| {
        let began = time::now();
        let mut interval = time::interval(seconds(10)).missed(missed);
        let mut ticks = Vec::new();
        for work in [1, 25, 1, 1, 1] {
            let tick = interval.tick().unwrap();
            ticks.push(((tick - began).as_secs_f64(), clock()));
            sleep(work).unwrap();
        }
        ticks
    })
}

/// Each is the moment that a tick was for and the moment at which it came; the second takes 25 s of a period of 10 s.
#[test]
fn ticks_that_were_missed_come_at_once_or_not_at_all_or_shift_the_rest() {
    let at = |ticks: [(u32, u32); 5]| ticks.map(|(of, at)| (f64::from(of), f64::from(at)));
    assert_eq!(ticks(Missed::Burst), at([(0, 0), (10, 10), (20, 35), (30, 36), (40, 40)]));
    assert_eq!(ticks(Missed::Skip), at([(0, 0), (10, 10), (20, 35), (40, 40), (50, 50)]));
    assert_eq!(ticks(Missed::Delay), at([(0, 0), (10, 10), (20, 35), (45, 45), (55, 55)]));
}

#[test]
fn a_tick_that_was_cancelled_is_not_lost() {
    run(|| {
        let mut interval = time::interval_at(time::now() + seconds(5), seconds(10));
        assert!(time::timeout(seconds(2), || interval.tick()).is_err());
        assert_eq!(interval.next_tick(), time::now() + seconds(3));
        interval.tick().unwrap();
        assert_eq!(clock(), 5.0);
        assert_eq!(
            panic_text(|| time::interval(Duration::ZERO)),
            "the period of an interval must not be zero"
        );
    });
}

// Callbacks.

/// S1.7, S4.13.
#[test]
fn callbacks_come_at_their_time_between_the_steps_of_tasks() {
    check(
        |log| {
            let say = |event: &'static str| {
                let log = log.clone();
                move || log.add(format!("{event} at {} s", clock()))
            };
            time::call_later(seconds(2), say("second"));
            let first = time::call_later(seconds(1), say("first"));
            time::call_at(time::now() + seconds(2), say("third"));
            let never = time::call_later(seconds(2), say("never"));
            assert_eq!(never.deadline(), time::now() + seconds(2));
            sleep(1).unwrap();
            log.add("task");
            assert!(never.cancel() && !never.cancel() && never.is_cancelled());
            assert!(!first.cancel() && !first.is_cancelled(), "it has run");
            sleep(5).unwrap();
        },
        &["first at 1 s", "task", "second at 2 s", "third at 2 s"],
    );
}

#[test]
fn a_callback_that_is_cancelled_drops_what_it_captured_at_once() {
    check(
        |log| {
            let captured = log.on_drop("dropped");
            let timer = time::call_later(seconds(1), move || drop(captured));
            timer.cancel();
            log.add("cancelled");
        },
        &["dropped", "cancelled"],
    );
}

#[test]
fn a_callback_cannot_wait_but_may_spawn_and_set_others() {
    check(
        |log| {
            let ours = log.clone();
            time::call_later(seconds(1), move || {
                assert!(task::current().is_none());
                let why = |waited: Result<(), Cancelled>| waited.unwrap_err().reason();
                assert_eq!(why(sleep(1)), Reason::OutsideTask);
                assert_eq!(why(task::checkpoint()), Reason::OutsideTask);
                task::yield_now();
                assert_eq!(time::timeout(seconds(1), || why(sleep(1))), Ok(Reason::OutsideTask));
                let in_task = ours.clone();
                task::spawn(move || in_task.add(format!("task: {:?} at {} s", sleep(1), clock())));
                let again = ours.clone();
                time::call_later(seconds(3), move || again.add(format!("again at {} s", clock())));
                ours.add("callback ends");
            });
            sleep(5).unwrap();
        },
        &["callback ends", "task: Ok(()) at 2 s", "again at 4 s"],
    );
}

#[test]
fn a_callback_that_panics_goes_to_the_hook_and_harms_nobody() {
    let ((), told) = unhandled_by(|| {
        time::call_later(seconds(1), || panic!("callback broke"));
        sleep(2).unwrap();
    });
    assert_eq!(told, ["a callback panicked, and nobody joined it: callback broke"]);
}

#[test]
fn a_callback_that_is_set_when_run_returns_is_dropped_unless_a_task_lives_on_until_then() {
    let log = Log::new();
    let (timer, _) = unhandled_by(|| {
        let (early, late) = (log.clone(), log.on_drop("never ran"));
        task::spawn(|| task::shield(|| sleep(5)));
        time::call_later(seconds(3), move || early.add("while a task is waited for"));
        let timer = time::call_later(seconds(9), move || drop(late));
        sleep(1).unwrap();
        timer
    });
    log.add("run returns");
    assert!(!timer.cancel());
    run(|| {
        time::call_later(seconds(1), || ());
        assert!(!timer.cancel(), "it is not this runtime's");
    });
    log.assert(&["while a task is waited for", "never ran", "run returns"]);
}

// Fairness.

/// gevent #202, #1071: `sleep(0)` must not starve the rest.
#[test]
fn a_task_that_always_yields_starves_neither_timers_nor_other_threads() {
    run(|| {
        let seen = Rc::new(Cell::new(0));
        let count = || {
            let seen = seen.clone();
            move || seen.set(seen.get() + 1)
        };
        time::call_later(Duration::ZERO, count());
        let mut turns = 0;
        while seen.get() == 0 {
            task::yield_now();
            turns += 1;
        }
        assert!(turns <= 64, "it took {turns} turns");

        let remote = lowlevel::remote();
        let (sender, posted) = std::sync::mpsc::channel();
        let poster = move || remote.post(move || sender.send(()).unwrap()).unwrap();
        thread::spawn(poster).join().unwrap();
        let mut turns = 0;
        while posted.try_recv().is_err() {
            task::yield_now();
            turns += 1;
        }
        assert!(turns <= 64, "it took {turns} turns");
    });
}

#[test]
fn many_tasks_that_always_yield_let_each_other_and_the_clock_go_on() {
    run(|| {
        let stop = Cell::new(false);
        task::scope(|s| {
            for _ in 0..100 {
                s.spawn(|| {
                    while !stop.get() {
                        task::yield_now();
                    }
                });
            }
            // Due at once: time does not go on while somebody can.
            let _ = time::timeout_at(time::now(), || sleep(1));
            stop.set(true);
        });
        assert_eq!(clock(), 0.0);
    });
}

#[test]
fn what_a_grace_cuts_short_under_a_shield_was_not_cut_short_by_the_deadline_outside() {
    let value = run(|| {
        time::timeout(seconds(1), || {
            let cleanup = || assert!(sleep(9).is_err());
            task::finally_within(seconds(2), || 42, cleanup)
        })
    });
    // The deadline came when no wait stood under it.
    assert_eq!(value, Ok(42));
}
