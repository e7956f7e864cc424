//! Reading by line, up to a delimiter, or exactly so many bytes, within a limit.
//!
//! Invariant: what is `buffer[start..end]` was received and not read. A call that fails leaves all of it there.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::str::Utf8Error;

use super::error::{Incomplete, LimitExceeded};
use crate::scheduler;
use crate::task;

/// A buffered reader with a limit, that loses nothing: as [`std::io::BufReader`], and in its place.
///
/// ```
/// use ropewalk::io::{LimitExceeded, LineReader};
///
/// let mut reader = LineReader::with_limit(16, &b"HELO rope\r\n\xe2\x80\xa6 and so on, without an end"[..]);
/// assert_eq!(reader.next_line()?, Some("HELO rope"));
/// let error = reader.next_line().unwrap_err();
/// assert_eq!(LimitExceeded::in_error(&error).unwrap().limit(), 16);
/// assert!(reader.buffer().starts_with(b"\xe2\x80\xa6 and"));       // Still there.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// There are two families of methods:
///
/// - std's own, of [`BufRead`]: `read_line`, `read_until`, `skip_until`, `lines`, `split`. They do what std says, within the limit.
/// - [`next_line`](LineReader::next_line), [`next_until`](LineReader::next_until), [`next_until_any`](LineReader::next_until_any)
///   and [`next_exact`](LineReader::next_exact). They lend what they read and allocate nothing, leave the end away, and tell a
///   stream that ended between two pieces (`None`) from one that ended within a piece (an error, [`Incomplete`]).
///
/// # The limit
///
/// It counts the bytes of a piece without its end (the line break, the delimiter). A longer piece is refused with
/// [`LimitExceeded`]; the reader has never more in memory than the limit, the end and 8 KiB.
///
/// A refused piece is in the way until it is skipped (`reader.skip_until(b'\n')` needs no memory for that), read in another way
/// (`read`, `fill_buf`), or allowed by [`set_limit`](LineReader::set_limit). It is never cut, so that the rest of a long line is not
/// taken for a line.
///
/// # In a `select`
///
/// A stream's `readable()` arm tells of what has not been received. What is in the [buffer](LineReader::buffer) already it does not
/// know: read all lines that are there before it is asked, or give the reader a task of its own and a channel.
///
/// # Cancellation
///
/// Whatever fails has read nothing: cancelled or timed out in the middle of a line, the next call goes on with that line. The
/// exceptions are three of std's calls, which take more than the reader may keep: `read_exact` beyond the limit has lost what it
/// read, `read_to_end` has left it in the buffer it was given, and `skip_until` has skipped it.
#[doc(alias = "StreamReader")]
#[doc(alias = "FramedRead")]
#[doc(alias = "LinesCodec")]
pub struct LineReader<R: ?Sized> {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
    inner: R,
}

/// How many bytes a line may have, unless it is said: as for asyncio's streams.
const LIMIT: usize = 64 * 1024;

/// What is read at once: as `BufReader` does.
const CAPACITY: usize = 8 * 1024;

/// A piece that was found.
struct Found {
    /// Its bytes without its end.
    length: usize,
    /// And with it.
    total: usize,
    /// Which of several ends.
    which: usize,
}

/// A piece that lies in the buffer.
struct Piece {
    bytes: Range<usize>,
    /// Where the next one begins.
    next: usize,
    /// Which of several ends it has; none, if the stream ended instead.
    which: Option<usize>,
}

impl<R: Read> LineReader<R> {
    /// Reads from `inner`, pieces of up to 64 KiB.
    pub fn new(inner: R) -> LineReader<R> {
        LineReader::with_limit(LIMIT, inner)
    }

    /// Reads from `inner`, pieces of up to `limit` bytes.
    pub fn with_limit(limit: usize, inner: R) -> LineReader<R> {
        LineReader { buffer: Vec::new(), start: 0, end: 0, limit, inner }
    }

    /// What it reads from, and what it has received and not read.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start);
        (self.inner, self.buffer)
    }
}

