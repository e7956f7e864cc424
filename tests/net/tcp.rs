//! Sockets: what waits parks the task and nothing else, nothing is lost, and what goes wrong is said.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::{Cancelled, RunError, Runtime, lowlevel, task, time};

pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The two ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    task::scope(|s| {
        let accepted = s.spawn(|| listener.accept().unwrap().0);
        let connected = TcpStream::connect(address).unwrap();
        (connected, accepted.join().unwrap())
    })
}

#[test]
fn many_connections_are_served_at_the_same_time() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        task::scope(|s| {
            s.spawn_service(|| {
                task::scope(|s| {
                    for stream in listener.incoming() {
                        let Ok(stream) = stream else { break };
                        s.spawn(move || io::copy(&mut &stream, &mut &stream));
                    }
                });
            });
            let clients: Vec<_> = (0..50_u8)
                .map(|number| {
                    s.spawn(move || {
                        let mut stream = TcpStream::connect(address).unwrap();
                        let sent = vec![number; 10_000];
                        let mut received = vec![0; 10_000];
                        stream.write_all(&sent).unwrap();
                        stream.read_exact(&mut received).unwrap();
                        assert_eq!(received, sent);
                    })
                })
                .collect();
            clients.iter().for_each(|client| client.join().unwrap());
        });
    });
}

#[test]
fn a_full_pipe_parks_the_writer_until_the_other_side_reads() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        let bytes = 20_000_000;
        task::scope(|s| {
            s.spawn(|| {
                writer.write_all(&vec![7; bytes]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), bytes);
            assert!(received.iter().all(|&byte| byte == 7));
        });
    });
}

#[test]
fn an_end_that_came_with_the_last_bytes_is_seen() {
    ropewalk::run(|| {
        for _ in 0..100 {
            let (mut writer, mut reader) = pair();
            task::scope(|s| {
                s.spawn(move || {
                    task::yield_now();
                    writer.write_all(b"last words").unwrap();
                    // Both are there when the reader looks: one event.
                    drop(writer);
                });
                let mut buffer = [0; 64];
                let mut received = Vec::new();
                loop {
                    let taken = reader.read(&mut buffer).unwrap();
                    if taken == 0 {
                        break;
                    }
                    received.extend_from_slice(&buffer[..taken]);
                }
                assert_eq!(received, b"last words");
            });
        }
    });
}

#[test]
fn lines_come_through_std_s_buffered_reader() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        task::scope(|s| {
            s.spawn(move || {
                for part in ["one\ntw", "o\n", "three"] {
                    writer.write_all(part.as_bytes()).unwrap();
                    time::sleep(Duration::from_millis(1)).unwrap();
                }
            });
            let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
            assert_eq!(lines, ["one", "two", "three"]);
        });
    });
}

#[test]
fn a_deadline_around_any_call_ends_its_wait() {
    ropewalk::run(|| {
        let (listener, _) = listen();
        let (mut stream, _other) = pair();
        let soon = Duration::from_millis(5);
        let accepted = time::timeout(soon, || listener.accept());
        assert!(Cancelled::is(&accepted.unwrap_err().into_inner().unwrap_err()));
        let mut buffer = [0; 10];
        let read = time::timeout(soon, || stream.read_exact(&mut buffer));
        assert!(Cancelled::is(&read.unwrap_err().into_inner().unwrap_err()));
        let written = time::timeout(soon, || stream.write_all(&vec![0; 50_000_000]));
        assert!(Cancelled::is(&written.unwrap_err().into_inner().unwrap_err()));
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_read_although_it_is_there() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        writer.write_all(b"kept").unwrap();
        let mut buffer = [0; 4];
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&reader.read(&mut buffer).unwrap_err()));
        });
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"kept");
    });
}

