//! A descriptor of a socket, and the system calls on it that may wait. Or what stands for one in a simulated network.
//!
//! Sockets are blocking, as std's are, and each call says that it does not want to wait; but for listeners, since accepting has
//! no such flag.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType, sockopt,
};

use super::simulated;
use crate::error::Cancelled;
use crate::scheduler::io::{self as scheduled, AtDescriptor, Direction, Kind, Message, Operation, Source};
use crate::time;

/// Connections that wait to be accepted: what std takes.
pub(super) const BACKLOG: i32 = 4096;

/// Any socket.
pub(super) struct Socket {
    end: End,
    kind: Kind,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

/// Whose it is.
enum End {
    System(Descriptor),
    Simulated(Box<simulated::Socket>),
}

/// The system's.
struct Descriptor {
    // Dropped first: a scheduler forgets a descriptor before it is closed.
    source: Source,
    fd: OwnedFd,
}

/// Where an arm waits: at a descriptor, or for what stands for one.
pub(crate) type AtSocket = (Option<AtDescriptor>, Option<simulated::Place>);

/// Whether the wait ended there: `None` if not.
pub(super) fn into_woken(place: AtSocket) -> Option<io::Result<()>> {
    match place {
        (Some(descriptor), _) => descriptor.into_woken(),
        (None, simulated) => simulated?.into_value().map(Ok),
    }
}

impl Descriptor {
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
}

/// Returns what a call on a simulated socket returns, for as long as one in that direction may wait. No function, which would hide
/// where the call is made.
macro_rules! limited {
    ($socket:ident, $direction:expr, $call:expr) => {
        match $socket.timeout($direction) {
            None => return $call,
            Some(timeout) => return within(timeout, || $call),
        }
    };
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
    /// A new one, which is not inherited by children. In a runtime with a simulated network it belongs to that, if it is of the
    /// sort that goes over networks.
    pub(super) fn open(family: AddressFamily, kind: SocketType, nonblocking: bool) -> io::Result<Socket> {
        if let Some(simulated) = simulated::Socket::open(family, kind) {
            return Ok(Socket::simulated(simulated));
        }
        let mut socket = Socket::other(open(family, kind, nonblocking)?);
        socket.kind = kind_of_socket(family, kind);
        Ok(socket)
    }

    /// One that is there, of which no more is known.
    pub(super) fn other(fd: OwnedFd) -> Socket {
        let source = Source::new(fd.as_raw_fd());
        Socket::at(End::System(Descriptor { source, fd }))
    }

    fn simulated(simulated: simulated::Socket) -> Socket {
        Socket::at(End::Simulated(Box::new(simulated)))
    }

    fn at(end: End) -> Socket {
        let timeouts = || Timeout(AtomicU64::new(0));
        Socket { end, kind: Kind::Other, read_timeout: timeouts(), write_timeout: timeouts() }
    }

    /// One that std had, or somebody else, with the timeouts that it has. Of what is no socket nothing can be asked, and calls on it
    /// will say so.
    pub(super) fn adopted(fd: OwnedFd) -> Socket {
        let mut socket = Socket::other(fd);
        let family = socket.local_addr().map(|address| address.address_family());
        let kind = sockopt::socket_type(&socket);
        if let (Ok(family), Ok(kind)) = (family, kind) {
            socket.kind = kind_of_socket(family, kind);
        }
        for direction in [Direction::Read, Direction::Write] {
            if let Ok(timeout) = sockopt::socket_timeout(&socket, kind_of(direction)) {
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
        match self.end {
            End::System(Descriptor { source, fd }) => {
                drop(source);
                fd
            }
            End::Simulated(simulated) => simulated.into_fd(),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let clone = match &self.end {
            End::System(descriptor) => {
                Socket { kind: self.kind, ..Socket::other(descriptor.fd.try_clone()?) }
            }
            End::Simulated(simulated) => Socket::simulated(simulated.try_clone()?),
        };
        clone.read_timeout.set(self.read_timeout.get());
        clone.write_timeout.set(self.write_timeout.get());
        Ok(clone)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => Ok(rustix::io::ioctl_fionbio(&descriptor.fd, nonblocking)?),
            End::Simulated(_) => Ok(()),
        }
    }

    pub(super) fn bind(&self, to: &SocketAddr) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => Ok(rustix::net::bind(&descriptor.fd, to)?),
            End::Simulated(simulated) => simulated.bind(*to),
        }
    }

    pub(super) fn listen(&self, backlog: i32) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => Ok(rustix::net::listen(&descriptor.fd, backlog)?),
            End::Simulated(simulated) => simulated.listen(backlog),
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn recv(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let descriptor = match &self.end {
            End::System(descriptor) => descriptor,
            End::Simulated(simulated) => limited!(self, Direction::Read, simulated.recv(buffer, peek)),
        };
        let kind = self.kind;
        self.perform(descriptor, if peek { "peek" } else { "recv" }, Operation::Recv { buffer, peek, kind })
    }

    #[inline]
    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let descriptor = match &self.end {
            End::System(descriptor) => descriptor,
            End::Simulated(simulated) => limited!(self, Direction::Write, simulated.send(bytes)),
        };
        match self.kind {
            Kind::Tcp | Kind::UnixStream => self.perform(descriptor, "send", Operation::Send { bytes }),
            Kind::UnixDatagrams | Kind::Other => {
                self.call(Direction::Write, "send", |fd| rustix::net::send(fd, bytes, AT_ONCE))
            }
        }
    }

