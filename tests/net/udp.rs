//! UDP: what std's socket does this one does, and parks the task only; a datagram is neither lost nor kept waiting.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use ropewalk::net::UdpSocket;
use ropewalk::{Cancelled, task, time};

fn bind() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two that are connected to each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let ((left, left_address), (right, right_address)) = (bind(), bind());
    left.connect(right_address).unwrap();
    right.connect(left_address).unwrap();
    (left, right)
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

#[test]
fn datagrams_go_there_and_back_with_the_addresses_of_their_senders() {
    ropewalk::run(|| {
        let (server, address) = bind();
        task::scope(|s| {
            s.spawn(|| {
                let mut buffer = [0; 100];
                for _ in 0..20 {
                    let (count, client) = server.recv_from(&mut buffer).unwrap();
                    assert_eq!(server.send_to(&buffer[..count], client).unwrap(), count);
                }
            });
            for number in 0..20 {
                s.spawn(move || {
                    let (client, _) = bind();
                    let sent = vec![number; usize::from(number)];
                    client.send_to(&sent, address).unwrap();
                    let mut buffer = [0; 100];
                    let (count, sender) = client.recv_from(&mut buffer).unwrap();
                    assert_eq!((&buffer[..count], sender), (&sent[..], address));
                });
            }
        });
    });
}

/// A short datagram does not say that it was the last one. Who takes it for the last waits for news that never come.
#[test]
fn datagrams_that_queued_up_are_all_received_though_each_is_shorter_than_the_buffer() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        task::scope(|s| {
            // Known to the driver first: it has waited once.
            let first = s.spawn(|| received(&receiver));
            task::yield_now();
            sender.send(b"zero").unwrap();
            assert_eq!(first.join().unwrap(), b"zero");
            for round in 0..3 {
                for word in ["one", "two", "three"] {
                    sender.send(word.as_bytes()).unwrap();
                }
                // Let the driver look: all that the system tells of them has been told.
                time::sleep(Duration::from_millis(1)).unwrap();
                let mut buffer = [0; 100];
                match round {
                    0 => assert_eq!(received(&receiver), b"one"),
                    1 => assert_eq!(receiver.recv_from(&mut buffer).unwrap().0, 3),
                    _ => {
                        assert_eq!(receiver.peek(&mut buffer).unwrap(), 3);
                        assert_eq!(received(&receiver), b"one");
                    }
                }
                assert_eq!(received(&receiver), b"two");
                assert_eq!(received(&receiver), b"three");
            }
        });
    });
}

#[test]
fn a_datagram_of_nothing_is_one_and_no_end() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        assert_eq!(sender.send(b"").unwrap(), 0);
        assert_eq!(sender.send(b"more").unwrap(), 4);
        assert_eq!(received(&receiver), b"");
        assert_eq!(received(&receiver), b"more");
        sender.send_to(b"", receiver.local_addr().unwrap()).unwrap();
        assert_eq!(receiver.recv_from(&mut [0; 4]).unwrap(), (0, sender.local_addr().unwrap()));
        // An empty buffer takes a datagram too.
        sender.send(b"gone").unwrap();
        sender.send(b"next").unwrap();
        assert_eq!(receiver.recv(&mut []).unwrap(), 0);
        assert_eq!(received(&receiver), b"next");
    });
}

#[test]
fn what_is_longer_than_the_buffer_is_cut_and_the_next_is_whole() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        for datagram in ["a long one", "another one", "short"] {
            sender.send(datagram.as_bytes()).unwrap();
        }
        let mut buffer = [0; 6];
        assert_eq!((receiver.recv(&mut buffer).unwrap(), &buffer), (6, b"a long"));
        assert_eq!((receiver.recv_from(&mut buffer).unwrap().0, &buffer), (6, b"anothe"));
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
    });
}

