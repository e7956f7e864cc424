//! Tasks of no scope, their handles, and the runtime that they live in.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use ropewalk::lowlevel::{TaskState, Why};
use ropewalk::{Clock, JoinError, Reason, RunError, Runtime, task, time};

use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep, unhandled_by, without_place};

// Order.

#[test]
fn tasks_begin_in_the_order_in_which_they_were_spawned_and_the_parent_goes_on_first() {
    check(
        |log| {
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    log.add(format!("spawn {name}"));
                    s.spawn(move || log.add(format!("{name} begins")));
                }
                log.add("parent goes on");
                task::yield_now();
                log.add("parent again");
            });
        },
        &[
            "spawn a",
            "spawn b",
            "spawn c",
            "parent goes on",
            "a begins",
            "b begins",
            "c begins",
            "parent again",
        ],
    );
}

#[test]
fn tasks_that_are_ready_take_turns() {
    check(
        |log| {
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    s.spawn(move || {
                        for turn in 1..=2 {
                            log.add(format!("{name}{turn}"));
                            task::yield_now();
                        }
                    });
                }
            });
        },
        &["a1", "b1", "c1", "a2", "b2", "c2"],
    );
}

#[test]
fn a_task_that_is_spawned_by_a_child_goes_to_the_end_of_the_line() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn(move || {
                    log.add("a");
                    s.spawn(|| log.add("child of a"));
                });
                s.spawn(|| log.add("b"));
            });
        },
        &["a", "b", "child of a"],
    );
}

#[test]
fn tasks_that_join_the_same_one_go_on_in_the_order_in_which_they_began_to_wait() {
    check(
        |log| {
            let worker = Rc::new(task::spawn(|| sleep(1)));
            task::scope(|s| {
                for name in ["first", "second", "third"] {
                    let worker = worker.clone();
                    s.spawn(move || {
                        let result = worker.join();
                        log.add(format!(
                            "{name}: {}",
                            result.map_or_else(|e| e.to_string(), |_| "value".into())
                        ));
                    });
                }
            });
        },
        &[
            "first: value",
            "second: the result of the task has been taken already",
            "third: the result of the task has been taken already",
        ],
    );
}

#[test]
fn an_eager_task_runs_up_to_its_first_wait_before_spawn_returns() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn(|| log.add("spawned before"));
                let eager = task::Builder::new().eager(true).spawn_in(s, || {
                    log.add("eager begins");
                    task::yield_now();
                    log.add("eager ends");
                });
                log.add("parent goes on");
                assert!(!eager.is_finished());
                let short = task::Builder::new().eager(true).spawn_in(s, || log.add("short"));
                assert!(short.is_finished());
            });
        },
        &["eager begins", "parent goes on", "short", "spawned before", "eager ends"],
    );
}

#[test]
fn an_eager_task_begins_at_once_whatever_the_seed() {
    for seed in 0..50 {
        let runtime = Runtime::builder().clock(Clock::Virtual).seed(seed).build();
        let began = Cell::new(0);
        runtime.run(|| {
            task::scope(|s| {
                for _ in 0..5 {
                    s.spawn(task::yield_now);
                }
                let outer = task::Builder::new().eager(true).spawn_in(s, || {
                    let inner = task::Builder::new().eager(true).spawn_in(s, || began.set(began.get() + 1));
                    assert!(inner.is_finished(), "seed {seed}");
                    began.set(began.get() + 1);
                    task::yield_now();
                });
                assert_eq!((began.get(), outer.is_finished()), (2, false), "seed {seed}");
                outer.join().unwrap();
            });
        });
    }
}

#[test]
fn an_eager_task_that_fails_at_once_is_a_member_of_its_scope_already() {
    let text = panic_text(|| {
        run(|| {
            task::scope(|s| {
                task::Builder::new().eager(true).spawn_in(s, || panic!("at once"));
                assert_eq!(sleep(1).unwrap_err().reason(), Reason::Sibling);
            });
        });
    });
    assert_eq!(text, "at once");
}

#[test]
fn an_eager_task_that_a_callback_spawns_runs_before_the_callback_goes_on() {
    check(
        |log| {
            let ours = log.clone();
            time::call_later(seconds(1), move || {
                let eager = log_task(&ours, "eager");
                task::Builder::new().eager(true).spawn(eager);
                ours.add("callback ends");
            });
            sleep(2).unwrap();
        },
        &["eager", "callback ends"],
    );
}

