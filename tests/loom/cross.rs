//! What tasks and threads do to what they share, in every order in which it can happen.
//!
//! The channels, the event and the waits are the library's own files; the task is that of [`kernel`](crate::kernel). Loom
//! finds who is left hanging, what is dropped twice or never, and what is read without having been handed over.

use std::time::Duration;

use loom::thread;

use crate::channel::cross::{self, Receiver, RecvTimeoutError, SendTimeoutError, Sender};
use crate::channel::{RecvError, SendError, TryRecvError};
use crate::kernel::arm::{Arm, select};
use crate::kernel::{Cancel, task};
use crate::sync::cross::Event;
use crate::{Message, explore, message};
use loom::sync::Arc;

/// In a thread, where a limit of nothing is over at the first look.
const SOON: Duration = Duration::ZERO;

fn item(number: usize) -> Message {
    message(0, number)
}

fn number(item: Message) -> usize {
    item.number.read()
}

fn spawn<R: 'static>(act: impl FnOnce() -> R + 'static) -> thread::JoinHandle<R> {
    thread::spawn(act)
}

#[test]
fn a_thread_that_waits_gets_what_another_sends() {
    explore(None, || {
        let (sender, receiver) = cross::unbounded();
        let thread = spawn(move || sender.send(item(7)).unwrap());
        assert_eq!(receiver.recv().map(number), Ok(7));
        thread.join().unwrap();
        assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    });
}

fn is_closed<T>(received: &Result<T, RecvError>) -> bool {
    matches!(received, Err(RecvError::Closed))
}

/// The numbers of what is there.
fn left(receiver: &Receiver<Message>) -> Vec<usize> {
    receiver.try_iter().map(number).collect()
}

