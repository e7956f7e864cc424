//! Calls on other threads where a process of its own is needed: forks, and threads that cannot be started.
//!
//! Each test runs itself again in a child process, which plays the scenario; the parent looks at how it ended.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, mem, panic, thread};

use ropewalk::blocking::{self, Pool};
use ropewalk::{Reason, task};

/// Runs `scenario` in a child process, which ends well if the scenario returns.
fn in_child(test: &str, scenario: impl FnOnce()) {
    const CHILD: &str = "ROPEWALK_TEST_CHILD";
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        scenario();
        std::process::exit(0);
    }
    let own = std::env::current_exe().expect("the test has an executable");
    let Output { status, stderr, .. } = Command::new(own)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .expect("the test can run itself");
    assert!(status.success(), "{status}\n{}", String::from_utf8_lossy(&stderr));
}

/// Forks, and has the child end with `code`'s return. The parent gets the child's status.
fn fork(code: impl FnOnce()) -> std::process::ExitStatus {
    // SAFETY: the child runs on the one thread that it has, and makes what it needs anew; that it may allocate is glibc's promise.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        let ended = panic::catch_unwind(panic::AssertUnwindSafe(code));
        // SAFETY: it runs nothing that belongs to the parent.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    wait_for(child)
}

fn wait_for(child: libc::pid_t) -> std::process::ExitStatus {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    std::process::ExitStatus::from_raw(status)
}

#[test]
fn a_child_that_was_forked_outside_of_a_runtime_has_threads_of_its_own() {
    in_child("a_child_that_was_forked_outside_of_a_runtime_has_threads_of_its_own", || {
        let pool = Pool::new(2);
        assert_eq!(pool.map(0..4, |number| number), Ok(vec![0, 1, 2, 3]));
        assert_eq!(ropewalk::run(|| blocking::unblock(|| 7)), Ok(7));
        assert!(blocking::statistics().threads > 0);
        let job = pool.submit(|| 7);
        job.wait().unwrap();
        let status = fork(|| {
            assert_eq!(blocking::statistics(), blocking::Statistics::default());
            ropewalk::run(|| {
                let here = thread::current().id();
                assert_ne!(blocking::unblock(|| thread::current().id()), Ok(here));
                assert_ne!(blocking::unblock_cpu(|| thread::current().id()), Ok(here));
                assert!(!ropewalk::net::lookup_host("localhost:80").unwrap().is_empty());
            });
            assert_eq!(Pool::new(1).map(0..4, |number| number), Ok(vec![0, 1, 2, 3]));
            // That of the parent's has its threads there; what it has done is here.
            assert!(panic::catch_unwind(panic::AssertUnwindSafe(|| pool.submit(|| ()))).is_err());
            assert_eq!(job.join().unwrap(), 7);
            drop(pool);
        });
        assert!(status.success(), "{status}");
    });
}

#[test]
fn a_call_that_forks_does_not_come_back_in_the_child() {
    in_child("a_call_that_forks_does_not_come_back_in_the_child", || {
        let pool = Pool::new(1);
        let fork_and_return = || {
            let here = std::process::id();
            // SAFETY: the child asks what it may ask, and ends.
            let child = unsafe { libc::fork() };
            if std::process::id() != here {
                let reason = blocking::cancelled().map(|cancelled| cancelled.reason());
                let knows =
                    reason == Some(Reason::Forked) && blocking::run_in_task(|| ()).is_err() == (child == 0);
                if !knows {
                    // SAFETY: as above.
                    unsafe { libc::_exit(1) };
                }
                return None;
            }
            Some(wait_for(child).signal())
        };
        let status = ropewalk::run(|| blocking::unblock(fork_and_return));
        assert_eq!(status, Ok(Some(Some(libc::SIGABRT))));
        let status = ropewalk::run(|| blocking::unblock(|| blocking::run_in_task(fork_in_task)));
        assert_eq!(status, Ok(Ok(Some(Some(libc::SIGABRT)))));
        let job = pool.submit(fork_in_task);
        assert_eq!(job.join().unwrap(), Some(Some(libc::SIGABRT)));
    });
}

/// `None` in the child, which goes on.
fn fork_in_task() -> Option<Option<i32>> {
    // SAFETY: the child returns, and so ends.
    match unsafe { libc::fork() } {
        0 => None,
        child => Some(wait_for(child).signal()),
    }
}

/// From now on this process starts no thread: it is one too many of a user who has none.
fn forbid_threads() {
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: both say what this process may do, and nothing of its memory.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_NPROC, &limit), 0);
        // Nothing holds for root. For whoever is not root it fails, and is not needed.
        libc::setresuid(65534, 65534, 65534);
    }
    // One that is there counts already.
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "threads can be started all the same");
}

#[test]
fn where_no_thread_can_be_started_calls_are_made_by_whoever_asks() {
    in_child("where_no_thread_can_be_started_calls_are_made_by_whoever_asks", || {
        forbid_threads();
        let here = thread::current().id();
        let initialized = Arc::new(AtomicUsize::new(0));
        let count = initialized.clone();
        let initializer = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let pool = Pool::builder().threads(2).initializer(initializer).build();
        let everywhere = || {
            for _ in 0..10_000 {
                assert_eq!(pool.submit(move || thread::current().id()).join().unwrap(), here);
            }
            assert_eq!(pool.map(0..4, |_| thread::current().id()), Ok(vec![here; 4]));
            let nested = pool.map(0..3, |_| pool.map(0..3, |number: u32| number).unwrap().len());
            assert_eq!(nested, Ok(vec![3; 3]));
            assert_eq!(pool.imap(0..20, |number| number).map(Result::unwrap).sum::<u32>(), 190);
        };
        everywhere();
        ropewalk::run(|| {
            everywhere();
            for _ in 0..10_000 {
                assert_eq!(blocking::unblock(|| thread::current().id()), Ok(here));
            }
            let asked = blocking::unblock_cpu(|| {
                assert_eq!(blocking::cancelled(), None);
                blocking::run_in_task(|| task::checkpoint().map(|()| thread::current().id()))
            });
            assert_eq!(asked, Ok(Ok(Ok(here))));
            assert_eq!(blocking::unblock_or_abandon(move || thread::current().id()), Ok(here));
            let failed = task::spawn(|| blocking::unblock(|| panic!("right here"))).join();
            assert!(failed.unwrap_err().to_string().contains("right here"));
            assert!(blocking::Thread::new().spawn(|| ()).is_err());
        });
        assert_eq!(blocking::statistics(), blocking::Statistics::default());
        assert_eq!((initialized.load(Ordering::SeqCst), pool.threads()), (1, 0));
        pool.shutdown().unwrap();
    });
}

#[test]
fn where_no_more_threads_can_be_started_those_that_are_there_do_everything() {
    in_child("where_no_more_threads_can_be_started_those_that_are_there_do_everything", || {
        let pool = Arc::new(Pool::builder().threads(4).idle_time(Duration::MAX).build());
        pool.submit(|| ()).join().unwrap();
        forbid_threads();
        let here = thread::current().id();
        let threads = pool.map(0..100, |_| thread::current().id()).unwrap();
        assert!(threads.iter().all(|thread| *thread != here));
        // The only one waits for more, which nobody else can do.
        let nested = pool.map(0..3, |_| pool.map(0..3, |number: u32| number).unwrap().len());
        assert_eq!(nested, Ok(vec![3; 3]));
        assert_eq!(pool.threads(), 1);
        // It is told to end by the last handle.
        mem::drop(pool);
    });
}