/// A task of no scope that says that it ran.
fn log_task(log: &Log, event: &'static str) -> impl FnOnce() + 'static {
    let log = log.clone();
    move || log.add(event)
}

/// Borrows of its stack stay good, also while a generator that it resumed is what waits, and so does what belongs to its
/// thread.
#[test]
fn a_started_task_never_moves() {
    run(|| {
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                task::spawn(move || {
                    let mine = Cell::new(number);
                    let place = std::ptr::from_ref(&mine).addr();
                    let thread = std::thread::current().id();
                    let naps = ropewalk::generate(move |co| {
                        loop {
                            sleep(number % 7).unwrap();
                            co.yield_(());
                        }
                    });
                    for () in naps.take(20) {
                        task::yield_now();
                        mine.set(mine.get() + 1);
                        assert_eq!(std::ptr::from_ref(&mine).addr(), place);
                        assert_eq!(std::thread::current().id(), thread);
                    }
                    mine.get() - number
                })
            })
            .collect();
        assert!(tasks.iter().all(|task| task.join().unwrap() == 20));
    });
}

// Handles.

#[test]
fn a_look_at_a_result_leaves_it_there_even_if_it_panics() {
    run(|| {
        let task = task::spawn(|| String::from("result"));
        task::yield_now();
        assert_eq!(task.peek(String::len), Some(6));
        let looked = catch_unwind(AssertUnwindSafe(|| task.peek(|_| panic!("cannot look"))));
        assert!(looked.is_err());
        assert_eq!(task.join().unwrap(), "result");
        assert_eq!(task.peek(String::len), None);
    });
}

/// S0.1.
#[test]
fn joining_gives_what_the_task_returned_once() {
    run(|| {
        let answer = task::spawn(|| {
            sleep(5).unwrap();
            42
        });
        assert_eq!(answer.join().unwrap(), 42);
        assert_eq!(clock(), 5.0);
        assert!(matches!(answer.join(), Err(JoinError::Taken)));
        assert!(matches!(answer.try_result(), Some(Err(JoinError::Taken))));
    });
}

/// S2.15.
#[test]
fn a_task_that_ends_before_anybody_asks_keeps_its_value() {
    run(|| {
        let early = task::spawn(|| "kept");
        assert!(!early.is_finished() && early.try_result().is_none());
        sleep(3).unwrap();
        assert!(early.is_finished());
        assert_eq!(early.try_result().unwrap().unwrap(), "kept");
    });
}

#[test]
fn a_value_can_be_looked_at_and_stays() {
    run(|| {
        let task = task::spawn(|| String::from("look"));
        assert_eq!(task.peek(String::len), None);
        task::yield_now();
        assert_eq!(task.peek(String::len), Some(4));
        // Not even through the same handle can it be taken meanwhile.
        assert!(task.peek(|_| matches!(task.try_result(), Some(Err(JoinError::Taken)))).unwrap());
        assert_eq!(task.join().unwrap(), "look");
        assert_eq!(task.peek(String::len), None);
    });
}

/// S2.16.
#[test]
fn a_handle_tells_number_name_place_and_state() {
    run(|| {
        let (line, task) = (line!(), task::Builder::new().name("parser").spawn(|| sleep(1)));
        assert_eq!((task.id().get(), task.name().as_deref()), (2, Some("parser")));
        assert_eq!((task.spawned_at().file(), task.spawned_at().line()), (file!(), line));
        assert!(format!("{task:?}").starts_with("<task 2 'parser' spawned at "), "{task:?}");
        let mut states = vec![task.info().state];
        let told = |states: &mut Vec<_>| states.push(task.info().state);
        task::yield_now();
        told(&mut states);
        sleep(1).unwrap();
        told(&mut states);
        assert!(matches!(&states[1], TaskState::Waiting { what, .. } if what == "sleep"), "{states:?}");
        assert_eq!((&states[0], &states[2]), (&TaskState::New, &TaskState::Ended));
        assert!(format!("{task:?}").ends_with(": ended>"), "{task:?}");
        assert!(task.name().as_deref() == Some("parser"), "also when it has ended");
    });
}

#[test]
fn dropping_the_handle_lets_the_task_go_on_by_itself() {
    check(
        |log| {
            let ours = log.clone();
            drop(task::spawn(move || {
                let value = ours.on_drop("its value is dropped");
                sleep(1).unwrap();
                ours.add("it ends");
                value
            }));
            sleep(2).unwrap();
            log.add("first task ends");
        },
        &["it ends", "its value is dropped", "first task ends"],
    );
}

