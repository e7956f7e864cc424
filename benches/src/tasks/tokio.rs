//! tokio on one thread: a `LocalSet` on the current-thread runtime, and a `LocalRuntime`, which is both in one.
//!
//! Without drivers, as it is fastest; `WithDrivers` has those for time and I/O, as a program that uses them must.

use std::future::Future;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{self, JoinHandle, LocalSet};

use super::Futures;

pub struct InLocalSet;
pub struct InLocalRuntime;
pub struct WithDrivers;

/// With drivers for time and I/O, or without.
pub fn local_runtime(drivers: bool) -> LocalRuntime {
    let mut builder = Builder::new_current_thread();
    if drivers {
        builder.enable_all();
    }
    builder.build_local(LocalOptions::default()).expect("a runtime can be made")
}

macro_rules! futures {
    ($contender:ty, $main:ident => $run:expr) => {
        impl Futures for $contender {
            type Task = JoinHandle<()>;

            fn run<T: 'static>($main: impl Future<Output = T> + 'static) -> T {
                $run
            }

            fn spawn(body: impl Future<Output = ()> + 'static) -> Self::Task {
                task::spawn_local(body)
            }

            async fn join(task: Self::Task) {
                // An aborted one gives an error.
                let _ = task.await;
            }

            fn cancel(task: Self::Task) {
                task.abort();
            }

            fn yield_now() -> impl Future<Output = ()> {
                task::yield_now()
            }
        }
    };
}

futures!(InLocalSet, main => {
    let runtime = Builder::new_current_thread().build().expect("a runtime can be made");
    LocalSet::new().block_on(&runtime, main)
});
futures!(InLocalRuntime, main => local_runtime(false).block_on(main));
futures!(WithDrivers, main => local_runtime(true).block_on(main));
