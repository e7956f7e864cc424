//! The mutex: handed over in the order of coming, and what becomes of guards that go astray.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ropewalk::lowlevel::Arm;
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::sync::{MappedMutexGuard, Mutex, MutexGuard};
use ropewalk::{
    Cancelled, Clock, Generator, Reason, RunError, Runtime, Yielder, channel, inspect, task, testing, time,
};

use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

/// The report of a run that ends in a deadlock, and what its first task returned.
#[track_caller]
pub(crate) fn deadlock_of<T>(first: impl FnOnce() -> T) -> (String, T) {
    match Runtime::builder().clock(Clock::Virtual).debug(false).build().try_run(first) {
        Err(RunError::Deadlock { report, value, .. }) => (report, value),
        Err(_) => panic!("it did not begin"),
        Ok(_) => panic!("it went well"),
    }
}

#[track_caller]
pub(crate) fn line_of<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in:\n{text}"))
}

/// What debug mode tells of a run, without places.
pub(crate) fn told_in_debug_mode(first: impl FnOnce()) -> Vec<String> {
    let log = Log::new();
    let hook = log.clone();
    let runtime = Runtime::builder().clock(Clock::Virtual).debug(true).slow_step(std::time::Duration::MAX);
    let runtime = runtime.on_unhandled(move |event| {
        let task = event.task.as_ref().map(|task| task.id.get());
        let text = event.to_string();
        let what = text.rsplit_once(" ended with ").map_or(text.as_str(), |(_, what)| what);
        hook.add(format!("task {}: {what}", task.unwrap_or(0)));
    });
    runtime.build().run(first);
    log.take()
}

// In the order of coming.

/// asyncio: test_acquire.
#[test]
fn a_lock_goes_from_hand_to_hand_in_the_order_of_coming() {
    check(
        |log| {
            let lock = Mutex::new(0);
            task::scope(|s| {
                let first = lock.lock().unwrap();
                for name in ["a", "b", "c"] {
                    let lock = &lock;
                    s.spawn(move || {
                        let mut guard = lock.lock().unwrap();
                        *guard += 1;
                        log.add(format!("{name} has it at {} s, {}", clock(), *guard));
                        sleep(1).unwrap();
                    });
                }
                sleep(5).unwrap();
                log.add("given back");
                drop(first);
            });
            assert_eq!(lock.into_inner(), 3);
        },
        &["given back", "a has it at 5 s, 1", "b has it at 6 s, 2", "c has it at 7 s, 3"],
    );
}

#[test]
fn nobody_passes_those_who_wait() {
    check(
        |log| {
            let lock = Mutex::new(());
            task::scope(|s| {
                let mut guard = lock.lock().unwrap();
                s.spawn(|| {
                    let _guard = lock.lock().unwrap();
                    log.add("the other one has it");
                });
                task::yield_now();
                for round in 0..2 {
                    drop(guard);
                    // The other one has it already, although it has not run; and then nobody.
                    assert_eq!(lock.try_lock().is_none(), round == 0);
                    guard = lock.lock().unwrap();
                    log.add(format!("round {round}"));
                }
                drop(guard);
            });
        },
        &["the other one has it", "round 0", "round 1"],
    );
}

#[test]
fn whoever_is_handed_the_lock_has_it_before_it_runs() {
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            assert_eq!(lock.owner(), task::current_id());
            let next = s.spawn(|| lock.lock().map(drop));
            task::yield_now();
            assert_eq!((lock.waiters(), lock.is_locked()), (1, true));
            drop(guard);
            assert_eq!((lock.waiters(), lock.is_locked(), lock.owner()), (0, true, Some(next.id())));
            next.join().unwrap().unwrap();
            assert_eq!((lock.is_locked(), lock.owner()), (false, None));
        });
    });
}

#[test]
fn a_task_that_always_finds_the_lock_free_lets_others_run() {
    run(|| {
        let (lock, turns) = (Mutex::new(()), Cell::new(0));
        task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    turns.set(turns.get() + 1);
                }
            });
            (0..10_000).for_each(|_| drop(lock.lock().unwrap()));
        });
        assert!(turns.get() > 10, "others had {} turns", turns.get());
    });
}

