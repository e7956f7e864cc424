//! Between threads: channels and events that tasks park at and threads block at.
//!
//! No test sleeps: where a thread has to wait before the test goes on, the test looks until it does.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::channel::cross::{self, Receiver, RecvTimeoutError, SendTimeoutError, Sender, oneshot};
use ropewalk::channel::{self, Closed, RecvError, SendError, TryRecvError, TrySendError};
use ropewalk::lowlevel::{self, Arm, ByTicket, Register, Ticket};
use ropewalk::select::{Chosen, fairly, select, try_select};
use ropewalk::sync::cross::Event;
use ropewalk::{Reason, RunError, Runtime, task, time};

use crate::log::{panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep};

/// What `act` returns in a thread of its own, for which this one blocks, with all its tasks.
fn in_thread<R: Send>(act: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| s.spawn(act).join().unwrap())
}

/// Looks until it is so. Another thread makes it so.
fn look_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

fn receivers_wait<T>(receiver: &Receiver<T>, count: usize) {
    look_until(|| receiver.statistics().waiting_to_receive == count);
}

fn senders_wait<T>(sender: &Sender<T>, count: usize) {
    look_until(|| sender.statistics().waiting_to_send == count);
}

#[test]
fn the_same_receiver_blocks_a_thread_and_parks_a_task() {
    let (sender, receiver) = cross::unbounded();
    thread::scope(|s| {
        let by_thread = s.spawn(|| receiver.recv());
        receivers_wait(&receiver, 1);
        sender.send("to the thread").unwrap();
        assert_eq!(by_thread.join().unwrap(), Ok("to the thread"));

        let by_task = s.spawn(|| ropewalk::run(|| receiver.recv()));
        receivers_wait(&receiver, 1);
        sender.send("to the task").unwrap();
        assert_eq!(by_task.join().unwrap(), Ok("to the task"));
    });
}

#[test]
fn while_a_task_waits_for_a_thread_other_tasks_run() {
    let (sender, receiver) = cross::rendezvous();
    let (tell, told) = mpsc::channel();
    thread::scope(|s| {
        s.spawn(move || sender.send(told.recv().unwrap()).unwrap());
        run(|| {
            task::scope(|s| {
                let waiting = s.spawn(|| receiver.recv());
                task::yield_now();
                tell.send("said by another task").unwrap();
                assert_eq!(waiting.join().unwrap(), Ok("said by another task"));
            });
        });
    });
}

#[test]
fn two_runtimes_on_two_threads_talk_to_each_other() {
    let (to_squarer, numbers) = cross::bounded(1);
    let (to_asker, squares) = cross::bounded(1);
    let squarer = move || numbers.iter().try_for_each(|number: u64| to_asker.send(number * number));
    thread::scope(|s| {
        let other = s.spawn(|| ropewalk::run(squarer));
        let sum: u64 = ropewalk::run(|| {
            task::scope(|s| {
                s.spawn(move || to_squarer.send_all(1..=100).unwrap());
                squares.iter().sum()
            })
        });
        assert_eq!(sum, 338_350);
        other.join().unwrap().unwrap();
    });
}

#[test]
fn whoever_has_waited_longest_is_served_first_be_it_a_task_or_a_thread() {
    let (sender, receiver) = cross::unbounded();
    let served = std::sync::Mutex::new(Vec::new());
    let receive = |who: &'static str| {
        // The next item is sent when this one has been noted.
        let (item, done): (u32, oneshot::Sender<()>) = receiver.recv().unwrap();
        served.lock().unwrap().push((who, item));
        done.send(()).unwrap();
    };
    thread::scope(|s| {
        s.spawn(|| receive("thread"));
        receivers_wait(&receiver, 1);
        s.spawn(|| ropewalk::run(|| receive("task")));
        receivers_wait(&receiver, 2);
        s.spawn(|| receive("second thread"));
        receivers_wait(&receiver, 3);
        for item in 1..=3 {
            let (done, is_done) = cross::oneshot();
            sender.send((item, done)).unwrap();
            is_done.recv().unwrap();
        }
    });
    assert_eq!(*served.lock().unwrap(), [("thread", 1), ("task", 2), ("second thread", 3)]);
}

#[test]
fn nobody_who_comes_later_takes_what_a_waiter_was_given() {
    run(|| {
        let (sender, receiver) = cross::bounded(1);
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.recv());
            task::yield_now();
            sender.try_send("first").unwrap();
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            // The receiver that waited has left its room as it was.
            sender.try_send("second").unwrap();
            assert_eq!(sender.try_send("third"), Err(TrySendError::Full("third")));
            assert_eq!(receiver.try_recv(), Ok("second"));
            assert_eq!(waiting.join().unwrap(), Ok("first"));
        });
    });
}

