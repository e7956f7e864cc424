//! Python's yield-style coroutines for stable Rust, on stacks of their own: generators and tasks, and input and output for them.
//!
//! A [`Generator`] is an ordinary function that can *yield* values from any call depth and be *sent* values back. A
//! [`task`] is one that can *wait* from any call depth, while others run on the same thread. There is no `async` and
//! no `Pin`.
//!
//! ```
//! use ropewalk::generate;
//!
//! let fibonacci = generate(|co| {
//!     let (mut a, mut b) = (0, 1);
//!     loop {
//!         co.yield_(a);
//!         (a, b) = (b, a + b);
//!     }
//! });
//! assert_eq!(fibonacci.take(8).collect::<Vec<u64>>(), [0, 1, 1, 2, 3, 5, 8, 13]);
//! ```
//!
//! ```
//! use ropewalk::{task, time};
//! use std::time::Duration;
//!
//! ropewalk::run(|| {
//!     let lengths = task::gather(["hemp", "sisal"].map(|word| move || {
//!         time::sleep(Duration::from_millis(5)).unwrap();       // Both sleep at the same time.
//!         word.len()
//!     }));
//!     assert_eq!(lengths.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [4, 5]);
//! });
//! ```
//!
//! - [`generator`]: starting, sending, throwing, closing, delegating; generators over borrowed data.
//! - [`pipeline`]: generators in a row, pulled from one end or pushed from the other.
//! - [`run`], [`Runtime`]: where tasks live; [`Builder`] has the settings.
//! - [`task`]: starting tasks, with scopes or without; waiting for them, cancelling them, cleaning up.
//! - [`time`]: sleeping, limits, intervals, callbacks.
//! - [`sync`]: locks, and other places where tasks meet. [`channel`]: channels and queues.
//! - [`select`](mod@select): waiting for several things, and taking exactly one.
//! - [`net`]: sockets as std's, whose waits park the task; servers. [`io`]: lines within limits, copying, pipes, standard input and output, any descriptor.
//! - [`fs`]: files as std's, through io_uring or on threads.
//! - [`blocking`]: calls that block and computations, on threads of their own; pools. [`shards`]: a runtime on each of several cores.
//! - [`signal`]: signals as streams, and Ctrl-C that cancels.
//! - [`process`]: children as std's, killed with whoever waits for them, and always reaped.
//! - [`lowlevel`]: what all of that is made of, for primitives of your own, and the way in from other threads.
//! - [`testing`]: tests in virtual time, under schedules that can be replayed, cancelled everywhere.
//! - [`inspect`]: who waits for what, where, and who has it.
//! - [`stack`]: what stacks cost, how large they are, and what happens when one overflows.

#[cfg(not(unix))]
compile_error!("ropewalk needs a system with mmap and signals: Linux, macOS or a BSD");

pub mod generator;
pub mod inspect;
pub mod stack;

mod arena;
pub mod blocking;
pub mod channel;
mod clock;
mod driver;
mod error;
pub mod fs;
pub mod io;
mod list;
pub mod net;
mod primitive;
pub mod process;
mod report;
mod scheduler;
pub mod select;
pub mod shards;
pub mod signal;
pub mod sync;
pub mod task;
pub mod testing;
pub mod time;
mod work;

pub use error::{
    Cancelled, CloseError, DelegateError, Elapsed, ErrorGroup, Exit, Failure, JoinError, Panic, Reason,
    RemoteError, SendError, StartError, ThrowError,
};
pub use generator::pipeline;
pub use generator::{Generator, State, Step, Yielder, generate};
pub use report::{Unraisable, Unraised, set_unraisable_hook};
pub use scheduler::lowlevel;
pub use scheduler::{Builder, Clock, Driver, Problem, RunError, Runtime, Unhandled, run};

/// The programs in the documents, compiled and run as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../docs/tutorial.md")]
    mod tutorial {}

    #[doc = include_str!("../docs/stacks.md")]
    mod stacks {}

    #[doc = include_str!("../docs/generators.md")]
    mod generators {}

    #[doc = include_str!("../docs/testing.md")]
    mod testing {}

    #[doc = include_str!("../docs/debugging.md")]
    mod debugging {}

    #[doc = include_str!("../docs/io.md")]
    mod io {}

    #[doc = include_str!("../docs/files.md")]
    mod files {}

    #[doc = include_str!("../docs/signals.md")]
    mod signals {}

    #[doc = include_str!("../docs/process.md")]
    mod process {}

    #[doc = include_str!("../docs/tasks.md")]
    mod tasks {}

    #[doc = include_str!("../docs/sync.md")]
    mod sync {}

    #[doc = include_str!("../docs/shards.md")]
    mod shards {}
    #[doc = include_str!("../docs/world.md")]
    mod world {}

    #[doc = include_str!("../docs/forks.md")]
    mod forks {}

    #[doc = include_str!("../docs/unsafe.md")]
    mod unsafe_code {}
}
