//! Connecting: several addresses, one after the other and side by side; what goes wrong is told of each.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ropewalk::net::{
    Addresses, ConnectError, ConnectOptions, ListenOptions, TcpListener, TcpStream, ToSocketAddrs,
};
use ropewalk::{Cancelled, Reason, task, testing, time};

use crate::tcp::listen;
use crate::world;

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener that answers nobody: its backlog is full, and the system leaves whoever knocks without an answer.
struct Mute {
    address: SocketAddr,
    _listener: TcpListener,
    _knocking: Vec<std::net::TcpStream>,
}

impl Mute {
    fn new() -> Mute {
        let listener = ListenOptions::new().backlog(0).bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut knocking = Vec::new();
        // How many it takes is up to the system.
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            knocking.push(stream);
            assert!(knocking.len() < 1_000, "it takes all of them");
        }
        Mute { address, _listener: listener, _knocking: knocking }
    }
}

/// Addresses that a lookup finds.
struct Found(Vec<SocketAddr>);

impl ToSocketAddrs for Found {
    fn to_addresses(&self) -> io::Result<Addresses> {
        let addresses = self.0.clone();
        Ok(Addresses::found_by(|| Ok(addresses)))
    }
}

/// Sockets of this process that are connected or being connected to `address`.
#[cfg(target_os = "linux")]
fn sockets_to(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let port = format!(":{:04X}", address.port());
    let open: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|f| f.len() > 9 && f[2].ends_with(&port) && open.iter().any(|inode| inode == f[9])).count()
}

