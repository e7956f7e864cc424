//! A descriptor of a socket, and the system calls on it that may wait.
//!
//! Sockets are blocking, as std's are, and each call says that it does not want to wait; but for listeners, since accepting has
//! no such flag.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType, sockopt,
};

use crate::error::Cancelled;
use crate::scheduler::io::{self as scheduled, AtDescriptor, Direction, Kind, Message, Operation, Source};
use crate::time;

/// Any socket.
pub(super) struct Socket {
    // Dropped first: a scheduler forgets a descriptor before it is closed.
    source: Source,
    fd: OwnedFd,
    kind: Kind,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

/// How long a call may wait, in nanoseconds; none if that is 0.
struct Timeout(AtomicU64);

impl Timeout {
    // Relaxed: a time and nothing else.
    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn set(&self, timeout: Option<Duration>) {
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl Socket {
    /// A new one, which is not inherited by children.
    pub(super) fn open(family: AddressFamily, kind: SocketType, nonblocking: bool) -> io::Result<Socket> {
        let mut socket = Socket::other(open(family, kind, nonblocking)?);
        socket.kind = kind_of_socket(family, kind);
        Ok(socket)
    }

    /// A TCP connection that is there.
    pub(super) fn new(fd: OwnedFd) -> Socket {
        Socket { kind: Kind::Tcp, ..Socket::other(fd) }
    }

    /// One that this listener has accepted.
    pub(super) fn accepted(&self, fd: OwnedFd) -> Socket {
        Socket { kind: self.kind, ..Socket::other(fd) }
    }

    /// One of another kind that is there.
    pub(super) fn other(fd: OwnedFd) -> Socket {
        let source = Source::new(fd.as_raw_fd());
        let timeouts = || Timeout(AtomicU64::new(0));
        let (read_timeout, write_timeout) = (timeouts(), timeouts());
        Socket { source, fd, kind: Kind::Other, read_timeout, write_timeout }
    }

    /// One that std had, or somebody else, with the timeouts that it has. Of what is no socket nothing can be asked, and calls on it
    /// will say so.
    pub(super) fn adopted(fd: OwnedFd) -> Socket {
        let mut socket = Socket::other(fd);
        let family = socket.local_addr().map(|address| address.address_family());
        let kind = sockopt::socket_type(&socket.fd);
        if let (Ok(family), Ok(kind)) = (family, kind) {
            socket.kind = kind_of_socket(family, kind);
        }
        for direction in [Direction::Read, Direction::Write] {
            if let Ok(timeout) = sockopt::socket_timeout(&socket.fd, kind_of(direction)) {
                socket.timeout_of(direction).set(timeout);
            }
        }
        socket
    }

    /// The two ends of a connection, of Unix sockets.
    pub(super) fn pair(kind: SocketType) -> io::Result<(Socket, Socket)> {
        let ends = pair(kind)?;
        let kind = kind_of_socket(AddressFamily::UNIX, kind);
        let socket = |fd| Socket { kind, ..Socket::other(fd) };
        Ok((socket(ends.0), socket(ends.1)))
    }

    /// The descriptor, for use without this.
    pub(super) fn into_fd(self) -> OwnedFd {
        let Socket { source, fd, .. } = self;
        drop(source);
        fd
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let clone = Socket { kind: self.kind, ..Socket::other(self.fd.try_clone()?) };
        clone.read_timeout.set(self.read_timeout.get());
        clone.write_timeout.set(self.write_timeout.get());
        Ok(clone)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, nonblocking)?)
    }

    #[inline]
    #[track_caller]
    pub(super) fn recv(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let kind = self.kind;
        self.perform(if peek { "peek" } else { "recv" }, Operation::Recv { buffer, peek, kind })
    }

