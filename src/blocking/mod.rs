//! Calls that block, and computations, on threads of their own: the task that asks for one parks, and the others go on.
//!
//! ```
//! use ropewalk::{blocking, task};
//!
//! ropewalk::run(|| {
//!     let text = String::from("hemp sisal jute");
//!     let (words, longest) = task::scope(|s| {
//!         let words = s.spawn(|| blocking::unblock(|| text.split(' ').count()));        // They borrow the text,
//!         let longest = s.spawn(|| blocking::unblock_cpu(|| text.split(' ').map(str::len).max()));     // each on a thread.
//!         (words.join().unwrap(), longest.join().unwrap())
//!     });
//!     assert_eq!((words, longest), (Ok(3), Ok(Some(5))));
//! });
//! ```
//!
//! # Cancellation
//!
//! No thread can be stopped. A job that no thread has begun is taken back: then the call had no effect. One that runs is waited for, and
//! what it gives is returned, cancelled or not; a long one asks now and then whether it was [`cancelled`], and ends early. Where
//! nothing is borrowed, [`unblock_or_abandon`] does not wait.
//!
//! A [`timeout`](crate::time::timeout) says `Elapsed` all the same, and what the call has given is [in there](crate::Elapsed::into_inner).
//! [`move_on_after`](crate::time::move_on_after) drops it.
//!
//! # Time
//!
//! A clock that is [virtual](crate::Clock::Virtual) stands still while a thread does something for a task, as it does while a task runs.

mod handle;
mod imap;
mod job;
mod pool;
mod scope;
mod submitted;
mod thread;
mod threads;

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Result as Ended;
use std::time::Duration;

pub use self::handle::{Job, Joining};
pub use self::imap::Imap;
use self::job::{Call, Current, Hosted};
pub use self::pool::{Builder, Pool};
pub use self::scope::Scope;
use self::submitted::Submitted;
pub use self::thread::{Thread, spawn_thread};
pub(crate) use self::threads::step_aside;
use self::threads::{Settings, Threads};
use crate::error::Cancelled;
use crate::primitive::Arc;
use crate::report;
use crate::scheduler::fork::PerProcess;
use crate::scheduler::lowlevel::{self, Why};
use crate::scheduler::{self, Deposit};
use crate::sync::{Borrower, Limiter};

/// Calls that block at the same time, of one runtime, unless its [`limiter`] says otherwise: as many as trio has.
const AT_ONCE: usize = 40;

/// How long a thread waits for more before it ends. A burst is over by then, and a thread costs some 20 µs to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `call` on another thread, and parks the task until it has ended; Python's `asyncio.to_thread`, without a loss of what is borrowed.
///
/// For calls that wait in a way this library knows nothing of: a database's client, a file, `getaddrinfo`. Threads are started when all are busy, and end when they have
/// had nothing to do for 10 s. At most 40 calls of one runtime are underway at a time: see [`limiter`].
///
/// ```
/// use ropewalk::blocking;
///
/// ropewalk::run(|| {
///     let mut numbers = vec![3, 1, 2];
///     let thread = blocking::unblock(|| {
///         numbers.sort();                                        // It borrows: this does not return before.
///         std::thread::current().id()
///     });
///     assert_ne!(thread.unwrap(), std::thread::current().id());
///     assert_eq!(numbers, [1, 2, 3]);
/// });
/// ```
///
/// On a thread where no runtime runs there is nobody to wait for: there it calls at once. So it does if not a single thread can be started.
///
/// # Cancellation
///
/// See [above](crate::blocking#cancellation).
///
/// # Errors
///
/// [`Cancelled`]: the call was not begun.
///
/// # Panics
///
/// With the panic of `call`.
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "run_sync")]
#[track_caller]
pub fn unblock<T: Send>(call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
    Unblock::new().run(call)
}

/// As [`unblock`], under a limiter of the program's own instead of the runtime's.
///
/// ```
/// use ropewalk::{blocking, sync::Limiter, task};
/// use std::rc::Rc;
///
/// ropewalk::run(|| {
///     let disk = Rc::new(Limiter::new(2));
///     let sizes = task::gather(["Cargo.toml", "README.md"].map(|name| {
///         let disk = &disk;
///         move || blocking::unblock_with(disk, || std::fs::metadata(name).unwrap().len()).unwrap()
///     }));
///     assert!(sizes.into_iter().all(|size| size.unwrap() > 0));
/// });
/// ```
///
/// # Errors
///
/// As [`unblock`].
///
/// # Panics
///
/// With the panic of `call`.
#[track_caller]
pub fn unblock_with<T: Send>(limiter: &Rc<Limiter>, call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
    Unblock::new().limiter(limiter).run(call)
}

