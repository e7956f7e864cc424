//! Children: what a command is, what becomes of those who wait for a child, and that none outlives whom it should not.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::io::{LineReader, PipeReader, PipeWriter, pipe};
use ropewalk::process::{Child, Command, ExitStatus, Stdio};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::sync::Latch;
use ropewalk::{Cancelled, Runtime, inspect, task, time};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How long a test waits for what comes soon, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

const SOON: Duration = Duration::from_millis(5);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// One that lives until it is killed.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("100000");
    command
}

/// Whether the child was reaped.
fn is_reaped(id: u32) -> bool {
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), looking).is_err_and(|error| error == rustix::io::Errno::CHILD)
}

/// Waits until a child is reaped that nobody waits for; tasks go on meanwhile.
#[track_caller]
fn assert_is_reaped_soon(id: u32) {
    let deadline = Instant::now() + PATIENCE;
    while !is_reaped(id) {
        assert!(Instant::now() < deadline, "child {id} is still there");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Blocks the thread until the child has ended, without reaping it; somebody else may.
fn block_until_ended(id: u32) {
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => {}
        Err(error) => panic!("{error}"),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The first line, which is a number.
fn number(reader: &PipeReader) -> u32 {
    let mut line = Vec::new();
    let mut byte = [0];
    while (&mut &*reader).read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    text(&line).parse().unwrap()
}

fn rest(mut reader: PipeReader) -> String {
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    all
}

/// A folder of a test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ropewalk-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_command_is_built_and_asked_as_std_s() {
    ropewalk::run(|| {
        let folder = Folder::new("built");
        let mut command = Command::new("sh");
        command.arg("-c").args(["echo $0 $1 $A-$B-$C-$HOME; pwd", "zero", "one"]);
        command.env("A", "a").envs([("B", "b"), ("C", "c")]).env_remove("HOME").current_dir(&folder.0);
        assert_eq!(command.get_program(), "sh");
        assert_eq!(command.get_args().skip(2).collect::<Vec<_>>(), ["zero", "one"]);
        let variables: Vec<_> = command.get_envs().collect();
        assert!(variables.contains(&(OsStr::new("B"), Some(OsStr::new("b")))));
        assert!(variables.contains(&(OsStr::new("HOME"), None)));
        assert_eq!(command.get_current_dir(), Some(folder.0.as_path()));
        assert_eq!(format!("{command:?}"), format!("{:?}", command.as_std()));

        let output = command.output().unwrap();
        let expected = format!("zero one a-b-c-\n{}\n", fs::canonicalize(&folder.0).unwrap().display());
        assert_eq!(text(&output.stdout), expected);
        assert!(output.status.success());

        let output = Command::new("/usr/bin/env").env_clear().env("ONLY", "this").output().unwrap();
        assert_eq!(text(&output.stdout), "ONLY=this\n");
        let output = sh("echo $0").arg0("other").output().unwrap();
        assert_eq!(text(&output.stdout), "other\n");
        let output = sh("kill -0 -$$ && echo leads").process_group(0).output().unwrap();
        assert_eq!(text(&output.stdout), "leads\n");
    });
}

#[test]
fn a_child_runs_as_the_user_that_was_said() {
    let own = rustix::process::getuid();
    ropewalk::run(|| {
        // Another one than its own takes root.
        let id = if own.is_root() { 65534 } else { own.as_raw() };
        let gid = if own.is_root() { 65534 } else { rustix::process::getgid().as_raw() };
        let output = sh("id -u; id -g").uid(id).gid(gid).output().unwrap();
        assert_eq!(text(&output.stdout), format!("{id}\n{gid}\n"));
    });
}

#[test]
fn a_status_says_how_a_child_has_ended() {
    ropewalk::run(|| {
        assert!(Command::new("true").status().unwrap().success());
        assert_eq!(Command::new("false").status().unwrap().code(), Some(1));
        assert_eq!(sh("exit 255").status().unwrap().code(), Some(255));
        let killed = sh("kill -9 $$").status().unwrap();
        assert_eq!((killed.code(), killed.signal()), (None, Some(9)));
        let terminated = sh("kill $$").output().unwrap().status;
        assert_eq!(terminated.signal(), Some(15));
    });
}

#[test]
fn what_was_not_said_of_streams_is_std_s_default_each_time() {
    ropewalk::run(|| {
        // It has nothing to read, and so comes to an end.
        let mut cat = Command::new("cat");
        assert!(cat.output().unwrap().stdout.is_empty());
        // The next child of the same command inherits all.
        let mut child = Command::new("true");
        child.output().unwrap();
        let mut child = child.spawn().unwrap();
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        child.wait().unwrap();

        // What was said counts.
        let folder = Folder::new("said");
        let path = folder.0.join("input");
        fs::write(&path, "from a file").unwrap();
        let mut said = Command::new("cat");
        said.stdin(fs::File::open(&path).unwrap());
        assert_eq!(text(&said.output().unwrap().stdout), "from a file");
        let mut quiet = sh("echo out; echo err >&2");
        quiet.stdout(Stdio::null());
        for _ in 0..2 {
            let output = quiet.output().unwrap();
            assert_eq!((text(&output.stdout), text(&output.stderr)), ("", "err\n"));
        }

        // What was said to std is not known to have been said, but for the input.
        let mut from_std = std::process::Command::new("cat");
        from_std.stdin(fs::File::open(&path).unwrap());
        let mut from_std = Command::from(from_std);
        assert_eq!(text(&from_std.output().unwrap().stdout), "from a file");
        let mut through = Command::new("cat");
        through.as_std_mut().stdin(fs::File::open(&path).unwrap());
        assert_eq!(text(&through.output().unwrap().stdout), "from a file");
        assert_eq!(text(&through.into_std().stdin(Stdio::null()).output().unwrap().stdout), "");
    });
}

#[test]
fn both_pipes_fill_and_the_input_is_long_and_there_is_no_deadlock() {
    ropewalk::run(|| {
        let input: Vec<u8> = (0..3_000_000_u32).map(|index| (index / 7) as u8).collect();
        let output = Command::new("cat").output_of(&input).unwrap();
        assert!(output.stdout == input && output.stderr.is_empty());
        // Everything to both.
        let output = Command::new("tee").arg("/dev/stderr").output_of(&input).unwrap();
        assert!(output.stdout == input && output.stderr == input);
        // First all errors, and then all output; and nothing was asked for the input.
        let output = sh("head -c 1000000 /dev/zero >&2; head -c 2000000 /dev/zero").output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (2_000_000, 1_000_000));
        assert!(output.status.success());
    });
}

#[test]
fn while_a_child_is_talked_to_other_tasks_run() {
    ropewalk::run(|| {
        let (release, released) = pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        task::scope(|s| {
            let output = s.spawn(|| sh("read line; echo $line").stdin(released).output().unwrap());
            // The child waits for this task, which runs while the other one waits for the child.
            s.spawn(move || (&release).write_all(b"rope\n").unwrap());
            assert_eq!(text(&output.join().unwrap().stdout), "rope\n");
        });
    });
}

#[test]
fn a_child_that_does_not_read_its_input_is_no_error() {
    ropewalk::run(|| {
        let input = vec![b'x'; 1_000_000];
        assert!(Command::new("true").output_of(&input).unwrap().status.success());
        assert_eq!(text(&Command::new("head").args(["-c", "3"]).output_of(&input).unwrap().stdout), "xxx");
        // It closes it, and goes on.
        let output = sh("exec <&-; echo on").output_of(&input).unwrap();
        assert_eq!(text(&output.stdout), "on\n");
    });
}

#[test]
fn input_needs_a_pipe() {
    ropewalk::run(|| {
        let child = sleeper().spawn().unwrap();
        let id = child.id();
        assert_eq!(child.communicate(b"what?").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_is_reaped_soon(id);
        let error = Command::new("cat").stdin(Stdio::null()).output_of("what?").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_program_that_cannot_be_run_is_std_s_error_and_no_child() {
    ropewalk::run(|| {
        let folder = Folder::new("cannot");
        let run = |program: &Path| Command::new(program).status().unwrap_err().kind();
        assert_eq!(run(Path::new("ropewalk-no-such-program")), ErrorKind::NotFound);
        assert_eq!(run(&folder.0.join("none")), ErrorKind::NotFound);
        let file = folder.0.join("file");
        fs::write(&file, "no program").unwrap();
        assert_eq!(run(&file), ErrorKind::PermissionDenied);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        // ENOEXEC has no kind of its own.
        let error = Command::new(&file).output().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(8), "{error}");

        let gone = folder.0.join("gone");
        fs::create_dir(&gone).unwrap();
        let mut command = Command::new("pwd");
        command.current_dir(&gone);
        assert!(command.output().unwrap().status.success());
        fs::remove_dir(&gone).unwrap();
        assert_eq!(command.output().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(command.status().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn waiting_again_gives_the_same_answer() {
    ropewalk::run(|| {
        let mut child = sh("exit 3").spawn().unwrap();
        let first = child.wait().unwrap();
        assert_eq!(first.code(), Some(3));
        assert!(is_reaped(child.id()));
        assert_eq!(child.wait().unwrap(), first);
        assert_eq!(child.try_wait().unwrap(), Some(first));
        assert_eq!(try_select(child.waiting()).unwrap().unwrap(), first);
        assert_eq!(child.wait_with_output().unwrap().status, first);
    });
}

#[test]
fn a_child_that_has_ended_can_be_killed_without_harm() {
    ropewalk::run(|| {
        let mut child = sh("exit 3").spawn().unwrap();
        block_until_ended(child.id());
        // A zombie, and then nobody.
        for _ in 0..2 {
            child.kill().unwrap();
            child.send_signal(15).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(3));
        }
        child.kill_process_group().unwrap();
        child.send_process_group_signal(15).unwrap();
    });
}

#[test]
fn a_child_is_asked_without_waiting() {
    ropewalk::run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        drop(child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => time::sleep(Duration::from_millis(1)).unwrap(),
            }
            assert!(Instant::now() < deadline);
        };
        assert!(status.success());
    });
    // And where no runtime runs.
    let child = Command::new("true").spawn().unwrap();
    block_until_ended(child.id());
    assert!(child.try_wait().unwrap().unwrap().success());
}

#[test]
fn a_wait_closes_the_input_and_an_arm_does_not() {
    ropewalk::run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(matches!(select((child.waiting(), time::sleeping(SOON))), Ok(Chosen::Second(()))));
        assert!(child.stdin.is_some());
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_wait_that_is_cancelled_leaves_the_child_alone() {
    ropewalk::run(|| {
        let mut child = sleeper().spawn().unwrap();
        for _ in 0..3 {
            let waited = time::timeout(SOON, || child.wait()).unwrap_err().into_inner();
            assert!(Cancelled::is(&waited.unwrap_err()));
            assert_eq!(child.try_wait().unwrap(), None);
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    });
}

#[test]
fn signals_are_sent_by_their_numbers() {
    ropewalk::run(|| {
        let mut child = sh("trap 'echo usr1' USR1; echo ready; while :; do read line; done")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = LineReader::new(child.stdout.take().unwrap());
        assert_eq!(lines.next_line().unwrap(), Some("ready"));
        child.send_signal(rustix::process::Signal::USR1.as_raw()).unwrap();
        assert_eq!(lines.next_line().unwrap(), Some("usr1"));
        for none in [0, -1, 4711] {
            assert_eq!(child.send_signal(none).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // It leads no group.
        assert_eq!(child.send_process_group_signal(15).unwrap_err().raw_os_error(), Some(3));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    });
}

#[test]
fn a_child_that_is_stopped_has_not_ended() {
    ropewalk::run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        child.send_signal(rustix::process::Signal::STOP.as_raw()).unwrap();
        drop(child.stdin.take());
        assert!(time::timeout(SOON, || child.wait()).is_err());
        child.send_signal(rustix::process::Signal::CONT.as_raw()).unwrap();
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_child_that_closes_its_output_and_lives_on_is_waited_for() {
    ropewalk::run(|| {
        let mut child = sh("echo rope; exec >&-; read line; exit 4")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(rest(child.stdout.take().unwrap()), "rope\n");
        assert_eq!(child.try_wait().unwrap(), None);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(4));
    });
}

#[test]
fn a_wait_does_not_wait_for_the_children_of_the_child_and_output_does() {
    ropewalk::run(|| {
        // The grandchild has the child's output open, and waits for what only this test can write.
        let script = "exec 3<&0; { read line <&3; echo $line; } & echo child";
        let (release, released) = pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        let mut child = sh(script).stdin(released).stdout(Stdio::piped()).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let mut lines = LineReader::new(child.stdout.take().unwrap());
        assert_eq!(lines.next_line().unwrap(), Some("child"));
        (&release).write_all(b"grandchild\n").unwrap();
        assert_eq!(lines.next_line().unwrap(), Some("grandchild"));
        assert_eq!(lines.next_line().unwrap(), None);

        let (release, released) = pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        let child = sh(script).stdin(released).stdout(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        task::scope(|s| {
            let output = s.spawn(|| child.wait_with_output().unwrap());
            block_until_ended(id);
            time::sleep(SOON).unwrap();
            assert!(!output.is_finished());
            (&release).write_all(b"grandchild\n").unwrap();
            assert_eq!(text(&output.join().unwrap().stdout), "child\ngrandchild\n");
        });
    });
}

#[test]
fn children_race_with_deadlines_and_with_one_another() {
    ropewalk::run(|| {
        let (mut release, released) = pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        let children = [sleeper().spawn().unwrap(), sh("read line; exit 5").stdin(released).spawn().unwrap()];
        let late = || time::sleeping(SOON);
        let arms = || children.iter().map(Child::waiting).collect::<Vec<_>>();
        assert!(matches!(select((arms(), late())), Ok(Chosen::Second(()))));
        assert!(try_select(arms()).is_none());
        release.write_all(b"go\n").unwrap();
        // One arm can be waited with again and again.
        let mut arms = arms();
        loop {
            match select((&mut arms, late())).unwrap() {
                Chosen::First((index, status)) => {
                    assert_eq!((index, status.unwrap().code()), (1, Some(5)));
                    break;
                }
                Chosen::Second(()) => {}
            }
        }
        assert_eq!(children[0].try_wait().unwrap(), None);
    });
}

#[test]
fn several_tasks_wait_for_one_child_and_all_are_told() {
    ropewalk::run(|| {
        let child = sleeper().spawn().unwrap();
        task::scope(|s| {
            let waiting: Vec<_> = (0..5).map(|_| s.spawn(|| select(child.waiting()))).collect();
            for _ in 0..3 {
                task::yield_now();
            }
            // Whoever gives up takes nothing from the others.
            waiting[0].cancel();
            waiting[3].cancel();
            time::sleep(SOON).unwrap();
            child.kill().unwrap();
            for (index, waiting) in waiting.into_iter().enumerate() {
                match waiting.join().unwrap() {
                    Ok(status) => assert_eq!((status.unwrap().signal(), index % 3 > 0), (Some(9), true)),
                    Err(_) => assert_eq!(index % 3, 0),
                }
            }
        });
        assert!(is_reaped(child.id()));
    });
}

#[test]
fn a_child_belongs_to_no_runtime_and_to_no_thread() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<Child>();
    fn ask_command<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask_command::<Command>();

    let child = ropewalk::run(|| {
        let child = sleeper().spawn().unwrap();
        assert!(matches!(select((child.waiting(), time::sleeping(SOON))), Ok(Chosen::Second(()))));
        child
    });
    let (sender, receiver) = mpsc::channel();
    // In two runtimes at the same time.
    thread::scope(|s| {
        let waiting = [(); 2].map(|()| {
            let (sender, child) = (sender.clone(), &child);
            s.spawn(move || {
                ropewalk::run(|| {
                    task::scope(|s| {
                        let waiting = s.spawn(|| select(child.waiting()).unwrap().unwrap());
                        task::yield_now();
                        sender.send(()).unwrap();
                        waiting.join().unwrap()
                    })
                })
            })
        });
        receiver.recv().unwrap();
        receiver.recv().unwrap();
        child.kill().unwrap();
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap().signal(), Some(9));
        }
    });

    let mut child = ropewalk::run(|| Command::new("cat").stdin(Stdio::piped()).spawn().unwrap());
    let moved = thread::spawn(move || ropewalk::run(move || child.wait().unwrap()));
    assert!(moved.join().unwrap().success());
}

#[test]
fn a_child_that_std_has_started_becomes_ours() {
    ropewalk::run(|| {
        let std =
            std::process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let child = Child::try_from(std).unwrap();
        assert_eq!(text(&child.communicate(b"rope").unwrap().stdout), "rope");

        let mut std = std::process::Command::new("false").spawn().unwrap();
        let status = std.wait().unwrap();
        let mut child = Child::try_from(std).unwrap();
        assert_eq!(child.wait().unwrap(), status);
        child.kill().unwrap();
    });
}

#[test]
fn a_child_whose_status_somebody_else_took_is_an_error_and_nobody_is_killed_for_it() {
    ropewalk::run(|| {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        let no_child = Some(rustix::io::Errno::CHILD.raw_os_error());
        assert_eq!(child.wait().unwrap_err().raw_os_error(), no_child);
        assert_eq!(child.try_wait().unwrap_err().raw_os_error(), no_child);
        // The number is not looked up among those of others.
        assert_eq!(child.kill().unwrap_err().raw_os_error(), no_child);
        assert_eq!(child.send_signal(9).unwrap_err().raw_os_error(), no_child);
        let child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        assert_eq!(child.wait_with_output().unwrap_err().raw_os_error(), no_child);
    });
}

#[test]
fn dumps_show_which_child_is_waited_for_and_where() {
    ropewalk::run(|| {
        let mut child = sleeper().spawn().unwrap();
        let id = child.id();
        task::scope(|s| {
            let line = line!() + 1;
            let waiting = s.spawn(|| child.wait().unwrap_err());
            task::yield_now();
            let dump = inspect::dump().to_string();
            let expected = format!("end of child {id} (tests/world/process.rs:{line}:");
            assert!(dump.contains(&expected), "no {expected:?} in:\n{dump}");
            waiting.cancel();
        });
        assert!(format!("{:?}", child.waiting()).contains(&id.to_string()));
        assert!(format!("{child:?}").contains("Child"));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn children_get_no_descriptors_of_ours_and_none_that_does_not_block() {
    ropewalk::run(|| {
        // The driver has its descriptors by then, and there are pipes of ours.
        let (reader, _writer) = pipe().unwrap();
        let mut other = sleeper().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        assert!(time::timeout(SOON, || select(other.waiting())).is_err());
        let ours = [reader.as_raw_fd(), other.stdin.as_ref().unwrap().as_raw_fd()];
        let ours = ours.map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());

        let (their_input, mut to_them) = pipe().unwrap();
        to_them.write_all(b"rope").unwrap();
        let script = "readlink /proc/self/fd/*; cat /proc/self/fdinfo/[012] | grep flags; grep SigBlk /proc/self/status";
        let output = sh(script).stdin(their_input).output().unwrap();
        let printed = text(&output.stdout);
        for ours in ours {
            assert!(!printed.contains(ours.to_str().unwrap()), "{ours:?} in:\n{printed}");
        }
        for ours in ["[eventpoll]", "[eventfd]", "[io_uring]", "[pidfd]"] {
            assert!(!printed.contains(ours), "{ours:?} in:\n{printed}");
        }
        let flags: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("flags:")).collect();
        assert_eq!(flags.len(), 3, "{printed}");
        for flags in flags {
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert_eq!(flags & 0o4000, 0, "{printed}");
        }
        assert!(printed.ends_with("SigBlk:\t0000000000000000\n"), "{printed}");
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn nothing_is_started_where_all_is_cancelled_already() {
    ropewalk::run(|| {
        let (reader, writer) = pipe().unwrap();
        let mut command = sh("echo started");
        command.stdout(writer);
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&command.status().unwrap_err()));
            assert!(Cancelled::is(&command.output().unwrap_err()));
            assert!(Cancelled::is(&command.output_of("input").unwrap_err()));
        });
        drop(command);
        assert_eq!(rest(reader), "");
    });
}

#[test]
fn a_call_that_is_cancelled_kills_its_child_and_waits_for_it() {
    ropewalk::run(|| {
        type Call = fn(&mut Command) -> io::Error;
        let calls: [Call; 4] = [
            |command| command.status().unwrap_err(),
            |command| command.output().unwrap_err(),
            |command| command.output_of(vec![0; 1_000_000]).unwrap_err(),
            |command| command.spawn().unwrap().wait_with_output().unwrap_err(),
        ];
        for call in calls {
            let (reader, writer) = pipe().unwrap();
            task::scope(|s| {
                let calling =
                    s.spawn(|| call(sh("echo $$; exec sleep 100000").stdout(writer).stderr(Stdio::piped())));
                let id = number(&reader);
                assert!(!is_reaped(id));
                calling.cancel();
                let error = calling.join().unwrap();
                assert!(Cancelled::is(&error), "{error}");
                assert!(is_reaped(id));
            });
        }
    });
}

#[test]
fn a_child_that_has_ended_when_its_call_is_cancelled_is_returned() {
    ropewalk::run(|| {
        let (reader, writer) = pipe().unwrap();
        let (released, mut release) = pipe().unwrap();
        task::scope(|s| {
            let calling =
                s.spawn(|| sh("echo $$; read line; exit 6").stdin(released).stdout(writer).status());
            let id = number(&reader);
            release.write_all(b"go\n").unwrap();
            // The task has not been told when it is cancelled.
            block_until_ended(id);
            calling.cancel();
            assert_eq!(calling.join().unwrap().unwrap().code(), Some(6));
        });
    });
}

#[test]
fn with_kill_on_drop_switched_off_a_cancelled_call_lets_its_child_run_on() {
    ropewalk::run(|| {
        let (reader, writer) = pipe().unwrap();
        let (released, mut release) = pipe().unwrap();
        let mut command = sh("echo $$; read line; echo done");
        command.stdin(released).stdout(writer).kill_on_drop(false);
        assert!(Cancelled::is(
            &time::timeout(SOON, || command.status()).unwrap_err().into_inner().unwrap_err()
        ));
        drop(command);
        release.write_all(b"go\n").unwrap();
        let id = number(&reader);
        assert_eq!(rest(reader), "done\n");
        assert_is_reaped_soon(id);
    });
}

#[test]
fn whoever_is_asked_to_end_may_take_its_grace() {
    ropewalk::run(|| {
        let (released, _release) = pipe().unwrap();
        let released = OwnedFd::from(released);
        let start = |script: &str| {
            let stdin = Stdio::from(rustix::io::dup(&released).unwrap());
            let mut child = sh(script).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = [0; 6];
            child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
            child
        };
        let status = start("trap 'exit 7' TERM; echo ready; read line").terminate_within(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(7));
        // It ignores what it is asked.
        let stubborn = "trap '' TERM; echo ready; while :; do read line; done";
        assert_eq!(start(stubborn).terminate_within(SOON).unwrap().signal(), Some(9));
        // Who cancels ends the grace.
        let mut child = start(stubborn);
        let status = time::timeout(SOON, || child.terminate_within(PATIENCE)).unwrap_err().into_inner();
        assert_eq!(status.unwrap().signal(), Some(9));
        // It has ended before.
        assert_eq!(child.terminate_within(PATIENCE).unwrap().signal(), Some(9));
    });
}

#[test]
fn a_cancelled_call_gives_its_child_the_grace_that_was_said() {
    ropewalk::run(|| {
        let (released, _release) = pipe().unwrap();
        let (reader, writer) = pipe().unwrap();
        task::scope(|s| {
            let calling = s.spawn(|| {
                sh("trap 'echo bye; exit' TERM; echo $$; read line")
                    .stdin(released)
                    .stdout(writer)
                    .terminate_within(PATIENCE)
                    .output()
            });
            let id = number(&reader);
            calling.cancel();
            assert!(Cancelled::is(&calling.join().unwrap().unwrap_err()));
            assert!(is_reaped(id));
        });
        assert_eq!(rest(reader), "bye\n");
    });
}

#[test]
fn a_group_of_its_own_is_killed_with_the_child() {
    ropewalk::run(|| {
        let (released, _release) = pipe().unwrap();
        let released = OwnedFd::from(released);
        // It has a child of its own, which has the output open: that ends when both are gone.
        let start = |script: &str| {
            let stdin = Stdio::from(rustix::io::dup(&released).unwrap());
            let (reader, writer) = pipe().unwrap();
            let mut command = sh(script);
            command.stdin(stdin).stdout(writer).own_group();
            (command, reader)
        };
        let both = "sleep 100000 & echo $$; read line";
        let (mut command, reader) = start(both);
        let child = command.spawn().unwrap();
        drop(command);
        assert_eq!(number(&reader), child.id());
        drop(child);
        assert_eq!(rest(reader), "");

        let (mut command, reader) = start(both);
        let mut child = command.spawn().unwrap();
        drop(command);
        number(&reader);
        child.kill().unwrap();
        assert_eq!(rest(reader), "");
        assert_eq!(child.wait().unwrap().signal(), Some(9));

        let (command, reader) = start(both);
        task::scope(|s| {
            let calling = s.spawn(move || { command }.status());
            number(&reader);
            calling.cancel();
            assert!(Cancelled::is(&calling.join().unwrap().unwrap_err()));
        });
        assert_eq!(rest(reader), "");

        // The leader ends as it is asked to, its child does not: that is killed when the leader has ended, and is still one.
        let (mut command, reader) = start("sh -c 'trap \"\" TERM; echo; sleep 100000' & wait");
        let mut child = command.spawn().unwrap();
        drop(command);
        (&reader).read_exact(&mut [0]).unwrap();
        assert_eq!(child.terminate_within(PATIENCE).unwrap().signal(), Some(15));
        assert_eq!(rest(reader), "");

        // Signals go to all of them, if asked to; to a zombie's group as well, and to nobody when it was reaped.
        let (mut command, reader) = start("sleep 100000 & echo $$");
        let mut child = command.spawn().unwrap();
        drop(command);
        block_until_ended(number(&reader));
        child.send_process_group_signal(15).unwrap();
        assert_eq!(rest(reader), "");
        assert!(child.wait().unwrap().success());
    });
}

/// A child that is alive, and the end of its output, which comes when it is dead.
fn started(kill_on_drop: bool) -> (Child, PipeReader, PipeWriter) {
    let (released, release) = pipe().unwrap();
    let mut command = sh("read line; echo $line");
    command.stdin(released).stdout(Stdio::piped()).kill_on_drop(kill_on_drop);
    let mut child = command.spawn().unwrap();
    let output = child.stdout.take().unwrap();
    (child, output, release)
}

#[test]
fn a_child_that_is_dropped_is_killed_and_reaped_and_nobody_waits() {
    ropewalk::run(|| {
        let (child, output, _release) = started(true);
        let id = child.id();
        drop(child);
        assert_eq!(rest(output), "");
        assert_is_reaped_soon(id);
        // One that has ended goes at once.
        let child = Command::new("true").spawn().unwrap();
        let id = child.id();
        block_until_ended(id);
        drop(child);
        assert!(is_reaped(id));
    });
}

#[test]
fn a_child_that_may_run_on_does_and_is_reaped() {
    ropewalk::run(|| {
        // Among others, which end before.
        let (_first, second) = (started(false), started(false));
        let (child, output, mut release) = started(false);
        let ids = [child.id(), second.0.id()];
        drop((child, second.0));
        for _ in 0..3 {
            drop(sleeper().spawn().unwrap());
        }
        release.write_all(b"alive\n").unwrap();
        assert_eq!(rest(output), "alive\n");
        assert_is_reaped_soon(ids[0]);
        assert!(!is_reaped(ids[1]));
        drop(second.2);
        assert_is_reaped_soon(ids[1]);
    });
}

#[test]
fn wherever_a_child_is_dropped_it_is_reaped() {
    let start = || sleeper().spawn().unwrap();
    // Outside of a runtime.
    let child = start();
    let outside = child.id();
    drop(child);
    // When the runtime ends, in a task that is cancelled.
    let at_the_end = Cell::new(0);
    Runtime::builder().on_unhandled(|_| {}).build().run(|| {
        let child = start();
        at_the_end.set(child.id());
        task::Builder::new().name("holds a child").spawn(move || {
            let mut child = child;
            assert!(Cancelled::is(&child.wait().unwrap_err()));
        });
        task::yield_now();
    });
    // In a scope that was cancelled, in one that panics, and while a task unwinds.
    let (cancelled, panicked) = (Cell::new(0), Cell::new(0));
    ropewalk::run(|| {
        task::cancel_scope(|scope| {
            let child = start();
            cancelled.set(child.id());
            scope.cancel();
            drop(child);
        });
        let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
            let child = start();
            panicked.set(child.id());
            panic!("on purpose");
        }));
        assert!(unwound.is_err());
    });
    // In a thread that is none of a runtime's, as one of its locals.
    thread_local!(static KEPT: Cell<Option<Child>> = const { Cell::new(None) });
    let local = thread::spawn(move || {
        let child = start();
        let id = child.id();
        KEPT.set(Some(child));
        id
    });
    let ids = [outside, at_the_end.get(), cancelled.get(), panicked.get(), local.join().unwrap()];
    ids.into_iter().for_each(assert_is_reaped_soon);
}

#[test]
fn a_child_is_killed_without_a_wait_where_a_task_unwinds_and_in_callbacks() {
    struct Ends(Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            // There is no waiting here.
            assert!(Cancelled::is(&self.0.terminate_within(PATIENCE).unwrap_err()));
        }
    }
    ropewalk::run(|| {
        let id = Cell::new(0);
        let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
            let ends = Ends(sleeper().spawn().unwrap());
            id.set(ends.0.id());
            panic!("on purpose");
        }));
        assert!(unwound.is_err());
        assert_is_reaped_soon(id.get());
    });
    // Nor in a callback.
    ropewalk::run(|| {
        let mut child = sleeper().spawn().unwrap();
        let id = child.id();
        let is_over = Rc::new(Latch::new());
        let over = is_over.clone();
        time::call_later(Duration::ZERO, move || {
            assert!(Cancelled::is(&child.terminate_within(PATIENCE).unwrap_err()));
            assert!(Cancelled::is(&child.wait_with_output().unwrap_err()));
            over.set();
        });
        is_over.wait().unwrap();
        assert_is_reaped_soon(id);
    });
}

