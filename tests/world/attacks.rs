//! Programs that misuse what there is for threads, files, children and signals: nothing is lost, and nothing hangs.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ropewalk::blocking::{self, Job, Pool};
use ropewalk::lowlevel::Guest;
use ropewalk::signal::{self, Signal};
use ropewalk::{RunError, Runtime, shards, task, time};

use super::child::{assert_ended_well, in_child};

/// What panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// A test that fails by hanging, or by ending its process: it has one of its own, which is ended if it never comes to an end.
#[track_caller]
fn survive(test: &str, scenario: impl FnOnce()) {
    let output = in_child(test, || {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(20));
            eprintln!("it hangs");
            std::process::exit(99);
        });
        scenario();
    });
    assert_ended_well(&output);
}

fn drive<T: 'static>(guest: &mut Guest<T>, mut until: impl FnMut() -> bool) {
    while !until() {
        assert!(guest.tick().is_none());
        thread::yield_now();
    }
}

#[test]
fn a_payload_that_holds_a_job_of_the_same_scope_is_dropped() {
    survive("attacks::a_payload_that_holds_a_job_of_the_same_scope_is_dropped", || {
        let pool = Pool::new(2);
        let scope = panic::catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                let first = s.submit(|| panic!("first"));
                let held: Job<()> = s.submit(|| panic!("second"));
                first.wait().unwrap();
                held.wait().unwrap();
                drop(first);
                let last = s.submit(move || panic::panic_any(held));
                last.wait().unwrap();
                drop(last);
            });
        }));
        assert_eq!(*scope.unwrap_err().downcast::<&str>().unwrap(), "first");
    });
}

#[test]
fn a_map_whose_calls_panic_with_what_panics_in_its_drop_panics_once() {
    survive("attacks::a_map_whose_calls_panic_with_what_panics_in_its_drop_panics_once", || {
        let pool = Pool::new(2);
        let both = Barrier::new(2);
        let mapped = panic::catch_unwind(AssertUnwindSafe(|| {
            pool.map(0..2, |_| -> u32 {
                both.wait();
                panic::panic_any(Bomb)
            })
        }));
        let payload = mapped.unwrap_err();
        assert!(payload.is::<Bomb>());
        std::mem::forget(payload);
        assert_eq!(pool.map(0..2, |n| n), Ok(vec![0, 1]));
    });
}

#[test]
fn an_imap_whose_calls_panic_with_what_panics_in_its_drop_panics_once() {
    survive("attacks::an_imap_whose_calls_panic_with_what_panics_in_its_drop_panics_once", || {
        let pool = Pool::new(1);
        let mapped = panic::catch_unwind(AssertUnwindSafe(|| {
            let call = |n: u32| {
                if n > 0 {
                    panic::panic_any(Bomb)
                }
            };
            let mut results = pool.imap(0..3, call).ahead(3);
            assert_eq!(results.next(), Some(Ok(())));
            // All are done then.
            pool.submit(|| ()).join().unwrap();
            results.next()
        }));
        let payload = mapped.unwrap_err();
        assert!(payload.is::<Bomb>());
        std::mem::forget(payload);
        assert_eq!(pool.map(0..2, |n| n), Ok(vec![0, 1]));
    });
}

#[test]
fn a_job_that_is_dropped_in_an_unwinding_may_have_what_panics_in_its_drop() {
    survive("attacks::a_job_that_is_dropped_in_an_unwinding_may_have_what_panics_in_its_drop", || {
        let pool = Pool::new(1);
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            let job: Job<()> = pool.submit(|| panic::panic_any(Bomb));
            job.wait().unwrap();
            panic!("with it");
        }));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "with it");
    });
}

