//! Events and latches: who passes, and when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::select::{Chosen, select, try_select};
use ropewalk::sync::{Event, Latch};
use ropewalk::task::{Scope, ScopedJoinHandle};
use ropewalk::{Reason, generate, task, testing, time};

use super::{check, deadlock_of, settle, waits_for};
use crate::log::{Log, while_unwinding};
use crate::world::{seconds, sleep};

fn waiter<'scope>(
    s: &'scope Scope<'scope, '_>,
    event: &'scope Event,
    log: &Log,
    name: &'scope str,
) -> ScopedJoinHandle<'scope, ()> {
    let log = log.clone();
    s.spawn(move || match event.wait() {
        Ok(()) => log.add(name),
        Err(_) => log.add(format!("{name} gave up")),
    })
}

/// N1.
#[test]
fn setting_an_event_wakes_all_who_wait_in_the_order_of_coming() {
    check(
        |log| {
            let event = Event::new();
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    waiter(s, &event, log, name);
                }
                settle();
                assert_eq!((event.is_set(), event.waiters()), (false, 3));
                log.add("set");
                event.set();
                assert_eq!((event.is_set(), event.waiters()), (true, 0));
                event.set();
            });
        },
        &["set", "a", "b", "c"],
    );
}

/// N1.
#[test]
fn whoever_comes_after_the_event_was_set_passes_before_those_who_were_woken() {
    check(
        |log| {
            let event = Event::new();
            task::scope(|s| {
                waiter(s, &event, log, "woken");
                settle();
                event.set();
                event.wait().unwrap();
                log.add("passed");
            });
        },
        &["passed", "woken"],
    );
}

/// N2.
#[test]
fn clearing_right_after_setting_still_releases_those_who_waited() {
    check(
        |log| {
            let event = Event::new();
            task::scope(|s| {
                waiter(s, &event, log, "first");
                settle();
                event.set();
                event.clear();
                assert!(!event.is_set());
                waiter(s, &event, log, "late");
                settle();
                log.add("again");
                event.set();
            });
        },
        &["first", "again", "late"],
    );
}

/// N2: where it is set and cleared again and again, each waiter is released once for each time it waits.
#[test]
fn an_event_can_be_used_many_times() {
    testing::run(|| {
        let (event, passed) = (Event::new(), Cell::new(0));
        task::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..10 {
                        event.wait().unwrap();
                        passed.set(passed.get() + 1);
                    }
                });
            }
            for round in 1..=10 {
                settle();
                event.set();
                event.clear();
                settle();
                assert_eq!(passed.get(), 3 * round);
            }
        });
    });
}

/// N3.
#[test]
fn a_cancelled_waiter_leaves_an_event_and_one_who_was_released_before_is_released() {
    check(
        |log| {
            let event = Event::new();
            task::scope(|s| {
                let tasks = ["a", "b", "c"].map(|name| waiter(s, &event, log, name));
                settle();
                tasks[0].cancel();
                assert_eq!(event.waiters(), 2);
                event.set();
                tasks[1].cancel();
            });
            assert_eq!(event.waiters(), 0);
        },
        &["a gave up", "b", "c"],
    );
}

/// N3.
#[test]
fn in_a_cancelled_scope_and_while_unwinding_an_event_is_not_waited_for_even_if_it_is_set() {
    testing::run(|| {
        let event = Rc::new(Event::new());
        event.set();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(event.wait().unwrap_err().reason(), Reason::Requested);
            assert!(task::shield(|| event.wait()).is_ok());
        });
        let in_a_destructor = event.clone();
        let waited = while_unwinding(move || in_a_destructor.wait());
        assert_eq!(waited.unwrap_err().reason(), Reason::Unwinding);
    });
}

