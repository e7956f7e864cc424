//! A pool of one's own: so many threads, with a name and something to do before their first job.
//!
//! What borrows goes through a [`Scope`](super::Scope), which waits. The iterators exist twice for that reason: one that can be forgotten cannot
//! wait for what it has begun, so [`Pool::imap`] borrows nothing, and [`Scope::imap`](super::Scope::imap) leaves the waiting to the scope.
//!
//! A job that waits for others of its pool makes room for them (see `threads.rs`). The alternatives were to do the other job right there, which
//! puts one job's stack, thread-locals and locks under another's; and to let it deadlock, as Python's pools do.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::handle::Job;
use super::imap::Imap;
use super::submitted::Submitted;
use super::threads::{self, Nobody, Settings, Threads};
use super::{Answer, PATIENCE, Queued};
use crate::error::{Cancelled, JoinError, Reason};
use crate::primitive::Arc;
use crate::scheduler::fork;
use crate::scheduler::lowlevel;

/// Threads of one's own; Python's `multiprocessing.Pool` and `ThreadPoolExecutor`, gevent's `ThreadPool`.
///
/// Tasks, of any number of runtimes, and plain threads have them do things: a task that waits parks, a thread blocks. Where there is no need for
/// threads of one's own there are [`unblock`](super::unblock) and [`unblock_cpu`](super::unblock_cpu).
///
/// ```
/// use ropewalk::blocking::Pool;
///
/// let pool = Pool::new(2);
/// let words = ["hemp", "sisal", "jute"];
/// ropewalk::run(|| {
///     assert_eq!(pool.map(&words, |word| word.len()), Ok(vec![4, 5, 4]));        // It borrows, and waits for all.
///     let job = pool.submit(|| "a rope".len());                                  // It goes on by itself.
///     assert_eq!(job.join().unwrap(), 6);
///     let squares = pool.imap(1.., |number: u64| number * number);               // As they are asked for.
///     assert_eq!(squares.take(3).map(Result::unwrap).collect::<Vec<_>>(), [1, 4, 9]);
/// });
/// ```
///
/// Threads are started when all are busy, and end when they have had nothing to do for a while. When the pool is dropped they end as soon as
/// they have done what was submitted; the drop does not wait for that, [`shutdown`](Pool::shutdown) does.
///
/// # From its own threads
///
/// A job may use its pool, and wait for what it submits. While it waits its thread does not count, and another one takes its place if there is
/// something to do: at most as many as the pool has threads *work* at a time. (One more for a moment, when a wait ends.)
///
/// # If no thread can be started
///
/// Those that are there do everything. If there is none, the job is done by whoever submits it, before `submit` returns.
#[doc(alias = "ThreadPoolExecutor")]
#[doc(alias = "ProcessPoolExecutor")]
#[doc(alias = "ThreadPool")]
pub struct Pool {
    threads: Arc<Threads<Queued>>,
    initializer: Option<Initializer>,
    /// The process whose it is: see [`fork`].
    generation: usize,
}

type Initializer = std::sync::Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// The initializers that this thread has called. They are compared and never called from here.
    static INITIALIZED: RefCell<Vec<Initializer>> = const { RefCell::new(Vec::new()) };
}

/// What a [`Pool`] is to be like.
///
/// ```
/// use ropewalk::blocking::Pool;
///
/// let pool = Pool::builder().threads(1).name("walker").build();
/// let job = pool.submit(|| std::thread::current().name().map(str::to_owned));
/// assert_eq!(job.join().unwrap().as_deref(), Some("walker"));
/// ```
#[derive(Clone)]
#[must_use = "no pool is made until it is built"]
pub struct Builder {
    settings: Settings,
    initializer: Option<Initializer>,
}

impl Builder {
    /// How many threads there are at most. Unless it is set: as many as processors.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[doc(alias = "max_workers")]
    #[track_caller]
    pub fn threads(mut self, threads: usize) -> Builder {
        assert!(threads > 0, "a pool needs at least one thread");
        self.settings.most = threads;
        self
    }

