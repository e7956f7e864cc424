//! Each item for everybody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::channel::{self, Closed, Lagged, RecvError, SendError, TryRecvError, TrySendError, broadcast};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Reason, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep};

const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

#[test]
fn every_receiver_gets_every_item_since_it_subscribed() {
    run(|| {
        let (sender, first) = channel::broadcast(10);
        sender.send_all([1, 2]).unwrap();
        let second = sender.subscribe();
        sender.send(3).unwrap();
        let clone = first.clone();
        assert_eq!((first.len(), second.len(), clone.len(), sender.len()), (3, 1, 3, 3));
        assert_eq!(first.recv(), Ok(1));
        let later_clone = first.clone();
        drop(sender);
        for (receiver, expected) in
            [(first, vec![2, 3]), (second, vec![3]), (clone, vec![1, 2, 3]), (later_clone, vec![2, 3])]
        {
            assert_eq!(receiver.iter().collect::<Vec<_>>(), expected);
            assert_eq!(receiver.recv(), Err(RecvError::Closed));
        }
    });
}

#[test]
fn a_send_waits_for_the_slowest_receiver_and_for_nobody_else() {
    check(
        |log| {
            let (sender, fast) = channel::broadcast(2);
            let slow = sender.subscribe();
            task::scope(|s| {
                s.spawn(|| {
                    for number in 1..=5 {
                        sender.send(number).unwrap();
                        log.add(format!("{} sent {number}", clock()));
                    }
                    drop(sender);
                });
                s.spawn(|| fast.iter().for_each(|number| log.add(format!("{} fast {number}", clock()))));
                s.spawn(|| {
                    while sleep(1).is_ok() {
                        let Ok(number) = slow.recv() else { return };
                        log.add(format!("{} slow {number}", clock()));
                    }
                });
            });
        },
        &[
            "0 sent 1", "0 sent 2", "0 fast 1", "0 fast 2", "1 slow 1", "1 sent 3", "1 fast 3", "2 slow 2",
            "2 sent 4", "2 fast 4", "3 slow 3", "3 sent 5", "3 fast 5", "4 slow 4", "5 slow 5",
        ],
    );
}

#[test]
fn a_receiver_that_is_dropped_holds_nobody_up_any_more() {
    run(|| {
        let (sender, reads) = channel::broadcast(1);
        let never_reads = sender.subscribe();
        sender.send(1).unwrap();
        assert_eq!(reads.recv(), Ok(1));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        task::scope(|s| {
            let sending = s.spawn(|| sender.send(2));
            task::yield_now();
            drop(never_reads);
            assert_eq!((sending.join().unwrap(), reads.try_recv()), (Ok(()), Ok(2)));
        });
        assert!(sender.is_empty());
    });
}

#[test]
fn items_that_all_wait_for_take_no_room() {
    run(|| {
        let (sender, receiver) = channel::broadcast(1);
        let other = receiver.clone();
        task::scope(|s| {
            let waiting = [s.spawn(|| receiver.recv()), s.spawn(|| other.recv())];
            task::yield_now();
            sender.try_send("to both").unwrap();
            assert!(sender.is_empty() && !sender.is_full());
            sender.try_send("kept").unwrap();
            assert_eq!((sender.len(), receiver.len(), sender.try_send("no room").is_err()), (1, 1, true));
            assert_eq!(waiting.map(|task| task.join().unwrap()), [Ok("to both"); 2]);
        });
        assert_eq!((receiver.recv(), other.recv()), (Ok("kept"), Ok("kept")));
    });
}

#[test]
fn those_who_wait_are_served_in_order_and_nobody_passes() {
    check(
        |log| {
            let (sender, receiver) = channel::broadcast(1);
            let receivers = [receiver.clone(), receiver];
            sender.send(0).unwrap();
            task::scope(|s| {
                for number in [1, 2] {
                    let sender = sender.clone();
                    s.spawn(move || {
                        sender.send(number).unwrap();
                        log.add(format!("sent {number}"));
                    });
                }
                task::yield_now();
                assert_eq!((receivers[0].recv(), receivers[1].recv()), (Ok(0), Ok(0)));
                // The room is the first sender's already.
                assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
                let [b, a] = receivers;
                for (name, receiver) in [("a", a), ("b", b)] {
                    s.spawn(move || {
                        for _ in 0..3 {
                            log.add(format!("{name}{}", receiver.recv().unwrap()));
                        }
                    });
                }
                sleep(1).unwrap();
                log.add("3");
                sender.try_send(3).unwrap();
            });
        },
        // `b` takes the last of 1, and 2 is there at once. So it is the first to wait for 3.
        &["sent 1", "a1", "b1", "b2", "sent 2", "a2", "3", "b3", "a3"],
    );
}

