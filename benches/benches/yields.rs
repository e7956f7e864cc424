//! Question: what does it cost a task to let the others run, with 2, 1,000 and 100,000 of them?
//!
//! Not counted: making, waking and ending the tasks. Counted on purpose: *misses of the caches*. Tasks that are woken
//! in the order in which they were made lie in memory in that order too, and the processor guesses the next; in a
//! server they do not. So each task takes its stack (or its future's box) in the order of its making, waits, and is
//! woken in a random order, in which the queue then stays. tokio turns the order around in each round, for it keeps
//! those who yielded on a pile. The bare loop over corosensei has its queue filled in a random order.
//!
//! The yield stands in a function that the task's body calls (see README: why call depth). A sample is what one task
//! sees: some rounds by its clock, divided by the yields of all in them. The task that began all others waits for
//! their end and is in no queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each, shuffled};
use ropewalk_benches::tasks::{Direct, FuturePlace, Futures, Gathering, may, slots, smol, tokio};

const YIELD: &str = "ns for a yield";

/// Yields in one sample, of all tasks together: tens of milliseconds.
const SAMPLE: usize = 1_000_000;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    for tasks in [2, 1000, 100_000] {
        contest.case(format!("{tasks} tasks"));
        contest.enter("ropewalk", move |scale| {
            direct::<ropewalk_benches::tasks::ropewalk::Ropewalk>(Plan::new(scale, tasks))
        });
        contest.enter("corosensei, bare loop", move |scale| bare_loop(Plan::new(scale, tasks)));
        contest.enter("tokio LocalSet", move |scale| futures::<tokio::InLocalSet>(Plan::new(scale, tasks)));
        contest.enter("tokio LocalRuntime", move |scale| {
            futures::<tokio::InLocalRuntime>(Plan::new(scale, tasks))
        });
        contest.enter("tokio LocalRuntime, with drivers", move |scale| {
            futures::<tokio::WithDrivers>(Plan::new(scale, tasks))
        });
        contest.enter("smol LocalExecutor", move |scale| futures::<smol::Smol>(Plan::new(scale, tasks)));
        contest.enter("may, one worker", move |scale| direct::<may::May>(Plan::new(scale, tasks)));
    }
    contest.hold()
}

/// How many tasks yield how often.
#[derive(Clone, Copy)]
struct Plan {
    tasks: usize,
    samples: usize,
    rounds: usize,
}

impl Plan {
    fn new(scale: Scale, tasks: usize) -> Plan {
        let tasks = scale.of(tasks);
        // Even, so that an order that is turned around in each round is what it was.
        let rounds = (scale.of(SAMPLE) / tasks).next_multiple_of(2);
        Plan { tasks, samples: scale.samples(), rounds }
    }

    /// How often each task yields: one sample goes before, to warm up, and is not counted.
    fn yields(self) -> usize {
        (self.samples + 1) * self.rounds
    }
}

/// The clock that one of the tasks looks at.
#[derive(Default)]
struct Clock {
    looked: Cell<Option<Instant>>,
    samples: RefCell<Vec<Figure>>,
}

impl Clock {
    /// Called by one task after each of its yields.
    fn look(&self, plan: Plan, yielded: usize) {
        if !yielded.is_multiple_of(plan.rounds) {
            return;
        }
        let looked = self.looked.replace(Some(Instant::now()));
        // The first look is at the end of the warming up.
        if let Some(looked) = looked {
            let each = nanoseconds_each(looked, plan.rounds * plan.tasks);
            self.samples.borrow_mut().push((YIELD, each));
        }
    }
}

#[inline(never)]
fn yield_at_depth_1<D: Direct>(value: usize) -> usize {
    D::yield_now();
    // The addition is what keeps the call from becoming a jump.
    value.wrapping_add(1)
}

fn direct<D: Direct>(plan: Plan) -> Vec<Figure> {
    D::run(move || {
        let places: Rc<Vec<D::Place>> = Rc::new((0..plan.tasks).map(|_| D::Place::default()).collect());
        let clock = Rc::new(Clock::default());
        let gathering = Rc::new(Gathering::of(plan.tasks));
        let tasks: Vec<D::Task> = (0..plan.tasks)
            .map(|number| {
                let (places, clock, gathering) = (places.clone(), clock.clone(), gathering.clone());
                D::spawn(move || {
                    gathering.arrive_direct::<D>();
                    D::wait(&places[number]);
                    let mut value = 0;
                    for yielded in 1..=plan.yields() {
                        value = yield_at_depth_1::<D>(value);
                        if number == 0 {
                            clock.look(plan, yielded);
                        }
                    }
                    black_box(value);
                })
            })
            .collect();
        gathering.wait_direct::<D>();
        shuffled(plan.tasks).into_iter().for_each(|number| D::wake(&places[number]));
        tasks.into_iter().for_each(D::join);
        clock.samples.take()
    })
}

async fn yield_in_a_call<F: Futures>(value: usize) -> usize {
    F::yield_now().await;
    value.wrapping_add(1)
}

fn futures<F: Futures>(plan: Plan) -> Vec<Figure> {
    F::run(async move {
        let places: Rc<Vec<FuturePlace>> = Rc::new((0..plan.tasks).map(|_| FuturePlace::default()).collect());
        let clock = Rc::new(Clock::default());
        let gathering = Rc::new(Gathering::of(plan.tasks));
        let tasks: Vec<F::Task> = (0..plan.tasks)
            .map(|number| {
                let (places, clock, gathering) = (places.clone(), clock.clone(), gathering.clone());
                F::spawn(async move {
                    gathering.arrive();
                    places[number].wait().await;
                    let mut value = 0;
                    for yielded in 1..=plan.yields() {
                        value = yield_in_a_call::<F>(value).await;
                        if number == 0 {
                            clock.look(plan, yielded);
                        }
                    }
                    black_box(value);
                })
            })
            .collect();
        gathering.wait().await;
        shuffled(plan.tasks).into_iter().for_each(|number| places[number].wake());
        for task in tasks {
            F::join(task).await;
        }
        clock.samples.take()
    })
}

#[inline(never)]
fn suspend_at_depth_1(co: &corosensei::Yielder<(), ()>, value: usize) -> usize {
    co.suspend(());
    value.wrapping_add(1)
}

/// The least that a scheduler of stacks can be: two switches and a queue.
fn bare_loop(plan: Plan) -> Vec<Figure> {
    let mut all: Vec<_> = slots::map(plan.tasks)
        .map(|stack| {
            let mut coroutine = corosensei::Coroutine::with_stack(stack, move |co: &_, ()| {
                let mut value = 0;
                for _ in 0..=plan.yields() {
                    value = suspend_at_depth_1(co, value);
                }
                black_box(value);
            });
            coroutine.resume(());
            Some(coroutine)
        })
        .collect();
    let mut queue: VecDeque<_> =
        shuffled(plan.tasks).into_iter().filter_map(|number| all[number].take()).collect();
    let clock = Clock::default();
    for round in 1..=plan.yields() {
        for _ in 0..plan.tasks {
            let mut coroutine = queue.pop_front().expect("they are still here");
            coroutine.resume(());
            queue.push_back(coroutine);
        }
        clock.look(plan, round);
    }
    // Their last yield.
    queue.iter_mut().for_each(|coroutine| assert!(coroutine.resume(()).as_return().is_some()));
    clock.samples.take()
}
