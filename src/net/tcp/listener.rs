//! The side that is connected to.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use rustix::net::{SocketAddrAny, SocketType, sockopt};

use super::TcpStream;
use crate::net::addresses::ToSocketAddrs;
use crate::net::face;
use crate::net::socket::{AtSocket, BACKLOG, Socket, family, into_woken};
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::Arm;

/// Waits for connections; as [`std::net::TcpListener`].
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::io::{self, Write};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let address = listener.local_addr().unwrap();
///     task::scope(|s| {
///         s.spawn_service(|| {
///             task::scope(|s| {
///                 while let Ok((mut stream, _)) = listener.accept() {
///                     s.spawn(move || stream.write_all(b"rope"));        // A task for each.
///                 }
///             });
///         });
///         let stream = TcpStream::connect(address).unwrap();
///         assert_eq!(io::read_to_string(stream).unwrap(), "rope");
///     });
/// });
/// ```
///
/// There is no `set_nonblocking`: [`try_select`](crate::select::try_select) of [`accepting`](TcpListener::accepting) accepts
/// without waiting. A second task that would wait for a connection is refused, with an error of the kind `ResourceBusy`;
/// [`try_clone`](TcpListener::try_clone) makes a listener for it.
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    /// Listens at the first of the addresses where that works, as [`ListenOptions`] do that nobody has changed. It works outside
    /// of [`run`](crate::run) too.
    ///
    /// # Cancellation
    ///
    /// Only the lookup of a name can be cancelled.
    ///
    /// # Errors
    ///
    /// As the system has it, of the last address: `AddrInUse`. Of a name, what [`lookup_host`](crate::net::lookup_host) says.
    #[doc(alias = "open_tcp_listeners")]
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        ListenOptions::new().bind(address)
    }

    /// Waits for a connection.
    ///
    /// # Cancellation
    ///
    /// A connection that has been accepted is returned, cancelled or not.
    ///
    /// # Errors
    ///
    /// As the system has it, when there are too many open descriptors, say; what concerns one connection alone is passed over.
    /// [`Cancelled`](crate::Cancelled); another task waits already.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "sock_accept")]
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        accepted(self.socket.accept()?)
    }

    /// An arm that accepts a connection, for [`select`](crate::select::select).
    ///
    /// ```
    /// use ropewalk::net::TcpListener;
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::{channel, task};
    ///
    /// ropewalk::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let (stop, stopped) = channel::oneshot();
    ///     task::spawn(move || stop.send(()));
    ///     match select((listener.accepting(), stopped.receiving())).unwrap() {
    ///         Chosen::First(accepted) => panic!("who is there? {accepted:?}"),
    ///         Chosen::Second(stopped) => stopped.unwrap(),
    ///     }
    /// });
    /// ```
    pub fn accepting(&self) -> Accepting<'_> {
        Accepting { listener: self }
    }

    /// Connections as they come, without an end; errors are items, also that of a cancelled wait.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// As [`incoming`](TcpListener::incoming), with the listener in it.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// Parks until a connection can be accepted, or another call would not wait either.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled); another task waits already.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait(Direction::Read, "connection")
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(self.socket.local_addr()?)?)
    }

    /// The same listener once more, with a descriptor of its own: each connection comes to one of them.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { socket: self.socket.try_clone()? })
    }

    /// How many routers a packet of IPv4 may pass on its way.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(&self.socket, ttl)?)
    }

    /// See [`set_ttl`](TcpListener::set_ttl).
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(sockopt::ip_ttl(&self.socket)?)
    }

    /// Whether a listener at an address of IPv6 is not connected to over IPv4: see [`ListenOptions::only_v6`].
    ///
    /// # Errors
    ///
    /// As the system has it: it is no listener of IPv6.
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(sockopt::ipv6_v6only(&self.socket)?)
    }

    /// What went wrong since it was asked last.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Of whatever sort it is: what is no listener says so when it is used.
    fn adopt(fd: OwnedFd) -> TcpListener {
        let socket = Socket::adopted(fd);
        // It can only fail of what is no socket.
        let _ = socket.set_nonblocking(true);
        TcpListener { socket }
    }
}

fn accepted((socket, address): (Socket, Option<SocketAddrAny>)) -> io::Result<(TcpStream, SocketAddr)> {
    let address = address.ok_or_else(|| io::Error::other("a connection without an address"))?;
    Ok((TcpStream::new(socket), SocketAddr::try_from(address)?))
}

