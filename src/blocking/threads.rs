//! Threads that run jobs: started when there is more to do than threads are idle, and gone after a while without work.
//!
//! A thread that waits for another job *steps aside*: it is not counted meanwhile, and so makes room for one that does not wait. Without
//! that, jobs that have others done by the threads that they are on themselves would wait for ever as soon as all threads have such.
//!
//! Invariants:
//! - A job that was accepted has a thread that will come to it: one that was called, one that was started, or, where there may be no
//!   more of them, any that is counted: it looks for jobs when it is done with what it does.
//! - A thread is counted from the moment at which it was started, and until it has looked for jobs a last time, with the count's lock held.
//!   Whoever adds one looks at the count after that. So the two cannot miss each other.
//! - A thread that steps aside has somebody else look for the jobs that may have relied on it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Cancelled;
use crate::primitive::{Arc, Lock, MutexGuard, thread, thread_local};
use crate::scheduler::lowlevel::{self, CrossLine, CrossTicket, CrossWait, Undo, Why};
use crate::scheduler::{self, fork};
use crate::work::{Called, Work};

/// What a thread is to do.
pub(super) trait Job: Send {
    /// Does it, and must not unwind.
    fn run(self);

    /// Whether there is still anything to do.
    fn is_wanted(&self) -> bool;
}

/// There is no thread, and none can be started: whoever has added a job does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Nobody;

/// What threads of one kind have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: Cow<'static, str>,
    /// So many at a time, and those that have stepped aside.
    pub(super) most: usize,
    /// How long a thread waits for more.
    pub(super) patience: Duration,
}

/// Threads of one kind.
pub(super) struct Threads<J> {
    work: Work<J>,
    count: Lock<Count>,
    settings: Settings,
}

struct Count {
    /// Those that look for jobs, now or when they are done with what they do.
    there: usize,
    /// Those that wait for a job which somebody else does.
    aside: usize,
    /// Those who wait until nobody is left.
    ending: CrossLine,
}

impl<J: Job + 'static> Threads<J> {
    /// None yet.
    pub(super) fn new(settings: Settings) -> Threads<J> {
        assert!(settings.most > 0, "jobs need at least one thread");
        let count = Count { there: 0, aside: 0, ending: CrossLine::new() };
        Threads { work: Work::new(0).0, count: Lock::new(count), settings }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Has a thread run the job, now or when one is free.
    ///
    /// # Errors
    ///
    /// Nobody will. The job stays with the others, and is passed over once it is not [wanted](Job::is_wanted) any more.
    pub(super) fn run(threads: &Arc<Self>, job: J) -> Result<(), Nobody> {
        if threads.work.add(job) {
            return Ok(());
        }
        Threads::start(threads, &mut threads.count.lock())
    }

    /// Starts one more for what there is to do, if there may be one more.
    ///
    /// The count stays locked meanwhile. So whoever finds that nobody is there knows that nobody is about to come either.
    fn start(threads: &Arc<Self>, count: &mut Count) -> Result<(), Nobody> {
        if count.there >= threads.settings.most {
            return Ok(());
        }
        let its = threads.clone();
        if thread::start(&threads.settings.name, move || Threads::work(&its)).is_ok() {
            count.there += 1;
            return Ok(());
        }
        if count.there > 0 {
            // Those that are there will come to it.
            return Ok(());
        }
        threads.sweep();
        Err(Nobody)
    }

    /// Drops what nobody wants any more, as a thread would that came to it: where none ever comes, it must not pile up.
    fn sweep(&self) {
        while let Some(job) = self.work.take() {
            if job.is_wanted() {
                // Of somebody who has added it and has not looked yet whether anybody is there.
                self.work.add(job);
                return;
            }
        }
    }

    /// What a thread does until it has been counted out.
    fn work(threads: &Arc<Self>) {
        MINE.with(|mine| {
            mine.generation.set(fork::generation());
            mine.threads.replace(Some(Rc::new(threads.clone())));
        });
        scheduler::advise(
            "it runs calls for tasks; a call has its task do what waits, by blocking::run_in_task",
        );
        threads.look_for_jobs();
        // The thread-locals of jobs go after this, and what they do then is done by none of the threads.
        MINE.with(|mine| mine.threads.replace(None));
    }

    /// Returns when the thread has been idle for too long, or when there are too many.
    fn look_for_jobs(&self) {
        loop {
            while let Some(job) = self.work.take() {
                run_to_its_end(job);
                if self.leaves_if(|count| count.there > self.settings.most) {
                    return;
                }
            }
            let called = self.work.wait_for(self.settings.patience, &Why::new("job"));
            let is_over = called == Ok(Called::TooLong) || self.work.is_closed();
            if is_over && self.leaves_if(|_| !self.work.has_jobs()) {
                return;
            }
        }
    }

    /// Counts this thread out if, with the count locked, `it_may`.
    fn leaves_if(&self, it_may: impl FnOnce(&Count) -> bool) -> bool {
        let mut count = self.count.lock();
        let leaves = it_may(&count);
        if leaves {
            count.there = count.there.checked_sub(1).expect("a thread that leaves was counted");
            tell_if_nobody_is_left(count);
        }
        leaves
    }

    /// No thread waits for jobs any more. Those that were accepted are done.
    pub(super) fn close(&self) {
        self.work.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.work.is_closed()
    }

    /// Waits until no thread is left; for one that is [closed](Threads::close).
    ///
    /// # Errors
    ///
    /// It was cancelled, as a task can be.
    #[track_caller]
    pub(super) fn wait_for_end(&self) -> Result<(), Cancelled> {
        lowlevel::cross_park(&Why::new("threads"), &AtEnd { threads: self, number: Cell::new(0) })
    }

    /// How many there are, and how many of them wait for jobs.
    pub(super) fn count(&self) -> (usize, usize) {
        let count = self.count.lock();
        (count.there + count.aside, self.work.idle())
    }
}

