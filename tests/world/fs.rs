//! Files: what their calls promise, with both drivers.

use std::cell::Cell;
use std::io::{
    self, BufRead, BufReader, BufWriter, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use ropewalk::fs::{self, File, FileTimes, OpenOptions, Permissions};
use ropewalk::{Cancelled, Clock, Driver, Reason, Runtime, blocking, task, time};

use crate::folder::{Folder, forget, has_ring, is_forgotten, until, with_both};

/// Bytes that say where they stand.
fn numbered(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

/// As long as `body` runs, no thread can be had for anything.
fn without_threads<T>(body: impl FnOnce() -> T) -> T {
    blocking::limiter().set_limit(1);
    let (go, wait) = mpsc::channel::<()>();
    let done = task::scope(|s| {
        s.spawn(|| blocking::unblock(move || wait.recv().unwrap()).unwrap());
        task::yield_now();
        assert_eq!(blocking::limiter().available(), 0);
        let done = body();
        go.send(()).unwrap();
        done
    });
    blocking::limiter().set_limit(40);
    done
}

#[test]
fn what_is_written_is_read_in_all_ways() {
    with_both(|folder| {
        let path = folder.join("file");
        let mut file = File::create_new(&path).unwrap();
        assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        file.write_all(b"hemp ").unwrap();
        assert_eq!(file.write_vectored(&[IoSlice::new(b"sisal "), IoSlice::new(b"jute")]).unwrap(), 10);
        file.flush().unwrap();
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"hemp sisal jute");
        assert_eq!(file.stream_position().unwrap(), 15);
        assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
        file.rewind().unwrap();
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(file.read_vectored(&mut buffers).unwrap(), 7);
        assert_eq!((&first, &second), (b"hem", b"p si"));
        let mut rest = String::new();
        assert_eq!(file.read_to_string(&mut rest).unwrap(), 8);
        assert_eq!(rest, "sal jute");
        assert_eq!(file.seek(SeekFrom::End(-4)).unwrap(), 11);
        assert_eq!(file.seek(SeekFrom::Current(-1)).unwrap(), 10);
        assert_eq!(file.seek(SeekFrom::Current(-11)).unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b" jute");
    });
}

#[test]
fn places_have_nothing_to_do_with_the_position() {
    with_both(|folder| {
        let file = File::create_new(folder.join("file")).unwrap();
        file.write_all_at(b"sisal", 5).unwrap();
        assert_eq!(file.write_at(b"hemp ", 0).unwrap(), 5);
        assert_eq!(file.write_vectored_at(&[IoSlice::new(b" ju"), IoSlice::new(b"te")], 10).unwrap(), 5);
        assert_eq!((&file).stream_position().unwrap(), 0);
        let mut word = [0; 5];
        file.read_exact_at(&mut word, 5).unwrap();
        assert_eq!(&word, b"sisal");
        let (mut one, mut two) = ([0; 2], [0; 3]);
        let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored_at(&mut buffers, 12).unwrap(), 3);
        assert_eq!((&one, &two), (b"ut", b"e\0\0"));
        assert_eq!(file.read_exact_at(&mut word, 12).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.read_at(&mut word, 15).unwrap(), 0);
        assert_eq!((&file).stream_position().unwrap(), 0);
        let mut all = String::new();
        (&file).read_to_string(&mut all).unwrap();
        assert_eq!(all, "hemp sisal jute");

        fn last(file: &impl FileExt) -> u8 {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 14).unwrap();
            byte[0]
        }
        assert_eq!(last(&file), b'e');
    });
}

#[test]
fn files_work_outside_of_run_as_std_s() {
    let folder = Folder::new();
    let path = folder.join("file");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"rope").unwrap();
    file.sync_all().unwrap();
    file.set_len(2).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"ro");
    fs::rename(&path, folder.join("other")).unwrap();
    fs::write(&path, "walk").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "walk");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let mut text = String::new();
    let mut file = File::open(&path).unwrap();
    file.seek(SeekFrom::End(-3)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "alk");
    fs::remove_file(&path).unwrap();
    // The same one goes on in a runtime.
    ropewalk::run(|| {
        file.rewind().unwrap();
        assert_eq!(io::read_to_string(&file).unwrap(), "walk");
    });
}

