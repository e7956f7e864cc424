//! Streams: reading by line and within limits, copying, halves.

mod close_write;
mod copy;
mod descriptor;
mod error;
mod halves;
mod line_reader;
mod pipe;

pub use close_write::CloseWrite;
pub use copy::{Copied, CopyDirection, CopyError, copy_bidirectional};
pub use descriptor::Async;
pub use error::{Incomplete, LimitExceeded};
pub use halves::{
    BorrowedReadHalf, BorrowedWriteHalf, ReadHalf, ReuniteError, WriteHalf, split, split_borrowed,
};
pub use line_reader::LineReader;
pub use pipe::{PipeReader, PipeWriter, pipe};
