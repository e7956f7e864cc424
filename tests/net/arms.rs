//! Sockets in `select`: what can be done is done by one arm, and the others have had no effect.

use std::cell::Cell;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ropewalk::net::TcpStream;
use ropewalk::select::{Arm, Chosen, select, try_select};
use ropewalk::{Cancelled, Generator, Step, Yielder, channel, inspect, lowlevel, task, testing, time};

use crate::tcp::{listen, pair};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_connection_is_accepted_by_an_arm_whether_it_came_before_or_comes_later() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let (_sender, receiver) = channel::unbounded::<()>();
        let accept = || match select((receiver.receiving(), listener.accepting())) {
            Ok(Chosen::Second(Ok((stream, peer)))) => (stream, peer),
            other => panic!("{other:?}"),
        };
        let early = std::net::TcpStream::connect(address).unwrap();
        let (stream, peer) = accept();
        assert_eq!((peer, stream.peer_addr().unwrap()), (early.local_addr().unwrap(), peer));
        let later = task::spawn(move || TcpStream::connect(address).unwrap());
        let (_, peer) = accept();
        assert_eq!(peer, later.join().unwrap().local_addr().unwrap());
    });
}

#[test]
fn an_arm_that_was_not_chosen_leaves_the_connection_for_the_next_who_accepts() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        // Both are ready: the first is taken.
        assert!(matches!(select((receiver.receiving(), listener.accepting())), Ok(Chosen::First(Ok(1)))));
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn an_arm_can_be_asked_without_waiting() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        assert!(try_select(listener.accepting()).is_none());
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.wait_readable().unwrap();
        assert!(try_select(listener.accepting()).unwrap().is_ok());
        assert!(try_select(listener.accepting()).is_none());
    });
}

#[test]
fn one_task_waits_for_many_sockets_and_hears_of_the_one_that_is_ready() {
    ropewalk::run(|| {
        let (mut writers, readers): (Vec<_>, Vec<_>) = (0..20).map(|_| pair()).unzip();
        // Backwards, and each time the others have been waited for in vain.
        for expected in (0..20).rev() {
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    writers[expected].write_all(b"!").unwrap();
                });
                let arms: Vec<_> = readers.iter().map(TcpStream::readable).collect();
                let (index, ready) = select(arms).unwrap();
                ready.unwrap();
                assert_eq!(index, expected);
                assert_eq!((&readers[index]).read(&mut [0; 4]).unwrap(), 1);
            });
        }
    });
}

#[test]
fn an_arm_that_is_readable_says_so_again_until_it_is_read() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        writer.write_all(b"ab").unwrap();
        for _ in 0..3 {
            select(reader.readable()).unwrap().unwrap();
            reader.wait_readable().unwrap();
        }
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
        // Half of it is still there.
        select(reader.readable()).unwrap().unwrap();
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 1);
        assert!(try_select(reader.readable()).is_none());
        drop(writer);
        select(reader.readable()).unwrap().unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_reader_that_waited_in_an_arm_in_vain_is_woken_by_what_comes_later() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        for round in 0..10_u8 {
            let late = select((reader.readable(), time::sleeping(Duration::from_millis(1))));
            assert!(matches!(late, Ok(Chosen::Second(()))));
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    writer.write_all(&[round]).unwrap();
                });
                let mut buffer = [0];
                reader.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer, [round]);
            });
        }
    });
}

#[test]
fn a_full_pipe_is_not_writable_until_the_other_side_reads() {
    ropewalk::run(|| {
        let (writer, mut reader) = pair();
        select(writer.writable()).unwrap().unwrap();
        writer.wait_writable().unwrap();
        let full = time::timeout(SOON, || (&writer).write_all(&vec![0; 50_000_000]));
        assert!(full.is_err());
        assert!(try_select(writer.writable()).is_none());
        task::scope(|s| {
            s.spawn(|| {
                // Until there is room.
                while try_select(writer.writable()).is_none() {
                    reader.read_exact(&mut vec![0; 1_000_000]).unwrap();
                }
            });
            select(writer.writable()).unwrap().unwrap();
        });
    });
}

