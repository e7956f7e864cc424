//! Runtimes that another loop drives.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::lowlevel::{self, Guest};
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::{Cancelled, Clock, Reason, RunError, Runtime, channel, task, time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A host: gives the guest its turns, and waits in between.
fn drive<T: 'static>(mut guest: Guest<T>, mut between: impl FnMut()) -> Result<T, RunError<T>> {
    loop {
        if let Some(result) = guest.tick() {
            return result;
        }
        between();
        let limit = guest.limit().map(|limit| Timespec::try_from(limit).unwrap());
        poll(&mut [PollFd::new(&guest, PollFlags::IN)], limit.as_ref()).unwrap();
    }
}

fn guest<T: 'static>(first: impl FnOnce() -> T + 'static) -> Guest<T> {
    Guest::new(&Runtime::new(), first).unwrap()
}

#[test]
fn a_guest_runs_tasks_timers_and_sockets_while_its_host_waits_for_its_descriptor() {
    let turns = Cell::new(0);
    let result = drive(
        guest(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = task::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                time::sleep(Duration::from_millis(2)).unwrap();
                stream.write_all(b"rope").unwrap();
            });
            let mut text = String::new();
            TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
            server.join().unwrap();
            text
        }),
        || turns.set(turns.get() + 1),
    );
    assert_eq!(result.unwrap(), "rope");
    assert!(turns.get() > 1);
}

#[test]
fn another_thread_makes_the_descriptor_of_a_guest_ready() {
    let (sender, receiver) = mpsc::channel();
    let woken = thread::spawn(move || {
        let ticket: lowlevel::RemoteTicket<u32> = receiver.recv().unwrap();
        ticket.wake(7).unwrap();
    });
    let result = drive(
        guest(move || {
            let why = lowlevel::Why::new("number");
            lowlevel::park(&why, |ticket| sender.send(ticket.into_remote()).unwrap(), || lowlevel::Undo::Done)
        }),
        || (),
    );
    assert_eq!(result.unwrap(), Ok(7));
    woken.join().unwrap();
}

#[test]
fn what_the_host_does_between_turns_reaches_the_tasks() {
    let (sender, receiver) = channel::bounded(1);
    let mut sender = Some(sender);
    let result = drive(guest(move || receiver.iter().collect::<Vec<_>>()), || {
        let Some(to) = sender.take() else { return };
        to.try_send("from the host").unwrap();
        let refused = time::sleep(Duration::from_millis(1)).unwrap_err();
        assert_eq!(refused.reason(), Reason::OutsideTask);
        drop(task::spawn(move || drop(to)));
    });
    assert_eq!(result.unwrap(), ["from the host"]);
}

#[test]
fn a_guest_whose_tasks_are_ready_says_so() {
    let mut guest = guest(|| (0..1000).for_each(|_| task::yield_now()));
    let mut ticks = 0;
    while guest.tick().is_none() {
        assert_eq!(guest.limit(), Some(Duration::ZERO));
        ticks += 1;
    }
    assert!((1000 / 64..1000 / 64 + 4).contains(&ticks), "{ticks} turns");
}

#[test]
fn a_guest_in_virtual_time_never_waits() {
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    let mut guest = Guest::new(&runtime, || time::sleep(Duration::from_secs(3600))).unwrap();
    let slept = loop {
        match guest.tick() {
            Some(slept) => break slept,
            None => assert_eq!(guest.limit(), Some(Duration::ZERO)),
        }
    };
    assert_eq!(slept.unwrap(), Ok(()));
}

#[test]
fn tasks_that_wait_for_one_another_wait_for_the_host() {
    let mut guest = guest(|| {
        let never: Result<(), Cancelled> =
            lowlevel::park(&lowlevel::Why::new("nothing"), std::mem::forget, || lowlevel::Undo::Done);
        never.unwrap_err().reason()
    });
    for _ in 0..3 {
        assert!(guest.tick().is_none());
        assert_eq!(guest.limit(), None);
    }
}

#[test]
fn a_panic_comes_out_of_the_tick() {
    let mut panics = guest(|| panic!("in a guest"));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| while panics.tick().is_none() {}));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "in a guest");
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(panics.tick())));
    assert!(again.is_err());
    drop(panics);
    assert_eq!(ropewalk::run(|| 1), 1);
}

#[test]
fn a_guest_that_is_dropped_cancels_its_tasks_and_sees_them_end() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut guest = guest({
        let log = log.clone();
        move || {
            let inner = log.clone();
            let child = task::spawn(move || {
                let ended: Result<(), Cancelled> = time::sleep(Duration::from_secs(3600));
                inner.borrow_mut().push(("child", ended.unwrap_err().reason()));
            });
            let ended = child.join();
            log.borrow_mut().push(("first", if ended.is_err() { Reason::Shutdown } else { Reason::Done }));
        }
    });
    assert!(guest.tick().is_none());
    drop(guest);
    assert_eq!(Rc::try_unwrap(log).unwrap().into_inner().len(), 2);
    assert_eq!(ropewalk::run(|| 1), 1);
}

#[test]
fn a_guest_that_never_had_a_turn_is_dropped_with_its_task() {
    let held = Rc::new(());
    let guest = guest({
        let held = held.clone();
        move || drop(held)
    });
    drop(guest);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_thread_has_one_guest_or_one_runtime() {
    let guest = guest(|| ());
    assert!(matches!(Runtime::new().try_run(|| ()), Err(RunError::Nested)));
    let second = std::panic::catch_unwind(|| drop(Guest::new(&Runtime::new(), || ())));
    assert!(second.is_err());
    drop(guest);
    let in_a_task = std::panic::catch_unwind(|| ropewalk::run(|| drop(Guest::new(&Runtime::new(), || ()))));
    assert!(in_a_task.is_err());
}
