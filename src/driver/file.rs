//! Calls on files and paths.
//!
//! Nothing says when such a call would not wait: files are always ready. So there is no attempt and no direction. A ring carries it
//! out, or whoever wants it has a thread make it.
//!
//! Invariant: a call borrows what the system reads or writes. It stays where it is while it is in flight.
#![cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no ring"))]

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

/// A call on a file, or on a path.
pub(crate) enum FileCall<'a, 'b> {
    /// Gives how many bytes were read. `by_worker`: not by this thread, even if all of it is in memory, for it takes a while to copy it.
    Read {
        fd: BorrowedFd<'a>,
        buffers: &'a mut [IoSliceMut<'b>],
        at: Position,
        by_worker: bool,
    },
    /// Gives how many bytes were written. `by_worker`: as above; or it is to be done in one, and nobody else's are to be among
    /// them, as where several append.
    Write {
        fd: BorrowedFd<'a>,
        parts: &'a [IoSlice<'b>],
        at: Position,
        by_worker: bool,
    },
    /// Gives 0, as all below, when all that was written will outlast the system.
    Sync {
        fd: BorrowedFd<'a>,
        data_only: bool,
    },
    /// Gives the number of a descriptor, which is the caller's.
    Open {
        path: &'a CStr,
        flags: i32,
        mode: u32,
    },
    Rename {
        from: &'a CStr,
        to: &'a CStr,
    },
    Unlink {
        path: &'a CStr,
        is_directory: bool,
    },
    CreateDirectory {
        path: &'a CStr,
        mode: u32,
    },
    Symlink {
        target: &'a CStr,
        link: &'a CStr,
    },
    HardLink {
        original: &'a CStr,
        link: &'a CStr,
    },
}

/// Where in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Position {
    At(u64),
    /// Where the file stands, which moves on. A ring takes no lock around that, as calls do, and does not move it over what an error has cut short: it is for
    /// what has no places, and for whoever appends.
    Own,
}

impl FileCall<'_, '_> {
    /// As many buffers as the system takes at a time.
    pub(super) fn buffers(count: usize) -> u32 {
        const MOST: usize = 1024;
        count.min(MOST) as u32
    }
}
