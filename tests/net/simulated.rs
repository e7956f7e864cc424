//! The network in memory: programs run on it unchanged, and everything that can happen to them happens by the seed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ropewalk::lowlevel::{Arm, ByTicket, Register, Ticket};
use ropewalk::net::{
    self, ConnectError, ConnectOptions, ListenOptions, Server, TcpListener, TcpStream, UdpSocket,
};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Network, Setup};
use ropewalk::{Cancelled, Runtime, task, time};

use crate::log::{Log, panic_text};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A network where everything takes exactly that long.
fn taking(latency: Duration) -> Network {
    Network::new().latency(latency..=latency)
}

fn simulated<T>(network: Network, program: impl FnOnce() -> T) -> T {
    Setup::new().network(network).run(program)
}

/// The two ends of a connection from one host to another: of who has connected, and of who has accepted.
fn between(client: &str, server: &str) -> (TcpStream, TcpStream) {
    let network = testing::network();
    let listener = network.host(server, || TcpListener::bind("0.0.0.0:0").unwrap());
    let address = SocketAddr::new(network.address(server), listener.local_addr().unwrap().port());
    task::scope(|s| {
        let accepted = s.spawn(|| listener.accept().unwrap().0);
        let connected = network.host(client, || TcpStream::connect(address).unwrap());
        (connected, accepted.join().unwrap())
    })
}

fn since(began: std::time::Instant) -> Duration {
    time::now() - began
}

/// Answers each line with itself in capitals, to everybody who connects, until it is cancelled.
fn serve_capitals(listener: &TcpListener) -> io::Result<()> {
    task::scope(|s| {
        loop {
            let (stream, _) = listener.accept()?;
            s.spawn(move || -> io::Result<()> {
                for line in BufReader::new(&stream).lines() {
                    writeln!(&stream, "{}", line?.to_uppercase())?;
                }
                Ok(())
            });
        }
    })
}

/// A program as anybody would write it: it does not know on which network it runs.
fn echo_program() -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    task::scope(|s| {
        let server = s.spawn(|| serve_capitals(&listener));
        let clients: Vec<_> = ["rope", "walk", "hemp"]
            .map(|word| {
                s.spawn(move || {
                    let stream = TcpStream::connect(address).unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), address);
                    stream.set_nodelay(true).unwrap();
                    assert!(stream.nodelay().unwrap());
                    let mut answers = BufReader::new(&stream).lines();
                    let mut ask = |line: &str| {
                        writeln!(&stream, "{line}").unwrap();
                        answers.next().unwrap().unwrap()
                    };
                    let both = ask(word) + &ask("and on");
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert!(answers.next().is_none());
                    both
                })
            })
            .into();
        let answers = clients.into_iter().map(|client| client.join().unwrap()).collect();
        server.cancel();
        let error = server.join().unwrap().unwrap_err();
        assert!(Cancelled::is(&error));
        answers
    })
}

#[test]
fn a_program_runs_unchanged_on_the_real_network_and_on_a_simulated_one() {
    let real = ropewalk::run(echo_program);
    assert_eq!(real, ["ROPEAND ON", "WALKAND ON", "HEMPAND ON"]);
    assert_eq!(simulated(Network::new(), echo_program), real);
    let rough = Network::new().latency(MS..=50 * MS).short_reads(true).short_writes(true).window(3);
    Setup::new().network(rough).explore(0..50, || assert_eq!(echo_program(), real));
}

#[test]
fn a_simulated_program_opens_no_descriptor() {
    fn descriptors() -> usize {
        std::fs::read_dir("/dev/fd").unwrap().count()
    }
    // Other tests of this process open theirs at the same time: it is about thousands.
    simulated(Network::new(), || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let before = descriptors();
        let mut kept = Vec::new();
        for _ in 0..5000 {
            kept.push(TcpStream::connect("127.0.0.1:80").unwrap());
            kept.push(listener.accept().unwrap().0);
        }
        assert!(descriptors() < before + 5000);
        assert_eq!(testing::network().statistics().sockets, 10_001);
        drop(kept);
        assert_eq!(testing::network().statistics().sockets, 1);
    });
}

#[test]
fn latency_adds_up_exactly() {
    simulated(taking(10 * MS), || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let began = time::now();
        task::scope(|s| {
            let log = Log::new();
            let (ours, began) = (log.clone(), began);
            s.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                ours.add(format!("accepted {:?}", since(began)));
                let mut buffer = [0; 10];
                let count = stream.read(&mut buffer).unwrap();
                ours.add(format!("read {count} {:?}", since(began)));
                stream.write_all(b"answer").unwrap();
            });
            let mut stream = TcpStream::connect("127.0.0.1:80").unwrap();
            log.add(format!("connected {:?}", since(began)));
            time::sleep(5 * MS).unwrap();
            stream.write_all(b"question").unwrap();
            log.add(format!("written {:?}", since(began)));
            let answer = io::read_to_string(stream).unwrap();
            log.add(format!("{answer} {:?}", since(began)));
            log.assert(&["connected 20ms", "written 25ms", "accepted 30ms", "read 8 35ms", "answer 45ms"]);
        });
    });
}

#[test]
fn each_link_has_its_latency() {
    simulated(taking(MS), || {
        let network = testing::network();
        network.set_latency("10.0.0.1", "10.0.0.3", 100 * MS..=100 * MS);
        let took = |client| {
            let began = time::now();
            drop(between(client, "10.0.0.1"));
            since(began)
        };
        assert_eq!(took("10.0.0.2"), 3 * MS);
        assert_eq!(took("10.0.0.3"), 300 * MS);
    });
}

