//! Conditions: a lock that is given back and had again, and notifications that are not lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ropewalk::lowlevel::TaskState;
use ropewalk::sync::{Condvar, Mutex, MutexGuard};
use ropewalk::{Cancelled, Generator, Reason, Yielder, inspect, task, testing, time};

use crate::locks::{crowd, dawdle, deadlock_of, line_of, told_in_debug_mode};
use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

/// Tasks that wait, say so when they have the lock again, and keep it for a second.
fn wait_all<'scope>(
    s: &'scope task::Scope<'scope, '_>,
    (lock, condition): (&'scope Mutex<()>, &'scope Condvar),
    log: &Log,
    names: &[&'static str],
) -> Vec<task::ScopedJoinHandle<'scope, ()>> {
    let wait = |&name: &&'static str| {
        let log = log.clone();
        s.spawn(move || {
            let mut guard = lock.lock().unwrap();
            let waited = match condition.wait(&mut guard) {
                Ok(()) => "notified".to_owned(),
                Err(cancelled) => format!("{:?}", cancelled.reason()),
            };
            assert_eq!(lock.owner(), task::current_id());
            log.add(format!("{name} {waited} at {} s", clock()));
            let _ = task::shield(|| sleep(1));
        })
    };
    let tasks = names.iter().map(wait).collect();
    task::yield_now();
    tasks
}

// Notifying.

/// asyncio: test_wait, test_notify.
#[test]
fn those_who_wait_are_notified_in_the_order_of_coming() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new(()), Condvar::new());
            task::scope(|s| {
                wait_all(s, (&lock, &condition), log, &["a", "b", "c", "d", "e", "f"]);
                assert!(!lock.is_locked(), "all have given it back");
                assert_eq!(condition.statistics().waiting, 6);
                assert!(condition.notify_one());
                sleep(5).unwrap();
                assert_eq!(condition.notify(2), 2);
                sleep(5).unwrap();
                assert_eq!(condition.notify_all(), 3);
                assert_eq!(condition.statistics().waiting, 0);
            });
        },
        &[
            "a notified at 0 s",
            "b notified at 5 s",
            "c notified at 6 s",
            "d notified at 10 s",
            "e notified at 11 s",
            "f notified at 12 s",
        ],
    );
}

#[test]
fn a_notification_is_for_those_who_wait_now() {
    run(|| {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        assert!(!condition.notify_one());
        assert_eq!((condition.notify_all(), condition.notify(7)), (0, 0));
        let mut guard = lock.lock().unwrap();
        assert!(time::timeout(seconds(1), || condition.wait(&mut guard)).is_err(), "nobody comes back");
        task::scope(|s| {
            s.spawn(|| {
                let mut guard = lock.lock().unwrap();
                condition.wait(&mut guard).unwrap();
            });
            drop(guard);
            task::yield_now();
            // More than there are, and those that come afterwards have to wait for the next one.
            assert_eq!(condition.notify(7), 1);
            let mut guard = lock.lock().unwrap();
            assert!(time::timeout(seconds(1), || condition.wait(&mut guard)).is_err());
        });
    });
}

#[test]
fn nobody_returns_who_was_not_notified() {
    run(|| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        task::scope(|s| {
            let waits = s.spawn(|| {
                let mut guard = lock.lock().unwrap();
                condition.wait(&mut guard).unwrap();
                (*guard, clock())
            });
            for _ in 0..100 {
                *lock.lock().unwrap() += 1;
                task::yield_now();
            }
            sleep(3).unwrap();
            condition.notify_one();
            assert_eq!(waits.join().unwrap(), (100, 3.0));
        });
    });
}

// The lock.

#[test]
fn whoever_waits_gives_the_lock_back_and_has_it_again() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new("before"), Condvar::new());
            task::scope(|s| {
                s.spawn(|| {
                    let mut guard = lock.lock().unwrap();
                    log.add(format!("{} {:?}", *guard, lock.owner().map(|owner| owner.get())));
                    condition.wait(&mut guard).unwrap();
                    log.add(format!("{} {:?}", *guard, lock.owner().map(|owner| owner.get())));
                });
                task::yield_now();
                assert_eq!((lock.is_locked(), lock.owner()), (false, None));
                let mut guard = lock.lock().unwrap();
                condition.notify_one();
                log.add("notified");
                sleep(1).unwrap();
                *guard = "after";
            });
            assert!(!lock.is_locked());
        },
        &["before Some(2)", "notified", "after Some(2)"],
    );
}

