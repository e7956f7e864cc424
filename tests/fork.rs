//! Processes that are forked from one in which runtimes run, or ran: what goes on in them, what does not, and that the parent does
//! not notice.
//!
//! A child of these tests has the one thread that has forked, and ends by `_exit`, with a code that its parent looks at. Its
//! panics go to its standard error, which the parent reads. The tests run one at a time: what another thread had locked in the
//! moment of the fork stays locked in the child.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ropewalk::lowlevel::{self, Guest, Ticket, Undo, Why};
use ropewalk::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use ropewalk::select::select;
use ropewalk::{
    Cancelled, Driver, Generator, JoinError, Problem, Reason, RemoteError, RunError, Runtime, Yielder,
    blocking, channel, generate, sync, task, time,
};

/// How long a test waits for what should come at once, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a child ends with whose code has panicked.
const PANICKED: i32 = 101;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child, as its parent sees it.
#[derive(Debug)]
struct Child {
    pid: libc::pid_t,
    errors: File,
}

/// Forks: `None` in the child.
fn fork() -> Option<Child> {
    let (errors, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: nobody else has anything locked that the child uses.
    match unsafe { libc::fork() } {
        0 => {
            // One that hangs is ended after a while, and the test fails.
            // SAFETY: both descriptors are open.
            unsafe {
                libc::dup2(theirs.as_raw_fd(), libc::STDERR_FILENO);
                libc::alarm(PATIENCE.as_secs() as u32);
            }
            // Not into what captures the output of tests.
            if !thread::panicking() {
                panic::set_hook(Box::new(|panicked| say(&panicked.to_string())));
            }
            None
        }
        pid => {
            assert!(pid > 0, "{}", io::Error::last_os_error());
            Some(Child { pid, errors: errors.into() })
        }
    }
}

/// Spawns a task that always has its turn, and says so if that is in a forked child.
fn spawn_witness() {
    let home = std::process::id();
    task::spawn(move || {
        while task::checkpoint().is_ok() {
            if std::process::id() != home {
                say("a task goes on in the child\n");
            }
        }
    });
}

fn say(text: &str) {
    // SAFETY: the bytes are there.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// In the child.
fn exit(code: i32) -> ! {
    // SAFETY: nothing of the parent's is cleaned up here.
    unsafe { libc::_exit(code) }
}

/// Has a child do that, here, and nothing more.
fn in_fork(body: impl FnOnce()) -> Child {
    fork().unwrap_or_else(|| {
        exit(match panic::catch_unwind(AssertUnwindSafe(body)) {
            Ok(()) => 0,
            Err(_) => PANICKED,
        })
    })
}

impl Child {
    /// How it has ended, and what it has said.
    fn wait(mut self) -> (i32, String) {
        let mut said = String::new();
        self.errors.read_to_string(&mut said).unwrap();
        let mut status = 0;
        // SAFETY: it is a child that nobody else waits for.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        (status, said)
    }

    #[track_caller]
    fn exits_with(self, code: i32) {
        let (status, said) = self.wait();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code, "{status:#x}: {said}");
    }

    #[track_caller]
    fn succeeds(self) {
        self.exits_with(0);
    }

    /// It came where tasks of its parent would have gone on.
    #[track_caller]
    fn comes_no_further(self) {
        let (status, said) = self.wait();
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status:#x}: {said}");
        assert!(
            said.starts_with("ropewalk: this process was forked from one in which a runtime runs"),
            "{said}"
        );
        assert!(said.ends_with("Call exec or _exit after a fork, or fork before run\n"), "{said}");
    }
}

/// With each driver that there is.
fn with_both_drivers(scenario: impl Fn()) {
    for driver in [Driver::Epoll, Driver::Uring] {
        Runtime::builder().driver(driver).build().run(&scenario);
    }
}

const FORKED: Cancelled = Cancelled::new(Reason::Forked);

#[track_caller]
fn assert_forked<T>(result: io::Result<T>) {
    let error = result.err().expect("it does not wait in a forked child");
    assert_eq!(Cancelled::in_error(&error), Some(FORKED), "{error}");
}

/// The message that a closure panics with.
fn panic_of(body: impl FnOnce()) -> String {
    let panicked = panic::catch_unwind(AssertUnwindSafe(body)).expect_err("it panics in a forked child");
    ropewalk::Panic::new(panicked).text()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (connected, listener.accept().unwrap().0)
}

#[test]
fn every_wait_of_a_task_fails_in_a_forked_child_and_says_why() {
    let _alone = alone();
    with_both_drivers(|| {
        let sleeper = task::spawn(|| time::sleep(Duration::from_millis(1)));
        let (_sender, receiver) = channel::bounded::<()>(1);
        let (full, _receiver) = channel::rendezvous::<()>();
        let (_cross_sender, cross_receiver) = channel::cross::bounded::<()>(1);
        let (mutex, semaphore) = (sync::Mutex::new(()), sync::Semaphore::new(0));
        let (mut stream, _other) = pair();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (mut reader, _writer) = ropewalk::io::pipe().unwrap();
        let event = sync::cross::Event::new();
        let mut interval = time::interval(Duration::from_millis(1));

        let waits = || {
            assert_eq!(time::sleep(Duration::ZERO), Err(FORKED));
            assert_eq!(task::checkpoint(), Err(FORKED));
            assert_eq!(interval.tick(), Err(FORKED));
            assert_eq!(receiver.recv(), Err(channel::RecvError::Cancelled(FORKED)));
            assert!(matches!(full.send(()), Err(error) if error.to_string().contains("forked")));
            assert_eq!(cross_receiver.recv(), Err(channel::RecvError::Cancelled(FORKED)));
            assert_eq!(event.wait(), Err(FORKED));
            assert_eq!(mutex.lock().map(drop), Err(FORKED));
            assert_eq!(semaphore.acquire().map(drop), Err(FORKED));
            assert!(matches!(sleeper.join(), Err(JoinError::Cancelled(FORKED))));
            let both = (receiver.receiving(), time::sleeping(Duration::ZERO));
            assert!(matches!(select(both), Err(FORKED)));
            let parked: Result<(), _> = lowlevel::park(&Why::new("nobody"), drop, || Undo::Done);
            assert_eq!(parked, Err(FORKED));

            assert_forked(stream.read(&mut [0]));
            assert_forked(stream.write(b"not sent"));
            assert_forked(listener.accept());
            assert_forked(datagrams.recv_from(&mut [0]));
            assert_forked(TcpStream::connect(listener.local_addr().unwrap()));
            assert_forked(reader.read(&mut [0]));
            assert_forked(lowlevel::wait_readable(&stream));
            assert_forked(ropewalk::net::lookup_host("localhost:80"));

            assert_eq!(blocking::unblock(|| ()), Err(FORKED));
            assert_eq!(blocking::unblock_cpu(|| ()), Err(FORKED));
            assert_eq!(blocking::unblock_or_abandon(|| ()), Err(FORKED));

            // Neither shields nor scopes with deadlines of their own help.
            assert_eq!(task::shield(|| time::sleep(Duration::ZERO)), Err(FORKED));
            assert!(matches!(time::timeout(Duration::ZERO, || time::sleep(Duration::ZERO)), Ok(Err(FORKED))));
            assert_eq!(
                task::finally(task::checkpoint, || assert_eq!(task::checkpoint(), Err(FORKED))),
                Err(FORKED)
            );
        };
        in_fork(waits).succeeds();
        sleeper.join().unwrap().unwrap();
    });
}

#[test]
fn nothing_begins_in_a_forked_child_and_it_is_said_why() {
    let _alone = alone();
    ropewalk::run(|| {
        let remote = lowlevel::remote();
        let spawned = remote.spawn(|| ()).unwrap();
        task::scope(|scope| {
            let begins = || {
                const SAYS: &str = "forked from one in which a runtime runs";
                assert!(panic_of(|| drop(task::spawn(|| ()))).contains(SAYS));
                assert!(panic_of(|| drop(time::call_later(Duration::ZERO, || ()))).contains(SAYS));
                assert!(panic_of(|| ropewalk::run(|| ())).contains(SAYS));
                assert!(matches!(Runtime::new().try_run(|| ()), Err(RunError::Forked)));

                // In a scope that was open before, and in one that is opened here.
                let ran = Rc::new(Cell::new(false));
                let never = |result: Result<(), JoinError>| {
                    assert!(matches!(result, Err(JoinError::NeverRan(FORKED))), "{result:?}");
                };
                let runs = |ran: &Rc<Cell<bool>>| {
                    let ran = ran.clone();
                    move || ran.set(true)
                };
                never(scope.spawn(runs(&ran)).try_result().unwrap());
                never(task::Builder::new().eager(true).spawn_in(scope, runs(&ran)).try_result().unwrap());
                task::scope(|inner| {
                    never(inner.spawn(runs(&ran)).try_result().unwrap());
                    assert_eq!(inner.cancelled(), Some(FORKED));
                });
                task::gather([runs(&ran), runs(&ran)]).into_iter().for_each(never);
                let raced = task::race(|race| drop(race.add(runs(&ran))));
                assert_eq!(raced, Err(FORKED));
                assert!(!ran.get());

                assert!(!remote.is_alive());
                remote.post(|| ()).unwrap_err();
                assert_eq!(remote.spawn(|| ()).map(drop), Err(RemoteError::Gone));
                assert_eq!(remote.run(|| ()), Err(RemoteError::Gone));
                assert_eq!(spawned.join(), Err(RemoteError::Lost));
                assert!(!lowlevel::remote().is_alive());
            };
            in_fork(begins).succeeds();
        });
        assert!(remote.is_alive());
    });
}

#[test]
fn what_does_not_wait_works_in_a_forked_child_on_copies() {
    let _alone = alone();
    ropewalk::run(|| {
        let turns = Rc::new(Cell::new(0));
        let (sender, receiver) = channel::bounded(2);
        let mutex = sync::Mutex::new(7);
        sender.try_send(1).unwrap();
        let other = task::spawn({
            let turns = turns.clone();
            move || turns.set(turns.get() + 1)
        });
        let copies = || {
            assert!(task::current().is_none() && task::current_id().is_none());
            // The other task is ready, and does not run.
            task::yield_now();
            assert_eq!(turns.get(), 0);
            assert!(!other.is_finished());
            sender.try_send(2).unwrap();
            assert_eq!(receiver.try_recv(), Ok(1));
            assert_eq!(*mutex.try_lock().unwrap(), 7);
            assert!(time::now() >= time::now() - Duration::from_secs(1));
            // To be told that it is cancelled disturbs nobody.
            other.cancel();
            task::cancel_scope(|scope| scope.cancel());
        };
        in_fork(copies).succeeds();
        assert_eq!(turns.get(), 0);
        task::yield_now();
        assert_eq!(turns.get(), 1);
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(channel::TryRecvError::Empty)));
    });
}

