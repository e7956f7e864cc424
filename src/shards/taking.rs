//! Who takes jobs, on each shard: a task that begins the shard's own, and one that looks for others when all its tasks wait.

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
        match shard.team.take_own(&shard.local) {
            Some(job) => {
                begin(shard, scope, job, false);
                task::yield_now();
            }
            None if shard.added.wait(&Why::new("jobs of its own")).is_err() => return,
            None => {}
        }
    }
}

/// Takes jobs from anybody when all tasks of this shard wait, until there are none and will be none.
pub(super) fn steal<'scope, 'env, 'outer>(
    shard: &'scope Shard<'_, 'outer>,
    scope: &'scope Scope<'scope, 'env>,
) {
    let team = shard.team;
    while !team.is_closed() && scheduler::wait_until_all_wait().is_ok() {
        match team.steal(&shard.local) {
            Some((job, was_stolen)) => {
                begin(shard, scope, job, was_stolen);
                task::yield_now();
            }
            None => {
                team.counters(shard.index()).rested();
                if team.wait(&shard.local, &Why::new("jobs")).is_err() {
                    break;
                }
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
    was_stolen: bool,
) {
    shard.team.counters(shard.index()).begun(was_stolen);
    // Also if it never begins, for want of a stack or because all is cancelled, it is over then.
    let over = shard.team.over(shard.index());
    scope.spawn(move || {
        let _over = over;
        job(shard);
    });
}
