//! Streams: by line and within limits, in both directions, in halves; pipes, and any descriptor.
//!
//! ```
//! use ropewalk::io::LineReader;
//! use ropewalk::net::{TcpListener, TcpStream};
//! use ropewalk::task;
//! use std::io::{self, Read, Write};
//!
//! # ropewalk::run(|| {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! task::scope(|s| {
//!     s.spawn(|| {
//!         let (stream, _) = listener.accept()?;
//!         let mut lines = LineReader::with_limit(1000, &stream);
//!         while let Some(line) = lines.next_line()? {
//!             writeln!(&stream, "{}", line.to_uppercase())?;
//!         }
//!         io::Result::Ok(())
//!     });
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"hemp\nsisal\n")?;
//!     stream.shutdown(std::net::Shutdown::Write)?;
//!     assert_eq!(io::read_to_string(stream)?, "HEMP\nSISAL\n");
//!     Ok(())
//! })
//! # }).map_err(|error: io::Error| panic!("{error}")).unwrap();
//! ```
//!
//! # What std has
//!
//! The streams of this library are [`Read`] and [`Write`], for `&TcpStream` too. So whatever std makes of these works unchanged, and parks
//! the task where it would block the thread: `BufReader`, `BufWriter`, `LineWriter`, `copy`, `read_to_end`, `read_exact`, `write_all`,
//! `take`, `chain`, `lines`, `write!`. All of that is here under its own name too, so that `use ropewalk::io` can stand in
//! place of `use std::io`. [`stdin`], [`stdout`] and [`stderr`] are this library's own: `println!` blocks the thread if nobody reads.
//!
//! A cancelled wait passes through all of these as the error that it is: none of them tries again, and
//! [`Cancelled::is`](crate::Cancelled::is) recognises it. What they had read by then is where std says that it is after an error:
//!
//! | cut short | what had come is | to go on |
//! |---|---|---|
//! | `read`, `fill_buf`, `write` | nothing: it had no effect | call it again |
//! | `read_until`, `read_to_end`, `io::copy` into a `Vec` | in the `Vec` | call it again with the same one |
//! | `BufWriter` | what it could not send, in its buffer | `flush` |
//! | `read_line`, `read_to_string` | in the `String`, unless a letter was cut in two: then lost | [`LineReader`] |
//! | `lines`, `split` | lost | [`LineReader`], and its `lines` |
//! | `read_exact`, `write_all` | unknown, how much it was | [`LineReader::next_exact`]; `write` |
//!
//! # What is on top of it
//!
//! - [`LineReader`]: lines, delimiters and counts, within a limit, and nothing is lost when it is cut short.
//! - [`copy_bidirectional`]: a proxy. [`copy_fd`]: copying inside the system. [`CloseWrite`]: streams that can be ended in one direction.
//! - [`split`], [`split_borrowed`]: one half for who reads, and one for who writes.
//! - [`pipe`]; [`Async`]: what else has a descriptor.
//! - [`stdin`], [`stdout`], [`stderr`]: whatever they are, and without a change for others who have them too.
//!
//! # From asyncio
//!
//! | asyncio | here |
//! |---|---|
//! | `open_connection`, `start_server` | [`TcpStream::connect`], [`TcpListener`] and a task for each connection: no pair of objects, one stream |
//! | `StreamReader(limit=...)` | [`LineReader::with_limit`]; 64 KiB too, unless it is said |
//! | `read(n)`, `read(-1)` | `read`, `read_to_end` |
//! | `readline` | [`LineReader::next_line`], or std's `read_line` |
//! | a line over the limit: `ValueError`, the data is dropped | [`LimitExceeded`]; the data is still there, to be skipped or allowed |
//! | `readexactly`, `IncompleteReadError.expected` | [`LineReader::next_exact`], [`Incomplete::expected`] |
//! | `IncompleteReadError.partial` | [`LineReader::buffer`]: it was not taken |
//! | `readuntil(separator)`, of one or of several | [`LineReader::next_until`], [`LineReader::next_until_any`], which tells the one it was |
//! | `LimitOverrunError.consumed` | the length of [`LineReader::buffer`] |
//! | `async for line in reader` | `for line in reader.lines()`, or `while let Some(line) = reader.next_line()?` |
//! | `at_eof` | `fill_buf()?.is_empty()` |
//! | `feed_data`, `feed_eof`, `set_exception`, `exception` | nothing: there is no protocol below that would feed; errors are returned |
//! | a cancelled `readline`, `readexactly` | the next call goes on where it was |
//! | `write`, `writelines` | `write_all`, `write_vectored`: they return when the system has taken it |
//! | `drain`, water marks | nothing: whoever writes waits until there is room, so that nothing heaps up and nothing can be forgotten |
//! | `write_eof`, `can_write_eof` | [`CloseWrite::close_write`]; whether it can is said by the type |
//! | `close`, `wait_closed`, `is_closing` | drop; nothing is left to be sent by then. A `BufWriter` is flushed before |
//! | unclosed: `ResourceWarning` | dropped is closed |
//! | `get_extra_info("peername")`, `("socket")` | `peer_addr`, `local_addr`; the stream is the socket |
//! | `start_tls` | [`LineReader::into_parts`] gives the stream, and what was received and not read, to whoever goes on |
//! | `connect_read_pipe`, `connect_write_pipe` | [`PipeReader`], [`PipeWriter`], of an `OwnedFd`; [`Async`] |
//! | `connect_read_pipe(sys.stdin)`, which sets the terminal of others not to block | [`stdin`] |
//! | `add_reader`, `add_writer` | a task that calls [`Async::wait_readable`] or [`Async::wait_writable`] |
//! | `loop.sendfile`, `sock_sendfile` | [`copy_fd`] |
//! | two tasks read from one stream: `RuntimeError` | the same, of the kind `ResourceBusy`; with halves it does not compile |
//!
//! [`TcpStream::connect`]: crate::net::TcpStream::connect
//! [`TcpListener`]: crate::net::TcpListener

mod close_write;
mod copy;
mod copy_fd;
mod descriptor;
mod error;
mod halves;
mod line_reader;
pub(crate) mod now;
mod pipe;
mod stdio;

pub use close_write::CloseWrite;
pub use copy::{Copied, CopyDirection, CopyError, copy_bidirectional};
pub use copy_fd::{CopyFdError, copy_fd};
pub use descriptor::Async;
pub use error::{Incomplete, LimitExceeded};
pub use halves::{
    BorrowedReadHalf, BorrowedWriteHalf, ReadHalf, ReuniteError, WriteHalf, split, split_borrowed,
};
pub use line_reader::LineReader;
pub(crate) use pipe::nonblocking_pipe;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use stdio::{
    Stderr, StderrLock, Stdin, StdinLines, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout,
};

#[doc(no_inline)]
pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError, IoSlice,
    IoSliceMut, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink, Split, Take, Write, copy,
    empty, prelude, read_to_string, repeat, sink,
};
