//! What threads do to the door, and to what they share with tasks, in every order in which it can happen.
//!
//! Empty unless built for it: `RUSTFLAGS="--cfg loom" cargo test --release --test loom`. The files of the library are
//! compiled into this test, and take their atomics from loom.
//!
//! Loom sees three kinds of failure: an assertion that fails in some order; a thread that nobody wakes any more (a lost
//! wake-up is a deadlock); and memory that is read without having been handed over. For the last, messages carry a
//! [`Proof`].
#![cfg(loom)]

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

mod cross;
mod kernel;
mod shards;

#[path = "../../src/blocking"]
#[allow(dead_code, unreachable_pub)]
mod blocking {
    mod job;
    mod submitted;
    mod threads;

    // Here, for it sees what is nobody else's to see.
    #[path = "../../tests/loom/jobs.rs"]
    mod jobs;
}

#[path = "../../src/channel"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
mod channel {
    pub mod cross;
    pub mod error;

    pub use error::{Closed, RecvError, SendError, TryRecvError, TrySendError};

    /// As in `flow.rs`, which tasks of one runtime share and no threads.
    pub struct Statistics {
        pub len: usize,
        pub capacity: Option<usize>,
        pub peak: usize,
        pub senders: usize,
        pub receivers: usize,
        pub permits: usize,
        pub waiting_to_send: usize,
        pub waiting_to_receive: usize,
        pub is_closed: bool,
    }
}
#[path = "../../src/clock.rs"]
#[allow(dead_code)]
mod clock;
#[path = "../../src/driver"]
mod driver {
    mod alarm;
    pub(crate) mod idle;

    pub(crate) use alarm::Alarm;
}
mod error {
    pub(crate) use crate::kernel::error::{Cancelled, Reason};
}
#[path = "../../src/primitive.rs"]
mod primitive;
#[path = "../../src/report.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod report;
#[path = "../../src/scheduler"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod scheduler {
    pub(crate) mod cross;
    pub(crate) mod door;

    pub(crate) use crate::kernel::{Deposit, fork};
    use crate::kernel::{here, park, record, remote, ticket, why};
    pub(crate) use cross::wait_elsewhere;

    pub(crate) mod lowlevel {
        pub(crate) use super::cross::{
            CrossError, CrossLine, CrossTicket, CrossWait, CrossWaiter, cross_may_wait, cross_park,
            cross_park_for,
        };
        pub(crate) use super::ticket::{Ticket, Undo};
        pub(crate) use super::why::Why;
        pub(crate) use crate::kernel::arm::{Arm, ByTicket, Register};
        pub(crate) use crate::kernel::shield;
    }
}
#[path = "../../src/shards/jobs.rs"]
#[allow(dead_code)]
mod jobs;

#[path = "../../src/sync"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod sync {
    pub mod cross;
}

#[path = "../../src/work.rs"]
#[allow(dead_code)]
mod work;

use driver::Alarm;
use driver::idle::Idle;
use scheduler::door::{Door, Mail};

/// Explores all orders. Where that would take too long, those in which a thread is interrupted at most `interruptions`
/// times in all, which finds nearly everything (loom says so, and the mistakes that were tried).
fn explore(interruptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = interruptions;
    builder.check(model);
}

/// Is written before it is handed over and read after it: loom fails if nothing orders the two.
struct Proof(UnsafeCell<usize>);

impl Proof {
    fn of(number: usize) -> Proof {
        let proof = Proof(UnsafeCell::new(0));
        proof.write(number);
        proof
    }

    #[allow(unsafe_code)]
    fn write(&self, number: usize) {
        // SAFETY: loom checks that nobody else is at it.
        self.0.with_mut(|inside| unsafe { *inside = number });
    }

    #[allow(unsafe_code)]
    fn read(&self) -> usize {
        // SAFETY: as above.
        self.0.with(|inside| unsafe { *inside })
    }
}

#[allow(unsafe_code)]
// SAFETY: loom checks it, which is what it is for.
unsafe impl Sync for Proof {}

struct Message {
    from: usize,
    number: Proof,
    /// Loom counts these, and fails if one is never dropped.
    _alive: Arc<()>,
}

fn message(from: usize, number: usize) -> Message {
    Message { from, number: Proof::of(number), _alive: Arc::new(()) }
}

