//! Datagrams.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType};

use super::{Pauses, address};
use crate::net::face;
use crate::net::socket::{AT_ONCE, Socket};
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel;

/// Sends and receives datagrams within this machine; as [`std::os::unix::net::UnixDatagram`]. None gets lost, nor overtakes
/// another.
///
/// ```
/// use ropewalk::net::UnixDatagram;
/// use ropewalk::task;
/// use std::io;
///
/// ropewalk::run(|| {
///     let (left, right) = UnixDatagram::pair()?;
///     task::scope(|s| {
///         s.spawn(|| { left.send(b"one")?; left.send(b"two") });
///         let mut buffer = [0; 100];
///         for expected in [b"one", b"two"] {
///             let count = right.recv(&mut buffer)?;
///             assert_eq!(&buffer[..count], expected);
///         }
///         Ok(())
///     })
/// })
/// # .map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// One task may receive while another sends. A second task that would wait in the same direction is refused, with an error
/// of the kind `ResourceBusy`.
///
/// # Cancellation
///
/// A datagram that has been received is returned, cancelled or not; those that come later wait in the socket.
#[derive(Debug)]
pub struct UnixDatagram {
    socket: Socket,
}

impl UnixDatagram {
    /// One that can be sent to at a path, where it makes a file, which it leaves there as std's does.
    ///
    /// # Errors
    ///
    /// As the system has it: `AddrInUse` if there is a file. `InvalidInput` for a path that is too long (some 100 bytes) or has a
    /// zero in it.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&address::of_path(path)?)
    }

    /// One that can be sent to at an address: a path, or on Linux an abstract name, for which there is no file.
    ///
    /// # Errors
    ///
    /// As for [`bind`](UnixDatagram::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&address::to_system(address)?)
    }

    fn bind_to(address: &SocketAddrUnix) -> io::Result<UnixDatagram> {
        let datagram = UnixDatagram::unbound()?;
        rustix::net::bind(&datagram.socket, address)?;
        Ok(datagram)
    }

    /// One without a name, which others cannot send to.
    ///
    /// # Errors
    ///
    /// As the system has it: there may be no more descriptors.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: Socket::open(AddressFamily::UNIX, SocketType::DGRAM, false)? })
    }

    /// Two that are connected to each other, and have no names.
    ///
    /// # Errors
    ///
    /// As the system has it: there may be no more descriptors.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (left, right) = Socket::pair(SocketType::DGRAM)?;
        Ok((UnixDatagram { socket: left }, UnixDatagram { socket: right }))
    }

    /// Sends to one path from now on, and receives from nobody else: for [`send`](UnixDatagram::send). It does not wait.
    ///
    /// # Errors
    ///
    /// As the system has it: `NotFound`; `ConnectionRefused` if nobody is there.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        Ok(rustix::net::connect(&self.socket, &address::of_path(path)?)?)
    }

    /// As [`connect`](UnixDatagram::connect), to a path or, on Linux, an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`connect`](UnixDatagram::connect).
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        Ok(rustix::net::connect(&self.socket, &address::to_system(address)?)?)
    }

    /// Waits for a datagram; its sender may have no name. What is longer than the buffer is cut.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the datagram is returned, or is there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        from(self.socket.recv_from(buffer, false)?)
    }

    /// As [`recv_from`](UnixDatagram::recv_from), and leaves it there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        from(self.socket.recv_from(buffer, true)?)
    }

    /// Waits for a datagram, whoever sends it. What is longer than the buffer is cut.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the datagram is returned, or is there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, false)
    }

    /// As [`recv`](UnixDatagram::recv), and leaves it there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, true)
    }

    /// Sends a datagram to whoever is at a path; how long it was. While the receiver has no room it waits, by trying
    /// again: the system does not say when there is.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), nothing was sent.
    ///
    /// # Errors
    ///
    /// As the system has it: `NotFound`; `ConnectionRefused` if nobody is there any more; the datagram may be too long.
    /// [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    ///
    /// # Platform
    ///
    /// On macOS and the BSDs a receiver without room is an error.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_system(datagram, &address::of_path(path)?)
    }

    /// As [`send_to`](UnixDatagram::send_to), to a path or, on Linux, an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](UnixDatagram::send_to).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn send_to_addr(&self, datagram: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_to_system(datagram, &address::to_system(address)?)
    }

    #[track_caller]
    fn send_to_system(&self, datagram: &[u8], address: &SocketAddrUnix) -> io::Result<usize> {
        lowlevel::may_wait()?;
        self.socket.limited(Direction::Write, || {
            let mut pauses = Pauses::new();
            loop {
                match rustix::net::sendto(&self.socket, datagram, AT_ONCE, address) {
                    Ok(count) => return Ok(count),
                    Err(Errno::INTR) => {}
                    // The receiver has no room: as far as this socket is concerned, it could send.
                    Err(Errno::AGAIN) if self.socket.is_ready(Direction::Write)? => pauses.pause()?,
                    Err(Errno::AGAIN) => self.socket.wait(Direction::Write, "send")?,
                    Err(error) => return Err(error.into()),
                }
            }
        })
    }

    /// Sends a datagram to whom it is [connected](UnixDatagram::connect) to; how long it was. It waits while the receiver
    /// has no room.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), nothing was sent.
    ///
    /// # Errors
    ///
    /// As the system has it: `NotConnected`; `ConnectionRefused` if the other side has gone; the datagram may be too long.
    /// [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    ///
    /// # Platform
    ///
    /// On macOS and the BSDs a receiver without room is an error.
    #[track_caller]
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send(datagram)
    }

    /// Ends one direction, or both: who waits there to receive is told, by nothing received, and who sends by an error.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address that it has, maybe without a name.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::from_system(Some(self.socket.local_addr()?))
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        address::from_system(rustix::net::getpeername(&self.socket)?)
    }
}

fn from((count, sender): (usize, Option<SocketAddrAny>)) -> io::Result<(usize, SocketAddr)> {
    Ok((count, address::of_sender(sender)?))
}

face::as_std!(UnixDatagram, std::os::unix::net::UnixDatagram);
