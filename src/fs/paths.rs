//! Calls on paths, and on whole files.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::File;
use super::options::may_wait_for_others;
use super::thread::{is_in_task, on_thread};
use crate::blocking;
use crate::scheduler::io::{Ends, FileCall, carry, has_ring};
use crate::scheduler::lowlevel;

/// A path as the system wants it.
///
/// # Errors
///
/// There is a zero in it.
pub(super) fn named(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "file name contained an unexpected NUL byte")
    })
}

/// A path as dumps show it.
pub(super) fn shown(path: &Path) -> impl fmt::Display + '_ {
    path.display()
}

/// Has a ring make the call, or else a thread.
#[track_caller]
pub(super) fn carry_or(
    what: &'static str,
    path: &Path,
    call: FileCall<'_, '_>,
    on_a_thread: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<()> {
    if is_in_task()? && carry(what, &shown(path), Ends::ByItself, call)?.is_some() {
        return Ok(());
    }
    on_thread(what, on_a_thread)
}

/// Bytes between two looks at whether the task that waits is cancelled.
const PART: u64 = 1 << 20;

/// What a thread has made of a file that is to be read as a whole.
enum Whole {
    Read(Vec<u8>),
    /// It is a stream, and whoever waits for it is to be able to go.
    IsStream(OwnedFd),
    /// It may have to be waited for even to open it.
    MayWait,
}

/// All that is in a file.
///
/// ```
/// use ropewalk::fs;
///
/// # let path = std::env::temp_dir().join(format!("ropewalk-doc-read-{}", std::process::id()));
/// # ropewalk::run(|| {
/// fs::write(&path, [1, 2, 3])?;
/// assert_eq!(fs::read(&path)?, [1, 2, 3]);
/// # fs::remove_file(&path)
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// It ends within a mebibyte.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled).
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    if !is_in_task()? {
        return fs::read(path);
    }
    if !has_ring() {
        let name = named(path)?;
        let whole = on_thread("read", || match may_wait_for_others(&name, OFlags::RDONLY) {
            true => Ok(Whole::MayWait),
            false => read_in_parts(path),
        })?;
        match whole {
            Whole::Read(bytes) => return Ok(bytes),
            Whole::IsStream(fd) => return read_to_end(File::of_opened(fd)),
            Whole::MayWait => {}
        }
    }
    read_to_end(File::open(path)?)
}

#[track_caller]
fn read_to_end(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// On a thread.
fn read_in_parts(path: &Path) -> io::Result<Whole> {
    let mut file = fs::File::open(path)?;
    let known = file.metadata()?;
    // What became a stream since it was looked at has been opened by now.
    if !known.is_file() && !known.is_dir() {
        return Ok(Whole::IsStream(file.into()));
    }
    let mut bytes = Vec::new();
    // Of `/proc` no size is known.
    bytes.try_reserve(usize::try_from(known.len()).unwrap_or(0))?;
    loop {
        blocking::check_cancelled()?;
        if (&mut file).take(PART).read_to_end(&mut bytes)? < PART as usize {
            return Ok(Whole::Read(bytes));
        }
    }
}

/// All that is in a file, as text.
///
/// # Cancellation
///
/// As [`read`].
///
/// # Errors
///
/// It is no UTF-8: `InvalidData`. Else as [`read`].
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

/// Makes a file of these bytes; what was in it before is gone.
///
/// # Cancellation
///
/// Once the file has been opened all of it is written, cancelled or not; into a stream it is not, and some of it may have been.
///
/// # Errors
///
/// As std's, and then some of it may have been written; [`Cancelled`](crate::Cancelled), and the file is as it was.
#[track_caller]
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, bytes) = (path.as_ref(), contents.as_ref());
    if !is_in_task()? {
        return fs::write(path, bytes);
    }
    if !has_ring() {
        let name = named(path)?;
        let is_written = on_thread("write", || match may_wait_for_others(&name, OFlags::WRONLY) {
            true => Ok(false),
            false => fs::write(path, bytes).map(|()| true),
        })?;
        if is_written {
            return Ok(());
        }
    }
    let mut file = File::create(path)?;
    match file.is_stream() {
        true => file.write_all(bytes),
        // It is empty by now: to stop here would be to have had an effect.
        false => lowlevel::shield(|| file.write_all(bytes)),
    }
}

/// Copies what is in a file, and who may do what with it; gives the number of bytes.
///
/// Linux copies without showing the bytes to the program, and on some file systems without touching them.
///
/// # Cancellation
///
/// A copy that has begun is made to its end. To copy what never ends, such as a FIFO, there is [`std::io::copy`] between two [`File`]s, each of whose waits can be cancelled.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing was made.
#[doc(alias = "copyfile")]
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    on_thread("copy", || fs::copy(from, to))
}

/// Gives a file or a directory another name; what had that name before is replaced.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing has changed.
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let names = (named(from)?, named(to)?);
    let call = FileCall::Rename { from: &names.0, to: &names.1 };
    carry_or("rename", from, call, || fs::rename(from, to))
}

/// Removes a file's name, and the file with its last one.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and it is still there.
#[doc(alias = "unlink")]
#[track_caller]
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let call = FileCall::Unlink { path: &named(path)?, is_directory: false };
    carry_or("remove_file", path, call, || fs::remove_file(path))
}

/// Gives a file another name besides.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing was made.
#[doc(alias = "link")]
#[track_caller]
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    let names = (named(original)?, named(link)?);
    let call = FileCall::HardLink { original: &names.0, link: &names.1 };
    carry_or("hard_link", link, call, || fs::hard_link(original, link))
}

/// Makes a symbolic link: std has it as [`std::os::unix::fs::symlink`].
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing was made.
#[track_caller]
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    let names = (named(original)?, named(link)?);
    let call = FileCall::Symlink { target: &names.0, link: &names.1 };
    carry_or("symlink", link, call, || std::os::unix::fs::symlink(original, link))
}

/// Where a symbolic link points to.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled).
#[track_caller]
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    on_thread("read_link", || fs::read_link(path))
}

/// The path from the root, without links in it.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled).
#[doc(alias = "realpath")]
#[track_caller]
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    on_thread("canonicalize", || fs::canonicalize(path))
}

/// What is known of a file or a directory; of a link's target, not of the link.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled).
#[doc(alias = "stat")]
#[track_caller]
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    on_thread("metadata", || fs::metadata(path))
}

/// As [`metadata`], of a link itself.
///
/// # Errors
///
/// As there.
#[doc(alias = "lstat")]
#[track_caller]
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    on_thread("metadata", || fs::symlink_metadata(path))
}

/// Changes who may do what with a file or a directory.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing has changed.
#[doc(alias = "chmod")]
#[track_caller]
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    on_thread("set_permissions", || fs::set_permissions(path, permissions))
}

/// Whether there is something of that name; a link that points nowhere is nothing.
///
/// # Errors
///
/// It cannot be said: as std's; [`Cancelled`](crate::Cancelled).
#[doc(alias = "try_exists")]
#[track_caller]
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref();
    on_thread("exists", || fs::exists(path))
}