#[test]
fn sockets_that_a_forked_child_drops_stay_where_its_parent_waits_for_them() {
    let _alone = alone();
    with_both_drivers(|| {
        let (mut near, mut far) = pair();
        // It is registered, and waits when the child is made.
        let reads = task::spawn(move || {
            let mut received = [0; 4];
            far.read_exact(&mut received)?;
            Ok::<_, io::Error>((received, far))
        });
        let (mut left, mut right) = UnixStream::pair().unwrap();
        task::yield_now();
        near.write_all(b"on").unwrap();
        left.write_all(b"s").unwrap();
        // This one too has waited, and is dropped by the child.
        right.read_exact(&mut [0]).unwrap();
        assert!(time::timeout(Duration::from_millis(1), || right.read(&mut [0])).is_err());
        let mut streams = Some((near, left, right));
        in_fork(|| drop(streams.take())).succeeds();

        let (mut near, mut left, mut right) = streams.unwrap();
        let heard = task::spawn(move || right.read(&mut [0; 2]));
        task::yield_now();
        near.write_all(b"ce").unwrap();
        left.write_all(b"x").unwrap();
        time::timeout(PATIENCE, || {
            assert_eq!(heard.join().unwrap().unwrap(), 1);
            let (received, far) = reads.join().unwrap().unwrap();
            assert_eq!(&received, b"once");
            // The connection is closed when the parent closes it, for the child is gone.
            drop(far);
            assert_eq!(near.read(&mut [0]).unwrap(), 0);
        })
        .unwrap();
    });
}

