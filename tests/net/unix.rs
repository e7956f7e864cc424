//! Unix sockets: what std's do these do, and park the task only; also where the system does not say when there is room.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use ropewalk::io::CloseWrite;
use ropewalk::net::{self, UnixDatagram, UnixListener, UnixStream};
use ropewalk::select::{Chosen, select};
use ropewalk::testing::{Setup, random};
use ropewalk::{Cancelled, Driver, task, time};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::torture::cut_short;

/// A directory of its own, which is removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ropewalk-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A path of that length in all.
    fn long(&self, length: usize) -> PathBuf {
        let so_far = self.0.as_os_str().len() + 1;
        self.0.join("l".repeat(length - so_far))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn received(socket: &UnixDatagram) -> Vec<u8> {
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

#[test]
fn connections_are_accepted_served_and_have_the_addresses_that_std_tells() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        assert!(listener.take_error().unwrap().is_none());
        task::scope(|s| {
            let serving = s.spawn_service(|| {
                for stream in &listener {
                    let Ok(stream) = stream else { break };
                    assert!(stream.local_addr().unwrap().as_pathname() == Some(&path));
                    assert!(stream.peer_addr().unwrap().is_unnamed());
                    io::copy(&mut &stream, &mut &stream).unwrap();
                }
            });
            for number in 0..10 {
                let mut stream = UnixStream::connect(&path).unwrap();
                assert!(stream.local_addr().unwrap().is_unnamed());
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
                stream.write_all(&[number; 1000]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                assert_eq!(back, [number; 1000]);
            }
            drop(serving);
        });
        let (_, address) = task::scope(|s| {
            let accepted = s.spawn(|| listener.accept().unwrap());
            let _stream = UnixStream::connect(&path).unwrap();
            accepted.join().unwrap()
        });
        assert!(address.is_unnamed());
    });
}