#[test]
fn statistics_say_who_has_the_lock_and_how_many_wait() {
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            (0..3).for_each(|_| drop(s.spawn(|| drop(lock.lock()))));
            task::yield_now();
            let statistics = lock.statistics();
            assert_eq!((statistics.is_locked, statistics.waiting), (true, 3));
            assert_eq!(statistics.owner, task::current_id());
            drop(guard);
        });
        let statistics = lock.statistics();
        assert_eq!((statistics.is_locked, statistics.waiting, statistics.owner), (false, 0, None));
    });
}

// Where no task can wait.

#[test]
fn a_free_lock_can_be_taken_in_callbacks_in_destructors_and_outside_of_run() {
    let lock = Rc::new(Mutex::new(1));
    {
        let mut guard = lock.try_lock().unwrap();
        *guard += 1;
        assert!(lock.try_lock().is_none());
        assert_eq!((lock.is_locked(), lock.owner()), (true, None));
    }
    let unwinding = lock.clone();
    while_unwinding(move || *unwinding.try_lock().unwrap() += 1);
    run(|| {
        let called = lock.clone();
        time::call_later(seconds(1), move || {
            *called.try_lock().unwrap() += 1;
            assert_eq!(called.lock().unwrap_err().reason(), Reason::OutsideTask);
        });
        sleep(1).unwrap();
    });
    assert_eq!(*lock.try_lock().unwrap(), 4);
    assert_eq!(
        panic_text(|| lock.lock().map(drop)),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
}

#[test]
fn a_task_that_unwinds_cannot_wait_for_a_lock_but_gives_its_own_back() {
    check(
        |log| {
            let lock = Rc::new(Mutex::new(0));
            let (other, free) = (lock.clone(), Rc::new(Mutex::new(0)));
            let unwinding = task::spawn({
                let (lock, free, log) = (lock.clone(), free.clone(), log.clone());
                move || {
                    struct Cleans(Rc<Mutex<i32>>, Log);
                    impl Drop for Cleans {
                        fn drop(&mut self) {
                            assert_eq!(self.0.lock().unwrap_err().reason(), Reason::Unwinding);
                            self.1.add(format!("can take it: {}", self.0.try_lock().is_some()));
                        }
                    }
                    let _cleans = Cleans(free, log);
                    let mut guard = lock.lock().unwrap();
                    *guard = 1;
                    sleep(1).unwrap();
                    *guard = 2;
                    panic!("half way");
                }
            });
            let next = task::spawn({
                let log = log.clone();
                move || log.add(format!("not poisoned: {}", *other.lock().unwrap()))
            });
            assert_eq!(panic_of(unwinding.join()), "half way");
            next.join().unwrap();
        },
        &["can take it: true", "not poisoned: 2"],
    );
}

// Cancellation.

/// asyncio: test_acquire_cancel.
#[test]
fn a_cancelled_waiter_leaves_its_place() {
    check(
        |log| {
            let lock = Mutex::new(());
            task::scope(|s| {
                let guard = lock.lock().unwrap();
                let waiters: Vec<_> = ["a", "b", "c"]
                    .into_iter()
                    .map(|name| {
                        let lock = &lock;
                        s.spawn(move || match lock.lock() {
                            Ok(_guard) => log.add(format!("{name} has it")),
                            Err(cancelled) => log.add(format!("{name}: {:?}", cancelled.reason())),
                        })
                    })
                    .collect();
                task::yield_now();
                waiters[1].cancel();
                task::yield_now();
                assert_eq!(lock.waiters(), 2);
                drop(guard);
            });
            assert!(!lock.is_locked());
        },
        &["b: Requested", "a has it", "c has it"],
    );
}

/// What becomes of two waiters, the first of which is cancelled in the very step in which the lock is given back.
fn race_of_cancel_and_release(cancel_first: bool) -> Vec<String> {
    let log = Log::new();
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let waiter = |name: &'static str| {
                let (lock, log) = (&lock, log.clone());
                s.spawn(move || {
                    match lock.lock() {
                        Ok(_guard) => {
                            log.add(format!("{name} has it, cancelled: {}", task::checkpoint().is_err()))
                        }
                        Err(_) => log.add(format!("{name} was cancelled")),
                    };
                })
            };
            let (first, _second) = (waiter("first"), waiter("second"));
            task::yield_now();
            if cancel_first {
                first.cancel();
                drop(guard);
            } else {
                drop(guard);
                first.cancel();
            }
        });
        assert!(!lock.is_locked());
    });
    log.take()
}