#[test]
fn a_parent_goes_on_with_all_that_was_underway_when_it_forked() {
    let _alone = alone();
    with_both_drivers(|| {
        let (mut near, mut far) = pair();
        let (asked, question) = mpsc::channel::<()>();
        let (cross_sender, cross_receiver) = channel::cross::bounded(1);
        let (far, call, thread, timer) = task::scope(|s| {
            let far = s.spawn(|| {
                let mut received = String::new();
                far.read_to_string(&mut received).map(|_| received)
            });
            let call = s.spawn(move || blocking::unblock(move || question.recv().is_ok()));
            let thread = s.spawn(|| cross_receiver.recv());
            let timer = s.spawn(|| time::sleep(Duration::from_millis(5)));
            let children: Vec<_> = (0..3)
                .map(|number| {
                    task::yield_now();
                    near.write_all(&[b'0' + number]).unwrap();
                    in_fork(|| assert_eq!(task::checkpoint(), Err(FORKED)))
                })
                .collect();
            children.into_iter().for_each(Child::succeeds);
            near.shutdown(std::net::Shutdown::Write).unwrap();
            asked.send(()).unwrap();
            thread::spawn(move || cross_sender.send("from a thread").unwrap());
            (far.join(), call.join(), thread.join(), timer.join())
        });
        assert_eq!(far.unwrap().unwrap(), "012");
        assert_eq!(call.unwrap(), Ok(true));
        assert_eq!(thread.unwrap(), Ok("from a thread"));
        timer.unwrap().unwrap();
    });
}

