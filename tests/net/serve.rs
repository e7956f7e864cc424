//! Serving: what goes wrong in one connection concerns no other, and the end lets connections finish.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ropewalk::channel::{self, Receiver, RecvError, Sender};
use ropewalk::net::{
    self, Controller, Listener, ServeError, Server, TcpListener, TcpStream, UnixListener, UnixStream,
};
use ropewalk::{Cancelled, Clock, Runtime, task, testing, time};

use crate::log::Log;
use crate::world::{clock, panic_of, seconds, sleep, unhandled_by};

/// Runs `program` in virtual time. What connections fail or panic with, and nobody is told of, fails the test: an assertion in
/// a handler, for instance.
#[track_caller]
fn run<T>(program: impl FnOnce() -> T) -> T {
    let (result, told) = unhandled_by(program);
    assert_eq!(told, [""; 0]);
    result
}

/// As [`run`], by the clock of the system, which the peers of sockets go by.
#[track_caller]
fn on_sockets<T>(program: impl FnOnce() -> T) -> T {
    testing::Setup::new().clock(Clock::Real).run(program)
}

/// As [`run`]; what the program logs is compared.
#[track_caller]
fn check(program: impl FnOnce(&Log), expected: &[&str]) {
    let log = Log::new();
    run(|| program(&log));
    log.assert(expected);
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connections that come when the test says so: each is a number, for how many seconds it takes.
struct Numbers(Receiver<io::Result<u64>>);

type Visitors = Sender<io::Result<u64>>;

fn numbers() -> (Visitors, Numbers) {
    let (sender, receiver) = channel::unbounded();
    (sender, Numbers(receiver))
}

impl Listener for Numbers {
    type Stream = u64;
    type Peer = u64;

    fn accept(&self) -> io::Result<(u64, u64)> {
        match self.0.recv() {
            Ok(number) => number.map(|number| (number, number)),
            Err(RecvError::Cancelled(cancelled)) => Err(cancelled.into()),
            Err(_) => Err(errno(libc::EBADF)),
        }
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Takes as many seconds as the connection says.
fn take_time(number: u64, _: u64) -> io::Result<()> {
    Ok(sleep(number)?)
}

/// `finished`, `cancelled` and `open`.
fn counts(controller: &Controller) -> (u64, u64, u64) {
    let served = controller.served();
    (served.finished, served.cancelled, served.open)
}

/// Waits until the sum of the connections that have been and are is `number`.
fn wait_for(number: u64, controller: &Controller) {
    let sum = |(finished, cancelled, open)| finished + cancelled + open;
    while sum(counts(controller)) < number {
        time::sleep(Duration::from_millis(1)).unwrap();
    }
}

#[test]
fn each_connection_has_a_task_and_handlers_borrow() {
    on_sockets(|| {
        let (listener, address) = listen();
        let greeting = String::from("hello, ");
        let served = Cell::new(0);
        task::scope(|s| {
            let server = s.spawn(|| {
                net::serve(&listener, |mut stream, peer| {
                    served.set(served.get() + 1);
                    assert_eq!(peer, stream.peer_addr()?);
                    let mut name = [0; 4];
                    stream.read_exact(&mut name)?;
                    stream.write_all(greeting.as_bytes())?;
                    stream.write_all(&name)
                })
            });
            // The last to come is the first to speak: each is served while the others are.
            let mut clients: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
            while let Some(mut client) = clients.pop() {
                client.write_all(b"rope").unwrap();
                assert_eq!(io::read_to_string(client).unwrap(), "hello, rope");
            }
            server.cancel();
            let ended = server.join().unwrap();
            assert!(Cancelled::is(&ended.unwrap_err()));
        });
        assert_eq!(served.get(), 50);
    });
}

#[test]
fn what_a_connection_fails_or_panics_with_goes_to_the_hook_of_the_runtime() {
    let (served, told) = unhandled_by(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| {
                server.serve(|number, _| match number {
                    1 => Err(ErrorKind::ConnectionReset.into()),
                    2 => panic!("two is too many"),
                    number => take_time(number, number),
                })
            });
            (0..4).for_each(|number| visitors.send(Ok(number)).unwrap());
            sleep(1).unwrap();
            controller.shutdown(seconds(9)).unwrap()
        })
    });
    assert_eq!((served.finished, served.cancelled, served.open), (4, 0, 0));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("'connection of 1' ended with an error: connection reset"), "{told:?}");
    assert!(told[1].contains("'connection of 2' panicked"), "{told:?}");
    assert!(told[1].ends_with("two is too many"), "{told:?}");
}

