//! Threads of one's own, whose end a task can wait for.

use std::io;
use std::thread;

use super::Answer;
use super::handle::Job;
use super::job::Erased;
use super::submitted::Submitted;
use crate::scheduler::fork;

/// Starts a thread that runs `call`, as `std::thread::spawn` does; but a task that joins it parks, and does not block the others.
///
/// For what lasts: a thread of a [pool](super::Pool) is there for jobs that end.
///
/// ```
/// use ropewalk::blocking;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let thread = blocking::spawn_thread(|| std::thread::sleep(Duration::from_millis(1)));
///     thread.join().unwrap();
/// });
/// ```
///
/// When [`join`](Job::join) returns the call has ended; the thread may still be about to drop its thread-locals.
///
/// # Panics
///
/// If the system has no thread left: see [`Thread::spawn`].
#[track_caller]
pub fn spawn_thread<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Job<T> {
    Thread::new().spawn(call).expect("the system starts a thread")
}

/// A thread of one's own, with settings: see [`spawn_thread`].
///
/// ```
/// use ropewalk::blocking::Thread;
///
/// let named = Thread::new().name("walker").spawn(|| std::thread::current().name().map(str::to_owned));
/// assert_eq!(named.unwrap().join().unwrap().as_deref(), Some("walker"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "no thread is started until it is spawned"]
pub struct Thread {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Thread {
    /// As [`spawn_thread`] starts it.
    pub fn new() -> Thread {
        Thread::default()
    }

    /// What the thread is called.
    pub fn name(mut self, name: impl Into<String>) -> Thread {
        self.name = Some(name.into());
        self
    }

    /// How large its stack is, in bytes. What std says else: 2 MiB, or what `RUST_MIN_STACK` says.
    pub fn stack_size(mut self, bytes: usize) -> Thread {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system has no thread left, or no memory for its stack.
    ///
    /// # Panics
    ///
    /// If the name contains a zero byte.
    pub fn spawn<T: Send + 'static>(self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<Job<T>> {
        fork::watch();
        let (answer, call) = Answer::of(call, None);
        let call: Erased = Box::new(call);
        let submitted = Submitted::new(call);
        let mut builder = thread::Builder::new();
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        let job = submitted.clone();
        builder.spawn(move || Submitted::run(&job))?;
        Ok(Job::new(submitted, answer))
    }
}
