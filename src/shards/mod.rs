//! Several cores: a scheduler on each of several threads, the *shards*, and jobs that go to whichever is idle.
//!
//! Each shard has tasks of its own, which never leave it: they use `Rc` and `RefCell`, and nothing that they do among themselves is
//! atomic. What goes from one to another is a closure that has not begun yet, a [*job*](Shard::spawn): whoever has nothing else to do
//! takes it, and it becomes a task there.
//!
//! ```
//! use ropewalk::shards;
//!
//! let words = ["hemp", "sisal", "jute", "coir"];
//! let lengths = shards::run(2, |shard| {
//!     if shard.index() > 0 {
//!         return 0;                                              // It takes jobs of the first one.
//!     }
//!     let jobs = words.map(|word| shard.spawn(move |_| word.len()));       // They borrow from outside.
//!     jobs.into_iter().map(|job| job.join().unwrap()).sum()
//! });
//! assert_eq!(lengths, [17, 0]);
//! ```
//!
//! # Servers
//!
//! Each shard listens for itself, and the system deals connections out to them. No connection changes its shard.
//!
//! ```
//! use ropewalk::net::ListenOptions;
//! use ropewalk::shards;
//! use std::io::{self, Read, Write};
//! use std::net::TcpStream;
//! use std::thread;
//!
//! let options = ListenOptions::new().reuse_port(true);
//! let here = options.bind("127.0.0.1:0")?.local_addr()?;
//! let client = thread::spawn(move || -> io::Result<String> {
//!     let mut answer = String::new();
//!     while answer.is_empty() {
//!         // Until somebody listens.
//!         let _ = TcpStream::connect(here).and_then(|mut stream| stream.read_to_string(&mut answer));
//!     }
//!     Ok(answer)
//! });
//! shards::run(2, |shard| {
//!     let listener = options.bind(here).unwrap();                // Each its own, at the same port.
//!     while let Ok((mut stream, _)) = listener.accept() {
//!         if write!(stream, "from shard {}", shard.index()).is_ok() {
//!             shard.stop();                                      // Enough: the accepts of all shards fail.
//!         }
//!     }
//! });
//! assert!(client.join().unwrap()?.starts_with("from shard "));
//! # io::Result::Ok(())
//! ```
//!
//! To end all of them on Ctrl-C, each body calls [`cancel_on_ctrl_c`](crate::signal::cancel_on_ctrl_c), which is for its own shard alone; or one of them
//! waits for a signal, and [stops](Shard::stop) all.
//!
//! # Messages
//!
//! [Channels between threads](crate::channel::cross) join tasks of different shards, and [`sync::cross`](crate::sync::cross) has locks
//! for them. A [`Remote`](crate::lowlevel::Remote) posts closures to one shard.
//!
//! # Cancellation
//!
//! When a shard fails, all are cancelled, and the whole ends when all of their tasks have ended: see [`run`].

mod job;
mod jobs;
mod pin;
mod statistics;
mod taking;
mod team;

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::thread;

pub use self::job::{Joining, ShardJob};
pub use self::statistics::ShardStatistics;
use self::team::Team;
use crate::blocking;
use crate::error::Reason;
use crate::scheduler;
use crate::scheduler::lowlevel::WaitList;
use crate::scheduler::{Builder, Runtime};
use crate::task;
use crate::work::Local;

/// Runs `body` on each of `count` threads, under a scheduler of its own; returns what each has returned, in the order of the shards.
///
/// A shard goes on taking jobs until all bodies have returned and no job is left. Then the tasks that belong to no scope are cancelled, on each shard, as at
/// the end of [`run`](crate::run).
///
/// # Panics
///
/// With the first panic of a body, or of a job that nobody joined. The other shards are cancelled then, and waited for; of their panics the
/// panic hook is told. When it is called in a task, which would block its thread: call it by way of
/// [`blocking::unblock`]. When a thread or a runtime cannot be had. Without any shard.
#[track_caller]
pub fn run<'env, T: Send>(count: usize, body: impl Fn(&Shard<'_, 'env>) -> T + Sync) -> Vec<T> {
    Shards::new(count).run(body)
}

