//! Channels and events between threads, with threads that really run and several runtimes. What `tests/loom` tries out in
//! every order, for a few steps, goes on here for some ten thousand, with waits that are cut short at any moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk::channel::cross::{self, Receiver, RecvTimeoutError, SendTimeoutError, Sender, oneshot};
use ropewalk::channel::{RecvError, SendError};
use ropewalk::select::{Chosen, select};
use ropewalk::sync::cross::Event;
use ropewalk::{Elapsed, task, time};

/// Limits about as long as it takes to wake a thread, so that they end waits in the middle of what they wait for.
struct Limits(u64);

impl Limits {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(self.0 >> 58)
    }
}

/// The ways to wait.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// For as long as it takes.
    Patient,
    /// With a limit, again and again.
    Limited,
    /// In a scope that is cancelled, again and again.
    Cancelled,
    /// By an arm beside another one, again and again.
    Selected,
}

const IN_THREADS: [Way; 2] = [Way::Patient, Way::Limited];
const IN_TASKS: [Way; 4] = [Way::Patient, Way::Limited, Way::Cancelled, Way::Selected];

fn send(sender: &Sender<usize>, item: usize, way: Way, limits: &mut Limits) {
    loop {
        let back = match way {
            Way::Patient => return sender.send(item).unwrap(),
            Way::Limited => match sender.send_timeout(item, limits.next()) {
                Err(SendTimeoutError::Elapsed(back)) => back,
                sent => return sent.unwrap(),
            },
            Way::Cancelled => {
                let sent = time::timeout(limits.next(), || sender.send(item));
                match sent.unwrap_or_else(Elapsed::into_inner) {
                    Err(SendError::Cancelled(_, back)) => back,
                    sent => return sent.unwrap(),
                }
            }
            Way::Selected => {
                let mut sending = sender.sending(item);
                match select((&mut sending, time::sleeping(limits.next()))).unwrap() {
                    Chosen::First(sent) => return sent.unwrap(),
                    Chosen::Second(()) => sending.into_item().expect("an arm that lost has its item"),
                }
            }
        };
        assert_eq!(back, item);
    }
}

/// Receives one; `None` when the channel is closed and empty.
fn receive(receiver: &Receiver<usize>, way: Way, limits: &mut Limits) -> Option<usize> {
    loop {
        match way {
            Way::Patient => return receiver.recv().ok(),
            Way::Limited => match receiver.recv_timeout(limits.next()) {
                Err(RecvTimeoutError::Elapsed) => {}
                received => return received.ok(),
            },
            Way::Cancelled => {
                let received = time::timeout(limits.next(), || receiver.recv());
                match received.unwrap_or_else(Elapsed::into_inner) {
                    Err(RecvError::Cancelled(_)) => {}
                    received => return received.ok(),
                }
            }
            Way::Selected => match select((receiver.receiving(), time::sleeping(limits.next()))).unwrap() {
                Chosen::First(received) => return received.ok(),
                Chosen::Second(()) => {}
            },
        }
    }
}

/// What one who sends does: `each` items, of which nobody else sends any.
fn produce(sender: Sender<usize>, from: usize, each: usize, way: Way) {
    let mut limits = Limits(from as u64);
    (from * each..(from + 1) * each).for_each(|item| send(&sender, item, way, &mut limits));
}

/// What one who receives does, until nobody sends any more.
fn consume(receiver: &Receiver<usize>, seed: usize, way: Way) -> Vec<usize> {
    let mut limits = Limits(seed as u64);
    std::iter::from_fn(|| receive(receiver, way, &mut limits)).collect()
}

