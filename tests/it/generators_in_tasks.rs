//! Generators whose bodies wait: the task that resumed them parks. Python needs generators of another colour for this.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ropewalk::lowlevel::{self, Ticket, Undo, Why};
use ropewalk::{
    CloseError, Exit, Generator, JoinError, SendError, State, Step, Yielder, generate, task, time,
};

use crate::log::{Log, panic_text, unraised_by};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

const REFUSED: &str = "a generator must not yield while a scope that was opened in its body is open, nor in a task that \
                       did not resume it: yield after the scope, or read the generator through a task of its own";

/// Numbers, each a second after the one before.
fn ticker() -> Generator<u32> {
    generate(|co| {
        for number in 1.. {
            sleep(1).unwrap();
            co.yield_(number);
        }
    })
}

// Waiting.

/// G45, S4.53.
#[test]
fn a_generator_that_sleeps_parks_the_task_that_resumed_it() {
    check(
        |log| {
            task::scope(|s| {
                s.spawn(|| {
                    for number in ticker().take(3) {
                        log.add(format!("item {number} at {} s", clock()));
                    }
                });
                s.spawn(|| {
                    time::sleep(std::time::Duration::from_millis(1500)).unwrap();
                    log.add(format!("another task at {} s", clock()));
                });
            });
        },
        &["item 1 at 1 s", "another task at 1.5 s", "item 2 at 2 s", "item 3 at 3 s"],
    );
}

/// G45.
#[test]
fn two_tasks_read_a_generator_each_at_the_same_time() {
    check(
        |log| {
            task::scope(|s| {
                for name in ["a", "b"] {
                    s.spawn(move || {
                        for number in ticker().take(2) {
                            log.add(format!("{name}{number} at {} s", clock()));
                        }
                    });
                }
            });
        },
        &["a1 at 1 s", "b1 at 1 s", "a2 at 2 s", "b2 at 2 s"],
    );
}

/// G45.
#[test]
fn a_generator_goes_from_one_task_to_another_between_items() {
    check(
        |log| {
            let ticks = Rc::new(ticker());
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let ticks = ticks.clone();
                    s.spawn(move || {
                        sleep(name.as_bytes()[0].into()).unwrap();
                        sleep(2).unwrap();
                        log.add(format!(
                            "{name}: {:?} in task {:?}",
                            ticks.next(),
                            task::current_id().unwrap()
                        ));
                    })
                    .join()
                    .unwrap();
                }
            });
        },
        &["a: Some(1) in task TaskId(2)", "b: Some(2) in task TaskId(3)", "c: Some(3) in task TaskId(4)"],
    );
}

/// G25: a generator whose body waits is running, and says so to other tasks.
#[test]
fn a_generator_that_waits_cannot_be_resumed_by_another_task() {
    run(|| {
        let slow = Rc::new(Generator::<u32, u32>::new(|co| {
            loop {
                let sent = co.yield_(0);
                sleep(5).unwrap();
                co.yield_(sent);
            }
        }));
        let _ = slow.start().unwrap();
        let reader = task::spawn({
            let slow = slow.clone();
            move || slow.send(1)
        });
        sleep(1).unwrap();
        assert_eq!(slow.state(), State::Running);
        assert_eq!(slow.send(2), Err(SendError::Running(2)));
        assert_eq!(slow.close(), Err(CloseError::Running));
        assert_eq!(reader.join().unwrap(), Ok(Step::Yield(1)));
        assert_eq!((slow.state(), clock()), (State::Suspended, 5.0));
    });
}

#[test]
fn the_waits_of_a_generator_are_cancelled_with_the_task_that_resumed_it() {
    run(|| {
        let slow = Rc::new(generate(|co| {
            loop {
                co.yield_(sleep(10).map_err(|why| why.reason()));
            }
        }));
        let limited = time::timeout(seconds(1), || slow.next().unwrap());
        assert_eq!(limited.unwrap_err().into_inner(), Err(ropewalk::Reason::Deadline));
        // It is whole, and the next task is another one.
        let other = task::spawn({
            let slow = slow.clone();
            move || slow.next().unwrap()
        });
        assert_eq!((other.join().unwrap(), clock()), (Ok(()), 11.0));
    });
}

/// G27, G45.
#[test]
fn delegation_goes_straight_through_bodies_that_wait() {
    check(
        |log| {
            let (inner_log, outer_log) = (log.clone(), log.clone());
            let outer = Rc::new(Generator::<u32, u32, &str>::new(move |co| {
                sleep(100).unwrap();
                let value = co.yield_from(Generator::new(move |co| {
                    for number in 1..=2 {
                        sleep(1).unwrap();
                        let sent = co.yield_(number);
                        inner_log.add(format!("inner was sent {sent} at {} s", clock()));
                    }
                    "ended"
                }));
                sleep(1000).unwrap();
                outer_log.add(format!("inner {value}"));
                value
            }));
            assert_eq!(outer.start().unwrap(), Step::Yield(1));
            // From here on in another task.
            let other = task::spawn({
                let outer = outer.clone();
                move || [outer.send(10), outer.send(20)]
            });
            assert_eq!(other.join().unwrap(), [Ok(Step::Yield(2)), Ok(Step::Return("ended"))]);
            log.add(format!("at {} s", clock()));
        },
        &["inner was sent 10 at 101 s", "inner was sent 20 at 102 s", "inner ended", "at 1102 s"],
    );
}