#[test]
#[cfg(target_os = "linux")]
fn abstract_names_need_no_file() {
    ropewalk::run(|| {
        let name = format!("ropewalk test {}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        assert_eq!(UnixListener::bind_addr(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
        task::scope(|s| {
            s.spawn(|| listener.accept().unwrap().0.write_all(b"hello").unwrap());
            let stream = UnixStream::connect_addr(&address).unwrap();
            assert_eq!(stream.peer_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
            assert_eq!(io::read_to_string(stream).unwrap(), "hello");
        });
        drop(listener);
        assert_eq!(UnixStream::connect_addr(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // The same with datagrams, and names that have zeros in them or that the system chooses.
        let address = SocketAddr::from_abstract_name(b"\0ropewalk\0datagrams").unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let unnamed = UnixDatagram::unbound().unwrap().local_addr().unwrap();
        let sender = UnixDatagram::bind_addr(&unnamed).unwrap();
        let chosen = sender.local_addr().unwrap();
        assert_eq!(chosen.as_abstract_name().unwrap().len(), 5);
        sender.send_to_addr(b"one", &address).unwrap();
        sender.connect_addr(&address).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_abstract_name(), address.as_abstract_name());
        sender.send(b"two").unwrap();
        for _ in 0..2 {
            let (count, from) = receiver.recv_from(&mut [0; 10]).unwrap();
            assert_eq!((count, from.as_abstract_name()), (3, chosen.as_abstract_name()));
        }
    });
}

#[test]
fn paths_that_cannot_be_are_refused_as_std_refuses_them() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let kind = |result: io::Result<UnixListener>| result.unwrap_err().kind();
        assert_eq!(kind(UnixListener::bind(directory.long(300))), ErrorKind::InvalidInput);
        assert_eq!(kind(UnixListener::bind("zero\0inside")), ErrorKind::InvalidInput);
        assert_eq!(kind(UnixListener::bind(directory.join("no/where"))), ErrorKind::NotFound);
        assert_eq!(UnixStream::connect(directory.long(300)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(UnixDatagram::bind(directory.long(300)).unwrap_err().kind(), ErrorKind::InvalidInput);
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(socket.connect(directory.long(300)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.send_to(b"", directory.long(300)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.send_to(b"", &path).unwrap_err().kind(), ErrorKind::NotFound);
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(kind(UnixListener::bind(&path)), ErrorKind::AddrInUse);
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        // It is another kind of socket.
        assert!(socket.connect(&path).is_err());
    });
}

/// The longest that std takes, and the longest that the system takes, for which std has no address.
#[test]
fn the_longest_paths_are_told_or_passed_over() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let longest = if cfg!(target_os = "linux") { 107 } else { 103 };
        let path = directory.long(longest);
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(receiver.local_addr().unwrap().as_pathname(), Some(&*path));
        receiver.send_to(b"to itself", &path).unwrap();
        let (_, sender) = receiver.recv_from(&mut [0; 10]).unwrap();
        assert_eq!(sender.as_pathname(), Some(&*path));
        if cfg!(target_os = "linux") {
            let path_of_all_the_room = directory.long(108);
            let address = SocketAddrUnix::new(&path_of_all_the_room).unwrap();
            let stranger = UnixDatagram::unbound().unwrap();
            rustix::net::bind(&stranger, &address).unwrap();
            assert_eq!(stranger.local_addr().unwrap_err().kind(), ErrorKind::InvalidInput);
            stranger.send_to(b"strange", &path).unwrap();
            let (count, sender) = receiver.recv_from(&mut [0; 10]).unwrap();
            assert!(count == 7 && sender.is_unnamed());
        }
    });
}

#[test]
fn as_with_std_the_file_stays_and_the_path_is_taken() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_listener_that_owns_its_file_removes_it_and_replaces_one_that_nobody_listens_at() {
    let directory = Directory::new();
    let path = directory.join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let listener = UnixListener::bind_owning(&path).unwrap();
    // Somebody listens there now.
    assert_eq!(UnixListener::bind_owning(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    let duplicate = listener.try_clone().unwrap();
    drop(duplicate);
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
    // A file that is no socket is left alone.
    fs::write(&path, "precious").unwrap();
    assert_eq!(UnixListener::bind_owning(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    // What another has put in its place is left alone too.
    let first = UnixListener::bind_owning(&path).unwrap();
    fs::rename(&path, directory.join("elsewhere")).unwrap();
    let second = UnixListener::bind_owning(&path).unwrap();
    drop(first);
    assert!(path.exists());
    // As a descriptor it goes on listening.
    let fd = OwnedFd::from(second);
    assert!(path.exists());
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    drop(fd);
    assert!(path.exists());
}

/// Nothing says when a listener that is full has room again.
#[test]
#[cfg(target_os = "linux")]
fn who_connects_to_a_full_listener_waits_until_there_is_room() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let fd =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let fd = fd.unwrap();
        rustix::net::bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let listener = UnixListener::from(fd);
        let first = UnixStream::connect(&path).unwrap();
        let full = time::timeout(Duration::from_millis(5), || UnixStream::connect(&path));
        assert!(Cancelled::is(&full.unwrap_err().into_inner().unwrap_err()));
        task::scope(|s| {
            let connecting = s.spawn(|| UnixStream::connect(&path).unwrap());
            task::yield_now();
            let (mut one, _) = listener.accept().unwrap();
            let (mut two, _) = listener.accept().unwrap();
            one.write_all(b"1").unwrap();
            two.write_all(b"2").unwrap();
            drop((one, two));
            assert_eq!(io::read_to_string(first).unwrap(), "1");
            assert_eq!(io::read_to_string(connecting.join().unwrap()).unwrap(), "2");
        });
    });
}

#[test]
fn a_pair_carries_bytes_both_ways_at_once() {
    ropewalk::run(|| {
        let (left, right) = UnixStream::pair().unwrap();
        assert!(left.local_addr().unwrap().is_unnamed() && right.peer_addr().unwrap().is_unnamed());
        task::scope(|s| {
            for stream in [&left, &right] {
                s.spawn(move || (&*stream).write_all(&vec![1; 3_000_000]).unwrap());
                s.spawn(move || {
                    let mut received = vec![0; 3_000_000];
                    (&*stream).read_exact(&mut received).unwrap();
                    assert!(received.iter().all(|&byte| byte == 1));
                });
            }
        });
    });
}

#[test]
fn several_buffers_are_read_and_written_with_one_call() {
    ropewalk::run(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let written = left.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")]);
        assert_eq!(written.unwrap(), 6);
        let (mut first, mut second) = ([0; 2], [0; 10]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(right.read_vectored(&mut buffers).unwrap(), 6);
        assert_eq!((&first, &second[..4]), (b"on", &b"etwo"[..]));
    });
}

#[test]
fn the_end_of_a_stream_and_a_peer_that_is_gone_are_seen() {
    ropewalk::run(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        task::scope(|s| {
            let reading = s.spawn(|| right.read(&mut [0; 4]));
            task::yield_now();
            left.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), 0);
        });
        right.write_all(b"still").unwrap();
        left.read_exact(&mut [0; 5]).unwrap();
        task::scope(|s| {
            let reading = s.spawn(|| left.read(&mut [0; 4]));
            task::yield_now();
            drop(right);
            assert_eq!(reading.join().unwrap().unwrap(), 0);
        });
        let (mut left, right) = UnixStream::pair().unwrap();
        drop(right);
        assert_eq!(left.write(b"nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(left.read(&mut [0]).unwrap(), 0);
        // To leave what was sent unread is a reset, after what came before it.
        let (mut left, mut right) = UnixStream::pair().unwrap();
        left.write_all(b"unread").unwrap();
        right.write_all(b"sent").unwrap();
        drop(right);
        if cfg!(target_os = "linux") {
            assert_eq!(left.read(&mut [0; 10]).unwrap(), 4);
            assert_eq!(left.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn the_last_words_of_a_stream_and_its_end_come_together() {
    ropewalk::run(|| {
        for _ in 0..100 {
            let (mut writer, mut reader) = UnixStream::pair().unwrap();
            task::scope(|s| {
                s.spawn(move || {
                    task::yield_now();
                    writer.write_all(b"last words").unwrap();
                });
                let mut received = String::new();
                reader.read_to_string(&mut received).unwrap();
                assert_eq!(received, "last words");
            });
        }
    });
}

/// Where descriptors came along, a read ends, though more has come. Who takes a short read for the last waits for ever.
#[test]
fn a_read_that_is_cut_short_by_descriptors_is_not_taken_for_the_last() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    ropewalk::run(|| {
        let (left, mut right) = UnixStream::pair().unwrap();
        task::scope(|s| {
            let reading = s.spawn(|| {
                let mut buffer = [0; 100];
                let mut received = Vec::new();
                while received.len() < 9 {
                    let count = right.read(&mut buffer).unwrap();
                    received.push(b'|');
                    received.extend_from_slice(&buffer[..count]);
                }
                received
            });
            task::yield_now();
            // All of it before anybody looks.
            for (part, has_descriptor) in [(b"ab", true), (b"cd", true), (b"ef", false)] {
                let descriptors = [left.as_fd()];
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if has_descriptor {
                    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
                }
                rustix::net::sendmsg(&left, &[IoSlice::new(part)], &mut control, SendFlags::empty()).unwrap();
            }
            let received = reading.join().unwrap();
            assert_eq!(received.iter().filter(|&&byte| byte != b'|').count(), 6);
            if cfg!(target_os = "linux") {
                // Else this test shows nothing.
                assert_eq!(received, b"|ab|cd|ef");
            }
        });
    });
}

#[test]
fn peeking_at_a_stream_takes_nothing() {
    ropewalk::run(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                left.write_all(b"peek").unwrap();
            });
            let mut buffer = [0; 4];
            assert_eq!(right.peek(&mut buffer).unwrap(), 4);
            buffer.fill(0);
            right.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"peek");
        });
    });
}

