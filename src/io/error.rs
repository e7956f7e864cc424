//! Why something was not read. Both become an [`io::Error`] with `?`, and are found in it again.

use std::error::Error;
use std::{fmt, io};

/// The piece is longer than the limit of the [`LineReader`](super::LineReader). It was not read.
///
/// Inside an [`io::Error`] it is of the kind `InvalidData`.
#[doc(alias = "LimitOverrunError")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitExceeded {
    limit: usize,
}

/// The stream ended within a piece. What is there of it was not read.
///
/// Inside an [`io::Error`] it is of the kind `UnexpectedEof`.
#[doc(alias = "IncompleteReadError")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incomplete {
    received: usize,
    expected: Option<usize>,
}

impl LimitExceeded {
    pub(super) fn new(limit: usize) -> LimitExceeded {
        LimitExceeded { limit }
    }

    /// How many bytes a piece could have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The `LimitExceeded` inside an I/O error, if there is one.
    pub fn in_error(error: &io::Error) -> Option<LimitExceeded> {
        error.get_ref()?.downcast_ref::<LimitExceeded>().copied()
    }
}

impl Incomplete {
    pub(super) fn new(received: usize, expected: Option<usize>) -> Incomplete {
        Incomplete { received, expected }
    }

    /// How many bytes of the piece are there: [`LineReader::buffer`](super::LineReader::buffer) shows them.
    pub fn received(&self) -> usize {
        self.received
    }

    /// How many bytes were asked for; `None` if it was an end that did not come.
    pub fn expected(&self) -> Option<usize> {
        self.expected
    }

    /// The `Incomplete` inside an I/O error, if there is one.
    pub fn in_error(error: &io::Error) -> Option<Incomplete> {
        error.get_ref()?.downcast_ref::<Incomplete>().copied()
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than the limit of {} bytes: skip it, or set a higher limit", self.limit)
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "the stream ended after {} of {expected} bytes", self.received),
            None => write!(
                f,
                "the stream ended after {} bytes, before the end that was looked for",
                self.received
            ),
        }
    }
}

impl Error for LimitExceeded {}
impl Error for Incomplete {}

impl From<LimitExceeded> for io::Error {
    fn from(error: LimitExceeded) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl From<Incomplete> for io::Error {
    fn from(error: Incomplete) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, error)
    }
}
