//! Several schedulers, and jobs between them.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::channel::cross;
use ropewalk::net::{ListenOptions, TcpStream};
use ropewalk::select::{Chosen, select};
use ropewalk::shards::{self, ShardStatistics, Shards};
use ropewalk::{Cancelled, Clock, JoinError, Reason, inspect, task, time};

const LONG: Duration = Duration::from_secs(3600);

/// Counts how often it is dropped.
struct Counts<'a>(&'a AtomicUsize);

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits without letting the tasks of this thread go on. False if it took so long that something must be wrong.
fn block_until(is_so: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > Duration::from_secs(20) {
            return false;
        }
        thread::yield_now();
    }
    true
}

fn panic_of(run: impl FnOnce()) -> String {
    let payload = panic::catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap()
}

#[test]
fn each_shard_has_a_thread_and_a_scheduler_and_results_come_in_order() {
    let numbers = [3, 1, 2];
    let seen = Mutex::new(Vec::new());
    let doubled = shards::run(3, |shard| {
        let number = Rc::new(Cell::new(numbers[shard.index()]));
        let task = task::spawn({
            let number = number.clone();
            move || {
                time::sleep(Duration::from_millis(number.get())).unwrap();
                number.set(number.get() * 2);
            }
        });
        task.join().unwrap();
        seen.lock().unwrap().push(thread::current().id());
        number.get()
    });
    assert_eq!(doubled, [6, 2, 4]);
    let mut seen = seen.into_inner().unwrap();
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_job_is_taken_by_a_shard_that_is_idle() {
    // Both jobs are in the middle at the same time, though the first one was added where they were.
    let meeting = Barrier::new(2);
    let threads = shards::run(2, |shard| {
        if shard.index() > 0 {
            return Vec::new();
        }
        let job = |_: &shards::Shard<'_, '_>| {
            meeting.wait();
            thread::current().id()
        };
        let jobs = [shard.spawn(job), shard.spawn(job)];
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    assert_ne!(threads[0][0], threads[0][1]);
}

#[test]
fn a_job_is_taken_though_whoever_added_it_computes() {
    let done = AtomicUsize::new(0);
    shards::run(2, |shard| {
        if shard.index() == 0 {
            let _job = shard.spawn(|_| done.fetch_add(1, Ordering::SeqCst));
            // It waits for nothing that its own scheduler could help with.
            while done.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
        }
    });
    assert_eq!(done.into_inner(), 1);
}

#[test]
fn a_job_is_a_task_that_waits_and_adds_jobs() {
    fn count<'env>(shard: &shards::Shard<'_, 'env>, depth: u32, counted: &'env AtomicUsize) {
        counted.fetch_add(1, Ordering::Relaxed);
        if depth > 0 {
            let below = [0, 1].map(|_| shard.spawn(move |shard| count(shard, depth - 1, counted)));
            time::sleep(Duration::from_micros(10)).unwrap();
            below.into_iter().for_each(|job| job.join().unwrap());
        }
    }
    let counted = AtomicUsize::new(0);
    let statistics = shards::run(3, |shard| {
        if shard.index() == 0 {
            shard.spawn(|shard| count(shard, 9, &counted)).join().unwrap();
        }
        shard.statistics().into_iter().sum::<ShardStatistics>()
    });
    assert_eq!(counted.into_inner(), 1023);
    assert_eq!((statistics[0].spawned, statistics[0].begun, statistics[0].finished), (1023, 1023, 1022 + 1));
}

#[test]
fn a_job_for_one_shard_runs_there() {
    let threads = Mutex::new(Vec::new());
    shards::run(3, |shard| {
        let here = (shard.index(), thread::current().id());
        threads.lock().unwrap().push(here);
        if shard.index() == 0 {
            for index in 0..3 {
                let (at, thread) =
                    shard.spawn_on(index, |shard| (shard.index(), thread::current().id())).join().unwrap();
                assert_eq!(at, index);
                threads.lock().unwrap().push((at, thread));
            }
        }
    });
    let mut threads = threads.into_inner().unwrap();
    threads.sort_by_key(|(index, _)| *index);
    threads.dedup();
    assert_eq!(threads.len(), 3, "each shard has one thread, and the jobs ran there: {threads:?}");
}

#[test]
fn all_jobs_are_done_when_the_whole_returns_joined_or_not() {
    let done = AtomicUsize::new(0);
    shards::run(2, |shard| {
        for _ in 0..1000 {
            drop(shard.spawn(|_| {
                task::yield_now();
                done.fetch_add(1, Ordering::Relaxed)
            }));
        }
    });
    assert_eq!(done.into_inner(), 2000);
}

#[test]
fn the_panic_of_a_body_ends_the_whole() {
    let reasons = Mutex::new(Vec::new());
    let said = panic_of(|| {
        shards::run(3, |shard| {
            if shard.index() == 1 {
                panic!("no rope");
            }
            let cancelled = time::sleep(LONG).unwrap_err();
            reasons.lock().unwrap().push(cancelled.reason());
        });
    });
    assert_eq!(said, "no rope");
    assert_eq!(reasons.into_inner().unwrap(), [Reason::Sibling; 2]);
}

#[test]
fn the_panic_of_a_job_that_nobody_joins_ends_the_whole() {
    for is_early in [true, false] {
        let said = panic_of(|| {
            shards::run(2, |shard| {
                if shard.index() == 0 {
                    let job = shard.spawn(|_| panic!("no job"));
                    if is_early {
                        drop(job);
                    } else {
                        while job.try_join().is_none() {
                            task::yield_now();
                        }
                        let job = shard.spawn(|_| panic!("no job"));
                        time::sleep(Duration::from_millis(1)).unwrap();
                        drop(job);
                    }
                }
                assert!(time::sleep(LONG).is_err());
            });
        });
        assert_eq!(said, "no job");
    }
}

#[test]
fn the_panic_of_a_job_that_is_joined_is_its_result() {
    shards::run(2, |shard| {
        let job = shard.spawn(|_| panic!("no job"));
        assert!(matches!(job.join(), Err(JoinError::Panicked(panic)) if panic.text() == "no job"));
        assert!(matches!(job.join(), Err(JoinError::Taken)));
    });
}

#[test]
fn the_first_error_cancels_the_others_and_is_returned() {
    let cancelled = AtomicUsize::new(0);
    let failed = shards::try_run(3, |shard| {
        if shard.index() == 2 {
            return Err("no rope");
        }
        time::sleep(LONG).map_err(|_| {
            cancelled.fetch_add(1, Ordering::Relaxed);
            "cancelled"
        })
    });
    assert_eq!(failed, Err("no rope"));
    assert_eq!(cancelled.into_inner(), 2);
}

#[test]
fn jobs_that_nobody_has_begun_are_dropped_when_the_whole_is_stopped() {
    let (dropped, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
    shards::run(1, |shard| {
        let add = || {
            let counts = Counts(&dropped);
            let begun = &begun;
            shard.spawn(move |_| {
                let _counts = counts;
                begun.fetch_add(1, Ordering::Relaxed)
            })
        };
        let early = add();
        shard.stop();
        let late = add();
        for job in [early, late] {
            assert!(matches!(job.join(), Err(JoinError::Cancelled(_))));
            let never = task::shield(|| job.join());
            let because = |cancelled: &Cancelled| cancelled.reason() == Reason::Requested;
            assert!(matches!(&never, Err(JoinError::NeverRan(cancelled)) if because(cancelled)), "{never:?}");
        }
    });
    assert_eq!((dropped.into_inner(), begun.into_inner()), (2, 0));
}

#[test]
fn shards_share_a_port() {
    let first = ropewalk::run(|| ListenOptions::new().reuse_port(true).bind("127.0.0.1:0")).unwrap();
    let here = first.local_addr().unwrap();
    let first = Mutex::new(Some(first));
    let (told, asked) = cross::unbounded();
    let client = thread::spawn(move || -> io::Result<Vec<u8>> {
        asked.recv().unwrap();
        asked.recv().unwrap();
        (0..64)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(here)?;
                let mut index = [0];
                stream.read_exact(&mut index)?;
                Ok(index[0])
            })
            .collect()
    });
    let served = shards::run(2, |shard| {
        let listener = match shard.index() {
            0 => first.lock().unwrap().take().unwrap(),
            _ => ListenOptions::new().reuse_port(true).bind(here).unwrap(),
        };
        told.send(()).unwrap();
        let mut served = 0;
        let mut serve = || -> io::Result<()> {
            loop {
                let (mut stream, _): (TcpStream, _) = listener.accept()?;
                stream.write_all(&[shard.index() as u8])?;
                served += 1;
                if shard.count() == 2 {
                    SERVED.fetch_add(1, Ordering::SeqCst);
                }
                if SERVED.load(Ordering::SeqCst) == 64 {
                    shard.stop();
                }
            }
        };
        assert!(Cancelled::is(&serve().unwrap_err()));
        served
    });
    let indices = client.join().unwrap().unwrap();
    assert_eq!(served.iter().sum::<usize>(), 64);
    // The system deals them out by a hash of the ports.
    assert!(served.iter().all(|&served| served > 0), "{served:?} {indices:?}");
}

static SERVED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn tasks_of_different_shards_talk_over_channels() {
    let (sender, receiver) = cross::bounded(1);
    let (back, answers) = cross::bounded(1);
    let sums = shards::run(2, |shard| {
        if shard.index() == 0 {
            (0..100)
                .map(|number| {
                    sender.send(number).unwrap();
                    answers.recv().unwrap()
                })
                .sum::<u64>()
        } else {
            for _ in 0..100 {
                back.send(receiver.recv().unwrap() * 2).unwrap();
            }
            0
        }
    });
    assert_eq!(sums, [9900, 0]);
}

#[test]
fn shards_in_a_task_are_refused_but_go_by_way_of_a_thread() {
    let said = panic_of(|| ropewalk::run(|| drop(shards::run(1, |_| ()))));
    assert!(said.contains("blocking::unblock"), "{said}");
    let counted = ropewalk::run(|| ropewalk::blocking::unblock(|| shards::run(2, |shard| shard.count())));
    assert_eq!(counted, Ok(vec![2, 2]));
    assert!(panic_of(|| drop(Shards::new(0))).contains("at least one"));
}

#[test]
fn a_shard_that_is_pinned_stays_on_one_processor() {
    let allowed = |_: &shards::Shard<'_, '_>| {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        list.trim().to_owned()
    };
    let lists = Shards::new(2).pinned(true).run(allowed);
    assert!(lists.iter().all(|list| list.parse::<usize>().is_ok()), "one each: {lists:?}");
    if thread::available_parallelism().unwrap().get() > 1 {
        assert_ne!(lists[0], lists[1]);
    }
}

#[test]
fn a_shard_whose_runtime_cannot_begin_ends_the_whole() {
    for broken in 0..3 {
        let shards = Shards::new(3).runtime(|index, builder| {
            assert_ne!(index, broken, "no runtime");
            builder
        });
        let said = panic_of(|| {
            shards.run(|_| {
                let cancelled = time::sleep(LONG).unwrap_err();
                assert_eq!(cancelled.reason(), Reason::Sibling);
            });
        });
        assert!(said.contains("no runtime"), "{said}");
    }
}

#[test]
fn a_shard_without_a_thread_ends_the_whole() {
    const CHILD: &str = "ROPEWALK_TEST_SHARD_WITHOUT_A_THREAD";
    if std::env::var_os(CHILD).is_none() {
        // Threads get stacks that no machine has, from the start of the process on.
        let test = std::env::current_exe().unwrap();
        let child = std::process::Command::new(test)
            .args(["--exact", "shards::a_shard_without_a_thread_ends_the_whole", "--test-threads=1"])
            .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let said = panic_of(|| drop(shards::run(2, |_| time::sleep(LONG))));
    assert!(said.starts_with("shard 0 has no thread: "), "{said}");
}

#[test]
fn a_result_that_nobody_wants_and_that_panics_when_it_is_dropped_ends_the_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("no result");
        }
    }
    let said = panic_of(|| {
        shards::run(2, |shard| {
            if shard.index() == 0 {
                drop(shard.spawn(|_| {
                    task::yield_now();
                    Bomb
                }));
            }
            let _ = time::sleep(LONG).unwrap_err();
        });
    });
    assert_eq!(said, "no result");
}

