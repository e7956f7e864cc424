//! Files that are streams: FIFOs, devices, what has no places.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use ropewalk::fs::{self, File, OpenOptions};
use ropewalk::{Cancelled, Clock, Driver, Runtime, blocking, task, time};

use crate::folder::{Folder, has_ring, until, with_both};

/// Both ends of a FIFO, opened by two tasks that wait for each other.
fn ends(folder: &Folder, name: &str) -> (File, File) {
    let path = folder.fifo(name);
    task::scope(|s| {
        let reader = s.spawn(|| File::open(&path).unwrap());
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        (reader.join().unwrap(), writer)
    })
}

#[test]
fn the_ends_of_a_fifo_are_opened_by_tasks_that_wait_for_each_other() {
    with_both(|folder| {
        let (mut reader, mut writer) = ends(folder, "fifo");
        let (others, has_read) = (Cell::new(0), Cell::new(false));
        let has_read = &has_read;
        task::scope(|s| {
            let ticking = s.spawn(|| {
                while task::checkpoint().is_ok() {
                    others.set(others.get() + 1);
                }
            });
            s.spawn(move || {
                let mut buffer = [0; 10];
                // What there is, and not what was asked for.
                assert_eq!(reader.read(&mut buffer).unwrap(), 4);
                assert_eq!(&buffer[..4], b"hemp");
                has_read.set(true);
                reader.read_exact(&mut buffer[..5]).unwrap();
                assert_eq!(&buffer[..5], b"sisal");
                assert_eq!(reader.read(&mut buffer).unwrap(), 0);
                ticking.cancel();
            });
            until(|| others.get() > 100);
            writer.write_all(b"hemp").unwrap();
            until(|| has_read.get());
            for letter in b"sisal" {
                writer.write_all(&[*letter]).unwrap();
                task::yield_now();
            }
            drop(writer);
        });
    });
}

#[test]
fn an_opening_that_nobody_answers_can_be_cancelled() {
    with_both(|folder| {
        let fifos = ["to read", "to write", "whole to read", "whole to write"].map(|name| folder.fifo(name));
        let is_late = |opens: &dyn Fn() -> io::Result<()>| {
            let opened = time::timeout(Duration::from_millis(2), opens);
            assert!(Cancelled::is(&opened.unwrap_err().0.unwrap_err()));
        };
        is_late(&|| File::open(&fifos[0]).map(drop));
        is_late(&|| OpenOptions::new().write(true).open(&fifos[1]).map(drop));
        is_late(&|| fs::read(&fifos[2]).map(drop));
        is_late(&|| fs::write(&fifos[3], "rope"));
        if has_ring() {
            // Nobody is left there.
            let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            let failed =
                OpenOptions::new().write(true).custom_flags(nonblocking).open(&fifos[0]).unwrap_err();
            assert_eq!(failed.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
            assert_eq!(blocking::limiter().borrowed(), 0);
            return;
        }
        // Threads wait on, where they had begun to, and are let go by whoever opens both ends.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        for path in &fifos {
            OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path).unwrap();
        }
        until(|| blocking::limiter().borrowed() == 0);
    });
}

#[test]
fn an_opening_that_was_abandoned_ends_when_the_other_end_is_opened() {
    let folder = Folder::new();
    let path = folder.fifo("fifo");
    Runtime::builder().driver(Driver::Epoll).build().run(|| {
        // Now and then no thread has come to it in time.
        until(|| {
            let opened = time::timeout(Duration::from_millis(2), || File::open(&path));
            assert!(Cancelled::is(&opened.unwrap_err().0.unwrap_err()));
            blocking::limiter().borrowed() > 0
        });
        assert_eq!(blocking::limiter().borrowed(), 1);
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        until(|| blocking::limiter().borrowed() == 0);
        // It is closed, so that nobody reads.
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn more_openings_than_processors_wait_and_files_are_opened_all_the_same() {
    with_both(|folder| {
        let path = folder.join("file");
        let fifos: Vec<_> = (0..20).map(|number| folder.fifo(&number.to_string())).collect();
        task::scope(|s| {
            let readers: Vec<_> = fifos.iter().map(|path| s.spawn(move || fs::read(path))).collect();
            until(|| readers.iter().all(|reader| reader.info().to_string().contains("open")));
            fs::write(&path, "rope").unwrap();
            let mut copy = OpenOptions::new().append(true).open(&path).unwrap();
            copy.write_all(b"walk").unwrap();
            copy.sync_all().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"ropewalk");
            fs::remove_file(&path).unwrap();
            for path in &fifos {
                OpenOptions::new().write(true).open(path).unwrap().write_all(b"x").unwrap();
            }
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap(), b"x");
            }
        });
    });
}

#[test]
fn a_read_of_a_stream_that_is_cancelled_has_taken_nothing() {
    with_both(|folder| {
        let (mut reader, mut writer) = ends(folder, "fifo");
        let mut buffer = [0xee; 10];
        for _ in 0..3 {
            let read = time::timeout(Duration::from_millis(1), || reader.read(&mut buffer));
            assert!(Cancelled::is(&read.unwrap_err().0.unwrap_err()));
        }
        writer.write_all(b"hemp").unwrap();
        task::yield_now();
        assert_eq!(buffer, [0xee; 10]);
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
    });
}

