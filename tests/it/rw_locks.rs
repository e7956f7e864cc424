//! The lock for many readers or one writer: one line for both, and what happens when its head leaves.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ropewalk::select::{Chosen, select};
use ropewalk::sync::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use ropewalk::{Cancelled, Generator, Reason, Yielder, inspect, task, testing, time};

use crate::locks::{crowd, dawdle, deadlock_of, line_of, told_in_debug_mode};
use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

/// How many read, whether somebody writes, and how many wait.
fn state<T>(lock: &RwLock<T>) -> (usize, bool, usize) {
    let statistics = lock.statistics();
    (statistics.readers, statistics.is_writing, statistics.waiting)
}

/// Tasks that read or write for a second, in the order in which they stand: "r" and "w" with a name.
fn enter_all<'scope>(
    s: &'scope task::Scope<'scope, '_>,
    lock: &'scope RwLock<u32>,
    log: &Log,
    names: &[&'static str],
) -> Vec<task::ScopedJoinHandle<'scope, ()>> {
    let enter = |&name: &&'static str| {
        let log = log.clone();
        s.spawn(move || {
            let entered = if name.starts_with('r') {
                lock.read().map(|guard| drop((log.add(format!("{name} at {} s", clock())), sleep(1), guard)))
            } else {
                lock.write().map(|mut guard| {
                    log.add(format!("{name} at {} s", clock()));
                    *guard += 1;
                    let _ = sleep(1);
                })
            };
            if let Err(cancelled) = entered {
                log.add(format!("{name} {:?} at {} s", cancelled.reason(), clock()));
            }
        })
    };
    names.iter().map(enter).collect()
}

// One line.

#[test]
fn all_stand_in_one_line_and_readers_that_stand_together_go_in_together() {
    check(
        |log| {
            let lock = RwLock::new(0);
            task::scope(|s| {
                enter_all(s, &lock, log, &["r1", "r2", "w3", "r4", "r5", "w6", "w7", "r8"]);
            });
            assert_eq!((state(&lock), lock.into_inner()), ((0, false, 0), 3));
        },
        &[
            "r1 at 0 s",
            "r2 at 0 s",
            "w3 at 1 s",
            "r4 at 2 s",
            "r5 at 2 s",
            "w6 at 3 s",
            "w7 at 4 s",
            "r8 at 5 s",
        ],
    );
}

#[test]
fn readers_share_and_a_writer_waits_for_all_of_them() {
    check(
        |log| {
            let lock = RwLock::new(0);
            task::scope(|s| {
                let guards = [lock.read().unwrap(), lock.read().unwrap(), lock.try_read().unwrap()];
                enter_all(s, &lock, log, &["w"]);
                for guard in guards {
                    sleep(1).unwrap();
                    log.add(format!("{:?}", state(&lock)));
                    drop(guard);
                }
                assert_eq!(state(&lock), (0, true, 0), "before it has run");
            });
        },
        &["(3, false, 1)", "(2, false, 1)", "(1, false, 1)", "w at 3 s"],
    );
}

#[test]
fn a_stream_of_readers_does_not_keep_a_writer_out() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            // At any moment somebody reads.
            for offset in 0..4 {
                let lock = &lock;
                s.spawn_service(move || {
                    time::sleep(seconds(offset)).ok();
                    while lock.read().is_ok_and(|_guard| sleep(4).is_ok()) {}
                });
            }
            sleep(100).unwrap();
            let began = clock();
            *lock.write().unwrap() += 1;
            assert!(clock() - began <= 4.0);
        });
    });
}

#[test]
fn a_reader_that_comes_while_a_writer_waits_stands_behind_it() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let reading = lock.read().unwrap();
            let writer = s.spawn(|| *lock.write().unwrap() += 1);
            task::yield_now();
            assert!(lock.try_read().is_none(), "nobody passes the writer");
            assert!(lock.try_write().is_none());
            let reader = s.spawn(|| *lock.read().unwrap());
            task::yield_now();
            assert_eq!(state(&lock), (1, false, 2));
            drop(reading);
            assert_eq!(reader.join().unwrap(), 1);
            assert!(writer.is_finished());
            assert!(lock.try_write().is_some());
        });
    });
}

