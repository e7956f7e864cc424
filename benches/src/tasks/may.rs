//! `may` with one worker: its coroutines then all run on one thread, as the others' do.

use std::cell::RefCell;
use std::sync::Once;

use may::coroutine::{self, Coroutine};

use super::Direct;

pub struct May;

/// Says of whatever is inside that it may go to another thread.
pub struct OneWorker<T>(T);

// SAFETY: there is one worker, on which all coroutines are made, run and dropped; the first of them comes from outside
// with nothing but numbers in it. No bench of `may` sleeps: its timers run coroutines on a thread of their own.
unsafe impl<T> Send for OneWorker<T> {}

impl<T> OneWorker<T> {
    /// A method, so that a closure captures the whole and not the field.
    fn into_inner(self) -> T {
        self.0
    }
}

fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> coroutine::JoinHandle<OneWorker<T>> {
    let body = OneWorker(body);
    // SAFETY: no body here needs more than the default stack, nor keeps a reference to a thread-local over a switch.
    unsafe { coroutine::spawn(move || OneWorker(body.into_inner()())) }
}

impl Direct for May {
    type Task = coroutine::JoinHandle<OneWorker<()>>;
    type Place = RefCell<Option<Coroutine>>;

    fn run<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
        static CONFIGURED: Once = Once::new();
        CONFIGURED.call_once(|| {
            // Where the process may run is for whoever starts it to say.
            may::config().set_workers(1).set_worker_pin(false);
        });
        spawn(main).join().expect("the bench does not panic").into_inner()
    }

    fn spawn(body: impl FnOnce() + 'static) -> Self::Task {
        spawn(body)
    }

    fn join(task: Self::Task) {
        // A cancelled one gives an error.
        let _ = task.join();
    }

    fn cancel(task: &Self::Task) {
        // SAFETY: the bodies that are cancelled are parked and hold what may be dropped.
        unsafe { task.coroutine().cancel() };
    }

    fn yield_now() {
        coroutine::yield_now();
    }

    fn wait(place: &Self::Place) {
        *place.borrow_mut() = Some(coroutine::current());
        coroutine::park();
    }

    fn wake(place: &Self::Place) {
        if let Some(coroutine) = place.take() {
            coroutine.unpark();
        }
    }
}
