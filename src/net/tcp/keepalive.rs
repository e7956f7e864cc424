//! Keepalive: the system asks the other side of an idle connection whether it is still there.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;

use crate::net::socket::Socket;

/// When the system asks the other side of an idle connection whether it is still there. What is `None` is up to the system.
///
/// ```
/// use ropewalk::net::{ConnectOptions, Keepalive, TcpListener};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let keepalive = Keepalive::after(Duration::from_secs(60)).every(Duration::from_secs(10)).at_most(3);
///     let options = ConnectOptions::new().keepalive(keepalive);
///     let stream = options.connect(listener.local_addr().unwrap()).unwrap();
///     assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
/// });
/// ```
///
/// # Platform
///
/// Where a system has no times for one connection alone, to set them is an error, `Unsupported`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// How long a connection has been idle when it is asked for the first time. In whole seconds.
    pub idle: Option<Duration>,
    /// The time between two questions. In whole seconds.
    pub interval: Option<Duration>,
    /// After how many questions without an answer the connection is over.
    pub probes: Option<u32>,
}

impl Keepalive {
    /// As often as the system does it by itself, which is seldom: after two hours.
    pub const fn new() -> Keepalive {
        Keepalive { idle: None, interval: None, probes: None }
    }

    /// Asks when the connection has been idle for so long.
    pub const fn after(idle: Duration) -> Keepalive {
        Keepalive { idle: Some(idle), interval: None, probes: None }
    }

    /// Asks again after that time.
    #[must_use]
    pub const fn every(self, interval: Duration) -> Keepalive {
        Keepalive { interval: Some(interval), ..self }
    }

    /// Gives the connection up after so many questions.
    #[must_use]
    pub const fn at_most(self, probes: u32) -> Keepalive {
        Keepalive { probes: Some(probes), ..self }
    }
}

pub(super) fn set(socket: &Socket, keepalive: Option<Keepalive>) -> io::Result<()> {
    if let Some(keepalive) = keepalive {
        set_times(socket, keepalive)?;
    }
    Ok(sockopt::set_socket_keepalive(socket, keepalive.is_some())?)
}

pub(super) fn get(socket: &Socket) -> io::Result<Option<Keepalive>> {
    if sockopt::socket_keepalive(socket)? { Ok(Some(times(socket)?)) } else { Ok(None) }
}

#[cfg(not(any(target_os = "openbsd", target_os = "haiku", target_os = "nto")))]
fn set_times(socket: &Socket, keepalive: Keepalive) -> io::Result<()> {
    if let Some(idle) = keepalive.idle {
        sockopt::set_tcp_keepidle(socket, idle)?;
    }
    if let Some(interval) = keepalive.interval {
        sockopt::set_tcp_keepintvl(socket, interval)?;
    }
    if let Some(probes) = keepalive.probes {
        sockopt::set_tcp_keepcnt(socket, probes)?;
    }
    Ok(())
}

#[cfg(not(any(target_os = "openbsd", target_os = "haiku", target_os = "nto")))]
fn times(socket: &Socket) -> io::Result<Keepalive> {
    Ok(Keepalive {
        idle: Some(sockopt::tcp_keepidle(socket)?),
        interval: Some(sockopt::tcp_keepintvl(socket)?),
        probes: Some(sockopt::tcp_keepcnt(socket)?),
    })
}

#[cfg(any(target_os = "openbsd", target_os = "haiku", target_os = "nto"))]
fn set_times(_: &Socket, keepalive: Keepalive) -> io::Result<()> {
    if keepalive == Keepalive::new() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has one keepalive for all connections"))
}

#[cfg(any(target_os = "openbsd", target_os = "haiku", target_os = "nto"))]
fn times(_: &Socket) -> io::Result<Keepalive> {
    Ok(Keepalive::new())
}
