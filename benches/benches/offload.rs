//! Question: what does it cost to have another thread make a call, and to wait for what it gives?
//!
//! *Round trip*: a task has a thread make an empty call and waits; the next one begins when it has the answer. So the loop sleeps and is woken
//! each time, and so is a thread. *Throughput*: 40 tasks do that side by side, as many as the limits let be underway.
//!
//! Not counted: starting the loop and the first threads (one sample is to warm up). Nothing is pinned: the threads may be on any core that
//! `taskset` leaves. A loop that is alone in its process: nobody else wants the threads.

use std::process::ExitCode;
use std::time::Instant;

use futures_lite::future;
use ropewalk::{blocking as of_ropewalk, task};
use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use ropewalk_benches::meetings::elsewhere::asyncio;
use tokio::task::LocalSet;

const ROUND_TRIP: &str = "ns for a round trip";
const CALL: &str = "ns for a call";

/// In one sample.
const ROUND_TRIPS: usize = 5_000;
const CALLS: usize = 40_000;

/// Trio's limit, and ours.
const UNDERWAY: usize = 40;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("round trip");
    contest.enter("ropewalk", |scale| round_trips(scale, || of_ropewalk::unblock(|| ()).unwrap()));
    contest.enter("ropewalk unblock_cpu", |scale| {
        round_trips(scale, || of_ropewalk::unblock_cpu(|| ()).unwrap())
    });
    contest.enter("ropewalk Pool::submit", |scale| {
        let pool = of_ropewalk::Pool::new(1);
        round_trips(scale, move || pool.submit(|| ()).join().unwrap())
    });
    contest.enter("tokio spawn_blocking", |scale| {
        tokio_runtime().block_on(timed(scale, ROUND_TRIP, ROUND_TRIPS, async |count| {
            for _ in 0..count {
                tokio::task::spawn_blocking(|| ()).await.unwrap();
            }
        }))
    });
    contest.enter("smol's blocking::unblock", |scale| {
        future::block_on(timed(scale, ROUND_TRIP, ROUND_TRIPS, async |count| {
            for _ in 0..count {
                blocking::unblock(|| ()).await;
            }
        }))
    });
    contest.enter("asyncio.to_thread", |scale| asyncio("to-thread", scale));

    contest.case("40 underway");
    contest.enter("ropewalk", |scale| throughput(scale, || of_ropewalk::unblock(|| ()).unwrap()));
    contest.enter("ropewalk unblock_cpu", |scale| {
        throughput(scale, || of_ropewalk::unblock_cpu(|| ()).unwrap())
    });
    contest.enter("ropewalk Pool::map", |scale| {
        let pool = of_ropewalk::Pool::new(2);
        let map = |count| drop(pool.map(0..count, |_| ()).unwrap());
        ropewalk::run(|| samples_of(scale, CALL, CALLS, map))
    });
    contest.enter("tokio spawn_blocking", |scale| {
        let runtime = tokio_runtime();
        LocalSet::new().block_on(
            &runtime,
            timed(scale, CALL, CALLS, async |count| {
                let tasks = (0..UNDERWAY).map(|_| {
                    tokio::task::spawn_local(async move {
                        for _ in 0..count / UNDERWAY {
                            tokio::task::spawn_blocking(|| ()).await.unwrap();
                        }
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
            }),
        )
    });
    contest.enter("smol's blocking::unblock", |scale| {
        let executor = async_executor::LocalExecutor::new();
        future::block_on(executor.run(timed(scale, CALL, CALLS, async |count| {
            let tasks = (0..UNDERWAY).map(|_| {
                executor.spawn(async move {
                    for _ in 0..count / UNDERWAY {
                        blocking::unblock(|| ()).await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await;
            }
        })))
    });
    contest.enter("asyncio.to_thread", |scale| asyncio("to-thread-at-once", scale));
    contest.hold()
}

fn round_trips(scale: Scale, call: impl Fn()) -> Vec<Figure> {
    ropewalk::run(|| samples_of(scale, ROUND_TRIP, ROUND_TRIPS, |count| (0..count).for_each(|_| call())))
}

fn throughput(scale: Scale, call: impl Fn()) -> Vec<Figure> {
    let call = &call;
    ropewalk::run(|| {
        samples_of(scale, CALL, CALLS, |count| {
            task::scope(|s| {
                for _ in 0..UNDERWAY {
                    s.spawn(move || (0..count / UNDERWAY).for_each(|_| call()));
                }
            });
        })
    })
}

/// One sample is to warm up.
fn samples_of(scale: Scale, column: &'static str, count: usize, act: impl Fn(usize)) -> Vec<Figure> {
    let count = scale.of(count).max(UNDERWAY);
    let samples = (0..=scale.samples()).map(|_| {
        let began = Instant::now();
        act(count);
        (column, nanoseconds_each(began, count))
    });
    samples.skip(1).collect()
}

async fn timed(scale: Scale, column: &'static str, count: usize, act: impl AsyncFn(usize)) -> Vec<Figure> {
    let count = scale.of(count).max(UNDERWAY);
    let mut figures = Vec::new();
    for sample in 0..=scale.samples() {
        let began = Instant::now();
        act(count).await;
        if sample > 0 {
            figures.push((column, nanoseconds_each(began, count)));
        }
    }
    figures
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("it can be built")
}
