//! An open file: reading and writing it parks the task, wherever its bytes come from.
//!
//! Words: a file has a *place* for each byte, and a *position* of its own that moves; or it is a *stream*, such as a FIFO or a terminal, whose bytes come when
//! somebody sends them.
//!
//! Invariants:
//! - Nothing here blocks the thread of a runtime for longer than it takes to copy what the system has in memory.
//! - A call that has done something says so, cancelled or not; one that fails with `Cancelled` has done nothing.
//! - A ring is given places, and positions only of what has none or is appended to: it takes no lock around them, as calls of the system do.

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use rustix::io::Errno;

use super::OpenOptions;
use super::manner::{Manner, Manners};
use super::thread::{is_in_task, on_thread};
use crate::scheduler::io::{Direction, Ends, FileCall, Position, Source, carry, has_ring, wait_until_ready};

/// An open file; as [`std::fs::File`].
///
/// ```
/// use ropewalk::fs::{self, File};
/// use std::io::{Read, Seek, SeekFrom, Write};
///
/// # let folder = std::env::temp_dir().join(format!("ropewalk-doc-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("rope.txt");
/// # ropewalk::run(|| {
/// let mut file = File::create_new(&path)?;
/// file.write_all(b"hemp and sisal")?;                            // Parks the task, not the thread.
/// file.sync_all()?;
///
/// let mut file = File::open(&path)?;
/// file.seek(SeekFrom::Start(9))?;
/// let mut rest = String::new();
/// file.read_to_string(&mut rest)?;
/// assert_eq!(rest, "sisal");
///
/// let mut word = [0; 4];
/// file.read_exact_at(&mut word, 0)?;                             // The position stays where it is.
/// assert_eq!(&word, b"hemp");
/// # fs::remove_dir_all(&folder)
/// # }).unwrap();
/// ```
///
/// Several tasks and threads may use one `File` at the same time: `Read`, `Write` and `Seek` are there for `&File` too, and the position is moved by
/// one at a time. What is read at a place given, by [`read_at`](File::read_at) and its like, has nothing to do with it.
///
/// On a thread where no runtime runs a call blocks the thread, as std's would. How each call is done stands in the [module](super).
///
/// `flush` does nothing, as with std: there is no buffer. A [`BufWriter`](std::io::BufWriter) around a file is to be flushed before it is dropped: what it
/// writes in its drop fails in a cancelled scope, and in a task that unwinds, and nobody hears of it.
///
/// # Cancellation
///
/// A read or write that fails with [`Cancelled`](crate::Cancelled) has transferred nothing, and has not moved the position. One that has transferred something says so,
/// cancelled or not. What a thread has begun is waited for; a ring is asked to end it. What std makes of several, such as `read_exact` and
/// `write_all`, does not say how far it came.
///
/// # Panics
///
/// Nothing here panics; what callbacks of a runtime call fails with `Cancelled`.
///
/// # Platform
///
/// The drop closes the file there and then, as std's does. On a file system over a network that may take its time, and it is then the thread that waits: `close` has errors to tell there
/// which a drop cannot; call [`sync_all`](File::sync_all) before.
///
/// A FIFO, a terminal and other streams may be opened as files too, and are waited for without a thread. As for sockets, a second task that would wait for one in the same direction
/// may be refused, with `ResourceBusy`. For pipes there are [`PipeReader`](crate::io::PipeReader) and [`PipeWriter`](crate::io::PipeWriter), which cost less.
#[doc(alias = "aiofiles")]
#[doc(alias = "AsyncFile")]
#[doc(alias = "open_file")]
pub struct File {
    // Dropped first: a scheduler forgets a descriptor before it is closed.
    source: Source,
    inner: std::fs::File,
    manners: Manners,
    /// Threads that read or write at the position, and have it locked meanwhile.
    at_position: AtomicUsize,
    /// Others may have the same position: it was duplicated, or came from elsewhere.
    is_shared: AtomicBool,
}

impl File {
    /// Of what has just been opened here, so that nobody else knows its position.
    pub(super) fn of_opened(fd: OwnedFd) -> File {
        File::new(fd.into(), false)
    }

    fn new(inner: std::fs::File, is_shared: bool) -> File {
        File {
            source: Source::new(inner.as_raw_fd()),
            inner,
            manners: Manners::default(),
            at_position: AtomicUsize::new(0),
            is_shared: AtomicBool::new(is_shared),
        }
    }

