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

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::driver::unix;

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
    let Some(address) = address else { return unnamed() };
    if address.address_family() != AddressFamily::UNIX {
        return Err(Errno::AFNOSUPPORT.into());
    }
    match unix::name(&address) {
        [] => unnamed(),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [0, name @ ..] => SocketAddr::from_abstract_name(name),
        // There what has no name may have zeros for one.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        [0, ..] => unnamed(),
        path => {
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            SocketAddr::from_pathname(OsStr::from_bytes(path))
        }
    }
}

/// Of whoever has sent something, or has connected: that is not lost for an address that cannot be told.
pub(super) fn of_sender(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    from_system(address).or_else(|_| unnamed())
}

/// To std an empty path is no name.
fn unnamed() -> io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}
