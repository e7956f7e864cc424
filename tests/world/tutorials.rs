//! What tutorials of asyncio do with threads, pipes, sockets and processors, as far as no other test has it: see `docs/world.md`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use ropewalk::channel::cross;
use ropewalk::net::UdpSocket;
use ropewalk::select::try_select;
use ropewalk::task::Until;
use ropewalk::{Runtime, blocking, io, lowlevel, task, task_local};

/// S1.3: random points in a square, some of them in the circle. `part` is where chance begins.
fn hits(part: u64, points: u32) -> u32 {
    let mut state = part.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut coordinate = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as f64 / f64::from(u32::MAX)
    };
    (0..points).filter(|_| coordinate().powi(2) + coordinate().powi(2) <= 1.0).count() as u32
}

/// S1.3, S1.37.
#[test]
fn pi_comes_out_the_same_on_the_loop_and_on_threads_that_leave_it_free() {
    const PARTS: u64 = 8;
    const POINTS: u32 = 20_000;
    ropewalk::run(|| {
        let on_the_loop: u32 = (0..PARTS).map(|part| hits(part, POINTS)).sum();
        let turns = Cell::new(0);
        let on_threads: u32 = task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    turns.set(turns.get() + 1);
                }
            });
            let parts = task::gather(
                (0..PARTS).map(|part| move || blocking::unblock_cpu(move || hits(part, POINTS))),
            );
            parts.into_iter().map(|part| part.unwrap().unwrap()).sum()
        });
        assert_eq!(on_threads, on_the_loop);
        assert!(turns.get() > 0, "the loop was not free");
        let pi = 4.0 * f64::from(on_threads) / f64::from(PARTS as u32 * POINTS);
        assert!((3.1..3.2).contains(&pi), "{pi}");
    });
}

/// S1.4.
#[test]
fn a_thread_is_joined_by_a_task_while_others_run_and_its_panic_is_seen() {
    ropewalk::run(|| {
        let (sender, receiver) = mpsc::channel();
        let joins = task::spawn(|| {
            let thread = thread::spawn(move || receiver.recv().unwrap());
            blocking::unblock(|| thread.join())
        });
        task::yield_now();
        // Only because this task runs does the thread end.
        sender.send("done").unwrap();
        assert_eq!(joins.join().unwrap().unwrap().unwrap(), "done");

        let panics = thread::spawn(|| std::panic::resume_unwind(Box::new("panicked")));
        let panicked = blocking::unblock(|| panics.join()).unwrap().unwrap_err();
        assert_eq!(panicked.downcast_ref(), Some(&"panicked"));
    });
}

/// S1.6.
#[test]
fn a_thread_local_is_shared_by_the_tasks_of_a_thread_and_a_task_local_is_not() {
    thread_local! {
        static THREADS: Cell<u32> = const { Cell::new(0) };
    }
    task_local! {
        static TASKS: u32 = 0;
    }
    ropewalk::run(|| {
        let seen = task::gather([1, 2].map(|number| {
            move || {
                THREADS.set(number);
                TASKS.set(number);
                task::yield_now();
                (THREADS.get(), TASKS.get())
            }
        }));
        let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        assert_eq!(seen, [(2, 1), (2, 2)]);
    });
}

/// What two tasks have counted together that count one each, under the schedule of a seed.
fn counted_with(seed: u64, count: impl Fn(&Cell<u32>)) -> u32 {
    Runtime::builder().seed(seed).build().run(|| {
        let counter = Cell::new(0);
        task::scope(|s| (0..2).for_each(|_| drop(s.spawn(|| count(&counter)))));
        counter.get()
    })
}

/// S1.8: there is no data race, for that would not compile. What is left is a wait in the wrong place.
#[test]
fn a_count_that_is_lost_at_a_wait_is_found_by_a_schedule_that_replays() {
    let careless = |counter: &Cell<u32>| {
        let seen = counter.get();
        lowlevel::may_wait().unwrap();
        counter.set(seen + 1);
    };
    let counts: Vec<_> = (0..100).map(|seed| counted_with(seed, careless)).collect();
    assert!(counts.contains(&1) && counts.contains(&2), "{counts:?}");
    let unlucky = counts.iter().position(|&count| count == 1).unwrap() as u64;
    assert!((0..10).all(|_| counted_with(unlucky, careless) == 1));
}

/// S1.13.
#[test]
fn between_two_waits_a_task_has_everything_to_itself() {
    let careful = |counter: &Cell<u32>| {
        lowlevel::may_wait().unwrap();
        let seen = counter.get();
        counter.set(seen + 1);
        lowlevel::may_wait().unwrap();
    };
    assert!((0..100).all(|seed| counted_with(seed, careful) == 2));
}

