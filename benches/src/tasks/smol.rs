//! smol's executor for one thread, `async_executor::LocalExecutor`.
//!
//! Driven by the plain `block_on`, without smol's reactor: as it is fastest.

use std::future::Future;

use async_executor::{LocalExecutor, Task};
use futures_lite::future;

use super::Futures;

pub struct Smol;

thread_local! {
    /// Leaked, so that tasks find it without counting references.
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::default());
}

pub fn executor() -> &'static LocalExecutor<'static> {
    EXECUTOR.with(|executor| *executor)
}

impl Futures for Smol {
    type Task = Task<()>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        future::block_on(executor().run(main))
    }

    fn spawn(body: impl Future<Output = ()> + 'static) -> Self::Task {
        executor().spawn(body)
    }

    async fn join(task: Self::Task) {
        task.await;
    }

    fn cancel(task: Self::Task) {
        // Dropping is how a task of smol is cancelled.
        drop(task);
    }

    fn yield_now() -> impl Future<Output = ()> {
        future::yield_now()
    }
}
