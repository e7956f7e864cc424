//! Jobs that wait for whoever is idle: threads of a pool, or tasks that take jobs for their scheduler.
//!
//! Anybody *adds* a job; whoever is idle *waits*, and is *called* when there is one. Some have a queue of their own, the *local* one, that
//! the others steal from.
//!
//! The word that could be lost is "nobody is idle", said to whoever adds a job, while somebody goes to sleep. Both leave a mark and
//! then look for the other's: a job is in its queue before its adder looks for sleepers; a sleeper stands in the line before it looks
//! for jobs. Between the two each has a fence that is ordered with all others, so that at least one sees the other.
//!
//! Invariant: for each job that is added while somebody stands in the line, somebody is taken out of it and looks for jobs after that. So, if
//! whoever is called nobody for starts somebody, there are at no moment more jobs than there are who will look.
//!
//! Who is called first has waited the shortest: its caches are warm, and the others can tell that they are not needed. A task may stand in
//! the line while others of its scheduler run, which may take long: one whose scheduler sleeps is called before it. Where none sleeps all
//! are called, for nobody knows who has time first.

use std::cell::Cell;
use std::time::Duration;

#[cfg(not(loom))]
use crossbeam_deque::{Injector, Steal, Stealer, Worker};

#[cfg(loom)]
pub(crate) use self::stand_in::{Injector, Steal, Stealer, Worker};
use crate::error::Cancelled;
use crate::primitive::{AtomicUsize, Lock, Ordering, fence};
use crate::scheduler::lowlevel::{
    self, CrossError, CrossLine, CrossTicket, CrossWait, CrossWaiter, Undo, Why,
};

/// Jobs of type `J`, and those who wait for them.
pub(crate) struct Work<J> {
    jobs: Injector<J>,
    locals: Vec<Stealer<J>>,
    /// How many stand in the line. It is changed with the line's lock held, and read without.
    idle: AtomicUsize,
    line: Lock<Line>,
}

struct Line {
    /// Each brings the number of its own queue, if it has one.
    waiting: CrossLine<Option<usize>>,
    is_closed: bool,
}

/// A queue that one of them takes from before it looks elsewhere. The one who adds to it is the only one who takes from the end
/// that was added to first; the others steal.
pub(crate) struct Local<J> {
    queue: Worker<J>,
    index: usize,
}

impl<J> Local<J> {
    /// Which one of them it is.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

/// How a wait for a job has ended, if it was not cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Called {
    /// There may be a job; or the work was closed.
    Look,
    /// Nobody has called for so long.
    TooLong,
}

impl<J> Work<J> {
    /// Without jobs, and with so many queues that others steal from.
    pub(crate) fn new(locals: usize) -> (Work<J>, Vec<Local<J>>) {
        let queues: Vec<Worker<J>> = (0..locals).map(|_| Worker::new_fifo()).collect();
        let work = Work {
            jobs: Injector::new(),
            locals: queues.iter().map(Worker::stealer).collect(),
            idle: AtomicUsize::new(0),
            line: Lock::new(Line { waiting: CrossLine::new(), is_closed: false }),
        };
        let locals = queues.into_iter().enumerate().map(|(index, queue)| Local { queue, index });
        (work, locals.collect())
    }

    /// Adds a job for anybody, and calls somebody. False if nobody is idle.
    pub(crate) fn add(&self, job: J) -> bool {
        self.jobs.push(job);
        self.call(None)
    }

    /// As [`add`](Work::add), to a queue of one's own, and calls one of the others.
    pub(crate) fn add_to(&self, local: &Local<J>, job: J) -> bool {
        local.queue.push(job);
        self.call(Some(local.index))
    }

    /// Takes a job: what was added for anybody first, then what others have in their queues.
    pub(crate) fn take(&self) -> Option<J> {
        self.take_from_anybody(None)
    }

    /// As [`take`](Work::take), and from one's own queue before.
    pub(crate) fn take_beside(&self, local: &Local<J>) -> Option<J> {
        self.take_own(local).or_else(|| self.take_from_anybody(Some(local.index)))
    }

