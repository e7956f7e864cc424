//! When nothing is left that could wake a task: what ends then, and what the report says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk::lowlevel::{self, TaskId, Undo, WaitList, Why};
use ropewalk::{Cancelled, Clock, JoinError, Problem, Reason, RunError, Runtime, task, time};

use crate::log::{Log, panic_text};

fn line_of(text: &str, part: &str) -> String {
    let found = text.lines().find(|line| line.contains(part));
    found.unwrap_or_else(|| panic!("no {part:?} in:\n{text}")).to_owned()
}

/// The report of a run that ends in a deadlock.
#[track_caller]
fn deadlock_of<T>(first: impl FnOnce() -> T) -> (String, T) {
    match Runtime::new().try_run(first) {
        Err(RunError::Deadlock { report, value, .. }) => (report, value),
        Err(_) => panic!("it did not begin"),
        Ok(_) => panic!("it went well"),
    }
}

fn here(line: u32) -> String {
    format!("tests/it/deadlock.rs:{line}:")
}

#[test]
fn two_tasks_that_join_each_other_are_cancelled_and_reported_with_names_places_and_holders() {
    let (mut joined, mut spawned) = (0, 0);
    let (report, ends) = deadlock_of(|| {
        let handles: Rc<RefCell<Vec<task::JoinHandle<Option<Reason>>>>> = Rc::default();
        joined = line!() + 3;
        let joins = |other: usize| {
            let handles = handles.clone();
            move || match handles.borrow()[other].join() {
                Err(JoinError::Cancelled(cancelled)) => Some(cancelled.reason()),
                _ => None,
            }
        };
        spawned = line!() + 1;
        let one = task::Builder::new().name("one").spawn(joins(1));
        let two = task::Builder::new().name("two").spawn(joins(0));
        handles.borrow_mut().extend([one, two]);
        let line = WaitList::<()>::new();
        let reason = line.wait(&Why::new("nothing")).unwrap_err().reason();
        task::yield_now();
        reason
    });
    assert_eq!(ends, Reason::Deadlock);
    let one = line_of(&report, "task 2 'one' spawned at");
    assert!(one.contains(&format!("spawned at {}", here(spawned))), "{one}");
    assert!(one.contains(": waits for task 'two' ("), "{one}");
    assert!(one.contains(&format!("({}", here(joined))), "{one}");
    assert!(one.ends_with(", held by task 3 'two'"), "{one}");
    let two = line_of(&report, "task 3 'two' spawned at");
    assert!(two.ends_with(", held by task 2 'one'"), "{two}");
    let ring = report.split_once("these tasks wait for one another:\n").expect(&report).1;
    assert_eq!(ring, format!("  {}\n  {}\n", one.trim_start(), two.trim_start()));
}

#[test]
fn a_wait_that_nobody_ends_is_a_deadlock() {
    let (report, reason) = deadlock_of(|| {
        let line = WaitList::<()>::new();
        line.wait(&Why::new("nobody")).unwrap_err().reason()
    });
    assert_eq!(reason, Reason::Deadlock);
    assert!(report.starts_with("task 1 spawned at tests/it/deadlock.rs:"), "{report}");
    assert!(report.contains(": waits for nobody (tests/it/deadlock.rs:"), "{report}");
    assert_eq!(report.lines().count(), 1, "{report}");
}

#[test]
fn run_panics_with_the_report() {
    let text = panic_text(|| ropewalk::run(|| WaitList::<()>::new().wait(&Why::new("nobody")).is_err()));
    assert!(
        text.starts_with("deadlock: all tasks wait, and nothing is left that could wake one\n"),
        "{text}"
    );
    assert!(text.contains("task 1 spawned at tests/it/deadlock.rs:"), "{text}");
    assert!(text.contains("waits for nobody (tests/it/deadlock.rs:"), "{text}");
}

