//! The example `run_commands` as its users run it: by what it prints and exits with.
//!
//! `cargo test` builds it. With `--test world` alone, build it first.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what comes soon, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example's binary, in the folder next to that of this test's.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().with_file_name("examples").join("run_commands");
    assert!(binary.exists(), "build the example first: cargo build --example run_commands");
    binary
}

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What it prints, and whether it says that all went well.
#[track_caller]
fn prints(arguments: &[&str]) -> (Vec<String>, bool) {
    let output = run(arguments);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!([Some(0), Some(1)].contains(&output.status.code()), "{}", output.status);
    let printed = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    (printed, output.status.success())
}

/// It, and gates at which its commands wait until a test lets them pass.
struct Running {
    process: Child,
    /// What it shows, as long as somebody looks.
    shown: Option<std::io::Lines<BufReader<ChildStdout>>>,
    folder: PathBuf,
}

impl Running {
    fn start(name: &str, gates: &[&str], arguments: &[&str]) -> Running {
        let folder = std::env::temp_dir().join(format!("ropewalk-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = Command::new("mkfifo").args(gates).current_dir(&folder).status().unwrap();
        assert!(made.success());
        let mut process = Command::new(binary())
            .args(arguments)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shown = Some(BufReader::new(process.stdout.take().unwrap()).lines());
        Running { process, shown, folder }
    }

    fn next(&mut self) -> Option<String> {
        self.shown.as_mut().unwrap().next().map(Result::unwrap)
    }

    #[track_caller]
    fn says(&mut self, expected: &str) {
        assert_eq!(self.next().as_deref(), Some(expected));
    }

    /// These, in whatever order.
    #[track_caller]
    fn says_all<const N: usize>(&mut self, mut expected: [&str; N]) {
        let mut said = [(); N].map(|()| self.next().unwrap());
        said.sort();
        expected.sort();
        assert_eq!(said, expected);
    }

    fn open(&self, gate: &str) {
        let mut gate = fs::OpenOptions::new().write(true).open(self.folder.join(gate)).unwrap();
        gate.write_all(b"pass\n").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn commands_run_at_the_same_time_and_are_shown_live() {
    let first = "echo begun; read x <one; echo $x; read x <two";
    let second = "echo begun >&2; read x <three; echo done";
    let mut running =
        Running::start("live", &["one", "two", "three"], &["-j", "2", first, second, "echo last; exit 9"]);
    running.says_all([&format!("[1] $ {first}"), "[1] begun", &format!("[2] $ {second}"), "[2] ! begun"]);
    running.open("one");
    running.says("[1] pass");
    // There is room for the third when the second has ended.
    running.open("three");
    running.says("[2] done");
    running.says("[2] = exit status: 0");
    running.says("[3] $ echo last; exit 9");
    running.says("[3] last");
    running.says("[3] = exit status: 9");
    running.open("two");
    running.says("[1] = exit status: 0");
    running.says("");
    running.says(&format!("[1] exit status: 0: {first}"));
    running.says(&format!("[2] exit status: 0: {second}"));
    running.says("[3] exit status: 9: echo last; exit 9");
    running.says("2 of 3 succeeded");
    assert_eq!(running.next(), None);
    assert_eq!(running.process.wait().unwrap().code(), Some(1));
}

#[test]
fn many_lines_of_many_commands_come_whole_and_in_their_order() {
    let count = "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done";
    let (printed, is_success) = prints(&["-j", "4", count, count, count, count]);
    assert!(is_success);
    for number in 1..=4 {
        let label = format!("[{number}] line ");
        let lines: Vec<_> = printed.iter().filter_map(|line| line.strip_prefix(&label)).collect();
        assert_eq!(lines, (0..500).map(|line| line.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(printed.last().unwrap(), "4 of 4 succeeded");
    // A line that never ends, bytes that are no text, and one without an end.
    let (printed, _) = prints(&["head -c 100000 /dev/zero", "printf 'a\\377b\\nno end'"]);
    let zeros = printed.iter().filter(|line| line.starts_with("[1] \0")).map(|line| line.len() - 4);
    assert_eq!(zeros.collect::<Vec<_>>(), [65536, 100_000 - 65536]);
    assert!(printed.contains(&"[2] a\u{fffd}b".to_owned()), "{printed:?}");
    assert!(printed.contains(&"[2] no end".to_owned()), "{printed:?}");
}

#[test]
fn what_takes_too_long_is_ended_with_all_that_it_has_started() {
    // The output ends although the grandchild has it open.
    let polite = "trap 'echo bye; exit 5' TERM; sleep 100000 & wait";
    let (printed, is_success) = prints(&["-t", "0.05", polite, "true; exit 0"]);
    assert!(!is_success);
    assert!(printed.contains(&"[1] bye".to_owned()), "{printed:?}");
    assert!(printed.contains(&format!("[1] took too long, exit status: 5: {polite}")), "{printed:?}");
    assert_eq!(printed.last().unwrap(), "1 of 2 succeeded");
}

#[test]
fn a_failure_stops_the_others_if_asked_for() {
    let (printed, is_success) = prints(&["-x", "-j", "2", "sleep 100000", "exit 4", "echo never"]);
    assert!(!is_success);
    let summary: Vec<_> = printed.iter().skip_while(|line| !line.is_empty()).skip(1).collect();
    assert_eq!(
        summary,
        [
            "[1] stopped, signal: 15 (SIGTERM): sleep 100000",
            "[2] exit status: 4: exit 4",
            "[3] not run: echo never",
            "0 of 3 succeeded",
        ]
    );
    assert!(!printed.contains(&"[3] never".to_owned()));
}

#[test]
fn commands_come_from_standard_input_too() {
    let mut process = Command::new(binary())
        .args(["-j", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(b"echo one\n\n  \necho two\n").unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected = "[1] $ echo one\n[1] one\n[1] = exit status: 0\n\
                    [2] $ echo two\n[2] two\n[2] = exit status: 0\n\n\
                    [1] exit status: 0: echo one\n[2] exit status: 0: echo two\n2 of 2 succeeded\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn it_says_what_is_wrong_with_its_arguments() {
    for (arguments, message) in [
        (&["-j"][..], "run_commands: -j needs a number"),
        (&["-j", "0", "true"], "run_commands: -j needs a number, of one or more"),
        (&["-t", "-1", "true"], "run_commands: -t needs a number of seconds"),
        (&["--fast", "true"], "run_commands: there is no option --fast"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors.lines().next(), Some(message));
        assert!(errors.contains("Usage: run_commands"), "{errors}");
    }
    let (printed, is_success) = prints(&["--", "true"]);
    assert!(is_success && printed.contains(&"1 of 1 succeeded".to_owned()), "{printed:?}");
}

#[test]
fn when_nobody_reads_what_it_shows_it_ends_and_its_commands_with_it() {
    let command = "echo $$; while read x <gate; do echo $x; done";
    let mut running = Running::start("unread", &["gate"], &[command]);
    running.says(&format!("[1] $ {command}"));
    let id = running.next().unwrap().strip_prefix("[1] ").unwrap().to_owned();
    running.shown = None;
    running.open("gate");
    assert_eq!(running.process.wait().unwrap().code(), Some(1));
    // It is gone soon, or a zombie of whoever takes orphans in.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            break;
        }
        assert!(Instant::now() < deadline, "{state}");
        thread::sleep(Duration::from_millis(1));
    }
}
