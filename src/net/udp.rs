//! UDP: datagrams.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::addr::SocketAddrArg;
use rustix::net::{SocketAddrAny, SocketType, sockopt};

use super::addresses::ToSocketAddrs;
use super::face;
use super::socket::{Socket, family};

/// Sends and receives datagrams; as [`std::net::UdpSocket`].
///
/// ```
/// use ropewalk::net::UdpSocket;
/// use ropewalk::task;
/// use std::io;
///
/// ropewalk::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let address = server.local_addr()?;
///     task::scope(|s| {
///         s.spawn(|| {
///             let mut buffer = [0; 1500];
///             let (count, client) = server.recv_from(&mut buffer)?;
///             server.send_to(&buffer[..count], client)
///         });
///         let client = UdpSocket::bind("127.0.0.1:0")?;
///         client.connect(address)?;
///         client.send(b"echo")?;
///         let mut buffer = [0; 1500];
///         let count = client.recv(&mut buffer)?;
///         assert_eq!(&buffer[..count], b"echo");
///         Ok(())
///     })
/// })
/// # .map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// One task may receive while another sends. A second task that would wait in the same direction is refused, with an error
/// of the kind `ResourceBusy`.
///
/// A datagram that is longer than the buffer is cut, and nothing says so: a buffer with a byte more than is expected tells,
/// by being full.
///
/// What needs an option before it is bound, such as several sockets on one port for multicast, is made by another crate
/// and taken over with `UdpSocket::from`.
///
/// # Cancellation
///
/// A datagram that has been received is returned, cancelled or not; those that come later wait in the socket.
#[derive(Debug)]
#[doc(alias = "create_datagram_endpoint")]
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    /// Takes the first of the addresses that can be had. A name is [looked up](super::lookup_host) by another thread.
    ///
    /// # Errors
    ///
    /// As the system has it, of the last address; `InvalidInput` if there is none.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        address.to_addresses()?.first_that(|address| {
            let socket = Socket::open(family(address), SocketType::DGRAM, false)?;
            socket.bind(address)?;
            Ok(UdpSocket { socket })
        })
    }

    /// Sends to one address from now on, and receives from nobody else: for [`send`](UdpSocket::send) and
    /// [`recv`](UdpSocket::recv). Nothing is sent by it, and it does not wait, but for the addresses of a name to be
    /// [looked up](super::lookup_host).
    ///
    /// # Errors
    ///
    /// As the system has it, of the last address; `InvalidInput` if there is none. Whether anybody is there is not known:
    /// a later call tells, if the other side does.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        address.to_addresses()?.first_that(|address| self.socket.begin_connect(address))
    }

    /// Waits for a datagram, from whomever. What is longer than the buffer is cut.
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
    #[doc(alias = "sock_recvfrom")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        from(self.socket.recv_from(buffer, false)?)
    }

    /// As [`recv_from`](UdpSocket::recv_from), and leaves it there for the next call.
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

    /// Sends a datagram to the first of the addresses; how long it was. It waits only while the system has no room, or for the addresses
    /// of a name to be [looked up](super::lookup_host), each time.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), nothing was sent.
    ///
    /// # Errors
    ///
    /// As the system has it: the datagram may be too long, or nobody reached that way. `InvalidInput` if there is no
    /// address. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    #[doc(alias = "sock_sendto")]
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let address = address.to_addresses()?.first()?;
        self.socket.send_to(datagram, &address.as_any())
    }

    /// Waits for a datagram from whom it is [connected](UdpSocket::connect) to. What is longer than the buffer is cut.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the datagram is returned, or is there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it: what was sent before may have been refused, of which this tells once. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, false)
    }

    /// As [`recv`](UdpSocket::recv), and leaves it there for the next call.
    ///
    /// # Errors
    ///
    /// As for [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer, true)
    }

    /// Sends a datagram to whom it is [connected](UdpSocket::connect) to; how long it was. It waits only while the system
    /// has no room.
    ///
    /// # Cancellation
    ///
    /// If it fails with [`Cancelled`](crate::Cancelled), nothing was sent.
    ///
    /// # Errors
    ///
    /// As the system has it: what was sent before may have been refused, of which this tells once. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send(datagram)
    }

    /// The address that it has.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.local_addr()?)?)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.peer_addr()?)?)
    }

    /// Whether it may send to broadcast addresses, which at first it may not.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_broadcast(&self.socket, broadcast)?)
    }

    /// See [`set_broadcast`](UdpSocket::set_broadcast).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(sockopt::socket_broadcast(&self.socket)?)
    }

    /// Through how many routers a datagram may go.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(&self.socket, ttl)?)
    }

    /// See [`set_ttl`](UdpSocket::set_ttl).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(&self.socket)?)
    }

    /// Receives what is sent to a group, at the interface that has that address; at the system's choice if that is unspecified.
    ///
    /// ```
    /// use ropewalk::net::UdpSocket;
    /// use std::net::Ipv4Addr;
    ///
    /// let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    /// let group = Ipv4Addr::new(224, 0, 0, 251);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As the system has it: the address may be no group's, or there is no such interface.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_add_membership(&self.socket, group, interface)?)
    }

    /// Receives what is sent to a group, at the interface of that number; at the system's choice if that is 0.
    ///
    /// # Errors
    ///
    /// As the system has it: the address may be no group's, or there is no such interface.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_add_membership(&self.socket, group, interface)?)
    }

    /// Undoes [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// As the system has it: it may not have joined.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_drop_membership(&self.socket, group, interface)?)
    }

    /// Undoes [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// As the system has it: it may not have joined.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_drop_membership(&self.socket, group, interface)?)
    }

    /// Whether what it sends to a group comes back to this machine too, as it does at first.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_multicast_loop_v4(&self, comes_back: bool) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_loop(&self.socket, comes_back)?)
    }

    /// See [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        Ok(sockopt::ip_multicast_loop(&self.socket)?)
    }

    /// Through how many routers a datagram to a group may go; at first 1, so that it stays in the local network.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_ttl(&self.socket, ttl)?)
    }

    /// See [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        Ok(sockopt::ip_multicast_ttl(&self.socket)?)
    }

    /// Whether what it sends to a group comes back to this machine too, as it does at first.
    ///
    /// # Errors
    ///
    /// As the system has it: the socket may be one of IPv4.
    pub fn set_multicast_loop_v6(&self, comes_back: bool) -> io::Result<()> {
        Ok(sockopt::set_ipv6_multicast_loop(&self.socket, comes_back)?)
    }

    /// See [`set_multicast_loop_v6`](UdpSocket::set_multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// As the system has it: the socket may be one of IPv4.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_multicast_loop(&self.socket)?)
    }
}

fn from((count, sender): (usize, Option<SocketAddrAny>)) -> io::Result<(usize, SocketAddr)> {
    let sender = sender.ok_or_else(|| io::Error::other("a datagram of no address"))?;
    Ok((count, SocketAddr::try_from(sender)?))
}

face::as_std!(UdpSocket, std::net::UdpSocket);
