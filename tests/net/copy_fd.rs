//! Copying between descriptors: whatever they are, all of it arrives, and waiting for either parks the task alone.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk::io::{Copied, copy_fd, pipe};
use ropewalk::{Cancelled, task, testing, time};

use super::pair;

/// A file that is gone when this is.
struct Temporary(PathBuf);

impl Temporary {
    fn new(content: &[u8]) -> Temporary {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ropewalk-copying-{}-{number}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Temporary(path)
    }

    fn open(&self) -> File {
        File::open(&self.0).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn many_bytes() -> Vec<u8> {
    (0..5_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_file_is_sent_from_where_it_stands_while_other_tasks_run() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        let file = Temporary::new(&bytes);
        let (near, far) = pair();
        task::scope(|s| {
            let sending = s.spawn(|| {
                let mut file = file.open();
                file.seek(SeekFrom::Start(1000)).unwrap();
                let count = copy_fd(&file, &near).unwrap();
                near.shutdown(Shutdown::Write).unwrap();
                (count, file.stream_position().unwrap())
            });
            // Nobody reads yet: who sends waits, and this goes on.
            for _ in 0..10 {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            assert!(!sending.is_finished());
            let mut received = Vec::new();
            (&far).read_to_end(&mut received).unwrap();
            assert!(received == bytes[1000..]);
            assert_eq!(sending.join().unwrap(), (bytes.len() as u64 - 1000, bytes.len() as u64));
        });
    });
}

#[test]
fn what_a_socket_receives_goes_to_a_file_to_a_pipe_and_to_another_socket() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        for to in ["file", "appended file", "pipe", "socket", "device"] {
            let (near, far) = pair();
            task::scope(|s| {
                s.spawn(|| {
                    let near = near;
                    for part in bytes.chunks(100_000) {
                        (&near).write_all(part).unwrap();
                        task::yield_now();
                    }
                });
                let expected = bytes.len() as u64;
                match to {
                    "file" | "appended file" => {
                        let there = Temporary::new(b"");
                        // The system refuses to move anything to one that is appended to.
                        let mut options = OpenOptions::new();
                        let file = options.append(to != "file").write(true).open(&there.0).unwrap();
                        assert_eq!(copy_fd(&far, &file).unwrap(), expected);
                        assert!(std::fs::read(&there.0).unwrap() == bytes);
                    }
                    "pipe" => {
                        let (mut reader, writer) = pipe().unwrap();
                        s.spawn(move || assert_eq!(copy_fd(&far, &writer).unwrap(), expected));
                        let mut received = Vec::new();
                        reader.read_to_end(&mut received).unwrap();
                        assert!(received == bytes);
                    }
                    "socket" => {
                        let (onward, mut end) = pair();
                        s.spawn(move || assert_eq!(copy_fd(&far, &onward).unwrap(), expected));
                        let mut received = Vec::new();
                        end.read_to_end(&mut received).unwrap();
                        assert!(received == bytes);
                    }
                    _ => {
                        let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
                        assert_eq!(copy_fd(&far, &device).unwrap(), expected);
                    }
                }
            });
        }
    });
}

#[test]
fn what_a_pipe_brings_goes_anywhere_also_when_its_ends_block() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        for blocks in [false, true] {
            for to_socket in [false, true] {
                let (reader, mut writer) = pipe().unwrap();
                let (into_socket, from_socket) = pair();
                let (from_pipe, into_pipe) = pipe().unwrap();
                let (from, to): (Box<dyn AsFd>, Box<dyn AsFd>) = match blocks {
                    true => (Box::new(OwnedFd::from(reader)), Box::new(OwnedFd::from(into_pipe))),
                    false => (Box::new(reader), Box::new(into_pipe)),
                };
                let to = if to_socket { Box::new(into_socket) } else { to };
                let mut end: Box<dyn Read> =
                    if to_socket { Box::new(from_socket) } else { Box::new(from_pipe) };
                task::scope(|s| {
                    s.spawn(|| {
                        for part in bytes.chunks(300_000) {
                            writer.write_all(part).unwrap();
                            time::sleep(Duration::from_micros(100)).unwrap();
                        }
                        drop(writer);
                    });
                    s.spawn(|| {
                        assert_eq!(copy_fd(&from, &to).unwrap(), bytes.len() as u64);
                        drop(to);
                    });
                    let mut received = Vec::new();
                    end.read_to_end(&mut received).unwrap();
                    assert!(received == bytes);
                });
            }
        }
    });
}

