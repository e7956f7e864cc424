//! Listeners and streams have what std's have, and what others ask of them: options, conversions, timeouts, many buffers.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use ropewalk::net::{ConnectOptions, Keepalive, ListenOptions, TcpListener, TcpStream};
use ropewalk::{Cancelled, task, time};

use crate::tcp::{listen, pair};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn what_is_set_is_what_is_got() {
    ropewalk::run(|| {
        let (stream, _peer) = pair();
        for on in [true, false] {
            stream.set_nodelay(on).unwrap();
            assert_eq!(stream.nodelay().unwrap(), on);
        }
        stream.set_ttl(33).unwrap();
        assert_eq!(stream.ttl().unwrap(), 33);
        stream.set_tos(0x10).unwrap();
        assert_eq!(stream.tos().unwrap(), 0x10);
        for linger in [Some(Duration::from_secs(7)), Some(Duration::ZERO), None] {
            stream.set_linger(linger).unwrap();
            assert_eq!(stream.linger().unwrap(), linger);
        }
        let small = stream.recv_buffer_size().unwrap();
        stream.set_recv_buffer_size(small * 2).unwrap();
        assert!(stream.recv_buffer_size().unwrap() > small);
        stream.set_send_buffer_size(8_192).unwrap();
        let small = stream.send_buffer_size().unwrap();
        stream.set_send_buffer_size(65_536).unwrap();
        assert!(stream.send_buffer_size().unwrap() > small);
        assert!(stream.take_error().unwrap().is_none());
    });
}

#[test]
fn keepalive_has_the_times_that_were_said_and_the_system_s_for_the_rest() {
    ropewalk::run(|| {
        let (stream, _peer) = pair();
        assert_eq!(stream.keepalive().unwrap(), None);
        stream.set_keepalive(Some(Keepalive::new())).unwrap();
        let usual = stream.keepalive().unwrap().unwrap();
        assert!(usual.idle > Some(Duration::ZERO));
        stream.set_keepalive(Some(Keepalive::after(Duration::from_secs(77)))).unwrap();
        assert_eq!(stream.keepalive().unwrap(), Some(usual_but(usual, Duration::from_secs(77))));
        stream.set_keepalive(None).unwrap();
        assert_eq!(stream.keepalive().unwrap(), None);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn linux_has_options_of_its_own() {
    ropewalk::run(|| {
        let (stream, _peer) = pair();
        assert_eq!(stream.user_timeout().unwrap(), None);
        for timeout in [Some(Duration::from_millis(1_500)), None] {
            stream.set_user_timeout(timeout).unwrap();
            assert_eq!(stream.user_timeout().unwrap(), timeout);
        }
        for on in [false, true] {
            stream.set_quickack(on).unwrap();
            assert_eq!(stream.quickack().unwrap(), on);
        }
    });
}

#[test]
fn a_listener_has_its_options_before_anybody_connects() {
    ropewalk::run(|| {
        let options = ListenOptions::new().recv_buffer_size(10_000).send_buffer_size(20_000);
        let listener = options.bind("127.0.0.1:0").unwrap();
        listener.set_ttl(44).unwrap();
        assert_eq!(listener.ttl().unwrap(), 44);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!((10_000..30_000).contains(&stream.recv_buffer_size().unwrap()));
        assert!((20_000..50_000).contains(&stream.send_buffer_size().unwrap()));
        assert!(client.recv_buffer_size().unwrap() > 30_000);
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn two_listen_at_one_address_if_both_say_so() {
    let options = ListenOptions::new().reuse_port(true);
    let first = options.bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let second = options.bind(address).unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_listener_of_ipv6_takes_no_ipv4_if_it_is_told_so() {
    ropewalk::run(|| {
        let Ok(listener) = ListenOptions::new().only_v6(true).bind("[::]:0") else {
            // There is no IPv6 here.
            return;
        };
        assert!(listener.only_v6().unwrap());
        let port = listener.local_addr().unwrap().port();
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let both = ListenOptions::new().only_v6(false).bind("[::]:0").unwrap();
        assert!(!both.only_v6().unwrap());
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, both.local_addr().unwrap().port())).unwrap();
        both.accept().unwrap();
        assert!(stream.peer_addr().unwrap().is_ipv4());
    });
}

#[test]
fn many_buffers_are_read_and_written_with_one_call() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(writer.write_vectored(&parts).unwrap(), 13);
        let (mut first, mut second, mut third) = ([0; 4], [0; 0], [0; 20]);
        let mut room =
            [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second), IoSliceMut::new(&mut third)];
        assert_eq!(reader.read_vectored(&mut room).unwrap(), 13);
        assert_eq!((&first, &third[..9]), (b"one ", &b"two three"[..]));
        // And it parks as others do.
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                writer.write_all(b"later").unwrap();
            });
            let mut room = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut third)];
            assert_eq!(reader.read_vectored(&mut room).unwrap(), 5);
        });
        assert_eq!((&first, &third[..1]), (b"late", &b"r"[..]));
    });
}

