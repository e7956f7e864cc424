//! What threads share, from std; or from loom, which tries out every order in which it can happen.
//!
//! Code that other threads reach takes its atomics and its waiting from here and from nowhere else, so that the models
//! in `tests/loom` explore the very files that the library is built of. `--cfg loom` chooses.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::thread_local;
#[cfg(not(loom))]
pub(crate) use std::thread_local;

use std::sync::PoisonError;

/// A mutex for a few lines of our own code. No code of the program runs under it, so that none of it can panic there.
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until somebody notifies, with the mutex of a [`Lock`] free meanwhile. It may return for no reason.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waiting in a thread.
pub(crate) mod thread {
    #[cfg(not(loom))]
    pub(crate) use std::thread::{Thread, current, park, park_timeout};
    #[cfg(loom)]
    pub(crate) use token::{Thread, current, park};

    /// Starts a thread that nobody joins.
    #[cfg(not(loom))]
    pub(crate) fn start(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
    }

    /// Starts a thread that nobody joins.
    #[cfg(loom)]
    pub(crate) fn start(_name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        loom::thread::spawn(body);
        Ok(())
    }

    /// Parking with a token that is not lost: loom's own one is, when the thread has to wait for a mutex before it parks; and an unpark
    /// would wake it from that wait. So loom hears of an unpark only if the thread is parked. What loom does not see here cannot be
    /// interrupted.
    #[cfg(loom)]
    mod token {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        #[derive(Clone)]
        pub(crate) struct Thread {
            thread: loom::thread::Thread,
            unseen: Arc<Unseen>,
        }

        struct Unseen {
            has_token: AtomicBool,
            is_parked: AtomicBool,
            /// Orders what was done before an unpark that finds nobody parked.
            order: loom::sync::atomic::AtomicUsize,
        }

        loom::thread_local! {
            static UNSEEN: Arc<Unseen> = Arc::new(Unseen {
                has_token: AtomicBool::new(false),
                is_parked: AtomicBool::new(false),
                order: loom::sync::atomic::AtomicUsize::new(0),
            });
        }

        pub(crate) fn current() -> Thread {
            Thread { thread: loom::thread::current(), unseen: UNSEEN.with(Arc::clone) }
        }

        pub(crate) fn park() {
            let unseen = UNSEEN.with(Arc::clone);
            if unseen.has_token.swap(false, Ordering::SeqCst) {
                unseen.order.fetch_add(1, Ordering::Acquire);
                return;
            }
            unseen.is_parked.store(true, Ordering::SeqCst);
            loom::thread::park();
            unseen.is_parked.store(false, Ordering::SeqCst);
        }

        impl Thread {
            pub(crate) fn unpark(&self) {
                if self.unseen.is_parked.load(Ordering::SeqCst) {
                    return self.thread.unpark();
                }
                // The token comes last: whoever finds it comes after this in the order.
                self.unseen.order.fetch_add(1, Ordering::Release);
                match self.unseen.is_parked.load(Ordering::SeqCst) {
                    true => self.thread.unpark(),
                    false => self.unseen.has_token.store(true, Ordering::SeqCst),
                }
            }

            pub(crate) fn id(&self) -> loom::thread::ThreadId {
                self.thread.id()
            }
        }
    }

    /// Loom has no clock: for all that a model knows, the time is over whenever somebody else has run; unless it is so long that no
    /// model sees its end.
    #[cfg(loom)]
    pub(crate) fn park_timeout(timeout: std::time::Duration) {
        match timeout.as_secs() > 3600 {
            true => park(),
            false => loom::thread::yield_now(),
        }
    }
}