#[test]
fn a_guest_that_a_job_forgets_does_not_count_for_its_thread() {
    survive("attacks::a_guest_that_a_job_forgets_does_not_count_for_its_thread", || {
        let pool = Pool::new(1);
        let (release, blocked) = mpsc::channel::<()>();
        let job = pool.submit(move || {
            let begun = Arc::new(AtomicUsize::new(0));
            let its = begun.clone();
            let first = move || {
                blocking::unblock(move || {
                    its.store(1, Ordering::SeqCst);
                    let _ = blocked.recv();
                })
            };
            let mut guest = Guest::new(&Runtime::new(), first).unwrap();
            drive(&mut guest, || begun.load(Ordering::SeqCst) == 1);
            std::mem::forget(guest);
        });
        job.join().unwrap();
        assert_eq!(pool.threads(), 1);
        // Never more than one at a time.
        let working = Arc::new(AtomicUsize::new(0));
        let jobs: Vec<_> = (0..20)
            .map(|_| {
                let working = working.clone();
                pool.submit(move || {
                    let now = working.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(1));
                    working.fetch_sub(1, Ordering::SeqCst);
                    now
                })
            })
            .collect();
        let most = jobs.into_iter().map(|job| job.join().unwrap()).max();
        pool.shutdown().unwrap();
        assert_eq!(most, Some(0));
        drop(release);
    });
}

#[test]
fn a_job_of_other_shards_that_has_failed_leaves_these_alone() {
    survive("attacks::a_job_of_other_shards_that_has_failed_leaves_these_alone", || {
        let held = AtomicUsize::new(0);
        let ran = panic::catch_unwind(|| {
            shards::run(1, |outer| {
                let job = outer.spawn(|_| -> () { panic!("outer") });
                while !job.is_finished() {
                    task::yield_now();
                }
                let job = Mutex::new(Some(job));
                let inner = blocking::unblock(|| {
                    shards::run(1, |_| {
                        drop(job.lock().unwrap().take());
                        time::sleep(Duration::from_millis(1))
                    })
                });
                assert_eq!(inner, Ok(vec![Ok(())]));
                held.store(1, Ordering::SeqCst);
            });
        });
        assert_eq!(held.load(Ordering::SeqCst), 1);
        assert_eq!(*ran.unwrap_err().downcast::<&str>().unwrap(), "outer");
    });
}

#[test]
fn shards_of_which_one_is_cancelled_by_a_signal_end() {
    survive("attacks::shards_of_which_one_is_cancelled_by_a_signal_end", || {
        let (sent, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = shards::run(2, |shard| {
            if shard.index() == 0 {
                signal::cancel_on([Signal::USR1]).unwrap();
                sent.store(1, Ordering::SeqCst);
                Signal::USR1.raise().unwrap();
                let slept = time::sleep(Duration::from_secs(3600)).is_err();
                told.store(1, Ordering::SeqCst);
                return slept;
            }
            while told.load(Ordering::SeqCst) == 0 {
                if time::sleep(Duration::from_millis(1)).is_err() {
                    break;
                }
            }
            let _ = task::shield(|| time::sleep(Duration::from_millis(20)));
            shard.spawn_on(0, |_| ()).join().is_err()
        });
        assert_eq!(results, [true, true]);
    });
}

fn threads_called(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|its| its.trim() == name).count()
}

#[test]
fn a_thread_that_watches_for_signals_ends_though_one_comes_at_the_end() {
    survive("attacks::a_thread_that_watches_for_signals_ends_though_one_comes_at_the_end", || {
        let keep = signal::Signals::new([Signal::USR1]).unwrap();
        for round in 0..1500_u32 {
            ropewalk::run(|| {
                signal::cancel_on([Signal::USR1]).unwrap();
                Signal::USR1.raise().unwrap();
                for _ in 0..round % 400 {
                    std::hint::spin_loop();
                }
            });
        }
        drop(keep);
        let mut left = usize::MAX;
        for _ in 0..200 {
            left = threads_called("ropewalk-signal");
            if left == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(left, 0);
    });
}

#[test]
fn a_guest_that_a_panic_drops_sees_its_tasks_end() {
    survive("attacks::a_guest_that_a_panic_drops_sees_its_tasks_end", || {
        let ended = std::rc::Rc::new(Cell::new(0));
        let its = ended.clone();
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            let begun = Arc::new(AtomicUsize::new(0));
            let is_begun = begun.clone();
            let mut guest = Guest::new(&Runtime::new(), move || {
                let (say, hear) = mpsc::channel();
                let other = task::spawn({
                    let its = its.clone();
                    move || {
                        let slept = time::sleep(Duration::from_secs(3600));
                        assert!(slept.is_err());
                        assert_eq!(blocking::unblock(|| 1).map_err(drop), Err(()));
                        its.set(its.get() + 1);
                        say.send(()).unwrap();
                    }
                });
                let sleeper = task::spawn(|| task::shield(|| time::sleep(Duration::from_millis(2))));
                let heard = blocking::unblock(move || {
                    begun.store(1, Ordering::SeqCst);
                    hear.recv().unwrap();
                });
                its.set(its.get() + 10);
                drop((heard, other, sleeper));
            })
            .unwrap();
            drive(&mut guest, || is_begun.load(Ordering::SeqCst) == 1);
            panic!("the host");
        }));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "the host");
        assert_eq!(ended.get(), 11);
        assert_eq!(ropewalk::run(|| 3), 3);
    });
}