/// How to listen, for more than [`TcpListener::bind`] does.
///
/// ```
/// use ropewalk::net::{ListenOptions, TcpListener};
///
/// # fn main() -> std::io::Result<()> {
/// let options = ListenOptions::new().reuse_port(true).backlog(128);
/// let first = options.bind("127.0.0.1:0")?;
/// let second = options.bind(first.local_addr()?)?;             // The system shares the connections out.
/// assert!(TcpListener::bind(first.local_addr()?).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is done until `bind`"]
pub struct ListenOptions {
    backlog: i32,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
}

impl ListenOptions {
    /// As [`TcpListener::bind`] has it.
    pub const fn new() -> ListenOptions {
        ListenOptions {
            backlog: BACKLOG,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }

    /// How many connections may wait to be accepted; 4,096 if nothing is said, and no more than the system allows.
    pub const fn backlog(mut self, backlog: u32) -> ListenOptions {
        self.backlog = if backlog > i32::MAX as u32 { i32::MAX } else { backlog as i32 };
        self
    }

    /// Whether an address is free although connections of somebody before linger there: yes, if nothing is said, as in std.
    pub const fn reuse_address(mut self, reuse: bool) -> ListenOptions {
        self.reuse_address = reuse;
        self
    }

    /// Whether others of the same user who say so too may listen at the same address: no, if nothing is said.
    pub const fn reuse_port(mut self, reuse: bool) -> ListenOptions {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener at an address of IPv6 is not to be connected to over IPv4. It is up to the system if nothing is said.
    pub const fn only_v6(mut self, only: bool) -> ListenOptions {
        self.only_v6 = Some(only);
        self
    }

    /// Bytes of each connection that may wait to be read, as the system counts them.
    pub const fn recv_buffer_size(mut self, bytes: usize) -> ListenOptions {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Bytes of each connection that may wait to be sent, as the system counts them.
    pub const fn send_buffer_size(mut self, bytes: usize) -> ListenOptions {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Listens at the first of the addresses where that works. It works outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    #[track_caller]
    pub fn bind(&self, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        address.to_addresses()?.first_that(|address| self.bind_to(address))
    }

    fn bind_to(&self, address: &SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::open(family(address), SocketType::STREAM, true)?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.share_address()?;
        }
        if let (Some(only), SocketAddr::V6(_)) = (self.only_v6, address) {
            sockopt::set_ipv6_v6only(&socket, only)?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            sockopt::set_socket_send_buffer_size(&socket, bytes)?;
        }
        socket.bind(address)?;
        socket.listen(self.backlog)?;
        Ok(TcpListener { socket })
    }
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

/// An arm that accepts a connection: see [`TcpListener::accepting`].
#[derive(Clone, Copy)]
#[must_use = "nothing is accepted until it is selected"]
pub struct Accepting<'a> {
    listener: &'a TcpListener,
}

impl Arm for Accepting<'_> {
    type Output = io::Result<(TcpStream, SocketAddr)>;
    type Place = AtSocket;

    fn try_now(&mut self) -> Option<Self::Output> {
        Some(self.listener.socket.try_accept()?.and_then(accepted))
    }

    fn place(&mut self) -> AtSocket {
        self.listener.socket.place(Direction::Read)
    }

    fn end(&mut self, place: AtSocket) -> Option<Self::Output> {
        match into_woken(place)? {
            // Somebody else may have been faster, or the connection is gone again.
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accept on descriptor {:?}", self.listener.socket)
    }
}

impl fmt::Debug for Accepting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accepting").field(self.listener).finish()
    }
}

/// Connections as they come: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        match self.listener.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Incoming<'_> {}

/// Connections as they come: see [`TcpListener::into_incoming`].
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        self.listener.incoming().next()
    }
}

impl FusedIterator for IntoIncoming {}

/// Its duplicates in std's hands do not block any more either: the system has one flag for all.
impl From<std::net::TcpListener> for TcpListener {
    fn from(listener: std::net::TcpListener) -> TcpListener {
        TcpListener::adopt(listener.into())
    }
}

/// What is no listener says so when it is used.
impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> TcpListener {
        TcpListener::adopt(fd)
    }
}

/// It blocks from here on, as std's do; and so do its duplicates, which no task should use any more.
impl From<TcpListener> for std::net::TcpListener {
    fn from(listener: TcpListener) -> std::net::TcpListener {
        let _ = listener.socket.set_nonblocking(false);
        listener.socket.into_fd().into()
    }
}

/// It does not block: the flag is left as it is here.
impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> OwnedFd {
        listener.socket.into_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            shown.field("addr", &address);
        }
        shown.field("fd", &self.socket).finish()
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        self.socket.into_fd().into_raw_fd()
    }
}

face::descriptor!(TcpListener);
