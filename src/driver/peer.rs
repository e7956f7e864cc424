//! Who is at the other side of a Unix socket. (rustix takes the number of a process there for one that is never 0, which it is if
//! that process cannot be seen from here.)
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A user, a group, and a process where the system tells.
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) pid: Option<i32>,
}

/// Who connected, or listened, at that time.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn credentials(fd: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut told = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: there is room for as much as is asked for.
    let done = unsafe {
        let into = (&raw mut told).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, into, &raw mut length)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    if told.pid == 0 && told.uid == u32::MAX {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(Peer { uid: told.uid, gid: told.gid, pid: Some(told.pid).filter(|&pid| pid != 0) })
}

/// Who connected, or listened, at that time.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn credentials(fd: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut peer = Peer { uid: 0, gid: 0, pid: None };
    // SAFETY: there is room for both.
    match unsafe { libc::getpeereid(fd.as_raw_fd(), &raw mut peer.uid, &raw mut peer.gid) } {
        0 => Ok(peer),
        _ => Err(io::Error::last_os_error()),
    }
}
