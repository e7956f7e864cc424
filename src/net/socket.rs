//! A descriptor of a socket, and the system calls on it that may wait.
//!
//! Each system call is made at once, unless it is known to have to wait; the task parks when the system says that it would.
//! Sockets are blocking, as std's are, and each call says that it does not want to wait; but for listeners, since accepting has
//! no such flag.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::scheduler::io::{Direction, Source};
use crate::scheduler::lowlevel;

pub(super) struct Socket {
    source: Source,
    fd: OwnedFd,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Socket {
        Socket { source: Source::new(fd.as_raw_fd()), fd }
    }

    /// The descriptor, for use without this.
    pub(super) fn into_fd(self) -> OwnedFd {
        let Socket { source, fd } = self;
        drop(source);
        fd
    }

    /// Makes a system call as often as it takes.
    ///
    /// It returns what the call did, and whether that was all there is to do for now.
    #[inline]
    #[track_caller]
    pub(super) fn call<T>(
        &self,
        direction: Direction,
        what: &'static str,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<(T, bool), Errno>,
    ) -> io::Result<T> {
        lowlevel::may_wait()?;
        loop {
            if !self.source.would_block(direction) {
                match call(self.fd.as_fd()) {
                    Ok((value, is_all)) => {
                        if is_all {
                            self.source.set_blocked(direction);
                        }
                        return Ok(value);
                    }
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => self.source.set_blocked(direction),
                    Err(error) => return Err(error.into()),
                }
            }
            self.source.wait_until_ready(direction, what)?;
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn recv(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        self.call(Direction::Read, "recv", |fd| {
            let (_, taken) = rustix::net::recv(fd, &mut *buffer, flags | RecvFlags::DONTWAIT)?;
            // Less than there is room for: that was all there was. At the end of the stream there is nothing to wait for.
            let is_all = taken > 0 && taken < buffer.len() && !flags.contains(RecvFlags::PEEK);
            Ok((taken, is_all))
        })
    }

    #[inline]
    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(Direction::Write, "send", |fd| {
            let sent = rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            Ok((sent, sent < bytes.len()))
        })
    }

    /// Waits until the system says that the direction is ready.
    #[track_caller]
    pub(super) fn wait(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        self.source.wait_until_ready(direction, what)
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.as_raw_fd())
    }
}
