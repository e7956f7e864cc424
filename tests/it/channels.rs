//! Channels: many senders, many receivers, each item for one of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ropewalk::channel::{
    self, Closed, Permit, Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, WeakSender,
};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Reason, Runtime, generate, task, time};

use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, run, seconds, sleep};

const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

// Items.

#[test]
fn items_come_out_in_the_order_in_which_they_went_in() {
    run(|| {
        for (sender, receiver) in [channel::bounded(3), channel::unbounded()] {
            task::scope(|s| {
                s.spawn(|| sender.send_all(0..10).unwrap());
                assert_eq!(receiver.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            });
        }
    });
}

#[test]
fn a_send_waits_for_room_and_an_item_that_is_taken_makes_some() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(2);
            task::scope(|s| {
                s.spawn(|| {
                    for number in 0..4 {
                        sender.send(number).unwrap();
                        log.add(format!("{} sent {number}", clock()));
                    }
                });
                for _ in 0..2 {
                    sleep(1).unwrap();
                    receiver.recv().unwrap();
                }
            });
            assert!(receiver.is_full());
        },
        &["0 sent 0", "0 sent 1", "1 sent 2", "2 sent 3"],
    );
}

#[test]
fn in_a_rendezvous_whoever_comes_first_waits_for_the_other() {
    check(
        |log| {
            let (sender, receiver) = channel::rendezvous();
            task::scope(|s| {
                s.spawn(|| {
                    sender.send("early").unwrap();
                    log.add(format!("{} sent", clock()));
                    sleep(1).unwrap();
                    sender.send("late").unwrap();
                    log.add(format!("{} sent", clock()));
                });
                sleep(3).unwrap();
                for _ in 0..2 {
                    let item = receiver.recv().unwrap();
                    log.add(format!("{} received {item}", clock()));
                }
            });
        },
        &["3 received early", "3 sent", "4 sent", "4 received late"],
    );
}

#[test]
fn in_a_rendezvous_the_try_forms_need_somebody_who_waits() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.recv());
            task::yield_now();
            assert_eq!(sender.try_send(2), Ok(()));
            assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)), "one receiver, one item");
            assert_eq!(waiting.join().unwrap(), Ok(2));
            let waiting = s.spawn(|| sender.send(4));
            task::yield_now();
            assert_eq!(receiver.try_recv(), Ok(4));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
        assert!(receiver.is_full() && receiver.is_empty());
    });
}

#[test]
fn each_item_goes_to_one_receiver() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let received = RefCell::new(Vec::new());
        task::scope(|s| {
            for _ in 0..3 {
                let (receiver, received) = (receiver.clone(), &received);
                s.spawn(move || receiver.into_iter().for_each(|item| received.borrow_mut().push(item)));
            }
            drop(receiver);
            sender.send_all(0..100).unwrap();
            drop(sender);
        });
        let mut received = received.into_inner();
        received.sort();
        assert_eq!(received, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn without_a_limit_a_send_never_waits() {
    run(|| {
        for (sender, receiver) in [channel::unbounded(), channel::bounded(usize::MAX)] {
            let began = task::current().unwrap();
            (0..100_000).for_each(|number| sender.try_send(number).unwrap());
            assert_eq!(sender.capacity(), None);
            assert!(!sender.is_full());
            assert_eq!((receiver.len(), receiver.try_iter().sum::<u64>()), (100_000, 4_999_950_000));
            assert_eq!(task::current().unwrap().id, began.id);
        }
    });
}

// Order.

#[test]
fn an_item_belongs_to_the_receiver_that_has_waited_longest() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(5);
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let (log, receiver) = (log.clone(), receiver.clone());
                    s.spawn(move || log.add(format!("{name}{}", receiver.recv().unwrap())));
                }
                task::yield_now();
                (1..=4).for_each(|number| sender.try_send(number).unwrap());
                // Three are spoken for.
                assert_eq!(
                    (receiver.len(), receiver.try_recv(), receiver.try_recv()),
                    (1, Ok(4), Err(TryRecvError::Empty))
                );
            });
        },
        &["a1", "b2", "c3"],
    );
}

#[test]
fn room_belongs_to_the_sender_that_has_waited_longest() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send("first").unwrap();
        task::scope(|s| {
            for name in ["a", "b"] {
                let sender = sender.clone();
                s.spawn(move || sender.send(name).unwrap());
            }
            task::yield_now();
            assert_eq!(receiver.try_recv(), Ok("first"));
            // The room was taken at once, by who waited: nobody passes.
            assert_eq!(sender.try_send("barges in"), Err(TrySendError::Full("barges in")));
            assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok("a"), Ok("b")));
        });
    });
}

/// With asyncio's `maxsize=1` one consumer can take two items in a row while another waits.
#[test]
fn one_consumer_cannot_take_two_items_in_a_row_past_one_that_waits() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(1);
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (log, receiver) = (log.clone(), receiver.clone());
                    s.spawn(move || receiver.iter().for_each(|item| log.add(format!("{name}{item}"))));
                }
                for number in [1, 3, 5] {
                    task::yield_now();
                    // Both are there before any of the two runs.
                    sender.send(number).unwrap();
                    sender.send(number + 1).unwrap();
                }
                drop(sender);
            });
        },
        &["a1", "b2", "a3", "b4", "a5", "b6"],
    );
}

