//! What goes wrong in a world of sockets: each gives a clear error, and leaves the runtime and every other connection healthy.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::net::{self, TcpListener, TcpStream};
use ropewalk::{Cancelled, Elapsed, lowlevel, task, time};

use crate::tcp::{listen, pair};

/// Something else that goes on meanwhile, and must not notice.
fn with_bystander(faults: impl FnOnce()) {
    ropewalk::run(|| {
        let (near, far) = pair();
        let is_over = Cell::new(false);
        task::scope(|s| {
            s.spawn(|| {
                let mut buffer = [0];
                while (&far).read(&mut buffer).unwrap() > 0 {
                    (&far).write_all(&buffer).unwrap();
                }
            });
            let asking = s.spawn(|| {
                for round in (0..=u8::MAX).cycle() {
                    // Once more when it is over.
                    let is_last = is_over.get();
                    (&near).write_all(&[round]).unwrap();
                    let mut answer = [0];
                    (&near).read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [round]);
                    if is_last {
                        break;
                    }
                }
                near.shutdown(Shutdown::Write).unwrap();
            });
            faults();
            is_over.set(true);
            asking.join().unwrap();
        });
    });
}

#[test]
fn a_reset_ends_whoever_reads_and_whoever_writes() {
    with_bystander(|| {
        let (near, far) = pair();
        task::scope(|s| {
            let reading = s.spawn(|| (&near).read(&mut [0]));
            let writing = s.spawn(|| (&near).write_all(&vec![0; 50_000_000]));
            time::sleep(Duration::from_millis(2)).unwrap();
            far.set_linger(Some(Duration::ZERO)).unwrap();
            drop(far);
            // The system tells of a reset once; then it is a broken pipe, or an end.
            let results = [reading.join().unwrap().map(drop), writing.join().unwrap()];
            let is_reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
            assert!(results.iter().any(|result| result.as_ref().is_err_and(is_reset)), "{results:?}");
        });
    });
}

