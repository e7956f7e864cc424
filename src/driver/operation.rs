//! Operations: the system calls that may have to wait, with all that they point to.
//!
//! Invariant: an operation borrows what the system reads or writes, and holds what it needs besides, such as headers. It stays
//! where it is while it is in flight.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrStorage;

use super::Direction;

/// A system call that may have to wait.
pub(crate) enum Operation<'a, 'b> {
    /// Gives how many bytes were received.
    Recv { buffer: &'a mut [u8], peek: bool, kind: Kind },
    /// Gives how many bytes were sent, to a stream: see [`Kind::Other`].
    Send { bytes: &'a [u8] },
    /// As `Recv`, into several buffers, and with the sender's address.
    RecvMessage { message: &'a mut Message<'b>, peek: bool, kind: Kind },
    /// As `Send`, of several buffers.
    SendMessage { message: &'a mut Message<'b> },
    /// Any other, on a descriptor that does not block: made when the descriptor is ready.
    Call { direction: Direction, call: &'a mut dyn FnMut() -> io::Result<usize> },
}

/// What a socket that is received from is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// TCP: a read that did not fill its buffer says that there was no more, or that something urgent comes next. That saves
    /// asking.
    Tcp,
    /// Datagrams of Unix: after a `shutdown` a call that does not wait says that it would, where one that waits says that there is
    /// nothing.
    UnixDatagrams,
    /// A Unix stream: a read ends where descriptors came along, and there may be more behind.
    UnixStream,
    /// Any other, such as datagrams, which end where the next begins. A ring must not send them: when Linux (6.18 was seen to) finds no
    /// room after it has copied a datagram, it tries again later with what is left to copy, and sends nothing, or the end of it.
    Other,
}

/// What was attempted.
pub(crate) enum Attempt {
    Done(io::Result<usize>),
    /// As done; and there was no more to be had: the next attempt would have to wait, unless the other side has closed.
    Drained(usize),
    WouldBlock,
}

impl Operation<'_, '_> {
    #[inline]
    pub(crate) fn direction(&self) -> Direction {
        match self {
            Operation::Recv { .. } | Operation::RecvMessage { .. } => Direction::Read,
            Operation::Send { .. } | Operation::SendMessage { .. } => Direction::Write,
            Operation::Call { direction, .. } => *direction,
        }
    }

    /// Whether it is a call that only this process can make.
    #[inline]
    pub(crate) fn is_call(&self) -> bool {
        matches!(self, Operation::Call { .. })
    }

    /// Whether it only looks at what is there.
    #[inline]
    pub(crate) fn is_peek(&self) -> bool {
        matches!(self, Operation::Recv { peek: true, .. } | Operation::RecvMessage { peek: true, .. })
    }

    /// Makes the call, which does not wait. It may be the user's code.
    #[inline]
    pub(crate) fn attempt(&mut self, fd: RawFd) -> Attempt {
        loop {
            let (made, limit) = self.call(fd);
            return match made {
                // Less than there was room for: that was all. At the end of a stream there is nothing to wait for.
                Ok(count) if count > 0 && count < limit => Attempt::Drained(count),
                Ok(count) => Attempt::Done(Ok(count)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock if self.has_ended(fd) => Attempt::Done(Ok(0)),
                    io::ErrorKind::WouldBlock => Attempt::WouldBlock,
                    _ => Attempt::Done(Err(error)),
                },
            };
        }
    }

    /// Whether what would wait would wait for nothing.
    fn has_ended(&mut self, fd: RawFd) -> bool {
        let is_shut = match self {
            Operation::Recv { kind, .. } | Operation::RecvMessage { kind, .. } => {
                // SAFETY: whoever performs operations on a descriptor keeps it open.
                *kind == Kind::UnixDatagrams && is_shut(unsafe { BorrowedFd::borrow_raw(fd) })
            }
            _ => false,
        };
        if let Operation::RecvMessage { message, .. } = self {
            if is_shut {
                message.header.msg_namelen = 0;
            }
        }
        is_shut
    }

    /// What the call returned, and the count below which that was all there is for now.
    #[inline]
    fn call(&mut self, fd: RawFd) -> (io::Result<usize>, usize) {
        // SAFETY: what is pointed to is borrowed by the operation, and as long as it says.
        unsafe {
            match self {
                Operation::Recv { buffer, peek, kind } => {
                    let flags = recv_flags(*peek) | DONT_WAIT;
                    let made = libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags);
                    // What was only looked at is still there.
                    let limit =
                        if *kind == Kind::Tcp && TELLS_OF_URGENT && !*peek { buffer.len() } else { 0 };
                    (result(made), limit)
                }
                Operation::Send { bytes } => {
                    let made = libc::send(fd, bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS | DONT_WAIT);
                    (result(made), bytes.len())
                }
                Operation::RecvMessage { message, peek, .. } => {
                    let flags = recv_flags(*peek) | DONT_WAIT;
                    (result(libc::recvmsg(fd, message.header(), flags)), 0)
                }
                Operation::SendMessage { message } => {
                    (result(libc::sendmsg(fd, message.header(), SEND_FLAGS | DONT_WAIT)), 0)
                }
                Operation::Call { call, .. } => (call(), 0),
            }
        }
    }
}

/// Whether there is an event for urgent bytes, before which a read ends.
const TELLS_OF_URGENT: bool = cfg!(any(target_os = "linux", target_os = "android"));

const DONT_WAIT: libc::c_int = libc::MSG_DONTWAIT;

/// A connection that is gone is an error, not a signal. Where there is no such flag the socket has an option.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
pub(super) const SEND_FLAGS: libc::c_int = 0;

#[inline]
pub(super) fn recv_flags(peek: bool) -> libc::c_int {
    if peek { libc::MSG_PEEK } else { 0 }
}

#[inline]
fn result(made: isize) -> io::Result<usize> {
    usize::try_from(made).map_err(|_| io::Error::last_os_error())
}

/// Several buffers, and an address, as the system wants them.
pub(crate) struct Message<'a> {
    header: libc::msghdr,
    address: MaybeUninit<SocketAddrStorage>,
    /// Of the address; for one that receives, of the room for it.
    length: u32,
    _borrows: PhantomData<&'a mut [u8]>,
}