#[test]
fn latency_within_a_range_comes_from_the_seed_and_keeps_the_order_of_a_stream() {
    let arrivals = |seed| {
        let network = Network::new().latency(MS..=100 * MS);
        Setup::new().seed(seed).network(network).run(|| {
            let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
            task::scope(|s| {
                s.spawn(move || {
                    for byte in 0..50 {
                        near.write_all(&[byte]).unwrap();
                        time::sleep(MS).unwrap();
                    }
                });
                let began = time::now();
                let mut arrivals = Vec::new();
                let mut all: Vec<u8> = Vec::new();
                let mut buffer = [0; 50];
                loop {
                    match far.read(&mut buffer).unwrap() {
                        0 => break,
                        count => all.extend(&buffer[..count]),
                    }
                    arrivals.push(since(began));
                }
                assert_eq!(all, (0..50).collect::<Vec<u8>>());
                arrivals
            })
        })
    };
    assert_eq!(arrivals(1), arrivals(1));
    assert_ne!(arrivals(1), arrivals(2));
}

#[test]
fn hosts_have_addresses_and_tasks_inherit_their_host() {
    simulated(Network::new(), || {
        let network = testing::network();
        network.name("db", "10.0.0.9".parse().unwrap());
        assert_eq!(network.address("db"), "10.0.0.9".parse::<IpAddr>().unwrap());
        let listener = network.host("db", || TcpListener::bind("0.0.0.0:5432").unwrap());
        assert_eq!(listener.local_addr().unwrap().to_string(), "10.0.0.9:5432");
        task::scope(|s| {
            s.spawn(|| {
                let from = || listener.accept().unwrap().1.ip().to_string();
                assert_eq!(from(), "10.0.0.7");
                assert_eq!(from(), "127.0.0.1");
                assert_eq!(from(), "198.18.0.1");
            });
            network.host("10.0.0.7", || {
                let child = s.spawn(|| TcpStream::connect("10.0.0.9:5432").unwrap());
                let local = child.join().unwrap().local_addr().unwrap();
                assert_eq!(local.ip().to_string(), "10.0.0.7");
            });
            // To each host, the local address is itself.
            network.host("db", || TcpStream::connect("127.0.0.1:5432").unwrap());
            TcpStream::connect("10.0.0.9:5432").unwrap();
            let refused = TcpStream::connect("127.0.0.1:5432").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        });
        // A name that is new gets an address.
        let cache = network.host("cache", || TcpListener::bind("0.0.0.0:1").unwrap().local_addr().unwrap());
        assert_eq!(cache.ip(), network.address("cache"));
        let text = panic_text(|| network.partition("db", "dbb"));
        assert!(text.contains("no host is called `dbb`"), "{text}");
    });
}

#[test]
fn an_address_is_bound_once_and_only_on_its_host() {
    simulated(Network::new(), || {
        let network = testing::network();
        let first = TcpListener::bind("127.0.0.1:80").unwrap();
        assert_eq!(TcpListener::bind("127.0.0.1:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(TcpListener::bind("0.0.0.0:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        UdpSocket::bind("127.0.0.1:80").unwrap();
        network.host("10.0.0.1", || {
            TcpListener::bind("127.0.0.1:80").unwrap();
            TcpListener::bind("10.0.0.1:80").unwrap();
            assert_eq!(TcpListener::bind("10.0.0.2:80").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        });
        drop(first);
        TcpListener::bind("0.0.0.0:80").unwrap();
        let mut ports = BTreeSet::new();
        let some: Vec<_> = (0..100).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        ports.extend(some.iter().map(|one| one.local_addr().unwrap().port()));
        assert_eq!((ports.len(), ports.first()), (100, Some(&49152)));
    });
}

#[test]
fn nobody_listens_and_nobody_is_there() {
    simulated(taking(10 * MS), || {
        let began = time::now();
        let refused = TcpStream::connect("127.0.0.1:80").unwrap_err();
        assert_eq!((refused.kind(), since(began)), (ErrorKind::ConnectionRefused, 20 * MS));
        let nobody = TcpStream::connect("10.1.1.1:80").unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::HostUnreachable);
        assert_eq!(testing::network().statistics().refused, 1);
    });
}

#[test]
fn a_full_backlog_makes_who_connects_try_again() {
    simulated(taking(MS), || {
        // The backlog of std is 4,096, and Linux takes one more.
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let mut connected: Vec<_> = (0..4097).map(|_| TcpStream::connect("127.0.0.1:80").unwrap()).collect();
        let began = time::now();
        task::scope(|s| {
            let late = s.spawn(|| {
                let stream = TcpStream::connect("127.0.0.1:80").unwrap();
                (stream, since(began))
            });
            time::sleep(2 * SECOND).unwrap();
            connected.push(listener.accept().unwrap().0);
            let (stream, took) = late.join().unwrap();
            assert_eq!(took, 3 * SECOND + 2 * MS, "it asks at once, after 1 s, and 2 s later");
            connected.push(stream);
        });
        assert_eq!(testing::network().statistics().connections, 4098);
    });
}

#[test]
fn a_partition_in_the_middle_of_a_transfer_delays_it_and_loses_nothing() {
    Setup::new().network(Network::new().latency(MS..=20 * MS).short_reads(true)).explore(0..100, || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        let sent: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        task::scope(|s| {
            s.spawn(|| {
                near.write_all(&sent).unwrap();
                drop(near);
            });
            s.spawn(|| {
                for _ in 0..3 {
                    time::sleep(MS * testing::random(60) as u32).unwrap();
                    network.partition("10.0.0.1", "10.0.0.2");
                    time::sleep(MS * testing::random(60_000) as u32).unwrap();
                    network.heal("10.0.0.1", "10.0.0.2");
                }
            });
            let mut received = Vec::new();
            far.read_to_end(&mut received).unwrap();
            assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
        });
    });
}

#[test]
fn who_connects_across_a_partition_waits_until_it_heals_or_too_long() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        let listener = network.host("10.0.0.2", || TcpListener::bind("0.0.0.0:80").unwrap());
        network.partition("10.0.0.1", "10.0.0.2");
        let connect = || network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80"));
        let began = time::now();
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(since(began), 127 * SECOND);
        let began = time::now();
        task::scope(|s| {
            let connecting = s.spawn(connect);
            time::sleep(5 * SECOND).unwrap();
            network.heal("10.0.0.2", "10.0.0.1");
            connecting.join().unwrap().unwrap();
        });
        assert_eq!(since(began), 7 * SECOND + 20 * MS, "it asks after 1, 3 and 7 s");
        listener.accept().unwrap();
    });
}

