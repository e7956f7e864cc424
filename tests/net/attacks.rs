//! What safe code, and a peer, can do to a runtime that they mean no good: under both drivers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk::io::{Async, copy_fd};
use ropewalk::lowlevel::{ByTicket, Register, Ticket};
use ropewalk::net::{TcpListener, TcpStream, UnixStream};
use ropewalk::select::{Arm, Chosen, select};
use ropewalk::{Driver, Runtime, inspect, task, time};
use rustix::net::{RecvFlags, SendFlags};

use crate::pair;

const DRIVERS: [Driver; 2] = [Driver::Epoll, Driver::Uring];

fn run(driver: Driver, program: impl FnOnce()) {
    Runtime::builder().driver(driver).build().run(program);
}

/// More rounds of the scheduler than anything here may take.
const MANY: usize = 20_000;

#[test]
fn tasks_that_sleep_for_no_time_do_not_keep_others_from_what_they_read() {
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            let has_read = Cell::new(false);
            task::scope(|s| {
                s.spawn(|| {
                    (&right).read_exact(&mut [0]).unwrap();
                    has_read.set(true);
                });
                task::yield_now();
                (&left).write_all(&[1]).unwrap();
                for _ in 0..MANY {
                    time::sleep(Duration::from_nanos(1)).unwrap();
                }
                assert!(has_read.get(), "{driver:?}: nobody has looked at the socket");
            });
        });
    }
}

#[test]
fn callbacks_that_call_themselves_at_once_do_not_keep_others_from_what_they_read() {
    fn again(left: u32, ended: Rc<Cell<bool>>) {
        match left {
            0 => ended.set(true),
            _ => drop(time::call_later(Duration::ZERO, move || again(left - 1, ended))),
        }
    }
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            task::scope(|s| {
                let ended = Rc::new(Cell::new(false));
                let (right, have_ended) = (&right, ended.clone());
                let reader = s.spawn(move || {
                    (&*right).read_exact(&mut [0]).unwrap();
                    have_ended.get()
                });
                task::yield_now();
                (&left).write_all(&[1]).unwrap();
                again(MANY as u32, ended.clone());
                assert!(!reader.join().unwrap(), "{driver:?}: callbacks had their turns, and nobody else");
            });
        });
    }
}

#[test]
fn what_comes_behind_urgent_bytes_is_copied_too() {
    for driver in DRIVERS {
        run(driver, || {
            let (sender, receiver) = pair();
            (&sender).write_all(b"abc").unwrap();
            rustix::net::send(&sender, b"!", SendFlags::OOB).unwrap();
            (&sender).write_all(b"def").unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
            let mut file = tempfile();
            let copied = time::timeout(Duration::from_secs(5), || copy_fd(&receiver, &file));
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "abcdef", "{driver:?}: {copied:?}");
        });
    }
}

#[test]
fn who_copies_does_not_spin_at_urgent_bytes() {
    for driver in DRIVERS {
        run(driver, || {
            let (sender, receiver) = pair();
            let file = tempfile();
            task::scope(|s| {
                let copying = s.spawn(|| copy_fd(&receiver, &file).map_err(io::Error::from));
                task::yield_now();
                (&sender).write_all(b"abc").unwrap();
                rustix::net::send(&sender, b"!", SendFlags::OOB).unwrap();
                (&sender).write_all(b"def").unwrap();
                let mut rounds = 0;
                while file.metadata().unwrap().len() < 6 && rounds < 200 {
                    time::sleep(Duration::from_millis(5)).unwrap();
                    rounds += 1;
                }
                copying.cancel();
                assert_eq!(file.metadata().unwrap().len(), 6, "{driver:?}");
            });
        });
    }
}

