//! Names: other threads look them up, and whoever does not want the answer any more does not wait for it.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs as StdToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec;

use ropewalk::net::{self, Addresses, OnThread, TcpListener, TcpStream, ToSocketAddrs};
use ropewalk::{Cancelled, Clock, Runtime, task, time};

use crate::tcp::listen;

fn address() -> SocketAddr {
    "127.0.0.1:80".parse().unwrap()
}

/// A lookup that takes until somebody opens it; it knows how many are at it.
#[derive(Clone, Default)]
struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_open: Mutex<bool>,
    opened: Condvar,
    begun: AtomicUsize,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    fn open(&self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }

    fn inside(&self) -> usize {
        self.0.inside.load(Ordering::SeqCst)
    }

    /// Waits, as a task, until so many are at it.
    fn wait_for(&self, count: usize) {
        while self.inside() < count {
            time::sleep(Duration::from_micros(100)).unwrap();
        }
    }
}

impl StdToSocketAddrs for Gate {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(inside, Ordering::SeqCst);
        let mut is_open = self.0.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.0.opened.wait(is_open).unwrap();
        }
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(vec![address()].into_iter())
    }
}

/// Opens a gate when its test is over, however that ended: the threads are needed by others.
struct Opened<'a>(&'a Gate);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// One test at a time has lookups that take as long as it says: the threads are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_name_has_the_addresses_that_std_finds() {
    let mut expected: Vec<SocketAddr> = ("localhost", 80).to_socket_addrs().unwrap().collect();
    let mut found = ropewalk::run(|| net::lookup_host("localhost:80")).unwrap();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn what_is_an_address_already_is_answered_at_once() {
    ropewalk::run(|| {
        let turns = Cell::new(0);
        task::scope(|s| {
            let counting = s.spawn(|| {
                while task::checkpoint().is_ok() {
                    turns.set(turns.get() + 1);
                }
            });
            let v6: SocketAddr = "[::1]:80".parse().unwrap();
            assert_eq!(net::lookup_host("127.0.0.1:80").unwrap(), [address()]);
            assert_eq!(net::lookup_host(("127.0.0.1", 80)).unwrap(), [address()]);
            assert_eq!(net::lookup_host("[::1]:80").unwrap(), [v6]);
            assert_eq!(net::lookup_host(("::1", 80)).unwrap(), [v6]);
            assert_eq!(net::lookup_host([address(), v6]).unwrap(), [address(), v6]);
            // No other task has run: there was no wait.
            assert_eq!(turns.get(), 0);
            counting.cancel();
        });
    });
}

#[test]
fn a_name_that_there_is_not_is_an_error_that_tells_it() {
    ropewalk::run(|| {
        // RFC 2606: nobody will ever have it; and no name server is asked for so long a part.
        let host = format!("{}.invalid:80", "nobody".repeat(20));
        for error in [
            net::lookup_host(&host).unwrap_err(),
            TcpStream::connect(&host).unwrap_err(),
            TcpListener::bind(&host).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().starts_with(&format!("no address of {host}: ")), "{error}");
        }
        let error = net::lookup_host(("a\0b", 80)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    });
}

#[test]
fn other_tasks_run_while_a_lookup_takes_its_time() {
    let _alone = alone();
    ropewalk::run(|| {
        let gate = Gate::default();
        let _opened = Opened(&gate);
        task::scope(|s| {
            let looking = s.spawn(|| net::lookup_host(OnThread(gate.clone())));
            gate.wait_for(1);
            assert!(!looking.is_finished());
            gate.open();
            assert_eq!(looking.join().unwrap().unwrap(), [address()]);
        });
    });
}

#[test]
fn an_abandoned_lookup_is_waited_for_by_nobody() {
    let _alone = alone();
    let gate = Gate::default();
    let _opened = Opened(&gate);
    // Also `run` returns while the thread is at it.
    ropewalk::run(|| {
        task::scope(|s| {
            let looking = s.spawn(|| net::lookup_host(OnThread(gate.clone())).map(drop));
            let connecting = s.spawn(|| TcpStream::connect(OnThread(gate.clone())).map(drop));
            gate.wait_for(2);
            for task in [looking, connecting] {
                task.cancel();
                assert!(Cancelled::is(&task.join().unwrap().unwrap_err()));
            }
            let gone = time::timeout(Duration::ZERO, || net::lookup_host(OnThread(gate.clone())));
            assert!(Cancelled::is(&gone.unwrap_err().into_inner().unwrap_err()));
        });
    });
    assert_eq!(gate.inside(), 2);
    gate.open();
}