#[test]
fn timeouts_end_single_calls_and_scopes_end_several() {
    ropewalk::run(|| {
        let soon = Some(Duration::from_millis(5));
        let (mut left, mut right) = UnixStream::pair().unwrap();
        left.set_read_timeout(soon).unwrap();
        left.set_write_timeout(soon).unwrap();
        assert_eq!((left.read_timeout().unwrap(), left.write_timeout().unwrap()), (soon, soon));
        assert_eq!(left.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(left.write_all(&vec![0; 10_000_000]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(left.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        let late = time::timeout(Duration::from_millis(5), || right.write_all(&vec![0; 10_000_000]));
        assert!(Cancelled::is(&late.unwrap_err().into_inner().unwrap_err()));

        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(soon).unwrap();
        assert_eq!(receiver.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        if cfg!(target_os = "linux") {
            let sender = UnixDatagram::unbound().unwrap();
            sender.set_write_timeout(soon).unwrap();
            let error = std::iter::from_fn(|| sender.send_to(b"fill", &path).err().map(Some).or(Some(None)))
                .flatten()
                .next()
                .unwrap();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            sender.connect(&path).unwrap();
            assert_eq!(sender.send(b"full").unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        let listener = UnixListener::bind(directory.join("listener")).unwrap();
        let late = time::timeout(Duration::from_millis(5), || listener.accept());
        assert!(Cancelled::is(&late.unwrap_err().into_inner().unwrap_err()));
    });
}

#[test]
fn a_cancelled_read_leaves_what_comes_later() {
    ropewalk::run(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        for round in 0..50_u8 {
            let outcome = task::scope(|s| {
                let reading = s.spawn(|| {
                    let mut buffer = [0];
                    right.read(&mut buffer).map(|_| buffer[0])
                });
                task::yield_now();
                if round % 2 == 0 {
                    left.write_all(&[round]).unwrap();
                    reading.cancel();
                } else {
                    reading.cancel();
                    left.write_all(&[round]).unwrap();
                }
                reading.join().unwrap()
            });
            match outcome {
                Ok(number) => assert_eq!(number, round),
                Err(error) => {
                    assert!(Cancelled::is(&error));
                    let mut buffer = [0];
                    right.read_exact(&mut buffer).unwrap();
                    assert_eq!(buffer, [round]);
                }
            }
        }
    });
}

#[test]
fn a_connection_that_came_with_the_cancellation_is_returned_or_still_there() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        for round in 0..20 {
            task::scope(|s| {
                let accepting = s.spawn(|| listener.accept());
                task::yield_now();
                let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
                if round % 2 == 0 {
                    task::yield_now();
                }
                accepting.cancel();
                if let Err(error) = accepting.join().unwrap() {
                    assert!(Cancelled::is(&error));
                    listener.accept().unwrap();
                }
            });
        }
    });
}

#[test]
fn who_is_at_the_other_side_is_known() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (accepted, connected) = task::scope(|s| {
            let accepting = s.spawn(|| listener.accept().unwrap().0);
            let connected = UnixStream::connect(&path).unwrap();
            (accepting.join().unwrap(), connected)
        });
        for stream in [&accepted, &connected] {
            let peer = stream.peer_cred().unwrap();
            assert_eq!(peer.uid, fs::metadata(&path).unwrap().uid());
            if cfg!(target_os = "linux") {
                assert_eq!(peer.pid, Some(std::process::id() as i32));
            }
        }
        let alone = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        assert_eq!(UnixStream::from(alone).peer_cred().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn streams_and_listeners_go_to_std_and_come_back() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let std_listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let listener = UnixListener::from(std_listener);
        let (near, far) = task::scope(|s| {
            let accepting = s.spawn(|| listener.accept().unwrap().0);
            task::yield_now();
            let near = std::os::unix::net::UnixStream::connect(&path).unwrap();
            near.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
            (UnixStream::from(near), accepting.join().unwrap())
        });
        assert_eq!(near.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        let far = std::os::unix::net::UnixStream::from(far);
        // It blocks again: nothing has been written when it begins to read.
        let blocking = thread::spawn(move || {
            let mut far = far;
            let mut buffer = [0; 4];
            far.read_exact(&mut buffer).unwrap();
            far.write_all(&buffer).unwrap();
        });
        (&near).write_all(b"echo").unwrap();
        let mut buffer = [0; 4];
        (&near).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"echo");
        blocking.join().unwrap();
        let duplicate = near.try_clone().unwrap();
        assert_ne!(duplicate.as_raw_fd(), near.as_raw_fd());
        assert!(duplicate.take_error().unwrap().is_none());
        let listener = std::os::unix::net::UnixListener::from(listener);
        let blocking = thread::spawn(move || listener.accept().map(drop));
        let _client = UnixStream::connect(&path).unwrap();
        blocking.join().unwrap().unwrap();
    });
}

#[test]
fn packets_in_sequence_are_taken_over_and_none_waits_behind_a_short_one() {
    // Not everywhere.
    let kind = SocketType::SEQPACKET;
    let Ok((left, right)) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::empty(), None)
    else {
        #[cfg(target_os = "linux")]
        panic!("Linux has it");
        #[cfg(not(target_os = "linux"))]
        return;
    };
    ropewalk::run(|| {
        let (mut left, right) = (UnixStream::from(left), UnixStream::from(right));
        task::scope(|s| {
            let reading = s.spawn(|| {
                let mut buffer = [0; 100];
                [0; 3].map(|_| (&right).read(&mut buffer).unwrap())
            });
            task::yield_now();
            for packet in ["a", "bb", "ccc"] {
                left.write_all(packet.as_bytes()).unwrap();
            }
            assert_eq!(reading.join().unwrap(), [1, 2, 3]);
            drop(left);
            assert_eq!((&right).read(&mut [0]).unwrap(), 0);
        });
    });
}

