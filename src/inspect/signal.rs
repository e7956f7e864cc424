//! `kill -QUIT`: a dump of every runtime of the process, from outside.
//!
//! The handler only writes a byte into a socket. A thread of its own reads that, asks each runtime for its dump and prints
//! what comes.
//!
//! Invariant: the thread has no remote of any runtime, so that deadlocks are found as if it were not there.
#![allow(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Dump;
use crate::scheduler::{Live, live_runtimes};

/// For so long a runtime may be busy with its tasks before it is said not to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tasks of a runtime whose backtraces are printed: some kilobytes each, in a process that may be short of memory.
const TRACES: usize = 1000;

/// Where the handler writes; -1 until there is somebody who reads.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// From now on `kill -QUIT` of this process, or Ctrl-\ at its terminal, prints all tasks of all its runtimes to
/// standard error, with backtraces; the process goes on.
///
/// Once is enough, before or after runtimes begin; further calls do nothing. It replaces what `SIGQUIT` did before, and starts a
/// thread that waits for it. A runtime prints its tasks between two steps of them. If a task does not let it, it is said
/// to give no answer after a second, and in [debug mode](crate::Builder::debug) which task that is. Backtraces are printed of
/// the first 1000 tasks of each runtime.
///
/// # Errors
///
/// There is no socket, or no thread, to be had.
pub fn dump_on_sigquit() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        let (reader, writer) = UnixStream::pair()?;
        // The handler must not wait. If there is no room for its byte, there are others to be read.
        writer.set_nonblocking(true)?;
        thread::Builder::new().name("ropewalk-dump".to_owned()).spawn(move || answer(reader))?;
        BELL.store(writer.into_raw_fd(), Ordering::Release);
        install_handler()?;
        *installed = true;
    }
    Ok(())
}

fn install_handler() -> io::Result<()> {
    // SAFETY: zeros are a valid `sigaction`; the handler has the signature that goes without SA_SIGINFO, and calls only
    // async-signal-safe functions. On the alternate stack, for a task may have hardly any of its own left.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_quit as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        match libc::sigaction(libc::SIGQUIT, &action, std::ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

extern "C" fn on_quit(_signal: libc::c_int) {
    let bell = BELL.load(Ordering::Acquire);
    // SAFETY: one byte is read, of a static; `write` is async-signal-safe, and the descriptor is never closed. Whoever
    // was interrupted finds `errno` as it was.
    unsafe {
        let errno = errno();
        let before = *errno;
        libc::write(bell, c"q".as_ptr().cast(), 1);
        *errno = before;
    }
}

/// Where the thread has its `errno`.
fn errno() -> *mut libc::c_int {
    // SAFETY: it only gives an address.
    unsafe {
        #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
        return libc::__errno_location();
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        return libc::__error();
        #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
        return libc::__errno();
    }
}

/// The thread.
fn answer(mut bell: UnixStream) {
    // Rings that come while a dump is printed are answered by one more.
    let mut rings = [0; 64];
    loop {
        match bell.read(&mut rings) {
            Ok(0) => return,
            Ok(_) => print_all(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
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