#[test]
fn nobody_passes_one_that_waits_whatever_the_schedule() {
    testing::explore(0..2000, || {
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            for _ in 0..3 {
                let receiver = receiver.clone();
                s.spawn(move || {
                    loop {
                        if receiver.statistics().waiting_to_receive > 0 {
                            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
                        }
                        if receiver.recv().is_err() {
                            return;
                        }
                    }
                });
            }
            for _ in 0..2 {
                let sender = sender.clone();
                s.spawn(move || {
                    for item in 0..6 {
                        let before = sender.statistics();
                        let sent = sender.try_send(item).is_ok();
                        let after = sender.statistics();
                        if before.waiting_to_receive > 0 {
                            assert!(sent && after.len == 0, "it was handed over");
                            assert_eq!(after.waiting_to_receive, before.waiting_to_receive - 1);
                        } else if before.waiting_to_send > 0 {
                            assert!(!sent, "it came later");
                        }
                        sender.send(item).unwrap();
                    }
                });
            }
            drop(sender);
        });
    });
}

// Closing.

#[test]
fn a_channel_is_closed_when_the_last_sender_is_dropped_and_gives_what_is_underway() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        other.send(2).unwrap();
        assert!(!receiver.is_closed());
        drop(other);
        assert!(receiver.is_closed());
        assert_eq!([receiver.recv(), receiver.recv()], [Ok(1), Ok(2)]);
        assert_eq!(
            (receiver.recv(), receiver.try_recv()),
            (Err(RecvError::Closed), Err(TryRecvError::Closed))
        );
    });
}

#[test]
fn those_who_wait_are_told_when_the_last_sender_goes() {
    run(|| {
        let (sender, receiver) = channel::bounded::<()>(1);
        task::scope(|s| {
            let waiting = [s.spawn(|| receiver.recv()), s.spawn(|| receiver.recv())];
            task::yield_now();
            drop(sender);
            assert_eq!(waiting.map(|waiting| waiting.join().unwrap()), [Err(RecvError::Closed); 2]);
        });
    });
}

#[test]
fn when_the_last_receiver_goes_senders_have_their_items_back_and_what_is_underway_is_dropped() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(1);
            let other = receiver.clone();
            sender.send(log.on_drop("underway dropped")).unwrap();
            task::scope(|s| {
                let waiting = s.spawn(|| {
                    let refused = sender.send(log.on_drop("refused dropped")).unwrap_err();
                    assert!(refused.is_closed());
                    log.add("refused");
                });
                task::yield_now();
                drop(receiver);
                task::yield_now();
                assert!(!waiting.is_finished());
                drop(other);
                log.add("no receiver");
            });
            assert!(matches!(sender.try_send(log.on_drop("late dropped")), Err(TrySendError::Closed(_))));
        },
        &["underway dropped", "no receiver", "refused", "refused dropped", "late dropped"],
    );
}

#[test]
fn either_end_can_close_a_channel_for_all() {
    run(|| {
        for by_sender in [true, false] {
            let (sender, receiver) = channel::bounded(2);
            let other = sender.clone();
            sender.send(1).unwrap();
            if by_sender {
                other.close()
            } else {
                receiver.close()
            }
            assert!(sender.is_closed() && receiver.is_closed());
            assert_eq!(sender.send(2), Err(SendError::Closed(2)));
            assert_eq!(sender.clone().try_send(3), Err(TrySendError::Closed(3)));
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(receiver.recv(), Err(RecvError::Closed));
            // Once more does nothing.
            sender.close();
            receiver.close();
        }
    });
}

#[test]
fn closing_wakes_all_who_wait_at_either_end() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            let sending: Vec<_> = (0..3)
                .map(|number| {
                    let sender = &sender;
                    s.spawn(move || sender.send(number))
                })
                .collect();
            task::yield_now();
            receiver.close();
            for (number, sending) in sending.into_iter().enumerate() {
                assert_eq!(sending.join().unwrap(), Err(SendError::Closed(number)));
            }
        });
        let (sender, receiver) = channel::rendezvous::<()>();
        task::scope(|s| {
            let receiving = [(); 3].map(|()| s.spawn(|| receiver.recv()));
            let selecting = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(9)))));
            task::yield_now();
            sender.close();
            assert_eq!(receiving.map(|task| task.join().unwrap()), [Err(RecvError::Closed); 3]);
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(RecvError::Closed))));
        });
    });
}

#[test]
fn whoever_sends_can_wait_until_nobody_receives() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded::<u32>(1);
            let other = receiver.clone();
            task::scope(|s| {
                s.spawn(|| {
                    sender.closed().unwrap();
                    log.add(format!("{} nobody receives", clock()));
                    sender.closed().unwrap();
                });
                s.spawn(|| {
                    let mut next = time::sleeping(seconds(5));
                    assert_eq!(select((sender.closing(), &mut next)), Ok(Chosen::First(())));
                    log.add(format!("{} stops", clock()));
                });
                let cut = time::move_on_after(seconds(1), |_| sender.closed());
                log.add(format!("{} cut {cut:?}", clock()));
                drop(receiver);
                sleep(1).unwrap();
                drop(other);
            });
            assert_eq!(try_select(sender.closing()), Some(()));
        },
        &["1 cut None", "2 nobody receives", "2 stops"],
    );
}

