//! How a connection comes about: the addresses are tried one after the other, each with a head start, and the first that
//! answers is taken (RFC 8305, "Happy Eyeballs").
//!
//! One task waits for all attempts at once. Those that were not taken are closed when it has stopped waiting.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use std::vec;

use rustix::net::{SocketType, sockopt};

use super::TcpStream;
use super::keepalive::{self, Keepalive};
use crate::net::addresses::{Resolved, ToSocketAddrs};
use crate::net::socket::{AtSocket, Socket, family, into_woken};
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::{self, Arm};
use crate::select::Chosen;
use crate::time;

/// How to connect, for more than [`TcpStream::connect`] does.
///
/// ```
/// use ropewalk::net::{ConnectOptions, TcpListener};
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let options = ConnectOptions::new().nodelay(true).head_start(Duration::from_millis(100));
///     let connect = || options.connect(("localhost", listener.local_addr().unwrap().port()));
///     let stream = time::timeout(Duration::from_secs(5), connect).unwrap().unwrap();
///     assert!(stream.nodelay().unwrap());
/// });
/// ```
///
/// A host often has several addresses, and not each of them answers. They are tried one after the other; but the next one
/// is begun when the one before has failed, or when it has had a *head start* of 250 ms. The first that answers is taken, and the
/// others are closed. What a lookup has found is tried with IPv6 and IPv4 in turns, beginning with what the system
/// holds for best; what was given as a list is tried in its order.
///
/// A limit for all of it is a [`timeout`](crate::time::timeout) around the call, which covers the lookup too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is done until `connect`"]
pub struct ConnectOptions {
    head_start: Option<Duration>,
    local_v4: Option<SocketAddr>,
    local_v6: Option<SocketAddr>,
    nodelay: Option<bool>,
    keepalive: Option<Keepalive>,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
}

/// What RFC 8305 recommends: many connections stand by then, and nobody has begun to mind.
const HEAD_START: Duration = Duration::from_millis(250);

impl ConnectOptions {
    /// As [`TcpStream::connect`] has it.
    pub const fn new() -> ConnectOptions {
        ConnectOptions {
            head_start: Some(HEAD_START),
            local_v4: None,
            local_v6: None,
            nodelay: None,
            keepalive: None,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }

    /// How long an address is tried before the next one is begun beside it; 250 ms if nothing is said. Without any time all are
    /// begun at once.
    #[doc(alias = "happy_eyeballs_delay")]
    pub const fn head_start(mut self, time: Duration) -> ConnectOptions {
        self.head_start = Some(time);
        self
    }

    /// Tries an address only when the one before has failed, as std does.
    pub const fn one_after_the_other(mut self) -> ConnectOptions {
        self.head_start = None;
        self
    }

    /// The address of this side, whose port may be 0. There can be one of IPv4 and one of IPv6; as soon as there is any,
    /// addresses of a family that has none are not tried.
    #[doc(alias = "bind")]
    pub const fn local_addr(mut self, address: SocketAddr) -> ConnectOptions {
        match address {
            SocketAddr::V4(_) => self.local_v4 = Some(address),
            SocketAddr::V6(_) => self.local_v6 = Some(address),
        }
        self
    }

    /// See [`TcpStream::set_nodelay`].
    pub const fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = Some(nodelay);
        self
    }

    /// See [`TcpStream::set_keepalive`].
    pub const fn keepalive(mut self, keepalive: Keepalive) -> ConnectOptions {
        self.keepalive = Some(keepalive);
        self
    }

    /// See [`TcpStream::set_recv_buffer_size`]. Here it is early enough for what the sides agree on when they connect.
    pub const fn recv_buffer_size(mut self, bytes: usize) -> ConnectOptions {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// See [`TcpStream::set_send_buffer_size`].
    pub const fn send_buffer_size(mut self, bytes: usize) -> ConnectOptions {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Connects to one of the addresses.
    ///
    /// # Cancellation
    ///
    /// Connections that were being set up are given up; the other side may have seen them.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        lowlevel::will_wait()?;
        let Resolved { addresses, name, are_given } = address.to_addresses()?.resolve()?;
        if let ([address], true) = (&addresses[..], are_given) {
            return self.connect_to(address);
        }
        let addresses = if are_given { addresses } else { in_turns(addresses) };
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to"));
        }
        let mut attempts = Attempts { options: self, left: addresses.into_iter(), failed: Vec::new() };
        match attempts.first_to_answer()? {
            Some(socket) => connected(socket),
            None => Err(ConnectError { name, attempts: attempts.failed }.into()),
        }
    }

    #[track_caller]
    fn connect_to(&self, to: &SocketAddr) -> io::Result<TcpStream> {
        let socket = self.open(to)?;
        socket.connect(to)?;
        connected(socket)
    }

