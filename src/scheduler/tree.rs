//! The tree of tasks at one moment, as text, and who in it waits for whom in a ring.
//!
//! Words: a *snapshot* holds what has been *seen* of each task, parents before their children. A task *waits for* another
//! if that one has what it waits for, or hangs on the scope whose end it waits for.

use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::fmt;

use super::info::{Holder, TaskInfo, TaskState, write_state};
use super::record::TaskId;

/// Tasks that differ in nothing that matters, and are shown before the others are only counted.
const ALIKE: usize = 10;

/// What has been seen of one task.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) info: TaskInfo,
    /// Tasks above it in the tree.
    pub(crate) depth: usize,
    /// Whether the task above it waits for its end, and for nothing else.
    pub(crate) awaited: bool,
    pub(crate) backtrace: Option<Backtrace>,
}

/// All tasks of a runtime at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) runtime: Option<String>,
    pub(crate) tasks: Vec<Seen>,
    /// Timers that are set.
    pub(crate) timers: usize,
    /// Handles that other threads have.
    pub(crate) remotes: usize,
}

impl Snapshot {
    /// Writes the tree and below it the rings; `more` is what comes below the line of a task.
    ///
    /// Of many tasks in a row that are alike most are only counted, unless the format is the alternate one.
    pub(crate) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        more: impl Fn(&mut fmt::Formatter<'_>, &Seen) -> fmt::Result,
    ) -> fmt::Result {
        let places = self.places();
        let mut at = 0;
        while at < self.tasks.len() {
            let alike = if f.alternate() { 1 } else { self.alike(at) };
            let shown = alike.min(ALIKE);
            for seen in &self.tasks[at..at + shown] {
                write!(f, "{:indent$}", "", indent = seen.depth * 2)?;
                self.write_task(f, &places, seen)?;
                f.write_str("\n")?;
                more(f, seen)?;
            }
            if alike > shown {
                let seen = &self.tasks[at];
                let last = &self.tasks[at + alike - 1].info;
                let left = alike - shown;
                write!(f, "{:indent$}", "", indent = seen.depth * 2)?;
                writeln!(f, "... and {left} more like task {}, up to task {}", seen.info.id, last.id)?;
            }
            at += alike;
        }
        for cycle in self.cycles_at(&places) {
            f.write_str(match cycle[..] {
                [_] => "this task waits for itself:\n",
                _ => "these tasks wait for one another:\n",
            })?;
            for &at in &cycle {
                f.write_str("  ")?;
                self.write_task(f, &places, &self.tasks[at])?;
                f.write_str("\n")?;
            }
        }
        Ok(())
    }

    /// Rings of tasks of which each waits for the next, and the last for the first.
    pub(crate) fn cycles(&self) -> Vec<Vec<TaskId>> {
        let of = |cycle: Vec<usize>| cycle.into_iter().map(|at| self.tasks[at].info.id).collect();
        self.cycles_at(&self.places()).into_iter().map(of).collect()
    }

    fn places(&self) -> HashMap<TaskId, usize> {
        self.tasks.iter().enumerate().map(|(at, seen)| (seen.info.id, at)).collect()
    }

    fn write_task(
        &self,
        f: &mut fmt::Formatter<'_>,
        places: &HashMap<TaskId, usize>,
        seen: &Seen,
    ) -> fmt::Result {
        // All that have not ended are here.
        let look_up = |holder: TaskId| match places.get(&holder) {
            Some(&at) => Holder::Task { name: self.tasks[at].info.name.as_deref() },
            None => Holder::Ended,
        };
        seen.info.write_birth(f)?;
        f.write_str(": ")?;
        write_state(f, &seen.info.state, look_up)?;
        seen.info.write_cancelled(f)
    }

    /// How many tasks from `at` on differ in little more than their numbers and names.
    fn alike(&self, at: usize) -> usize {
        let first = &self.tasks[at];
        let is_alike = |seen: &&Seen| seen.depth == first.depth && is_alike(&seen.info, &first.info);
        let alike = self.tasks[at..].iter().take_while(is_alike).count();
        // What stands deeper belongs below the line of the last one, which must be shown then.
        let last_has_tasks = self.tasks.get(at + alike).is_some_and(|next| next.depth > first.depth);
        if last_has_tasks && alike > 1 { alike - 1 } else { alike }
    }

    fn cycles_at(&self, places: &HashMap<TaskId, usize>) -> Vec<Vec<usize>> {
        // Whom each waits for.
        let mut waits_for = vec![Vec::new(); self.tasks.len()];
        for (at, seen) in self.tasks.iter().enumerate() {
            if let TaskState::Waiting { holder: Some(holder), .. } = seen.info.state {
                waits_for[at].extend(places.get(&holder));
            }
            let parent = seen.info.parent.filter(|_| seen.awaited);
            if let Some(&parent) = parent.and_then(|parent| places.get(&parent)) {
                waits_for[parent].push(at);
            }
        }
        find_cycles(&waits_for)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |_, _| Ok(()))
    }
}

fn is_alike(one: &TaskInfo, other: &TaskInfo) -> bool {
    let same_state = match (&one.state, &other.state) {
        (TaskState::Waiting { at, holder, .. }, TaskState::Waiting { at: other_at, holder: other, .. }) => {
            at == other_at && holder == other
        }
        (one, other) => one == other,
    };
    same_state && one.spawned == other.spawned && one.cancelled == other.cancelled
}

/// Rings in a graph, each found once; not all of them where they share edges.
///
/// Not recursively: chains can be longer than a stack is deep.
fn find_cycles(next: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Unseen,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::Unseen; next.len()];
    let mut cycles = Vec::new();
    for start in 0..next.len() {
        // The way from `start`, each with how many of its edges have been followed.
        let mut path = Vec::new();
        if marks[start] == Mark::Unseen {
            marks[start] = Mark::OnPath;
            path.push((start, 0));
        }
        while let Some((at, followed)) = path.last_mut() {
            let Some(&to) = next[*at].get(*followed) else {
                marks[*at] = Mark::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[to] {
                Mark::Unseen => {
                    marks[to] = Mark::OnPath;
                    path.push((to, 0));
                }
                Mark::OnPath => {
                    let ring = path.iter().map(|&(at, _)| at).skip_while(|&at| at != to);
                    cycles.push(ring.collect());
                }
                Mark::Done => {}
            }
        }
    }
    cycles
}