#[test]
fn cancelled_after_any_number_of_steps_output_leaves_no_child() {
    let (mut whole, mut cut) = (0, 0);
    for steps in (0..40).chain([100, 1000, 10_000]) {
        ropewalk::run(|| {
            let (reader, writer) = pipe().unwrap();
            let output = task::scope(|s| {
                let output = s.spawn(move || {
                    // The third stream tells who it was.
                    let mut command = sh("echo $$ >&2; cat; echo end");
                    let output = command.stderr(writer).output_of(vec![b'.'; 100_000]);
                    drop(command);
                    output
                });
                for _ in 0..steps {
                    task::yield_now();
                }
                if steps < 10_000 {
                    output.cancel();
                }
                output.join()
            });
            let said = rest(reader);
            if let Ok(id) = said.trim().parse() {
                assert!(is_reaped(id), "after {steps} steps");
            }
            match output {
                Ok(Ok(output)) => {
                    assert_eq!(output.stdout.len(), 100_004);
                    whole += 1;
                }
                Ok(Err(error)) => {
                    assert!(Cancelled::is(&error), "{error}");
                    cut += 1;
                }
                // It had not begun.
                Err(_) => assert_eq!((steps, said.as_str()), (0, "")),
            }
        });
    }
    assert!(whole > 0 && cut > 0, "{whole} and {cut}");
}

