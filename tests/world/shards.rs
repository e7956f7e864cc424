//! Several schedulers, and jobs between them.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use ropewalk::channel::cross;
use ropewalk::net::{ListenOptions, TcpStream};
use ropewalk::shards::{self, ShardStatistics, Shards};
use ropewalk::{Cancelled, JoinError, Reason, task, time};

const LONG: Duration = Duration::from_secs(3600);

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
    assert_eq!(reasons.into_inner().unwrap(), [Reason::Requested; 2]);
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
    struct Counts<'a>(&'a AtomicUsize);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
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
            assert!(matches!(never, Err(JoinError::NeverRan(_))), "{never:?}");
        }
    });
    assert_eq!((dropped.into_inner(), begun.into_inner()), (2, 0));
}

#[test]
fn shards_share_a_port() {
    let first = ropewalk::run(|| ListenOptions::new().reuse_port(true).bind("127.0.0.1:0")).unwrap();
    let here = first.local_addr().unwrap();
    let both = Barrier::new(3);
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
    drop(both);
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
