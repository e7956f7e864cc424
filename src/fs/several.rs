//! Several buffers at a place: calls that std does not have.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::Result;

#[cfg(not(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos")))]
pub(super) fn read(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::preadv(fd, buffers, offset))
}

#[cfg(not(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos")))]
pub(super) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::pwritev(fd, parts, offset))
}

/// Where there is no such call it is the first of them, which is less than was asked for.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos"))]
pub(super) fn read(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
    let Some(first) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
    rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut **first, offset))
}

#[cfg(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos"))]
pub(super) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    let Some(first) = parts.iter().find(|part| !part.is_empty()) else { return Ok(0) };
    rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, first, offset))
}
