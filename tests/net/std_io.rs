//! What std gives on top of `Read` and `Write` works unchanged, and a cancellation passes through it as the error it is.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, IoSlice, LineWriter, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use ropewalk::net::TcpStream;
use ropewalk::{Cancelled, task, time};

use super::pair;

/// Some megabytes, no two pages of which are the same.
fn many_bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

const SOON: Duration = Duration::from_millis(5);

/// Runs `call` until a deadline cuts it short, which it tells as an error of its own.
#[track_caller]
fn cut_short<T: std::fmt::Debug>(call: impl FnOnce() -> io::Result<T>) {
    let error = time::timeout(SOON, call).unwrap_err().into_inner().unwrap_err();
    assert!(Cancelled::is(&error), "{error}");
    assert_ne!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn buffered_readers_and_writers_carry_what_is_written_line_by_line() {
    ropewalk::run(|| {
        let (near, far) = pair();
        task::scope(|s| {
            s.spawn(move || {
                let mut writer = BufWriter::with_capacity(1000, near);
                for number in 0..20_000 {
                    writeln!(writer, "line {number}").unwrap();
                }
                writer.into_inner().unwrap().shutdown(Shutdown::Write).unwrap();
            });
            let mut count = 0;
            for (number, line) in BufReader::new(far).lines().enumerate() {
                assert_eq!(line.unwrap(), format!("line {number}"));
                count += 1;
            }
            assert_eq!(count, 20_000);
        });
    });
}

#[test]
fn a_line_writer_sends_each_line_when_it_is_whole() {
    ropewalk::run(|| {
        let (near, far) = pair();
        let mut writer = LineWriter::new(near);
        let mut reader = BufReader::new(far);
        let mut line = String::new();
        writer.write_all(b"half").unwrap();
        cut_short(|| reader.fill_buf().map(<[u8]>::len));
        writer.write_all(b" and half\nrest").unwrap();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "half and half\n");
        drop(writer);
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "half and half\nrest");
    });
}

#[test]
fn copies_take_the_largest_steps_and_the_smallest() {
    ropewalk::run(|| {
        let bytes = many_bytes(3_000_000);
        let (near, far) = pair();
        let (back, end) = pair();
        task::scope(|s| {
            s.spawn(|| {
                (&near).write_all(&bytes).unwrap();
                near.shutdown(Shutdown::Write).unwrap();
            });
            s.spawn(|| {
                // From stream to stream, and through buffers of two sizes.
                let mut reader = BufReader::with_capacity(7, &far);
                let mut writer = BufWriter::with_capacity(100_000, &back);
                assert_eq!(io::copy(&mut reader, &mut writer).unwrap(), bytes.len() as u64);
                writer.flush().unwrap();
                back.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            assert_eq!(io::copy(&mut &end, &mut received).unwrap(), bytes.len() as u64);
            assert!(received == bytes);
        });
    });
}

#[test]
fn takes_and_chains_end_where_they_should() {
    ropewalk::run(|| {
        let (mut near, far) = pair();
        near.write_all(b"headbodytail").unwrap();
        drop(near);
        let mut text = String::new();
        (&far).take(4).read_to_string(&mut text).unwrap();
        assert_eq!(text, "head");
        let mut text = String::new();
        (&b"<"[..]).chain((&far).take(4)).chain(&b">"[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<body>");
        let rest: Vec<u8> = BufReader::new(far).bytes().map(Result::unwrap).collect();
        assert_eq!(rest, b"tail");
    });
}

#[test]
fn all_that_reads_to_an_end_or_exactly_says_when_the_end_came_too_soon() {
    ropewalk::run(|| {
        let (mut near, mut far) = pair();
        near.write_all(b"seven..").unwrap();
        drop(near);
        let error = far.read_exact(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let mut all = Vec::new();
        assert_eq!(far.read_to_end(&mut all).unwrap(), 0);
    });
}

#[test]
fn several_buffers_are_written_and_read_in_order() {
    ropewalk::run(|| {
        let (mut near, mut far) = pair();
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two "), IoSlice::new(b"three")];
        let written = near.write_vectored(&parts).unwrap();
        near.write_all(&b"one two three"[written..]).unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
    });
}

#[test]
fn formatted_text_goes_straight_to_a_shared_stream() {
    ropewalk::run(|| {
        let (near, far) = pair();
        let (word, number) = ("rope", 7);
        write!(&near, "{word}-{number:>3}").unwrap();
        drop(near);
        assert_eq!(io::read_to_string(far).unwrap(), "rope-  7");
    });
}

#[test]
fn exact_reads_and_copies_end_with_the_cancellation_and_do_not_try_for_ever() {
    ropewalk::run(|| {
        let (near, mut far) = pair();
        cut_short(|| far.read_exact(&mut [0; 10]));
        cut_short(|| io::copy(&mut far, &mut io::sink()));
        cut_short(|| far.read_to_end(&mut Vec::new()));
        cut_short(|| io::read_to_string(&mut far));
        cut_short(|| BufReader::new(&far).lines().next().unwrap());
        cut_short(|| BufReader::new(&far).split(b';').next().unwrap());
        cut_short(|| BufReader::new(&far).bytes().next().unwrap());
        cut_short(|| (&far).take(3).chain(&b"x"[..]).read_exact(&mut [0; 4]));
        cut_short(|| io::copy(&mut io::repeat(7), &mut &near));
        // Nobody reads it: sooner or later these wait too.
        cut_short(|| -> io::Result<()> {
            loop {
                (&near).write_all(&[0; 10])?;
            }
        });
        cut_short(|| -> io::Result<()> {
            loop {
                write!(&near, "{:>1$}", 'x', 60_000)?;
            }
        });
    });
}

#[test]
fn in_a_cancelled_scope_a_whole_stack_of_adapters_fails_at_once_and_goes_on_outside() {
    ropewalk::run(|| {
        let (mut near, far) = pair();
        near.write_all(b"first\nsecond\n").unwrap();
        let mut reader = BufReader::new(far.take(100));
        let mut line = String::new();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&reader.read_line(&mut line).unwrap_err()));
            assert!(Cancelled::is(&reader.read_line(&mut line).unwrap_err()));
        });
        assert_eq!(line, "");
        reader.read_line(&mut line).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            // It is in the buffer: nothing is waited for.
            reader.read_line(&mut line).unwrap();
        });
        assert_eq!(line, "first\nsecond\n");
    });
}