#[test]
fn many_children_at_once_are_each_told_apart() {
    ropewalk::run(|| {
        task::scope(|s| {
            let children: Vec<_> = (0..60)
                .map(|number: i32| {
                    s.spawn(move || sh(&format!("echo {number}; exit {number}")).output().unwrap())
                })
                .collect();
            for (number, child) in children.into_iter().enumerate() {
                let output = child.join().unwrap();
                assert_eq!(text(&output.stdout), format!("{number}\n"));
                assert_eq!(output.status, ExitStatus::from_raw(i32::try_from(number).unwrap() << 8));
            }
        });
    });
}

#[test]
fn a_terminal_is_inherited() {
    // `script` gives what it runs a terminal.
    let test = "process::a_terminal_is_inherited";
    const INSIDE: &str = "ROPEWALK_TEST_IN_TERMINAL";
    if std::env::var_os(INSIDE).is_some() {
        ropewalk::run(|| {
            // It is this test's own terminal, and what is typed there the child reads.
            let status =
                sh("test -t 0 && test -t 1 && read line && test \"$line\" = typed").status().unwrap();
            assert!(status.success(), "{status}");
        });
        return;
    }
    let Ok(_) = std::process::Command::new("script").arg("--version").stdout(Stdio::null()).status() else {
        assert!(std::env::var_os("ROPEWALK_REQUIRE_PROGRAMS").is_none(), "there is no `script`");
        return;
    };
    let own = std::env::current_exe().unwrap();
    let line = format!("{} {test} --exact --nocapture", own.display());
    let mut child = std::process::Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"typed\n").unwrap();
    let printed =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect::<Vec<_>>();
    assert!(child.wait().unwrap().success(), "{printed:?}");
    assert!(printed.iter().any(|line| line.contains("1 passed")), "{printed:?}");
}