#[test]
fn a_hook_of_the_server_is_told_instead_and_may_fail_itself() {
    let (told, unhandled) = unhandled_by(|| {
        let told = RefCell::new(Vec::new());
        let (visitors, listener) = numbers();
        let server = Server::new(listener).on_error(|error| {
            told.borrow_mut().push(error.to_string());
            match error {
                ServeError::Failed { peer: 1, error, .. } => assert_eq!(error.to_string(), "one"),
                ServeError::Panicked { peer: 2, panic, .. } => assert_eq!(panic.text(), "two"),
                other => panic!("the hook panics at: {other}"),
            }
        });
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| {
                server.serve(|number, _| match number {
                    2 => panic!("two"),
                    1 => Err(io::Error::other("one")),
                    _ => Err(io::Error::other("three")),
                })
            });
            (1..4).for_each(|number| visitors.send(Ok(number)).unwrap());
            sleep(1).unwrap();
            assert!(controller.is_accepting(), "a hook that panics ends nothing");
            assert_eq!(controller.shutdown(seconds(1)).unwrap().finished, 3);
        });
        told.take()
    });
    assert_eq!(
        told,
        [
            "the connection of 1 ended with an error: one",
            "the connection of 2 panicked: two",
            "the connection of 3 ended with an error: three",
        ]
    );
    assert_eq!(unhandled.len(), 1, "{unhandled:?}");
    let about = "the hook panics at: the connection of 3 ended with an error: three";
    assert!(unhandled[0].ends_with(about), "{unhandled:?}");
}

#[test]
fn at_the_limit_nobody_is_accepted_until_a_connection_ends() {
    for (limit, expected) in [
        (1, ["3 begins at 0", "2 begins at 3", "1 begins at 5", "over at 6"]),
        (2, ["3 begins at 0", "2 begins at 0", "1 begins at 2", "over at 3"]),
    ] {
        check(
            |log| {
                let (visitors, listener) = numbers();
                let server = Server::new(listener).limit(limit);
                let controller = server.controller();
                [3, 2, 1].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
                task::scope(|s| {
                    s.spawn(|| {
                        server.serve(|number, _| {
                            log.add(format!("{number} begins at {}", clock()));
                            assert!(controller.served().open <= limit as u64);
                            take_time(number, number)
                        })
                    });
                    while counts(&controller).0 + counts(&controller).2 < 3 {
                        sleep(1).unwrap();
                    }
                    controller.shutdown(Duration::MAX).unwrap();
                    log.add(format!("over at {}", clock()));
                });
            },
            &expected,
        );
    }
}

#[test]
fn those_beyond_the_limit_wait_in_the_backlog_of_the_system() {
    on_sockets(|| {
        let (listener, address) = listen();
        let server = Server::new(&listener).limit(1);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(drop)));
            let mut clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
            for client in &mut clients {
                client.write_all(b"rope").unwrap();
            }
            for (number, mut client) in clients.into_iter().enumerate() {
                let mut echo = [0; 4];
                client.read_exact(&mut echo).unwrap();
                assert_eq!(counts(&controller), (number as u64, 0, 1));
                client.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(client.read(&mut echo).unwrap(), 0);
                // Whoever is next is not accepted before the task of this one has ended.
                wait_for(number as u64 + 1, &controller);
            }
            controller.stop(Duration::ZERO);
        });
    });
}

#[test]
#[should_panic(expected = "a server with a limit of 0 connections would serve nobody")]
fn a_limit_of_no_connections_is_refused() {
    let _ = Server::new(numbers().1).limit(0);
}

/// Fails so many times, and then has nobody.
struct Failing {
    left: Cell<u32>,
    error: i32,
    log: Log,
}

impl Listener for Failing {
    type Stream = ();
    type Peer = &'static str;

    fn accept(&self) -> io::Result<((), &'static str)> {
        self.log.add(format!("tried at {}", clock()));
        match self.left.replace(self.left.get().saturating_sub(1)) {
            0 => Ok(sleep(3600).map(|()| ((), "nobody"))?),
            _ => Err(errno(self.error)),
        }
    }
}

