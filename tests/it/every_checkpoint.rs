//! Scenarios that are cancelled at every moment at which that makes a difference: enumerated, not sampled.

use ropewalk::{Cancelled, Reason, task, testing};

#[test]
fn a_race_that_is_cancelled_before_its_tasks_begin_is_cancelled() {
    testing::run(|| {
        let raced: Result<(), Cancelled> = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || canceller.cancel());
            task::race(|r| drop(r.add(|| ())))
        });
        assert_eq!(raced.unwrap_err().reason(), Reason::Requested);
        // Each for itself.
        let raced: Result<(), Cancelled> = task::race(|r| drop(r.add(|| ()).cancel()));
        assert_eq!(raced.unwrap_err().reason(), Reason::Requested);
    });
}
