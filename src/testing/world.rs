//! What a program under test can ask of its world: that all others wait, that time passes, that chance decides.

use std::time::Duration;

use crate::error::Cancelled;
use crate::scheduler;

/// Waits until every other task waits; trio's `wait_all_tasks_blocked`.
///
/// Before any time passes: a virtual clock stands still until this has returned. Callbacks that are due have run. If
/// several tasks wait so, they all go on.
///
/// ```
/// use ropewalk::lowlevel::{WaitList, Why};
/// use ropewalk::{task, testing};
///
/// testing::run(|| {
///     let line = WaitList::<&str>::new();
///     task::scope(|s| {
///         let waiter = s.spawn(|| line.wait(&Why::new("word")));
///         testing::wait_all_tasks_blocked().unwrap();
///         assert_eq!(line.len(), 1);                        // However long it took it to get there.
///         line.wake_one("done").unwrap();
///         assert_eq!(waiter.join().unwrap(), Ok("done"));
///     });
/// });
/// ```
///
/// With a real clock, a task that sleeps waits, and so does one whose answer is to come from another thread.
///
/// # Errors
///
/// [`Cancelled`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn wait_all_tasks_blocked() -> Result<(), Cancelled> {
    scheduler::wait_until_all_wait()
}

/// Lets time pass at once, as if this task had computed for so long; trio's `MockClock.jump`.
///
/// Nobody else runs meanwhile. What has become due is done when this task waits next, or yields: that is how to test what
/// happens to those who come late. To let others have the time that passes, [`sleep`](crate::time::sleep).
///
/// ```
/// use ropewalk::{testing, time};
/// use std::time::Duration;
///
/// testing::run(|| {
///     let second = Duration::from_secs(1);
///     let late = time::timeout(second, || {
///         testing::advance(2 * second);                     // Too long, and nobody could stop it.
///         time::sleep(second)
///     });
///     assert!(late.is_err());
/// });
/// ```
///
/// # Panics
///
/// If the clock is real, which nobody sets. Outside of [`run`](crate::run).
#[track_caller]
pub fn advance(by: Duration) {
    assert!(scheduler::advance(by), "only a virtual clock can be set forward: this runtime's is real");
}

/// A number below `bound`, which only depends on the runtime's seed and on what was asked before.
///
/// So a program that wants chance can be replayed. The order of tasks does not depend on how often it asks. A runtime
/// without a seed has its tasks in order, and here the numbers of seed 0.
///
/// ```
/// use ropewalk::testing;
///
/// let throws = || (0..5).map(|_| testing::random(6) + 1).collect::<Vec<_>>();
/// assert_eq!(testing::run(throws), testing::run(throws));
/// assert_ne!(testing::run(throws), testing::Setup::new().seed(1).run(throws));
/// ```
///
/// # Panics
///
/// A bound of zero. Outside of [`run`](crate::run).
#[track_caller]
pub fn random(bound: usize) -> usize {
    assert!(bound > 0, "there is no number below zero");
    scheduler::random(bound)
}
