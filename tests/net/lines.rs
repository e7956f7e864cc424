//! Lines, delimiters and counts, within limits: whatever happens in the middle of a piece, nothing is lost and nothing grows.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::time::Duration;

use ropewalk::io::{Incomplete, LimitExceeded, LineReader, pipe};
use ropewalk::net::TcpStream;
use ropewalk::{Cancelled, task, testing, time};

use super::pair;

/// Gives its bytes in parts of `most`, with an error before each.
struct Reluctant<'a> {
    bytes: &'a [u8],
    most: usize,
    refuses: Option<ErrorKind>,
    is_refusing: bool,
}

impl<'a> Reluctant<'a> {
    fn new(bytes: &'a [u8], most: usize, refuses: Option<ErrorKind>) -> Reluctant<'a> {
        Reluctant { bytes, most, refuses, is_refusing: false }
    }
}

impl Read for Reluctant<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_refusing = !self.is_refusing;
        if let (true, Some(kind)) = (self.is_refusing, self.refuses) {
            return Err(kind.into());
        }
        let count = self.most.min(buffer.len());
        self.bytes.read(&mut buffer[..count])
    }
}

/// Calls until it is no longer refused.
fn insist<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

fn exceeded<T>(result: io::Result<T>) -> Option<usize> {
    LimitExceeded::in_error(&result.err()?).map(|error| error.limit())
}

#[test]
fn a_line_that_is_cut_short_by_a_timeout_is_read_whole_by_the_next_call() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let mut reader = LineReader::new(reader);
        // The first byte of a letter that has two.
        writer.write_all(b"half a line \xc3").unwrap();
        let cut = time::timeout(Duration::from_millis(5), || reader.next_line().map(drop));
        assert!(Cancelled::is(&cut.unwrap_err().into_inner().unwrap_err()));
        assert_eq!(reader.buffer(), b"half a line \xc3");
        writer.write_all(b"\xa9\nand another\n").unwrap();
        assert_eq!(reader.next_line().unwrap(), Some("half a line \u{e9}"));
        assert_eq!(reader.next_line().unwrap(), Some("and another"));
    });
}

#[test]
fn std_s_own_lines_lose_nothing_to_a_timeout_either() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let mut lines = LineReader::new(reader).lines();
        writer.write_all(b"one\ntw").unwrap();
        let soon = Duration::from_millis(5);
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert!(time::timeout(soon, || lines.next()).is_err());
        writer.write_all(b"o\n").unwrap();
        drop(writer);
        assert_eq!(lines.next().unwrap().unwrap(), "two");
        assert!(lines.next().is_none());
    });
}

#[test]
fn a_delimiter_or_a_count_that_is_cut_short_is_still_there() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let mut reader = LineReader::new(reader);
        let soon = Duration::from_millis(5);
        // All of the delimiter but its last byte.
        writer.write_all(b"head\r\n\r").unwrap();
        assert!(time::timeout(soon, || reader.next_until(b"\r\n\r\n").map(drop)).is_err());
        writer.write_all(b"\nbo").unwrap();
        assert_eq!(reader.next_until(b"\r\n\r\n").unwrap(), Some(&b"head"[..]));
        assert!(time::timeout(soon, || reader.next_exact(4).map(drop)).is_err());
        assert!(time::timeout(soon, || reader.read_exact(&mut [0; 4])).is_err());
        writer.write_all(b"dy").unwrap();
        assert_eq!(reader.next_exact(4).unwrap(), Some(&b"body"[..]));
    });
}

#[test]
fn a_line_that_never_ends_costs_no_more_than_the_limit() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let mut reader = LineReader::with_limit(10_000, reader);
        task::scope(|s| {
            s.spawn(move || {
                // Until the other side has had enough.
                while writer.write_all(&[b'a'; 4096]).is_ok() {}
            });
            assert_eq!(exceeded(reader.next_line()), Some(10_000));
            assert!(reader.buffer().len() <= 10_002, "{}", reader.buffer().len());
            // And again, as often as it is asked.
            assert_eq!(exceeded(reader.next_line()), Some(10_000));
            assert!(reader.buffer().len() <= 10_002, "{}", reader.buffer().len());
            drop(reader);
        });
    });
}