/// Not even whoever has notified, and gives the lock back and asks for it again at once.
#[test]
fn from_the_notification_on_nobody_passes_whoever_was_notified() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new(()), Condvar::new());
            task::scope(|s| {
                wait_all(s, (&lock, &condition), log, &["a", "b", "c"]);
                let guard = lock.lock().unwrap();
                let locker = |name: &'static str| {
                    let (lock, log) = (&lock, log.clone());
                    s.spawn(move || {
                        drop((lock.lock().unwrap(), log.add(format!("{name} at {} s", clock()))))
                    });
                    task::yield_now();
                };
                locker("before");
                condition.notify(2);
                locker("after");
                condition.notify_one();
                drop(guard);
                let _guard = lock.lock().unwrap();
                log.add(format!("who notified at {} s", clock()));
            });
        },
        &[
            "before at 0 s",
            "a notified at 0 s",
            "b notified at 1 s",
            "after at 2 s",
            "c notified at 2 s",
            "who notified at 3 s",
        ],
    );
}

#[test]
fn whoever_is_notified_while_the_lock_is_free_has_it_before_it_runs() {
    run(|| {
        let (lock, condition, log) = (Mutex::new(()), Condvar::new(), Log::new());
        task::scope(|s| {
            let waits = wait_all(s, (&lock, &condition), &log, &["a", "b"]);
            assert!(!lock.is_locked());
            condition.notify_all();
            assert_eq!((lock.owner(), lock.waiters()), (Some(waits[0].id()), 1));
            assert!(lock.try_lock().is_none());
        });
        log.assert(&["a notified at 0 s", "b notified at 1 s"]);
    });
}

/// One switch for each: whoever is notified need not run to get in line.
#[test]
fn those_who_are_notified_are_not_woken_to_fight_for_the_lock() {
    run(|| {
        let (lock, condition, log) = (Mutex::new(()), Condvar::new(), Log::new());
        task::scope(|s| {
            let waits = wait_all(s, (&lock, &condition), &log, &["a", "b", "c"]);
            let guard = lock.lock().unwrap();
            assert_eq!(condition.notify_all(), 3);
            assert_eq!((condition.statistics().waiting, lock.waiters()), (0, 3));
            let woken = || waits.iter().filter(|waits| waits.info().state == TaskState::Ready).count();
            assert_eq!(woken(), 0);
            drop(guard);
            assert_eq!(woken(), 1);
        });
    });
}

// Cancellation.

/// asyncio: test_wait_cancel, test_wait_cancel_contested, test_cancelled_error_wakeup.
#[test]
fn a_cancelled_wait_has_the_lock_when_it_returns_and_waits_for_it_in_line() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new(()), Condvar::new());
            task::scope(|s| {
                let waits = wait_all(s, (&lock, &condition), log, &["a", "b"]);
                let guard = lock.lock().unwrap();
                s.spawn(|| {
                    let _guard = lock.lock().unwrap();
                    log.add(format!("locker at {} s", clock()));
                    sleep(1).unwrap();
                });
                task::yield_now();
                waits[0].cancel();
                sleep(3).unwrap();
                assert_eq!((condition.statistics().waiting, lock.waiters()), (1, 2));
                log.add("given back");
                drop(guard);
                waits[0].join().unwrap();
                // At once, where nobody has the lock.
                waits[1].cancel();
                waits[1].join().unwrap();
            });
            assert!(!lock.is_locked());
        },
        &["given back", "locker at 3 s", "a Requested at 4 s", "b Requested at 5 s"],
    );
}

