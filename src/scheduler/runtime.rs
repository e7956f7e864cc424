//! From the outside: a runtime is made, runs a closure as its first task, and returns when no task is left.
//!
//! Invariant: the scheduler lies on the stack of `run`, and no task of it is left when that returns. If the scheduler's own
//! code should panic, the process ends: tasks may borrow what a return would free.
#![allow(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;
use std::{env, io};

use super::core::{Config, Core};
use super::fork;
use super::here;
use super::record::{Birth, Extras, State, TaskId};
use super::unhandled::{DEADLOCK, Problem, Unhandled};
pub use crate::driver::choice::Driver;
use crate::error::JoinError;
use crate::generator::mark::{self, Mark};
use crate::report;
use crate::stack::{self, Shape};

/// Stack of the first task, in bytes, unless told otherwise: programs are moved into it that had a thread's.
const FIRST_STACK: usize = 1 << 20;

/// Runs `first` as the first task of a new runtime and returns what it returns; Python's `asyncio.run`.
///
/// All tasks run on this thread, one at a time. When the first one has ended, those that belong to no scope and are left
/// are cancelled and waited for: nothing outlives the call, so that `first` may borrow.
///
/// ```
/// use ropewalk::task;
///
/// let mut greeting = String::from("hello");
/// ropewalk::run(|| {
///     let world = task::spawn(|| ", world");
///     greeting += world.join().unwrap();
/// });
/// assert_eq!(greeting, "hello, world");
/// ```
///
/// # Panics
///
/// With the panic of `first`. When it is called in a task, or there is no stack. When all tasks wait for one another: they
/// are cancelled, and when they have ended the message says who waited for what. [`Runtime::try_run`] gives the
/// latter three as errors.
#[track_caller]
pub fn run<T>(first: impl FnOnce() -> T) -> T {
    Runtime::new().run(first)
}

/// What [`run`] does, with settings: see [`Builder`]. It can be used many times.
#[derive(Clone)]
pub struct Runtime {
    config: Config,
}

/// Settings of a [`Runtime`].
///
/// ```
/// use ropewalk::{Clock, Runtime, time};
/// use std::time::{Duration, Instant};
///
/// let runtime = Runtime::builder().name("simulation").clock(Clock::Virtual).build();
/// let began = Instant::now();
/// runtime.run(|| time::sleep(Duration::from_secs(3600))).unwrap();     // An hour that takes no time.
/// assert!(began.elapsed() < Duration::from_secs(60));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    config: Config,
}

/// What time is for a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// The system's monotonic clock.
    #[default]
    Real,
    /// Stands still while a task can go on, and jumps to the next deadline when all wait.
    ///
    /// Sockets, pipes and other processes live in real time. It jumps as soon as none of them is ready: a deadline around such a wait is
    /// over at once. For those there is the real clock, or [a network in memory](crate::testing::Network).
    Virtual,
}

/// Why [`Runtime::try_run`] has no value to return.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<T = ()> {
    /// A runtime runs on this thread already: spawn a task instead.
    Nested,
    /// A runtime runs on this thread in the process that this one was forked from: call `exec` or `_exit` after a fork, or fork
    /// before `run`.
    Forked,
    /// There is no stack for the first task.
    NoStack(io::Error),
    /// All tasks waited for one another, and were cancelled.
    #[non_exhaustive]
    Deadlock {
        /// Who waited for what.
        report: String,
        /// What the first task returned when it was cancelled.
        value: T,
    },
}

impl<T> fmt::Display for RunError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => {
                f.write_str("a runtime runs on this thread already: spawn a task instead of run")
            }
            RunError::Forked => f.write_str(fork::FORKED),
            RunError::NoStack(error) => write!(f, "the first task could not begin: {error}"),
            RunError::Deadlock { report, .. } => {
                write!(f, "{DEADLOCK}\n{report}")
            }
        }
    }
}

impl<T: fmt::Debug> std::error::Error for RunError<T> {}

impl Default for Runtime {
    fn default() -> Self {
        Runtime::new()
    }
}

