//! Ending the writing of streams.

use std::io;
use std::net::Shutdown;

use super::tcp::TcpStream;
use crate::io::CloseWrite;

/// As [`TcpStream::shutdown`] does for writing. It is no error if the other side is gone.
impl CloseWrite for TcpStream {
    fn close_write(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}
