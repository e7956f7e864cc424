//! Any descriptor: it is set not to block, waits park the task, and it is given back as it was.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use ropewalk::io::{Async, CloseWrite, copy_bidirectional, pipe, split};
use ropewalk::select::{Chosen, select};
use ropewalk::{Cancelled, task, time};

fn blocks(fd: impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

fn unix_pair() -> (Async<UnixStream>, Async<UnixStream>) {
    let (left, right) = UnixStream::pair().unwrap();
    (Async::new(left).unwrap(), Async::new(right).unwrap())
}

#[test]
fn calls_that_would_block_park_the_task_until_they_do_not() {
    ropewalk::run(|| {
        let left = Async::new(UnixDatagram::pair().unwrap().0).unwrap();
        drop(left);
        let receiver = Async::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let sender = Async::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = receiver.get_ref().local_addr().unwrap();
        task::scope(|s| {
            let received = s.spawn(|| {
                let mut buffer = [0; 16];
                let (count, from) = receiver.read_with(|socket| socket.recv_from(&mut buffer)).unwrap();
                (buffer[..count].to_vec(), from)
            });
            task::yield_now();
            assert!(!received.is_finished());
            sender.write_with(|socket| socket.send_to(b"rope", address)).unwrap();
            let from = sender.get_ref().local_addr().unwrap();
            assert_eq!(received.join().unwrap(), (b"rope".to_vec(), from));
        });
    });
}

#[test]
fn it_blocks_again_when_it_is_given_back_if_it_did_before() {
    let (left, right) = UnixStream::pair().unwrap();
    right.set_nonblocking(true).unwrap();
    let (left, right) = (Async::new(left).unwrap(), Async::new(right).unwrap());
    assert!(!blocks(&left));
    assert!(!blocks(&right));
    assert!(blocks(left.into_inner().unwrap()));
    assert!(!blocks(right.into_inner().unwrap()));
}

#[test]
fn streams_are_read_and_written_at_the_same_time_and_split() {
    ropewalk::run(|| {
        let (left, right) = unix_pair();
        task::scope(|s| {
            s.spawn(|| (&left).write_all(&[1; 1_000_000]).unwrap());
            s.spawn(|| (&right).write_all(&[2; 1_000_000]).unwrap());
            for (stream, expected) in [(&left, 2), (&right, 1)] {
                s.spawn(move || {
                    let mut received = vec![0; 1_000_000];
                    (&*stream).read_exact(&mut received).unwrap();
                    assert!(received.iter().all(|&byte| byte == expected));
                });
            }
        });
        let (mut reader, writer) = split(left);
        drop(writer);
        assert_eq!((&right).read(&mut [0]).unwrap(), 0);
        (&right).write_all(b"x").unwrap();
        reader.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn both_directions_are_copied_between_sockets_of_any_kind() {
    ropewalk::run(|| {
        let (near, a) = unix_pair();
        let (b, far) = super::pair();
        task::scope(|s| {
            let copied = s.spawn(|| copy_bidirectional(&a, &b).unwrap());
            (&near).write_all(b"question").unwrap();
            near.close_write().unwrap();
            assert_eq!(io::read_to_string(&far).unwrap(), "question");
            (&far).write_all(b"answer").unwrap();
            far.close_write().unwrap();
            assert_eq!(io::read_to_string(&near).unwrap(), "answer");
            assert_eq!(copied.join().unwrap(), (8, 6));
        });
    });
}

#[test]
fn whether_it_is_ready_is_waited_for_without_taking_anything() {
    ropewalk::run(|| {
        let (left, right) = unix_pair();
        right.wait_writable().unwrap();
        task::scope(|s| {
            let waiting = s.spawn(|| right.wait_readable().unwrap());
            task::yield_now();
            assert!(!waiting.is_finished());
            (&left).write_all(b"x").unwrap();
            waiting.join().unwrap();
        });
        // Again, since nothing was taken.
        right.wait_readable().unwrap();
        assert_eq!(right.get_ref().read_shared(), b'x');
        let waited = time::timeout(Duration::from_millis(5), || right.wait_readable());
        assert!(Cancelled::is(&waited.unwrap_err().into_inner().unwrap_err()));
    });
}

trait ReadShared {
    fn read_shared(&self) -> u8;
}

impl ReadShared for UnixStream {
    fn read_shared(&self) -> u8 {
        let (mut stream, mut byte) = (self, [0]);
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    }
}

#[test]
fn a_call_that_fails_or_is_interrupted_is_told_or_made_again() {
    ropewalk::run(|| {
        let (_left, right) = unix_pair();
        let error = right.read_with(|_| Err::<(), _>(ErrorKind::AddrInUse.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let times = Cell::new(0);
        let value = right.write_with(|_| {
            times.set(times.get() + 1);
            if times.get() < 3 { Err(ErrorKind::Interrupted.into()) } else { Ok("done") }
        });
        assert_eq!((value.unwrap(), times.get()), ("done", 3));
    });
}

#[test]
fn a_call_may_use_other_descriptors_and_panic() {
    ropewalk::run(|| {
        let (left, right) = unix_pair();
        let (other_left, other_right) = unix_pair();
        let value = right.read_with(|_| {
            (&other_left).write_all(b"inner")?;
            let mut buffer = [0; 5];
            (&other_right).read_exact(&mut buffer)?;
            Ok(buffer)
        });
        assert_eq!(&value.unwrap(), b"inner");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            right.read_with(|_| -> io::Result<()> { panic!("in a call") })
        }));
        assert!(panicked.is_err());
        (&left).write_all(b"x").unwrap();
        (&right).read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_second_task_that_waits_in_the_same_direction_is_refused() {
    ropewalk::run(|| {
        let (left, right) = unix_pair();
        task::scope(|s| {
            let first = s.spawn(|| right.wait_readable());
            task::yield_now();
            assert_eq!((&right).read(&mut [0]).unwrap_err().kind(), ErrorKind::ResourceBusy);
            right.wait_writable().unwrap();
            (&left).write_all(b"x").unwrap();
            first.join().unwrap().unwrap();
        });
    });
}

#[test]
fn in_a_cancelled_scope_no_call_is_made() {
    ropewalk::run(|| {
        let (_left, right) = unix_pair();
        task::cancel_scope(|scope| {
            scope.cancel();
            let error = right.read_with(|_| -> io::Result<()> { unreachable!("it is cancelled") });
            assert!(Cancelled::is(&error.unwrap_err()));
        });
    });
}

#[test]
fn what_reads_by_exclusive_reference_does_too() {
    struct Reversing(UnixStream);
    impl AsFd for Reversing {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Reversing {
        fn reversed(&mut self) -> io::Result<String> {
            let mut buffer = [0; 16];
            let count = self.0.read(&mut buffer)?;
            Ok(buffer[..count].iter().rev().map(|&byte| char::from(byte)).collect())
        }
    }
    ropewalk::run(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let mut right = Async::new(Reversing(right)).unwrap();
        let mut left = Async::new(left).unwrap();
        task::scope(|s| {
            s.spawn(move || {
                task::yield_now();
                left.write_with_mut(|stream| stream.write_all(b"epor")).unwrap();
            });
            assert_eq!(right.read_with_mut(Reversing::reversed).unwrap(), "rope");
        });
    });
}

#[test]
fn regular_files_are_always_ready() {
    ropewalk::run(|| {
        let path = std::env::temp_dir().join(format!("ropewalk-async-fd-{}", std::process::id()));
        let mut file = Async::new(File::create(&path).unwrap()).unwrap();
        file.wait_writable().unwrap();
        file.write_all(b"in a file").unwrap();
        let mut file = Async::new(File::open(&path).unwrap()).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "in a file");
    });
}

#[test]
fn a_descriptor_may_be_borrowed_and_is_left_open() {
    ropewalk::run(|| {
        let (left, right) = UnixStream::pair().unwrap();
        for round in 0..3 {
            let (mut near, mut far) = (Async::new(&left).unwrap(), Async::new(right.as_fd()).unwrap());
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    near.write_all(&[round]).unwrap();
                });
                let mut byte = [9];
                far.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [round]);
            });
            near.into_inner().unwrap();
        }
    });
}