#[test]
fn who_holds_what_is_waited_for_stands_in_the_report() {
    struct Lock {
        owner: Cell<Option<TaskId>>,
        waiting: WaitList,
    }
    impl Lock {
        #[track_caller]
        fn acquire(&self) -> bool {
            if self.owner.get().is_none() {
                self.owner.set(task::current_id());
                return true;
            }
            let owner = || self.owner.get();
            self.waiting.wait(&Why::new("lock").held_by(&owner)).is_ok()
        }
    }
    let lock = Lock { owner: Cell::new(None), waiting: WaitList::new() };
    let (mut place, mut scope) = (0, 0);
    let (report, ()) = deadlock_of(|| {
        assert!(lock.acquire());
        scope = line!() + 1;
        task::scope(|s| {
            task::Builder::new().name("child").spawn_in(s, || {
                place = line!() + 1;
                assert!(!lock.acquire());
            });
        });
    });
    let child = line_of(&report, "  task 2 'child'");
    assert!(child.contains(&format!(": waits for lock ({}", here(place))), "{child}");
    assert!(child.ends_with(", held by task 1"), "{child}");
    let parent = line_of(&report, "task 1 ");
    assert!(parent.contains(&format!(": waits for scope with 1 task ({}", here(scope))), "{parent}");
    // The one with the lock waits for the scope, and a task in the scope for the lock.
    assert!(report.contains("these tasks wait for one another:\n"), "{report}");
}

#[test]
fn a_task_that_waits_for_what_it_holds_itself_is_named() {
    let (report, ()) = deadlock_of(|| {
        let line = WaitList::<()>::new();
        let id = task::current_id();
        let me = || id;
        let _ = line.wait(&Why::new("lock").held_by(&me)).unwrap_err();
    });
    assert!(report.contains("this task waits for itself:\n  task 1 spawned at"), "{report}");
}

#[test]
fn while_there_is_a_remote_it_is_no_deadlock_and_without_it_at_once() {
    let gone = Arc::new(AtomicBool::new(false));
    let (_, was_gone) = deadlock_of(|| {
        let remote = lowlevel::remote();
        let about_to_go = gone.clone();
        let thread = std::thread::spawn(move || {
            // All wait, whenever this is answered.
            for _ in 0..3 {
                remote.run(|| ()).unwrap();
            }
            about_to_go.store(true, Ordering::SeqCst);
            drop(remote);
        });
        let line = WaitList::<()>::new();
        assert_eq!(line.wait(&Why::new("nobody")).unwrap_err().reason(), Reason::Deadlock);
        let was_gone = gone.load(Ordering::SeqCst);
        thread.join().unwrap();
        was_gone
    });
    assert!(was_gone);
}

#[test]
fn a_clone_of_a_remote_keeps_it_from_being_a_deadlock_too() {
    let (_, dropped) = deadlock_of(|| {
        let one = lowlevel::remote();
        let other = one.clone();
        let dropped = Rc::new(Cell::new(false));
        drop(one);
        task::spawn({
            let dropped = dropped.clone();
            move || {
                dropped.set(true);
                drop(other);
            }
        });
        let _ = WaitList::<()>::new().wait(&Why::new("nobody")).unwrap_err();
        dropped.get()
    });
    assert!(dropped);
}

#[test]
fn a_timer_keeps_it_from_being_a_deadlock() {
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    runtime.run(|| {
        let line = Rc::new(WaitList::new());
        let waker = line.clone();
        time::call_later(std::time::Duration::from_secs(1), move || waker.wake_one(()).unwrap());
        line.wait(&Why::new("timer")).unwrap();
    });
}

#[test]
fn tasks_under_shields_are_failed_second_and_only_then() {
    let log = Log::new();
    let runtime = Runtime::new();
    let line = WaitList::<()>::new();
    let result = runtime.try_run(|| {
        task::scope(|s| {
            s.spawn(|| {
                task::shield(|| {
                    let ended = line.wait(&Why::new("shielded")).unwrap_err();
                    log.add(format!("shielded: {}", ended.reason() == Reason::Deadlock));
                    // Shields are of no use any more.
                    let again = task::shield(|| line.wait(&Why::new("again")));
                    log.add(format!("again: {}", again.is_err()));
                });
            });
            s.spawn(|| {
                let ended = line.wait(&Why::new("open")).unwrap_err();
                log.add(format!("open: {}", ended.reason() == Reason::Deadlock));
            });
        });
    });
    log.assert(&["open: true", "shielded: true", "again: true"]);
    let Err(RunError::Deadlock { report, .. }) = result else { panic!("it went well") };
    // It says how things stood at first.
    assert!(report.contains("waits for shielded") && report.contains("waits for open"), "{report}");
    assert!(!report.contains("cancelled"), "{report}");
}