#[test]
fn want_of_descriptors_or_memory_is_survived_with_longer_and_longer_pauses() {
    for error in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EPERM, libc::ENETDOWN] {
        check(
            |log| {
                let listener = Failing { left: Cell::new(10), error, log: log.clone() };
                let told = Cell::new(Duration::ZERO);
                let server = Server::new(listener).on_error(|failed| match failed {
                    ServeError::NotAccepted { error: told_of, pause, .. } => {
                        assert_eq!(told_of.raw_os_error(), Some(error));
                        told.set(told.get() + pause);
                    }
                    other => panic!("{other}"),
                });
                let ended = time::timeout(seconds(100), || server.serve(|(), _| Ok(()))).unwrap_err();
                assert!(Cancelled::is(&ended.into_inner().unwrap_err()));
                assert_eq!(told.get().as_secs_f64(), 3.275);
            },
            &[
                "tried at 0",
                "tried at 0.005",
                "tried at 0.015",
                "tried at 0.035",
                "tried at 0.075",
                "tried at 0.155",
                "tried at 0.315",
                "tried at 0.635",
                "tried at 1.275",
                "tried at 2.275",
                "tried at 3.275",
            ],
        );
    }
}

#[test]
fn the_pauses_are_short_again_after_a_success_and_end_with_any_connection() {
    check(
        |log| {
            let (visitors, listener) = numbers();
            let pauses = RefCell::new(Vec::new());
            let server = Server::new(listener).on_error(|failed| match failed {
                ServeError::NotAccepted { pause, .. } => pauses.borrow_mut().push(pause.as_millis()),
                other => panic!("{other}"),
            });
            let controller = server.controller();
            task::scope(|s| {
                s.spawn(|| {
                    server.serve(|number, _| {
                        log.add(format!("accepted at {}", clock()));
                        Ok(time::sleep(Duration::from_millis(number))?)
                    })
                });
                visitors.send(Ok(1500)).unwrap();
                (0..10).for_each(|_| visitors.send(Err(errno(libc::EMFILE))).unwrap());
                visitors.send(Ok(0)).unwrap();
                visitors.send(Err(errno(libc::EMFILE))).unwrap();
                sleep(10).unwrap();
                controller.stop(Duration::ZERO);
            });
            assert_eq!(pauses.take(), [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 5]);
        },
        // The ninth pause began at 1.275 and would have lasted until 2.275: a descriptor was free before. So the tenth lasts
        // from 1.5 to 2.5.
        &["accepted at 0", "accepted at 2.5"],
    );
}

#[test]
fn the_hook_of_the_runtime_is_told_that_nobody_can_be_accepted() {
    let ((), told) = unhandled_by(|| {
        let (visitors, listener) = numbers();
        visitors.send(Err(errno(libc::ENFILE))).unwrap();
        let served = time::timeout(seconds(1), || net::serve(listener, take_time));
        served.unwrap_err().into_inner().unwrap_err();
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("cannot accept connections, and tries again in 5ms: "), "{told:?}");
}

#[test]
fn a_listener_that_is_useless_ends_the_server_when_its_connections_have_ended() {
    for error in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
        run(|| {
            let (visitors, listener) = numbers();
            visitors.send(Ok(7)).unwrap();
            visitors.send(Err(errno(error))).unwrap();
            let ended = net::serve(listener, take_time).unwrap_err();
            assert_eq!(ended.raw_os_error(), Some(error));
            assert_eq!(clock(), 7.0);
        });
    }
}

#[test]
fn a_server_whose_listener_has_failed_can_still_be_shut_down() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(3600)).unwrap();
        drop(visitors);
        task::scope(|s| {
            let server = s.spawn(|| server.serve(take_time));
            sleep(1).unwrap();
            let served = controller.shutdown(seconds(4)).unwrap();
            assert_eq!((served.finished, served.cancelled, clock()), (0, 1, 5.0));
            assert_eq!(server.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
        });
    });
}

#[test]
fn a_shutdown_lets_connections_finish_and_cancels_those_that_are_late() {
    let ((), told) = unhandled_by(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        [1, 5, 3600, 9, 7200].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
        task::scope(|s| {
            let server = s.spawn(|| server.serve(take_time));
            sleep(2).unwrap();
            assert_eq!(counts(&controller), (1, 0, 4));
            assert!(controller.is_accepting());
            let served = controller.shutdown(seconds(10)).unwrap();
            assert_eq!((served.finished, served.cancelled, served.open), (3, 2, 0));
            assert_eq!(clock(), 12.0);
            assert_eq!(server.join().unwrap().unwrap(), served);
            // Nobody was accepted any more.
            visitors.send(Ok(1)).unwrap_err();
        });
    });
    assert_eq!(told, [""; 0], "that a connection was cancelled with its server is no news");
}