#[test]
fn what_waits_to_be_sent_is_sent_in_order_and_room_is_for_the_first() {
    let (sender, receiver) = cross::bounded(1);
    sender.send(0).unwrap();
    thread::scope(|s| {
        s.spawn(|| sender.send(1).unwrap());
        senders_wait(&sender, 1);
        s.spawn(|| ropewalk::run(|| sender.send(2).unwrap()));
        senders_wait(&sender, 2);
        assert_eq!(receiver.try_recv(), Ok(0));
        // The first has sent, though it has not gone on perhaps; there is no room for whoever comes now.
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    });
    assert!(receiver.is_empty() && !receiver.is_full());
}

#[test]
fn a_rendezvous_hands_from_thread_to_thread_and_from_thread_to_task() {
    let (sender, receiver) = cross::rendezvous();
    assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
    thread::scope(|s| {
        s.spawn(|| sender.send_all(1..=3).unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        senders_wait(&sender, 1);
        assert_eq!(receiver.try_recv(), Ok(2), "without waiting, as the sender is there");
        assert_eq!(ropewalk::run(|| receiver.recv()), Ok(3));
        assert_eq!(receiver.statistics().peak, 0);
    });
}

#[test]
fn what_was_sent_before_the_channel_closed_is_received_after_it() {
    let (sender, receiver) = cross::unbounded();
    sender.send_all([1, 2]).unwrap();
    receiver.close();
    assert_eq!(sender.send(3), Err(SendError::Closed(3)));
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!(sender.send_timeout(3, seconds(1)), Err(SendTimeoutError::Closed(3)));
    assert!(sender.is_closed());
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    assert_eq!(receiver.recv_timeout(seconds(1)), Err(RecvTimeoutError::Closed));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(ropewalk::run(|| receiver.recv()), Err(RecvError::Closed));
}

#[test]
fn closing_wakes_all_who_wait_and_gives_their_items_back() {
    let (sender, receiver) = cross::rendezvous();
    thread::scope(|s| {
        let by_thread = s.spawn(|| sender.send("of a thread"));
        let by_task = s.spawn(|| ropewalk::run(|| sender.send("of a task")));
        let by_arm = s.spawn(|| ropewalk::run(|| select(sender.sending("of an arm"))));
        senders_wait(&sender, 3);
        sender.close();
        assert_eq!(by_thread.join().unwrap(), Err(SendError::Closed("of a thread")));
        assert_eq!(by_task.join().unwrap(), Err(SendError::Closed("of a task")));
        assert_eq!(by_arm.join().unwrap(), Ok(Err(SendError::Closed("of an arm"))));
    });
    assert_eq!(receiver.recv(), Err(RecvError::Closed));

    let (sender, receiver) = cross::unbounded::<()>();
    thread::scope(|s| {
        let by_thread = s.spawn(|| receiver.recv());
        let by_task = s.spawn(|| ropewalk::run(|| receiver.recv()));
        let by_arm = s.spawn(|| ropewalk::run(|| select(receiver.receiving())));
        receivers_wait(&receiver, 3);
        drop(sender);
        assert_eq!(by_thread.join().unwrap(), Err(RecvError::Closed));
        assert_eq!(by_task.join().unwrap(), Err(RecvError::Closed));
        assert_eq!(by_arm.join().unwrap(), Ok(Err(RecvError::Closed)));
    });
}

#[test]
fn a_channel_is_closed_when_all_of_one_end_are_gone_and_not_before() {
    let (sender, receiver) = cross::unbounded();
    let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
    drop((sender, receiver));
    other_sender.send(1).unwrap();
    assert_eq!(other_receiver.recv(), Ok(1));
    drop(other_receiver);
    assert_eq!(other_sender.send(2), Err(SendError::Closed(2)));
}

#[test]
fn the_last_receiver_drops_what_is_underway_when_nothing_is_locked() {
    /// Looks at the channel that it was in, and sends into it.
    struct Meddler {
        sender: Option<Sender<Meddler>>,
        dropped: Arc<AtomicUsize>,
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(sender) = self.sender.take() {
                assert!(sender.is_closed() && sender.is_empty());
                let another = Meddler { sender: None, dropped: self.dropped.clone() };
                assert!(sender.send(another).is_err());
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = cross::unbounded();
    for _ in 0..3 {
        let item = Meddler { sender: Some(sender.clone()), dropped: dropped.clone() };
        sender.send(item).unwrap();
    }
    drop(receiver);
    assert_eq!(dropped.load(Ordering::Relaxed), 6);
}

#[test]
fn a_cancelled_receive_has_taken_nothing_and_leaves_its_place() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        task::scope(|s| {
            let cut = s.spawn(|| receiver.recv());
            let next = s.spawn(|| receiver.recv());
            task::yield_now();
            cut.cancel();
            assert_eq!(cut.join().unwrap().unwrap_err().cancelled().unwrap().reason(), Reason::Requested);
            assert_eq!(receiver.statistics().waiting_to_receive, 1);
            sender.send("for the next").unwrap();
            assert_eq!(next.join().unwrap(), Ok("for the next"));
        });
    });
}

