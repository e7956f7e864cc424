//! Question: what does a timer cost that is set and never fires, and what does a timeout cost around an operation, with
//! how many other timers alive?
//!
//! *Sleepers* are a million tasks, each asleep until a moment of its own between one hour and two from now, in a random
//! order; *to set* is to spawn it, run it and let it fall asleep, *to cancel* is to cancel it and let it end. *Bare* is a
//! timer without a task, which futures allow: polled once, then dropped. Not counted: starting the scheduler.
//!
//! *Timeout* is one around an operation that parks once, for a yield: as tokio's timeout sets no timer around a future
//! that is ready. The operation by itself is shown beside it; *timeout alone* is the difference: of it,
//! trust the median. The others alive are sleeping tasks for those who have no bare timers.

use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each, shuffled};
use ropewalk_benches::tasks::{FuturePlace, Futures, Gathering, smol, tokio};

const MILLION: usize = 1_000_000;

/// In one sample, so that reading the clock does not count.
const TIMEOUTS: usize = 100_000;

const SET: &str = "ns to set";
const CANCEL: &str = "ns to cancel";

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("a million sleepers");
    contest.enter("ropewalk", of_ropewalk::sleepers);
    contest.enter("tokio LocalRuntime", sleepers::<Tokio>);
    contest.enter("ropewalk, bare", of_ropewalk::bare);
    contest.enter("tokio, bare", bare::<Tokio>);
    contest.enter("smol LocalExecutor + async-io", sleepers::<Smol>);
    contest.enter("async-io, bare", bare::<Smol>);
    for others in [0, 1000, MILLION] {
        contest.case(format!("timeout, {others} others alive"));
        contest.enter("ropewalk", move |scale| of_ropewalk::timeouts(scale, others));
        contest.enter("tokio LocalRuntime", move |scale| timeouts::<Tokio>(scale, others));
        contest.enter("smol LocalExecutor + async-io", move |scale| timeouts::<Smol>(scale, others));
    }
    contest.hold()
}

/// Futures that can sleep.
trait Sleepy: 'static {
    type Futures: Futures;
    /// A timer that can wait in a vector.
    type Timer: Future + 'static;

    fn sleep(duration: Duration) -> Self::Timer;
    fn timeout(duration: Duration, operation: impl Future<Output = ()>) -> impl Future<Output = bool>;
}

struct Tokio;

impl Sleepy for Tokio {
    type Futures = tokio::WithDrivers;
    type Timer = ::tokio::time::Sleep;

    fn sleep(duration: Duration) -> Self::Timer {
        ::tokio::time::sleep(duration)
    }

    async fn timeout(duration: Duration, operation: impl Future<Output = ()>) -> bool {
        ::tokio::time::timeout(duration, operation).await.is_ok()
    }
}

/// smol has no timeout of its own: its documents race the operation with a timer.
struct Smol;

impl Sleepy for Smol {
    type Futures = smol::Smol;
    type Timer = async_io::Timer;

    fn sleep(duration: Duration) -> Self::Timer {
        async_io::Timer::after(duration)
    }

    async fn timeout(duration: Duration, operation: impl Future<Output = ()>) -> bool {
        let in_time = async {
            operation.await;
            true
        };
        let late = async {
            async_io::Timer::after(duration).await;
            false
        };
        futures_lite::future::or(in_time, late).await
    }
}

/// Each between one hour and two, no two alike, in a random order.
fn durations(count: usize) -> impl Iterator<Item = Duration> {
    const HOUR: Duration = Duration::from_secs(3600);
    shuffled(count).into_iter().map(move |place| HOUR + HOUR.mul_f64(place as f64 / count as f64))
}

fn sleepers<S: Sleepy>(scale: Scale) -> Vec<Figure> {
    type Task<S> = <<S as Sleepy>::Futures as Futures>::Task;
    let tasks = scale.of(MILLION);
    S::Futures::run(async move {
        let gathering = Rc::new(Gathering::<FuturePlace>::of(tasks));
        let durations: Vec<Duration> = durations(tasks).collect();
        let began = Instant::now();
        let all: Vec<Task<S>> = durations
            .into_iter()
            .map(|duration| {
                let gathering = gathering.clone();
                S::Futures::spawn(async move {
                    gathering.arrive();
                    S::sleep(duration).await;
                })
            })
            .collect();
        gathering.wait().await;
        let set = nanoseconds_each(began, tasks);
        let began = Instant::now();
        all.into_iter().for_each(S::Futures::cancel);
        // The gathering is held by those who have not ended.
        while Rc::strong_count(&gathering) > 1 {
            S::Futures::yield_now().await;
        }
        vec![(SET, set), (CANCEL, nanoseconds_each(began, tasks))]
    })
}

/// Timers that have been set: polled once.
async fn set_all<S: Sleepy>(durations: Vec<Duration>) -> Vec<Pin<Box<S::Timer>>> {
    let mut timers = Vec::with_capacity(durations.len());
    for duration in durations {
        let mut timer = Box::pin(S::sleep(duration));
        assert!(futures_lite::future::poll_once(timer.as_mut()).await.is_none());
        timers.push(timer);
    }
    timers
}

