//! Those who wait for connections, and the files they are found by.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::{self, Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType};

use super::address;
use super::stream::UnixStream;
use crate::net::face;

use crate::net::socket::{AtSocket, BACKLOG, Socket, into_woken};
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::Arm;

/// Waits for connections of this machine; as [`std::os::unix::net::UnixListener`].
///
/// ```
/// use ropewalk::net::{UnixListener, UnixStream};
/// use ropewalk::task;
/// use std::io::{self, Read, Write};
///
/// ropewalk::run(|| {
///     let path = std::env::temp_dir().join(format!("greeter-{}", std::process::id()));
///     let listener = UnixListener::bind_owning(&path)?;
///     task::scope(|s| {
///         s.spawn(|| listener.accept()?.0.write_all(b"hello"));
///         let mut greeting = String::new();
///         UnixStream::connect(&path)?.read_to_string(&mut greeting)?;
///         assert_eq!(greeting, "hello");
///         io::Result::Ok(())
///     })?;
///     drop(listener);
///     assert!(!path.exists());
///     Ok(())
/// })
/// # .map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// One that is taken over from std is set not to block, and so are its duplicates that std still has.
#[derive(Debug)]
#[doc(alias = "start_unix_server")]
#[doc(alias = "create_unix_server")]
pub struct UnixListener {
    socket: Socket,
    file: Option<OwnFile>,
}

/// Connections as they come: see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl UnixListener {
    /// Listens at a path, where it makes a file. As std's, it leaves the file there when it is dropped, and then nobody can
    /// listen at that path before the file is removed: [`bind_owning`](UnixListener::bind_owning) sees to that.
    ///
    /// # Errors
    ///
    /// As the system has it: `AddrInUse` if there is a file. `InvalidInput` for a path that is too long (some 100 bytes) or has a
    /// zero in it.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::listen(&address::of_path(path)?)
    }

    /// Listens at an address: a path, or on Linux an abstract name, for which there is no file.
    ///
    /// # Errors
    ///
    /// As for [`bind`](UnixListener::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::listen(&address::to_system(address)?)
    }

    /// As [`bind`](UnixListener::bind), and the file is the listener's own: it is removed when that is dropped, unless another has
    /// taken its place. A file where nobody listens any more, such as a crash leaves, is replaced; to find that out it
    /// connects.
    ///
    /// As soon as the listener becomes a descriptor, or std's, the file is nobody's.
    ///
    /// # Errors
    ///
    /// As for [`bind`](UnixListener::bind): `AddrInUse` if somebody listens there, or the file is no socket.
    #[doc(alias = "cleanup_socket")]
    pub fn bind_owning(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let mut listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_deserted(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        listener.file = Some(OwnFile::at(path)?);
        Ok(listener)
    }

    fn listen(address: &SocketAddrUnix) -> io::Result<UnixListener> {
        let socket = Socket::open(AddressFamily::UNIX, SocketType::STREAM, true)?;
        rustix::net::bind(&socket, address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(UnixListener { socket, file: None })
    }

    /// Waits for a connection. Its address has no name, unless whoever connected has bound it to one.
    ///
    /// # Cancellation
    ///
    /// A connection that has been accepted is returned; the others are there for the next call.
    ///
    /// # Errors
    ///
    /// As the system has it; those that concern one connection alone are passed over. [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        accepted(self.socket.accept()?)
    }

    /// An arm that accepts a connection, for [`select`](crate::select::select).
    ///
    /// ```
    /// use ropewalk::net::UnixListener;
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::time;
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let path = std::env::temp_dir().join(format!("nobody-{}", std::process::id()));
    ///     let listener = UnixListener::bind_owning(&path).unwrap();
    ///     let patience = time::sleeping(Duration::from_millis(5));
    ///     match select((listener.accepting(), patience)).unwrap() {
    ///         Chosen::First(accepted) => panic!("who is there? {accepted:?}"),
    ///         Chosen::Second(()) => println!("nobody came"),
    ///     }
    /// });
    /// ```
    pub fn accepting(&self) -> UnixAccepting<'_> {
        UnixAccepting { listener: self }
    }

    /// Parks until a connection can be accepted, or another call would not wait either.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled); another task waits already.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait(Direction::Read, "connection")
    }

    /// Connections as they come, without an end; errors are items.
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        address::from_system(Some(self.socket.local_addr()?))
    }

    /// What went wrong since it was asked last.
    ///
    /// # Errors
    ///
    /// As the system has it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// The same listener once more, with a descriptor of its own. The file, if it is owned, stays with the first.
    ///
    /// # Errors
    ///
    /// As the system has it: there may be no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener { socket: self.socket.try_clone()?, file: None })
    }
}

