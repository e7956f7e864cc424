//! One value, once.

use std::cell::Cell;

use ropewalk::channel::{self, Closed, RecvError, TryRecvError};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Reason, task, time};

use crate::log::panic_text;
use crate::world::{check, clock, run, seconds, sleep};

const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

#[test]
fn a_value_waits_for_its_receiver_and_a_receiver_for_its_value() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        sender.send("early").unwrap();
        assert_eq!(receiver.recv(), Ok("early"));
        let (sender, receiver) = channel::oneshot();
        task::spawn(move || {
            sleep(2).unwrap();
            sender.send("late").unwrap();
        });
        assert_eq!((receiver.recv(), clock()), (Ok("late"), 2.0));
    });
}

#[test]
fn a_sender_that_is_dropped_unused_makes_the_receiver_fail() {
    run(|| {
        let (sender, receiver) = channel::oneshot::<()>();
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.recv());
            task::yield_now();
            drop(sender);
            assert_eq!(waiting.join().unwrap(), Err(RecvError::Closed));
        });
        assert_eq!(
            (receiver.recv(), receiver.try_recv()),
            (Err(RecvError::Closed), Err(TryRecvError::Closed))
        );
    });
}

#[test]
fn a_value_that_nobody_waits_for_comes_back() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send("mine"), Err(Closed("mine")));
        let (sender, receiver) = channel::oneshot();
        receiver.close();
        assert_eq!(sender.send("mine"), Err(Closed("mine")));
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
    });
}

#[test]
fn what_was_sent_before_the_receiver_was_closed_can_be_taken() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        sender.send(1).unwrap();
        receiver.close();
        assert!(receiver.is_closed());
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Closed)));
    });
}

#[test]
fn a_value_can_be_taken_once() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.send(1).unwrap();
        assert_eq!((receiver.try_recv(), receiver.recv()), (Ok(1), Err(RecvError::Closed)));
    });
}

#[test]
fn of_several_tasks_that_wait_the_first_has_the_value_and_the_others_know_that_none_will_come() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        task::scope(|s| {
            let waiting = [(); 3].map(|()| s.spawn(|| receiver.recv()));
            task::yield_now();
            waiting[0].cancel();
            sender.send(1).unwrap();
            let got = waiting.map(|waiting| waiting.join().unwrap());
            assert_eq!(got, [Err(RecvError::Cancelled(REQUESTED)), Ok(1), Err(RecvError::Closed)]);
        });
    });
}

#[test]
fn those_who_wait_are_told_when_somebody_closes_the_receiver() {
    run(|| {
        let (sender, receiver) = channel::oneshot::<u32>();
        task::scope(|s| {
            let waiting = [s.spawn(|| receiver.recv()), s.spawn(|| receiver.recv())];
            task::yield_now();
            receiver.close();
            assert_eq!(waiting.map(|waiting| waiting.join().unwrap()), [Err(RecvError::Closed); 2]);
        });
        assert_eq!(sender.send(1), Err(Closed(1)));
    });
}

#[test]
fn a_cancelled_wait_loses_nothing_and_can_be_begun_again() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        task::spawn(move || {
            sleep(3).unwrap();
            sender.send("at last").unwrap();
        });
        for _ in 0..2 {
            assert!(time::timeout(seconds(1), || receiver.recv()).is_err());
        }
        assert_eq!((receiver.recv(), clock()), (Ok("at last"), 3.0));
    });
}

#[test]
fn a_value_that_was_given_before_the_cancellation_is_returned() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        let waiting = task::spawn(move || receiver.recv());
        task::yield_now();
        sender.send("given").unwrap();
        waiting.cancel();
        assert_eq!(waiting.join().unwrap(), Ok("given"));
    });
}

#[test]
fn whoever_makes_the_value_can_stop_when_nobody_wants_it() {
    check(
        |log| {
            for by_drop in [true, false] {
                let (sender, receiver) = channel::oneshot::<u32>();
                let mut receiver = Some(receiver);
                task::scope(|s| {
                    s.spawn(|| {
                        sender.closed().unwrap();
                        log.add(format!("{} closed", clock()));
                    });
                    s.spawn(|| {
                        let work = time::sleeping(seconds(5));
                        let ended = select((sender.closing(), work)).unwrap();
                        assert!(matches!(ended, Chosen::First(())));
                        log.add(format!("{} stops", clock()));
                    });
                    sleep(1).unwrap();
                    if by_drop { drop(receiver.take()) } else { receiver.as_ref().unwrap().close() }
                });
            }
        },
        &["1 closed", "1 stops", "2 closed", "2 stops"],
    );
}

