//! Values that are made once: by whom, and what happens when that one gives up.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use ropewalk::select::{Chosen, select, try_select};
use ropewalk::sync::{Lazy, OnceCell};
use ropewalk::{Cancelled, Reason, generate, task, testing, time};

use super::{check, deadlock_of, settle, waits_for};
use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{panic_of, seconds, sleep};

/// N30.
#[test]
fn the_first_to_ask_makes_the_value_and_the_others_wait_for_it() {
    check(
        |log| {
            let cell = OnceCell::new();
            assert_eq!(cell.get(), None);
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let (cell, log) = (&cell, log.clone());
                    s.spawn(move || {
                        let value = cell.get_or_try_init(|| {
                            log.add(format!("{name} makes it"));
                            sleep(1)?;
                            Ok::<_, Cancelled>(name)
                        });
                        log.add(format!("{name} has {}", value.unwrap()));
                    });
                }
                settle();
                assert_eq!((cell.get(), cell.waiters()), (None, 2));
            });
            assert_eq!((cell.get(), cell.waiters()), (Some(&"a"), 0));
            assert_eq!(cell.get_or_init(|| unreachable!()), Ok(&"a"));
        },
        &["a makes it", "a has a", "b has a", "c has a"],
    );
}

/// N31.
#[test]
fn when_the_maker_fails_is_cancelled_or_panics_the_next_in_line_makes_it() {
    type Gives = Result<&'static str, &'static str>;
    struct Failed(&'static str);
    impl From<Cancelled> for Failed {
        fn from(_: Cancelled) -> Failed {
            Failed("cancelled")
        }
    }
    check(
        |log| {
            let cell = OnceCell::new();
            task::scope(|s| {
                let make = |name: &'static str, gives: Gives| {
                    let (cell, log) = (&cell, log.clone());
                    s.spawn(move || {
                        let value = cell.get_or_try_init(|| {
                            log.add(format!("{name} makes it"));
                            sleep(1)?;
                            assert!(gives != Err("panic"), "broke");
                            gives.map_err(Failed)
                        });
                        match value {
                            Ok(value) => log.add(format!("{name} has {value}")),
                            Err(Failed(why)) => log.add(format!("{name}: {why}")),
                        }
                    })
                };
                make("first", Err("failed"));
                let cut = make("second", Ok("never"));
                let (of_task, of_log) = (&cell, log.clone());
                let breaks = s.spawn(move || {
                    let text = panic_text(|| {
                        of_task.get_or_init(|| {
                            sleep(1).unwrap();
                            panic!("broke")
                        })
                    });
                    of_log.add(format!("third {text}"));
                });
                let given_up = make("fourth", Ok("never"));
                make("fifth", Ok("made"));
                make("sixth", Ok("never"));
                settle();
                // In line; its turn never comes.
                given_up.cancel();
                // When it makes it.
                time::sleep(seconds(1) + seconds(1) / 2).unwrap();
                cut.cancel();
                breaks.join().unwrap();
            });
            assert_eq!(cell.into_inner(), Some("made"));
        },
        &[
            "first makes it",
            "fourth: cancelled",
            "first: failed",
            "second makes it",
            "second: cancelled",
            "third broke",
            "fifth makes it",
            "fifth has made",
            "sixth has made",
        ],
    );
}

/// N31: in the step in which its turn comes.
#[test]
fn one_who_is_cancelled_when_its_turn_has_come_still_passes_it_on() {
    check(
        |log| {
            let cell = OnceCell::new();
            task::scope(|s| {
                let fails = s.spawn(|| {
                    sleep(1)?;
                    let made: Result<&i32, Cancelled> = cell.get_or_try_init(|| {
                        sleep(1)?;
                        Err(Cancelled::new(Reason::Requested))
                    });
                    made.map(|_| ())
                });
                sleep(1).unwrap();
                settle();
                let cut = s.spawn(|| {
                    cell.get_or_try_init(|| {
                        log.add("its turn");
                        sleep(1)?;
                        Ok::<_, Cancelled>(1)
                    })
                    .copied()
                });
                let next = s.spawn(|| cell.get_or_init(|| 2).copied());
                settle();
                assert!(fails.join().unwrap().is_err());
                // It has the claim, and has not run yet.
                cut.cancel();
                assert!(cut.join().unwrap().is_err());
                assert_eq!(next.join().unwrap(), Ok(2));
            });
        },
        &["its turn"],
    );
}

