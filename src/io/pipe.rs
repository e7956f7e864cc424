//! Pipes.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Stdio};

use super::descriptor::Async;
use crate::scheduler::lowlevel::Readiness;

/// The end of a pipe that is read: see [`pipe`].
#[derive(Debug)]
pub struct PipeReader {
    end: Async<OwnedFd>,
}

/// The end of a pipe that is written: see [`pipe`]. Dropping it ends what is read at the other end.
#[derive(Debug)]
pub struct PipeWriter {
    end: Async<OwnedFd>,
}

/// Makes a pipe: what is written at one end is read at the other, in this process or another. As std's `pipe`.
///
/// ```
/// use ropewalk::{io::pipe, task};
/// use std::io::{Read, Write};
///
/// # ropewalk::run(|| {
/// let (mut reader, mut writer) = pipe()?;
/// task::spawn(move || writer.write_all(b"rope"));
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "rope");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// Given to a child process, or turned into an [`OwnedFd`], an end blocks again, as a child expects. What std or somebody else has opened
/// becomes an end by `PipeReader::try_from(fd)`, and does not block any more; nor do its duplicates, if there are any.
///
/// ```
/// use ropewalk::io::pipe;
/// use std::io::Read;
/// use std::process::Command;
///
/// # ropewalk::run(|| {
/// let (mut reader, writer) = pipe()?;
/// let mut child = Command::new("echo").arg("rope").stdout(writer).spawn()?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;                             // Parks the task.
/// assert_eq!(text, "rope\n");
/// child.wait()?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// As the system has it: there are no more descriptors.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = nonblocking_pipe()?;
    let end = |fd| Async::of_nonblocking(fd, true);
    Ok((PipeReader { end: end(reader) }, PipeWriter { end: end(writer) }))
}

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
pub(crate) fn nonblocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::PipeFlags;
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
pub(crate) fn nonblocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = rustix::pipe::pipe()?;
    for end in [&ends.0, &ends.1] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok(ends)
}

impl Read for &PipeReader {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.end).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.end).read_vectored(buffers)
    }
}

impl Read for PipeReader {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.end).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.end).read_vectored(buffers)
    }
}

impl Write for &PipeWriter {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.end).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.end).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.end).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.end).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A child's output, to be read; it does not block any more.
///
/// ```
/// use ropewalk::io::{LineReader, PipeReader};
/// use std::process::{Command, Stdio};
///
/// # ropewalk::run(|| {
/// let mut child = Command::new("echo").arg("rope").stdout(Stdio::piped()).spawn()?;
/// let output = PipeReader::try_from(child.stdout.take().unwrap())?;
/// assert_eq!(LineReader::new(output).next_line()?, Some("rope"));
/// child.wait()?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
impl TryFrom<ChildStdout> for PipeReader {
    type Error = io::Error;

    fn try_from(output: ChildStdout) -> io::Result<PipeReader> {
        OwnedFd::from(output).try_into()
    }
}

/// What a child says of what went wrong; it does not block any more.
impl TryFrom<ChildStderr> for PipeReader {
    type Error = io::Error;

    fn try_from(output: ChildStderr) -> io::Result<PipeReader> {
        OwnedFd::from(output).try_into()
    }
}

/// A child's input, to be written; it does not block any more.
impl TryFrom<ChildStdin> for PipeWriter {
    type Error = io::Error;

    fn try_from(input: ChildStdin) -> io::Result<PipeWriter> {
        OwnedFd::from(input).try_into()
    }
}

impl PipeReader {
    /// Parks until there is something to read, or the end.
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
        self.end.wait_readable()
    }

    /// An arm that waits until there is something to read, or the end, for [`select`](crate::select::select).
    pub fn readable(&self) -> Readiness<BorrowedFd<'_>> {
        self.end.readable()
    }
}

impl PipeWriter {
    /// Parks until something can be written, or nobody reads any more.
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
        self.end.wait_writable()
    }

    /// An arm that waits until something can be written, or nobody reads any more, for [`select`](crate::select::select).
    pub fn writable(&self) -> Readiness<BorrowedFd<'_>> {
        self.end.writable()
    }
}

macro_rules! descriptors {
    ($($end:ident),*) => {$(
        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.end.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.end.as_raw_fd()
            }
        }

        /// Makes it an end that does not block.
        impl TryFrom<OwnedFd> for $end {
            type Error = io::Error;

            fn try_from(fd: OwnedFd) -> io::Result<$end> {
                rustix::io::ioctl_fionbio(&fd, true)?;
                Ok($end { end: Async::of_nonblocking(fd, true) })
            }
        }

        /// Makes it an end that blocks.
        impl From<$end> for OwnedFd {
            fn from(end: $end) -> OwnedFd {
                end.end.into_inner().expect("a pipe can be set to block")
            }
        }

        /// Makes it an end that blocks, for a child process.
        impl From<$end> for Stdio {
            fn from(end: $end) -> Stdio {
                OwnedFd::from(end).into()
            }
        }
    )*};
}

descriptors!(PipeReader, PipeWriter);