    /// Takes a job from one's own queue.
    pub(crate) fn take_own(&self, local: &Local<J>) -> Option<J> {
        local.queue.pop()
    }

    fn take_from_anybody(&self, but: Option<usize>) -> Option<J> {
        loop {
            let mut again = false;
            let stolen = std::iter::once(self.jobs.steal()).chain({
                // Everybody begins with another one.
                let first = but.map_or(0, |index| index + 1);
                let others = (0..self.locals.len()).map(move |offset| (first + offset) % self.locals.len());
                others.filter(move |&index| Some(index) != but).map(|index| self.locals[index].steal())
            });
            for steal in stolen {
                match steal {
                    Steal::Success(job) => return Some(job),
                    Steal::Empty => {}
                    Steal::Retry => again = true,
                }
            }
            if !again {
                return None;
            }
        }
    }

    /// Whether there is a job that somebody could take.
    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty() || self.locals.iter().any(|local| !local.is_empty())
    }

    /// For whoever was called and cannot take jobs now: calls somebody else, if there are any.
    pub(crate) fn pass_on(&self, local: &Local<J>) {
        if self.has_jobs() {
            self.call(Some(local.index));
        }
    }

    /// Calls somebody to look for jobs, but not that one. False if nobody else is idle.
    fn call(&self, but: Option<usize>) -> bool {
        // The job is where it belongs; now for the sleepers. Whoever is not seen here stands in the line later than this, and sees the job.
        fence(Ordering::SeqCst);
        if self.idle.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut called_any = false;
        while let Some((called, slept)) = self.call_one(but) {
            called.wake();
            called_any = true;
            if slept {
                break;
            }
        }
        called_any
    }

    /// Takes somebody out of the line, and says whether its thread has nothing else to do.
    fn call_one(&self, but: Option<usize>) -> Option<(CrossTicket, bool)> {
        let mut line = self.line.lock();
        let may_go = |waiter: &CrossWaiter<Option<usize>>| but.is_none() || waiter.offer != but;
        let sleeper = line.waiting.iter().rposition(|waiter| may_go(waiter) && waiter.ticket.is_asleep());
        let place = sleeper.or_else(|| line.waiting.iter().rposition(may_go))?;
        let called = line.waiting.remove_at(place)?;
        self.idle.store(line.waiting.len(), Ordering::Relaxed);
        Some((called.ticket, sleeper.is_some()))
    }

    /// Waits until somebody calls, who does not add to that queue: a task parks, a thread blocks. It returns at once where there is a job
    /// already.
    ///
    /// # Errors
    ///
    /// It was cancelled, as a task can be.
    #[track_caller]
    pub(crate) fn wait(&self, local: Option<&Local<J>>, why: &Why<'_>) -> Result<(), Cancelled> {
        let index = local.map(Local::index);
        lowlevel::cross_park(why, &InLine { work: self, number: Cell::new(0), index })
    }

    /// As [`wait`](Work::wait), for no longer than `limit`, and without a queue of one's own.
    ///
    /// # Errors
    ///
    /// It was cancelled, as a task can be.
    #[track_caller]
    pub(crate) fn wait_for(&self, limit: Duration, why: &Why<'_>) -> Result<Called, Cancelled> {
        match lowlevel::cross_park_for(limit, why, &InLine { work: self, number: Cell::new(0), index: None })
        {
            Ok(()) => Ok(Called::Look),
            Err(CrossError::Elapsed) => Ok(Called::TooLong),
            Err(CrossError::Cancelled(cancelled)) => Err(cancelled),
        }
    }

    /// From now on nobody waits. Jobs can still be added, and taken.
    pub(crate) fn close(&self) {
        let mut line = self.line.lock();
        line.is_closed = true;
        let waiting = line.waiting.take_all();
        self.idle.store(0, Ordering::Relaxed);
        drop(line);
        waiting.for_each(|waiter| waiter.ticket.wake());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.line.lock().is_closed
    }

    /// How many wait at this moment.
    pub(crate) fn idle(&self) -> usize {
        self.line.lock().waiting.len()
    }
}

