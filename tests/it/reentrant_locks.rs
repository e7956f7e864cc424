//! The mutex that its owner can lock again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::lowlevel::{Arm, InLine, WaitList};
use ropewalk::select::{Chosen, select};
use ropewalk::sync::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
use ropewalk::{Cancelled, Generator, Reason, Yielder, inspect, task, testing, time};

use crate::locks::{crowd, dawdle, deadlock_of, line_of, told_in_debug_mode};
use crate::log::{panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

/// How many times its owner has locked it, and how many wait.
fn depth<T: ?Sized>(lock: &ReentrantMutex<T>) -> (usize, usize) {
    let statistics = lock.statistics();
    assert_eq!(statistics.is_locked, lock.is_locked());
    assert_eq!(statistics.owner, lock.owner());
    (statistics.depth, statistics.waiting)
}

#[test]
fn the_owner_locks_again_and_others_wait_until_it_has_given_all_back() {
    check(
        |log| {
            let lock = ReentrantMutex::new(Cell::new(0));
            task::scope(|s| {
                let outer = lock.lock().unwrap();
                for name in ["a", "b"] {
                    let lock = &lock;
                    s.spawn(move || {
                        let value = lock.lock().unwrap();
                        let again = lock.lock().unwrap();
                        value.set(value.get() + 1);
                        log.add(format!("{name} at {} s: {}", clock(), again.get()));
                        drop(value);
                        sleep(1).unwrap();
                    });
                }
                task::yield_now();
                // Its owner passes those who wait.
                let inner = lock.lock().unwrap();
                let innermost = lock.try_lock().unwrap();
                assert_eq!((depth(&lock), lock.is_mine()), ((3, 2), true));
                drop(outer);
                sleep(1).unwrap();
                drop(innermost);
                assert_eq!(depth(&lock), (1, 2));
                log.add("given back");
                drop(inner);
                assert!(!lock.is_mine());
            });
            assert_eq!(depth(&lock), (0, 0));
        },
        &["given back", "a at 1 s: 1", "b at 2 s: 2"],
    );
}

#[test]
fn functions_that_lock_what_they_use_call_one_another() {
    struct Account(ReentrantMutex<Cell<i64>>);
    impl Account {
        fn add(&self, amount: i64) -> Result<(), Cancelled> {
            let balance = self.0.lock()?;
            let before = balance.get();
            task::checkpoint()?;
            balance.set(before + amount);
            Ok(())
        }
        fn move_to(&self, other: &Account, amount: i64) -> Result<(), Cancelled> {
            let _whole = self.0.lock()?;
            self.add(-amount)?;
            other.add(amount)
        }
    }
    run(|| {
        let (one, other) = (Account(ReentrantMutex::new(Cell::new(10))), Account(ReentrantMutex::default()));
        task::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| one.move_to(&other, 2).unwrap());
            }
        });
        assert_eq!((one.0.into_inner().get(), other.0.into_inner().get()), (2, 8));
    });
}

#[test]
fn whoever_is_handed_the_lock_has_it_once_before_it_runs() {
    run(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            let guards = [lock.lock().unwrap(), lock.lock().unwrap()];
            let next = s.spawn(|| lock.lock().map(|_guard| depth(&lock)));
            task::yield_now();
            drop(guards);
            assert_eq!((depth(&lock), lock.owner()), ((1, 0), Some(next.id())));
            assert!(lock.try_lock().is_none());
            assert_eq!(next.join().unwrap(), Ok((1, 0)));
        });
    });
}

/// Code of the task that runs between the grant and the end of its wait: other arms take back what is theirs.
#[test]
fn code_that_runs_before_the_wait_returns_may_lock_again() {
    struct Meddles<'a>(&'a ReentrantMutex<()>, &'a WaitList);
    impl<'a> Arm for Meddles<'a> {
        type Output = ();
        type Place = InLine<'a, ()>;
        fn try_now(&mut self) -> Option<()> {
            None
        }
        fn place(&mut self) -> Self::Place {
            self.1.place(())
        }
        fn end(&mut self, _: Self::Place) -> Option<()> {
            let again = self.0.try_lock().expect("this task has it");
            assert_eq!(depth(self.0).0, 2);
            drop(again);
            None
        }
        fn show(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Ok(())
        }
    }
    run(|| {
        let (lock, line) = (ReentrantMutex::new(()), WaitList::new());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            let selects = s.spawn(|| match select((Meddles(&lock, &line), lock.locking())).unwrap() {
                Chosen::First(()) => unreachable!(),
                Chosen::Second(_guard) => {
                    task::yield_now();
                    depth(&lock)
                }
            });
            task::yield_now();
            drop(guard);
            task::yield_now();
            assert!(lock.try_lock().is_none());
            assert_eq!(selects.join().unwrap(), (1, 0));
        });
        assert_eq!(depth(&lock), (0, 0));
    });
}

