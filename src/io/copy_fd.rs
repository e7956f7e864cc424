//! Copying from descriptor to descriptor, inside the system where it can do that.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::FileType;
#[cfg(target_os = "linux")]
use rustix::io::Errno;

use super::copy::Copied;
use super::descriptor::Async;
use crate::scheduler::io::{Direction, is_ready};
#[cfg(target_os = "linux")]
use crate::scheduler::lowlevel;

/// What is moved at a time: what a pipe has room for, unless it was given more.
const STEP: usize = 64 * 1024;

/// What may be written to anything but a socket when it says that it is ready: POSIX promises that of pipes.
const SMALL: usize = 512;

/// How far [`copy_fd`] came before something went wrong, and what that was.
///
/// With `?` in a function that returns [`io::Result`], `error` goes on.
#[derive(Debug)]
pub struct CopyFdError {
    /// What went wrong.
    pub error: io::Error,
    /// What was copied.
    pub copied: Copied,
}

/// Copies from one descriptor to another until the first has ended, and returns how many bytes that were.
///
/// On Linux the bytes do not pass through the program: from a file they go by `sendfile`, between all others by `splice`. Where the
/// system does not do that they are read and written. A file is read, and written, from where it stands.
///
/// ```
/// use ropewalk::io::{copy_fd, pipe};
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::io::{self, Read};
///
/// # ropewalk::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// # let path = std::env::temp_dir().join(format!("ropewalk-copy-fd-{}", std::process::id()));
/// # std::fs::write(&path, "a page")?;
/// let file = std::fs::File::open(&path)?;
/// # std::fs::remove_file(&path)?;
/// task::spawn(move || {
///     let (stream, _) = listener.accept()?;
///     copy_fd(&file, &stream)?;                                 // A page is sent.
///     io::Result::Ok(())
/// });
/// assert_eq!(io::read_to_string(TcpStream::connect(address)?)?, "a page");
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// It fails with [`Cancelled`](crate::Cancelled) inside of the error. What was read by then and not written is in the error
/// too: nothing is lost.
///
/// # Errors
///
/// [`CopyFdError`], with how far it came. Both descriptors are duplicated, and for two sockets there is a pipe: that needs up to four.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
///
/// # Platform
///
/// Sockets are set not to block, and stay so: the system has no other way to move bytes without waiting. To this library's own streams
/// that makes no difference. Reading a file waits for the disk, and the whole thread with it. The signal `SIGPIPE`, which Rust's
/// programs ignore, cannot be kept away from `sendfile` and `splice` where it is not ignored.
#[doc(alias = "sendfile")]
#[doc(alias = "splice")]
#[track_caller]
pub fn copy_fd(from: &(impl AsFd + ?Sized), to: &(impl AsFd + ?Sized)) -> Result<u64, CopyFdError> {
    let mut copied = Copied::default();
    match Ends::new(from.as_fd(), to.as_fd()).and_then(|ends| ends.copy(&mut copied)) {
        Ok(()) => Ok(copied.bytes),
        Err(error) => Err(CopyFdError { error, copied }),
    }
}

/// What is copied from, and to: duplicates, so that other tasks may wait for the same, in the other direction of a proxy for instance.
struct Ends {
    from: Async<OwnedFd>,
    to: Async<OwnedFd>,
    kinds: (FileType, FileType),
}

/// How far a way of copying has led.
#[derive(PartialEq)]
enum Way {
    #[cfg(target_os = "linux")]
    ToTheEnd,
    /// The system does not do that with these descriptors: what is left is copied by hand.
    Refused,
}

