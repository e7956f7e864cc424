//! A runtime for a test: in virtual time, and strict about what is left behind.
//!
//! Invariant: what reaches the runtime's hook and was not allowed fails the test. If the program panics, that is the
//! failure, and the rest is printed beside it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::network::Network;
use super::{everywhere, explore};
use crate::scheduler::{Clock, Driver, Problem, Runtime, Unhandled};

/// Runs `program` as the first task of a runtime for tests and returns what it returns.
///
/// Time is virtual: it jumps to the next deadline when all tasks wait. Debug mode is on. When the program has ended,
/// nothing may be left: no task, no panic that nobody joined, and nothing else of what
/// [`on_unhandled`](crate::Builder::on_unhandled) would be told. [`Setup`] has exceptions.
///
/// ```
/// use ropewalk::{task, testing};
///
/// let answer = testing::run(|| task::spawn(|| 6 * 7).join().unwrap());
/// assert_eq!(answer, 42);
/// ```
///
/// ```should_panic
/// use ropewalk::{task, testing, time};
/// use std::time::Duration;
///
/// testing::run(|| {
///     task::spawn(|| time::sleep(Duration::from_secs(1)));      // Who waits for it?
/// });
/// ```
///
/// In a program that is explored, it runs in place, as a part of that: see [`explore`](super::explore()).
///
/// # Panics
///
/// With the panic of `program`; when all tasks wait for one another; and with a list of what is left: the tasks with their
/// names and where they were spawned, the panics with their texts. In a task of a runtime that is not for tests.
#[track_caller]
pub fn run<T>(program: impl FnOnce() -> T) -> T {
    Setup::new().run(program)
}

/// What [`run`], [`explore`](super::explore()) and [`cancel_everywhere`](super::cancel_everywhere) do, with settings.
///
/// ```
/// use ropewalk::testing::Setup;
/// use ropewalk::{Problem, task, time};
/// use std::time::Duration;
///
/// Setup::new().allow(|left| matches!(left.problem, Problem::Leftover)).run(|| {
///     task::spawn(|| time::sleep(Duration::from_secs(1)));
/// });
/// ```
#[derive(Clone)]
#[must_use]
pub struct Setup {
    seed: Option<u64>,
    clock: Clock,
    slow_step: Duration,
    stack_size: Option<usize>,
    driver: Option<Driver>,
    ring_entries: Option<u32>,
    network: Option<Network>,
    allowed: Rc<dyn Fn(&Unhandled<'_>) -> bool>,
}

impl Setup {
    /// In virtual time, in the order in which tasks become ready, with nothing allowed to be left.
    pub fn new() -> Setup {
        Setup {
            seed: None,
            clock: Clock::Virtual,
            // How long a step takes is the machine's business, and no test should depend on that.
            slow_step: Duration::MAX,
            stack_size: None,
            driver: None,
            ring_entries: None,
            network: None,
            allowed: Rc::new(|_| false),
        }
    }

    /// Runs ready tasks in an order that looks random and only depends on this number.
    pub fn seed(mut self, seed: u64) -> Setup {
        self.seed = Some(seed);
        self
    }

    /// What time is: virtual unless set. A real clock is for tests in which other threads take part.
    pub fn clock(mut self, clock: Clock) -> Setup {
        self.clock = clock;
        self
    }

    /// Fails the test if a task runs for so long without a call that switches. Unless set, it may take its time.
    pub fn slow_step(mut self, threshold: Duration) -> Setup {
        self.slow_step = threshold;
        self
    }

    /// The size of the tasks' stacks, in bytes: see [`Builder::stack_size`](crate::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> Setup {
        self.stack_size = Some(bytes);
        self
    }

    /// What does the input and output: see [`Builder::driver`](crate::Builder::driver).
    pub fn driver(mut self, driver: Driver) -> Setup {
        self.driver = Some(driver);
        self
    }

    /// How many operations io_uring takes with one call: see [`Builder::ring_entries`](crate::Builder::ring_entries).
    pub fn ring_entries(mut self, entries: u32) -> Setup {
        self.ring_entries = Some(entries);
        self
    }

    /// What network there is, instead of the system's: see [`Network`].
    pub fn network(mut self, network: Network) -> Setup {
        self.network = Some(network);
        self
    }

    /// Does not fail the test for what `allowed` says yes to. It must not wait.
    pub fn allow(mut self, allowed: impl Fn(&Unhandled<'_>) -> bool + 'static) -> Setup {
        self.allowed = Rc::new(allowed);
        self
    }

    /// Does not fail the test for tasks that are left over: they are cancelled and waited for.
    pub fn allow_leftovers(self) -> Setup {
        let before = self.allowed.clone();
        self.allow(move |left| matches!(left.problem, Problem::Leftover) || before(left))
    }

    /// As [`run`], with these settings.
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn run<T>(&self, program: impl FnOnce() -> T) -> T {
        if explore::is_explored() {
            return match &self.network {
                Some(network) => network.around(program),
                None => program(),
            };
        }
        let program = || {
            if let Some(network) = &self.network {
                network.install();
            }
            program()
        };
        let left = Left::default();
        let runtime = self.runtime(&left);
        let value = {
            let _beside = PrintsWhenUnwinding(&left);
            runtime.run(program)
        };
        left.verdict();
        value
    }

    /// As [`explore`](super::explore()), with these settings.
    ///
    /// # Panics
    ///
    /// As [`explore`](super::explore()).
    #[track_caller]
    pub fn explore(&self, seeds: impl IntoIterator<Item = u64>, program: impl FnMut()) {
        explore::explore_with(self, seeds, program);
    }

    /// As [`cancel_everywhere`](super::cancel_everywhere), with these settings.
    ///
    /// # Panics
    ///
    /// As [`cancel_everywhere`](super::cancel_everywhere).
    #[track_caller]
    pub fn cancel_everywhere(&self, program: impl FnMut(&everywhere::Cut)) -> usize {
        everywhere::cancel_everywhere_with(self, program)
    }

    fn runtime(&self, left: &Left) -> Runtime {
        let (left, allowed) = (left.clone(), self.allowed.clone());
        let mut builder = Runtime::builder()
            .debug(true)
            .clock(self.clock)
            .slow_step(self.slow_step)
            .on_unhandled(move |what| left.note(what, &*allowed));
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        if let Some(driver) = self.driver {
            builder = builder.driver(driver);
        }
        if let Some(entries) = self.ring_entries {
            builder = builder.ring_entries(entries);
        }
        builder.build()
    }
}

impl Default for Setup {
    fn default() -> Setup {
        Setup::new()
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("seed", &self.seed).field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// What reached the hook, a line each.
#[derive(Clone, Default)]
struct Left(Rc<RefCell<Vec<String>>>);

impl Left {
    /// A hook that panics is not heard: then it is a reason to fail as well.
    fn note(&self, what: &Unhandled<'_>, allowed: &dyn Fn(&Unhandled<'_>) -> bool) {
        let line = self.0.borrow().len();
        self.0.borrow_mut().push(what.to_string());
        if allowed(what) {
            self.0.borrow_mut().remove(line);
        }
    }

    #[track_caller]
    fn verdict(&self) {
        let lines = self.0.take();
        assert!(lines.is_empty(), "the program left behind:\n{}", lines.join("\n"));
    }
}

/// The program panics, and that is what the test is told; the rest is shown beside it.
struct PrintsWhenUnwinding<'a>(&'a Left);

impl Drop for PrintsWhenUnwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.borrow().iter().for_each(|line| eprintln!("ropewalk: {line}"));
        }
    }
}