/// As [`run`], for bodies that may fail: the first error cancels the other shards.
///
/// ```
/// use ropewalk::{shards, time};
/// use std::time::Duration;
///
/// let failed: Result<Vec<()>, String> = shards::try_run(2, |shard| match shard.index() {
///     0 => time::sleep(Duration::from_secs(3600)).map_err(|cancelled| cancelled.to_string()),
///     _ => Err("no rope".to_owned()),
/// });
/// assert_eq!(failed, Err("no rope".to_owned()));
/// ```
///
/// # Errors
///
/// The first one that a body returned. Those of the others, which come of the cancellation mostly, are dropped.
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn try_run<'env, T: Send, E: Send>(
    count: usize,
    body: impl Fn(&Shard<'_, 'env>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    Shards::new(count).try_run(body)
}

/// Settings for [`run`].
///
/// ```
/// use ropewalk::shards::Shards;
///
/// let cores = std::thread::available_parallelism().unwrap().get();
/// let shards = Shards::new(cores).pinned(true).runtime(|shard, builder| builder.name(format!("core {shard}")));
/// assert_eq!(shards.run(|shard| shard.index()), (0..cores).collect::<Vec<_>>());
/// ```
#[must_use = "nothing runs until it is told to"]
pub struct Shards<'a> {
    count: usize,
    is_pinned: bool,
    runtime: Box<dyn Fn(usize, Builder) -> Builder + Sync + 'a>,
}

impl<'a> Shards<'a> {
    /// So many of them.
    ///
    /// # Panics
    ///
    /// Without any.
    #[track_caller]
    pub fn new(count: usize) -> Shards<'a> {
        assert!(count > 0, "there is at least one shard");
        Shards { count, is_pinned: false, runtime: Box::new(|_, builder| builder) }
    }

    /// Whether each is kept on one of the processors that this thread may use, in turn.
    ///
    /// # Platform
    ///
    /// Linux; elsewhere, and where the system refuses, the system puts them where it likes.
    pub fn pinned(mut self, pinned: bool) -> Shards<'a> {
        self.is_pinned = pinned;
        self
    }

    /// Settings for the runtime of each shard.
    pub fn runtime(mut self, settings: impl Fn(usize, Builder) -> Builder + Sync + 'a) -> Shards<'a> {
        self.runtime = Box::new(settings);
        self
    }

    /// As [`run`].
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn run<'env, T: Send>(&self, body: impl Fn(&Shard<'_, 'env>) -> T + Sync) -> Vec<T> {
        match self.try_run(|shard| Ok::<T, Never>(body(shard))) {
            Ok(values) => values,
            Err(never) => match never {},
        }
    }

    /// As [`try_run`].
    ///
    /// # Errors
    ///
    /// As [`try_run`].
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn try_run<'env, T: Send, E: Send>(
        &self,
        body: impl Fn(&Shard<'_, 'env>) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        assert!(
            !scheduler::runs_here(),
            "this would block the thread, and all its tasks: call shards::run by way of blocking::unblock"
        );
        // On a thread of a pool, which the shards may have something to do for.
        let _aside = blocking::step_aside();
        let (team, locals) = Team::new(self.count);
        let (team, body, cores) = (&team, &body, &pin::cores());
        let results: Vec<_> = thread::scope(|s| {
            let start = |local: Local<_>| {
                let index = local.index();
                let core = self.is_pinned.then(|| pin::one_of(cores, index)).flatten();
                let begin = move || {
                    if let Some(core) = core {
                        pin::to(core);
                    }
                    let settings = (self.runtime)(index, Runtime::builder().name(format!("shard {index}")));
                    run_shard(team, local, &settings.build(), body)
                };
                // What panics outside of a body: the runtime could not begin, or there was no stack. The others must not wait for this one.
                let begin = move || {
                    panic::catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|payload| {
                        team.fail(payload);
                        None
                    })
                };
                let started =
                    thread::Builder::new().name(format!("ropewalk-shard-{index}")).spawn_scoped(s, begin);
                started
                    .map_err(|error| team.fail(Box::new(format!("shard {index} has no thread: {error}"))))
                    .ok()
            };
            let threads: Vec<_> = locals.into_iter().map(start).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().ok().flatten();
            threads.into_iter().map(|thread| thread.and_then(join)).collect()
        });
        if let Some(payload) = team.take_panic() {
            panic::resume_unwind(payload);
        }
        let mut values = Vec::with_capacity(results.len());
        let mut first = None;
        for (value, order) in results.into_iter().flatten() {
            match (value, &first) {
                (Ok(value), _) => values.push(value),
                (Err(error), Some((before, _))) if *before < order => drop(error),
                (Err(error), _) => first = Some((order, error)),
            }
        }
        first.map_or(Ok(values), |(_, error)| Err(error))
    }
}