#[test]
fn what_was_sent_across_a_partition_is_given_up_in_the_end() {
    simulated(taking(MS).send_timeout(60 * SECOND), || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        network.isolate("10.0.0.2");
        let began = time::now();
        near.write_all(b"lost").unwrap();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(since(began), 60 * SECOND);
        assert_eq!(near.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        network.rejoin("10.0.0.2");
        // The other side has not heard of it until it sends something itself.
        far.write_all(b"?").unwrap();
        assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn for_ever_is_a_time_too() {
    let for_ever = Network::new().send_timeout(Duration::MAX).connect_timeout(Duration::MAX);
    simulated(for_ever, || {
        let network = testing::network();
        let (mut near, _far) = between("10.0.0.1", "10.0.0.2");
        network.isolate("10.0.0.1");
        near.write_all(b"x").unwrap();
        let year = 365 * 24 * 3600 * SECOND;
        assert!(time::timeout(year, || near.read(&mut [0])).is_err());
        let connect = || network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80"));
        assert!(time::timeout(year, connect).is_err());
        network.set_latency("10.0.0.1", "10.0.0.2", Duration::ZERO..=Duration::MAX);
        network.heal_all();
    });
    let empty = Duration::from_secs(2)..=Duration::from_secs(1);
    assert!(panic_text(|| Network::new().latency(empty)).contains("no time lies between"));
    assert!(panic_text(|| Network::new().loss(1.5)).contains("probability"));
}

#[test]
fn who_connects_to_a_host_that_crashes_meanwhile_is_refused() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        let _listener = network.host("10.0.0.2", || TcpListener::bind("0.0.0.0:80").unwrap());
        task::scope(|s| {
            let connect = || network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80"));
            let connecting = s.spawn(connect);
            time::sleep(5 * MS).unwrap();
            network.crash("10.0.0.2");
            let refused = connecting.join().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn an_isolated_host_reaches_itself() {
    simulated(Network::new(), || {
        let network = testing::network();
        network.host("10.0.0.1", || {
            let _listener = TcpListener::bind("0.0.0.0:80").unwrap();
            network.isolate("10.0.0.1");
            TcpStream::connect("10.0.0.1:80").unwrap();
            TcpStream::connect("127.0.0.1:80").unwrap();
        });
        let outside = time::timeout(SECOND, || TcpStream::connect("10.0.0.1:80"));
        assert!(outside.is_err(), "cut off");
        network.heal_all();
    });
}

#[test]
fn who_does_not_read_keeps_the_writer_waiting() {
    simulated(taking(10 * MS).window(1000), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        assert_eq!(near.write(&[7; 5000]).unwrap(), 1000);
        let full = time::timeout(SECOND, || near.write(&[7]));
        assert!(full.is_err(), "there is no room");
        let began = time::now();
        task::scope(|s| {
            let writer = s.spawn(|| near.write(&[7; 5000]));
            time::sleep(5 * MS).unwrap();
            assert_eq!(far.read(&mut [0; 300]).unwrap(), 300);
            assert_eq!(writer.join().unwrap().unwrap(), 300);
            assert_eq!(since(began), 15 * MS, "the news of room takes its time too");
        });
    });
}

#[test]
fn each_direction_ends_by_itself() {
    simulated(taking(MS), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        near.write_all(b"the end").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.write(b"!").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), far.read(&mut [0]).unwrap()), ("the end", 0));
        far.write_all(b"answer").unwrap();
        drop(far);
        assert_eq!(io::read_to_string(&near).unwrap(), "answer");
        assert_eq!(near.shutdown(Shutdown::Both).map_err(|error| error.kind()), Ok(()));
    });
}