#[test]
fn files_are_copied_to_files_and_to_pipes() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        let from = Temporary::new(&bytes);
        let to = Temporary::new(b"");
        let count = copy_fd(&from.open(), &OpenOptions::new().write(true).open(&to.0).unwrap()).unwrap();
        assert_eq!(count, bytes.len() as u64);
        assert!(std::fs::read(&to.0).unwrap() == bytes);
        let (mut reader, writer) = pipe().unwrap();
        task::scope(|s| {
            let file = from.open();
            s.spawn(move || copy_fd(&file, &writer).unwrap());
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            assert!(received == bytes);
        });
    });
}

#[test]
fn two_copies_make_a_proxy_whose_streams_are_good_for_all_else_afterwards() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        let (left, a) = pair();
        let (b, right) = pair();
        task::scope(|s| {
            for (from, to) in [(&a, &b), (&b, &a)] {
                s.spawn(move || {
                    copy_fd(from, to).unwrap();
                    to.shutdown(Shutdown::Write).unwrap();
                });
            }
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
        // A stream that was copied to and from waits as before.
        let (c, d) = pair();
        task::scope(|s| {
            s.spawn(|| copy_fd(&c, &c).map_err(drop));
            (&d).write_all(b"echo").unwrap();
            (&d).read_exact(&mut [0; 4]).unwrap();
            s.cancel();
        });
        task::scope(|s| {
            s.spawn(|| {
                time::sleep(Duration::from_millis(2)).unwrap();
                (&d).write_all(b"late").unwrap();
            });
            (&c).read_exact(&mut [0; 4]).unwrap();
        });
    });
}

