//! Many calls of many runtimes at once, cancelled at random moments: nothing is called twice, nothing lost, nothing left.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk::blocking::{self, Pool};
use ropewalk::{JoinError, Reason, task, time};

/// Calls of one runtime at a time.
const LIMIT: usize = 8;

/// Counts who is inside.
#[derive(Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    fn enter<T>(&self, code: impl FnOnce() -> T) -> T {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let _leave = Leave(&self.inside);
        code()
    }
}

/// Below `below`. Which threads do what when is not in our hands, so there is no seed to print.
fn chance(below: u64) -> u64 {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) });
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    (state >> 32) % below
}

/// A deadline that may pass before, while and after the call is made.
fn soon() -> Duration {
    Duration::from_micros(chance(150))
}

/// A call that borrows: it was made once and its value is here, or it never was.
fn borrow(crowd: &Crowd, number: u64) {
    let called = AtomicUsize::new(0);
    let asked = AtomicUsize::new(0);
    let kind = chance(5);
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        time::timeout(soon(), || {
            let call = || {
                crowd.enter(|| {
                    called.fetch_add(1, Ordering::Relaxed);
                    match kind {
                        0 => panic::panic_any(number),
                        1 => (0..2).for_each(|_| {
                            // The task may be cancelled: what it waits for then fails, and this all the same returns.
                            let asked_for = blocking::run_in_task(|| {
                                asked.fetch_add(1, Ordering::Relaxed);
                                let _ = task::checkpoint();
                            });
                            asked_for.expect("its task waits for it");
                        }),
                        2 => thread::sleep(Duration::from_micros(50)),
                        _ => {}
                    }
                    number
                })
            };
            if number % 3 == 0 { blocking::unblock_cpu(call) } else { blocking::unblock(call) }
        })
    }));
    let called = called.into_inner();
    let value = result.map(|in_time| in_time.unwrap_or_else(|late| late.into_inner()));
    match value {
        Err(panicked) => assert_eq!((called, kind, panicked.downcast_ref()), (1, 0, Some(&number))),
        Ok(Ok(value)) => assert_eq!((called, value), (1, number)),
        Ok(Err(cancelled)) => assert_eq!((called, cancelled.reason()), (0, Reason::Deadline)),
    }
    assert_eq!(asked.into_inner(), if kind == 1 { 2 * called } else { 0 });
}

/// A call that is abandoned: what it has captured goes, and what it gives.
fn abandon(crowd: &Arc<Crowd>, alive: &Arc<()>, number: u64) {
    let (crowd, captured) = (crowd.clone(), alive.clone());
    let result = time::timeout(soon(), || {
        blocking::unblock_or_abandon(move || {
            crowd.enter(|| {
                if number % 2 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
                // The task may be gone.
                let _ = blocking::run_in_task(|| task::checkpoint());
            });
            (number, captured)
        })
    });
    if let Ok(Ok((value, _))) = result {
        assert_eq!(value, number);
    }
}

#[test]
fn calls_of_many_runtimes_that_are_cancelled_at_random_are_made_once_or_never() {
    let runtimes: Vec<_> = (0..4)
        .map(|seed| {
            thread::spawn(move || {
                let (crowd, alive) = (Arc::new(Crowd::default()), Arc::new(()));
                let runtime = ropewalk::Runtime::builder().seed(seed).build();
                runtime.run(|| {
                    blocking::limiter().set_limit(LIMIT);
                    let computing = Crowd::default();
                    task::scope(|s| {
                        for first in 0..20 {
                            let (crowd, alive, computing) = (&crowd, &alive, &computing);
                            s.spawn(move || {
                                for number in (first * 50)..(first * 50 + 50) {
                                    match number {
                                        _ if chance(4) == 0 => abandon(crowd, alive, number),
                                        _ if number % 3 == 0 => borrow(computing, number),
                                        _ => borrow(crowd, number),
                                    }
                                }
                            });
                        }
                    });
                    // Those that were abandoned end, and give their tokens back.
                    while blocking::limiter().borrowed() > 0 {
                        time::sleep(Duration::from_micros(100)).unwrap();
                    }
                    assert!(crowd.most.load(Ordering::SeqCst) <= LIMIT);
                });
                assert_eq!((crowd.inside.load(Ordering::SeqCst), Arc::strong_count(&alive)), (0, 1));
            })
        })
        .collect();
    runtimes.into_iter().for_each(|runtime| runtime.join().unwrap());
}

