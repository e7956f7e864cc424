//! Signals: as streams that tasks wait for, and as a way to ask a program to end.
//!
//! ```
//! use ropewalk::signal::{Signal, Signals};
//! use ropewalk::task;
//!
//! let signals = Signals::new([Signal::HUP, Signal::TERM])?;
//! ropewalk::run(|| {
//!     task::scope(|s| {
//!         s.spawn_service(|| {
//!             // What the program does. It ends when the others have.
//!         });
//!         # Signal::HUP.raise()?;
//!         # Signal::TERM.raise()?;
//!         while signals.recv()? != Signal::TERM {
//!             println!("reads its settings again");
//!         }
//!         Ok(())
//!     })
//! })
//! # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
//! # std::io::Result::Ok(())
//! ```
//!
//! - [`Signals`]: a stream of signals; [`ctrl_c`] waits for one.
//! - [`cancel_on_ctrl_c`], [`cancel_on`]: the first signal cancels all tasks, the second kills.
//! - [`die_of`]: for a program that has cleaned up, and is to end of the signal all the same.
//! - [`inspect::dump_on_sigquit`](crate::inspect::dump_on_sigquit): `SIGQUIT` prints all tasks.
//!
//! What is promised, and which test shows it, stands in `docs/signals.md`.
//!
//! | Python | here |
//! |---|---|
//! | `loop.add_signal_handler(sig, f)` | a task with [`Signals`]; what it does is a task's, and may wait |
//! | `remove_signal_handler`: the default is back | drop; what was there before is back |
//! | trio's `open_signal_receiver` | [`Signals`], in any thread |
//! | `asyncio.run` on Ctrl-C: the main task is cancelled, then `KeyboardInterrupt` | [`cancel_on_ctrl_c`], if asked for; then [`die_of`] |
//! | `signal.raise_signal` | [`Signal::raise`] |
//! | signals only in the main thread | in any |

mod handler;
mod inbox;
mod interrupt;
mod name;
mod stream;
mod watch;

pub use interrupt::{cancel_on, cancel_on_ctrl_c, die_of};
pub use name::Signal;
pub use stream::{Iter, Receiving, Signals, ctrl_c};
pub(crate) use watch::Watch;