/// N31: no matter how many give up.
#[test]
fn whoever_fails_leaves_it_to_the_next_in_the_order_of_coming() {
    check(
        |log| {
            let cell = OnceCell::new();
            task::scope(|s| {
                for number in 0..5 {
                    let (cell, log) = (&cell, log.clone());
                    s.spawn(move || {
                        let made = cell.get_or_try_init(|| {
                            log.add(format!("{number}"));
                            sleep(1)?;
                            if number < 3 { Err(io::ErrorKind::NotFound.into()) } else { Ok(number) }
                        });
                        let made = made.map_err(|why: io::Error| why.kind());
                        assert_eq!(made, if number < 3 { Err(io::ErrorKind::NotFound) } else { Ok(&3) });
                    });
                }
            });
        },
        &["0", "1", "2", "3"],
    );
}

/// N32.
#[test]
fn an_initialiser_that_asks_for_the_value_is_told_so() {
    testing::run(|| {
        let cell = OnceCell::new();
        let message = "this task is making the value of this cell: its initialiser cannot ask for it";
        let made = cell.get_or_init(|| {
            assert_eq!(panic_text(|| cell.get_or_init(|| 1).copied()), message);
            assert_eq!(cell.get(), None);
            assert_eq!(cell.set(2), Err(2));
            assert_eq!(try_select(cell.waiting()), None);
            3
        });
        assert_eq!(made, Ok(&3));
        // And not if it only seems so: another cell, made in the same task.
        let (outer, inner) = (OnceCell::new(), OnceCell::new());
        let made: Result<_, Cancelled> = outer.get_or_try_init(|| Ok(*inner.get_or_init(|| 1)? + 1));
        assert_eq!(made, Ok(&2));
    });
}

/// N32: through another task it is a ring, and the report says so.
#[test]
fn two_tasks_that_make_what_the_other_needs_are_seen_as_a_ring() {
    let (left, right) = (OnceCell::<i32>::new(), OnceCell::<i32>::new());
    let reported = deadlock_of(|| {
        let make = |first: &OnceCell<i32>, then: &OnceCell<i32>| {
            first
                .get_or_try_init(|| {
                    task::checkpoint()?;
                    then.get_or_init(|| 1).copied()
                })
                .is_err()
        };
        task::scope(|s| {
            s.spawn(|| assert!(make(&left, &right)));
            s.spawn(|| assert!(make(&right, &left)));
            s.spawn(|| left.wait().is_err());
        });
    });
    let (first, second) = ("once cell, held by task 3", "once cell, held by task 2");
    assert_eq!(reported[1..4], [first, second, second]);
    // The ring of two, below the tree.
    assert_eq!(reported[4..], [first, second]);
}

/// N33.
#[test]
fn a_value_can_be_set_once_and_is_what_others_wait_for() {
    check(
        |log| {
            let cell = OnceCell::new();
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (cell, log) = (&cell, log.clone());
                    s.spawn(move || log.add(format!("{name} has {}", cell.wait().unwrap())));
                }
                settle();
                assert_eq!(cell.waiters(), 2);
                assert_eq!(cell.set("rope"), Ok(()));
                assert_eq!(cell.set("more"), Err("more"));
                assert_eq!((cell.get(), cell.waiters()), (Some(&"rope"), 0));
                assert_eq!(cell.wait(), Ok(&"rope"));
                assert_eq!(try_select(cell.waiting()), Some(&"rope"));
            });
        },
        &["a has rope", "b has rope"],
    );
}