#[test]
fn a_peek_takes_nothing_and_an_empty_buffer_neither() {
    simulated(Network::new(), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        near.write_all(b"rope").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(far.read(&mut []).unwrap(), 0);
        assert_eq!(far.peek(&mut buffer).unwrap(), 4);
        assert_eq!(far.read(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(far.peek(&mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"pe");
        assert_eq!(near.write(&[]).unwrap(), 0);
    });
}

#[test]
fn who_writes_to_somebody_gone_is_told() {
    simulated(taking(MS), || {
        let (mut near, far) = between("10.0.0.1", "10.0.0.2");
        drop(far);
        // The first write gets there, and what comes back says that nobody reads.
        near.write_all(b"hello?").unwrap();
        time::sleep(SECOND).unwrap();
        assert_eq!(near.write(b"hello?").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(near.read(&mut [0]).unwrap(), 0);

        // Bytes that nobody has read make a close a reset.
        let (mut near, far) = between("10.0.0.1", "10.0.0.2");
        near.write_all(b"unread").unwrap();
        time::sleep(SECOND).unwrap();
        drop(far);
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.read(&mut [0]).unwrap(), 0, "told once");
        assert_eq!(near.write(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);

        // So does a linger of no time.
        let (mut near, far) = between("10.0.0.1", "10.0.0.2");
        far.set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_has_arrived_before_a_reset_can_be_read() {
    simulated(taking(MS), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        far.write_all(b"last words").unwrap();
        far.set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        time::sleep(SECOND).unwrap();
        let mut buffer = [0; 20];
        assert_eq!(near.read(&mut buffer).unwrap(), 10);
        assert_eq!(near.read(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn connections_between_two_hosts_are_reset_and_no_others() {
    simulated(taking(MS), || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        let (mut other, mut end) = between("10.0.0.3", "10.0.0.2");
        task::scope(|s| {
            let reader = s.spawn(|| near.read(&mut [0]));
            testing::wait_all_tasks_blocked().unwrap();
            assert_eq!(network.reset_connections("10.0.0.2", "10.0.0.1"), 1);
            assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
        other.write_all(b"fine").unwrap();
        assert_eq!(end.read(&mut [0; 9]).unwrap(), 4);
        assert_eq!(network.reset_connections("10.0.0.2", "10.0.0.1"), 0);
    });
}

#[test]
fn a_crash_takes_all_sockets_of_a_host() {
    simulated(taking(MS), || {
        let network = testing::network();
        let (mut client, mut server) = between("10.0.0.1", "10.0.0.2");
        let listener = network.host("10.0.0.2", || TcpListener::bind("0.0.0.0:80").unwrap());
        let unaccepted = &mut network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80").unwrap());
        let udp = network.host("10.0.0.2", || UdpSocket::bind("0.0.0.0:53").unwrap());
        client.write_all(b"unread").unwrap();
        task::scope(|s| {
            let accepting = s.spawn(|| (listener.accept(), listener.accept()));
            let reading = s.spawn(|| client.read(&mut [0; 9]));
            let receiving = s.spawn(|| udp.recv_from(&mut [0; 9]));
            time::sleep(SECOND).unwrap();
            network.crash("10.0.0.2");
            assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(unaccepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::NetworkDown);
            assert_eq!(server.write(&[0]).unwrap_err().kind(), ErrorKind::NetworkDown);
            let (first, second) = accepting.join().unwrap();
            let (mut accepted, _) = first.unwrap();
            assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::NetworkDown);
            assert_eq!(second.unwrap_err().kind(), ErrorKind::NetworkDown);
            assert_eq!(receiving.join().unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
        });
        let connect = || network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80"));
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // It is up again, and its addresses are free although the sockets of before are still held.
        let again = network.host("10.0.0.2", || TcpListener::bind("0.0.0.0:80").unwrap());
        connect().unwrap();
        again.accept().unwrap();
        drop((listener, server, udp));
    });
}

#[test]
fn a_listener_that_goes_resets_who_was_not_accepted() {
    simulated(taking(MS), || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let mut stream = TcpStream::connect("127.0.0.1:80").unwrap();
        time::sleep(SECOND).unwrap();
        drop(listener);
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(testing::network().statistics().sockets, 1);
    });
}

#[test]
fn a_second_reader_is_refused_as_on_the_real_network() {
    simulated(Network::new(), || {
        let (_near, far) = between("10.0.0.1", "10.0.0.2");
        task::scope(|s| {
            let first = s.spawn(|| (&far).read(&mut [0]));
            testing::wait_all_tasks_blocked().unwrap();
            assert_eq!((&far).read(&mut [0]).unwrap_err().kind(), ErrorKind::ResourceBusy);
            first.cancel();
            assert!(Cancelled::is(&first.join().unwrap().unwrap_err()));
            let second = time::timeout(SECOND, || (&far).read(&mut [0]));
            assert!(second.is_err(), "it may wait now");
        });
    });
}

#[test]
fn a_duplicate_waits_beside_the_other_as_on_the_real_network() {
    simulated(Network::new(), || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let duplicate = listener.try_clone().unwrap();
        task::scope(|s| {
            let both = [&listener, &duplicate].map(|one| s.spawn(|| one.accept().unwrap().0));
            testing::wait_all_tasks_blocked().unwrap();
            let _clients = [(); 2].map(|()| TcpStream::connect("127.0.0.1:80").unwrap());
            for accepted in &both {
                drop(accepted.join().unwrap());
            }
            // One that is cancelled leaves the other where it is.
            let given_up = s.spawn(|| drop(listener.accept()));
            let patient = s.spawn(|| duplicate.accept().unwrap().0);
            testing::wait_all_tasks_blocked().unwrap();
            given_up.cancel();
            testing::wait_all_tasks_blocked().unwrap();
            TcpStream::connect("127.0.0.1:80").unwrap();
            drop(patient.join().unwrap());
        });
        drop(listener);
        TcpStream::connect("127.0.0.1:80").unwrap();
    });
}

#[test]
fn what_was_underway_when_a_partition_came_is_not_overtaken() {
    simulated(taking(100 * MS), || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        near.write_all(b"first").unwrap();
        time::sleep(50 * MS).unwrap();
        network.partition("10.0.0.1", "10.0.0.2");
        // The end cannot leave, and what went before it cannot arrive.
        near.write_all(b", then").unwrap();
        drop(near);
        time::sleep(SECOND).unwrap();
        network.heal("10.0.0.1", "10.0.0.2");
        let began = time::now();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), since(began)), ("first, then", 100 * MS));
    });
}

#[test]
fn a_partition_that_heals_in_time_ends_no_connection() {
    simulated(taking(MS).send_timeout(60 * SECOND), || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        for _ in 0..3 {
            network.partition("10.0.0.1", "10.0.0.2");
            near.write_all(b"x").unwrap();
            time::sleep(40 * SECOND).unwrap();
            network.heal("10.0.0.1", "10.0.0.2");
            assert_eq!(far.read(&mut [0; 9]).unwrap(), 1);
        }
        time::sleep(100 * SECOND).unwrap();
        near.write_all(b"y").unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 1);
    });
}

#[test]
fn a_host_that_crashes_behind_a_partition_is_missed_by_who_sends() {
    simulated(taking(MS), || {
        let network = testing::network();
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        network.partition("10.0.0.1", "10.0.0.2");
        far.write_all(b"last words").unwrap();
        network.crash("10.0.0.2");
        network.heal("10.0.0.1", "10.0.0.2");
        let silence = time::timeout(3600 * SECOND, || near.read(&mut [0]));
        assert!(silence.is_err(), "nobody is left to send it again, and the reset got lost");
        near.write_all(b"hello?").unwrap();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn who_does_not_want_to_hear_holds_up_nobody() {
    simulated(taking(MS).window(10), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        far.shutdown(Shutdown::Read).unwrap();
        near.write_all(&[0; 1000]).unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 0);
    });
}

#[test]
fn who_connects_asks_again_and_is_connected_once() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        let listener = network.host("10.0.0.2", || TcpListener::bind("0.0.0.0:80").unwrap());
        let connect = || network.host("10.0.0.1", || TcpStream::connect("10.0.0.2:80"));
        let nobody_else = || assert!(time::timeout(SECOND, || listener.accept()).is_err());
        task::scope(|s| {
            // The answer is lost.
            let began = time::now();
            let connecting = s.spawn(connect);
            time::sleep(15 * MS).unwrap();
            network.partition("10.0.0.1", "10.0.0.2");
            time::sleep(100 * MS).unwrap();
            network.heal("10.0.0.1", "10.0.0.2");
            let _stream = connecting.join().unwrap().unwrap();
            assert_eq!(since(began), SECOND + 20 * MS);
            let _accepted = listener.accept().unwrap();
            nobody_else();
        });
        // The answer takes its time.
        network.set_latency("10.0.0.1", "10.0.0.2", 20 * SECOND..=20 * SECOND);
        let _stream = connect().unwrap();
        let _accepted = listener.accept().unwrap();
        nobody_else();
        network.set_latency("10.0.0.1", "10.0.0.2", 10 * MS..=10 * MS);
        // Who wanted to connect does not any more when the answer comes.
        assert!(time::timeout(15 * MS, connect).is_err());
        nobody_else();
        assert_eq!(network.statistics().sockets, 3);
        assert_eq!(network.statistics().connections, 2);
    });
}

#[test]
fn a_read_has_its_timeout_as_stds_has() {
    simulated(Network::new(), || {
        let (_near, far) = UdpSocket::bind("127.0.0.1:0")
            .and_then(|near| Ok((near, UdpSocket::bind("127.0.0.1:0")?)))
            .unwrap();
        far.set_read_timeout(Some(SECOND)).unwrap();
        let began = time::now();
        assert_eq!(far.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(since(began), SECOND);
    });
}

#[test]
fn arms_wait_for_simulated_sockets() {
    simulated(taking(MS), || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let nobody = select((listener.accepting(), time::sleeping(SECOND))).unwrap();
        assert!(matches!(nobody, Chosen::Second(())));
        assert!(try_select((listener.accepting(),)).is_none());
        let client = TcpStream::connect("127.0.0.1:80").unwrap();
        let Chosen::First(accepted) = select((listener.accepting(), time::sleeping(SECOND))).unwrap() else {
            panic!("somebody has connected")
        };
        let (server, _) = accepted.unwrap();
        task::scope(|s| {
            s.spawn(|| {
                time::sleep(5 * MS).unwrap();
                (&client).write_all(b"x").unwrap();
            });
            let began = time::now();
            match select((server.readable(), time::sleeping(SECOND))).unwrap() {
                Chosen::First(readable) => readable.unwrap(),
                Chosen::Second(()) => panic!("there is something to read"),
            }
            assert_eq!(since(began), 6 * MS);
            server.wait_writable().unwrap();
            server.wait_readable().unwrap();
        });
        drop(listener);
    });
}

#[test]
fn what_another_arm_does_as_it_registers_is_not_overlooked() {
    /// Ends the writing of a stream when it is waited for, and never gives anything.
    #[derive(Clone, Copy)]
    struct Ending<'a>(&'a TcpStream);

    impl Register for Ending<'_> {
        type Value = ();

        fn register(&self, _: Ticket<()>) {
            self.0.shutdown(Shutdown::Write).unwrap();
        }

        fn undo(&self) {}
    }

    impl<'a> Arm for Ending<'a> {
        type Output = ();
        type Place = ByTicket<Ending<'a>>;

        fn try_now(&mut self) -> Option<()> {
            None
        }

        fn place(&mut self) -> Self::Place {
            ByTicket::new(*self)
        }

        fn end(&mut self, place: Self::Place) -> Option<()> {
            place.into_value()
        }

        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("ending")
        }
    }

    simulated(Network::new(), || {
        let (near, far) = between("10.0.0.1", "10.0.0.2");
        match select((Ending(&near), far.readable())).unwrap() {
            Chosen::First(()) => panic!("it never ends"),
            Chosen::Second(readable) => readable.unwrap(),
        }
    });
}