#[test]
fn while_somebody_writes_nobody_else_enters() {
    run(|| {
        let lock = RwLock::new(0);
        let guard = lock.write().unwrap();
        assert!(lock.try_read().is_none() && lock.try_write().is_none());
        assert_eq!(lock.statistics().writer, task::current_id());
        drop(guard);
        let guard = lock.read().unwrap();
        assert!(lock.try_read().is_some() && lock.try_write().is_none());
        drop(guard);
        assert_eq!(lock.statistics().writer, None);
    });
}

// When somebody leaves the line.

#[test]
fn a_writer_that_is_cancelled_lets_the_readers_behind_it_in() {
    check(
        |log| {
            let lock = RwLock::new(0);
            task::scope(|s| {
                let reading = lock.read().unwrap();
                let tasks = enter_all(s, &lock, log, &["w1", "r2", "r3", "w4", "r5"]);
                sleep(3).unwrap();
                tasks[0].cancel();
                task::yield_now();
                assert_eq!(state(&lock), (3, false, 2));
                log.add("given back");
                drop(reading);
            });
        },
        &["w1 Requested at 3 s", "given back", "r2 at 3 s", "r3 at 3 s", "w4 at 4 s", "r5 at 5 s"],
    );
}

#[test]
fn a_writer_whose_limit_is_over_lets_the_readers_behind_it_in() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let _reading = lock.read().unwrap();
            s.spawn(|| time::timeout(seconds(2), || lock.write().map(drop)).unwrap_err());
            task::yield_now();
            assert_eq!(lock.read().map(|_guard| clock()), Ok(2.0));
        });
    });
}

#[test]
fn a_writing_arm_that_was_not_chosen_lets_the_readers_behind_it_in() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let _reading = lock.read().unwrap();
            let selects = s.spawn(|| match select((lock.writing(), time::sleeping(seconds(2)))) {
                Ok(Chosen::Second(())) => state(&lock),
                _ => unreachable!(),
            });
            task::yield_now();
            assert_eq!(lock.read().map(|_guard| clock()), Ok(2.0));
            assert_eq!(selects.join().unwrap(), (2, false, 0));
            // And so does one that is cancelled.
            let cut = s.spawn(|| select((lock.writing(), time::sleeping(seconds(2)))).is_err());
            let reads = s.spawn(|| lock.read().map(|_guard| clock()));
            task::yield_now();
            assert_eq!(state(&lock), (1, false, 2));
            cut.cancel();
            assert_eq!(reads.join().unwrap(), Ok(2.0));
            assert!(cut.join().unwrap());
        });
    });
}

/// The line is a writer and a reader, behind a task that reads. In one step the writer is cancelled and the reading ends, in
/// one order or the other.
fn race_of_cancel_and_release(cancel_first: bool, select_it: bool) -> Vec<String> {
    let log = Log::new();
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let reading = lock.read().unwrap();
            let writer = s.spawn(|| {
                let entered = match select_it {
                    true => select((lock.writing(), time::sleeping(seconds(9)))).map(drop),
                    false => lock.write().map(drop),
                };
                log.add(if entered.is_ok() { "wrote" } else { "was cancelled" });
            });
            s.spawn(|| {
                let _reading = lock.read().unwrap();
                log.add("read");
            });
            task::yield_now();
            if cancel_first {
                writer.cancel();
                drop(reading);
                // The reader has it already, before the writer has taken itself out.
                assert_eq!(state(&lock), (1, false, 0));
            } else {
                drop(reading);
                writer.cancel();
                assert_eq!(state(&lock), (0, true, 1));
            }
        });
        assert_eq!(state(&lock), (0, false, 0));
    });
    log.take()
}

#[test]
fn a_writer_that_is_cancelled_in_the_step_of_the_release_either_writes_or_lets_others_in() {
    for select_it in [false, true] {
        assert_eq!(race_of_cancel_and_release(true, select_it), ["was cancelled", "read"]);
        assert_eq!(race_of_cancel_and_release(false, select_it), ["wrote", "read"]);
    }
}