/// A wait for jobs.
struct InLine<'a, J> {
    work: &'a Work<J>,
    number: Cell<u64>,
    index: Option<usize>,
}

impl<J> InLine<'_, J> {
    fn leave(&self) -> Option<CrossTicket> {
        let mut line = self.work.line.lock();
        let left = line.waiting.remove(self.number.get());
        self.work.idle.store(line.waiting.len(), Ordering::Relaxed);
        Some(left?.ticket)
    }
}

impl<J> CrossWait for InLine<'_, J> {
    fn register(&self, ticket: CrossTicket) {
        let mut line = self.work.line.lock();
        if line.is_closed {
            drop(line);
            return ticket.wake();
        }
        let number = line.waiting.push(ticket, self.index);
        self.number.set(number);
        self.work.idle.store(line.waiting.len(), Ordering::Relaxed);
        drop(line);
        // Whoever has added a job and does not see this one in the line has done so before: the job is seen here.
        fence(Ordering::SeqCst);
        if self.work.has_jobs() {
            if let Some(ticket) = self.leave() {
                ticket.wake();
            }
        }
    }

    fn is_over(&self) -> bool {
        !self.work.line.lock().waiting.contains(self.number.get())
    }

    fn undo(&self) -> Undo {
        if self.leave().is_some() { Undo::Done } else { Undo::Later }
    }
}

/// Queues for models, which loom can look into. They order as little as crossbeam's do: that a queue is not empty can be seen late.
#[cfg(loom)]
mod stand_in {
    use std::collections::VecDeque;

    use crate::primitive::{Arc, AtomicUsize, Lock, Ordering};

    pub(crate) enum Steal<J> {
        Success(J),
        Empty,
        #[allow(dead_code)]
        Retry,
    }

    struct Queue<J> {
        len: AtomicUsize,
        jobs: Lock<VecDeque<J>>,
    }

    impl<J> Queue<J> {
        fn new() -> Queue<J> {
            Queue { len: AtomicUsize::new(0), jobs: Lock::new(VecDeque::new()) }
        }

        fn push(&self, job: J) {
            let mut jobs = self.jobs.lock();
            jobs.push_back(job);
            self.len.fetch_add(1, Ordering::Relaxed);
        }

        fn pop(&self) -> Option<J> {
            if self.is_empty() {
                return None;
            }
            let mut jobs = self.jobs.lock();
            let job = jobs.pop_front()?;
            self.len.fetch_sub(1, Ordering::Relaxed);
            Some(job)
        }

        fn is_empty(&self) -> bool {
            self.len.load(Ordering::Relaxed) == 0
        }
    }

    pub(crate) struct Injector<J>(Queue<J>);

    impl<J> Injector<J> {
        pub(crate) fn new() -> Injector<J> {
            Injector(Queue::new())
        }

        pub(crate) fn push(&self, job: J) {
            self.0.push(job);
        }

        pub(crate) fn steal(&self) -> Steal<J> {
            self.0.pop().map_or(Steal::Empty, Steal::Success)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    pub(crate) struct Worker<J>(Arc<Queue<J>>);

    impl<J> Worker<J> {
        pub(crate) fn new_fifo() -> Worker<J> {
            Worker(Arc::new(Queue::new()))
        }

        pub(crate) fn stealer(&self) -> Stealer<J> {
            Stealer(self.0.clone())
        }

        pub(crate) fn push(&self, job: J) {
            self.0.push(job);
        }

        pub(crate) fn pop(&self) -> Option<J> {
            self.0.pop()
        }
    }

    pub(crate) struct Stealer<J>(Arc<Queue<J>>);

    impl<J> Stealer<J> {
        pub(crate) fn steal(&self) -> Steal<J> {
            self.0.pop().map_or(Steal::Empty, Steal::Success)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }
}