/// bpo-27585 and #112202; asyncio: test_cancel_race, test_cancel_release_race, test_finished_waiter_cancelled.
#[test]
fn a_waiter_that_is_cancelled_before_the_release_is_passed_over() {
    assert_eq!(race_of_cancel_and_release(true), ["first was cancelled", "second has it, cancelled: false"]);
}

#[test]
fn a_waiter_that_is_cancelled_after_the_release_has_the_lock_and_gives_it_back() {
    assert_eq!(
        race_of_cancel_and_release(false),
        ["first has it, cancelled: true", "second has it, cancelled: false"]
    );
}

#[test]
fn a_lock_whose_waiters_are_all_cancelled_in_the_step_of_the_release_is_free() {
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let waiters: Vec<_> = (0..3).map(|_| s.spawn(|| lock.lock().is_err())).collect();
            task::yield_now();
            assert!(waiters.iter().all(|waiter| waiter.cancel()));
            drop(guard);
            assert!(lock.try_lock().is_some(), "before any of them has run");
            assert!(waiters.iter().all(|waiter| waiter.join().unwrap()));
        });
    });
}

#[test]
fn in_what_was_cancelled_even_a_free_lock_is_not_taken() {
    run(|| {
        let lock = Mutex::new(());
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(lock.lock().is_err());
            assert!(select(lock.locking()).is_err());
            assert!(task::shield(|| lock.lock()).is_ok());
        });
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_limit_ends_the_wait_for_a_lock() {
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            s.spawn(|| {
                let _guard = lock.lock().unwrap();
                sleep(10).unwrap();
            });
            task::yield_now();
            assert!(time::timeout(seconds(3), || lock.lock().map(drop)).is_err());
            assert_eq!((clock(), lock.waiters()), (3.0, 0));
            drop(lock.lock().unwrap());
            assert_eq!(clock(), 10.0);
        });
    });
}

// Arms.

#[test]
fn an_arm_that_was_not_chosen_leaves_the_line_and_has_not_taken_the_lock() {
    run(|| {
        let (lock, other) = (Mutex::new(1), Mutex::new(2));
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let selects = s.spawn(|| match select((lock.locking(), time::sleeping(seconds(1)))) {
                Ok(Chosen::Second(())) => (lock.waiters(), clock()),
                _ => unreachable!(),
            });
            let waits = s.spawn(|| *lock.lock().unwrap());
            task::yield_now();
            assert_eq!(lock.waiters(), 2);
            assert_eq!(selects.join().unwrap(), (1, 1.0));
            drop(guard);
            assert_eq!(waits.join().unwrap(), 1);
            // The first that is free, in the order in which they stand.
            let guard = lock.lock().unwrap();
            match select((lock.locking(), other.locking())).unwrap() {
                Chosen::First(_) => unreachable!(),
                Chosen::Second(guard) => assert_eq!(*guard, 2),
            }
            assert!(try_select(lock.locking()).is_none());
            drop(guard);
            assert_eq!(*try_select(lock.locking()).unwrap(), 1);
        });
    });
}