#[test]
fn whoever_comes_after_a_cancelled_writer_does_not_wait_for_it() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let _reading = lock.read().unwrap();
            let writer = s.spawn(|| lock.write().is_err());
            let reader = s.spawn(|| lock.read().map(|_guard| task::yield_now()));
            task::yield_now();
            writer.cancel();
            // It has not run yet. The reader that came first goes first; then this one.
            assert_eq!(state(&lock), (1, false, 1));
            assert!(!reader.info().to_string().contains("held by"), "it does not wait for itself");
            let other = lock.try_read().unwrap();
            assert_eq!(state(&lock), (3, false, 0));
            drop(other);
            assert!(writer.join().unwrap());
            reader.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_reader_that_is_cancelled_between_writers_leaves_its_place() {
    check(
        |log| {
            let lock = RwLock::new(0);
            task::scope(|s| {
                let tasks = enter_all(s, &lock, log, &["w1", "r2", "w3", "r4"]);
                task::yield_now();
                tasks[1].cancel();
                tasks[3].cancel();
            });
        },
        &["w1 at 0 s", "r2 Requested at 0 s", "r4 Requested at 0 s", "w3 at 1 s"],
    );
}

#[test]
fn readers_and_writers_that_were_let_in_before_they_were_cancelled_are_in() {
    run(|| {
        let lock = RwLock::new(0);
        for writes in [true, false] {
            task::scope(|s| {
                let guard = lock.write().unwrap();
                let waits = s.spawn(|| match writes {
                    true => lock.write().map(|_guard| state(&lock)),
                    false => lock.read().map(|_guard| state(&lock)),
                });
                task::yield_now();
                drop(guard);
                waits.cancel();
                assert_eq!(waits.join().unwrap(), Ok((usize::from(!writes), writes, 0)));
            });
            assert_eq!(state(&lock), (0, false, 0));
        }
    });
}

#[test]
fn in_what_was_cancelled_nobody_enters() {
    run(|| {
        let lock = RwLock::new(0);
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(lock.read().is_err() && lock.write().is_err());
            assert!(select((lock.reading(), lock.writing())).is_err());
        });
        assert_eq!(state(&lock), (0, false, 0));
    });
}

// Arms.

#[test]
fn arms_to_read_and_to_write_stand_side_by_side() {
    run(|| {
        let lock = RwLock::new(5);
        // Beside a reader the second arm is ready at once.
        let reading = lock.read().unwrap();
        match select((lock.writing(), lock.reading())).unwrap() {
            Chosen::First(_) => unreachable!(),
            Chosen::Second(guard) => assert_eq!(*guard, 5),
        }
        drop(reading);
        task::scope(|s| {
            let writing = lock.write().unwrap();
            // Behind a writer whichever stands first.
            let either = s.spawn(|| match select((lock.reading(), lock.writing())).unwrap() {
                Chosen::First(guard) => (*guard, state(&lock)),
                Chosen::Second(_) => unreachable!(),
            });
            task::yield_now();
            drop(writing);
            assert_eq!(either.join().unwrap(), (5, (1, false, 0)));
        });
        assert_eq!(state(&lock), (0, false, 0));
    });
}

// From writing to reading.

#[test]
fn a_writer_that_goes_on_reading_lets_the_readers_at_the_head_of_the_line_in() {
    check(
        |log| {
            let lock = RwLock::new(0);
            task::scope(|s| {
                let mut writing = lock.write().unwrap();
                enter_all(s, &lock, log, &["r1", "r2", "w3", "r4"]);
                sleep(1).unwrap();
                *writing = 7;
                let reading = RwLockWriteGuard::downgrade(writing);
                assert_eq!((*reading, state(&lock)), (7, (3, false, 2)));
                sleep(5).unwrap();
                log.add("given back");
                drop(reading);
            });
        },
        &["r1 at 1 s", "r2 at 1 s", "given back", "w3 at 6 s", "r4 at 7 s"],
    );
}

