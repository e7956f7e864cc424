//! TCP: listeners and streams.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::socket::Socket;
use crate::scheduler::lowlevel;

/// Waits for connections; as [`std::net::TcpListener`].
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket,
}

/// A connection; as [`std::net::TcpStream`].
///
/// One task may read while another writes: `Read` and `Write` are there for `&TcpStream` too. A second task that
/// would wait in the same direction is refused, with an error of the kind `ResourceBusy`.
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket,
}

/// Connections as they come: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

/// Connections that wait to be accepted: what std takes.
pub(super) const BACKLOG: i32 = 4096;

impl TcpListener {
    /// Listens at the first of the addresses where that works. Of a name, the addresses are looked up on this thread.
    ///
    /// # Errors
    ///
    /// As the system has it, of the last address.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_of(address, |address| {
            let socket = Socket::open(family(address), SocketType::STREAM, true)?;
            socket.set_reuse_address(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener { socket })
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// As the system has it; those that concern one connection alone are passed over. [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.socket.accept()?;
        let address = address.ok_or_else(|| io::Error::other("a connection without an address"))?;
        Ok((TcpStream { socket }, SocketAddr::try_from(address)?))
    }

    /// Connections as they come, without an end; errors are items.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.local_addr()?)?)
    }

    /// What went wrong since it was asked last.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

impl TcpStream {
    /// Connects to the first of the addresses where that works. Of a name, the addresses are looked up on this thread.
    ///
    /// # Errors
    ///
    /// As the system has it, of the last address. [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        lowlevel::will_wait()?;
        first_of(address, TcpStream::connect_to)
    }

    #[track_caller]
    fn connect_to(address: &SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::open(family(address), SocketType::STREAM, true)?;
        socket.connect(address)?;
        socket.set_nonblocking(false)?;
        Ok(TcpStream { socket })
    }

    /// Receives without taking: the next `read` gets it again.
    ///
    /// # Errors
    ///
    /// As [`read`](Read::read).
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, true)
    }

    /// Ends one direction of the connection, or both.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.peer_addr()?)?)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.local_addr()?)?)
    }

    /// Whether small packets are sent at once.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(&self.socket, nodelay)?)
    }

    /// See [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(&self.socket)?)
    }

    /// How long a close waits for what has not been sent; with a time of nothing it resets the connection.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(linger)
    }

    /// What went wrong since it was asked last.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// The same connection once more, with a descriptor of its own.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: self.socket.try_clone()? })
    }
}

/// The first that works; the error of the last.
#[track_caller]
pub(super) fn first_of<T>(
    addresses: impl ToSocketAddrs,
    mut what: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match what(&address) {
            Ok(value) => return Ok(value),
            Err(error) if crate::error::Cancelled::is(&error) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try")))
}

pub(super) fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

impl Read for &TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, false)
    }
}

impl Write for &TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

macro_rules! descriptors {
    ($type:ident) => {
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.as_raw_fd()
            }
        }

        impl From<$type> for OwnedFd {
            fn from(from: $type) -> OwnedFd {
                from.socket.into_fd()
            }
        }
    };
}

descriptors!(TcpListener);
descriptors!(TcpStream);