#[test]
fn a_line_is_refused_as_soon_as_it_is_certain_to_be_too_long() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let mut reader = LineReader::with_limit(4, reader);
        // Whether another byte comes or not: nobody waits for it.
        writer.write_all(b"abcdef").unwrap();
        assert_eq!(exceeded(reader.next_line()), Some(4));
        assert_eq!(exceeded(reader.next_until(b";")), Some(4));
        assert_eq!(reader.buffer(), b"abcdef");
    });
}

#[test]
fn a_line_that_is_too_long_is_skipped_or_allowed_but_never_cut() {
    let text = b"short\nquite a bit longer\nlast\n";
    for most in 1..text.len() {
        let mut reader = LineReader::with_limit(8, Reluctant::new(text, most, None));
        assert_eq!(reader.next_line().unwrap(), Some("short"));
        assert_eq!(exceeded(reader.next_line()), Some(8));
        assert_eq!(exceeded(reader.read_line(&mut String::new())), Some(8));
        assert_eq!(exceeded(reader.read_until(b'\n', &mut Vec::new())), Some(8));
        assert_eq!(exceeded(reader.next_until(b"\n")), Some(8));
        reader.skip_until(b'\n').unwrap();
        assert_eq!(reader.next_line().unwrap(), Some("last"));

        let mut reader = LineReader::with_limit(8, Reluctant::new(text, most, None));
        assert_eq!(reader.next_line().unwrap(), Some("short"));
        assert_eq!(exceeded(reader.next_line()), Some(8));
        reader.set_limit(18);
        assert_eq!(reader.next_line().unwrap(), Some("quite a bit longer"));
        assert_eq!(reader.limit(), 18);
    }
}

#[test]
fn the_limit_counts_neither_a_line_break_nor_a_delimiter_however_the_bytes_arrive() {
    let longest = vec![b'x'; 20_000];
    for end in ["\n", "\r\n"] {
        for most in [1, 7, 4096, 100_000] {
            let text = [&longest[..], end.as_bytes(), b"rest"].concat();
            let mut reader = LineReader::with_limit(20_000, Reluctant::new(&text, most, None));
            assert_eq!(reader.next_line().unwrap().map(str::len), Some(20_000));
            assert_eq!(reader.next_line().unwrap(), Some("rest"));
            let mut reader = LineReader::with_limit(19_999, Reluctant::new(&text, most, None));
            assert_eq!(exceeded(reader.next_line()), Some(19_999));
            let mut reader = LineReader::with_limit(20_000, Reluctant::new(&text, most, None));
            assert_eq!(reader.next_until(end.as_bytes()).unwrap().map(<[u8]>::len), Some(20_000));
            // A last line has a limit too.
            let mut reader = LineReader::with_limit(20_000, Reluctant::new(&longest, most, None));
            assert_eq!(reader.next_line().unwrap().map(str::len), Some(20_000));
            let mut reader = LineReader::with_limit(19_999, Reluctant::new(&longest, most, None));
            assert_eq!(exceeded(reader.next_line()), Some(19_999));
        }
    }
}

#[test]
fn whoever_ignores_that_a_line_is_too_long_keeps_nobody_from_running() {
    ropewalk::run(|| {
        let mut lines = LineReader::with_limit(4, &b"too long\n"[..]).lines();
        let mut turns = 0;
        task::scope(|s| {
            let other = s.spawn(|| {
                for _ in 0..3 {
                    task::yield_now();
                }
            });
            while !other.is_finished() {
                assert!(lines.next().unwrap().is_err());
                turns += 1;
            }
        });
        assert!(turns >= 3, "{turns}");
    });
}