#[test]
fn a_stream_that_was_copied_to_blocks_again_when_std_gets_it() {
    ropewalk::run(|| {
        let file = Temporary::new(b"content");
        let (near, _far) = pair();
        assert_eq!(copy_fd(&file.open(), &near).unwrap(), 7);
        let near = std::net::TcpStream::from(near);
        let flags = rustix::fs::fcntl_getfl(&near).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
}

#[test]
fn of_two_copies_one_goes_on_when_the_other_has_ended() {
    ropewalk::run(|| {
        let (left, a) = pair();
        let (b, right) = pair();
        task::scope(|s| {
            let back = s.spawn(|| copy_fd(&b, &a).unwrap());
            let onward = s.spawn(|| copy_fd(&a, &b).unwrap());
            task::yield_now();
            // Both wait, and the same descriptors are known by both.
            left.shutdown(Shutdown::Write).unwrap();
            assert_eq!(onward.join().unwrap(), 0);
            assert!(!back.is_finished());
            (&right).write_all(b"later").unwrap();
            (&left).read_exact(&mut [0; 5]).unwrap();
            drop(right);
            assert_eq!(back.join().unwrap(), 5);
        });
    });
}

#[test]
fn a_wait_of_another_task_goes_on_when_a_copy_ends() {
    ropewalk::run(|| {
        let (left, a) = pair();
        let (b, right) = pair();
        task::scope(|s| {
            let onward = s.spawn(|| copy_fd(&a, &b).unwrap());
            task::yield_now();
            let reading = s.spawn(|| (&b).read(&mut [0; 10]).unwrap());
            let filling = s.spawn(|| (&left).write_all(&vec![0; 10_000_000]).unwrap());
            time::sleep(Duration::from_millis(5)).unwrap();
            assert_eq!(io::copy(&mut (&right).take(10_000_000), &mut io::sink()).unwrap(), 10_000_000);
            filling.join().unwrap();
            left.shutdown(Shutdown::Write).unwrap();
            assert_eq!(onward.join().unwrap(), 10_000_000);
            (&right).write_all(b"still").unwrap();
            assert_eq!(reading.join().unwrap(), 5);
        });
    });
}

#[test]
fn cancelled_it_says_how_far_it_came_and_has_what_was_underway() {
    ropewalk::run(|| {
        for to_pipe in [false, true] {
            let (left, a) = pair();
            let (b, mut right) = pair();
            let (reader, writer) = pipe().unwrap();
            let sent = Cell::new(0_u64);
            let error = task::scope(|s| {
                let copying = s.spawn(|| if to_pipe { copy_fd(&a, &writer) } else { copy_fd(&a, &b) });
                let filled = time::timeout(Duration::from_millis(50), || {
                    while let Ok(count) = (&left).write(&[1; 65536]) {
                        sent.set(sent.get() + count as u64);
                    }
                });
                assert!(filled.is_err());
                copying.cancel();
                copying.join().unwrap().unwrap_err()
            });
            assert!(Cancelled::is(&error.error), "{error}");
            drop(left);
            drop(writer);
            b.shutdown(Shutdown::Write).unwrap();
            let mut end: Box<dyn Read> = if to_pipe { Box::new(&reader) } else { Box::new(&mut right) };
            let through = io::copy(&mut end, &mut io::sink()).unwrap();
            assert_eq!(through, error.copied.bytes);
            let left_over = io::copy(&mut &a, &mut io::sink()).unwrap();
            assert_eq!(through + error.copied.unwritten.len() as u64 + left_over, sent.get());
            assert!(error.copied.unwritten.iter().all(|&byte| byte == 1));
            assert!(Cancelled::is(&io::Error::from(error)));
        }
    });
}

#[test]
fn cancelled_at_any_moment_each_byte_is_in_one_place() {
    let moments = testing::cancel_everywhere(|cut| {
        let (left, a) = UnixStream::pair().unwrap();
        let (b, right) = UnixStream::pair().unwrap();
        let copied = task::scope(|s| {
            let left = &left;
            s.spawn(move || {
                for part in ["to ", "the ", "right"] {
                    (&*left).write_all(part.as_bytes()).unwrap();
                    task::yield_now();
                }
                left.shutdown(Shutdown::Write).unwrap();
            });
            cut.here(|| copy_fd(&a, &b))
        });
        let copied =
            copied.map_or_else(|error| error.copied, |bytes| Copied { bytes, unwritten: Vec::new() });
        b.shutdown(Shutdown::Write).unwrap();
        let all = |mut stream: &UnixStream| {
            stream.set_nonblocking(false).unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let there = all(&right);
        assert_eq!(there.len() as u64, copied.bytes);
        assert_eq!([there, copied.unwritten, all(&a)].concat(), b"to the right");
    });
    assert!(moments >= 5, "{moments}");
}

#[test]
fn whoever_is_gone_at_the_other_end_is_an_error_with_how_far_it_came() {
    ropewalk::run(|| {
        let bytes = many_bytes();
        let file = Temporary::new(&bytes);
        let (near, far) = pair();
        task::scope(|s| {
            let sending = s.spawn(|| copy_fd(&file.open(), &near));
            (&far).read_exact(&mut [0; 100_000]).unwrap();
            drop(far);
            let error = sending.join().unwrap().unwrap_err();
            assert!(
                matches!(error.error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "{error}"
            );
            assert!(error.copied.bytes >= 100_000);
            assert!(error.to_string().starts_with(&format!("copying, after {} bytes: ", error.copied.bytes)));
        });
    });
}

#[test]
fn what_cannot_be_read_or_written_says_so() {
    ropewalk::run(|| {
        let file = Temporary::new(b"content");
        let error = copy_fd(&file.open(), &file.open()).unwrap_err();
        assert_eq!(error.error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()), "{error}");
        let folder = File::open(std::env::temp_dir()).unwrap();
        let (near, _far) = pair();
        let error = copy_fd(&folder, &near).unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::IsADirectory, "{error}");
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_copied() {
    ropewalk::run(|| {
        let file = Temporary::new(b"content");
        let (near, mut far) = pair();
        task::cancel_scope(|scope| {
            scope.cancel();
            let error = copy_fd(&file.open(), &near).unwrap_err();
            assert!(Cancelled::is(&error.error));
        });
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_large_file_takes_its_share_of_the_thread_and_no_more() {
    ropewalk::run(|| {
        let from = Temporary::new(&[7; 30_000_000]);
        let to = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let turns = Cell::new(0);
        task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    turns.set(turns.get() + 1);
                }
            });
            copy_fd(&from.open(), &to).unwrap();
        });
        assert!(turns.get() >= 3, "others had {} turns", turns.get());
    });
}