#[test]
fn peeking_waits_and_takes_nothing() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        let from = sender.local_addr().unwrap();
        task::scope(|s| {
            let peeks = s.spawn(|| {
                let mut buffer = [0; 10];
                assert_eq!(receiver.peek(&mut buffer).unwrap(), 4);
                assert_eq!(receiver.peek_from(&mut buffer).unwrap(), (4, from));
                assert_eq!(receiver.peek(&mut buffer[..2]).unwrap(), 2);
                assert_eq!(&buffer[..4], b"peek");
            });
            task::yield_now();
            sender.send(b"peek").unwrap();
            peeks.join().unwrap();
            assert_eq!(received(&receiver), b"peek");
        });
    });
}

#[test]
fn who_is_connected_receives_from_nobody_else() {
    ropewalk::run(|| {
        let (left, right) = pair();
        let (stranger, _) = bind();
        let from_stranger = stranger.send_to(b"stranger", right.local_addr().unwrap());
        assert_eq!(from_stranger.unwrap(), 8);
        left.send(b"friend").unwrap();
        assert_eq!(received(&right), b"friend");
        assert_eq!(right.peer_addr().unwrap(), left.local_addr().unwrap());
        assert_eq!(stranger.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let error = stranger.send(b"to whom?").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::DESTADDRREQ.raw_os_error()));
    });
}

#[test]
fn a_refusal_is_an_error_once_and_the_socket_goes_on() {
    ropewalk::run(|| {
        let (gone, address) = bind();
        let (socket, own) = bind();
        drop(gone);
        socket.connect(address).unwrap();
        for has_waited in [false, true] {
            task::scope(|s| {
                let receiving = has_waited.then(|| {
                    let receiving = s.spawn(|| socket.recv(&mut [0; 10]));
                    task::yield_now();
                    receiving
                });
                socket.send(b"hello?").unwrap();
                let refused = match receiving {
                    Some(receiving) => receiving.join().unwrap(),
                    None => socket.recv(&mut [0; 10]),
                };
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            });
        }
        assert!(socket.take_error().unwrap().is_none());
        let back = UdpSocket::bind(address).unwrap();
        socket.send(b"hello!").unwrap();
        let mut buffer = [0; 10];
        assert_eq!(back.recv_from(&mut buffer).unwrap(), (6, own));
        back.send_to(b"hi", own).unwrap();
        assert_eq!(received(&socket), b"hi");
    });
}

#[test]
fn a_refusal_that_nobody_has_received_is_told_when_asked_for() {
    ropewalk::run(|| {
        let (gone, address) = bind();
        let (socket, _) = bind();
        drop(gone);
        socket.connect(address).unwrap();
        socket.send(b"hello?").unwrap();
        // By loopback the answer is there when the call returns.
        assert_eq!(socket.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
        assert!(socket.take_error().unwrap().is_none());
    });
}

#[test]
fn a_datagram_that_is_too_long_is_refused_and_the_next_goes() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        let too_long = vec![0; 70_000];
        let expected = Some(rustix::io::Errno::MSGSIZE.raw_os_error());
        assert_eq!(sender.send(&too_long).unwrap_err().raw_os_error(), expected);
        let to = receiver.local_addr().unwrap();
        assert_eq!(sender.send_to(&too_long, to).unwrap_err().raw_os_error(), expected);
        sender.send(b"fits").unwrap();
        assert_eq!(received(&receiver), b"fits");
        // The longest there is.
        let longest = vec![7; 65_507];
        assert_eq!(sender.send(&longest).unwrap(), 65_507);
        let mut buffer = vec![0; 70_000];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 65_507);
        assert_eq!(&buffer[..65_507], &longest[..]);
    });
}

#[test]
fn a_cancellation_leaves_what_comes_later_in_the_queue() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        task::scope(|s| {
            let receiving = s.spawn(|| receiver.recv(&mut [0; 10]));
            task::yield_now();
            receiving.cancel();
            assert!(Cancelled::is(&receiving.join().unwrap().unwrap_err()));
            sender.send(b"later").unwrap();
            assert_eq!(received(&receiver), b"later");
        });
    });
}