#[test]
fn a_forked_child_that_returns_from_its_task_is_ended() {
    let _alone = alone();
    let forks = || {
        spawn_witness();
        fork()
    };
    let child = ropewalk::run(forks).expect("the child does not get here");
    child.comes_no_further();
    let child = ropewalk::run(|| task::spawn(forks).join().unwrap().expect("nor here"));
    child.comes_no_further();
    // What it panics with does not get out either.
    ropewalk::run(|| {
        let forks = task::spawn(|| {
            let child = fork();
            assert!(child.is_some(), "the child panics");
            child
        });
        let (status, said) = forks.join().unwrap().unwrap().wait();
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
        assert!(said.contains("the child panics") && said.contains("Call exec or _exit"), "{said}");
    });
}

#[test]
fn a_forked_child_that_leaves_a_scope_with_tasks_is_ended() {
    let _alone = alone();
    ropewalk::run(|| {
        spawn_witness();
        let child = task::scope(|s| {
            s.spawn(task::yield_now);
            fork()
        });
        child.expect("its tasks are its parent's").comes_no_further();
        // One without tasks can be left.
        if let Some(child) = task::scope(|_| fork()) { child.exits_with(3) } else { exit(3) }
    });
}

#[test]
fn a_forked_child_that_returns_from_what_is_no_task_s_is_ended() {
    let _alone = alone();
    thread_local! {
        static CHILD: RefCell<Option<Child>> = const { RefCell::new(None) };
    }
    let made = || CHILD.take().expect("there is one");
    let note = || {
        let child = fork();
        if child.is_none() {
            assert_eq!(task::checkpoint(), Err(FORKED));
        }
        CHILD.set(child);
    };
    // A callback.
    ropewalk::run(|| {
        spawn_witness();
        time::call_later(Duration::ZERO, note);
        time::sleep(Duration::from_millis(1)).unwrap();
    });
    made().comes_no_further();
    // A message.
    ropewalk::run(|| {
        spawn_witness();
        lowlevel::remote().post(note).unwrap();
        time::sleep(Duration::from_millis(1)).unwrap();
    });
    made().comes_no_further();
    // The hook.
    let hook = move |unhandled: &ropewalk::Unhandled<'_>| {
        if matches!(unhandled.problem, Problem::Panicked(_)) {
            note();
        }
    };
    Runtime::builder().on_unhandled(hook).build().run(|| {
        spawn_witness();
        drop(task::spawn(|| panic::resume_unwind(Box::new("nobody joins"))));
        task::yield_now();
        made().comes_no_further();
        // In the middle of a task.
        let fails = task::spawn(|| panic::resume_unwind(Box::new("nobody takes it")));
        task::yield_now();
        drop(fails);
        made().comes_no_further();
    });
    // The report of a deadlock, which shows why a task waits.
    struct Forks;
    impl std::fmt::Display for Forks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            if CHILD.with_borrow(Option::is_none) {
                CHILD.set(fork());
            }
            f.write_str("on it")
        }
    }
    let locked = Runtime::new().try_run(|| {
        let home = std::process::id();
        let waits: Result<(), _> = lowlevel::park(&Why::new("waits").on(&Forks), drop, || Undo::Done);
        if std::process::id() != home {
            say("a task goes on in the child\n");
        }
        waits.unwrap_err().reason()
    });
    assert!(matches!(locked, Err(RunError::Deadlock { value: Reason::Deadlock, .. })));
    made().comes_no_further();
    // What arranges a wait: it cannot be parked.
    ropewalk::run(|| {
        let arranges = |ticket: Ticket<()>| {
            CHILD.set(fork());
            ticket.wake(()).unwrap();
        };
        lowlevel::park(&Why::new("granted"), arranges, || Undo::Done).unwrap();
        if CHILD.with_borrow(Option::is_none) {
            let parked: Result<(), _> = lowlevel::park(&Why::new("nobody"), drop, || Undo::Done);
            exit(if parked == Err(FORKED) { 4 } else { 5 });
        }
        made().exits_with(4);
        spawn_witness();
        let forgets = |ticket| {
            CHILD.set(fork());
            if CHILD.with_borrow(Option::is_some) {
                Ticket::wake(ticket, ()).unwrap();
            }
        };
        lowlevel::park(&Why::new("nobody"), forgets, || Undo::Done).unwrap();
        made().comes_no_further();
    });
}