thread_local! {
    static KEPT: RefCell<Option<Guest<()>>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
}

fn busy_guest(begun: &Arc<AtomicUsize>, ended: &Arc<AtomicUsize>) -> Guest<()> {
    let (begun, ended) = (begun.clone(), ended.clone());
    Guest::new(&Runtime::new(), move || {
        let child = task::spawn({
            let ended = ended.clone();
            move || {
                assert!(time::sleep(Duration::from_secs(3600)).is_err());
                ended.fetch_add(1, Ordering::SeqCst);
            }
        });
        let unblocked = task::spawn({
            let begun = begun.clone();
            move || {
                blocking::unblock(|| {
                    begun.store(1, Ordering::SeqCst);
                    while blocking::cancelled().is_none() {
                        thread::yield_now();
                    }
                })
            }
        });
        drop((child.join(), unblocked));
        ended.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap()
}

#[test]
fn a_guest_that_goes_with_its_thread_sees_its_tasks_end() {
    survive("attacks::a_guest_that_goes_with_its_thread_sees_its_tasks_end", || {
        for early in [true, false] {
            let ended = Arc::new(AtomicUsize::new(0));
            let its = ended.clone();
            let thread = thread::spawn(move || {
                if early {
                    KEPT.with(|_| ());
                }
                let begun = Arc::new(AtomicUsize::new(0));
                let mut guest = busy_guest(&begun, &its);
                drive(&mut guest, || begun.load(Ordering::SeqCst) == 1);
                KEPT.set(Some(guest));
            });
            thread.join().unwrap();
            assert_eq!(ended.load(Ordering::SeqCst), 2);
        }
        // On a thread of a pool.
        let pool = Pool::new(1);
        let ended = Arc::new(AtomicUsize::new(0));
        let its = ended.clone();
        pool.submit(move || {
            let begun = Arc::new(AtomicUsize::new(0));
            let mut guest = busy_guest(&begun, &its);
            drive(&mut guest, || begun.load(Ordering::SeqCst) == 1);
            KEPT.set(Some(guest));
        })
        .join()
        .unwrap();
        pool.submit(|| ()).join().unwrap();
        pool.shutdown().unwrap();
        while ended.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
    });
}

/// Whether this is in a job of a pool's.
fn pool_is_at_work() -> bool {
    blocking::run_in_task(|| ()).is_err()
}

/// What uses the library when its thread ends.
struct AtTheEnd(Arc<AtomicUsize>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let pool = Pool::new(1);
        assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
        assert_eq!(pool.map(0..3, |n| n), Ok(vec![0, 1, 2]));
        assert_eq!(ropewalk::run(|| blocking::unblock(|| blocking::run_in_task(|| 2).unwrap())), Ok(2));
        assert_eq!(ropewalk::run(|| blocking::unblock_cpu(|| 2)), Ok(2));
        assert_eq!(shards::run(2, |shard| shard.spawn(|_| 1).join().unwrap()), [1, 1]);
        assert_eq!(blocking::cancelled(), None);
        assert_eq!(blocking::unblock(|| 1), Ok(1));
        // Where the next one is put there, that is in a job, which has no task; else it is called right here.
        assert!(blocking::run_in_task(|| 1).is_ok_and(|one| one == 1) || pool_is_at_work());
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn threads_of_pools_may_use_the_library_at_their_end() {
    survive("attacks::threads_of_pools_may_use_the_library_at_their_end", || {
        let ended = Arc::new(AtomicUsize::new(0));
        let pool = Pool::new(2);
        for early in [true, false] {
            let its = ended.clone();
            let job = pool.submit(move || {
                if early {
                    LATE.set(Some(Box::new(AtTheEnd(its.clone()))));
                }
                assert_eq!(ropewalk::run(|| blocking::unblock(|| 1)), Ok(1));
                if !early {
                    LATE.set(Some(Box::new(AtTheEnd(its.clone()))));
                }
            });
            job.join().unwrap();
        }
        let its = ended.clone();
        blocking::spawn_thread(move || LATE.set(Some(Box::new(AtTheEnd(its))))).join().unwrap();
        pool.shutdown().unwrap();
        while ended.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_name_that_no_thread_can_have_is_refused_where_it_is_said() {
    let built = panic::catch_unwind(|| Pool::builder().name("a\0b"));
    assert!(built.is_err());
}

#[test]
fn what_a_host_spawns_when_its_guest_is_done_is_gone_with_it() {
    survive("attacks::what_a_host_spawns_when_its_guest_is_done_is_gone_with_it", || {
        let held = std::rc::Rc::new(());
        for kept in [true, false] {
            let mut guest = Guest::new(&Runtime::new(), || 7).unwrap();
            let result = loop {
                if let Some(result) = guest.tick() {
                    break result;
                }
            };
            assert_eq!(result.unwrap(), 7);
            let its = held.clone();
            let late = task::spawn(move || drop(its));
            let its = held.clone();
            let _timer = time::call_later(Duration::ZERO, move || drop(its));
            if kept {
                drop(guest);
                assert!(late.is_finished());
                drop(late);
            } else {
                drop(late);
                drop(guest);
            }
            assert_eq!(std::rc::Rc::strong_count(&held), 1);
            assert_eq!(ropewalk::run(|| 3), 3);
        }
    });
}

#[test]
fn a_scope_of_the_host_between_turns_is_sound() {
    survive("attacks::a_scope_of_the_host_between_turns_is_sound", || {
        let mut guest = Guest::new(&Runtime::new(), || time::sleep(Duration::from_millis(2))).unwrap();
        let mut count = 0;
        let result = loop {
            if let Some(result) = guest.tick() {
                break result;
            }
            let text = String::from("on the host's stack");
            let scoped = panic::catch_unwind(AssertUnwindSafe(|| {
                task::scope(|s| {
                    s.spawn(|| text.len());
                })
            }));
            drop(text);
            count += usize::from(scoped.is_ok());
        };
        assert_eq!(result.unwrap(), Ok(()));
        println!("{count}");
    });
}

#[test]
fn a_job_selects_the_job_of_its_own_pool() {
    survive("attacks::a_job_selects_the_job_of_its_own_pool", || {
        let pool = Arc::new(Pool::new(1));
        let its = pool.clone();
        let job = pool.submit(move || {
            ropewalk::run(|| {
                let inner = its.submit(|| 5);
                ropewalk::select::select(inner.joining()).unwrap().unwrap()
            })
        });
        assert_eq!(job.join().unwrap(), 5);
    });
}

#[test]
fn a_job_that_closes_another_pool_makes_room_for_what_that_waits_for() {
    survive("attacks::a_job_that_closes_another_pool_makes_room_for_what_that_waits_for", || {
        let (one, two) = (Arc::new(Pool::new(1)), Arc::new(Pool::new(1)));
        let (go, wait) = mpsc::channel::<()>();
        let its = one.clone();
        let inner = two.submit(move || {
            wait.recv().unwrap();
            its.submit(|| 5).join().unwrap()
        });
        let its = two.clone();
        let closing = one.submit(move || {
            go.send(()).unwrap();
            its.shutdown().unwrap();
        });
        assert_eq!(inner.join().unwrap(), 5);
        closing.join().unwrap();
    });
}

#[test]
fn computations_that_run_shards_make_room_for_what_those_compute() {
    survive("attacks::computations_that_run_shards_make_room_for_what_those_compute", || {
        let processors = thread::available_parallelism().unwrap().get();
        let all = Barrier::new(processors);
        let sums = ropewalk::run(|| {
            let all = &all;
            task::gather((0..processors).map(|_| {
                move || {
                    blocking::unblock_cpu(|| {
                        all.wait();
                        shards::run(1, |_| blocking::unblock_cpu(|| 1).unwrap())
                    })
                    .unwrap()
                }
            }))
        });
        assert!(sums.into_iter().all(|sum| sum.unwrap() == [1]));
    });
}

#[test]
fn a_scope_whose_body_and_job_panic_with_what_panics_in_its_drop_panics_once() {
    survive("attacks::a_scope_whose_body_and_job_panic_with_what_panics_in_its_drop_panics_once", || {
        let pool = Pool::new(1);
        let scope = panic::catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|s| {
                let job: Job<()> = s.submit(|| panic::panic_any(Bomb));
                job.wait().unwrap();
                drop(job);
                panic!("body");
            })
        }));
        assert_eq!(*scope.unwrap_err().downcast::<&str>().unwrap(), "body");
    });
}

#[test]
fn every_signal_is_listened_to_or_refused() {
    survive("attacks::every_signal_is_listened_to_or_refused", || {
        let all = (1..=64).filter_map(Signal::from_raw);
        let heard: Vec<_> =
            all.filter_map(|signal| Some((signal, signal::Signals::new([signal]).ok()?))).collect();
        assert!(heard.len() > 20);
        for (signal, stream) in &heard {
            signal.raise().unwrap();
            assert_eq!(stream.try_recv(), Some(*signal));
        }
    });
}

#[test]
fn a_guest_without_descriptors_is_an_error_and_leaves_its_thread_free() {
    survive("attacks::a_guest_without_descriptors_is_an_error_and_leaves_its_thread_free", || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        for most in 0..12 {
            setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
            let made = Guest::new(&Runtime::new(), || ()).is_ok();
            setrlimit(Resource::Nofile, limit).unwrap();
            assert!(!made || most > 3);
            assert_eq!(ropewalk::run(|| time::sleep(Duration::from_millis(1))), Ok(()));
        }
    });
}

#[test]
fn streams_that_come_and_go_on_many_threads_hear_what_comes_meanwhile() {
    survive("attacks::streams_that_come_and_go_on_many_threads_hear_what_comes_meanwhile", || {
        // By default it is ignored.
        let all: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(|| {
                    for _ in 0..500 {
                        let stream = signal::Signals::new([Signal::WINCH, Signal::URG]).unwrap();
                        Signal::WINCH.raise().unwrap();
                        Signal::URG.raise().unwrap();
                        let mut heard = [stream.try_recv(), stream.try_recv()];
                        heard.sort();
                        let mut all = [Some(Signal::WINCH), Some(Signal::URG)];
                        all.sort();
                        assert_eq!(heard, all);
                    }
                })
            })
            .collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_task_that_is_cancelled_while_it_does_something_for_a_call_answers_it() {
    for seed in 0..20 {
        let runtime = Runtime::builder().seed(seed).build();
        runtime.run(|| {
            let ended = time::timeout(Duration::from_millis(1), || {
                blocking::unblock(|| {
                    let slept = blocking::run_in_task(|| time::sleep(Duration::from_secs(3600))).unwrap();
                    assert!(slept.is_err());
                    assert!(blocking::run_in_task(|| time::sleep(Duration::ZERO)).unwrap().is_err());
                    let shielded = || task::shield(|| time::sleep(Duration::from_millis(1)));
                    blocking::run_in_task(shielded).unwrap().unwrap();
                    blocking::run_in_task(|| blocking::unblock(|| 1).is_err()).unwrap()
                })
            });
            assert!(matches!(ended, Ok(Ok(true)) | Err(_)));
        });
    }
}

#[test]
fn calls_that_are_abandoned_while_they_ask_their_task_are_answered_or_told() {
    survive("attacks::calls_that_are_abandoned_while_they_ask_their_task_are_answered_or_told", || {
        let (answered, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for round in 0..200_u64 {
            let (answered, told) = (answered.clone(), told.clone());
            ropewalk::run(|| {
                let _ = time::timeout(Duration::from_micros(round * 5), || {
                    blocking::unblock_or_abandon(move || {
                        for _ in 0..100 {
                            match blocking::run_in_task(|| time::sleep(Duration::from_micros(10)).is_ok()) {
                                Ok(_) => answered.fetch_add(1, Ordering::SeqCst),
                                Err(_) => told.fetch_add(1, Ordering::SeqCst),
                            };
                        }
                    })
                });
            });
        }
        while blocking::statistics().threads > blocking::statistics().idle {
            thread::sleep(Duration::from_millis(1));
        }
        let (answered, told) = (answered.load(Ordering::SeqCst), told.load(Ordering::SeqCst));
        assert_eq!((answered + told) % 100, 0);
        assert!(answered > 0 && told > 0);
    });
}

#[test]
fn a_pool_whose_threads_wait_for_ever_or_not_at_all_does_its_jobs() {
    for time in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1)] {
        let pool = Pool::builder().threads(2).idle_time(time).build();
        for number in 0..50 {
            assert_eq!(pool.submit(move || number).join().unwrap(), number);
        }
        assert_eq!(pool.map(0..50, |n| n).unwrap().len(), 50);
        pool.shutdown().unwrap();
    }
}

#[test]
fn a_call_asks_a_task_of_a_guest_between_turns() {
    let mut guest = Guest::new(&Runtime::new(), || {
        let number = std::rc::Rc::new(Cell::new(0));
        let its = number.clone();
        HERE.set(Some(its));
        blocking::unblock(|| {
            for _ in 0..10 {
                blocking::run_in_task(|| {
                    time::sleep(Duration::from_micros(50)).unwrap();
                    HERE.with_borrow(|here| here.as_ref().map(|number| number.set(number.get() + 1)));
                })
                .unwrap();
            }
        })
        .unwrap();
        HERE.set(None);
        number.get()
    })
    .unwrap();
    let result = loop {
        if let Some(result) = guest.tick() {
            break result;
        }
        assert!(blocking::unblock(|| 1).is_err());
        assert!(Pool::new(1).map(0..3, |n| n).is_err());
        let limit = guest.limit().map(|limit| rustix::event::Timespec::try_from(limit).unwrap());
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&guest, rustix::event::PollFlags::IN)],
            limit.as_ref(),
        )
        .unwrap();
    };
    assert_eq!(result.unwrap(), 10);
}