#[test]
fn jobs_that_are_cancelled_joined_and_dropped_by_anybody_are_called_once_or_taken_back() {
    let pool = Arc::new(Pool::builder().threads(3).idle_time(Duration::from_micros(50)).build());
    let crowd = Arc::new(Crowd::default());
    let (called, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let users: Vec<_> = (0..4_u64)
        .map(|seed| {
            let (pool, crowd, called, dropped) =
                (pool.clone(), crowd.clone(), called.clone(), dropped.clone());
            let work = move || {
                let (mut expected, mut unknown) = (0, 0);
                for round in 0..400_u64 {
                    let (crowd, called) = (crowd.clone(), called.clone());
                    let gone = Dropped(dropped.clone());
                    let job = pool.submit(move || {
                        let _gone = gone;
                        crowd.enter(|| called.fetch_add(1, Ordering::SeqCst));
                        if round % 7 == 0 {
                            thread::sleep(Duration::from_micros(60));
                        }
                        round
                    });
                    match (round + seed) % 4 {
                        0 if job.cancel() => assert!(matches!(job.join(), Err(JoinError::NeverRan(_)))),
                        1 => {
                            drop(job);
                            unknown += 1;
                        }
                        _ => {
                            assert_eq!(job.join().unwrap(), round);
                            expected += 1;
                        }
                    }
                }
                (expected, unknown)
            };
            thread::spawn(move || if seed % 2 == 0 { work() } else { ropewalk::run(work) })
        })
        .collect();
    let (mut expected, mut unknown) = (0, 0);
    for user in users {
        let (at_least, perhaps) = user.join().unwrap();
        expected += at_least;
        unknown += perhaps;
    }
    pool.shutdown().unwrap();
    // What was dropped goes on by itself, and nothing takes it back.
    assert_eq!(called.load(Ordering::SeqCst), expected + unknown);
    assert_eq!(dropped.load(Ordering::SeqCst), 4 * 400);
    assert!(crowd.most.load(Ordering::SeqCst) <= 3);
    assert_eq!(pool.threads(), 0);
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn maps_of_many_threads_and_runtimes_share_a_pool_and_get_what_is_theirs() {
    let pool = Pool::builder().threads(2).idle_time(Duration::from_micros(20)).build();
    thread::scope(|s| {
        for seed in 0..4_u64 {
            let pool = &pool;
            let work = move || {
                for round in 0..60_u64 {
                    let items: Vec<u64> = (0..round % 9).map(|number| number * seed).collect();
                    let squares: Vec<u64> = items.iter().map(|number| number * number).collect();
                    // One in three is nested.
                    let mapped = pool.map(&items, |number| match round % 3 {
                        0 => pool.map([*number], |number| number * number).unwrap()[0],
                        _ => number * number,
                    });
                    assert_eq!(mapped, Ok(squares.clone()));
                    let mut found: Vec<u64> = pool.scope(|s| {
                        s.imap_unordered(&items, |number| number * number).map(Result::unwrap).collect()
                    });
                    found.sort_unstable();
                    assert_eq!(found, squares);
                }
            };
            s.spawn(move || if seed % 2 == 0 { work() } else { ropewalk::run(work) });
        }
    });
}

/// Each turn of the other task is one more moment at which it comes; the last ones come too late.
#[test]
fn a_call_that_is_cancelled_at_any_turn_was_made_and_is_returned_or_was_not() {
    for turns in 0..100 {
        ropewalk::run(|| {
            let called = AtomicUsize::new(0);
            let result = task::cancel_scope(|scope| {
                let canceller = scope.canceller();
                let cancelling = task::spawn(move || {
                    (0..turns).for_each(|_| task::yield_now());
                    canceller.cancel();
                });
                let result = task::checkpoint().and_then(|()| {
                    blocking::unblock(|| {
                        called.fetch_add(1, Ordering::Relaxed);
                        blocking::run_in_task(|| task::checkpoint().is_ok()).unwrap()
                    })
                });
                task::shield(|| cancelling.join()).unwrap();
                result
            });
            assert_eq!(called.into_inner(), usize::from(result.is_ok()));
        });
    }
}
