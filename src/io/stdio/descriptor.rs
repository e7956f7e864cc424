//! How a standard descriptor is read and written without a wait of the thread, and without a change to what others see of it.
//!
//! There are four ways, tried in this order:
//! 1. A call that does not wait although the descriptor may: `recv` and `send` for sockets, `preadv2` and `pwritev2` for what else
//!    can do that, which is pipes, and files as far as they are in memory.
//! 2. For terminals, and pipes of older systems: what is open there is opened once more, for us alone and so that it does not block.
//! 3. Reading: a thread of its own, the [pump](super::pump).
//! 4. Writing: a thread of `blocking`.
//!
//! What is open there is looked at anew for each call, for a program may put something else there at any time.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::pump::pump;
use crate::blocking;
use crate::io::now;
use crate::scheduler::io::{Direction, Operation, Source, perform};
use crate::scheduler::lowlevel;

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number {
    Input,
    Output,
    Errors,
}

impl Number {
    pub(super) fn descriptor(self) -> BorrowedFd<'static> {
        static STD: LazyLock<(io::Stdin, io::Stdout, io::Stderr)> =
            LazyLock::new(|| (io::stdin(), io::stdout(), io::stderr()));
        match self {
            Number::Input => STD.0.as_fd(),
            Number::Output => STD.1.as_fd(),
            Number::Errors => STD.2.as_fd(),
        }
    }

    fn direction(self) -> Direction {
        if self == Number::Input { Direction::Read } else { Direction::Write }
    }
}

/// A standard descriptor, for whoever has its turn.
pub(super) struct Standard {
    number: Number,
    reopened: Option<Reopened>,
}

/// What was open there, opened once more.
struct Reopened {
    own: OwnedFd,
    what: Stat,
}

/// Whether it is the same that is open there.
fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
}

/// As much as a thread reads or writes at a time: what it is at cannot be taken back.
pub(super) const AT_A_TIME: usize = 64 << 10;

impl Standard {
    pub(super) fn new(number: Number) -> Standard {
        Standard { number, reopened: None }
    }

    #[track_caller]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lowlevel::may_wait()?;
        let fd = self.number.descriptor();
        let stat = match fstat(fd) {
            Err(Errno::BADF) => return Ok(bytes.len()),
            stat => stat?,
        };
        if bytes.is_empty() {
            return Ok(0);
        }
        let without_waiting = match kind(&stat) {
            FileType::Socket => self.perform(fd, || Ok(send(fd, bytes, SendFlags::DONTWAIT)?)),
            FileType::Fifo => self.perform(fd, || write_now(fd, bytes)),
            // Such as are ready always, though a call may wait.
            _ => write_now(fd, bytes),
        };
        let without_waiting = match without_waiting {
            Err(error) if would_wait(&error) => match self.reopened(fd, &stat) {
                Some(own) => perform_on(own, Direction::Write, || Ok(rustix::io::write(own, bytes)?)),
                None => Err(error),
            },
            done => done,
        };
        match without_waiting {
            Err(error) if would_wait(&error) => {
                let part = &bytes[..bytes.len().min(AT_A_TIME)];
                blocking::unblock(|| write_waiting(fd, part))?
            }
            done => done,
        }
    }

    #[track_caller]
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        lowlevel::may_wait()?;
        let fd = self.number.descriptor();
        if buffer.is_empty() {
            return Ok(0);
        }
        // What the thread reads comes before what could be read now.
        if !pump().is_idle() {
            return pump().read(buffer);
        }
        let stat = match fstat(fd) {
            Err(Errno::BADF) => return Ok(0),
            stat => stat?,
        };
        let without_waiting = match kind(&stat) {
            FileType::Socket => self.perform(fd, || Ok(recv(fd, &mut *buffer, RecvFlags::DONTWAIT)?.0)),
            FileType::Fifo => self.perform(fd, || read_now(fd, buffer)),
            _ => read_now(fd, buffer),
        };
        let without_waiting = match without_waiting {
            Err(error) if would_wait(&error) => match self.reopened(fd, &stat) {
                Some(own) => perform_on(own, Direction::Read, || Ok(rustix::io::read(own, &mut *buffer)?)),
                None => Err(error),
            },
            done => done,
        };
        match without_waiting {
            Err(error) if would_wait(&error) => pump().read(buffer),
            done => done,
        }
    }

    #[track_caller]
    fn perform(&self, fd: BorrowedFd<'_>, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        perform_on(fd, self.number.direction(), call)
    }

    /// What is open there, opened once more for us alone, if it is a terminal or a pipe and that can be done.
    fn reopened(&mut self, fd: BorrowedFd<'_>, stat: &Stat) -> Option<BorrowedFd<'_>> {
        if self.reopened.as_ref().is_none_or(|reopened| !is_same(&reopened.what, stat)) {
            self.reopened = None;
            let own = reopen(fd, stat, self.number.direction())?;
            self.reopened = Some(Reopened { own, what: *stat });
        }
        self.reopened.as_ref().map(|reopened| reopened.own.as_fd())
    }
}

impl Read for Standard {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer)
    }
}

impl fmt::Debug for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Standard").field(&self.number).finish()
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Registered for the time of this call: the next one may find something else there.
#[track_caller]
fn perform_on(
    fd: BorrowedFd<'_>,
    direction: Direction,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let what = match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    };
    let source = Source::new(fd.as_raw_fd());
    perform(&source, what, Operation::Call { direction, call: &mut call })
}

/// Whether another way has to be found: the call would wait, or there is no such call for what is open there.
fn would_wait(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Unsupported];
    // Old systems say so that they know no such flag.
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

/// Reads what is there, and does not wait.
fn read_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut into = [io::IoSliceMut::new(buffer)];
    Ok(retry_on_intr(|| now::read(fd, &mut into, None))?)
}

/// Writes what there is room for, and does not wait.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let from = [io::IoSlice::new(bytes)];
    Ok(retry_on_intr(|| now::write(fd, &from))?)
}

/// On the system's own way to it, for what is open may have no other name.
#[cfg(target_os = "linux")]
fn reopen(fd: BorrowedFd<'_>, stat: &Stat, direction: Direction) -> Option<OwnedFd> {
    use std::io::IsTerminal;

    use rustix::fs::{Mode, OFlags, major, minor, open};

    // The other side of a terminal: opened once more it would be another terminal.
    let is_master = (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2);
    let can_be = kind(stat) == FileType::Fifo || (fd.is_terminal() && !is_master);
    let how = match direction {
        Direction::Read => OFlags::RDONLY,
        Direction::Write => OFlags::WRONLY,
    };
    let flags = how | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let own = can_be.then(|| open(path, flags, Mode::empty()).ok())??;
    // In case something else was put there in between.
    fstat(&own).is_ok_and(|now| is_same(&now, stat)).then_some(own)
}

/// Elsewhere that gives what is shared with others, not one for us alone.
#[cfg(not(target_os = "linux"))]
fn reopen(_: BorrowedFd<'_>, _: &Stat, _: Direction) -> Option<OwnedFd> {
    None
}

/// Reads, and blocks the thread.
pub(super) fn read_waiting(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(fd, &mut *buffer) {
            Err(Errno::AGAIN) => wait(fd, Direction::Read)?,
            Err(Errno::BADF) => return Ok(0),
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Writes, and blocks the thread.
fn write_waiting(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(fd, bytes) {
            Err(Errno::AGAIN) => wait(fd, Direction::Write)?,
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Somebody has set what is open there not to block: blocks the thread until it is ready.
fn wait(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let flags = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    match poll(&mut [PollFd::new(&fd, flags)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
