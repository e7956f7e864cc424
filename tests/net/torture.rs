//! What the kernel was lent is given back, whatever happens meanwhile: operations are cancelled, cut short by deadlines, closed
//! and dropped at every point, under both drivers and with rings that are much too small.
//!
//! Each byte of a stream says where it stands in it. So whoever reads sees at once what was lost, came twice, or was written
//! to a buffer that was not lent at that time.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::testing::{Setup, random};
use ropewalk::{Cancelled, Driver, inspect, task, time};

/// Nothing that is sent looks like it.
const UNTOUCHED: u8 = 0xee;
/// Bytes are numbered modulo a prime, so that no size of a buffer hides a shift.
const MODULUS: u64 = 199;

fn byte_at(position: u64) -> u8 {
    (position % MODULUS) as u8
}

/// The two ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    task::scope(|s| {
        let accepted = s.spawn(|| listener.accept().unwrap().0);
        let connected = TcpStream::connect(address).unwrap();
        (connected, accepted.join().unwrap())
    })
}

/// Runs `operation` as code that is cut short at a random moment: by a deadline, by another task, or before it begins. Whether
/// it was cut short does not say that it has done nothing.
pub(crate) fn cut_short<T>(operation: impl FnOnce() -> T) -> T {
    match random(6) {
        0 => time::timeout(Duration::from_nanos(random(3) as u64), operation).unwrap_or_else(|late| late.0),
        1 => task::cancel_scope(|scope| {
            scope.cancel();
            operation()
        }),
        2 | 3 => task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            let steps = random(6);
            let other = task::spawn(move || {
                (0..steps).for_each(|_| task::yield_now());
                canceller.cancel();
            });
            let done = operation();
            other.cancel();
            task::shield(|| drop(other.join()));
            done
        }),
        _ => operation(),
    }
}

fn write_numbered(mut stream: &TcpStream, total: u64) {
    let mut sent = 0;
    while sent < total {
        let size = 1 + random([30, 3_000, 100_000][random(3)]) as u64;
        let bytes: Vec<u8> = (sent..total.min(sent + size)).map(byte_at).collect();
        match cut_short(|| stream.write(&bytes)) {
            Ok(count) => sent += count as u64,
            Err(error) => assert!(Cancelled::is(&error), "{error}"),
        }
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Reads to the end, each time into a part of a buffer that is new, or used again, or lies on a stack of its own.
fn read_numbered(mut stream: &TcpStream) -> u64 {
    let mut position = 0;
    let mut kept = vec![UNTOUCHED; 70_000];
    loop {
        kept.fill(UNTOUCHED);
        let from = random(1_000);
        let size = 1 + random([20, 2_000, 66_000][random(3)]);
        let outcome = cut_short(|| stream.read(&mut kept[from..from + size]));
        // What is written late would be written about now.
        (0..random(3)).for_each(|_| task::yield_now());
        let count = match outcome {
            Ok(0) => return position,
            Ok(count) => count,
            Err(error) => {
                assert!(Cancelled::is(&error), "{error}");
                0
            }
        };
        let taken = &kept[from..from + count];
        assert!(taken.iter().zip(position..).all(|(&byte, at)| byte == byte_at(at)), "at {position}");
        position += count as u64;
        let around = kept[..from].iter().chain(&kept[from + count..]);
        assert!(around.copied().all(|byte| byte == UNTOUCHED), "written to what was not lent, at {position}");
    }
}

fn torture(setup: &Setup, seeds: u64) {
    setup.explore(0..seeds, || {
        let total = [500, 60_000, 600_000][random(3)];
        let connections = 1 + random(6);
        task::scope(|s| {
            for _ in 0..connections {
                s.spawn(move || {
                    let (left, right) = pair();
                    task::scope(|s| {
                        s.spawn(|| write_numbered(&left, total));
                        s.spawn(|| write_numbered(&right, total / 3));
                        s.spawn(|| assert_eq!(read_numbered(&left), total / 3));
                        assert_eq!(read_numbered(&right), total);
                    });
                });
            }
        });
        assert_eq!(inspect::driver().unwrap().in_flight, 0);
    });
}

#[test]
fn nothing_is_lost_nor_written_late_whatever_is_cancelled_with_epoll() {
    torture(&Setup::new().driver(Driver::Epoll), 60);
}

#[test]
fn nothing_is_lost_nor_written_late_whatever_is_cancelled_with_a_ring() {
    torture(&Setup::new().driver(Driver::Uring), 60);
}

#[test]
fn nothing_is_lost_nor_written_late_with_a_ring_that_is_always_full() {
    torture(&Setup::new().driver(Driver::Uring).ring_entries(1), 30);
    torture(&Setup::new().driver(Driver::Uring).ring_entries(2), 30);
}

/// One side goes on reading and writing, cut short again and again; the other goes away in the middle of it, in one way or another.
fn closed_at_any_point(setup: &Setup, seeds: u64) {
    setup.explore(0..seeds, || {
        task::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    let (left, right) = pair();
                    task::scope(|s| {
                        s.spawn(|| {
                            let mut sent = 0;
                            loop {
                                let bytes: Vec<u8> =
                                    (sent..sent + 1 + random(30_000) as u64).map(byte_at).collect();
                                match cut_short(|| (&left).write(&bytes)) {
                                    Ok(count) => sent += count as u64,
                                    Err(error) if Cancelled::is(&error) => {}
                                    Err(error) => {
                                        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                                        return assert!(kinds.contains(&error.kind()), "{error}");
                                    }
                                }
                            }
                        });
                        s.spawn(|| {
                            let mut buffer = [UNTOUCHED; 100];
                            loop {
                                match cut_short(|| (&left).read(&mut buffer)) {
                                    Ok(0) => return,
                                    Ok(_) => panic!("nothing is sent in this direction"),
                                    Err(error) if Cancelled::is(&error) => {}
                                    Err(error) => {
                                        return assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                                    }
                                }
                                assert_eq!(buffer, [UNTOUCHED; 100]);
                            }
                        });
                        let (mut position, end) = (0, random(200_000) as u64);
                        let mut buffer = vec![0; 10_000];
                        while position < end {
                            let room = 1 + random(10_000);
                            let count = (&right).read(&mut buffer[..room]).unwrap();
                            assert!(buffer[..count].iter().zip(position..).all(|(&b, at)| b == byte_at(at)));
                            position += count as u64;
                        }
                        match random(3) {
                            // What has not been read makes that a reset.
                            0 => drop(right),
                            1 => {
                                right.set_linger(Some(Duration::ZERO)).unwrap();
                                drop(right);
                            }
                            _ => {
                                right.shutdown(Shutdown::Both).unwrap();
                                drop(right);
                            }
                        }
                    });
                });
            }
        });
        assert_eq!(inspect::driver().unwrap().in_flight, 0);
    });
}