#[test]
fn listeners_share_a_port_if_both_say_so() {
    simulated(Network::new(), || {
        let shared = ListenOptions::new().reuse_port(true).backlog(1000);
        let alone = TcpListener::bind("127.0.0.1:80").unwrap();
        assert_eq!(shared.bind("127.0.0.1:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(alone);
        let listeners = [(); 3].map(|()| shared.bind("127.0.0.1:80").unwrap());
        assert_eq!(TcpListener::bind("127.0.0.1:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        for _ in 0..300 {
            TcpStream::connect("127.0.0.1:80").unwrap();
        }
        for listener in &listeners {
            let waiting = std::iter::from_fn(|| try_select((listener.accepting(),))).count();
            assert!((50..150).contains(&waiting), "{waiting}");
        }
    });
}

#[test]
fn names_are_looked_up_in_the_simulated_network_and_nowhere_else() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            network.name("db", address.parse().unwrap());
        }
        assert_eq!(net::lookup_host("db:5432").unwrap().len(), 3);
        assert_eq!(net::lookup_host("example.org:80").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(net::lookup_host("localhost:1").unwrap()[0].ip().is_loopback());
        // The first does not answer, the second does not listen, and the third does.
        let _listener = network.host("10.0.0.3", || TcpListener::bind("0.0.0.0:5432").unwrap());
        network.isolate("10.0.0.1");
        let began = time::now();
        let stream = network.host("10.0.0.7", || TcpStream::connect("db:5432").unwrap());
        assert_eq!(stream.peer_addr().unwrap().to_string(), "10.0.0.3:5432");
        assert_eq!(since(began), 250 * MS + 20 * MS + 20 * MS, "a head start, a refusal, an answer");
        let from = ConnectOptions::new().local_addr("10.0.0.7:1000".parse().unwrap());
        let stream = network.host("10.0.0.7", || from.connect("10.0.0.3:5432").unwrap());
        assert_eq!(stream.local_addr().unwrap().to_string(), "10.0.0.7:1000");
        let error = TcpStream::connect("db:1").unwrap_err();
        assert_eq!(ConnectError::in_error(&error).unwrap().attempts().len(), 3);
    });
}

