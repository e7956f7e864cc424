//! The runtimes that are live in this process, for those who want to look at all of them.
//!
//! Invariant: who has a runtime from this list is not one of its remotes. No task waits for them, so a runtime whose tasks
//! all wait for one another is in deadlock however many watch it.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::record::{Record, TaskId};
use super::remote::Gate;

static LIVE: Mutex<Vec<Arc<Live>>> = Mutex::new(Vec::new());

/// A runtime, as other threads see it.
pub(crate) struct Live {
    gate: Arc<Gate>,
    name: Option<String>,
    thread: Option<String>,
    /// In debug mode: the task whose turn it is.
    step: Mutex<Option<Step>>,
    debug: bool,
}

/// A turn of a task.
struct Step {
    id: TaskId,
    name: Option<String>,
    spawned: &'static Location<'static>,
}

/// That a runtime is in the list, until this is dropped.
pub(super) struct Listed(Arc<Live>);

/// All runtimes that are live, in the order in which they began.
pub(crate) fn live_runtimes() -> Vec<Arc<Live>> {
    lock(&LIVE).clone()
}

// What is locked here is whole whenever it is unlocked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Has `call` run on the runtime's thread, between two steps of its tasks. False if the runtime has ended.
    pub(crate) fn post(&self, call: impl FnOnce() + Send + 'static) -> bool {
        self.gate.push(Box::new(call)).is_ok()
    }

    /// The task whose turn it is, as text; `None` if it is nobody's, or that is not known because debug mode is off.
    pub(crate) fn running(&self) -> Option<String> {
        lock(&self.step).as_ref().map(Step::to_string)
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("runtime")?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        match &self.thread {
            Some(thread) => write!(f, " on thread '{thread}'"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        write!(f, " spawned at {}", self.spawned)
    }
}

impl Listed {
    /// Lists the runtime of this thread.
    pub(super) fn new(gate: &Arc<Gate>, name: Option<&str>, debug: bool) -> Listed {
        let live = Arc::new(Live {
            gate: gate.clone(),
            name: name.map(str::to_owned),
            thread: thread::current().name().map(str::to_owned),
            step: Mutex::new(None),
            debug,
        });
        lock(&LIVE).push(live.clone());
        Listed(live)
    }

    /// For whoever wants to post something to this runtime, and is no remote of it.
    pub(super) fn share(&self) -> Arc<Live> {
        self.0.clone()
    }

    /// Notes whose turn it is while `step` runs, for [`Live::running`]. An eager task has its turn within another's.
    pub(super) fn noting<R>(&self, task: &Record, step: impl FnOnce() -> R) -> R {
        let turn = Step { id: task.id, name: task.name(), spawned: task.spawned };
        let before = lock(&self.step).replace(turn);
        let result = step();
        *lock(&self.step) = before;
        result
    }
}

impl Deref for Listed {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.0
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&LIVE).retain(|live| !Arc::ptr_eq(live, &self.0));
    }
}
