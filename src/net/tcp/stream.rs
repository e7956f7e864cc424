//! A connection.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;

use super::ConnectOptions;
use super::keepalive::{self, Keepalive};
use crate::error::Cancelled;
use crate::net::addresses::ToSocketAddrs;
use crate::net::face;
use crate::net::socket::Socket;
use crate::time;

/// A connection; as [`std::net::TcpStream`].
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::io::{BufRead, BufReader, Write};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
///     let (peer, _) = listener.accept().unwrap();
///     task::scope(|s| {
///         s.spawn(|| {
///             for line in BufReader::new(&peer).lines() {
///                 writeln!(&peer, "{}!", line.unwrap()).unwrap();      // The same one, to read from and to write to.
///             }
///         });
///         stream.write_all(b"haul\n").unwrap();
///         let mut answer = String::new();
///         BufReader::new(&stream).read_line(&mut answer).unwrap();
///         assert_eq!(answer, "haul!\n");
///         drop(stream);
///     });
/// });
/// ```
///
/// One task may read while another writes: `Read` and `Write` are there for `&TcpStream` too. A second task that
/// would wait in the same direction is refused, with an error of the kind `ResourceBusy`.
///
/// There is no `set_nonblocking`: what would wait parks its task alone. To see first whether it would there are
/// [`readable`](TcpStream::readable) and [`writable`](TcpStream::writable).
///
/// # Cancellation
///
/// A read or write that fails with [`Cancelled`] has transferred nothing. One that has transferred something says so, cancelled or
/// not. What std makes of several, such as `read_exact` and `write_all`, does not say how far it came.
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    pub(super) fn new(socket: Socket) -> TcpStream {
        TcpStream { socket }
    }

    /// Connects to one of the addresses: to the first that answers. [`ConnectOptions`] say more about how.
    ///
    /// ```
    /// use ropewalk::net::{TcpListener, TcpStream};
    ///
    /// ropewalk::run(|| {
    ///     let listener = TcpListener::bind("localhost:0").unwrap();
    ///     let address = listener.local_addr().unwrap();
    ///     let stream = TcpStream::connect(("localhost", address.port())).unwrap();
    ///     assert_eq!(stream.peer_addr().unwrap(), address);
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// Connections that were being set up are given up; the other side may have seen them.
    ///
    /// # Errors
    ///
    /// Of one address that was given, as the system has it. Of several, or of a name, a [`ConnectError`](super::ConnectError), which tells what
    /// became of each. Of a name, what [`lookup_host`](crate::net::lookup_host) says. [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "create_connection")]
    #[doc(alias = "open_connection")]
    #[doc(alias = "open_tcp_stream")]
    #[doc(alias = "sock_connect")]
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        ConnectOptions::new().connect(address)
    }

    /// Connects within a time: what std has instead of [`timeout`](crate::time::timeout).
    ///
    /// # Errors
    ///
    /// The time is over: `TimedOut`. It is none at all: `InvalidInput`. Else as [`connect`](TcpStream::connect).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of no time at all"));
        }
        let options = ConnectOptions::new();
        match time::timeout(timeout, || options.connect(address)) {
            Ok(connected) => connected,
            Err(elapsed) => elapsed.into_inner().map_err(|error| match Cancelled::is(&error) {
                true => io::Error::new(io::ErrorKind::TimedOut, "the connection took too long to come about"),
                false => error,
            }),
        }
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

    /// Ends one direction of the connection, or both. Whoever waits in it goes on.
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
    /// As the system has it: `NotConnected`.
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

    /// Whether small packets are sent at once, instead of waiting a moment for more.
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

    /// How many routers a packet of IPv4 may pass on its way.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(&self.socket, ttl)?)
    }

    /// See [`set_ttl`](TcpStream::set_ttl).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(&self.socket)?)
    }

    /// How long the system goes on sending after a close; with a time of nothing a close resets the connection. In whole
    /// seconds.
    ///
    /// A close that lingers stops the whole thread, not the task: with any other time shut the connection down and
    /// read until its end first.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(linger)
    }

    /// See [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(&self.socket)?)
    }

    /// Whether and when the system asks the other side if it is still there.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        keepalive::set(&self.socket, keepalive)
    }

    /// See [`set_keepalive`](TcpStream::set_keepalive); with the times that the system has chosen.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        keepalive::get(&self.socket)
    }

    /// Bytes that may wait to be read. Linux takes twice as many, for what it notes of them, and no more than its own limit.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.socket, bytes)?)
    }

    /// See [`set_recv_buffer_size`](TcpStream::set_recv_buffer_size); as the system counts them.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        Ok(sockopt::socket_recv_buffer_size(&self.socket)?)
    }

    /// Bytes that may wait to be sent: as [`set_recv_buffer_size`](TcpStream::set_recv_buffer_size).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(sockopt::set_socket_send_buffer_size(&self.socket, bytes)?)
    }

    /// See [`set_send_buffer_size`](TcpStream::set_send_buffer_size); as the system counts them.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(sockopt::socket_send_buffer_size(&self.socket)?)
    }

    /// What routers are told of how urgent the packets are: the type of service, or the traffic class of IPv6.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        match self.local_addr()? {
            SocketAddr::V4(_) => Ok(sockopt::set_ip_tos(&self.socket, tos)?),
            SocketAddr::V6(_) => Ok(sockopt::set_ipv6_tclass(&self.socket, tos.into())?),
        }
    }

    /// See [`set_tos`](TcpStream::set_tos).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn tos(&self) -> io::Result<u8> {
        match self.local_addr()? {
            SocketAddr::V4(_) => Ok(sockopt::ip_tos(&self.socket)?),
            // It has eight bits.
            SocketAddr::V6(_) => Ok(sockopt::ipv6_tclass(&self.socket)? as u8),
        }
    }

    /// Whether what was received is acknowledged at once. The system changes that by itself as it goes.
    ///
    /// # Errors
    ///
    /// As the system has it.
    ///
    /// # Platform
    ///
    /// Linux.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_quickack(&self.socket, quickack)?)
    }

    /// See [`set_quickack`](TcpStream::set_quickack).
    ///
    /// # Errors
    ///
    /// As the system has it.
    ///
    /// # Platform
    ///
    /// Linux.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_quickack(&self.socket)?)
    }

    /// How long what was sent may go without an acknowledgement before the connection is over; up to the system if `None`. In
    /// whole milliseconds.
    ///
    /// # Errors
    ///
    /// As the system has it.
    ///
    /// # Platform
    ///
    /// Linux.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let millis =
            timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        Ok(sockopt::set_tcp_user_timeout(&self.socket, millis)?)
    }

    /// See [`set_user_timeout`](TcpStream::set_user_timeout).
    ///
    /// # Errors
    ///
    /// As the system has it.
    ///
    /// # Platform
    ///
    /// Linux.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        let millis = sockopt::tcp_user_timeout(&self.socket)?;
        Ok((millis > 0).then(|| Duration::from_millis(millis.into())))
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            shown.field("addr", &address);
        }
        if let Ok(peer) = self.peer_addr() {
            shown.field("peer", &peer);
        }
        shown.field("fd", &self.socket).finish()
    }
}

face::stream!(TcpStream);
face::as_std!(TcpStream, std::net::TcpStream);
