//! Addresses of Unix sockets, as std has them and as the system is given them.

use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// What stands before a path: the family, and on some systems the length.
const BEFORE_PATH: u32 = 2;

/// Of a path, and a zero at its end.
const LONGEST_PATH: u32 = if cfg!(any(target_os = "linux", target_os = "android")) { 108 } else { 104 };

/// # Errors
///
/// As std's: the path is too long, or has a zero in it.
pub(super) fn of_path(path: impl AsRef<Path>) -> io::Result<SocketAddrUnix> {
    to_system(&SocketAddr::from_pathname(path)?)
}

pub(super) fn to_system(address: &SocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = address.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        if let Some(name) = address.as_abstract_name() {
            return Ok(SocketAddrUnix::new_abstract_name(name)?);
        }
        Ok(SocketAddrUnix::new_unnamed())
    }
    // There an empty path stands for none.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Ok(SocketAddrUnix::new("")?)
}

/// # Errors
///
/// std has no way to make such an address: its path takes all the room there is, with no zero at the end.
pub(super) fn from_system(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    // What is too short or too long rustix would not take apart.
    let Some(address) = address.filter(|address| address.addr_len() > BEFORE_PATH) else {
        return unnamed();
    };
    if address.addr_len() > BEFORE_PATH + LONGEST_PATH {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an address with too long a path"));
    }
    let address = SocketAddrUnix::try_from(address)?;
    if let Some(path) = address.path_bytes() {
        // Of one that takes all the room it leaves the zero.
        let path = path.strip_suffix(&[0]).unwrap_or(path);
        return SocketAddr::from_pathname(OsStr::from_bytes(path));
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name() {
        return SocketAddr::from_abstract_name(name);
    }
    unnamed()
}

/// Of whoever has sent something, or has connected: that is not lost for an address that cannot be told.
pub(super) fn of_sender(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    from_system(address).or_else(|_| unnamed())
}

/// To std an empty path is no name.
fn unnamed() -> io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}