    /// What its threads are called.
    ///
    /// # Panics
    ///
    /// If the name contains a zero byte.
    #[doc(alias = "thread_name_prefix")]
    #[track_caller]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Builder {
        self.settings.name = name.into();
        assert!(!self.settings.name.contains('\0'), "the name of a thread contains no zero byte");
        self
    }

    /// What each thread does before its first job.
    ///
    /// If it panics, so does the job that it was for, and before its next job the thread tries again. If no thread can be started, whoever
    /// does the job in its place does this too.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    /// use std::cell::Cell;
    ///
    /// thread_local!(static GREETING: Cell<&'static str> = const { Cell::new("") });
    ///
    /// let pool = Pool::builder().threads(2).initializer(|| GREETING.set("ahoy")).build();
    /// assert!(pool.map(0..4, |_| GREETING.get()).unwrap().iter().all(|said| *said == "ahoy"));
    /// ```
    pub fn initializer(mut self, call: impl Fn() + Send + Sync + 'static) -> Builder {
        self.initializer = Some(std::sync::Arc::new(call));
        self
    }

    /// How long a thread waits for more before it ends. Unless it is set: 10 s.
    pub fn idle_time(mut self, time: Duration) -> Builder {
        self.settings.patience = time;
        self
    }

    /// The pool, which has no threads yet.
    pub fn build(self) -> Pool {
        fork::watch();
        Pool {
            threads: Arc::new(Threads::new(self.settings)),
            initializer: self.initializer,
            generation: fork::generation(),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Pool {
    /// One with so many threads at most.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[track_caller]
    pub fn new(threads: usize) -> Pool {
        Pool::builder().threads(threads).build()
    }

    /// One with settings.
    pub fn builder() -> Builder {
        let most = thread::available_parallelism().map_or(1, |count| count.get());
        let settings = Settings { name: "ropewalk-pool".into(), most, patience: PATIENCE };
        Builder { settings, initializer: None }
    }

    /// Calls `f` with each item, and waits for all: a task parks, a thread blocks. The results stand in the order of the items.
    ///
    /// `f` may borrow. What the iterator gives is taken from it before the first call. An error that `f` returns is a result as any other, and ends
    /// nothing: where the first is to end all there is [`Scope::imap`](super::Scope::imap), whose loop can be left.
    ///
    /// # Cancellation
    ///
    /// Items that no thread has begun with are taken back, and those that are being done are waited for: a long call asks now and then whether it
    /// was [`cancelled`](super::cancelled). If everything was done in the end, that is returned.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: some items were done, perhaps, and others not.
    ///
    /// # Panics
    ///
    /// With the panic of `f`, when those that run have ended; no more are begun. If the pool is [stopped](Pool::stop).
    #[doc(alias = "starmap")]
    #[track_caller]
    pub fn map<I, R, F>(&self, items: I, f: F) -> Result<Vec<R>, Cancelled>
    where
        I: IntoIterator,
        I::Item: Send,
        R: Send,
        F: Fn(I::Item) -> R + Sync,
    {
        lowlevel::cross_may_wait()?;
        let items: Vec<I::Item> = items.into_iter().collect();
        let count = items.len();
        let left =
            Left { items: Mutex::new(items.into_iter().enumerate()), is_given_up: AtomicBool::new(false) };
        // As many jobs as can run, each of which takes the next item again and again: one trip to a thread and back is enough.
        let (runs, cancelled) = self.scope(|s| {
            let runs: Vec<_> = (0..count.min(self.size())).map(|_| s.submit(|| left.run(&f))).collect();
            let cancelled = runs.iter().find_map(|run| run.wait().err());
            if let Some(cancelled) = cancelled {
                s.cancel_as(cancelled.reason());
            }
            (runs, cancelled)
        });
        let mut results: Vec<Option<R>> = Vec::new();
        results.resize_with(count, || None);
        for run in runs {
            match run.try_result() {
                Some(Ok(done)) => done.into_iter().for_each(|(place, result)| results[place] = Some(result)),
                Some(Err(JoinError::Panicked(panicked))) => panicked.resume(),
                // Taken back.
                _ => {}
            }
        }
        let results: Option<Vec<R>> = results.into_iter().collect();
        results.ok_or_else(|| cancelled.unwrap_or(Cancelled::new(Reason::Requested)))
    }

    /// Has a thread call it, now or when one is free, and does not wait.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(1);
    /// let job = pool.submit(|| 6 * 7);
    /// assert_eq!(job.join().unwrap(), 42);
    /// ```
    ///
    /// Jobs are begun in the order in which they were submitted. The order in which they end is theirs. If the [`Job`] is dropped, what the
    /// call gives is dropped on its thread, and a panic goes to the panic hook only.
    ///
    /// # Panics
    ///
    /// If the pool is [stopped](Pool::stop).
    #[doc(alias = "apply_async")]
    #[track_caller]
    pub fn submit<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Job<T> {
        let (answer, call) = Answer::of(self.prepared(call), None);
        Job::new(self.start_static(Box::new(call)), answer)
    }

    /// The results of `f` for what an iterator gives, in its order; a bounded number of items [ahead](Imap::ahead) of whoever asks for them.
    ///
    /// So a long or endless iterator is no problem: items are taken when there is room for them. It waits for nobody when it is dropped, and so
    /// neither `f` nor the items may borrow; where they do there is [`Scope::imap`](super::Scope::imap).
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(2);
    /// let mut cubes = pool.imap(1.., |number: u64| number.pow(3)).ahead(3);
    /// assert_eq!(cubes.next(), Some(Ok(1)));
    /// assert_eq!(cubes.next(), Some(Ok(8)));
    /// ```
    ///
    /// Each [`next`](Iterator::next) is a wait: a task parks, a thread blocks, and a wait that is cancelled gives an error and can be begun
    /// again. A panic of `f` goes on in the `next` whose result it would have been.
    pub fn imap<I, R, F>(&self, items: I, f: F) -> Imap<'_, I::IntoIter, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::new(items, self, f, true, |call| self.start_static(call))
    }

    /// As [`imap`](Pool::imap), but each result as soon as it is there.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(2);
    /// let mut squares: Vec<u32> = pool.imap_unordered(1..=4, |n: u32| n * n).map(Result::unwrap).collect();
    /// squares.sort_unstable();
    /// assert_eq!(squares, [1, 4, 9, 16]);
    /// ```
    #[doc(alias = "as_completed")]
    pub fn imap_unordered<I, R, F>(&self, items: I, f: F) -> Imap<'_, I::IntoIter, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::new(items, self, f, false, |call| self.start_static(call))
    }

    /// How many threads it has at most.
    pub fn size(&self) -> usize {
        self.threads.settings().most
    }

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        self.threads.count().0
    }

    /// Lets its threads end when they have done what was submitted, and does not wait for that. Nothing can be submitted any more.
    pub fn stop(&self) {
        // In a forked process nobody knows who had what locked.
        if self.is_here() {
            self.threads.close();
        }
    }

    /// As [`stop`](Pool::stop), and waits until all is done: a task parks, a thread blocks.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static DONE: AtomicU32 = AtomicU32::new(0);
    ///
    /// let pool = Pool::new(2);
    /// (0..10).for_each(|_| drop(pool.submit(|| DONE.fetch_add(1, Ordering::Relaxed))));
    /// pool.shutdown().unwrap();
    /// assert_eq!(DONE.load(Ordering::Relaxed), 10);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`], in tasks and in callbacks of a runtime: it is stopped, and goes on with what was submitted.
    ///
    /// # Panics
    ///
    /// On a thread of the pool, which cannot wait for its own end.
    #[track_caller]
    pub fn shutdown(&self) -> Result<(), Cancelled> {
        assert!(!threads::is_one_of(&self.threads), "a thread of a pool cannot wait for the end of the pool");
        lowlevel::cross_may_wait()?;
        self.stop();
        // On a thread of another pool, that what this one waits for may need.
        let _aside = threads::step_aside();
        if self.is_here() { self.threads.wait_for_end() } else { Ok(()) }
    }

    /// `call`, on a thread that is ready for it.
    pub(super) fn prepared<T, F>(&self, call: F) -> impl FnOnce() -> T + Send + use<T, F>
    where
        F: FnOnce() -> T + Send,
    {
        let initializer = self.initializer.clone();
        move || {
            initializer.as_ref().inspect(|initializer| initialize(initializer));
            call()
        }
    }

    #[track_caller]
    fn start_static(&self, call: Box<dyn FnOnce() + Send>) -> Arc<Submitted> {
        self.assert_open();
        let submitted = Submitted::new(call);
        self.start(&submitted);
        submitted
    }

    #[track_caller]
    pub(super) fn assert_open(&self) {
        assert!(self.is_here(), "this pool and its threads are in the process that this one was forked from");
        assert!(
            !self.threads.is_closed(),
            "this pool was stopped: make another one, or submit before `stop` and `shutdown`"
        );
    }

    pub(super) fn start(&self, submitted: &Arc<Submitted>) {
        if Threads::run(&self.threads, Queued::Submitted(submitted.clone())) == Err(Nobody) {
            Submitted::run(submitted);
        }
    }

    fn is_here(&self) -> bool {
        self.generation == fork::generation()
    }
}