/// An alarm with room for interruptions between what it does, which [`Idle`] has not: loom's `unpark` is one step.
#[derive(Clone)]
struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn new() -> Bell {
        Bell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn wait(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Alarm for Bell {
    fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

type SharedDoor = Arc<Door<Message, Bell>>;

fn open() -> (SharedDoor, Bell) {
    let bell = Bell::new();
    (Arc::new(Door::new(bell.clone())), bell)
}

/// As a loop does that has looked around and found nothing.
fn sleep<M>(door: &Door<M, Bell>, bell: &Bell) {
    if door.fall_asleep() {
        bell.wait();
        door.wake_up();
    }
}

/// Pushes `numbers` until the loop is gone; how many went well. What was refused comes back whole.
fn produce(door: &SharedDoor, from: usize, numbers: usize) -> usize {
    for number in 0..numbers {
        if let Err(back) = door.push(message(from, number)) {
            assert_eq!((back.from, back.number.read()), (from, number));
            return number;
        }
    }
    numbers
}

fn producer(door: &SharedDoor, from: usize, numbers: usize) -> thread::JoinHandle<usize> {
    let door = door.clone();
    thread::spawn(move || produce(&door, from, numbers))
}

fn join<R, const N: usize>(threads: [thread::JoinHandle<R>; N]) -> [R; N] {
    threads.map(|thread| thread.join().unwrap())
}

/// Counts what came of each producer, in order and whole.
fn sort(mail: Mail<Message>, delivered: &mut [usize]) {
    for message in mail {
        assert_eq!(message.number.read(), delivered[message.from]);
        delivered[message.from] += 1;
    }
}

#[test]
fn a_push_while_the_loop_falls_asleep_wakes_it() {
    explore(None, || {
        let (door, bell) = open();
        let producer = producer(&door, 0, 2);
        let mut delivered = [0];
        loop {
            sort(door.take(), &mut delivered);
            if delivered == [2] {
                break;
            }
            sleep(&door, &bell);
        }
        producer.join().unwrap();
    });
}

#[test]
fn two_producers_wake_the_loop_and_each_ones_order_is_kept() {
    explore(Some(3), || {
        let (door, bell) = open();
        let producers = [producer(&door, 0, 2), producer(&door, 1, 1)];
        let mut delivered = [0, 0];
        loop {
            sort(door.take(), &mut delivered);
            if delivered == [2, 1] {
                break;
            }
            sleep(&door, &bell);
        }
        join(producers);
    });
}

#[test]
fn a_push_while_the_loop_falls_asleep_wakes_it_from_a_parked_thread() {
    explore(None, || {
        let idle = Idle::new();
        let door = Arc::new(Door::new(idle.alarm()));
        let producer = thread::spawn({
            let door = door.clone();
            move || (0..2).for_each(|number| assert!(door.push(message(0, number)).is_ok()))
        });
        let mut delivered = [0];
        while delivered != [2] {
            if door.fall_asleep() {
                idle.wait(None);
                door.wake_up();
            }
            sort(door.take(), &mut delivered);
        }
        producer.join().unwrap();
    });
}

#[test]
fn a_loop_that_wakes_up_by_itself_misses_nothing() {
    explore(Some(4), || {
        let (door, bell) = open();
        let clock = Idle::new();
        let producer = producer(&door, 0, 2);
        let mut delivered = [0];
        // The time may be over before, while or after a message comes.
        if door.fall_asleep() {
            clock.wait(Some(Duration::ZERO));
            door.wake_up();
        }
        loop {
            sort(door.take(), &mut delivered);
            if delivered == [2] {
                break;
            }
            sleep(&door, &bell);
        }
        producer.join().unwrap();
    });
}

/// As the alarm of a driver that is made for the first operation: rings what the loop waits in at that time. Which one that is
/// is not ordered by anything but the door.
#[derive(Clone)]
struct Changing {
    bells: [Bell; 2],
    now: Arc<AtomicUsize>,
}

impl Alarm for Changing {
    fn ring(&self) {
        self.bells[self.now.load(Ordering::Relaxed)].ring();
    }
}

#[test]
fn a_loop_that_waits_in_something_else_from_now_on_is_rung_there() {
    explore(Some(4), || {
        let alarm = Changing { bells: [Bell::new(), Bell::new()], now: Arc::new(AtomicUsize::new(0)) };
        let door = Arc::new(Door::new(alarm.clone()));
        let producer = thread::spawn({
            let door = door.clone();
            move || (0..2).for_each(|number| assert!(door.push(message(0, number)).is_ok()))
        });
        let mut delivered = [0];
        // The first wait ends by itself, as when a timer is due.
        if door.fall_asleep() {
            door.wake_up();
        }
        sort(door.take(), &mut delivered);
        alarm.now.store(1, Ordering::Relaxed);
        while delivered != [2] {
            if door.fall_asleep() {
                alarm.bells[1].wait();
                door.wake_up();
            }
            sort(door.take(), &mut delivered);
        }
        producer.join().unwrap();
    });
}

/// Whoever lets go of the last handle knocks; the loop must find out that it was the last. Release: whoever acquires that
/// there are none will find what was pushed through them.
fn let_go(handles: &AtomicUsize, door: &Door<Message, Bell>) {
    if handles.fetch_sub(1, Ordering::Release) == 1 {
        door.knock();
    }
}

#[test]
fn a_knock_while_the_loop_falls_asleep_wakes_it() {
    explore(Some(3), || {
        let (door, bell) = open();
        let handles = Arc::new(AtomicUsize::new(2));
        let threads = [(); 2].map(|()| {
            let (door, handles) = (door.clone(), handles.clone());
            thread::spawn(move || let_go(&handles, &door))
        });
        while handles.load(Ordering::Relaxed) > 0 {
            sleep(&door, &bell);
        }
        join(threads);
    });
}

/// Two threads push and then let go; the loop takes its mail until nobody is left.
fn push_and_let_go(sleep_first: bool) {
    let (door, bell) = open();
    let handles = Arc::new(AtomicUsize::new(2));
    let threads = [0, 1].map(|from| {
        let (door, handles) = (door.clone(), handles.clone());
        thread::spawn(move || {
            assert_eq!(produce(&door, from, 1), 1);
            let_go(&handles, &door);
        })
    });
    let mut delivered = [0, 0];
    if sleep_first {
        sleep(&door, &bell);
    }
    loop {
        sort(door.take(), &mut delivered);
        if handles.load(Ordering::Acquire) == 0 {
            break;
        }
        sleep(&door, &bell);
    }
    // What was pushed before the last one let go may have come after the last look.
    sort(door.take(), &mut delivered);
    assert_eq!(delivered, [1, 1]);
    join(threads);
}

#[test]
fn a_knock_upon_mail_is_not_lost() {
    explore(Some(2), || push_and_let_go(false));
}

#[test]
fn a_knock_upon_a_sleeper_that_has_mail_is_not_lost() {
    explore(Some(2), || push_and_let_go(true));
}

#[test]
fn two_knocks_hand_over_what_was_done_before_either() {
    explore(Some(3), || {
        let (door, bell) = open();
        let done = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let threads = [0, 1].map(|which| {
            let (door, done) = (door.clone(), done.clone());
            thread::spawn(move || {
                done[which].store(1, Ordering::Relaxed);
                door.knock();
            })
        });
        while done.iter().any(|done| done.load(Ordering::Relaxed) == 0) {
            sleep(&door, &bell);
        }
        join(threads);
    });
}

/// An alarm that rings and orders nothing, as one through the kernel may.
struct Flag(Arc<AtomicBool>);

impl Alarm for Flag {
    fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_was_done_before_a_knock_is_seen_whatever_the_alarm_is_made_of() {
    explore(None, || {
        let rung = Arc::new(AtomicBool::new(false));
        let door = Arc::new(Door::<(), _>::new(Flag(rung.clone())));
        let last_words = Arc::new(Proof::of(0));
        let thread = thread::spawn({
            let (door, last_words) = (door.clone(), last_words.clone());
            move || {
                last_words.write(7);
                door.knock();
            }
        });
        if door.fall_asleep() {
            while !rung.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            door.wake_up();
        }
        assert_eq!(last_words.read(), 7);
        thread.join().unwrap();
    });
}

#[test]
fn a_push_while_the_loop_closes_is_delivered_or_refused() {
    explore(Some(3), || {
        let (door, _) = open();
        let producers = [producer(&door, 0, 2), producer(&door, 1, 1)];
        let mut delivered = [0, 0];
        sort(door.take(), &mut delivered);
        sort(door.close(), &mut delivered);
        let accepted = join(producers);
        assert_eq!(accepted, delivered);
        assert_eq!(door.take().count() + door.close().count(), 0);
    });
}

#[test]
fn whoever_is_refused_sees_what_the_loop_did_before_it_closed() {
    explore(Some(3), || {
        let (door, _) = open();
        let last_words = Arc::new(Proof::of(0));
        let threads = [(); 2].map(|()| {
            let (door, last_words) = (door.clone(), last_words.clone());
            thread::spawn(move || {
                if produce(&door, 0, 1) == 0 || door.is_closed() {
                    assert_eq!(last_words.read(), 7);
                }
            })
        });
        last_words.write(7);
        drop(door.close());
        join(threads);
    });
}

#[test]
fn a_door_that_is_dropped_drops_its_mail() {
    explore(Some(3), || {
        let (door, _) = open();
        let producers = [producer(&door, 0, 1), producer(&door, 1, 1)];
        // Whoever is last drops the door; loom finds what was not dropped with it.
        drop(door);
        join(producers);
    });
}
