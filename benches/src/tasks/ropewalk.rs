//! ropewalk's scheduler. All that the benches know of its face is in this file.

use std::time::Duration;

use ropewalk::lowlevel::{self, Remote, WaitList, Why};
use ropewalk::{task, time};

use super::Direct;

pub struct Ropewalk;

impl Direct for Ropewalk {
    type Task = task::JoinHandle<()>;
    type Place = WaitList;

    fn run<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
        ropewalk::run(main)
    }

    fn spawn(body: impl FnOnce() + 'static) -> Self::Task {
        task::spawn(body)
    }

    fn join(task: Self::Task) {
        // A cancelled one may give an error.
        let _ = task.join();
    }

    fn cancel(task: &Self::Task) {
        task.cancel();
    }

    fn yield_now() {
        task::yield_now();
    }

    fn wait(place: &Self::Place) {
        let _ = place.wait(&Why::new("place"));
    }

    fn wake(place: &Self::Place) {
        let _ = place.wake_one(());
    }
}

/// Parks until the time is over or the task is cancelled.
pub fn sleep(duration: Duration) {
    let _ = time::sleep(duration);
}

/// Sets a callback that does nothing.
pub fn call_later(delay: Duration) -> time::Timer {
    time::call_later(delay, || ())
}

/// Runs `operation` in a scope with a deadline.
pub fn timeout(duration: Duration, operation: impl FnOnce()) {
    let _ = time::timeout(duration, operation);
}

/// The door to this thread's scheduler for other threads.
pub fn remote() -> Remote {
    lowlevel::remote()
}

/// Lets `work` run on the scheduler of `remote`.
pub fn post(remote: &Remote, work: impl FnOnce() + Send + 'static) {
    let _ = remote.post(work);
}