/// As [`unblock`], for what computes: on as many threads as there are processors, so that computations do not get into each other's way.
///
/// All runtimes of the process share those. There is no other limit.
///
/// ```
/// use ropewalk::{blocking, task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let sum = task::spawn(|| blocking::unblock_cpu(|| (1..=1_000_000_u64).sum::<u64>()));
///     time::sleep(Duration::from_millis(1)).unwrap();            // The loop is free.
///     assert_eq!(sum.join().unwrap(), Ok(500_000_500_000));
/// });
/// ```
///
/// # Errors
///
/// As [`unblock`].
///
/// # Panics
///
/// With the panic of `call`.
#[doc(alias = "ProcessPoolExecutor")]
#[track_caller]
pub fn unblock_cpu<T: Send>(call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
    Unblock::new().cpu().run(call)
}

/// As [`unblock`], but a cancellation does not wait for the call: its thread ends it alone, and what it gives is dropped there.
///
/// The thread counts against the [`limiter`] until then.
///
/// ```
/// use ropewalk::{blocking, time};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let (_sender, receiver) = mpsc::channel::<()>();
/// ropewalk::run(|| {
///     let limit = Duration::from_millis(1);
///     let received = time::timeout(limit, || blocking::unblock_or_abandon(move || receiver.recv()));
///     assert!(received.is_err());                                // The thread waits still.
/// });
/// ```
///
/// # Errors
///
/// [`Cancelled`]: the call was not begun, or goes on unheard.
///
/// # Panics
///
/// With the panic of `call`; if it was abandoned that goes to the panic hook only.
#[doc(alias = "abandon_on_cancel")]
#[track_caller]
pub fn unblock_or_abandon<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Cancelled> {
    Unblock::new().run_or_abandon(call)
}

/// A call on another thread, with settings.
///
/// ```
/// use ropewalk::blocking::Unblock;
///
/// ropewalk::run(|| {
///     let parsed = Unblock::new().cpu().name("parse").run(|| "42".parse::<u32>());
///     assert_eq!(parsed, Ok(Ok(42)));
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is called until it is run"]
pub struct Unblock {
    limiter: Option<Rc<Limiter>>,
    is_cpu: bool,
    name: Option<&'static str>,
}

impl Unblock {
    /// As [`unblock`] does it.
    pub fn new() -> Unblock {
        Unblock::default()
    }

    /// Under this limiter, instead of the runtime's.
    pub fn limiter(mut self, limiter: &Rc<Limiter>) -> Unblock {
        self.limiter = Some(limiter.clone());
        self
    }

    /// On a thread for computations: see [`unblock_cpu`].
    pub fn cpu(mut self) -> Unblock {
        self.is_cpu = true;
        self
    }

    /// What dumps say that the task waits for.
    pub fn name(mut self, name: &'static str) -> Unblock {
        self.name = Some(name);
        self
    }

    /// Runs `call`, and waits for it: see [`unblock`].
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: the call was not begun.
    ///
    /// # Panics
    ///
    /// With the panic of `call`.
    #[track_caller]
    pub fn run<T: Send>(self, call: impl FnOnce() -> T + Send) -> Result<T, Cancelled> {
        if !is_in_task()? {
            return Ok(call());
        }
        let (answer, call) = Answer::of(call, None);
        self.perform(Call::Borrows(Box::new(call)))?;
        Ok(answer.resume())
    }

    /// Runs `call`, and waits for it unless that is cancelled: see [`unblock_or_abandon`].
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: the call was not begun, or goes on unheard.
    ///
    /// # Panics
    ///
    /// With the panic of `call`.
    #[track_caller]
    pub fn run_or_abandon<T: Send + 'static>(
        self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Cancelled> {
        if !is_in_task()? {
            return Ok(call());
        }
        let (answer, call) = Answer::of(call, None);
        self.perform(Call::Owns(Box::new(call)))?;
        Ok(answer.resume())
    }

    #[track_caller]
    fn perform(self, call: Call<'_>) -> Result<(), Cancelled> {
        let limiter = match self.is_cpu {
            true => self.limiter,
            false => Some(self.limiter.unwrap_or_else(limiter)),
        };
        let mut token = match &limiter {
            // Somebody else than the task, which may have a token already: its call may have asked it to call another.
            Some(limiter) => Some(limiter.acquire_on_behalf_of(Borrower::new())?.into_owned(limiter)),
            None => None,
        };
        let start = |job| {
            let pools = Pools::here();
            let threads = if self.is_cpu { &pools.cpu } else { &pools.blocking };
            Threads::run(threads, Queued::Hosted(job))
        };
        let leave = || token.take().map(|token| Deposit::new(Box::new(token)));
        match &self.name {
            Some(name) => job::perform(call, &Why::new("thread").on(name), start, leave),
            None => job::perform(call, &Why::new("thread"), start, leave),
        }
    }
}