#[test]
fn callbacks_cannot_wait_for_files() {
    with_both(|folder| {
        let path = folder.join("file");
        let file = File::create_new(&path).unwrap();
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        time::call_later(Duration::ZERO, move || {
            let is_refused = |error: io::Error| {
                let cancelled = error.get_ref().and_then(|error| error.downcast_ref::<Cancelled>()).unwrap();
                assert_eq!(cancelled.reason(), Reason::OutsideTask);
                count.set(count.get() + 1);
            };
            is_refused((&file).write(b"x").unwrap_err());
            is_refused((&file).read(&mut [0]).unwrap_err());
            is_refused((&file).rewind().unwrap_err());
            is_refused(file.sync_all().unwrap_err());
            is_refused(fs::read(&path).unwrap_err());
            is_refused(fs::remove_file(&path).unwrap_err());
        });
        until(|| seen.get() == 6);
        assert_eq!(fs::read(folder.join("file")).unwrap(), b"");
    });
}

#[test]
fn what_is_in_memory_is_read_though_there_is_no_thread() {
    with_both(|folder| {
        let path = folder.join("file");
        fs::write(&path, numbered(10_000)).unwrap();
        let mut file = File::open(&path).unwrap();
        // Both calls of the second read are of it: what is there, and that there is no more.
        let bytes = without_threads(|| {
            let mut bytes = vec![0; 4096];
            file.read_exact_at(&mut bytes, 100).unwrap();
            assert_eq!(bytes, numbered(10_000)[100..4196]);
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        });
        assert_eq!(bytes, numbered(10_000));
    });
}

#[test]
fn what_is_large_is_copied_by_another_thread() {
    let folder = Folder::new();
    Runtime::builder().driver(Driver::Epoll).build().run(|| {
        let path = folder.join("file");
        let bytes = numbered(3_000_000);
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let mut read = vec![0; 3_000_000];
        let late = without_threads(|| time::timeout(Duration::from_millis(1), || file.read_at(&mut read, 0)));
        assert!(Cancelled::is(&late.unwrap_err().0.unwrap_err()));
        // And then it is not cut.
        assert_eq!(file.read_at(&mut read, 0).unwrap(), 3_000_000);
        assert!(read == bytes);
    });
    with_both(|folder| {
        let path = folder.join("file");
        let bytes = numbered(3_000_000);
        let mut file = File::create_new(&path).unwrap();
        assert_eq!(file.write(&bytes).unwrap(), 3_000_000);
        file.rewind().unwrap();
        let mut read = vec![0; 3_000_001];
        assert_eq!(file.read(&mut read).unwrap(), 3_000_000);
        assert!(read[..3_000_000] == bytes);
        assert_eq!(file.stream_position().unwrap(), 3_000_000);
    });
}

#[test]
fn with_a_ring_files_need_no_thread() {
    let folder = Folder::new();
    Runtime::builder().driver(Driver::Uring).build().run(|| {
        if !has_ring() {
            assert!(std::env::var_os("ROPEWALK_REQUIRE_URING").is_none(), "there is no ring");
            return;
        }
        without_threads(|| {
            let (path, other) = (folder.join("file"), folder.join("other"));
            let mut file = File::create_new(&path).unwrap();
            file.write_all(&numbered(100_000)).unwrap();
            file.sync_all().unwrap();
            forget(&path);
            fs::rename(&path, &other).unwrap();
            fs::hard_link(&other, &path).unwrap();
            fs::symlink(&other, folder.join("link")).unwrap();
            assert_eq!(fs::read(&path).unwrap(), numbered(100_000));
            fs::create_dir(folder.join("directory")).unwrap();
            fs::remove_dir(folder.join("directory")).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "rope").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "rope");
        });
    });
}