fn tell_if_nobody_is_left(mut count: MutexGuard<'_, Count>) {
    if count.there + count.aside > 0 {
        return;
    }
    let ending = count.ending.take_all();
    drop(count);
    ending.for_each(|waiter| waiter.ticket.wake());
}

/// A wait until no thread is left.
struct AtEnd<'a, J> {
    threads: &'a Threads<J>,
    number: Cell<u64>,
}

impl<J> CrossWait for AtEnd<'_, J> {
    fn register(&self, ticket: CrossTicket) {
        let mut count = self.threads.count.lock();
        if count.there + count.aside == 0 {
            drop(count);
            return ticket.wake();
        }
        self.number.set(count.ending.push(ticket, ()));
    }

    fn is_over(&self) -> bool {
        !self.threads.count.lock().ending.contains(self.number.get())
    }

    fn undo(&self) -> Undo {
        let left = self.threads.count.lock().ending.remove(self.number.get());
        if left.is_some() { Undo::Done } else { Undo::Later }
    }
}

/// What a thread knows of those that it is one of, whatever jobs they run.
trait Stepping {
    /// `may_run`: where nobody is left to look for jobs and nobody can be started, it does them before.
    fn step_aside(&self, may_run: bool);
    fn step_back(&self);
    /// Tells them from others.
    fn address(&self) -> *const ();
}

impl<J: Job + 'static> Stepping for Arc<Threads<J>> {
    fn step_aside(&self, may_run: bool) {
        loop {
            let mut count = self.count.lock();
            count.there -= 1;
            count.aside += 1;
            if !self.work.has_jobs() || Threads::start(self, &mut count) == Ok(()) || !may_run {
                return;
            }
            // Nobody would come to them while this one waits, perhaps for one of them.
            count.there += 1;
            count.aside -= 1;
            drop(count);
            if let Some(job) = self.work.take() {
                run_to_its_end(job);
            }
        }
    }

    fn step_back(&self) {
        let mut count = self.count.lock();
        count.aside -= 1;
        // One too many, perhaps, until the next of them is done.
        count.there += 1;
    }

    fn address(&self) -> *const () {
        let threads: &Threads<J> = self;
        std::ptr::from_ref(threads).cast()
    }
}

struct Mine {
    /// Those that this thread is one of.
    threads: RefCell<Option<Rc<dyn Stepping>>>,
    /// The process whose they are: see [`fork`].
    generation: Cell<usize>,
    /// How many waits of this thread's lie on its stacks: one of its own, or those of tasks of a runtime that runs on it.
    waits: Cell<usize>,
    /// How often there were waits left of a job that had returned: see [`run_to_its_end`].
    left: Cell<usize>,
}

thread_local! {
    static MINE: Mine = Mine {
        threads: RefCell::new(None),
        generation: Cell::new(0),
        waits: Cell::new(0),
        left: Cell::new(0),
    };
}

impl Mine {
    fn threads(&self) -> Option<Rc<dyn Stepping>> {
        // A forked child has none of them, and somebody may have had them locked.
        self.threads.borrow().clone().filter(|_| self.generation.get() == fork::generation())
    }
}

/// While there is one, this thread has stepped aside. It stays on this thread.
#[must_use]
pub(crate) struct Aside {
    /// As [`Mine`] had it.
    left: usize,
    thread: PhantomData<*const ()>,
}

/// Waits lie on the stacks of tasks too, of a runtime that somebody else's loop drives. A job that returns may have forgotten one, or keep it
/// for later. From then on its waits do not count: the thread does not wait for them.
fn run_to_its_end(job: impl Job) {
    job.run();
    let left = MINE.try_with(|mine| match mine.waits.replace(0) {
        0 => None,
        _ => {
            mine.left.set(mine.left.get() + 1);
            mine.threads()
        }
    });
    if let Ok(Some(threads)) = left {
        threads.step_back();
    }
}

/// To be called by whoever is about to wait for a job that another thread does.
pub(crate) fn step_aside() -> Aside {
    step_aside_and(true)
}

/// As [`step_aside`], for an arm, which must not do any job itself. Where no thread can be started, it waits in vain for one that nobody has begun.
pub(super) fn step_aside_only() -> Aside {
    step_aside_and(false)
}

fn step_aside_and(may_run: bool) -> Aside {
    // Where thread-locals are gone, the thread has been counted out.
    let first = MINE.try_with(|mine| if mine.waits.get() == 0 { mine.threads() } else { None });
    if let Ok(Some(threads)) = first {
        threads.step_aside(may_run);
    }
    // Not before: stepping aside may run a job, which waits for itself.
    let left = MINE.try_with(|mine| {
        mine.waits.set(mine.waits.get() + 1);
        mine.left.get()
    });
    Aside { left: left.unwrap_or(0), thread: PhantomData }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let last = MINE.try_with(|mine| {
            if mine.left.get() != self.left {
                return None;
            }
            match mine.waits.replace(mine.waits.get() - 1) {
                1 => mine.threads(),
                _ => None,
            }
        });
        if let Ok(Some(threads)) = last {
            threads.step_back();
        }
    }
}

/// Whether this thread is one of them.
pub(super) fn is_one_of<J: Job + 'static>(threads: &Arc<Threads<J>>) -> bool {
    let mine = MINE.try_with(Mine::threads);
    mine.is_ok_and(|mine| mine.is_some_and(|mine| mine.address() == threads.address()))
}
