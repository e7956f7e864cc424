//! Question: what does an item cost on its way through a channel, from one task or many to one or many?
//!
//! A sample opens a channel, spawns senders and receivers, sends all items, and ends when all tasks have; so the tasks are in
//! it, a few among many items. *128 at most*: a channel with room for 128. *Without limit*: there a send never has to wait,
//! and most peers' senders send everything before anybody receives; the memory for that is in their figures. ropewalk's
//! let others run now and then.
//!
//! tokio's channel and std's have one receiver. `may` has none with a limit, Go none without. Threads are in it for scale; pinned as
//! everybody is, they share a core, and starting them is not counted.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, in_column, nanoseconds_each};
use ropewalk_benches::meetings::elsewhere::{asyncio, go, has_go};
use ropewalk_benches::meetings::{
    DirectChannel, FutureChannel, Room, flume::Flume, may as of_may, smol as of_smol, threads,
    tokio as of_tokio,
};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, Futures, may, run_as_task, smol, tokio};

/// In one sample, of all senders together.
const ITEMS: usize = 128_000;

/// The same for threads on one core.
const FEWER: usize = 32_000;

/// Senders, receivers, and the column they are in.
const CROWDS: [(usize, usize, &str); 5] =
    [(1, 1, "1 to 1"), (1, 4, "1 to 4"), (1, 64, "1 to 64"), (4, 1, "4 to 1"), (64, 1, "64 to 1")];

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("ns for an item, 128 at most");
    enter_all::<of_tokio::Bounded, threads::StdBounded>(&mut contest, Some(128));
    if has_go() {
        enter(&mut contest, "Go", Some(128), |scale, crowd| go(&crowd.word(), scale));
    }
    enter(&mut contest, "asyncio", Some(128), |scale, crowd| asyncio(&crowd.word(), scale));
    contest.case("ns for an item, without limit");
    enter_all::<of_tokio::Unbounded, threads::StdUnbounded>(&mut contest, None);
    enter(&mut contest, "may mpsc, one worker", None, |scale, crowd| match crowd.receivers {
        1 => direct::<may::May, of_may::Mpsc>(scale, crowd, only),
        _ => Vec::new(),
    });
    enter(&mut contest, "may mpmc, one worker", None, |scale, crowd| {
        direct::<may::May, of_may::Mpmc>(scale, crowd, clones)
    });
    enter(&mut contest, "asyncio", None, |scale, crowd| asyncio(&crowd.word(), scale));
    contest.hold()
}

/// Who meets.
#[derive(Clone, Copy)]
struct Crowd {
    senders: usize,
    receivers: usize,
    room: Room,
}

impl Crowd {
    /// What the other programs call it.
    fn word(self) -> String {
        let Crowd { senders, receivers, room } = self;
        format!("throughput-{senders}-{receivers}-{}", room.unwrap_or(0))
    }

    /// Each sender sends so many.
    fn share(self, scale: Scale, items: usize) -> usize {
        scale.of(items).div_ceil(self.senders)
    }
}

/// Enters somebody who plays with each crowd that it can play with, each in a column of its own.
fn enter(contest: &mut Contest, name: &'static str, room: Room, play: fn(Scale, Crowd) -> Vec<Figure>) {
    contest.enter(name, move |scale| {
        let figures = CROWDS.iter().flat_map(|&(senders, receivers, column)| {
            in_column(column, play(scale, Crowd { senders, receivers, room }))
        });
        figures.collect()
    });
}

/// Those who play with limit and without; tokio and std have two types of channel for that.
fn enter_all<Tokio, Std>(contest: &mut Contest, room: Room)
where
    Tokio: FutureChannel<Sender: Clone>,
    Std: DirectChannel<Sender: Send + Clone, Receiver: Send>,
{
    enter(contest, "ropewalk", room, |scale, crowd| direct::<Ropewalk, Ropewalk>(scale, crowd, clones));
    enter(contest, "tokio mpsc, LocalRuntime", room, |scale, crowd| match crowd.receivers {
        1 => future::<tokio::InLocalRuntime, Tokio>(scale, crowd, only),
        _ => Vec::new(),
    });
    enter(contest, "async-channel, smol", room, |scale, crowd| {
        future::<smol::Smol, of_smol::AsyncChannel>(scale, crowd, clones)
    });
    enter(contest, "flume, LocalRuntime", room, |scale, crowd| {
        future::<tokio::InLocalRuntime, Flume>(scale, crowd, clones)
    });
    enter(contest, "std mpsc, threads", room, |scale, crowd| match crowd.receivers {
        1 => of_threads::<Std>(scale, crowd, only),
        _ => Vec::new(),
    });
    enter(contest, "crossbeam, threads", room, |scale, crowd| {
        of_threads::<threads::Crossbeam>(scale, crowd, clones)
    });
}