#[test]
fn a_forked_child_knows_that_it_is_one_wherever_in_a_task_it_was_made() {
    let _alone = alone();
    let knows = || {
        assert_eq!(task::checkpoint(), Err(FORKED));
        in_fork(|| assert_eq!(task::checkpoint(), Err(FORKED))).succeeds();
    };
    ropewalk::run(|| {
        // Where it could not wait anyway, and after that.
        let child = lowlevel::without_waiting(|| {
            in_fork(knows).succeeds();
            fork()
        });
        match child {
            Some(child) => child.succeeds(),
            None => exit(if task::checkpoint() == Err(FORKED) { 0 } else { 1 }),
        }
        // Before spawn has returned.
        let eager = task::Builder::new().eager(true).spawn(move || {
            in_fork(knows).succeeds();
            fork()
        });
        eager.join().unwrap().expect("a child does not get out of its task").comes_no_further();
        // While the task unwinds.
        struct Forks;
        impl Drop for Forks {
            fn drop(&mut self) {
                in_fork(|| assert_eq!(task::checkpoint(), Err(FORKED))).succeeds();
            }
        }
        let unwinds = task::spawn(|| {
            let _forks = Forks;
            panic::resume_unwind(Box::new("unwinds"));
        });
        assert!(matches!(unwinds.join(), Err(JoinError::Panicked(_))));
        // Under a scope that is cancelled: that it is a child comes first.
        task::cancel_scope(|scope| {
            scope.cancel();
            in_fork(knows).succeeds();
            assert_eq!(task::checkpoint(), Err(Cancelled::new(Reason::Requested)));
        });
    });
}

#[test]
fn generators_go_on_in_a_forked_child() {
    let _alone = alone();
    ropewalk::run(|| {
        let numbers = generate(|co| co.yield_all(1..));
        assert_eq!(numbers.next(), Some(1));
        let goes_on = || {
            assert_eq!(numbers.next(), Some(2));
            assert_eq!(generate(|co| co.yield_all(1..=3)).sum::<i32>(), 6);
            // One that would wait is told what a task is told.
            let waits = generate(|co| co.yield_(time::sleep(Duration::ZERO)));
            assert_eq!(waits.next(), Some(Err(FORKED)));
        };
        in_fork(goes_on).succeeds();
        assert_eq!(numbers.next(), Some(2));

        // The child is made inside of one, and comes out of it by yielding, or by its end.
        let forks = Generator::new(|co: &Yielder<Option<Child>>| {
            co.yield_(fork());
            fork()
        });
        match forks.start().unwrap().yielded().unwrap() {
            Some(child) => child.exits_with(6),
            None => exit(if task::checkpoint() == Err(FORKED) { 6 } else { 7 }),
        }
        match forks.send(()).unwrap().returned().unwrap() {
            Some(child) => child.exits_with(8),
            None => exit(8),
        }
    });
}