#[test]
fn what_is_no_text_is_refused_and_still_there_as_bytes() {
    let mut reader = LineReader::new(&b"\xff\xfe\nnext\n"[..]);
    assert_eq!(reader.next_line().unwrap_err().kind(), ErrorKind::InvalidData);
    let mut line = String::from("kept");
    assert_eq!(reader.read_line(&mut line).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(line, "kept");
    assert_eq!(reader.next_until(b"\n").unwrap(), Some(&b"\xff\xfe"[..]));
    assert_eq!(reader.next_line().unwrap(), Some("next"));
}

#[test]
fn a_stream_that_ends_within_a_piece_is_told_from_one_that_ends_between() {
    let mut reader = LineReader::new(&b"whole;cut"[..]);
    assert_eq!(reader.next_until(b";").unwrap(), Some(&b"whole"[..]));
    let error = reader.next_until(b";").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let incomplete = Incomplete::in_error(&error).unwrap();
    assert_eq!((incomplete.received(), incomplete.expected()), (3, None));
    let error = reader.next_exact(4).unwrap_err();
    let incomplete = Incomplete::in_error(&error).unwrap();
    assert_eq!((incomplete.received(), incomplete.expected()), (3, Some(4)));
    assert_eq!(reader.buffer(), b"cut");
    assert_eq!(reader.next_exact(3).unwrap(), Some(&b"cut"[..]));
    assert_eq!(reader.next_exact(1).unwrap(), None);
    assert_eq!(reader.next_exact(0).unwrap(), Some(&b""[..]));
    assert_eq!(reader.next_until(b";").unwrap(), None);
    assert_eq!(reader.next_line().unwrap(), None);
}

#[test]
fn a_count_above_the_limit_is_refused_before_anything_is_waited_for() {
    ropewalk::run(|| {
        let (_writer, reader) = pair();
        let mut reader = LineReader::with_limit(100, reader);
        // Nobody ever writes.
        assert_eq!(exceeded(reader.next_exact(101)), Some(100));
        assert_eq!(exceeded(reader.next_exact(usize::MAX)), Some(100));
    });
}

#[test]
fn of_several_ends_the_one_counts_that_is_complete_first_however_the_bytes_arrive() {
    let text = b"a\r\nb\nc\r\n\r\nd--e-";
    let ends: [&[u8]; 4] = [b"\n", b"\r\n", b"\r\n\r\n", b"--"];
    for most in 1..=text.len() {
        let mut reader = LineReader::new(Reluctant::new(text, most, None));
        let mut pieces = Vec::new();
        let error = loop {
            match reader.next_until_any(&ends) {
                Ok(Some((piece, which))) => pieces.push((String::from_utf8_lossy(piece).into_owned(), which)),
                Ok(None) => panic!("it ends within a piece"),
                Err(error) => break error,
            }
        };
        let pieces: Vec<_> = pieces.iter().map(|(piece, which)| (piece.as_str(), *which)).collect();
        assert_eq!(pieces, [("a", 1), ("b", 0), ("c", 1), ("", 1), ("d", 3)], "in parts of {most}");
        assert_eq!(Incomplete::in_error(&error).unwrap().received(), 2);
    }
}

#[test]
fn a_delimiter_that_begins_twice_is_found() {
    for (text, end) in [(&b"aaab"[..], &b"aab"[..]), (b"xabababc", b"ababc"), (b"\r\r\n", b"\r\n")] {
        for most in 1..=text.len() {
            let mut reader = LineReader::new(Reluctant::new(text, most, None));
            let expected = &text[..text.len() - end.len()];
            assert_eq!(reader.next_until(end).unwrap(), Some(expected));
        }
    }
}

/// What it takes to find pieces one byte after the other.
fn split_slowly<'a>(mut text: &'a [u8], ends: &[&[u8]]) -> Vec<(&'a [u8], usize)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at <= text.len() {
        let complete = ends.iter().enumerate().filter(|(_, end)| text[..at].ends_with(end));
        if let Some((which, end)) = complete.max_by_key(|(_, end)| end.len()) {
            pieces.push((&text[..at - end.len()], which));
            text = &text[at..];
            at = 0;
        } else {
            at += 1;
        }
    }
    pieces
}

#[test]
fn pieces_are_those_that_a_slow_search_finds_also_when_each_read_is_refused_first() {
    let ends: [&[u8]; 3] = [b"ab", b"ba", b"bab"];
    // All texts of up to nine letters, of two.
    for length in 0..10 {
        for number in 0..1_u32 << length {
            let text: Vec<u8> = (0..length).map(|bit| b'a' + (number >> bit & 1) as u8).collect();
            for most in [1, 2, 100] {
                let mut reader = LineReader::new(Reluctant::new(&text, most, Some(ErrorKind::WouldBlock)));
                let mut pieces = Vec::new();
                while let Ok(Some((piece, which))) = insist(|| {
                    reader
                        .next_until_any(&ends)
                        .map(|piece| piece.map(|(piece, which)| (piece.to_vec(), which)))
                }) {
                    pieces.push((piece, which));
                }
                let pieces: Vec<_> = pieces.iter().map(|(piece, which)| (&piece[..], *which)).collect();
                assert_eq!(pieces, split_slowly(&text, &ends), "{text:?} in parts of {most}");
            }
        }
    }
}