#[test]
fn what_is_not_in_memory_keeps_nobody_else_waiting() {
    let folder = Folder::new();
    let path = folder.join("file");
    std::fs::write(&path, numbered(3_000_000)).unwrap();
    let asked = folder.join("asked");
    std::fs::write(&asked, numbered(100_000)).unwrap();
    [&path, &asked].into_iter().for_each(|path| forget(path));
    // To ask whether something is in memory brings it there, so that it is another file that is asked about.
    if !is_forgotten(&asked) {
        // This file system has no other place for it.
        return;
    }
    Runtime::builder().driver(Driver::Epoll).build().run(|| {
        let mut file = File::open(&path).unwrap();
        let read = without_threads(|| time::timeout(Duration::from_millis(1), || file.read(&mut [0; 100])));
        // It would have taken a thread.
        assert!(Cancelled::is(&read.unwrap_err().0.unwrap_err()));
        assert_eq!(file.stream_position().unwrap(), 0);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes == numbered(3_000_000));
    });
}

#[test]
fn a_task_that_reads_what_is_in_memory_lets_others_run() {
    with_both(|folder| {
        let path = folder.join("file");
        fs::write(&path, numbered(1000)).unwrap();
        let others = Cell::new(0);
        let file = File::open(&path).unwrap();
        task::scope(|s| {
            let other = s.spawn(|| {
                loop {
                    others.set(others.get() + 1);
                    if task::checkpoint().is_err() {
                        return;
                    }
                }
            });
            for _ in 0..640 {
                file.read_at(&mut [0; 10], 0).unwrap();
            }
            assert!(others.get() >= 9, "{}", others.get());
            for _ in 0..640 {
                (&file).seek(SeekFrom::Start(0)).unwrap();
            }
            assert!(others.get() >= 18, "{}", others.get());
            other.cancel();
        });
    });
}

#[test]
fn what_is_known_of_a_file_can_be_asked_and_changed() {
    with_both(|folder| {
        let path = folder.join("file");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).unwrap();
        file.set_len(1000).unwrap();
        let known = file.metadata().unwrap();
        assert!(known.is_file() && known.len() == 1000);
        assert_eq!(known.permissions().mode() & 0o777, 0o640);
        file.set_permissions(Permissions::from_mode(0o400)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        file.set_modified(then).unwrap();
        file.set_times(FileTimes::new().set_accessed(then)).unwrap();
        let known = fs::metadata(&path).unwrap();
        assert_eq!((known.modified().unwrap(), known.accessed().unwrap()), (then, then));
        assert_eq!(known.permissions().mode() & 0o777, 0o400);
        assert!(known.permissions().readonly());
    });
}

#[test]
fn a_duplicate_has_the_same_position() {
    with_both(|folder| {
        let path = folder.join("file");
        fs::write(&path, "hemp sisal").unwrap();
        let mut file = File::open(&path).unwrap();
        let mut other = file.try_clone().unwrap();
        let mut word = [0; 5];
        file.read_exact(&mut word).unwrap();
        other.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"sisal");
        assert_eq!(file.stream_position().unwrap(), 10);
        other.rewind().unwrap();
        drop(other);
        file.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hemp ");
    });
}

#[test]
fn files_come_from_std_and_go_there() {
    with_both(|folder| {
        let path = folder.join("file");
        let file = File::create_new(&path).unwrap();
        let number = file.as_raw_fd();
        assert_eq!(format!("{file:?}"), format!("File {{ fd: {number}, .. }}"));
        let mut file = std::fs::File::from(file);
        file.write_all(b"hemp ").unwrap();
        let mut file = File::from(file);
        file.write_all(b"sisal").unwrap();
        let fd = OwnedFd::from(file);
        assert_eq!(fd.as_raw_fd(), number);
        let mut file = File::from(fd);
        file.rewind().unwrap();
        assert_eq!(file.as_fd().as_raw_fd(), number);
        assert_eq!(io::read_to_string(&mut file).unwrap(), "hemp sisal");
        file.rewind().unwrap();
        let child = std::process::Command::new("cat").stdin(file).output().unwrap();
        assert_eq!(child.stdout, b"hemp sisal");
        fn goes_anywhere<T: Send + Sync + std::fmt::Debug + 'static>() {}
        goes_anywhere::<File>();
        goes_anywhere::<OpenOptions>();
    });
}

