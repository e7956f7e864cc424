//! TCP: listeners, streams, and how a connection comes about.

mod connect;
mod keepalive;
pub(super) mod listener;
mod stream;

use std::net::SocketAddr;

use rustix::net::AddressFamily;

pub use self::connect::{ConnectError, ConnectOptions};
pub use self::keepalive::Keepalive;
pub use self::listener::{Accepting, Incoming, IntoIncoming, ListenOptions, TcpListener};
pub use self::stream::TcpStream;

/// What a type with a `socket` is asked for by others.
macro_rules! has_descriptor {
    ($type:ident) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.socket.as_raw_fd()
            }
        }

        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.socket.into_fd().into_raw_fd()
            }
        }
    };
}

use has_descriptor;

pub(super) fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}
