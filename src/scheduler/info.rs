//! What can be said of tasks: who there is, what each waits for, and how they hang together.
//!
//! Invariant: user's code that says what a task waits for runs when nothing of the scheduler is being looked at, and cannot
//! wait. So the task stays parked, with the words on its stack, while they are read.
#![allow(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::backtrace;
use super::branch::{Branch, Kind};
use super::core::Core;
use super::frame::Frame;
use super::here;
use super::record::{Record, State, TaskId, TaskRef};
use super::tree::{Seen, Snapshot};
use crate::error::Reason;

/// What is known of a task at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// What it is called, if it has a name.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// Why its waits fail, if they do.
    pub cancelled: Option<Reason>,
    /// The task in whose scope it is; `None` for one that belongs to no scope.
    pub parent: Option<TaskId>,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// Waits for its first step; it has no stack yet.
    New,
    /// Could go on, and waits for its turn.
    Ready,
    /// Has its turn.
    Running,
    /// Waits for something.
    Waiting {
        /// What for.
        what: String,
        /// Where in the code: the innermost call that is not this library's.
        at: &'static Location<'static>,
        /// For how long. The clock is looked at after at most 64 steps of tasks, so that this can be a little too much.
        waited: Duration,
        /// The task that has it, if that is known.
        holder: Option<TaskId>,
    },
    /// Has ended.
    Ended,
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_birth(f)?;
        write!(f, ": {}", self.state)?;
        self.write_cancelled(f)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_state(f, self, |_| Holder::Task { name: None })
    }
}

/// What can be said of a task that has what is waited for.
pub(super) enum Holder<'a> {
    Task {
        name: Option<&'a str>,
    },
    /// It has ended, and not given it back.
    Ended,
}

/// `look_up` is asked for the task that has what is waited for.
pub(super) fn write_state<'a>(
    f: &mut fmt::Formatter<'_>,
    state: &TaskState,
    look_up: impl Fn(TaskId) -> Holder<'a>,
) -> fmt::Result {
    match state {
        TaskState::New => f.write_str("new"),
        TaskState::Ready => f.write_str("ready"),
        TaskState::Running => f.write_str("running"),
        TaskState::Ended => f.write_str("ended"),
        TaskState::Waiting { what, at, waited, holder } => {
            write!(f, "waits for {what} ({at}) since {:?}", rounded(*waited))?;
            let Some(holder) = *holder else { return Ok(()) };
            write!(f, ", held by task {holder}")?;
            match look_up(holder) {
                Holder::Task { name: Some(name) } => write!(f, " '{name}'"),
                Holder::Task { name: None } => Ok(()),
                Holder::Ended => f.write_str(", which has ended"),
            }
        }
    }
}

/// To three digits behind the point: more are noise to whoever reads a dump.
fn rounded(time: Duration) -> Duration {
    let nanos = time.as_nanos();
    let unit = match nanos {
        1_000_000_000.. => 1_000_000,
        1_000_000.. => 1_000,
        _ => 1,
    };
    Duration::from_nanos(u64::try_from(nanos / unit * unit).unwrap_or(u64::MAX))
}

impl TaskInfo {
    /// Which task it is.
    pub(super) fn write_birth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        write!(f, " spawned at {}", self.spawned)
    }

    pub(super) fn write_cancelled(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cancelled {
            Some(reason) => write!(f, " (cancelled: {reason:?})"),
            None => Ok(()),
        }
    }

    pub(super) fn of(record: &Record, core: Option<&Core>) -> TaskInfo {
        TaskInfo {
            id: record.id,
            name: record.name(),
            spawned: record.spawned,
            state: state_of(record, core),
            cancelled: match record.state.get() {
                State::Ended => None,
                _ => record.is_cancelled(),
            },
            parent: parent_of(record),
        }
    }
}

/// The number of the running task; `None` outside of tasks.
#[inline]
pub fn current_id() -> Option<TaskId> {
    here::lend_task().map(|task| task.id)
}

