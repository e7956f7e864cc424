//! What nobody asks for, and must not be lost: panics of tasks that nobody joins, and what debug mode finds.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use super::core::Core;
use super::info::{TaskInfo, TaskState};
use super::record::Record;
use crate::error::{JoinError, panic_text};

/// Something that went wrong in a runtime and that no caller is there to be told: see
/// [`Builder::on_unhandled`](crate::Builder::on_unhandled).
#[derive(Debug)]
#[non_exhaustive]
pub struct Unhandled<'a> {
    /// What happened.
    pub problem: Problem<'a>,
    /// The task it happened to, if it was one.
    pub task: Option<TaskInfo>,
    /// The name of the runtime, if it has one.
    pub runtime: Option<&'a str>,
}

/// The head of a report of who waited for what.
pub(super) const DEADLOCK: &str = "deadlock: all tasks wait, and nothing is left that could wake one";

/// What happened, in an [`Unhandled`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem<'a> {
    /// A task that nobody joined, or a callback, panicked; this is the payload.
    Panicked(&'a (dyn Any + Send)),
    /// A task that nobody joined could not begin: there was no stack.
    NoStack(&'a std::io::Error),
    /// A task that nobody joined returned an error. Only debug mode tells, and only of some types: see
    /// [`Builder::debug`](crate::Builder::debug).
    Error(&'a str),
    /// A connection of a server ended with an error, or none could be accepted; the server goes on. See
    /// [`Server::on_error`](crate::net::Server::on_error).
    Server(&'a str),
    /// A task was still there when the first task ended, and was cancelled.
    Leftover,
    /// At the end of `run`, tasks waited under shields for what cannot come. Their waits were failed. This is who waited
    /// for what.
    StuckAtEnd(&'a str),
    /// All tasks waited for one another, and when their waits had failed the first task panicked: that comes out of
    /// [`run`](crate::run), and this is who waited for what.
    Deadlock(&'a str),
    /// Debug mode: a task ran for so long without a call that switches.
    SlowStep(Duration),
    /// Debug mode: so many waits of a task have failed in a row, and it goes on waiting.
    IgnoredCancellation(u32),
    /// Debug mode: a task ended without giving so many guards back.
    GuardsHeld(u32),
}

impl<'a> Problem<'a> {
    pub(super) fn from_failure(error: &'a mut JoinError) -> Problem<'a> {
        match error {
            JoinError::Panicked(panic) => Problem::Panicked(panic.payload()),
            JoinError::NoStack(error) => Problem::NoStack(error),
            _ => Problem::Error("it is kept elsewhere"),
        }
    }
}

impl<'a> Unhandled<'a> {
    pub(super) fn new(
        task: Option<&Record>,
        core: Option<&Core>,
        runtime: Option<&'a str>,
        problem: Problem<'a>,
    ) -> Unhandled<'a> {
        Unhandled { problem, task: task.map(|task| TaskInfo::of(task, core)), runtime }
    }

    /// What is done with it unless the runtime has a hook.
    pub(super) fn print(&self) {
        #[cfg(feature = "log")]
        log::warn!(target: "ropewalk", "{self}");
        #[cfg(not(feature = "log"))]
        {
            use std::io::Write;
            // Not `eprintln`, which panics where there is no standard error.
            let _ = writeln!(std::io::stderr(), "ropewalk: {self}");
        }
    }
}

impl fmt::Display for Unhandled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(runtime) = self.runtime {
            write!(f, "[{runtime}] ")?;
        }
        match &self.task {
            Some(task) => {
                write!(f, "task {}", task.id)?;
                if let Some(name) = &task.name {
                    write!(f, " '{name}'")?;
                }
                write!(f, " spawned at {} ", task.spawned)?;
            }
            None if matches!(self.problem, Problem::Panicked(_)) => f.write_str("a callback ")?,
            None => {}
        }
        match &self.problem {
            Problem::Panicked(payload) => {
                write!(f, "panicked, and nobody joined it: {}", panic_text(*payload))
            }
            Problem::NoStack(error) => write!(f, "could not begin: {error}"),
            Problem::Error(error) => write!(f, "returned an error, and nobody joined it: {error}"),
            Problem::Server(what) => f.write_str(what),
            Problem::Leftover => {
                f.write_str("was still there when the first task ended, and was cancelled")?;
                self.write_state(f)
            }
            Problem::StuckAtEnd(report) => {
                write!(f, "these tasks ignored the end of run:\n{}", report.trim_end())
            }
            Problem::Deadlock(report) => write!(f, "{DEADLOCK}\n{}", report.trim_end()),
            Problem::SlowStep(took) => {
                write!(f, "ran for {took:?} without a call that switches")?;
                self.write_state(f)
            }
            Problem::IgnoredCancellation(times) => {
                write!(f, "goes on waiting although its waits were cancelled {times} times in a row")
            }
            Problem::GuardsHeld(1) => f.write_str("ended with 1 guard that it did not give back"),
            Problem::GuardsHeld(guards) => write!(f, "ended with {guards} guards that it did not give back"),
        }
    }
}

impl Unhandled<'_> {
    /// Where the task is now, if it waits.
    fn write_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task.as_ref().map(|task| &task.state) {
            Some(TaskState::Waiting { what, at, .. }) => write!(f, ": it waits for {what} ({at})"),
            _ => Ok(()),
        }
    }
}