#[test]
fn a_weak_sender_does_not_keep_a_channel_open() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let weak = sender.downgrade();
        let strong = weak.clone().upgrade().unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        strong.send(1).unwrap();
        assert_eq!(strong.statistics().senders, 1);
        drop(strong);
        assert!(receiver.is_closed() && weak.upgrade().is_none());
        assert_eq!(receiver.recv(), Ok(1));
        drop(receiver);
        assert!(weak.upgrade().is_none());
    });
}

/// It sends to itself as long as others might send too.
#[test]
fn an_actor_that_holds_a_weak_sender_of_its_own_ends_when_the_others_are_gone() {
    run(|| {
        let (sender, inbox) = channel::unbounded();
        let own: WeakSender<u32> = sender.downgrade();
        let actor = task::spawn(move || {
            let mut seen = Vec::new();
            for message in &inbox {
                seen.push(message);
                if let (1.., Some(own)) = (message, own.upgrade()) {
                    own.send(message - 1).unwrap();
                }
            }
            seen
        });
        sender.send(3).unwrap();
        sleep(1).unwrap();
        drop(sender);
        assert_eq!(actor.join().unwrap(), [3, 2, 1, 0]);
    });
}

// Cancellation.

#[test]
fn a_cancelled_receive_has_taken_nothing_and_leaves_its_place() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            let cut = s.spawn(|| receiver.recv());
            let next = s.spawn(|| receiver.recv());
            task::yield_now();
            cut.cancel();
            // The cancelled one is at the head still, for it has not run yet.
            sender.try_send("for the next").unwrap();
            assert_eq!(next.join().unwrap(), Ok("for the next"));
            assert_eq!(cut.join().unwrap(), Err(RecvError::Cancelled(REQUESTED)));
        });
    });
}

#[test]
fn a_receive_that_was_given_an_item_before_it_was_cancelled_returns_it() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            let receiving = s.spawn(|| receiver.recv());
            task::yield_now();
            sender.try_send("given").unwrap();
            receiving.cancel();
            assert_eq!(receiving.join().unwrap(), Ok("given"));
        });
    });
}

#[test]
fn a_cancelled_send_has_its_item_back_and_leaves_its_place() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send("first").unwrap();
        task::scope(|s| {
            let cut = s.spawn(|| sender.send("mine"));
            let next = s.spawn(|| sender.send("theirs"));
            task::yield_now();
            cut.cancel();
            assert_eq!(receiver.try_recv(), Ok("first"));
            assert_eq!(receiver.try_recv(), Ok("theirs"));
            assert_eq!(next.join().unwrap(), Ok(()));
            let refused = cut.join().unwrap().unwrap_err();
            assert_eq!((refused.cancelled(), refused.into_inner()), (Some(REQUESTED), "mine"));
        });
    });
}

#[test]
fn a_send_whose_item_was_taken_before_it_was_cancelled_has_sent() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            let sending = s.spawn(|| sender.send("taken"));
            task::yield_now();
            assert_eq!(receiver.try_recv(), Ok("taken"));
            sending.cancel();
            assert_eq!(sending.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_sent_or_received_even_if_it_could_be() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(sender.send(2), Err(SendError::Cancelled(REQUESTED, 2)));
            assert_eq!(receiver.recv(), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!(sender.reserve().unwrap_err(), SendError::Cancelled(REQUESTED, ()));
            assert_eq!(sender.closed(), Err(REQUESTED));
            // Those do not wait.
            assert_eq!((sender.try_send(3), receiver.try_recv()), (Ok(()), Ok(1)));
        });
        assert_eq!(receiver.len(), 1);
    });
}

#[test]
fn an_iteration_ends_when_its_task_is_cancelled_and_can_go_on_outside() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        sender.send_all([1, 2]).unwrap();
        let mut items = receiver.iter();
        let limited = time::timeout(seconds(1), || items.by_ref().collect::<Vec<_>>());
        assert_eq!((limited.unwrap_err().into_inner(), clock()), (vec![1, 2], 1.0));
        sender.send(3).unwrap();
        assert_eq!(items.next(), Some(3));
    });
}

// Permits.

#[test]
fn a_permit_keeps_room_until_it_is_used_or_dropped() {
    run(|| {
        let (sender, receiver) = channel::bounded(2);
        let permit = sender.reserve().unwrap();
        assert_eq!(sender.statistics().permits, 1);
        sender.send(1).unwrap();
        assert!(sender.is_full() && receiver.len() == 1);
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        permit.send(3).unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 3]);
        let permits = [sender.try_reserve().unwrap(), sender.try_reserve().unwrap()];
        assert_eq!(sender.try_reserve().unwrap_err(), TrySendError::Full(()));
        drop(permits);
        assert_eq!((sender.statistics().permits, sender.is_full()), (0, false));
    });
}

#[test]
fn those_who_reserve_and_those_who_send_stand_in_one_line() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(1);
            sender.send("full").unwrap();
            task::scope(|s| {
                s.spawn(|| {
                    let permit = sender.reserve().unwrap();
                    log.add("reserved");
                    sleep(1).unwrap();
                    permit.send("by permit").unwrap();
                });
                s.spawn(|| {
                    sender.send("waited").unwrap();
                    log.add(format!("{} sent", clock()));
                });
                task::yield_now();
                for _ in 0..3 {
                    log.add(receiver.recv().unwrap());
                }
            });
        },
        &["full", "reserved", "by permit", "waited", "1 sent"],
    );
}