impl fmt::Debug for Shards<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("count", &self.count)
            .field("is_pinned", &self.is_pinned)
            .finish_non_exhaustive()
    }
}

/// What cannot be.
enum Never {}

/// One of the schedulers of [`run`], for whoever runs under it.
pub struct Shard<'team, 'env> {
    team: &'team Team<'env>,
    local: Local<team::Job<'env>>,
    /// Jobs were added to this shard's queue.
    added: Rc<WaitList>,
    is_done: Cell<bool>,
    /// Whether a job that another shard has sent has its turn, and not one of its own.
    sent_is_next: Cell<bool>,
}

/// Runs one shard; what its body has returned, and the how manieth that was. `None` if it panicked.
fn run_shard<'env, T, E>(
    team: &Team<'env>,
    local: Local<team::Job<'env>>,
    runtime: &Runtime,
    body: &(impl Fn(&Shard<'_, 'env>) -> Result<T, E> + Sync),
) -> Option<(Result<T, E>, usize)> {
    let body_is_over = team.over();
    let shard = Shard {
        team,
        local,
        added: Rc::new(WaitList::new()),
        is_done: Cell::new(false),
        sent_is_next: Cell::new(false),
    };
    let run = move || {
        task::cancel_scope(|scope| {
            let _registered = team.register(shard.index(), scope.canceller(), shard.added.clone());
            task::scope(|s| {
                s.spawn(|| taking::take_own(&shard, s));
                s.spawn(|| taking::steal(&shard, s));
                let result = panic::catch_unwind(AssertUnwindSafe(|| body(&shard)));
                let result = match result {
                    Ok(result) => {
                        let order = team.next_order();
                        if result.is_err() {
                            team.stop(Reason::Sibling);
                        }
                        Some((result, order))
                    }
                    Err(payload) => {
                        team.fail(payload);
                        None
                    }
                };
                drop(body_is_over);
                result
            })
        })
    };
    runtime.run(run)
}

impl<'team, 'env> Shard<'team, 'env> {
    /// Which one this is, from 0 on.
    pub fn index(&self) -> usize {
        self.local.index()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.team.count()
    }

    /// Adds a job, for this shard or any that is idle; it becomes a task there.
    ///
    /// The job may borrow what was there before [`run`], and is given the shard that runs it, under which it can add more.
    ///
    /// This shard begins its jobs as it comes to them, first come, first served, beside its other tasks. Another one takes jobs, one at a
    /// time, when all of its own tasks wait.
    ///
    /// A panic of the job goes to whoever joins it; if nobody does, it ends the whole.
    #[track_caller]
    pub fn spawn<T: Send + 'env>(
        &self,
        job: impl FnOnce(&Shard<'_, 'env>) -> T + Send + 'env,
    ) -> ShardJob<'team, 'env, T> {
        let (job, handle) = self.team.job(job);
        self.team.counters(self.index()).spawned();
        self.team.add(&self.local, job);
        // What is added is nobody's before this shard's turn comes, or another one's.
        let _ = self.added.wake_one(());
        handle
    }

    /// Adds a job for the shard with that number, and no other.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    #[track_caller]
    pub fn spawn_on<T: Send + 'env>(
        &self,
        index: usize,
        job: impl FnOnce(&Shard<'_, 'env>) -> T + Send + 'env,
    ) -> ShardJob<'team, 'env, T> {
        assert!(index < self.count(), "there are {} shards, from 0 on: none is {index}", self.count());
        let (job, handle) = self.team.job(job);
        self.team.counters(self.index()).spawned();
        self.team.add_for(index, job);
        handle
    }

    /// Cancels all shards: each finishes what cannot be cancelled, and [`run`] returns what the bodies return.
    pub fn stop(&self) {
        self.team.stop(Reason::Requested);
    }

    /// What each shard has done so far.
    ///
    /// ```
    /// use ropewalk::shards::{self, ShardStatistics};
    ///
    /// let jobs = shards::run(1, |shard| {
    ///     shard.spawn(|_| ()).join().unwrap();
    ///     shard.statistics().into_iter().sum::<ShardStatistics>()
    /// });
    /// assert_eq!((jobs[0].spawned, jobs[0].finished), (1, 1));
    /// ```
    pub fn statistics(&self) -> Vec<ShardStatistics> {
        self.team.statistics()
    }
}

impl fmt::Debug for Shard<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