#[test]
fn of_two_arms_for_one_lock_one_is_chosen() {
    run(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let twice = s.spawn(|| match select((lock.locking(), lock.locking())).unwrap() {
                Chosen::First(_guard) => lock.try_lock().is_none(),
                Chosen::Second(_) => unreachable!(),
            });
            task::yield_now();
            drop(guard);
            assert!(twice.join().unwrap());
        });
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_select_that_was_handed_the_lock_before_it_was_cancelled_has_it() {
    run(|| {
        let lock = Mutex::new(());
        for cancel_first in [true, false] {
            task::scope(|s| {
                let guard = lock.lock().unwrap();
                let selects = s.spawn(|| select((lock.locking(), time::sleeping(seconds(9)))).is_ok());
                task::yield_now();
                let mut guard = Some(guard);
                if cancel_first {
                    selects.cancel();
                }
                drop(guard.take());
                selects.cancel();
                assert_eq!(selects.join().unwrap(), !cancel_first);
            });
            assert!(!lock.is_locked());
        }
    });
}

#[test]
fn a_panic_in_what_is_made_of_the_guard_gives_the_lock_back() {
    run(|| {
        let lock = Mutex::new(());
        let arm = lock.locking().map(|_guard: MutexGuard<'_, ()>| -> u32 { panic!("no number") });
        assert_eq!(panic_text(|| select(arm)), "no number");
        assert!(!lock.is_locked());
    });
}

// Whose lock it is.

#[test]
fn a_task_that_would_wait_for_itself_is_told_so_and_gives_the_lock_back() {
    run(|| {
        let lock = Rc::new(Mutex::new(()));
        let twice = task::spawn({
            let lock = lock.clone();
            move || {
                let _guard = lock.lock().unwrap();
                let _ = lock.lock();
            }
        });
        assert_eq!(
            panic_of(twice.join()),
            "this task has the lock already: drop its guard first, or use a ReentrantMutex"
        );
        assert!(!lock.is_locked());
    });
}

/// What a task that has moved its guard away would wait for comes; but who locks twice is wrong more often than not.
#[test]
fn a_guard_that_has_moved_is_still_that_of_the_task_that_took_it() {
    run(|| {
        let lock = Mutex::new(0);
        task::scope(|s| {
            let mut guard = lock.lock().unwrap();
            s.spawn(move || {
                sleep(1).unwrap();
                *guard += 1;
            });
            task::yield_now();
            assert_eq!(lock.owner(), task::current_id());
            assert!(panic_text(|| lock.lock().map(drop)).starts_with("this task has the lock already"));
            // An arm waits for whoever it is.
            assert_eq!(select(lock.locking()).map(|guard| *guard), Ok(1));
            assert_eq!(clock(), 1.0);
        });
    });
}

#[test]
fn a_guard_that_was_adopted_is_that_of_the_task_that_has_it() {
    let told = told_in_debug_mode(|| {
        let lock = Mutex::new(0);
        task::scope(|s| {
            let (sender, receiver) = channel::rendezvous::<MutexGuard<'_, i32>>();
            let sends = s.spawn(|| {
                let sender = sender;
                sender.send(lock.lock().unwrap()).unwrap_or_else(|_| unreachable!());
            });
            let adopts = s.spawn(move || {
                let mut guard = receiver.recv().unwrap_or_else(|_| unreachable!());
                MutexGuard::adopt(&mut guard);
                time::sleep(seconds(1)).unwrap();
                assert!(
                    panic_text(|| MutexGuard::mutex(&guard).lock().map(drop)).starts_with("this task has")
                );
                *guard += 1;
            });
            sends.join().unwrap();
            task::yield_now();
            assert_eq!(lock.owner(), Some(adopts.id()));
            assert_eq!(*lock.lock().unwrap(), 1);
        });
    });
    assert_eq!(told, [""; 0], "the task that took it has given it away");
}

#[test]
fn a_guard_that_lives_on_in_another_task_is_reported_unless_that_adopts_it() {
    let pass_on = |adopt: bool| {
        told_in_debug_mode(move || {
            let lock: &'static Mutex<()> = Box::leak(Box::default());
            let (sender, receiver) = channel::unbounded();
            let takes = task::spawn(move || {
                sender.send(lock.lock().unwrap()).unwrap_or_else(|_| unreachable!());
                sleep(1).unwrap();
            });
            let keeps = task::spawn(move || {
                let mut guard = receiver.recv().unwrap();
                if adopt {
                    MutexGuard::adopt(&mut guard);
                }
                sleep(2).unwrap();
            });
            takes.join().unwrap();
            assert!(lock.is_locked());
            keeps.join().unwrap();
            assert!(!lock.is_locked());
        })
    };
    assert_eq!(pass_on(false), ["task 2: 1 guard that it did not give back"]);
    assert_eq!(pass_on(true), [""; 0]);
}

/// Numbers of tasks begin anew with each run.
#[test]
fn a_task_of_another_run_with_the_same_number_has_nothing() {
    let lock = Mutex::new(0);
    let kept = RefCell::new(run(|| Some(lock.lock().unwrap())));
    run(|| {
        assert_eq!(lock.owner().map(|owner| owner.get()), Some(1));
        assert_ne!(lock.owner(), task::current_id());
        task::scope(|s| {
            s.spawn(|| drop(kept.take()));
            *lock.lock().unwrap() += 1;
        });
    });
    drop(kept);
    assert_eq!(lock.into_inner(), 1);
}

// Guards that go astray.

#[test]
fn a_guard_that_was_forgotten_is_reported_when_its_task_ends() {
    let told = told_in_debug_mode(|| {
        let (lock, other) = (Mutex::new(()), Mutex::new(()));
        task::scope(|s| {
            s.spawn(|| {
                let _given_back = other.lock().unwrap();
                std::mem::forget(lock.lock().unwrap());
            });
        });
        assert!(lock.try_lock().is_none());
    });
    assert_eq!(told, ["task 2: 1 guard that it did not give back"]);
}

#[test]
fn whoever_waits_for_a_task_that_has_ended_is_shown_to() {
    let (report, reason) = deadlock_of(|| {
        let lock = Mutex::new(());
        task::scope(|s| {
            s.spawn(|| std::mem::forget(lock.lock().unwrap()));
            task::yield_now();
            let waits = s.spawn(|| lock.lock().map(drop));
            task::yield_now();
            let dump = inspect::dump().to_string();
            assert!(
                line_of(&dump, "task 3 spawned").ends_with(", held by task 2, which has ended"),
                "{dump}"
            );
            task::shield(|| waits.join()).unwrap().unwrap_err().reason()
        })
    });
    assert_eq!(reason, Reason::Deadlock);
    let waiter = line_of(&report, "task 3 spawned");
    assert!(waiter.contains(": waits for lock (tests/it/locks.rs:"), "{report}");
    assert!(waiter.ends_with(", held by task 2, which has ended"), "{report}");
    assert!(!report.contains("one another"), "{report}");
}

#[test]
fn whoever_has_the_mutex_to_itself_has_the_value_although_a_guard_was_forgotten() {
    let mut lock = Mutex::new(vec![1]);
    std::mem::forget(lock.try_lock().unwrap());
    lock.get_mut().push(2);
    assert_eq!(lock.into_inner(), [1, 2]);
}

#[test]
fn two_locks_in_opposite_order_are_a_ring_that_is_named() {
    let places = Cell::new((0, 0));
    let (report, ends) = deadlock_of(|| {
        let (left, right) = (Mutex::new(()), Mutex::new(()));
        task::scope(|s| {
            let one = task::Builder::new().name("one").spawn_in(s, || {
                let _left = left.lock()?;
                task::yield_now();
                places.set((line!() + 1, places.get().1));
                right.lock().map(drop)
            });
            let two = task::Builder::new().name("two").spawn_in(s, || {
                let _right = right.lock()?;
                task::yield_now();
                places.set((places.get().0, line!() + 1));
                left.lock().map(drop)
            });
            task::shield(|| [one.join(), two.join()].map(Result::unwrap))
        })
    });
    // One of them was cut short, and gave its lock back. What it waited for, the other one had.
    assert_eq!(ends.map(|end| end.map_err(|cut| cut.reason())), [Err(Reason::Deadlock); 2]);
    let ring = report.split_once("these tasks wait for one another:\n").expect(&report).1;
    let (one, two) = (line_of(ring, "'one' spawned"), line_of(ring, "'two' spawned"));
    let at = |line: u32| format!(": waits for lock (tests/it/locks.rs:{line}:");
    assert!(one.contains(&at(places.get().0)) && one.ends_with(", held by task 3 'two'"), "{ring}");
    assert!(two.contains(&at(places.get().1)) && two.ends_with(", held by task 2 'one'"), "{ring}");
    assert_eq!(ring.lines().count(), 2, "{ring}");
}

// Panics, and user's code in odd places.

#[test]
fn to_show_a_mutex_takes_the_lock_meanwhile() {
    /// Waits while it is shown.
    struct Slow;
    impl fmt::Debug for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _ = sleep(1);
            f.write_str("Slow")
        }
    }
    run(|| {
        let lock = Mutex::new(Slow);
        task::scope(|s| {
            let shows = s.spawn(|| format!("{lock:?}"));
            task::yield_now();
            assert_eq!(format!("{lock:?}"), "Mutex { value: <locked>, owner: Some(TaskId(2)) }");
            drop(lock.lock().unwrap());
            assert_eq!(clock(), 1.0);
            assert_eq!(shows.join().unwrap(), "Mutex { value: Slow }");
        });
        assert_eq!(format!("{:?}", Mutex::new(5).try_lock().unwrap()), "5");
        assert_eq!(format!("{}", Mutex::new("five").try_lock().unwrap()), "five");
    });
}