#[test]
fn a_cancelled_send_has_sent_nothing_and_has_its_item() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        task::scope(|s| {
            let cut = s.spawn(|| sender.send("mine".to_owned()));
            task::yield_now();
            cut.cancel();
            assert_eq!(cut.join().unwrap().unwrap_err().into_inner(), "mine");
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(sender.statistics().waiting_to_send, 0);
        });
    });
}

/// The thread has decided when the task is cancelled, and its message is not read yet.
#[test]
fn what_a_thread_has_granted_is_returned_although_the_task_was_cancelled_before_it_heard() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        let event = Event::new();
        task::scope(|s| {
            let receiving = s.spawn(|| receiver.recv());
            task::yield_now();
            in_thread(|| sender.try_send("granted").unwrap());
            receiving.cancel();
            assert_eq!(receiving.join().unwrap(), Ok("granted"));

            let sending = s.spawn(|| sender.send("sent"));
            task::yield_now();
            assert_eq!(in_thread(|| receiver.try_recv()), Ok("sent"));
            sending.cancel();
            assert_eq!(sending.join().unwrap(), Ok(()));

            let waiting = s.spawn(|| event.wait());
            task::yield_now();
            in_thread(|| event.set());
            waiting.cancel();
            assert_eq!(waiting.join().unwrap(), Ok(()));

            let limited = s.spawn(|| time::timeout(seconds(1), || receiver.recv()));
            task::yield_now();
            in_thread(|| sender.try_send("in time").unwrap());
            assert_eq!(limited.join().unwrap(), Ok(Ok("in time")));
        });
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_sent_or_received_even_if_it_could_be() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        sender.send(1).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(receiver.recv().unwrap_err().cancelled().is_some());
            assert_eq!(sender.send(2).unwrap_err().into_inner(), 2);
            assert!(receiver.recv_timeout(seconds(1)).is_err_and(|error| !error.is_elapsed()));
            assert!(select(receiver.receiving()).is_err());
            assert!(Event::new().wait().is_err());
        });
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn a_callback_is_neither_task_nor_thread_and_cannot_wait() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        let event = Event::new();
        event.set();
        let told = std::rc::Rc::new(Cell::new(None));
        let tell = told.clone();
        let (to_callback, from_callback) = (sender.clone(), receiver.clone());
        time::call_later(seconds(1), move || {
            let received = from_callback.recv();
            let limited = from_callback.recv_timeout(seconds(1));
            let sent = to_callback.send(1).is_err();
            tell.set(Some((received, limited, sent, event.wait())));
            to_callback.try_send(2).unwrap();
        });
        sleep(2).unwrap();
        let (received, limited, was_refused, waited) = told.take().unwrap();
        assert_eq!(received.unwrap_err().cancelled().unwrap().reason(), Reason::OutsideTask);
        assert!(
            matches!(limited, Err(RecvTimeoutError::Cancelled(why)) if why.reason() == Reason::OutsideTask)
        );
        assert!(was_refused);
        assert_eq!(waited.unwrap_err().reason(), Reason::OutsideTask);
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

#[test]
fn a_task_that_unwinds_does_not_wait_and_a_thread_that_does_may() {
    let (sender, receiver) = cross::unbounded();
    run(|| {
        let receiver = receiver.clone();
        let failed = while_unwinding(move || receiver.recv());
        assert_eq!(failed.unwrap_err().cancelled().unwrap().reason(), Reason::Unwinding);
    });
    thread::scope(|s| {
        let thread = s.spawn(|| {
            let receiver = receiver.clone();
            while_unwinding(move || receiver.recv())
        });
        receivers_wait(&receiver, 1);
        sender.send("still here").unwrap();
        assert_eq!(thread.join().unwrap(), Ok("still here"));
    });
}