#[test]
fn no_writer_comes_between_writing_and_reading() {
    run(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let mut writing = lock.write().unwrap();
            s.spawn(|| *lock.write().unwrap() = 100);
            task::yield_now();
            *writing = 7;
            let reading = RwLockWriteGuard::downgrade(writing);
            assert_eq!(state(&lock), (1, false, 1));
            sleep(1).unwrap();
            assert_eq!(*reading, 7);
            assert!(lock.try_read().is_none(), "a writer waits");
        });
        assert_eq!(lock.into_inner(), 100);
    });
}

// Deadlocks.

#[test]
fn to_read_again_while_a_writer_waits_is_a_deadlock_that_is_found_and_named() {
    let (report, ends) = deadlock_of(|| {
        let lock = RwLock::new(0);
        task::scope(|s| {
            let reader = task::Builder::new().name("reader").spawn_in(s, || {
                let _reading = lock.read()?;
                task::yield_now();
                lock.read().map(drop)
            });
            let writer = task::Builder::new().name("writer").spawn_in(s, || lock.write().map(drop));
            task::shield(|| [reader.join(), writer.join()].map(Result::unwrap))
        })
    });
    assert_eq!(ends.map(|end| end.map_err(|cut| cut.reason())), [Err(Reason::Deadlock); 2]);
    let ring = report.split_once("these tasks wait for one another:\n").expect(&report).1;
    let (reader, writer) = (line_of(ring, "'reader' spawned"), line_of(ring, "'writer' spawned"));
    assert!(reader.contains(": waits for read (tests/it/rw_locks.rs:"), "{ring}");
    assert!(reader.ends_with(", held by task 3 'writer'"), "{ring}");
    assert!(writer.contains(": waits for write (tests/it/rw_locks.rs:"), "{ring}");
    assert!(writer.ends_with(", held by task 2 'reader'"), "{ring}");
}

#[test]
fn to_wish_to_write_while_one_reads_is_a_deadlock_that_is_found_and_named() {
    let (report, reason) = deadlock_of(|| {
        let lock = RwLock::new(0);
        let _reading = lock.read().unwrap();
        lock.write().map(drop).unwrap_err().reason()
    });
    assert_eq!(reason, Reason::Deadlock);
    assert!(report.contains("this task waits for itself:\n  task 1 spawned at"), "{report}");
}

#[test]
fn a_task_that_writes_and_would_wait_for_itself_is_told_so() {
    let text = "this task writes already: drop its guard first, or downgrade it";
    for again in [|lock: &RwLock<()>| lock.read().map(drop), |lock: &RwLock<()>| lock.write().map(drop)] {
        run(|| {
            let lock = Rc::new(RwLock::new(()));
            let twice = task::spawn({
                let lock = lock.clone();
                move || {
                    let _guard = lock.write().unwrap();
                    let _ = again(&lock);
                }
            });
            assert_eq!(panic_of(twice.join()), text);
            assert_eq!(state(&lock), (0, false, 0));
        });
    }
}

#[test]
fn a_dump_names_whoever_keeps_a_reader_or_a_writer_out() {
    run(|| {
        let lock = RwLock::new(0);
        let held_by = |task: &task::ScopedJoinHandle<'_, ()>| {
            let info = task.info().to_string();
            info.rsplit_once(", held by ").map_or("nobody".to_owned(), |(_, holder)| holder.to_owned())
        };
        task::scope(|s| {
            let mut first = lock.read().unwrap();
            let other = s.spawn(|| drop((lock.read().unwrap(), sleep(5))));
            task::yield_now();
            let writer = s.spawn(|| drop(lock.write()));
            let reader = s.spawn(|| drop(select((lock.reading(), time::sleeping(seconds(99))))));
            task::yield_now();
            assert!(writer.info().to_string().contains(": waits for write (tests/it/rw_locks.rs:"));
            assert_eq!(held_by(&writer), "task 1");
            assert_eq!(held_by(&reader), "task 3");
            RwLockReadGuard::adopt(&mut first);
            assert_eq!(held_by(&writer), "task 1");
            // Of the others it is not known who they are.
            drop(first);
            assert_eq!(held_by(&writer), "nobody");
            other.join().unwrap();
            let behind = s.spawn(|| drop(lock.read()));
            let writing = lock.write().unwrap();
            task::yield_now();
            drop(writing);
            behind.join().unwrap();
        });
    });
}