#[test]
fn more_buffers_than_the_system_takes_at_a_time_are_written_in_part() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        let parts = vec![IoSlice::new(b"ab"); 3_000];
        let written = writer.write_vectored(&parts).unwrap();
        assert!(written > 0 && written < 6_000, "{written}");
        let mut received = vec![0; written];
        reader.read_exact(&mut received).unwrap();
        assert!(received.chunks(2).all(|pair| pair == b"ab"));
    });
}

#[test]
fn a_read_without_room_does_not_wait_and_is_no_end() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        assert_eq!(reader.peek(&mut []).unwrap(), 0);
        assert_eq!(reader.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        assert_eq!(writer.write(&[]).unwrap(), 0);
        assert_eq!(writer.write_vectored(&[]).unwrap(), 0);
        writer.write_all(b"!").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&reader.read(&mut []).unwrap_err()));
        });
    });
}

#[test]
fn a_read_that_takes_longer_than_its_timeout_fails_as_std_s_does() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        assert_eq!((reader.read_timeout().unwrap(), reader.write_timeout().unwrap()), (None, None));
        assert_eq!(
            reader.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        reader.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(reader.read_timeout().unwrap(), Some(SOON));
        for _ in 0..2 {
            assert_eq!(reader.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(reader.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        // It is as good as before, and what is there needs no time.
        writer.write_all(b"late").unwrap();
        let mut buffer = [0; 4];
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"late");
        writer.set_write_timeout(Some(SOON)).unwrap();
        assert_eq!(writer.write_timeout().unwrap(), Some(SOON));
        let full = writer.write_all(&vec![0; 50_000_000]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        reader.set_read_timeout(None).unwrap();
        assert_eq!(reader.read_timeout().unwrap(), None);
    });
}

#[test]
fn a_cancellation_is_not_taken_for_a_timeout_of_the_socket() {
    ropewalk::run(|| {
        let (_writer, mut reader) = pair();
        reader.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
        let late = time::timeout(SOON, || reader.read(&mut [0]));
        assert!(Cancelled::is(&late.unwrap_err().into_inner().unwrap_err()));
    });
}

#[test]
fn timeouts_come_along_from_std_and_go_back() {
    ropewalk::run(|| {
        let (_writer, reader) = pair();
        let blocking = std::net::TcpStream::from(reader);
        blocking.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        let ours = TcpStream::from(blocking);
        assert_eq!(ours.read_timeout().unwrap(), Some(Duration::from_millis(40)));
        assert_eq!(ours.try_clone().unwrap().read_timeout().unwrap(), Some(Duration::from_millis(40)));
        ours.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let back = std::net::TcpStream::from(ours);
        assert_eq!(back.read_timeout().unwrap(), Some(Duration::from_millis(20)));
    });
}

#[test]
fn a_stream_of_std_s_becomes_ours_and_blocks_again_when_it_goes_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut far = listener.accept().unwrap().0;
    let back = ropewalk::run(|| {
        let mut ours = TcpStream::from(client);
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                far.write_all(b"ours").unwrap();
            });
            let mut buffer = [0; 4];
            ours.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"ours");
        });
        std::net::TcpStream::from(ours)
    });
    let reading = thread::spawn(move || {
        let mut buffer = [0; 5];
        (&back).read_exact(&mut buffer).unwrap();
        buffer
    });
    far.write_all(b"std's").unwrap();
    assert_eq!(&reading.join().unwrap(), b"std's");
}

#[test]
fn a_stream_that_std_had_set_not_to_block_parks_here_all_the_same() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let std = std::net::TcpStream::from(reader);
        std.set_nonblocking(true).unwrap();
        let mut ours = TcpStream::from(std);
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                writer.write_all(b"!").unwrap();
            });
            ours.read_exact(&mut [0]).unwrap();
        });
    });
}

#[test]
fn a_listener_of_std_s_becomes_ours_and_blocks_again_when_it_goes_back() {
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = std.local_addr().unwrap();
    let back = ropewalk::run(|| {
        let ours = TcpListener::from(std);
        // It would stop this thread if it blocked.
        assert!(time::timeout(SOON, || ours.accept()).is_err());
        let _client = std::net::TcpStream::connect(address).unwrap();
        ours.accept().unwrap();
        std::net::TcpListener::from(ours)
    });
    let accepting = thread::spawn(move || back.accept().unwrap().1);
    let client = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(accepting.join().unwrap(), client.local_addr().unwrap());
}

