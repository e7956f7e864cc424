//! Ending one direction of a stream.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// A stream whose writing can be ended while it is still read.
///
/// The other side reads what was written, and then the end. It is what [`copy_bidirectional`](super::copy_bidirectional) passes on, and
/// what dropping a [`WriteHalf`](super::WriteHalf) does.
///
/// ```
/// use ropewalk::io::CloseWrite;
/// use ropewalk::net::{TcpListener, TcpStream};
/// use std::io::{self, Read, Write};
///
/// # ropewalk::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, _) = listener.accept()?;
/// client.write_all(b"a question")?;
/// client.close_write()?;
/// assert_eq!(io::read_to_string(&server)?, "a question");       // It has an end.
/// (&server).write_all(b"an answer")?;
/// drop(server);
/// assert_eq!(io::read_to_string(client)?, "an answer");
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
#[doc(alias = "write_eof")]
#[doc(alias = "send_eof")]
#[doc(alias = "shutdown")]
pub trait CloseWrite {
    /// Ends writing. What the stream itself has buffered is written before.
    ///
    /// Doing it again is no error. It is called in destructors, where it must not wait.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn close_write(&self) -> io::Result<()>;
}

impl<T: CloseWrite + ?Sized> CloseWrite for &T {
    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

impl<T: CloseWrite + ?Sized> CloseWrite for &mut T {
    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

impl<T: CloseWrite + ?Sized> CloseWrite for Box<T> {
    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

impl<T: CloseWrite + ?Sized> CloseWrite for Rc<T> {
    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}

impl<T: CloseWrite + ?Sized> CloseWrite for Arc<T> {
    fn close_write(&self) -> io::Result<()> {
        (**self).close_write()
    }
}
