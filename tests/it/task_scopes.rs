//! Task scopes: children that borrow, and that nothing outlives.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::{Cancelled, ErrorGroup, Generator, JoinError, Reason, Yielder, generate, task, time};

use crate::log::{panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep, unhandled_by};

// Borrowing.

#[test]
fn children_change_what_the_parent_owns() {
    let mut numbers = [3, 1, 2];
    let mut sum = 0;
    run(|| {
        task::scope(|s| {
            s.spawn(|| {
                sleep(1).unwrap();
                numbers.sort();
            });
            s.spawn(|| {
                sleep(2).unwrap();
                sum += 1;
            });
        });
        sum += 10;
    });
    assert_eq!((numbers, sum), ([1, 2, 3], 11));
}

#[test]
fn a_result_comes_by_the_handle_and_may_borrow() {
    run(|| {
        let text = String::from("a rope of strands");
        let longest = task::scope(|s| {
            let words: Vec<_> = text.split(' ').map(|word| s.spawn(move || word)).collect();
            words.iter().map(|word| word.join().unwrap()).max_by_key(|word| word.len()).unwrap()
        });
        assert_eq!(longest, "strands");
    });
}

#[test]
fn the_scope_waits_for_children_that_nobody_joins() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn(|| {
                    sleep(5).unwrap();
                    log.add("child");
                });
                log.add("body");
            });
            log.add(format!("scope left at {} s", clock()));
        },
        &["body", "child", "scope left at 5 s"],
    );
}