fn bare<S: Sleepy>(scale: Scale) -> Vec<Figure> {
    let count = scale.of(MILLION);
    S::Futures::run(async move {
        let durations = durations(count).collect();
        let began = Instant::now();
        let timers = set_all::<S>(durations).await;
        let set = nanoseconds_each(began, count);
        let began = Instant::now();
        drop(timers);
        vec![(SET, set), (CANCEL, nanoseconds_each(began, count))]
    })
}

/// The least of each that a process has seen: a difference of two disturbed samples would mean nothing.
struct Least {
    alone: f64,
    within: f64,
}

impl Least {
    fn new() -> Least {
        Least { alone: f64::INFINITY, within: f64::INFINITY }
    }

    fn see(&mut self, alone: f64, within: f64) {
        self.alone = self.alone.min(alone);
        self.within = self.within.min(within);
    }

    fn figures(&self) -> Vec<Figure> {
        let Least { alone, within } = *self;
        vec![("ns, timeout alone", within - alone), ("ns, operation", alone), ("ns, both", within)]
    }
}

fn timeouts<S: Sleepy>(scale: Scale, others: usize) -> Vec<Figure> {
    const LONG: Duration = Duration::from_secs(60);
    let (others, repetitions) = (scale.of(others), scale.of(TIMEOUTS));
    S::Futures::run(async move {
        let others = set_all::<S>(durations(others).collect()).await;
        let least = Rc::new(RefCell::new(Least::new()));
        let seen = least.clone();
        S::Futures::join(S::Futures::spawn(async move {
            for _ in 0..scale.samples() {
                let began = Instant::now();
                for _ in 0..repetitions {
                    S::Futures::yield_now().await;
                }
                let alone = nanoseconds_each(began, repetitions);
                let began = Instant::now();
                for _ in 0..repetitions {
                    assert!(black_box(S::timeout(LONG, S::Futures::yield_now()).await));
                }
                let within = nanoseconds_each(began, repetitions);
                seen.borrow_mut().see(alone, within);
            }
        }))
        .await;
        drop(others);
        least.borrow().figures()
    })
}

mod of_ropewalk {
    use ropewalk_benches::tasks::Direct;
    use ropewalk_benches::tasks::ropewalk::{Ropewalk, call_later, sleep, timeout};

    use super::*;

    type Task = <Ropewalk as Direct>::Task;

    /// So many sleeping tasks.
    fn fall_asleep(durations: Vec<Duration>) -> Vec<Task> {
        if durations.is_empty() {
            return Vec::new();
        }
        let gathering = Rc::new(Gathering::of(durations.len()));
        let all = durations
            .into_iter()
            .map(|duration| {
                let gathering = gathering.clone();
                Ropewalk::spawn(move || {
                    gathering.arrive_direct::<Ropewalk>();
                    sleep(duration);
                })
            })
            .collect();
        gathering.wait_direct::<Ropewalk>();
        all
    }

    fn wake_all(all: Vec<Task>) {
        all.iter().for_each(Ropewalk::cancel);
        all.into_iter().for_each(Ropewalk::join);
    }

    /// Callbacks, which take no stack.
    pub fn bare(scale: Scale) -> Vec<Figure> {
        let timers = scale.of(MILLION);
        Ropewalk::run(move || {
            let durations: Vec<Duration> = durations(timers).collect();
            let began = Instant::now();
            let all: Vec<_> = durations.into_iter().map(call_later).collect();
            let set = nanoseconds_each(began, timers);
            let began = Instant::now();
            all.iter().for_each(|timer| assert!(timer.cancel()));
            vec![(SET, set), (CANCEL, nanoseconds_each(began, timers))]
        })
    }

    pub fn sleepers(scale: Scale) -> Vec<Figure> {
        let tasks = scale.of(MILLION);
        Ropewalk::run(move || {
            let durations = durations(tasks).collect();
            let began = Instant::now();
            let all = fall_asleep(durations);
            let set = nanoseconds_each(began, tasks);
            let began = Instant::now();
            wake_all(all);
            vec![(SET, set), (CANCEL, nanoseconds_each(began, tasks))]
        })
    }

    pub fn timeouts(scale: Scale, others: usize) -> Vec<Figure> {
        const LONG: Duration = Duration::from_secs(60);
        let (others, repetitions) = (scale.of(others), scale.of(TIMEOUTS));
        Ropewalk::run(move || {
            let others = fall_asleep(durations(others).collect());
            let mut least = Least::new();
            for _ in 0..scale.samples() {
                let began = Instant::now();
                (0..repetitions).for_each(|_| Ropewalk::yield_now());
                let alone = nanoseconds_each(began, repetitions);
                let began = Instant::now();
                (0..repetitions).for_each(|_| timeout(LONG, Ropewalk::yield_now));
                let within = nanoseconds_each(began, repetitions);
                least.see(alone, within);
            }
            wake_all(others);
            least.figures()
        })
    }
}