#[test]
fn what_a_job_has_borrowed_is_given_back_when_its_handle_is_forgotten() {
    let dropped = AtomicUsize::new(0);
    shards::run(2, |shard| {
        for _ in 0..100 {
            let counts = Counts(&dropped);
            std::mem::forget(shard.spawn(move |_| {
                let _counts = counts;
                task::yield_now();
            }));
        }
    });
    assert_eq!(dropped.into_inner(), 200);
}

#[test]
fn a_stop_gives_its_reason_to_all_and_lets_them_return() {
    let reasons = shards::run(3, |shard| {
        if shard.index() == 1 {
            shard.stop();
            shard.stop();
        }
        time::sleep(LONG).unwrap_err().reason()
    });
    assert_eq!(reasons, [Reason::Requested; 3]);
}

#[test]
fn a_body_that_begins_after_the_stop_runs_and_its_waits_fail() {
    let stopped = Barrier::new(2);
    let ended = Shards::new(2)
        .runtime(|index, builder| {
            if index == 1 {
                stopped.wait();
            }
            builder
        })
        .run(|shard| {
            if shard.index() == 0 {
                shard.stop();
                stopped.wait();
            }
            time::sleep(LONG).map_err(|cancelled| cancelled.reason())
        });
    assert_eq!(ended, [Err(Reason::Requested); 2]);
}