#[test]
fn datagrams_keep_their_bounds_and_their_order() {
    ropewalk::run(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        task::scope(|s| {
            let first = s.spawn(|| received(&right));
            task::yield_now();
            for word in ["zero", "one", "", "two"] {
                left.send(word.as_bytes()).unwrap();
            }
            assert_eq!(first.join().unwrap(), b"zero");
            time::sleep(Duration::from_millis(1)).unwrap();
            assert_eq!(received(&right), b"one");
            assert_eq!(received(&right), b"");
            assert_eq!(received(&right), b"two");
        });
        left.send(b"too long for it").unwrap();
        left.send(b"whole").unwrap();
        let mut buffer = [0; 8];
        assert_eq!((right.recv(&mut buffer).unwrap(), &buffer), (8, b"too long"));
        assert_eq!(received(&right), b"whole");
        left.send(b"peek").unwrap();
        assert_eq!(right.peek(&mut buffer).unwrap(), 4);
        let (count, from) = right.peek_from(&mut buffer).unwrap();
        assert!(count == 4 && from.is_unnamed());
        assert_eq!(received(&right), b"peek");
    });
}

#[test]
fn datagrams_go_to_paths_and_say_whom_they_are_from() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let (here, there) = (directory.join("here"), directory.join("there"));
        let sender = UnixDatagram::bind(&here).unwrap();
        let receiver = UnixDatagram::bind(&there).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(sender.send_to(b"hi", &there).unwrap(), 2);
        let (count, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!((count, from.as_pathname()), (2, Some(&*here)));
        receiver.send_to_addr(b"ho", &from).unwrap();
        assert_eq!(received(&sender), b"ho");
        assert_eq!(sender.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(sender.send(b"to whom?").unwrap_err().kind(), ErrorKind::NotConnected);
        sender.connect(&there).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_pathname(), Some(&*there));
        sender.send(b"hi again").unwrap();
        assert_eq!(received(&receiver), b"hi again");
        let unnamed = UnixDatagram::unbound().unwrap();
        unnamed.send_to(b"guess who", &there).unwrap();
        assert!(receiver.recv_from(&mut buffer).unwrap().1.is_unnamed());
        drop(receiver);
        assert_eq!(sender.send(b"anybody?").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let refused = unnamed.send_to(b"anybody?", &there).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let too_long = vec![0; 50_000_000];
        let expected = Some(rustix::io::Errno::MSGSIZE.raw_os_error());
        assert_eq!(unnamed.send_to(&too_long, &here).unwrap_err().raw_os_error(), expected);
        // And it goes on.
        unnamed.send_to(b"short", &here).unwrap();
        assert_eq!(received(&sender), b"short");
    });
}