#[test]
fn a_guard_of_a_part_keeps_the_lock() {
    check(
        |log| {
            let lock = Mutex::new((1, Some(2)));
            task::scope(|s| {
                let part = MutexGuard::map(lock.lock().unwrap(), |pair| &mut pair.1);
                let mut part = MappedMutexGuard::filter_map(part, Option::as_mut).unwrap();
                s.spawn(|| log.add(format!("{:?}", *lock.lock().unwrap())));
                sleep(1).unwrap();
                *part += 40;
                log.add(format!("{part}"));
            });
            let whole = MutexGuard::filter_map(lock.lock().unwrap(), |_| None::<&mut i32>).unwrap_err();
            assert_eq!(*whole, (1, Some(42)));
            assert!(
                panic_text(|| MutexGuard::map(whole, |_| -> &mut i32 { panic!("no part") })) == "no part"
            );
            assert!(!lock.is_locked());
        },
        &["42", "(1, Some(42))"],
    );
}

#[test]
fn a_mutex_of_something_unsized_is_one_too() {
    run(|| {
        let lock: Box<Mutex<[i32]>> = Box::new(Mutex::new([3, 1, 2]));
        lock.lock().unwrap().sort_unstable();
        assert_eq!(*lock.lock().unwrap(), [1, 2, 3]);
        let shown: Rc<Mutex<dyn fmt::Debug>> = Rc::new(Mutex::from(7));
        assert_eq!(format!("{shown:?}"), "Mutex { value: 7 }");
    });
}

