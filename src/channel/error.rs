//! Why something could not be sent or received. Errors of sending give the item back.

use std::error::Error;
use std::{fmt, io};

use crate::error::Cancelled;

/// The item was not sent: here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// Nobody will receive any more.
    Closed(T),
    /// The wait was cancelled.
    Cancelled(Cancelled, T),
}

/// The item was not sent without waiting: here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room for it now.
    Full(T),
    /// Nobody will receive any more.
    Closed(T),
}

/// The item was not sent, for nobody will receive any more: here it is. What sends without waiting fails with this.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// Nothing is left, and nothing will be sent any more.
    Closed,
    /// The wait was cancelled.
    Cancelled(Cancelled),
}

/// Nothing was received without waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing is there now.
    Empty,
    /// Nothing is left, and nothing will be sent any more.
    Closed,
}

/// So many items were overwritten before this receiver came to them: see [`broadcast::lossy`](super::broadcast::lossy).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lagged(pub u64);

impl<T> SendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Closed(item) | SendError::Cancelled(_, item) => item,
        }
    }

    /// Whether nobody will receive any more.
    pub fn is_closed(&self) -> bool {
        matches!(self, SendError::Closed(_))
    }

    /// That the wait was cancelled, if it was.
    pub fn cancelled(&self) -> Option<Cancelled> {
        match self {
            SendError::Cancelled(cancelled, _) => Some(*cancelled),
            SendError::Closed(_) => None,
        }
    }

    /// The same error about something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            SendError::Closed(item) => SendError::Closed(change(item)),
            SendError::Cancelled(cancelled, item) => SendError::Cancelled(cancelled, change(item)),
        }
    }
}

impl<T> TrySendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(item) | TrySendError::Closed(item) => item,
        }
    }

    /// Whether there is no room now.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Whether nobody will receive any more.
    pub fn is_closed(&self) -> bool {
        matches!(self, TrySendError::Closed(_))
    }
}

impl<T> Closed<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl RecvError {
    /// Whether nothing will come any more.
    pub fn is_closed(&self) -> bool {
        matches!(self, RecvError::Closed)
    }

    /// That the wait was cancelled, if it was.
    pub fn cancelled(&self) -> Option<Cancelled> {
        match self {
            RecvError::Cancelled(cancelled) => Some(*cancelled),
            RecvError::Closed => None,
        }
    }
}

// Items need not be `Debug` for `unwrap`.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed(_) => f.write_str("Closed(..)"),
            SendError::Cancelled(cancelled, _) => write!(f, "Cancelled({cancelled:?}, ..)"),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

/// What those read who sent in vain. It is true of queues that are shut down, too.
const NOTHING_GOES_IN: &str = "closed: nothing can be sent any more";
/// What those read who received in vain.
const NOTHING_COMES_OUT: &str = "closed: nothing is left, and nothing will come";

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed(_) => f.write_str(NOTHING_GOES_IN),
            SendError::Cancelled(cancelled, _) => cancelled.fmt(f),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "full: there is no room now",
            TrySendError::Closed(_) => NOTHING_GOES_IN,
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str(NOTHING_COMES_OUT),
            RecvError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "empty: nothing is there now",
            TryRecvError::Closed => NOTHING_COMES_OUT,
        })
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOTHING_GOES_IN)
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 item was overwritten before it was received"),
            items => write!(f, "{items} items were overwritten before they were received"),
        }
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for Closed<T> {}
impl Error for Lagged {}
impl Error for RecvError {}
impl Error for TryRecvError {}

impl From<Cancelled> for RecvError {
    fn from(cancelled: Cancelled) -> RecvError {
        RecvError::Cancelled(cancelled)
    }
}

impl<T> From<Closed<T>> for SendError<T> {
    fn from(Closed(item): Closed<T>) -> SendError<T> {
        SendError::Closed(item)
    }
}

impl<T> From<Closed<T>> for TrySendError<T> {
    fn from(Closed(item): Closed<T>) -> TrySendError<T> {
        TrySendError::Closed(item)
    }
}

/// What is closed is a broken pipe.
fn broken_pipe() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, NOTHING_GOES_IN)
}

/// What is closed is a broken pipe. The item is dropped.
impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        match error {
            SendError::Closed(_) => broken_pipe(),
            SendError::Cancelled(cancelled, _) => cancelled.into(),
        }
    }
}

/// What is closed is a broken pipe, and what is full would block. The item is dropped.
impl<T> From<TrySendError<T>> for io::Error {
    fn from(error: TrySendError<T>) -> io::Error {
        match error {
            TrySendError::Closed(_) => broken_pipe(),
            full => io::Error::new(io::ErrorKind::WouldBlock, full.to_string()),
        }
    }
}

/// What is closed is a broken pipe. The item is dropped.
impl<T> From<Closed<T>> for io::Error {
    fn from(_: Closed<T>) -> io::Error {
        broken_pipe()
    }
}

/// What is closed is an unexpected end of file.
impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        match error {
            RecvError::Closed => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            RecvError::Cancelled(cancelled) => cancelled.into(),
        }
    }
}

/// What is closed is an unexpected end of file, and what is empty would block.
impl From<TryRecvError> for io::Error {
    fn from(error: TryRecvError) -> io::Error {
        let kind = match error {
            TryRecvError::Empty => io::ErrorKind::WouldBlock,
            TryRecvError::Closed => io::ErrorKind::UnexpectedEof,
        };
        io::Error::new(kind, error)
    }
}