// The end.

#[test]
fn where_nobody_receives_an_item_comes_back() {
    run(|| {
        let (sender, receiver) = channel::broadcast(1);
        sender.send("full").unwrap();
        task::scope(|s| {
            let waiting = s.spawn(|| sender.send("waits"));
            task::yield_now();
            drop(receiver);
            assert_eq!(waiting.join().unwrap(), Err(SendError::Closed("waits")));
        });
        assert!(sender.is_closed() && sender.is_empty());
        assert_eq!(sender.send("mine"), Err(SendError::Closed("mine")));
        // Somebody may come again, and gets what is sent from then on.
        let receiver = sender.subscribe();
        assert!(!sender.is_closed());
        sender.send("new").unwrap();
        assert_eq!(receiver.recv(), Ok("new"));
    });
}

#[test]
fn a_sender_can_wait_until_nobody_receives() {
    run(|| {
        let (sender, receiver) = channel::broadcast::<u32>(1);
        let other = receiver.clone();
        task::scope(|s| {
            let waiting = s.spawn(|| sender.closed().map(|()| clock()));
            let selecting =
                s.spawn(|| select((time::sleeping(seconds(9)), sender.closing())).map(|_| clock()));
            drop(receiver);
            sleep(1).unwrap();
            drop(other);
            assert_eq!((waiting.join().unwrap(), selecting.join().unwrap()), (Ok(1.0), Ok(1.0)));
        });
        assert_eq!(sender.receiver_count(), 0);
    });
}

#[test]
fn a_channel_that_is_closed_gives_what_was_sent_and_takes_nothing_more() {
    run(|| {
        let (sender, receiver) = channel::broadcast(1);
        sender.send(1).unwrap();
        task::scope(|s| {
            let waiting = s.spawn(|| sender.send(2));
            task::yield_now();
            sender.close();
            assert_eq!(waiting.join().unwrap(), Err(SendError::Closed(2)));
        });
        assert!(receiver.is_closed() && sender.is_closed());
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError::Closed)));
        let late = sender.subscribe();
        assert!(sender.is_closed(), "for good");
        assert_eq!(
            (late.try_recv(), sender.try_send(3)),
            (Err(TryRecvError::Closed), Err(TrySendError::Closed(3)))
        );
    });
}

#[test]
fn those_who_wait_are_told_when_the_last_sender_goes() {
    run(|| {
        let (sender, receiver) = channel::broadcast::<u32>(1);
        let other = sender.clone();
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.recv());
            let selecting = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(9)))));
            drop(sender);
            task::yield_now();
            assert!(!waiting.is_finished() && !receiver.is_closed());
            drop(other);
            assert_eq!(waiting.join().unwrap(), Err(RecvError::Closed));
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(RecvError::Closed))));
        });
    });
}

// Losing items.