#[test]
fn what_a_detached_task_returns_is_dropped_in_the_task_where_it_may_wait() {
    struct Waits(Log);
    impl Drop for Waits {
        fn drop(&mut self) {
            let waited = sleep(5).is_ok();
            self.0.add(format!("waited: {waited}, at {} s", clock()));
        }
    }
    check(
        |log| {
            let ours = log.clone();
            drop(task::spawn(move || Waits(ours)));
            sleep(10).unwrap();
        },
        &["waited: true, at 5 s"],
    );
}

#[test]
fn a_cancelled_join_leaves_the_task_alone() {
    run(|| {
        let slow = task::spawn(|| sleep(10).map(|()| "done"));
        let joined = time::timeout(seconds(1), || slow.join()).unwrap_err().into_inner();
        assert!(joined.unwrap_err().is_cancelled());
        assert_eq!(slow.join().unwrap(), Ok("done"));
        assert_eq!(clock(), 10.0);
    });
}

#[test]
fn a_task_cannot_wait_for_its_own_end() {
    run(|| {
        let own: Rc<RefCell<Option<task::JoinHandle<String>>>> = Rc::default();
        let task = task::spawn({
            let own = own.clone();
            move || panic_text(|| own.borrow().as_ref().unwrap().join())
        });
        *own.borrow_mut() = Some(task);
        sleep(1).unwrap();
        let task = own.take().unwrap();
        assert_eq!(task.join().unwrap(), "a task cannot wait for its own end");
    });
}

#[test]
fn a_handle_may_outlive_its_runtime() {
    let (kept, never) = run(|| {
        let kept = task::spawn(|| "kept");
        task::yield_now();
        (kept, task::spawn(|| "never"))
    });
    assert_eq!(kept.join().unwrap(), "kept");
    assert!(!never.cancel());
    assert!(matches!(never.join(), Err(JoinError::NeverRan(why)) if why.reason() == Reason::Shutdown));
}

// Failures.

#[test]
fn a_panic_goes_to_whoever_joins_the_task() {
    let ((), told) = unhandled_by(|| {
        let broken = task::spawn(|| panic!("broken"));
        assert_eq!(panic_of(broken.join()), "broken");
        assert!(broken.has_failed());
    });
    assert!(told.is_empty(), "{told:?}");
}

/// S4.44.
#[test]
fn a_panic_that_nobody_joins_goes_to_the_hook_at_once() {
    let ((), told) = unhandled_by(|| {
        // Dropped before the end, and after it.
        drop(task::Builder::new().name("early").spawn(|| panic!("one")));
        let late = task::spawn(|| panic!("two"));
        task::yield_now();
        drop(late);
        sleep(1).unwrap();
    });
    let expected =
        ["task 2 'early' panicked, and nobody joined it: one", "task 3 panicked, and nobody joined it: two"];
    assert_eq!(told, expected);
}

#[test]
fn a_destructor_that_panics_in_a_task_that_never_ran_goes_to_the_hook() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let ((), told) = unhandled_by(|| {
        let captured = Panics;
        let never = task::spawn(move || drop(captured));
        never.cancel();
        assert!(matches!(never.join(), Err(JoinError::NeverRan(_))));
    });
    assert_eq!(told, ["task 2 panicked, and nobody joined it: in a destructor"]);
}

/// What debug mode tells of `program`.
fn debugged(slow_step: Duration, program: impl FnOnce()) -> Vec<String> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let hook = {
        let told = told.clone();
        move |event: &ropewalk::Unhandled<'_>| told.borrow_mut().push(without_place(&event.to_string()))
    };
    let builder = Runtime::builder().clock(Clock::Virtual).debug(true).slow_step(slow_step);
    builder.on_unhandled(hook).build().run(program);
    told.take()
}

/// S4.44: of errors only debug mode tells.
#[test]
fn an_error_that_nobody_takes_goes_to_the_hook_of_debug_mode() {
    let told = debugged(Duration::MAX, || {
        drop(task::spawn(|| Err::<(), _>("lost")));
        let taken = task::spawn(|| Err::<(), _>("taken"));
        assert_eq!(taken.join().unwrap(), Err("taken"));
    });
    assert_eq!(told, ["task 2 returned an error, and nobody joined it: lost"]);
}