#[test]
fn more_buffers_than_the_system_takes_are_not_an_error() {
    with_both(|folder| {
        let mut file = File::create_new(folder.join("file")).unwrap();
        let parts = vec![IoSlice::new(b"ab"); 3000];
        assert_eq!(file.write_vectored(&parts).unwrap(), 2048);
        let mut bytes = vec![[0; 3]; 2000];
        let mut buffers: Vec<_> = bytes.iter_mut().map(|bytes| IoSliceMut::new(bytes)).collect();
        assert_eq!(file.read_vectored_at(&mut buffers, 0).unwrap(), 2048);
        assert_eq!(&bytes[682], b"ab\0");
        assert_eq!(file.write(&[]).unwrap(), 0);
        assert_eq!(file.read(&mut []).unwrap(), 0);
        assert_eq!(file.read_vectored_at(&mut [], 0).unwrap(), 0);
    });
}

#[test]
fn places_beyond_four_gibibytes_are_reached() {
    const FAR: u64 = 5 << 30;
    with_both(|folder| {
        let path = folder.join("sparse");
        let mut file = File::create_new(&path).unwrap();
        file.write_all_at(b"far", FAR).unwrap();
        assert_eq!(file.metadata().unwrap().len(), FAR + 3);
        assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), FAR);
        let mut word = String::new();
        file.read_to_string(&mut word).unwrap();
        assert_eq!(word, "far");
        file.write_all(b" away").unwrap();
        let mut bytes = [1; 9];
        file.read_exact_at(&mut bytes, FAR - 1).unwrap();
        assert_eq!(&bytes, b"\0far away");
        // In the hole.
        let mut bytes = [1; 9];
        file.read_exact_at(&mut bytes, FAR / 2).unwrap();
        assert_eq!(bytes, [0; 9]);
    });
}

#[test]
fn those_who_append_overwrite_nobody_and_their_lines_stay_whole() {
    with_both(|folder| {
        let path = folder.join("log");
        task::scope(|s| {
            for writer in 0..4 {
                let path = &path;
                s.spawn(move || {
                    let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
                    for number in 0..50 {
                        // Longer than a page, so that it would be cut if it were not written in one.
                        let line = format!("{writer} {number} {}\n", "x".repeat(5_000 + number));
                        assert_eq!(log.write(line.as_bytes()).unwrap(), line.len());
                    }
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let mut next = [0; 4];
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let (writer, number): (usize, usize) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            assert_eq!(number, next[writer]);
            assert_eq!(words[2].len(), 5_000 + number);
            next[writer] += 1;
        }
        assert_eq!(next, [50; 4]);
    });
}

#[test]
fn tasks_that_read_one_file_share_it_out_among_themselves() {
    const RECORDS: u32 = 20_000;
    with_both(|folder| {
        let path = folder.join("file");
        let records: Vec<u8> = (0..RECORDS).flat_map(u32::to_le_bytes).collect();
        fs::write(&path, records).unwrap();
        forget(&path);
        let file = File::open(&path).unwrap();
        let mut seen = task::scope(|s| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let file = &file;
                    s.spawn(move || {
                        let mut seen = Vec::new();
                        let mut buffer = [0; 400];
                        loop {
                            let count = { file }.read(&mut buffer).unwrap();
                            if count == 0 {
                                return seen;
                            }
                            let records = buffer[..count].chunks(4);
                            seen.extend(records.map(|four| u32::from_le_bytes(four.try_into().unwrap())));
                        }
                    })
                })
                .collect();
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..RECORDS));
    });
}

#[test]
fn a_file_that_grows_is_read_on_behind_its_end() {
    with_both(|folder| {
        let path = folder.join("log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut reader = File::open(&path).unwrap();
        let mut buffer = [0; 100_000];
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        for size in [1, 4096, 5000, 90_000, 3] {
            writer.write_all(&numbered(size)).unwrap();
            reader.read_exact(&mut buffer[..size]).unwrap();
            assert_eq!(buffer[..size], numbered(size));
            assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        }
        // And one that is cut short under the reader.
        writer.set_len(10).unwrap();
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        assert_eq!(reader.read_at(&mut buffer, 5).unwrap(), 5);
    });
}

#[test]
fn a_short_read_is_no_end() {
    let folder = Folder::new();
    let path = folder.join("file");
    let bytes = numbered(1_000_000);
    for driver in [Driver::Epoll, Driver::Uring] {
        std::fs::write(&path, &bytes).unwrap();
        forget(&path);
        // Only some of it is in memory, so that what does not wait reads as far as that.
        let warm = std::fs::File::open(&path).unwrap();
        FileExt::read_exact_at(&warm, &mut [0; 10], 0).unwrap();
        FileExt::read_exact_at(&warm, &mut [0; 10], 700_000).unwrap();
        Runtime::builder().driver(driver).build().run(|| {
            let mut file = File::open(&path).unwrap();
            let mut at = 0;
            let mut buffer = vec![0; 600_000];
            while at < bytes.len() {
                let count = file.read(&mut buffer).unwrap();
                assert!(count > 0, "an end at {at}");
                assert!(buffer[..count] == bytes[at..at + count]);
                at += count;
            }
            assert_eq!(file.read(&mut buffer).unwrap(), 0);
        });
    }
}

#[test]
fn files_without_a_size_are_read_to_their_end() {
    with_both(|_| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.starts_with("Name:"), "{status}");
        let mut file = File::open("/proc/self/status").unwrap();
        let mut first = [0; 5];
        file.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"Name:");
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > 100);
        // Of some that are nothing but long.
        assert!(fs::read("/proc/self/smaps").unwrap().len() > 10_000);
    });
}