#[test]
fn a_job_goes_to_a_shard_that_sleeps_and_not_to_one_that_has_not_looked_since_it_was_idle() {
    let (go, gone) = cross::unbounded();
    let (is_resting, is_busy, is_done) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let rested =
        |shard: &shards::Shard<'_, '_>, index: usize| block_until(|| shard.statistics()[index].rested > 0);
    let went_well = shards::run(3, |shard| match shard.index() {
        // It rests after shard 2, so it is the first to be called. When the job is added, it computes.
        1 => {
            let waited = rested(shard, 2);
            is_resting.store(true, Ordering::SeqCst);
            gone.recv().unwrap();
            is_busy.store(true, Ordering::SeqCst);
            waited && block_until(|| is_done.load(Ordering::SeqCst))
        }
        2 => true,
        _ => {
            let waited = block_until(|| is_resting.load(Ordering::SeqCst)) && rested(shard, 1);
            // Both fall asleep by now, or soon.
            time::sleep(Duration::from_millis(5)).unwrap();
            go.send(()).unwrap();
            let waited = waited && block_until(|| is_busy.load(Ordering::SeqCst));
            let _job = shard.spawn(|_| is_done.store(true, Ordering::SeqCst));
            waited && block_until(|| is_done.load(Ordering::SeqCst))
        }
    });
    assert_eq!(went_well, [true; 3]);
}