/// One who waits is cancelled in the very step in which one is notified, with another waiting behind it.
fn race_of_cancel_and_notify(cancel_first: bool, while_locked: bool) -> Vec<String> {
    let log = Log::new();
    run(|| {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        task::scope(|s| {
            let waits = wait_all(s, (&lock, &condition), &log, &["first", "second"]);
            let guard = while_locked.then(|| lock.lock().unwrap());
            if cancel_first {
                waits[0].cancel();
            }
            assert!(condition.notify_one());
            waits[0].cancel();
            drop(guard);
            sleep(5).unwrap();
            waits[1].cancel();
        });
        assert!(!lock.is_locked());
    });
    log.take()
}

/// bpo-32841 and #112202; asyncio: test_wait_cancel_after_notify, test_cancelled_wakeup.
#[test]
fn a_notification_that_comes_with_a_cancellation_is_not_lost() {
    for while_locked in [false, true] {
        // Who is notified stands in the lock's line at once, who is cancelled when it has run.
        assert_eq!(
            race_of_cancel_and_notify(true, while_locked),
            ["second notified at 0 s", "first Requested at 1 s"]
        );
        assert_eq!(
            race_of_cancel_and_notify(false, while_locked),
            ["first notified at 0 s", "second Requested at 5 s"]
        );
    }
}

/// asyncio: test_cancelled_error_re_aquire, test_cancelled_wakeup_relock, where it raises instead.
#[test]
fn whoever_was_notified_keeps_its_place_in_the_locks_line_when_it_is_cancelled() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new(()), Condvar::new());
            task::scope(|s| {
                let waits = wait_all(s, (&lock, &condition), log, &["a", "b"]);
                let guard = lock.lock().unwrap();
                condition.notify_all();
                sleep(1).unwrap();
                waits[0].cancel();
                sleep(1).unwrap();
                log.add("given back");
                drop(guard);
            });
        },
        &["given back", "a notified at 2 s", "b notified at 3 s"],
    );
}

#[test]
fn a_limit_around_a_wait_is_over_with_the_lock_held() {
    run(|| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        task::scope(|s| {
            let mut guard = lock.lock().unwrap();
            s.spawn(|| {
                sleep(1).unwrap();
                let mut guard = lock.lock().unwrap();
                sleep(4).unwrap();
                *guard += 1;
            });
            let late = time::timeout(seconds(2), || condition.wait(&mut guard));
            // The other one had it for so long.
            assert!(late.is_err());
            assert_eq!((clock(), *guard, lock.owner()), (5.0, 1, task::current_id()));
            // In the same instant it is one or the other.
            s.spawn(|| {
                sleep(2).unwrap();
                condition.notify_one()
            });
            let both = time::timeout(seconds(2), || condition.wait(&mut guard));
            assert_eq!((clock(), lock.owner()), (7.0, task::current_id()));
            assert!(both.is_err() || both.is_ok_and(|waited| waited.is_ok()));
        });
    });
}

#[test]
fn in_what_was_cancelled_a_wait_does_not_give_the_lock_back() {
    run(|| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        task::scope(|s| {
            let mut guard = lock.lock().unwrap();
            let other = s.spawn(|| *lock.lock().unwrap() += 1);
            task::yield_now();
            task::cancel_scope(|scope| {
                scope.cancel();
                for _ in 0..10 {
                    assert!(condition.wait(&mut guard).is_err());
                    assert!(condition.wait_while(&mut guard, |_| panic!("it does not look")).is_err());
                }
                assert_eq!((*guard, lock.waiters(), other.is_finished()), (0, 1, false));
            });
            assert_eq!(lock.owner(), task::current_id());
        });
    });
}