#[test]
fn whole_files_are_read_and_written() {
    with_both(|folder| {
        let path = folder.join("file");
        for size in [0, 1, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 1] {
            fs::write(&path, numbered(size)).unwrap();
            assert!(std::fs::read(&path).unwrap() == numbered(size));
            forget(&path);
            assert!(fs::read(&path).unwrap() == numbered(size), "{size}");
        }
        fs::write(&path, b"hemp \xff").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        let mut text = String::from("kept");
        let failed = File::open(&path).unwrap().read_to_string(&mut text).unwrap_err();
        assert_eq!((failed.kind(), text.as_str()), (ErrorKind::InvalidData, "kept"));
        fs::write(&path, numbered(100_000)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::copy(&path, folder.join("copy")).unwrap(), 100_000);
        assert_eq!(fs::read(folder.join("copy")).unwrap(), numbered(100_000));
        assert_eq!(fs::metadata(folder.join("copy")).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn what_std_has_for_readers_and_writers_works() {
    with_both(|folder| {
        let path = folder.join("file");
        let mut writer = BufWriter::new(File::create(&path).unwrap());
        for number in 0..10_000 {
            writeln!(writer, "line {number}").unwrap();
        }
        writer.into_inner().unwrap().sync_all().unwrap();
        let reader = BufReader::new(File::open(&path).unwrap());
        for (number, line) in reader.lines().enumerate() {
            assert_eq!(line.unwrap(), format!("line {number}"));
        }
        let mut reader = BufReader::new(File::open(&path).unwrap());
        reader.seek(SeekFrom::End(-5)).unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "9999\n");
        let mut copy = File::create(folder.join("copy")).unwrap();
        let length = io::copy(&mut File::open(&path).unwrap(), &mut copy).unwrap();
        assert_eq!(length, fs::metadata(&path).unwrap().len());
        assert_eq!(fs::read(&path).unwrap(), fs::read(folder.join("copy")).unwrap());
    });
}

#[test]
fn a_virtual_clock_stands_still_while_files_are_used() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let folder = Folder::new();
        Runtime::builder().driver(driver).clock(Clock::Virtual).build().run(|| {
            let began = time::now();
            let worked = time::timeout(Duration::from_nanos(1), || {
                let path = folder.join("file");
                let mut file = File::create_new(&path)?;
                file.write_all(&numbered(1_000_000))?;
                file.sync_all()?;
                forget(&path);
                let mut bytes = Vec::new();
                File::open(&path)?.read_to_end(&mut bytes)?;
                assert!(bytes == numbered(1_000_000));
                fs::read_dir(&folder)?.for_each(drop);
                fs::rename(&path, folder.join("other"))?;
                fs::remove_file(folder.join("other"))
            });
            worked.expect("no time has passed").unwrap();
            assert_eq!(time::now(), began);
        });
    }
}

#[test]
fn a_cancelled_call_has_no_effect() {
    with_both(|folder| {
        let (path, other) = (folder.join("file"), folder.join("other"));
        fs::write(&path, "rope").unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            let is_cancelled = |done: io::Result<()>| assert!(Cancelled::is(&done.unwrap_err()));
            is_cancelled(File::create(&path).map(drop));
            is_cancelled(File::create_new(&other).map(drop));
            is_cancelled(file.write(b"xxx").map(drop));
            is_cancelled(file.read(&mut [0; 3]).map(drop));
            is_cancelled(file.write_at(b"xxx", 0).map(drop));
            is_cancelled(file.seek(SeekFrom::End(0)).map(drop));
            is_cancelled(file.set_len(0));
            is_cancelled(file.sync_all());
            is_cancelled(fs::write(&path, "xxx"));
            is_cancelled(fs::write(&other, "xxx"));
            is_cancelled(fs::read(&path).map(drop));
            is_cancelled(fs::copy(&path, &other).map(drop));
            is_cancelled(fs::rename(&path, &other));
            is_cancelled(fs::hard_link(&path, &other));
            is_cancelled(fs::symlink(&path, &other));
            is_cancelled(fs::remove_file(&path));
            is_cancelled(fs::create_dir(&other));
            is_cancelled(fs::create_dir_all(&other));
            is_cancelled(fs::remove_dir_all(folder));
            is_cancelled(fs::read_dir(folder).map(drop));
        });
        assert_eq!(file.stream_position().unwrap(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "rope");
        assert!(!fs::exists(&other).unwrap());
    });
}