#[test]
fn jobs_that_are_sent_to_a_shard_do_not_keep_its_own_from_beginning() {
    fn go_on<'env>(shard: &shards::Shard<'_, 'env>, left: usize, is_done: &'env AtomicBool) -> bool {
        if is_done.load(Ordering::SeqCst) {
            return true;
        }
        // The next one is there before this one ends.
        left > 0 && {
            drop(shard.spawn_on(shard.index(), move |shard| assert!(go_on(shard, left - 1, is_done))));
            true
        }
    }
    let is_done = AtomicBool::new(false);
    shards::run(1, |shard| {
        assert!(go_on(shard, 1000, &is_done));
        // If it does not come to that, the last of the others ends the whole.
        let _ = shard.spawn(|_| is_done.store(true, Ordering::SeqCst)).join();
    });
}

#[test]
fn jobs_that_never_end_starve_neither_timers_nor_input_nor_the_body() {
    fn go_on<'env>(shard: &shards::Shard<'_, 'env>, is_done: &'env AtomicBool) {
        if !is_done.load(Ordering::SeqCst) {
            drop(shard.spawn(|shard| go_on(shard, is_done)));
        }
    }
    for count in [1, 2] {
        let is_done = AtomicBool::new(false);
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let other = Mutex::new(Some(other));
        shards::run(count, |shard| {
            if shard.index() > 0 {
                return;
            }
            (0..4).for_each(|_| go_on(shard, &is_done));
            let mut stream = ropewalk::net::UnixStream::from(other.lock().unwrap().take().unwrap());
            let input = task::spawn(move || stream.read(&mut [0]).unwrap());
            time::sleep(Duration::from_millis(2)).unwrap();
            (&one).write_all(b"x").unwrap();
            assert_eq!(input.join().unwrap(), 1);
            is_done.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn between_jobs_that_compute_timers_have_their_turn() {
    let millisecond = Duration::from_millis(1);
    shards::run(1, |shard| {
        let (ended, at_tick) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
        task::spawn({
            let (ended, at_tick) = (ended.clone(), at_tick.clone());
            move || {
                time::sleep(millisecond).unwrap();
                at_tick.set(Some(ended.get()));
            }
        });
        let jobs: Vec<_> = (0..50)
            .map(|_| {
                shard.spawn(move |_| {
                    let began = Instant::now();
                    while began.elapsed() < millisecond {}
                })
            })
            .collect();
        for job in jobs {
            job.join().unwrap();
            ended.set(ended.get() + 1);
        }
        // It was due after the first one.
        assert!(at_tick.get().is_some_and(|ended| ended < 10), "{at_tick:?}");
    });
}

#[test]
fn a_job_is_one_of_several_things_to_wait_for() {
    shards::run(2, |shard| {
        if shard.index() > 0 {
            return;
        }
        let slow = shard.spawn(|_| time::sleep(LONG).is_err());
        let quick = shard.spawn(|_| 42);
        assert!(!slow.is_finished());
        match select((quick.joining(), slow.joining(), time::sleeping(LONG))).unwrap() {
            Chosen::First(result) => assert_eq!(result.unwrap(), 42),
            other => panic!("{other:?}"),
        }
        assert!(quick.is_finished());
        assert!(matches!(quick.try_join(), Some(Err(JoinError::Taken))));
        assert!(matches!(select(quick.joining()), Ok(Err(JoinError::Taken))));
        let failing = shard.spawn(|_| panic!("no job"));
        let said = select((failing.joining(), slow.joining()));
        let panicked =
            |error: &JoinError| matches!(error, JoinError::Panicked(panic) if panic.text() == "no job");
        assert!(matches!(said, Ok(Chosen::First(Err(error))) if panicked(&error)));
        // The handle of the slow one is let go of: it is waited for.
        shard.stop();
    });
}

#[test]
fn a_job_is_shown_where_it_was_added() {
    let (line, seen) = shards::run(1, |shard| {
        let (line, job) = (line!(), shard.spawn(|_| time::sleep(LONG).is_ok()));
        task::yield_now();
        task::yield_now();
        let dump = inspect::dump().to_string();
        shard.stop();
        assert!(!task::shield(|| job.join()).unwrap());
        (line, dump)
    })
    .pop()
    .unwrap();
    let here = format!("{}:{line}", file!());
    assert!(seen.contains(&here), "{here} in {seen}");
}

#[test]
fn shards_in_a_callback_are_refused() {
    let said = ropewalk::run(|| {
        let (told, asked) = cross::unbounded();
        time::call_later(Duration::ZERO, move || {
            told.try_send(panic_of(|| drop(shards::run(1, |_| ())))).unwrap();
        });
        asked.recv().unwrap()
    });
    assert!(said.contains("blocking::unblock"), "{said}");
}

#[test]
fn each_shard_may_have_a_clock_of_its_own() {
    let began = Instant::now();
    let shards = Shards::new(2).runtime(|_, builder| builder.clock(Clock::Virtual));
    assert_eq!(shards.run(|_| time::sleep(LONG).is_ok()), [true; 2]);
    assert!(began.elapsed() < LONG);
}