#[test]
fn tasks_that_are_stuck_at_the_end_of_run_are_told_to_the_hook() {
    let log = Log::new();
    let hook = log.clone();
    let runtime = Runtime::builder().name("stuck").on_unhandled(move |event| match event.problem {
        Problem::StuckAtEnd(report) => hook.add(report),
        Problem::Leftover => {}
        _ => hook.add(event.to_string()),
    });
    let place = line!() + 3;
    let value = runtime.build().try_run(|| {
        let stubborn = || {
            task::shield(|| WaitList::<()>::new().wait(&Why::new("nobody")).is_err());
        };
        drop(task::Builder::new().name("stubborn").spawn(stubborn));
        task::yield_now();
        5
    });
    assert_eq!(value.ok(), Some(5));
    let told = log.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("task 2 'stubborn' spawned at tests/it/deadlock.rs:"), "{told:?}");
    assert!(told[0].contains(&format!(": waits for nobody ({}", here(place))), "{told:?}");
    assert!(told[0].trim_end().ends_with("(cancelled: Shutdown)"), "{told:?}");
}

#[test]
fn a_deadlock_does_not_lose_the_panic_of_the_first_task() {
    let text = panic_text(|| {
        Runtime::new().try_run(|| {
            WaitList::<()>::new().wait(&Why::new("nobody")).expect("somebody");
        })
    });
    assert!(text.starts_with("somebody"), "{text}");
}

#[test]
fn who_waited_for_what_is_told_although_the_first_task_panics_of_it() {
    let told = Rc::new(RefCell::new(String::new()));
    let hook = told.clone();
    let runtime = Runtime::builder().on_unhandled(move |event| {
        assert!(matches!(event.problem, Problem::Deadlock(_)), "{event}");
        *hook.borrow_mut() = event.to_string();
    });
    panic_text(|| runtime.build().run(|| WaitList::<()>::new().wait(&Why::new("nobody")).unwrap()));
    assert!(told.borrow().starts_with("deadlock: all tasks wait"), "{}", told.borrow());
    assert!(line_of(&told.borrow(), "task 1 ").contains("waits for nobody"), "{}", told.borrow());
}

#[test]
fn places_of_waits_are_the_callers_whatever_waits() {
    let never = Rc::new(WaitList::<()>::new());
    let mut places = Vec::new();
    // Its wait stands in the line of the call.
    let mut named = |name: &'static str, line: u32, waits: Box<dyn FnOnce()>| {
        places.push((name, line));
        task::Builder::new().name(name).spawn(waits)
    };
    let wait = |never: &Rc<WaitList>| {
        let never = never.clone();
        move || {
            let _ = never.wait(&Why::new("nobody"));
        }
    };
    let (report, ()) = deadlock_of(|| {
        let (a, b, c) = (task::spawn(wait(&never)), task::spawn(wait(&never)), task::spawn(wait(&never)));
        let (d, e) = (wait(&never), wait(&never));
        #[rustfmt::skip]
        let tasks = [
            named("joins", line!(), Box::new(move || drop(a.join()))),
            named("waits", line!(), Box::new(move || drop(task::wait(&[b, c], task::Until::All)))),
            named("parks", line!(), Box::new(|| { let _ = lowlevel::park::<()>(&Why::new("x"), forget, || Undo::Done); })),
            named("gathers", line!(), Box::new(move || drop(task::gather([d])))),
            named("tries", line!(), Box::new(move || drop(task::try_gather([|| { e(); Ok::<_, Cancelled>(()) }])))),
        ];
        let _ = task::wait(&tasks, task::Until::All).unwrap_err();
    });
    for (name, line) in places.into_iter() {
        let row = line_of(&report, &format!("'{name}'"));
        let place = format!("({}", here(line));
        assert!(row.contains(&place), "{place} {row}");
    }
}

fn forget<T>(thing: T) {
    std::mem::forget(thing);
}