#[test]
fn descriptors_come_in_and_go_out() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let number = listener.as_raw_fd();
        let fd = OwnedFd::from(listener);
        assert_eq!(fd.as_raw_fd(), number);
        let listener = TcpListener::from(fd);
        let stream = TcpStream::from(OwnedFd::from(TcpStream::connect(address).unwrap()));
        let duplicate = stream.as_fd().try_clone_to_owned().unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        drop(stream);
        let mut stream = TcpStream::from(duplicate);
        stream.write_all(b"!").unwrap();
        peer.read_exact(&mut [0]).unwrap();
        assert!(peer.into_raw_fd() > 0);
    });
}

#[test]
fn a_descriptor_that_is_no_socket_says_so_when_it_is_used() {
    ropewalk::run(|| {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut stream = TcpStream::from(file());
        assert_eq!(stream.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(stream.write(&[0]).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(stream.peer_addr().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        let listener = TcpListener::from(file());
        assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(format!("{listener:?}"), format!("TcpListener {{ fd: {} }}", listener.as_raw_fd()));
    });
}

#[test]
fn debug_shows_what_std_s_shows() {
    ropewalk::run(|| {
        let (listener, _) = listen();
        let (stream, _peer) = pair();
        let (mine, ours) = (format!("{listener:?}"), format!("{stream:?}"));
        assert_eq!(mine, format!("{:?}", std::net::TcpListener::from(listener)));
        assert_eq!(ours, format!("{:?}", std::net::TcpStream::from(stream)));
    });
}

#[test]
fn connections_come_as_an_iterator_that_ends_with_its_task() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        task::scope(|s| {
            let serving = s.spawn(|| {
                let incoming = listener.into_incoming();
                incoming.map_while(Result::ok).map(|stream| stream.peer_addr().unwrap()).collect::<Vec<_>>()
            });
            let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
            time::sleep(SOON).unwrap();
            serving.cancel();
            let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
            assert_eq!(serving.join().unwrap(), expected);
        });
    });
}

#[test]
fn each_of_two_duplicates_of_a_listener_may_have_its_task() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let duplicate = listener.try_clone().unwrap();
        task::scope(|s| {
            let accepting = [&listener, &duplicate].map(|l| s.spawn(|| l.accept().unwrap().1));
            task::yield_now();
            let mut clients = [(); 2].map(|()| TcpStream::connect(address).unwrap().local_addr().unwrap());
            let mut accepted = accepting.map(|task| task.join().unwrap());
            clients.sort_unstable();
            accepted.sort_unstable();
            assert_eq!(accepted, clients);
        });
    });
}

#[test]
fn half_of_a_connection_can_be_closed() {
    ropewalk::run(|| {
        let (mut left, mut right) = pair();
        left.write_all(b"question").unwrap();
        left.shutdown(Shutdown::Write).unwrap();
        assert_eq!(left.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut question = String::new();
        right.read_to_string(&mut question).unwrap();
        // The other half is open.
        right.write_all(b"answer").unwrap();
        drop(right);
        let mut answer = String::new();
        left.read_to_string(&mut answer).unwrap();
        assert_eq!((&*question, &*answer), ("question", "answer"));
    });
}

#[test]
fn a_shutdown_of_the_reading_half_ends_the_read_of_another_task() {
    ropewalk::run(|| {
        let (stream, _peer) = pair();
        task::scope(|s| {
            let reading = s.spawn(|| (&stream).read(&mut [0]).unwrap());
            task::yield_now();
            stream.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reading.join().unwrap(), 0);
        });
    });
}

#[test]
fn options_of_a_connection_are_set_before_it_stands() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let keepalive = Keepalive::after(Duration::from_secs(9)).every(Duration::from_secs(8)).at_most(7);
        let options = ConnectOptions::new()
            .nodelay(true)
            .keepalive(keepalive)
            .recv_buffer_size(10_000)
            .send_buffer_size(20_000)
            .local_addr("127.0.0.1:0".parse().unwrap());
        let stream = options.connect(address).unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
        assert!((10_000..30_000).contains(&stream.recv_buffer_size().unwrap()));
        assert!((20_000..50_000).contains(&stream.send_buffer_size().unwrap()));
        listener.accept().unwrap();
    });
}

fn usual_but(usual: Keepalive, idle: Duration) -> Keepalive {
    Keepalive::after(idle).every(usual.interval.unwrap()).at_most(usual.probes.unwrap())
}