#[test]
fn a_thread_that_waits_for_room_has_sent_in_order() {
    explore(Some(4), || {
        let (sender, receiver) = cross::bounded(1);
        let thread = spawn(move || sender.send_all((0..3).map(item)).unwrap());
        assert_eq!(receiver.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
        thread.join().unwrap();
    });
}

#[test]
fn a_rendezvous_of_two_threads_hands_over() {
    explore(None, || {
        let (sender, receiver) = cross::rendezvous();
        let thread = spawn(move || sender.send(item(7)).unwrap());
        assert_eq!(receiver.recv().map(number), Ok(7));
        thread.join().unwrap();
    });
}

#[test]
fn what_is_sent_while_the_channel_closes_is_received_or_comes_back() {
    for capacity in [0, 1] {
        explore(None, move || {
            let (sender, receiver) = cross::bounded(capacity);
            let thread = spawn(move || match sender.send(item(7)) {
                Ok(()) => None,
                Err(SendError::Closed(item)) => Some(number(item)),
                Err(SendError::Cancelled(..)) => unreachable!(),
            });
            receiver.close();
            let received = left(&receiver);
            drop(receiver);
            match thread.join().unwrap() {
                Some(back) => assert_eq!((back, received), (7, vec![])),
                None => assert_eq!((capacity, received), (1, vec![7])),
            }
        });
    }
}

#[test]
fn receivers_that_wait_hear_that_the_last_sender_has_gone() {
    explore(Some(3), || {
        let (sender, receiver) = cross::unbounded::<Message>();
        let senders = [sender.clone(), sender].map(|sender| spawn(move || drop(sender)));
        let other = receiver.clone();
        let thread = spawn(move || assert!(is_closed(&other.recv())));
        assert!(is_closed(&receiver.recv()));
        senders.into_iter().chain([thread]).for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn the_last_receiver_takes_along_what_nobody_received() {
    explore(None, || {
        let (sender, receiver) = cross::bounded(1);
        let thread = spawn(move || drop(receiver));
        // Loom says so if it is not dropped.
        let _ = sender.send(item(1));
        let _ = sender.send(item(2));
        thread.join().unwrap();
        assert!(sender.is_closed() && sender.is_empty());
    });
}

#[test]
fn a_thread_that_is_late_has_the_item_or_leaves_it() {
    explore(None, || {
        let (sender, receiver) = cross::unbounded();
        let thread = spawn(move || sender.send(item(7)).unwrap());
        match receiver.recv_timeout(SOON) {
            Ok(item) => assert_eq!(number(item), 7),
            Err(RecvTimeoutError::Elapsed) => assert_eq!(receiver.recv().map(number), Ok(7)),
            Err(_) => unreachable!(),
        }
        assert!(is_closed(&receiver.recv()));
        thread.join().unwrap();
    });
}

#[test]
fn a_thread_that_is_late_has_sent_or_has_its_item_back() {
    for capacity in [0, 1] {
        explore(None, move || {
            let (sender, receiver) = cross::bounded(capacity);
            (0..capacity).for_each(|_| sender.try_send(item(0)).unwrap());
            let thread = spawn(move || match sender.send_timeout(item(7), SOON) {
                Ok(()) => true,
                Err(SendTimeoutError::Elapsed(item)) => {
                    assert_eq!(number(item), 7);
                    false
                }
                Err(_) => unreachable!(),
            });
            let first = receiver.try_recv().map(number);
            let has_sent = thread.join().unwrap();
            let received = first.is_ok_and(|number| number == 7) || left(&receiver).contains(&7);
            assert_eq!(received, has_sent);
        });
    }
}

#[test]
fn one_item_is_received_by_one_of_two() {
    explore(None, || {
        let (sender, receiver) = cross::unbounded();
        let other = receiver.clone();
        let thread = spawn(move || other.recv().map(number).ok());
        sender.send(item(7)).unwrap();
        drop(sender);
        let received = [receiver.recv().map(number).ok(), thread.join().unwrap()];
        assert!(matches!(received, [Some(7), None] | [None, Some(7)]), "{received:?}");
    });
}

#[test]
fn one_room_is_for_one_of_two() {
    explore(Some(3), || {
        let (sender, receiver) = cross::bounded(1);
        sender.try_send(item(0)).unwrap();
        let senders = [1, 2].map(|number| {
            let sender = sender.clone();
            spawn(move || sender.send(item(number)).unwrap())
        });
        drop(sender);
        let mut received: Vec<_> = (0..3).map(|_| number(receiver.recv().unwrap())).collect();
        received.sort_unstable();
        assert_eq!(received, [0, 1, 2]);
        senders.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(is_closed(&receiver.recv()));
    });
}

#[test]
fn a_task_gets_what_a_thread_sends() {
    explore(None, || {
        let (sender, receiver) = cross::bounded(1);
        let thread = spawn(move || sender.send_all((0..2).map(item)).unwrap());
        let received: Vec<_> = task(Cancel::Never, || receiver.iter().map(number).collect());
        assert_eq!(received, [0, 1]);
        thread.join().unwrap();
    });
}

#[test]
fn a_thread_gets_what_a_task_sends() {
    explore(Some(4), || {
        let (sender, receiver) = cross::rendezvous();
        let thread = spawn(move || task(Cancel::Never, || sender.send_all((0..2).map(item)).unwrap()));
        assert_eq!(receiver.iter().map(number).collect::<Vec<_>>(), [0, 1]);
        thread.join().unwrap();
    });
}

#[test]
fn a_task_that_is_cancelled_has_the_item_or_leaves_it() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(None, move || {
            let (sender, receiver) = cross::unbounded();
            let thread = spawn(move || sender.send(item(7)).unwrap());
            match task(cancel, || receiver.recv()) {
                Ok(item) => assert_eq!(number(item), 7),
                Err(RecvError::Cancelled(_)) => assert_eq!(receiver.recv().map(number), Ok(7)),
                Err(RecvError::Closed) => unreachable!(),
            }
            assert!(is_closed(&receiver.recv()));
            thread.join().unwrap();
        });
    }
}

#[test]
fn a_task_that_is_cancelled_has_sent_or_has_its_item_back() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(4), move || {
            let (sender, receiver) = cross::rendezvous();
            let thread = spawn(move || receiver.recv().map(number).ok());
            let has_sent = match task(cancel, || sender.send(item(7))) {
                Ok(()) => true,
                Err(SendError::Cancelled(_, item)) => {
                    assert_eq!(number(item), 7);
                    false
                }
                Err(SendError::Closed(_)) => unreachable!(),
            };
            drop(sender);
            assert_eq!(thread.join().unwrap(), has_sent.then_some(7));
        });
    }
}

