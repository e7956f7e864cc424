//! Jobs between shards: each is taken once, whoever waits for them is told when there will be no more, and none is left lying.

use loom::sync::Arc;
use loom::thread;

use crate::explore;
use crate::jobs::Jobs;
use crate::kernel::{self, Cancel};
use crate::scheduler::lowlevel::Why;
use crate::work::Local;

/// Loom counts them, and fails if one is never dropped.
type Job = Arc<()>;

/// Takes jobs until there will be none; how many it had.
fn take_all(jobs: &Jobs<Job>, local: &Local<Job>) -> usize {
    let mut taken = 0;
    while !jobs.is_closed() {
        let own = jobs.take_addressed(local.index()).or_else(|| jobs.take_own(local));
        match own.or_else(|| jobs.steal(local)) {
            Some(_job) => {
                taken += 1;
                jobs.end();
            }
            None => jobs.wait(local, &Why::new("jobs")).unwrap(),
        }
    }
    taken
}

/// A shard whose body does that, and which then takes jobs.
fn shard(
    jobs: &Arc<Jobs<Job>>,
    local: Local<Job>,
    body: impl FnOnce(&Jobs<Job>, &Local<Job>) + Send + 'static,
) -> thread::JoinHandle<usize> {
    let jobs = jobs.clone();
    thread::spawn(move || {
        kernel::task(Cancel::Never, || {
            body(&jobs, &local);
            jobs.end();
            take_all(&jobs, &local)
        })
    })
}

/// So many shards.
fn team<const N: usize>() -> (Arc<Jobs<Job>>, [Local<Job>; N]) {
    let (jobs, locals) = Jobs::new(N);
    (Arc::new(jobs), locals.try_into().ok().unwrap())
}

#[test]
fn jobs_are_taken_once_and_all_shards_end_when_none_is_left() {
    explore(Some(2), || {
        let (jobs, [first, second]) = team();
        let second = shard(&jobs, second, |_, _| {});
        let first = shard(&jobs, first, |jobs, local| {
            assert!(jobs.add(local, Job::new(())) && jobs.add(local, Job::new(())));
        });
        assert_eq!(first.join().unwrap() + second.join().unwrap(), 2);
    });
}

#[test]
fn a_job_that_adds_another_one_keeps_the_work_open() {
    explore(Some(2), || {
        let (jobs, [first, second]) = team();
        let second = shard(&jobs, second, |jobs, local| {
            // If it is stolen first, its adder has gone on to wait, or to the end.
            if jobs.steal(local).is_some() {
                assert!(jobs.add(local, Job::new(())));
                jobs.end();
            }
        });
        let first = shard(&jobs, first, |jobs, local| assert!(jobs.add(local, Job::new(()))));
        let taken = first.join().unwrap() + second.join().unwrap();
        assert_eq!(taken, 1, "either the first one, or the one that it has added");
    });
}

/// Drops what nobody has begun; how many.
fn clear(jobs: &Jobs<Job>) -> usize {
    std::iter::from_fn(|| jobs.clear_one()).inspect(|_| jobs.end()).count()
}

fn add_while_another_one_stops(add: impl Fn(&Jobs<Job>, &Local<Job>) -> bool + Copy + Send + Sync + 'static) {
    explore(Some(3), move || {
        let (jobs, [local]) = team();
        let stopper = thread::spawn({
            let jobs = jobs.clone();
            move || {
                jobs.stop();
                clear(&jobs)
            }
        });
        let mut cleared = 0;
        for _ in 0..2 {
            if !add(&jobs, &local) {
                cleared += clear(&jobs);
            }
        }
        cleared += stopper.join().unwrap();
        assert_eq!(cleared, 2, "none is left lying");
        assert!(jobs.clear_one().is_none() && jobs.is_closed());
    });
}

#[test]
fn a_job_that_is_added_while_all_is_stopped_is_dropped() {
    add_while_another_one_stops(|jobs, local| jobs.add(local, Job::new(())));
}

#[test]
fn a_job_that_is_sent_while_all_is_stopped_is_dropped() {
    add_while_another_one_stops(|jobs, _| jobs.add_for(0, Job::new(())));
}

#[test]
fn a_shard_that_waits_is_told_that_all_is_stopped() {
    explore(Some(3), || {
        let (jobs, [local]) = team();
        let waiting = shard(&jobs, local, |jobs, local| drop(take_all(jobs, local)));
        jobs.stop();
        assert_eq!(waiting.join().unwrap() + clear(&jobs), 0);
    });
}
