//! The tools for tests: what fails a test, what can be replayed, when all tasks wait.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::testing::{self, Setup};
use ropewalk::{Clock, Problem, task, time};

use crate::log::{Log, panic_text};

const SECOND: Duration = Duration::from_secs(1);

fn sleeps_long() {
    let _ = time::sleep(1000 * SECOND);
}

#[test]
fn a_run_returns_what_its_program_returns_and_may_borrow() {
    let mut words = vec!["b", "a"];
    let count = testing::run(|| {
        task::scope(|s| s.spawn(|| words.sort()).join().unwrap());
        words.len()
    });
    assert_eq!((count, words), (2, vec!["a", "b"]));
}

#[test]
fn a_task_that_is_left_over_fails_the_test_by_its_name_and_where_it_was_spawned() {
    let text = panic_text(|| {
        testing::run(|| {
            task::Builder::new().name("ticker").spawn(sleeps_long);
            task::spawn(sleeps_long);
        });
    });
    assert!(text.contains("'ticker' spawned at tests/it/test_tools.rs:"), "{text}");
    assert_eq!(text.matches("was still there when the first task ended").count(), 2, "{text}");
}

#[test]
fn leftovers_can_be_allowed_and_nothing_else_is() {
    let setup = Setup::new().allow_leftovers();
    setup.run(|| drop(task::spawn(sleeps_long)));
    let text = panic_text(|| {
        setup.run(|| {
            task::spawn(sleeps_long);
            time::call_later(SECOND, || panic!("in a callback"));
            time::sleep(2 * SECOND).unwrap();
        });
    });
    assert!(text.contains("a callback panicked") && !text.contains("still there"), "{text}");
}

#[test]
fn a_panic_that_nobody_joins_fails_the_test() {
    let text = panic_text(|| {
        testing::run(|| {
            task::spawn(|| panic!("unheard"));
            time::sleep(SECOND).unwrap();
        });
    });
    assert!(text.contains("panicked, and nobody joined it: unheard"), "{text}");
    testing::run(|| task::spawn(|| panic!("heard")).join().unwrap_err());
}

#[test]
fn an_error_that_nobody_looks_at_fails_the_test() {
    let text = panic_text(|| {
        testing::run(|| {
            task::spawn(|| Err::<(), _>("no room"));
            time::sleep(SECOND).unwrap();
        });
    });
    assert!(text.contains("returned an error, and nobody joined it: no room"), "{text}");
}

#[test]
fn the_panic_of_the_program_goes_before_what_it_leaves_behind() {
    let text = panic_text(|| {
        testing::run(|| {
            task::spawn(sleeps_long);
            panic!("first of all");
        });
    });
    assert_eq!(text, "first of all");
}

#[test]
fn a_deadlock_fails_the_test_and_says_who_waits() {
    let text = panic_text(|| {
        testing::run(|| WaitList::<()>::new().wait(&Why::new("godot")).is_err());
    });
    assert!(text.contains("deadlock") && text.contains("waits for godot"), "{text}");
}

#[test]
fn an_hour_takes_no_time_and_is_exact() {
    testing::run(|| {
        let began = time::now();
        time::sleep(3600 * SECOND).unwrap();
        assert_eq!(time::now() - began, 3600 * SECOND);
    });
}

#[test]
fn a_real_clock_can_be_asked_for_and_is_not_set() {
    Setup::new().clock(Clock::Real).run(|| {
        let text = panic_text(|| testing::advance(SECOND));
        assert!(text.contains("only a virtual clock"), "{text}");
    });
}

#[test]
fn what_an_advance_makes_due_is_done_in_order_and_not_before_the_task_waits() {
    let log = Log::new();
    testing::run(|| {
        let began = time::now();
        for (delay, event) in [(3, "third"), (1, "first"), (2, "second"), (9, "never")] {
            let log = log.clone();
            time::call_later(delay * SECOND, move || log.add(event));
        }
        testing::advance(5 * SECOND);
        assert_eq!(time::now() - began, 5 * SECOND);
        log.add("advanced");
        testing::wait_all_tasks_blocked().unwrap();
        assert_eq!(time::now() - began, 5 * SECOND);
    });
    log.assert(&["advanced", "first", "second", "third"]);
}

#[test]
fn all_tasks_are_blocked_when_none_could_go_on_and_no_time_has_passed() {
    let log = Log::new();
    testing::explore(0..50, || {
        let (log, began) = (Log::new(), time::now());
        task::scope(|s| {
            s.spawn(|| {
                (0..100).for_each(|_| task::yield_now());
                log.add("yielded");
            });
            s.spawn(|| {
                time::sleep(Duration::from_nanos(1)).unwrap();
                log.add("slept");
            });
            testing::wait_all_tasks_blocked().unwrap();
            log.add("blocked");
            assert_eq!(time::now(), began);
        });
        log.assert(&["yielded", "blocked", "slept"]);
    });
    log.assert(&[]);
}