#[test]
fn a_connection_that_came_before_the_cancellation_is_not_lost() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        task::scope(|s| {
            let accepting = s.spawn(|| listener.accept().map(|(stream, _)| stream));
            task::yield_now();
            let _client = std::net::TcpStream::connect(address).unwrap();
            // Seen by the loop before anybody runs again.
            task::yield_now();
            accepting.cancel();
            match accepting.join().unwrap() {
                Ok(_) => {}
                // It was cancelled first: then the connection is still there.
                Err(error) => {
                    assert!(Cancelled::is(&error));
                    listener.accept().unwrap();
                }
            }
        });
    });
}

#[test]
fn a_second_task_that_waits_in_the_same_direction_is_refused() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        task::scope(|s| {
            let first = s.spawn(|| (&reader).read(&mut [0; 4]));
            task::yield_now();
            let error = (&reader).read(&mut [0; 4]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            assert!(error.to_string().starts_with("another task waits to read from this"), "{error}");
            writer.write_all(b"four").unwrap();
            assert_eq!(first.join().unwrap().unwrap(), 4);
        });
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    ropewalk::run(|| {
        let (left, right) = pair();
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
fn what_cannot_be_connected_to_says_why() {
    ropewalk::run(|| {
        let (listener, address) = listen();
        drop(listener);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let nothing: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(nothing).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_reset_is_an_error_for_whoever_reads() {
    ropewalk::run(|| {
        let (writer, mut reader) = pair();
        task::scope(|s| {
            let reading = s.spawn(move || reader.read(&mut [0; 4]));
            task::yield_now();
            writer.set_linger(Some(Duration::ZERO)).unwrap();
            drop(writer);
            assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    });
}

#[test]
fn writing_to_whoever_is_gone_is_an_error_and_no_signal() {
    ropewalk::run(|| {
        let (mut writer, reader) = pair();
        drop(reader);
        let error = loop {
            if let Err(error) = writer.write_all(&[0; 4096]) {
                break error;
            }
            task::yield_now();
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    });
}

#[test]
fn a_number_that_is_used_again_is_not_taken_for_what_had_it_before() {
    ropewalk::run(|| {
        let mut seen = Vec::new();
        for round in 0..20_u8 {
            let (mut writer, mut reader) = pair();
            seen.push(reader.as_raw_fd());
            task::scope(|s| {
                s.spawn(move || {
                    task::yield_now();
                    writer.write_all(&[round]).unwrap();
                });
                let mut buffer = [0];
                reader.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer, [round]);
            });
            // Closed where nobody tells this scheduler.
            if round % 2 == 0 {
                thread::spawn(move || drop(reader)).join().unwrap();
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() < 20, "no number was used again");
    });
}

#[test]
fn a_stream_goes_to_another_runtime_on_another_thread() {
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        ropewalk::run(|| {
            let mut stream: TcpStream = receiver.recv().unwrap();
            let mut buffer = [0; 4];
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer).unwrap();
        });
    });
    ropewalk::run(|| {
        let (mut near, mut far) = pair();
        // It is known here.
        near.write_all(b"a").unwrap();
        far.read_exact(&mut [0]).unwrap();
        sender.send(far).unwrap();
        time::sleep(Duration::from_millis(5)).unwrap();
        near.write_all(b"rope").unwrap();
        let mut buffer = [0; 4];
        near.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"rope");
    });
    other.join().unwrap();
}

#[test]
fn other_threads_and_timers_are_heard_while_all_wait_for_sockets() {
    ropewalk::run(|| {
        let (_writer, mut reader) = pair();
        task::scope(|s| {
            let reading = s.spawn(move || reader.read(&mut [0]).map_err(|error| Cancelled::is(&error)));
            let heard = Rc::new(Cell::new(false));
            thread_local!(static HEARD: Cell<bool> = const { Cell::new(false) });
            let remote = lowlevel::remote();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                remote.post(|| HEARD.set(true)).unwrap();
            });
            while !HEARD.get() {
                time::sleep(Duration::from_millis(1)).unwrap();
            }
            heard.set(true);
            reading.cancel();
            assert_eq!(reading.join().unwrap(), Err(true));
        });
    });
}

#[test]
fn a_message_wakes_a_loop_that_waits_for_sockets_alone() {
    ropewalk::run(|| {
        let (_writer, mut reader) = pair();
        let reading = Rc::new(task::spawn(move || reader.read(&mut [0]).is_err()));
        thread_local!(static READING: Cell<Option<Rc<task::JoinHandle<bool>>>> = const { Cell::new(None) });
        READING.set(Some(reading.clone()));
        let remote = lowlevel::remote();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            remote.post(|| assert!(READING.take().unwrap().cancel())).unwrap();
        });
        assert!(reading.join().unwrap());
    });
}

#[test]
fn who_waits_for_a_socket_is_in_no_deadlock_and_others_are() {
    let stuck = Runtime::new().try_run(|| {
        let (listener, address) = listen();
        task::scope(|s| {
            s.spawn(|| listener.accept().map(drop));
            task::yield_now();
            drop(std::net::TcpStream::connect(address).unwrap());
        });
        // Nobody waits for a socket any more.
        lowlevel::WaitList::<()>::new().wait(&lowlevel::Why::new("news")).unwrap_err()
    });
    assert!(matches!(stuck, Err(RunError::Deadlock { .. })));
}

#[test]
fn a_socket_that_is_always_ready_does_not_keep_others_from_running() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        task::scope(|s| {
            let turns = Rc::new(Cell::new(0));
            let counted = turns.clone();
            s.spawn_service(move || {
                while task::checkpoint().is_ok() {
                    counted.set(counted.get() + 1);
                }
            });
            writer.write_all(&[0; 10_000]).unwrap();
            // A byte at a time: there is always one.
            for _ in 0..10_000 {
                reader.read_exact(&mut [0]).unwrap();
            }
            assert!(turns.get() > 50, "others had {} turns", turns.get());
        });
    });
}