fn accepted((socket, address): (Socket, Option<SocketAddrAny>)) -> io::Result<(UnixStream, SocketAddr)> {
    Ok((UnixStream::from_socket(socket), address::of_sender(address)?))
}

/// An arm that accepts a connection: see [`UnixListener::accepting`].
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is accepted until it is selected"]
pub struct UnixAccepting<'a> {
    listener: &'a UnixListener,
}

impl Arm for UnixAccepting<'_> {
    type Output = io::Result<(UnixStream, SocketAddr)>;
    type Place = AtSocket;

    fn try_now(&mut self) -> Option<Self::Output> {
        Some(self.listener.socket.try_accept()?.and_then(accepted))
    }

    fn place(&mut self) -> AtSocket {
        self.listener.socket.place(Direction::Read)
    }

    fn end(&mut self, place: AtSocket) -> Option<Self::Output> {
        match into_woken(place)? {
            // Somebody else may have been faster.
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accept on descriptor {:?}", self.listener.socket)
    }
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;

    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

impl From<OwnedFd> for UnixListener {
    /// Takes the listener over. Of another kind of descriptor calls fail.
    fn from(fd: OwnedFd) -> UnixListener {
        let socket = Socket::adopted(fd);
        // Of what cannot be set so, calls fail.
        let _ = socket.set_nonblocking(true);
        UnixListener { socket, file: None }
    }
}

impl From<std::os::unix::net::UnixListener> for UnixListener {
    /// Takes the listener over, and sets it not to block.
    fn from(listener: std::os::unix::net::UnixListener) -> UnixListener {
        OwnedFd::from(listener).into()
    }
}

impl From<UnixListener> for OwnedFd {
    fn from(listener: UnixListener) -> OwnedFd {
        if let Some(file) = listener.file {
            file.keep();
        }
        listener.socket.into_fd()
    }
}

impl From<UnixListener> for std::os::unix::net::UnixListener {
    /// Gives the listener to std: its calls block the thread.
    fn from(listener: UnixListener) -> std::os::unix::net::UnixListener {
        // It cannot fail where the other way has not.
        let _ = listener.socket.set_nonblocking(false);
        OwnedFd::from(listener).into()
    }
}

impl IntoRawFd for UnixListener {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

face::descriptor!(UnixListener);

/// Whether there is a socket's file, and nobody listens there.
fn is_deserted(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    let try_to_connect = || -> io::Result<()> {
        let socket = Socket::open(AddressFamily::UNIX, SocketType::STREAM, true)?;
        Ok(rustix::net::connect(&socket, &address::of_path(path)?)?)
    };
    let refused = Errno::CONNREFUSED.raw_os_error();
    is_socket && try_to_connect().is_err_and(|error| error.raw_os_error() == Some(refused))
}

/// A file that goes with its listener.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    /// The device and the number: another file may be there later.
    identity: (u64, u64),
    is_kept: bool,
}

impl OwnFile {
    fn at(path: &Path) -> io::Result<OwnFile> {
        // The program may go to another directory.
        let path = path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(OwnFile { path, identity, is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if !self.is_kept && identity(&self.path).is_ok_and(|there| there == self.identity) {
            // Somebody was faster.
            let _ = fs::remove_file(&self.path);
        }
    }
}