#[test]
fn a_server_serves_simulated_connections() {
    Setup::new().network(Network::new().latency(MS..=20 * MS)).explore(0..50, || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        task::scope(|s| {
            let answer = |mut stream: TcpStream, _| stream.write_all(b"hello");
            let server = Server::new(listener).limit(2);
            let controller = server.controller();
            let serving = s.spawn(move || server.serve(answer));
            task::scope(|s| {
                for _ in 0..5 {
                    s.spawn(|| {
                        let stream = TcpStream::connect("127.0.0.1:80").unwrap();
                        assert_eq!(io::read_to_string(stream).unwrap(), "hello");
                    });
                }
            });
            assert_eq!(controller.shutdown(SECOND).unwrap().finished, 5);
            serving.join().unwrap().unwrap();
        });
    });
}

// Datagrams.

#[test]
fn datagrams_go_to_and_fro() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        let server = network.host("10.0.0.2", || UdpSocket::bind("0.0.0.0:53").unwrap());
        let client = network.host("10.0.0.1", || UdpSocket::bind("0.0.0.0:0").unwrap());
        client.connect("10.0.0.2:53").unwrap();
        assert_eq!(client.peer_addr().unwrap().to_string(), "10.0.0.2:53");
        let began = time::now();
        client.send(b"question").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(server.peek_from(&mut buffer).unwrap().0, 4);
        let (count, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((count, &buffer, from.ip().to_string().as_str()), (4, b"ques", "10.0.0.1"));
        // Of somebody else it does not hear.
        let stranger = network.host("10.0.0.3", || UdpSocket::bind("0.0.0.0:0").unwrap());
        stranger.send_to(b"psst", client.local_addr().unwrap()).unwrap();
        server.send_to(b"answer", from).unwrap();
        let mut buffer = [0; 100];
        let count = client.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], since(began)), (&b"answer"[..], 20 * MS));
        let statistics = network.statistics();
        assert_eq!((statistics.datagrams, statistics.lost_datagrams), (3, 1));
    });
}

#[test]
fn datagrams_get_lost_come_twice_and_overtake_each_other() {
    let sent = 1000;
    let received = |seed| {
        let network = Network::new().latency(MS..=50 * MS).loss(0.2).duplication(0.1);
        Setup::new().seed(seed).network(network).run(|| {
            let receiver = UdpSocket::bind("127.0.0.1:1").unwrap();
            let sender = UdpSocket::bind("127.0.0.1:2").unwrap();
            task::scope(|s| {
                s.spawn(|| {
                    for number in 0..sent {
                        sender.send_to(&u32::to_be_bytes(number), "127.0.0.1:1").unwrap();
                        time::sleep(MS).unwrap();
                    }
                });
                let mut received = Vec::new();
                let mut buffer = [0; 4];
                while time::timeout(SECOND, || receiver.recv(&mut buffer)).is_ok() {
                    received.push(u32::from_be_bytes(buffer));
                }
                let statistics = testing::network().statistics();
                let (lost, twice) = (statistics.lost_datagrams, statistics.duplicated_datagrams);
                assert_eq!(received.len() as u64, u64::from(sent) - lost + twice);
                received
            })
        })
    };
    let first = received(1);
    let distinct: BTreeSet<_> = first.iter().collect();
    assert!((700..900).contains(&distinct.len()), "about a fifth is lost: {}", distinct.len());
    assert!((40..160).contains(&(first.len() - distinct.len())), "about a tenth comes twice");
    assert!(!first.is_sorted(), "some overtake others");
    assert_eq!(received(1), first);
    assert_ne!(received(2), first);
}

#[test]
fn a_datagram_can_be_too_long_and_a_partition_loses_it() {
    simulated(Network::new().max_datagram(1200), || {
        let network = testing::network();
        let receiver = network.host("10.0.0.2", || UdpSocket::bind("0.0.0.0:1").unwrap());
        let sender = network.host("10.0.0.1", || UdpSocket::bind("0.0.0.0:2").unwrap());
        let too_long = sender.send_to(&[0; 1201], "10.0.0.2:1").unwrap_err();
        assert!(too_long.to_string().contains("too long"), "{too_long}");
        network.partition("10.0.0.1", "10.0.0.2");
        sender.send_to(b"lost", "10.0.0.2:1").unwrap();
        network.heal("10.0.0.1", "10.0.0.2");
        sender.send_to(&[1; 1200], "10.0.0.2:1").unwrap();
        let mut buffer = [0; 2000];
        assert_eq!(receiver.recv_from(&mut buffer).unwrap().0, 1200);
    });
}

#[test]
fn a_partition_loses_the_datagrams_that_are_underway() {
    simulated(taking(10 * MS), || {
        let network = testing::network();
        let receiver = network.host("10.0.0.2", || UdpSocket::bind("0.0.0.0:1").unwrap());
        let sender = network.host("10.0.0.1", || UdpSocket::bind("0.0.0.0:2").unwrap());
        sender.send_to(b"first", "10.0.0.2:1").unwrap();
        time::sleep(5 * MS).unwrap();
        network.partition("10.0.0.1", "10.0.0.2");
        time::sleep(10 * MS).unwrap();
        network.heal("10.0.0.1", "10.0.0.2");
        sender.send_to(b"second", "10.0.0.2:1").unwrap();
        assert_eq!(receiver.recv_from(&mut [0; 9]).unwrap().0, 6);
        assert_eq!(network.statistics().lost_datagrams, 1);
    });
}

#[test]
fn a_receiver_that_is_late_loses_what_there_was_no_room_for() {
    simulated(Network::new(), || {
        let receiver = UdpSocket::bind("127.0.0.1:1").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..1000 {
            sender.send_to(&[0; 1000], "127.0.0.1:1").unwrap();
        }
        let mut count = 0;
        while time::timeout(SECOND, || receiver.recv(&mut [0; 1000])).is_ok() {
            count += 1;
        }
        assert_eq!(count + testing::network().statistics().lost_datagrams, 1000);
        assert!((100..200).contains(&count), "{count}");
    });
}

