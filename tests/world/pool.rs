//! Pools of one's own, and threads whose end a task waits for.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ropewalk::blocking::{self, Pool, Thread};
use ropewalk::select::select;
use ropewalk::{Cancelled, Clock, JoinError, Reason, Runtime, task, time};

/// The text of a panic.
fn panic_of<T>(code: impl FnOnce() -> T) -> String {
    match panic::catch_unwind(AssertUnwindSafe(code)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

/// A job that keeps the only thread of a pool until it is told to end.
fn occupy(pool: &Pool) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    pool.submit(move || {
        begins.send(()).unwrap();
        let _ = wait.recv();
    });
    begun.recv().unwrap();
    go
}

#[test]
fn a_map_borrows_and_its_results_stand_in_order() {
    let pool = Pool::new(3);
    let words = [String::from("hemp"), String::from("sisal")];
    let words: Vec<&str> = words.iter().map(String::as_str).cycle().take(100).collect();
    let lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
    assert_eq!(pool.map(&words, |word| word.len()).unwrap(), lengths);
    ropewalk::run(|| assert_eq!(pool.map(&words, |word| word.len()).unwrap(), lengths));
    assert_eq!(pool.map(Vec::<u8>::new(), |byte| byte), Ok(vec![]));
}

#[test]
fn a_map_keeps_to_its_threads_and_other_tasks_go_on() {
    let pool = Pool::new(2);
    let threads = Mutex::new(HashSet::new());
    ropewalk::run(|| {
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        task::scope(|s| {
            let mapped = s.spawn(|| {
                pool.map(0..20, |number| {
                    threads.lock().unwrap().insert(thread::current().id());
                    receiver.lock().unwrap().recv().unwrap();
                    number
                })
            });
            // This task runs, or nobody would go on.
            for _ in 0..20 {
                task::yield_now();
                sender.send(()).unwrap();
            }
            assert_eq!(mapped.join().unwrap(), Ok((0..20).collect()));
        });
    });
    let threads = threads.into_inner().unwrap();
    assert!(threads.len() <= 2 && !threads.contains(&thread::current().id()));
}

#[test]
fn a_panic_in_a_map_goes_on_when_all_that_run_have_ended() {
    let pool = Pool::new(2);
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (go, wait) = mpsc::channel::<()>();
    let (go, wait) = (Mutex::new(Some(go)), Mutex::new(wait));
    let said = panic_of(|| {
        pool.map(0..1000, |number| {
            begun.fetch_add(1, Ordering::SeqCst);
            if number == 0 {
                // The other one runs by now; it goes on when this one has panicked.
                while begun.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
                let _go = go.lock().unwrap().take();
                panic!("no rope");
            }
            let _ = wait.lock().unwrap().recv();
            thread::yield_now();
            ended.fetch_add(1, Ordering::SeqCst);
        })
    });
    assert_eq!(said, "no rope");
    let begun = begun.into_inner();
    assert_eq!(ended.into_inner(), begun - 1);
    assert!(begun < 1000);
}

#[test]
fn a_map_that_is_cancelled_takes_back_what_has_not_begun() {
    let pool = Pool::new(2);
    let begun = AtomicUsize::new(0);
    ropewalk::run(|| {
        let (begins, first) = mpsc::channel();
        let begins = Mutex::new(begins);
        let mapped = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || {
                blocking::unblock(move || first.recv().unwrap()).unwrap();
                canceller.cancel();
            });
            pool.map(0..1000, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = begins.lock().unwrap().send(());
                while blocking::cancelled().is_none() {
                    thread::yield_now();
                }
            })
        });
        assert_eq!(mapped, Err(Cancelled::new(Reason::Requested)));
    });
    assert!((1..=2).contains(&begun.into_inner()));
}

#[test]
fn a_map_that_was_done_when_it_was_cancelled_returns_all() {
    let pool = Pool::new(1);
    ropewalk::run(|| {
        let (begins, first) = mpsc::channel();
        let begins = Mutex::new(begins);
        let mapped = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || {
                blocking::unblock(move || first.recv().unwrap()).unwrap();
                canceller.cancel();
            });
            pool.map([7], |number| {
                begins.lock().unwrap().send(()).unwrap();
                while blocking::cancelled().is_none() {
                    thread::yield_now();
                }
                number
            })
        });
        assert_eq!(mapped, Ok(vec![7]));
        let refused = task::cancel_scope(|scope| {
            scope.cancel();
            pool.map([7], |_| unreachable!("it is cancelled before"))
        });
        assert_eq!(refused, Err::<Vec<()>, _>(Cancelled::new(Reason::Requested)));
    });
}