#[test]
fn a_permit_that_is_dropped_gives_its_room_to_the_first_who_waits() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            let permit = sender.reserve().unwrap();
            let sending = s.spawn(|| sender.send(1));
            let reserving = s.spawn(|| sender.reserve().map(|permit| permit.send(2)));
            task::yield_now();
            drop(permit);
            assert_eq!(sending.join().unwrap(), Ok(()));
            assert_eq!((receiver.recv(), reserving.join().unwrap()), (Ok(1), Ok(Ok(()))));
            assert_eq!(receiver.recv(), Ok(2));
        });
    });
}

#[test]
fn where_permits_keep_all_room_nobody_passes_a_sender_that_waits() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            let permit = sender.reserve().unwrap();
            let sending = s.spawn(|| sender.send("first"));
            task::yield_now();
            let receiving =
                [s.spawn(|| receiver.recv()), s.spawn(|| receiver.recv()), s.spawn(|| receiver.recv())];
            task::yield_now();
            // Receivers wait, and so does a sender: the room is the permit's.
            let statistics = sender.statistics();
            assert_eq!((statistics.waiting_to_receive, statistics.waiting_to_send), (3, 1));
            assert_eq!(sender.try_send("barges in"), Err(TrySendError::Full("barges in")));
            permit.send("by permit").unwrap();
            // Its item went to a receiver, so its room is free for the one who waited.
            sending.join().unwrap().unwrap();
            sender.try_send("last").unwrap();
            assert_eq!(
                receiving.map(|task| task.join().unwrap()),
                [Ok("by permit"), Ok("first"), Ok("last")]
            );
            assert!(receiver.is_empty() && sender.statistics().permits == 0);
        });
    });
}

#[test]
fn a_permit_is_no_right_to_send_to_a_closed_channel() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let permit = sender.reserve().unwrap();
        drop(receiver);
        assert_eq!(permit.send("mine"), Err(Closed("mine")));
        assert_eq!(sender.reserve().unwrap_err(), SendError::Closed(()));
        let (sender, receiver) = channel::bounded(1);
        task::scope(|s| {
            sender.send(1).unwrap();
            let reserving = s.spawn(|| sender.reserve().map(drop));
            task::yield_now();
            receiver.close();
            assert_eq!(reserving.join().unwrap(), Err(SendError::Closed(())));
            assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError::Closed)));
        });
    });
}

#[test]
fn a_permit_that_was_granted_before_the_cancellation_is_returned_and_then_given_back() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        task::scope(|s| {
            let reserving = s.spawn(|| sender.reserve().map(drop));
            let cut = s.spawn(|| sender.reserve().map(drop));
            let next = s.spawn(|| sender.send(2));
            task::yield_now();
            cut.cancel();
            receiver.recv().unwrap();
            reserving.cancel();
            assert_eq!(reserving.join().unwrap(), Ok(()));
            assert_eq!(cut.join().unwrap(), Err(SendError::Cancelled(REQUESTED, ())));
            assert_eq!((next.join().unwrap(), receiver.recv()), (Ok(()), Ok(2)));
        });
    });
}

#[test]
fn an_arm_that_reserves_gives_a_permit_or_has_no_effect() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        match select((sender.reserving(), time::sleeping(seconds(1)))) {
            Ok(Chosen::First(Ok(permit))) => permit.send(1).unwrap(),
            other => panic!("{other:?}"),
        }
        assert_eq!(select((sender.reserving(), time::sleeping(seconds(1)))).unwrap().second(), Some(()));
        assert_eq!(sender.statistics().waiting_to_send, 0);
        task::scope(|s| {
            let selecting = s.spawn(|| {
                let Ok(Chosen::First(permit)) = select((sender.reserving(), time::sleeping(seconds(1))))
                else {
                    panic!()
                };
                permit.unwrap().send(2).unwrap();
            });
            task::yield_now();
            assert_eq!(receiver.recv(), Ok(1));
            selecting.join().unwrap();
            assert_eq!(receiver.recv(), Ok(2));
            let selecting = s.spawn(|| {
                let reserved = select((receiver.receiving(), sender.reserving()));
                matches!(reserved, Ok(Chosen::Second(Ok(_))))
            });
            assert!(selecting.join().unwrap());
        });
        receiver.close();
        assert!(matches!(try_select(sender.reserving()), Some(Err(SendError::Closed(())))));
    });
}

trait Second<B> {
    fn second(self) -> Option<B>;
}

impl<A, B> Second<B> for Chosen<A, B> {
    fn second(self) -> Option<B> {
        match self {
            Chosen::Second(output) => Some(output),
            _ => None,
        }
    }
}

#[test]
fn a_rendezvous_has_no_room_to_reserve_and_says_so() {
    run(|| {
        let (sender, _receiver) = channel::rendezvous::<()>();
        let expected = "a rendezvous holds nothing, so there is no room to reserve: send waits there";
        assert_eq!(panic_text(|| sender.reserve().map(drop)), expected);
        assert_eq!(panic_text(|| sender.try_reserve().map(drop)), expected);
        assert_eq!(panic_text(|| sender.reserving()), expected);
    });
}

