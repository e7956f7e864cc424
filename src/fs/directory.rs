//! Directories: making, removing and reading them.
//!
//! Invariant: an entry that was read is given, once; a cancellation loses none.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::paths::{carry_or, named};
use super::thread::on_thread;
use crate::error::Cancelled;
use crate::scheduler::io::FileCall;

/// Entries that a thread reads at a time.
const BATCH: usize = 64;

/// Makes a directory, in one that there is.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and it was not made.
#[doc(alias = "mkdir")]
#[track_caller]
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// Makes a directory, with all that lead there. It is no error if there is one.
///
/// # Cancellation
///
/// What has begun is done.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and nothing was made.
#[doc(alias = "makedirs")]
#[track_caller]
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Removes a directory, which must be empty.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled), and it is still there.
#[doc(alias = "rmdir")]
#[track_caller]
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let call = FileCall::Unlink { path: &named(path)?, is_directory: true };
    carry_or("remove_dir", path, call, || fs::remove_dir(path))
}

/// Removes a directory with all that is in it. Links are removed, and not followed.
///
/// # Cancellation
///
/// What has begun is done.
///
/// # Errors
///
/// As std's, and then some of it may be gone; [`Cancelled`](crate::Cancelled), and it is all still there.
#[doc(alias = "rmtree")]
#[track_caller]
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    on_thread("remove_dir_all", || fs::remove_dir_all(path))
}

/// How a directory is to be made; as [`std::fs::DirBuilder`].
///
/// ```
/// use ropewalk::fs::{self, DirBuilder};
///
/// # let folder = std::env::temp_dir().join(format!("ropewalk-doc-builder-{}", std::process::id()));
/// # ropewalk::run(|| {
/// let inner = folder.join("rope/walk");
/// DirBuilder::new().recursive(true).mode(0o700).create(&inner)?;
/// assert!(fs::metadata(&inner)?.is_dir());
/// # fs::remove_dir_all(&folder)
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is made until it is created"]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// In one that there is, for everybody.
    #[expect(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> DirBuilder {
        DirBuilder { recursive: false, mode: 0o777 }
    }

    /// With all that lead there, and it is no error if there is one.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// Who may do what with it, less what the process takes away.
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = mode;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// As std's; [`Cancelled`](crate::Cancelled), and nothing was made.
    #[track_caller]
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let (recursive, mode) = (self.recursive, self.mode);
        let make = || fs::DirBuilder::new().recursive(recursive).mode(mode).create(path);
        match recursive {
            true => on_thread("create_dir_all", make),
            false => {
                let call = FileCall::CreateDirectory { path: &named(path)?, mode };
                carry_or("create_dir", path, call, make)
            }
        }
    }
}

/// What is in a directory: an iterator over its entries, in no order. As [`std::fs::read_dir`].
///
/// ```
/// use ropewalk::fs;
///
/// # let folder = std::env::temp_dir().join(format!("ropewalk-doc-directory-{}", std::process::id()));
/// # ropewalk::run(|| {
/// fs::create_dir(&folder)?;
/// fs::write(folder.join("hemp"), "")?;
/// fs::write(folder.join("sisal"), "")?;
/// let mut names = Vec::new();
/// for entry in fs::read_dir(&folder)? {                          // Parks now and then.
///     names.push(entry?.file_name());
/// }
/// names.sort();
/// assert_eq!(names, ["hemp", "sisal"]);
/// # fs::remove_dir_all(&folder)
/// # }).unwrap();
/// ```
///
/// A thread reads 64 entries at a time, with their kinds. What comes or goes after a batch was read is not seen in it.
///
/// # Errors
///
/// As std's; [`Cancelled`](crate::Cancelled).
#[doc(alias = "scandir")]
#[doc(alias = "listdir")]
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let (unread, batch) = on_thread("read_dir", || {
        let mut unread = Some(fs::read_dir(path)?);
        let batch = read_batch(&mut unread);
        Ok((unread, batch))
    })?;
    Ok(ReadDir { path: path.to_owned(), unread, batch, has_told: false })
}

/// On a thread.
fn read_batch(unread: &mut Option<fs::ReadDir>) -> VecDeque<io::Result<DirEntry>> {
    let mut batch = VecDeque::with_capacity(BATCH);
    while batch.len() < BATCH {
        match unread.as_mut().and_then(Iterator::next) {
            Some(entry) => batch.push_back(entry.map(DirEntry::new)),
            None => {
                // Closed here, rather than by whoever drops it.
                *unread = None;
                break;
            }
        }
    }
    batch
}

/// The entries of a directory: see [`read_dir`].
///
/// # Cancellation
///
/// What has been read is given, cancelled or not. Then `next` gives [`Cancelled`](crate::Cancelled) once, and `None` as long as it is cancelled, so that a loop that passes over
/// errors ends. After the scope is left it goes on where it was.
pub struct ReadDir {
    path: PathBuf,
    unread: Option<fs::ReadDir>,
    batch: VecDeque<io::Result<DirEntry>>,
    /// That it is cancelled.
    has_told: bool,
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && self.unread.is_some() {
            let unread = &mut self.unread;
            match on_thread("read_dir", || Ok(read_batch(unread))) {
                Ok(batch) => (self.batch, self.has_told) = (batch, false),
                Err(error) if Cancelled::is(&error) && self.has_told => return None,
                Err(error) => {
                    self.has_told = true;
                    return Some(Err(error));
                }
            }
        }
        self.batch.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

/// An entry of a directory; as [`std::fs::DirEntry`].
pub struct DirEntry {
    inner: fs::DirEntry,
    /// Most file systems tell it with the name.
    kind: Option<FileType>,
}

impl DirEntry {
    fn new(inner: fs::DirEntry) -> DirEntry {
        let kind = inner.file_type().ok();
        DirEntry { inner, kind }
    }

    /// The directory's path, as it was given, and the name.
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// The name alone.
    pub fn file_name(&self) -> OsString {
        self.inner.file_name()
    }

    /// What is known of it now; of a link, not of its target.
    ///
    /// # Errors
    ///
    /// It is gone: `NotFound`. Else as std's; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        on_thread("metadata", || self.inner.metadata())
    }

    /// What it is, as it was when it was read; a link, not its target. It rarely waits.
    ///
    /// # Errors
    ///
    /// As [`metadata`](DirEntry::metadata).
    #[track_caller]
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.kind {
            Some(kind) => Ok(kind),
            None => on_thread("metadata", || self.inner.file_type()),
        }
    }

    /// The number that the file system has for it.
    pub fn ino(&self) -> u64 {
        self.inner.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}