#[test]
fn guards_that_were_forgotten_are_reported_and_whoever_waits_is_shown_to() {
    for writes in [true, false] {
        let forgets = move |lock: &RwLock<()>| match writes {
            true => std::mem::forget(lock.write().unwrap()),
            false => std::mem::forget(lock.read().unwrap()),
        };
        let told = told_in_debug_mode(|| {
            let lock = RwLock::new(());
            task::scope(|s| drop(s.spawn(|| forgets(&lock))));
            assert!(lock.try_write().is_none());
        });
        assert_eq!(told, ["task 2: 1 guard that it did not give back"]);
        let (report, ()) = deadlock_of(|| {
            let lock = RwLock::new(());
            task::scope(|s| {
                s.spawn(|| forgets(&lock));
                task::yield_now();
                s.spawn(|| lock.write().is_err());
            });
        });
        let waiter = line_of(&report, "task 3 spawned");
        assert!(waiter.ends_with(", held by task 2, which has ended"), "{report}");
    }
}

// Guards that move, guards of parts, panics.

#[test]
fn guards_that_have_moved_can_be_adopted() {
    let told = told_in_debug_mode(|| {
        let (read, write) = (RwLock::new(1), RwLock::new(2));
        task::scope(|s| {
            let takes = s.spawn(|| {
                let (mut reading, mut writing) = (read.read().unwrap(), write.write().unwrap());
                let adopts = task::Builder::new().eager(true).spawn_in(s, move || {
                    RwLockReadGuard::adopt(&mut reading);
                    RwLockWriteGuard::adopt(&mut writing);
                    sleep(1).unwrap();
                    *writing += *reading;
                });
                adopts.id()
            });
            let adopted_by = takes.join().unwrap();
            assert_eq!(write.statistics().writer, Some(adopted_by));
            s.spawn(|| drop(read.write().unwrap()));
            task::yield_now();
            let dump = inspect::dump().to_string();
            let waiter = line_of(&dump, ": waits for write (").to_owned();
            assert!(waiter.ends_with(&format!(", held by task {adopted_by}")), "{dump}");
        });
        assert_eq!(write.into_inner(), 3);
        // Once it was given back by whoever had adopted it, that one is not named any more.
        task::scope(|s| {
            let mut reading = read.read().unwrap();
            let adopts = s.spawn(move || RwLockReadGuard::adopt(&mut reading));
            let _other = read.read().unwrap();
            adopts.join().unwrap();
            let waits = s.spawn(|| read.write().map(drop));
            task::yield_now();
            assert!(!waits.info().to_string().contains("held by"));
        });
    });
    assert_eq!(told, [""; 0]);
}

#[test]
fn guards_of_parts_keep_the_lock() {
    run(|| {
        let lock = RwLock::new((1, Some(2)));
        {
            let part = RwLockWriteGuard::map(lock.write().unwrap(), |pair| &mut pair.1);
            let mut part = MappedRwLockWriteGuard::filter_map(part, Option::as_mut).unwrap();
            *part += 40;
            assert!(lock.try_read().is_none());
            let mut part = MappedRwLockWriteGuard::map(part, |number| number);
            MappedRwLockWriteGuard::adopt(&mut part);
            assert_eq!(format!("{part} {part:?}"), "42 42");
        }
        {
            let part = RwLockReadGuard::map(lock.read().unwrap(), |pair| &pair.1);
            let part = MappedRwLockReadGuard::filter_map(part, Option::as_ref).unwrap();
            let mut part = MappedRwLockReadGuard::map(part, |number| number);
            MappedRwLockReadGuard::adopt(&mut part);
            assert!(lock.try_read().is_some() && lock.try_write().is_none());
            assert_eq!(*part, 42);
        }
        let whole = RwLockReadGuard::filter_map(lock.read().unwrap(), |_| None::<&i32>).unwrap_err();
        assert_eq!(whole.0, 1);
        drop(whole);
        let whole = RwLockWriteGuard::filter_map(lock.write().unwrap(), |_| None::<&mut i32>).unwrap_err();
        assert!(
            panic_text(|| RwLockWriteGuard::map(whole, |_| -> &mut i32 { panic!("no part") })) == "no part"
        );
        assert_eq!(state(&lock), (0, false, 0));
    });
}