#[test]
fn a_write_of_a_whole_file_that_has_begun_is_made_to_its_end() {
    with_both(|folder| {
        let path = folder.join("file");
        let bytes = numbered(2_000_000);
        for steps in 0..12 {
            fs::write(&path, "before").unwrap();
            let written = task::cancel_scope(|scope| {
                let canceller = scope.canceller();
                let other = task::spawn(move || {
                    (0..steps).for_each(|_| task::yield_now());
                    canceller.cancel();
                });
                let written = fs::write(&path, &bytes);
                task::shield(|| drop(other.join()));
                written
            });
            let found = fs::read(&path).unwrap();
            match written {
                Ok(()) => assert!(found == bytes),
                Err(error) => assert!(Cancelled::is(&error) && found == b"before", "{error}"),
            }
        }
    });
}

#[test]
fn a_file_is_used_by_tasks_of_several_runtimes() {
    with_both(|folder| {
        let path = folder.join("file");
        fs::write(&path, numbered(10_000)).unwrap();
        let file = File::open(&path).unwrap();
        std::thread::scope(|s| {
            for driver in [Driver::Epoll, Driver::Uring] {
                let file = &file;
                s.spawn(move || {
                    Runtime::builder().driver(driver).build().run(|| {
                        let mut bytes = vec![0; 10_000];
                        file.read_exact_at(&mut bytes, 0).unwrap();
                        assert_eq!(bytes, numbered(10_000));
                    });
                });
            }
        });
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, numbered(10_000));
    });
}

#[test]
fn a_writer_that_is_dropped_in_a_panic_is_refused_and_the_panic_goes_on() {
    with_both(|folder| {
        let path = folder.join("file");
        let panicking = task::spawn({
            let path = path.clone();
            move || {
                let mut writer = BufWriter::new(File::create(&path).unwrap());
                writer.write_all(b"never flushed").unwrap();
                std::panic::resume_unwind(Box::new(7));
            }
        });
        assert!(panicking.join().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"");
    });
}