// Cancellation.

#[test]
fn a_wait_that_is_cancelled_in_the_step_of_the_release_has_the_lock_or_leaves_it_to_the_next() {
    for cancel_first in [true, false] {
        run(|| {
            let lock = ReentrantMutex::new(());
            task::scope(|s| {
                let guards = [lock.lock().unwrap(), lock.lock().unwrap()];
                let first = s.spawn(|| lock.lock().is_ok());
                let second = s.spawn(|| lock.lock().is_ok());
                task::yield_now();
                if cancel_first {
                    first.cancel();
                }
                drop(guards);
                first.cancel();
                assert_eq!((first.join().unwrap(), second.join().unwrap()), (!cancel_first, true));
            });
            assert_eq!(depth(&lock), (0, 0));
        });
    }
}

#[test]
fn in_what_was_cancelled_the_owner_does_not_lock_again_either() {
    run(|| {
        let lock = ReentrantMutex::new(());
        let _guard = lock.lock().unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(lock.lock().is_err() && select(lock.locking()).is_err());
            assert!(lock.try_lock().is_some());
        });
        assert_eq!(depth(&lock), (1, 0));
    });
}

#[test]
fn an_arm_of_the_owner_is_ready_at_once_and_one_of_others_waits() {
    run(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            match select((time::sleeping(seconds(1)), lock.locking())).unwrap() {
                Chosen::First(()) => unreachable!(),
                Chosen::Second(_guard) => assert_eq!(depth(&lock), (2, 0)),
            }
            let late = s.spawn(|| {
                matches!(select((lock.locking(), time::sleeping(seconds(1)))), Ok(Chosen::Second(())))
            });
            let waits = s.spawn(|| select(lock.locking()).map(|_guard| clock()));
            assert!(late.join().unwrap());
            sleep(1).unwrap();
            drop(guard);
            assert_eq!(waits.join().unwrap(), Ok(2.0));
        });
    });
}

// Whose lock it is.

#[test]
fn a_guard_that_has_moved_counts_where_it_is_dropped_and_is_still_the_owners() {
    run(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            let (kept, moved) = (lock.lock().unwrap(), lock.lock().unwrap());
            let other = s.spawn(|| {
                let moved = moved;
                assert!(!lock.is_mine() && lock.try_lock().is_none(), "a guard makes nobody the owner");
                sleep(1).unwrap();
                drop(moved);
                // The owner has one left.
                lock.lock().map(|_guard| clock())
            });
            sleep(2).unwrap();
            assert_eq!((depth(&lock), lock.is_mine()), ((1, 1), true));
            drop(kept);
            assert_eq!(other.join().unwrap(), Ok(2.0));
            // The last one of all may be dropped elsewhere too.
            let moved = lock.lock().unwrap();
            s.spawn(move || drop(moved)).join().unwrap();
            assert_eq!(depth(&lock), (0, 0));
        });
    });
}

#[test]
fn a_task_of_another_run_with_the_same_number_is_not_the_owner() {
    let lock = ReentrantMutex::new(());
    let kept = run(|| lock.lock().unwrap());
    run(|| {
        assert_eq!(lock.owner().map(|owner| owner.get()), Some(1));
        assert!(!lock.is_mine() && lock.try_lock().is_none());
    });
    drop(kept);
}