/// Whether this is a task, which can wait for a thread; on a thread without a runtime there is nobody to wait for.
///
/// # Errors
///
/// No task can wait here.
#[track_caller]
fn is_in_task() -> Result<bool, Cancelled> {
    lowlevel::cross_may_wait()?;
    Ok(lowlevel::current_id().is_some())
}

/// Where a thread leaves what a call has given, or its panic. The call lets go of it before it is over.
struct Answer<T>(Arc<Place<T>>);

struct Place<T> {
    answer: Mutex<Option<Ended<T>>>,
    /// Who is told of a panic that nobody has asked for.
    unheard: Option<Arc<Unheard>>,
}

/// The first panic that nobody has asked for.
///
/// What panics hold is dropped where nothing is locked, for it may have such a panic itself; and not by an unwinding, for that may panic.
#[derive(Default)]
struct Unheard(Mutex<Option<Box<dyn Any + Send>>>);

impl Unheard {
    fn take(&self) -> Option<Box<dyn Any + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell(&self, panicked: Box<dyn Any + Send>) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(panicked);
            return;
        }
        drop(first);
        report::discard(panicked);
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.take().into_iter().for_each(report::discard);
    }
}

impl<T> Place<T> {
    // Nothing of the user's runs under it.
    fn lock(&self) -> MutexGuard<'_, Option<Ended<T>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let answer = self.lock().take();
        if let Some(Err(panicked)) = answer {
            match &self.unheard {
                Some(unheard) => unheard.tell(panicked),
                None => report::discard(panicked),
            }
        }
    }
}

impl<T: Send> Answer<T> {
    /// A place, and a call that leaves its answer there.
    fn of(
        call: impl FnOnce() -> T + Send,
        unheard: Option<Arc<Unheard>>,
    ) -> (Answer<T>, impl FnOnce() + Send) {
        let place = Arc::new(Place { answer: Mutex::new(None), unheard });
        let answer = Answer(place.clone());
        let call = move || {
            let result = panic::catch_unwind(AssertUnwindSafe(call));
            *place.lock() = Some(result);
        };
        (answer, call)
    }
}

impl<T> Answer<T> {
    /// What the call has left, if nobody has taken it.
    fn take(&self) -> Option<Ended<T>> {
        self.0.lock().take()
    }

    /// Of a call that is over.
    ///
    /// # Panics
    ///
    /// With that of the call.
    fn resume(self) -> T {
        match self.take().expect("a job that is over has been called") {
            Ok(value) => value,
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }
}

/// What limits the calls of this runtime that block: 40 at a time, unless the limit is [set](Limiter::set_limit).
///
/// ```
/// use ropewalk::blocking;
///
/// ropewalk::run(|| {
///     assert_eq!(blocking::limiter().limit(), 40);
///     blocking::limiter().set_limit(4);                          // From now on, for all calls of this runtime.
/// });
/// ```
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "current_default_thread_limiter")]
#[track_caller]
pub fn limiter() -> Rc<Limiter> {
    struct AtOnce(Rc<Limiter>);
    if let Some(found) = scheduler::extension::<AtOnce>() {
        return found.0.clone();
    }
    let limiter = Rc::new(Limiter::new(AT_ONCE));
    scheduler::set_extension(Some(Rc::new(AtOnce(limiter.clone()))));
    limiter
}

/// In a call that runs on a thread: why the task that waits for it is cancelled, if it is. What computes for long asks now and then.
///
/// ```
/// use ropewalk::{Cancelled, blocking, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let counted = time::timeout(Duration::from_millis(1), || {
///         blocking::unblock_cpu(|| {
///             let mut count = 0_u64;
///             while blocking::cancelled().is_none() {
///                 count += 1;
///             }
///             count
///         })
///     });
///     // It has ended, too late, and what it gives is not lost. An error only if no thread had begun it.
///     let _count: Result<u64, Cancelled> = counted.unwrap_err().into_inner();
/// });
/// ```
///
/// `None` everywhere else.
pub fn cancelled() -> Option<Cancelled> {
    match job::current()? {
        Current::Hosted(job) => job.cancelled(),
        Current::Submitted(job) => job.cancelled(),
    }
}

/// As [`cancelled`], for `?`.
///
/// # Errors
///
/// The task that waits for this call is cancelled.
#[doc(alias = "from_thread.check_cancelled")]
pub fn check_cancelled() -> Result<(), Cancelled> {
    cancelled().map_or(Ok(()), Err)
}