thread_local! {
    static HERE: RefCell<Option<std::rc::Rc<Cell<u32>>>> = const { RefCell::new(None) };
}

#[test]
fn what_is_put_in_the_place_of_standard_input_while_a_task_reads_is_read_next() {
    survive("attacks::what_is_put_in_the_place_of_standard_input_while_a_task_reads_is_read_next", || {
        use std::io::{Read, Write};
        let (old, old_writer) = std::io::pipe().unwrap();
        let (new, mut new_writer) = std::io::pipe().unwrap();
        rustix::stdio::dup2_stdin(&old).unwrap();
        ropewalk::run(|| {
            let mut byte = [0];
            let early = time::timeout(Duration::from_millis(1), || ropewalk::io::stdin().read(&mut byte));
            assert!(early.is_err());
            let mut already = 0;
            task::scope(|s| {
                let reading = s.spawn(|| {
                    let mut byte = [0];
                    let read =
                        time::timeout(Duration::from_millis(5), || ropewalk::io::stdin().read(&mut byte));
                    read.map_or(0, |read| read.unwrap())
                });
                time::sleep(Duration::from_millis(1)).unwrap();
                rustix::stdio::dup2_stdin(&new).unwrap();
                new_writer.write_all(b"xyz").unwrap();
                // What was there when it began to wait, or what is there now.
                already = reading.join().unwrap();
            });
            ropewalk::io::stdin().read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], b"xy"[already]);
            // A folder, and nothing at all.
            rustix::stdio::dup2_stdin(std::fs::File::open("/").unwrap()).unwrap();
            let mut rest = Vec::new();
            let read = ropewalk::io::stdin().read_to_end(&mut rest);
            assert!(read.is_err(), "{rest:?}");
            assert_eq!(rest, &b"yz"[already..]);
            rustix::stdio::dup2_stdin(&old_writer).unwrap();
            assert!(ropewalk::io::stdin().read(&mut byte).is_err());
            rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null").unwrap()).unwrap();
            assert_eq!(ropewalk::io::stdin().read(&mut byte).unwrap(), 0);
            // A disk that is full.
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            rustix::stdio::dup2_stdout(&full).unwrap();
            let written = writeln!(ropewalk::io::stdout(), "rope");
            assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        });
    });
}