/// How long an item took: the column is that of the crowd.
const ITEM: &str = "";

/// So many ends of one channel.
fn clones<End: Clone>(end: End, count: usize) -> Vec<End> {
    vec![end; count]
}

/// The end of a channel that has one.
fn only<End>(end: End, count: usize) -> Vec<End> {
    assert_eq!(count, 1);
    vec![end]
}

fn figures(scale: Scale, mut sample: impl FnMut() -> f64) -> Vec<Figure> {
    // To warm up.
    sample();
    (0..scale.samples()).map(|_| (ITEM, sample())).collect()
}

fn direct<D: Direct, C: DirectChannel<Sender: Clone>>(
    scale: Scale,
    crowd: Crowd,
    ends: fn(C::Receiver, usize) -> Vec<C::Receiver>,
) -> Vec<Figure> {
    let share = crowd.share(scale, ITEMS);
    D::run(move || {
        figures(scale, || {
            let received = Rc::new(Cell::new(0));
            let began = Instant::now();
            let (sender, receiver) = C::open(crowd.room);
            let receiving = ends(receiver, crowd.receivers).into_iter().map(|mut receiver| {
                let received = received.clone();
                D::spawn(move || {
                    while C::recv(&mut receiver).is_some() {
                        received.set(received.get() + 1);
                    }
                })
            });
            let mut tasks: Vec<D::Task> = receiving.collect();
            tasks.extend(
                clones(sender, crowd.senders)
                    .into_iter()
                    .map(|sender| D::spawn(move || (0..share).for_each(|item| C::send(&sender, item)))),
            );
            tasks.into_iter().for_each(D::join);
            assert_eq!(received.get(), share * crowd.senders);
            nanoseconds_each(began, share * crowd.senders)
        })
    })
}

fn future<F: Futures, C: FutureChannel<Sender: Clone>>(
    scale: Scale,
    crowd: Crowd,
    ends: fn(C::Receiver, usize) -> Vec<C::Receiver>,
) -> Vec<Figure> {
    let share = crowd.share(scale, ITEMS);
    run_as_task::<F, _>(async move {
        let sample = async || {
            let received = Rc::new(Cell::new(0));
            let began = Instant::now();
            let (sender, receiver) = C::open(crowd.room);
            let receiving = ends(receiver, crowd.receivers).into_iter().map(|mut receiver| {
                let received = received.clone();
                F::spawn(async move {
                    while C::recv(&mut receiver).await.is_some() {
                        received.set(received.get() + 1);
                    }
                })
            });
            let mut tasks: Vec<F::Task> = receiving.collect();
            tasks.extend(clones(sender, crowd.senders).into_iter().map(|sender| {
                F::spawn(async move {
                    for item in 0..share {
                        C::send(&sender, item).await;
                    }
                })
            }));
            for task in tasks {
                F::join(task).await;
            }
            assert_eq!(received.get(), share * crowd.senders);
            nanoseconds_each(began, share * crowd.senders)
        };
        sample().await;
        let mut figures = Vec::new();
        for _ in 0..scale.samples() {
            figures.push((ITEM, sample().await));
        }
        figures
    })
}

fn of_threads<C: DirectChannel<Sender: Send + Clone, Receiver: Send>>(
    scale: Scale,
    crowd: Crowd,
    ends: fn(C::Receiver, usize) -> Vec<C::Receiver>,
) -> Vec<Figure> {
    let share = crowd.share(scale, FEWER);
    figures(scale, || {
        let start = Arc::new(Barrier::new(crowd.senders + crowd.receivers + 1));
        let (sender, receiver) = C::open(crowd.room);
        let receiving = ends(receiver, crowd.receivers).into_iter().map(|mut receiver| {
            let start = start.clone();
            thread::spawn(move || {
                begin_together(&start);
                std::iter::from_fn(|| C::recv(&mut receiver)).count()
            })
        });
        let receiving: Vec<_> = receiving.collect();
        for sender in clones(sender, crowd.senders) {
            let start = start.clone();
            thread::spawn(move || {
                begin_together(&start);
                (0..share).for_each(|item| C::send(&sender, item));
            });
        }
        start.wait();
        // All are there, and none has begun.
        let began = Instant::now();
        start.wait();
        let received: usize =
            receiving.into_iter().map(|thread| thread.join().expect("it only receives")).sum();
        assert_eq!(received, share * crowd.senders);
        nanoseconds_each(began, received)
    })
}

/// Waits until all are there, then until the clock has been looked at.
fn begin_together(start: &Barrier) {
    start.wait();
    start.wait();
}
