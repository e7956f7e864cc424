//! Copying in both directions at the same time.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};

use super::close_write::CloseWrite;
use crate::error::JoinError;
use crate::task;

/// What is read at once, in each direction: the largest that a stream usually has ready.
const CHUNK: usize = 64 * 1024;

/// How far [`copy_bidirectional`] came before something went wrong, and what that was.
///
/// With `?` in a function that returns [`io::Result`], `error` goes on.
#[derive(Debug)]
pub struct CopyError {
    /// What went wrong.
    pub error: io::Error,
    /// In which direction it did.
    pub direction: CopyDirection,
    /// What went from the first stream to the second.
    pub a_to_b: Copied,
    /// What went from the second stream to the first.
    pub b_to_a: Copied,
}

/// One of the two directions of [`copy_bidirectional`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CopyDirection {
    /// Read from the first stream, written to the second.
    AToB,
    /// Read from the second stream, written to the first.
    BToA,
}

/// How much was copied in one direction.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many bytes were written.
    pub bytes: u64,
    /// What had been read, and could not be written any more.
    pub unwritten: Vec<u8>,
}

/// Copies from `a` to `b` and from `b` to `a` until both have ended, and returns how many bytes went each way.
///
/// When one stream ends, the writing to the other is ended, as [`CloseWrite`] says; in the other direction it goes on.
///
/// ```
/// use ropewalk::io::copy_bidirectional;
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::io::{self, Write};
/// use std::net::Shutdown;
///
/// # ropewalk::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = TcpListener::bind("127.0.0.1:0")?;
/// let (behind, before) = (listener.local_addr()?, proxy.local_addr()?);
/// task::scope(|s| {
///     s.spawn(|| {
///         let (stream, _) = listener.accept()?;
///         io::copy(&mut &stream, &mut &stream)                      // An echo.
///     });
///     let copied = s.spawn(|| {
///         let (from, _) = proxy.accept()?;
///         let to = TcpStream::connect(behind)?;
///         Ok::<_, io::Error>(copy_bidirectional(&from, &to)?)
///     });
///     let mut client = TcpStream::connect(before)?;
///     client.write_all(b"rope")?;
///     client.shutdown(Shutdown::Write)?;
///     assert_eq!(io::read_to_string(client)?, "rope");
///     assert_eq!(copied.join()??, (4, 4));
///     Ok(())
/// })
/// # }).map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// Each direction has a task and a buffer of 64 KiB; nothing is allocated after that.
///
/// # Cancellation
///
/// Both directions end, with [`Cancelled`](crate::Cancelled) inside of the error. What was read by then and not written is in the error
/// too: nothing is lost.
///
/// # Errors
///
/// [`CopyError`]: the first error, in which direction it happened, and how far both had come. The other direction is cancelled.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "proxy")]
#[doc(alias = "pipe")]
#[track_caller]
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> Result<(u64, u64), CopyError>
where
    A: CloseWrite + ?Sized,
    B: CloseWrite + ?Sized,
    for<'x> &'x A: Read + Write,
    for<'x> &'x B: Read + Write,
{
    use CopyDirection::{AToB, BToA};

    let mut a_to_b = Copied::default();
    let mut b_to_a = Copied::default();
    let result = task::try_scope(|s| {
        let onward = s.spawn(|| pass_on(a, b, &mut a_to_b).map_err(|error| (AToB, error)));
        pass_on(b, a, &mut b_to_a).map_err(|error| (BToA, error))?;
        match onward.join() {
            // Its error is the scope's.
            Ok(()) | Err(JoinError::Failed) => Ok(()),
            Err(other) => Err((AToB, other.resume_panic().into())),
        }
    });
    match result {
        Ok(()) => Ok((a_to_b.bytes, b_to_a.bytes)),
        Err(errors) => {
            let (direction, error) = errors.into_first();
            Err(CopyError { error, direction, a_to_b, b_to_a })
        }
    }
}

/// Copies in one direction, and then ends the writing.
#[track_caller]
fn pass_on<R: ?Sized, W: CloseWrite + ?Sized>(mut from: &R, mut to: &W, copied: &mut Copied) -> io::Result<()>
where
    for<'x> &'x R: Read,
    for<'x> &'x W: Write,
{
    let mut buffer = vec![0; CHUNK];
    loop {
        let received = match from.read(&mut buffer) {
            Ok(0) => return to.close_write(),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let before = copied.bytes;
        if let Err(error) = write_counting(&mut to, &buffer[..received], &mut copied.bytes) {
            let written = (copied.bytes - before) as usize;
            buffer.truncate(received);
            buffer.drain(..written);
            copied.unwritten = buffer;
            return Err(error);
        }
        // Whoever waits for an answer has to get the question first.
        to.flush()?;
    }
}

/// As `write_all`, and says how much was written.
#[track_caller]
fn write_counting(to: &mut impl Write, mut bytes: &[u8], count: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *count += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            CopyDirection::AToB => "from the first stream to the second",
            CopyDirection::BToA => "from the second stream to the first",
        };
        write!(f, "copying {direction}: {}", self.error)
    }
}

/// How much was not written, rather than what.
impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copied")
            .field("bytes", &self.bytes)
            .field("unwritten", &self.unwritten.len())
            .finish()
    }
}

impl Error for CopyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> io::Error {
        error.error
    }
}