#[test]
fn one_that_is_shared_is_waited_for_by_each_and_each_wait_can_be_cancelled() {
    ropewalk::run(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut near, far) = (Async::new(&left).unwrap(), Async::new(&right).unwrap());
        let again = Async::new(&right).unwrap();
        // The first is known to the driver.
        let soon = Duration::from_millis(2);
        for shared in [&far, &again, &far, &again] {
            assert!(time::timeout(soon, || shared.wait_readable()).is_err());
        }
        // Nobody waits for that.
        near.write_all(b"x").unwrap();
        time::sleep(soon).unwrap();
        (&again).read_exact(&mut [0]).unwrap();
        task::scope(|s| {
            s.spawn(|| (&again).read_exact(&mut [0]).unwrap());
            task::yield_now();
            near.write_all(b"y").unwrap();
        });
    });
}

#[test]
fn one_that_is_shared_is_still_waited_for_when_another_of_its_users_is_gone() {
    ropewalk::run(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let first = Async::new(&right).unwrap();
        assert!(time::timeout(Duration::from_millis(2), || first.wait_readable()).is_err());
        let mut second = Async::new(&right).unwrap();
        task::scope(|s| {
            let waiting = s.spawn(|| {
                let mut byte = [0];
                second.read_exact(&mut byte).map(|()| byte[0])
            });
            task::yield_now();
            drop(first);
            time::sleep(Duration::from_millis(2)).unwrap();
            assert!(!waiting.is_finished());
            (&left).write_all(b"x").unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), b'x');
        });
    });
}

#[test]
fn one_that_is_closed_and_opened_again_under_the_same_number_is_a_new_one() {
    ropewalk::run(|| {
        for _ in 0..50 {
            let (left, mut right) = unix_pair();
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    drop(left);
                });
                assert_eq!(right.read(&mut [0]).unwrap(), 0);
            });
            // Into which the ends of a pipe come, with the same numbers.
            drop(right);
            let (mut reader, mut writer) = pipe().unwrap();
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    writer.write_all(b"x").unwrap();
                });
                reader.read_exact(&mut [0]).unwrap();
            });
        }
    });
}

#[test]
fn it_is_sent_to_other_threads_if_what_it_holds_is() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<Async<UnixStream>>();
    ask::<Async<OwnedFd>>();
}

#[test]
fn it_can_be_an_arm_beside_others() {
    ropewalk::run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Async::new(near).unwrap();
        let nothing = time::sleeping(Duration::from_millis(1));
        assert!(matches!(select((near.readable(), nothing)), Ok(Chosen::Second(()))));
        far.write_all(b"!").unwrap();
        match select((near.readable(), near.writable())).unwrap() {
            Chosen::First(ready) | Chosen::Second(ready) => ready.unwrap(),
        }
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
    });
}