/// N33: those who only wait have what somebody makes, and do not care who had to give up.
#[test]
fn those_who_only_wait_have_the_value_that_is_made_in_the_end() {
    testing::run(|| {
        let cell = OnceCell::new();
        task::scope(|s| {
            let waits = s.spawn(|| cell.wait().copied());
            let selects = s.spawn(|| select((cell.waiting(), time::sleeping(seconds(9)))));
            let cut = s.spawn(|| cell.wait().copied());
            settle();
            let failed: Result<&i32, Cancelled> =
                cell.get_or_try_init(|| sleep(1).and(Err(Cancelled::new(Reason::Requested))));
            assert!(failed.is_err());
            cut.cancel();
            assert_eq!(cell.get_or_init(|| 7), Ok(&7));
            assert_eq!(waits.join().unwrap(), Ok(7));
            assert_eq!(selects.join().unwrap(), Ok(Chosen::First(&7)));
            assert!(cut.join().unwrap().is_err());
        });
    });
}

/// N33.
#[test]
fn one_who_waited_for_a_value_that_came_before_it_was_cancelled_has_it() {
    testing::run(|| {
        let cell = OnceCell::new();
        task::scope(|s| {
            let waits = s.spawn(|| cell.wait().copied());
            let selects = s.spawn(|| select(cell.waiting()).copied());
            settle();
            cell.set(1).unwrap();
            waits.cancel();
            selects.cancel();
            assert_eq!((waits.join().unwrap(), selects.join().unwrap()), (Ok(1), Ok(1)));
        });
        // But not one that asks then.
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(cell.wait().is_err());
            assert!(cell.get_or_init(|| 2).is_err());
            assert_eq!(cell.get(), Some(&1));
        });
    });
}

/// N33.
#[test]
fn callbacks_and_code_outside_of_a_runtime_may_set_and_get() {
    let cell = Rc::new(OnceCell::new());
    testing::run(|| {
        let in_callback = cell.clone();
        time::call_later(seconds(1), move || {
            assert_eq!(in_callback.get_or_init(|| 1).unwrap_err().reason(), Reason::OutsideTask);
            in_callback.set(2).unwrap();
        });
        assert_eq!(cell.wait(), Ok(&2));
        let in_a_destructor = cell.clone();
        let waited = while_unwinding(move || in_a_destructor.wait().copied());
        assert_eq!(waited.unwrap_err().reason(), Reason::Unwinding);
    });
    let mut cell = Rc::into_inner(cell).unwrap();
    *cell.get_mut().unwrap() += 1;
    assert_eq!((cell.take(), cell.take(), cell.get_mut()), (Some(3), None, None));
    cell.set(4).unwrap();
    assert_eq!(cell.into_inner(), Some(4));
    assert_eq!(OnceCell::from(5).get(), Some(&5));
}

/// N31: what an initialiser left half done is dropped, and the claim goes on.
#[test]
fn a_generator_that_is_dropped_in_the_middle_of_making_a_value_gives_up_the_claim() {
    testing::run(|| {
        let cell = Rc::new(OnceCell::new());
        let in_body = cell.clone();
        let steps = generate(move |co| {
            let _ = in_body.get_or_init(|| {
                co.yield_("half");
                1
            });
        });
        assert_eq!(steps.next(), Some("half"));
        task::scope(|s| {
            let next = s.spawn(|| cell.get_or_init(|| 2).copied());
            settle();
            assert_eq!(waits_for(&next), "once cell, held by task 1");
            drop(steps);
            assert_eq!(next.join().unwrap(), Ok(2));
        });
    });
}

/// N30.
#[test]
fn under_any_schedule_a_value_is_made_once_and_all_have_the_same() {
    testing::explore(0..300, || {
        let (cell, made) = (OnceCell::new(), Cell::new(0));
        let seen = RefCell::new(Vec::new());
        task::scope(|s| {
            for number in 0..4 {
                let (cell, made, seen) = (&cell, &made, &seen);
                s.spawn(move || {
                    let value = cell.get_or_try_init(|| {
                        task::checkpoint()?;
                        if testing::random(3) == 0 {
                            return Err(Cancelled::new(Reason::Requested));
                        }
                        made.set(made.get() + 1);
                        Ok(number)
                    });
                    seen.borrow_mut().extend(value);
                });
                s.spawn(move || {
                    let seen_by_chance = time::timeout(seconds(1), || cell.wait().copied());
                    seen.borrow_mut().extend(seen_by_chance.ok().and_then(Result::ok));
                });
            }
        });
        assert!(made.get() <= 1);
        assert!(seen.borrow().iter().all(|value| cell.get() == Some(value)));
        assert_eq!(made.get() == 1, cell.get().is_some());
        assert_eq!(cell.waiters(), 0);
    });
}

