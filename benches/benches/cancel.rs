//! Question: what does it cost to cancel a task that waits?
//!
//! *The call* is what the canceller pays; *in all* is until the task has ended: it is woken, sees that it is cancelled,
//! leaves, drops what it holds. Not counted: making the tasks, a thousand at a time, and letting them wait. With futures
//! to be cancelled is to be dropped: the task's code does not run. ropewalk's waits return an error and the task returns
//! by itself; `may` unwinds the stack.

use std::cell::Cell;
use std::panic;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use ropewalk_benches::tasks::{Direct, FuturePlace, Futures, Gathering, may, smol, tokio};

/// Tasks that wait at once: all of them fit into the caches, as in a program that cancels now and then.
const TASKS: usize = 1000;
const BATCHES: usize = 100;

const CALL: &str = "ns for the call";
const ALL: &str = "ns in all";

fn main() -> ExitCode {
    // `may` unwinds by a panic; none of these is to be printed.
    panic::set_hook(Box::new(|_| {}));
    let mut contest = Contest::new();
    contest.case("cancel");
    contest.enter("ropewalk", direct::<ropewalk_benches::tasks::ropewalk::Ropewalk>);
    contest.enter("tokio LocalSet", futures::<tokio::InLocalSet>);
    contest.enter("tokio LocalRuntime", futures::<tokio::InLocalRuntime>);
    contest.enter("smol LocalExecutor", futures::<smol::Smol>);
    contest.enter("may, one worker", direct::<may::May>);
    contest.hold()
}

/// What a cancelled task drops: it counts those who have ended.
struct Ending(Rc<Cell<usize>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn direct<D: Direct>(scale: Scale) -> Vec<Figure> {
    let (tasks, batches) = (scale.of(TASKS), scale.of(BATCHES));
    D::run(move || {
        let places: Rc<Vec<D::Place>> = Rc::new((0..tasks).map(|_| D::Place::default()).collect());
        let ended = Rc::new(Cell::new(0));
        let mut figures = Vec::new();
        for _ in 0..batches {
            ended.set(0);
            let gathering = Rc::new(Gathering::of(tasks));
            let all: Vec<D::Task> = (0..tasks)
                .map(|number| {
                    let (places, gathering) = (places.clone(), gathering.clone());
                    let ending = Ending(ended.clone());
                    D::spawn(move || {
                        let _ending = ending;
                        gathering.arrive_direct::<D>();
                        D::wait(&places[number]);
                    })
                })
                .collect();
            gathering.wait_direct::<D>();
            let began = Instant::now();
            all.iter().for_each(D::cancel);
            figures.push((CALL, nanoseconds_each(began, tasks)));
            all.into_iter().for_each(D::join);
            figures.push((ALL, nanoseconds_each(began, tasks)));
            assert_eq!(ended.get(), tasks);
        }
        figures
    })
}

fn futures<F: Futures>(scale: Scale) -> Vec<Figure> {
    let (tasks, batches) = (scale.of(TASKS), scale.of(BATCHES));
    F::run(async move {
        let places: Rc<Vec<FuturePlace>> = Rc::new((0..tasks).map(|_| FuturePlace::default()).collect());
        let ended = Rc::new(Cell::new(0));
        let mut figures = Vec::new();
        for _ in 0..batches {
            ended.set(0);
            let gathering = Rc::new(Gathering::<FuturePlace>::of(tasks));
            let all: Vec<F::Task> = (0..tasks)
                .map(|number| {
                    let (places, gathering) = (places.clone(), gathering.clone());
                    let ending = Ending(ended.clone());
                    F::spawn(async move {
                        let _ending = ending;
                        gathering.arrive();
                        places[number].wait().await;
                    })
                })
                .collect();
            gathering.wait().await;
            let began = Instant::now();
            all.into_iter().for_each(F::cancel);
            figures.push((CALL, nanoseconds_each(began, tasks)));
            // A cancelled task of smol has no handle left to join.
            while ended.get() < tasks {
                F::yield_now().await;
            }
            figures.push((ALL, nanoseconds_each(began, tasks)));
        }
        figures
    })
}
