//! Question: what are many tasks that all wait at once, in time and in memory? How many can there be?
//!
//! Not counted: starting the scheduler, and the places at which they wait. The time is from the first spawn until the
//! last task waits; bytes are what the process then holds more than before (RSS), and the page tables for it (VmPTE).
//! Then all are woken in the order of their making, and joined. Bare corosensei only makes and resumes; once with its
//! own stacks, once with slots of one mapping that have no guard pages, which is the floor for any stack.
//!
//! A stack of its own mapping and guard takes two of the 65,530 mappings that Linux gives a process, so that those who
//! do it that way end near 32,700 stacks. How they end is in the table.

use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use corosensei::stack::{DefaultStack, Stack};
use ropewalk_benches::contest::{Contest, Figure, Memory, Scale, nanoseconds_each};
use ropewalk_benches::tasks::{Direct, FuturePlace, Futures, Gathering, may, slots, smol, tokio};

fn main() -> ExitCode {
    let mut contest = Contest::new();
    for tasks in [10_000, 100_000, 1_000_000] {
        contest.case(format!("{tasks} parked"));
        contest.enter("ropewalk", move |scale| {
            direct::<ropewalk_benches::tasks::ropewalk::Ropewalk>(scale.of(tasks))
        });
        contest.enter("corosensei, its own stacks", move |scale| {
            bare((0..scale.of(tasks)).map(|_| DefaultStack::default()), scale.of(tasks))
        });
        contest.enter("corosensei, no guard pages", move |scale: Scale| {
            bare(slots::map(scale.of(tasks)), scale.of(tasks))
        });
        contest.enter("tokio LocalSet", move |scale| futures::<tokio::InLocalSet>(scale.of(tasks)));
        contest.enter("tokio LocalRuntime", move |scale| futures::<tokio::InLocalRuntime>(scale.of(tasks)));
        contest.enter("smol LocalExecutor", move |scale| futures::<smol::Smol>(scale.of(tasks)));
        contest.enter("may, one worker", move |scale| direct::<may::May>(scale.of(tasks)));
    }
    contest.hold()
}

/// What has been seen so far.
struct Watch {
    began: Instant,
    before: Memory,
    tasks: usize,
    figures: Vec<Figure>,
}

impl Watch {
    fn start(tasks: usize) -> Watch {
        Watch { before: Memory::now(), tasks, figures: Vec::new(), began: Instant::now() }
    }

    fn all_parked(&mut self) {
        let milliseconds = self.began.elapsed().as_secs_f64() * 1e3;
        let (resident, page_tables) = Memory::now().since_each(self.before, self.tasks);
        self.figures.extend([
            ("ms until all wait", milliseconds),
            ("bytes each", resident),
            ("bytes of page tables each", page_tables),
        ]);
        self.began = Instant::now();
    }

    fn all_ended(mut self) -> Vec<Figure> {
        self.figures.push(("ns to wake, run and join", nanoseconds_each(self.began, self.tasks)));
        self.figures
    }
}

fn direct<D: Direct>(tasks: usize) -> Vec<Figure> {
    D::run(move || {
        let places: Rc<Vec<D::Place>> = Rc::new((0..tasks).map(|_| D::Place::default()).collect());
        let gathering = Rc::new(Gathering::of(tasks));
        let mut watch = Watch::start(tasks);
        let all: Vec<D::Task> = (0..tasks)
            .map(|number| {
                let (places, gathering) = (places.clone(), gathering.clone());
                D::spawn(move || {
                    gathering.arrive_direct::<D>();
                    D::wait(&places[number]);
                })
            })
            .collect();
        gathering.wait_direct::<D>();
        watch.all_parked();
        places.iter().for_each(D::wake);
        all.into_iter().for_each(D::join);
        watch.all_ended()
    })
}

fn futures<F: Futures>(tasks: usize) -> Vec<Figure> {
    F::run(async move {
        let places: Rc<Vec<FuturePlace>> = Rc::new((0..tasks).map(|_| FuturePlace::default()).collect());
        let gathering = Rc::new(Gathering::<FuturePlace>::of(tasks));
        let mut watch = Watch::start(tasks);
        let all: Vec<F::Task> = (0..tasks)
            .map(|number| {
                let (places, gathering) = (places.clone(), gathering.clone());
                F::spawn(async move {
                    gathering.arrive();
                    places[number].wait().await;
                })
            })
            .collect();
        gathering.wait().await;
        watch.all_parked();
        places.iter().for_each(FuturePlace::wake);
        for task in all {
            F::join(task).await;
        }
        watch.all_ended()
    })
}

fn bare<S: Stack + 'static>(stacks: impl Iterator<Item = S>, tasks: usize) -> Vec<Figure> {
    let mut watch = Watch::start(tasks);
    let mut all: Vec<_> = stacks
        .map(|stack| {
            let mut coroutine =
                corosensei::Coroutine::with_stack(stack, |co: &corosensei::Yielder<(), ()>, ()| {
                    co.suspend(());
                });
            coroutine.resume(());
            coroutine
        })
        .collect();
    watch.all_parked();
    for coroutine in &mut all {
        black_box(coroutine.resume(()).as_return());
    }
    watch.all_ended()
}
