//! Tests that need a process of their own: each runs itself again as a child, which plays the scenario.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};

const CHILD: &str = "ROPEWALK_TEST_CHILD";

/// Plays `scenario` if this process is the child of that test, and ends; else gives the command that starts it.
pub(crate) fn command(test: &str, scenario: impl FnOnce()) -> Command {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        scenario();
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().expect("the test has an executable"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env_remove("RUST_BACKTRACE").env(CHILD, test).stdin(Stdio::null());
    command
}

/// Plays it in a child, to its end.
pub(crate) fn in_child(test: &str, scenario: impl FnOnce()) -> Output {
    command(test, scenario).output().expect("the test can run itself")
}

pub(crate) fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub(crate) fn assert_ended_well(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, errors_of(output));
}

/// A child that says how far it has come.
pub(crate) struct Talking {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Talking {
    pub(crate) fn start(mut command: Command) -> Talking {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the test can run itself");
        let said = BufReader::new(child.stdout.take().unwrap());
        Talking { child, said }
    }

    /// Waits until it says that.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let count = self.said.read_line(&mut line).unwrap();
            assert!(count > 0, "the child never says {text:?}");
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it says that where errors go.
    #[track_caller]
    pub(crate) fn hear_error(&mut self, text: &str) {
        let mut errors = BufReader::new(self.child.stderr.as_mut().expect("it is a pipe"));
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(text) {
            let count = errors.read_until(b'\n', &mut said).unwrap();
            assert!(count > 0, "the child never says {text:?}");
        }
    }

    /// What it reads, if that is a pipe.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is a pipe")
    }

    /// How it ended, and what else it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}