/// S4.29, S4.42. Any step is slow where none may take any time.
#[test]
fn a_slow_step_goes_to_the_hook_of_debug_mode() {
    let told = debugged(Duration::ZERO, || {
        task::Builder::new().name("busy").spawn(|| ()).join().unwrap();
    });
    let slow = |who: &str| {
        told.iter().any(|told| told.starts_with(who) && told.ends_with(" without a call that switches"))
    };
    assert!(slow("task 1 ran for ") && slow("task 2 'busy' ran for "), "{told:?}");
    assert_eq!(debugged(Duration::MAX, || sleep(1).unwrap()), [""; 0]);
}

#[test]
fn a_task_that_goes_on_waiting_although_it_was_cancelled_goes_to_the_hook_of_debug_mode() {
    let told = debugged(Duration::MAX, || {
        task::cancel_scope(|scope| {
            scope.cancel();
            for _ in 0..2000 {
                let _ = sleep(1);
            }
        });
    });
    assert_eq!(told, ["task 1 goes on waiting although its waits were cancelled 1000 times in a row"]);
}

// Who is there.

/// S4.24, S4.25.
#[test]
fn tasks_can_be_listed_in_the_order_in_which_they_were_spawned() {
    assert!(task::current().is_none() && task::current_id().is_none() && task::all().is_empty());
    run(|| {
        assert_eq!(task::current().unwrap().id.get(), 1);
        let outer = task::Builder::new().name("outer").spawn(|| {
            task::scope(|s| {
                task::Builder::new().name("inner").spawn_in(s, || sleep(1));
            });
        });
        task::Builder::new().name("other").spawn(|| sleep(1));
        sleep(0).unwrap();
        sleep(0).unwrap();
        let all: Vec<_> = task::all()
            .into_iter()
            .map(|t| (t.id.get(), t.name, t.parent.map(|parent| parent.get())))
            .collect();
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(
            all,
            [
                (1, None, None),
                (2, named("outer"), None),
                (3, named("other"), None),
                (4, named("inner"), Some(2)),
            ]
        );
        outer.join().unwrap();
        assert!(
            task::all().iter().all(|t| t.name.as_deref() != Some("outer")),
            "what has ended is not listed"
        );
    });
}

// The runtime.

/// S1.51.
#[test]
fn run_returns_a_value_and_may_borrow() {
    let mut words = vec!["rope"];
    let count = run(|| {
        words.push("walk");
        sleep(42).unwrap();
        words.len()
    });
    assert_eq!((count, words), (2, vec!["rope", "walk"]));
}

/// S4.20.
#[test]
fn a_runtime_in_a_runtime_is_refused() {
    run(|| {
        let text = panic_text(|| ropewalk::run(|| ()));
        assert_eq!(text, "a runtime runs on this thread already: spawn a task instead of run");
        assert!(matches!(Runtime::new().try_run(|| ()), Err(RunError::Nested)));
        sleep(1).unwrap();
    });
    // Nor in a callback, where no task runs.
    let refused = run(|| {
        let refused = Rc::new(Cell::new(false));
        let ours = refused.clone();
        time::call_later(seconds(1), move || {
            ours.set(matches!(Runtime::new().try_run(|| ()), Err(RunError::Nested)));
        });
        sleep(2).unwrap();
        refused.get()
    });
    assert!(refused);
}

/// S4.9.
#[test]
fn what_needs_a_runtime_says_so_outside_of_one() {
    let expected = "no runtime runs on this thread: call this inside ropewalk::run";
    assert_eq!(panic_text(|| task::spawn(|| ())), expected);
    assert_eq!(panic_text(|| time::sleep(seconds(1))), expected);
    assert_eq!(panic_text(|| task::scope(|_| ())), expected);
    assert_eq!(panic_text(task::yield_now), expected);
}

#[test]
fn a_runtime_can_be_used_many_times() {
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    let ids =
        [0, 1].map(|_| runtime.run(|| task::spawn(|| task::current_id().unwrap().get()).join().unwrap()));
    assert_eq!(ids, [2, 2]);
}

/// S1.52.
#[test]
fn what_is_left_when_the_first_task_ends_is_cancelled_waited_for_and_reported() {
    let log = Log::new();
    let (result, told) = unhandled_by(|| {
        for name in ["a", "b"] {
            let log = log.clone();
            task::Builder::new().name(name).spawn(move || {
                let why = sleep(100).unwrap_err().reason();
                task::shield(|| sleep(1)).unwrap();
                log.add(format!("{name} ends at {} s: {why:?}", clock()));
            });
        }
        sleep(10).unwrap();
        "result"
    });
    log.add("run returns");
    assert_eq!(result, "result");
    log.assert(&["a ends at 11 s: Shutdown", "b ends at 11 s: Shutdown", "run returns"]);
    let report = "was still there when the first task ended, and was cancelled";
    let told: Vec<&str> =
        told.iter().map(|text| text.split(": it waits for sleep").next().unwrap()).collect();
    assert_eq!(told, [format!("task 2 'a' {report}"), format!("task 3 'b' {report}")]);
}

