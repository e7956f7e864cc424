//! What can go wrong with a generator.

use std::error::Error;
use std::{fmt, io};

/// The generator is being closed: the answer of [`Yielder::try_yield`](crate::Yielder::try_yield) to a yield that
/// will never be resumed with a value. Python's `GeneratorExit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exit;

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the generator is being closed")
    }
}

impl Error for Exit {}

/// Why a generator could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It has been started already; send to it instead.
    AlreadyStarted,
    /// Its body is being executed right now, further up the chain of calls; or it stands in for another generator.
    Running,
    /// Its body has ended, or it was closed.
    Finished,
    /// There is no stack for it: the message names what ran out and the knob. It can be started again later.
    NoStack(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::AlreadyStarted => {
                f.write_str("generator has already been started: send to it instead")
            }
            StartError::Running => f.write_str(RUNNING),
            StartError::Finished => f.write_str(FINISHED),
            StartError::NoStack(error) => write!(f, "generator cannot start: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::NoStack(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> io::Error {
        match error {
            StartError::NoStack(error) => error,
            misuse => io::Error::new(io::ErrorKind::InvalidInput, misuse),
        }
    }
}

/// Why a value could not be sent; holds the value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<S> {
    /// The generator waits at no yield yet: start it first.
    NotStarted(S),
    /// Its body is being executed right now, further up the chain of calls; or it stands in for another generator.
    Running(S),
    /// Its body has ended, or it was closed.
    Finished(S),
}

impl<S> SendError<S> {
    /// The value that was not sent.
    pub fn into_inner(self) -> S {
        match self {
            SendError::NotStarted(value) | SendError::Running(value) | SendError::Finished(value) => value,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            SendError::NotStarted(_) => "generator has not been started: start it before the first send",
            SendError::Running(_) => RUNNING,
            SendError::Finished(_) => FINISHED,
        }
    }
}

// By hand, so that values which cannot be printed can be sent too.
impl<S> fmt::Debug for SendError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NotStarted(_) => "NotStarted(..)",
            SendError::Running(_) => "Running(..)",
            SendError::Finished(_) => "Finished(..)",
        })
    }
}

impl<S> fmt::Display for SendError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl<S> Error for SendError<S> {}

/// Why an error could not be thrown into a generator; holds the error.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThrowError<E> {
    /// The generator had not been started. It is closed now, as in Python, and its body never begins.
    NotStarted(E),
    /// Its body is being executed right now, further up the chain of calls; or it stands in for another generator.
    Running(E),
    /// Its body has ended, or it was closed.
    Finished(E),
}

impl<E> ThrowError<E> {
    /// The error that was not thrown.
    pub fn into_inner(self) -> E {
        match self {
            ThrowError::NotStarted(error) | ThrowError::Running(error) | ThrowError::Finished(error) => error,
        }
    }
}

impl<E> fmt::Debug for ThrowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThrowError::NotStarted(_) => "NotStarted(..)",
            ThrowError::Running(_) => "Running(..)",
            ThrowError::Finished(_) => "Finished(..)",
        })
    }
}

impl<E> fmt::Display for ThrowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThrowError::NotStarted(_) => {
                "error was thrown into a generator that had not started: it is closed now"
            }
            ThrowError::Running(_) => RUNNING,
            ThrowError::Finished(_) => FINISHED,
        })
    }
}

impl<E> Error for ThrowError<E> {}

/// Why a generator is not closed, or not properly; holds what it yielded instead.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError<Y> {
    /// Its body is being executed right now, further up the chain of calls; or it stands in for another generator.
    Running,
    /// The body answered [`Exit`] by yielding this. The generator is suspended there and can be resumed or closed
    /// again.
    IgnoredExit(Y),
    /// The body waited in a plain `yield_` and the program is compiled with `panic = "abort"`, so that it cannot
    /// be unwound. The generator is closed; its stack is leaked and nothing on it is dropped.
    Abandoned,
}

impl<Y> fmt::Debug for CloseError<Y> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseError::Running => "Running",
            CloseError::IgnoredExit(_) => "IgnoredExit(..)",
            CloseError::Abandoned => "Abandoned",
        })
    }
}

impl<Y> fmt::Display for CloseError<Y> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseError::Running => RUNNING,
            CloseError::IgnoredExit(_) => "generator ignored Exit: its body yielded instead of ending",
            CloseError::Abandoned => {
                "generator was abandoned: with panic = \"abort\" a plain yield_ cannot be unwound, use try_yield"
            }
        })
    }
}

impl<Y> Error for CloseError<Y> {}

/// Why one generator does not stand in for another, or no longer does.
///
/// `E` says why the inner one refused: [`StartError`] for
/// [`try_yield_from`](crate::Yielder::try_yield_from), [`SendError`] for
/// [`try_yield_from_started`](crate::Yielder::try_yield_from_started).
#[derive(Debug)]
#[non_exhaustive]
pub enum DelegateError<E = StartError> {
    /// The delegating generator is being closed; the inner one has been closed before it, unless the body unwinds.
    Exit(Exit),
    /// The inner generator could not be resumed.
    Refused(E),
}

impl<E: fmt::Display> fmt::Display for DelegateError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DelegateError::Exit(exit) => exit.fmt(f),
            DelegateError::Refused(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for DelegateError<E> {}

impl<E> From<Exit> for DelegateError<E> {
    fn from(exit: Exit) -> Self {
        DelegateError::Exit(exit)
    }
}

const RUNNING: &str =
    "generator is already running: resume it from outside its own body, and of those that it stands in for";
const FINISHED: &str = "generator has finished";