#[test]
fn a_cancelled_arm_is_cancelled_and_the_socket_is_as_good_as_before() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        let (mut writer, mut reader) = pair();
        task::scope(|s| {
            let waiting = s.spawn(|| select((listener.accepting(), reader.readable())).map(drop));
            task::yield_now();
            waiting.cancel();
            assert!(waiting.join().unwrap().is_err());
        });
        writer.write_all(b"!").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn a_connection_is_never_lost_between_two_arms_whenever_they_are_cancelled() {
    let moments = testing::cancel_everywhere(|cut| {
        let (listener, address) = listen();
        let (sender, receiver) = channel::unbounded();
        let accepted = Cell::new(0);
        let received = Cell::new(0);
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                let client = TcpStream::connect(address).unwrap();
                sender.send(()).unwrap();
                client
            });
            let _ = cut.here(|| {
                for _ in 0..2 {
                    match select((listener.accepting(), receiver.receiving()))? {
                        Chosen::First(connection) => {
                            accepted.set(accepted.get() + connection.map(|_| 1).unwrap())
                        }
                        Chosen::Second(item) => received.set(received.get() + item.map(|()| 1).unwrap()),
                    }
                }
                Ok::<_, Cancelled>(())
            });
            // What was not taken is still there.
            if accepted.get() == 0 {
                listener.accept().unwrap();
            }
            if received.get() == 0 {
                receiver.recv().unwrap();
            }
        });
        assert!(try_select(listener.accepting()).is_none());
        assert!(receiver.try_recv().is_err());
    });
    assert!(moments >= 4, "{moments}");
}

#[test]
fn a_second_arm_for_the_same_direction_says_that_somebody_waits() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        task::scope(|s| {
            let first = s.spawn(|| select(reader.readable()).unwrap());
            task::yield_now();
            let second = select(reader.readable()).unwrap().unwrap_err();
            assert_eq!(second.kind(), ErrorKind::ResourceBusy);
            assert_eq!(reader.wait_readable().unwrap_err().kind(), ErrorKind::ResourceBusy);
            // Its own error is all that it has: the other direction is free.
            select(reader.writable()).unwrap().unwrap();
            writer.write_all(b"!").unwrap();
            first.join().unwrap().unwrap();
        });
    });
}

#[test]
fn arms_show_what_they_wait_for() {
    ropewalk::run(|| {
        let (listener, _) = listen();
        let (left, _right) = pair();
        task::scope(|s| {
            let waiting = s.spawn(|| select((listener.accepting(), left.readable())).map(drop));
            task::yield_now();
            let info = waiting.info().to_string();
            let (listening, connected) = (listener.as_raw_fd(), left.as_raw_fd());
            let expected = format!(
                "waits for select accept on descriptor {listening}, readable on descriptor {connected} (tests/net/arms.rs"
            );
            assert!(info.contains(&expected), "{info}");
            waiting.cancel();
        });
    });
}

#[test]
fn any_descriptor_can_be_waited_for() {
    ropewalk::run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        for round in 0..3_u8 {
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    far.write_all(&[round]).unwrap();
                });
                lowlevel::wait_readable(&near).unwrap();
                lowlevel::wait_writable(&near).unwrap();
            });
            let mut buffer = [0];
            near.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [round]);
        }
        let late = time::timeout(SOON, || lowlevel::wait_readable(&near));
        assert!(Cancelled::is(&late.unwrap_err().into_inner().unwrap_err()));
        drop(far);
        // The end is something to read.
        lowlevel::wait_readable(&near).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn any_descriptor_can_be_an_arm() {
    ropewalk::run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        for round in 0..3_u8 {
            let late = select((lowlevel::readable(&near), time::sleeping(Duration::from_millis(1))));
            assert!(matches!(late, Ok(Chosen::Second(()))));
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    far.write_all(&[round]).unwrap();
                });
                let mut arm = lowlevel::readable(&near);
                select(&mut arm).unwrap().unwrap();
                // The same arm once more: it is ready.
                select(&mut arm).unwrap().unwrap();
            });
            let mut buffer = [0];
            near.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [round]);
        }
        select(lowlevel::writable(&far)).unwrap().unwrap();
    });
}

#[test]
fn a_socket_of_ours_is_waited_for_as_any_descriptor_is_and_works_on() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        // It is registered.
        let late = time::timeout(SOON, || reader.read(&mut [0]));
        assert!(late.is_err());
        for round in 0..3_u8 {
            let late = time::timeout(SOON, || lowlevel::wait_readable(&reader));
            assert!(late.is_err());
            let late = select((lowlevel::readable(&reader), time::sleeping(SOON)));
            assert!(matches!(late, Ok(Chosen::Second(()))));
            task::scope(|s| {
                s.spawn(|| {
                    task::yield_now();
                    writer.write_all(&[round]).unwrap();
                });
                lowlevel::wait_readable(&reader).unwrap();
            });
            let mut buffer = [0];
            reader.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [round]);
        }
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                writer.write_all(b"!").unwrap();
            });
            reader.read_exact(&mut [0]).unwrap();
        });
    });
}

#[test]
fn of_two_that_wait_for_one_descriptor_nobody_is_forgotten() {
    ropewalk::run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        task::scope(|s| {
            let waiting: Vec<_> = (0..3).map(|_| s.spawn(|| lowlevel::wait_readable(&near))).collect();
            let arm = s.spawn(|| select(lowlevel::readable(&near)).unwrap());
            task::yield_now();
            far.write_all(b"!").unwrap();
            let results = waiting.iter().chain([&arm]).map(|task| task.join().unwrap());
            // Not all drivers know that it is the same descriptor.
            let (woken, refused): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
            assert!(!woken.is_empty());
            assert!(refused.iter().all(|r| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::ResourceBusy)));
        });
        // Nothing is left of those that were refused.
        lowlevel::wait_readable(&near).unwrap();
        (&near).read_exact(&mut [0]).unwrap();
        let late = time::timeout(SOON, || lowlevel::wait_readable(&near));
        assert!(late.is_err());
    });
}