#[test]
fn maps_inside_maps_end_however_few_threads_there_are() {
    let pool = Pool::new(1);
    fn sum(pool: &Pool, depth: u32) -> u32 {
        if depth == 0 { 1 } else { pool.map(0..3, |_| sum(pool, depth - 1)).unwrap().into_iter().sum() }
    }
    assert_eq!(sum(&pool, 4), 81);
    assert_eq!(ropewalk::run(|| sum(&pool, 3)), 27);
}

#[test]
fn no_more_work_at_a_time_than_there_are_threads_and_one_that_returns() {
    let pool = Pool::new(2);
    let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let now = working.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        thread::yield_now();
        working.fetch_sub(1, Ordering::SeqCst);
    };
    pool.map(0..200, |_| work()).unwrap();
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn an_iterator_of_results_is_in_order_and_takes_no_more_than_it_may() {
    let pool = Pool::new(2);
    let taken = Cell::new(0);
    let items = (0..).inspect(|_| taken.set(taken.get() + 1));
    let mut results = pool.imap(items, |number: usize| number * 2).ahead(3);
    assert_eq!(taken.get(), 0);
    for number in 0..50 {
        assert_eq!(results.next(), Some(Ok(number * 2)));
        assert!(taken.get() <= number + 3, "{} taken for {number}", taken.get());
    }
}

#[test]
fn results_come_as_they_are_there_where_order_does_not_matter() {
    let pool = Pool::new(2);
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let mut results = pool.imap_unordered(0..3, move |number| {
        if number == 0 {
            let _ = wait.lock().unwrap().recv();
        }
        number
    });
    // Two pass the one that waits.
    let mut first = [results.next().unwrap().unwrap(), results.next().unwrap().unwrap()];
    first.sort_unstable();
    assert_eq!(first, [1, 2]);
    drop(go);
    assert_eq!((results.next(), results.next()), (Some(Ok(0)), None));
}

#[test]
fn a_panic_comes_where_its_result_would_and_the_next_goes_on_after_it() {
    let pool = Pool::new(2);
    let mut results = pool.imap(0..4, |number| if number == 1 { panic!("one") } else { number });
    assert_eq!(results.next(), Some(Ok(0)));
    assert_eq!(panic_of(|| results.next()), "one");
    assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_wait_for_a_result_that_was_cancelled_can_be_begun_again() {
    let pool = Pool::new(1);
    ropewalk::run(|| {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let mut results = pool.imap([7], move |number| {
            wait.lock().unwrap().recv().unwrap();
            number
        });
        let late = time::timeout(Duration::from_millis(1), || results.next());
        assert!(matches!(late.unwrap_err().into_inner(), Some(Err(_))));
        go.send(()).unwrap();
        assert_eq!((results.next(), results.next()), (Some(Ok(7)), None));
    });
}

#[test]
fn an_iterator_that_is_dropped_takes_back_what_has_not_begun() {
    let pool = Pool::new(1);
    let go = occupy(&pool);
    let called = Arc::new(AtomicUsize::new(0));
    let counted = called.clone();
    let mut results = pool.imap(0..10, move |_| counted.fetch_add(1, Ordering::SeqCst)).ahead(10);
    ropewalk::run(|| {
        assert!(time::timeout(Duration::from_millis(1), || results.next()).is_err());
    });
    drop(results);
    go.send(()).unwrap();
    pool.shutdown().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 0);
}

#[test]
fn iterators_of_a_scope_may_borrow_and_be_forgotten() {
    let pool = Pool::new(2);
    let words = vec![String::from("hemp"); 100];
    let read = AtomicUsize::new(0);
    pool.scope(|s| {
        let mut results = s.imap_unordered(&words, |word| read.fetch_add(word.len(), Ordering::SeqCst));
        results.next().unwrap().unwrap();
        std::mem::forget(results);
        let lengths = s.imap(words.iter(), |word| &word[..1]);
        assert!(lengths.map(Result::unwrap).all(|initial| initial == "h"));
    });
    // What was underway has ended: what it borrows may go.
    assert!(read.into_inner() >= 4);
    drop(words);
}

#[test]
fn jobs_of_a_scope_have_ended_with_it_and_their_values_are_there() {
    let pool = Pool::new(2);
    let mut numbers = vec![3, 1, 2];
    let length = pool.scope(|s| {
        let job = s.submit(|| {
            numbers.sort();
            numbers.len()
        });
        s.submit(thread::yield_now);
        job
    });
    assert_eq!(length.try_result().unwrap().unwrap(), 3);
    assert_eq!(numbers, [1, 2, 3]);
    // Jobs may submit more, while the scope ends too.
    let count = AtomicUsize::new(0);
    pool.scope(|s| {
        s.submit(|| {
            s.submit(|| count.fetch_add(1, Ordering::SeqCst));
            s.submit(|| s.submit(|| count.fetch_add(1, Ordering::SeqCst)));
        });
    });
    assert_eq!(count.into_inner(), 2);
}

