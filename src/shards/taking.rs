//! Who takes jobs, on each shard: a task that begins the shard's own, and one that looks for others when all its tasks wait.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use super::Shard;
use super::team::Job;
use crate::error::Cancelled;
use crate::scheduler;
use crate::scheduler::lowlevel::Why;
use crate::task::{self, Scope};

/// After so long a look at timers and input is due, before the next job. Jobs compute, so that to look after each 64 turns, as the loop does
/// without being asked, would be late; and to look after each job would cost more than a small one.
const A_WHILE: Duration = Duration::from_micros(100);

/// Begins the jobs of this shard, one for each turn.
pub(super) fn take_own<'scope, 'env, 'outer>(
    shard: &'scope Shard<'_, 'outer>,
    scope: &'scope Scope<'scope, 'env>,
) {
    while !shard.is_done.get() {
        match next_own(shard) {
            Some(job) => {
                begin(shard, scope, job);
                take_turns();
            }
            None if shard.added.wait(&Why::new("jobs of its own")).is_err() => return,
            None => {}
        }
    }
}

/// Lets the others go on, and timers and input too when it is time for them.
fn take_turns() {
    task::yield_now();
    if scheduler::time_since_look() > A_WHILE {
        // Timers are looked at when nobody is ready, or after some turns. If all is cancelled, that is known at the next wait too.
        let _ = scheduler::wait_for_look();
    }
}

/// A job that no other shard is asked for. Those that were added here and those that others have sent take turns, so that neither can keep
/// the other from beginning.
fn next_own<'outer>(shard: &Shard<'_, 'outer>) -> Option<Job<'outer>> {
    let added_here = || shard.team.jobs.take_own(&shard.local);
    let sent_here = || shard.team.jobs.take_addressed(shard.index());
    if shard.sent_is_next.replace(!shard.sent_is_next.get()) {
        sent_here().or_else(added_here)
    } else {
        added_here().or_else(sent_here)
    }
}

/// Takes jobs from anybody when all tasks of this shard wait, until there are none and will be none.
pub(super) fn steal<'scope, 'env, 'outer>(
    shard: &'scope Shard<'_, 'outer>,
    scope: &'scope Scope<'scope, 'env>,
) {
    let team = shard.team;
    let mut was_called = false;
    while !team.jobs.is_closed() {
        // Who slept until it was called has nothing else to do. What its tasks wait for has been looked at just before.
        let is_idle = was_called && !scheduler::is_anybody_ready();
        if was_called && !is_idle {
            team.jobs.pass_on(&shard.local);
        }
        was_called = false;
        if !is_idle {
            if let Err(cancelled) = scheduler::wait_until_all_wait() {
                give_up(shard, cancelled);
                break;
            }
        }
        let stolen = || team.jobs.steal(&shard.local).inspect(|_| team.counters(shard.index()).stolen());
        match next_own(shard).or_else(stolen) {
            Some(job) => {
                begin(shard, scope, job);
                task::yield_now();
            }
            None => {
                team.counters(shard.index()).rested();
                if let Err(cancelled) = team.jobs.wait(&shard.local, &Why::new("jobs")) {
                    give_up(shard, cancelled);
                    break;
                }
                was_called = true;
            }
        }
    }
    shard.is_done.set(true);
    shard.added.wake_all(());
}

/// This shard takes no jobs any more. If it is not because the whole was stopped but because all of its runtime is cancelled, as by Ctrl-C, the
/// others would wait for ever for the jobs that are for it alone.
fn give_up(shard: &Shard<'_, '_>, cancelled: Cancelled) {
    if shard.team.stopped().is_none() {
        shard.team.stop(cancelled.reason());
    }
}

fn begin<'scope, 'env, 'outer>(
    shard: &'scope Shard<'_, 'outer>,
    scope: &'scope Scope<'scope, 'env>,
    job: Job<'outer>,
) {
    // Also if it never begins, for want of a stack or because all is cancelled, it is over then.
    let over = shard.team.over();
    scope.spawn_from(job.spawned, move || {
        let _over = over;
        let ended = panic::catch_unwind(AssertUnwindSafe(|| (job.call)(shard)));
        // What a job panics with is its result: this is of the drop of a result that nobody wants.
        ended.unwrap_or_else(|payload| shard.team.fail(payload));
    });
}