#[test]
fn one_descriptor_is_waited_for_in_all_ways_at_once_and_nothing_is_left_of_it() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        let reader = &reader;
        for round in 0..400 {
            task::scope(|s| {
                let wait = |number: usize| {
                    let instant = Duration::from_micros(20);
                    match (round * 7 + number * 3 + round / 11) % 6 {
                        0 => lowlevel::wait_readable(reader),
                        1 => select(reader.readable())?,
                        2 => select(lowlevel::readable(reader))?,
                        3 => time::timeout(instant, || lowlevel::wait_readable(reader)).unwrap_or(Ok(())),
                        4 => reader.peek(&mut [0]).map(drop),
                        _ => lowlevel::wait_writable(reader),
                    }
                };
                let waiting: Vec<_> = (0..4).map(|number| s.spawn(move || wait(number))).collect();
                for _ in 0..round % 3 {
                    task::yield_now();
                }
                waiting[round % 4].cancel();
                writer.write_all(b"!").unwrap();
                // All of them go on, and those who were refused or cancelled say so.
                for task in waiting {
                    if let Ok(Err(error)) = task.join() {
                        let is_refused = error.kind() == ErrorKind::ResourceBusy;
                        assert!(is_refused || Cancelled::is(&error), "{error}");
                    }
                }
                (&*reader).read_exact(&mut [0]).unwrap();
            });
        }
        while inspect::driver().unwrap().in_flight > 0 {
            time::sleep(Duration::from_micros(100)).unwrap();
        }
    });
}

#[test]
fn a_task_that_reads_hears_of_it_although_another_waits_for_the_same_descriptor() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        task::scope(|s| {
            let reading = s.spawn(|| (&reader).read(&mut [0; 4]).unwrap());
            task::yield_now();
            // One comes and is ready at once, one comes and goes without having been woken.
            lowlevel::wait_writable(&reader).unwrap();
            let late = select((lowlevel::readable(&reader), time::sleeping(SOON))).unwrap();
            if let Chosen::First(refused) = late {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceBusy);
            }
            writer.write_all(b"four").unwrap();
            assert_eq!(reading.join().unwrap(), 4);
        });
    });
}

#[test]
fn both_directions_of_any_descriptor_are_waited_for_at_once() {
    ropewalk::run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(count) = near.write(&[0; 65_536]) {
            sent += count;
        }
        task::scope(|s| {
            let readable = s.spawn(|| lowlevel::wait_readable(&near));
            let writable = s.spawn(|| lowlevel::wait_writable(&near));
            task::yield_now();
            far.write_all(b"!").unwrap();
            readable.join().unwrap().unwrap();
            assert!(!writable.is_finished());
            far.read_exact(&mut vec![0; sent]).unwrap();
            writable.join().unwrap().unwrap();
        });
    });
}

/// An arm that never gives anything, and lets the loop run where arms must not.
struct Dawdles<'a, A> {
    arm: A,
    co: &'a Yielder<(), ()>,
}

impl<A: Arm> Arm for Dawdles<'_, A> {
    type Output = A::Output;
    type Place = A::Place;

    fn try_now(&mut self) -> Option<A::Output> {
        self.arm.try_now()
    }

    fn place(&mut self) -> A::Place {
        // The task goes on, and comes back to this later.
        self.co.yield_(());
        self.arm.place()
    }

    fn end(&mut self, place: A::Place) -> Option<A::Output> {
        self.arm.end(place)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arm.show(f)
    }
}

#[test]
fn what_comes_while_an_arm_dawdles_is_not_missed() {
    ropewalk::run(|| {
        let (mut near, mut far) = pair();
        // From here on the driver knows the descriptor, and is told of changes only.
        far.write_all(b"1").unwrap();
        near.read_exact(&mut [0]).unwrap();
        assert!(time::timeout(SOON, || near.read(&mut [0])).is_err());
        let selects = Generator::new(move |co: &Yielder<(), ()>| {
            let dawdles = Dawdles { arm: time::sleeping(Duration::from_secs(3600)), co };
            matches!(select((dawdles, near.readable())), Ok(Chosen::Second(Ok(()))))
        });
        assert!(matches!(selects.start().unwrap(), Step::Yield(())));
        far.write_all(b"2").unwrap();
        time::sleep(SOON).unwrap();
        assert!(matches!(selects.send(()).unwrap(), Step::Return(true)));
    });
}