#[test]
fn outside_of_tasks_nobody_is_the_owner() {
    let lock = Rc::new(ReentrantMutex::new(7));
    {
        let guard = lock.try_lock().unwrap();
        assert_eq!((*guard, depth(&lock), lock.owner(), lock.is_mine()), (7, (1, 0), None, false));
        assert!(lock.try_lock().is_none(), "it cannot be known that it is the same one");
    }
    run(|| {
        let (called, has) = (lock.clone(), lock.lock().unwrap());
        time::call_later(seconds(1), move || {
            assert!(called.try_lock().is_none());
            assert_eq!(called.lock().unwrap_err().reason(), Reason::OutsideTask);
        });
        sleep(1).unwrap();
        drop(has);
        let called = lock.clone();
        time::call_later(seconds(1), move || drop(called.try_lock().unwrap()));
        sleep(2).unwrap();
    });
    assert_eq!(
        panic_text(|| lock.lock().map(drop)),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
}

#[test]
fn an_owner_that_unwinds_cannot_wait_but_try_and_gives_all_back() {
    run(|| {
        let lock = Rc::new(ReentrantMutex::new(()));
        let panics = task::spawn({
            let lock = lock.clone();
            move || {
                struct Cleans(Rc<ReentrantMutex<()>>);
                impl Drop for Cleans {
                    fn drop(&mut self) {
                        assert_eq!(self.0.lock().unwrap_err().reason(), Reason::Unwinding);
                        assert!(self.0.try_lock().is_some());
                        assert_eq!(depth(&self.0), (2, 1));
                    }
                }
                let _guards = [lock.lock().unwrap(), lock.lock().unwrap()];
                let _cleans = Cleans(lock.clone());
                sleep(1).unwrap();
                panic!("half way");
            }
        });
        task::yield_now();
        drop(lock.lock().unwrap());
        assert_eq!(panic_of(panics.join()), "half way");
        let unwinding = lock.clone();
        while_unwinding(move || drop(unwinding.try_lock().unwrap()));
        assert_eq!(depth(&lock), (0, 0));
    });
}

#[test]
fn guards_that_were_forgotten_are_reported_and_whoever_waits_is_shown_to() {
    let told = told_in_debug_mode(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            s.spawn(|| {
                let _given_back = lock.lock().unwrap();
                std::mem::forget([lock.lock().unwrap(), lock.lock().unwrap()]);
            });
        });
        assert_eq!((depth(&lock), lock.is_mine()), ((2, 0), false));
    });
    assert_eq!(told, ["task 2: 2 guards that it did not give back"]);
    let (report, ()) = deadlock_of(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            s.spawn(|| std::mem::forget(lock.lock().unwrap()));
            task::yield_now();
            s.spawn(|| lock.lock().is_err());
        });
    });
    let waiter = line_of(&report, "task 3 spawned");
    assert!(waiter.contains(": waits for lock (tests/it/reentrant_locks.rs:"), "{report}");
    assert!(waiter.ends_with(", held by task 2, which has ended"), "{report}");
}

#[test]
fn a_reentrant_lock_and_another_in_opposite_order_are_a_ring() {
    let (report, ()) = deadlock_of(|| {
        let (left, right) = (ReentrantMutex::new(()), ReentrantMutex::new(()));
        task::scope(|s| {
            for (first, second) in [(&left, &right), (&right, &left)] {
                s.spawn(move || {
                    let _first = first.lock()?;
                    task::yield_now();
                    let _again = first.lock()?;
                    second.lock().map(drop)
                });
            }
        });
    });
    let ring = report.split_once("these tasks wait for one another:\n").expect(&report).1;
    assert!(line_of(ring, "task 2 spawned").ends_with(", held by task 3"), "{ring}");
    assert!(line_of(ring, "task 3 spawned").ends_with(", held by task 2"), "{ring}");
}

// The rest.

#[test]
fn guards_of_parts_count_too() {
    run(|| {
        let lock = ReentrantMutex::new((Cell::new(1), RefCell::new(vec![2])));
        let first = ReentrantMutexGuard::map(lock.lock().unwrap(), |pair| &pair.0);
        let second = ReentrantMutexGuard::map(lock.lock().unwrap(), |pair| &pair.1);
        first.set(5);
        second.borrow_mut().push(3);
        let second = MappedReentrantMutexGuard::map(second, |cell| cell);
        assert_eq!((depth(&lock), format!("{second:?}")), ((2, 0), "RefCell { value: [2, 3] }".to_owned()));
        drop(first);
        assert_eq!(depth(&lock), (1, 0));
        let text = panic_text(|| MappedReentrantMutexGuard::map(second, |_| -> &i32 { panic!("no part") }));
        assert_eq!((text.as_str(), depth(&lock)), ("no part", (0, 0)));
    });
}

