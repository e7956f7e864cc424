//! One program, cancelled at every moment at which that can make a difference: enumerated, not sampled.
//!
//! Words: a *moment* is a point at which a cancellation could come as a task sees it: before each step of each task, before
//! a task looks whether its wait may begin, and when all tasks wait. So a wait is cancelled before it has begun, while it
//! lasts, and when it has been granted and its task has not run yet. The *cut* is the part of the program that is
//! cancelled.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use super::Setup;
use crate::scheduler;
use crate::task;

/// Runs `program` once, counting the moments of its [cut](Cut::here), and then once for each of them, cancelled there.
///
/// Each time in a runtime of its own, as [`run`](super::run) does. The program looks afterwards whether all is as it should
/// be: locks free, nothing lost, nothing left. Returns how many moments there were.
///
/// ```
/// use ropewalk::{Cancelled, task, testing};
/// use std::cell::Cell;
///
/// let moments = testing::cancel_everywhere(|cut| {
///     let (left, right) = (Cell::new(10), Cell::new(0));
///     let _ = cut.here(|| {
///         task::checkpoint()?;
///         left.set(left.get() - 1);                         // A wait between these two would be
///         right.set(right.get() + 1);                       // a place where money gets lost.
///         task::checkpoint()
///     });
///     assert_eq!(left.get() + right.get(), 10);
/// });
/// assert!(moments >= 4);
/// ```
///
/// # Panics
///
/// With the first panic of a run, when a line has been printed that says at which moment it was cancelled. If the program
/// does not do the same each time, up to where it is cancelled.
#[track_caller]
pub fn cancel_everywhere(program: impl FnMut(&Cut)) -> usize {
    cancel_everywhere_with(&Setup::new(), program)
}

#[track_caller]
pub(super) fn cancel_everywhere_with(setup: &Setup, mut program: impl FnMut(&Cut)) -> usize {
    let mut passed = |moment: Option<usize>| {
        let cut = Cut { moment, passed: Cell::new(None) };
        let ran = panic::catch_unwind(AssertUnwindSafe(|| setup.run(|| program(&cut))));
        if let Err(payload) = ran {
            match moment {
                Some(moment) => eprintln!("ropewalk: failed when it was cancelled at moment {moment}"),
                None => eprintln!("ropewalk: failed without having been cancelled"),
            }
            panic::resume_unwind(payload);
        }
        cut.passed.get().expect("the program must call `Cut::here`, for that is what is cancelled")
    };
    let moments = passed(None);
    for moment in 0..moments {
        assert!(
            passed(Some(moment)) > moment,
            "the program does not do the same each time: moment {moment} of {moments} did not come"
        );
    }
    moments
}

/// Where to cut: see [`cancel_everywhere`].
#[derive(Debug)]
pub struct Cut {
    moment: Option<usize>,
    /// Moments in `here`, once that has been called.
    passed: Cell<Option<usize>>,
}

impl Cut {
    /// Runs `body` in a scope that is cancelled at the moment whose turn it is, and returns what `body` returns.
    ///
    /// # Panics
    ///
    /// When it is called a second time.
    #[track_caller]
    pub fn here<T>(&self, body: impl FnOnce() -> T) -> T {
        assert!(self.passed.get().is_none(), "a program is cut in one place: `here` was called before");
        task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            let moment = self.moment.unwrap_or(usize::MAX);
            let cancel = move || {
                canceller.cancel();
            };
            scheduler::set_tripwire(moment, Box::new(cancel));
            let _counted = Counted(self);
            body()
        })
    }

    /// At which moment `here` is cancelled, counted from zero; `None` the first time, when it is not.
    pub fn moment(&self) -> Option<usize> {
        self.moment
    }
}

/// That moments are counted.
struct Counted<'a>(&'a Cut);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.passed.set(Some(scheduler::take_tripwire()));
    }
}
