//! Events, latches, semaphores, limiters, barriers, once cells and wait groups. `N1` and so on in a comment are rows of
//! `docs/sync.md`, which name the tests.

mod barriers;
mod events;
mod everywhere;
mod limiters;
mod once_cells;
mod schedules;
mod semaphores;
mod wait_groups;

use ropewalk::{RunError, Runtime, task, testing};

use crate::log::Log;

/// Runs `program` as a test should be run, and compares what it logs.
#[track_caller]
fn check(program: impl FnOnce(&Log), expected: &[&str]) {
    let log = Log::new();
    testing::run(|| program(&log));
    log.assert(expected);
}

/// Goes on when all others wait.
#[track_caller]
fn settle() {
    testing::wait_all_tasks_blocked().unwrap();
}

/// What a deadlock report says of the tasks of a program that ends in one, without places and times.
#[track_caller]
fn deadlock_of(program: impl FnOnce()) -> Vec<String> {
    let Err(RunError::Deadlock { report, .. }) = Runtime::new().try_run(program) else {
        panic!("it went well")
    };
    let waits = |line: &str| {
        let (_, what) = line.split_once(": waits for ")?;
        let (what, rest) = what.rsplit_once(" (tests/it/gates/")?;
        Some(format!("{what}{}", rest.find(", held by").map_or("", |at| &rest[at..])))
    };
    report.lines().filter_map(waits).collect()
}

/// What a dump says the task waits for, without the time.
#[track_caller]
fn waits_for(task: &task::Handle<impl Sized>) -> String {
    let info = task.info().to_string();
    let (_, what) = info.split_once(": waits for ").unwrap_or_else(|| panic!("{info}"));
    let (what, rest) = what.rsplit_once(" (tests/it/gates/").unwrap_or_else(|| panic!("{info}"));
    format!("{what}{}", rest.find(", held by").map_or("", |at| &rest[at..]))
}