fn tempfile() -> fs::File {
    let name = format!("ropewalk-attacks-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    fs::remove_file(path).unwrap();
    file.unwrap()
}

/// Threads that the kernel has made to wait for what this thread has asked its ring for.
#[cfg(target_os = "linux")]
fn workers() -> usize {
    let this = fs::read_link("/proc/thread-self").unwrap();
    let mine = format!("iou-wrk-{}", this.file_name().unwrap().to_str().unwrap());
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == mine).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_sends_an_urgent_byte_and_reads_nothing_costs_no_thread() {
    run(Driver::Uring, || {
        let pairs: Vec<_> = (0..16).map(|_| pair()).collect();
        task::scope(|s| {
            for (near, far) in &pairs {
                rustix::net::send(far, b"!", SendFlags::OOB).unwrap();
                s.spawn(|| (&*near).write_all(&vec![1; 20_000_000]));
            }
            for _ in 0..20 {
                time::sleep(Duration::from_millis(10)).unwrap();
            }
            let workers = workers();
            s.cancel();
            assert_eq!(workers, 0);
        });
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_sends_an_urgent_byte_first_costs_who_peeks_no_thread() {
    run(Driver::Uring, || {
        let pairs: Vec<_> = (0..16).map(|_| pair()).collect();
        task::scope(|s| {
            for (near, far) in &pairs {
                rustix::net::send(far, b"!", SendFlags::OOB).unwrap();
                s.spawn(|| near.peek(&mut [0; 10]));
            }
            for _ in 0..20 {
                time::sleep(Duration::from_millis(10)).unwrap();
            }
            let workers = workers();
            s.cancel();
            assert_eq!(workers, 0);
        });
    });
}

/// Between a read's waking and its second try, somebody else takes the bytes, and it is cancelled.
#[test]
fn a_read_that_is_cancelled_when_another_has_taken_its_bytes_ends() {
    for driver in DRIVERS {
        run(driver, || {
            let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
            for round in 0..5 {
                let is_first = round == 0;
                task::scope(|s| {
                    for (near, far) in &pairs {
                        if !is_first {
                            rustix::net::send(far, &[1], SendFlags::empty()).unwrap();
                        }
                        s.spawn(|| drop((&*near).read(&mut [0])));
                    }
                    task::yield_now();
                    for (near, far) in &pairs {
                        if is_first {
                            // When that has been read the driver takes them for empty.
                            rustix::net::send(far, &[1], SendFlags::empty()).unwrap();
                        } else {
                            let _ = rustix::net::recv(near, &mut [0], RecvFlags::DONTWAIT);
                        }
                    }
                    if !is_first {
                        s.cancel();
                    }
                });
            }
            assert_eq!(inspect::driver().unwrap().in_flight, 0);
        });
    }
}

#[test]
fn completions_that_the_ring_had_no_room_for_come_though_a_task_is_always_ready() {
    for driver in DRIVERS {
        Runtime::builder().driver(driver).ring_entries(1).build().run(|| {
            let pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
            let count = Cell::new(0);
            task::scope(|s| {
                for (near, _) in &pairs {
                    let count = &count;
                    s.spawn(move || {
                        (&*near).read_exact(&mut [0]).unwrap();
                        count.set(count.get() + 1);
                    });
                }
                task::yield_now();
                for (_, far) in &pairs {
                    rustix::net::send(far, &[1], SendFlags::empty()).unwrap();
                }
                let mut rounds = 0;
                while count.get() < pairs.len() && rounds < 100 * MANY {
                    task::yield_now();
                    rounds += 1;
                }
                let count = count.get();
                s.cancel();
                assert_eq!(count, pairs.len(), "{driver:?}");
            });
        });
    }
}

#[test]
fn a_call_that_parks_before_it_says_that_it_would_block_is_made_again() {
    for driver in DRIVERS {
        run(driver, || {
            let (near, mut far) = StdStream::pair().unwrap();
            let near = Async::new(near).unwrap();
            let (other, mut beyond) = StdStream::pair().unwrap();
            let other = Async::new(other).unwrap();
            task::scope(|s| {
                // So that the driver knows it.
                let first = s.spawn(|| near.read_with(|mut inner| inner.read(&mut [0])));
                task::yield_now();
                far.write_all(&[1]).unwrap();
                assert_eq!(first.join().unwrap().unwrap(), 1);
                let reader = s.spawn(|| {
                    near.read_with(|mut inner| {
                        let read = inner.read(&mut [0]);
                        if read.is_err() {
                            // It tells somebody, say.
                            (&other).read_exact(&mut [0])?;
                        }
                        read
                    })
                });
                task::yield_now();
                far.write_all(&[1]).unwrap();
                beyond.write_all(&[1]).unwrap();
                let joined = time::timeout(Duration::from_secs(2), || reader.join());
                s.cancel();
                assert!(joined.is_ok(), "{driver:?}");
            });
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_deadline_in_centuries_is_no_busy_wait() {
    use rustix::time::{ClockId, clock_gettime};
    for driver in DRIVERS {
        run(driver, || {
            let (left, right) = pair();
            let handle = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(500));
                rustix::net::send(&left, &[1], SendFlags::empty()).unwrap();
                left
            });
            let before = clock_gettime(ClockId::ThreadCPUTime);
            let far = Duration::from_secs(400 * 365 * 24 * 3600);
            time::timeout(far, || (&right).read_exact(&mut [0])).unwrap().unwrap();
            let after = clock_gettime(ClockId::ThreadCPUTime);
            let took = (after.tv_sec - before.tv_sec) * 1_000 + (after.tv_nsec - before.tv_nsec) / 1_000_000;
            handle.join().unwrap();
            assert!(took < 100, "{driver:?}: {took} ms of computing");
        });
    }
}

#[test]
fn two_runtimes_that_read_one_stream_get_all_of_it() {
    for driver in DRIVERS {
        let (left, right) = {
            let made = RefCell::new(None);
            run(driver, || drop(made.replace(Some(pair()))));
            made.into_inner().unwrap()
        };
        let right = Arc::new(right);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let right: Arc<TcpStream> = right.clone();
                std::thread::spawn(move || {
                    let mut count = 0;
                    run(driver, || {
                        let mut buffer = [0; 1000];
                        loop {
                            match (&*right).read(&mut buffer).unwrap() {
                                0 => return,
                                more => count += more,
                            }
                        }
                    });
                    count
                })
            })
            .collect();
        run(driver, || {
            for _ in 0..2_000 {
                (&left).write_all(&[1; 500]).unwrap();
            }
            left.shutdown(Shutdown::Write).unwrap();
        });
        let counts: Vec<usize> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 1_000_000, "{driver:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn urgent_bytes_on_a_unix_stream_cost_no_thread_and_hide_nothing() {
    for driver in DRIVERS {
        run(driver, || {
            let (near, far) = UnixStream::pair().unwrap();
            if rustix::net::send(&far, b"!", SendFlags::OOB).is_err() {
                // This kernel has none there.
                return;
            }
            task::scope(|s| {
                let reading = s.spawn(|| {
                    let mut text = String::new();
                    while text.len() < 6 {
                        let mut buffer = [0; 100];
                        let count = (&near).read(&mut buffer).unwrap();
                        text += &String::from_utf8_lossy(&buffer[..count]);
                    }
                    text
                });
                for _ in 0..20 {
                    time::sleep(Duration::from_millis(1)).unwrap();
                }
                assert_eq!(workers(), 0, "{driver:?}");
                (&far).write_all(b"abc").unwrap();
                rustix::net::send(&far, b"!", SendFlags::OOB).unwrap();
                (&far).write_all(b"def").unwrap();
                assert_eq!(reading.join().unwrap(), "abcdef");
            });
        });
    }
}

#[test]
fn an_address_is_free_when_its_listener_has_been_dropped_after_a_select() {
    for driver in DRIVERS {
        run(driver, || {
            let mut listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            for _ in 0..3 {
                let limit = time::sleeping(Duration::from_millis(1));
                assert!(matches!(select((listener.accepting(), limit)), Ok(Chosen::Second(()))));
                drop(listener);
                listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{driver:?}: {error}"));
            }
        });
    }
}

#[test]
fn an_address_is_free_when_its_listener_has_been_dropped_after_an_accept_that_was_cancelled() {
    for driver in DRIVERS {
        run(driver, || {
            let mut listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            for _ in 0..3 {
                time::timeout(Duration::from_millis(1), || listener.accept()).unwrap_err();
                drop(listener);
                listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{driver:?}: {error}"));
            }
        });
    }
}

/// Where the system waits for room in a thread of its own, which a cancellation interrupts.
#[test]
fn what_is_sent_is_counted_also_after_urgent_bytes_and_a_cancellation() {
    for driver in DRIVERS {
        run(driver, || {
            let (near, far) = pair();
            rustix::net::send(&far, b"!", SendFlags::OOB).unwrap();
            let bytes = vec![1; 20_000_000];
            let mut sent = 0;
            let mut received = 0;
            let mut buffer = vec![0; 1_000_000];
            for _ in 0..20 {
                let written = time::timeout(Duration::from_millis(2), || (&near).write(&bytes));
                sent += written.unwrap_or_else(|late| late.0).unwrap_or(0);
                received += (&far).read(&mut buffer).unwrap();
            }
            near.shutdown(Shutdown::Write).unwrap();
            received += io::copy(&mut &far, &mut io::sink()).unwrap() as usize;
            assert_eq!(sent, received, "{driver:?}");
        });
    }
}

/// Panics where it says that it waits.
struct Panics;

impl Register for Panics {
    type Value = ();

    fn register(&self, _: Ticket<()>) {
        panic!("as it is registered");
    }

    fn undo(&self) {}
}

impl Arm for Panics {
    type Output = ();
    type Place = ByTicket<Panics>;

    fn try_now(&mut self) -> Option<()> {
        None
    }

    fn place(&mut self) -> ByTicket<Panics> {
        ByTicket::new(Panics)
    }

    fn end(&mut self, place: ByTicket<Panics>) -> Option<()> {
        place.into_value()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panics")
    }
}

/// Waits in one place again and again, and keeps it meanwhile.
struct Keeps<A: Arm>(A, Option<A::Place>);

impl<A: Arm> Arm for Keeps<A> {
    type Output = A::Output;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<A::Output> {
        self.0.try_now()
    }

    fn place(&mut self) -> A::Place {
        self.1.take().unwrap_or_else(|| self.0.place())
    }

    fn end(&mut self, place: A::Place) -> Option<A::Output> {
        self.1 = Some(place);
        self.0.try_now()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

#[test]
fn arms_of_others_that_panic_or_keep_their_places_leave_sockets_as_they_are() {
    for driver in DRIVERS {
        run(driver, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            for _ in 0..3 {
                let selecting = || drop(select((listener.accepting(), Panics)));
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(selecting)).unwrap_err();
            }
            let mut keeps = Keeps(listener.accepting(), None);
            for _ in 0..3 {
                let limit = time::sleeping(Duration::from_millis(1));
                assert!(matches!(select((&mut keeps, limit)), Ok(Chosen::Second(()))));
                task::scope(|s| {
                    s.spawn(|| TcpStream::connect(address).unwrap());
                    assert!(select((&mut keeps,)).is_ok());
                });
            }
            drop(keeps);
            for _ in 0..10 {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            assert_eq!(inspect::driver().unwrap().in_flight, 0, "{driver:?}");
        });
    }
}

#[test]
fn at_a_virtual_time_what_is_there_is_read_before_time_goes_on() {
    for driver in DRIVERS {
        Runtime::builder().driver(driver).clock(ropewalk::Clock::Virtual).build().run(|| {
            let (left, right) = pair();
            let mut late = 0;
            for _ in 0..20 {
                rustix::net::send(&left, &[1], SendFlags::empty()).unwrap();
                let before = time::now();
                let read = time::timeout(Duration::from_secs(1), || (&right).read(&mut [0]).unwrap());
                late += usize::from(read.is_err() || time::now() > before);
            }
            assert_eq!(late, 0, "{driver:?}");
        });
    }
}

#[test]
fn waits_inside_of_a_read_leave_nothing_in_flight() {
    for driver in DRIVERS {
        run(driver, || {
            // Nested: a select in a callback of a read, on the same descriptor, in the other direction and in the same.
            let (near, mut far) = StdStream::pair().unwrap();
            let near = Async::new(near).unwrap();
            task::scope(|s| {
                let reader = s.spawn(|| {
                    near.read_with(|mut inner| {
                        let limit = time::sleeping(Duration::from_millis(2));
                        let _ = select((ropewalk::lowlevel::readable(&near), limit)).unwrap();
                        let _ = near.writable();
                        let _ = time::timeout(Duration::from_millis(2), || near.readable());
                        inner.read(&mut [0])
                    })
                });
                for _ in 0..5 {
                    time::sleep(Duration::from_millis(1)).unwrap();
                }
                far.write_all(&[1]).unwrap();
                let joined = time::timeout(Duration::from_secs(2), || reader.join());
                s.cancel();
                assert!(joined.is_ok(), "{driver:?}");
            });
            for _ in 0..5 {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            assert_eq!(inspect::driver().unwrap().in_flight, 0, "{driver:?}");
            // And places that were given up, of descriptors that are closed.
            for _ in 0..200 {
                let (a, b) = UnixStream::pair().unwrap();
                let limit = time::sleeping(Duration::from_nanos(1));
                let _ = select((ropewalk::lowlevel::readable(&a), ropewalk::lowlevel::writable(&b), limit))
                    .unwrap();
                let limit = time::sleeping(Duration::from_nanos(1));
                let _ = select((ropewalk::lowlevel::readable(&a), ropewalk::lowlevel::readable(&b), limit))
                    .unwrap();
            }
            for _ in 0..5 {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            assert_eq!(inspect::driver().unwrap().in_flight, 0, "{driver:?}");
        });
    }
}

#[test]
fn two_rings_that_read_one_stream_and_are_cancelled_lose_nothing() {
    for driver in DRIVERS {
        let (near, far) = StdStream::pair().unwrap();
        let near = Arc::new(UnixStream::from(near));
        let far = Arc::new(UnixStream::from(far));
        let total = 200_000_u64;
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let near = near.clone();
                std::thread::spawn(move || {
                    let mut count = 0;
                    Runtime::builder().driver(driver).ring_entries(1).build().run(|| {
                        let mut buffer = [0; 100];
                        for round in 0_u64.. {
                            let wait = Duration::from_nanos(round % 7 * 20_000);
                            let read = time::timeout(wait, || (&*near).read(&mut buffer));
                            match read.unwrap_or_else(|late| late.0) {
                                Ok(0) => return,
                                Ok(more) => count += more as u64,
                                Err(_) => {}
                            }
                        }
                    });
                    count
                })
            })
            .collect();
        run(driver, || {
            let mut sent = 0;
            while sent < total {
                sent += (&*far).write(&vec![1; (total - sent).min(137) as usize]).unwrap() as u64;
            }
            far.shutdown(Shutdown::Write).unwrap();
        });
        let counts: Vec<u64> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(counts.iter().sum::<u64>(), total, "{driver:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_peeks_at_urgent_bytes_alone_waits_without_computing() {
    use rustix::time::{ClockId, clock_gettime};
    for driver in DRIVERS {
        run(driver, || {
            let (near, far) = UnixStream::pair().unwrap();
            if rustix::net::send(&far, b"!", SendFlags::OOB).is_err() {
                // This kernel has none there.
                return;
            }
            task::scope(|s| {
                s.spawn(|| drop(near.peek(&mut [0; 10])));
                let before = clock_gettime(ClockId::ThreadCPUTime);
                for _ in 0..5 {
                    time::sleep(Duration::from_millis(100)).unwrap();
                }
                let after = clock_gettime(ClockId::ThreadCPUTime);
                s.cancel();
                let took =
                    (after.tv_sec - before.tv_sec) * 1_000 + (after.tv_nsec - before.tv_nsec) / 1_000_000;
                assert!(took < 100, "{driver:?}: {took} ms of computing");
            });
        });
    }
}