#[test]
fn a_call_under_the_last_token_that_has_its_task_make_another_is_a_deadlock_and_found() {
    let deadlock = Runtime::new().try_run(|| {
        blocking::limiter().set_limit(1);
        blocking::unblock(|| blocking::run_in_task(|| blocking::unblock(|| 1)).unwrap())
    });
    assert!(matches!(deadlock, Err(RunError::Deadlock { value: Ok(Err(_)), .. })), "{deadlock:?}");
}

/// A folder that goes with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ropewalk-attacks-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_whose_calls_are_cut_short_are_as_those_say() {
    use std::io::{Read, Seek, Write};
    let folder = Folder::new("random");
    let path = folder.0.join("file");
    std::fs::write(&path, vec![7_u8; 1 << 16]).unwrap();
    ropewalk::run(|| {
        for round in 0..600_u64 {
            let limit = Duration::from_micros(round % 60);
            let path = &path;
            // opened or not
            let opened = time::timeout(limit, || ropewalk::fs::File::open(path));
            let mut file = match opened {
                Ok(Ok(file)) => file,
                Ok(Err(e)) => panic!("{e}"),
                Err(_) => ropewalk::fs::File::open(path).unwrap(),
            };
            let mut buffer = vec![0_u8; 1 << 15];
            let before = file.stream_position().unwrap();
            let read = Ok::<_, ()>(
                time::timeout(limit, || file.read(&mut buffer)).unwrap_or_else(|late| late.into_inner()),
            );
            let after = file.stream_position().unwrap();
            match read {
                Ok(Ok(count)) => assert_eq!(after, before + count as u64),
                Ok(Err(e)) => {
                    assert!(ropewalk::Cancelled::is(&e), "{e}");
                    assert_eq!(after, before)
                }
                Err(_) => assert_eq!(after, before),
            }
            let new = path.with_extension("new");
            let mut made = None;
            let wrote = time::timeout(limit, || {
                let f = ropewalk::fs::File::create_new(&new);
                made = Some(f.is_ok());
                f.map(drop)
            });
            assert_eq!(new.exists(), made == Some(true), "{wrote:?}");
            let _ = std::fs::remove_file(&new);
        }
        // appenders
        let log = folder.0.join("log");
        let done: Vec<_> = task::gather((0..8_u8).map(|n| {
            let log = &log;
            move || {
                let mut file = ropewalk::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
                let mut count = 0;
                for round in 0..50_u64 {
                    let line = vec![b'a' + n; 1000];
                    let wrote = time::timeout(Duration::from_micros(round * 3), || file.write(&line))
                        .unwrap_or_else(|late| late.into_inner());
                    if let Ok(c) = wrote {
                        assert_eq!(c, 1000);
                        count += 1;
                    }
                }
                count
            }
        }))
        .into_iter()
        .map(|c| c.unwrap())
        .collect();
        let all = std::fs::read(&log).unwrap();
        assert_eq!(all.len(), 1000 * done.iter().sum::<usize>());
        for line in all.chunks(1000) {
            assert!(line.iter().all(|b| *b == line[0]));
        }
    });
}

