//! What is lent to the kernel, beside child processes, generators and dumps: under both drivers.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::process::Command;
use std::rc::Rc;

use ropewalk::io::Async;
use ropewalk::{Cancelled, Driver, Generator, Runtime, Step, generate, inspect, task};

use crate::pair;

const DRIVERS: [Driver; 2] = [Driver::Epoll, Driver::Uring];

fn run(driver: Driver, program: impl FnOnce()) {
    Runtime::builder().driver(driver).build().run(program);
}

#[test]
fn a_child_process_that_is_started_while_something_is_lent_changes_nothing() {
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            task::scope(|s| {
                let reader = s.spawn(|| {
                    let mut buffer = [0; 4];
                    (&right).read_exact(&mut buffer).unwrap();
                    buffer
                });
                task::yield_now();
                // What the child gets of this process ends with it, and is not the ring.
                assert!(Command::new("true").status().unwrap().success());
                assert_eq!(Command::new("echo").arg("rope").output().unwrap().stdout, b"rope\n");
                (&left).write_all(b"rope").unwrap();
                assert_eq!(reader.join().unwrap(), *b"rope");
            });
        });
    }
}

/// Reads one byte, and in the middle of the call yields.
fn reads_and_yields(stream: Rc<Async<StdStream>>) -> Generator<(), (), io::Result<u8>> {
    generate(move |co| {
        let has_yielded = Cell::new(false);
        let mut byte = [0];
        stream.read_with(|mut inner| {
            if !has_yielded.replace(true) {
                co.yield_(());
                return Err(ErrorKind::WouldBlock.into());
            }
            inner.read(&mut byte)
        })?;
        Ok(byte[0])
    })
}

#[test]
fn a_call_that_goes_on_under_another_scheduler_waits_there() {
    for first in DRIVERS {
        for second in DRIVERS {
            let (near, mut far) = StdStream::pair().unwrap();
            let stream = Rc::new(Async::new(near).unwrap());
            let generator = reads_and_yields(stream.clone());
            run(first, || assert!(generator.start().is_ok()));
            // That scheduler is gone, and the generator is in the middle of a call that it made under it.
            run(second, || {
                task::scope(|s| {
                    let reader = s.spawn(|| generator.send(()));
                    task::yield_now();
                    assert_eq!(inspect::driver().unwrap().in_flight, 1);
                    far.write_all(&[7]).unwrap();
                    match reader.join().unwrap() {
                        Ok(Step::Return(byte)) => assert_eq!(byte.unwrap(), 7),
                        _ => panic!("it returns what it has read"),
                    }
                });
            });
        }
    }
}

#[test]
fn a_call_that_goes_on_outside_of_all_schedulers_is_refused() {
    for driver in DRIVERS {
        let (near, _far) = StdStream::pair().unwrap();
        let generator = reads_and_yields(Rc::new(Async::new(near).unwrap()));
        run(driver, || assert!(generator.start().is_ok()));
        let went_on = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| generator.send(())));
        let panic = went_on.map(drop).unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().contains("no runtime runs on this thread"));
    }
}

#[test]
fn a_generator_reads_for_the_task_that_resumes_it() {
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            let bytes = generate(move |co| {
                let mut byte = [0];
                while (&right).read(&mut byte).unwrap() > 0 {
                    co.yield_(byte[0]);
                }
            });
            (&left).write_all(b"ro").unwrap();
            assert_eq!(bytes.next(), Some(b'r'));
            task::scope(|s| {
                // In a task of its own, which parks with it.
                let rest = s.spawn(|| bytes.collect::<Vec<_>>());
                task::yield_now();
                (&left).write_all(b"pe").unwrap();
                left.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(rest.join().unwrap(), b"ope");
            });
        });
    }
}

#[test]
fn a_backtrace_of_a_task_that_has_lent_its_stack_changes_nothing() {
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            task::scope(|s| {
                let reader = s.spawn(|| {
                    let mut buffer = [0xee_u8; 2_000];
                    let count = (&right).read(&mut buffer).unwrap();
                    assert!(buffer[..count].iter().all(|&byte| byte == 1));
                    assert!(buffer[count..].iter().all(|&byte| byte == 0xee));
                });
                task::yield_now();
                for _ in 0..3 {
                    let dump = inspect::dump_with_backtraces().to_string();
                    assert!(dump.contains("waits for recv on descriptor"), "{dump}");
                    task::yield_now();
                }
                (&left).write_all(&[1; 1_000]).unwrap();
                reader.join().unwrap();
            });
        });
    }
}

#[test]
fn outside_of_tasks_nothing_is_lent() {
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            (&left).write_all(b"rope").unwrap();
            let refused = ropewalk::lowlevel::without_waiting(|| (&right).read(&mut [0; 4]));
            assert!(Cancelled::is(&refused.unwrap_err()));
            (&right).read_exact(&mut [0; 4]).unwrap();
        });
    }
}
