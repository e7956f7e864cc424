//! Question: what does it cost to spawn a task, run it and join it: one at a time, and a million at once?
//!
//! Not counted: starting the scheduler. The body counts one up and ends. *At once* spawns all of them, before the first
//! runs, then joins them in the same order; *first* is in a process that is new, so the page faults of memory that has
//! never been used are in it, and *again* the same once more. One at a time is warm. `may` makes a stack when it
//! spawns, so that it cannot have more than some 32,700 at once: hence also 10,000.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use ropewalk_benches::tasks::{Direct, Futures, may, smol, tokio};

const ONE: &str = "ns for spawn + run + join";

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("one at a time");
    contest.enter("ropewalk", direct_one_by_one::<ropewalk_benches::tasks::ropewalk::Ropewalk>);
    contest.enter("tokio LocalSet", futures_one_by_one::<tokio::InLocalSet>);
    contest.enter("tokio LocalRuntime", futures_one_by_one::<tokio::InLocalRuntime>);
    contest.enter("smol LocalExecutor", futures_one_by_one::<smol::Smol>);
    contest.enter("may, one worker", direct_one_by_one::<may::May>);
    for tasks in [10_000, 1_000_000] {
        contest.case(format!("{tasks} at once"));
        contest.enter("ropewalk", move |scale| {
            direct_at_once::<ropewalk_benches::tasks::ropewalk::Ropewalk>(scale, tasks)
        });
        contest.enter("tokio LocalSet", move |scale| futures_at_once::<tokio::InLocalSet>(scale, tasks));
        contest
            .enter("tokio LocalRuntime", move |scale| futures_at_once::<tokio::InLocalRuntime>(scale, tasks));
        contest.enter("smol LocalExecutor", move |scale| futures_at_once::<smol::Smol>(scale, tasks));
        contest.enter("may, one worker", move |scale| direct_at_once::<may::May>(scale, tasks));
    }
    contest.hold()
}

/// Spawned and joined in one sample, so that reading the clock does not count.
fn repetitions(scale: Scale) -> usize {
    scale.of(100_000)
}

fn direct_one_by_one<D: Direct>(scale: Scale) -> Vec<Figure> {
    D::run(move || {
        let done = Rc::new(Cell::new(0));
        let sample = || {
            let began = Instant::now();
            for _ in 0..repetitions(scale) {
                let done = done.clone();
                D::join(D::spawn(move || done.set(done.get() + 1)));
            }
            (ONE, nanoseconds_each(began, repetitions(scale)))
        };
        sample();
        let samples: Vec<Figure> = (0..scale.samples()).map(|_| sample()).collect();
        assert_eq!(done.get(), (scale.samples() + 1) * repetitions(scale));
        samples
    })
}

fn futures_one_by_one<F: Futures>(scale: Scale) -> Vec<Figure> {
    F::run(async move {
        let done = Rc::new(Cell::new(0));
        let sample = async || {
            let began = Instant::now();
            for _ in 0..repetitions(scale) {
                let done = done.clone();
                F::join(F::spawn(async move { done.set(done.get() + 1) })).await;
            }
            (ONE, nanoseconds_each(began, repetitions(scale)))
        };
        sample().await;
        let mut samples = Vec::new();
        for _ in 0..scale.samples() {
            samples.push(sample().await);
        }
        assert_eq!(done.get(), (scale.samples() + 1) * repetitions(scale));
        samples
    })
}

/// One million: began, all spawned, all joined.
struct Wave {
    began: Instant,
    spawned: Instant,
    joined: Instant,
}

/// The columns of the first wave and of the second.
fn figures(waves: [Wave; 2], tasks: usize) -> Vec<Figure> {
    let columns = [
        ("first: ns to spawn", "first: ns to run + join", "first: ns in all"),
        ("again: ns to spawn", "again: ns to run + join", "again: ns in all"),
    ];
    let each = |from: Instant, to: Instant| (to - from).as_nanos() as f64 / tasks as f64;
    waves
        .into_iter()
        .zip(columns)
        .flat_map(|(Wave { began, spawned, joined }, (spawn, join, all))| {
            [(spawn, each(began, spawned)), (join, each(spawned, joined)), (all, each(began, joined))]
        })
        .collect()
}

fn direct_at_once<D: Direct>(scale: Scale, tasks: usize) -> Vec<Figure> {
    let tasks = scale.of(tasks);
    D::run(move || {
        let done = Rc::new(Cell::new(0));
        let wave = || {
            let began = Instant::now();
            let all: Vec<D::Task> = (0..tasks)
                .map(|_| {
                    let done = done.clone();
                    D::spawn(move || done.set(done.get() + 1))
                })
                .collect();
            let spawned = Instant::now();
            all.into_iter().for_each(D::join);
            Wave { began, spawned, joined: Instant::now() }
        };
        let waves = [wave(), wave()];
        assert_eq!(done.get(), 2 * tasks);
        figures(waves, tasks)
    })
}

fn futures_at_once<F: Futures>(scale: Scale, tasks: usize) -> Vec<Figure> {
    let tasks = scale.of(tasks);
    F::run(async move {
        let done = Rc::new(Cell::new(0));
        let wave = async || {
            let began = Instant::now();
            let all: Vec<F::Task> = (0..tasks)
                .map(|_| {
                    let done = done.clone();
                    F::spawn(async move { done.set(done.get() + 1) })
                })
                .collect();
            let spawned = Instant::now();
            for task in all {
                F::join(task).await;
            }
            Wave { began, spawned, joined: Instant::now() }
        };
        let waves = [wave().await, wave().await];
        assert_eq!(done.get(), 2 * tasks);
        figures(waves, tasks)
    })
}