#[test]
fn a_slow_receiver_of_a_lossy_broadcast_is_told_once_how_much_it_missed() {
    run(|| {
        let (sender, slow) = broadcast::lossy(2);
        let fast = sender.subscribe();
        for number in 1..=6 {
            sender.send(number).unwrap();
            assert_eq!(fast.recv(), Ok(Ok(number)));
        }
        assert_eq!((slow.len(), sender.len()), (2, 2));
        let clone = slow.clone();
        for receiver in [slow, clone] {
            let received = [receiver.recv(), receiver.recv(), receiver.recv()];
            assert_eq!(received, [Ok(Err(Lagged(4))), Ok(Ok(5)), Ok(Ok(6))]);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
        assert_eq!(sender.len(), 0);
        assert_eq!(fast.try_recv(), Err(TryRecvError::Empty), "it has missed nothing");
        assert_eq!(Lagged(4).to_string(), "4 items were overwritten before they were received");
    });
}

#[test]
fn whoever_waits_has_its_item_whatever_is_overwritten_before_it_runs() {
    run(|| {
        let (sender, receiver) = broadcast::lossy(1);
        task::scope(|s| {
            let waiting = s.spawn(|| (receiver.recv(), receiver.recv(), receiver.recv()));
            task::yield_now();
            (1..=4).for_each(|number| sender.send(number).unwrap());
            assert_eq!(waiting.join().unwrap(), (Ok(Ok(1)), Ok(Err(Lagged(2))), Ok(Ok(4))));
        });
    });
}

#[test]
fn a_lossy_receiver_that_goes_or_comes_late_changes_nothing_for_the_others() {
    run(|| {
        let (sender, first) = broadcast::lossy(2);
        sender.send(1).unwrap();
        let late = sender.subscribe();
        (2..=4).for_each(|number| sender.send(number).unwrap());
        let lagging = first.clone();
        drop(first);
        assert_eq!(lagging.try_iter().collect::<Vec<_>>(), [Err(Lagged(2)), Ok(3), Ok(4)]);
        drop(lagging);
        assert_eq!(late.try_iter().collect::<Vec<_>>(), [Err(Lagged(1)), Ok(3), Ok(4)]);
        drop(late);
        assert_eq!(sender.send(5), Err(Closed(5)));
        let again = sender.subscribe();
        sender.send(6).unwrap();
        sender.clone().close();
        assert_eq!(again.into_iter().collect::<Vec<_>>(), [Ok(6)]);
        assert_eq!(sender.send(7), Err(Closed(7)));
    });
}

#[test]
fn an_overwritten_item_is_dropped_and_may_use_the_channel() {
    #[derive(Clone)]
    struct Meddler(Log, Option<broadcast::LossySender<Meddler>>);
    impl Drop for Meddler {
        fn drop(&mut self) {
            if let Some(sender) = self.1.take() {
                self.0.add(format!("dropped, {} kept", sender.len()));
                sender.send(Meddler(self.0.clone(), None)).unwrap();
            }
        }
    }
    let log = Log::new();
    run(|| {
        let (sender, receiver) = broadcast::lossy(1);
        sender.send(Meddler(log.clone(), Some(sender.clone()))).unwrap();
        sender.send(Meddler(log.clone(), None)).unwrap();
        assert!(matches!(receiver.recv(), Ok(Err(Lagged(2)))));
    });
    log.assert(&["dropped, 1 kept"]);
}

// Clones of items.

#[test]
fn an_item_is_cloned_for_all_but_the_last_who_receives_it() {
    #[derive(Debug)]
    struct Counted(Rc<Cell<u32>>);
    impl Clone for Counted {
        fn clone(&self) -> Counted {
            self.0.set(self.0.get() + 1);
            Counted(self.0.clone())
        }
    }
    run(|| {
        let clones = Rc::new(Cell::new(0));
        let (sender, receiver) = channel::broadcast(2);
        let others = [receiver.clone(), receiver.clone()];
        sender.send(Counted(clones.clone())).unwrap();
        drop((receiver.recv(), others[0].recv()));
        assert_eq!(clones.get(), 2);
        drop(others[1].recv());
        assert_eq!(clones.get(), 2);
    });
}

#[test]
fn a_clone_may_use_the_channel_wait_and_panic() {
    enum Meddle {
        No,
        Use(broadcast::Sender<Meddler>),
        Panic,
    }
    struct Meddler(Rc<Meddle>);
    impl Clone for Meddler {
        fn clone(&self) -> Meddler {
            match &*self.0 {
                Meddle::No => {}
                Meddle::Use(sender) => {
                    assert_eq!(sender.len(), 1, "it has been received as far as this receiver is concerned");
                    sleep(1).unwrap();
                    sender.send(Meddler(Rc::new(Meddle::No))).unwrap();
                }
                Meddle::Panic => panic!("not to be cloned"),
            }
            Meddler(self.0.clone())
        }
    }
    run(|| {
        let (sender, receiver) = channel::broadcast(2);
        let _other = receiver.clone();
        sender.send(Meddler(Rc::new(Meddle::Use(sender.clone())))).unwrap();
        receiver.recv().unwrap();
        assert_eq!((receiver.len(), clock()), (1, 1.0));
        receiver.recv().unwrap();
        drop(_other);
        assert!(sender.is_empty());

        let _other = receiver.clone();
        sender.send(Meddler(Rc::new(Meddle::Panic))).unwrap();
        assert_eq!(panic_text(|| receiver.recv()), "not to be cloned");
        assert_eq!((receiver.len(), _other.len()), (0, 1));
        drop(_other);
        assert!(sender.is_empty());
    });
}

// Cancellation and arms.

#[test]
fn a_cancelled_receive_has_taken_nothing_and_one_that_was_granted_has() {
    run(|| {
        let (sender, receiver) = channel::broadcast(4);
        let other = receiver.clone();
        task::scope(|s| {
            let cut = s.spawn(|| receiver.recv());
            let granted = s.spawn(|| other.recv());
            task::yield_now();
            cut.cancel();
            sender.try_send(1).unwrap();
            granted.cancel();
            assert_eq!(
                (cut.join().unwrap(), granted.join().unwrap()),
                (Err(RecvError::Cancelled(REQUESTED)), Ok(1))
            );
        });
        assert_eq!((receiver.len(), other.len()), (1, 0));
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(receiver.recv(), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!(sender.send(2), Err(SendError::Cancelled(REQUESTED, 2)));
        });
        assert_eq!(receiver.recv(), Ok(1));
    });
}