impl<R: ?Sized> LineReader<R> {
    /// How many bytes a piece may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Sets how many bytes a piece may have. What has been received already stays, also if it is more.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What has been received and not read: after a failed call, the part of the piece that is there.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// What it reads from. What was received from that is here already.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// What it reads from: to write to it, say.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: Read + ?Sized> LineReader<R> {
    /// The next line, without its `\n` or `\r\n`; `None` at the end of the stream.
    ///
    /// A last line without a line break is a line. Where such a line must not be taken for a whole one, use
    /// [`next_until`](LineReader::next_until).
    ///
    /// ```
    /// # use ropewalk::io::LineReader;
    /// let mut reader = LineReader::new(&b"hemp\r\nsisal"[..]);
    /// while let Some(line) = reader.next_line()? {
    ///     println!("{line}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`]; the kind `InvalidData` if the line is no UTF-8; those of the reader below. In each case nothing was read.
    #[doc(alias = "readline")]
    #[track_caller]
    pub fn next_line(&mut self) -> io::Result<Option<&str>> {
        let Some(piece) = self.find_line()? else { return Ok(None) };
        match std::str::from_utf8(&self.buffer[piece.bytes]) {
            Ok(line) => {
                self.start = piece.next;
                Ok(Some(line))
            }
            Err(error) => Err(no_text(error)),
        }
    }

    /// What stands before the next `end`, which is read too; `None` at the end of the stream.
    ///
    /// ```
    /// # use ropewalk::io::{Incomplete, LineReader};
    /// let mut reader = LineReader::new(&b"first--last--cut o"[..]);
    /// assert_eq!(reader.next_until(b"--")?, Some(&b"first"[..]));
    /// assert_eq!(reader.next_until(b"--")?, Some(&b"last"[..]));
    /// let error = reader.next_until(b"--").unwrap_err();
    /// assert_eq!(Incomplete::in_error(&error).unwrap().received(), 5);
    /// assert_eq!(reader.buffer(), b"cut o");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`]; [`Incomplete`]; those of the reader below. In each case nothing was read.
    ///
    /// # Panics
    ///
    /// When `end` is empty.
    #[doc(alias = "readuntil")]
    #[track_caller]
    pub fn next_until(&mut self, end: &[u8]) -> io::Result<Option<&[u8]>> {
        Ok(self.next_until_any(&[end])?.map(|(piece, _)| piece))
    }

    /// What stands before the next of the `ends`, which is read too, and which one it was; `None` at the end of the stream.
    ///
    /// Of several, that counts which is complete first; of those that end at the same byte, the longest. So it does not matter in
    /// what parts the bytes arrive.
    ///
    /// ```
    /// # use ropewalk::io::LineReader;
    /// let mut reader = LineReader::new(&b"name=rope;"[..]);
    /// assert_eq!(reader.next_until_any(&[b"=", b";"])?, Some((&b"name"[..], 0)));
    /// assert_eq!(reader.next_until_any(&[b"=", b";"])?, Some((&b"rope"[..], 1)));
    /// assert_eq!(reader.next_until_any(&[b"=", b";"])?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`next_until`](LineReader::next_until).
    ///
    /// # Panics
    ///
    /// When there are no ends, or an empty one.
    #[track_caller]
    pub fn next_until_any(&mut self, ends: &[&[u8]]) -> io::Result<Option<(&[u8], usize)>> {
        assert!(!ends.is_empty(), "give it an end to look for");
        assert!(
            ends.iter().all(|end| !end.is_empty()),
            "an empty end is everywhere: give it one byte or more"
        );
        let longest = ends.iter().map(|end| end.len()).max().unwrap_or(1);
        let found = self.find(longest, |bytes, from| first_of(ends, bytes, from))?;
        match found {
            None => Ok(None),
            Some(Piece { bytes, next, which: Some(which) }) => {
                self.start = next;
                Ok(Some((&self.buffer[bytes], which)))
            }
            Some(Piece { bytes, which: None, .. }) => Err(Incomplete::new(bytes.len(), None).into()),
        }
    }