#[test]
fn a_permit_that_was_forgotten_is_reported_in_debug_mode() {
    let told = Rc::new(RefCell::new(String::new()));
    let hook = told.clone();
    let runtime =
        Runtime::builder().debug(true).on_unhandled(move |event| *hook.borrow_mut() = event.to_string());
    runtime.build().run(|| {
        let (sender, _receiver) = channel::bounded::<()>(1);
        task::spawn(move || std::mem::forget(sender.reserve().unwrap())).join().unwrap();
    });
    assert!(told.borrow().ends_with("ended with 1 guard that it did not give back"), "{}", told.borrow());
}

// Arms.

#[test]
fn a_full_channel_and_an_empty_one_are_served_in_one_select() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let (to_other, other) = channel::bounded(1);
        to_other.send(0).unwrap();
        // As a relay would.
        task::scope(|s| {
            s.spawn(|| {
                let mut held = None;
                for _ in 0..6 {
                    match held.take() {
                        None => held = Some(receiver.recv().unwrap()),
                        Some(item) => to_other.send(item).unwrap(),
                    }
                }
            });
            let mut got = Vec::new();
            let mut next = 1..=3;
            let mut ready = next.next();
            while got.len() < 4 {
                let mut sending = ready.map(|item| sender.sending(item));
                match select((&mut sending, other.receiving())).unwrap() {
                    Chosen::First(sent) => {
                        sent.unwrap();
                        ready = next.next();
                    }
                    Chosen::Second(item) => got.push(item.unwrap()),
                }
            }
            assert_eq!(got, [0, 1, 2, 3]);
        });
    });
}

#[test]
fn selects_at_both_ends_of_a_rendezvous_meet_once() {
    testing::explore(0..2000, || {
        let (sender, receiver) = channel::rendezvous();
        let (back, answers) = channel::rendezvous();
        let (sent, received) = (Cell::new(0), Cell::new(0));
        task::scope(|s| {
            for side in 0..2 {
                let (sender, receiver, back, answers) = (&sender, &receiver, &back, &answers);
                let (sent, received) = (&sent, &received);
                s.spawn(move || {
                    let (sender, receiver) = if side == 0 { (sender, answers) } else { (back, receiver) };
                    for _ in 0..5 {
                        // Each offers to send and to receive at the same time, and does just one of them.
                        match select((sender.sending(side), receiver.receiving(), time::sleeping(seconds(1))))
                            .unwrap()
                        {
                            Chosen::First(done) => {
                                done.unwrap();
                                sent.set(sent.get() + 1);
                            }
                            Chosen::Second(item) => {
                                assert_eq!(item, Ok(1 - side));
                                received.set(received.get() + 1);
                            }
                            Chosen::Third(()) => {}
                        }
                    }
                });
            }
        });
        assert_eq!(sent.get(), received.get());
        assert_eq!((sender.statistics().waiting_to_send, receiver.statistics().waiting_to_receive), (0, 0));
    });
}

// Hostile items.

/// Does something when it is dropped, and when it is cloned.
struct Meddler(Option<Box<dyn FnOnce()>>);

impl Meddler {
    fn new(meddle: impl FnOnce() + 'static) -> Meddler {
        Meddler(Some(Box::new(meddle)))
    }

    fn harmless() -> Meddler {
        Meddler(None)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if let Some(meddle) = self.0.take() {
            meddle();
        }
    }
}

#[test]
fn an_item_may_use_its_channel_while_it_is_dropped_with_it() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let log = Log::new();
        let ours = (sender.downgrade(), log.clone());
        let strong = sender.clone();
        sender
            .send(Meddler::new(move || {
                let sender = strong;
                assert!(matches!(sender.try_send(Meddler::harmless()), Err(TrySendError::Closed(_))));
                assert!(matches!(sender.send(Meddler::harmless()), Err(SendError::Closed(_))));
                sender.close();
                assert_eq!(sender.statistics().len, 0);
                ours.1.add(format!("dropped, {:?}", ours.0.upgrade().map(|sender| sender.len())));
            }))
            .unwrap();
        sender.send(Meddler::harmless()).unwrap();
        drop(receiver);
        log.assert(&["dropped, Some(0)"]);
    });
}

#[test]
fn a_destructor_that_panics_leaves_a_channel_whole() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        sender.send(Meddler::new(|| panic!("will not be dropped"))).unwrap();
        let log = Log::new();
        let ours = log.clone();
        sender.send(Meddler::new(move || ours.add("the other is dropped"))).unwrap();
        assert_eq!(panic_text(|| drop(receiver)), "will not be dropped");
        log.assert(&["the other is dropped"]);
        assert!(sender.is_closed());
        assert!(sender.try_send(Meddler::harmless()).is_err());
    });
}

#[test]
fn a_refused_item_may_use_the_channel_while_it_is_dropped() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(Meddler::harmless()).unwrap();
        let (again, taken) = (sender.clone(), Rc::new(Cell::new(false)));
        let refused = sender.try_send(Meddler::new({
            let taken = taken.clone();
            move || taken.set(again.try_send(Meddler::harmless()).is_err())
        }));
        drop(refused);
        assert!(taken.get() && receiver.len() == 1);
    });
}

