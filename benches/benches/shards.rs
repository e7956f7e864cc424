//! Question: what do two cores bring, and what does it cost to cross from one to the other?
//!
//! *A mix of computations*: a task adds a thousand jobs, most of them short and a few a hundred times as long, and joins them all. The case
//! with two threads beside the case with one is what the second core has brought; what the machine gives is shown by plain threads that
//! take one number after the other. *Adding and joining*: jobs that do nothing, one at a time, and ten thousand at once. On the shards they are
//! for anybody, or, where it says *sent*, for the other shard; tokio and may have no such thing, and an idle scheduler of theirs may take
//! a job or leave it where it is. *Round trip* and *an item*: as in the bench `cross`, but between tasks of two threads of one runtime.
//! Tokio and may can let both tasks run on one of them, and then nothing crosses. *On one thread*: what a job costs more than a task that
//! can go nowhere.
//!
//! Not counted: starting threads and schedulers. `may` has channels without limit only, which is not the same for items: it is not in
//! that table. Nobody is kept on a core; `taskset` must leave two of them.

use std::future::Future;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use may::coroutine;
use ropewalk::channel::cross;
use ropewalk::shards::{Shard, Shards};
use ropewalk::task;
use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each, samples};
use tokio::sync::mpsc;

const JOBS_OF_MIX: usize = 1000;
const ONE_AT_A_TIME: usize = 2_000;
const AT_ONCE: usize = 10_000;
const ROUND_TRIPS: usize = 2_000;
const ITEMS: usize = 100_000;

/// Items underway.
const ROOM: usize = 128;

const ALL: &str = "ms for all";
const ONE: &str = "ns each, one at a time";
const MANY: &str = "ns each, many at once";
const ROUND_TRIP: &str = "ns for a round trip";
const ITEM: &str = "ns for an item";

fn main() -> ExitCode {
    let mut contest = Contest::new();
    for threads in [1, 2] {
        contest.case(format!("a mix of computations, threads: {threads}"));
        contest.enter("ropewalk", move |scale| on_shards(threads, |shard| mix_of_jobs(scale, shard)));
        contest.enter("tokio, multi-thread", move |scale| in_tokio(threads, mix_of_futures(scale)));
        contest.enter("may", move |scale| in_may(threads, move || mix_of_coroutines(scale)));
        contest.enter("plain threads and a counter", move |scale| mix_of_threads(scale, threads));
    }
    for threads in [2, 1] {
        contest.case(format!("add and join, threads: {threads}"));
        contest.enter("ropewalk", move |scale| on_shards(threads, |shard| add_and_join(scale, shard, None)));
        if threads > 1 {
            contest.enter("ropewalk, sent", move |scale| {
                on_shards(threads, |shard| add_and_join(scale, shard, Some(1)))
            });
        } else {
            contest.enter("ropewalk, task::spawn", move |scale| on_shards(1, |_| spawn_and_join(scale)));
        }
        contest.enter("tokio, multi-thread", move |scale| in_tokio(threads, spawn_and_await(scale)));
        contest.enter("may", move |scale| in_may(threads, move || go_and_join(scale)));
    }
    contest.case("channel between two threads");
    contest.enter("ropewalk", channel_of_shards);
    contest.enter("tokio, multi-thread", |scale| in_tokio(2, channel_of_futures(scale)));
    contest.enter("may", |scale| in_may(2, move || channel_of_coroutines(scale)));
    contest.hold()
}

// The runtimes, each with a task that measures.

fn on_shards(
    count: usize,
    body: impl for<'team> Fn(&Shard<'team, 'static>) -> Vec<Figure> + Sync,
) -> Vec<Figure> {
    let figures = Shards::new(count)
        .run(|shard: &Shard<'_, 'static>| if shard.index() == 0 { body(shard) } else { Vec::new() });
    figures.into_iter().flatten().collect()
}

fn in_tokio(threads: usize, body: impl Future<Output = Vec<Figure>> + Send + 'static) -> Vec<Figure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build();
    // In a task: what is blocked on runs on none of the workers.
    runtime
        .expect("a runtime can be made")
        .block_on(async { tokio::spawn(body).await.expect("it does not panic") })
}

fn in_may(threads: usize, body: impl FnOnce() -> Vec<Figure> + Send + 'static) -> Vec<Figure> {
    may::config().set_workers(threads).set_worker_pin(false);
    go(body).join().expect("it does not panic")
}

fn go<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> coroutine::JoinHandle<T> {
    // SAFETY: no body here needs more than the default stack, nor keeps a reference to a thread-local over a switch.
    unsafe { coroutine::spawn(body) }
}

