//! What waits allocates nothing: a program of its own, whose allocator counts for each thread.
//!
//! What is counted is a round of each kind of wait after the first rounds, in which queues grow and stacks are made.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use ropewalk::channel::{self, Queue, cross};
use ropewalk::select::{fairly, select};
use ropewalk::sync::{self, Mutex};
use ropewalk::{Clock, Runtime, task, time};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Those that were not freed yet.
    static KEPT: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: it is the system's allocator; what is counted is a plain cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = KEPT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let _ = KEPT.try_with(|count| count.set(count.get() - 1));
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations a round makes, once it has been run for some time.
fn allocations_of(mut round: impl FnMut()) -> u64 {
    for _ in 0..100 {
        round();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        round();
    }
    ALLOCATIONS.get() - before
}

/// How many allocations a round leaves behind, once it has been run for some time.
fn left_by(mut round: impl FnMut()) -> i64 {
    allocations_of(&mut round);
    let before = KEPT.get();
    allocations_of(&mut round);
    KEPT.get() - before
}

#[test]
fn what_crosses_threads_allocates_for_a_wait_and_keeps_nothing_of_it() {
    Runtime::builder().clock(Clock::Virtual).debug(false).build().run(|| {
        let (sender, receiver) = cross::bounded(1);
        let event = sync::cross::Event::new();
        let second = Duration::from_secs(1);
        let cut_short = || {
            assert!(receiver.recv_timeout(second).is_err());
            assert!(select((event.waiting(), receiver.receiving(), time::sleeping(second))).is_ok());
            assert_eq!(event.wait_timeout(second), Ok(false));
        };
        assert_eq!(left_by(cut_short), 0, "waits that are cut short");
        let without_waiting = || {
            sender.send(1).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
        };
        assert_eq!(allocations_of(without_waiting), 0, "what needs no waiting");
    });
}

#[test]
fn waits_and_selects_allocate_nothing() {
    assert!(allocations_of(|| drop(Box::new(1))) >= 100, "the allocator counts");
    Runtime::builder().clock(Clock::Virtual).debug(false).build().run(|| {
        let lock = Mutex::new(0);
        let (to_echo, from_main) = channel::rendezvous();
        let (to_main, from_echo) = channel::bounded(1);
        let to_main_again = to_main.clone();
        let (_kept, quiet) = channel::unbounded::<u32>();
        let (jobs, (level, gauge)) = (Queue::bounded(2), channel::watch(0));
        let second = Duration::from_secs(1);
        task::scope(|s| {
            s.spawn(|| {
                for number in &from_main {
                    *lock.lock().unwrap() += 1;
                    to_main.send(number).unwrap();
                }
            });
            let round = || {
                to_echo.send(7).unwrap();
                assert_eq!(from_echo.recv(), Ok(7));
            };
            assert_eq!(allocations_of(round), 0, "sending and receiving");
            let contended = || {
                let guard = lock.lock().unwrap();
                to_echo.send(7).unwrap();
                task::yield_now();
                drop(guard);
                assert_eq!(from_echo.recv(), Ok(7));
            };
            assert_eq!(allocations_of(contended), 0, "a lock that is waited for");
            let tuple = || {
                to_echo.send(7).unwrap();
                select((quiet.receiving(), lock.locking(), time::sleeping(second))).unwrap();
                select((quiet.receiving(), from_echo.receiving(), time::sleeping(second))).unwrap();
            };
            assert_eq!(allocations_of(tuple), 0, "select of a tuple");
            let fair = || {
                to_echo.send(7).unwrap();
                select(fairly((quiet.receiving(), from_echo.receiving()))).unwrap();
            };
            assert_eq!(allocations_of(fair), 0, "select by chance");
            let array = || {
                to_echo.send(7).unwrap();
                let arms: [_; 8] = std::array::from_fn(|index| if index == 5 { &from_echo } else { &quiet });
                assert_eq!(select(arms.map(channel::Receiver::receiving)), Ok((5, Ok(7))));
            };
            assert_eq!(allocations_of(array), 0, "select of an array");
            let late = || {
                select((quiet.receiving(), time::sleeping(Duration::from_millis(1)))).unwrap();
            };
            assert_eq!(allocations_of(late), 0, "a select that times out");
            let scopes = || {
                let limited = time::timeout(second, || from_echo.recv());
                assert!(limited.is_err());
            };
            assert_eq!(allocations_of(scopes), 0, "a timeout");
            let reserved = || {
                to_echo.send(7).unwrap();
                assert_eq!(from_echo.recv(), Ok(7));
                to_main_again.reserve().unwrap().send(8).unwrap();
                assert_eq!(from_echo.recv(), Ok(8));
            };
            assert_eq!(allocations_of(reserved), 0, "a permit");
            let answered = || {
                let (answer, question) = channel::oneshot();
                answer.send(7).unwrap();
                assert_eq!(question.recv(), Ok(7));
            };
            assert_eq!(allocations_of(answered), 100, "a promise is one allocation");
            let (news, paper) = channel::broadcast(2);
            s.spawn(|| {
                while let Ok(job) = jobs.get_job() {
                    level.modify(|level| *level += *job);
                }
            });
            let queued = || {
                jobs.put(1).unwrap();
                jobs.join().unwrap();
                gauge.changed().unwrap();
            };
            assert_eq!(allocations_of(queued), 0, "a job, and a value that is changed in its place");
            let told = || {
                news.send(7).unwrap();
                assert_eq!(paper.recv(), Ok(7));
            };
            assert_eq!(allocations_of(told), 100, "an item for everybody is one allocation");
            jobs.shutdown();
            drop(to_echo);
        });
    });
}