#[test]
fn a_shutdown_is_over_when_the_last_connection_is() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(take_time));
            [2, 4].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
            sleep(1).unwrap();
            let served = controller.shutdown(Duration::MAX).unwrap();
            assert_eq!((served.finished, clock()), (2, 4.0));
        });
    });
}

#[test]
fn without_a_grace_connections_are_cancelled_at_once() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(take_time));
            [2, 4].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
            sleep(1).unwrap();
            let served = controller.shutdown(Duration::ZERO).unwrap();
            assert_eq!((served.finished, served.cancelled, clock()), (0, 2, 1.0));
        });
    });
}

#[test]
fn of_two_shutdowns_the_grace_counts_that_ends_first() {
    for (first, second, end) in [(60, 3, 5.0), (3, 60, 4.0)] {
        run(|| {
            let (visitors, listener) = numbers();
            let server = Server::new(listener);
            let controller = server.controller();
            task::scope(|s| {
                s.spawn(|| server.serve(take_time));
                visitors.send(Ok(3600)).unwrap();
                sleep(1).unwrap();
                let other = controller.clone();
                let waiting = s.spawn(move || other.shutdown(seconds(first)).unwrap());
                sleep(1).unwrap();
                assert!(!controller.stop(seconds(second)), "it has been asked to before");
                let served = controller.shutdown(seconds(3600)).unwrap();
                assert_eq!((served.cancelled, clock()), (1, end));
                assert_eq!(waiting.join().unwrap(), served);
                assert_eq!(controller.wait().unwrap(), served);
                // Once more, after the end.
                assert_eq!(controller.shutdown(seconds(3600)).unwrap(), served);
                assert_eq!(clock(), end);
            });
        });
    }
}

#[test]
fn a_shutdown_before_the_server_serves_waits_for_nothing_and_is_not_forgotten() {
    run(|| {
        let (visitors, listener) = numbers();
        visitors.send(Ok(1)).unwrap();
        let server = Server::new(listener);
        let controller = server.controller();
        assert!(!controller.is_accepting());
        assert_eq!(controller.shutdown(seconds(60)).unwrap(), net::Served::default());
        let served = server.serve(|_, _| unreachable!("nobody is accepted")).unwrap();
        assert_eq!(served, net::Served::default());
        assert_eq!(clock(), 0.0);
    });
}

#[test]
fn a_server_that_never_serves_has_ended_when_it_is_dropped() {
    run(|| {
        let (_visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            let waiting = s.spawn(|| controller.wait());
            task::yield_now();
            assert!(!waiting.is_finished());
            drop(server);
            assert_eq!(waiting.join().unwrap(), Ok(net::Served::default()));
        });
    });
}

#[test]
fn a_connection_can_shut_its_own_server_down() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        [5, 0].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
        let served = server.serve(|number, _| {
            if number == 0 {
                sleep(1)?;
                // Neither this task nor one that it has spawned waits: both ends would wait for one another.
                let served = controller.shutdown(Duration::MAX)?;
                assert_eq!((served.finished, served.open, clock()), (0, 2, 1.0));
                task::scope(|s| s.spawn(|| controller.shutdown(Duration::MAX)).join().unwrap())?;
                assert_eq!(clock(), 1.0);
                return Ok(());
            }
            take_time(number, number)
        });
        assert_eq!(served.unwrap().finished, 2);
        assert_eq!(clock(), 5.0);
    });
}

#[test]
fn a_connection_of_a_server_within_a_connection_can_shut_both_servers_down() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(0)).unwrap();
        let served = server.serve(|_, _| {
            let (visitors, listener) = numbers();
            let inner = Server::new(listener);
            let inner_controller = inner.controller();
            visitors.send(Ok(0)).unwrap();
            inner.serve(|_, _| {
                assert_eq!(controller.shutdown(Duration::MAX)?.open, 1);
                assert_eq!(inner_controller.shutdown(Duration::MAX)?.open, 1);
                Ok(())
            })?;
            Ok(())
        });
        assert_eq!((served.unwrap().finished, clock()), (1, 0.0));
    });
}

#[test]
fn the_hook_that_is_told_of_the_accept_loop_can_shut_the_server_down() {
    run(|| {
        let (visitors, listener) = numbers();
        let controller: RefCell<Option<Controller>> = RefCell::default();
        let server = Server::new(listener).on_error(|_| {
            let controller = controller.take().unwrap();
            assert_eq!(controller.shutdown(Duration::MAX).unwrap().open, 1);
        });
        controller.replace(Some(server.controller()));
        visitors.send(Ok(3)).unwrap();
        visitors.send(Err(errno(libc::EMFILE))).unwrap();
        assert_eq!(server.serve(take_time).unwrap().finished, 1);
        assert_eq!(clock(), 3.0);
    });
}

