//! Who takes jobs, on each shard: a task that begins the shard's own, and one that looks for others when all its tasks wait.

use std::panic::{self, AssertUnwindSafe};

use super::Shard;
use super::team::Job;
use crate::scheduler;
use crate::scheduler::lowlevel::Why;
use crate::task::{self, Scope};

/// Begins the jobs of this shard, one for each turn.
pub(super) fn take_own<'scope, 'env, 'outer>(
    shard: &'scope Shard<'_, 'outer>,
    scope: &'scope Scope<'scope, 'env>,
) {
    while !shard.is_done.get() {
        match next_own(shard) {
            Some(job) => {
                begin(shard, scope, job);
                task::yield_now();
            }
            None if shard.added.wait(&Why::new("jobs of its own")).is_err() => return,
            None => {}
        }
    }
}

/// A job that no other shard is asked for. Those that were added here and those that others have sent take turns, so that neither can keep
/// the other from beginning.
fn next_own<'outer>(shard: &Shard<'_, 'outer>) -> Option<Job<'outer>> {
    let added_here = || shard.team.take_own(&shard.local);
    let sent_here = || shard.team.take_addressed(shard.index());
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
    while !team.is_closed() {
        // Who slept until it was called has nothing else to do. What its tasks wait for has been looked at just before.
        let is_idle = was_called && !scheduler::is_anybody_ready();
        if was_called && !is_idle {
            team.pass_on(&shard.local);
        }
        was_called = false;
        if !is_idle && scheduler::wait_until_all_wait().is_err() {
            break;
        }
        let stolen = || team.steal(&shard.local).inspect(|_| team.counters(shard.index()).stolen());
        match next_own(shard).or_else(stolen) {
            Some(job) => {
                begin(shard, scope, job);
                task::yield_now();
            }
            None => {
                team.counters(shard.index()).rested();
                if team.wait(&shard.local, &Why::new("jobs")).is_err() {
                    break;
                }
                was_called = true;
            }
        }
    }
    shard.is_done.set(true);
    shard.added.wake_all(());
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
