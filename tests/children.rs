//! Children, where what is counted or used up is the whole process's: zombies, descriptors, threads.
//!
//! Each test runs itself again in a process of its own, which plays the scenario with the driver that it names.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::process::{Child, Command, Stdio};
use ropewalk::select::select;
use ropewalk::sync::Semaphore;
use ropewalk::{Cancelled, task, testing, time};
use rustix::process::{Pid, Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, setrlimit, waitid};

/// How long a test waits for what comes soon, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

const SOON: Duration = Duration::from_millis(5);

/// Runs `scenario` in a process of its own, with each driver.
#[track_caller]
fn alone(test: &str, scenario: impl FnOnce()) {
    const ALONE: &str = "ROPEWALK_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == test) {
        scenario();
        assert_no_children();
        return;
    }
    let own = std::env::current_exe().unwrap();
    for driver in ["epoll", "uring"] {
        let mut again = std::process::Command::new(&own);
        again.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        let output = again.env(ALONE, test).env("ROPEWALK_DRIVER", driver).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "with {driver}: {}\n{errors}", output.status);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("1 passed"), "{test} is not the name of a test\n{printed}");
    }
}

/// Neither children nor zombies.
#[track_caller]
fn assert_no_children() {
    assert!(!has_children(), "a child is left");
}

fn has_children() -> bool {
    let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::All, looking) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, rustix::io::Errno::CHILD);
            false
        }
    }
}

/// What this process has: descriptors, threads.
fn had() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(|folder| fs::read_dir(folder).unwrap().count())
}