#[test]
fn where_no_task_can_wait_a_wait_fails_with_the_lock_held() {
    let shared = Rc::new((Mutex::new(0), Condvar::new()));
    run(|| {
        let pair = shared.clone();
        time::call_later(seconds(1), move || {
            let (lock, condition) = &*pair;
            let mut guard = lock.try_lock().unwrap();
            assert_eq!(condition.wait(&mut guard).unwrap_err().reason(), Reason::OutsideTask);
            *guard += 1;
            assert!(lock.is_locked());
        });
        sleep(1).unwrap();
        let pair = shared.clone();
        while_unwinding(move || {
            let (lock, condition) = &*pair;
            let mut guard = lock.try_lock().unwrap();
            assert_eq!(condition.wait(&mut guard).unwrap_err().reason(), Reason::Unwinding);
            assert!(condition.wait_while(&mut guard, |_| true).is_err());
            *guard += 1;
            assert!(lock.is_locked());
        });
    });
    let (lock, condition) = &*shared;
    let mut guard = lock.try_lock().unwrap();
    assert_eq!(
        panic_text(|| condition.wait(&mut guard)),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
    assert_eq!((*guard, lock.is_locked()), (2, true));
}

// Looking.

/// asyncio: test_wait_for.
#[test]
fn waiting_while_something_holds_looks_first_and_after_each_notification() {
    check(
        |log| {
            let (lock, condition) = (Mutex::new(0), Condvar::new());
            task::scope(|s| {
                s.spawn(|| {
                    let mut guard = lock.lock().unwrap();
                    let waited = condition.wait_while(&mut guard, |value| {
                        log.add(format!("looks at {value}"));
                        *value < 3
                    });
                    assert!(waited.is_ok());
                    // What is so already is not waited for.
                    condition.wait_while(&mut guard, |value| *value < 3).unwrap();
                });
                for value in 1..=3 {
                    task::yield_now();
                    *lock.lock().unwrap() = value;
                    condition.notify_all();
                }
            });
        },
        &["looks at 0", "looks at 1", "looks at 2", "looks at 3"],
    );
}

#[test]
fn a_panic_while_looking_gives_the_lock_back() {
    run(|| {
        let (lock, condition) = (Rc::new(Mutex::new(0)), Rc::new(Condvar::new()));
        let looks = task::spawn({
            let (lock, condition) = (lock.clone(), condition.clone());
            move || {
                let mut guard = lock.lock().unwrap();
                let _ = condition.wait_while(&mut guard, |value| {
                    assert_eq!(*value, 0, "not what it was");
                    true
                });
            }
        });
        task::yield_now();
        *lock.lock().unwrap() = 1;
        condition.notify_one();
        assert!(panic_of(looks.join()).contains("not what it was"));
        assert!(!lock.is_locked());
    });
}

/// What was looked at is so still when the wait begins: also if whoever changes it does not take the lock.
#[test]
fn nothing_comes_between_the_last_look_and_the_wait() {
    testing::explore(0..200, || {
        let (lock, condition, rung) = (Mutex::new(()), Condvar::new(), Cell::new(false));
        task::scope(|s| {
            s.spawn(|| {
                let mut guard = lock.lock().unwrap();
                while !rung.get() {
                    condition.wait(&mut guard).unwrap();
                }
            });
            s.spawn(|| {
                let _ = dawdle();
                rung.set(true);
                condition.notify_one();
            });
        });
    });
}

// Several conditions, and several locks.

#[test]
fn several_conditions_share_one_lock() {
    check(
        |log| {
            // A store with room for two.
            let (store, has_room, has_goods) = (Mutex::new(VecDeque::new()), Condvar::new(), Condvar::new());
            task::scope(|s| {
                s.spawn(|| {
                    for number in 0..5 {
                        let mut store = store.lock().unwrap();
                        has_room.wait_while(&mut store, |store| store.len() == 2).unwrap();
                        store.push_back(number);
                        log.add(format!("in {number} at {} s", clock()));
                        has_goods.notify_one();
                    }
                });
                for _ in 0..5 {
                    let mut store = store.lock().unwrap();
                    has_goods.wait_while(&mut store, |store| store.is_empty()).unwrap();
                    let number = store.pop_front();
                    has_room.notify_one();
                    drop(store);
                    log.add(format!("out {:?} at {} s", number.unwrap(), clock()));
                    sleep(1).unwrap();
                }
            });
        },
        &[
            "in 0 at 0 s",
            "out 0 at 0 s",
            "in 1 at 0 s",
            "in 2 at 0 s",
            "out 1 at 1 s",
            "in 3 at 1 s",
            "out 2 at 2 s",
            "in 4 at 2 s",
            "out 3 at 3 s",
            "out 4 at 4 s",
        ],
    );
}

#[test]
fn those_who_wait_for_one_condition_with_several_locks_have_their_own_back() {
    check(
        |log| {
            let (left, right, condition) = (Mutex::new("left"), Mutex::new("right"), Condvar::new());
            task::scope(|s| {
                for lock in [&left, &right, &left] {
                    let condition = &condition;
                    s.spawn(move || {
                        let mut guard = lock.lock().unwrap();
                        condition.wait(&mut guard).unwrap();
                        log.add(format!("{} at {} s", *guard, clock()));
                        sleep(1).unwrap();
                    });
                }
                task::yield_now();
                let guard = right.lock().unwrap();
                assert_eq!(condition.notify_all(), 3);
                sleep(5).unwrap();
                drop(guard);
            });
        },
        &["left at 0 s", "left at 1 s", "right at 5 s"],
    );
}

// Guards.

#[test]
fn whoever_waits_with_a_guard_that_has_moved_has_the_lock_itself_afterwards() {
    let told = told_in_debug_mode(|| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let waits = s.spawn(|| {
                let mut guard = guard;
                condition.wait(&mut guard).unwrap();
                assert_eq!(lock.owner(), task::current_id());
                sleep(1).unwrap();
            });
            task::yield_now();
            assert!(!lock.is_locked());
            condition.notify_one();
            assert_eq!(lock.owner(), Some(waits.id()));
        });
    });
    assert_eq!(told, [""; 0]);
}