#[test]
fn in_virtual_time_sockets_work_and_time_jumps_when_none_is_ready() {
    crate::world::run(|| {
        let (mut writer, mut reader) = pair();
        task::scope(|s| {
            s.spawn(move || {
                time::sleep(Duration::from_secs(3600)).unwrap();
                writer.write_all(b"late").unwrap();
            });
            let mut buffer = [0; 4];
            reader.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"late");
        });
        assert_eq!(crate::world::clock(), 3600.0);
    });
}

#[test]
fn dumps_show_who_waits_for_which_call_and_where() {
    ropewalk::run(|| {
        let (listener, _) = listen();
        task::scope(|s| {
            let accepting = s.spawn(|| listener.accept().map(drop));
            task::yield_now();
            let info = accepting.info().to_string();
            let expected =
                format!("waits for accept on descriptor {} (tests/net/tcp.rs", listener.as_raw_fd());
            assert!(info.contains(&expected), "{info}");
            accepting.cancel();
        });
    });
}

#[test]
fn a_duplicate_goes_on_when_the_first_is_closed() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        writer.write_all(b"a").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        let mut duplicate = reader.try_clone().unwrap();
        drop(reader);
        task::scope(|s| {
            s.spawn(|| {
                task::yield_now();
                writer.write_all(b"b").unwrap();
            });
            let mut buffer = [0];
            duplicate.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"b");
        });
    });
}

#[test]
fn peeking_takes_nothing() {
    ropewalk::run(|| {
        let (mut writer, mut reader) = pair();
        writer.write_all(b"peek").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(reader.peek(&mut buffer).unwrap(), 4);
        buffer.fill(0);
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"peek");
    });
}

#[test]
fn sockets_are_what_other_crates_ask_for() {
    fn ask<T: Send + Sync + std::fmt::Debug + 'static>() {}
    ask::<TcpStream>();
    ask::<TcpListener>();
    fn stream<T: Read + Write>(_: T) {}
    ropewalk::run(|| {
        let (left, right) = pair();
        stream(&left);
        stream(right);
    });
}