#[test]
fn whatever_is_closed_in_the_middle_ends_with_an_error_and_nothing_is_left_in_flight() {
    closed_at_any_point(&Setup::new().driver(Driver::Epoll), 60);
    closed_at_any_point(&Setup::new().driver(Driver::Uring), 60);
    closed_at_any_point(&Setup::new().driver(Driver::Uring).ring_entries(1), 20);
}

/// A whole program, cancelled at each of its moments: what has been sent and not been received is still there.
fn cancelled_everywhere(setup: &Setup) {
    let moments = setup.cancel_everywhere(|cut| {
        let (left, right) = pair();
        let (sent, received) = (Cell::new(0_u64), Cell::new(0_u64));
        cut.here(|| {
            task::scope(|s| {
                s.spawn(|| {
                    for _ in 0..4 {
                        let bytes: Vec<u8> = (sent.get()..sent.get() + 5).map(byte_at).collect();
                        match (&left).write(&bytes) {
                            Ok(count) => sent.set(sent.get() + count as u64),
                            Err(_) => return,
                        }
                        task::yield_now();
                    }
                });
                let mut buffer = [0; 3];
                while received.get() < 20 {
                    match (&right).read(&mut buffer) {
                        Ok(count) => {
                            assert!(
                                buffer[..count].iter().zip(received.get()..).all(|(&b, at)| b == byte_at(at))
                            );
                            received.set(received.get() + count as u64);
                        }
                        Err(error) => {
                            assert!(Cancelled::is(&error), "{error}");
                            return;
                        }
                    }
                }
            });
        });
        left.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        (&right).read_to_end(&mut rest).unwrap();
        assert!(rest.iter().zip(received.get()..).all(|(&byte, at)| byte == byte_at(at)));
        assert_eq!(received.get() + rest.len() as u64, sent.get());
    });
    assert!(moments > 10, "{moments}");
}

#[test]
fn a_connection_that_is_cancelled_at_any_moment_has_lost_nothing_with_epoll() {
    cancelled_everywhere(&Setup::new().driver(Driver::Epoll));
}

#[test]
fn an_accepted_connection_is_returned_or_still_there_whatever_is_cancelled() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).explore(0..100, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let clients = 1 + random(8);
            task::scope(|s| {
                for number in 0..clients {
                    s.spawn(move || {
                        (0..random(5)).for_each(|_| task::yield_now());
                        let mut stream = TcpStream::connect(address).unwrap();
                        stream.write_all(&[number as u8]).unwrap();
                        // To its end: it was served.
                        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                    });
                }
                let mut seen = Vec::new();
                while seen.len() < clients {
                    match cut_short(|| listener.accept()) {
                        Ok((mut stream, _)) => {
                            let mut number = [0];
                            stream.read_exact(&mut number).unwrap();
                            seen.push(number[0]);
                        }
                        Err(error) => assert!(Cancelled::is(&error), "{error}"),
                    }
                }
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..clients as u8));
            });
        });
    }
}