fn send_more_than_there_is_room_for(send: impl Fn(&Path, &[u8])) {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        task::scope(|s| {
            s.spawn(|| (0..1_000_u32).for_each(|number| send(&path, &number.to_ne_bytes())));
            for number in 0..1_000_u32 {
                let mut buffer = [0; 10];
                assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
                assert_eq!(buffer[..4], number.to_ne_bytes());
            }
        });
    });
}

#[test]
#[cfg(target_os = "linux")]
fn who_is_connected_to_a_full_receiver_waits_until_there_is_room() {
    let sender = UnixDatagram::unbound().unwrap();
    send_more_than_there_is_room_for(move |path, datagram| {
        if sender.peer_addr().is_err() {
            sender.connect(path).unwrap();
        }
        sender.send(datagram).unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn who_sends_to_the_path_of_a_full_receiver_waits_until_there_is_room() {
    let sender = UnixDatagram::unbound().unwrap();
    send_more_than_there_is_room_for(move |path, datagram| {
        sender.send_to(datagram, path).unwrap();
    });
}

/// The system tells a sender of room when one of its own datagrams has been received; nothing is told to others.
#[test]
#[cfg(target_os = "linux")]
fn who_finds_a_receiver_full_of_what_others_sent_waits_until_there_is_room() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        let mut queued = 0;
        while time::timeout(Duration::from_millis(3), || other.send_to(b"other", &path)).is_ok() {
            queued += 1;
        }
        assert!(queued > 0);
        let sender = UnixDatagram::unbound().unwrap();
        task::scope(|s| {
            let sending = s.spawn(|| sender.send_to(b"mine", &path).unwrap());
            time::sleep(Duration::from_millis(1)).unwrap();
            assert!(!sending.is_finished());
            (0..queued).for_each(|_| assert_eq!(received(&receiver), b"other"));
            assert_eq!(received(&receiver), b"mine");
            sending.join().unwrap();
        });
    });
}