#[test]
fn a_datagram_that_came_with_the_cancellation_is_returned_or_still_there() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        for round in 0..50_u8 {
            task::scope(|s| {
                let receiving = s.spawn(|| {
                    let mut buffer = [0];
                    receiver.recv_from(&mut buffer).map(|_| buffer[0])
                });
                task::yield_now();
                match round % 2 {
                    0 => {
                        sender.send(&[round]).unwrap();
                        if round % 4 == 0 {
                            task::yield_now();
                        }
                        receiving.cancel();
                    }
                    _ => {
                        receiving.cancel();
                        sender.send(&[round]).unwrap();
                    }
                }
                match receiving.join().unwrap() {
                    Ok(number) => assert_eq!(number, round),
                    Err(error) => {
                        assert!(Cancelled::is(&error));
                        assert_eq!(received(&receiver), [round]);
                    }
                }
            });
        }
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_received_nor_sent() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        let (to, from) = (receiver.local_addr().unwrap(), sender.local_addr().unwrap());
        sender.send(b"before").unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&receiver.recv(&mut [0; 10]).unwrap_err()));
            assert!(Cancelled::is(&receiver.recv_from(&mut [0; 10]).unwrap_err()));
            assert!(Cancelled::is(&receiver.peek(&mut [0; 10]).unwrap_err()));
            assert!(Cancelled::is(&receiver.peek_from(&mut [0; 10]).unwrap_err()));
            assert!(Cancelled::is(&sender.send(b"never").unwrap_err()));
            assert!(Cancelled::is(&sender.send_to(b"never", to).unwrap_err()));
        });
        sender.send(b"after").unwrap();
        assert_eq!(received(&receiver), b"before");
        assert_eq!(receiver.recv_from(&mut [0; 10]).unwrap(), (5, from));
    });
}

#[test]
fn a_read_timeout_ends_one_call_as_std_s_does() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        assert_eq!(receiver.read_timeout().unwrap(), None);
        receiver.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(receiver.read_timeout().unwrap(), Some(Duration::from_millis(5)));
        assert_eq!(receiver.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        sender.send(b"in time").unwrap();
        assert_eq!(received(&receiver), b"in time");
        assert_eq!(
            receiver.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        receiver.set_read_timeout(None).unwrap();
        assert_eq!(receiver.read_timeout().unwrap(), None);
        sender.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(sender.write_timeout().unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(sender.send(b"at once").unwrap(), 7);
    });
}

#[test]
fn a_deadline_around_the_call_is_a_cancellation_whatever_the_timeout() {
    ropewalk::run(|| {
        let (_sender, receiver) = pair();
        let soon = Duration::from_millis(5);
        let ended = time::timeout(soon, || receiver.recv(&mut [0])).unwrap_err();
        assert!(Cancelled::is(&ended.into_inner().unwrap_err()));
        receiver.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
        let ended = time::timeout(soon, || receiver.recv_from(&mut [0])).unwrap_err();
        assert!(Cancelled::is(&ended.into_inner().unwrap_err()));
    });
}

#[test]
fn one_task_sends_while_another_receives_and_a_second_receiver_is_refused() {
    ropewalk::run(|| {
        let (left, right) = pair();
        task::scope(|s| {
            let first = s.spawn(|| received(&left));
            task::yield_now();
            let error = left.recv(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            left.send(b"ping").unwrap();
            assert_eq!(received(&right), b"ping");
            right.send(b"pong").unwrap();
            assert_eq!(first.join().unwrap(), b"pong");
        });
    });
}

#[test]
fn a_duplicate_takes_from_the_same_queue() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let duplicate = receiver.try_clone().unwrap();
        assert_eq!(duplicate.read_timeout().unwrap(), Some(Duration::from_secs(5)));
        assert_ne!(duplicate.as_raw_fd(), receiver.as_raw_fd());
        sender.send(b"one").unwrap();
        sender.send(b"two").unwrap();
        assert_eq!(received(&receiver), b"one");
        assert_eq!(received(&duplicate), b"two");
        drop(receiver);
        task::scope(|s| {
            let receiving = s.spawn(|| received(&duplicate));
            task::yield_now();
            sender.send(b"three").unwrap();
            assert_eq!(receiving.join().unwrap(), b"three");
        });
    });
}

