//! TCP: listeners, streams, and how a connection comes about.

mod connect;
mod keepalive;
mod listener;
mod stream;

pub use self::connect::{ConnectError, ConnectOptions};
pub use self::keepalive::Keepalive;
pub use self::listener::{Accepting, Incoming, IntoIncoming, ListenOptions, TcpListener};
pub use self::stream::TcpStream;