#[test]
fn a_thread_waits_no_longer_than_it_is_told() {
    let (sender, receiver) = cross::rendezvous::<u8>();
    let limit = Duration::from_millis(2);
    let began = Instant::now();
    assert_eq!(receiver.recv_timeout(limit), Err(RecvTimeoutError::Elapsed));
    assert_eq!(sender.send_timeout(7, limit), Err(SendTimeoutError::Elapsed(7)));
    assert_eq!(Event::new().wait_timeout(limit), Ok(false));
    assert!(began.elapsed() >= 3 * limit, "no limit comes early");
    let now = sender.statistics();
    assert_eq!((now.waiting_to_send, now.waiting_to_receive), (0, 0));
    // What comes before the limit is received, however far that is.
    thread::scope(|s| {
        s.spawn(|| sender.send_timeout(8, Duration::MAX).unwrap());
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(8));
    });
}

#[test]
fn in_a_task_a_limit_is_by_the_clock_of_its_runtime() {
    run(|| {
        let (sender, receiver) = cross::rendezvous::<u8>();
        let hour = seconds(3600);
        assert_eq!(receiver.recv_timeout(hour), Err(RecvTimeoutError::Elapsed));
        assert_eq!(sender.send_timeout(7, hour), Err(SendTimeoutError::Elapsed(7)));
        assert_eq!(Event::new().wait_timeout(hour), Ok(false));
        assert_eq!(clock(), 3.0 * 3600.0);
        // Of two limits that are over the outer one says so.
        let outer = time::timeout(hour, || receiver.recv_timeout(hour));
        assert!(matches!(outer.unwrap_err().0, Err(RecvTimeoutError::Cancelled(_))));
        let inner = time::timeout(2 * hour, || receiver.recv_timeout(hour));
        assert_eq!(inner, Ok(Err(RecvTimeoutError::Elapsed)));
        // No time at all is enough for what needs no waiting, and for nothing else.
        task::scope(|s| {
            let other = s.spawn(|| sender.try_send(9));
            assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Elapsed));
            assert_eq!(other.join().unwrap(), Err(TrySendError::Full(9)));
        });
        sender.close();
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Closed));
    });
}

#[test]
fn an_arm_receives_and_another_sends_to_a_thread() {
    let (sender, receiver) = cross::rendezvous();
    let (other_sender, other_receiver) = cross::rendezvous();
    thread::scope(|s| {
        s.spawn(|| {
            sender.send("from the thread").unwrap();
            assert_eq!(other_receiver.recv(), Ok("from the task"));
        });
        ropewalk::run(|| {
            let mut sending = other_sender.sending("from the task");
            for _ in 0..2 {
                match select((receiver.receiving(), &mut sending)).unwrap() {
                    Chosen::First(received) => assert_eq!(received, Ok("from the thread")),
                    Chosen::Second(sent) => sent.unwrap(),
                }
            }
        });
    });
    let now = (sender.statistics(), other_sender.statistics());
    assert_eq!((now.0.waiting_to_receive, now.1.waiting_to_send), (0, 0));
}

#[test]
fn an_arm_that_was_given_an_item_too_late_leaves_it_in_the_channel() {
    run(|| {
        let (sender, receiver) = cross::bounded(1);
        let (local_sender, local_receiver) = channel::unbounded();
        task::scope(|s| {
            let selecting = s.spawn(|| select((receiver.receiving(), local_receiver.receiving())));
            task::yield_now();
            in_thread(|| {
                sender.try_send(1).unwrap(); // For the arm,
                sender.try_send(2).unwrap(); // for the room.
                assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
            });
            // The message is at the door. What is decided here goes before it.
            local_sender.try_send("chosen").unwrap();
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::Second(Ok("chosen"))));
        });
        assert_eq!((receiver.len(), receiver.capacity()), (2, Some(1)));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)), "there is room for one");
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2]);
        sender.try_send(3).unwrap();
    });
}

#[test]
fn an_item_of_an_arm_that_is_cancelled_goes_to_the_next_who_waits() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        task::scope(|s| {
            let cut = s.spawn(|| select(receiver.receiving()));
            let next = s.spawn(|| receiver.recv());
            task::yield_now();
            in_thread(|| sender.try_send("declined").unwrap());
            cut.cancel();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(next.join().unwrap(), Ok("declined"));
        });
    });
}