/// As [`samples`], of what is awaited and may go to another thread meanwhile.
async fn samples_of_tasks<O: Future<Output = ()> + Send>(
    scale: Scale,
    column: &'static str,
    repetitions: usize,
    operation: impl Fn() -> O + Send,
) -> Vec<Figure> {
    let mut samples = Vec::new();
    for _ in 0..=scale.samples() {
        let began = Instant::now();
        for _ in 0..repetitions {
            operation().await;
        }
        samples.push((column, nanoseconds_each(began, repetitions)));
    }
    samples.split_off(1)
}

// A mix of computations.

/// How long the jobs are: always the same ones.
fn mix(scale: Scale) -> impl Iterator<Item = u32> + Send {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    (0..scale.of(JOBS_OF_MIX)).map(move |_| {
        state = step(state);
        match state % 20 {
            0 => 300_000,
            1..=5 => 30_000,
            _ => 3_000,
        }
    })
}

/// Marsaglia's xorshift: about a nanosecond.
fn step(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

fn compute(steps: u32) -> u64 {
    (0..black_box(steps)).fold(1, |state, _| step(state))
}

fn milliseconds(figures: Vec<Figure>) -> Vec<Figure> {
    figures.into_iter().map(|(column, nanoseconds)| (column, nanoseconds / 1e6)).collect()
}

fn mix_of_jobs(scale: Scale, shard: &Shard<'_, 'static>) -> Vec<Figure> {
    milliseconds(samples(scale, ALL, 1, || {
        let jobs: Vec<_> = mix(scale).map(|steps| shard.spawn(move |_| compute(steps))).collect();
        black_box(jobs.iter().map(|job| job.join().expect("it returns")).fold(0, u64::wrapping_add));
    }))
}

async fn mix_of_futures(scale: Scale) -> Vec<Figure> {
    let figures = samples_of_tasks(scale, ALL, 1, move || async move {
        let tasks: Vec<_> = mix(scale).map(|steps| tokio::spawn(async move { compute(steps) })).collect();
        let mut sum = 0_u64;
        for task in tasks {
            sum = sum.wrapping_add(task.await.expect("it returns"));
        }
        black_box(sum);
    });
    milliseconds(figures.await)
}

fn mix_of_coroutines(scale: Scale) -> Vec<Figure> {
    milliseconds(samples(scale, ALL, 1, || {
        let coroutines: Vec<_> = mix(scale).map(|steps| go(move || compute(steps))).collect();
        let results = coroutines.into_iter().map(|coroutine| coroutine.join().expect("it returns"));
        black_box(results.fold(0, u64::wrapping_add));
    }))
}

/// Threads are started each time: a hundredth of the whole.
fn mix_of_threads(scale: Scale, threads: usize) -> Vec<Figure> {
    let jobs: Vec<u32> = mix(scale).collect();
    milliseconds(samples(scale, ALL, 1, || {
        let next = AtomicUsize::new(0);
        let work = || {
            let mine = || jobs.get(next.fetch_add(1, Ordering::Relaxed));
            while let Some(&steps) = mine() {
                black_box(compute(steps));
            }
        };
        thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(work))));
    }))
}

// Adding and joining.

fn add_and_join(scale: Scale, shard: &Shard<'_, 'static>, to: Option<usize>) -> Vec<Figure> {
    let add = |number: usize| match to {
        None => shard.spawn(move |_| number),
        Some(index) => shard.spawn_on(index, move |_| number),
    };
    let mut figures = samples(scale, ONE, scale.of(ONE_AT_A_TIME), || {
        black_box(add(black_box(1)).join().expect("it returns"));
    });
    figures.extend(many(scale, |count| {
        let jobs: Vec<_> = (0..count).map(&add).collect();
        jobs.iter().map(|job| job.join().expect("it returns")).sum()
    }));
    figures
}

fn spawn_and_join(scale: Scale) -> Vec<Figure> {
    let mut figures = samples(scale, ONE, scale.of(ONE_AT_A_TIME), || {
        black_box(task::spawn(|| black_box(1)).join().expect("it returns"));
    });
    figures.extend(many(scale, |count| {
        let tasks: Vec<_> = (0..count).map(|number| task::spawn(move || number)).collect();
        tasks.iter().map(|task| task.join().expect("it returns")).sum()
    }));
    figures
}

fn go_and_join(scale: Scale) -> Vec<Figure> {
    let mut figures = samples(scale, ONE, scale.of(ONE_AT_A_TIME), || {
        black_box(go(|| black_box(1)).join().expect("it returns"));
    });
    figures.extend(many(scale, |count| {
        let tasks: Vec<_> = (0..count).map(|number| go(move || number)).collect();
        tasks.into_iter().map(|task| task.join().expect("it returns")).sum()
    }));
    figures
}