/// S1.14: First To Finish, of threads.
#[test]
fn of_several_threads_the_first_to_finish_is_heard_of_first() {
    ropewalk::run(|| {
        let (starts, threads): (Vec<_>, Vec<_>) = (0..3)
            .map(|number| {
                let (start, started) = mpsc::channel::<()>();
                let thread = task::spawn(move || blocking::unblock(move || started.recv().map(|()| number)));
                (start, thread)
            })
            .unzip();
        starts[1].send(()).unwrap();
        let waited = task::wait(&threads, Until::First).unwrap();
        assert_eq!(waited.done, [1]);
        assert_eq!(threads[1].join().unwrap().unwrap(), Ok(1));
        // The others go on, and are heard of in the order of their ends.
        starts[2].send(()).unwrap();
        assert_eq!(threads[2].join().unwrap().unwrap(), Ok(2));
        starts[0].send(()).unwrap();
        assert_eq!(threads[0].join().unwrap().unwrap(), Ok(0));
    });
}

/// S1.17.
#[test]
fn a_pipe_can_be_asked_whether_there_is_something_to_read() {
    ropewalk::run(|| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        assert!(try_select(reader.readable()).is_none());
        writer.write_all(b"hemp").unwrap();
        try_select(reader.readable()).unwrap().unwrap();
        let mut buffer = [0; 10];
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
        assert!(try_select(reader.readable()).is_none());
        drop(writer);
        // The end is something to read too.
        try_select(reader.readable()).unwrap().unwrap();
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    });
}

/// S1.19: what a manager is for, on one machine.
#[test]
fn a_task_owns_what_others_share_and_tasks_and_threads_ask_it() {
    enum Ask {
        Set(&'static str, i32),
        Get(&'static str, cross::oneshot::Sender<Option<i32>>),
    }
    let get = |asks: &cross::Sender<Ask>, name| {
        let (sender, answer) = cross::oneshot();
        asks.send(Ask::Get(name, sender)).unwrap();
        answer.recv().unwrap()
    };
    ropewalk::run(|| {
        let (asks, asked) = cross::bounded(1);
        let owner = task::spawn(move || {
            let mut shared = BTreeMap::new();
            while let Ok(ask) = asked.recv() {
                match ask {
                    Ask::Set(name, value) => drop(shared.insert(name, value)),
                    Ask::Get(name, answer) => answer.send(shared.get(name).copied()).unwrap(),
                }
            }
            shared.len()
        });
        let theirs = asks.clone();
        let thread = thread::spawn(move || {
            theirs.send(Ask::Set("threads", 1)).unwrap();
            get(&theirs, "threads")
        });
        asks.send(Ask::Set("tasks", 2)).unwrap();
        assert_eq!((get(&asks, "tasks"), get(&asks, "nobody")), (Some(2), None));
        assert_eq!(blocking::unblock(|| thread.join().unwrap()), Ok(Some(1)));
        drop(asks);
        assert_eq!(owner.join().unwrap(), 2);
    });
}

/// S1.23: an answer that comes later, and whoever waits for it.
#[test]
fn a_job_on_a_thread_is_awaited_by_its_handle_and_tells_when_it_is_done() {
    ropewalk::run(|| {
        let (sender, receiver) = mpsc::channel::<()>();
        let job = Rc::new(task::spawn(move || blocking::unblock(move || receiver.recv().map(|()| 42))));
        let done = Rc::new(Cell::new(false));
        let callback = task::spawn({
            let (done, job) = (done.clone(), job.clone());
            move || done.set(task::wait(&[&*job], Until::All).is_ok())
        });
        task::yield_now();
        assert!(!job.is_finished() && !done.get());
        sender.send(()).unwrap();
        callback.join().unwrap();
        assert!(job.is_finished() && done.get());
        assert_eq!(job.join().unwrap().unwrap(), Ok(42));
    });
}

/// A socket at a port that others have too.
fn listen_beside(port: u16) -> UdpSocket {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).unwrap();
    std::net::UdpSocket::from(socket).into()
}

/// S1.43.
#[test]
fn who_broadcasts_is_received_and_answered_by_all_who_listen() {
    ropewalk::run(|| {
        let first = listen_beside(0);
        let port = first.local_addr().unwrap().port();
        let listeners = [first, listen_beside(port), listen_beside(port)];
        let caller = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        caller.set_broadcast(true).unwrap();
        task::scope(|s| {
            for (number, listener) in listeners.iter().enumerate() {
                s.spawn(move || {
                    let mut buffer = [0; 16];
                    let (count, from) = listener.recv_from(&mut buffer).unwrap();
                    assert_eq!(&buffer[..count], b"who is there?");
                    listener.send_to(&[number as u8], from).unwrap();
                });
            }
            // To all on the network of this machine alone.
            caller.send_to(b"who is there?", (Ipv4Addr::new(127, 255, 255, 255), port)).unwrap();
            let mut answers = [0; 3];
            for place in &mut answers {
                let mut answer = [0];
                assert_eq!(caller.recv(&mut answer).unwrap(), 1);
                *place = answer[0];
            }
            answers.sort_unstable();
            assert_eq!(answers, [0, 1, 2]);
        });
    });
}