    /// Opens a file to be read.
    ///
    /// # Cancellation
    ///
    /// What was opened is returned, cancelled or not. A FIFO without a writer, and a device that is not ready, can be waited for: see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As std's; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to be written, which is made if there is none, and emptied if there is one.
    ///
    /// # Errors
    ///
    /// As std's; [`Cancelled`](crate::Cancelled), and then it was neither made nor emptied.
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, to be read and written.
    ///
    /// # Errors
    ///
    /// There is one: `AlreadyExists`. Else as std's; [`Cancelled`](crate::Cancelled), and then it was not made.
    #[track_caller]
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// How a file is to be opened; the same as [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until all that was written, and what is known of the file, will outlast the system.
    ///
    /// # Cancellation
    ///
    /// What was written stays written; it may be anywhere between memory and disk.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[doc(alias = "fsync")]
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        self.sync(false)
    }

    /// As [`sync_all`](File::sync_all), of the bytes alone, and of what it takes to find them.
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(alias = "fdatasync")]
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync(true)
    }

    #[track_caller]
    fn sync(&self, data_only: bool) -> io::Result<()> {
        if is_in_task()? {
            let call = FileCall::Sync { fd: self.inner.as_fd(), data_only };
            if unless_refused(carry("sync", &self.source, Ends::ByItself, call))?.is_some() {
                return Ok(());
            }
        }
        on_thread("sync", || if data_only { self.inner.sync_data() } else { self.inner.sync_all() })
    }

    /// Makes it as long as that: what is beyond is cut off, what is missing is zeros. The position stays where it is.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[doc(alias = "truncate")]
    #[track_caller]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        on_thread("set_len", || self.inner.set_len(size))
    }

    /// What is known of it: its size, its kind, its times.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[doc(alias = "fstat")]
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        on_thread("metadata", || self.inner.metadata())
    }

    /// Changes who may do what with it.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[doc(alias = "fchmod")]
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        on_thread("set_permissions", || self.inner.set_permissions(permissions))
    }

    /// Changes its times.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[doc(alias = "utime")]
    #[track_caller]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        on_thread("set_times", || self.inner.set_times(times))
    }

    /// Changes the time of its last change.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Another descriptor of the same open file: both have one position.
    ///
    /// It does not wait. From now on a ring reads and writes neither of them at their position, but only at places given.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> io::Result<File> {
        // Relaxed: who uses the other one was given it, and knows.
        self.is_shared.store(true, Ordering::Relaxed);
        Ok(File::new(self.inner.try_clone()?, true))
    }

    /// Reads at a place, and says how much; the position stays where it is. As [`FileExt::read_at`](std::os::unix::fs::FileExt::read_at).
    ///
    /// # Errors
    ///
    /// As the system has it, of a stream that it has no places; [`Cancelled`](crate::Cancelled), and nothing was read.
    #[doc(alias = "pread")]
    #[track_caller]
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_buffers(&mut [IoSliceMut::new(buffer)], Position::At(offset), false)
    }

    /// As [`read_at`](File::read_at), into several buffers, one after the other.
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(alias = "preadv")]
    #[track_caller]
    pub fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.read_buffers(buffers, Position::At(offset), false)
    }

    /// Fills the buffer with what is at a place.
    ///
    /// # Errors
    ///
    /// The file ends before: `UnexpectedEof`. Else as [`read_at`](File::read_at). What is in the buffer then is not said.
    #[track_caller]
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = self.read_at(buffer, offset)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "failed to fill whole buffer"));
            }
            buffer = &mut buffer[count..];
            offset += count as u64;
        }
        Ok(())
    }

    /// Writes at a place, and says how much; the position stays where it is. As [`FileExt::write_at`](std::os::unix::fs::FileExt::write_at).
    ///
    /// # Errors
    ///
    /// As the system has it, of a stream that it has no places; [`Cancelled`](crate::Cancelled), and nothing was written.
    ///
    /// # Platform
    ///
    /// In a file that was opened to be appended to, Linux appends all the same.
    #[doc(alias = "pwrite")]
    #[track_caller]
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.write_parts(&[IoSlice::new(bytes)], Position::At(offset), false)
    }

    /// As [`write_at`](File::write_at), of several parts, one after the other.
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(alias = "pwritev")]
    #[track_caller]
    pub fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.write_parts(parts, Position::At(offset), false)
    }

    /// Writes all of it at a place.
    ///
    /// # Cancellation
    ///
    /// Some of it may have been written.
    ///
    /// # Errors
    ///
    /// As [`write_at`](File::write_at).
    #[track_caller]
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write_at(bytes, offset)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "failed to write whole buffer"));
            }
            bytes = &bytes[count..];
            offset += count as u64;
        }
        Ok(())
    }

    /// Whether its bytes come and go as others send and take them.
    pub(super) fn is_stream(&self) -> bool {
        self.manners.of(&self.inner).is_stream
    }

    // Reading.

    /// Whether whoever borrows this exclusively has its position alone.
    fn is_alone(&mut self) -> bool {
        !*self.is_shared.get_mut()
    }

    #[track_caller]
    fn read_buffers(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        at: Position,
        is_alone: bool,
    ) -> io::Result<usize> {
        // The system takes no more, and says so instead of taking fewer.
        let most = buffers.len().min(MOST_BUFFERS);
        let buffers = &mut buffers[..most];
        if !is_in_task()? {
            return read_here(self.inner.as_fd(), buffers, at);
        }
        let manner = self.manners.of(&self.inner);
        if manner.is_stream && at == Position::Own && manner.is_readable {
            return self.read_stream(buffers);
        }
        let is_large = LARGE < buffers.iter().map(|buffer| buffer.len()).sum();
        if let Some(place) = self.place(manner, at, is_alone) {
            let call = FileCall::Read {
                fd: self.inner.as_fd(),
                buffers: &mut *buffers,
                at: Position::At(place),
                by_worker: is_large,
            };
            if let Some(count) = unless_refused(carry("read", &self.source, Ends::ByItself, call))? {
                self.move_on(at, place, count);
                return Ok(count);
            }
        }
        // A thread that has the position locked would keep this one waiting.
        let is_free = at != Position::Own || self.at_position.load(Ordering::Relaxed) == 0;
        if is_free && !is_large {
            if let Some(count) = self.read_now(manner, buffers, at)? {
                return Ok(count);
            }
        }
        let _at_position = self.note_position(at);
        on_thread("read", || read_here(self.inner.as_fd(), buffers, at))
    }

    /// Reads what somebody sends, when it is there.
    #[track_caller]
    fn read_stream(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let fd = self.inner.as_fd();
        for _ in 0..CREDULITY {
            let call = FileCall::Read { fd, buffers: &mut *buffers, at: Position::Own, by_worker: false };
            if let Some(count) = unless_refused(carry("read", &self.source, Ends::ByOthers, call))? {
                return Ok(count);
            }
            let manner = self.manners.of(&self.inner);
            if let Some(count) = self.read_now(manner, buffers, Position::Own)? {
                return Ok(count);
            }
            wait_until_ready(&self.source, fd, Direction::Read, "read")?;
            if !self.manners.of(&self.inner).reads_now && !is_nonblocking(fd) {
                break;
            }
        }
        // There is something to be read, and the thread does not wait; unless somebody else is faster.
        on_thread("read", || read_here(fd, buffers, Position::Own))
    }

    /// Reads what is in memory. `None` if nothing is, or it cannot be said.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn read_now(
        &self,
        manner: Manner,
        buffers: &mut [IoSliceMut<'_>],
        at: Position,
    ) -> io::Result<Option<usize>> {
        let fd = self.inner.as_fd();
        if manner.is_stream && is_nonblocking(fd) {
            return unless_refused(read_here(fd, buffers, at).map(Some));
        }
        if !manner.reads_now {
            return Ok(None);
        }
        match super::now::read(fd, buffers, at) {
            // Linux 5.9 and 5.10 say that of what is not in memory, too. At the end of a file a call does not wait.
            Ok(0) if !manner.is_stream && buffers.iter().any(|buffer| !buffer.is_empty()) => {
                read_here(fd, buffers, at).map(Some)
            }
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.manners.cannot_read_now();
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn read_now(
        &self,
        manner: Manner,
        buffers: &mut [IoSliceMut<'_>],
        at: Position,
    ) -> io::Result<Option<usize>> {
        let fd = self.inner.as_fd();
        match manner.is_stream && is_nonblocking(fd) {
            true => unless_refused(read_here(fd, buffers, at).map(Some)),
            false => Ok(None),
        }
    }

    // Writing.

    #[track_caller]
    fn write_parts(&self, parts: &[IoSlice<'_>], at: Position, is_alone: bool) -> io::Result<usize> {
        let parts = &parts[..parts.len().min(MOST_BUFFERS)];
        let fd = self.inner.as_fd();
        if !is_in_task()? {
            return write_here(fd, parts, at);
        }
        let manner = self.manners.of(&self.inner);
        if manner.is_stream && at == Position::Own && manner.is_writable {
            return self.write_stream(parts);
        }
        if manner.appends && !manner.is_stream && at == Position::Own {
            return self.append(parts);
        }
        let is_large = LARGE < parts.iter().map(|part| part.len()).sum();
        if let Some(place) = self.place(manner, at, is_alone) {
            let call =
                FileCall::Write { fd, parts, at: Position::At(place), by_worker: manner.appends || is_large };
            if let Some(count) = unless_refused(carry("write", &self.source, Ends::ByItself, call))? {
                self.move_on(at, place, count);
                return Ok(count);
            }
        }
        // Never here: what is written without waiting may end anywhere, and what several append would be mixed. And not all file systems can do it.
        let _at_position = self.note_position(at);
        on_thread("write", || write_here(fd, parts, at))
    }

    /// Writes to the end, wherever that is by then: nobody is asked for the position.
    #[track_caller]
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let fd = self.inner.as_fd();
        let call = FileCall::Write { fd, parts, at: Position::Own, by_worker: true };
        if let Some(count) = unless_refused(carry("write", &self.source, Ends::ByItself, call))? {
            if count < parts.iter().map(|part| part.len()).sum() {
                // Cut short by an error, it has left the position where it was: see `place`. It is where this has come to, or behind what others have appended.
                let _ = (&self.inner).seek(SeekFrom::End(0));
            }
            return Ok(count);
        }
        let _at_position = self.note_position(Position::Own);
        on_thread("write", || write_here(fd, parts, Position::Own))
    }

    /// Writes when there is room.
    #[track_caller]
    fn write_stream(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let fd = self.inner.as_fd();
        for _ in 0..CREDULITY {
            let call = FileCall::Write { fd, parts, at: Position::Own, by_worker: false };
            if let Some(count) = unless_refused(carry("write", &self.source, Ends::ByOthers, call))? {
                return Ok(count);
            }
            if let Some(count) = self.write_now(parts)? {
                return Ok(count);
            }
            wait_until_ready(&self.source, fd, Direction::Write, "write")?;
            if !self.manners.of(&self.inner).writes_now && !is_nonblocking(fd) {
                break;
            }
        }
        // There is room for so much, and the thread does not wait; unless somebody else is faster.
        let part = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| &part[..]);
        let part = &part[..part.len().min(ROOM)];
        on_thread("write", || write_here(fd, &[IoSlice::new(part)], Position::Own))
    }

    /// Writes what a stream has room for. `None` if that is nothing, or cannot be said.
    fn write_now(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let fd = self.inner.as_fd();
        if is_nonblocking(fd) {
            return unless_refused(write_here(fd, parts, Position::Own).map(Some));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.manners.of(&self.inner).writes_now {
            match super::now::write(fd, parts) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.manners.cannot_write_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    // The position.

    /// Where a ring is to read or write, if it may: not at a position that others can move.
    ///
    /// It is told the place, and the position is set afterwards. A ring that is told to use the position takes no lock around it; and of what an error has cut short
    /// Linux (6.18 was seen to) tells the count, and leaves the position as if nothing had been done. What has no places would be read as if it had.
    fn place(&self, manner: Manner, at: Position, is_alone: bool) -> Option<u64> {
        match at {
            _ if manner.is_stream => None,
            Position::At(place) => Some(place),
            Position::Own if is_alone && has_ring() => (&self.inner).stream_position().ok(),
            Position::Own => None,
        }
    }

    /// A ring has read or written so much at a place that was the position.
    fn move_on(&self, at: Position, place: u64, count: usize) {
        if at == Position::Own {
            // It cannot fail: the place is beyond nothing that was read or written.
            let _ = (&self.inner).seek(SeekFrom::Start(place + count as u64));
        }
    }

    /// Until that is dropped a thread may have the position locked.
    fn note_position(&self, at: Position) -> AtPosition<'_> {
        // Relaxed: whoever does not see it waits for as long as the other reads, and no harm is done.
        let noted = (at == Position::Own).then_some(&self.at_position);
        noted.inspect(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        AtPosition(noted)
    }

    #[track_caller]
    fn seek_to(&self, to: SeekFrom) -> io::Result<u64> {
        if !is_in_task()? {
            return (&self.inner).seek(to);
        }
        match to {
            // Nobody has to be asked for that, and nobody has the position locked.
            SeekFrom::Start(_) | SeekFrom::Current(_) if self.at_position.load(Ordering::Relaxed) == 0 => {
                (&self.inner).seek(to)
            }
            _ => on_thread("seek", || (&self.inner).seek(to)),
        }
    }

    /// How much there is from the position on, if it costs nothing to know.
    fn size_left(&self) -> Option<usize> {
        let is_free = self.at_position.load(Ordering::Relaxed) == 0;
        is_free.then(|| self.manners.size_left(&self.inner)).flatten()
    }

    /// Reads to the end, with room for what is known to be left.
    #[track_caller]
    fn read_rest(&self, buffer: &mut Vec<u8>, is_alone: bool) -> io::Result<usize> {
        if let Some(left) = self.size_left() {
            buffer.try_reserve(left)?;
        }
        OneByOne { file: self, is_alone }.read_to_end(buffer)
    }

    #[track_caller]
    fn read_rest_as_text(&self, text: &mut String, is_alone: bool) -> io::Result<usize> {
        if let Some(left) = self.size_left() {
            text.try_reserve(left)?;
        }
        OneByOne { file: self, is_alone }.read_to_string(text)
    }
}

/// What is larger is copied by another thread: it takes this one a while, in which no task runs.
const LARGE: usize = 1 << 20;

/// So often in a row is believed that a stream is ready which then says that it is not.
const CREDULITY: u32 = 16;

/// As much as there is room for in any stream that says that there is some: a page of a pipe.
const ROOM: usize = 4096;

/// As many buffers as the system takes at a time, on all systems.
const MOST_BUFFERS: usize = 1024;

/// See [`File::note_position`].
struct AtPosition<'a>(Option<&'a AtomicUsize>);

impl Drop for AtPosition<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A file whose reads are all that std is told of.
struct OneByOne<'a> {
    file: &'a File,
    is_alone: bool,
}

impl Read for OneByOne<'_> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = buffer.len().min(LARGE);
        self.file.read_buffers(&mut [IoSliceMut::new(&mut buffer[..part])], Position::Own, self.is_alone)
    }
}