/// N34.
#[test]
fn what_is_lazy_is_made_when_it_is_asked_for_and_again_if_that_failed() {
    testing::run(|| {
        let attempts = Cell::new(0);
        let mut lazy = Lazy::new(|| {
            sleep(1)?;
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                1 => Err(io::Error::from(io::ErrorKind::NotFound)),
                2 => panic!("broke"),
                attempt => Ok(attempt),
            }
        });
        assert_eq!((lazy.get(), attempts.get()), (None, 0));
        assert_eq!(lazy.force().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(panic_text(|| lazy.force().map(|_| ())), "broke");
        assert!(time::move_on_after(seconds(1) / 2, |_| lazy.force().map(|_| ())).is_none());
        task::scope(|s| {
            let tasks = [1, 2, 3].map(|_| s.spawn(|| lazy.force().copied().unwrap()));
            settle();
            assert_eq!(lazy.waiters(), 2);
            assert_eq!(tasks.map(|task| task.join().unwrap()), [3, 3, 3]);
        });
        assert_eq!((lazy.get(), attempts.get()), (Some(&3), 3));
        assert_eq!(lazy.get_mut(), Some(&mut 3));
        assert_eq!(format!("{lazy:?}"), "Lazy(OnceCell(3))");
        assert_eq!(lazy.take(), Some(3));
        assert_eq!(lazy.force().unwrap(), &4);
        assert_eq!(lazy.into_inner(), Some(4));
    });
}

/// N34.
#[test]
fn what_is_lazy_and_asks_for_itself_is_told_so() {
    testing::run(|| {
        thread_local! {
            static LAZY: Rc<Lazy<u32>> = Rc::new(Lazy::new(|| LAZY.with(Rc::clone).force().copied()));
        }
        let text = panic_text(|| LAZY.with(Rc::clone).force().copied());
        assert_eq!(text, "this task is making the value of this cell: its initialiser cannot ask for it");
        assert_eq!(LAZY.with(Rc::clone).get(), None);
    });
}

/// N16.
#[test]
fn it_shows_what_it_has_and_who_makes_it() {
    testing::run(|| {
        let cell = OnceCell::default();
        assert_eq!(format!("{cell:?} {:?}", cell.waiting()), "OnceCell(<unset>) WaitingForValue");
        task::scope(|s| {
            s.spawn(|| cell.get_or_try_init(|| sleep(1).map(|()| "made")).map(|_| ()));
            let waits = s.spawn(|| cell.wait().map(|_| ()));
            let selects = s.spawn(|| select(cell.waiting()).map(|_| ()));
            settle();
            assert_eq!(format!("{cell:?}"), "OnceCell(<task 2 makes it>)");
            assert_eq!(waits_for(&waits), "once cell, held by task 2");
            assert_eq!(waits_for(&selects), "select once cell, held by task 2");
        });
        assert_eq!(format!("{cell:?}"), "OnceCell(\"made\")");
    });
}

/// N31: the panic goes on in the task that made it, nowhere else.
#[test]
fn a_panic_while_a_value_is_made_is_the_affair_of_one() {
    testing::run(|| {
        let (cell, log) = (Rc::new(OnceCell::new()), Log::new());
        let breaks = task::spawn({
            let (cell, dropped) = (cell.clone(), log.on_drop("dropped"));
            move || {
                cell.get_or_init(move || {
                    let _dropped = dropped;
                    sleep(1).unwrap();
                    panic!("broke")
                })
                .copied()
            }
        });
        let next = task::spawn({
            let cell = cell.clone();
            move || cell.get_or_init(|| 1).copied()
        });
        assert_eq!(panic_of(breaks.join()), "broke");
        log.assert(&["dropped"]);
        assert_eq!(next.join().unwrap(), Ok(1));
    });
}