/// As with any `Rc`: what holds itself is not dropped. It can be let go by hand.
#[test]
fn a_channel_may_hold_its_own_ends() {
    enum Item {
        Receiver(#[allow(dead_code, reason = "it is held")] Receiver<Item>),
        Sender(#[allow(dead_code, reason = "it is held")] Sender<Item>),
    }
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let other = receiver.clone();
        sender.send(Item::Receiver(other)).unwrap();
        sender.send(Item::Sender(sender.clone())).unwrap();
        drop(receiver);
        // One receiver is underway: nobody will ever have it.
        assert!(!sender.is_closed());
        assert_eq!(sender.statistics().receivers, 1);
        sender.close();
        assert!(matches!(sender.try_send(Item::Sender(sender.clone())), Err(TrySendError::Closed(_))));

        let (sender, receiver) = channel::unbounded();
        sender.send(Item::Sender(sender.clone())).unwrap();
        drop(sender);
        assert!(!receiver.is_closed(), "there is a sender underway");
        drop(receiver.recv());
        assert!(receiver.is_closed());
    });
}

#[test]
fn an_iterator_may_close_or_use_the_channel_that_its_items_are_sent_to() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let inside = sender.clone();
        let items = (0..3).inspect(move |&number| {
            if number == 2 {
                inside.try_send(100).unwrap();
                inside.close();
            }
        });
        assert_eq!(sender.send_all(items), Err(SendError::Closed(2)));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 100]);
    });
}

// Where there is no task.

#[test]
fn outside_of_a_runtime_the_try_forms_work_and_the_others_say_what_is_missing() {
    let (sender, receiver) = channel::bounded(1);
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Err(TrySendError::Full(2))));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
    let permit: Permit<'_, i32> = sender.try_reserve().unwrap();
    permit.send(3).unwrap();
    let missing = "no runtime runs on this thread: call this inside ropewalk::run";
    assert_eq!(panic_text(|| sender.send(4)), missing);
    assert_eq!(panic_text(|| receiver.recv()), missing);
    assert_eq!(panic_text(|| sender.closed()), missing);
    drop(sender);
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(3), Err(TryRecvError::Closed)));
}

#[test]
fn callbacks_send_and_receive_without_waiting() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let ours = sender.clone();
        time::call_later(seconds(1), move || {
            ours.try_send("from a callback").unwrap();
            let refused = ours.send("too much").unwrap_err();
            assert_eq!(refused.cancelled().map(|why| why.reason()), Some(Reason::OutsideTask));
        });
        assert_eq!(receiver.recv(), Ok("from a callback"));
    });
}

#[test]
fn in_a_destructor_of_a_panicking_task_a_send_gives_back_its_item() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let refused = while_unwinding({
            let sender = sender.clone();
            move || sender.send("item")
        });
        assert_eq!(refused, Err(SendError::Cancelled(Cancelled::new(Reason::Unwinding), "item")));
        let (sender, items) = channel::unbounded();
        assert_eq!(while_unwinding(move || sender.try_send("item")), Ok(()));
        assert_eq!(items.recv(), Ok("item"));
        drop(receiver);
    });
}

#[test]
fn an_end_may_outlive_its_runtime() {
    let (sender, receiver) = run(|| {
        let (sender, receiver) = channel::bounded(2);
        task::scope(|s| {
            s.spawn(|| sender.send_all(0..3).unwrap());
            assert_eq!(receiver.recv(), Ok(0));
        });
        (sender, receiver)
    });
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    run(|| assert_eq!((receiver.recv(), sender.send(4)), (Ok(1), Ok(()))));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 4]);
}

// What can be asked.

#[test]
fn a_channel_tells_what_is_going_on_in_it() {
    run(|| {
        let (sender, receiver) = channel::bounded(2);
        let (_other, _more) = (sender.clone(), [receiver.clone(), receiver.clone()]);
        sender.send_all([1, 2]).unwrap();
        task::scope(|s| {
            let sending = s.spawn(|| sender.send(3));
            task::yield_now();
            let statistics = receiver.statistics();
            assert_eq!((statistics.len, statistics.capacity, statistics.peak), (2, Some(2), 2));
            assert_eq!((statistics.senders, statistics.receivers, statistics.is_closed), (2, 3, false));
            assert_eq!((statistics.waiting_to_send, statistics.waiting_to_receive), (1, 0));
            receiver.iter().take(3).for_each(drop);
            sending.join().unwrap().unwrap();
            let receiving = s.spawn(|| receiver.recv());
            task::yield_now();
            let statistics = sender.statistics();
            assert_eq!((statistics.len, statistics.peak), (0, 2));
            assert_eq!((statistics.waiting_to_send, statistics.waiting_to_receive), (0, 1));
            receiving.cancel();
            task::yield_now();
            assert_eq!(sender.statistics().waiting_to_receive, 0);
        });
        assert!(sender.same_channel(&_other) && !sender.same_channel(&channel::bounded(2).0));
        assert_eq!(format!("{sender:?}"), "Sender { len: 0, capacity: Some(2), is_closed: false }");
    });
}