#[test]
fn a_callback_may_resume_a_generator_which_cannot_wait_then() {
    check(
        |log| {
            let ours = log.clone();
            let shared = Rc::new(generate(|co| {
                loop {
                    co.yield_(sleep(1).map_err(|why| why.reason()));
                }
            }));
            let called = shared.clone();
            time::call_later(seconds(1), move || ours.add(format!("callback: {:?}", called.next())));
            sleep(2).unwrap();
            log.add(format!("task: {:?}", shared.next()));
        },
        &["callback: Some(Err(OutsideTask))", "task: Some(Ok(()))"],
    );
}

#[test]
fn a_body_may_spawn_and_give_way_to_an_eager_task() {
    check(
        |log| {
            let ours = log.clone();
            let spawning = generate(move |co| {
                for number in 1..=2 {
                    let child = ours.clone();
                    let eager = task::Builder::new().eager(true).spawn(move || {
                        child.add(format!("child {number}"));
                        sleep(1).unwrap();
                        number
                    });
                    co.yield_(number);
                    co.yield_(eager.join().unwrap() * 10);
                }
            });
            for item in spawning {
                log.add(format!("item {item} at {} s", clock()));
            }
        },
        &["child 1", "item 1 at 0 s", "item 10 at 1 s", "child 2", "item 2 at 1 s", "item 20 at 2 s"],
    );
}

#[test]
fn children_take_turns_with_a_generator_that_borrows() {
    check(
        |log| {
            let words = String::from("one two three four");
            ropewalk::generator::scope(|g| {
                let slow = g.generate(|co| {
                    for word in words.split(' ') {
                        sleep(1).unwrap();
                        co.yield_(word.len());
                    }
                });
                task::scope(|s| {
                    s.spawn(|| {
                        for length in slow.take(2) {
                            log.add(format!("a: {length} at {} s", clock()));
                        }
                        s.spawn(|| slow.for_each(|length| log.add(format!("b: {length} at {} s", clock()))));
                    });
                });
            });
        },
        &["a: 3 at 1 s", "a: 3 at 2 s", "b: 5 at 3 s", "b: 4 at 4 s"],
    );
}

// Closing.

/// G45: Python's `aclose`.
#[test]
fn a_body_that_is_closed_may_wait_before_it_ends() {
    check(
        |log| {
            let ours = log.clone();
            let polite = Generator::<u32, (), String>::new(move |co| {
                assert_eq!(co.try_yield(1), Err(Exit));
                ours.add("asked to end");
                sleep(3).unwrap();
                format!("ended at {} s", clock())
            });
            let _ = polite.start().unwrap();
            task::scope(|s| {
                s.spawn(|| {
                    sleep(1).unwrap();
                    log.add("another task goes on");
                });
                log.add(polite.close().unwrap().unwrap());
            });
        },
        &["asked to end", "another task goes on", "ended at 3 s"],
    );
}

/// G45: a plain yield unwinds, and nothing waits while it does; `finally` waits before it goes on unwinding.
#[test]
fn a_body_that_is_unwound_cannot_wait_but_in_finally() {
    check(
        |log| {
            struct Waits(Log);
            impl Drop for Waits {
                fn drop(&mut self) {
                    self.0.add(format!("destructor: {:?}", sleep(1).unwrap_err().reason()));
                }
            }
            let ours = log.clone();
            let unwound = generate(move |co| {
                let _waits = Waits(ours.clone());
                task::finally(|| co.yield_(1), || ours.add(format!("finally: {:?}", sleep(2))));
            });
            assert_eq!(unwound.next(), Some(1));
            assert_eq!(unwound.close(), Ok(None));
            log.add(format!("closed at {} s", clock()));
        },
        &["finally: Ok(())", "destructor: Unwinding", "closed at 2 s"],
    );
}

/// G36, G45.
#[test]
fn a_body_may_wait_when_its_generator_is_dropped() {
    check(
        |log| {
            let ours = log.clone();
            let polite = generate(move |co| {
                let _ = co.try_yield(1);
                sleep(3).unwrap();
                ours.add(format!("ended at {} s", clock()));
            });
            assert_eq!(polite.next(), Some(1));
            drop(polite);
            log.add("dropped");
        },
        &["ended at 3 s", "dropped"],
    );
}

#[test]
fn a_generator_that_is_dropped_outside_of_tasks_ends_without_waiting() {
    let generator = run(|| {
        let generator = generate(|co| {
            let closed = co.try_yield(1).is_err();
            let refused = catch_unwind(AssertUnwindSafe(|| sleep(1))).is_err();
            assert!(closed && refused, "there is no scheduler any more");
        });
        assert_eq!(generator.next(), Some(1));
        generator
    });
    let unraised = unraised_by(|| drop(generator));
    assert!(unraised.is_empty(), "{unraised:?}");
}