#[test]
fn a_guard_that_is_forgotten_after_a_wait_is_reported_once() {
    let told = told_in_debug_mode(|| {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        task::scope(|s| {
            s.spawn(|| {
                let mut guard = lock.lock().unwrap();
                condition.wait(&mut guard).unwrap();
                std::mem::forget(guard);
            });
            task::yield_now();
            condition.notify_one();
        });
    });
    assert_eq!(told, ["task 2: 1 guard that it did not give back"]);
}

#[test]
fn it_can_be_notified_from_anywhere() {
    run(|| {
        let shared = Rc::new((Mutex::new(()), Condvar::new()));
        let waits = |log: &Log| {
            let (shared, log) = (shared.clone(), log.clone());
            task::spawn(move || {
                let (lock, condition) = &*shared;
                condition.wait(&mut lock.lock().unwrap()).unwrap();
                log.add(format!("{} s", clock()));
            })
        };
        let log = Log::new();
        let tasks = [waits(&log), waits(&log), waits(&log)];
        let called = shared.clone();
        time::call_later(seconds(1), move || assert!(called.1.notify_one()));
        sleep(2).unwrap();
        let unwinding = shared.clone();
        while_unwinding(move || assert!(unwinding.1.notify_one()));
        task::yield_now();
        sleep(1).unwrap();
        let guard = shared.0.lock().unwrap();
        shared.1.notify_one();
        drop(guard);
        tasks.iter().for_each(|task| task.join().unwrap());
        log.assert(&["1 s", "2 s", "3 s"]);
        assert_eq!(format!("{:?}", shared.1), "Condvar { waiting: 0 }");
    });
}

#[test]
fn a_generator_waits_for_the_task_that_resumes_it() {
    run(|| {
        let shared = Rc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let items = {
            let shared = shared.clone();
            Generator::new(move |co: &Yielder<u32>| {
                let (lock, condition) = &*shared;
                loop {
                    let mut queue = lock.lock().unwrap();
                    condition.wait_while(&mut queue, |queue| queue.is_empty()).unwrap();
                    let item = queue.pop_front().unwrap();
                    drop(queue);
                    co.yield_(item);
                }
            })
        };
        task::scope(|s| {
            s.spawn(|| {
                for item in 0..3 {
                    sleep(1).unwrap();
                    shared.0.lock().unwrap().push_back(item);
                    shared.1.notify_one();
                }
            });
            assert_eq!(
                items.take(3).map(|item| (item, clock())).collect::<Vec<_>>(),
                [(0, 1.0), (1, 2.0), (2, 3.0)]
            );
        });
    });
}

// Deadlocks.

