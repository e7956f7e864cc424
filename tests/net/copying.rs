//! Copying both ways: ends are passed on, errors end both directions, and what was underway is given back.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ropewalk::io::{Async, CloseWrite, Copied, CopyDirection, CopyError, copy_bidirectional};
use ropewalk::net::TcpStream;
use ropewalk::{Cancelled, task, testing, time};

use super::pair;

/// A stream in memory: what is read from it, and what happens instead of the last read or of a write.
#[derive(Default)]
struct Scripted {
    parts: RefCell<Vec<&'static [u8]>>,
    then: Option<ErrorKind>,
    takes: Cell<usize>,
    written: RefCell<Vec<u8>>,
    is_ended: Cell<bool>,
    flushed: Cell<usize>,
}

impl Read for &Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.parts.borrow().is_empty() {
            return self.then.map_or(Ok(0), |kind| Err(kind.into()));
        }
        self.parts.borrow_mut().remove(0).read(buffer)
    }
}

impl Write for &Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.takes.get());
        self.takes.set(self.takes.get() - count);
        self.written.borrow_mut().extend_from_slice(&bytes[..count]);
        if count == 0 { Err(ErrorKind::BrokenPipe.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed.set(self.written.borrow().len());
        Ok(())
    }
}

impl CloseWrite for Scripted {
    fn close_write(&self) -> io::Result<()> {
        self.is_ended.set(true);
        Ok(())
    }
}

/// Two clients that talk through what copies both ways between them.
fn with_proxy(clients: impl FnOnce(TcpStream, TcpStream)) -> Result<(u64, u64), CopyError> {
    let (left, a) = pair();
    let (b, right) = pair();
    task::scope(|s| {
        let copying = s.spawn(move || copy_bidirectional(&a, &b));
        clients(left, right);
        copying.join().unwrap()
    })
}

#[test]
fn each_end_is_passed_on_while_the_other_direction_goes_on() {
    ropewalk::run(|| {
        let copied = with_proxy(|mut left, mut right| {
            left.write_all(b"question").unwrap();
            left.shutdown(Shutdown::Write).unwrap();
            let mut question = String::new();
            right.read_to_string(&mut question).unwrap();
            assert_eq!(question, "question");
            for _ in 0..3 {
                right.write_all(b"answer").unwrap();
                left.read_exact(&mut [0; 6]).unwrap();
            }
            drop(right);
            assert_eq!(left.read(&mut [0]).unwrap(), 0);
        });
        assert_eq!(copied.unwrap(), (8, 18));
    });
}