fn state_of(record: &Record, core: Option<&Core>) -> TaskState {
    match (record.state.get(), core) {
        (State::New, _) => TaskState::New,
        (State::Ready, _) => TaskState::Ready,
        (State::Running, _) => TaskState::Running,
        (State::Parked, Some(core)) => {
            let (mut what, mut holder) = (String::new(), None);
            // SAFETY: a parked task has a stack, and on it the words that say why. It stays parked: nothing can run it
            // while this code does.
            let (why, at, since) = unsafe {
                let hot = &*record.hot.get();
                (hot.why.get(), hot.at.get(), hot.since.get())
            };
            core.outside(|| {
                // SAFETY: as above.
                if let Some(why) = unsafe { why.as_ref() } {
                    what = why.to_string();
                    holder = why.holder();
                }
            });
            let waited = Duration::from_nanos(core.clock().now().saturating_sub(since));
            TaskState::Waiting { what, at, waited, holder }
        }
        (State::Ended, _) | (State::Parked, None) => TaskState::Ended,
    }
}

fn parent_of(record: &Record) -> Option<TaskId> {
    if record.state.get() == State::Ended {
        return None;
    }
    let mut at = record.branch.parent();
    // SAFETY: a task that has not ended hangs on branches that are alive; the owner of a frame is alive.
    unsafe {
        while let Some(branch) = at.as_ref() {
            let owner = Branch::owner(at);
            if let Some(owner) = owner.as_ref() {
                return Some(owner.id);
            }
            at = branch.parent();
        }
    }
    None
}

/// All tasks that have not ended, each with its depth in the tree of tasks; parents before children.
pub(super) fn tasks(core: &Core) -> Vec<(TaskRef, usize)> {
    let mut tasks = Vec::with_capacity(core.alive());
    // Depths count branches; what is shown counts tasks.
    let mut above: Vec<usize> = Vec::new();
    let mut look = |branch: *const Branch, depth: usize| {
        while above.last().is_some_and(|&last| last >= depth) {
            above.pop();
        }
        // SAFETY: a branch of that kind is the first field of a record, which is alive.
        unsafe {
            if (*branch).kind() == Kind::Task {
                tasks.push((TaskRef::to(branch.cast()), above.len()));
                above.push(depth);
            }
        }
    };
    // SAFETY: the top is part of the core; nothing changes meanwhile.
    unsafe { Branch::visit(core.top(), &mut look) };
    tasks
}

/// Whether the task above waits for the end of this one, and for nothing else.
fn is_awaited(record: &Record) -> bool {
    let parent = record.branch.parent();
    // SAFETY: a task that has not ended hangs on a branch that is alive; one of that kind is the first field of a frame.
    unsafe {
        record.state.get() != State::Ended
            && (*parent).kind() == Kind::Frame
            && (*parent.cast::<Frame>()).is_waited_for()
    }
}

/// The tree of tasks, as text.
pub(super) fn report(core: &Core) -> String {
    snapshot_of(core, 0).to_string()
}

/// A snapshot of all tasks of the runtime that this code runs under; what `inspect` shows.
///
/// With up to so many backtraces: each task is resumed for a moment to say where it stands.
pub(crate) fn snapshot(backtraces: usize) -> Option<Snapshot> {
    // SAFETY: a scheduler outlives the code that runs under it.
    let core = unsafe { here::core().as_ref() }?;
    Some(snapshot_of(core, backtraces))
}

fn snapshot_of(core: &Core, backtraces: usize) -> Snapshot {
    let tasks = tasks(core);
    let mut left = backtraces;
    let see = |(task, depth): &(TaskRef, usize)| {
        let record = task.record();
        let backtrace = if left > 0 { backtrace::of(record) } else { None };
        left -= usize::from(backtrace.is_some());
        Seen { info: TaskInfo::of(record, Some(core)), depth: *depth, awaited: is_awaited(record), backtrace }
    };
    let mut seen: Vec<Seen> = tasks.iter().map(see).collect();
    // The first task hangs behind the trunk, and is what a reader looks for first.
    let first = seen.iter().position(|seen| seen.info.id.get() == 1).unwrap_or(0);
    seen.rotate_left(first);
    Snapshot {
        tasks: seen,
        runtime: core.config.name.clone(),
        timers: core.timers().len(),
        remotes: core.gate().remotes(),
    }
}
