//! Question: what are a million tasks that have not run yet, in time and in memory, and then to run them to their end?
//!
//! Not counted: starting the scheduler; the vector of handles, whose pages are touched before. The body captures a
//! counter and a number (16 bytes). Memory is what the process holds more than before (RSS), so allocations are counted
//! as large as the allocator makes them; *after the run* is what it has kept then.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Memory, Scale, nanoseconds_each};
use ropewalk_benches::tasks::{Direct, Futures, may, smol, tokio};

const MILLION: usize = 1_000_000;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("a million not run");
    contest.enter("ropewalk", direct::<ropewalk_benches::tasks::ropewalk::Ropewalk>);
    contest.enter("tokio LocalSet", futures::<tokio::InLocalSet>);
    contest.enter("tokio LocalRuntime", futures::<tokio::InLocalRuntime>);
    contest.enter("smol LocalExecutor", futures::<smol::Smol>);
    contest.enter("may, one worker", direct::<may::May>);
    contest.hold()
}

/// What has been seen so far of one million.
struct Watch {
    began: Instant,
    before: Memory,
    created: f64,
    bytes: f64,
    run: Instant,
    tasks: usize,
}

impl Watch {
    fn start(tasks: usize) -> Watch {
        let before = Memory::now();
        let began = Instant::now();
        Watch { began, before, created: 0.0, bytes: 0.0, run: began, tasks }
    }

    fn all_created(&mut self) {
        self.created = nanoseconds_each(self.began, self.tasks);
        (self.bytes, _) = Memory::now().since_each(self.before, self.tasks);
        self.run = Instant::now();
    }

    fn all_joined(self) -> Vec<Figure> {
        let run = nanoseconds_each(self.run, self.tasks);
        let (kept, _) = Memory::now().since_each(self.before, self.tasks);
        vec![
            ("ns to create", self.created),
            ("bytes each", self.bytes),
            ("ns to run and join", run),
            ("bytes each, after the run", kept),
        ]
    }
}

/// Room for `count` handles, its pages touched.
fn room<T>(count: usize) -> Vec<T> {
    let mut room: Vec<T> = Vec::with_capacity(count);
    // Through bytes, for there is nothing yet that could be a handle.
    room.spare_capacity_mut().iter_mut().for_each(|handle| {
        let first: *mut u8 = handle.as_mut_ptr().cast();
        if size_of::<T>() > 0 {
            // SAFETY: within the vector's spare room, which has no contents to spoil.
            unsafe { first.write_volatile(1) };
        }
    });
    room
}

fn direct<D: Direct>(scale: Scale) -> Vec<Figure> {
    let tasks = scale.of(MILLION);
    D::run(move || {
        let sum = Rc::new(Cell::new(0));
        let mut all: Vec<D::Task> = room(tasks);
        let mut watch = Watch::start(tasks);
        all.extend((0..tasks).map(|number| {
            let sum = sum.clone();
            D::spawn(move || sum.set(sum.get() + number))
        }));
        watch.all_created();
        all.into_iter().for_each(D::join);
        assert_eq!(sum.get(), tasks * (tasks - 1) / 2);
        watch.all_joined()
    })
}

fn futures<F: Futures>(scale: Scale) -> Vec<Figure> {
    let tasks = scale.of(MILLION);
    F::run(async move {
        let sum = Rc::new(Cell::new(0));
        let mut all: Vec<F::Task> = room(tasks);
        let mut watch = Watch::start(tasks);
        all.extend((0..tasks).map(|number| {
            let sum = sum.clone();
            F::spawn(async move { sum.set(sum.get() + number) })
        }));
        watch.all_created();
        for task in all {
            F::join(task).await;
        }
        assert_eq!(sum.get(), tasks * (tasks - 1) / 2);
        watch.all_joined()
    })
}
