//! The threads that look names up: started when there is more to do than threads are idle, and gone after a while without work.
//!
//! Invariants, whenever the mutex is free:
//! - Where a job waits, a thread is about to take it, or all that there may be are at work.
//! - No code of the program runs while the mutex is held.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::channel::cross::oneshot::Sender;
use crate::scheduler::fork::PerProcess;

/// Lookups at the same time. They do nothing but wait for name servers; so many are more than these are asked at once.
const MOST: usize = 32;

/// How long a thread waits for more: a burst of connections is over by then, and a thread costs nothing to start beside a lookup.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds addresses, and may block the thread.
pub(super) type Find = Box<dyn FnOnce() -> io::Result<Vec<SocketAddr>> + Send>;

/// What was found; or the panic that came instead.
type Found = thread::Result<io::Result<Vec<SocketAddr>>>;

/// A lookup, and where its answer goes.
pub(super) struct Job {
    find: Find,
    answer: Sender<Found>,
}

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Those among them that wait for work.
    idle: usize,
}

static POOL: PerProcess<Pool> = PerProcess::new();

impl Job {
    pub(super) fn new(find: Find, answer: Sender<Found>) -> Job {
        Job { find, answer }
    }

    fn run(self) {
        if self.answer.is_closed() {
            // Nobody waits any more.
            return;
        }
        let found = panic::catch_unwind(AssertUnwindSafe(self.find));
        // If it was abandoned in the meantime, what comes back is dropped.
        let _ = self.answer.send(found);
    }
}

/// Has a thread run the job, now or when one is free.
///
/// # Errors
///
/// There is no thread, and none can be started.
pub(super) fn run(job: Job) -> io::Result<()> {
    let pool = POOL.get(Pool::default);
    let mut state = pool.lock();
    state.jobs.push_back(job);
    if state.idle >= state.jobs.len() {
        drop(state);
        pool.work.notify_one();
        return Ok(());
    }
    if state.threads == MOST {
        return Ok(());
    }
    state.threads += 1;
    drop(state);
    let started = thread::Builder::new().name("ropewalk-lookup".to_owned()).spawn(|| pool.work());
    let Err(error) = started else { return Ok(()) };
    let mut state = pool.lock();
    state.threads -= 1;
    if state.threads > 0 {
        // Those that are there will come to it.
        return Ok(());
    }
    let unheard = mem::take(&mut state.jobs);
    drop(state);
    drop(unheard);
    Err(error)
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until it has been idle for too long.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The drop of something that a panic has brought may panic too: what that brings is left alone.
                panic::catch_unwind(AssertUnwindSafe(|| job.run())).unwrap_or_else(mem::forget);
                state = self.lock();
            }
            state.idle += 1;
            let (woken, waited) = self
                .work
                .wait_timeout_while(state, PATIENCE, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}
