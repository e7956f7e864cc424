//! Which driver a runtime has, and that both are there.

use std::env;
use std::time::Duration;

use ropewalk::net::TcpListener;
use ropewalk::{Driver, Runtime, inspect, task, time};

/// Makes the driver.
fn use_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    time::timeout(Duration::ZERO, || listener.accept()).unwrap_err();
    task::scope(|s| {
        let accepting = s.spawn(|| listener.accept().map(drop));
        task::yield_now();
        accepting.cancel();
    });
}

#[test]
fn a_runtime_without_input_and_output_has_no_descriptors() {
    ropewalk::run(|| {
        assert_eq!(inspect::driver().unwrap().name, "idle");
        time::sleep(Duration::from_micros(1)).unwrap();
        assert_eq!(inspect::driver().unwrap().name, "idle");
    });
    assert!(inspect::driver().is_none());
}

#[test]
fn the_driver_and_why_it_is_that_one_can_be_asked_for() {
    Runtime::builder().driver(Driver::Epoll).build().run(|| {
        use_it();
        let choice = inspect::driver().unwrap();
        let name = if cfg!(target_os = "linux") { "epoll" } else { "kqueue" };
        assert_eq!((choice.name, choice.reason.as_str(), choice.in_flight), (name, "asked for", 0));
    });
    Runtime::builder().driver(Driver::Auto).build().run(|| {
        use_it();
        assert_eq!(inspect::driver().unwrap().reason, "it works everywhere");
    });
}

#[test]
fn a_ring_is_had_or_it_is_said_why_not() {
    Runtime::builder().driver(Driver::Uring).build().run(|| {
        use_it();
        let choice = inspect::driver().unwrap();
        match choice.name {
            "io_uring" => assert!(choice.reason.starts_with("asked for; set up with "), "{}", choice.reason),
            _ => {
                assert!(choice.reason.starts_with("io_uring was asked for"), "{}", choice.reason);
                assert!(env::var_os("ROPEWALK_REQUIRE_URING").is_none(), "{}", choice.reason);
            }
        }
    });
}

#[test]
fn what_is_waited_for_is_counted_and_nothing_is_when_it_has_ended() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Runtime::builder().driver(driver).build().run(|| {
            let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            task::scope(|s| {
                for listener in &listeners {
                    s.spawn(|| listener.accept().map(drop));
                }
                task::yield_now();
                assert_eq!(inspect::driver().unwrap().in_flight, 3);
                s.cancel();
            });
            assert_eq!(inspect::driver().unwrap().in_flight, 0);
        });
    }
}

/// Has the system refuse rings to this process from now on, as containers do.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
fn forbid_rings() {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut program = [
        // The number of the call is the first thing that a filter sees.
        statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_io_uring_setup as u32,
        },
        statement((libc::BPF_RET | libc::BPF_K) as u16, refuse),
        statement((libc::BPF_RET | libc::BPF_K) as u16, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter lies there until the call returns, and lets everything else through.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn where_rings_are_forbidden_epoll_does_the_same() {
    // On a thread of its own, which alone is forbidden it.
    let forbidden = std::thread::spawn(|| {
        forbid_rings();
        Runtime::builder().driver(Driver::Uring).build().run(|| {
            use_it();
            let choice = inspect::driver().unwrap();
            assert_eq!(choice.name, "epoll");
            assert!(
                choice.reason.contains("refused") && choice.reason.contains("not permitted"),
                "{}",
                choice.reason
            );
            let (left, right) = crate::pair();
            std::io::Write::write_all(&mut &left, b"rope").unwrap();
            std::io::Read::read_exact(&mut &right, &mut [0; 4]).unwrap();
        });
    });
    forbidden.join().unwrap();
}

#[test]
fn without_descriptors_the_first_operation_says_so_and_the_next_may_work() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let test = std::env::current_exe().unwrap();
        let name = match driver {
            Driver::Epoll => "epoll",
            _ => "uring",
        };
        // A process of its own, for others need descriptors meanwhile.
        let output = std::process::Command::new(test)
            .args(["--exact", "drivers::in_a_process_of_its_own_without_descriptors", "--nocapture"])
            .env("ROPEWALK_TEST_DRIVER", name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn in_a_process_of_its_own_without_descriptors() {
    let driver = match env::var("ROPEWALK_TEST_DRIVER").as_deref() {
        Ok("epoll") => Driver::Epoll,
        Ok("uring") => Driver::Uring,
        // Run by itself it would disturb the others.
        _ => return assert!(env::var_os("ROPEWALK_TEST_DRIVER").is_none()),
    };
    Runtime::builder().driver(driver).build().run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut all = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            all.push(file);
        }
        let refused = listener.accept().unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EMFILE), "{refused}");
        assert_eq!(inspect::driver().unwrap().name, "idle");
        drop(all);
        use_it();
        assert_ne!(inspect::driver().unwrap().name, "idle");
    });
}