#[test]
fn a_dump_shows_what_is_waited_for_before_and_after_the_notification() {
    run(|| {
        let (lock, condition, log) = (Mutex::new(()), Condvar::new(), Log::new());
        task::scope(|s| {
            wait_all(s, (&lock, &condition), &log, &["a"]);
            let dump = || inspect::dump().to_string();
            assert!(line_of(&dump(), "task 2 ").contains(": waits for notification (tests/it/condvars.rs:"));
            let guard = lock.lock().unwrap();
            sleep(1).unwrap();
            condition.notify_one();
            let text = dump();
            let line = line_of(&text, "task 2 ");
            assert!(line.contains(": waits for lock (tests/it/condvars.rs:"), "{line}");
            assert!(line.ends_with(" since 0ns, held by task 1"), "{line}");
            drop(guard);
        });
    });
}

#[test]
fn a_notification_that_never_comes_is_a_deadlock_that_is_found_and_leaves_the_lock_held() {
    let (report, reason) = deadlock_of(|| {
        let (lock, condition) = (Mutex::new(1), Condvar::new());
        let mut guard = lock.lock().unwrap();
        let waited = condition.wait_while(&mut guard, |_| true);
        assert_eq!((*guard, lock.is_locked()), (1, true));
        waited.unwrap_err().reason()
    });
    assert_eq!(reason, Reason::Deadlock);
    assert!(report.contains("waits for notification (tests/it/condvars.rs:"), "{report}");
}

/// Nothing can give it the lock back that it was promised. So it does not go on without.
fn lock_that_never_comes_back(notified: bool) -> (String, Vec<String>) {
    let log = Log::new();
    let (report, ()) = deadlock_of(|| {
        let shared = Rc::new((Mutex::new(()), Condvar::new()));
        let waits = task::spawn({
            let (shared, log) = (shared.clone(), log.clone());
            move || {
                struct Cleans<'a>(MutexGuard<'a, ()>, Log);
                impl Drop for Cleans<'_> {
                    fn drop(&mut self) {
                        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| *self.0));
                        self.1.add(format!("its guard is of use: {}", lost.is_ok()));
                    }
                }
                let mut cleans = Cleans(shared.0.lock().unwrap(), log);
                let _ = shared.1.wait(&mut cleans.0);
            }
        });
        task::yield_now();
        let forgets = task::spawn({
            let shared = shared.clone();
            move || std::mem::forget(shared.0.lock().unwrap())
        });
        forgets.join().unwrap();
        if notified {
            shared.1.notify_one();
        }
        assert!(waits.join().is_err(), "this is cut short, and what it waits for is not");
        assert!(!waits.is_finished());
        let _ = task::shield(|| waits.join().map_err(drop));
        task::yield_now();
        log.add(panic_of(waits.try_result().unwrap()));
        assert!(shared.0.is_locked());
    });
    (report, log.take())
}

#[test]
fn a_wait_that_cannot_have_its_lock_back_panics_when_nothing_else_is_left() {
    let lost = [
        "its guard is of use: false",
        "deadlock: nothing is left that could give back the lock of this condition",
    ];
    let (report, told) = lock_that_never_comes_back(true);
    assert_eq!(told, lost);
    let waiter = line_of(&report, "task 2 spawned");
    assert!(waiter.contains(": waits for lock (tests/it/condvars.rs:"), "{report}");
    assert!(waiter.ends_with(", held by task 3, which has ended"), "{report}");
    let (report, told) = lock_that_never_comes_back(false);
    assert_eq!(told, lost);
    assert!(line_of(&report, "task 2 spawned").contains(": waits for notification ("), "{report}");
}

// Whatever the schedule, and wherever it is cancelled.

