//! Files, under std's names: what waits for a disk, or for a network behind it, parks the task and not the thread.
//!
//! ```
//! use ropewalk::fs::{self, File};
//! use std::io::{self, BufRead, BufReader};
//!
//! # let folder = std::env::temp_dir().join(format!("ropewalk-doc-fs-{}", std::process::id()));
//! ropewalk::run(|| {
//!     fs::create_dir_all(&folder)?;
//!     fs::write(folder.join("yarns.txt"), "hemp\nsisal\njute\n")?;
//!     let yarns = BufReader::new(File::open(folder.join("yarns.txt"))?);
//!     let lengths = yarns.lines().map(|line| Ok(line?.len())).collect::<io::Result<Vec<_>>>()?;
//!     assert_eq!(lengths, [4, 5, 4]);
//!     fs::remove_dir_all(&folder)
//! })
//! # .map_err(|error| panic!("{error}")).unwrap();
//! ```
//!
//! What is plain data is std's own: [`Metadata`], [`Permissions`], [`FileType`], [`FileTimes`]. Errors are std's too, and name no path.
//!
//! # How
//!
//! | | io_uring | epoll, kqueue |
//! |---|---|---|
//! | reading what is in memory | by the ring | at once: `preadv2` with `RWF_NOWAIT`, where the file system has it |
//! | reading what is on disk | by the ring | on a thread |
//! | writing, `sync_all`, `sync_data` | by the ring | on a thread |
//! | opening, making a directory, removing, renaming, linking | by the ring | on a thread |
//! | metadata, permissions, times, lengths, reading directories, copying, whole trees | on a thread | on a thread |
//! | FIFOs, terminals, sockets | by the ring | when they are ready |
//!
//! What is larger than a mebibyte is not copied by the thread that runs the tasks, wherever it is: a thread does it, or one of the ring's.
//!
//! Threads are those of [`blocking::unblock`](crate::blocking::unblock), under its [`limiter`](crate::blocking::limiter). A ring reads and writes at the position of a file for
//! whoever has it alone, which `&mut File` shows; for `&File`, and for what was duplicated or came from elsewhere, the calls are made as with epoll,
//! because a ring takes no lock around the position.
//!
//! Outside of [`run`](crate::run) all calls block the thread, as std's do.
//!
//! # Cancellation
//!
//! A call that fails with [`Cancelled`](crate::Cancelled) has had no effect: no file was made, emptied or removed, nothing was read or written. What has been done is
//! returned, cancelled or not. A call that a thread has begun is waited for, for no thread can be stopped; a ring is asked to end what it does, and what
//! it says is returned. What has several steps (`write`, `copy`, `create_dir_all`, `remove_dir_all`) is begun or not, and once it has begun it is done.
//!
//! # Time
//!
//! A clock that is [virtual](crate::Clock::Virtual) stands still while files are opened, read and written. For streams, such as FIFOs, it does not wait.

mod directory;
mod file;
mod manner;
mod now;
mod options;
mod paths;
mod thread;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use directory::{
    DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all,
};
pub use file::File;
pub use options::OpenOptions;
pub use paths::{
    canonicalize, copy, exists, hard_link, metadata, read, read_link, read_to_string, remove_file, rename,
    set_permissions, symlink, symlink_metadata, write,
};
