//! Why something could not be sent or received in time. Errors of sending give the item back.

use std::error::Error;
use std::{fmt, io};

use crate::channel::{RecvError, SendError};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::CrossError;

/// The item was not sent in time: here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The time is over.
    Elapsed(T),
    /// Nobody will receive any more.
    Closed(T),
    /// The wait was cancelled, by something else than its limit.
    Cancelled(Cancelled, T),
}

/// Nothing was received in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvTimeoutError {
    /// The time is over.
    Elapsed,
    /// Nothing is left, and nothing will be sent any more.
    Closed,
    /// The wait was cancelled, by something else than its limit.
    Cancelled(Cancelled),
}

/// What those read who waited for too long.
const ELAPSED: &str = "the time is over";

impl<T> SendTimeoutError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Elapsed(item)
            | SendTimeoutError::Closed(item)
            | SendTimeoutError::Cancelled(_, item) => item,
        }
    }

    /// Whether the time is over.
    pub fn is_elapsed(&self) -> bool {
        matches!(self, SendTimeoutError::Elapsed(_))
    }

    /// As the error of a wait that had no limit.
    pub(super) fn without_limit(self) -> SendError<T> {
        match self {
            SendTimeoutError::Elapsed(_) => unreachable!("it had no limit"),
            SendTimeoutError::Closed(item) => SendError::Closed(item),
            SendTimeoutError::Cancelled(cancelled, item) => SendError::Cancelled(cancelled, item),
        }
    }
}

impl RecvTimeoutError {
    /// Whether the time is over.
    pub fn is_elapsed(&self) -> bool {
        matches!(self, RecvTimeoutError::Elapsed)
    }

    /// As the error of a wait that had no limit.
    pub(super) fn without_limit(self) -> RecvError {
        match self {
            RecvTimeoutError::Elapsed => unreachable!("it had no limit"),
            RecvTimeoutError::Closed => RecvError::Closed,
            RecvTimeoutError::Cancelled(cancelled) => RecvError::Cancelled(cancelled),
        }
    }
}

impl From<Cancelled> for RecvTimeoutError {
    fn from(cancelled: Cancelled) -> RecvTimeoutError {
        RecvTimeoutError::Cancelled(cancelled)
    }
}

impl From<CrossError> for RecvTimeoutError {
    fn from(error: CrossError) -> RecvTimeoutError {
        match error {
            CrossError::Elapsed => RecvTimeoutError::Elapsed,
            CrossError::Cancelled(cancelled) => RecvTimeoutError::Cancelled(cancelled),
        }
    }
}

// Items need not be `Debug` for `unwrap`.
impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendTimeoutError::Elapsed(_) => f.write_str("Elapsed(..)"),
            SendTimeoutError::Closed(_) => f.write_str("Closed(..)"),
            SendTimeoutError::Cancelled(cancelled, _) => write!(f, "Cancelled({cancelled:?}, ..)"),
        }
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendTimeoutError::Elapsed(_) => f.write_str(ELAPSED),
            SendTimeoutError::Closed(_) => SendError::Closed(()).fmt(f),
            SendTimeoutError::Cancelled(cancelled, _) => cancelled.fmt(f),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvTimeoutError::Elapsed => f.write_str(ELAPSED),
            RecvTimeoutError::Closed => RecvError::Closed.fmt(f),
            RecvTimeoutError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl<T> Error for SendTimeoutError<T> {}
impl Error for RecvTimeoutError {}

/// A closed channel is a broken pipe.
impl<T> From<SendTimeoutError<T>> for io::Error {
    fn from(error: SendTimeoutError<T>) -> io::Error {
        match error {
            SendTimeoutError::Elapsed(_) => io::Error::new(io::ErrorKind::TimedOut, ELAPSED),
            SendTimeoutError::Closed(item) => SendError::Closed(item).into(),
            SendTimeoutError::Cancelled(cancelled, _) => cancelled.into(),
        }
    }
}

/// A closed channel is an unexpected end of file.
impl From<RecvTimeoutError> for io::Error {
    fn from(error: RecvTimeoutError) -> io::Error {
        match error {
            RecvTimeoutError::Elapsed => io::Error::new(io::ErrorKind::TimedOut, error),
            RecvTimeoutError::Closed => RecvError::Closed.into(),
            RecvTimeoutError::Cancelled(cancelled) => cancelled.into(),
        }
    }
}
