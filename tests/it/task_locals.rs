//! Values that each task has for itself; Python's context variables.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::{generate, task, time};

use crate::log::{panic_text, while_unwinding};
use crate::world::{check, run, seconds, sleep};

ropewalk::task_local! {
    static REQUEST: u32 = 0;
    static USER: String = "nobody".to_owned();
    static SHARED: Option<Rc<Cell<u32>>> = None;
}

/// S1.31.
#[test]
fn a_child_inherits_what_its_parent_had_when_it_was_spawned() {
    run(|| {
        REQUEST.set(1);
        let early = task::spawn(|| REQUEST.get());
        REQUEST.set(2);
        let late = task::spawn(|| {
            REQUEST.set(20);
            task::spawn(|| REQUEST.get()).join().unwrap()
        });
        assert_eq!((early.join().unwrap(), late.join().unwrap()), (1, 20));
        assert_eq!(REQUEST.get(), 2, "what a child sets the parent does not see");
    });
}

/// S1.31: Python restores the context at each switch; here each task has its own.
#[test]
fn tasks_that_take_turns_do_not_see_each_others_values() {
    check(
        |log| {
            task::scope(|s| {
                for request in 1..=2 {
                    s.spawn(move || {
                        REQUEST.set(request);
                        USER.set(format!("user {request}"));
                        task::yield_now();
                        log.add(format!("{} {}", REQUEST.get(), USER.get()));
                    });
                }
            });
            log.add(format!("{} {}", REQUEST.get(), USER.get()));
        },
        &["1 user 1", "2 user 2", "0 nobody"],
    );
}

#[test]
fn a_value_for_a_while_is_put_back_also_by_a_panic() {
    run(|| {
        USER.with_value("ada".to_owned(), || {
            assert_eq!(USER.get(), "ada");
            let text = panic_text(|| USER.with_value("eve".to_owned(), || panic!("broke")));
            assert_eq!((text.as_str(), USER.get().as_str()), ("broke", "ada"));
            sleep(1).unwrap();
            USER.set("bob".to_owned());
        });
        assert_eq!(USER.get(), "nobody");
    });
}

#[test]
fn it_is_the_default_where_nothing_was_set_and_outside_of_tasks() {
    assert_eq!((REQUEST.get(), USER.get().as_str()), (0, "nobody"));
    let expected = "a task-local value was set where no task runs";
    assert_eq!(panic_text(|| REQUEST.set(1)), expected);
    run(|| {
        REQUEST.set(7);
        let seen = Rc::new(Cell::new(u32::MAX));
        let ours = seen.clone();
        time::call_later(seconds(1), move || ours.set(REQUEST.get()));
        sleep(2).unwrap();
        assert_eq!(seen.get(), 0, "a callback is no task");
    });
    assert_eq!(run(|| REQUEST.get()), 0, "a run begins anew");
}

#[test]
fn what_it_holds_lives_as_long_as_a_task_that_has_it() {
    run(|| {
        let value = Rc::new(Cell::new(5));
        let weak = Rc::downgrade(&value);
        let child = SHARED.with_value(Some(value), || {
            task::spawn(|| {
                sleep(1).unwrap();
                SHARED.get().unwrap().get()
            })
        });
        assert!(weak.upgrade().is_some(), "the child has it");
        assert_eq!(child.join().unwrap(), 5);
        assert!(weak.upgrade().is_none(), "a handle does not keep it");
    });
}

#[test]
fn a_generator_sees_the_values_of_whoever_resumes_it() {
    run(|| {
        let seen = Rc::new(generate(|co| {
            loop {
                co.yield_(REQUEST.get());
            }
        }));
        REQUEST.set(1);
        assert_eq!(seen.next(), Some(1));
        let other = task::spawn({
            let seen = seen.clone();
            move || {
                REQUEST.set(2);
                seen.next()
            }
        });
        assert_eq!(other.join().unwrap(), Some(2));
        assert_eq!(seen.next(), Some(1));
    });
}

#[test]
fn it_can_be_read_and_set_while_the_task_unwinds() {
    run(|| {
        REQUEST.set(3);
        assert_eq!(while_unwinding(|| REQUEST.with_value(4, || REQUEST.get())), 4);
        assert_eq!(REQUEST.get(), 3);
    });
}