/// Whoever sends, or receives: a thread for each of the one kind, and a runtime with a task for each of the other.
fn everybody<'s, R: Send + 'static>(
    s: &'s thread::Scope<'s, '_>,
    mut part: impl FnMut(usize, Way) -> Box<dyn FnOnce() -> R + Send>,
) -> Vec<thread::ScopedJoinHandle<'s, Vec<R>>> {
    let in_threads: Vec<_> =
        IN_THREADS.into_iter().enumerate().map(|(index, way)| part(index, way)).collect();
    let in_tasks: Vec<_> =
        IN_TASKS.into_iter().enumerate().map(|(index, way)| part(IN_THREADS.len() + index, way)).collect();
    let mut all: Vec<_> = in_threads.into_iter().map(|part| s.spawn(move || vec![part()])).collect();
    all.push(s.spawn(move || {
        let results = ropewalk::run(|| task::gather(in_tasks));
        results.into_iter().map(|result| result.expect("no task panics")).collect()
    }));
    all
}

fn assert_once_each(mut received: Vec<usize>, count: usize) {
    received.sort_unstable();
    let expected: Vec<_> = (0..count).collect();
    assert!(received == expected, "of {count} items there are {}", received.len());
}

/// All ways to send against all ways to receive, in threads and in two runtimes.
fn every_item_arrives_once(capacity: usize, each: usize) {
    let (sender, receiver) = cross::bounded(capacity);
    let received = thread::scope(|s| {
        let consumers = everybody(s, |index, way| {
            let receiver = receiver.clone();
            Box::new(move || consume(&receiver, index, way))
        });
        everybody(s, |index, way| {
            let sender = sender.clone();
            Box::new(move || produce(sender, index, each, way))
        });
        drop(sender);
        let all = consumers.into_iter().flat_map(|consumer| consumer.join().unwrap());
        all.flatten().collect::<Vec<_>>()
    });
    assert_once_each(received, (IN_THREADS.len() + IN_TASKS.len()) * each);
    let now = receiver.statistics();
    assert_eq!((now.len, now.waiting_to_receive, now.waiting_to_send), (0, 0, 0));
}

#[test]
fn every_item_arrives_once_through_a_rendezvous() {
    every_item_arrives_once(0, 2_000);
}

#[test]
fn every_item_arrives_once_through_a_channel_for_one() {
    every_item_arrives_once(1, 2_000);
}

#[test]
fn every_item_arrives_once_through_a_channel_for_a_few() {
    every_item_arrives_once(8, 4_000);
}

#[test]
fn every_item_arrives_once_through_a_channel_without_a_limit() {
    every_item_arrives_once(usize::MAX, 10_000);
}

/// Nobody else takes items, so that they come as each sender sent them, whatever arms declined in between.
#[test]
fn one_who_receives_gets_what_each_sent_in_order() {
    for way in IN_TASKS {
        let each = 1_000;
        let (sender, receiver) = cross::bounded(4);
        thread::scope(|s| {
            everybody(s, |index, way| {
                let sender = sender.clone();
                Box::new(move || produce(sender, index, each, way))
            });
            drop(sender);
            let received = ropewalk::run(|| consume(&receiver, 0, way));
            for from in 0..IN_THREADS.len() + IN_TASKS.len() {
                let of_one: Vec<_> = received.iter().copied().filter(|item| item / each == from).collect();
                assert_eq!(of_one, (from * each..(from + 1) * each).collect::<Vec<_>>(), "{way:?}");
            }
        });
    }
}