impl Ends {
    fn new(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Ends> {
        let kind = |fd| io::Result::Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode));
        let kinds = (kind(from)?, kind(to)?);
        for (fd, kind) in [(from, kinds.0), (to, kinds.1)] {
            if kind == FileType::Socket {
                rustix::io::ioctl_fionbio(fd, true)?;
            }
        }
        let end =
            |fd: BorrowedFd<'_>| Ok::<_, io::Error>(Async::of_nonblocking(fd.try_clone_to_owned()?, false));
        Ok(Ends { from: end(from)?, to: end(to)?, kinds })
    }

    #[track_caller]
    fn copy(&self, copied: &mut Copied) -> io::Result<()> {
        if self.copy_inside(copied)? == Way::Refused {
            self.copy_by_hand(copied)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[track_caller]
    fn copy_inside(&self, _: &mut Copied) -> io::Result<Way> {
        Ok(Way::Refused)
    }

    /// Has the system move the bytes.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn copy_inside(&self, copied: &mut Copied) -> io::Result<Way> {
        use FileType::{Fifo, RegularFile, Socket};
        match self.kinds {
            (Fifo, _) | (_, Fifo) => self.move_all(copied, |from, to| splice(from, to, STEP)),
            (RegularFile, Socket | RegularFile) => {
                self.move_all(copied, |from, to| rustix::fs::sendfile(to, from, None, STEP))
            }
            (Socket, Socket | RegularFile) => self.move_through_a_pipe(copied),
            _ => Ok(Way::Refused),
        }
    }

    /// Moves bytes from one to the other as often as it takes; either may have to be waited for.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn move_all(
        &self,
        copied: &mut Copied,
        move_some: impl Fn(BorrowedFd<'_>, BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<Way> {
        loop {
            lowlevel::may_wait()?;
            match move_some(self.from.as_fd(), self.to.as_fd()) {
                Ok(0) if self.is_at_end(copied)? => return Ok(Way::ToTheEnd),
                Ok(moved) => copied.bytes += moved as u64,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !is_ready(self.from.as_fd(), Direction::Read)? => {
                    self.from.wait_readable()?
                }
                Err(Errno::AGAIN) if !is_ready(self.to.as_fd(), Direction::Write)? => {
                    self.to.wait_writable()?
                }
                Err(Errno::AGAIN) if self.kinds.0 == FileType::Socket && self.is_at_end(copied)? => {
                    return Ok(Way::ToTheEnd);
                }
                Err(Errno::AGAIN) => {}
                Err(error) if is_refusal(error) => return Ok(Way::Refused),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there is nothing more, where nothing more could be moved. Urgent bytes stop whatever moves bytes inside of the system,
    /// also at an end with more before it: what is received by hand passes them, and is copied.
    #[cfg(target_os = "linux")]
    #[cold]
    #[track_caller]
    fn is_at_end(&self, copied: &mut Copied) -> io::Result<bool> {
        use rustix::net::RecvFlags;
        if self.kinds.0 != FileType::Socket {
            return Ok(true);
        }
        let mut buffer = vec![0; STEP];
        match rustix::net::recv(&self.from, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((received, _)) => {
                self.write_all(&buffer[..received], copied)?;
                Ok(received == 0)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// One of the two has to be a pipe; if none is, one is put between.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn move_through_a_pipe(&self, copied: &mut Copied) -> io::Result<Way> {
        let (out_of, into) = super::pipe::nonblocking_pipe()?;
        loop {
            lowlevel::may_wait()?;
            // The pipe is empty: what would block is the other.
            let inside = match splice(self.from.as_fd(), into.as_fd(), STEP) {
                Ok(0) if self.is_at_end(copied)? => return Ok(Way::ToTheEnd),
                Ok(moved) => moved,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if !is_ready(self.from.as_fd(), Direction::Read)? => {
                    self.from.wait_readable()?;
                    continue;
                }
                Err(Errno::AGAIN) if self.is_at_end(copied)? => return Ok(Way::ToTheEnd),
                Err(Errno::AGAIN) => continue,
                Err(error) if is_refusal(error) => return Ok(Way::Refused),
                Err(error) => return Err(error.into()),
            };
            let mut left = inside;
            let emptied = self.empty_the_pipe(out_of.as_fd(), &mut left);
            copied.bytes += (inside - left) as u64;
            if left > 0 {
                copied.unwritten.resize(left, 0);
                let taken = rustix::io::read(&out_of, &mut *copied.unwritten)?;
                copied.unwritten.truncate(taken);
            }
            if emptied? == Way::Refused {
                return Ok(Way::Refused);
            }
        }
    }

    /// Moves on what is in the pipe; `left` says how much that is.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn empty_the_pipe(&self, pipe: BorrowedFd<'_>, left: &mut usize) -> io::Result<Way> {
        while *left > 0 {
            lowlevel::may_wait()?;
            match splice(pipe, self.to.as_fd(), *left) {
                Ok(moved) => *left -= moved,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.to.wait_writable()?,
                Err(error) if is_refusal(error) => return Ok(Way::Refused),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Way::ToTheEnd)
    }

    /// Reads and writes; first what was read before.
    #[track_caller]
    fn copy_by_hand(&self, copied: &mut Copied) -> io::Result<()> {
        let before = std::mem::take(&mut copied.unwritten);
        self.write_all(&before, copied)?;
        let mut buffer = vec![0; STEP];
        loop {
            let received = self.from.read_with(|from| {
                would_block_unless_ready(from, Direction::Read)?;
                Ok(rustix::io::read(from, &mut *buffer)?)
            })?;
            if received == 0 {
                return Ok(());
            }
            self.write_all(&buffer[..received], copied)?;
        }
    }

    /// Writes all of it, or leaves the rest where the error is told.
    #[track_caller]
    fn write_all(&self, mut bytes: &[u8], copied: &mut Copied) -> io::Result<()> {
        let most = match self.kinds.1 {
            FileType::Socket | FileType::RegularFile => STEP,
            _ => SMALL,
        };
        while !bytes.is_empty() {
            let written = self.to.write_with(|to| {
                would_block_unless_ready(to, Direction::Write)?;
                match rustix::io::write(to, &bytes[..bytes.len().min(most)])? {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    written => Ok(written),
                }
            });
            match written {
                Ok(written) => {
                    copied.bytes += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) => {
                    copied.unwritten = bytes.to_vec();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// For what may be set to block, and is not to be waited in.
fn would_block_unless_ready(fd: &OwnedFd, direction: Direction) -> io::Result<()> {
    if is_ready(fd.as_fd(), direction)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

#[cfg(target_os = "linux")]
fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> Result<usize, Errno> {
    use rustix::pipe::SpliceFlags;
    rustix::pipe::splice(from, None, to, None, count, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)
}

/// Whether an error says that the system does not do that with such descriptors, rather than that it has failed.
#[cfg(target_os = "linux")]
fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

impl fmt::Display for CopyFdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copying, after {} bytes: {}", self.copied.bytes, self.error)
    }
}

impl Error for CopyFdError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<CopyFdError> for io::Error {
    fn from(error: CopyFdError) -> io::Error {
        error.error
    }
}
