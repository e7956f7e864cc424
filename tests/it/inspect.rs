//! Dumps: the tree of tasks, as text, as JSON, and with backtraces.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::inspect::{self, Dump};
use ropewalk::lowlevel::{self, TaskId, TaskState, WaitList, Why};
use ropewalk::{Clock, Runtime, task, time};

const HOUR: Duration = Duration::from_secs(3600);

fn in_virtual_time<T>(first: impl FnOnce() -> T) -> T {
    Runtime::builder().name("test").clock(Clock::Virtual).build().run(first)
}

/// Without places, which change with every line of the test.
fn without_places(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("tests/it/inspect.rs:") {
        plain.push_str(&rest[..at]);
        plain.push('@');
        let after = &rest[at + "tests/it/inspect.rs:".len()..];
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        // The colon that ends what was spawned is no part of the place.
        if after[..after.len() - rest.len()].ends_with(':') {
            plain.push(':');
        }
    }
    plain + rest
}

#[test]
fn a_dump_is_a_tree_with_names_places_waits_and_holders() {
    let text = in_virtual_time(|| {
        let line = WaitList::<()>::new();
        let root = task::current_id;
        let holder = root();
        let ask = || holder;
        let mut text = String::new();
        task::scope(|s| {
            let line = &line;
            task::Builder::new().name("outer").spawn_in(s, move || {
                task::scope(|inner| {
                    inner.spawn(|| time::sleep(HOUR));
                });
            });
            s.spawn(|| line.wait(&Why::new("lock").on(&"of the door").held_by(&ask)));
            time::sleep(Duration::from_millis(1500)).unwrap();
            s.spawn(|| ());
            text = inspect::dump().to_string();
            s.cancel();
            assert!(inspect::dump().tasks().skip(1).all(|task| task.info().cancelled.is_some()));
        });
        text
    });
    assert_eq!(
        without_places(&text),
        "runtime 'test': 5 tasks, 1 timer, 0 remote handles\n\
         task 1 spawned at @: running\n  \
           task 2 'outer' spawned at @: waits for scope with 1 task (@) since 1.5s\n    \
             task 4 spawned at @: waits for sleep (@) since 1.5s\n  \
           task 3 spawned at @: waits for lock of the door (@) since 1.5s, held by task 1\n  \
           task 5 spawned at @: new\n"
    );
}

#[test]
fn a_dump_can_be_walked() {
    in_virtual_time(|| {
        let remote = lowlevel::remote();
        let sleeper = task::Builder::new().name("sleeper").spawn(|| time::sleep(HOUR).is_ok());
        time::sleep(Duration::from_secs(1)).unwrap();
        let dump = inspect::dump();
        assert_eq!((dump.runtime(), dump.timers(), dump.remotes()), (Some("test"), 1, 1));
        drop(remote);
        let mut tasks = dump.tasks();
        let first = tasks.next().unwrap();
        assert_eq!((first.info().id.get(), first.depth(), first.is_awaited()), (1, 0, false));
        assert_eq!(first.info().state, TaskState::Running);
        let second = tasks.next().unwrap();
        assert_eq!(second.info().name.as_deref(), Some("sleeper"));
        let TaskState::Waiting { what, waited, holder, at, .. } = &second.info().state else {
            panic!("{second:?}")
        };
        assert_eq!((&**what, *waited, *holder), ("sleep", Duration::from_secs(1), None));
        assert!(at.file().ends_with("tests/it/inspect.rs"));
        assert!(tasks.next().is_none());
        sleeper.cancel();
    });
}

#[test]
fn outside_of_run_a_dump_is_empty() {
    let dump = inspect::dump_with_backtraces();
    assert_eq!(dump.tasks().count(), 0);
    assert_eq!(dump.to_string(), "there is no runtime on this thread\n");
    assert_eq!(dump.to_json(), "null");
    assert_eq!(dump.cycles(), Vec::<Vec<TaskId>>::new());
}