#[test]
fn one_task_sends_datagrams_while_another_receives_and_a_second_receiver_is_refused() {
    ropewalk::run(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        task::scope(|s| {
            let first = s.spawn(|| received(&left));
            task::yield_now();
            assert_eq!(left.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ResourceBusy);
            left.send(b"ping").unwrap();
            assert_eq!(received(&right), b"ping");
            right.send(b"pong").unwrap();
            assert_eq!(first.join().unwrap(), b"pong");
        });
    });
}

#[test]
fn a_datagram_that_came_with_the_cancellation_is_returned_or_still_there() {
    ropewalk::run(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        for round in 0..50_u8 {
            task::scope(|s| {
                let receiving = s.spawn(|| {
                    let mut buffer = [0];
                    right.recv_from(&mut buffer).map(|_| buffer[0])
                });
                task::yield_now();
                if round % 2 == 0 {
                    left.send(&[round]).unwrap();
                    receiving.cancel();
                } else {
                    receiving.cancel();
                    left.send(&[round]).unwrap();
                }
                match receiving.join().unwrap() {
                    Ok(number) => assert_eq!(number, round),
                    Err(error) => {
                        assert!(Cancelled::is(&error));
                        assert_eq!(received(&right), [round]);
                    }
                }
            });
        }
    });
}

/// As for TCP in `torture`, with what a Unix stream adds: reads that do not fill their buffers are followed by others.
#[test]
fn no_byte_of_a_stream_is_lost_nor_doubled_whatever_is_cancelled() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Setup::new().driver(driver).explore(0..40, || {
            let (left, right) = UnixStream::pair().unwrap();
            let total = [500, 900_000][random(2)];
            let byte_at = |position: usize| (position % 199) as u8;
            task::scope(|s| {
                s.spawn(move || {
                    let mut sent = 0;
                    while sent < total && task::checkpoint().is_ok() {
                        let size = 1 + random([30, 300_000][random(2)]);
                        let bytes: Vec<u8> = (sent..total.min(sent + size)).map(byte_at).collect();
                        let (one, two) = bytes.split_at(random(bytes.len()));
                        let written = cut_short(|| match random(2) {
                            0 => (&left).write(&bytes),
                            _ => (&left).write_vectored(&[IoSlice::new(one), IoSlice::new(two)]),
                        });
                        match written {
                            Ok(count) => sent += count,
                            Err(error) => assert!(Cancelled::is(&error), "{error}"),
                        }
                    }
                });
                let mut received = 0;
                let mut buffer = vec![0xee; 70_000];
                loop {
                    let size = 1 + random([30, 60_000][random(2)]);
                    match cut_short(|| (&right).read(&mut buffer[..size])) {
                        Ok(0) => break assert_eq!(received, total),
                        Ok(count) => {
                            assert!(buffer[..count].iter().zip(received..).all(|(&b, at)| b == byte_at(at)));
                            assert!(buffer[count..].iter().all(|&byte| byte == 0xee));
                            buffer[..count].fill(0xee);
                            received += count;
                        }
                        Err(error) => assert!(Cancelled::is(&error), "{error}"),
                    }
                }
            });
        });
    }
}

