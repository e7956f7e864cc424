//! Pipes: between tasks, threads and processes.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ropewalk::io::{LineReader, PipeReader, PipeWriter, pipe};
use ropewalk::select::{Chosen, select};
use ropewalk::{Cancelled, RunError, Runtime, task, time};

#[test]
fn what_one_task_writes_another_reads() {
    ropewalk::run(|| {
        let (reader, writer) = pipe().unwrap();
        task::scope(|s| {
            s.spawn(move || {
                let mut writer = io::BufWriter::new(writer);
                for number in 0..10_000 {
                    writeln!(writer, "{number}").unwrap();
                }
            });
            let mut lines = LineReader::new(reader);
            for number in 0..10_000 {
                assert_eq!(lines.next_line().unwrap(), Some(&*number.to_string()));
            }
            assert_eq!(lines.next_line().unwrap(), None);
        });
    });
}

#[test]
fn a_full_pipe_parks_its_writer_and_an_empty_one_its_reader() {
    ropewalk::run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        task::scope(|s| {
            let writing = s.spawn(move || writer.write_all(&[7; 1_000_000]));
            for _ in 0..10 {
                task::yield_now();
            }
            assert!(!writing.is_finished());
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            assert!(received == [7; 1_000_000]);
            writing.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_deadline_ends_the_wait_at_either_end_and_nothing_is_lost() {
    ropewalk::run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let soon = Duration::from_millis(5);
        let read = time::timeout(soon, || reader.read(&mut [0]));
        assert!(Cancelled::is(&read.unwrap_err().into_inner().unwrap_err()));
        let mut sent = 0;
        let filled = time::timeout(soon, || {
            loop {
                match writer.write(&[0; 1000]) {
                    Ok(count) => sent += count,
                    Err(error) => return error,
                }
            }
        });
        assert!(Cancelled::is(&filled.unwrap_err().into_inner()));
        drop(writer);
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), sent as u64);
    });
}

#[test]
fn writing_where_nobody_reads_is_an_error_and_wakes_who_waits() {
    ropewalk::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        task::scope(|s| {
            let writing = s.spawn(move || writer.write_all(&[0; 1_000_000]).unwrap_err().kind());
            task::yield_now();
            drop(reader);
            assert_eq!(writing.join().unwrap(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn shared_ends_are_read_and_written_too() {
    ropewalk::run(|| {
        let (reader, writer) = pipe().unwrap();
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        assert_eq!((&writer).write_vectored(&parts).unwrap(), 7);
        let mut buffer = [0; 7];
        (&reader).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"one two");
    });
}

#[test]
fn a_thread_at_the_other_end_is_waited_for_by_the_task_alone() {
    ropewalk::run(|| {
        let (mut reader, writer) = pipe().unwrap();
        // For the thread it blocks.
        let mut writer = std::fs::File::from(OwnedFd::from(writer));
        let thread = thread::spawn(move || writer.write_all(&[3; 300_000]).unwrap());
        task::scope(|s| {
            let ticks = s.spawn(|| (0..10).filter(|_| time::sleep(Duration::from_millis(1)).is_ok()).count());
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            assert!(received == [3; 300_000]);
            assert_eq!(ticks.join().unwrap(), 10);
        });
        thread.join().unwrap();
    });
}

#[test]
fn children_get_ends_that_block_and_our_ends_are_not_inherited() {
    ropewalk::run(|| {
        let (their_input, mut to_them) = pipe().unwrap();
        let (mut from_them, their_output) = pipe().unwrap();
        let mut child =
            Command::new("cat").stdin(their_input).stdout(Stdio::from(their_output)).spawn().unwrap();
        task::scope(|s| {
            s.spawn(move || to_them.write_all(&[9; 500_000]).unwrap());
            let mut received = Vec::new();
            // It ends: the child has no end of ours that it could keep open.
            from_them.read_to_end(&mut received).unwrap();
            assert!(received == [9; 500_000]);
        });
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn the_output_of_a_child_that_std_started_becomes_an_end() {
    ropewalk::run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = PipeWriter::try_from(OwnedFd::from(child.stdin.take().unwrap())).unwrap();
        let mut output = PipeReader::try_from(OwnedFd::from(child.stdout.take().unwrap())).unwrap();
        for _ in 0..3 {
            input.write_all(b"there and back").unwrap();
            let mut received = [0; 14];
            output.read_exact(&mut received).unwrap();
            assert_eq!(&received, b"there and back");
        }
        drop(input);
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_reader_whose_writer_is_forgotten_in_the_same_program_is_no_deadlock_to_the_scheduler() {
    // Somebody else may have the other end: it waits, and can be cancelled.
    let stuck = Runtime::new().try_run(|| {
        let (mut reader, writer) = pipe().unwrap();
        let read = time::timeout(Duration::from_millis(5), || reader.read(&mut [0]).is_err());
        drop(writer);
        read.unwrap_err().into_inner()
    });
    assert!(matches!(stuck, Ok(true)), "{:?}", stuck.map_err(|error: RunError<_>| error.to_string()));
}

#[test]
fn ends_are_shown_by_their_descriptors_and_go_to_other_threads() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<PipeReader>();
    ask::<PipeWriter>();
    let (reader, writer) = pipe().unwrap();
    assert!(format!("{reader:?}").contains(&reader.as_raw_fd().to_string()));
    let (sender, receiver) = std::sync::mpsc::channel::<PipeReader>();
    let other = thread::spawn(move || {
        ropewalk::run(|| {
            let mut buffer = [0; 4];
            receiver.recv().unwrap().read_exact(&mut buffer).unwrap();
            buffer
        })
    });
    ropewalk::run(move || {
        (&writer).write_all(b"a").unwrap();
        (&reader).read_exact(&mut [0]).unwrap();
        sender.send(reader).unwrap();
        (&writer).write_all(b"rope").unwrap();
    });
    assert_eq!(&other.join().unwrap(), b"rope");
}

#[test]
fn the_streams_of_a_child_are_pipes_and_can_be_waited_for_beside_others() {
    ropewalk::run(|| {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = PipeWriter::try_from(child.stdin.take().unwrap()).unwrap();
        let mut output = PipeReader::try_from(child.stdout.take().unwrap()).unwrap();
        let mut errors = PipeReader::try_from(child.stderr.take().unwrap()).unwrap();
        input.wait_writable().unwrap();
        input.write_all(b"rope").unwrap();
        match select((errors.readable(), output.readable())).unwrap() {
            Chosen::First(_) => panic!("nothing is wrong"),
            Chosen::Second(ready) => ready.unwrap(),
        }
        output.wait_readable().unwrap();
        let mut text = [0; 4];
        output.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"rope");
        drop(input);
        assert_eq!(output.read(&mut text).unwrap(), 0);
        assert_eq!(errors.read(&mut text).unwrap(), 0);
        assert!(child.wait().unwrap().success());
    });
}
