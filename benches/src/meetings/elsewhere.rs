//! Contenders that are programs in other languages: a play starts one, which times itself and prints its figures.
//!
//! They are told a case and perhaps `--test`. They print the column and the value, with a tab between them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::contest::{Figure, Scale};

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// asyncio, in whatever `python3` is.
pub fn asyncio(case: &str, scale: Scale) -> Vec<Figure> {
    let mut python = Command::new("python3");
    python.arg(Path::new(SOURCES).join("asyncio_meetings.py"));
    play(python, case, scale)
}

/// Go, on one thread.
pub fn go(case: &str, scale: Scale) -> Vec<Figure> {
    let mut go = Command::new(go_program());
    go.env("GOMAXPROCS", "1");
    play(go, case, scale)
}

/// Whether Go is installed. Where it is not, it does not take part.
pub fn has_go() -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join("go").is_file())
}

/// Built beside this program; Go itself sees whether that has been done.
fn go_program() -> PathBuf {
    let program = env::current_exe().expect("a process knows its program").with_file_name("go_meetings");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg("go_meetings.go").current_dir(SOURCES);
    succeed(build);
    program
}

fn play(mut program: Command, case: &str, scale: Scale) -> Vec<Figure> {
    program.arg(case);
    if scale.is_test() {
        program.arg("--test");
    }
    let printed = String::from_utf8(succeed(program).stdout).expect("it prints text");
    let figure = |line: &str| -> Option<Figure> {
        let (column, value) = line.split_once('\t')?;
        // This process is about to end.
        Some((column.to_owned().leak(), value.parse().ok()?))
    };
    printed.lines().map(|line| figure(line).expect("it prints columns and values")).collect()
}

fn succeed(mut program: Command) -> Output {
    let output = program.output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