#[test]
fn a_socket_goes_to_std_and_comes_back() {
    ropewalk::run(|| {
        let std_socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        std_socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let address = std_socket.local_addr().unwrap();
        let ours = UdpSocket::from(std_socket);
        assert_eq!(ours.local_addr().unwrap(), address);
        assert_eq!(ours.read_timeout().unwrap(), Some(Duration::from_millis(500)));
        ours.set_read_timeout(None).unwrap();
        let (sender, _) = bind();
        task::scope(|s| {
            // Queued, shorter than the buffer: what was taken over is known for datagrams.
            let first = s.spawn(|| received(&ours));
            task::yield_now();
            for word in ["zero", "one", "two"] {
                sender.send_to(word.as_bytes(), address).unwrap();
            }
            assert_eq!(first.join().unwrap(), b"zero");
            assert_eq!(received(&ours), b"one");
            assert_eq!(received(&ours), b"two");
        });
        sender.send_to(b"to std", address).unwrap();
        let std_socket = std::net::UdpSocket::from(ours);
        let mut buffer = [0; 10];
        assert_eq!(std_socket.recv(&mut buffer).unwrap(), 6);
        let fd = OwnedFd::from(UdpSocket::from(OwnedFd::from(std_socket)));
        let number = fd.as_raw_fd();
        assert_eq!(UdpSocket::from(fd).as_fd().as_raw_fd(), number);
        // Closed by hand: nothing else does it.
        let raw = sender.into_raw_fd();
        let path = format!("/proc/self/fd/{raw}");
        if cfg!(target_os = "linux") {
            assert!(std::fs::read_link(path).unwrap().to_str().unwrap().starts_with("socket:"));
        }
    });
}

/// What std sets not to block parks the task all the same.
#[test]
fn a_socket_that_does_not_block_waits_here() {
    ropewalk::run(|| {
        let std_socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        std_socket.set_nonblocking(true).unwrap();
        let receiver = UdpSocket::from(std_socket);
        let (sender, _) = bind();
        task::scope(|s| {
            let receiving = s.spawn(|| received(&receiver));
            task::yield_now();
            sender.send_to(b"waited for", receiver.local_addr().unwrap()).unwrap();
            assert_eq!(receiving.join().unwrap(), b"waited for");
        });
    });
}

#[test]
fn what_is_no_socket_is_an_error_and_nothing_worse() {
    ropewalk::run(|| {
        let file = std::fs::File::open("/dev/null").unwrap();
        let socket = UdpSocket::from(OwnedFd::from(file));
        let expected = Some(rustix::io::Errno::NOTSOCK.raw_os_error());
        assert_eq!(socket.recv(&mut [0; 4]).unwrap_err().raw_os_error(), expected);
        assert_eq!(socket.send(&[0; 4]).unwrap_err().raw_os_error(), expected);
        assert_eq!(socket.local_addr().unwrap_err().raw_os_error(), expected);
        // One of another family has no address that could be told.
        let unix = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(UdpSocket::from(OwnedFd::from(unix)).local_addr().is_err());
    });
}

#[test]
fn options_are_set_and_read_as_std_s() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = std::net::UdpSocket::from(socket.as_fd().try_clone_to_owned().unwrap());
    assert!(!socket.broadcast().unwrap());
    socket.set_broadcast(true).unwrap();
    assert!(socket.broadcast().unwrap() && there.broadcast().unwrap());
    socket.set_ttl(17).unwrap();
    assert_eq!((socket.ttl().unwrap(), there.ttl().unwrap()), (17, 17));
    assert!(socket.multicast_loop_v4().unwrap());
    socket.set_multicast_loop_v4(false).unwrap();
    assert!(!socket.multicast_loop_v4().unwrap() && !there.multicast_loop_v4().unwrap());
    assert_eq!(socket.multicast_ttl_v4().unwrap(), 1);
    socket.set_multicast_ttl_v4(9).unwrap();
    assert_eq!((socket.multicast_ttl_v4().unwrap(), there.multicast_ttl_v4().unwrap()), (9, 9));
    // Of the other family.
    assert!(socket.set_multicast_loop_v6(false).is_err() && socket.multicast_loop_v6().is_err());
    assert!(socket.set_ttl(256).is_err());
}

