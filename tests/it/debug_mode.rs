//! What debug mode finds, and what the hook is told without it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::lowlevel::{Held, TaskState, WaitList, Why};
use ropewalk::{Builder, JoinError, Problem, Runtime, task, time};

use crate::log::Log;

/// A runtime that writes what its hook is told, without places, and the log it writes to.
fn telling(builder: Builder) -> (Runtime, Log) {
    let log = Log::new();
    let hook = log.clone();
    let runtime = builder.on_unhandled(move |event| {
        let mut text = event.to_string();
        while let Some(at) = text.find("tests/it/debug_mode.rs:") {
            let place = &text[at + "tests/it/debug_mode.rs:".len()..];
            let rest = place.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').to_owned();
            text.truncate(at);
            text = text + "@" + &rest;
        }
        hook.add(text);
    });
    (runtime.build(), log)
}

/// What the hook is told in debug mode, and that it is told nothing without.
#[track_caller]
fn assert_tells(first: impl Fn(), expected: &[&str]) {
    for debug in [true, false] {
        let quiet = Runtime::builder().slow_step(Duration::MAX).debug(debug);
        let (runtime, log) = telling(quiet);
        runtime.run(&first);
        log.assert(if debug { expected } else { &[] });
    }
}

#[test]
fn a_slow_step_is_told_with_the_task_and_where_it_waits_now() {
    let events: Rc<RefCell<Vec<(u64, Duration, TaskState)>>> = Rc::default();
    let hook = events.clone();
    let runtime = Runtime::builder().debug(true).slow_step(Duration::ZERO).on_unhandled(move |event| {
        let Problem::SlowStep(took) = event.problem else { panic!("{event}") };
        let task = event.task.as_ref().unwrap();
        hook.borrow_mut().push((task.id.get(), took, task.state.clone()));
    });
    runtime.build().run(|| {
        let line = WaitList::<()>::new();
        task::scope(|s| {
            s.spawn(|| line.wait(&Why::new("lock")));
            task::yield_now();
            line.wake_one(()).unwrap();
        });
    });
    let steps: Vec<_> = events.take().into_iter().map(|(id, _, state)| (id, state)).collect();
    let ids: Vec<_> = steps.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 1, 2, 1]);
    assert_eq!(steps[0].1, TaskState::Ready);
    assert!(matches!(&steps[1].1, TaskState::Waiting { what, .. } if what == "lock"), "{:?}", steps[1]);
    assert!(matches!(&steps[2].1, TaskState::Waiting { what, .. } if what == "scope with 1 task"));
}

#[test]
fn a_slow_step_says_in_words_where_the_task_was_spawned_and_waits() {
    let (runtime, log) = telling(Runtime::builder().name("slow").debug(true).slow_step(Duration::ZERO));
    runtime.run(|| {
        let line = WaitList::<()>::new();
        task::scope(|s| {
            task::Builder::new().name("hog").spawn_in(s, || line.wait(&Why::new("lock")));
            task::yield_now();
            line.wake_one(()).unwrap();
        });
    });
    let told = log.take();
    assert!(told[1].starts_with("[slow] task 2 'hog' spawned at @ ran for "), "{told:?}");
    assert!(told[1].ends_with(" without a call that switches: it waits for lock (@)"), "{told:?}");
}

#[test]
fn no_step_is_slow_without_debug_mode() {
    let (runtime, log) = telling(Runtime::builder().debug(false).slow_step(Duration::ZERO));
    runtime.run(task::yield_now);
    log.assert(&[]);
}

#[test]
fn errors_that_nobody_looks_at_are_told() {
    let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
    assert_tells(
        || {
            // Dropped before the task has ended, and after.
            drop(task::spawn(move || Err::<(), _>(refused())));
            let late = task::spawn(|| Err::<(), String>("late".into()));
            task::yield_now();
            drop(late);
            drop(task::spawn(|| Err::<(), _>("static")));
            drop(task::spawn(|| Err::<(), Box<dyn std::error::Error>>("boxed".into())));
            drop(task::spawn(|| Err::<(), Box<dyn std::error::Error + Send + Sync>>("sent".into())));
            drop(task::spawn(|| Err::<(), _>(JoinError::Failed)));
            task::yield_now();
        },
        &[
            "task 2 spawned at @ returned an error, and nobody joined it: refused",
            "task 3 spawned at @ returned an error, and nobody joined it: late",
            "task 4 spawned at @ returned an error, and nobody joined it: static",
            "task 5 spawned at @ returned an error, and nobody joined it: boxed",
            "task 6 spawned at @ returned an error, and nobody joined it: sent",
            &format!("task 7 spawned at @ returned an error, and nobody joined it: {}", JoinError::Failed),
        ],
    );
}