#[test]
fn a_child_spawns_siblings_into_its_scope() {
    fn walk<'s>(s: &'s task::Scope<'s, '_>, depth: u32, found: &'s RefCell<Vec<u32>>) {
        found.borrow_mut().push(depth);
        if depth < 3 {
            s.spawn(move || walk(s, depth + 1, found));
            s.spawn(move || walk(s, depth + 1, found));
        }
    }
    run(|| {
        let found = RefCell::new(Vec::new());
        task::scope(|s| {
            s.spawn(|| walk(s, 0, &found));
        });
        assert_eq!(found.into_inner(), [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
    });
}

// Failing.

#[test]
fn the_first_error_cancels_the_siblings_and_all_are_awaited() {
    check(
        |log| {
            let failed = task::try_scope(|s| {
                s.spawn(|| {
                    let slept = sleep(100);
                    task::shield(|| sleep(5)).unwrap();
                    log.add(format!("sibling ends at {} s: {:?}", clock(), slept.unwrap_err().reason()));
                    Ok(())
                });
                s.spawn(|| {
                    sleep(3).unwrap();
                    Err::<(), _>("bad")
                });
                log.add(format!("body: {:?}", sleep(50).unwrap_err().reason()));
                Ok(())
            });
            log.add(format!("{:?} at {} s", failed.unwrap_err().first(), clock()));
        },
        &["body: Sibling", "sibling ends at 8 s: Sibling", "\"bad\" at 8 s"],
    );
}

/// A2: as Python's `TaskGroup`, which lists errors as they come; what only says "cancelled" is marked.
#[test]
fn all_errors_are_kept_in_the_order_in_which_the_tasks_ended() {
    run(|| {
        let failed = task::try_scope(|s| {
            let named = |name: &str| task::Builder::new().name(name);
            named("late").try_spawn_in(s, || {
                let _ = sleep(100);
                task::shield(|| sleep(2)).unwrap();
                Err::<(), _>("late")
            });
            named("cleanup").try_spawn_in(s, || {
                let _ = sleep(100);
                Err::<(), _>("cleanup")
            });
            named("cause").try_spawn_in(s, || {
                sleep(1).unwrap();
                Err::<(), _>("cause")
            });
            // Ends in the same instant, before it hears of anything.
            named("twin").try_spawn_in(s, || {
                sleep(1).unwrap();
                Err::<(), _>("twin")
            });
            Ok(())
        });
        let group: ropewalk::ErrorGroup<&str> = failed.unwrap_err();
        let told: Vec<_> =
            group.failures().iter().map(|f| (f.error, f.cancelled, f.task.as_deref().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("cause", false, "cause"),
                ("twin", false, "twin"),
                ("cleanup", true, "cleanup"),
                ("late", true, "late"),
            ]
        );
        assert_eq!((group.first(), group.is_cancelled()), (&"cause", false));
        assert_eq!(group.to_string(), "cause (and one more error)");
        assert_eq!(group.only().unwrap_err().into_first(), "cause");
    });
}

#[test]
fn the_error_of_the_body_cancels_the_children_and_is_in_the_group() {
    run(|| {
        let failed = task::try_scope(|s| {
            s.spawn(|| sleep(100).map_err(|why| format!("{:?}", why.reason())));
            task::yield_now();
            Err::<(), _>("body".to_owned())
        });
        let group = failed.unwrap_err();
        let told: Vec<_> = group.failures().iter().map(|f| (f.error.as_str(), f.cancelled)).collect();
        assert_eq!(told, [("body", false), ("Parent", true)]);
        assert_eq!(group.only().unwrap(), "body");
    });
}

/// What Python calls `ExceptionGroup` here is unwrapped by `?`.
#[test]
fn a_group_turns_into_the_error_that_came_first() {
    fn fetch() -> io::Result<()> {
        task::try_scope::<_, io::Error, _>(|s| {
            s.spawn(|| Ok(sleep(9)?));
            s.spawn(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
            Ok(())
        })?;
        Ok(())
    }
    run(|| assert_eq!(fetch().unwrap_err().kind(), io::ErrorKind::NotFound));
}

#[test]
fn an_error_stays_with_the_scope_and_a_join_says_so() {
    run(|| {
        let group = task::try_scope(|s| {
            let bad = s.spawn(|| Err::<(), _>("bad"));
            assert!(matches!(bad.join(), Err(JoinError::Failed)));
            assert!(bad.has_failed());
            Ok(())
        });
        assert_eq!(group.unwrap_err().into_first(), "bad");
    });
}

/// As Python's `TaskGroup`, which ignores a child that was cancelled by itself.
#[test]
fn a_child_that_is_cancelled_alone_does_not_fail_its_scope() {
    check(
        |log| {
            task::scope(|s| {
                let alone = s.spawn(|| sleep(100).map_err(|why| why.reason()));
                s.spawn(|| log.add(format!("sibling slept: {:?}", sleep(5).is_ok())));
                sleep(1).unwrap();
                assert!(alone.cancel() && !alone.cancel());
                assert_eq!(alone.join().unwrap(), Err(Reason::Requested));
            });
            let value = task::try_scope(|s| {
                let alone = s.spawn(|| sleep(100));
                s.spawn(|| {
                    log.add(format!("sibling slept: {:?}", sleep(5).is_ok()));
                    Ok(())
                });
                sleep(1)?;
                alone.cancel();
                assert!(matches!(alone.join(), Err(JoinError::Failed)));
                Ok("value")
            });
            log.add(value.unwrap());
        },
        &["sibling slept: true", "sibling slept: true", "value"],
    );
}

// Panicking.

#[test]
fn a_panic_cancels_the_siblings_and_goes_on_in_the_parent_when_all_have_ended() {
    check(
        |log| {
            let text = panic_text(|| {
                task::scope(|s| {
                    s.spawn(|| {
                        let _ = sleep(100);
                        task::shield(|| sleep(1)).unwrap();
                        log.add(format!("sibling ends at {} s", clock()));
                    });
                    s.spawn(|| {
                        sleep(3).unwrap();
                        panic!("child broke")
                    });
                    log.add(format!("body: {:?}", sleep(50).unwrap_err().reason()));
                });
            });
            log.add(text);
            // The parent is whole again.
            sleep(1).unwrap();
        },
        &["body: Sibling", "sibling ends at 4 s", "child broke"],
    );
}

#[test]
fn the_first_panic_goes_on_and_the_others_go_to_the_hook() {
    let (text, told) = unhandled_by(|| {
        panic_text(|| {
            task::scope(|s| {
                for name in ["first", "second", "third"] {
                    s.spawn(move || {
                        sleep(1).unwrap();
                        panic!("{name}")
                    });
                }
            });
        })
    });
    assert_eq!(text, "first");
    let expected =
        ["task 3 panicked, and nobody joined it: second", "task 4 panicked, and nobody joined it: third"];
    assert_eq!(told, expected);
}

#[test]
fn the_panic_of_the_body_goes_before_those_of_children() {
    let (text, told) = unhandled_by(|| {
        panic_text(|| {
            task::scope(|s| {
                s.spawn(|| {
                    let _ = sleep(100);
                    panic!("child");
                });
                task::yield_now();
                panic!("body");
            })
        })
    });
    assert_eq!(text, "body");
    assert_eq!(told, ["task 2 panicked, and nobody joined it: child"]);
}

#[test]
fn a_panic_that_was_joined_is_not_raised_again_but_has_cancelled_the_siblings() {
    run(|| {
        let text = task::scope(|s| {
            let sibling = s.spawn(|| sleep(100).map_err(|why| why.reason()));
            let broken = s.spawn(|| panic!("broken"));
            let text = panic_of(broken.join());
            assert_eq!(s.cancelled().unwrap().reason(), Reason::Sibling);
            assert_eq!(task::shield(|| sibling.join()).unwrap(), Err(Reason::Sibling));
            text
        });
        assert_eq!(text, "broken");
    });
}

#[test]
fn a_panic_goes_before_errors() {
    let text = panic_text(|| {
        run(|| {
            let _ = task::try_scope(|s| {
                s.spawn(|| {
                    sleep(1).unwrap();
                    Err::<(), _>("an error")
                });
                // In the same instant: it has been woken when the other one fails.
                s.spawn(|| -> Result<(), _> {
                    sleep(1).unwrap();
                    panic!("a panic")
                });
                Ok(())
            });
        });
    });
    assert_eq!(text, "a panic");
}

// Cancelling.

#[test]
fn cancelling_the_scope_cancels_the_children_and_the_body() {
    check(
        |log| {
            task::scope(|s| {
                for name in ["a", "b"] {
                    s.spawn(move || log.add(format!("{name}: {:?}", sleep(100).unwrap_err().reason())));
                }
                sleep(1).unwrap();
                assert!(s.cancelled().is_none());
                assert!(s.cancel() && !s.cancel());
                log.add(format!("body: {:?}", sleep(100).unwrap_err().reason()));
            });
            log.add(format!("left at {} s", clock()));
        },
        &["a: Requested", "b: Requested", "body: Requested", "left at 1 s"],
    );
}

#[test]
fn what_is_spawned_into_a_cancelled_scope_never_runs() {
    check(
        |log| {
            task::scope(|s| {
                s.cancel();
                let captured = log.on_drop("its closure is dropped");
                let late = s.spawn(|| {
                    let _captured = captured;
                    log.add("ran");
                });
                let joined = task::shield(|| late.join());
                assert!(matches!(joined, Err(JoinError::NeverRan(why)) if why.reason() == Reason::Requested));
                let eager = task::Builder::new().eager(true).spawn_in(s, || log.add("ran"));
                assert!(matches!(eager.try_result(), Some(Err(JoinError::NeverRan(_)))));
            });
        },
        &["its closure is dropped"],
    );
}

#[test]
fn a_scope_that_is_cancelled_from_outside_still_waits_for_its_children() {
    check(
        |log| {
            let parent = task::scope(|outer| {
                let parent = outer.spawn(|| {
                    task::scope(|s| {
                        s.spawn(|| {
                            let _ = sleep(100);
                            task::shield(|| sleep(7)).unwrap();
                            log.add("child ends");
                        });
                    });
                    log.add(format!("scope left at {} s", clock()));
                });
                sleep(1).unwrap();
                parent.cancel();
                parent.cancel();
                parent.join()
            });
            parent.unwrap();
        },
        &["child ends", "scope left at 8 s"],
    );
}

#[test]
fn a_scope_whose_body_panics_waits_for_its_children_before_it_unwinds() {
    check(
        |log| {
            let text = panic_text(|| {
                let borrowed = log.on_drop("what children borrow goes");
                task::scope(|s| {
                    s.spawn(|| {
                        let _ = sleep(100);
                        task::shield(|| sleep(1)).unwrap();
                        log.add("child ends");
                        let _ = &borrowed;
                    });
                    task::yield_now();
                    panic!("body broke");
                });
            });
            log.add(text);
        },
        &["child ends", "what children borrow goes", "body broke"],
    );
}

#[test]
fn a_scope_on_the_stack_of_a_generator_waits_there() {
    check(
        |log| {
            let totals = generate(|co: &Yielder<u64>| {
                for round in 1..=2 {
                    let mut total = 0;
                    task::scope(|s| {
                        s.spawn(|| {
                            sleep(round).unwrap();
                            total += round;
                        });
                    });
                    co.yield_(total);
                }
            });
            for total in totals {
                log.add(format!("{total} at {} s", clock()));
            }
        },
        &["1 at 1 s", "2 at 3 s"],
    );
}

#[test]
fn a_scope_in_a_destructor_that_runs_during_a_panic_begins_no_children() {
    run(|| {
        let (ran, join, cancelled) = while_unwinding(|| {
            let ran = Cell::new(false);
            let (join, cancelled) = task::scope(|s| {
                let child = s.spawn(|| ran.set(true));
                (child.join(), s.cancelled())
            });
            (ran.get(), join, cancelled)
        });
        assert!(!ran);
        assert!(matches!(join, Err(JoinError::NeverRan(why)) if why.reason() == Reason::Unwinding));
        assert_eq!(cancelled, Some(Cancelled::new(Reason::Unwinding)));
        // The task itself is what it was.
        assert_eq!(task::current_id().unwrap().get(), 1);
        sleep(1).unwrap();
        assert_eq!(task::scope(|s| s.spawn(|| "runs").join()).unwrap(), "runs");
    });
}

#[test]
fn a_scope_in_a_callback_begins_no_children() {
    check(
        |log| {
            let ours = log.clone();
            time::call_later(seconds(1), move || {
                let joined = task::scope(|s| s.spawn(|| ()).join());
                ours.add(joined.unwrap_err().to_string());
                let raced = task::race(|r| {
                    r.add(|| ());
                });
                ours.add(raced.unwrap_err().to_string());
            });
            sleep(2).unwrap();
        },
        &["the task was cancelled before it began", "not waited: this is a callback, not a task"],
    );
}

#[test]
fn what_is_spawned_by_a_destructor_of_a_panicking_body_never_runs() {
    struct Spawns<'s, 'env>(&'s task::Scope<'s, 'env>, &'s Cell<bool>);
    impl Drop for Spawns<'_, '_> {
        fn drop(&mut self) {
            self.0.spawn(|| self.1.set(true));
        }
    }
    run(|| {
        let ran = Cell::new(false);
        let text = panic_text(|| {
            task::scope(|s| {
                let _spawns = Spawns(s, &ran);
                panic!("body broke");
            })
        });
        assert_eq!((text.as_str(), ran.get()), ("body broke", false));
    });
}

// Services.

#[test]
fn services_are_cancelled_when_all_other_tasks_have_ended() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn_service(|| {
                    let why = sleep(100).unwrap_err();
                    log.add(format!("service ends at {} s: {:?}", clock(), why.reason()));
                });
                s.spawn(|| {
                    sleep(5).unwrap();
                    log.add("task ends");
                });
            });
            log.add("scope left");
        },
        &["task ends", "service ends at 5 s: Done", "scope left"],
    );
}