#[test]
fn a_connection_of_one_server_waits_for_the_end_of_another() {
    run(|| {
        let ((visitors, listener), (other_visitors, other_listener)) = (numbers(), numbers());
        let (server, other) = (Server::new(listener), Server::new(other_listener));
        let (controller, other_controller) = (server.controller(), other.controller());
        task::scope(|s| {
            s.spawn(|| other.serve(take_time));
            other_visitors.send(Ok(5)).unwrap();
            s.spawn(|| {
                server.serve(|_, _| {
                    let served = other_controller.shutdown(seconds(60))?;
                    assert_eq!((served.finished, clock()), (1, 5.0));
                    Ok(())
                })
            });
            sleep(1).unwrap();
            assert!(other_controller.is_accepting());
            visitors.send(Ok(0)).unwrap();
            sleep(9).unwrap();
            assert!(controller.is_accepting(), "one ended, the other goes on");
            assert_eq!(controller.shutdown(seconds(1)).unwrap().finished, 1);
        });
    });
}

#[test]
fn a_callback_stops_a_server() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(8)).unwrap();
        time::call_later(seconds(5), move || assert!(controller.stop(seconds(60))));
        assert_eq!(server.serve(take_time).unwrap().finished, 1);
        assert_eq!(clock(), 8.0);
    });
}

#[test]
fn another_thread_has_a_server_shut_down() {
    on_sockets(|| {
        let (listener, address) = listen();
        let server = Server::new(listener);
        let controller = server.controller();
        let (stop, stopped) = channel::cross::oneshot();
        let other = thread::spawn(move || {
            let mut greeting = String::new();
            std::net::TcpStream::connect(address).unwrap().read_to_string(&mut greeting).unwrap();
            stop.send(seconds(60)).unwrap();
            greeting
        });
        task::scope(|s| {
            s.spawn(|| controller.shutdown(stopped.recv().unwrap()).unwrap());
            assert_eq!(server.serve(|mut stream, _| stream.write_all(b"hello")).unwrap().finished, 1);
        });
        assert_eq!(other.join().unwrap(), "hello");
    });
}

#[test]
fn what_cancels_a_server_cancels_its_connections_without_a_grace() {
    let ((), told) = unhandled_by(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        [1, 3600, 3600].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
        let ended = time::timeout(seconds(5), || server.serve(take_time)).unwrap_err();
        assert!(Cancelled::is(&ended.into_inner().unwrap_err()));
        assert_eq!(counts(&controller), (1, 2, 0));
        assert_eq!(clock(), 5.0);
    });
    assert_eq!(told, [""; 0]);
}

#[test]
fn a_cancellation_within_the_grace_ends_the_grace() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(3600)).unwrap();
        time::call_later(seconds(1), {
            let controller = controller.clone();
            move || {
                controller.stop(seconds(60));
            }
        });
        let ended = time::timeout(seconds(5), || server.serve(take_time)).unwrap_err();
        assert!(Cancelled::is(&ended.into_inner().unwrap_err()));
        assert_eq!((counts(&controller), clock()), ((0, 1, 0), 5.0));
    });
}

#[test]
fn a_shutdown_whose_wait_is_cancelled_goes_on() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(7)).unwrap();
        task::scope(|s| {
            let server = s.spawn(|| server.serve(take_time));
            sleep(1).unwrap();
            let waited = time::timeout(seconds(1), || controller.shutdown(seconds(60)));
            assert!(waited.unwrap_err().into_inner().is_err());
            assert_eq!((server.join().unwrap().unwrap().finished, clock()), (1, 7.0));
        });
    });
}

#[test]
fn a_connection_that_ignores_its_cancellation_is_waited_for() {
    run(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        visitors.send(Ok(30)).unwrap();
        task::scope(|s| {
            s.spawn(|| server.serve(|number, _| Ok(task::shield(|| sleep(number))?)));
            sleep(1).unwrap();
            let served = controller.shutdown(seconds(2)).unwrap();
            assert_eq!((served.cancelled, clock()), (1, 30.0));
        });
    });
}

/// Somebody comes at the very moment when accepting is cancelled.
struct AtTheLastMoment(Cell<bool>);