#[test]
fn a_panic_while_somebody_writes_does_not_poison() {
    run(|| {
        let lock = Rc::new(RwLock::new(0));
        let panics = task::spawn({
            let lock = lock.clone();
            move || {
                *lock.write().unwrap() = 1;
                let mut writing = lock.write().unwrap();
                sleep(1).unwrap();
                *writing = 2;
                panic!("half way");
            }
        });
        task::yield_now();
        assert_eq!(*lock.read().unwrap(), 2);
        assert_eq!(panic_of(panics.join()), "half way");
    });
}

#[test]
fn without_waiting_the_lock_can_be_taken_anywhere() {
    let lock = Rc::new(RwLock::new(1));
    *lock.try_write().unwrap() += 1;
    let (reading, again) = (lock.try_read().unwrap(), lock.try_read().unwrap());
    assert!(lock.try_write().is_none());
    drop((reading, again));
    let unwinding = lock.clone();
    while_unwinding(move || *unwinding.try_write().unwrap() += 1);
    run(|| {
        let called = lock.clone();
        time::call_later(seconds(1), move || {
            *called.try_write().unwrap() += 1;
            assert_eq!(called.read().unwrap_err().reason(), Reason::OutsideTask);
            assert_eq!(called.write().unwrap_err().reason(), Reason::OutsideTask);
        });
        sleep(1).unwrap();
    });
    assert_eq!(*lock.try_read().unwrap(), 4);
    let no_runtime = "no runtime runs on this thread: call this inside ropewalk::run";
    assert_eq!(panic_text(|| lock.read().map(drop)), no_runtime);
    assert_eq!(panic_text(|| lock.write().map(drop)), no_runtime);
}

#[test]
fn whoever_has_the_lock_to_itself_has_the_value_and_a_lock_can_be_shown() {
    let mut lock = RwLock::new(vec![1]);
    std::mem::forget(lock.try_read().unwrap());
    lock.get_mut().push(2);
    assert_eq!(format!("{lock:?}"), "RwLock { value: [1, 2] }");
    std::mem::forget(lock.try_read().unwrap());
    assert_eq!(lock.into_inner(), [1, 2]);
    let lock = RwLock::from("text");
    let writing = lock.try_write().unwrap();
    assert_eq!(format!("{lock:?}"), "RwLock { value: <locked>, writer: None }");
    assert_eq!(format!("{writing}"), "text");
    drop(writing);
    let shown: Box<RwLock<[i32]>> = Box::new(RwLock::new([1, 2]));
    assert_eq!(shown.try_read().unwrap().len(), 2);
}

#[test]
fn to_show_a_lock_reads_meanwhile() {
    /// Waits while it is shown.
    struct Slow;
    impl fmt::Debug for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _ = sleep(1);
            f.write_str("Slow")
        }
    }
    run(|| {
        let lock = RwLock::new(Slow);
        task::scope(|s| {
            let shows = s.spawn(|| format!("{lock:?}"));
            task::yield_now();
            drop(lock.write().unwrap());
            assert_eq!(clock(), 1.0);
            assert_eq!(shows.join().unwrap(), "RwLock { value: Slow }");
        });
    });
}

