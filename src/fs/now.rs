//! Calls that are not std's: what is in memory, and several buffers at a place.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::Result;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::scheduler::io::Position;

/// Reads what is in memory. `AGAIN` if nothing is; less than was asked for if not all is. 0 at the end.
#[cfg(target_os = "linux")]
pub(super) fn read(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], at: Position) -> Result<usize> {
    let offset = match at {
        Position::At(offset) => offset,
        // All ones: its own.
        Position::Own => u64::MAX,
    };
    rustix::io::preadv2(fd, buffers, offset, rustix::io::ReadWriteFlags::NOWAIT)
}

/// Writes what a stream has room for.
#[cfg(target_os = "linux")]
pub(super) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize> {
    rustix::io::pwritev2(fd, parts, u64::MAX, rustix::io::ReadWriteFlags::NOWAIT)
}

#[cfg(target_os = "android")]
pub(super) fn read(_: BorrowedFd<'_>, _: &mut [IoSliceMut<'_>], _: Position) -> Result<usize> {
    Err(rustix::io::Errno::NOSYS)
}

#[cfg(target_os = "android")]
pub(super) fn write(_: BorrowedFd<'_>, _: &[IoSlice<'_>]) -> Result<usize> {
    Err(rustix::io::Errno::NOSYS)
}

#[cfg(not(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos")))]
pub(super) fn read_several(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::preadv(fd, buffers, offset))
}

#[cfg(not(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos")))]
pub(super) fn write_several(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::pwritev(fd, parts, offset))
}

/// Where there is no such call it is the first of them, which is less than was asked for.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos"))]
pub(super) fn read_several(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
    let Some(first) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
    rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut **first, offset))
}

#[cfg(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos"))]
pub(super) fn write_several(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    let Some(first) = parts.iter().find(|part| !part.is_empty()) else { return Ok(0) };
    rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, first, offset))
}