/// What the system answers to `pidfd_open` in the tests that are run again.
#[cfg(target_os = "linux")]
fn refuse_descriptors_for_processes(errno: i32) -> io::Result<()> {
    let load_number = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let is_it = libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: libc::SYS_pidfd_open as u32 };
    let refuse = libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | errno as u32 };
    let allow = libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let mut filter = [load_number, is_it, refuse, allow];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program is one, and lives as long as the call.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn all_of_this_holds_where_there_are_no_descriptors_for_processes() {
    const INSIDE: &str = "ROPEWALK_TEST_WITHOUT_PIDFD";
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    for errno in [libc::ENOSYS, libc::EPERM] {
        let mut again = std::process::Command::new(&own);
        again.args(["process::", "--skip", "terminal"]).env(INSIDE, "1");
        // SAFETY: system calls, and an array on the stack.
        unsafe { again.pre_exec(move || refuse_descriptors_for_processes(errno)) };
        let output = again.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains(" passed"), "{printed}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_for_processes_threads_wait() {
    // Run again by the test above, where this is what shows that they really are refused.
    let is_refused = std::env::var_os("ROPEWALK_TEST_WITHOUT_PIDFD").is_some();
    let watchers = || {
        let threads = fs::read_dir("/proc/self/task").unwrap();
        let name = |thread: io::Result<fs::DirEntry>| fs::read_to_string(thread.unwrap().path().join("comm"));
        threads.filter_map(|thread| name(thread).ok()).filter(|name| name.trim() == "ropewalk-child").count()
    };
    ropewalk::run(|| {
        let mut child = sleeper().spawn().unwrap();
        assert!(time::timeout(SOON, || child.wait()).is_err());
        if is_refused {
            // One, however often it is waited for.
            assert!(time::timeout(SOON, || child.wait()).is_err());
            assert!(watchers() >= 1);
        } else {
            assert_eq!(watchers(), 0);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