#[test]
fn a_task_that_is_cancelled_while_the_channel_closes_has_its_item_back() {
    explore(None, || {
        let (sender, receiver) = cross::rendezvous();
        let thread = spawn(move || receiver.close());
        let back = task(Cancel::AfterALook, || sender.send(item(7))).unwrap_err().into_inner();
        assert_eq!(number(back), 7);
        thread.join().unwrap();
    });
}

/// What an arm that is not chosen was given goes to the thread that waits beside it, also if the channel was closed in between.
#[test]
fn an_item_that_an_arm_declines_goes_to_the_next() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(4), move || {
            let (sender, receiver) = cross::unbounded();
            let other = receiver.clone();
            let thread = spawn(move || other.recv().map(number).ok());
            let selecting = spawn(move || match task(cancel, || select(receiver.receiving())) {
                Ok(received) => received.map(number).ok(),
                Err(_) => None,
            });
            sender.send(item(7)).unwrap();
            drop(sender);
            let received = [selecting.join().unwrap(), thread.join().unwrap()];
            assert!(matches!(received, [Some(7), None] | [None, Some(7)]), "{received:?}");
        });
    }
}

#[test]
fn of_two_arms_that_are_given_items_one_keeps_its_own() {
    explore(Some(3), || {
        let (to_first, first) = cross::rendezvous();
        let (to_second, second) = cross::unbounded();
        let threads = [
            spawn(move || drop(to_first.try_send(item(1)))),
            spawn(move || drop(to_second.try_send(item(2)))),
        ];
        let mut received = Vec::new();
        let chosen = task(Cancel::Never, || select((first.receiving(), second.receiving()))).unwrap();
        received.extend(chosen.map(number));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(received.len() <= 1);
        received.extend(left(&first));
        received.extend(left(&second));
        // The first may have found nobody. The second was sent, whatever became of its arm.
        received.sort_unstable();
        assert!(received == [2] || received == [1, 2], "{received:?}");
    });
}

#[test]
fn an_arm_that_sends_looks_again_if_its_receiver_has_gone() {
    explore(Some(4), || {
        let (sender, receiver) = cross::rendezvous();
        let thread = spawn(move || {
            let early = receiver.recv_timeout(SOON).map(number).ok();
            early.or_else(|| receiver.recv().map(number).ok())
        });
        let sent = task(Cancel::Never, || select(sender.sending(item(7)))).unwrap();
        sent.unwrap();
        drop(sender);
        assert_eq!(thread.join().unwrap(), Some(7));
    });
}

#[test]
fn room_that_an_arm_declines_goes_to_the_next() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(3), move || {
            let (sender, receiver) = cross::bounded(1);
            sender.try_send(item(0)).unwrap();
            let other = sender.clone();
            let thread = spawn(move || other.send(item(1)).unwrap());
            let selecting = spawn(move || {
                let mut sending = sender.sending(item(2));
                let chosen = task(cancel, || select(&mut sending));
                assert_eq!(chosen.is_ok(), sending.into_item().is_none());
                chosen.is_ok()
            });
            let received: Vec<_> = receiver.iter().map(number).collect();
            thread.join().unwrap();
            let has_sent = selecting.join().unwrap();
            let expected: &[usize] = if has_sent { &[0, 1, 2] } else { &[0, 1] };
            let mut sorted = received.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected);
        });
    }
}

#[test]
fn a_sender_is_not_left_waiting_for_room_that_an_arm_declined() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(3), move || {
            let (sender, receiver) = cross::bounded(1);
            sender.try_send(item(0)).unwrap();
            let other = sender.clone();
            let thread = spawn(move || other.send(item(1)).unwrap());
            let selecting = spawn(move || task(cancel, || select(sender.sending(item(2)))).is_ok());
            assert_eq!(receiver.recv().map(number), Ok(0));
            if selecting.join().unwrap() {
                // The room was used: here is more.
                assert!(receiver.recv().is_ok());
            }
            thread.join().unwrap();
        });
    }
}

#[test]
fn an_arm_that_sends_and_one_that_receives_meet() {
    explore(None, || {
        let (sender, receiver) = cross::rendezvous();
        let thread = spawn(move || task(Cancel::Never, || select(sender.sending(item(7))).unwrap().unwrap()));
        let received = task(Cancel::Never, || select(receiver.receiving())).unwrap();
        assert_eq!(received.map(number), Ok(7));
        thread.join().unwrap();
    });
}