#[test]
fn a_select_takes_the_value_or_leaves_it() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        assert_eq!(select((receiver.receiving(), time::sleeping(seconds(1)))), Ok(Chosen::Second(())));
        task::scope(|s| {
            let selecting = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(1)))));
            task::yield_now();
            sender.send(7).unwrap();
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Ok(7))));
        });
        assert_eq!(try_select(receiver.receiving()), Some(Err(RecvError::Closed)));

        let (sender, receiver) = channel::oneshot();
        let (to_other, other) = channel::unbounded();
        task::scope(|s| {
            let selecting = s.spawn(|| select((other.receiving(), receiver.receiving())));
            task::yield_now();
            to_other.send("first").unwrap();
            sender.send(8).unwrap();
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Ok("first"))));
        });
        assert_eq!(receiver.recv(), Ok(8));
    });
}

#[test]
fn in_a_cancelled_scope_the_value_stays_where_it_is() {
    run(|| {
        let (sender, receiver) = channel::oneshot();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(sender.closed(), Err(REQUESTED));
            sender.send(1).unwrap();
            assert_eq!(receiver.recv(), Err(RecvError::Cancelled(REQUESTED)));
        });
        assert_eq!(receiver.recv(), Ok(1));
    });
}

#[test]
fn the_ends_work_outside_of_a_runtime_and_outlive_it() {
    let (sender, receiver) = run(channel::oneshot);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(
        panic_text(|| receiver.recv()),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
    sender.send(5).unwrap();
    assert_eq!(run(|| receiver.recv()), Ok(5));
}

#[test]
fn a_value_is_dropped_once_whoever_goes_first() {
    check(
        |log| {
            let (sender, receiver) = channel::oneshot();
            sender.send(log.on_drop("with its receiver")).unwrap();
            drop(receiver);
            log.add("-");
            let (sender, receiver) = channel::oneshot();
            drop(receiver);
            let refused = sender.send(log.on_drop("as it came back"));
            log.add("-");
            drop(refused);
        },
        &["with its receiver", "-", "-", "as it came back"],
    );
}

#[test]
fn nothing_is_lost_whatever_the_schedule_and_whoever_is_cancelled() {
    testing::explore(0..2000, || {
        let (sender, receiver) = channel::oneshot();
        let (sent, received) = (Cell::new(None), Cell::new(0));
        task::scope(|s| {
            let (receiver, received, sent) = (&receiver, &received, &sent);
            let sending = s.spawn(move || {
                (0..testing::random(4)).for_each(|_| task::yield_now());
                match testing::random(4) {
                    0 => drop(sender),
                    _ => sent.set(Some(sender.send(9).is_ok())),
                }
            });
            let receiving = [(); 2].map(|()| {
                s.spawn(move || {
                    let got = match testing::random(2) {
                        0 => receiver.recv(),
                        _ => match select((time::sleeping(seconds(1)), receiver.receiving())) {
                            Ok(Chosen::Second(got)) => got,
                            _ => return,
                        },
                    };
                    if got == Ok(9) {
                        received.set(received.get() + 1);
                    }
                })
            });
            (0..testing::random(4)).for_each(|_| task::yield_now());
            receiving[testing::random(2)].cancel();
            if testing::random(3) == 0 {
                receiver.close();
            }
            if testing::random(3) == 0 {
                sending.cancel();
            }
        });
        let left = usize::from(receiver.try_recv().is_ok());
        let expected = usize::from(sent.get() == Some(true));
        assert_eq!(received.get() + left, expected);
    });
}

#[test]
fn wherever_the_receiver_is_cancelled_the_value_is_his_or_still_there() {
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(|cut| {
            let (sender, receiver) = channel::oneshot();
            let answer = task::spawn(move || {
                task::yield_now();
                sender.send(1).unwrap();
            });
            let got = cut.here(|| receiver.recv());
            answer.join().unwrap();
            assert!(got == Ok(1) || receiver.recv() == Ok(1));
        });
    }
}