// SAFETY: it points to what it borrows, which slices of bytes are, and to itself.
unsafe impl Send for Message<'_> {}
// SAFETY: as above; shared it gives nothing away.
unsafe impl Sync for Message<'_> {}

impl<'a> Message<'a> {
    pub(crate) fn receive(buffers: &'a mut [IoSliceMut<'_>]) -> Message<'a> {
        // A slice of bytes for the system is what the system calls an `iovec`: std promises that.
        Message::new(buffers.as_mut_ptr().cast(), buffers.len(), size_of::<SocketAddrStorage>() as u32)
    }

    pub(crate) fn send(buffers: &'a [IoSlice<'_>]) -> Message<'a> {
        Message::new(buffers.as_ptr().cast_mut().cast(), buffers.len(), 0)
    }

    fn new(buffers: *mut libc::iovec, count: usize, length: u32) -> Message<'a> {
        // SAFETY: zeros are a header that is empty.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = buffers;
        header.msg_iovlen = count.min(MOST_BUFFERS) as _;
        Message { header, address: MaybeUninit::zeroed(), length, _borrows: PhantomData }
    }

    /// What the system is given. It points into this, which must stay where it is as long as that is used.
    #[inline]
    pub(super) fn header(&mut self) -> *mut libc::msghdr {
        if self.length > 0 {
            self.header.msg_name = self.address.as_mut_ptr().cast();
            self.header.msg_namelen = self.length;
        }
        &raw mut self.header
    }

    /// Where it came from, once it has been received; not all have an address.
    pub(crate) fn sender(&self) -> Option<SocketAddrAny> {
        if self.header.msg_name.is_null() || self.header.msg_namelen == 0 {
            return None;
        }
        // SAFETY: the system has written so many bytes of an address, or fewer than it would have.
        Some(unsafe { SocketAddrAny::new(self.address, self.header.msg_namelen.min(self.length)) })
    }
}

/// As many buffers as the system takes at a time, on all systems.
const MOST_BUFFERS: usize = 1024;

/// Whether nothing more can be received, because this side, or the other, has said so.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_shut(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut asked = [PollFd::new(&fd, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().contains(PollFlags::RDHUP)
}

/// The others say so themselves.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_shut(_: BorrowedFd<'_>) -> bool {
    false
}

/// Whether the descriptor is ready now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wanted = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::new(&fd, wanted)], Some(&at_once)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
