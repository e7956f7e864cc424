//! Calls on other threads.

use std::cell::{Cell, RefCell};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::{Cancelled, Clock, Reason, Runtime, blocking, task, time};

#[test]
fn a_call_runs_on_another_thread_while_other_tasks_go_on() {
    let (sender, receiver) = mpsc::channel();
    ropewalk::run(|| {
        let waits =
            task::spawn(|| blocking::unblock(move || (receiver.recv().unwrap(), thread::current().id())));
        task::yield_now();
        sender.send(7).unwrap();
        let (number, thread) = waits.join().unwrap().unwrap();
        assert_eq!(number, 7);
        assert_ne!(thread, thread::current().id());
    });
}

#[test]
fn a_call_may_borrow_and_change_what_the_task_has() {
    ropewalk::run(|| {
        let mut numbers = vec![3, 1, 2];
        let length = blocking::unblock(|| {
            numbers.sort();
            numbers.len()
        });
        assert_eq!((length, numbers), (Ok(3), vec![1, 2, 3]));
    });
}

#[test]
fn a_panic_of_a_call_goes_on_in_the_task() {
    ropewalk::run(|| {
        let failed = task::spawn(|| blocking::unblock(|| panic!("on a thread"))).join();
        assert!(failed.unwrap_err().to_string().contains("on a thread"));
    });
}

#[test]
fn a_call_that_no_thread_has_begun_is_taken_back() {
    ropewalk::run(|| {
        blocking::limiter().set_limit(1);
        let (go, wait) = mpsc::channel::<()>();
        let called = Cell::new(false);
        task::scope(|s| {
            s.spawn(|| blocking::unblock(move || wait.recv().unwrap()).unwrap());
            task::yield_now();
            let late = s.spawn(|| {
                let call = blocking::unblock(|| ());
                called.set(call.is_ok());
                call
            });
            task::yield_now();
            late.cancel();
            assert_eq!(late.join().unwrap(), Err(Cancelled::new(Reason::Requested)));
            assert!(!called.get());
            go.send(()).unwrap();
        });
    });
}

#[test]
fn a_call_that_runs_is_waited_for_and_its_value_is_returned() {
    ropewalk::run(|| {
        let (sender, receiver) = mpsc::channel();
        let value = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || {
                // It runs by now, or it would not have said so.
                blocking::unblock(move || receiver.recv().unwrap()).unwrap();
                canceller.cancel();
            });
            blocking::unblock(move || {
                sender.send(()).unwrap();
                while blocking::cancelled().is_none() {
                    thread::yield_now();
                }
                blocking::check_cancelled().unwrap_err().reason()
            })
        });
        assert_eq!(value, Ok(Reason::Requested));
    });
}

#[test]
fn an_abandoned_call_ends_alone_and_keeps_its_token_until_then() {
    ropewalk::run(|| {
        blocking::limiter().set_limit(2);
        let (go, wait) = mpsc::channel::<()>();
        let (told, end) = mpsc::channel();
        let (begins, begun) = mpsc::channel();
        let left = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || {
                blocking::unblock(move || begun.recv().unwrap()).unwrap();
                canceller.cancel();
            });
            blocking::unblock_or_abandon(move || {
                begins.send(()).unwrap();
                wait.recv().unwrap();
                let asked = blocking::run_in_task(|| ()).is_err();
                told.send(asked).unwrap();
            })
        });
        assert_eq!(left, Err(Cancelled::new(Reason::Requested)));
        time::sleep(Duration::from_millis(1)).unwrap();
        assert_eq!(blocking::limiter().borrowed(), 1);
        go.send(()).unwrap();
        assert_eq!(blocking::unblock(move || end.recv().unwrap()), Ok(true));
        while blocking::limiter().borrowed() > 0 {
            time::sleep(Duration::from_millis(1)).unwrap();
        }
    });
}