impl Listener for AtTheLastMoment {
    type Stream = ();
    type Peer = ();

    fn accept(&self) -> io::Result<((), ())> {
        match sleep(3600) {
            Err(cancelled) if self.0.replace(true) => Err(cancelled.into()),
            _ => Ok(((), ())),
        }
    }
}

#[test]
fn a_connection_that_was_accepted_although_the_server_stops_is_served() {
    run(|| {
        let server = Server::new(AtTheLastMoment(Cell::new(false)));
        let controller = server.controller();
        let served = Cell::new(false);
        task::scope(|s| {
            s.spawn(|| {
                server.serve(|(), ()| {
                    served.set(sleep(1).is_ok());
                    Ok(())
                })
            });
            sleep(1).unwrap();
            assert_eq!(controller.shutdown(seconds(9)).unwrap().finished, 1);
        });
        assert!(served.get());
    });
}

#[test]
fn what_a_connection_returns_for_itself_during_the_grace_is_told() {
    let ((), told) = unhandled_by(|| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener);
        let controller = server.controller();
        [2, 3600].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
        task::scope(|s| {
            s.spawn(|| {
                server.serve(|number, _| match sleep(number) {
                    Ok(()) => Err(Cancelled::new(ropewalk::Reason::Requested).into()),
                    Err(_) => Err(io::Error::other("half a page was sent")),
                })
            });
            sleep(1).unwrap();
            controller.shutdown(seconds(9)).unwrap();
        });
    });
    // The first was not cancelled by the server; the second says more than that.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("'connection of 2' ended with an error: cancelled"), "{told:?}");
    assert!(told[1].ends_with("'connection of 3600' ended with an error: half a page was sent"), "{told:?}");
}

/// Accepts somebody, and then panics.
struct Panics(Cell<bool>);

impl Listener for Panics {
    type Stream = ();
    type Peer = ();

    fn accept(&self) -> io::Result<((), ())> {
        assert!(!self.0.replace(true), "the listener panics");
        Ok(((), ()))
    }
}

#[test]
fn a_listener_that_panics_ends_its_server_and_connections_are_waited_for() {
    run(|| {
        let server = Server::new(Panics(Cell::new(false)));
        let controller = server.controller();
        task::scope(|s| {
            let server = s.spawn(|| server.serve(|(), ()| Ok(sleep(3600)?)));
            assert_eq!(panic_of(server.join()), "the listener panics");
            assert_eq!((counts(&controller), clock()), ((0, 1, 0), 0.0));
            assert_eq!(controller.shutdown(seconds(1)).unwrap().cancelled, 1);
        });
    });
}

#[test]
fn several_servers_run_side_by_side() {
    on_sockets(|| {
        let ((first, first_address), (second, second_address)) = (listen(), listen());
        let ask =
            |address: SocketAddr| -> io::Result<String> { io::read_to_string(TcpStream::connect(address)?) };
        let server = Server::new(first);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(|mut stream, _| stream.write_all(b"first")));
            let other = s.spawn(|| net::serve(second, |mut stream, _| stream.write_all(b"second")));
            assert_eq!(ask(first_address).unwrap(), "first");
            assert_eq!(ask(second_address).unwrap(), "second");
            controller.shutdown(seconds(60)).unwrap();
            // Its listener is closed; that of the other is not.
            assert_eq!(ask(first_address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(ask(second_address).unwrap(), "second");
            other.cancel();
        });
    });
}

#[test]
fn a_listener_that_was_lent_stays_open_for_the_next_server() {
    on_sockets(|| {
        let (listener, address) = listen();
        for round in 0..3_u8 {
            let server = Server::new(&listener);
            let controller = server.controller();
            task::scope(|s| {
                // It came when nobody accepted.
                let mut client = TcpStream::connect(address).unwrap();
                s.spawn(|| server.serve(|mut stream, _| stream.write_all(&[round])));
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [round]);
                controller.shutdown(seconds(60)).unwrap();
            });
        }
    });
}

#[test]
fn a_second_server_that_waits_at_the_same_listener_is_refused() {
    on_sockets(|| {
        let (listener, address) = listen();
        let listener = Rc::new(listener);
        task::scope(|s| {
            let shared = listener.clone();
            let first = s.spawn(|| net::serve(shared, |mut stream, _| stream.write_all(b"served")));
            task::yield_now();
            let refused = net::serve(&*listener, |_, _| unreachable!("the first accepts"));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceBusy);
            assert_eq!(io::read_to_string(TcpStream::connect(address).unwrap()).unwrap(), "served");
            first.cancel();
        });
    });
}

