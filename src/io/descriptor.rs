//! Any descriptor, with waits that park the task.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::close_write::CloseWrite;
use crate::scheduler::io::{Direction, Operation, Source, perform, wait_until_ready};
use crate::scheduler::lowlevel::{self, Readiness};

/// Anything that has a descriptor, so that reading and writing it parks the task and not the thread.
///
/// That is for what this library has no type for: terminals, devices, sockets of other crates, `timerfd` and `inotify`. The descriptor
/// is set not to block, and calls that would block wait until it is ready.
///
/// ```
/// use ropewalk::{io::Async, task};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixDatagram;
///
/// # ropewalk::run(|| {
/// let (left, right) = UnixDatagram::pair()?;
/// let (left, right) = (Async::new(left)?, Async::new(right)?);
/// task::spawn(move || left.write_with(|socket| socket.send(b"rope")));
/// let mut buffer = [0; 16];
/// let count = right.read_with(|socket| socket.recv(&mut buffer))?;       // The task parks here.
/// assert_eq!(&buffer[..count], b"rope");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// `Read` and `Write` are those of the descriptor itself. What `inner` does besides, such as buffering, goes through
/// [`read_with`](Async::read_with) and its like.
///
/// As for sockets, one task may read while another writes; a second one in the same direction is refused.
///
/// # Platform
///
/// The flag `O_NONBLOCK` belongs to whatever is open, not to the descriptor: duplicates have it too, those of other processes
/// included, and of standard input there are often some. [`into_inner`](Async::into_inner) puts it back, a drop does not. Regular files
/// are always ready, and block the thread all the same. What the system cannot wait for (some devices) fails with its error.
#[doc(alias = "AsyncFd")]
#[doc(alias = "add_reader")]
#[doc(alias = "connect_read_pipe")]
pub struct Async<T> {
    // Dropped first: a scheduler forgets a descriptor before it is closed.
    source: Source,
    was_blocking: bool,
    inner: T,
}

impl<T: AsFd> Async<T> {
    /// Sets the descriptor not to block. It must stay the same as long as `inner` is here.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn new(inner: T) -> io::Result<Async<T>> {
        let flags = rustix::fs::fcntl_getfl(&inner)?;
        let was_blocking = !flags.contains(rustix::fs::OFlags::NONBLOCK);
        if was_blocking {
            rustix::io::ioctl_fionbio(&inner, true)?;
        }
        Ok(Async::of_nonblocking(inner, was_blocking))
    }

    /// For one that does not block already.
    pub(super) fn of_nonblocking(inner: T, was_blocking: bool) -> Async<T> {
        Async { source: Source::new(inner.as_fd().as_raw_fd()), was_blocking, inner }
    }

    /// What has the descriptor. Reading or writing it directly does not wait, but fails with `WouldBlock`.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Gives back what has the descriptor, which blocks again if it did before.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn into_inner(self) -> io::Result<T> {
        let Async { source, was_blocking, inner } = self;
        drop(source);
        if was_blocking {
            rustix::io::ioctl_fionbio(&inner, false)?;
        }
        Ok(inner)
    }

    /// Parks until there is something to read, an end or an error.
    ///
    /// # Errors
    ///
    /// As the system has it; another task waits to read; [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        wait_until_ready(&self.source, self.inner.as_fd(), Direction::Read, "readable")
    }

    /// Parks until something can be written, or there is an error.
    ///
    /// # Errors
    ///
    /// As the system has it; another task waits to write; [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_writable(&self) -> io::Result<()> {
        wait_until_ready(&self.source, self.inner.as_fd(), Direction::Write, "writable")
    }

    /// An arm that waits until there is something to read, an end or an error, for [`select`](crate::select::select).
    pub fn readable(&self) -> Readiness<BorrowedFd<'_>> {
        lowlevel::readable(self.inner.as_fd())
    }

    /// An arm that waits until something can be written, or there is an error, for [`select`](crate::select::select).
    pub fn writable(&self) -> Readiness<BorrowedFd<'_>> {
        lowlevel::writable(self.inner.as_fd())
    }

    /// Calls `read`, and again whenever there may be something to read, until it does not fail with `WouldBlock`.
    ///
    /// It is to fail so only if the system said so of this descriptor: the wait is for a change.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), no `read` has succeeded.
    ///
    /// # Errors
    ///
    /// Those of `read`, but for `WouldBlock` and `Interrupted`; another task waits to read; `Cancelled`.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn read_with<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        call(&self.source, Direction::Read, || read(&self.inner))
    }

    /// Calls `write`, and again whenever something may be written, until it does not fail with `WouldBlock`.
    ///
    /// For the rest, as [`read_with`](Async::read_with).
    ///
    /// # Errors
    ///
    /// Those of `write`, but for `WouldBlock` and `Interrupted`; another task waits to write; [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn write_with<R>(&self, mut write: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        call(&self.source, Direction::Write, || write(&self.inner))
    }

    /// As [`read_with`](Async::read_with), for what reads by `&mut`: a stream that decrypts, say.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn read_with_mut<R>(&mut self, mut read: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        call(&self.source, Direction::Read, || read(&mut self.inner))
    }

    /// As [`write_with`](Async::write_with), for what writes by `&mut`.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn write_with_mut<R>(&mut self, mut write: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        call(&self.source, Direction::Write, || write(&mut self.inner))
    }
}

/// Makes a call as often as it takes.
#[track_caller]
fn call<R>(source: &Source, direction: Direction, mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let what = match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    };
    let mut done = None;
    let mut once = || {
        done = Some(call()?);
        Ok(0)
    };
    perform(source, what, Operation::Call { direction, call: &mut once })?;
    Ok(done.expect("a call that has succeeded has brought something"))
}

// Not by way of `&T: Read`: an implementation for references that asks for one for references sends the compiler round in circles
// wherever somebody's function asks for `&T: Read`.
impl<T: AsFd> Read for &Async<T> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|inner| Ok(rustix::io::read(inner, &mut *buffer)?))
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_with(|inner| Ok(rustix::io::readv(inner, buffers)?))
    }
}

impl<T: AsFd> Read for Async<T> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl<T: AsFd> Write for &Async<T> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|inner| Ok(rustix::io::write(inner, bytes)?))
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|inner| Ok(rustix::io::writev(inner, parts)?))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: AsFd> Write for Async<T> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of a socket; what is none cannot be ended in one direction, and goes on.
impl<T: AsFd> CloseWrite for Async<T> {
    fn close_write(&self) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::net::shutdown(&self.inner, rustix::net::Shutdown::Write) {
            Ok(()) | Err(Errno::NOTSOCK | Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> AsRawFd for Async<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_fd().as_raw_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(&self.inner).finish()
    }
}
