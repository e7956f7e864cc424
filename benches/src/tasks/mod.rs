//! The schedulers behind one face, so that each question is asked once in direct style and once in futures.
//!
//! Direct style: ropewalk, `may`, and a bare loop over corosensei where a question can be put to it. Futures: tokio and
//! smol's executor. Each contender is as its documents say it is fastest on one thread.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

pub mod may;
pub mod ropewalk;
pub mod slots;
pub mod smol;
pub mod tokio;

/// Tasks with stacks of their own.
pub trait Direct: 'static {
    /// A task that can be joined and cancelled.
    type Task: 'static;
    /// Where one task at a time waits.
    type Place: Default + 'static;

    /// Runs a scheduler until its first task is done.
    fn run<T: 'static>(main: impl FnOnce() -> T + 'static) -> T;
    fn spawn(body: impl FnOnce() + 'static) -> Self::Task;
    fn join(task: Self::Task);
    fn cancel(task: &Self::Task);
    fn yield_now();
    /// Parks; returns when woken or cancelled.
    fn wait(place: &Self::Place);
    fn wake(place: &Self::Place);
}

/// Tasks that are futures.
pub trait Futures: 'static {
    /// A task that can be joined and cancelled.
    type Task: 'static;

    /// Runs an executor until this future is done.
    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T;
    fn spawn(body: impl Future<Output = ()> + 'static) -> Self::Task;
    fn join(task: Self::Task) -> impl Future<Output = ()>;
    /// Asks the task to end, and does not wait for it.
    fn cancel(task: Self::Task);
    fn yield_now() -> impl Future<Output = ()>;
}

/// Runs a future as a task, for an executor may have a shorter way to poll the one that it was started with.
pub fn run_as_task<F: Futures, T: 'static>(body: impl Future<Output = T> + 'static) -> T {
    F::run(async {
        let result = Rc::new(Cell::new(None));
        let place = result.clone();
        F::join(F::spawn(async move { place.set(Some(body.await)) })).await;
        result.take().expect("it has run to its end")
    })
}

/// Where one future at a time waits.
#[derive(Default)]
pub struct FuturePlace {
    woken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl FuturePlace {
    pub fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.woken.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }

    pub fn wake(&self) {
        self.woken.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Where the first task waits until all others have arrived. None runs before it waits: schedulers of one thread do
/// not switch while it spawns. (To yield until they have arrived would starve `may`, which takes new coroutines in
/// only when no old one can run.)
pub struct Gathering<P> {
    missing: Cell<usize>,
    all_here: P,
}

impl<P: Default> Gathering<P> {
    pub fn of(count: usize) -> Gathering<P> {
        Gathering { missing: Cell::new(count), all_here: P::default() }
    }

    /// Another one is here: whether it is the last.
    fn count_one(&self) -> bool {
        self.missing.set(self.missing.get() - 1);
        self.missing.get() == 0
    }
}

impl<P> Gathering<P> {
    pub fn arrive_direct<D: Direct<Place = P>>(&self)
    where
        P: Default,
    {
        if self.count_one() {
            D::wake(&self.all_here);
        }
    }

    pub fn wait_direct<D: Direct<Place = P>>(&self) {
        D::wait(&self.all_here);
    }
}

impl Gathering<FuturePlace> {
    pub fn arrive(&self) {
        if self.count_one() {
            self.all_here.wake();
        }
    }

    pub fn wait(&self) -> impl Future<Output = ()> {
        self.all_here.wait()
    }
}
