//! Question: how long does it take another thread to wake a task of a scheduler that is idle, and how many pieces of
//! work a second can it post?
//!
//! *Round trip*: a task wakes a partner thread, waits, and is woken by it: two sleeps and two wake-ups through the kernel.
//! The floor is two threads that do so with `park` and `unpark`. Each is timed by itself. On one core the scheduler has
//! gone idle each time; the partner is now and then called when it is only about to sleep, which spares it its half.
//! On two cores a partner that is awake may even answer before the task waits: the median is the figure, not the least.
//! *Posts*: a thread posts closures that count one up, as fast as it can, to a scheduler that starts idle; from the first
//! post until the last has run. Not counted: starting threads and schedulers.
//!
//! The wake-up of a core that sleeps is the largest part, in a virtual machine above all. So the partner is once on the
//! scheduler's own core, where no core has to be woken, and once on another; left to itself, the system chooses now this
//! and now that. `taskset` must leave two cores for it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use ropewalk_benches::cores::{Cores, never_interrupt, stay_on};
use ropewalk_benches::tasks::{Direct, Futures, may, smol, tokio};

const ROUND_TRIPS: usize = 10_000;
const POSTS: usize = 1_000_000;

const ROUND_TRIP: &str = "ns for a round trip";
const POST: &str = "ns for a post";

/// What a thread can post to another.
type Work = Box<dyn FnOnce() + Send>;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    for on in [Cores::One, Cores::Two] {
        contest.case(format!("round trip, cores: {on:?}"));
        contest.enter("ropewalk", move |scale| of_ropewalk::round_trips(scale, on));
        contest.enter("two threads", move |scale| thread_round_trips(scale, on));
        contest
            .enter("tokio LocalRuntime", move |scale| future_round_trips::<tokio::InLocalRuntime>(scale, on));
        contest.enter("tokio LocalRuntime, with drivers", move |scale| {
            future_round_trips::<tokio::WithDrivers>(scale, on)
        });
        contest.enter("smol LocalExecutor", move |scale| future_round_trips::<smol::Smol>(scale, on));
        contest.enter("may, one worker", move |scale| may_round_trips(scale, on));
    }
    contest.case("posts");
    contest.enter("ropewalk", of_ropewalk::posts);
    contest.enter("std's channel to a thread", thread_posts);
    contest.enter("tokio's channel to a task", tokio_posts);
    contest.enter("tokio, with drivers: to a task", tokio_posts_with_drivers);
    contest.enter("tokio, a task spawned for each", tokio_spawns);
    contest.enter("may's channel to a coroutine", may_posts);
    contest.hold()
}

/// A thread that answers each call.
struct Partner(thread::JoinHandle<()>);

impl Partner {
    /// Answers so often, then ends. Whoever makes it stays on its core from here on.
    fn new(on: Cores, calls: usize, answer: impl Fn() + Send + 'static) -> (Partner, Arc<AtomicBool>) {
        let (own, other) = on.cores();
        let called = Arc::new(AtomicBool::new(false));
        let seen = called.clone();
        stay_on(own);
        let thread = thread::spawn(move || {
            stay_on(other);
            never_interrupt();
            for _ in 0..calls {
                while !seen.swap(false, Ordering::Acquire) {
                    thread::park();
                }
                answer();
            }
        });
        (Partner(thread), called)
    }

    fn call(&self, called: &AtomicBool) {
        called.store(true, Ordering::Release);
        self.0.thread().unpark();
    }
}

/// Times each of the round trips by itself.
fn timed(scale: Scale) -> impl Iterator<Item = ()> {
    (0..scale.of(ROUND_TRIPS)).map(|_| ())
}

fn thread_round_trips(scale: Scale, on: Cores) -> Vec<Figure> {
    let answered = Arc::new(AtomicBool::new(false));
    let (caller, answering) = (thread::current(), answered.clone());
    let (partner, called) = Partner::new(on, scale.of(ROUND_TRIPS), move || {
        answering.store(true, Ordering::Release);
        caller.unpark();
    });
    timed(scale)
        .map(|()| {
            let began = Instant::now();
            partner.call(&called);
            while !answered.swap(false, Ordering::Acquire) {
                thread::park();
            }
            (ROUND_TRIP, nanoseconds_each(began, 1))
        })
        .collect()
}