fn initialize(initializer: &Initializer) {
    let is_done =
        INITIALIZED.with_borrow(|done| done.iter().any(|it| std::sync::Arc::ptr_eq(it, initializer)));
    if !is_done {
        initializer();
        INITIALIZED.with_borrow_mut(|done| done.push(initializer.clone()));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Pool");
        shown.field("name", &self.threads.settings().name).field("size", &self.size()).finish_non_exhaustive()
    }
}

/// What is left of a map.
struct Left<I> {
    items: Mutex<I>,
    /// Somebody has panicked.
    is_given_up: AtomicBool,
}

impl<I: Iterator<Item = (usize, T)>, T> Left<I> {
    /// Takes the next item again and again, until there is none or nobody wants the results.
    fn run<R>(&self, f: impl Fn(T) -> R) -> Vec<(usize, R)> {
        struct GiveUp<'a>(&'a AtomicBool);
        impl Drop for GiveUp<'_> {
            fn drop(&mut self) {
                // Relaxed: it tells of nothing but itself.
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let mut done = Vec::new();
        let give_up = GiveUp(&self.is_given_up);
        while !self.is_given_up.load(Ordering::Relaxed) && super::cancelled().is_none() {
            let next = self.items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { break };
            done.push((place, f(item)));
        }
        std::mem::forget(give_up);
        done
    }
}