    #[track_caller]
    pub(super) fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let End::System(descriptor) = &self.end else {
            let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
            return self.recv(first.map_or(&mut [], |buffer| &mut **buffer), false);
        };
        let mut message = Message::receive(buffers);
        let operation = Operation::RecvMessage { message: &mut message, peek: false, kind: self.kind };
        self.perform(descriptor, "recv", operation)
    }

    #[track_caller]
    pub(super) fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let End::System(descriptor) = &self.end else {
            let first = buffers.iter().find(|buffer| !buffer.is_empty());
            return self.send(first.map_or(&[], |buffer| &**buffer));
        };
        match self.kind {
            Kind::Tcp | Kind::UnixStream => {
                let mut message = Message::send(buffers);
                self.perform(descriptor, "send", Operation::SendMessage { message: &mut message })
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
        let descriptor = match &self.end {
            End::System(descriptor) => descriptor,
            End::Simulated(simulated) => {
                limited!(self, Direction::Read, received_simulated(simulated.recv_from(buffer, peek)))
            }
        };
        let mut buffers = [IoSliceMut::new(buffer)];
        let mut message = Message::receive(&mut buffers);
        let operation = Operation::RecvMessage { message: &mut message, peek, kind: self.kind };
        let count = self.perform(descriptor, "recv", operation)?;
        Ok((count, message.sender()))
    }

    #[track_caller]
    pub(super) fn send_to(&self, bytes: &[u8], to: &SocketAddrAny) -> io::Result<usize> {
        if let End::Simulated(simulated) = &self.end {
            return simulated.send_to(bytes, to.clone().try_into()?);
        }
        self.call(Direction::Write, "send", |fd| rustix::net::sendto(fd, bytes, AT_ONCE, to))
    }

    /// The next connection, of which nobody knows yet; the peer's address, if it has one.
    #[track_caller]
    pub(super) fn accept(&self) -> io::Result<(Socket, Option<SocketAddrAny>)> {
        if let End::Simulated(simulated) = &self.end {
            limited!(self, Direction::Read, accepted_simulated(simulated.accept()));
        }
        Ok(self.accepted(self.call(Direction::Read, "accept", accept)?))
    }

    /// As [`accept`](Socket::accept), if one is there.
    pub(super) fn try_accept(&self) -> Option<io::Result<(Socket, Option<SocketAddrAny>)>> {
        match &self.end {
            End::System(descriptor) => match accept(descriptor.fd.as_fd()) {
                Err(Errno::AGAIN) => None,
                Ok(accepted) => Some(Ok(self.accepted(accepted))),
                Err(error) => Some(Err(error.into())),
            },
            End::Simulated(simulated) => Some(accepted_simulated(simulated.try_accept()?)),
        }
    }

    /// A connection is of the listener's kind.
    fn accepted(&self, (fd, peer): (OwnedFd, Option<SocketAddrAny>)) -> (Socket, Option<SocketAddrAny>) {
        (Socket { kind: self.kind, ..Socket::other(fd) }, peer)
    }

    /// Of a socket that does not block, begins to connect; what becomes of that [`try_connected`](Socket::try_connected) tells. Of one
    /// for datagrams, sets the other side.
    pub(super) fn begin_connect(&self, to: &SocketAddr) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => match rustix::net::connect(&descriptor.fd, to) {
                // One that a signal has interrupted goes on all the same.
                Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            },
            End::Simulated(simulated) => simulated.begin_connect(*to),
        }
    }

    /// What has become of an attempt to connect, if that is known.
    pub(super) fn try_connected(&self) -> Option<io::Result<()>> {
        match &self.end {
            End::System(descriptor) => match is_connected(descriptor.fd.as_fd()) {
                Err(Errno::AGAIN) => None,
                connected => Some(connected.map_err(io::Error::from)),
            },
            End::Simulated(simulated) => simulated.try_connected(),
        }
    }

    /// Connects a socket that does not block.
    #[track_caller]
    pub(super) fn connect(&self, to: &SocketAddr) -> io::Result<()> {
        if let End::Simulated(simulated) = &self.end {
            limited!(self, Direction::Write, simulated.connect(*to));
        }
        let mut has_begun = false;
        self.call(Direction::Write, "connect", |fd| {
            if !has_begun {
                has_begun = true;
                return match rustix::net::connect(fd, to) {
                    Err(Errno::INPROGRESS | Errno::INTR) => Err(Errno::AGAIN),
                    connected => connected,
                };
            }
            is_connected(fd)
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
        let End::System(descriptor) = &self.end else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this socket is simulated"));
        };
        let mut done = None;
        let mut once = || {
            done = Some(call(descriptor.fd.as_fd())?);
            Ok(0)
        };
        self.perform(descriptor, what, Operation::Call { direction, call: &mut once })?;
        Ok(done.expect("a call that has succeeded has brought something"))
    }

    #[inline]
    #[track_caller]
    fn perform(
        &self,
        descriptor: &Descriptor,
        what: &'static str,
        operation: Operation<'_, '_>,
    ) -> io::Result<usize> {
        match self.timeout_of(operation.direction()).get() {
            None => scheduled::perform(&descriptor.source, what, operation),
            Some(timeout) => descriptor.perform_within(timeout, what, operation),
        }
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
        if let End::System(descriptor) = &self.end {
            sockopt::set_socket_timeout(&descriptor.fd, kind_of(direction), timeout)?;
        }
        self.timeout_of(direction).set(timeout);
        Ok(())
    }

    /// Parks until a call in that direction need not wait, as far as is known.
    #[track_caller]
    pub(super) fn wait(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        match &self.end {
            End::System(Descriptor { source, fd }) => {
                scheduled::wait_until_ready(source, fd.as_fd(), direction, what)
            }
            End::Simulated(simulated) => simulated.wait(direction, what),
        }
    }

    /// Whether a call in that direction need not wait.
    pub(super) fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        match &self.end {
            End::System(descriptor) => scheduled::is_ready(descriptor.fd.as_fd(), direction),
            End::Simulated(simulated) => simulated.is_ready(direction),
        }
    }

    /// For arms.
    pub(super) fn place(&self, direction: Direction) -> AtSocket {
        match &self.end {
            End::System(descriptor) => (Some(AtDescriptor::new(&descriptor.source, direction)), None),
            End::Simulated(simulated) => (None, simulated.place(direction)),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddrAny> {
        match &self.end {
            End::System(descriptor) => Ok(rustix::net::getsockname(&descriptor.fd)?),
            End::Simulated(simulated) => Ok(simulated.local_addr()?.into()),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddrAny> {
        match &self.end {
            End::System(descriptor) => {
                let address = rustix::net::getpeername(&descriptor.fd)?;
                address.ok_or_else(|| io::ErrorKind::NotConnected.into())
            }
            End::Simulated(simulated) => Ok(simulated.peer_addr()?.into()),
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.end {
            End::System(descriptor) => Ok(sockopt::socket_error(&descriptor.fd)?.err().map(io::Error::from)),
            End::Simulated(simulated) => simulated.take_error(),
        }
    }

    pub(super) fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        let descriptor = match &self.end {
            End::System(descriptor) => descriptor,
            End::Simulated(simulated) => return simulated.shutdown(how),
        };
        let how = match how {
            std::net::Shutdown::Read => rustix::net::Shutdown::Read,
            std::net::Shutdown::Write => rustix::net::Shutdown::Write,
            std::net::Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&descriptor.fd, how)?)
    }

    /// Whether an address is free although connections of somebody before linger there. In a simulated network none do.
    pub(super) fn set_reuse_address(&self, reuse: bool) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => Ok(sockopt::set_socket_reuseaddr(&descriptor.fd, reuse)?),
            End::Simulated(_) => Ok(()),
        }
    }

    /// Others who say so too may be bound to the same address.
    pub(super) fn share_address(&self) -> io::Result<()> {
        match &self.end {
            End::System(descriptor) => set_reuse_port(descriptor.fd.as_fd()),
            End::Simulated(simulated) => simulated.share_address(),
        }
    }

    /// How long a close waits for what has not been sent; with a time of nothing it resets the connection.
    pub(super) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        if let End::Simulated(simulated) = &self.end {
            simulated.set_resets_when_closed(linger == Some(Duration::ZERO))?;
        }
        Ok(sockopt::set_socket_linger(self, linger)?)
    }
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
fn set_reuse_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(fd, true)?)
}

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
fn set_reuse_port(_: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not share ports"))
}

fn received_simulated(
    received: io::Result<(usize, SocketAddr)>,
) -> io::Result<(usize, Option<SocketAddrAny>)> {
    let (count, sender) = received?;
    Ok((count, Some(sender.into())))
}

fn accepted_simulated(
    accepted: io::Result<(simulated::Socket, SocketAddr)>,
) -> io::Result<(Socket, Option<SocketAddrAny>)> {
    let (socket, peer) = accepted?;
    Ok((Socket::simulated(socket), Some(peer.into())))
}

/// Whether a connection that was being set up stands; `AGAIN` if that is not known.
fn is_connected(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::socket_error(fd)??;
    // Woken for no reason: it is connected when it has a peer.
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => Err(Errno::AGAIN),
        Err(error) => Err(error),
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

pub(super) fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

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
        match &self.end {
            End::System(descriptor) => descriptor.fd.as_fd(),
            End::Simulated(simulated) => simulated.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::System(descriptor) => descriptor.fd.as_raw_fd().fmt(f),
            End::Simulated(simulated) => simulated.fmt(f),
        }
    }
}
