//! The door with threads that really run and a loop that really sleeps. It is private: its files are compiled into this
//! test. What `tests/loom` tries out in every order, for a few steps, goes on here for some hundred thousand.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

#[path = "../src/driver"]
mod driver {
    mod alarm;
    pub(crate) mod idle;

    pub(crate) use alarm::Alarm;
}
#[path = "../src/primitive.rs"]
#[allow(dead_code, unused_imports)]
mod primitive;
#[path = "../src/scheduler"]
mod scheduler {
    pub(crate) mod door;
}

use driver::Alarm;
use driver::idle::{Idle, IdleAlarm};
use scheduler::door::{Door, Mail};

const PRODUCERS: usize = 4;
const EACH: usize = 100_000;

/// Who pushed it, and how many he pushed before.
#[derive(Debug, PartialEq)]
struct Message {
    from: usize,
    number: usize,
}

/// What a loop has had of each producer.
#[derive(Default)]
struct Delivered {
    counts: [usize; PRODUCERS],
}

impl Delivered {
    fn add(&mut self, mail: Mail<Message>) {
        for message in mail {
            assert_eq!(message.number, self.counts[message.from], "out of order, from {}", message.from);
            self.counts[message.from] += 1;
        }
    }

    fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

/// Counts how often it was rung.
#[derive(Clone, Default)]
struct Bell(Arc<AtomicUsize>);

impl Alarm for Bell {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    /// Since the last time that somebody asked.
    fn rings(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn belled<M>() -> (Door<M, Bell>, Bell) {
    let bell = Bell::default();
    (Door::new(bell.clone()), bell)
}

/// Pushes until it has pushed `most` messages or is refused; how many went well.
fn produce(door: &Door<Message, IdleAlarm>, from: usize, most: usize) -> usize {
    for number in 0..most {
        if let Err(back) = door.push(Message { from, number }) {
            assert_eq!(back, Message { from, number });
            return number;
        }
        // Now and then the loop gets to the end of its mail.
        if number % 100 == from {
            thread::yield_now();
        }
    }
    most
}

/// What a loop does when there is nothing to do.
fn sleep<M>(door: &Door<M, IdleAlarm>, idle: &Idle) {
    if door.fall_asleep() {
        idle.wait(None);
        door.wake_up();
    }
}

#[test]
fn every_message_arrives_and_each_producers_in_order() {
    let idle = Idle::new();
    let door = Door::new(idle.alarm());
    let mut delivered = Delivered::default();
    thread::scope(|threads| {
        for from in 0..PRODUCERS {
            let door = &door;
            threads.spawn(move || assert_eq!(produce(door, from, EACH), EACH));
        }
        while delivered.total() < PRODUCERS * EACH {
            sleep(&door, &idle);
            delivered.add(door.take());
        }
    });
    assert_eq!(delivered.counts, [EACH; PRODUCERS]);
    assert!(!door.has_mail());
}

/// Answers every message. Whoever sent it waits for the answer, so that the loop is idle `between` messages.
fn answer_all(trips: usize, mut between: impl FnMut(&Door<mpsc::Sender<()>, IdleAlarm>, &Idle)) {
    let idle = Idle::new();
    let door = Door::new(idle.alarm());
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let (answer, answered) = mpsc::channel();
                for _ in 0..trips {
                    door.push(answer.clone()).unwrap();
                    answered.recv().unwrap();
                }
            });
        }
        let mut left = 2 * trips;
        while left > 0 {
            for answer in door.take() {
                answer.send(()).unwrap();
                left -= 1;
            }
            if left > 0 {
                between(&door, &idle);
            }
        }
    });
}

#[test]
fn a_loop_that_sleeps_before_every_message_misses_none() {
    answer_all(20_000, sleep);
}

#[test]
fn a_program_that_parks_the_same_thread_eats_no_wake_up() {
    answer_all(20_000, |door, idle| {
        sleep(door, idle);
        // As a task of the program may: the first leaves a token behind, the second eats one that came late.
        thread::current().unpark();
        thread::park_timeout(Duration::ZERO);
    });
}

#[test]
fn a_wait_that_ends_early_for_a_deadline_leaves_the_door_usable() {
    let mut round = 0;
    answer_all(5_000, |door, idle| {
        if door.fall_asleep() {
            round += 1;
            idle.wait((round % 2 == 0).then_some(Duration::from_nanos(1)));
            door.wake_up();
        }
    });
}

#[test]
fn the_knock_of_the_last_handle_wakes_a_loop_that_has_nothing_else_to_wait_for() {
    for _ in 0..2_000 {
        let idle = Idle::new();
        let door = Door::<(), _>::new(idle.alarm());
        let handles = AtomicUsize::new(2);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    if handles.fetch_sub(1, Ordering::Relaxed) == 1 {
                        door.knock();
                    }
                });
            }
            while handles.load(Ordering::Relaxed) > 0 {
                sleep(&door, &idle);
            }
        });
    }
}