/// What a ring says that can make such a call in principle, and not this one: somebody else is to make it.
fn unless_refused(made: io::Result<Option<usize>>) -> io::Result<Option<usize>> {
    match made {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR)
            ) =>
        {
            Ok(None)
        }
        made => made,
    }
}

/// Whether calls on it fail where they would wait. It belongs to what is open, and others may change it.
fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK))
}

fn read_here(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], at: Position) -> io::Result<usize> {
    Ok(match at {
        Position::Own => rustix::io::retry_on_intr(|| rustix::io::readv(fd, buffers))?,
        Position::At(offset) => match buffers {
            [buffer] => rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut **buffer, offset))?,
            _ => super::now::read_several(fd, buffers, offset)?,
        },
    })
}

fn write_here(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], at: Position) -> io::Result<usize> {
    Ok(match at {
        Position::Own => rustix::io::retry_on_intr(|| rustix::io::writev(fd, parts))?,
        Position::At(offset) => match parts {
            [part] => rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, part, offset))?,
            _ => super::now::write_several(fd, parts, offset)?,
        },
    })
}

impl Read for File {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.read_buffers(&mut [IoSliceMut::new(buffer)], Position::Own, is_alone)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.read_buffers(buffers, Position::Own, is_alone)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.read_rest(buffer, is_alone)
    }

    #[track_caller]
    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.read_rest_as_text(text, is_alone)
    }
}