#[test]
fn a_stack_that_is_used_again_is_not_written_to_by_an_operation_of_the_task_before() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).run(|| {
            for _ in 0..300 {
                let (left, right) = pair();
                task::scope(|s| {
                    let reader = s.spawn(|| {
                        let mut buffer = [UNTOUCHED; 4_000];
                        let failed = (&right).read(&mut buffer).unwrap_err();
                        assert!(Cancelled::is(&failed) && buffer.iter().all(|&byte| byte == UNTOUCHED));
                    });
                    task::yield_now();
                    reader.cancel();
                    reader.join().unwrap();
                    // On the same stack, at the same place.
                    let next = s.spawn(|| {
                        let buffer = [UNTOUCHED; 4_000];
                        task::yield_now();
                        task::yield_now();
                        assert!(std::hint::black_box(&buffer).iter().all(|&byte| byte == UNTOUCHED));
                    });
                    (&left).write_all(&[1; 4_000]).unwrap();
                    next.join().unwrap();
                });
                let mut buffer = [0; 4_000];
                (&right).read_exact(&mut buffer).unwrap();
            }
        });
    }
}

#[test]
fn what_a_child_reads_into_is_its_parents_again_when_the_scope_ends_by_a_panic() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).allow(|_| true).run(|| {
            let (left, right) = pair();
            let mut buffer = [UNTOUCHED; 100];
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                task::scope(|s| {
                    s.spawn(|| {
                        let failed = (&right).read(&mut buffer).unwrap_err();
                        assert!(Cancelled::is(&failed));
                    });
                    task::yield_now();
                    std::panic::panic_any("the body");
                });
            }));
            assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "the body");
            (&left).write_all(&[1; 100]).unwrap();
            task::yield_now();
            assert!(buffer.iter().all(|&byte| byte == UNTOUCHED));
            let mut again = [0; 100];
            (&right).read_exact(&mut again).unwrap();
            assert_eq!(again, [1; 100]);
        });
    }
}

#[test]
fn what_is_left_reading_when_the_first_task_ends_gives_back_what_it_was_lent() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let buffers = std::rc::Rc::new(Cell::new(0));
        Setup::new().driver(driver).allow_leftovers().run(|| {
            for _ in 0..20 {
                let (left, mut right) = pair();
                let buffers = buffers.clone();
                task::spawn(move || {
                    let mut buffer = vec![UNTOUCHED; 10_000];
                    let failed = right.read(&mut buffer).unwrap_err();
                    assert!(Cancelled::is(&failed));
                    (&left).write_all(&[1; 1]).unwrap_err();
                    assert!(buffer.iter().all(|&byte| byte == UNTOUCHED));
                    buffers.set(buffers.get() + 1);
                });
            }
            task::yield_now();
        });
        assert_eq!(buffers.get(), 20);
    }
}

#[test]
fn a_read_that_the_other_side_answers_while_it_is_cancelled_returns_or_leaves_the_answer() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).explore(0..200, || {
            let (left, right) = pair();
            let mut answered = 0;
            for round in 0..20_u8 {
                task::scope(|s| {
                    let reader = s.spawn(|| {
                        let mut byte = [UNTOUCHED];
                        match (&right).read(&mut byte) {
                            Ok(1) => {
                                assert_eq!(byte[0], round);
                                true
                            }
                            outcome => {
                                assert!(Cancelled::is(&outcome.unwrap_err()));
                                assert_eq!(byte[0], UNTOUCHED);
                                false
                            }
                        }
                    });
                    task::yield_now();
                    // In either order, in one step: the completion and the cancellation are on their way together.
                    if random(2) == 0 {
                        (&left).write_all(&[round]).unwrap();
                        reader.cancel();
                    } else {
                        reader.cancel();
                        (&left).write_all(&[round]).unwrap();
                    }
                    // Cancelled before its first step, it has not run at all.
                    if reader.join().is_ok_and(|has_read| has_read) {
                        answered += 1;
                    } else {
                        let mut byte = [0];
                        (&right).read_exact(&mut byte).unwrap();
                        assert_eq!(byte[0], round);
                    }
                });
            }
            assert!(answered <= 20);
        });
    }
}

#[test]
fn a_task_that_reads_while_it_unwinds_is_refused_and_lends_nothing() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).allow(|_| true).run(|| {
            struct ReadsInDrop(TcpStream);
            impl Drop for ReadsInDrop {
                fn drop(&mut self) {
                    let failed = self.0.read(&mut [0; 10]).unwrap_err();
                    assert!(Cancelled::is(&failed) || failed.kind() == ErrorKind::WouldBlock, "{failed}");
                }
            }
            let (left, right) = pair();
            let other = task::spawn(move || {
                let _reads = ReadsInDrop(right);
                std::panic::panic_any(7);
            });
            assert!(other.join().is_err());
            drop(left);
        });
    }
}