    #[inline]
    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Tcp | Kind::UnixStream => self.perform("send", Operation::Send { bytes }),
            Kind::UnixDatagrams | Kind::Other => {
                self.call(Direction::Write, "send", |fd| rustix::net::send(fd, bytes, AT_ONCE))
            }
        }
    }

    #[track_caller]
    pub(super) fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut message = Message::receive(buffers);
        self.perform("recv", Operation::RecvMessage { message: &mut message, peek: false, kind: self.kind })
    }

    #[track_caller]
    pub(super) fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.kind {
            Kind::Tcp | Kind::UnixStream => {
                let mut message = Message::send(buffers);
                self.perform("send", Operation::SendMessage { message: &mut message })
            }
            Kind::UnixDatagrams | Kind::Other => self.call(Direction::Write, "send", |fd| {
                rustix::net::sendmsg(fd, buffers, &mut SendAncillaryBuffer::default(), AT_ONCE)
            }),
        }
    }

    /// A datagram, and where it came from, if that has an address.
    #[track_caller]
    pub(super) fn recv_from(
        &self,
        buffer: &mut [u8],
        peek: bool,
    ) -> io::Result<(usize, Option<SocketAddrAny>)> {
        let mut buffers = [IoSliceMut::new(buffer)];
        let mut message = Message::receive(&mut buffers);
        let count =
            self.perform("recv", Operation::RecvMessage { message: &mut message, peek, kind: self.kind })?;
        Ok((count, message.sender()))
    }

    #[track_caller]
    pub(super) fn send_to(&self, bytes: &[u8], to: &SocketAddrAny) -> io::Result<usize> {
        self.call(Direction::Write, "send", |fd| rustix::net::sendto(fd, bytes, AT_ONCE, to))
    }

    /// The next connection, of which nobody knows yet; the peer's address, if it has one.
    #[track_caller]
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
        self.call(Direction::Read, "accept", accept)
    }

    /// As [`accept`](Socket::accept), if one is there.
    pub(super) fn try_accept(&self) -> Option<io::Result<(OwnedFd, Option<SocketAddrAny>)>> {
        match accept(self.fd.as_fd()) {
            Err(Errno::AGAIN) => None,
            accepted => Some(accepted.map_err(io::Error::from)),
        }
    }

    /// Connects a socket that does not block.
    #[track_caller]
    pub(super) fn connect(&self, to: &SocketAddrAny) -> io::Result<()> {
        let mut has_begun = false;
        self.call(Direction::Write, "connect", |fd| {
            if !has_begun {
                has_begun = true;
                return match rustix::net::connect(fd, to) {
                    Err(Errno::INPROGRESS | Errno::INTR) => Err(Errno::AGAIN),
                    connected => connected,
                };
            }
            sockopt::socket_error(fd)??;
            // Woken for no reason: it is connected when it has a peer.
            match rustix::net::getpeername(fd) {
                Ok(_) => Ok(()),
                Err(Errno::NOTCONN) => Err(Errno::AGAIN),
                Err(error) => Err(error),
            }
        })
    }

    /// Makes a system call as often as it takes, on a socket that does not block.
    #[track_caller]
    pub(super) fn call<T>(
        &self,
        direction: Direction,
        what: &'static str,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let mut done = None;
        let mut once = || {
            done = Some(call(self.fd.as_fd())?);
            Ok(0)
        };
        self.perform(what, Operation::Call { direction, call: &mut once })?;
        Ok(done.expect("a call that has succeeded has brought something"))
    }

    #[inline]
    #[track_caller]
    fn perform(&self, what: &'static str, operation: Operation<'_, '_>) -> io::Result<usize> {
        match self.timeout_of(operation.direction()).get() {
            None => scheduled::perform(&self.source, what, operation),
            Some(timeout) => self.perform_within(timeout, what, operation),
        }
    }

    /// Fails as std's sockets do whose time is over.
    #[cold]
    #[track_caller]
    fn perform_within(
        &self,
        timeout: Duration,
        what: &'static str,
        operation: Operation<'_, '_>,
    ) -> io::Result<usize> {
        within(timeout, || scheduled::perform(&self.source, what, operation))
    }

    /// What takes several calls, for as long as one in that direction may wait.
    #[track_caller]
    pub(super) fn limited<T>(
        &self,
        direction: Direction,
        code: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.timeout(direction) {
            None => code(),
            Some(timeout) => within(timeout, code),
        }
    }

    fn timeout_of(&self, direction: Direction) -> &Timeout {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }

    /// How long a call in that direction may wait.
    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.timeout_of(direction).get()
    }

    /// # Errors
    ///
    /// A time of nothing, as std has it.
    pub(super) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of no time at all"));
        }
        // For whoever gets the descriptor later.
        sockopt::set_socket_timeout(&self.fd, kind_of(direction), timeout)?;
        self.timeout_of(direction).set(timeout);
        Ok(())
    }

    /// Parks until a call in that direction need not wait, as far as is known.
    #[track_caller]
    pub(super) fn wait(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        scheduled::wait_until_ready(&self.source, self.fd.as_fd(), direction, what)
    }

    /// Whether a call in that direction need not wait.
    pub(super) fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        scheduled::is_ready(self.fd.as_fd(), direction)
    }

    /// For arms.
    pub(super) fn place(&self, direction: Direction) -> AtDescriptor {
        AtDescriptor::new(&self.source, direction)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddrAny> {
        Ok(rustix::net::getsockname(&self.fd)?)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddrAny> {
        let address = rustix::net::getpeername(&self.fd)?;
        address.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(sockopt::socket_error(&self.fd)?.err().map(io::Error::from))
    }

    pub(super) fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        let how = match how {
            std::net::Shutdown::Read => rustix::net::Shutdown::Read,
            std::net::Shutdown::Write => rustix::net::Shutdown::Write,
            std::net::Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.fd, how)?)
    }
}

