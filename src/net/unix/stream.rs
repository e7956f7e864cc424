//! Connections.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::{Pauses, address};
use crate::driver::unix;
use crate::net::face;
use crate::net::socket::Socket;
use crate::scheduler::lowlevel;

/// A connection within this machine; as [`std::os::unix::net::UnixStream`].
///
/// ```
/// use ropewalk::net::UnixStream;
/// use ropewalk::task;
/// use std::io::{self, Read, Write};
///
/// ropewalk::run(|| {
///     let (mut parent, mut child) = UnixStream::pair()?;
///     task::scope(|s| {
///         s.spawn(move || child.write_all(b"done"));
///         let mut news = String::new();
///         parent.read_to_string(&mut news)?;
///         assert_eq!(news, "done");
///         Ok(())
///     })
/// })
/// # .map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// One task may read while another writes: `Read` and `Write` are there for `&UnixStream` too. A second task that
/// would wait in the same direction is refused, with an error of the kind `ResourceBusy`.
///
/// # Cancellation
///
/// A call that fails with [`Cancelled`](crate::Cancelled) has read and written nothing.
#[derive(Debug)]
#[doc(alias = "open_unix_connection")]
#[doc(alias = "create_unix_connection")]
#[doc(alias = "socketpair")]
pub struct UnixStream {
    socket: Socket,
}

/// Who is at the other side: see [`UnixStream::peer_cred`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UCred {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process, where the system tells, and this process could see it.
    pub pid: Option<i32>,
}

impl UnixStream {
    /// Connects to whoever listens at a path. If others wait there already, as many as the listener takes, it waits
    /// too, by trying again.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), nobody has been connected to.
    ///
    /// # Errors
    ///
    /// As the system has it: `NotFound`; `ConnectionRefused` if nobody listens. `InvalidInput` for a path that is too long (some 100
    /// bytes) or has a zero in it. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_to(&address::of_path(path)?)
    }

    /// As [`connect`](UnixStream::connect), to a path or, on Linux, an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`connect`](UnixStream::connect).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&address::to_system(address)?)
    }

    #[track_caller]
    fn connect_to(address: &SocketAddrUnix) -> io::Result<UnixStream> {
        lowlevel::may_wait()?;
        let socket = Socket::open(AddressFamily::UNIX, SocketType::STREAM, true)?;
        let mut pauses = Pauses::new();
        loop {
            match rustix::net::connect(&socket, address) {
                Ok(()) => break,
                Err(Errno::AGAIN) => pauses.pause()?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        socket.set_nonblocking(false)?;
        Ok(UnixStream { socket })
    }

    /// Both ends of a connection, which has no name.
    ///
    /// # Errors
    ///
    /// As the system has it: there may be no more descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (left, right) = Socket::pair(SocketType::STREAM)?;
        Ok((UnixStream { socket: left }, UnixStream { socket: right }))
    }

    pub(super) fn from_socket(socket: Socket) -> UnixStream {
        UnixStream { socket }
    }

    /// Receives without taking: the next `read` gets it again.
    ///
    /// # Errors
    ///
    /// As [`read`](std::io::Read::read).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer, true)
    }

    /// Ends one direction of the connection, or both.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of this side; without a name on the side that has connected.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::from_system(Some(self.socket.local_addr()?))
    }

    /// The address of the other side; without a name on the side that has accepted.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::from_system(rustix::net::getpeername(&self.socket)?)
    }

    /// Who is at the other side: user, group and process, as they were when the connection was made.
    ///
    /// ```
    /// use ropewalk::net::UnixStream;
    ///
    /// let (left, _right) = UnixStream::pair().unwrap();
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(left.peer_cred().unwrap().pid, Some(std::process::id() as i32));
    /// ```
    ///
    /// # Errors
    ///
    /// As the system has it.
    ///
    /// # Platform
    ///
    /// The process is known on Linux.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        let unix::Peer { uid, gid, pid } = unix::credentials(self.as_fd())?;
        Ok(UCred { uid, gid, pid })
    }
}

face::stream!(UnixStream);
face::as_std!(UnixStream, std::os::unix::net::UnixStream);