/// In a call that runs on a thread: has the task that waits for it do something, and blocks the thread until that is done.
///
/// So a call can use what belongs to the loop: send to a channel, wait for a lock, start a task. What is done stands where the task stands: under
/// its scopes and deadlines, with its task-locals.
///
/// ```
/// use ropewalk::{blocking, channel, task};
///
/// ropewalk::run(|| {
///     let (lines, shown) = channel::bounded(1);
///     let printer = task::spawn(move || shown.iter().collect::<Vec<_>>());
///     let lines = std::rc::Rc::new(lines);
///     LINES.set(Some(lines.clone()));
///     blocking::unblock(|| {
///         for line in ["hemp", "sisal"] {
///             blocking::run_in_task(|| {
///                 LINES.with_borrow(|lines| lines.clone()).unwrap().send(line)       // Waits where there is no room.
///             })
///             .unwrap()
///             .unwrap();
///         }
///     })
///     .unwrap();
///     LINES.set(None);
///     drop(lines);
///     assert_eq!(printer.join().unwrap(), ["hemp", "sisal"]);
/// });
///
/// thread_local! {
///     /// What is not `Send` stays with the loop, and is found there.
///     static LINES: std::cell::RefCell<Option<std::rc::Rc<channel::Sender<&'static str>>>> = const { std::cell::RefCell::new(None) };
/// }
/// ```
///
/// `call` comes from another thread, and what it captures is `Send`. For values alone there is [`channel::cross`](crate::channel::cross), into which a
/// call sends by itself.
///
/// Where a runtime runs on this thread, and where the thread does nothing for anybody, it is called right here.
///
/// # Cancellation
///
/// While the task is cancelled, what waits in `call` fails. It is called all the same.
///
/// # Errors
///
/// No task waits for this call: it was cancelled and has [abandoned](unblock_or_abandon) it, or this is the job of a [`Pool`], or an item of its
/// [`map`](Pool::map).
///
/// # Panics
///
/// With the panic of `call`.
#[doc(alias = "from_thread.run")]
#[doc(alias = "run_coroutine_threadsafe")]
#[doc(alias = "call_soon_threadsafe")]
pub fn run_in_task<T: Send>(call: impl FnOnce() -> T + Send) -> Result<T, NoTask> {
    // Under a runtime of its own the call is in a task already.
    let job = match job::current() {
        Some(job) if lowlevel::current_id().is_none() => job,
        _ => return Ok(call()),
    };
    let Current::Hosted(job) = job else { return Err(NoTask(())) };
    match job::ask(&job, call) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panicked)) => panic::resume_unwind(panicked),
        Err(_) => Err(NoTask(())),
    }
}

/// No task waits for this call: see [`run_in_task`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoTask(());

impl fmt::Display for NoTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no task waits for this call: it was abandoned, or is the job of a pool")
    }
}

impl std::error::Error for NoTask {}

/// What is in the queue of threads.
enum Queued {
    Hosted(Hosted),
    Submitted(Arc<Submitted>),
}

impl threads::Job for Queued {
    fn run(self) {
        match self {
            Queued::Hosted(job) => job.run(),
            Queued::Submitted(job) => Submitted::run(&job),
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Queued::Hosted(job) => job.is_wanted(),
            Queued::Submitted(job) => job.is_wanted(),
        }
    }
}

/// The threads of this process.
struct Pools {
    blocking: Arc<Threads<Queued>>,
    cpu: Arc<Threads<Queued>>,
}

/// How many threads there are for other things than loops: see [`statistics`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Threads for calls that block.
    pub threads: usize,
    /// Those among them that have nothing to do.
    pub idle: usize,
    /// Threads for computations.
    pub cpu_threads: usize,
    /// Those among them that have nothing to do.
    pub cpu_idle: usize,
}

/// How many threads there are in this process for calls and computations.
pub fn statistics() -> Statistics {
    let pools = Pools::here();
    let ((threads, idle), (cpu_threads, cpu_idle)) = (pools.blocking.count(), pools.cpu.count());
    Statistics { threads, idle, cpu_threads, cpu_idle }
}

impl Pools {
    fn here() -> &'static Pools {
        static POOLS: PerProcess<Pools> = PerProcess::new();
        POOLS.get(Pools::new)
    }

    fn new() -> Pools {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        let threads = |name: &'static str, most| {
            Arc::new(Threads::new(Settings { name: name.into(), most, patience: PATIENCE }))
        };
        Pools {
            // As many as limiters allow.
            blocking: threads("ropewalk-blocking", usize::MAX),
            cpu: threads("ropewalk-cpu", processors),
        }
    }
}