#[test]
fn a_dump_can_be_made_in_a_callback_and_while_unwinding() {
    in_virtual_time(|| {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        time::call_later(Duration::from_secs(1), move || {
            count.set(inspect::dump_with_backtraces().tasks().count())
        });
        time::sleep(Duration::from_secs(2)).unwrap();
        assert_eq!(seen.get(), 1);
        let counted = crate::log::while_unwinding(|| inspect::dump_with_backtraces().tasks().count());
        assert_eq!(counted, 1);
    });
}

#[inline(never)]
fn innermost(line: &WaitList) {
    std::hint::black_box(line.wait(&Why::new("lock")).is_ok());
}

#[inline(never)]
fn around(line: &WaitList) {
    innermost(line);
    std::hint::black_box(());
}

fn frames_of(dump: &Dump, task: TaskId) -> Vec<String> {
    dump.tasks().find(|entry| entry.info().id == task).unwrap().frames().unwrap()
}

#[test]
fn a_backtrace_has_the_users_calls_and_no_others() {
    in_virtual_time(|| {
        let line = Rc::new(WaitList::new());
        let waiting = line.clone();
        let parked = task::spawn(move || around(&waiting));
        let ready = task::spawn(task::yield_now);
        task::yield_now();
        let new = task::spawn(|| ());
        let dump = inspect::dump_with_backtraces();
        let frames = frames_of(&dump, parked.id());
        assert!(frames[0].contains("innermost at ") && frames[0].contains("inspect.rs:"), "{frames:#?}");
        assert!(frames[1].contains("around"), "{frames:#?}");
        assert!(frames[2].contains("{{closure}}") || frames[2].contains("{closure#"), "{frames:#?}");
        assert_eq!(frames.len(), 3, "{frames:#?}");
        assert!(dump.tasks().find(|task| task.info().id == new.id()).unwrap().frames().is_none());
        // The running task says where it is as well.
        let own = frames_of(&dump, task::current_id().unwrap());
        assert!(own[0].contains("tests/it/inspect.rs:"), "{own:#?}");
        assert!(!own.iter().any(|frame| frame.contains("scheduler")), "{own:#?}");
        // A ready one, too; and all go on as if nothing had been.
        frames_of(&dump, ready.id());
        assert!(dump.to_string().contains("    in "), "{dump}");
        assert_eq!(line.wake_one(()), Ok(()));
        parked.join().unwrap();
        ready.join().unwrap();
        new.join().unwrap();
    });
}

// With AddressSanitizer the unwinder does not find its way from one stack to the next.
#[cfg(not(feature = "sanitizer"))]
#[test]
fn a_backtrace_goes_through_generators() {
    in_virtual_time(|| {
        let line = Rc::new(WaitList::new());
        let waiting = line.clone();
        let task = task::spawn(move || {
            let numbers = ropewalk::generate(move |co| {
                innermost(&waiting);
                co.yield_(7);
            });
            numbers.sum::<i32>()
        });
        task::yield_now();
        let frames = frames_of(&inspect::dump_with_backtraces(), task.id());
        assert!(frames[0].contains("innermost"), "{frames:#?}");
        // The body, and who takes its items.
        assert!(frames[1..].iter().all(|frame| frame.contains("closure")), "{frames:#?}");
        assert_eq!(frames.len(), 3, "{frames:#?}");
        line.wake_one(()).unwrap();
        assert_eq!(task.join().unwrap(), 7);
    });
}

// With AddressSanitizer the frames are too large for so small a stack.
#[cfg(not(feature = "sanitizer"))]
#[test]
fn a_task_with_hardly_any_stack_left_is_not_asked_where_it_is() {
    in_virtual_time(|| {
        let full = task::Builder::new().stack_size(16 << 10).spawn(|| {
            let much = [1u8; 10 << 10];
            std::hint::black_box(&much);
            let ended = time::sleep(HOUR).is_err();
            ended && std::hint::black_box(&much)[0] == 1
        });
        time::sleep(Duration::from_secs(1)).unwrap();
        let dump = inspect::dump_with_backtraces();
        let entry = dump.tasks().find(|task| task.info().id == full.id()).unwrap();
        assert!(matches!(entry.info().state, TaskState::Waiting { .. }));
        assert_eq!(entry.frames(), None);
        full.cancel();
        assert!(full.join().unwrap());
    });
}