/// What has found no room is sent whole when there is some.
#[test]
#[cfg(target_os = "linux")]
fn a_datagram_that_waited_for_room_arrives_whole() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        for is_connected in [true, false] {
            let sender = UnixDatagram::unbound().unwrap();
            if is_connected {
                sender.connect(&path).unwrap();
            }
            let send = |datagram: &[u8]| match is_connected {
                true => sender.send(datagram),
                false => sender.send_to(datagram, &path),
            };
            let mut queued = 0;
            while time::timeout(Duration::from_millis(3), || send(b"filler")).is_ok() {
                queued += 1;
            }
            task::scope(|s| {
                let sending = s.spawn(|| send(b"whole").unwrap());
                time::sleep(Duration::from_millis(1)).unwrap();
                assert!(!sending.is_finished());
                (0..queued).for_each(|_| assert_eq!(received(&receiver), b"filler"));
                assert_eq!(received(&receiver), b"whole");
                assert_eq!(sending.join().unwrap(), 5);
            });
        }
    });
}

/// Numbered datagrams, in order, through calls that are cut short at random: none is lost, none comes twice, and nothing is
/// written behind the end of one.
fn torture(setup: &Setup, sends: impl Fn(&UnixDatagram, &Path, &[u8]) -> io::Result<usize>) {
    setup.explore(0..40, || {
        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let total = [10, 300][random(2)] as u32;
        task::scope(|s| {
            s.spawn(|| {
                for number in 0..total {
                    let mut datagram = number.to_ne_bytes().to_vec();
                    datagram.resize(4 + random(50), 1);
                    loop {
                        match cut_short(|| sends(&sender, &path, &datagram)) {
                            Ok(count) => break assert_eq!(count, datagram.len()),
                            Err(error) => assert!(Cancelled::is(&error), "{error}"),
                        }
                        // The receiver has failed.
                        if task::checkpoint().is_err() {
                            return;
                        }
                    }
                }
            });
            let mut expected = 0;
            while expected < total {
                let mut buffer = [0; 100];
                let received = match random(3) {
                    0 => cut_short(|| receiver.recv(&mut buffer)),
                    1 => cut_short(|| receiver.recv_from(&mut buffer)).map(|(count, _)| count),
                    _ => cut_short(|| receiver.peek(&mut buffer)).and_then(|_| receiver.recv(&mut buffer)),
                };
                (0..random(3)).for_each(|_| task::yield_now());
                match received {
                    Ok(count) => {
                        assert_eq!(buffer[..4], expected.to_ne_bytes());
                        assert!(buffer[4..count].iter().all(|&byte| byte == 1));
                        assert!(buffer[count..].iter().all(|&byte| byte == 0));
                        expected += 1;
                    }
                    Err(error) => {
                        assert!(Cancelled::is(&error), "{error}");
                        assert_eq!(buffer, [0; 100]);
                    }
                }
            }
        });
    });
}

#[test]
#[cfg(target_os = "linux")]
fn no_datagram_is_lost_nor_doubled_whatever_is_cancelled() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let setup = Setup::new().driver(driver);
        torture(&setup, |sender, _, datagram| sender.send(datagram));
        torture(&setup, |sender, path, datagram| sender.send_to(datagram, path));
    }
}