// Seeds.

/// A server that keeps what it is told; it answers when it has it. It lives until it is cancelled.
fn serve_store(listener: &TcpListener, store: &RefCell<BTreeMap<String, String>>) {
    task::scope(|s| {
        while let Ok((stream, _)) = listener.accept() {
            s.spawn(move || -> io::Result<()> {
                for line in BufReader::new(&stream).lines() {
                    let line = line?;
                    let Some((key, value)) = line.split_once('=') else { continue };
                    store.borrow_mut().insert(key.to_owned(), value.to_owned());
                    writeln!(&stream, "stored {key}")?;
                }
                Ok(())
            });
        }
    });
}

/// Writes a value, again and again on new connections, until it was acknowledged.
fn write_for_certain(key: &str, value: &str, log: &Log) {
    let write = || -> io::Result<()> {
        let stream = TcpStream::connect("10.0.0.1:6379")?;
        writeln!(&stream, "{key}={value}")?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        match answer.trim() == format!("stored {key}") {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    };
    loop {
        match time::timeout(5 * SECOND, write) {
            Ok(Ok(())) => return log.add(format!("{key} is {value}")),
            Ok(Err(error)) => log.add(format!("{key}: {error}")),
            Err(_) => log.add(format!("{key}: no answer")),
        }
        time::sleep(MS * (1 + testing::random(100)) as u32).unwrap();
    }
}

/// Clients, resets, partitions, crashes and short counts: whatever was acknowledged is there.
fn store_program() -> Vec<String> {
    let network = testing::network();
    let (store, log) = (RefCell::default(), Log::new());
    task::scope(|s| {
        let listen = || network.host("10.0.0.1", || TcpListener::bind("0.0.0.0:6379").unwrap());
        let (serving, store_, log_) = (&network, &store, &log);
        let server = s.spawn(move || {
            // A crash ends it, and it starts anew.
            loop {
                let listener = listen();
                serve_store(&listener, store_);
                if task::checkpoint().is_err() {
                    return;
                }
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|client| {
                s.spawn(move || {
                    serving.host(format!("10.0.1.{client}"), || {
                        for round in 0..3 {
                            write_for_certain(&format!("{client}.{round}"), &round.to_string(), log_);
                        }
                    });
                })
            })
            .collect();
        let trouble = s.spawn(move || -> Result<(), Cancelled> {
            loop {
                time::sleep(MS * testing::random(100) as u32)?;
                let client = format!("10.0.1.{}", testing::random(4));
                match testing::random(10) {
                    0 => serving.crash("10.0.0.1"),
                    1..4 => drop(serving.reset_connections("10.0.0.1", client)),
                    _ => {
                        serving.partition("10.0.0.1", &client);
                        time::sleep(MS * testing::random(300) as u32)?;
                        serving.heal("10.0.0.1", &client);
                    }
                }
            }
        });
        clients.iter().for_each(|client| client.join().unwrap());
        trouble.cancel();
        server.cancel();
    });
    let store = store.into_inner();
    for client in 0..4 {
        for round in 0..3 {
            assert_eq!(store.get(&format!("{client}.{round}")), Some(&round.to_string()));
        }
    }
    log.take()
}

fn rough() -> Network {
    Network::new().latency(MS..=40 * MS).short_reads(true).short_writes(true).reset_chance(0.02).window(20)
}

#[test]
fn whatever_the_seed_what_was_acknowledged_is_there() {
    let (failures, runs) = (Cell::new(0), Cell::new(0));
    Setup::new().network(rough()).explore(0..500, || {
        runs.set(runs.get() + 1);
        failures.set(failures.get() + store_program().len() - 12);
    });
    assert!(failures.get() > runs.get(), "there was trouble: {} in {}", failures.get(), runs.get());
}

#[test]
fn the_same_seed_gives_the_same_history_byte_for_byte() {
    let history = |seed| {
        Setup::new().seed(seed).network(rough()).run(|| {
            let log = store_program();
            (log, format!("{:?}", testing::network().statistics()), time::now().elapsed() > SECOND)
        })
    };
    let histories: Vec<_> = (0..20).map(history).collect();
    assert_eq!((0..20).map(history).collect::<Vec<_>>(), histories);
    let distinct: BTreeSet<_> = histories.iter().map(|(log, ..)| log).collect();
    assert!(distinct.len() > 15, "{} of 20", distinct.len());
}

#[test]
fn a_write_that_is_acknowledged_too_early_is_found() {
    // The same with a server that forgets what comes last before a connection ends: the explorer must see that.
    let text = panic_text(|| {
        Setup::new().network(rough()).explore(0..500, || {
            let stored = Cell::new(0);
            let listener = TcpListener::bind("127.0.0.1:80").unwrap();
            task::scope(|s| {
                let server = s.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut buffer = [0; 4];
                    // Wrong: a read may bring less than was written.
                    if stream.read(&mut buffer).is_ok_and(|count| count == 4) {
                        stored.set(1);
                    }
                });
                if let Ok(mut stream) = TcpStream::connect("127.0.0.1:80") {
                    let _ = stream.write_all(b"save");
                }
                server.join().unwrap();
            });
            assert_eq!(stored.get(), 1, "nothing was stored");
        });
    });
    assert!(text.contains("nothing was stored"), "{text}");
}

// With the rest of the library.

#[test]
fn tasks_that_wait_for_each_other_over_the_network_are_a_deadlock_and_the_report_says_who() {
    let text = panic_text(|| {
        simulated(taking(MS), || {
            let (near, far) = between("10.0.0.1", "10.0.0.2");
            task::scope(|s| {
                s.spawn(|| drop((&near).read(&mut [0])));
                s.spawn(|| drop((&far).read(&mut [0])));
            });
        });
    });
    let here = "(tests/net/simulated.rs:";
    assert!(text.contains(&format!("recv at 10.0.0.2:49152 of 10.0.0.1:49152 {here}")), "{text}");
    assert!(text.contains(&format!("recv at 10.0.0.1:49152 of 10.0.0.2:49152 {here}")), "{text}");
}

#[test]
fn what_is_underway_is_no_deadlock() {
    simulated(taking(3600 * SECOND).connect_timeout(1_000_000 * SECOND), || {
        let (mut near, mut far) = between("10.0.0.1", "10.0.0.2");
        near.write_all(b"slow").unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 4);
    });
}