#[test]
fn a_cancelled_send_has_its_item_back_and_is_passed_over() {
    run(|| {
        let (sender, receiver) = channel::broadcast(1);
        sender.send(1).unwrap();
        task::scope(|s| {
            let cut = s.spawn(|| sender.send(2));
            let next = s.spawn(|| sender.send(3));
            task::yield_now();
            cut.cancel();
            assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(3)));
            assert_eq!(
                (cut.join().unwrap(), next.join().unwrap()),
                (Err(SendError::Cancelled(REQUESTED, 2)), Ok(()))
            );
        });
    });
}

#[test]
fn arms_of_a_broadcast_are_chosen_or_have_no_effect() {
    run(|| {
        let (sender, receiver) = channel::broadcast(1);
        let other = receiver.clone();
        task::scope(|s| {
            // One select with two receivers of one channel: it takes the item for one of them.
            let selecting = s.spawn(|| select((receiver.receiving(), other.receiving())));
            task::yield_now();
            sender.try_send(1).unwrap();
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Ok(1))));
            assert_eq!((receiver.len(), other.len()), (0, 1));
            let mut sending = sender.sending(2);
            assert!(matches!(select((&mut sending, time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
            let selecting = s.spawn(move || select(&mut sending).unwrap());
            task::yield_now();
            assert_eq!((other.recv(), selecting.join().unwrap()), (Ok(1), Ok(())));
            assert_eq!(try_select((receiver.receiving(), other.receiving())), Some(Chosen::First(Ok(2))));
            let mut late = sender.sending(3);
            assert_eq!(try_select(&mut late), None);
            sender.close();
            assert_eq!(select(&mut late), Ok(Err(SendError::Closed(3))));
            assert_eq!(late.into_item(), None);
        });
    });
}

#[test]
fn tasks_that_share_a_receiver_get_each_item_once_between_them() {
    run(|| {
        let (sender, receiver) = channel::broadcast(4);
        let got = RefCell::new(Vec::new());
        task::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| receiver.iter().for_each(|item| got.borrow_mut().push(item)));
            }
            task::yield_now();
            for item in 0..6 {
                sender.send(item).unwrap();
            }
            drop(sender);
        });
        let mut got = got.into_inner();
        got.sort();
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_broadcast_needs_some_room() {
    let expected = "a broadcast needs room for one item at least: receivers come for it one after another";
    assert_eq!(panic_text(|| channel::broadcast::<()>(0)), expected);
    assert_eq!(panic_text(|| broadcast::lossy::<()>(0)), expected);
}