#[test]
fn without_leave_nothing_is_sent_to_a_broadcast_address() {
    ropewalk::run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let everybody = (Ipv4Addr::new(127, 255, 255, 255), 9);
        assert_eq!(socket.send_to(b"hi", everybody).unwrap_err().kind(), ErrorKind::PermissionDenied);
        socket.set_broadcast(true).unwrap();
        assert_eq!(socket.send_to(b"hi", everybody).unwrap(), 2);
    });
}

/// A sandbox may have no way to send to a group.
fn is_without_route(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable)
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

#[test]
fn who_has_joined_a_group_receives_what_is_sent_to_it() {
    ropewalk::run(|| {
        let group = Ipv4Addr::new(239, 83, 12, 7);
        let receiver = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        // Twice is once too often.
        assert_eq!(
            receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        // Whatever is bound to an address sends from its interface.
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_ip_multicast_if(&sender, &Ipv4Addr::LOCALHOST).unwrap();
        let mut buffer = [0; 10];
        match sender.send_to(b"all", (group, port)) {
            Ok(_) => {
                let (count, from) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..count], from), (&b"all"[..], sender.local_addr().unwrap()));
            }
            Err(error) => assert!(is_without_route(&error), "{error}"),
        }
        receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let error = receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        // No group's.
        let error =
            receiver.join_multicast_v4(&Ipv4Addr::new(10, 0, 0, 1), &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn in_the_other_family_all_is_the_same() {
    ropewalk::run(|| {
        let socket = match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(socket) => socket,
            // A machine without it.
            Err(error) => {
                let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
                assert!(
                    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported),
                    "{error}"
                );
                return;
            }
        };
        let address = socket.local_addr().unwrap();
        assert!(address.is_ipv6());
        socket.send_to(b"six", address).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 10]).unwrap(), (3, address));
        assert!(socket.multicast_loop_v6().unwrap());
        socket.set_multicast_loop_v6(false).unwrap();
        assert!(!socket.multicast_loop_v6().unwrap());
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x8312, 7);
        // The first interface is the loopback.
        match socket.join_multicast_v6(&group, 1) {
            Ok(()) => socket.leave_multicast_v6(&group, 1).unwrap(),
            Err(error) => assert!(is_without_route(&error), "{error}"),
        }
        assert!(socket.leave_multicast_v6(&group, 1).is_err());
        assert!(socket.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1).is_err());
    });
}

#[test]
fn an_address_in_use_is_refused_and_of_several_the_first_that_can_be_had_is_taken() {
    let (_first, address) = bind();
    assert_eq!(UdpSocket::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let nothing: &[SocketAddr] = &[];
    assert_eq!(UdpSocket::bind(nothing).unwrap_err().kind(), ErrorKind::InvalidInput);
    let second = UdpSocket::bind(&[address, "127.0.0.1:0".parse().unwrap()][..]).unwrap();
    assert_ne!(second.local_addr().unwrap(), address);
    assert_eq!(second.connect(nothing).unwrap_err().kind(), ErrorKind::InvalidInput);
    ropewalk::run(|| {
        assert_eq!(second.send_to(b"whom?", nothing).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_flood_does_not_keep_others_from_running() {
    ropewalk::run(|| {
        let (sender, receiver) = pair();
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = turns.clone();
        task::scope(|s| {
            s.spawn_service(move || {
                while task::checkpoint().is_ok() {
                    counted.set(counted.get() + 1);
                }
            });
            for _ in 0..3_000 {
                sender.send(b"x").unwrap();
                assert_eq!(receiver.recv(&mut [0; 4]).unwrap(), 1);
            }
        });
        assert!(turns.get() > 20, "others had {} turns", turns.get());
    });
}

#[test]
fn it_is_what_other_crates_ask_for_and_says_which_descriptor_it_is() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<UdpSocket>();
    let (socket, _) = bind();
    assert!(format!("{socket:?}").contains(&socket.as_raw_fd().to_string()));
}