#[test]
fn wherever_an_exchange_is_cancelled_nothing_is_lost_and_nothing_is_left() {
    let moments = Setup::new().network(taking(MS).window(4)).cancel_everywhere(|cut| {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let (sent, received) = (Cell::new(0), RefCell::new(Vec::new()));
        let accepted: RefCell<Option<TcpStream>> = RefCell::default();
        let connected: RefCell<Option<TcpStream>> = RefCell::default();
        cut.here(|| {
            task::scope(|s| {
                s.spawn(|| -> io::Result<()> {
                    let (stream, _) = listener.accept()?;
                    let mut kept = accepted.borrow_mut();
                    let mut stream = &*kept.insert(stream);
                    let mut buffer = [0; 3];
                    loop {
                        match stream.read(&mut buffer)? {
                            0 => return Ok(()),
                            count => received.borrow_mut().extend(&buffer[..count]),
                        }
                    }
                });
                s.spawn(|| -> io::Result<()> {
                    let stream = TcpStream::connect("127.0.0.1:80")?;
                    let mut kept = connected.borrow_mut();
                    let mut stream = &*kept.insert(stream);
                    while sent.get() < 10 {
                        let rest: Vec<u8> = (sent.get()..10).collect();
                        sent.set(sent.get() + stream.write(&rest)? as u8);
                    }
                    stream.shutdown(Shutdown::Write)
                });
            });
        });
        // What a write has said that it took arrives, and a read that failed has taken nothing.
        let connected = connected.take();
        let was_connected = connected.is_some();
        drop(connected);
        if was_connected {
            let mut stream = accepted.take().unwrap_or_else(|| listener.accept().unwrap().0);
            stream.read_to_end(&mut received.borrow_mut()).unwrap();
            assert_eq!(received.take(), (0..sent.get()).collect::<Vec<u8>>());
        }
        drop(accepted);
        // Who gives up connecting may have got there.
        if let Ok(another) = time::timeout(SECOND, || listener.accept()) {
            assert!(!was_connected, "nobody else has connected");
            assert_eq!(another.unwrap().0.read(&mut [0]).unwrap(), 0);
        }
        assert_eq!(testing::network().statistics().sockets, 1);
    });
    assert!(moments > 30, "{moments}");
}

#[test]
fn what_a_program_leaves_behind_ends_as_elsewhere() {
    let error = Rc::new(RefCell::new(None));
    let noted = error.clone();
    Setup::new().network(taking(SECOND)).allow_leftovers().run(|| {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        task::spawn(move || *noted.borrow_mut() = listener.accept().err());
        task::spawn(|| {
            let stream = TcpStream::connect("127.0.0.1:80").unwrap();
            // Dropped at the end, with much underway.
            (&stream).write_all(&[0; 10_000]).unwrap();
            task::shield(|| time::sleep(1000 * SECOND).unwrap());
        });
        time::sleep(2500 * MS).unwrap();
    });
    assert!(Cancelled::is(error.take().as_ref().unwrap()));
}

#[test]
fn a_socket_is_harmless_outside_of_its_runtime() {
    let (stream, datagrams) = simulated(Network::new(), || {
        let (near, _far) = between("10.0.0.1", "10.0.0.2");
        (near, UdpSocket::bind("127.0.0.1:0").unwrap())
    });
    let told = |error: io::Error| assert!(error.to_string().contains("simulated"), "{error}");
    told((&stream).read(&mut [0]).unwrap_err());
    told(datagrams.send_to(b"x", "127.0.0.1:1").unwrap_err());
    let stream = simulated(Network::new(), move || {
        let (_near, _far) = between("10.0.0.1", "10.0.0.2");
        told((&stream).write(&[0]).unwrap_err());
        told(stream.try_clone().map(drop).unwrap_err());
        stream
    });
    assert!(format!("{stream:?}").contains("simulated"));
    thread::spawn(move || drop(stream)).join().unwrap();
    ropewalk::run(move || drop(datagrams));
}

#[test]
fn a_descriptor_of_a_simulated_socket_is_connected_to_nothing() {
    simulated(Network::new(), || {
        let (near, mut far) = between("10.0.0.1", "10.0.0.2");
        assert!(near.as_raw_fd() >= 0);
        assert_eq!(near.as_raw_fd(), near.as_raw_fd());
        near.set_nodelay(true).unwrap();
        assert!(near.nodelay().unwrap());
        let clone = near.try_clone().unwrap();
        drop(near);
        (&clone).write_all(b"both").unwrap();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 4);
        // Who takes the descriptor leaves the network.
        let taken = std::net::TcpStream::from(std::os::fd::OwnedFd::from(clone));
        assert_eq!(taken.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_real_clock_does_as_well() {
    Runtime::builder().build().run(|| {
        let network = taking(2 * MS).install();
        let began = time::now();
        drop(between("10.0.0.1", "10.0.0.2"));
        assert!(since(began) >= 6 * MS);
        assert_eq!(network.statistics().connections, 1);
        let text = panic_text(|| Network::new().install());
        assert!(text.contains("already"), "{text}");
    });
    assert!(panic_text(|| ropewalk::run(testing::network)).contains("no simulated network"));
}

#[test]
fn a_test_that_is_explored_has_its_own_network_each_time() {
    let listened = Rc::new(Cell::new(0));
    let test = || {
        simulated(Network::new(), || {
            // It would be taken the second time.
            let _listener = TcpListener::bind("127.0.0.1:80").unwrap();
            listened.set(listened.get() + 1);
        });
    };
    let explored = Cell::new(0);
    testing::explore(0..3, || {
        explored.set(explored.get() + 1);
        test();
        test();
    });
    assert_eq!(listened.get(), 2 * explored.get());
}