#[test]
fn what_was_read_before_the_deadline_is_where_std_says() {
    ropewalk::run(|| {
        let (mut near, far) = pair();
        near.write_all(b"part of a lin").unwrap();
        let mut reader = BufReader::new(&far);
        let mut line = Vec::new();
        cut_short(|| reader.read_until(b'\n', &mut line));
        assert_eq!(line, b"part of a lin");
        near.write_all(b"e\n").unwrap();
        // The same buffer again: it goes on.
        reader.read_until(b'\n', &mut line).unwrap();
        assert_eq!(line, b"part of a line\n");

        near.write_all(b"all of it").unwrap();
        let mut all = Vec::new();
        cut_short(|| reader.read_to_end(&mut all));
        assert_eq!(all, b"all of it");

        near.write_all(b"copied").unwrap();
        let mut copied = Vec::new();
        cut_short(|| io::copy(&mut reader, &mut copied));
        assert_eq!(copied, b"copied");
    });
}

#[test]
fn what_std_s_text_readers_lose_is_as_the_documents_say() {
    ropewalk::run(|| {
        let (mut near, far) = pair();
        let mut reader = BufReader::new(&far);
        let mut line = String::new();
        near.write_all(b"kept").unwrap();
        cut_short(|| reader.read_line(&mut line));
        assert_eq!(line, "kept");
        // A letter cut in two is no text, and what came with it is gone.
        near.write_all(b" lost\xc3").unwrap();
        cut_short(|| reader.read_line(&mut line));
        assert_eq!(line, "kept");
        near.write_all(b"gone").unwrap();
        let mut lines = reader.lines();
        cut_short(|| lines.next().unwrap());
        near.write_all(b"rest\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "rest");
    });
}

#[test]
fn a_buffered_writer_that_is_cut_short_still_has_what_it_could_not_send() {
    ropewalk::run(|| {
        let bytes = many_bytes(20_000_000);
        let (near, far) = pair();
        let mut writer = BufWriter::with_capacity(64 * 1024, &near);
        let mut accepted = 0;
        let error = time::timeout(SOON, || {
            for part in bytes.chunks(1000) {
                writer.write_all(part)?;
                accepted += part.len();
            }
            Ok::<_, io::Error>(())
        });
        assert!(Cancelled::is(&error.unwrap_err().into_inner().unwrap_err()));
        assert!(accepted > 0);
        task::scope(|s| {
            let received = s.spawn(|| {
                let mut received = Vec::new();
                (&far).read_to_end(&mut received).unwrap();
                received
            });
            writer.write_all(&bytes[accepted..]).unwrap();
            writer.flush().unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            assert!(received.join().unwrap() == bytes);
        });
    });
}

#[test]
fn wherever_a_copy_is_cut_short_all_it_took_is_in_one_place_or_the_other() {
    ropewalk::run(|| {
        let bytes = many_bytes(400_000);
        let (near, far) = pair();
        let received = RefCell::new(Vec::new());
        task::scope(|s| {
            s.spawn(|| {
                for part in bytes.chunks(10_000) {
                    (&near).write_all(part).unwrap();
                    task::yield_now();
                }
                near.shutdown(Shutdown::Write).unwrap();
            });
            // Each copy is cancelled after some turns; the next one goes on where it ended.
            for turns in (0..8).cycle() {
                let ended = task::scope(|inner| {
                    let copying = inner.spawn(|| io::copy(&mut &far, &mut *received.borrow_mut()));
                    for _ in 0..turns {
                        task::yield_now();
                    }
                    copying.cancel();
                    match copying.join() {
                        Ok(Ok(_)) => true,
                        Ok(Err(error)) => {
                            assert!(Cancelled::is(&error), "{error}");
                            false
                        }
                        // Cancelled before it began.
                        Err(_) => false,
                    }
                });
                if ended {
                    break;
                }
            }
        });
        assert!(received.into_inner() == bytes);
    });
}

#[test]
fn boxes_and_dynamic_streams_are_streams() {
    trait Stream: Read + Write {}
    impl Stream for TcpStream {}
    ropewalk::run(|| {
        let (near, far) = pair();
        let mut boxed: Box<dyn Stream> = Box::new(near);
        boxed.write_all(b"boxed\n").unwrap();
        let mut line = String::new();
        BufReader::new(Box::new(far) as Box<dyn Read>).read_line(&mut line).unwrap();
        assert_eq!(line, "boxed\n");
    });
}