#[test]
fn there_are_no_more_than_32_threads_and_the_rest_waits_its_turn() {
    let _alone = alone();
    ropewalk::run(|| {
        let gate = Gate::default();
        let _opened = Opened(&gate);
        task::scope(|s| {
            let looking: Vec<_> =
                (0..40).map(|_| s.spawn(|| net::lookup_host(OnThread(gate.clone())))).collect();
            gate.wait_for(32);
            // Some that wait their turn are not wanted any more, and never begin.
            for task in &looking[32..36] {
                task.cancel();
                assert!(task.join().unwrap().is_err());
            }
            gate.open();
            for task in looking[..32].iter().chain(&looking[36..]) {
                assert_eq!(task.join().unwrap().unwrap(), [address()]);
            }
        });
        assert_eq!(gate.0.begun.load(Ordering::SeqCst), 36);
        assert_eq!(gate.0.most.load(Ordering::SeqCst), 32);
    });
}

#[test]
fn a_panic_of_a_lookup_is_the_task_s_and_the_thread_goes_on() {
    struct Broken;

    impl ToSocketAddrs for Broken {
        fn to_addresses(&self) -> io::Result<Addresses> {
            Ok(Addresses::found_by(|| panic!("no map")))
        }
    }

    ropewalk::run(|| {
        for _ in 0..40 {
            let looking = task::spawn(|| net::lookup_host(Broken));
            assert_eq!(crate::world::panic_of(looking.join()), "no map");
        }
        net::lookup_host("localhost:80").unwrap();
    });
}

#[test]
fn a_plain_thread_looks_up_and_listens_by_name_too() {
    assert!(!net::lookup_host("localhost:80").unwrap().is_empty());
    let listener = TcpListener::bind("localhost:0").unwrap();
    assert!(listener.local_addr().unwrap().ip().is_loopback());
}

#[test]
fn a_type_of_one_s_own_says_what_it_is() {
    struct Service(Vec<SocketAddr>);

    impl ToSocketAddrs for Service {
        fn to_addresses(&self) -> io::Result<Addresses> {
            Ok(self.0.iter().copied().collect())
        }
    }

    struct Secret;

    impl ToSocketAddrs for Secret {
        fn to_addresses(&self) -> io::Result<Addresses> {
            Err(ErrorKind::PermissionDenied.into())
        }
    }

    ropewalk::run(|| {
        let (_listener, address) = listen();
        TcpStream::connect(Service(vec![address])).unwrap();
        assert_eq!(TcpStream::connect(Secret).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(TcpStream::connect(Service(Vec::new())).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_virtual_clock_stands_still_until_the_answer_is_there() {
    let _alone = alone();
    let gate = Gate::default();
    let opener = gate.clone();
    let thread = thread::spawn(move || {
        while opener.inside() == 0 {
            thread::yield_now();
        }
        opener.open();
    });
    Runtime::builder().clock(Clock::Virtual).build().run(|| {
        let began = time::now();
        let found = time::timeout(Duration::from_secs(1), || net::lookup_host(OnThread(gate.clone())));
        assert_eq!(found.unwrap().unwrap(), [address()]);
        assert_eq!(time::now(), began);
    });
    thread.join().unwrap();
}

#[test]
fn in_a_cancelled_scope_no_lookup_begins() {
    ropewalk::run(|| {
        task::cancel_scope(|scope| {
            scope.cancel();
            for host in ["localhost:80", "127.0.0.1:80"] {
                assert!(Cancelled::is(&net::lookup_host(host).unwrap_err()));
            }
        });
    });
}

#[test]
fn dumps_show_what_is_looked_up() {
    let _alone = alone();
    ropewalk::run(|| {
        let gate = Gate::default();
        let _opened = Opened(&gate);
        task::scope(|s| {
            let asked: Vec<_> =
                (0..32).map(|_| s.spawn(|| net::lookup_host(OnThread(gate.clone())).map(drop))).collect();
            gate.wait_for(32);
            // Nobody is free to answer it.
            let named = s.spawn(|| net::lookup_host("localhost:80").map(drop));
            task::yield_now();
            let (asked, named) = (asked[0].info().to_string(), named.info().to_string());
            assert!(asked.contains("waits for lookup addresses (tests/net/lookup.rs"), "{asked}");
            assert!(named.contains("waits for lookup localhost:80 (tests/net/lookup.rs"), "{named}");
            gate.open();
        });
    });
}

#[test]
fn runtimes_on_several_threads_look_up_at_the_same_time() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                ropewalk::run(|| {
                    let looked_up =
                        task::gather((0..20).map(|_| || net::lookup_host("localhost:80").unwrap()));
                    assert!(looked_up.into_iter().all(|found| !found.unwrap().is_empty()));
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