#[test]
fn a_panic_of_a_scope_s_job_is_not_lost() {
    let pool = Pool::new(2);
    assert_eq!(panic_of(|| pool.scope(|s| drop(s.submit(|| panic!("on a thread"))))), "on a thread");
    pool.scope(|s| {
        let job = s.submit(|| panic!("heard"));
        assert!(matches!(job.join(), Err(JoinError::Panicked(_))));
    });
}

#[test]
fn a_panic_of_a_scope_s_body_waits_for_what_borrows() {
    let pool = Pool::new(1);
    let text = String::from("hemp");
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let said = panic_of(|| {
        pool.scope(|s| {
            s.submit(|| {
                begun.fetch_add(text.len(), Ordering::SeqCst);
                while blocking::cancelled().is_none() {
                    thread::yield_now();
                }
                ended.fetch_add(text.len(), Ordering::SeqCst);
            });
            s.submit(|| unreachable!("it is taken back"));
            while begun.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            panic!("the body")
        })
    });
    assert_eq!((said.as_str(), ended.into_inner()), ("the body", 4));
}

#[test]
fn a_scope_whose_task_is_cancelled_waits_for_what_runs_only() {
    let pool = Pool::new(1);
    let ended = AtomicUsize::new(0);
    ropewalk::run(|| {
        let (begins, begun) = mpsc::channel();
        task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || {
                blocking::unblock(move || begun.recv().unwrap()).unwrap();
                canceller.cancel();
            });
            pool.scope(|s| {
                s.submit(|| {
                    begins.send(()).unwrap();
                    while blocking::cancelled().is_none() {
                        thread::yield_now();
                    }
                    assert_eq!(blocking::cancelled(), Some(Cancelled::new(Reason::Requested)));
                    ended.fetch_add(1, Ordering::SeqCst);
                });
                s.submit(|| unreachable!("it is taken back"));
            });
        });
    });
    assert_eq!(ended.into_inner(), 1);
}

#[test]
fn a_job_is_joined_by_tasks_and_threads_and_its_value_taken_once() {
    let pool = Pool::new(2);
    let go = occupy(&pool);
    let job = Arc::new(pool.submit(|| 7));
    let threads: Vec<_> = (0..3)
        .map(|number| {
            let job = job.clone();
            thread::spawn(move || if number == 0 { job.join() } else { ropewalk::run(|| job.join()) })
        })
        .collect();
    go.send(()).unwrap();
    let joined: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(joined.iter().filter(|joined| matches!(joined, Ok(7))).count(), 1);
    assert_eq!(joined.iter().filter(|joined| matches!(joined, Err(JoinError::Taken))).count(), 2);
}

#[test]
fn a_join_that_is_cancelled_leaves_the_job_alone() {
    let pool = Pool::new(1);
    let go = occupy(&pool);
    let job = pool.submit(|| 7);
    ropewalk::run(|| {
        let late = time::timeout(Duration::from_millis(1), || job.join());
        assert!(late.unwrap_err().into_inner().unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(job.join().unwrap(), 7);
    });
}

#[test]
fn a_select_takes_the_job_that_ends() {
    let pool = Pool::new(2);
    let go = occupy(&pool);
    let (never, quick) = (Pool::new(1), pool.submit(|| 7));
    let _go = occupy(&never);
    let slow = never.submit(|| 8);
    ropewalk::run(|| {
        let mut both = vec![slow.joining(), quick.joining()];
        let (which, value) = select(&mut both).unwrap();
        assert_eq!((which, value.unwrap()), (1, 7));
    });
    drop(go);
}

#[test]
fn what_was_submitted_before_the_end_of_a_pool_is_done() {
    let done = Arc::new(AtomicUsize::new(0));
    let pool = Pool::new(1);
    let go = occupy(&pool);
    let jobs: Vec<_> = (0..10)
        .map(|_| {
            let done = done.clone();
            pool.submit(move || done.fetch_add(1, Ordering::SeqCst))
        })
        .collect();
    // The drop does not wait: the thread is told to go on after it.
    drop(pool);
    go.send(()).unwrap();
    for job in jobs {
        job.join().unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), 10);
}

#[test]
fn a_pool_that_is_closed_has_no_threads_and_takes_nothing() {
    let pool = Pool::new(2);
    pool.map(0..10, |number| number).unwrap();
    ropewalk::run(|| pool.shutdown()).unwrap();
    assert_eq!(pool.threads(), 0);
    assert!(panic_of(|| pool.submit(|| ())).starts_with("this pool was stopped"));
    assert!(panic_of(|| pool.map(0..3, |_| ())).starts_with("this pool was stopped"));
    pool.shutdown().unwrap();
    let never_used = Pool::new(1);
    never_used.shutdown().unwrap();
}

