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

/// What those read who sent to a closed channel.
const NOBODY_RECEIVES: &str = "the channel is closed: nobody receives";

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed(_) => f.write_str(NOBODY_RECEIVES),
            SendError::Cancelled(cancelled, _) => cancelled.fmt(f),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => NOBODY_RECEIVES,
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("the channel is closed: nobody sends"),
            RecvError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "the channel is empty",
            TryRecvError::Closed => "the channel is closed: nobody sends",
        })
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}

impl From<Cancelled> for RecvError {
    fn from(cancelled: Cancelled) -> RecvError {
        RecvError::Cancelled(cancelled)
    }
}

/// A closed channel is a broken pipe.
impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        match error {
            SendError::Closed(_) => io::Error::new(io::ErrorKind::BrokenPipe, NOBODY_RECEIVES),
            SendError::Cancelled(cancelled, _) => cancelled.into(),
        }
    }
}

/// A closed channel is an unexpected end of file.
impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        match error {
            RecvError::Closed => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            RecvError::Cancelled(cancelled) => cancelled.into(),
        }
    }
}
