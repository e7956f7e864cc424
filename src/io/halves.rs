//! The two halves of a stream, for two tasks.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use super::close_write::CloseWrite;

/// The half of a stream that is read: see [`split`].
pub struct ReadHalf<T> {
    stream: Arc<T>,
}

/// The half of a stream that is written: see [`split`]. Dropping it ends the writing.
pub struct WriteHalf<T: CloseWrite> {
    stream: Arc<T>,
    closes: bool,
}

/// The half of a borrowed stream that is read: see [`split_borrowed`].
pub struct BorrowedReadHalf<'a, T> {
    stream: &'a T,
}

/// The half of a borrowed stream that is written: see [`split_borrowed`]. Dropping it ends nothing.
pub struct BorrowedWriteHalf<'a, T> {
    stream: &'a T,
}

/// These halves are not of one stream: here they are.
pub struct ReuniteError<T: CloseWrite>(pub ReadHalf<T>, pub WriteHalf<T>);

/// Takes a stream apart into what is read and what is written, so that each can go to a task of its own.
///
/// Each half has one owner, so that two tasks cannot read, or write, at the same time by mistake. The stream is closed when both are
/// gone. When the writing half is dropped before, the writing ends, as [`CloseWrite`] says: whoever reads at the other side
/// would wait for ever otherwise. [`WriteHalf::keep_open`] drops it without that.
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::{io::split, task};
/// use std::io::{self, Write};
///
/// # ropewalk::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, _) = listener.accept()?;
///
/// let (reader, mut writer) = split(client);
/// task::spawn(move || writer.write_all(b"rope"));               // And then it ends.
/// let (mut theirs, mut to_them) = split(server);
/// io::copy(&mut theirs, &mut to_them)?;
/// drop(to_them);
/// assert_eq!(io::read_to_string(reader)?, "rope");
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// In a scope no halves are needed: `&stream` is all that a task needs to read or to write. [`split_borrowed`] is that, with one
/// reader and one writer.
#[doc(alias = "into_split")]
pub fn split<T: CloseWrite>(stream: T) -> (ReadHalf<T>, WriteHalf<T>) {
    let stream = Arc::new(stream);
    (ReadHalf { stream: stream.clone() }, WriteHalf { stream, closes: true })
}

/// Lends a stream as what is read and what is written, to two tasks of a scope.
///
/// Dropping a half does nothing to the stream, which is whole again afterwards.
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::{io::split_borrowed, task};
/// use std::io::{Read, Write};
///
/// # ropewalk::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(listener.local_addr()?)?;
/// let (echo, _) = listener.accept()?;
/// task::scope(|s| {
///     s.spawn(|| std::io::copy(&mut &echo, &mut &echo));
///     let (mut reader, mut writer) = split_borrowed(&mut stream);
///     s.spawn(move || writer.write_all(&[7; 1_000_000]));
///     let mut received = vec![0; 1_000_000];
///     reader.read_exact(&mut received).unwrap();
///     s.cancel();
/// });
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn split_borrowed<T>(stream: &mut T) -> (BorrowedReadHalf<'_, T>, BorrowedWriteHalf<'_, T>) {
    (BorrowedReadHalf { stream }, BorrowedWriteHalf { stream })
}

impl<T> ReadHalf<T> {
    /// The stream, to ask it something; an address, say.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }
}

impl<T: CloseWrite> ReadHalf<T> {
    /// Puts both halves together again. Nothing is ended by that.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both, if they are not of one stream.
    pub fn reunite(self, mut other: WriteHalf<T>) -> Result<T, ReuniteError<T>> {
        if !Arc::ptr_eq(&self.stream, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.closes = false;
        drop(other);
        Ok(Arc::into_inner(self.stream).expect("there are two halves, and one is gone"))
    }
}

impl<T: CloseWrite> WriteHalf<T> {
    /// The stream, to ask it something; an address, say.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Ends the writing, as a drop does, and tells whether that worked.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    pub fn close(mut self) -> io::Result<()> {
        self.closes = false;
        self.stream.close_write()
    }

    /// Drops this half without ending the writing.
    #[doc(alias = "forget")]
    pub fn keep_open(mut self) {
        self.closes = false;
    }

    /// As [`ReadHalf::reunite`].
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both, if they are not of one stream.
    pub fn reunite(self, other: ReadHalf<T>) -> Result<T, ReuniteError<T>> {
        other.reunite(self)
    }
}

impl<T: CloseWrite> Drop for WriteHalf<T> {
    fn drop(&mut self) {
        if self.closes {
            // Nobody is left to be told; `close` tells.
            let _ = self.stream.close_write();
        }
    }
}

impl<'a, T> BorrowedReadHalf<'a, T> {
    /// The stream, to ask it something; an address, say.
    pub fn get_ref(&self) -> &'a T {
        self.stream
    }
}

impl<'a, T> BorrowedWriteHalf<'a, T> {
    /// The stream, to ask it something; an address, say.
    pub fn get_ref(&self) -> &'a T {
        self.stream
    }
}

impl<T: CloseWrite> CloseWrite for BorrowedWriteHalf<'_, T> {
    fn close_write(&self) -> io::Result<()> {
        self.stream.close_write()
    }
}

macro_rules! reads {
    ($($half:ty),*) => {$(
        impl<T> Read for $half
        where
            for<'x> &'x T: Read,
        {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self.stream).read(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self.stream).read_vectored(buffers)
            }
        }
    )*};
}

reads!(ReadHalf<T>, BorrowedReadHalf<'_, T>);

macro_rules! writes {
    ($($half:ty where $($bound:path)?),*) => {$(
        impl<T $(: $bound)?> Write for $half
        where
            for<'x> &'x T: Write,
        {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (&*self.stream).write(bytes)
            }

            #[track_caller]
            fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self.stream).write_vectored(parts)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                (&*self.stream).flush()
            }
        }
    )*};
}

writes!(WriteHalf<T> where CloseWrite, BorrowedWriteHalf<'_, T> where);

macro_rules! shows {
    ($($half:ty, $name:literal where $($bound:path)?),*) => {$(
        impl<T: fmt::Debug $(+ $bound)?> fmt::Debug for $half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple($name).field(&self.stream).finish()
            }
        }
    )*};
}

shows!(
    ReadHalf<T>, "ReadHalf" where,
    WriteHalf<T>, "WriteHalf" where CloseWrite,
    BorrowedReadHalf<'_, T>, "BorrowedReadHalf" where,
    BorrowedWriteHalf<'_, T>, "BorrowedWriteHalf" where
);

impl<T: CloseWrite> fmt::Debug for ReuniteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReuniteError").finish_non_exhaustive()
    }
}

impl<T: CloseWrite> fmt::Display for ReuniteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these halves are not of one stream")
    }
}

impl<T: CloseWrite> Error for ReuniteError<T> {}
