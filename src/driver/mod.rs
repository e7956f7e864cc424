//! Drivers: what a scheduler does with its thread while no task can run, and how it has input and output done meanwhile.
//!
//! Words: a driver *waits*, until something is ready, a deadline comes or its *alarm* is *rung*. The alarm is the only
//! part of it that other threads have. An *operation* is a system call that may have to wait. It is *attempted*, and if it
//! would wait it is *submitted* under a *key*; its *completion* comes out of a wait under that key.
//!
//! - [`idle`]: no I/O at all; it only waits.
//! - [`readiness`]: says when descriptors can be read or written, and that the call is to be attempted again: epoll or kqueue.
//! - [`uring`]: has the system carry out the call, and says what it returned: io_uring.
//! - [`file`]: calls on files and paths, which nothing says a good moment for: a ring carries them out, or a thread makes them.
//! - [`choice`]: the one that a scheduler has: idle, until the first operation.
//! - [`unix`]: what no safe call tells of Unix sockets: who is at the other side, and all names.

mod alarm;
pub(crate) mod choice;
pub(crate) mod file;
pub(crate) mod idle;
pub(crate) mod operation;
mod readiness;
pub(crate) mod unix;
#[cfg(target_os = "linux")]
mod uring;

use std::io;
use std::os::fd::RawFd;

pub(crate) use alarm::Alarm;

/// Names an operation in flight, for whoever submitted it. A driver only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(pub(crate) u64);

/// What a descriptor is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A descriptor, and a number that nothing else in the process has: the system gives the numbers of descriptors again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    pub(crate) fd: RawFd,
    pub(crate) source: u64,
}

/// When the next attempt would have to wait, as far as one can tell from this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blocked {
    /// Now.
    Now,
    /// Now, unless the other side has closed.
    UnlessFinal,
}

/// What has become of an operation that was submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Submitted {
    /// It may not have to wait after all: to be attempted again. Its key is free.
    Ready,
    /// Its completion will come, and says that it is to be attempted again, or what is wrong.
    Awaited,
    /// Its completion will come, and says what it has done. Until then it belongs to the system, with all it borrows.
    Carried,
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Completion {
    /// What the system said: an error's number if it is negative.
    pub(crate) result: i32,
    /// It said that there is more to be had, and the next operation need not wait.
    pub(crate) has_more: bool,
}

impl Completion {
    fn new(result: i32) -> Completion {
        Completion { result, has_more: false }
    }
}

/// Whether an operation that is not wanted any more has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Its completion will not come.
    Back,
    /// Its completion will come all the same, maybe sooner, and maybe with what it has done.
    Later,
}

/// Where something is kept for each descriptor, by its number: the system gives the lowest that is free, so that they are small.
///
/// # Errors
///
/// It is not small. Somebody has asked for such a number, and what is kept would fill the memory.
fn index_of(at: Descriptor) -> io::Result<usize> {
    const MOST: usize = 1 << 24;
    let index = at.fd as usize;
    match index < MOST {
        true => Ok(index),
        false => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("descriptor {index} is beyond {MOST}")))
        }
    }
}

/// That another task waits in that direction of a descriptor.
#[cold]
pub(crate) fn busy(direction: Direction) -> io::Error {
    let what = match direction {
        Direction::Read => "read from",
        Direction::Write => "write to",
    };
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "another task waits to {what} this: give each direction to one task, or put a lock around it"
        ),
    )
}