#[test]
fn what_is_ready_when_the_first_task_ends_takes_no_other_step_before_it_is_cancelled() {
    let log = Log::new();
    let (_, told) = unhandled_by(|| {
        task::spawn(log_task(&log, "ran, although its turn had not come"));
        let ours = log.clone();
        task::Builder::new().eager(true).spawn(move || {
            ours.add("begun");
            task::yield_now();
            ours.add(format!("{:?}", task::checkpoint().unwrap_err().reason()));
        });
    });
    log.assert(&["begun", "Shutdown"]);
    assert_eq!(told.len(), 2);
}

#[test]
fn a_task_that_is_spawned_while_run_ends_never_runs() {
    let log = Log::new();
    let (_, _) = unhandled_by(|| {
        let ours = log.clone();
        task::spawn(move || {
            let _ = sleep(100);
            let late = task::spawn(log_task(&ours, "ran"));
            let joined = task::shield(|| late.join());
            assert!(matches!(joined, Err(JoinError::NeverRan(why)) if why.reason() == Reason::Shutdown));
            ours.add("refused");
        });
        sleep(1).unwrap();
    });
    log.assert(&["refused"]);
}

#[test]
fn the_panic_of_the_first_task_comes_out_when_nothing_is_left() {
    let log = Log::new();
    let text = panic_text(|| {
        unhandled_by(|| {
            let ours = log.clone();
            task::spawn(move || {
                let _ = sleep(100);
                ours.add("awaited");
            });
            sleep(1).unwrap();
            panic!("first task broke");
        })
    });
    log.add(text);
    log.assert(&["awaited", "first task broke"]);
}

#[test]
fn tasks_that_wait_for_one_another_are_cancelled_and_run_says_who_waited_for_what() {
    let runtime = Runtime::builder().clock(Clock::Virtual).on_unhandled(|_| ()).build();
    let ended = runtime.try_run(|| {
        let handles: Rc<RefCell<Vec<Option<task::JoinHandle<Reason>>>>> = Rc::default();
        for (name, other) in [("left", 1), ("right", 0)] {
            let ours = handles.clone();
            let spawned = task::Builder::new().name(name).spawn(move || {
                let other = ours.borrow_mut()[other].take().unwrap();
                match other.join() {
                    Err(JoinError::Cancelled(why)) => why.reason(),
                    result => panic!("{result:?}"),
                }
            });
            handles.borrow_mut().push(Some(spawned));
        }
        let line = ropewalk::lowlevel::WaitList::<()>::new();
        line.wait(&Why::new("nothing")).unwrap_err().reason()
    });
    let Err(RunError::Deadlock { report, value, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(value, Reason::Deadlock);
    assert!(
        report.contains("task 1") && report.contains("waits for nothing (tests/it/tasks.rs:"),
        "{report}"
    );
    assert!(report.contains("'left'") && report.contains("waits for task 'right'"), "{report}");
    assert!(report.contains("'right'") && report.contains("held by task 2"), "{report}");
}

#[test]
fn a_runtime_in_a_destructor_that_runs_during_a_panic_waits_for_nothing() {
    let seen = while_unwinding(|| {
        let runtime = Runtime::builder().clock(Clock::Virtual).on_unhandled(|_| ()).build();
        runtime.run(|| {
            let why = sleep(5).unwrap_err().reason();
            let spawned = task::spawn(|| "runs");
            assert!(matches!(spawned.join(), Err(JoinError::Cancelled(_))));
            let scoped = task::scope(|s| matches!(s.spawn(|| ()).join(), Err(JoinError::NeverRan(_))));
            (why, scoped)
        })
    });
    assert_eq!(seen, (Reason::Unwinding, true));
}

#[test]
fn a_panic_that_a_task_catches_is_its_own_affair() {
    run(|| {
        let caught = task::spawn(|| catch_unwind(AssertUnwindSafe(|| panic!("inside"))).is_err());
        assert!(caught.join().unwrap());
        sleep(1).unwrap();
    });
}
