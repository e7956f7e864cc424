//! Halves of streams: each has one owner, together they are the stream, and an end is passed on.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};

use ropewalk::io::{BorrowedReadHalf, CloseWrite, ReadHalf, WriteHalf, split, split_borrowed};
use ropewalk::net::TcpStream;
use ropewalk::task;

use super::pair;

/// A stream in memory that counts how often its writing was ended.
#[derive(Debug, Default)]
struct Counting {
    ends: Cell<u32>,
    fails: bool,
}

impl CloseWrite for Counting {
    fn close_write(&self) -> io::Result<()> {
        self.ends.set(self.ends.get() + 1);
        if self.fails { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

#[test]
fn each_half_goes_to_a_task_of_its_own() {
    ropewalk::run(|| {
        let (near, far) = pair();
        let (mut reader, mut writer) = split(near);
        let (mut from, mut to) = split(far);
        let echo = task::spawn(move || io::copy(&mut from, &mut to).unwrap());
        let writing = task::spawn(move || writer.write_all(&[7; 2_000_000]).unwrap());
        let mut received = Vec::new();
        // It ends, because the halves that write were dropped with their tasks.
        reader.read_to_end(&mut received).unwrap();
        assert!(received == [7; 2_000_000]);
        writing.join().unwrap();
        assert_eq!(echo.join().unwrap(), 2_000_000);
    });
}

#[test]
fn dropping_the_half_that_writes_ends_the_writing_and_nothing_else() {
    ropewalk::run(|| {
        let (near, mut far) = pair();
        let (mut reader, writer) = split(near);
        drop(writer);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far.write_all(b"still").unwrap();
        drop(far);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still");
    });
}

#[test]
fn dropping_the_half_that_reads_leaves_the_other_as_it_was() {
    ropewalk::run(|| {
        let (near, mut far) = pair();
        let (reader, mut writer) = split(near);
        drop(reader);
        writer.write_all(b"goes on").unwrap();
        drop(writer);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "goes on");
    });
}

#[test]
fn a_half_that_is_kept_open_ends_nothing() {
    ropewalk::run(|| {
        let (near, mut far) = pair();
        let (reader, writer) = split(near);
        writer.keep_open();
        reader.get_ref().write_all_shared(b"by the other half");
        let mut received = [0; 17];
        far.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"by the other half");
    });
}

trait WriteAllShared {
    fn write_all_shared(&self, bytes: &[u8]);
}

impl WriteAllShared for TcpStream {
    fn write_all_shared(&self, bytes: &[u8]) {
        let mut stream = self;
        stream.write_all(bytes).unwrap();
    }
}

#[test]
fn the_writing_is_ended_once_and_an_error_of_that_is_told_by_close() {
    let (reader, writer) = split(Counting::default());
    drop(writer);
    assert_eq!(reader.get_ref().ends.get(), 1);
    let (reader, writer) = split(Counting::default());
    writer.close().unwrap();
    assert_eq!(reader.get_ref().ends.get(), 1);
    let (reader, writer) = split(Counting { fails: true, ..Counting::default() });
    assert_eq!(writer.close().unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(reader.get_ref().ends.get(), 1);
    let (reader, writer) = split(Counting::default());
    writer.keep_open();
    assert_eq!(reader.get_ref().ends.get(), 0);
}

#[test]
fn the_writing_is_ended_also_when_its_task_panics_or_is_cancelled() {
    ropewalk::run(|| {
        let (near, mut far) = pair();
        let (_reader, writer) = split(near);
        let panicking = task::spawn(move || {
            let _writer = writer;
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
        assert_eq!(far.read(&mut [0]).unwrap(), 0);

        let (near, mut far) = pair();
        let (_reader, mut writer) = split(near);
        let filling = task::spawn(move || while writer.write_all(&[0; 4096]).is_ok() {});
        task::yield_now();
        filling.cancel();
        filling.join().unwrap();
        io::copy(&mut far, &mut io::sink()).unwrap();
    });
}

#[test]
fn halves_of_one_stream_are_put_together_and_others_are_given_back() {
    let (reader, writer) = split(Counting::default());
    let whole = reader.reunite(writer).unwrap();
    assert_eq!(whole.ends.get(), 0);
    let (reader, writer) = split(whole);
    let (other_reader, other_writer) = split(Counting::default());
    let error = reader.reunite(other_writer).unwrap_err();
    assert_eq!(error.to_string(), "these halves are not of one stream");
    let (reader, other_writer) = (error.0, error.1);
    assert_eq!(writer.reunite(reader).unwrap().ends.get(), 0);
    assert_eq!(other_writer.reunite(other_reader).unwrap().ends.get(), 0);
}

#[test]
fn borrowed_halves_leave_the_stream_whole() {
    ropewalk::run(|| {
        let (mut near, mut far) = pair();
        task::scope(|s| {
            let (mut reader, mut writer) = split_borrowed(&mut near);
            s.spawn(move || writer.write_all(b"there").unwrap());
            s.spawn(move || {
                let mut received = [0; 4];
                reader.read_exact(&mut received).unwrap();
                assert_eq!(&received, b"back");
            });
            let mut received = [0; 5];
            far.read_exact(&mut received).unwrap();
            assert_eq!(&received, b"there");
            far.write_all(b"back").unwrap();
        });
        near.write_all(b"!").unwrap();
        far.read_exact(&mut [0]).unwrap();
        let (_, writer) = split_borrowed(&mut near);
        writer.close_write().unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn halves_are_sent_to_other_threads_when_the_stream_can_be() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<ReadHalf<TcpStream>>();
    ask::<WriteHalf<TcpStream>>();
    fn lent<T: Send + Sync + std::fmt::Debug>() {}
    lent::<BorrowedReadHalf<'static, TcpStream>>();
}