#[test]
fn a_guest_that_is_dropped_or_forgotten_while_it_opens_a_file_does_not_hang() {
    survive("attacks::a_guest_that_is_dropped_or_forgotten_while_it_opens_a_file_does_not_hang", || {
        let folder = Folder::new("guest");
        let fifo = folder.0.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        let path = fifo.clone();
        for ticks in 0..6 {
            let path = path.clone();
            let mut guest = Guest::new(&Runtime::new(), move || {
                let opened = ropewalk::fs::File::open(&path);
                assert!(opened.is_err());
                let read = ropewalk::fs::read(&path);
                assert!(read.is_err());
            })
            .unwrap();
            for _ in 0..ticks {
                assert!(guest.tick().is_none());
                thread::sleep(Duration::from_millis(1));
            }
            drop(guest);
        }
        // forgotten with the open in flight; the thread ends.
        thread::spawn(move || {
            let path = fifo.clone();
            let mut guest =
                Guest::new(&Runtime::new(), move || ropewalk::fs::File::open(&path).map(drop)).unwrap();
            for _ in 0..3 {
                assert!(guest.tick().is_none());
            }
            std::mem::forget(guest);
        })
        .join()
        .unwrap();
        assert_eq!(ropewalk::run(|| 1), 1);
    });
}