/// Where a future waits for another thread.
#[derive(Default)]
struct Answer {
    given: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Answer {
    fn give(&self) {
        self.given.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().expect("nobody panics").take() {
            waker.wake();
        }
    }

    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            // Leave the waker first: who answers between the look and the leaving would find none.
            *self.waker.lock().expect("nobody panics") = Some(context.waker().clone());
            if self.given.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

fn future_round_trips<F: Futures>(scale: Scale, on: Cores) -> Vec<Figure> {
    F::run(async move {
        let answer = Arc::new(Answer::default());
        let answering = answer.clone();
        let (partner, called) = Partner::new(on, scale.of(ROUND_TRIPS), move || answering.give());
        let figures = Rc::new(Cell::new(Vec::new()));
        let found = figures.clone();
        // In a task: `block_on` may poll its own future by a shorter way.
        let task = F::spawn(async move {
            let mut figures = Vec::new();
            for () in timed(scale) {
                let began = Instant::now();
                partner.call(&called);
                answer.wait().await;
                figures.push((ROUND_TRIP, nanoseconds_each(began, 1)));
            }
            found.set(figures);
        });
        F::join(task).await;
        figures.take()
    })
}

fn may_round_trips(scale: Scale, on: Cores) -> Vec<Figure> {
    may::May::run(move || {
        let coroutine = ::may::coroutine::current();
        let answered = Arc::new(AtomicBool::new(false));
        let answering = answered.clone();
        let (partner, called) = Partner::new(on, scale.of(ROUND_TRIPS), move || {
            answering.store(true, Ordering::Release);
            coroutine.unpark();
        });
        timed(scale)
            .map(|()| {
                let began = Instant::now();
                partner.call(&called);
                while !answered.swap(false, Ordering::Acquire) {
                    ::may::coroutine::park();
                }
                (ROUND_TRIP, nanoseconds_each(began, 1))
            })
            .collect()
    })
}

/// A thread that posts; the clock starts with it.
fn poster(posts: usize, mut post: impl FnMut(Work) + Send + 'static) -> Arc<AtomicUsize> {
    let done = Arc::new(AtomicUsize::new(0));
    let counter = done.clone();
    thread::spawn(move || {
        for _ in 0..posts {
            let counter = counter.clone();
            // One thread runs them all: no read-modify-write is needed.
            post(Box::new(move || {
                counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }));
        }
    });
    done
}

fn posted(began: Instant, posts: usize, done: &AtomicUsize) -> Vec<Figure> {
    assert_eq!(done.load(Ordering::Relaxed), posts);
    vec![(POST, nanoseconds_each(began, posts))]
}

fn thread_posts(scale: Scale) -> Vec<Figure> {
    let posts = scale.of(POSTS);
    let (sender, receiver) = mpsc::channel::<Work>();
    let began = Instant::now();
    let done = poster(posts, move |work| sender.send(work).expect("the receiver waits for all"));
    receiver.into_iter().for_each(|work| work());
    posted(began, posts, &done)
}

fn tokio_posts(scale: Scale) -> Vec<Figure> {
    channel_to_a_tokio_task::<tokio::InLocalRuntime>(scale)
}

fn tokio_posts_with_drivers(scale: Scale) -> Vec<Figure> {
    channel_to_a_tokio_task::<tokio::WithDrivers>(scale)
}

fn channel_to_a_tokio_task<F: Futures>(scale: Scale) -> Vec<Figure> {
    let posts = scale.of(POSTS);
    F::run(async move {
        let (sender, mut receiver) = ::tokio::sync::mpsc::unbounded_channel::<Work>();
        let began = Instant::now();
        let done = poster(posts, move |work| sender.send(work).expect("the receiver waits for all"));
        F::join(F::spawn(async move {
            while let Some(work) = receiver.recv().await {
                work();
            }
        }))
        .await;
        posted(began, posts, &done)
    })
}

fn tokio_spawns(scale: Scale) -> Vec<Figure> {
    let posts = scale.of(POSTS);
    let runtime = ::tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let handle = runtime.handle().clone();
    runtime.block_on(async move {
        let last = Arc::new(Answer::default());
        let began = Instant::now();
        let (mut left, answering) = (posts, last.clone());
        let done = poster(posts, move |work| {
            left -= 1;
            let last = (left == 0).then(|| answering.clone());
            handle.spawn(async move {
                work();
                if let Some(last) = last {
                    last.give();
                }
            });
        });
        pin!(last.wait()).await;
        posted(began, posts, &done)
    })
}

fn may_posts(scale: Scale) -> Vec<Figure> {
    let posts = scale.of(POSTS);
    may::May::run(move || {
        let (sender, receiver) = ::may::sync::mpsc::channel::<Work>();
        let began = Instant::now();
        let done = poster(posts, move |work| sender.send(work).expect("the receiver waits for all"));
        receiver.into_iter().for_each(|work| work());
        posted(began, posts, &done)
    })
}

/// Through `remote().post`, the only way in.
mod of_ropewalk {
    use std::cell::RefCell;

    use ropewalk_benches::tasks::ropewalk::{self, Ropewalk};

    use super::*;

    thread_local! {
        /// Where the task waits: posted work runs on the scheduler's thread and finds it here.
        static PLACE: RefCell<Rc<<Ropewalk as Direct>::Place>> = RefCell::default();
    }

    fn place() -> Rc<<Ropewalk as Direct>::Place> {
        PLACE.with_borrow(Rc::clone)
    }

    pub fn round_trips(scale: Scale, on: Cores) -> Vec<Figure> {
        Ropewalk::run(move || {
            let remote = ropewalk::remote();
            let (partner, called) = Partner::new(on, scale.of(ROUND_TRIPS), move || {
                ropewalk::post(&remote, || Ropewalk::wake(&place()));
            });
            let place = place();
            timed(scale)
                .map(|()| {
                    let began = Instant::now();
                    partner.call(&called);
                    // Posted work runs when this task has parked, not before.
                    Ropewalk::wait(&place);
                    (ROUND_TRIP, nanoseconds_each(began, 1))
                })
                .collect()
        })
    }

    pub fn posts(scale: Scale) -> Vec<Figure> {
        let posts = scale.of(POSTS);
        Ropewalk::run(move || {
            let remote = ropewalk::remote();
            let mut left = posts;
            let began = Instant::now();
            let done = poster(posts, move |work| {
                ropewalk::post(&remote, work);
                left -= 1;
                if left == 0 {
                    ropewalk::post(&remote, || Ropewalk::wake(&place()));
                }
            });
            Ropewalk::wait(&place());
            posted(began, posts, &done)
        })
    }
}