#[test]
fn a_channel_with_an_item_set_aside_is_not_at_its_end() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        task::scope(|s| {
            let cut = s.spawn(|| select(receiver.receiving()));
            let next = s.spawn(|| receiver.iter().collect::<Vec<_>>());
            task::yield_now();
            in_thread(|| {
                sender.try_send("declined").unwrap();
                sender.close();
            });
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "it is somebody's, and may come back");
            assert_eq!(receiver.statistics().waiting_to_receive, 1);
            cut.cancel();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(next.join().unwrap(), ["declined"]);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        });
    });
}

#[test]
fn room_that_an_arm_was_given_too_late_goes_to_the_next_who_waits() {
    run(|| {
        let (sender, receiver) = cross::bounded(1);
        sender.try_send(0).unwrap();
        task::scope(|s| {
            let cut = s.spawn(|| select(sender.sending(1)));
            let next = s.spawn(|| sender.send(2));
            task::yield_now();
            in_thread(|| {
                assert_eq!(receiver.try_recv(), Ok(0));
                // The room is the arm's.
                assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
            });
            cut.cancel();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(next.join().unwrap(), Ok(()));
        });
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn an_arm_that_lost_has_its_item_still() {
    run(|| {
        let (sender, _receiver) = cross::rendezvous();
        let mut sending = sender.sending("mine".to_owned());
        assert!(matches!(select((&mut sending, time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
        assert_eq!(sending.into_item().as_deref(), Some("mine"));
        assert_eq!(sender.statistics().waiting_to_send, 0);
    });
}

#[test]
fn a_select_that_sends_and_receives_does_not_meet_itself() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        let either =
            |own| match select((sender.sending(own), receiver.receiving(), time::sleeping(seconds(1)))) {
                Ok(Chosen::First(sent)) => {
                    sent.unwrap();
                    "sent".to_owned()
                }
                Ok(Chosen::Second(received)) => format!("received {}", received.unwrap()),
                _ => "neither".to_owned(),
            };
        assert_eq!(either("alone"), "neither");
        task::scope(|s| {
            let first = s.spawn(|| either("of the first"));
            let second = s.spawn(|| either("of the second"));
            let ends = [first.join().unwrap(), second.join().unwrap()];
            let met = ends == ["sent", "received of the first"] || ends == ["received of the second", "sent"];
            assert!(met, "{ends:?}");
        });
        assert_eq!(clock(), 1.0);
    });
}

#[test]
fn arms_of_two_tasks_meet_whichever_comes_first() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        for receiver_is_first in [false, true] {
            let sends = || select((sender.sending(1), time::sleeping(seconds(1)))).unwrap();
            let receives = || select((receiver.receiving(), time::sleeping(seconds(1)))).unwrap();
            task::scope(|s| {
                let early = receiver_is_first.then(|| s.spawn(receives));
                task::yield_now();
                let sending = s.spawn(sends);
                task::yield_now();
                let receiving = early.unwrap_or_else(|| s.spawn(receives));
                assert_eq!(receiving.join().unwrap(), Chosen::First(Ok(1)));
                assert_eq!(sending.join().unwrap(), Chosen::First(Ok(())));
            });
        }
        assert_eq!(clock(), 0.0);
    });
}

#[test]
fn a_sender_finds_the_receiver_behind_a_select_that_cannot_meet_itself() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        task::scope(|s| {
            let both = s.spawn(|| select((sender.sending(1), receiver.receiving())));
            task::yield_now();
            // Its own sending arm is first in line, and no receiver's but its own is there.
            in_thread(|| sender.send(2)).unwrap();
            assert_eq!(both.join().unwrap(), Ok(Chosen::Second(Ok(2))));
        });
    });
}

#[test]
fn ready_arms_are_chosen_outside_of_a_runtime_too() {
    let (sender, receiver) = cross::bounded(1);
    assert_eq!(try_select((receiver.receiving(), sender.sending(1))), Some(Chosen::Second(Ok(()))));
    assert_eq!(try_select(fairly((sender.sending(2), receiver.receiving()))), Some(Chosen::Second(Ok(1))));
    let text = panic_text(|| select(receiver.receiving()));
    assert_eq!(text, "no runtime runs on this thread: call this inside ropewalk::run");
}

/// Does something when all arms of its select are about to wait, and waits for ever.
struct Meddler<F>(F);

impl<F: Fn()> Register for &Meddler<F> {
    type Value = ();

    fn register(&self, _: Ticket<()>) {
        (self.0)();
    }

    fn undo(&self) {}
}