#[test]
fn services_serve_while_cancelled_tasks_clean_up() {
    check(
        |log| {
            let requests = WaitList::new();
            let done = time::timeout(seconds(1), || {
                task::scope(|s| {
                    s.spawn_service(|| {
                        while let Ok(request) = requests.wait(&Why::new("request")) {
                            log.add(format!("served {request}"));
                        }
                        log.add("service ends");
                    });
                    s.spawn(|| {
                        let _ = sleep(100);
                        task::shield(|| sleep(1)).unwrap();
                        requests.wake_one("goodbye").unwrap();
                    });
                });
            });
            assert!(done.is_err());
            log.add(format!("at {} s", clock()));
        },
        &["served goodbye", "service ends", "at 2 s"],
    );
}

#[test]
fn a_service_that_panics_cancels_the_tasks_but_not_the_other_services() {
    check(
        |log| {
            let text = panic_text(|| {
                task::scope(|s| {
                    s.spawn_service(|| log.add(format!("other: {:?}", sleep(100).unwrap_err().reason())));
                    s.spawn_service(|| {
                        sleep(1).unwrap();
                        panic!("service broke")
                    });
                    s.spawn(|| {
                        let why = sleep(100).unwrap_err();
                        task::shield(|| sleep(1)).unwrap();
                        log.add(format!("task ends at {} s: {:?}", clock(), why.reason()));
                    });
                });
            });
            log.add(text);
        },
        &["task ends at 2 s: Sibling", "other: Done", "service broke"],
    );
}