#[test]
fn two_servers_accept_from_duplicates_of_one_listener() {
    on_sockets(|| {
        let path = std::env::temp_dir().join(format!("ropewalk-serve-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let duplicate = listener.try_clone().unwrap();
        let servers = [Server::new(listener).limit(1), Server::new(duplicate).limit(1)];
        let controllers = servers.each_ref().map(Server::controller);
        task::scope(|s| {
            for server in servers {
                s.spawn(|| {
                    server.serve(|stream, peer| {
                        assert!(peer.is_unnamed());
                        io::copy(&mut &stream, &mut &stream).map(drop)
                    })
                });
            }
            // Both have a connection, for neither may have two.
            let clients = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
            for mut client in clients.iter() {
                client.write_all(b"rope").unwrap();
                client.read_exact(&mut [0; 4]).unwrap();
            }
            assert_eq!(controllers.each_ref().map(counts), [(0, 0, 1), (0, 0, 1)]);
            drop(clients);
            // When one is shut down, the other goes on.
            assert_eq!(controllers[0].shutdown(seconds(60)).unwrap().finished, 1);
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"rope").unwrap();
            client.read_exact(&mut [0; 4]).unwrap();
            drop(client);
            assert_eq!(controllers[1].shutdown(seconds(60)).unwrap().finished, 2);
        });
        // Closing a listener leaves its file.
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
fn a_shutdown_lets_a_real_connection_finish_and_cancels_one_that_is_silent() {
    on_sockets(|| {
        let (listener, address) = listen();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(drop)));
            let mut busy = TcpStream::connect(address).unwrap();
            let mut silent = TcpStream::connect(address).unwrap();
            wait_for(2, &controller);
            let ending = s.spawn(|| controller.shutdown(Duration::from_millis(100)).unwrap());
            // The accept loop has its turn, and ends. Others are refused from then on, and not kept waiting.
            loop {
                match TcpStream::connect(address) {
                    Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => break,
                    // The last ones may be reset.
                    _ => task::yield_now(),
                }
            }
            assert!(!controller.is_accepting());
            busy.write_all(b"rope").unwrap();
            let mut echo = [0; 4];
            busy.read_exact(&mut echo).unwrap();
            assert_eq!(&echo, b"rope");
            busy.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(busy.read(&mut echo).unwrap(), 0);
            let served = ending.join().unwrap();
            // One of those that tried above may have come before the accept loop had heard that it ends.
            assert!((1..=2).contains(&served.finished), "{served:?}");
            assert_eq!(served.cancelled, 1);
            assert_eq!(silent.read(&mut echo).unwrap(), 0, "it was closed");
        });
    });
}