impl<'a, F: Fn()> Arm for &'a Meddler<F> {
    type Output = ();
    type Place = ByTicket<&'a Meddler<F>>;

    fn try_now(&mut self) -> Option<()> {
        None
    }

    fn place(&mut self) -> Self::Place {
        ByTicket::new(self)
    }

    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_value()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

#[test]
fn a_select_that_cannot_meet_itself_meets_whoever_came_between() {
    let (sender, receiver) = cross::rendezvous();
    thread::scope(|s| {
        let sends_between = Meddler(|| {
            s.spawn(|| sender.send(2).unwrap());
            senders_wait(&sender, 2);
        });
        run(|| {
            let chosen = select((sender.sending(1), &sends_between, receiver.receiving())).unwrap();
            assert!(matches!(chosen, Chosen::Third(Ok(2))));
        });
    });
}

#[test]
fn only_what_does_not_wait_passes_arms_that_wait_for_a_receiver() {
    run(|| {
        let (sender, receiver) = cross::rendezvous();
        let line_up = || {
            let (arm, plain) = (sender.clone(), sender.clone());
            let selecting = task::spawn(move || select(arm.sending("of an arm")).unwrap().unwrap());
            let sending = task::spawn(move || plain.send("of a sender").unwrap());
            task::yield_now();
            (selecting, sending)
        };
        let _first_in_first_out = line_up();
        assert_eq!((receiver.recv(), receiver.recv()), (Ok("of an arm"), Ok("of a sender")));
        let _the_arm_may_take_its_time = line_up();
        assert_eq!(receiver.try_recv(), Ok("of a sender"));
        assert_eq!(receiver.recv(), Ok("of an arm"));
    });
}

#[test]
fn a_receiver_that_waits_for_an_arm_is_not_passed() {
    let (sender, receiver) = cross::rendezvous();
    thread::scope(|s| {
        run(|| {
            let arm = sender.clone();
            let selecting = task::spawn(move || select(arm.sending("of the arm")).unwrap().unwrap());
            task::yield_now();
            // The arm is called for this one, and does not hear it yet.
            let waits = s.spawn(|| receiver.recv());
            receivers_wait(&receiver, 1);
            s.spawn(|| sender.send("of the sender").unwrap());
            senders_wait(&sender, 1);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            selecting.join().unwrap();
            assert_eq!(waits.join().unwrap(), Ok("of the arm"));
            assert_eq!(receiver.recv(), Ok("of the sender"));
        });
    });
}

/// Waits as another arm does, and gives the place that it was woken in.
struct Forger<A>(A);

impl<A: Arm> Arm for Forger<A> {
    type Output = A::Place;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<A::Place> {
        None
    }

    fn place(&mut self) -> A::Place {
        self.0.place()
    }

    fn end(&mut self, place: A::Place) -> Option<A::Place> {
        Some(place)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

#[test]
fn a_place_that_no_arm_ends_gives_back_what_was_set_aside_for_it() {
    run(|| {
        let (sender, receiver) = cross::bounded(1);
        let (_other_sender, other) = cross::bounded::<u8>(1);
        task::scope(|s| {
            let forging = s.spawn(|| {
                let place = select(Forger(receiver.receiving())).unwrap();
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "it is set aside");
                let text = panic_text(|| other.receiving().end(place).is_some());
                assert_eq!(text, "this place is in another channel: an arm ends with a place of its own");
                assert_eq!(receiver.try_recv(), Ok(1));
            });
            task::yield_now();
            sender.try_send(1).unwrap();
            forging.join().unwrap();

            sender.try_send(2).unwrap();
            let forging = s.spawn(|| {
                let place = select(Forger(sender.sending(3))).unwrap();
                assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)), "it is set aside");
                drop(place);
                sender.try_send(5).unwrap();
            });
            task::yield_now();
            assert_eq!(receiver.try_recv(), Ok(2));
            forging.join().unwrap();
            assert_eq!(receiver.try_recv(), Ok(5));
        });
    });
}

#[test]
fn while_a_thread_may_wake_a_task_no_deadlock_is_found_and_closing_wakes_it() {
    let (sender, receiver) = cross::unbounded();
    thread::scope(|s| {
        let (task_sees, thread_sees) = (receiver.clone(), receiver);
        s.spawn(move || {
            receivers_wait(&thread_sees, 1);
            sender.send(1).unwrap();
            receivers_wait(&thread_sees, 1);
            drop(sender);
        });
        let received = Runtime::new().try_run(|| (task_sees.recv(), task_sees.recv())).unwrap();
        assert_eq!(received, (Ok(1), Err(RecvError::Closed)));
    });
}