#[test]
fn what_a_service_spawns_while_it_ends_is_awaited_too() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn_service(|| {
                    let _ = sleep(100);
                    s.spawn(|| {
                        sleep(3).unwrap();
                        log.add("last task ends");
                        s.spawn_service(|| log.add("ran, although services are over"));
                    });
                    log.add("service ends");
                });
                s.spawn(|| sleep(1).unwrap());
            });
            log.add("scope left");
        },
        &["service ends", "last task ends", "scope left"],
    );
}

// Being ready.

#[test]
fn starting_waits_until_the_child_says_that_it_is_ready() {
    check(
        |log| {
            task::scope(|s| {
                let (port, server) = s
                    .start(|ready| {
                        sleep(2).unwrap();
                        ready.set(8080);
                        sleep(3).unwrap();
                        "served"
                    })
                    .unwrap();
                log.add(format!("{port} at {} s", clock()));
                log.add(format!("{} at {} s", server.join().unwrap(), clock()));
            });
        },
        &["8080 at 2 s", "served at 5 s"],
    );
}

#[test]
fn a_child_that_ends_without_having_been_ready_says_so() {
    run(|| {
        task::scope(|s| {
            let not_ready = s
                .start(|ready: task::Ready<()>| {
                    drop(ready);
                    "reason"
                })
                .unwrap_err();
            assert_eq!(not_ready.to_string(), "the task ended without having said that it is ready");
            assert!(not_ready.cancelled.is_none());
            assert_eq!(not_ready.task.join().unwrap(), "reason");
        });
        let text = panic_text(|| {
            task::scope(|s| {
                let not_ready = s.start(|_: task::Ready<()>| panic!("broke early")).unwrap_err();
                assert!(not_ready.cancelled.is_none());
            });
        });
        assert_eq!(text, "broke early");
    });
}

