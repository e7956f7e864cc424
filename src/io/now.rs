//! Reading and writing what can be had without a wait, whatever the descriptor is set to: pipes, and files as far as they are in memory.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::Result;

/// Where in a file: as the system says that it is to be where the file stands, which moves on.
#[cfg(target_os = "linux")]
const WHERE_IT_STANDS: u64 = u64::MAX;

/// Reads at that place, or where it stands. `AGAIN` if nothing can be had now; less than was asked for if not all can. 0 at the end.
///
/// # Errors
///
/// As the system has it: `OPNOTSUPP` and its like where what is open knows no such call.
#[cfg(target_os = "linux")]
pub(crate) fn read(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>], place: Option<u64>) -> Result<usize> {
    rustix::io::preadv2(fd, buffers, place.unwrap_or(WHERE_IT_STANDS), rustix::io::ReadWriteFlags::NOWAIT)
}

/// Writes what there is room for, where it stands.
///
/// # Errors
///
/// As for [`read`].
#[cfg(target_os = "linux")]
pub(crate) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize> {
    rustix::io::pwritev2(fd, parts, WHERE_IT_STANDS, rustix::io::ReadWriteFlags::NOWAIT)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_: BorrowedFd<'_>, _: &mut [IoSliceMut<'_>], _: Option<u64>) -> Result<usize> {
    Err(rustix::io::Errno::NOSYS)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn write(_: BorrowedFd<'_>, _: &[IoSlice<'_>]) -> Result<usize> {
    Err(rustix::io::Errno::NOSYS)
}