/// The ticket of the wait is gone with it.
#[test]
fn a_deadlock_elsewhere_is_found_when_nobody_waits_between_threads_any_more() {
    let (_sender, receiver) = cross::unbounded::<()>();
    let ended = Runtime::builder().clock(ropewalk::Clock::Virtual).build().try_run(|| {
        assert!(receiver.recv_timeout(seconds(1)).is_err());
        assert!(matches!(select((receiver.receiving(), time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
        task::scope(|s| {
            s.spawn(|| receiver.recv()).cancel();
        });
        lowlevel::WaitList::<()>::new().wait(&lowlevel::Why::new("nothing"))
    });
    let Err(RunError::Deadlock { report, .. }) = ended else { panic!("{ended:?}") };
    assert!(report.contains("waits for nothing"), "{report}");
}

#[test]
fn dumps_show_what_is_waited_for_between_threads_and_where() {
    run(|| {
        let (sender, receiver) = cross::rendezvous::<u8>();
        let event = Event::new();
        task::scope(|s| {
            let shown = [
                s.spawn(|| receiver.recv().map(drop).map_err(drop)),
                s.spawn(|| receiver.recv_timeout(seconds(9)).map(drop).map_err(drop)),
                s.spawn(|| select((receiver.receiving(), event.waiting())).map(drop).map_err(drop)),
                s.spawn(|| event.wait().map_err(drop)),
            ];
            task::yield_now();
            for (task, what) in shown.iter().zip(["recv (", "recv (", "select recv, event (", "event ("]) {
                let info = task.info().to_string();
                assert!(info.contains(&format!("waits for {what}")), "{info}");
                assert!(info.contains("cross.rs"), "{info}");
                assert!(info.contains("tests/it"), "{info}");
            }
            for task in shown {
                task.cancel();
            }
        });
        drop(sender);
    });
}

#[test]
fn threads_hear_when_a_runtime_ends_with_its_ends() {
    let (sender, receiver) = cross::unbounded::<()>();
    let (to_runtime, in_runtime) = cross::rendezvous();
    thread::scope(|s| {
        let waiting_to_receive = s.spawn(|| receiver.recv());
        let waiting_to_send = s.spawn(|| to_runtime.send("unheard"));
        receivers_wait(&receiver, 1);
        senders_wait(&to_runtime, 1);
        run(move || {
            task::scope(|s| {
                s.spawn_service(move || {
                    let _ends = (sender, in_runtime);
                    sleep(1_000_000)
                });
            });
        });
        assert_eq!(waiting_to_receive.join().unwrap(), Err(RecvError::Closed));
        assert_eq!(waiting_to_send.join().unwrap(), Err(SendError::Closed("unheard")));
    });
}

#[test]
fn a_task_hears_when_a_thread_dies_with_its_end() {
    let (sender, receiver) = cross::unbounded::<()>();
    let watching = receiver.clone();
    let dying = thread::spawn(move || {
        let _end = sender;
        receivers_wait(&watching, 1);
        panic!("as the test wants it");
    });
    assert_eq!(ropewalk::run(|| receiver.recv()), Err(RecvError::Closed));
    assert!(dying.join().is_err());
    assert_eq!(receiver.statistics().senders, 0);
}

#[test]
fn a_thread_hears_when_a_task_panics_with_its_end() {
    let (sender, receiver) = cross::unbounded();
    let thread = thread::spawn(move || receiver.iter().collect::<Vec<_>>());
    run(|| {
        let panics = task::spawn(move || {
            sender.send(1).unwrap();
            panic!("with {sender:?}");
        });
        panic_of(panics.join())
    });
    assert_eq!(thread.join().unwrap(), [1]);
}

#[test]
fn what_a_channel_tells() {
    let (sender, receiver) = cross::bounded(3);
    sender.send_all([1, 2]).unwrap();
    receiver.recv().unwrap();
    let second = sender.clone();
    let now = receiver.statistics();
    assert_eq!((now.len, now.capacity, now.peak, now.senders, now.receivers), (1, Some(3), 2, 2, 1));
    assert_eq!((now.waiting_to_send, now.waiting_to_receive, now.is_closed), (0, 0, false));
    assert!(sender.same_channel(&second) && !sender.same_channel(&cross::bounded(3).0));
    assert_eq!(cross::unbounded::<()>().0.capacity(), None);
    assert_eq!(format!("{receiver:?}"), "Receiver { len: 1, capacity: Some(3), is_closed: false }");
    assert_eq!(receiver.into_iter().next(), Some(2));
    assert!(sender.is_closed());
}

#[test]
fn what_is_sent_once_is_received_once() {
    let (sender, receiver) = cross::oneshot();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Elapsed));
    sender.send("once").unwrap();
    assert_eq!(receiver.recv(), Ok("once"));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));

    let (sender, receiver) = cross::oneshot();
    thread::scope(|s| {
        let waiting = s.spawn(|| ropewalk::run(|| select(receiver.receiving())));
        sender.send("to an arm").unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(Ok("to an arm")));
    });
}