/// N3.
#[test]
fn callbacks_and_destructors_may_set_an_event() {
    struct SetsWhenDropped(Rc<Event>);
    impl Drop for SetsWhenDropped {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    testing::run(|| {
        let (first, second) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let refused = Rc::new(Cell::new(None));
        time::call_later(seconds(1), {
            let (first, refused) = (first.clone(), refused.clone());
            move || {
                first.set();
                refused.set(Some(first.wait().unwrap_err().reason()));
            }
        });
        first.wait().unwrap();
        assert_eq!(refused.get(), Some(Reason::OutsideTask));
        let breaks = task::spawn({
            let sets = SetsWhenDropped(second.clone());
            move || {
                let _sets = sets;
                panic!("broke");
            }
        });
        second.wait().unwrap();
        assert!(breaks.join().is_err());
    });
    let outside = Event::new();
    outside.set();
    assert_eq!(try_select(outside.waiting()), Some(()));
}

/// N4.
#[test]
fn an_event_stands_beside_other_arms_and_an_arm_that_is_not_chosen_leaves_it() {
    testing::run(|| {
        let (event, other) = (Event::new(), Event::new());
        let late = select((event.waiting(), time::sleeping(seconds(1))));
        assert_eq!(late, Ok(Chosen::Second(())));
        assert_eq!(event.waiters(), 0);
        task::scope(|s| {
            let selecting = s.spawn(|| select([event.waiting(), other.waiting(), event.waiting()]));
            settle();
            assert_eq!((event.waiters(), other.waiters()), (1, 1));
            other.set();
            event.set();
            event.clear();
            assert_eq!(selecting.join().unwrap(), Ok((1, ())));
            assert_eq!((event.waiters(), other.waiters()), (0, 0));
        });
    });
}

/// N5.
#[test]
fn a_latch_is_set_once_and_stays_so() {
    check(
        |log| {
            let latch = Latch::new();
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (latch, log) = (&latch, log.clone());
                    s.spawn(move || {
                        latch.wait().unwrap();
                        assert!(latch.is_set());
                        log.add(name);
                    });
                }
                settle();
                assert_eq!((latch.is_set(), latch.waiters()), (false, 2));
                log.add("set");
                assert!(latch.set());
                assert!(!latch.set());
                assert_eq!((latch.is_set(), latch.waiters()), (true, 0));
                latch.wait().unwrap();
            });
        },
        &["set", "a", "b"],
    );
}

/// N5.
#[test]
fn of_several_who_set_a_latch_one_is_the_first_under_any_schedule() {
    testing::explore(0..200, || {
        let (latch, first, seen) = (Latch::new(), Cell::new(0), Cell::new(0));
        task::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    task::yield_now();
                    first.set(first.get() + u32::from(latch.set()));
                });
                s.spawn(|| {
                    let arms = (latch.waiting(), time::sleeping(seconds(9)));
                    assert_eq!(select(arms), Ok(Chosen::First(())));
                    assert!(latch.is_set());
                    seen.set(seen.get() + 1);
                });
            }
        });
        assert_eq!((first.get(), seen.get()), (1, 4));
    });
}

/// N5.
#[test]
fn a_latch_is_left_by_those_who_are_cancelled() {
    testing::run(|| {
        let latch = Latch::new();
        assert!(time::move_on_after(seconds(1), |_| latch.wait()).is_none());
        task::scope(|s| {
            let cut = s.spawn(|| latch.wait());
            let released = s.spawn(|| latch.wait());
            settle();
            cut.cancel();
            latch.set();
            released.cancel();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(released.join().unwrap(), Ok(()));
        });
        assert_eq!(latch.waiters(), 0);
    });
}

/// N16.
#[test]
fn dumps_and_reports_name_events_and_latches() {
    let (event, latch) = (Event::new(), Latch::new());
    let reported = deadlock_of(|| {
        task::scope(|s| {
            s.spawn(|| event.wait().is_err());
            s.spawn(|| latch.wait().is_err());
            s.spawn(|| select((event.waiting(), latch.waiting())).is_err());
        });
    });
    assert_eq!(reported, ["scope with 3 tasks", "event", "latch", "select event, latch"]);
    testing::run(|| {
        let event = Event::default();
        task::scope(|s| {
            let waiter = s.spawn(|| event.wait());
            settle();
            assert_eq!(waits_for(&waiter), "event");
            assert_eq!(format!("{event:?}"), "Event { is_set: false, waiters: 1 }");
            event.set();
        });
        let latch = Latch::default();
        latch.set();
        assert_eq!(format!("{latch:?}"), "Latch { is_set: true, waiters: 0 }");
        assert_eq!(format!("{:?}", latch.waiting()), "WaitingUntil(latch)");
    });
}

#[test]
fn a_generator_may_wait_for_an_event() {
    testing::run(|| {
        let event = Rc::new(Event::new());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let consumer = task::spawn({
            let (event, seen) = (event.clone(), seen.clone());
            move || {
                let events = generate(move |co| {
                    for number in 0..3 {
                        event.wait().unwrap();
                        event.clear();
                        co.yield_(number);
                    }
                });
                events.for_each(|number| seen.borrow_mut().push(number));
            }
        });
        for round in 0..3 {
            settle();
            assert_eq!(seen.borrow().len(), round);
            event.set();
        }
        consumer.join().unwrap();
        assert_eq!(*seen.borrow(), [0, 1, 2]);
        sleep(1).unwrap();
    });
}