#[test]
fn another_program_can_take_the_place_of_a_forked_child() {
    let _alone = alone();
    with_both_drivers(|| {
        let (mut near, mut far) = pair();
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        // It has none of the descriptors but the usual three, and those of whoever started the tests.
        let script = "for fd in /proc/self/fd/*; do readlink $fd; done | grep -E 'eventpoll|io_uring|eventfd|socket:' ; exit 9";
        let child = in_fork(|| {
            let error = Command::new("sh").args(["-c", script]).stdout(io::stderr()).exec();
            panic!("{error}");
        });
        let (status, said) = child.wait();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 9, "{status:#x}: {said}");
        assert_eq!(said, "");
    });
}

#[test]
fn children_that_std_starts_are_none_of_this_library_s_business() {
    let _alone = alone();
    ropewalk::run(|| {
        let remote = lowlevel::remote();
        let mut forked = Command::new("true");
        // SAFETY: it does nothing. With it std forks; without it, it need not.
        unsafe { forked.pre_exec(|| Ok(())) };
        for mut command in [Command::new("true"), forked] {
            assert!(command.status().unwrap().success());
            time::sleep(Duration::ZERO).unwrap();
            assert!(remote.is_alive());
        }
    });
}

/// What a process does that has runtimes: all that has threads behind it, too.
fn everything() {
    with_both_drivers(|| {
        let (mut near, mut far) = pair();
        let received = task::scope(|s| {
            let received = s.spawn(move || {
                let mut received = String::new();
                far.read_to_string(&mut received).map(|_| received)
            });
            near.write_all(b"hemp").unwrap();
            drop(near);
            time::sleep(Duration::from_millis(1)).unwrap();
            received.join()
        });
        assert_eq!(received.unwrap().unwrap(), "hemp");
        assert_eq!(blocking::unblock(|| 1), Ok(1));
        assert_eq!(blocking::unblock_cpu(|| 2), Ok(2));
        assert!(!ropewalk::net::lookup_host("localhost:80").unwrap().is_empty());
        let remote = lowlevel::remote();
        let posted = task::spawn(move || blocking::unblock(move || remote.run(|| 3)));
        assert_eq!(posted.join().unwrap().unwrap(), Ok(3));
    });
}

#[test]
fn a_process_that_is_forked_outside_of_run_has_runtimes_of_its_own() {
    let _alone = alone();
    // Before any; after some, whose threads are idle still; and again in the child of a child.
    in_fork(everything).succeeds();
    everything();
    assert!(blocking::statistics().threads > 0);
    let child = in_fork(|| {
        assert_eq!(blocking::statistics(), blocking::Statistics::default());
        everything();
        in_fork(everything).succeeds();
        everything();
    });
    child.succeeds();
    everything();
}

#[test]
fn a_process_that_is_forked_has_its_turn_at_standard_output_whoever_had_it_before() {
    let _alone = alone();
    let writes = || ropewalk::run(|| ropewalk::io::stderr().write_all(b"hemp"));
    ropewalk::run(|| {
        let turn = ropewalk::io::stderr().lock().unwrap();
        let forks = blocking::unblock(|| in_fork(|| writes().unwrap()).wait());
        drop(turn);
        assert_eq!(forks.unwrap(), (0, "hemp".to_owned()));
        // A child that drops the turn does not give it to anybody else.
        let turn = Cell::new(Some(ropewalk::io::stderr().lock().unwrap()));
        in_fork(|| drop(turn.take())).succeeds();
        let waits = time::timeout(Duration::from_millis(1), || ropewalk::io::stderr().lock().map(drop));
        assert!(waits.is_err());
    });
}

#[test]
fn a_process_that_another_thread_has_forked_while_a_runtime_ran_has_runtimes_of_its_own() {
    let _alone = alone();
    with_both_drivers(|| {
        let remote = lowlevel::remote();
        let (mut near, mut far) = pair();
        let waits = task::spawn(move || far.read(&mut [0; 8]));
        task::yield_now();
        let forks = thread::spawn(move || {
            let child = in_fork(|| {
                // That runtime is in the parent.
                assert!(!remote.is_alive());
                assert_eq!(remote.run(|| ()), Err(RemoteError::Gone));
                everything();
            });
            child.succeeds();
            remote.run(|| 5)
        });
        assert_eq!(blocking::unblock(|| forks.join().unwrap()), Ok(Ok(5)));
        near.write_all(b"sisal").unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), 5);
    });
}

