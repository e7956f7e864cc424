//! `kill -QUIT`: a dump of every runtime of the process, from outside.
//!
//! A thread of its own hears of the signal, asks each runtime for its dump and prints what comes.
//!
//! Invariant: the thread has no remote of any runtime, so that deadlocks are found as if it were not there.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Dump;
use crate::scheduler::{Live, live_runtimes};
use crate::signal::{Signal, Watch};

/// For so long a runtime may be busy with its tasks before it is said not to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tasks of a runtime whose backtraces are printed: some kilobytes each, in a process that may be short of memory.
const TRACES: usize = 1000;

/// From now on `kill -QUIT` of this process, or Ctrl-\ at its terminal, prints all tasks of all its runtimes to
/// standard error, with backtraces; the process goes on.
///
/// Once is enough, before or after runtimes begin; further calls do nothing. It replaces what `SIGQUIT` does by default, and starts a
/// thread that waits for it; a [stream](crate::signal::Signals) of it has it too. A runtime prints its tasks between two steps of them. If a task does not let it, it is said
/// to give no answer after a second, and in [debug mode](crate::Builder::debug) which task that is. Backtraces are printed of
/// the first 1000 tasks of each runtime.
///
/// # Errors
///
/// There is no pipe, or no thread, to be had.
pub fn dump_on_sigquit() -> io::Result<()> {
    static INSTALLED: Mutex<Option<Watch>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if installed.is_none() {
        // Rings that come while a dump is printed are answered by one more.
        *installed = Some(Watch::new("ropewalk-dump", Signal::QUIT, None, print_all)?);
    }
    Ok(())
}

/// What a runtime says.
enum Answer {
    /// It has come to it.
    Here,
    Dump(Dump),
}

fn print_all() {
    let began = Instant::now();
    // All are asked before the first is listened to, so that they show about the same moment.
    let asked: Vec<_> = live_runtimes().into_iter().filter_map(|live| Some((ask(&live)?, live))).collect();
    if asked.is_empty() {
        print("ropewalk: SIGQUIT: no runtime is live in this process\n");
    }
    for (answers, live) in asked {
        let mut text = format!("ropewalk: SIGQUIT: {live}:\n");
        match listen(&answers, PATIENCE.saturating_sub(began.elapsed())) {
            Some(dump) => write!(text, "{dump}"),
            None => writeln!(text, "{}", no_answer(&live)),
        }
        .expect("writing to a string does not fail");
        print(&text);
    }
}

/// `None` if it has just ended.
fn ask(live: &Live) -> Option<Receiver<Answer>> {
    let (sender, receiver) = mpsc::channel();
    let call = move || {
        // Nobody listens any more if it took too long.
        if sender.send(Answer::Here).is_ok() {
            let _ = sender.send(Answer::Dump(Dump::with_backtraces(TRACES)));
        }
    };
    live.post(call).then_some(receiver)
}

fn listen(answers: &Receiver<Answer>, patience: Duration) -> Option<Dump> {
    match answers.recv_timeout(patience).ok()? {
        Answer::Dump(dump) => Some(dump),
        // Many tasks take their time.
        Answer::Here => match answers.recv().ok()? {
            Answer::Dump(dump) => Some(dump),
            Answer::Here => None,
        },
    }
}

fn no_answer(live: &Live) -> String {
    let why = match (live.running(), live.is_debug()) {
        (Some(task), _) => format!("{task} has its turn, and makes no call that switches"),
        (None, true) => {
            "it does something that is not a task's, such as a callback, or has just ended".to_owned()
        }
        (None, false) => {
            "a task makes no call that switches; with ROPEWALK_DEBUG=1 it is said which one".to_owned()
        }
    };
    format!("no answer within {PATIENCE:?}: {why}")
}

fn print(text: &str) {
    // Not `eprint`, which panics where there is no standard error.
    let _ = io::stderr().write_all(text.as_bytes());
}
