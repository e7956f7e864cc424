//! Sockets under std's names, whose waits park the task and not the thread.
//!
//! ```
//! use ropewalk::net::{TcpListener, TcpStream};
//! use ropewalk::task;
//! use std::io::{self, Read, Write};
//!
//! ropewalk::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     task::scope(|s| {
//!         s.spawn(|| {
//!             let (mut stream, _) = listener.accept()?;
//!             let mut name = String::new();
//!             stream.read_to_string(&mut name)?;
//!             stream.write_all(format!("hello, {name}").as_bytes())
//!         });
//!         let mut stream = TcpStream::connect(address)?;
//!         stream.write_all(b"rope")?;
//!         stream.shutdown(std::net::Shutdown::Write)?;
//!         assert_eq!(io::read_to_string(stream)?, "hello, rope");
//!         Ok(())
//!     })
//! })
//! # .map_err(|error: io::Error| panic!("{error}")).unwrap();
//! ```
//!
//! # Names
//!
//! Whatever takes an address takes a name too: see [`ToSocketAddrs`]. Other threads look it up, while the task parks:
//! [`lookup_host`]. A connection goes to the first of several addresses that answers, and an error tells of each:
//! [`ConnectOptions`], [`ConnectError`].
//!
//! # Several things at once
//!
//! [`TcpListener::accepting`], [`TcpStream::readable`] and the like are arms of a [`select`](crate::select::select). For
//! descriptors that are not this library's there are [`lowlevel::wait_readable`](crate::lowlevel::wait_readable) and its
//! siblings.
//!
//! # In tests
//!
//! In a runtime with a [`testing::Network`](crate::testing::Network) the sockets that go over networks are simulated: the same program
//! runs in virtual time, with delays, resets and partitions, and the same each time.
//!
//! # Cancellation
//!
//! In a cancelled scope every wait fails with [`Cancelled`](crate::Cancelled) inside of an [`io::Error`](std::io::Error). What was
//! accepted or received is returned, cancelled or not: nothing is lost.

mod addresses;
mod close_write;
mod face;
mod lookup;
mod readiness;
mod serve;
pub(crate) mod simulated;
mod socket;
mod tcp;
mod udp;
mod unix;

pub use addresses::{Addresses, OnThread, ToSocketAddrs};
pub use lookup::lookup_host;
pub use readiness::Readiness;
pub use serve::{Controller, Listener, ServeError, Served, Server, serve};
pub use tcp::{
    Accepting, ConnectError, ConnectOptions, Incoming, IntoIncoming, Keepalive, ListenOptions, TcpListener,
    TcpStream,
};
pub use udp::UdpSocket;
pub use unix::{UCred, UnixAccepting, UnixDatagram, UnixIncoming, UnixListener, UnixStream};