// In generators.

#[test]
fn a_generator_locks_for_the_task_that_resumes_it() {
    check(
        |log| {
            let lock = Rc::new(Mutex::new(0));
            let numbers = |name: &'static str| {
                let (lock, log) = (lock.clone(), log.clone());
                Generator::new(move |co: &Yielder<()>| {
                    for _ in 0..2 {
                        {
                            let mut guard = lock.lock().unwrap();
                            sleep(1).unwrap();
                            *guard += 1;
                            log.add(format!("{name} {} at {} s", *guard, clock()));
                        }
                        co.yield_(());
                    }
                })
            };
            task::scope(|s| {
                s.spawn(|| numbers("a").for_each(drop));
                s.spawn(|| numbers("b").for_each(drop));
            });
        },
        &["a 1 at 1 s", "b 2 at 2 s", "a 3 at 3 s", "b 4 at 4 s"],
    );
}

#[test]
fn a_generator_that_keeps_a_guard_keeps_it_for_the_task_that_locked() {
    run(|| {
        let lock = Rc::new(Mutex::new(0));
        let keeps = |lock: Rc<Mutex<i32>>| {
            Generator::new(move |co: &Yielder<()>| {
                let mut guard = lock.lock().unwrap();
                co.yield_(());
                *guard += 1;
                co.yield_(());
            })
        };
        let kept = keeps(lock.clone());
        kept.next();
        assert_eq!(lock.owner(), task::current_id());
        assert!(panic_text(|| lock.lock().map(drop)).starts_with("this task has the lock already"));
        // Another task may go on with it, and end it.
        let other = lock.clone();
        let ends = task::spawn(move || {
            kept.next();
            assert!(other.try_lock().is_none());
            drop(kept);
        });
        ends.join().unwrap();
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

// Whatever the schedule, and wherever it is cancelled.

/// Nothing, a turn for all others, or some time; as chance will have it.
pub(crate) fn dawdle() -> Result<(), Cancelled> {
    match testing::random(4) {
        0 => task::checkpoint(),
        1 => sleep(testing::random(3) as u64),
        _ => Ok(()),
    }
}

/// Six tasks that do some work three times each; now and then one of them is cancelled.
pub(crate) fn crowd(work: impl Fn(usize) -> Result<(), Cancelled>) {
    task::scope(|s| {
        let worker = |name| {
            let work = &work;
            s.spawn(move || (0..3).try_for_each(|_| dawdle().and_then(|()| work(name))).is_ok())
        };
        let workers: Vec<_> = (0..6).map(worker).collect();
        s.spawn(move || {
            for worker in &workers {
                dawdle().unwrap();
                if testing::random(3) == 0 {
                    worker.cancel();
                }
            }
        });
    });
}

#[test]
fn whatever_the_schedule_and_whoever_is_cancelled_one_at_a_time() {
    testing::explore(0..2000, || {
        let (lock, inside, turns) = (Mutex::new(0), Cell::new(false), Cell::new(0));
        crowd(|_| {
            let mut guard = match testing::random(3) {
                0 => match select((lock.locking(), time::sleeping(seconds(1))))? {
                    Chosen::First(guard) => guard,
                    Chosen::Second(()) => return Ok(()),
                },
                1 => match lock.try_lock() {
                    Some(guard) => guard,
                    None => return Ok(()),
                },
                _ => lock.lock()?,
            };
            assert!(!inside.replace(true), "somebody else is inside");
            let _ = dawdle();
            *guard += 1;
            turns.set(turns.get() + 1);
            inside.set(false);
            Ok(())
        });
        assert_eq!(lock.statistics().waiting, 0);
        assert_eq!(lock.try_lock().map(|guard| *guard), Some(turns.get()));
    });
}

#[test]
fn wherever_it_is_cancelled_a_lock_is_given_back() {
    let moments = testing::cancel_everywhere(|cut| {
        let (lock, inside) = (Mutex::new(()), Cell::new(false));
        let enters = || {
            let _guard = lock.lock()?;
            assert!(!inside.replace(true));
            let slept = time::sleep(seconds(1));
            inside.set(false);
            slept
        };
        let selects = || {
            if let Chosen::First(_guard) = select((lock.locking(), time::sleeping(seconds(2))))? {
                assert!(!inside.replace(true));
                task::yield_now();
                inside.set(false);
            }
            Ok(())
        };
        task::scope(|s| {
            // One that is not cancelled waits among them.
            s.spawn(|| {
                sleep(1).unwrap();
                drop(lock.lock().unwrap());
            });
            let _ = cut.here(|| {
                let work: [Box<dyn FnOnce() -> Result<(), Cancelled> + '_>; 4] =
                    [Box::new(enters), Box::new(selects), Box::new(enters), Box::new(selects)];
                task::try_gather(work).map(drop).map_err(Cancelled::from)
            });
        });
        assert!(!lock.is_locked() && lock.waiters() == 0);
    });
    assert!(moments > 20, "{moments}");
}