// Yields that are refused.

/// G47, PEP 789.
#[test]
fn a_yield_out_of_an_open_scope_is_refused_with_a_message_that_says_so() {
    type Body = fn(&Yielder<u32>);
    let bodies: [(&str, Body); 8] = [
        ("task scope", |co| task::scope(|_| co.yield_(1))),
        ("scope of tasks that fail", |co| {
            let _ = task::try_scope::<_, (), _>(|_| {
                co.yield_(1);
                Ok(())
            });
        }),
        ("cancel scope", |co| task::cancel_scope(|_| co.yield_(1))),
        ("shield", |co| task::shield(|| co.yield_(1))),
        ("timeout", |co| _ = time::timeout(seconds(1), || co.yield_(1))),
        ("move on", |co| _ = time::move_on_after(seconds(1), |_| co.yield_(1))),
        ("cleanup", |co| task::finally(|| (), || co.yield_(1))),
        ("registering", |co| {
            let _ = lowlevel::park(&Why::new("it"), |_: Ticket<()>| co.yield_(1), || Undo::Done);
        }),
    ];
    run(|| {
        for (what, body) in bodies {
            let generator = generate(body);
            assert_eq!(panic_text(|| generator.next()), REFUSED, "{what}");
            assert_eq!(generator.state(), State::Closed, "{what}");
        }
        sleep(1).unwrap();
    });
}

/// G47.
#[test]
fn a_body_yields_again_after_the_scope_that_refused_it() {
    run(|| {
        let generator = generate(|co| {
            co.yield_(1);
            assert_eq!(panic_text(|| task::shield(|| co.yield_(2))), REFUSED);
            let limited = time::timeout(seconds(1), || {
                let _ = sleep(5);
                assert_eq!(panic_text(|| co.try_yield(3)), REFUSED);
            });
            assert!(limited.is_err());
            co.yield_(4);
            // What is inside of what was refused, and outside of it, does not matter.
            let inner = generate(|co| co.yield_all(5..7));
            task::scope(|_| assert_eq!(inner.next(), Some(5)));
            co.yield_all(inner);
        });
        assert_eq!(generator.collect::<Vec<_>>(), [1, 4, 6]);
    });
}

/// G47: whoever reads may have any scope open, another one each time.
#[test]
fn a_reader_may_have_scopes_open_between_items() {
    run(|| {
        let ticks = ticker();
        assert_eq!(time::timeout(seconds(5), || ticks.next()), Ok(Some(1)));
        assert_eq!(task::shield(|| ticks.next()), Some(2));
        task::scope(|s| {
            s.spawn(|| sleep(1));
            assert_eq!(ticks.next(), Some(3));
        });
        assert_eq!(ticks.next(), Some(4));
    });
}

#[test]
fn a_yield_out_of_a_run_is_refused() {
    let generator = generate(|co| {
        co.yield_(1);
        assert_eq!(panic_text(|| ropewalk::run(|| co.yield_(2))), REFUSED);
        co.yield_(3);
    });
    assert_eq!(generator.collect::<Vec<_>>(), [1, 3]);
}

/// G47.
#[test]
fn a_child_that_yields_its_parents_generator_is_refused_and_nothing_breaks() {
    run(|| {
        let generator = generate(|co| {
            co.yield_(1);
            let text = task::scope(|s| {
                let child = s.spawn(|| co.yield_(2));
                panic_of(child.join())
            });
            assert_eq!(text, REFUSED);
            co.yield_(3);
            // Without a join the scope goes on with the panic, which ends the body.
            task::scope(|s| {
                s.spawn(|| co.yield_(4));
            });
        });
        assert_eq!((generator.next(), generator.next()), (Some(1), Some(3)));
        assert_eq!(panic_text(|| generator.next()), REFUSED);
        assert_eq!(generator.state(), State::Closed);
        sleep(1).unwrap();
    });
}

/// G47: the way out that the message names.
#[test]
fn a_generator_is_read_through_a_task_of_its_own() {
    check(
        |log| {
            let items = RefCell::new(Vec::new());
            task::scope(|s| {
                s.spawn(|| {
                    for number in ticker().take(2) {
                        items.borrow_mut().push(number);
                    }
                });
                let _ = time::timeout(seconds(5), || {
                    while items.borrow().len() < 2 {
                        sleep(1).unwrap();
                    }
                    log.add(format!("{:?}", items.borrow()));
                });
            });
        },
        &["[1, 2]"],
    );
}

#[test]
fn a_panic_in_a_body_that_has_waited_reaches_the_task_that_resumed_it() {
    run(|| {
        let reader = task::spawn(|| {
            let broken = generate(|co: &Yielder<u32>| {
                sleep(1).unwrap();
                co.yield_(1);
                sleep(1).unwrap();
                panic!("body broke")
            });
            broken.count()
        });
        assert_eq!(panic_of(reader.join()), "body broke");
        assert!(!matches!(reader.join(), Err(JoinError::Panicked(_))));
    });
}