#[test]
fn megabytes_go_both_ways_at_the_same_time() {
    ropewalk::run(|| {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let copied = with_proxy(|left, right| {
            task::scope(|s| {
                for stream in [&left, &right] {
                    let bytes = &bytes;
                    s.spawn(move || {
                        (&*stream).write_all(bytes).unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    s.spawn(move || {
                        let mut received = Vec::new();
                        (&*stream).read_to_end(&mut received).unwrap();
                        assert!(received == *bytes);
                    });
                }
            });
        });
        assert_eq!(copied.unwrap(), (3_000_000, 3_000_000));
    });
}

#[test]
fn a_slow_reader_holds_the_writer_up_and_nothing_is_heaped_up_between() {
    ropewalk::run(|| {
        let (left, a) = pair();
        let (b, right) = pair();
        task::scope(|s| {
            s.spawn(|| copy_bidirectional(&a, &b).map_err(drop));
            // Nobody reads at the right.
            let sent = Cell::new(0);
            let ended = time::timeout(Duration::from_millis(100), || {
                loop {
                    sent.set(sent.get() + (&left).write(&[0; 65536])?);
                }
                #[allow(unreachable_code)]
                Ok::<_, io::Error>(())
            });
            assert!(Cancelled::is(&ended.unwrap_err().into_inner().unwrap_err()));
            left.shutdown(Shutdown::Write).unwrap();
            let received = io::copy(&mut &right, &mut io::sink()).unwrap();
            assert_eq!(received, sent.get() as u64);
            right.shutdown(Shutdown::Write).unwrap();
        });
    });
}

#[test]
fn an_error_ends_both_directions_and_says_in_which_one_it_was() {
    ropewalk::run(|| {
        let error = with_proxy(|left, right| {
            // A reset: the other direction would wait for ever.
            right.set_linger(Some(Duration::ZERO)).unwrap();
            drop(right);
            assert_eq!((&left).read(&mut [0]).unwrap(), 0);
        })
        .unwrap_err();
        assert_eq!(error.direction, CopyDirection::BToA);
        assert_eq!(error.error.kind(), ErrorKind::ConnectionReset);
        let text = error.to_string();
        assert!(text.starts_with("copying from the second stream to the first: "), "{text}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_could_not_be_written_any_more_is_in_the_error() {
    ropewalk::run(|| {
        let a = Scripted { parts: RefCell::new(vec![b"one", b"two", b"three"]), ..Scripted::default() };
        let b = Scripted { takes: Cell::new(8), ..Scripted::default() };
        let error = copy_bidirectional(&a, &b).unwrap_err();
        assert_eq!(error.direction, CopyDirection::AToB);
        assert_eq!(error.error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(error.a_to_b, Copied { bytes: 8, unwritten: b"ree".to_vec() });
        assert_eq!(error.b_to_a, Copied::default());
        assert_eq!(*b.written.borrow(), b"onetwoth");
        // What did get through whole was not held back.
        assert_eq!(b.flushed.get(), 6);
        assert!(!b.is_ended.get());
        // And that direction had ended before.
        assert!(a.is_ended.get());
    });
}

#[test]
fn a_read_that_fails_leaves_what_came_before_written() {
    ropewalk::run(|| {
        let a = Scripted {
            parts: RefCell::new(vec![b"before"]),
            then: Some(ErrorKind::ConnectionReset),
            ..Scripted::default()
        };
        let b = Scripted { takes: Cell::new(100), ..Scripted::default() };
        let error = copy_bidirectional(&a, &b).unwrap_err();
        assert_eq!((error.direction, error.error.kind()), (CopyDirection::AToB, ErrorKind::ConnectionReset));
        assert_eq!(error.a_to_b, Copied { bytes: 6, unwritten: Vec::new() });
        assert_eq!(*b.written.borrow(), b"before");
    });
}

#[test]
fn cancelled_it_ends_with_what_it_had_read_and_not_written() {
    ropewalk::run(|| {
        let (left, a) = pair();
        let (b, right) = pair();
        task::scope(|s| {
            let copying = s.spawn(|| copy_bidirectional(&a, &b));
            let sent = Cell::new(0_u64);
            let filled = time::timeout(Duration::from_millis(50), || {
                while let Ok(count) = (&left).write(&[1; 65536]) {
                    sent.set(sent.get() + count as u64);
                }
            });
            assert!(filled.is_err());
            copying.cancel();
            let error = copying.join().unwrap().unwrap_err();
            assert!(Cancelled::is(&error.error), "{error}");
            drop(left);
            // What is still in the stream, what was taken out of it, and what went through, is all there ever was.
            b.shutdown(Shutdown::Write).unwrap();
            let through = io::copy(&mut &right, &mut io::sink()).unwrap();
            assert_eq!(through, error.a_to_b.bytes);
            let left_over = io::copy(&mut &a, &mut io::sink()).unwrap();
            let underway = error.a_to_b.unwritten.len() as u64;
            assert!(underway > 0);
            assert_eq!(through + underway + left_over, sent.get());
            assert!(Cancelled::is(&io::Error::from(error)));
        });
    });
}

#[test]
fn cancelled_at_any_moment_each_byte_is_in_one_place() {
    fn async_pair() -> (Async<UnixStream>, Async<UnixStream>) {
        let (left, right) = UnixStream::pair().unwrap();
        (Async::new(left).unwrap(), Async::new(right).unwrap())
    }
    let all = |mut stream: &Async<UnixStream>| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let moments = testing::cancel_everywhere(|cut| {
        let (left, a) = async_pair();
        let (b, right) = async_pair();
        let copied = task::scope(|s| {
            for (mut stream, parts) in [(&left, ["to ", "the ", "right"]), (&right, ["to ", "the ", "left"])]
            {
                s.spawn(move || {
                    for part in parts {
                        stream.write_all(part.as_bytes()).unwrap();
                        task::yield_now();
                    }
                    stream.close_write().unwrap();
                });
            }
            cut.here(|| copy_bidirectional(&a, &b))
        });
        let (a_to_b, b_to_a) = match copied {
            Ok((a_to_b, b_to_a)) => {
                let copied = |bytes| Copied { bytes, unwritten: Vec::new() };
                (copied(a_to_b), copied(b_to_a))
            }
            Err(error) => (error.a_to_b, error.b_to_a),
        };
        a.close_write().unwrap();
        b.close_write().unwrap();
        for (from, to, copied, sent) in
            [(&a, &right, a_to_b, &b"to the right"[..]), (&b, &left, b_to_a, b"to the left")]
        {
            let there = all(to);
            assert_eq!(there.len() as u64, copied.bytes);
            assert_eq!([there, copied.unwritten, all(from)].concat(), sent);
        }
    });
    assert!(moments >= 10, "{moments}");
}

#[test]
fn a_panic_in_one_direction_ends_the_other() {
    struct Panics;
    impl Read for &Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("in a stream");
        }
    }
    impl Write for &Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl CloseWrite for Panics {
        fn close_write(&self) -> io::Result<()> {
            Ok(())
        }
    }
    ropewalk::run(|| {
        for panics_first in [true, false] {
            let (_left, a) = pair();
            let copying = task::spawn(move || match panics_first {
                true => copy_bidirectional(&Panics, &a).map_err(drop),
                false => copy_bidirectional(&a, &Panics).map_err(drop),
            });
            assert_eq!(crate::world::panic_of(copying.join()), "in a stream");
        }
    });
}