#[test]
fn a_dump_with_backtraces_changes_nothing() {
    let log = crate::log::Log::new();
    in_virtual_time(|| {
        task::scope(|s| {
            for number in 0..20 {
                let log = log.clone();
                s.spawn(move || {
                    for round in 0..5 {
                        task::yield_now();
                        inspect::dump_with_backtraces();
                        log.add(format!("{round} {number}"));
                    }
                });
            }
        });
    });
    let expected: Vec<String> =
        (0..5).flat_map(|round| (0..20).map(move |number| format!("{round} {number}"))).collect();
    log.assert(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn many_tasks_alike_are_counted() {
    in_virtual_time(|| {
        task::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| time::sleep(HOUR));
            }
            s.spawn(|| task::scope(|inner| drop(inner.spawn(|| time::sleep(HOUR)))));
            time::sleep(Duration::from_secs(1)).unwrap();
            let dump = inspect::dump();
            let text = dump.to_string();
            assert_eq!(text.lines().count(), 1 + 1 + 10 + 1 + 2, "{text}");
            assert!(text.contains("\n  ... and 40 more like task 2, up to task 51\n"), "{text}");
            assert_eq!(format!("{dump:#}").lines().count(), 1 + 1 + 50 + 2, "{dump:#}");
            s.cancel();
        });
    });
}

#[test]
fn rings_are_found_and_chains_are_not() {
    in_virtual_time(|| {
        let line = WaitList::<()>::new();
        // The task with the number on the left waits for what that on the right has.
        let waits = |holder: u64| {
            let line = &line;
            move || {
                let find = || task::all().into_iter().map(|task| task.id).find(|id| id.get() == holder);
                let holder = find();
                let ask = || holder;
                let _ = line.wait(&Why::new("it").held_by(&ask));
            }
        };
        task::scope(|s| {
            for holder in [3, 4, 2, 3, 5, 7, 1] {
                s.spawn(waits(holder));
            }
            time::sleep(Duration::from_secs(1)).unwrap();
            let cycles = inspect::dump().cycles();
            let cycles: Vec<Vec<u64>> =
                cycles.iter().map(|ring| ring.iter().map(|id| id.get()).collect()).collect();
            assert_eq!(cycles, [vec![2, 3, 4], vec![7]]);
            s.cancel();
        });
    });
}

#[test]
fn a_dump_as_json() {
    in_virtual_time(|| {
        task::scope(|s| {
            task::Builder::new().name("a \"quoted\\\n\u{1}\tname").spawn_in(s, || time::sleep(HOUR));
            time::sleep(Duration::from_secs(2)).unwrap();
            let json = without_places(&inspect::dump().to_json());
            assert_eq!(
                json,
                concat!(
                    r#"{"runtime":"test","timers":1,"remotes":0,"tasks":["#,
                    r#"{"id":1,"name":null,"spawned":"@","parent":null,"depth":0,"state":"running","cancelled":null},"#,
                    r#"{"id":2,"name":"a \"quoted\\\n\u0001\tname","spawned":"@","parent":1,"depth":1,"#,
                    r#""state":"waiting","waits_for":"sleep","at":"@","waited_ns":2000000000,"held_by":null,"#,
                    r#""cancelled":null}"#,
                    r#"],"cycles":[]}"#
                )
            );
            s.cancel();
            let json = inspect::dump_with_backtraces().to_json();
            assert!(json.contains(r#""cancelled":"Requested""#), "{json}");
            assert!(json.contains(r#""frames":[""#), "{json}");
        });
    });
}

#[test]
fn words_of_a_wait_that_panic_do_no_harm() {
    struct Panics;
    impl std::fmt::Display for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words")
        }
    }
    let told = crate::log::Log::new();
    let hook = told.clone();
    let runtime = Runtime::builder().on_unhandled(move |event| hook.add(event.to_string()));
    runtime.build().run(|| {
        let line = WaitList::<()>::new();
        task::scope(|s| {
            s.spawn(|| line.wait(&Why::new("lock").on(&Panics)));
            task::yield_now();
            assert_eq!(inspect::dump().tasks().count(), 2);
            s.cancel();
        });
    });
    told.assert(&["a callback panicked, and nobody joined it: no words"]);
}
