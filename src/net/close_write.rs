//! Ending the writing of streams.

use std::io;
use std::net::Shutdown;

use super::tcp::TcpStream;
use super::unix::UnixStream;
use crate::io::CloseWrite;

/// Ends the writing of a stream by its `shutdown`. It is no error if the other side is gone.
macro_rules! by_shutdown {
    ($stream:ident) => {
        /// As `shutdown` does for writing. It is no error if the other side is gone.
        impl CloseWrite for $stream {
            fn close_write(&self) -> io::Result<()> {
                match self.shutdown(Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }
        }
    };
}

by_shutdown!(TcpStream);
by_shutdown!(UnixStream);
