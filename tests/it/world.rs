//! Programs of tasks in a world of their own: time is virtual, nothing is waited for, and what happens is compared with
//! what should have.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ropewalk::{Cancelled, Clock, JoinError, Runtime, Unhandled, time};

use crate::log::Log;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `program` in virtual time, which begins at zero.
#[track_caller]
pub(crate) fn run<T>(program: impl FnOnce() -> T) -> T {
    Runtime::builder().clock(Clock::Virtual).build().run(|| {
        BEGAN.set(Some(time::now()));
        program()
    })
}

/// Runs `program` in virtual time and compares what it logs.
#[track_caller]
pub(crate) fn check(program: impl FnOnce(&Log), expected: &[&str]) {
    let log = Log::new();
    run(|| program(&log));
    log.assert(expected);
}

/// Runs `program` in virtual time; also returns what went to the runtime's hook.
#[track_caller]
pub(crate) fn unhandled_by<T>(program: impl FnOnce() -> T) -> (T, Vec<String>) {
    let told = Rc::new(RefCell::new(Vec::new()));
    let hook = {
        let told = told.clone();
        move |event: &Unhandled<'_>| told.borrow_mut().push(without_place(&event.to_string()))
    };
    let runtime = Runtime::builder().clock(Clock::Virtual).debug(false).on_unhandled(hook).build();
    let result = runtime.run(|| {
        BEGAN.set(Some(time::now()));
        program()
    });
    (result, told.take())
}

/// Without the place where a task was spawned, which changes with every line of the test.
pub(crate) fn without_place(text: &str) -> String {
    match text.split_once(" spawned at ") {
        Some((who, rest)) => format!("{who} {}", rest.split_once(' ').map_or("", |(_, what)| what)),
        None => text.to_owned(),
    }
}

/// Seconds since the program began, by its clock.
pub(crate) fn clock() -> f64 {
    (time::now() - BEGAN.get().expect("a program runs")).as_secs_f64()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn sleep(seconds: u64) -> Result<(), Cancelled> {
    time::sleep(Duration::from_secs(seconds))
}

/// The text of the panic that a task ended with.
#[track_caller]
pub(crate) fn panic_of<T>(result: Result<T, JoinError>) -> String {
    match result {
        Err(JoinError::Panicked(panic)) => panic.text(),
        Err(other) => panic!("it did not panic: {other}"),
        Ok(_) => panic!("it did not panic"),
    }
}