#[test]
fn whatever_the_schedule_and_whoever_is_cancelled_no_item_of_a_store_is_lost() {
    testing::explore(0..2000, || {
        let (store, has_room, has_goods) = (Mutex::new(VecDeque::new()), Condvar::new(), Condvar::new());
        let (made, inside) = (Cell::new(0), Cell::new(false));
        let (taken, stocked) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let work = |name: usize| {
            let mut store = store.lock()?;
            if name % 2 == 0 {
                has_room.wait_while(&mut store, |store| store.len() >= 2)?;
                assert!(!inside.replace(true));
                store.push_back(made.get());
                stocked.borrow_mut().push(made.get());
                made.set(made.get() + 1);
                let _ = dawdle();
                has_goods.notify_one();
            } else {
                // One who takes may come away with nothing; then another one may be in its place.
                let waited =
                    time::timeout(seconds(2), || has_goods.wait_while(&mut store, |store| store.is_empty()));
                assert!(!inside.replace(true), "the lock is held, whatever became of the wait");
                if let (Ok(Ok(())), Some(item)) = (waited, store.front().copied()) {
                    store.pop_front();
                    taken.borrow_mut().push(item);
                    let _ = dawdle();
                }
                has_room.notify_one();
            }
            inside.set(false);
            Ok(())
        };
        task::scope(|s| {
            // Those who wait for room when all others have gone are let go.
            s.spawn_service(|| {
                while testing::wait_all_tasks_blocked().is_ok() {
                    let mut store = store.lock().unwrap();
                    taken.borrow_mut().extend(store.drain(..));
                    has_room.notify_all();
                    drop(store);
                    if sleep(10).is_err() {
                        break;
                    }
                }
            });
            crowd(work);
        });
        taken.borrow_mut().extend(store.try_lock().expect("it is free").drain(..));
        assert_eq!(taken, stocked, "in the order in which they came");
        assert_eq!((has_room.statistics().waiting, has_goods.statistics().waiting), (0, 0));
    });
}

/// As many go through as were notified, whoever is cancelled: each notification is somebody's.
#[test]
fn whatever_the_schedule_as_many_return_as_were_notified() {
    testing::explore(0..2000, || {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        let (notified, returned) = (Cell::new(0), Cell::new(0));
        task::scope(|s| {
            let waiters: Vec<_> = (0..6)
                .map(|_| {
                    s.spawn(|| {
                        let Ok(mut guard) = lock.lock() else { return };
                        let waited = condition.wait(&mut guard);
                        assert_eq!(lock.owner(), task::current_id());
                        returned.set(returned.get() + usize::from(waited.is_ok()));
                        let _ = dawdle();
                    })
                })
                .collect();
            while !waiters.iter().all(|waiter| waiter.is_finished()) {
                let _ = dawdle();
                let guard = (testing::random(2) == 0).then(|| lock.try_lock()).flatten();
                notified.set(notified.get() + condition.notify(testing::random(3)));
                let _ = dawdle();
                drop(guard);
                if testing::random(3) == 0 {
                    waiters[testing::random(waiters.len())].cancel();
                }
                task::yield_now();
            }
        });
        assert_eq!(returned, notified);
        assert!(!lock.is_locked());
    });
}

#[test]
fn wherever_it_is_cancelled_the_lock_is_held_when_a_wait_returns() {
    let moments = testing::cancel_everywhere(|cut| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        let (inside, notified, returned) = (Cell::new(false), Cell::new(0), Cell::new(0));
        let has_the_lock = || {
            assert_eq!(lock.owner(), task::current_id());
            assert!(!inside.replace(true));
            task::shield(|| task::checkpoint().unwrap());
            inside.set(false);
        };
        let waits = || {
            let mut guard = lock.lock()?;
            let waited = condition.wait(&mut guard);
            has_the_lock();
            returned.set(returned.get() + u32::from(waited.is_ok()));
            waited
        };
        let notifies = || {
            sleep(1)?;
            let _guard = lock.lock()?;
            for most in [1, 2] {
                notified.set(notified.get() + condition.notify(most) as u32);
                sleep(1)?;
            }
            Ok(())
        };
        task::scope(|s| {
            s.spawn(|| {
                sleep(2).unwrap();
                let _guard = lock.lock().unwrap();
                has_the_lock();
            });
            let _ = cut.here(|| {
                let work: [Box<dyn FnOnce() -> Result<(), Cancelled> + '_>; 4] =
                    [Box::new(waits), Box::new(waits), Box::new(waits), Box::new(notifies)];
                task::try_gather(work).map(drop).map_err(Cancelled::from)
            });
        });
        assert_eq!((lock.is_locked(), lock.waiters(), condition.statistics().waiting), (false, 0, 0));
        assert_eq!(notified, returned);
    });
    assert!(moments > 20, "{moments}");
}