#[test]
fn a_reset_while_nobody_waits_is_told_to_whoever_comes_next() {
    with_bystander(|| {
        let (mut near, far) = pair();
        far.set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        near.wait_readable().unwrap();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        // And it stays over.
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        assert_eq!(near.write(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(near.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn take_error_tells_of_a_reset_too() {
    with_bystander(|| {
        let (near, far) = pair();
        far.set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        near.wait_readable().unwrap();
        assert_eq!(near.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
        assert!(near.take_error().unwrap().is_none());
    });
}

#[test]
fn what_was_sent_before_the_other_half_closed_is_received_and_answered() {
    with_bystander(|| {
        let (mut near, mut far) = pair();
        task::scope(|s| {
            s.spawn(|| {
                let mut all = Vec::new();
                far.read_to_end(&mut all).unwrap();
                far.write_all(&all).unwrap();
                drop(far);
            });
            near.write_all(&[7; 100_000]).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            near.read_to_end(&mut all).unwrap();
            assert_eq!(all, [7; 100_000]);
            // The end is there as often as it is asked for.
            assert_eq!((near.read(&mut [0]).unwrap(), near.read(&mut [0]).unwrap()), (0, 0));
        });
    });
}

#[test]
fn a_peer_that_vanishes_in_the_backlog_costs_nobody_else_anything() {
    with_bystander(|| {
        let (listener, address) = listen();
        for _ in 0..10 {
            // It comes and is gone before anybody accepts.
            let gone = std::net::TcpStream::connect(address).unwrap();
            let gone = TcpStream::from(gone);
            gone.set_linger(Some(Duration::ZERO)).unwrap();
            drop(gone);
        }
        let mut last = std::net::TcpStream::connect(address).unwrap();
        last.write_all(b"here").unwrap();
        loop {
            // Some systems pass over those that are gone, others hand them out.
            let (mut stream, peer) = listener.accept().unwrap();
            let mut buffer = [0; 4];
            if peer == last.local_addr().unwrap() {
                stream.read_exact(&mut buffer).unwrap();
                assert_eq!(&buffer, b"here");
                break;
            }
            assert_eq!(stream.read(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn an_address_in_use_is_said_to_be() {
    with_bystander(|| {
        let (listener, address) = listen();
        let error = TcpListener::bind(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // The one that has it has not noticed.
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        // Of several, one that is free is taken.
        let free = TcpListener::bind([address, "127.0.0.1:0".parse().unwrap()]).unwrap();
        assert_ne!(free.local_addr().unwrap(), address);
        // And the address is free again when the listener is gone, although a connection of it stands.
        drop(listener);
        TcpListener::bind(address).unwrap();
    });
}

#[test]
fn a_peer_that_sends_a_byte_at_a_time_is_read_from_as_from_any_other() {
    with_bystander(|| {
        let (mut writer, reader) = pair();
        writer.set_nodelay(true).unwrap();
        let text = "a line that is long enough\nand one more\nand the last without an end";
        task::scope(|s| {
            s.spawn(move || {
                for byte in text.bytes() {
                    writer.write_all(&[byte]).unwrap();
                    time::sleep(Duration::from_micros(100)).unwrap();
                }
            });
            let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
            assert_eq!(lines, text.lines().collect::<Vec<_>>());
        });
    });
}

#[test]
fn a_second_task_that_would_wait_is_refused_and_the_first_does_not_notice() {
    with_bystander(|| {
        let (listener, address) = listen();
        let (near, mut far) = pair();
        task::scope(|s| {
            let accepting = s.spawn(|| listener.accept().unwrap());
            let writing = s.spawn(|| (&near).write_all(&vec![1; 20_000_000]));
            let reading = s.spawn(|| (&near).read(&mut [0]).unwrap());
            time::sleep(Duration::from_millis(2)).unwrap();
            let refused = [
                listener.accept().unwrap_err(),
                listener.wait_readable().unwrap_err(),
                (&near).write_all(&vec![1; 20_000_000]).unwrap_err(),
                (&near).read(&mut [0]).unwrap_err(),
                near.peek(&mut [0]).unwrap_err(),
            ];
            for error in refused {
                assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
                assert!(error.to_string().starts_with("another task waits to "), "{error}");
            }
            far.write_all(&[1]).unwrap();
            assert_eq!(reading.join().unwrap(), 1);
            far.read_exact(&mut vec![0; 20_000_000]).unwrap();
            writing.join().unwrap().unwrap();
            let client = TcpStream::connect(address).unwrap();
            assert_eq!(accepting.join().unwrap().1, client.local_addr().unwrap());
        });
    });
}

#[test]
fn signals_interrupt_nothing() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn hear(_: libc::c_int) {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler does nothing that a handler must not. Without SA_RESTART, calls of the system are interrupted.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = hear as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()), 0);
    }
    let is_done = AtomicBool::new(false);
    let (thread_sender, thread_receiver) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|s| {
        let is_done = &is_done;
        s.spawn(move || {
            // SAFETY: it says who this is.
            thread_sender.send(unsafe { libc::pthread_self() } as usize).unwrap();
            while !is_done.load(Ordering::SeqCst) {
                with_bystander(|| {
                    let (listener, address) = listen();
                    for _ in 0..20 {
                        task::scope(|s| {
                            let accepting = s.spawn(|| listener.accept().unwrap().0);
                            let mut near = TcpStream::connect(address).unwrap();
                            let mut far = accepting.join().unwrap();
                            s.spawn(move || far.write_all(&vec![5; 300_000]).unwrap());
                            time::sleep(Duration::from_micros(200)).unwrap();
                            let mut all = Vec::new();
                            near.read_to_end(&mut all).unwrap();
                            assert_eq!(all.len(), 300_000);
                            lowlevel::wait_readable(&near).unwrap();
                        });
                    }
                    net::lookup_host("localhost:80").unwrap();
                });
            }
            // It is not gone while it is being signalled.
            let _ = ended.recv();
        });
        let thread = thread_receiver.recv().unwrap() as libc::pthread_t;
        for _ in 0..3_000 {
            // SAFETY: the thread lives until `end` is gone.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
            thread::sleep(Duration::from_micros(30));
        }
        is_done.store(true, Ordering::SeqCst);
        drop(end);
    });
    assert!(HEARD.load(Ordering::SeqCst) > 100);
}

/// Closes what a descriptor stands for behind everybody's back, and puts something else there: so that its number is
/// nobody else's meanwhile.
fn replace(number: &impl AsRawFd, by: &impl AsRawFd) {
    // SAFETY: both are open. That no descriptor is closed under those who use it is what is broken here on purpose: they
    // have to live with it.
    assert_eq!(unsafe { libc::dup2(by.as_raw_fd(), number.as_raw_fd()) }, number.as_raw_fd());
}

#[test]
fn whoever_waits_for_a_descriptor_that_was_closed_can_be_cancelled() {
    with_bystander(|| {
        let null = File::open("/dev/null").unwrap();
        let (near, mut far) = pair();
        let (listener, address) = listen();
        task::scope(|s| {
            let reading = s.spawn(|| (&near).read(&mut [0]));
            let accepting = s.spawn(|| listener.accept().map(drop));
            time::sleep(Duration::from_millis(1)).unwrap();
            replace(&near, &null);
            replace(&listener, &null);
            time::sleep(Duration::from_millis(1)).unwrap();
            reading.cancel();
            accepting.cancel();
            let errors = [reading.join().unwrap().unwrap_err(), accepting.join().unwrap().unwrap_err()];
            // Unless the system has said that something is wrong, before.
            for error in errors {
                assert!(Cancelled::is(&error) || error.raw_os_error() == Some(libc::ENOTSOCK), "{error}");
            }
        });
        // It is closed by now, whoever still had it.
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // What is there now is no socket; or it is waited for in vain, as nobody has told what became of it.
        let soon = Duration::from_millis(2);
        let read =
            time::timeout(soon, || (&near).read(&mut [0])).unwrap_or_else(Elapsed::into_inner).unwrap_err();
        assert!(Cancelled::is(&read) || read.raw_os_error() == Some(libc::ENOTSOCK), "{read}");
    });
}

#[test]
fn a_number_that_was_given_to_another_connection_while_a_task_waits_serves_that() {
    with_bystander(|| {
        let (old, _old_far) = pair();
        let (new, mut new_far) = pair();
        task::scope(|s| {
            let waiting = s.spawn(|| (&old).read(&mut [0]));
            time::sleep(Duration::from_millis(1)).unwrap();
            replace(&old, &new);
            // SAFETY: it is open; it is not closed twice, for it is taken out again below.
            let mut same = TcpStream::from(unsafe { OwnedFd::from_raw_fd(old.as_raw_fd()) });
            let reading = s.spawn(move || {
                let mut buffer = [0; 3];
                same.read_exact(&mut buffer).unwrap();
                let _ = same.into_raw_fd();
                buffer
            });
            time::sleep(Duration::from_millis(1)).unwrap();
            new_far.write_all(b"new").unwrap();
            assert_eq!(&reading.join().unwrap(), b"new");
            waiting.cancel();
            let error = waiting.join().unwrap().unwrap_err();
            assert!(Cancelled::is(&error) || error.raw_os_error() == Some(libc::EBADF), "{error}");
        });
    });
}

#[test]
fn a_descriptor_that_is_closed_already_says_so() {
    ropewalk::run(|| {
        // A number that nobody has: the system gives the lowest that is free.
        let number = 100_000;
        // SAFETY: it is not open, and is taken out again.
        let mut stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(number) });
        assert_eq!(stream.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(stream.write(&[0]).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(format!("{stream:?}"), format!("TcpStream {{ fd: {number} }}"));
        assert_eq!(stream.into_raw_fd(), number);
    });
}

#[test]
fn whoever_is_woken_for_what_somebody_else_takes_waits_on() {
    with_bystander(|| {
        let (mut writer, reader) = pair();
        let thief = std::net::TcpStream::from(reader.try_clone().unwrap());
        let total = 2_000;
        let is_over = AtomicBool::new(false);
        thread::scope(|threads| {
            let stealing = threads.spawn(|| {
                let mut stolen = 0;
                let mut buffer = [0; 1];
                while !is_over.load(Ordering::SeqCst) {
                    // SAFETY: the buffer is as long as it says.
                    let taken = unsafe {
                        let at = buffer.as_mut_ptr().cast();
                        libc::recv(thief.as_raw_fd(), at, buffer.len(), libc::MSG_DONTWAIT)
                    };
                    stolen += usize::try_from(taken).unwrap_or(0);
                }
                stolen
            });
            let received = task::scope(|s| {
                let reading = s.spawn(|| {
                    let mut received = 0;
                    loop {
                        match (&reader).read(&mut [0; 1]) {
                            Ok(count) => received += count,
                            Err(error) if Cancelled::is(&error) => return received,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
                for _ in 0..total {
                    writer.write_all(&[0]).unwrap();
                    task::yield_now();
                }
                // Until nothing is left.
                while rustix::io::ioctl_fionread(&reader).unwrap() > 0 {
                    time::sleep(Duration::from_micros(100)).unwrap();
                }
                reading.cancel();
                reading.join().unwrap()
            });
            is_over.store(true, Ordering::SeqCst);
            assert_eq!(received + stealing.join().unwrap(), total);
        });
    });
}