#[test]
fn dumps_and_reports_name_the_connection() {
    on_sockets(|| {
        let (listener, address) = listen();
        task::scope(|s| {
            let server = s.spawn(|| net::serve(listener, |mut stream, _| stream.read(&mut [0]).map(drop)));
            let client = TcpStream::connect(address).unwrap();
            let expected = format!("connection of {}", client.local_addr().unwrap());
            while !task::all().iter().any(|task| task.name.as_ref() == Some(&expected)) {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            server.cancel();
        });
    });
}

#[test]
fn under_any_schedule_each_connection_is_counted_once() {
    let program = || {
        let (visitors, listener) = numbers();
        let limit = 1 + testing::random(3);
        let server = Server::new(listener).limit(limit).on_error(drop);
        let controller = server.controller();
        let begun = Cell::new(0);
        task::scope(|s| {
            let serving = s.spawn(|| {
                server.serve(|number, _| {
                    begun.set(begun.get() + 1);
                    assert!(controller.served().open <= limit as u64);
                    match number {
                        0 => Err(io::Error::other("failed")),
                        1 => panic!("panicked"),
                        number => take_time(number, number),
                    }
                })
            });
            for _ in 0..10 {
                visitors.send(Ok(testing::random(4) as u64)).unwrap();
                if testing::random(4) == 0 {
                    visitors.send(Err(errno(libc::EMFILE))).unwrap();
                }
            }
            for _ in 0..3 {
                let controller = controller.clone();
                s.spawn(move || {
                    sleep(testing::random(6) as u64).unwrap();
                    let grace = seconds(testing::random(3) as u64);
                    assert_eq!(controller.shutdown(grace).unwrap().open, 0);
                });
            }
            let served = serving.join().unwrap().unwrap();
            let counted = served.finished + served.cancelled;
            // One that was accepted and cancelled before it began is counted too.
            assert!(counted >= begun.get() && counted <= 10, "{served:?}, {} begun", begun.get());
            assert_eq!((served.open, controller.served()), (0, served));
        });
    };
    testing::explore(0..300, program);
}

#[test]
fn a_server_leaves_nothing_behind_wherever_it_is_cancelled() {
    let moments = testing::cancel_everywhere(|cut| {
        let (visitors, listener) = numbers();
        let server = Server::new(listener).limit(2).on_error(drop);
        let controller = server.controller();
        [1, 2, 3].into_iter().for_each(|number| visitors.send(Ok(number)).unwrap());
        visitors.send(Err(errno(libc::EMFILE))).unwrap();
        time::call_later(seconds(9), {
            let controller = controller.clone();
            move || {
                controller.stop(seconds(1));
            }
        });
        let ended = cut.here(|| server.serve(take_time));
        let (finished, cancelled, open) = counts(&controller);
        assert_eq!(open, 0);
        match ended {
            Ok(served) => assert_eq!((served.finished, served.cancelled), (3, 0)),
            Err(error) => {
                assert!(Cancelled::is(&error));
                assert!(finished + cancelled <= 3);
            }
        }
        assert!(controller.wait().is_ok());
    });
    assert!(moments > 10, "{moments} moments");
}

/// Runs `scenario` in a process of its own, where the shell has set a limit before.
#[cfg(target_os = "linux")]
fn with_limit(test: &str, limit: &str, scenario: impl FnOnce()) {
    const CHILD: &str = "ROPEWALK_TEST_CHILD";
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        scenario();
        std::process::exit(0);
    }
    let Output { status, stderr, .. } = Command::new("sh")
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("serve::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .unwrap();
    assert!(status.success(), "{status}\n{}", String::from_utf8_lossy(&stderr));
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_without_descriptors_serves_on_when_there_are_some_again() {
    with_limit("a_process_without_descriptors_serves_on_when_there_are_some_again", "-n 40", || {
        on_sockets(|| {
            let (listener, address) = listen();
            let failed = Cell::new(0);
            let server = Server::new(listener).on_error(|error| match error {
                ServeError::NotAccepted { error, .. } => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    failed.set(failed.get() + 1);
                }
                other => panic!("{other}"),
            });
            let controller = server.controller();
            task::scope(|s| {
                // Both ends are in this process: those who connect leave no descriptor for accepting them.
                let mut clients = Vec::new();
                let full = loop {
                    match TcpStream::connect(address) {
                        Ok(client) => clients.push(client),
                        Err(error) => break error,
                    }
                };
                assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
                s.spawn(|| server.serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(drop)));
                while failed.get() == 0 {
                    task::yield_now();
                }
                assert_eq!(counts(&controller), (0, 0, 0));
                let connected = clients.len() as u64;
                clients.truncate(clients.len() / 2);
                for mut client in clients {
                    client.write_all(b"rope").unwrap();
                    let mut echo = [0; 4];
                    client.read_exact(&mut echo).unwrap();
                    assert_eq!(&echo, b"rope");
                }
                wait_for(connected, &controller);
                let served = controller.shutdown(seconds(60)).unwrap();
                assert_eq!((served.finished, served.cancelled), (connected, 0));
            });
        });
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_for_which_there_is_no_stack_ends_and_the_others_do_not() {
    with_limit("a_connection_for_which_there_is_no_stack_ends_and_the_others_do_not", "-v 6000000", || {
        let told = Rc::new(Cell::new(0));
        let hook = told.clone();
        let runtime = Runtime::builder().on_unhandled(move |event| {
            assert!(event.to_string().contains("could not begin"), "{event}");
            hook.set(hook.get() + 1);
        });
        runtime.build().run(|| {
            let (visitors, listener) = numbers();
            let server = Server::new(listener).stack_size(1 << 30);
            let controller = server.controller();
            (0..20).for_each(|_| visitors.send(Ok(3600)).unwrap());
            task::scope(|s| {
                s.spawn(|| server.serve(take_time));
                while told.get() == 0 {
                    task::yield_now();
                }
                let open = controller.served().open;
                assert!((1..20).contains(&open), "{open} have a stack");
                assert!(controller.is_accepting());
                let served = controller.shutdown(Duration::ZERO).unwrap();
                assert_eq!((served.finished, served.cancelled), (told.get(), 20 - told.get()));
            });
        });
    });
}