#[test]
fn what_ends_in_one_direction_ends_for_whoever_waits_there() {
    ropewalk::run(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.send(b"before").unwrap();
        task::scope(|s| {
            assert_eq!(received(&right), b"before");
            let receiving = s.spawn(|| right.recv(&mut [0; 4]));
            task::yield_now();
            right.shutdown(Shutdown::Read).unwrap();
            assert_eq!(receiving.join().unwrap().unwrap(), 0);
            let (count, from) = right.recv_from(&mut [0; 4]).unwrap();
            assert!(count == 0 && from.is_unnamed());
            assert_eq!(right.peek(&mut [0; 4]).unwrap(), 0);
            assert_eq!(left.send(b"after").unwrap_err().kind(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn datagrams_go_to_std_and_come_back() {
    ropewalk::run(|| {
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        left.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        let (left, right) = (UnixDatagram::from(left), UnixDatagram::from(OwnedFd::from(right)));
        assert_eq!(left.write_timeout().unwrap(), Some(Duration::from_secs(3)));
        task::scope(|s| {
            let duplicate = right.try_clone().unwrap();
            let receiving = s.spawn(move || received(&duplicate));
            task::yield_now();
            left.send(b"one").unwrap();
            left.send(b"two").unwrap();
            assert_eq!(receiving.join().unwrap(), b"one");
            assert_eq!(received(&right), b"two");
        });
        left.send(b"three").unwrap();
        let right = std::os::unix::net::UnixDatagram::from(right);
        assert_eq!(right.recv(&mut [0; 10]).unwrap(), 5);
        assert!(left.take_error().unwrap().is_none());
    });
}

#[test]
fn arms_accept_and_say_what_is_ready() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let (one, two) = (directory.join("one"), directory.join("two"));
        let (first, second) = (UnixListener::bind(&one).unwrap(), UnixListener::bind(&two).unwrap());
        for round in 0..4 {
            task::scope(|s| {
                let connecting = s.spawn(|| UnixStream::connect(&two).unwrap());
                if round % 2 == 0 {
                    // It is there before anybody asks.
                    second.wait_readable().unwrap();
                }
                let accepted = match select((first.accepting(), second.accepting())).unwrap() {
                    Chosen::First(_) => panic!("nobody connects there"),
                    Chosen::Second(accepted) => accepted.unwrap().0,
                };
                let connected = connecting.join().unwrap();
                select(accepted.writable()).unwrap().unwrap();
                accepted.wait_writable().unwrap();
                (&accepted).write_all(b"hi").unwrap();
                match select((accepted.readable(), connected.readable())).unwrap() {
                    Chosen::First(_) => panic!("nothing was written there"),
                    Chosen::Second(ready) => ready.unwrap(),
                }
                drop(accepted);
                assert_eq!(io::read_to_string(connected).unwrap(), "hi");
            });
        }
        let (left, right) = UnixDatagram::pair().unwrap();
        task::scope(|s| {
            let ready = s.spawn(|| select(right.readable()).unwrap().unwrap());
            task::yield_now();
            assert!(!ready.is_finished());
            left.send(b"one").unwrap();
            ready.join().unwrap();
            assert_eq!(received(&right), b"one");
        });
    });
}

#[test]
fn a_unix_listener_is_served_as_any_other() {
    ropewalk::run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let server = net::Server::new(UnixListener::bind_owning(&path).unwrap());
        let controller = server.controller();
        task::scope(|s| {
            let serving = s.spawn(move || {
                server.serve(|stream: UnixStream, peer: SocketAddr| {
                    assert!(peer.is_unnamed());
                    io::copy(&mut &stream, &mut &stream).map(drop)
                })
            });
            for number in 0..5 {
                let mut stream = UnixStream::connect(&path).unwrap();
                stream.write_all(&[number; 100]).unwrap();
                stream.close_write().unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                assert_eq!(back, [number; 100]);
            }
            controller.shutdown(Duration::from_secs(60)).unwrap();
            serving.join().unwrap().unwrap();
        });
    });
}

#[test]
fn they_are_what_other_crates_ask_for() {
    fn ask<T: Send + Sync + std::fmt::Debug + AsFd + AsRawFd + Into<OwnedFd> + From<OwnedFd> + 'static>() {}
    ask::<UnixStream>();
    ask::<UnixListener>();
    ask::<UnixDatagram>();
    fn stream<T: Read + Write>(_: T) {}
    let (left, right) = UnixStream::pair().unwrap();
    stream(&left);
    stream(right);
    let _: fn(&Path) -> io::Result<SocketAddr> = |path| SocketAddr::from_pathname(path);
}

#[test]
fn a_read_without_room_does_not_wait_and_takes_nothing() {
    ropewalk::run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        assert_eq!((&near).read(&mut []).unwrap(), 0);
        assert_eq!((&near).read_vectored(&mut [io::IoSliceMut::new(&mut [])]).unwrap(), 0);
        far.write_all(b"rope").unwrap();
        assert_eq!((&near).read(&mut []).unwrap(), 0);
        (&near).read_exact(&mut [0; 4]).unwrap();
    });
}
