//! Something that is to happen at one of the coming *moments*; for tests that try them all.
//!
//! A moment is a point at which a cancellation could come as a task sees it: before a task's step, before a task looks
//! whether its wait may begin, and when all tasks wait. They are counted in debug mode only, so that nobody else pays.

use std::cell::Cell;

use super::core::Core;
use super::here;

#[derive(Default)]
pub(super) struct Tripwire {
    /// Moments since it was set.
    passed: Cell<usize>,
    /// At which one it trips.
    at: Cell<usize>,
    then: Cell<Option<Box<dyn FnOnce()>>>,
}

impl Core {
    /// One more moment.
    #[cold]
    pub(super) fn pass_moment(&self) {
        let wire = self.tripwire();
        let passed = wire.passed.get();
        wire.passed.set(passed.saturating_add(1));
        if passed != wire.at.get() {
            return;
        }
        if let Some(then) = wire.then.take() {
            self.outside(then);
        }
    }
}

/// Counts moments from now on; at number `at`, counted from zero, `then` is called, in no task.
#[track_caller]
pub(crate) fn set_tripwire(at: usize, then: Box<dyn FnOnce()>) {
    let core = here::need_core();
    assert!(core.config.debug, "moments are counted in debug mode only");
    core.tripwire().passed.set(0);
    core.tripwire().at.set(at);
    core.tripwire().then.set(Some(then));
}

/// Takes it away, and says how many moments there were.
pub(crate) fn take_tripwire() -> usize {
    let core = here::need_core();
    drop(core.tripwire().then.take());
    core.tripwire().passed.get()
}