#[test]
fn either_end_of_a_channel_for_one_item_may_go() {
    let (sender, receiver) = cross::oneshot();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send("back"), Err(Closed("back")));
    let (sender, receiver) = cross::oneshot::<()>();
    drop(sender);
    assert_eq!(ropewalk::run(|| receiver.recv()), Err(RecvError::Closed));
    let (sender, receiver) = cross::oneshot();
    receiver.close();
    assert_eq!(sender.send(1), Err(Closed(1)));
    let (sender, receiver) = cross::oneshot();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(receiver.recv(), Ok(1));
}

static OPENED: Event = Event::new();

#[test]
fn an_event_lets_all_go_who_wait_and_those_who_come_while_it_is_set() {
    thread::scope(|s| {
        let by_thread = s.spawn(|| OPENED.wait());
        let by_task = s.spawn(|| ropewalk::run(|| OPENED.wait()));
        let by_arm = s.spawn(|| ropewalk::run(|| select((OPENED.waiting(), time::sleeping(seconds(3600))))));
        look_until(|| OPENED.waiters() == 3);
        OPENED.set();
        by_thread.join().unwrap().unwrap();
        by_task.join().unwrap().unwrap();
        assert_eq!(by_arm.join().unwrap(), Ok(Chosen::First(())));
    });
    OPENED.wait().unwrap();
    assert!(OPENED.is_set());
    OPENED.clear();
    assert_eq!(OPENED.wait_timeout(Duration::ZERO), Ok(false));
}

#[test]
fn whoever_was_woken_by_an_event_goes_on_though_it_was_cleared_at_once() {
    check(
        |log| {
            let event = Event::new();
            task::scope(|s| {
                s.spawn(|| {
                    event.wait().unwrap();
                    log.add("woken");
                    assert!(!event.is_set());
                });
                task::yield_now();
                event.set();
                event.clear();
                log.add("cleared");
                // Whoever waits from now on waits for the next time.
                let later = s.spawn(|| event.wait());
                task::yield_now();
                task::yield_now();
                assert_eq!(event.waiters(), 1);
                later.cancel();
                assert!(later.join().unwrap().is_err());
                assert_eq!(event.waiters(), 0);
            });
        },
        &["cleared", "woken"],
    );
}

#[test]
fn a_cancelled_wait_for_an_event_leaves_nothing_behind() {
    run(|| {
        let event = Event::new();
        assert!(time::timeout(seconds(1), || event.wait()).is_err());
        assert!(matches!(select((event.waiting(), time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
        assert_eq!(event.waiters(), 0);
    });
}

#[test]
fn ends_go_to_other_threads_if_their_items_do() {
    fn assert_goes<T: Send + Sync>() {}
    // `Cell` is `Send` and not `Sync`.
    assert_goes::<(
        Sender<Cell<u8>>,
        Receiver<Cell<u8>>,
        oneshot::Sender<Cell<u8>>,
        oneshot::Receiver<Cell<u8>>,
        Event,
    )>();
}

#[test]
fn a_thread_that_was_unparked_for_no_reason_waits_on() {
    let (sender, receiver) = cross::unbounded();
    thread::scope(|s| {
        let waiting = s.spawn(|| {
            thread::current().unpark();
            receiver.recv()
        });
        receivers_wait(&receiver, 1);
        (0..10).for_each(|_| waiting.thread().unpark());
        sender.send(1).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_task_that_always_finds_an_item_lets_others_run() {
    run(|| {
        let (sender, receiver) = cross::unbounded();
        sender.send_all(0..10_000).unwrap();
        let turns = RefCell::new(0);
        task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    *turns.borrow_mut() += 1;
                }
            });
            receiver.iter().take(10_000).for_each(drop);
        });
        assert!(*turns.borrow() > 10, "others had {} turns", turns.borrow());
    });
}
