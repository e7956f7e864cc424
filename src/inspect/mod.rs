//! Looking at what is going on: all tasks, what each waits for and where, who has it, and who waits in a ring.
//!
//! ```
//! use ropewalk::lowlevel::{WaitList, Why};
//! use ropewalk::{inspect, task};
//!
//! ropewalk::run(|| {
//!     let line = WaitList::<()>::new();
//!     task::scope(|s| {
//!         task::Builder::new().name("reader").spawn_in(s, || line.wait(&Why::new("a line of input")));
//!         task::yield_now();
//!         let dump = inspect::dump().to_string();
//!         assert!(dump.contains("task 2 'reader' spawned at "), "{dump}");
//!         assert!(dump.contains(": waits for a line of input ("), "{dump}");
//!         s.cancel();
//!     });
//! });
//! ```
//!
//! [`dump_on_sigquit`] prints the same from a live process when it is sent a signal. A deadlock report is the same text
//! too. `docs/debugging.md` has more.

mod json;
mod signal;
mod trace;

use std::fmt;

pub use crate::scheduler::DriverChoice;
use crate::scheduler::lowlevel::{TaskId, TaskInfo};
use crate::scheduler::{self, Seen, Snapshot};
pub use signal::dump_on_sigquit;

/// All tasks of a runtime at one moment. See [`dump`].
///
/// Displayed it is a tree, a line for each task, and below that the rings of tasks that wait for one another. Of more than
/// ten tasks in a row that were spawned at one place and wait at one place the rest are only counted; `{:#}` shows them all.
#[derive(Default)]
pub struct Dump {
    /// `None` if there was no runtime.
    snapshot: Option<Snapshot>,
}

/// One task in a [`Dump`].
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    seen: &'a Seen,
}

/// All tasks of the runtime that this code runs under, at this moment.
///
/// It can be called in tasks, callbacks and hooks. Outside of [`run`](crate::run) the dump is empty.
#[doc(alias = "all_tasks")]
#[doc(alias = "print_call_graph")]
pub fn dump() -> Dump {
    Dump::with_backtraces(0)
}

/// Which driver does the input and output of this thread's runtime, and why; `None` outside of [`run`](crate::run).
///
/// ```
/// use ropewalk::{Driver, Runtime, inspect};
///
/// Runtime::builder().driver(Driver::Epoll).build().run(|| {
///     assert_eq!(inspect::driver().unwrap().name, "idle");         // Nothing has been read or written yet.
///     let listener = ropewalk::net::TcpListener::bind("127.0.0.1:0").unwrap();
///     ropewalk::time::timeout(std::time::Duration::ZERO, || listener.accept()).unwrap_err();
/// });
/// ```
pub fn driver() -> Option<DriverChoice> {
    scheduler::driver_choice()
}

/// As [`dump`], with the backtrace of each task that has begun: the calls it is in, the innermost first.
///
/// Each task's stack is looked at by the task itself, which is resumed for that and suspends again at once. That takes
/// 5 to 10 µs a task. Names are looked up when the dump is displayed, which takes 40 µs a task and 21 KB of stack; a dump
/// may be sent to another thread and be displayed there. A task with less than 6 KiB of stack left has none.
///
/// ```
/// use ropewalk::{inspect, task, time};
/// use std::time::Duration;
///
/// fn nap() {
///     time::sleep(Duration::from_secs(3600)).unwrap_err();
/// }
///
/// ropewalk::run(|| {
///     let sleeper = task::spawn(|| nap());
///     task::yield_now();
///     let dump = inspect::dump_with_backtraces();
///     let task = dump.tasks().find(|task| task.info().id == sleeper.id()).unwrap();
///     assert!(task.frames().unwrap().iter().any(|frame| frame.contains("nap")));
/// });
/// ```
pub fn dump_with_backtraces() -> Dump {
    Dump::with_backtraces(usize::MAX)
}

impl Dump {
    /// With so many backtraces at most.
    fn with_backtraces(most: usize) -> Dump {
        Dump { snapshot: scheduler::snapshot(most) }
    }

    /// The tasks, parents before their children.
    pub fn tasks(&self) -> impl Iterator<Item = Entry<'_>> {
        self.snapshot.iter().flat_map(|snapshot| &snapshot.tasks).map(|seen| Entry { seen })
    }

    /// The name of the runtime, if it has one.
    pub fn runtime(&self) -> Option<&str> {
        self.snapshot.as_ref()?.runtime.as_deref()
    }

    /// Timers that were set: sleeping tasks, deadlines, callbacks.
    pub fn timers(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.timers)
    }

    /// Handles that other threads had to the runtime. While there is one, no deadlock is found.
    pub fn remotes(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.remotes)
    }

    /// Rings of tasks of which each waits for the next, and the last for the first: none of them goes on by itself.
    ///
    /// A task waits for another if that one has what it waits for, as far as that is told
    /// ([`Why::held_by`](crate::lowlevel::Why::held_by)), or hangs on the scope whose end it waits for. Where rings share
    /// tasks not all of them are found, but one at least.
    pub fn cycles(&self) -> Vec<Vec<TaskId>> {
        self.snapshot.as_ref().map_or_else(Vec::new, Snapshot::cycles)
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(snapshot) = &self.snapshot else {
            return f.write_str("there is no runtime on this thread\n");
        };
        let name = snapshot.runtime.as_ref().map_or(String::new(), |name| format!(" '{name}'"));
        let count = |count: usize, what| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        writeln!(
            f,
            "runtime{name}: {}, {}, {}",
            count(snapshot.tasks.len(), "task"),
            count(snapshot.timers, "timer"),
            count(snapshot.remotes, "remote handle"),
        )?;
        snapshot.write(f, |f, seen| {
            for frame in (Entry { seen }).frames().iter().flatten() {
                writeln!(f, "{:indent$}    in {frame}", "", indent = seen.depth * 2)?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tasks()).finish()
    }
}

impl<'a> Entry<'a> {
    /// What was known of the task.
    pub fn info(&self) -> &'a TaskInfo {
        &self.seen.info
    }

    /// How many tasks are above it in the tree.
    pub fn depth(&self) -> usize {
        self.seen.depth
    }

    /// Whether the task above it waits for its end, and for nothing else.
    pub fn is_awaited(&self) -> bool {
        self.seen.awaited
    }

    /// The calls that the task is in, the innermost first, without those of this library; `None` without a backtrace.
    ///
    /// Each is the name of the function and, if the program has line tables, the place. In a program without symbols all
    /// names are `<unknown>`, and the library's are among them.
    pub fn frames(&self) -> Option<Vec<String>> {
        self.seen.backtrace.as_ref().map(trace::frames)
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info().fmt(f)
    }
}
