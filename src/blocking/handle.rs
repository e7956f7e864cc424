//! Handles to calls that go on by themselves.

use std::fmt;

use super::Answer;
use super::submitted::{AtJob, Submitted};
use super::threads::{self, Aside};
use crate::error::{Cancelled, JoinError, Panic, Reason};
use crate::primitive::Arc;
use crate::scheduler::lowlevel::{Arm, ByTicket, Register, Ticket, Why};

/// A call that a thread does, as others see it; Python's `concurrent.futures.Future`.
///
/// [`Pool::submit`](super::Pool::submit) gives one, and [`spawn_thread`](super::spawn_thread). Tasks and plain threads can wait for it, on any thread. Dropping it
/// lets the call go on by itself.
pub struct Job<T> {
    submitted: Arc<Submitted>,
    answer: Answer<T>,
}

impl<T> Job<T> {
    pub(super) fn new(submitted: Arc<Submitted>, answer: Answer<T>) -> Job<T> {
        Job { submitted, answer }
    }

    /// Waits until it has ended, and takes its result: a task parks, a thread blocks.
    ///
    /// The result can be taken once. A wait that fails can be begun again.
    ///
    /// ```
    /// use ropewalk::blocking::Pool;
    ///
    /// let pool = Pool::new(1);
    /// let job = pool.submit(|| 6 * 7);
    /// assert_eq!(job.join().unwrap(), 42);                           // This thread blocks.
    /// let job = pool.submit(|| 6 * 9);
    /// assert_eq!(ropewalk::run(|| job.join()).unwrap(), 54);         // This task parks.
    /// ```
    ///
    /// # Cancellation
    ///
    /// A join that is cancelled leaves the job alone.
    ///
    /// # Errors
    ///
    /// It panicked, was [taken back](Job::cancel), or somebody has taken its result; and [`JoinError::Cancelled`] if *this* wait was
    /// cancelled.
    #[doc(alias = "result")]
    #[track_caller]
    pub fn join(&self) -> Result<T, JoinError> {
        self.wait().map_err(JoinError::Cancelled)?;
        self.take()
    }

    /// Waits until it has ended, or was taken back, and leaves its result where it is.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], in tasks and in callbacks of a runtime; never in a thread without one.
    #[track_caller]
    pub fn wait(&self) -> Result<(), Cancelled> {
        self.wait_as(&Why::new("job"))
    }

    /// As [`wait`](Job::wait), with something else for dumps to say.
    #[track_caller]
    pub(crate) fn wait_as(&self, why: &Why<'_>) -> Result<(), Cancelled> {
        self.submitted.wait_as(why)
    }

    /// The result, if it has ended.
    pub fn try_result(&self) -> Option<Result<T, JoinError>> {
        self.is_finished().then(|| self.take())
    }

    fn take(&self) -> Result<T, JoinError> {
        match self.answer.take() {
            Some(Ok(value)) => Ok(value),
            Some(Err(panicked)) => Err(JoinError::Panicked(Panic::new(panicked))),
            None if self.submitted.was_called() => Err(JoinError::Taken),
            None => Err(JoinError::NeverRan(Cancelled::new(Reason::Requested))),
        }
    }

    /// Whether it has ended, or was taken back.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.submitted.is_over()
    }

    /// Takes it back, if no thread has begun it. Says whether it is taken back: then it was never called.
    ///
    /// One that runs finds itself [`cancelled`](super::cancelled), and goes on until it returns.
    ///
    /// ```
    /// use ropewalk::JoinError;
    /// use ropewalk::blocking::Pool;
    /// use std::sync::mpsc;
    ///
    /// let pool = Pool::new(1);
    /// let (go, wait) = mpsc::channel();
    /// let first = pool.submit(move || wait.recv());
    /// let second = pool.submit(|| panic!("never"));
    /// assert!(second.cancel());                                      // The only thread has something else to do.
    /// go.send(()).unwrap();
    /// first.join().unwrap().unwrap();
    /// assert!(!first.cancel());
    /// assert!(matches!(second.join(), Err(JoinError::NeverRan(_))));
    /// ```
    pub fn cancel(&self) -> bool {
        self.submitted.cancel(Reason::Requested)
    }

    /// An arm that waits for the end, for [`select`](crate::select::select) in a task; it gives what [`join`](Job::join) returns.
    ///
    /// A virtual clock does not stand still for it.
    pub fn joining(&self) -> Joining<'_, T> {
        Joining { job: self }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("is_finished", &self.is_finished()).finish()
    }
}

/// An arm that waits for the end of a job: see [`Job::joining`].
#[derive(Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Joining<'a, T> {
    job: &'a Job<T>,
}

/// Where an arm waits. It is named as its place, and is for nobody to use.
#[doc(hidden)]
pub struct AtEnd<'a> {
    at: AtJob<'a>,
    /// The job may be for the threads that this one is of.
    _aside: Aside,
}

impl Register for AtEnd<'_> {
    type Value = ();

    fn register(&self, ticket: Ticket<()>) {
        self.at.enter(ticket.into());
    }

    fn undo(&self) {
        self.at.leave();
    }
}

impl<'a, T> Arm for Joining<'a, T> {
    type Output = Result<T, JoinError>;
    type Place = ByTicket<AtEnd<'a>>;

    fn try_now(&mut self) -> Option<Self::Output> {
        self.job.try_result()
    }

    fn place(&mut self) -> Self::Place {
        let at = AtJob::new(&self.job.submitted);
        ByTicket::new(AtEnd { at, _aside: threads::step_aside_only() })
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        place.into_value().map(|()| self.job.take())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("job")
    }
}