#[test]
fn the_lock_can_be_shown_and_taken_apart() {
    let mut lock = ReentrantMutex::from(1);
    *lock.get_mut() += 1;
    assert_eq!(format!("{lock:?}"), "ReentrantMutex { value: 2 }");
    assert_eq!(format!("{}", lock.try_lock().unwrap()), "2");
    let unsized_lock: Box<ReentrantMutex<[i32]>> = Box::new(ReentrantMutex::new([1, 2]));
    let guard = unsized_lock.try_lock().unwrap();
    assert_eq!(format!("{unsized_lock:?}"), "ReentrantMutex { value: <locked>, owner: None }");
    drop(guard);
    run(|| {
        let guard = lock.lock().unwrap();
        assert_eq!(format!("{lock:?}"), "ReentrantMutex { value: 2 }", "its owner can look");
        drop(guard);
    });
    assert_eq!(lock.into_inner(), 2);
}

#[test]
fn a_generator_locks_again_for_the_task_that_resumes_it() {
    run(|| {
        let lock = Rc::new(ReentrantMutex::new(Cell::new(0)));
        let _outer = lock.lock().unwrap();
        let counts = {
            let lock = lock.clone();
            Generator::new(move |co: &Yielder<i32>| {
                for _ in 0..3 {
                    let value = lock.lock().unwrap();
                    value.set(value.get() + 1);
                    co.yield_(value.get());
                }
            })
        };
        assert_eq!(counts.map(|count| (count, depth(&lock).0)).collect::<Vec<_>>(), [(1, 2), (2, 2), (3, 2)]);
        assert_eq!(depth(&lock), (1, 0));
    });
}

#[test]
fn a_dump_shows_who_has_the_lock() {
    run(|| {
        let lock = ReentrantMutex::new(());
        task::scope(|s| {
            let guard = lock.lock().unwrap();
            s.spawn(|| drop(lock.lock()));
            s.spawn(|| drop(select((lock.locking(), time::sleeping(seconds(9))))));
            task::yield_now();
            let dump = inspect::dump().to_string();
            assert!(line_of(&dump, "waits for lock (").ends_with(", held by task 1"), "{dump}");
            assert!(line_of(&dump, "waits for select lock, sleep (").ends_with(", held by task 1"), "{dump}");
            drop(guard);
        });
    });
}

#[test]
fn whatever_the_schedule_and_whoever_is_cancelled_one_at_a_time_as_often_as_it_likes() {
    testing::explore(0..2000, || {
        let (lock, inside, turns) = (ReentrantMutex::new(Cell::new(0)), Cell::new(None), Cell::new(0));
        crowd(|name| {
            let enter = |guard: &ReentrantMutexGuard<'_, Cell<i32>>| {
                assert!(inside.get().is_none_or(|other| other == name), "somebody else is inside");
                inside.set(Some(name));
                guard.set(guard.get() + 1);
                turns.set(turns.get() + 1);
            };
            let first = match testing::random(3) {
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
            enter(&first);
            let mut more = Vec::new();
            for _ in 0..testing::random(3) {
                let _ = dawdle();
                more.extend(lock.lock().inspect(&enter));
            }
            assert_eq!(depth(&lock).0, 1 + more.len());
            assert_eq!(inside.take(), Some(name));
            Ok(())
        });
        assert_eq!(depth(&lock), (0, 0));
        assert_eq!(lock.into_inner().get(), turns.get());
    });
}

#[test]
fn wherever_it_is_cancelled_as_many_guards_are_given_back_as_were_taken() {
    let moments = testing::cancel_everywhere(|cut| {
        let lock = ReentrantMutex::new(());
        let enters = || {
            let _outer = lock.lock()?;
            time::sleep(seconds(1))?;
            let _inner = select(lock.locking())?;
            task::checkpoint()
        };
        task::scope(|s| {
            s.spawn(|| {
                sleep(1).unwrap();
                drop(lock.lock().unwrap());
            });
            let _ = cut.here(|| task::try_gather([enters; 3]).map(drop).map_err(Cancelled::from));
        });
        assert_eq!(depth(&lock), (0, 0));
    });
    assert!(moments > 15, "{moments}");
}