#[test]
fn errors_that_somebody_looks_at_are_not_told() {
    assert_tells(
        || {
            let joined = task::spawn(|| Err::<(), String>("joined".into()));
            assert!(joined.join().unwrap().is_err());
            drop(joined);
            let asked = task::spawn(|| Err::<(), String>("asked".into()));
            task::yield_now();
            assert!(asked.try_result().is_some());
            drop(asked);
            drop(task::spawn(|| Ok::<(), String>(())));
            task::yield_now();
        },
        &[],
    );
}

#[test]
fn a_task_that_waits_on_although_it_is_cancelled_is_told_once() {
    assert_tells(
        || {
            let deaf = task::spawn(|| {
                for _ in 0..3000 {
                    let _ = time::sleep(Duration::from_secs(3600));
                }
            });
            task::yield_now();
            deaf.cancel();
            deaf.join().unwrap();
        },
        &["task 2 spawned at @ goes on waiting although its waits were cancelled 1000 times in a row"],
    );
}

#[test]
fn waits_that_succeed_in_between_make_a_task_no_ignorer() {
    assert_tells(
        || {
            let polite = task::spawn(|| {
                for _ in 0..3 {
                    for _ in 0..999 {
                        let _ = time::sleep(Duration::from_secs(3600));
                    }
                    task::shield(task::checkpoint).unwrap();
                }
            });
            task::yield_now();
            polite.cancel();
            polite.join().unwrap();
        },
        &[],
    );
}

#[test]
fn guards_that_a_task_does_not_give_back_are_told() {
    assert_tells(
        || {
            let forgetful = task::spawn(|| {
                let held: Vec<Held> = (0..3).map(|_| Held::new()).collect();
                held.into_iter().skip(1).for_each(std::mem::forget);
            });
            forgetful.join().unwrap();
            let forgetful = task::spawn(|| std::mem::forget(Held::new()));
            forgetful.join().unwrap();
        },
        &[
            "task 2 spawned at @ ended with 2 guards that it did not give back",
            "task 3 spawned at @ ended with 1 guard that it did not give back",
        ],
    );
}

#[test]
fn a_guard_counts_for_the_task_that_made_it_whoever_drops_it() {
    assert_tells(
        || {
            let lent = Rc::new(RefCell::new(None));
            let lender = task::spawn({
                let lent = lent.clone();
                move || *lent.borrow_mut() = Some(Held::new())
            });
            lender.join().unwrap();
            let own = Held::new();
            // Long after the task has ended.
            lent.take();
            drop(own);
            // One that outlives the task in its result is not given back either.
            let result = task::spawn(Held::new).join().unwrap();
            drop(result);
        },
        &[
            "task 2 spawned at @ ended with 1 guard that it did not give back",
            "task 3 spawned at @ ended with 1 guard that it did not give back",
        ],
    );
}

#[test]
fn guards_may_be_taken_anywhere() {
    drop(Held::new());
    let outlives = Runtime::builder().debug(true).on_unhandled(|_| ()).build().run(Held::new);
    drop(outlives);
}

#[test]
fn leftovers_are_told_with_what_they_wait_for_and_without_debug_mode_too() {
    let (runtime, log) = telling(Runtime::builder().debug(false));
    runtime.run(|| {
        let left = task::Builder::new().name("left").spawn(|| time::sleep(Duration::from_secs(3600)).is_ok());
        task::yield_now();
        drop(left);
    });
    log.assert(&[
        "task 2 'left' spawned at @ was still there when the first task ended, and was cancelled: \
         it waits for sleep (@)",
    ]);
}

#[test]
fn a_hook_that_panics_is_ignored() {
    let runtime = Runtime::builder().debug(true).slow_step(Duration::ZERO).on_unhandled(|_| panic!("hook"));
    assert_eq!(runtime.build().run(|| 5), 5);
}