#[test]
fn who_writes_to_a_full_stream_waits_until_there_is_room() {
    with_both(|folder| {
        let (mut reader, mut writer) = ends(folder, "fifo");
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 199) as u8).collect();
        task::scope(|s| {
            s.spawn(|| {
                writer.write_all(&bytes).unwrap();
                drop(writer);
            });
            for _ in 0..10 {
                task::yield_now();
            }
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == bytes);
        });
        let (reader, mut writer) = ends(folder, "other");
        let mut sent = 0;
        let filled = time::timeout(Duration::from_millis(5), || {
            loop {
                match writer.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[1; 3000])]) {
                    Ok(count) => sent += count,
                    Err(error) => return error,
                }
            }
        });
        assert!(Cancelled::is(&filled.unwrap_err().0));
        let mut read = vec![0; sent];
        (&reader).read_exact(&mut read).unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn streams_have_no_places() {
    with_both(|folder| {
        let (mut reader, writer) = ends(folder, "fifo");
        let not_seekable = [
            reader.read_at(&mut [0], 0).unwrap_err(),
            writer.write_at(b"x", 0).unwrap_err(),
            reader.rewind().unwrap_err(),
        ];
        assert!(not_seekable.iter().all(|error| error.kind() == ErrorKind::NotSeekable), "{not_seekable:?}");
        // Nor is what was opened for one direction waited for in the other.
        let mut wrong = [(&writer).read(&mut [0]).unwrap_err(), (&reader).write(b"x").unwrap_err()];
        assert!(
            wrong
                .iter_mut()
                .all(|error| error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()))
        );
    });
}

#[test]
fn devices_are_files_too() {
    with_both(|_| {
        let mut bytes = [1; 100];
        let mut zero = File::open("/dev/zero").unwrap();
        zero.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0; 100]);
        let mut null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(null.read(&mut bytes).unwrap(), 0);
        null.write_all(&bytes).unwrap();
        fs::write("/dev/null", bytes).unwrap();
        assert_eq!(fs::read("/dev/null").unwrap(), b"");
        let mut full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        assert_eq!(full.write(&bytes).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(full.write_at(&bytes, 10).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(full.read(&mut bytes).unwrap(), 100);
        assert_eq!(fs::write("/dev/full", bytes).unwrap_err().kind(), ErrorKind::StorageFull);
        // What is buffered fails when it is flushed.
        let mut buffered = io::BufWriter::new(full);
        buffered.write_all(b"rope").unwrap();
        assert_eq!(buffered.flush().unwrap_err().kind(), ErrorKind::StorageFull);
        let (_full, unwritten) = buffered.into_parts();
        assert_eq!(unwritten.unwrap(), b"rope");
    });
}

#[test]
fn what_is_set_not_to_block_is_waited_for_all_the_same() {
    with_both(|folder| {
        let path = folder.fifo("fifo");
        // Where a call may not wait it is opened without anybody at the other end.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
        let mut writer = OpenOptions::new().write(true).custom_flags(nonblocking).open(&path).unwrap();
        task::scope(|s| {
            s.spawn(|| {
                writer.write_all(&[7; 200_000]).unwrap();
                drop(writer);
            });
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == [7; 200_000]);
        });
    });
}

#[test]
fn pipes_and_sockets_of_others_are_read_as_files() {
    with_both(|_| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut reader, mut writer) = (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)));
        task::scope(|s| {
            s.spawn(move || writer.write_all(&[3; 100_000]).unwrap());
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == [3; 100_000]);
        });
        let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let (mut left, mut right) = (File::from(OwnedFd::from(left)), File::from(OwnedFd::from(right)));
        task::scope(|s| {
            s.spawn(|| assert_eq!(right.read(&mut [0; 10]).unwrap(), 4));
            task::yield_now();
            left.write_all(b"rope").unwrap();
        });
    });
}

#[test]
fn a_virtual_clock_does_not_wait_for_streams() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let folder = Folder::new();
        Runtime::builder().driver(driver).clock(Clock::Virtual).build().run(|| {
            let (mut reader, _writer) = ends(&folder, "fifo");
            let hour = Duration::from_secs(3600);
            let read = time::timeout(hour, || reader.read(&mut [0]));
            assert!(Cancelled::is(&read.unwrap_err().0.unwrap_err()));
        });
    }
}

#[test]
fn dumps_show_who_waits_for_which_file_and_where() {
    with_both(|folder| {
        let (reader, _writer) = ends(folder, "fifo");
        let path = folder.fifo("other");
        task::scope(|s| {
            let reading = s.spawn(|| (&reader).read(&mut [0]).map(drop));
            let opening = s.spawn(|| File::open(&path).map(drop));
            let expected =
                format!("waits for read on descriptor {} (tests/world/fs_streams.rs", reader.as_raw_fd());
            until(|| reading.info().to_string().contains(&expected));
            let expected = match has_ring() {
                true => format!("waits for open {} (tests/world/fs_streams.rs", path.display()),
                false => "waits for thread open (tests/world/fs_streams.rs".to_owned(),
            };
            until(|| opening.info().to_string().contains(&expected));
            reading.cancel();
            opening.cancel();
        });
        // A thread may wait still.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(&path).unwrap();
    });
}