impl Runtime {
    /// With the usual settings: see [`Builder`].
    pub fn new() -> Runtime {
        Runtime::builder().build()
    }

    /// Begins with the usual settings.
    pub fn builder() -> Builder {
        let debug = env::var_os("ROPEWALK_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
        Builder {
            config: Config {
                name: None,
                shape: None,
                debug,
                seed: None,
                virtual_time: false,
                slow_step: Duration::from_millis(100),
                unhandled: None,
                driver: driver_by_environment(),
                ring_entries: 256,
            },
        }
    }

    /// As [`run`], with these settings.
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn run<T>(&self, first: impl FnOnce() -> T) -> T {
        match self.try_run(first) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`run`](Runtime::run), with misuse and deadlock as errors.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    ///
    /// # Panics
    ///
    /// With the panic of `first`. If that came of a deadlock, [`Builder::on_unhandled`] is told who waited for what.
    #[track_caller]
    pub fn try_run<T>(&self, first: impl FnOnce() -> T) -> Result<T, RunError<T>> {
        if !here::core().is_null() {
            return Err(if here::is_forked() { RunError::Forked } else { RunError::Nested });
        }
        let core = Core::new(self.config.clone());
        core.plant();
        let result = drive(&core, Location::caller(), first);
        conclude(&core, result)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

/// What `run` returns when the first task has ended like that.
pub(super) fn conclude<T>(core: &Core, result: Result<T, JoinError>) -> Result<T, RunError<T>> {
    match (result, core.deadlock()) {
        (Ok(value), None) => Ok(value),
        (Ok(value), Some(report)) => Err(RunError::Deadlock { report: report.to_owned(), value }),
        (Err(JoinError::Panicked(panic)), deadlock) => {
            // As where the first task unwraps the wait that failed: the panic does not say who waited for what.
            if let Some(report) = deadlock {
                core.unhandled(None, Problem::Deadlock(report));
            }
            panic.resume()
        }
        (Err(JoinError::NoStack(error)), _) => Err(RunError::NoStack(error)),
        (Err(error), _) => unreachable!("nothing cancels the first task before it begins: {error}"),
    }
}

/// Runs `first` and whatever it spawns to the end.
fn drive<T>(
    core: &Core,
    spawned: &'static Location<'static>,
    first: impl FnOnce() -> T,
) -> Result<T, JoinError> {
    let _present = Present::new(core);
    // SAFETY: the task has ended when this function returns, and its result is taken here.
    let task = unsafe { core.spawn(core.top(), birth_of_first(core, spawned), || Ok(first())) };
    let record = task.record();
    core.run_until(|| record.state.get() == State::Ended);
    core.wind_up();
    // SAFETY: `T` is what the task was spawned with.
    unsafe { record.take() }.expect("a task that has ended has a result")
}

/// How a first task is born.
pub(super) fn birth_of_first(core: &Core, spawned: &'static Location<'static>) -> Birth {
    let mut extras = Extras::none();
    let bytes = core.config.shape.map_or(FIRST_STACK, |_| 0);
    if bytes > stack::default_size() {
        extras.shape = Shape::new(bytes, stack::DEFAULT_GUARD_SIZE).ok();
    }
    Birth { id: TaskId::NONE, spawned, extras: Some(extras), handled: true, scoped: false }
}

/// That a scheduler runs on this thread.
pub(super) struct Present {
    unwound: bool,
    /// `run` may be called in the body of a generator, which goes on afterwards.
    mark: Mark,
}

impl Present {
    /// The panic of somebody else than the scheduler may go on while this is dropped.
    pub(super) fn allow_panic(&mut self) {
        self.unwound = true;
    }

    pub(super) fn new(core: &Core) -> Present {
        here::set_core(core);
        Present { unwound: std::thread::panicking(), mark: mark::current() }
    }
}

/// Ends the process if a panic goes through the scheduler; `unwound` is whether one went on before.
pub(super) fn assert_sound(unwound: bool) {
    if std::thread::panicking() && !unwound {
        report::fatal("the scheduler panicked, and its tasks may borrow what unwinding would free");
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        assert_sound(self.unwound);
        here::set_task(std::ptr::null());
        here::set_core(std::ptr::null());
        mark::set(self.mark);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl Builder {
    /// What reports call the runtime.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.config.name = Some(name.into());
        self
    }

    /// The size of the tasks' stacks, in bytes, rounded up to a power of two; that of the first task too.
    ///
    /// It is address space; memory is used by the page as a stack is touched. Unless set, it is
    /// [`stack::default_size`] and for the first task 1 MiB.
    ///
    /// # Panics
    ///
    /// More than [`stack::MAX_SIZE`].
    #[track_caller]
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        let shape = Shape::new(bytes, stack::DEFAULT_GUARD_SIZE);
        match shape {
            Ok(shape) => self.config.shape = Some(shape),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Whether to look for mistakes that cost time to look for, and to tell them to the hook: steps of tasks that
    /// take long, errors that nobody looks at, cancellations that are ignored, guards that a task did not give back.
    ///
    /// Unless set, it is on if the environment variable `ROPEWALK_DEBUG` is set, to anything but `0`. Errors are
    /// recognised in tasks of no scope that return `Result<(), E>`, where `E` is `io::Error`, a boxed `Error`, a
    /// [`JoinError`], `String` or `&'static str`.
    pub fn debug(mut self, debug: bool) -> Builder {
        self.config.debug = debug;
        self
    }

    /// Runs ready tasks in an order that looks random and only depends on this number, instead of first in, first out.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.config.seed = Some(seed);
        self
    }

    /// What time is: real unless set.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.config.virtual_time = clock == Clock::Virtual;
        self
    }

    /// How long a task may run without a call that switches before debug mode tells: 100 ms unless set.
    pub fn slow_step(mut self, threshold: Duration) -> Builder {
        self.config.slow_step = threshold;
        self
    }

    /// What is done with what nobody asks for, such as the panic of a task that nobody joins.
    ///
    /// Unless set, a line is printed to standard error; with the feature `log` it goes to the `log` crate's `warn`, with
    /// the target `ropewalk`. The hook runs on the runtime's thread and must not wait. If it panics, that is ignored.
    pub fn on_unhandled(mut self, hook: impl Fn(&Unhandled<'_>) + 'static) -> Builder {
        self.config.unhandled = Some(Rc::new(hook));
        self
    }

    /// What does the input and output: see [`Driver`].
    ///
    /// Unless set, it is what the environment variable `ROPEWALK_DRIVER` says, `auto`, `epoll` or `uring`; else `auto`.
    /// [`inspect::driver`](crate::inspect::driver) tells which one it has become.
    pub fn driver(mut self, driver: Driver) -> Builder {
        self.config.driver = driver;
        self
    }

    /// How many operations io_uring takes with one call, rounded up to a power of two: 256 unless set. More are handed over sooner.
    ///
    /// A ring takes 64 bytes for each, and 256 for completions.
    ///
    /// # Panics
    ///
    /// None, or more than 4096.
    #[track_caller]
    pub fn ring_entries(mut self, entries: u32) -> Builder {
        assert!((1..=4096).contains(&entries), "a ring has 1 to 4096 entries, not {entries}");
        self.config.ring_entries = entries;
        self
    }

    /// The runtime.
    pub fn build(self) -> Runtime {
        Runtime { config: self.config }
    }
}

/// # Panics
///
/// When it names none.
fn driver_by_environment() -> Driver {
    match env::var("ROPEWALK_DRIVER").as_deref() {
        Err(_) | Ok("" | "auto") => Driver::Auto,
        Ok("epoll") => Driver::Epoll,
        Ok("uring") => Driver::Uring,
        Ok(other) => panic!("ROPEWALK_DRIVER is `{other}`: it may be `auto`, `epoll` or `uring`"),
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.config.name).finish_non_exhaustive()
    }
}