#[test]
fn a_thread_of_a_pool_does_not_wait_for_the_end_of_the_pool() {
    let pool = Pool::new(1);
    let said = pool.scope(|s| s.submit(|| panic_of(|| pool.shutdown())).join().unwrap());
    assert_eq!(said, "a thread of a pool cannot wait for the end of the pool");
    let other = Pool::new(1);
    pool.scope(|s| s.submit(|| other.shutdown().unwrap()).join().unwrap());
}

#[test]
fn threads_begin_with_the_initializer_and_try_again_if_it_panics() {
    thread_local!(static READY: Cell<bool> = const { Cell::new(false) });
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let initializer = move || {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("not yet");
        }
        READY.set(true);
    };
    let pool = Pool::builder().threads(1).name("walker").initializer(initializer).build();
    let failed = pool.submit(|| unreachable!("its thread is not ready")).join();
    assert!(matches!(failed, Err::<(), _>(JoinError::Panicked(panicked)) if panicked.text() == "not yet"));
    let ready = pool.map(0..10, |_| (READY.get(), thread::current().name() == Some("walker")));
    assert_eq!(ready, Ok(vec![(true, true); 10]));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn threads_that_are_idle_for_long_enough_end() {
    let pool = Pool::builder().threads(8).idle_time(Duration::from_millis(1)).build();
    let (begins, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let jobs: Vec<_> = (0..20)
        .map(|_| {
            let (begins, wait) = (begins.clone(), wait.clone());
            pool.submit(move || {
                begins.send(()).unwrap();
                let _ = wait.lock().unwrap().recv();
            })
        })
        .collect();
    // Eight have begun, the others wait for them.
    (0..8).for_each(|_| begun.recv().unwrap());
    assert_eq!(pool.threads(), 8);
    drop(go);
    jobs.iter().for_each(|job| job.wait().unwrap());
    while pool.threads() > 0 {
        thread::yield_now();
    }
    // And others begin.
    assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
}

#[test]
fn a_virtual_clock_stands_still_while_a_pool_works_for_a_task() {
    Runtime::builder().clock(Clock::Virtual).build().run(|| {
        let pool = Pool::new(1);
        let began = time::now();
        let work = |number: u64| {
            thread::sleep(Duration::from_millis(1));
            number
        };
        let done = time::timeout(Duration::from_nanos(1), || {
            pool.map(0..3, work).unwrap();
            pool.imap(0..3, work).for_each(|result| assert!(result.is_ok()));
            pool.submit(move || work(7)).join().unwrap()
        });
        assert_eq!(done.unwrap(), 7);
        assert_eq!(time::now(), began);
    });
}

/// Moments depend on threads here. So this counts turns of another task instead, and has some that come too late.
#[test]
fn a_map_that_is_cancelled_at_any_moment_loses_nothing() {
    let pool = Pool::new(2);
    for turns in 0..200 {
        let begun = AtomicUsize::new(0);
        let mapped = ropewalk::run(|| {
            task::cancel_scope(|scope| {
                let canceller = scope.canceller();
                let cancelling = task::spawn(move || {
                    (0..turns).for_each(|_| task::yield_now());
                    canceller.cancel();
                });
                let mapped = task::checkpoint().and_then(|()| {
                    pool.map([1, 2, 3], |number| {
                        begun.fetch_add(1, Ordering::SeqCst);
                        number
                    })
                });
                task::shield(|| cancelling.join()).unwrap();
                mapped
            })
        });
        let begun = begun.into_inner();
        match mapped {
            Ok(numbers) => assert_eq!((begun, numbers), (3, vec![1, 2, 3])),
            Err(cancelled) => assert!(begun <= 3 && cancelled.reason() == Reason::Requested),
        }
    }
}

#[test]
fn a_task_waits_for_a_thread_of_its_own_and_others_go_on() {
    ropewalk::run(|| {
        let (go, wait) = mpsc::channel();
        let waits = blocking::spawn_thread(move || wait.recv().unwrap());
        task::scope(|s| {
            let joined = s.spawn(|| waits.join().unwrap());
            task::yield_now();
            go.send(7).unwrap();
            assert_eq!(joined.join().unwrap(), 7);
        });
        let failed = blocking::spawn_thread(|| panic!("on its own")).join();
        assert!(
            matches!(failed, Err::<(), _>(JoinError::Panicked(panicked)) if panicked.text() == "on its own")
        );
        let named = Thread::new().name("walker").stack_size(1 << 20);
        let name = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
        assert_eq!(name.join().unwrap().as_deref(), Some("walker"));
    });
}