#[test]
fn a_byte_is_found_among_those_that_look_like_it() {
    for wanted in [0x00, 0x01, 0x0a, 0x7f, 0x80, 0x8a, 0xff_u8] {
        for like in
            [wanted ^ 0x01, wanted ^ 0x80, wanted ^ 0x81, wanted.wrapping_sub(1), wanted.wrapping_add(1)]
        {
            for length in 0..40 {
                let mut text = vec![like; length];
                text.extend([wanted, like, wanted]);
                let mut reader = LineReader::new(&text[..]);
                assert_eq!(reader.next_until(&[wanted]).unwrap(), Some(&text[..length]));
                assert_eq!(reader.next_until(&[wanted]).unwrap(), Some(&[like][..]));
                assert_eq!(reader.next_until(&[wanted]).unwrap(), None);
            }
        }
    }
}

#[test]
fn what_std_s_buffered_reader_reads_is_read_the_same_when_each_read_is_refused_first() {
    let mut text = Vec::new();
    for number in 0..2000_usize {
        text.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, number * 7919 % 300));
        text.extend_from_slice(if number % 3 == 0 { b"\r\n" } else { b"\n" });
    }
    text.extend_from_slice(b"no line break");
    let expected: Vec<String> = io::BufReader::new(&text[..]).lines().map(Result::unwrap).collect();
    for (most, refuses) in
        [(1, None), (13, Some(ErrorKind::WouldBlock)), (5000, Some(ErrorKind::Interrupted)), (1 << 20, None)]
    {
        let mut reader = LineReader::with_limit(300, Reluctant::new(&text, most, refuses));
        let mut lines = Vec::new();
        while let Some(line) = insist(|| reader.next_line().map(|line| line.map(str::to_owned))).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, expected);
        let mut reader = LineReader::with_limit(302, Reluctant::new(&text, most, refuses));
        let mut all = Vec::new();
        while insist(|| reader.read_until(b'\n', &mut all)).unwrap() > 0 {}
        assert_eq!(all, text);
        let mut reader = LineReader::with_limit(302, Reluctant::new(&text, most, refuses));
        let mut all = String::new();
        while insist(|| reader.read_line(&mut all)).unwrap() > 0 {}
        assert_eq!(all.as_bytes(), text);
    }
}

#[test]
fn lines_counts_and_std_s_methods_take_turns_on_one_reader() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        task::scope(|s| {
            s.spawn(move || {
                for byte in b"PUT 5\n01234key=value;tail of it" {
                    writer.write_all(&[*byte]).unwrap();
                    task::yield_now();
                }
            });
            let mut reader = LineReader::new(reader);
            assert_eq!(reader.next_line().unwrap(), Some("PUT 5"));
            let mut first = [0; 2];
            reader.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"01");
            assert_eq!(reader.next_exact(3).unwrap(), Some(&b"234"[..]));
            assert_eq!(reader.next_until(b"=").unwrap(), Some(&b"key"[..]));
            assert_eq!((&mut reader).take(5).lines().next().unwrap().unwrap(), "value");
            assert!(reader.fill_buf().unwrap().starts_with(b";"));
            reader.consume(1);
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "tail of it");
        });
    });
}