/// As an output of both arms.
fn either(sender: &Sender<Message>, receiver: &Receiver<Message>, own: usize) -> Option<usize> {
    let sending = Mapped(sender.sending(item(own)), |sent: Result<(), _>| {
        assert!(sent.is_ok());
        None
    });
    let receiving = Mapped(receiver.receiving(), |received: Result<_, _>| received.map(number).ok());
    select((sending, receiving)).unwrap()
}

/// [`Arm::map`](crate::kernel::arm::Arm).
struct Mapped<A, F>(A, F);

impl<A: Arm, T, F: Fn(A::Output) -> T> Arm for Mapped<A, F> {
    type Output = T;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<T> {
        self.0.try_now().map(&self.1)
    }

    fn place(&mut self) -> A::Place {
        self.0.place()
    }

    fn end(&mut self, place: A::Place) -> Option<T> {
        self.0.end(place).map(&self.1)
    }

    fn show(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

#[test]
fn two_tasks_that_would_send_and_receive_exchange_one_item_and_none_meets_itself() {
    explore(Some(4), || {
        let (sender, receiver) = cross::rendezvous();
        let (to, from) = (sender.clone(), receiver.clone());
        let thread = spawn(move || task(Cancel::Never, || either(&to, &from, 1)));
        let mine = task(Cancel::Never, || either(&sender, &receiver, 2));
        let theirs = thread.join().unwrap();
        assert!(matches!((mine, theirs), (Some(1), None) | (None, Some(2))), "{mine:?} {theirs:?}");
    });
}

#[test]
fn a_runtime_that_ends_before_its_wake_arrives_harms_nobody() {
    explore(None, || {
        let (sender, receiver) = cross::unbounded();
        let other = receiver.clone();
        let thread = spawn(move || sender.send(item(7)).unwrap());
        // The arm may be called when its runtime is gone.
        let chosen = task(Cancel::AtOnce, || select(receiver.receiving()));
        drop(receiver);
        let late = matches!(chosen, Err(_));
        drop(chosen);
        if late {
            assert_eq!(other.recv().map(number), Ok(7));
        }
        thread.join().unwrap();
    });
}

#[test]
fn an_event_wakes_the_thread_and_the_task_that_wait() {
    explore(None, || {
        let event = Arc::new(Event::new());
        let [first, second] = [event.clone(), event.clone()];
        let threads = [
            spawn(move || first.wait().unwrap()),
            spawn(move || task(Cancel::Never, || second.wait().unwrap())),
        ];
        event.set();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(event.waiters(), 0);
    });
}

#[test]
fn whoever_was_woken_by_an_event_goes_on_although_it_is_cleared() {
    explore(Some(4), || {
        let event = Arc::new(Event::new());
        let (first, again) = (event.clone(), event.clone());
        let waiting = spawn(move || first.wait_timeout(SOON).unwrap());
        let later = spawn(move || again.wait().unwrap());
        event.set();
        event.clear();
        // Somebody who waits from here on has the place of nobody who was woken.
        event.set();
        waiting.join().unwrap();
        later.join().unwrap();
    });
}

#[test]
fn a_task_that_waits_for_an_event_is_cancelled_or_woken() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(None, move || {
            let event = Arc::new(Event::new());
            let setting = event.clone();
            let thread = spawn(move || setting.set());
            let waited = task(cancel, || event.wait());
            let selected = task(cancel, || select(event.waiting()));
            thread.join().unwrap();
            assert!(waited.is_err() || selected.is_ok());
            assert_eq!(event.waiters(), 0);
        });
    }
}

#[test]
fn what_is_sent_once_arrives_or_comes_back() {
    explore(None, || {
        let (sender, receiver) = cross::oneshot();
        let thread = spawn(move || drop(receiver));
        if let Err(back) = sender.send(item(7)) {
            assert_eq!(number(back.0), 7);
        }
        thread.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_one_item_hears_that_none_will_come() {
    explore(None, || {
        let (sender, receiver) = cross::oneshot::<Message>();
        let thread = spawn(move || drop(sender));
        assert!(is_closed(&task(Cancel::Never, || receiver.recv())));
        assert!(matches!(receiver.try_recv(), Err(TryRecvError::Closed)));
        thread.join().unwrap();
    });
}