/// Fails as std's sockets do whose time is over.
#[track_caller]
fn within<T>(timeout: Duration, code: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match time::timeout(timeout, code) {
        Ok(done) => done,
        Err(elapsed) => match elapsed.0 {
            // It was done all the same.
            Ok(done) => Ok(done),
            Err(error) if Cancelled::is(&error) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        },
    }
}

fn kind_of_socket(family: AddressFamily, kind: SocketType) -> Kind {
    match (family, kind) {
        (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) => Kind::Tcp,
        (AddressFamily::UNIX, SocketType::STREAM) => Kind::UnixStream,
        (AddressFamily::UNIX, SocketType::DGRAM) => Kind::UnixDatagrams,
        _ => Kind::Other,
    }
}

/// No wait, and no signal when the other side has gone.
#[cfg(not(any(target_os = "macos", target_os = "ios")))]
pub(super) const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
/// There the socket has an option for the second.
#[cfg(any(target_os = "macos", target_os = "ios"))]
pub(super) const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

fn kind_of(direction: Direction) -> sockopt::Timeout {
    match direction {
        Direction::Read => sockopt::Timeout::Recv,
        Direction::Write => sockopt::Timeout::Send,
    }
}

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn open(family: AddressFamily, kind: SocketType, nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = if nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | flags, None)?)
}

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (left, right) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::empty(), None)?;
    make_ours(&left)?;
    make_ours(&right)?;
    Ok((left, right))
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn open(family: AddressFamily, kind: SocketType, nonblocking: bool) -> io::Result<OwnedFd> {
    let fd = rustix::net::socket(family, kind, None)?;
    make_ours(&fd)?;
    rustix::io::ioctl_fionbio(&fd, nonblocking)?;
    Ok(fd)
}

/// Not for children, and no signal when the other side has gone.
#[cfg(any(target_os = "macos", target_os = "ios"))]
fn make_ours(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_nosigpipe(fd, true)
}

/// One that has gone before it was accepted is passed over.
fn accept(fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    loop {
        match accept_any(fd) {
            Err(Errno::CONNABORTED | Errno::INTR) => continue,
            accepted => return accepted,
        }
    }
}

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn accept_any(fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    rustix::net::acceptfrom_with(fd, SocketFlags::CLOEXEC)
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn accept_any(fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (accepted, address) = rustix::net::acceptfrom(fd)?;
    make_ours(&accepted)?;
    // There it inherits the flag from the listener.
    rustix::io::ioctl_fionbio(&accepted, false)?;
    Ok((accepted, address))
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
        self.fd.as_raw_fd().fmt(f)
    }
}