    /// The next `count` bytes; `None` at the end of the stream.
    ///
    /// A `count` above the limit is refused before anything is waited for: it can be taken from whoever is at the other side.
    ///
    /// ```
    /// # use ropewalk::io::{LimitExceeded, LineReader};
    /// let mut reader = LineReader::new(&b"\0\0\0\x04rope\xff\xff\xff\xff"[..]);
    /// let mut frame = || {
    ///     let Some(header) = reader.next_exact(4)? else { return Ok(None) };
    ///     let length = u32::from_be_bytes(header.try_into().unwrap());
    ///     reader.next_exact(length as usize).map(|frame| frame.map(<[u8]>::to_vec))
    /// };
    /// assert_eq!(frame()?, Some(b"rope".to_vec()));
    /// assert!(LimitExceeded::in_error(&frame().unwrap_err()).is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`]; [`Incomplete`]; those of the reader below. In each case nothing was read.
    #[doc(alias = "readexactly")]
    #[track_caller]
    pub fn next_exact(&mut self, count: usize) -> io::Result<Option<&[u8]>> {
        if count > self.limit {
            return Err(self.refuse());
        }
        if count > 0 && self.is_at_end()? {
            return Ok(None);
        }
        let piece = self.find_exact(count)?;
        self.start = piece.end;
        Ok(Some(&self.buffer[piece]))
    }

    /// The next line, with a last one that has no line break.
    #[track_caller]
    fn find_line(&mut self) -> io::Result<Option<Piece>> {
        self.find(2, |bytes, from| {
            let at = from + position(b'\n', &bytes[from..])?;
            let length = if bytes[..at].ends_with(b"\r") { at - 1 } else { at };
            Some(Found { length, total: at + 1, which: 0 })
        })
    }

    /// Waits for a piece; `None` at the end of the stream. `look` looks for one in the bytes, and for its end from an index on.
    #[track_caller]
    fn find(
        &mut self,
        longest_end: usize,
        look: impl Fn(&[u8], usize) -> Option<Found>,
    ) -> io::Result<Option<Piece>> {
        // What is in the buffer already need not be waited for, and there may be much of it.
        scheduler::share_thread();
        let most = self.limit.saturating_add(longest_end);
        let mut looked_at = 0;
        loop {
            let bytes = self.buffer();
            let received = bytes.len();
            match look(bytes, looked_at) {
                Some(found) if found.length > self.limit => return Err(self.refuse()),
                Some(found) => {
                    let bytes = self.start..self.start + found.length;
                    return Ok(Some(Piece {
                        bytes,
                        next: self.start + found.total,
                        which: Some(found.which),
                    }));
                }
                // However it ends, it is too long.
                None if received >= most => return Err(self.refuse()),
                None => {}
            }
            // Of an end there may be all but its last byte.
            looked_at = (received + 1).saturating_sub(longest_end);
            if self.fill(most)? == 0 {
                return match received {
                    0 => Ok(None),
                    _ if received > self.limit => Err(self.refuse()),
                    _ => Ok(Some(Piece { bytes: self.start..self.end, next: self.end, which: None })),
                };
            }
        }
    }

    /// Waits for `count` bytes, which are not more than the limit.
    #[track_caller]
    fn find_exact(&mut self, count: usize) -> io::Result<Range<usize>> {
        scheduler::share_thread();
        while self.buffer().len() < count {
            if self.fill(self.limit)? == 0 {
                return Err(Incomplete::new(self.buffer().len(), Some(count)).into());
            }
        }
        Ok(self.start..self.start + count)
    }

    /// Whether nothing was received that is not read, and nothing more comes.
    #[track_caller]
    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.buffer().is_empty() && self.fill(CAPACITY)? == 0)
    }

    /// Receives more, and says how much; nothing at the end of the stream. There is room for it within `most` bytes.
    #[track_caller]
    fn fill(&mut self, most: usize) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let larger = self.buffer.len().saturating_mul(2).min(most).max(CAPACITY);
                self.buffer.resize(larger, 0);
            }
        }
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(received) => {
                    assert!(
                        received <= self.buffer.len() - self.end,
                        "a reader says that it read more than it was given room for"
                    );
                    self.end += received;
                    return Ok(received);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// It is longer than the limit.
    #[track_caller]
    fn refuse(&self) -> io::Error {
        let_others_run();
        LimitExceeded::new(self.limit).into()
    }
}