#[test]
fn what_can_be_connected_to_is_what_std_takes() {
    ropewalk::run(|| {
        let (_listener, address) = listen();
        let port = address.port();
        let ip = address.ip();
        let SocketAddr::V4(v4) = address else { unreachable!() };
        let none: [SocketAddr; 0] = [];
        TcpStream::connect(address).unwrap();
        TcpStream::connect(v4).unwrap();
        TcpStream::connect((ip, port)).unwrap();
        TcpStream::connect((*v4.ip(), port)).unwrap();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        TcpStream::connect((String::from("localhost"), port)).unwrap();
        TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        TcpStream::connect(&*format!("localhost:{port}")).unwrap();
        TcpStream::connect(&[nobody(), address][..]).unwrap();
        TcpStream::connect([address]).unwrap();
        TcpStream::connect(vec![address]).unwrap();
        for text in ["localhost", "localhost:", "localhost:http", "localhost:65536", "", ":"] {
            assert_eq!(TcpStream::connect(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
        }
        assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn an_address_that_does_not_answer_has_a_head_start_and_no_more() {
    let mute = Mute::new();
    world::run(|| {
        let (listener, address) = listen();
        let stream = TcpStream::connect([mute.address, address]).unwrap();
        assert_eq!(world::clock(), 0.25);
        assert_eq!(stream.peer_addr().unwrap(), address);
        listener.accept().unwrap();
    });
}

#[test]
fn a_head_start_is_as_long_as_it_is_said_and_each_has_one() {
    let mute = Mute::new();
    world::run(|| {
        let (_listener, address) = listen();
        let options = ConnectOptions::new().head_start(Duration::from_secs(2));
        options.connect([mute.address, mute.address, mute.address, address]).unwrap();
        assert_eq!(world::clock(), 6.0);
        ConnectOptions::new().head_start(Duration::ZERO).connect([mute.address, address]).unwrap();
        assert_eq!(world::clock(), 6.0);
    });
}

#[test]
fn the_next_address_is_tried_at_once_when_one_fails() {
    world::run(|| {
        let (_listener, address) = listen();
        let stream = TcpStream::connect([nobody(), nobody(), address]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert_eq!(world::clock(), 0.0);
    });
}

#[test]
fn of_addresses_that_were_looked_up_the_families_take_turns() {
    let mute = Mute::new();
    world::run(|| {
        let Ok(v6) = TcpListener::bind("[::1]:0") else {
            // There is no IPv6 here.
            return;
        };
        let address = v6.local_addr().unwrap();
        let all = [mute.address, mute.address, mute.address, address];
        let looked_up = || TcpStream::connect(Found(all.to_vec())).unwrap();
        assert_eq!(looked_up().peer_addr().unwrap(), address);
        // One head start: virtual time does not jump for a lookup, when there is nothing to jump to.
        assert_eq!(world::clock(), 0.25);
        // What was given is tried in its order.
        assert_eq!(TcpStream::connect(all).unwrap().peer_addr().unwrap(), address);
        assert_eq!(world::clock(), 1.0);
    });
}

#[test]
fn a_failure_beside_one_that_does_not_answer_begins_the_next() {
    let mute = Mute::new();
    world::run(|| {
        let (_listener, address) = listen();
        TcpStream::connect([mute.address, nobody(), nobody(), address]).unwrap();
        // One head start, and then everything at once.
        assert_eq!(world::clock(), 0.25);
    });
}

#[test]
fn one_after_the_other_waits_for_each() {
    let mute = Mute::new();
    world::run(|| {
        let (_listener, address) = listen();
        let options = ConnectOptions::new().one_after_the_other();
        options.connect([nobody(), address]).unwrap();
        let limit = Duration::from_secs(30);
        let late = time::timeout(limit, || options.connect([mute.address, address])).unwrap_err();
        assert!(Cancelled::is(&late.into_inner().unwrap_err()));
        assert_eq!(world::clock(), 30.0);
    });
}

#[test]
fn a_deadline_covers_all_attempts() {
    let mute = Mute::new();
    world::run(|| {
        let limit = Duration::from_millis(600);
        let late = time::timeout(limit, || TcpStream::connect([mute.address; 9])).unwrap_err();
        let error = late.into_inner().unwrap_err();
        assert_eq!(Cancelled::in_error(&error).unwrap().reason(), Reason::Deadline);
        assert_eq!(world::clock(), 0.6);
        let timed_out = TcpStream::connect_timeout(&mute.address, limit).unwrap_err();
        assert_eq!((timed_out.kind(), world::clock()), (ErrorKind::TimedOut, 1.2));
        let none = TcpStream::connect_timeout(&mute.address, Duration::ZERO).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        let outer = time::timeout(limit, || TcpStream::connect_timeout(&mute.address, limit * 2));
        assert!(Cancelled::is(&outer.unwrap_err().into_inner().unwrap_err()));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn those_that_were_not_taken_are_closed() {
    let mute = Mute::new();
    let knocking = sockets_to(mute.address);
    world::run(|| {
        let (_listener, address) = listen();
        let options = ConnectOptions::new().head_start(Duration::from_millis(1));
        for _ in 0..10 {
            let stream = options.connect([mute.address, mute.address, address]).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
        }
        task::scope(|s| {
            let connecting = s.spawn(|| options.connect([mute.address; 5]).map(drop));
            world::sleep(1).unwrap();
            assert_eq!(sockets_to(mute.address), knocking + 5);
            connecting.cancel();
            assert!(Cancelled::is(&connecting.join().unwrap().unwrap_err()));
        });
        assert_eq!(sockets_to(mute.address), knocking);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_is_cancelled_at_any_moment_leaves_nothing_open() {
    let mute = Mute::new();
    let knocking = sockets_to(mute.address);
    let moments = testing::cancel_everywhere(|cut| {
        let (listener, address) = listen();
        let connected = cut.here(|| TcpStream::connect([mute.address, mute.address, nobody(), address]));
        match connected {
            Ok(stream) => assert_eq!(stream.peer_addr().unwrap(), address),
            Err(error) => assert!(Cancelled::is(&error), "{error}"),
        }
        // The loop has had a look at what is to be closed.
        world::sleep(1).unwrap();
        assert_eq!(sockets_to(mute.address), knocking);
        // And whoever connects next is not disturbed.
        let next = TcpStream::connect(address).unwrap();
        while listener.accept().unwrap().1 != next.local_addr().unwrap() {}
    });
    assert!(moments >= 4, "{moments}");
}

#[test]
fn all_errors_are_told() {
    ropewalk::run(|| {
        let [first, second] = [nobody(), nobody()];
        let error = TcpStream::connect([first, second]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let refused = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let expected = format!("no connection: {first}: {refused}; {second}: {refused}");
        assert_eq!(error.to_string(), expected);
        let inner = ConnectError::in_error(&error).unwrap();
        let tried: Vec<_> =
            inner.attempts().iter().map(|(address, error)| (*address, error.kind())).collect();
        let kind = ErrorKind::ConnectionRefused;
        assert_eq!((inner.name(), tried), (None, vec![(first, kind), (second, kind)]));
        assert_eq!(inner.source().unwrap().to_string(), refused.to_string());
    });
}

#[test]
fn errors_of_a_name_tell_the_name() {
    ropewalk::run(|| {
        let address = nobody();
        let error = TcpStream::connect(("localhost", address.port())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.starts_with(&format!("no connection to localhost:{}: ", address.port())), "{text}");
        let inner = ConnectError::in_error(&error).unwrap();
        assert!(inner.attempts().iter().any(|(tried, _)| *tried == address), "{text}");
        assert_eq!(inner.name(), Some(&*format!("localhost:{}", address.port())));
    });
}

#[test]
fn the_error_of_one_address_is_the_system_s() {
    ropewalk::run(|| {
        let error = TcpStream::connect(nobody()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        // An address that cannot be one's own, nor be reached.
        let error = TcpStream::connect("255.255.255.255:1").unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error:?}");
    });
}

#[test]
fn an_address_to_connect_from_is_taken_and_the_other_family_is_not_tried() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let from = "127.0.0.2:0".parse().unwrap();
        let options = ConnectOptions::new().local_addr(from);
        if cfg!(target_os = "linux") {
            options.connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip(), from.ip());
        }
        let other: SocketAddr = "[::1]:1".parse().unwrap();
        assert_eq!(options.connect(other).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        let elsewhere = ConnectOptions::new().local_addr("192.0.2.1:0".parse().unwrap());
        assert_eq!(elsewhere.connect(address).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_begun() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&TcpStream::connect(address).unwrap_err()));
            assert!(Cancelled::is(&TcpStream::connect([address, address]).unwrap_err()));
            assert!(Cancelled::is(&TcpStream::connect("localhost:1").unwrap_err()));
        });
        let nobody_came = time::timeout(Duration::from_millis(5), || listener.accept());
        assert!(nobody_came.is_err());
    });
}

#[test]
fn dumps_show_what_is_being_connected_to() {
    let mute = Mute::new();
    ropewalk::run(|| {
        task::scope(|s| {
            let one = s.spawn(|| TcpStream::connect(mute.address).map(drop));
            let two = s.spawn(|| TcpStream::connect([mute.address; 2]).map(drop));
            task::yield_now();
            let [one_info, two_info] = [&one, &two].map(|task| task.info().to_string());
            assert!(one_info.contains("waits for connect on descriptor "), "{one_info}");
            let expected = format!("waits for connect {}", mute.address);
            assert!(two_info.contains(&expected), "{two_info}");
            for info in [one_info, two_info] {
                assert!(info.contains("(tests/net/connect.rs"), "{info}");
            }
            one.cancel();
            two.cancel();
        });
    });
}

#[test]
fn a_stream_that_won_a_race_works_as_any_other() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let mut stream = TcpStream::connect([nobody(), address]).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        task::scope(|s| {
            s.spawn(|| {
                let mut buffer = [0; 4];
                peer.read_exact(&mut buffer).unwrap();
                peer.write_all(&buffer).unwrap();
            });
            let mut buffer = [0; 4];
            stream.write_all(b"rope").unwrap();
            stream.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"rope");
        });
        // Blocking, as std's: who takes it over would be surprised else.
        let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "descriptor {}", stream.as_raw_fd());
    });
}