/// Of what does `count` at once, each with its number.
fn many(scale: Scale, mut all: impl FnMut(usize) -> usize) -> Vec<Figure> {
    let count = scale.of(AT_ONCE);
    let figures = samples(scale, MANY, 1, || assert_eq!(all(count), (0..count).sum()));
    figures.into_iter().map(|(column, nanoseconds)| (column, nanoseconds / count as f64)).collect()
}

async fn spawn_and_await(scale: Scale) -> Vec<Figure> {
    let mut figures = samples_of_tasks(scale, ONE, scale.of(ONE_AT_A_TIME), || async {
        black_box(tokio::spawn(async { black_box(1) }).await.expect("it returns"));
    })
    .await;
    let count = scale.of(AT_ONCE);
    let many = samples_of_tasks(scale, MANY, 1, move || async move {
        let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(async move { number })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("it returns");
        }
        assert_eq!(sum, (0..count).sum());
    });
    let many = many.await;
    figures.extend(many.into_iter().map(|(column, nanoseconds)| (column, nanoseconds / count as f64)));
    figures
}

// Channels.

fn channel_of_shards(scale: Scale) -> Vec<Figure> {
    let ((ask, asked), (answer, answered)) = (cross::bounded(1), cross::bounded(1));
    let (sender, receiver) = cross::bounded(ROOM);
    let figures = Shards::new(2).run(|shard| {
        if shard.index() == 1 {
            while let Ok(number) = asked.recv() {
                answer.send(number + 1).expect("somebody waits");
            }
            return Vec::new();
        }
        let mut figures = samples(scale, ROUND_TRIP, scale.of(ROUND_TRIPS), || {
            ask.send(1).expect("somebody answers");
            assert_eq!(answered.recv(), Ok(2));
        });
        figures.extend(items(scale, |count| {
            let sender = sender.clone();
            let source = shard
                .spawn_on(1, move |_| (0..count).for_each(|item| sender.send(item).expect("it is received")));
            let sum = (0..count).map(|_| receiver.recv().expect("it is sent")).sum();
            source.join().expect("it returns");
            sum
        }));
        ask.close();
        figures
    });
    figures.into_iter().flatten().collect()
}

/// Of what sends and receives `count`, each with its number.
fn items(scale: Scale, mut all: impl FnMut(usize) -> usize) -> Vec<Figure> {
    let count = scale.of(ITEMS);
    let figures = samples(scale, ITEM, 1, || assert_eq!(all(count), (0..count).sum()));
    figures.into_iter().map(|(column, nanoseconds)| (column, nanoseconds / count as f64)).collect()
}

async fn channel_of_futures(scale: Scale) -> Vec<Figure> {
    let ((ask, mut asked), (answer, mut answered)) = (mpsc::channel(1), mpsc::channel(1));
    tokio::spawn(async move {
        while let Some(number) = asked.recv().await {
            answer.send(number + 1).await.expect("somebody waits");
        }
    });
    let mut figures = Vec::new();
    for _ in 0..=scale.samples() {
        let (began, count) = (Instant::now(), scale.of(ROUND_TRIPS));
        for _ in 0..count {
            ask.send(1).await.expect("somebody answers");
            assert_eq!(answered.recv().await, Some(2));
        }
        figures.push((ROUND_TRIP, nanoseconds_each(began, count)));
    }
    let mut figures = figures.split_off(1);
    for _ in 0..scale.samples() {
        let (began, count) = (Instant::now(), scale.of(ITEMS));
        let (sender, mut receiver) = mpsc::channel(ROOM);
        let source = tokio::spawn(async move {
            for item in 0..count {
                sender.send(item).await.expect("it is received");
            }
        });
        let mut sum = 0;
        while let Some(item) = receiver.recv().await {
            sum += item;
        }
        source.await.expect("it returns");
        assert_eq!(sum, (0..count).sum());
        figures.push((ITEM, nanoseconds_each(began, count)));
    }
    figures
}

fn channel_of_coroutines(scale: Scale) -> Vec<Figure> {
    let ((ask, asked), (answer, answered)) = (may::sync::mpsc::channel(), may::sync::mpsc::channel());
    go(move || {
        while let Ok(number) = asked.recv() {
            answer.send(number + 1).expect("somebody waits");
        }
    });
    samples(scale, ROUND_TRIP, scale.of(ROUND_TRIPS), || {
        ask.send(1).expect("somebody answers");
        assert_eq!(answered.recv(), Ok(2));
    })
}