#[test]
fn errors_say_what_happened_and_become_errors_of_others() {
    fn relay(from: &Receiver<u32>, to: &Sender<u32>) -> io::Result<()> {
        loop {
            to.send(from.recv()?)?;
        }
    }
    fn boxed(from: &Receiver<u32>) -> Result<u32, Box<dyn Error + Send + Sync>> {
        Ok(from.recv()?)
    }
    fn checked(from: &Receiver<u32>) -> Result<u32, RecvError> {
        task::checkpoint()?;
        from.recv()
    }
    run(|| {
        let (sender, from) = channel::unbounded();
        let (to, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(relay(&from, &to).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(boxed(&from).unwrap_err().to_string(), "closed: nothing is left, and nothing will come");
        drop(receiver);
        let error = io::Error::from(to.send(2).unwrap_err());
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::BrokenPipe, "closed: nothing can be sent any more")
        );
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&to.send(3).unwrap_err().into()));
            assert_eq!(checked(&from), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!(from.recv().unwrap_err().to_string(), "cancelled");
        });
        let kinds = [
            io::Error::from(TryRecvError::Empty).kind(),
            io::Error::from(TryRecvError::Closed).kind(),
            io::Error::from(TrySendError::Full(1)).kind(),
            io::Error::from(TrySendError::Closed(1)).kind(),
            io::Error::from(Closed(1)).kind(),
        ];
        use io::ErrorKind::{BrokenPipe, UnexpectedEof, WouldBlock};
        assert_eq!(kinds, [WouldBlock, UnexpectedEof, WouldBlock, BrokenPipe, BrokenPipe]);
        assert_eq!(SendError::from(Closed(5)).map(|item| item + 1).into_inner(), 6);
        assert_eq!(
            format!("{:?} {:?}", TrySendError::Full(Meddler::harmless()), Closed(())),
            "Full(..) Closed(..)"
        );
    });
}

#[test]
fn a_deadlock_says_who_waits_to_send_and_to_receive() {
    let stuck = Runtime::builder().build().try_run(|| {
        let (sender, receiver) = channel::rendezvous::<()>();
        let (_kept, other) = channel::bounded::<()>(1);
        let full = channel::bounded(1);
        full.0.send(1).unwrap();
        task::scope(|s| {
            s.spawn(|| sender.send(()));
            s.spawn(|| other.recv());
            s.spawn(|| full.0.reserve().map(drop));
            s.spawn(|| full.0.closed());
        });
        drop(receiver);
    });
    let Err(error) = stuck else { panic!("it ended") };
    let report = error.to_string();
    for what in ["send", "recv", "room to send", "end of channel"] {
        assert!(report.contains(&format!("waits for {what} (")), "no {what:?} in {report}");
    }
}

// A channel in the body of a generator.

#[test]
fn a_generator_reads_a_channel_as_an_iterator() {
    check(
        |log| {
            let (sender, receiver) = channel::bounded(1);
            let pairs = generate(move |co| {
                let mut last = None;
                for item in &receiver {
                    if let Some(last) = last.replace(item) {
                        co.yield_((last, item));
                    }
                }
            });
            task::spawn(move || {
                for number in 1..=3 {
                    sleep(1).unwrap();
                    sender.send(number).unwrap();
                }
            });
            for pair in pairs {
                log.add(format!("{pair:?} at {}", clock()));
            }
        },
        &["(1, 2) at 2", "(2, 3) at 3"],
    );
}

#[test]
fn a_generator_that_is_cancelled_while_it_reads_a_channel_loses_nothing() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let items = generate(move |co| {
            loop {
                // The wait is cancelled with the task that reads the generator; another may go on with it.
                match receiver.recv() {
                    Ok(item) => co.yield_(Ok(item)),
                    Err(RecvError::Cancelled(why)) => co.yield_(Err(why.reason())),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        let limited = time::timeout(seconds(1), || items.next());
        assert_eq!(limited.unwrap_err().into_inner(), Some(Err(Reason::Deadline)));
        let reader = task::spawn(move || items.collect::<Vec<_>>());
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(reader.join().unwrap(), [Ok(1)]);
    });
}

#[test]
fn a_generator_that_waits_for_a_channel_is_closed_with_its_end() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let items = generate(move |co| co.yield_all(receiver));
        task::scope(|s| {
            s.spawn(|| sender.send(1).unwrap());
            assert_eq!(items.next(), Some(1));
            drop(items);
            assert_eq!(sender.send(2), Err(SendError::Closed(2)));
        });
    });
}

// Every schedule, every moment.

/// Items are numbers, each sent once; what was received, and what senders have still.
#[derive(Default)]
struct Ledger {
    sent: RefCell<BTreeSet<u32>>,
    kept: RefCell<BTreeSet<u32>>,
    received: RefCell<BTreeSet<u32>>,
    last: Cell<u32>,
}

impl Ledger {
    fn next(&self) -> u32 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn sent(&self, item: u32, result: Result<(), u32>) -> bool {
        match result {
            Ok(()) => assert!(self.sent.borrow_mut().insert(item)),
            Err(back) => {
                assert_eq!(back, item);
                assert!(self.kept.borrow_mut().insert(item));
            }
        }
        self.sent.borrow().contains(&item)
    }

    fn received(&self, item: u32) {
        assert!(self.received.borrow_mut().insert(item), "{item} came twice");
    }

    /// `left` is what nobody has received.
    fn assert_balanced(&self, left: impl IntoIterator<Item = u32>) {
        left.into_iter().for_each(|item| self.received(item));
        assert_eq!(*self.sent.borrow(), *self.received.borrow());
        assert_eq!(self.sent.borrow().len() + self.kept.borrow().len(), self.last.get() as usize);
    }
}