#[test]
fn exactly_more_than_the_limit_is_read_when_the_caller_has_room_for_it() {
    let text: Vec<u8> = (0..50_000_u32).map(|number| number as u8).collect();
    let mut reader = LineReader::with_limit(100, Reluctant::new(&text, 777, None));
    assert_eq!(reader.next_exact(10).unwrap(), Some(&text[..10]));
    let mut large = vec![0; 40_000];
    reader.read_exact(&mut large).unwrap();
    assert_eq!(large, text[10..40_010]);
    let error = reader.read_exact(&mut large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_reader_is_taken_apart_without_a_loss() {
    ropewalk::run(|| {
        let (mut writer, stream) = pair();
        writer.write_all(b"STARTTLS\nhello").unwrap();
        let mut reader = LineReader::new(stream);
        assert_eq!(reader.next_line().unwrap(), Some("STARTTLS"));
        // Replies go to the stream itself.
        reader.get_mut().write_all(b"ok").unwrap();
        let mut reply = [0; 2];
        writer.read_exact(&mut reply).unwrap();
        let (stream, received): (TcpStream, Vec<u8>) = reader.into_parts();
        drop(writer);
        let mut rest = received;
        (&stream).read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"hello");
    });
}

#[test]
fn cancelled_at_any_moment_the_lines_are_the_same_afterwards() {
    let moments = testing::cancel_everywhere(|cut| {
        let (reader, mut writer) = pipe().unwrap();
        task::scope(|s| {
            s.spawn(move || {
                for part in ["on", "e\ntwo\nth", "", "re", "e", "\n\nfi\u{e9}", "ve\nsix"] {
                    writer.write_all(part.as_bytes()).unwrap();
                    task::yield_now();
                }
            });
            let mut reader = LineReader::new(reader);
            let mut lines = Vec::new();
            let mut read_on = || {
                while let Some(line) = reader.next_line()? {
                    lines.push(line.to_owned());
                }
                Ok::<_, io::Error>(())
            };
            let cut_short = cut.here(&mut read_on);
            if cut_short.is_err() {
                read_on().unwrap();
            }
            assert_eq!(lines, ["one", "two", "three", "", "fi\u{e9}ve", "six"]);
        });
    });
    assert!(moments >= 10, "{moments}");
}

#[test]
fn dumps_show_where_in_the_program_a_line_is_waited_for() {
    ropewalk::run(|| {
        let (_writer, stream) = pair();
        let (reader, _writer) = pipe().unwrap();
        task::scope(|s| {
            let (mut stream, mut reader) = (LineReader::new(stream), LineReader::new(reader));
            let waiting = [
                s.spawn(move || stream.next_line().map(drop)),
                s.spawn(move || reader.next_until_any(&[b";", b"."]).map(drop)),
            ];
            task::yield_now();
            for waiting in waiting {
                let info = waiting.info().to_string();
                assert!(info.contains("(tests/net/lines.rs"), "{info}");
                waiting.cancel();
            }
        });
    });
}

#[test]
fn a_panic_below_loses_nothing() {
    struct Panics(u32);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => (&b"before"[..]).read(buffer),
                2 => panic!("below"),
                _ => (&b" and after\n"[..]).read(buffer),
            }
        }
    }
    let mut reader = LineReader::new(Panics(0));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.next_line().map(drop)));
    assert!(panicked.is_err());
    assert_eq!(reader.next_line().unwrap(), Some("before and after"));
}

#[test]
fn a_limit_of_nothing_allows_empty_lines() {
    let mut reader = LineReader::with_limit(0, &b"\n\r\nx\n"[..]);
    assert_eq!(reader.next_line().unwrap(), Some(""));
    assert_eq!(reader.next_line().unwrap(), Some(""));
    assert_eq!(exceeded(reader.next_line()), Some(0));
    let mut unlimited = LineReader::with_limit(usize::MAX, &b"abc\n"[..]);
    assert_eq!(unlimited.next_line().unwrap(), Some("abc"));
}

#[test]
fn an_empty_end_is_refused_in_words() {
    let of = |ends: &[&[u8]]| {
        let call = || LineReader::new(&b"abc"[..]).next_until_any(ends).map(drop);
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
        payload.downcast_ref::<&str>().unwrap().to_string()
    };
    assert_eq!(of(&[b""]), "an empty end is everywhere: give it one byte or more");
    assert_eq!(of(&[]), "give it an end to look for");
}

#[test]
fn lines_that_are_there_already_keep_nobody_from_running() {
    ropewalk::run(|| {
        let text = "x\n".repeat(2_000);
        let turns = std::cell::Cell::new(0);
        task::scope(|s| {
            s.spawn_service(|| {
                loop {
                    turns.set(turns.get() + 1);
                    task::yield_now();
                    if task::checkpoint().is_err() {
                        return;
                    }
                }
            });
            let mut reader = LineReader::new(text.as_bytes());
            while reader.next_line().unwrap().is_some() {}
            assert!(turns.get() >= 10, "{}", turns.get());
        });
    });
}