/// Waits until this process has what it had: who cleans up behind others does it when it is its turn.
#[track_caller]
fn assert_has_again(before: [usize; 2]) {
    let deadline = Instant::now() + PATIENCE;
    while had() != before {
        assert!(Instant::now() < deadline, "descriptors, threads: {:?} instead of {before:?}", had());
        thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn wait_for_no_children() {
    let deadline = Instant::now() + PATIENCE;
    while has_children() {
        assert!(Instant::now() < deadline, "a child is left");
        thread::sleep(Duration::from_millis(1));
    }
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// One that lives until it is killed. When a test fails, it does not keep the test's output open.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("100000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs with no descriptor left but those that are open, and then as before.
fn without_descriptors<T>(body: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    // The lowest number that is free is the first that is too high.
    let free = rustix::io::dup(io::stdin()).unwrap();
    let most = std::os::fd::AsRawFd::as_raw_fd(&free).try_into().unwrap();
    drop(free);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    assert!(rustix::io::dup(io::stdin()).is_err());
    let result = body();
    setrlimit(Resource::Nofile, limit).unwrap();
    result
}

/// From now on this thread can start no others.
fn forbid_threads() {
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let answer = |what| libc::sock_filter { code: 6, jt: 0, jf: 0, k: what };
    let is = |number: i64, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k: number as u32 };
    let has = |flag: i32, jt, jf| libc::sock_filter { code: 0x45, jt, jf, k: flag as u32 };
    let mut filter = [
        load(0),
        // What `clone3` is asked for cannot be looked at: whoever gets this tries `clone`.
        is(libc::SYS_clone3, 4, 0),
        is(libc::SYS_clone, 0, 2),
        load(16),
        has(libc::CLONE_THREAD, 2, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        answer(libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32),
    ];
    let program = libc::sock_fprog { len: filter.len().try_into().unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: the program is one, and lives as long as the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
    assert!(thread::Builder::new().spawn(|| ()).is_err());
}

#[test]
fn ten_thousand_children_come_and_go_and_leave_nothing() {
    alone("ten_thousand_children_come_and_go_and_leave_nothing", || {
        // With the second driver fewer, for it takes seconds.
        let is_second = std::env::var("ROPEWALK_DRIVER").is_ok_and(|driver| driver == "uring");
        let children = if is_second { 2000 } else { 10_000 };
        let before = had();
        let ended = Cell::new(0);
        ropewalk::run(|| {
            let limit = Semaphore::new(16);
            task::scope(|s| {
                for number in 0..children {
                    let permit = limit.acquire().unwrap();
                    let ended = &ended;
                    s.spawn(move || {
                        let _permit = permit;
                        let mut command = Command::new("true");
                        // Some are waited for, some are listened to, and some are dropped while they run or have run.
                        let status = match number % 4 {
                            0 => command.status().unwrap(),
                            1 => command.output().unwrap().status,
                            2 => select(command.spawn().unwrap().waiting()).unwrap().unwrap(),
                            _ => return drop(command.stdout(Stdio::piped()).spawn().unwrap()),
                        };
                        assert!(status.success());
                        ended.set(ended.get() + 1);
                    });
                }
            });
        });
        assert_eq!(ended.get(), children / 4 * 3);
        wait_for_no_children();
        assert_has_again(before);
    });
}

#[test]
fn orphans_share_a_thread_which_ends_with_them() {
    alone("orphans_share_a_thread_which_ends_with_them", || {
        let before = had();
        let orphans: Vec<_> = (0..50)
            .map(|_| {
                let mut command = Command::new("cat");
                let mut child = command.stdin(Stdio::piped()).kill_on_drop(false).spawn().unwrap();
                let input = child.stdin.take().unwrap();
                drop(child);
                input
            })
            .collect();
        // The input of each, a descriptor of each, and one to wait for them with.
        assert_eq!(had(), [before[0] + 101, before[1] + 1]);
        drop(orphans);
        wait_for_no_children();
        assert_has_again(before);
        // And once more.
        drop(sleeper().spawn().unwrap());
        wait_for_no_children();
        assert_has_again(before);
    });
}

#[test]
fn without_descriptors_no_child_is_started_and_those_there_are_are_waited_for() {
    alone("without_descriptors_no_child_is_started_and_those_there_are_are_waited_for", || {
        let before = had();
        ropewalk::run(|| {
            // The driver is there by then, and so is what its runtime keeps.
            assert!(time::timeout(SOON, || sleeper().status()).is_err());
            let with_driver = had();
            let mut children: Vec<Child> = (0..4).map(|_| sleeper().spawn().unwrap()).collect();
            let mut talking =
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            without_descriptors(|| {
                let error = Command::new("true").output().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                // They are waited for in threads, several times, and by several tasks.
                assert!(time::timeout(SOON, || children[0].wait()).is_err());
                assert!(time::timeout(SOON, || children[0].wait()).is_err());
                let dropped = children.pop().unwrap();
                let [first, second, third] = &children[..] else { unreachable!() };
                task::scope(|s| {
                    let waiting = [first, first, second].map(|child| s.spawn(|| select(child.waiting())));
                    task::yield_now();
                    first.kill().unwrap();
                    second.send_signal(15).unwrap();
                    let ended = waiting.map(|waiting| waiting.join().unwrap().unwrap().unwrap().signal());
                    assert_eq!(ended, [Some(9), Some(9), Some(15)]);
                });
                // Whoever is asked while a thread waits answers all the same.
                assert!(time::timeout(SOON, || select(third.waiting())).is_err());
                assert_eq!(third.try_wait().unwrap(), None);
                third.kill().unwrap();
                let deadline = Instant::now() + PATIENCE;
                let status = loop {
                    assert!(Instant::now() < deadline);
                    if let Some(status) = third.try_wait().unwrap() {
                        break status;
                    }
                };
                assert_eq!((status.signal(), third.try_wait().unwrap()), (Some(9), Some(status)));
                // Orphans are reaped as well, and what was open works on.
                drop(dropped);
                talking.stdin.as_mut().unwrap().write_all(b"rope").unwrap();
                let mut heard = [0; 4];
                talking.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
                assert_eq!(&heard, b"rope");
            });
            assert!(talking.wait().unwrap().success());
            drop((talking, children));
            wait_for_no_children();
            assert_has_again(with_driver);
            // All is well again.
            assert!(Command::new("true").status().unwrap().success());
        });
        assert_has_again(before);
    });
}

#[test]
fn with_neither_descriptors_nor_threads_children_are_waited_for_and_reaped() {
    alone("with_neither_descriptors_nor_threads_children_are_waited_for_and_reaped", || {
        ropewalk::run(|| {
            Command::new("true").status().unwrap();
            let mut child = sleeper().spawn().unwrap();
            let [dropped, left] = [(); 2].map(|()| sleeper().kill_on_drop(false).spawn().unwrap());
            let ids = [dropped.id(), left.id()];
            forbid_threads();
            without_descriptors(|| {
                assert!(time::timeout(SOON, || child.wait()).is_err());
                child.kill().unwrap();
                assert_eq!(child.wait().unwrap().signal(), Some(9));
                dropped.kill().unwrap();
                drop((dropped, left));
            });
            let pids = ids.map(|id| Pid::from_raw(id.try_into().unwrap()).unwrap());
            // The next to start or to drop a child reaps it; as may have been the second of the two.
            let _ = waitid(WaitId::Pid(pids[0]), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            assert!(Command::new("true").status().unwrap().success());
            let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            assert_eq!(waitid(WaitId::Pid(pids[0]), looking).unwrap_err(), rustix::io::Errno::CHILD);
            assert!(waitid(WaitId::Pid(pids[1]), looking).unwrap().is_none());
            rustix::process::kill_process(pids[1], rustix::process::Signal::KILL).unwrap();
            waitid(WaitId::Pid(pids[1]), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
            assert!(Command::new("true").status().unwrap().success());
        });
    });
}

#[test]
fn where_the_status_of_children_is_thrown_away_waits_say_so_and_end() {
    alone("where_the_status_of_children_is_thrown_away_waits_say_so_and_end", || {
        // SAFETY: it sets a disposition, in a process of its own.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let no_child = Some(libc::ECHILD);
        ropewalk::run(|| {
            let mut child = sleeper().spawn().unwrap();
            task::scope(|s| {
                let waiting = s.spawn(|| select(child.waiting()));
                for _ in 0..3 {
                    task::yield_now();
                }
                child.kill().unwrap();
                assert_eq!(waiting.join().unwrap().unwrap().unwrap_err().raw_os_error(), no_child);
            });
            assert_eq!(child.wait().unwrap_err().raw_os_error(), no_child);
            assert_eq!(child.kill().unwrap_err().raw_os_error(), no_child);
            let output = Command::new("true").output();
            assert_eq!(output.unwrap_err().raw_os_error(), no_child);
            drop(sleeper().spawn().unwrap());
        });
        wait_for_no_children();
    });
}

#[test]
fn cancelled_at_any_moment_output_is_whole_or_there_is_none_and_no_child_either() {
    alone("cancelled_at_any_moment_output_is_whole_or_there_is_none_and_no_child_either", || {
        let moments = testing::cancel_everywhere(|cut| {
            // All that there will be is there, so that each time the same happens; and nobody else starts children, who would
            // have the ends of these pipes for a moment.
            let child = sh("echo out; echo err >&2; exit 2")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
            match cut.here(|| child.communicate(b"never read")) {
                Ok(output) => {
                    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
                    assert_eq!(output.status.code(), Some(2));
                }
                Err(error) => assert!(Cancelled::is(&error), "{error}"),
            }
            assert_no_children();
        });
        assert!(moments >= 8, "{moments}");
    });
}

#[test]
fn a_child_that_cannot_be_started_leaves_nothing() {
    alone("a_child_that_cannot_be_started_leaves_nothing", || {
        let before = had();
        ropewalk::run(|| {
            for _ in 0..100 {
                let error = Command::new("ropewalk-no-such-program").output().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_no_children();
            }
        });
        assert_has_again(before);
    });
}

#[test]
fn a_process_that_was_forked_kills_nobody_else_s_children_and_reaps_its_own() {
    alone("a_process_that_was_forked_kills_nobody_else_s_children_and_reaps_its_own", || {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // There is a thread that takes care of orphans; in the forked process there will not be.
        let mut orphan = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(false).spawn().unwrap();
        let input = orphan.stdin.take().unwrap();
        drop(orphan);
        // SAFETY: what the copy does takes no lock that another thread could have had: this is the only one that runs.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            drop(child);
            drop(sleeper().spawn().unwrap());
            wait_for_no_children();
            // SAFETY: it ends the copy, and nothing else.
            unsafe { libc::_exit(0) };
        }
        let pid = Pid::from_raw(forked).unwrap();
        let ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap();
        assert_eq!(ended.exit_status(), Some(0));
        assert_eq!(child.try_wait().unwrap(), None);
        ropewalk::run(|| assert!(child.wait().unwrap().success()));
        drop(input);
        wait_for_no_children();
    });
}