/// Each select takes from one channel only, though threads give to several at once.
#[test]
fn of_several_arms_one_takes_an_item_and_the_others_leave_theirs() {
    let each = 2_000;
    let channels: [_; 4] =
        std::array::from_fn(|index| if index % 2 == 0 { cross::rendezvous() } else { cross::unbounded() });
    let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    let received = thread::scope(|s| {
        let selecting: Vec<_> = (0..2)
            .map(|_| {
                let receivers = receivers.clone();
                s.spawn(move || {
                    ropewalk::run(|| {
                        let select_all = || {
                            let mut open = receivers.clone();
                            let mut received = Vec::new();
                            while !open.is_empty() {
                                let arms: Vec<_> = open.iter().map(Receiver::receiving).collect();
                                match select(arms).unwrap() {
                                    (_, Ok(item)) => received.push(item),
                                    (index, Err(_)) => drop(open.swap_remove(index)),
                                }
                            }
                            received
                        };
                        let results = task::gather([&select_all; 3]);
                        results.into_iter().flat_map(Result::unwrap).collect::<Vec<usize>>()
                    })
                })
            })
            .collect();
        for (index, sender) in senders.into_iter().enumerate() {
            s.spawn(move || produce(sender, index, each, Way::Patient));
        }
        selecting.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_once_each(received, 4 * each);
}

/// They end while threads are about to wake their tasks.
#[test]
fn runtimes_that_come_and_go_lose_nothing() {
    let count = 20_000;
    let (sender, receiver) = cross::bounded(2);
    let mut received = Vec::new();
    thread::scope(|s| {
        s.spawn(move || produce(sender, 0, count, Way::Patient));
        let mut limits = Limits(1);
        let mut is_open = true;
        while is_open {
            let limit = limits.next();
            ropewalk::run(|| {
                loop {
                    match select((receiver.receiving(), time::sleeping(limit))).unwrap() {
                        Chosen::First(Ok(item)) => received.push(item),
                        Chosen::First(Err(_)) => break is_open = false,
                        Chosen::Second(()) => break,
                    }
                }
            });
        }
    });
    assert_eq!(received, (0..count).collect::<Vec<_>>());
}

type Job = (usize, oneshot::Sender<usize>);

/// Asks so often; some wait for the answer, some not for long, and do not hear it. How many did.
fn ask(to_pool: &Sender<Job>, count: usize, seed: usize) -> usize {
    let mut limits = Limits(seed as u64);
    let mut heard = 0;
    for number in 0..count {
        let (sender, answer) = cross::oneshot();
        to_pool.send((number, sender)).unwrap();
        let limit = if number % 3 == 0 { Duration::MAX } else { limits.next() };
        match answer.recv_timeout(limit) {
            Err(RecvTimeoutError::Elapsed) => {}
            received => {
                assert_eq!(received, Ok(number + 1));
                heard += 1;
            }
        }
    }
    heard
}

/// Whoever asked may have gone when the answer comes.
#[test]
fn every_answer_is_taken_or_comes_back() {
    let count = 3_000;
    let (to_pool, jobs) = cross::bounded::<Job>(4);
    let (taken, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let heard = thread::scope(|s| {
        for _ in 0..2 {
            let jobs = jobs.clone();
            s.spawn(|| {
                for (number, answer) in jobs {
                    let told = answer.send(number + 1);
                    let counted = if told.is_ok() { &taken } else { &returned };
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let to_pool_too = to_pool.clone();
        let in_tasks = s.spawn(move || {
            let to_pool = &to_pool_too;
            let heard = ropewalk::run(|| task::gather([1, 2].map(|seed| move || ask(to_pool, count, seed))));
            heard.into_iter().map(Result::unwrap).sum::<usize>()
        });
        let in_thread = ask(&to_pool, count, 3);
        drop(to_pool);
        in_thread + in_tasks.join().unwrap()
    });
    let (taken, returned) = (taken.into_inner(), returned.into_inner());
    assert_eq!(taken + returned, 3 * count);
    assert!((count..=taken).contains(&heard), "{heard} of {taken} were heard");
}

#[test]
fn events_are_set_and_cleared_in_turn_by_tasks_and_threads() {
    let rounds = 5_000;
    let [ping, pong] = [Event::new(), Event::new()];
    let wait = |event: &Event, limits: &mut Limits, round: usize| {
        let mut has_happened = round % 2 == 0 && event.wait().is_ok();
        while !has_happened {
            has_happened = event.wait_timeout(limits.next()).unwrap();
        }
        event.clear();
    };
    thread::scope(|s| {
        s.spawn(|| {
            let mut limits = Limits(1);
            for round in 0..rounds {
                wait(&ping, &mut limits, round);
                pong.set();
            }
        });
        ropewalk::run(|| {
            let mut limits = Limits(2);
            for round in 0..rounds {
                ping.set();
                wait(&pong, &mut limits, round);
            }
        });
    });
    assert!(!ping.is_set() && !pong.is_set());
    assert_eq!((ping.waiters(), pong.waiters()), (0, 0));
}