    /// A socket that does not block, with all that has to be set before it is connected.
    fn open(&self, to: &SocketAddr) -> io::Result<Socket> {
        let local = self.local_addr_for(to)?;
        let socket = Socket::open(family(to), SocketType::STREAM, true)?;
        if let Some(nodelay) = self.nodelay {
            sockopt::set_tcp_nodelay(&socket, nodelay)?;
        }
        if self.keepalive.is_some() {
            keepalive::set(&socket, self.keepalive)?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            sockopt::set_socket_send_buffer_size(&socket, bytes)?;
        }
        if let Some(local) = local {
            socket.set_reuse_address(true)?;
            socket.bind(&local)?;
        }
        Ok(socket)
    }

    fn local_addr_for(&self, to: &SocketAddr) -> io::Result<Option<SocketAddr>> {
        let local = if to.is_ipv4() { self.local_v4 } else { self.local_v6 };
        if local.is_none() && (self.local_v4.is_some() || self.local_v6.is_some()) {
            let what = "there is no address of that family to connect from";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, what));
        }
        Ok(local)
    }

    /// A connection that is being set up, or is there already.
    fn begin(&self, to: &SocketAddr) -> io::Result<Attempt> {
        let socket = self.open(to)?;
        socket.begin_connect(to)?;
        Ok(Attempt { to: *to, socket })
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

/// As other sockets: each call says that it does not want to wait.
fn connected(socket: Socket) -> io::Result<TcpStream> {
    socket.set_nonblocking(false)?;
    Ok(TcpStream::new(socket))
}

/// The families in turns, so that one which does not work here costs a single head start.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v4_first = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == is_v4_first);
    let mut turns = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while first.len() + second.len() > 0 {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

/// Addresses that are being tried.
struct Attempts<'a> {
    options: &'a ConnectOptions,
    /// Not begun.
    left: vec::IntoIter<SocketAddr>,
    /// In the order in which they failed.
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Attempts<'_> {
    /// `None` if all have failed. The error is that of a wait which was cut short.
    #[track_caller]
    fn first_to_answer(&mut self) -> io::Result<Option<Socket>> {
        let mut begun: Vec<Attempt> = Vec::new();
        loop {
            if let Some(to) = self.left.next() {
                match self.options.begin(&to) {
                    Ok(attempt) => begun.push(attempt),
                    Err(error) => {
                        self.failed.push((to, error));
                        continue;
                    }
                }
            } else if begun.is_empty() {
                return Ok(None);
            }
            let is_last = self.left.len() == 0;
            let head_start = self.options.head_start.filter(|_| !is_last).map(time::sleeping);
            match lowlevel::wait_as("connect", &mut (&mut begun[..], head_start))? {
                Chosen::First((index, ended)) => {
                    let Attempt { to, socket } = begun.remove(index);
                    match ended {
                        Ok(()) => return Ok(Some(socket)),
                        Err(error) => self.failed.push((to, error)),
                    }
                }
                Chosen::Second(()) => {}
            }
        }
    }
}

/// A connection that is being set up, and the arm that waits for it.
struct Attempt {
    to: SocketAddr,
    socket: Socket,
}

impl Arm for Attempt {
    type Output = io::Result<()>;
    type Place = AtSocket;

    fn try_now(&mut self) -> Option<io::Result<()>> {
        self.socket.try_connected()
    }

    fn place(&mut self) -> AtSocket {
        self.socket.place(Direction::Write)
    }

    fn end(&mut self, place: AtSocket) -> Option<io::Result<()>> {
        match into_woken(place)? {
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to)
    }
}

/// Nowhere was a connection to be had: what became of each address. It is inside of an [`io::Error`].
///
/// The kind of that is the kind of the error that came last, as in std. With addresses that are tried side by side this is
/// the attempt that came furthest: what cannot be reached from here fails at once, a refusal takes the way there and back.
///
/// ```
/// use ropewalk::net::{ConnectError, TcpListener, TcpStream};
/// use std::io::ErrorKind;
///
/// ropewalk::run(|| {
///     let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
///     let error = TcpStream::connect([nobody, nobody]).unwrap_err();
///     assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
///     for (address, error) in ConnectError::in_error(&error).unwrap().attempts() {
///         assert_eq!((*address, error.kind()), (nobody, ErrorKind::ConnectionRefused));
///     }
/// });
/// ```
#[derive(Debug)]
pub struct ConnectError {
    name: Option<String>,
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// The `ConnectError` inside of an I/O error, if there is one.
    pub fn in_error(error: &io::Error) -> Option<&ConnectError> {
        error.get_ref()?.downcast_ref()
    }

    /// The host and port that were looked up, if they were.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The addresses that were tried, each with its error, in the order in which they failed.
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }

    fn last(&self) -> Option<&io::Error> {
        self.attempts.last().map(|(_, error)| error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")?;
        if let Some(name) = &self.name {
            write!(f, " to {name}")?;
        }
        for (index, (address, error)) in self.attempts.iter().enumerate() {
            write!(f, "{} {address}: {error}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last().map(|error| error as &(dyn Error + 'static))
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> io::Error {
        let kind = error.last().map_or(io::ErrorKind::Other, io::Error::kind);
        io::Error::new(kind, error)
    }
}
