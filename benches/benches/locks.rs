//! Question: what does a lock cost, when nobody else wants it, and when it goes from task to task?
//!
//! *Nobody else*: one task locks, counts one up and unlocks. std's lock, and `parking_lot`'s, are the floor: they block the
//! thread and so are no locks for tasks, but here nobody has to wait. *Held over a yield*: each task locks, yields, unlocks,
//! and does so again at once; all others stand in line. A turn is then two switches at least, that of the yield and that
//! of the wait. What is handed over is counted too: a lock that is not fair may let one task have several turns in a row,
//! which spares it the switches, and the others the lock.
//!
//! Not counted: making locks and tasks, and waking the tasks for the first time, which is done in a random order (see
//! `yields.rs`). Whoever has the lock counts the turns of all and looks at the clock.

use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ropewalk_benches::contest::{
    Contest, Figure, Scale, nanoseconds_each, samples, samples_of_future, shuffled,
};
use ropewalk_benches::meetings::elsewhere::{asyncio, go, has_go};
use ropewalk_benches::meetings::{DirectLock, FutureLock};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, FuturePlace, Futures, Gathering, may, run_as_task, smol, tokio};

const ALONE: &str = "ns for lock + unlock";
const TURN: &str = "ns for a turn";
const HANDED_OVER: &str = "% handed over";

/// Locked and unlocked in one sample.
const REPETITIONS: usize = 1_000_000;

/// Turns of all tasks in one sample.
const TURNS: usize = 200_000;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("a lock that nobody else wants");
    contest.enter("ropewalk", |scale| Ropewalk::run(move || alone::<ropewalk::sync::Mutex<usize>>(scale)));
    contest.enter("std, blocks the thread", alone::<std::sync::Mutex<usize>>);
    contest.enter("parking_lot, blocks the thread", alone::<parking_lot::Mutex<usize>>);
    contest.enter("tokio, LocalRuntime", future_alone::<tokio::InLocalRuntime, ::tokio::sync::Mutex<usize>>);
    contest.enter("async-lock, smol", future_alone::<smol::Smol, async_lock::Mutex<usize>>);
    contest
        .enter("may, one worker", |scale| may::May::run(move || alone::<::may::sync::Mutex<usize>>(scale)));
    if has_go() {
        contest.enter("Go", |scale| go("lock-alone", scale));
    }
    contest.enter("asyncio", |scale| asyncio("lock-alone", scale));
    for tasks in [2, 100] {
        contest.case(format!("a lock that {tasks} tasks hold over a yield"));
        contest.enter("ropewalk", move |scale| direct::<Ropewalk, ropewalk::sync::Mutex<Log>>(scale, tasks));
        contest.enter("tokio, LocalSet", move |scale| {
            future::<tokio::InLocalSet, ::tokio::sync::Mutex<Log>>(scale, tasks)
        });
        contest.enter("tokio, LocalRuntime", move |scale| {
            future::<tokio::InLocalRuntime, ::tokio::sync::Mutex<Log>>(scale, tasks)
        });
        contest.enter("async-lock, smol", move |scale| {
            future::<smol::Smol, async_lock::Mutex<Log>>(scale, tasks)
        });
        contest
            .enter("may, one worker", move |scale| direct::<may::May, ::may::sync::Mutex<Log>>(scale, tasks));
        if has_go() {
            contest.enter("Go", move |scale| go(&format!("lock-{tasks}"), scale));
        }
        contest.enter("asyncio", move |scale| asyncio(&format!("lock-{tasks}"), scale));
    }
    contest.hold()
}

fn alone<L: DirectLock<usize>>(scale: Scale) -> Vec<Figure> {
    let lock = L::new(0);
    samples(scale, ALONE, scale.of(REPETITIONS), || *black_box(&lock).lock() += 1)
}

fn future_alone<F: Futures, L: FutureLock<usize>>(scale: Scale) -> Vec<Figure> {
    run_as_task::<F, _>(async move {
        let lock = L::new(0);
        samples_of_future(scale, ALONE, scale.of(REPETITIONS), async || *black_box(&lock).lock().await += 1)
            .await
    })
}

/// What the lock keeps: an account of its own turns.
struct Log {
    scale: Scale,
    turns: usize,
    handed_over: usize,
    last: Option<usize>,
    looked: Option<Instant>,
    figures: Vec<Figure>,
}

impl Log {
    fn new(scale: Scale) -> Log {
        Log { scale, turns: 0, handed_over: 0, last: None, looked: None, figures: Vec::new() }
    }

    /// It is this task's turn: whether that still counts. The first sample is to warm up.
    fn turn(&mut self, task: usize) -> bool {
        let sample = self.scale.of(TURNS);
        if self.turns == sample * (self.scale.samples() + 1) {
            return false;
        }
        self.turns += 1;
        if self.last.replace(task) != Some(task) {
            self.handed_over += 1;
        }
        if self.turns.is_multiple_of(sample) {
            if let Some(looked) = self.looked.replace(Instant::now()) {
                self.figures.push((TURN, nanoseconds_each(looked, sample)));
                self.figures.push((HANDED_OVER, 100.0 * self.handed_over as f64 / sample as f64));
            }
            self.handed_over = 0;
        }
        true
    }
}

fn direct<D: Direct, L: DirectLock<Log>>(scale: Scale, tasks: usize) -> Vec<Figure> {
    D::run(move || {
        let lock = Rc::new(L::new(Log::new(scale)));
        let places: Rc<Vec<D::Place>> = Rc::new((0..tasks).map(|_| D::Place::default()).collect());
        let gathering = Rc::new(Gathering::of(tasks));
        let all: Vec<D::Task> = (0..tasks)
            .map(|number| {
                let (lock, places, gathering) = (lock.clone(), places.clone(), gathering.clone());
                D::spawn(move || {
                    gathering.arrive_direct::<D>();
                    D::wait(&places[number]);
                    while take_a_turn::<D, L>(&lock, number) {}
                })
            })
            .collect();
        gathering.wait_direct::<D>();
        shuffled(tasks).into_iter().for_each(|number| D::wake(&places[number]));
        all.into_iter().for_each(D::join);
        std::mem::take(&mut lock.lock().figures)
    })
}

/// In a function of its own: see README, why call depth.
#[inline(never)]
fn take_a_turn<D: Direct, L: DirectLock<Log>>(lock: &L, number: usize) -> bool {
    let mut log = lock.lock();
    let counts = log.turn(number);
    if counts {
        D::yield_now();
    }
    counts
}

fn future<F: Futures, L: FutureLock<Log>>(scale: Scale, tasks: usize) -> Vec<Figure> {
    F::run(async move {
        let lock = Rc::new(L::new(Log::new(scale)));
        let places: Rc<Vec<FuturePlace>> = Rc::new((0..tasks).map(|_| FuturePlace::default()).collect());
        let gathering = Rc::new(Gathering::of(tasks));
        let all: Vec<F::Task> = (0..tasks)
            .map(|number| {
                let (lock, places, gathering) = (lock.clone(), places.clone(), gathering.clone());
                F::spawn(async move {
                    gathering.arrive();
                    places[number].wait().await;
                    loop {
                        let mut log = lock.lock().await;
                        if !log.turn(number) {
                            break;
                        }
                        F::yield_now().await;
                    }
                })
            })
            .collect();
        gathering.wait().await;
        shuffled(tasks).into_iter().for_each(|number| places[number].wake());
        for task in all {
            F::join(task).await;
        }
        std::mem::take(&mut lock.lock().await.figures)
    })
}