impl Read for &File {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_buffers(&mut [IoSliceMut::new(buffer)], Position::Own, false)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_buffers(buffers, Position::Own, false)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.read_rest(buffer, false)
    }

    #[track_caller]
    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        self.read_rest_as_text(text, false)
    }
}

impl Write for File {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.write_parts(&[IoSlice::new(bytes)], Position::Own, is_alone)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let is_alone = self.is_alone();
        self.write_parts(parts, Position::Own, is_alone)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &File {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_parts(&[IoSlice::new(bytes)], Position::Own, false)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_parts(parts, Position::Own, false)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

impl Seek for &File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

/// For code that takes any file with places. The methods of [`File`] are the same.
impl std::os::unix::fs::FileExt for File {
    #[track_caller]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        File::read_at(self, buffer, offset)
    }

    #[track_caller]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        File::write_at(self, bytes, offset)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.inner.as_raw_fd()).finish_non_exhaustive()
    }
}

/// Of std's, in whatever way it was opened. Others may have its position: a ring does not move it.
impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::new(file, true)
    }
}

/// Of any descriptor. Others may have its position: a ring does not move it.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::new(fd.into(), true)
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.inner
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.inner.into()
    }
}

/// For a child process.
impl From<File> for std::process::Stdio {
    fn from(file: File) -> std::process::Stdio {
        file.inner.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.inner.into_raw_fd()
    }
}
