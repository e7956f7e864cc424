//! A program compiled with `panic = "abort"`, and a process for each of its scenarios.

#[path = "../package/mod.rs"]
mod package;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const SIGABRT: i32 = 6;

/// Builds the program, once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = ("panic_abort".to_owned(), include_str!("program.rs"));
        package::build("panic-abort", [program], "[profile.dev]\npanic = 'abort'\n").join("panic_abort")
    })
}

fn run(scenario: &str) -> Output {
    package::run(Command::new(program()).arg(scenario))
}

#[track_caller]
fn assert_done(output: &Output) {
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("done\n"), "{}\n{out}\n{errors}", output.status);
}

#[track_caller]
fn assert_aborted(output: &Output, with: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{}\n{errors}", output.status);
    assert!(errors.contains(with), "no {with:?} in:\n{errors}");
}

#[test]
fn everything_works_but_the_unwinding_close() {
    assert_done(&run("works"));
}

#[test]
fn closing_a_body_in_a_plain_yield_is_an_error_and_leaks_its_stack() {
    assert_done(&run("abandoned"));
}

#[test]
fn dropping_a_body_in_a_plain_yield_is_reported() {
    let output = run("dropped");
    assert_done(&output);
    let out = String::from_utf8_lossy(&output.stdout);
    let expected =
        "was dropped in a plain yield_, which panic = \"abort\" forbids to unwind: its stack is leaked";
    assert!(out.contains("src/bin/panic_abort.rs") && out.contains(expected), "{out}");
}

#[test]
fn an_inner_body_ends_as_far_as_it_can() {
    assert_done(&run("delegated"));
}

#[test]
fn a_borrowing_body_in_a_plain_yield_aborts_at_the_end_of_its_scope() {
    assert_aborted(&run("scoped"), "forbids to unwind: use try_yield, or run it to its end");
}

#[test]
fn a_panic_in_a_body_aborts_as_any_panic_does() {
    assert_aborted(&run("panics"), "in a body");
}

#[test]
fn a_stream_that_is_stopped_in_a_plain_yield_aborts_and_says_what_to_do() {
    assert_aborted(
        &run("streamed"),
        "was stopped in a plain yield_, which panic = \"abort\" forbids to unwind: use try_yield",
    );
}