#[test]
fn a_file_is_written_while_a_thread_ends() {
    survive("attacks::a_file_is_written_while_a_thread_ends", || {
        struct Last(std::path::PathBuf);
        impl Drop for Last {
            fn drop(&mut self) {
                let path = &self.0;
                ropewalk::run(|| {
                    ropewalk::fs::write(path, "rope").unwrap();
                    assert_eq!(ropewalk::fs::read_to_string(path).unwrap(), "rope");
                    ropewalk::fs::remove_file(path).unwrap();
                });
                ropewalk::fs::write(path, "rope").unwrap();
                std::fs::write(path.with_extension("done"), "").unwrap();
            }
        }
        let folder = Folder::new("tls");
        for early in [true, false] {
            let path = folder.0.join(format!("{early}"));
            let its = path.clone();
            thread::spawn(move || {
                if early {
                    LATE.set(Some(Box::new(Last(its.clone()))));
                }
                ropewalk::run(|| ropewalk::fs::write(its.with_extension("x"), "").unwrap());
                if !early {
                    LATE.set(Some(Box::new(Last(its.clone()))));
                }
            })
            .join()
            .unwrap();
            assert!(path.with_extension("done").exists());
        }
    });
}

#[test]
fn a_guest_that_is_dropped_waits_for_what_is_shielded() {
    survive("attacks::a_guest_that_is_dropped_waits_for_what_is_shielded", || {
        use std::io::{Read, Write};
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (read, slept) = (std::rc::Rc::new(Cell::new(0)), std::rc::Rc::new(Cell::new(false)));
        let (its_read, its_slept) = (read.clone(), slept.clone());
        let mut guest = Guest::new(&Runtime::new(), move || {
            task::scope(|s| {
                s.spawn(|| {
                    its_slept.set(task::shield(|| time::sleep(Duration::from_millis(5))).is_ok());
                });
                let mut reader =
                    ropewalk::io::PipeReader::try_from(std::os::fd::OwnedFd::from(reader)).unwrap();
                its_read.set(task::shield(|| reader.read(&mut [0; 9])).unwrap());
            });
        })
        .unwrap();
        assert!(guest.tick().is_none());
        let writing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            writer.write_all(b"rope").unwrap();
        });
        drop(guest);
        assert_eq!((read.get(), slept.get()), (4, true));
        writing.join().unwrap();
    });
}

#[test]
fn a_host_that_waits_for_the_descriptor_hears_of_every_call_of_a_thread() {
    survive("attacks::a_host_that_waits_for_the_descriptor_hears_of_every_call_of_a_thread", || {
        let mut guest = Guest::new(&Runtime::new(), || {
            let asks = || (0..2000).filter(|_| blocking::run_in_task(|| task::yield_now()).is_ok()).count();
            let others = task::spawn(move || blocking::unblock(asks));
            (blocking::unblock(asks), others.join().unwrap())
        })
        .unwrap();
        let result = loop {
            if let Some(result) = guest.tick() {
                break result;
            }
            let limit = guest.limit().map(|limit| rustix::event::Timespec::try_from(limit).unwrap());
            let descriptor = rustix::event::PollFd::new(&guest, rustix::event::PollFlags::IN);
            rustix::event::poll(&mut [descriptor], limit.as_ref()).unwrap();
        };
        assert_eq!(result.unwrap(), (Ok(2000), Ok(2000)));
    });
}
