//! Streams: reading by line and within limits, copying, halves.

mod error;
mod line_reader;

pub use error::{Incomplete, LimitExceeded};
pub use line_reader::LineReader;