#[test]
fn a_callback_that_is_due_runs_before_all_tasks_are_blocked() {
    let log = Log::new();
    testing::run(|| {
        let inner = log.clone();
        time::call_later(Duration::ZERO, move || {
            inner.add("called");
            let inner = inner.clone();
            time::call_later(Duration::ZERO, move || inner.add("called by that"));
        });
        testing::wait_all_tasks_blocked().unwrap();
        log.add("blocked");
    });
    log.assert(&["called", "called by that", "blocked"]);
}

#[test]
fn several_wait_until_all_are_blocked_and_a_cancelled_one_does_not() {
    testing::run(|| {
        let cancelled = task::spawn(testing::wait_all_tasks_blocked);
        let others = [0; 3].map(|_| task::spawn(testing::wait_all_tasks_blocked));
        task::yield_now();
        cancelled.cancel();
        assert!(cancelled.join().unwrap().is_err());
        for other in others {
            other.join().unwrap().unwrap();
        }
    });
}

/// The order in which three tasks run, twice each.
fn order() -> Vec<usize> {
    let order = RefCell::new(Vec::new());
    task::scope(|s| {
        for number in 0..3 {
            let order = &order;
            s.spawn(move || {
                order.borrow_mut().push(number);
                task::yield_now();
                order.borrow_mut().push(number);
            });
        }
    });
    order.into_inner()
}

#[test]
fn schedules_differ_and_one_seed_is_one_schedule() {
    let seeded = |seed| Setup::new().seed(seed).run(order);
    let mut orders: Vec<_> = (0..200).map(seeded).collect();
    assert!((0..200).map(seeded).eq(orders.iter().cloned()));
    orders.sort();
    orders.dedup();
    // There are 90: 6! / 2!^3.
    assert!(orders.len() > 60, "{} of 90 orders", orders.len());
}

#[test]
fn a_test_can_be_explored_as_it_is() {
    let runs = Cell::new(0);
    let test = || {
        testing::run(|| {
            runs.set(runs.get() + 1);
            order().len()
        })
    };
    assert_eq!(test(), 6);
    testing::explore(0..10, || assert_eq!(test(), 6));
    assert!(runs.get() > 1);
    // What it leaves behind is found there too.
    let text = panic_text(|| testing::explore(0..10, || testing::run(|| drop(task::spawn(sleeps_long)))));
    assert!(text.contains("still there"), "{text}");
    assert_eq!(test(), 6);
}

#[test]
fn chance_comes_from_the_seed_and_does_not_change_the_order() {
    let throws = || (0..10).map(|_| testing::random(1000)).collect::<Vec<_>>();
    let seeded = |seed| Setup::new().seed(seed).run(throws);
    assert_eq!(seeded(7), seeded(7));
    assert_ne!(seeded(7), seeded(8));
    assert_eq!(testing::run(throws), testing::run(throws));
    let order_after = |asked| {
        Setup::new().seed(3).run(move || {
            (0..asked).for_each(|_| drop(testing::random(6).to_string()));
            order()
        })
    };
    assert_eq!(order_after(0), order_after(5));
}

#[test]
fn every_moment_is_cut_once() {
    let log = Log::new();
    let moments = testing::cancel_everywhere(|cut| {
        let passed = cut.here(|| (0..3).take_while(|_| task::checkpoint().is_ok()).count());
        log.add(format!("{:?}: {passed}", cut.moment()));
    });
    // Each checkpoint is cut before it looks, where all tasks wait, and before the task goes on.
    assert_eq!(moments, 6);
    log.assert(&[
        "None: 3",
        "Some(0): 0",
        "Some(1): 0",
        "Some(2): 1",
        "Some(3): 1",
        "Some(4): 2",
        "Some(5): 2",
    ]);
}

#[test]
fn a_program_that_is_cut_nowhere_or_twice_or_does_something_else_each_time_is_refused() {
    let nowhere = panic_text(|| testing::cancel_everywhere(|_| ()));
    assert!(nowhere.contains("must call `Cut::here`"), "{nowhere}");
    let twice = panic_text(|| {
        testing::cancel_everywhere(|cut| {
            cut.here(|| ());
            cut.here(|| ());
        })
    });
    assert!(twice.contains("one place"), "{twice}");
    let mut runs = 3;
    let differs = panic_text(|| {
        testing::cancel_everywhere(|cut| {
            runs -= 1;
            cut.here(|| (0..runs).for_each(|_| task::yield_now()));
        })
    });
    assert!(differs.contains("the same each time"), "{differs}");
}

#[test]
fn a_slow_step_fails_only_where_that_was_asked_for() {
    let slow = || while task::current().is_none() {};
    testing::run(slow);
    let seen = std::rc::Rc::new(Cell::new(0));
    let count = seen.clone();
    let setup = Setup::new().slow_step(Duration::ZERO).allow(move |left| {
        count.set(count.get() + 1);
        matches!(left.problem, Problem::SlowStep(_))
    });
    setup.run(slow);
    assert!(seen.get() > 0);
}
