//! Thousands of random programs, under random schedules, in which tasks meet: at locks, channels, and whatever else waits.
//!
//! A program does at random what can be done with its primitives, limits it by deadlines, cancels what waits, and selects. All of it is
//! told to a sequential model, which says who is granted what and when, down to the step of the task; each result must be
//! that of the model, and after each event all that can be seen of a primitive. See [`ledger`] for how that is known.
//!
//! `ROPEWALK_SEEDS` in the environment says how many; a failing seed prints the line that replays it, and the replay prints
//! all that happened.

mod barrier;
mod broadcasts;
mod channels;
mod condvar;
mod gates;
mod helpers;
mod item;
mod ledger;
mod limiter;
mod mutex;
mod once;
mod oneshots;
mod queues;
mod reentrant;
mod rw_lock;
mod semaphore;
mod things;
mod watches;
mod world;

use std::cell::RefCell;
use std::time::Duration;

use ropewalk::select::select;
use ropewalk::testing::{self, random};
use ropewalk::{channel, task, time};

use world::{Furniture, check};

/// One to three of a kind.
fn some(furniture: &mut Furniture, furnish: fn(&mut Furniture)) {
    for _ in 0..1 + random(3) {
        furnish(furniture);
    }
}

#[test]
fn whatever_the_schedule_a_mutex_does_what_its_model_says() {
    check(|furniture| some(furniture, mutex::furnish));
}

#[test]
fn whatever_the_schedule_a_channel_does_what_its_model_says() {
    check(|furniture| some(furniture, channels::furnish));
}

#[test]
fn whatever_the_schedule_a_reentrant_mutex_does_what_its_model_says() {
    check(|furniture| some(furniture, reentrant::furnish));
}

#[test]
fn whatever_the_schedule_a_rw_lock_does_what_its_model_says() {
    check(|furniture| some(furniture, rw_lock::furnish));
}

#[test]
fn whatever_the_schedule_a_condvar_does_what_its_model_says() {
    check(|furniture| some(furniture, condvar::furnish));
}

#[test]
fn whatever_the_schedule_a_semaphore_does_what_its_model_says() {
    check(|furniture| some(furniture, semaphore::furnish));
}

#[test]
fn whatever_the_schedule_a_limiter_does_what_its_model_says() {
    check(|furniture| some(furniture, limiter::furnish));
}

#[test]
fn whatever_the_schedule_a_barrier_does_what_its_model_says() {
    check(|furniture| some(furniture, barrier::furnish));
}

#[test]
fn whatever_the_schedule_an_event_does_what_its_model_says() {
    check(|furniture| some(furniture, gates::furnish_event));
}

#[test]
fn whatever_the_schedule_a_latch_does_what_its_model_says() {
    check(|furniture| some(furniture, gates::furnish_latch));
}

#[test]
fn whatever_the_schedule_a_wait_group_does_what_its_model_says() {
    check(|furniture| some(furniture, gates::furnish_wait_group));
}

#[test]
fn whatever_the_schedule_a_once_cell_does_what_its_model_says() {
    check(|furniture| some(furniture, once::furnish));
}

#[test]
fn whatever_the_schedule_a_oneshot_does_what_its_model_says() {
    check(|furniture| {
        for _ in 0..4 + random(6) {
            oneshots::furnish(furniture);
        }
    });
}

#[test]
fn whatever_the_schedule_a_broadcast_does_what_its_model_says() {
    check(|furniture| some(furniture, broadcasts::furnish));
}

#[test]
fn whatever_the_schedule_a_lossy_broadcast_does_what_its_model_says() {
    check(|furniture| some(furniture, broadcasts::furnish_lossy));
}

#[test]
fn whatever_the_schedule_a_watch_does_what_its_model_says() {
    check(|furniture| some(furniture, watches::furnish));
}

#[test]
fn whatever_the_schedule_a_queue_does_what_its_model_says() {
    check(|furniture| some(furniture, queues::furnish));
}

#[test]
fn whatever_the_schedule_a_lifo_queue_does_what_its_model_says() {
    check(|furniture| some(furniture, queues::furnish_lifo));
}

#[test]
fn whatever_the_schedule_a_priority_queue_does_what_its_model_says() {
    check(|furniture| some(furniture, queues::furnish_priority));
}

/// Of any kind.
const ALL: [fn(&mut Furniture); 20] = [
    barrier::furnish,
    broadcasts::furnish,
    broadcasts::furnish_lossy,
    channels::furnish,
    condvar::furnish,
    gates::furnish_event,
    gates::furnish_latch,
    gates::furnish_wait_group,
    helpers::furnish,
    limiter::furnish,
    mutex::furnish,
    once::furnish,
    oneshots::furnish,
    queues::furnish,
    queues::furnish_lifo,
    queues::furnish_priority,
    reentrant::furnish,
    rw_lock::furnish,
    semaphore::furnish,
    watches::furnish,
];

#[test]
fn whatever_the_schedule_select_does_what_the_models_of_its_arms_say() {
    check(|furniture| {
        for _ in 0..2 + random(3) {
            match random(2) {
                0 => channels::furnish(furniture),
                _ => ALL[random(ALL.len())](furniture),
            }
        }
    });
}

/// Found by the seeds above: what is woken for nothing looks again, and must not say that a wait has failed if it finds something.
#[test]
fn what_a_select_finds_when_it_looks_again_is_not_lost_in_a_scope_that_was_cancelled_meanwhile() {
    testing::run(|| {
        let (sender, receiver) = channel::broadcast(4);
        let canceller = RefCell::new(None);
        task::scope(|s| {
            let first = s.spawn(|| receiver.recv());
            task::yield_now();
            let second = s.spawn(|| {
                time::move_on_after(Duration::from_secs(1), |scope| {
                    *canceller.borrow_mut() = Some(scope.canceller());
                    select(receiver.receiving())
                })
            });
            task::yield_now();
            sender.try_send("for the first of those who share a receiver").unwrap();
            sender.try_send("for whoever looks").unwrap();
            canceller.borrow().as_ref().unwrap().cancel();
            assert!(first.join().unwrap().is_ok());
            match second.join().unwrap() {
                Some(Ok(received)) => assert_eq!(received, Ok("for whoever looks")),
                _ => assert_eq!(receiver.try_recv(), Ok("for whoever looks")),
            }
        });
    });
}