#[test]
fn a_loop_that_closes_in_the_middle_gets_what_was_accepted_and_no_more() {
    for round in 0..20 {
        let idle = Idle::new();
        let door = Door::new(idle.alarm());
        let mut delivered = Delivered::default();
        let accepted: Vec<usize> = thread::scope(|threads| {
            let door = &door;
            let producers: Vec<_> =
                (0..PRODUCERS).map(|from| threads.spawn(move || produce(door, from, usize::MAX))).collect();
            while delivered.total() <= round * 500 {
                sleep(door, &idle);
                delivered.add(door.take());
            }
            delivered.add(door.close());
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        assert!(door.is_closed());
        assert_eq!(accepted, delivered.counts);
        assert_eq!(door.take().count(), 0);
    }
}

#[test]
fn an_alarm_is_rung_once_for_each_sleep_and_for_nobody_awake() {
    let (door, bell) = belled();
    door.push(1).unwrap();
    assert_eq!(bell.rings(), 0);
    assert!(door.has_mail());
    assert!(!door.fall_asleep(), "there is mail");
    assert_eq!(door.take().collect::<Vec<_>>(), [1]);

    assert!(door.fall_asleep());
    assert!(!door.has_mail());
    door.push(2).unwrap();
    door.push(3).unwrap();
    assert_eq!(bell.rings(), 1);
    door.wake_up();
    door.push(4).unwrap();
    assert_eq!(bell.rings(), 0);
    assert_eq!(door.take().collect::<Vec<_>>(), [2, 3, 4]);

    assert!(door.fall_asleep() && door.is_asleep());
    door.wake_up();
    assert!(!door.is_asleep());
    door.push(5).unwrap();
    assert_eq!(bell.rings(), 0, "it woke up by itself");
    assert_eq!(door.close().collect::<Vec<_>>(), [5]);
    assert_eq!(door.push(6), Err(6));
    assert_eq!(door.close().count(), 0);
    assert!(door.is_closed() && !door.has_mail() && !door.fall_asleep());
}

#[test]
fn a_knock_is_remembered_until_the_loop_would_sleep() {
    let (door, bell) = belled::<u8>();
    door.knock();
    door.knock();
    assert!(!door.has_mail());
    assert_eq!(door.take().count(), 0);
    assert!(!door.fall_asleep(), "it has to look around first");
    assert!(door.fall_asleep());
    assert_eq!(bell.rings(), 0);
    door.knock();
    assert_eq!(bell.rings(), 1);
    door.wake_up();
    assert!(door.fall_asleep(), "it has just looked around");
    door.wake_up();

    // Mail says to look around by itself, whichever comes first.
    door.knock();
    door.push(1).unwrap();
    door.knock();
    assert_eq!(door.take().collect::<Vec<_>>(), [1]);
    assert!(door.fall_asleep());
    door.wake_up();
    assert_eq!(door.close().count(), 0);
    door.knock();
    assert!(door.is_closed());
    assert_eq!(bell.rings(), 0);
}

/// When it is dropped it pushes another, or panics.
struct Trouble {
    door: Weak<Door<Trouble, Bell>>,
    again: bool,
    panics: bool,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if let Some(door) = self.door.upgrade().filter(|_| self.again) {
            let quiet =
                Trouble { door: Weak::new(), again: false, panics: false, dropped: self.dropped.clone() };
            let _ = door.push(quiet);
        }
        assert!(!self.panics, "as the test wants it");
    }
}

/// A door with three messages, which push again, and the second of which panics; and how many were dropped.
fn troubled() -> (Arc<Door<Trouble, Bell>>, Arc<AtomicUsize>) {
    let door = Arc::new(belled().0);
    let dropped = Arc::new(AtomicUsize::new(0));
    for number in 0..3 {
        let message = Trouble {
            door: Arc::downgrade(&door),
            again: true,
            panics: number == 1,
            dropped: dropped.clone(),
        };
        assert!(door.push(message).is_ok());
    }
    (door, dropped)
}

fn assert_panics(what: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(what)).is_err());
}

#[test]
fn mail_that_panics_or_pushes_when_it_is_dropped_loses_none() {
    let (door, dropped) = troubled();
    assert_panics(|| drop(door.take()));
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    assert_eq!(door.take().count(), 3, "each has pushed another");
    assert_eq!(dropped.load(Ordering::Relaxed), 6);

    let (door, dropped) = troubled();
    assert_panics(|| drop(door.close()));
    assert_eq!(dropped.load(Ordering::Relaxed), 6, "the others were refused, and dropped");

    let (door, dropped) = troubled();
    assert_panics(|| drop(door));
    assert_eq!(dropped.load(Ordering::Relaxed), 3, "there was no door left to push to");
}

#[test]
fn mail_taken_in_part_drops_the_rest() {
    let (door, _) = belled();
    let token = Arc::new(());
    for _ in 0..3 {
        door.push(token.clone()).unwrap();
    }
    let mut mail = door.take();
    drop(mail.next());
    assert_eq!(Arc::strong_count(&token), 3);
    drop(mail);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_door_is_shared_though_its_messages_are_not() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Door<Cell<u8>, IdleAlarm>>();
}

#[test]
fn a_ring_before_the_wait_ends_it_at_once() {
    let idle = Idle::new();
    let alarm = idle.alarm();
    thread::spawn(move || alarm.clone().ring()).join().unwrap();
    // Would never end otherwise: nobody is left to ring.
    idle.wait(None);
}