#[test]
fn outside_of_a_runtime_the_try_forms_work() {
    let (sender, receiver) = channel::broadcast(1);
    sender.try_send(1).unwrap();
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
    assert_eq!(
        panic_text(|| receiver.recv()),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
}

// Every schedule, every moment.

#[test]
fn every_receiver_gets_all_in_order_whatever_the_schedule_and_whoever_is_cancelled() {
    testing::explore(0..3000, || {
        let (sender, receiver) = channel::broadcast(1 + testing::random(3));
        // What was sent, in order; and the items that came back.
        let (sent, kept) = (RefCell::new(Vec::new()), Cell::new(0));
        task::scope(|s| {
            let (sent, kept) = (&sent, &kept);
            let mut senders = Vec::new();
            for name in 0..2 {
                let sender = sender.clone();
                senders.push(s.spawn(move || {
                    for number in 0..5 {
                        let item = (name, number);
                        let result = match testing::random(3) {
                            0 => sender.try_send(item).is_ok(),
                            1 => {
                                let mut sending = sender.sending(item);
                                let chosen = select((&mut sending, time::sleeping(seconds(1))));
                                let is_sent = matches!(chosen, Ok(Chosen::First(Ok(()))));
                                assert!(is_sent || sending.into_item() == Some(item));
                                is_sent
                            }
                            _ => sender.send(item).is_ok(),
                        };
                        match result {
                            true => sent.borrow_mut().push(item),
                            false => kept.set(kept.get() + 1),
                        }
                    }
                }));
            }
            drop(sender);
            let mut readers = Vec::new();
            for _ in 0..3 {
                let mut receiver = receiver.clone();
                readers.push(s.spawn(move || {
                    let (mut got, mut limit) = (Vec::new(), 4);
                    while limit > 0 {
                        let item = match testing::random(3) {
                            0 => receiver.try_recv().ok(),
                            1 => match select((receiver.receiving(), time::sleeping(seconds(1)))) {
                                Ok(Chosen::First(item)) => item.ok(),
                                _ => None,
                            },
                            _ => receiver.recv().ok(),
                        };
                        limit -= usize::from(item.is_none());
                        got.extend(item);
                        if testing::random(8) == 0 {
                            // It goes, and another goes on from there.
                            receiver = receiver.clone();
                        }
                    }
                    task::shield(|| got.extend(receiver.iter()));
                    (got, receiver)
                }));
            }
            drop(receiver);
            for _ in 0..testing::random(3) {
                (0..testing::random(8)).for_each(|_| task::yield_now());
                senders[testing::random(2)].cancel();
                readers[testing::random(3)].cancel();
            }
            for sender in senders {
                let _ = sender.join();
            }
            let mut all: Vec<Vec<_>> = Vec::new();
            for reader in readers {
                // One that was cancelled before it began has dropped its receiver.
                let Ok((got, receiver)) = reader.join() else { continue };
                assert!(receiver.is_closed() && receiver.is_empty());
                all.push(got);
            }
            // All got the same, in the same order; and each sender's in its own.
            let mut sent = sent.borrow().clone();
            if let Some(first) = all.first() {
                assert!(all.iter().all(|got| got == first), "{all:?}");
                let of = |name| first.iter().filter(move |item| item.0 == name);
                assert!((0..2).all(|name| of(name).is_sorted()), "{first:?}");
                let mut first = first.clone();
                first.sort();
                sent.sort();
                assert_eq!(first, sent);
            }
        });
    });
}

#[test]
fn a_lossy_receiver_gets_each_item_or_is_told_of_it_whatever_the_schedule() {
    testing::explore(0..2000, || {
        let (sender, receiver) = broadcast::lossy(1 + testing::random(3));
        task::scope(|s| {
            for _ in 0..3 {
                let receiver = receiver.clone();
                s.spawn(move || {
                    let mut next = 0;
                    for item in receiver {
                        match item {
                            Ok(number) => {
                                assert_eq!(number, next);
                                next += 1;
                            }
                            Err(Lagged(missed)) => {
                                assert!(missed > 0);
                                next += missed;
                            }
                        }
                        (0..testing::random(4)).for_each(|_| task::yield_now());
                    }
                    assert_eq!(next, 20);
                });
            }
            drop(receiver);
            s.spawn(move || {
                for number in 0..20 {
                    if sender.send(number).is_err() {
                        return;
                    }
                    (0..testing::random(3)).for_each(|_| task::yield_now());
                }
            });
        });
    });
}

#[test]
fn wherever_a_receiver_is_cancelled_it_gets_the_rest_afterwards() {
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(|cut| {
            let (sender, receiver) = channel::broadcast(2);
            let other = receiver.clone();
            let others = task::spawn(move || other.iter().collect::<Vec<_>>());
            let mut got = Vec::new();
            let sending = task::spawn(move || sender.send_all(0..4));
            cut.here(|| got.extend(receiver.iter()));
            got.extend(receiver.iter());
            sending.join().unwrap().unwrap();
            assert_eq!(got, [0, 1, 2, 3]);
            assert_eq!(others.join().unwrap(), [0, 1, 2, 3]);
        });
    }
}

#[test]
fn wherever_a_sender_is_cancelled_all_get_the_same() {
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(|cut| {
            let (sender, receiver) = channel::broadcast(1);
            let readers = [receiver.clone(), receiver]
                .map(|receiver| task::spawn(move || receiver.iter().collect::<Vec<_>>()));
            let mut sent = Vec::new();
            cut.here(|| {
                for number in 0..4 {
                    match sender.send(number) {
                        Ok(()) => sent.push(number),
                        Err(refused) => assert_eq!(refused.into_inner(), number),
                    }
                }
            });
            drop(sender);
            assert_eq!(readers.map(|reader| reader.join().unwrap()), [sent.clone(), sent]);
        });
    }
}