/// What other threads have locked in the moment of a fork nobody unlocks in the child.
#[test]
fn a_fork_in_the_middle_of_what_other_threads_do_finds_nothing_locked() {
    let _alone = alone();
    /// More than a thread keeps for itself.
    fn suspend_many() {
        let suspended: Vec<_> = (0..200).map(|number| generate(move |co| co.yield_(number))).collect();
        assert_eq!(suspended.iter().map(|generator| generator.next().unwrap()).sum::<i32>(), 19_900);
    }
    let is_over = AtomicBool::new(false);
    let failed = thread::scope(|threads| {
        let busy = |work: &'static (dyn Fn() + Sync)| {
            let is_over = &is_over;
            threads.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    work();
                }
            });
        };
        busy(&|| ropewalk::run(|| ()));
        busy(&|| ropewalk::run(|| ()));
        (0..3).for_each(|_| busy(&suspend_many));
        let uses = || {
            suspend_many();
            assert_eq!(ropewalk::run(|| task::spawn(|| 1).join().unwrap()), 1);
        };
        let mut ends = (0..30).map(|_| in_fork(uses).wait());
        let failed = ends.find(|(status, _)| *status != 0);
        is_over.store(true, Ordering::Relaxed);
        failed
    });
    assert_eq!(failed, None);
}

#[test]
fn a_call_on_a_pool_s_thread_that_forks_does_not_come_back_twice() {
    let _alone = alone();
    ropewalk::run(|| {
        let child = blocking::unblock(|| {
            let inside = in_fork(|| {
                // Whom it would ask waits in the parent.
                blocking::run_in_task(|| ()).unwrap_err();
                everything();
            });
            inside.succeeds();
            assert_eq!(blocking::run_in_task(|| 1), Ok(1));
            fork()
        });
        child.unwrap().expect("the child does not get out of the call").comes_no_further();
    });
}

#[test]
fn a_guest_has_no_turn_in_a_forked_child() {
    let _alone = alone();
    let turns = Rc::new(Cell::new(0));
    let counts = {
        let turns = turns.clone();
        move || {
            while turns.get() < 100 {
                turns.set(turns.get() + 1);
                task::checkpoint()?;
            }
            Ok::<_, Cancelled>(fork())
        }
    };
    let mut guest = Some(Guest::new(&Runtime::new(), counts).unwrap());
    assert!(guest.as_mut().unwrap().tick().is_none());
    let before = turns.get();
    in_fork(|| {
        assert!(
            panic_of(|| drop(guest.as_mut().unwrap().tick()))
                .contains("forked from one in which a runtime runs")
        );
        // Nobody is cancelled, nor waited for.
        drop(guest.take());
        assert_eq!(turns.get(), before);
        assert!(matches!(Runtime::new().try_run(|| ()), Err(RunError::Forked)));
    })
    .succeeds();
    let result = std::iter::from_fn(|| Some(guest.as_mut().unwrap().tick())).flatten().next();
    assert_eq!(turns.get(), 100);
    result.unwrap().unwrap().unwrap().expect("a child does not get out of its task").comes_no_further();
}

#[test]
fn a_thread_that_waits_for_what_a_forked_child_cannot_have_is_told_so() {
    let _alone = alone();
    ropewalk::run(|| {
        let remote = lowlevel::remote();
        let call = blocking::unblock(move || {
            // It is still at it when the process forks, and is cancelled when all ends.
            let task = remote.spawn(|| time::sleep(Duration::from_secs(3600))).unwrap();
            in_fork(|| {
                assert_eq!(task.try_join().unwrap().map(drop), Err(RemoteError::Lost));
                assert_eq!(task.join().map(drop), Err(RemoteError::Lost));
            })
            .succeeds();
            true
        });
        assert_eq!(call, Ok(true));
    });
}

#[test]
fn an_error_kind_tells_a_forked_child_from_an_interruption() {
    let error = io::Error::from(FORKED);
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("forked"));
}