#[test]
fn a_generator_reads_for_the_task_that_resumes_it() {
    run(|| {
        let lock = Rc::new(RwLock::new(vec![1, 2, 3]));
        let items = {
            let lock = lock.clone();
            Generator::new(move |co: &Yielder<i32>| {
                let items = lock.read().unwrap();
                items.iter().for_each(|&item| co.yield_(item));
            })
        };
        task::scope(|s| {
            let mut sum = 0;
            for item in items {
                sum += item;
                if sum == 1 {
                    s.spawn(|| lock.write().unwrap().push(4));
                    task::yield_now();
                }
            }
            assert_eq!((sum, lock.read().unwrap().len()), (6, 4));
        });
    });
}

// Whatever the schedule, and wherever it is cancelled.

#[test]
fn whatever_the_schedule_and_whoever_is_cancelled_many_read_or_one_writes() {
    testing::explore(0..2000, || {
        let (lock, reading, writing) = (RwLock::new(0), Cell::new(0), Cell::new(false));
        let (written, most) = (Cell::new(0), RefCell::new(0));
        crowd(|_| {
            let reads = || {
                assert!(!writing.get(), "somebody writes");
                reading.set(reading.get() + 1);
                most.replace_with(|&mut most| most.max(reading.get()));
                let _ = dawdle();
                assert!(!writing.get());
                reading.set(reading.get() - 1);
            };
            let writes = |mut guard: RwLockWriteGuard<'_, i32>| {
                assert!(!writing.replace(true) && reading.get() == 0);
                *guard += 1;
                written.set(written.get() + 1);
                let _ = dawdle();
                assert_eq!(reading.get(), 0);
                writing.set(false);
                if testing::random(2) == 0 {
                    let _guard = RwLockWriteGuard::downgrade(guard);
                    reads();
                }
            };
            match testing::random(7) {
                0 => writes(lock.write()?),
                1 => match select((lock.writing(), time::sleeping(seconds(1))))? {
                    Chosen::First(guard) => writes(guard),
                    Chosen::Second(()) => {}
                },
                2 => lock.try_write().map_or((), writes),
                3 => match select((lock.reading(), time::sleeping(seconds(1))))? {
                    Chosen::First(_guard) => reads(),
                    Chosen::Second(()) => {}
                },
                4 => lock.try_read().map_or((), |_guard| reads()),
                _ => {
                    let _guard = lock.read()?;
                    reads();
                }
            }
            Ok(())
        });
        assert_eq!(state(&lock), (0, false, 0));
        assert_eq!(lock.try_write().map(|guard| *guard), Some(written.get()));
    });
}

#[test]
fn wherever_it_is_cancelled_nobody_is_kept_out_who_could_enter() {
    let moments = testing::cancel_everywhere(|cut| {
        let lock = RwLock::new(0);
        let reads = || {
            let _guard = lock.read()?;
            time::sleep(seconds(1))
        };
        let writes = || {
            let mut guard = lock.write()?;
            *guard += 1;
            let guard = RwLockWriteGuard::downgrade(guard);
            time::sleep(seconds(*guard))
        };
        let selects = || match select((lock.writing(), time::sleeping(seconds(1))))? {
            Chosen::First(_guard) => task::checkpoint(),
            Chosen::Second(()) => Ok(()),
        };
        task::scope(|s| {
            // Those that are not cancelled stand among them, and must come in: else all would wait for ever.
            for turn in 0..4 {
                let lock = &lock;
                s.spawn(move || {
                    time::sleep(seconds(turn) / 2).unwrap();
                    match turn % 2 {
                        0 => drop(lock.read().unwrap()),
                        _ => drop(lock.write().unwrap()),
                    }
                });
            }
            let _ = cut.here(|| {
                let work: [Box<dyn FnOnce() -> Result<(), Cancelled> + '_>; 6] = [
                    Box::new(reads),
                    Box::new(writes),
                    Box::new(selects),
                    Box::new(reads),
                    Box::new(selects),
                    Box::new(writes),
                ];
                task::try_gather(work).map(drop).map_err(Cancelled::from)
            });
        });
        assert_eq!(state(&lock), (0, false, 0));
    });
    assert!(moments > 20, "{moments}");
}