#[test]
fn a_call_can_have_its_task_do_something_that_waits() {
    thread_local! {
        static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    ropewalk::run(|| {
        let home = thread::current().id();
        let mut at_home = 0;
        blocking::unblock(|| {
            for number in 0..3 {
                let slept = blocking::run_in_task(|| {
                    assert_eq!(thread::current().id(), home);
                    at_home += 1;
                    SEEN.with_borrow_mut(|seen| seen.push(number));
                    time::sleep(Duration::from_millis(1))
                });
                slept.unwrap().unwrap();
            }
        })
        .unwrap();
        assert_eq!((at_home, SEEN.take()), (3, vec![0, 1, 2]));
    });
}

#[test]
fn what_a_task_panics_with_for_a_call_goes_back_to_the_call() {
    ropewalk::run(|| {
        let caught = blocking::unblock(|| {
            std::panic::catch_unwind(|| blocking::run_in_task(|| panic!("in the task")).unwrap()).is_err()
        });
        assert_eq!(caught, Ok(true));
    });
}

/// As many computations as there are threads for them, each of which has its task ask for another one.
#[test]
fn computations_that_wait_for_computations_make_room_for_them() {
    let processors = thread::available_parallelism().map_or(1, |count| count.get());
    ropewalk::run(|| {
        let all = task::gather((0..processors as u64 + 1).map(|number| {
            move || {
                blocking::unblock_cpu(|| {
                    blocking::run_in_task(|| blocking::unblock_cpu(|| number * number)).unwrap().unwrap()
                })
            }
        }));
        for (number, square) in (0..).zip(all) {
            assert_eq!(square.unwrap(), Ok(number * number));
        }
    });
}

#[test]
fn computations_that_run_runtimes_make_room_for_what_those_wait_for() {
    fn nested(depth: usize) -> usize {
        match depth {
            0 => 0,
            _ => 1 + ropewalk::run(|| blocking::unblock_cpu(|| nested(depth - 1)).unwrap()),
        }
    }
    assert_eq!(nested(8), 8);
}

#[test]
fn without_a_runtime_a_call_is_made_at_once() {
    let thread = blocking::unblock(|| thread::current().id()).unwrap();
    assert_eq!(thread, thread::current().id());
    assert_eq!(blocking::cancelled(), None);
    assert_eq!(blocking::run_in_task(|| 1), Ok(1));
}

#[test]
fn a_virtual_clock_stands_still_while_a_thread_works_for_a_task() {
    Runtime::builder().clock(Clock::Virtual).build().run(|| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            sender.send(()).unwrap();
        });
        let began = time::now();
        let received =
            time::timeout(Duration::from_nanos(1), || blocking::unblock(move || receiver.recv().unwrap()));
        assert_eq!(received.unwrap(), Ok(()));
        assert_eq!(time::now(), began);
        // But it goes on while the thread waits for a task that sleeps.
        let slept = blocking::unblock(|| blocking::run_in_task(|| time::sleep(Duration::from_secs(3600))));
        assert_eq!(slept, Ok(Ok(Ok(()))));
        assert_eq!(time::now() - began, Duration::from_secs(3600));
    });
}

#[test]
fn a_wait_for_a_thread_fails_where_no_task_can_wait() {
    ropewalk::run(|| {
        let refused = ropewalk::lowlevel::without_waiting(|| blocking::unblock(|| ()));
        assert_eq!(refused, Err(Cancelled::new(Reason::OutsideTask)));
    });
}

#[test]
fn a_job_without_a_task_cannot_have_one_do_something() {
    let pool = blocking::Pool::new(1);
    assert!(pool.submit(|| blocking::run_in_task(|| ()).is_err()).join().unwrap());
    let refused = ropewalk::run(|| pool.map(0..2, |_| blocking::run_in_task(|| ()).is_err()));
    assert_eq!(refused, Ok(vec![true, true]));
}

#[test]
fn what_needs_a_task_says_on_a_thread_how_to_get_to_it() {
    ropewalk::run(|| {
        let said = blocking::unblock(|| {
            let caught = std::panic::catch_unwind(|| time::sleep(Duration::from_millis(1)).is_ok());
            *caught.unwrap_err().downcast::<String>().unwrap()
        });
        assert!(said.unwrap().contains("blocking::run_in_task"));
    });
}
