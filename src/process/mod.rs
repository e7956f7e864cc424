//! Child processes: std's `process`, with waits that park the task, and no child left behind.
//!
//! ```
//! use ropewalk::process::Command;
//! use ropewalk::task;
//!
//! # ropewalk::run(|| {
//! // Both run at the same time.
//! let outputs = task::try_gather(["hemp", "sisal"].map(|word| move || Command::new("echo").arg(word).output()))?;
//! assert_eq!(outputs[0].stdout, b"hemp\n");
//! assert_eq!(outputs[1].stdout, b"sisal\n");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! - [`Command`] starts children: [`status`](Command::status) and [`output`](Command::output) run one to its end,
//!   [`spawn`](Command::spawn) gives a [`Child`].
//! - The streams of a child are pipes of [`io`](crate::io), for `LineReader`, `copy` and `select`.
//! - A child ends with whoever waits for it: a call that is cancelled kills its child and waits for it, a [`Child`] that is dropped is
//!   killed. [`kill_on_drop(false)`](Command::kill_on_drop) lets it run on.
//! - However a child ends, it is reaped: there are no zombies.
//! - Deadlines come from scopes: `timeout(d, || command.output())`.
//!
//! # From std
//!
//! | std | here |
//! |---|---|
//! | `Command`, its builder, `spawn`, `status`, `output` | the same; and [`output_of`](Command::output_of), with input |
//! | `Child::wait`, `try_wait`, `kill`, `id`, `wait_with_output` | the same; those that do not consume it need no `mut`, but for `wait` |
//! | `stdin.write_all(..)`, and then `wait_with_output()`: a deadlock when both pipes fill | [`Child::communicate`] |
//! | a dropped `Child` runs on, and becomes a zombie | it is killed and reaped |
//! | `CommandExt::pre_exec`, `exec`, `groups` | [`Command::as_std_mut`], [`Command::into_std`] |
//!
//! # From asyncio and trio
//!
//! | Python | here |
//! |---|---|
//! | `create_subprocess_exec`, `trio.lowlevel.open_process` | [`Command::spawn`] |
//! | `create_subprocess_shell` | `Command::new("sh").args(["-c", text])`; with [`own_group`](Command::own_group), or what the shell has started outlives it when it is killed |
//! | `communicate(input)`, `trio.run_process(stdin=..., capture_stdout=True)` | [`Child::communicate`], [`Command::output_of`] |
//! | `wait`, `returncode`, `pid` | [`Child::wait`], [`Child::try_wait`], [`Child::id`] |
//! | `send_signal`, `kill` | [`Child::send_signal`], [`Child::kill`] |
//! | `terminate`, and then a `wait` with a limit | `send_signal(Signal::TERM.into())`; [`Child::terminate_within`] waits, and kills at the end |
//! | `run_process(deliver_cancel=...)`: `SIGTERM`, after five seconds `SIGKILL` | `SIGKILL`; [`Command::terminate_within`] |
//! | `check=True` | [`ExitStatus::success`] |
//! | child watchers, and which thread they belong to | nothing: any runtime on any thread waits for any child |
//! | a cancelled `communicate` leaves the child running | it is killed and waited for |

mod child;
mod command;
mod communicate;
mod orphans;
mod peek;
mod reaping;

pub use child::{Child, Waiting};
pub use command::Command;

/// What a child reads, for its parent to write.
pub type ChildStdin = crate::io::PipeWriter;
/// What a child writes, for its parent to read.
pub type ChildStdout = crate::io::PipeReader;
/// What a child says of what goes wrong, for its parent to read.
pub type ChildStderr = crate::io::PipeReader;

#[doc(no_inline)]
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};