#[test]
fn a_cancelled_start_gives_back_the_task() {
    run(|| {
        task::scope(|s| {
            let started = time::timeout(seconds(1), || {
                s.start(|ready| {
                    sleep(5).unwrap();
                    ready.set(());
                    "late"
                })
            });
            let not_ready = started.unwrap_err().into_inner().unwrap_err();
            assert_eq!(not_ready.cancelled.unwrap().reason(), Reason::Deadline);
            assert_eq!(not_ready.task.join().unwrap(), "late");
        });
    });
}

// Many, and deep.

#[test]
fn scopes_nest_and_a_panic_climbs_through_all_of_them() {
    fn nest(depth: u32, log: &crate::log::Log) {
        task::scope(|s| {
            s.spawn(move || {
                let _ = sleep(100);
                log.add(format!("neighbour {depth}"));
            });
            s.spawn(move || match depth {
                3 => {
                    task::yield_now();
                    panic!("the deepest broke")
                }
                _ => nest(depth + 1, log),
            });
        });
    }
    check(
        |log| log.add(panic_text(|| nest(1, log))),
        &["neighbour 3", "neighbour 2", "neighbour 1", "the deepest broke"],
    );
}

#[test]
fn a_generator_that_children_share_is_closed_when_the_last_one_goes() {
    check(
        |log| {
            let ours = log.clone();
            let shared = Rc::new(Generator::<u32>::new(move |co| {
                let _guard = ours.on_drop("closed");
                co.yield_all(1..);
            }));
            task::scope(|s| {
                for name in ["a", "b"] {
                    let shared = shared.clone();
                    s.spawn(move || {
                        for _ in 0..2 {
                            log.add(format!("{name}{}", shared.next().unwrap()));
                            task::yield_now();
                        }
                    });
                }
                drop(shared);
            });
        },
        &["a1", "b2", "a3", "b4", "closed"],
    );
}

#[test]
fn a_service_that_says_that_it_was_cancelled_at_the_end_fails_nobody() {
    run(|| {
        let served = Cell::new(0);
        let done: Result<u32, ErrorGroup<Cancelled>> = task::try_scope(|s| {
            s.spawn_service(|| {
                loop {
                    sleep(1)?;
                    served.set(served.get() + 1);
                }
                #[expect(unreachable_code, reason = "it says what the service returns")]
                Ok(())
            });
            s.spawn(|| sleep(5));
            Ok(7)
        });
        assert_eq!(done.unwrap(), 7);
        assert!(served.get() >= 4);

        // One that fails by itself does.
        let failed: Result<(), ErrorGroup<&str>> = task::try_scope(|s| {
            s.spawn_service(|| Err::<(), _>("no disk"));
            s.spawn(|| sleep(5).map_err(|_| "cut short"));
            Ok(())
        });
        assert_eq!(*failed.unwrap_err().first(), "no disk");
    });
}