#[test]
fn nothing_is_lost_or_delivered_twice_whatever_the_schedule_and_whoever_is_cancelled() {
    testing::explore(0..3000, || {
        let capacity = [0, 1, 2, usize::MAX][testing::random(4)];
        let (sender, receiver) = channel::bounded(capacity);
        let ledger = Ledger::default();
        task::scope(|s| {
            let (ledger, receiver) = (&ledger, &receiver);
            let mut tasks = Vec::new();
            for _ in 0..3 {
                let sender = sender.clone();
                tasks.push(s.spawn(move || {
                    for _ in 0..4 {
                        let item = ledger.next();
                        let sent = match testing::random(4) {
                            0 if capacity > 0 => match sender.reserve() {
                                Ok(permit) => {
                                    task::yield_now();
                                    permit.send(item).map_err(Closed::into_inner)
                                }
                                Err(_) => Err(item),
                            },
                            1 => sender.try_send(item).map_err(TrySendError::into_inner),
                            2 => {
                                let mut sending = sender.sending(item);
                                match select((&mut sending, time::sleeping(seconds(1)))) {
                                    Ok(Chosen::First(sent)) => sent.map_err(SendError::into_inner),
                                    Ok(Chosen::Second(())) | Err(_) => Err(sending.into_item().unwrap()),
                                }
                            }
                            _ => sender.send(item).map_err(SendError::into_inner),
                        };
                        ledger.sent(item, sent);
                    }
                }));
                tasks.push(s.spawn(move || {
                    for _ in 0..4 {
                        let received = match testing::random(3) {
                            0 => receiver.try_recv().ok(),
                            1 => match select((receiver.receiving(), time::sleeping(seconds(1)))) {
                                Ok(Chosen::First(item)) => item.ok(),
                                _ => None,
                            },
                            _ => receiver.recv().ok(),
                        };
                        received.into_iter().for_each(|item| ledger.received(item));
                    }
                }));
            }
            drop(sender);
            for _ in 0..testing::random(4) {
                (0..testing::random(8)).for_each(|_| task::yield_now());
                tasks[testing::random(tasks.len())].cancel();
            }
            if testing::random(4) == 0 {
                receiver.close();
            }
            // Whoever waits for nothing that will come.
            s.spawn_service(move || sleep(10).map(|()| receiver.close()));
            tasks.iter().for_each(|task| _ = task.join());
        });
        ledger.assert_balanced(receiver.try_iter());
        let statistics = receiver.statistics();
        assert_eq!((statistics.permits, statistics.senders), (0, 0));
        assert_eq!((statistics.waiting_to_send, statistics.waiting_to_receive), (0, 0));
    });
}

/// An item is in the hand of a task where it is cancelled between `recv` and `send`, but never where a permit comes first.
#[test]
fn a_relay_with_permits_loses_nothing_wherever_it_is_cancelled() {
    let moments = testing::cancel_everywhere(|cut| {
        let (sender, from) = channel::bounded(2);
        let (to, receiver) = channel::bounded(1);
        let ledger = Ledger::default();
        let received = cut.here(|| {
            task::scope(|s| {
                let (ledger, from, to) = (&ledger, &from, &to);
                s.spawn(move || {
                    for _ in 0..4 {
                        let item = ledger.next();
                        ledger.sent(item, sender.send(item).map_err(SendError::into_inner));
                    }
                });
                s.spawn(move || -> Result<(), RecvError> {
                    loop {
                        let Ok(permit) = to.reserve() else { return Ok(()) };
                        permit.send(from.recv()?).unwrap();
                    }
                });
                receiver.iter().take(4).collect::<Vec<_>>()
            })
        });
        let left = [received, receiver.try_iter().collect(), from.try_iter().collect()].concat();
        let (sent, all) = (ledger.sent.take(), left.iter().copied().collect::<BTreeSet<_>>());
        assert_eq!((sent, left.len()), (all.clone(), all.len()));
        assert!(left.is_sorted(), "and their order is kept: {left:?}");
    });
    assert!(moments > 20, "{moments}");
}

#[test]
fn wherever_senders_and_receivers_are_cancelled_the_channel_is_whole_afterwards() {
    for capacity in [0, 1, 3] {
        for seed in 0..20 {
            Setup::new().seed(seed).cancel_everywhere(|cut| {
                let (sender, receiver) = channel::bounded(capacity);
                let ledger = Ledger::default();
                cut.here(|| {
                    task::scope(|s| {
                        let ledger = &ledger;
                        for _ in 0..2 {
                            let sender = sender.clone();
                            s.spawn(move || {
                                for _ in 0..3 {
                                    let item = ledger.next();
                                    ledger.sent(item, sender.send(item).map_err(SendError::into_inner));
                                }
                            });
                        }
                        for _ in 0..2 {
                            let receiver = receiver.clone();
                            s.spawn(move || receiver.iter().take(3).for_each(|item| ledger.received(item)));
                        }
                    });
                });
                let statistics = receiver.statistics();
                assert_eq!((statistics.waiting_to_send, statistics.waiting_to_receive), (0, 0));
                ledger.assert_balanced(receiver.try_iter());
                // It works as before.
                task::scope(|s| {
                    s.spawn(|| sender.send(1).unwrap());
                    assert_eq!(receiver.recv(), Ok(1));
                });
            });
        }
    }
}

#[test]
fn a_panic_of_one_who_sends_or_receives_harms_nobody_else() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let broken = {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            task::spawn(move || {
                let _keeps = (sender.reserve().unwrap(), &receiver);
                panic!("on purpose")
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(|| broken.join().unwrap())).is_err());
        assert_eq!((sender.send(1), receiver.recv()), (Ok(()), Ok(1)));
        assert_eq!((sender.statistics().senders, sender.statistics().receivers), (1, 1));
    });
}