fn no_text(error: Utf8Error) -> io::Error {
    let_others_run();
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A call that fails at once would fail at once again: a loop that ignores it must not keep others from running.
#[track_caller]
fn let_others_run() {
    if task::current_id().is_some() {
        task::yield_now();
    }
}

/// The first of the ends in `bytes`, if it begins at `from` or behind it.
fn first_of(ends: &[&[u8]], bytes: &[u8], from: usize) -> Option<Found> {
    let found = ends.iter().enumerate().filter_map(|(which, end)| {
        let at = from + position_of(end, &bytes[from..])?;
        Some(Found { length: at, total: at + end.len(), which })
    });
    found.min_by_key(|found| (found.total, found.length))
}

/// Where `wanted` stands first.
fn position_of(wanted: &[u8], bytes: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(found) = position(first, &bytes[from..]) {
        let at = from + found;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Where `byte` stands first; eight are looked at in one go.
fn position(byte: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let wanted = u64::from_le_bytes([byte; 8]);
    let mut words = bytes.chunks_exact(8);
    for (index, word) in words.by_ref().enumerate() {
        let differs = u64::from_le_bytes(word.try_into().expect("it has eight")) ^ wanted;
        // Of the bytes that are zero the lowest is sure to have its high bit set, and none below it has.
        let is_zero = differs.wrapping_sub(ONES) & !differs & HIGH;
        if is_zero != 0 {
            return Some(index * 8 + is_zero.trailing_zeros() as usize / 8);
        }
    }
    let rest = words.remainder();
    let at = rest.iter().position(|&other| other == byte)?;
    Some(bytes.len() - rest.len() + at)
}

impl<R: Read + ?Sized> Read for LineReader<R> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What would fill the reader's own buffer need not go through it.
        if self.buffer().is_empty() && buffer.len() >= CAPACITY {
            return self.inner.read(buffer);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }

    /// As std says; up to the limit, a call that fails has read nothing.
    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.len() <= self.limit {
            let piece = self.find_exact(buffer.len())?;
            self.start = piece.end;
            buffer.copy_from_slice(&self.buffer[piece]);
            return Ok(());
        }
        let (first, rest) = buffer.split_at_mut(self.buffer().len().min(buffer.len()));
        first.copy_from_slice(&self.buffer()[..first.len()]);
        self.consume(first.len());
        self.inner.read_exact(rest)
    }
}

impl<R: Read + ?Sized> BufRead for LineReader<R> {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer().is_empty() {
            self.fill(CAPACITY)?;
        }
        Ok(self.buffer())
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// As std says, within the limit; a call that fails has read nothing.
    #[track_caller]
    fn read_until(&mut self, byte: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        let found = self.find(1, |bytes, from| {
            let at = from + position(byte, &bytes[from..])?;
            Some(Found { length: at, total: at + 1, which: 0 })
        })?;
        let Some(piece) = found else { return Ok(0) };
        let bytes = self.start..piece.next;
        into.extend_from_slice(&self.buffer[bytes.clone()]);
        self.start = piece.next;
        Ok(bytes.len())
    }

    /// As std says, within the limit; a call that fails has read nothing.
    #[track_caller]
    fn read_line(&mut self, into: &mut String) -> io::Result<usize> {
        let Some(piece) = self.find_line()? else { return Ok(0) };
        let bytes = self.start..piece.next;
        into.push_str(std::str::from_utf8(&self.buffer[bytes.clone()]).map_err(no_text)?);
        self.start = piece.next;
        Ok(bytes.len())
    }
}

impl<R: fmt::Debug + ?Sized> fmt::Debug for LineReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LineReader");
        shown
            .field("limit", &self.limit)
            .field("received", &self.buffer().len())
            .field("inner", &&self.inner)
            .finish()
    }
}
