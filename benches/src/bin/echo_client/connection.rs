//! A connection to the server, and one message at a time that goes there and comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// Connections from one address: not all of the ports that the system gives away, which may be in use.
const PORTS: usize = 20_000;

/// Taken from a socket at a time: more than the largest message.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What all messages of a load are, and room for what comes back.
pub(crate) struct Mail {
    message: Vec<u8>,
    scratch: Vec<u8>,
    /// Whether answers are compared with what was sent.
    pub(crate) compares: bool,
}

impl Mail {
    pub(crate) fn new(bytes: usize) -> Mail {
        // No power of two: what is misplaced by one looks different.
        const PERIOD: usize = 251;
        let message = (0..bytes).map(|at| (at % PERIOD) as u8).collect();
        Mail { message, scratch: vec![0; SCRATCH_BYTES], compares: true }
    }
}

pub(crate) struct Connection {
    socket: OwnedFd,
    sent: usize,
    received: usize,
}

impl Connection {
    /// The `number`th connection. It may be used at once: what cannot be sent yet is sent when it can be.
    ///
    /// The loopback network has many addresses, and each has ports of its own.
    pub(crate) fn open(port: u16, number: usize) -> io::Result<Connection> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        choose_port_when_connecting(&socket)?;
        let host = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + (number / PORTS) as u32);
        rustix::net::bind(&socket, &SocketAddrV4::new(host, 0))?;
        match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Connection { socket, sent: 0, received: 0 }),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the message, or what of it can be sent.
    pub(crate) fn begin(&mut self, mail: &Mail) -> io::Result<()> {
        (self.sent, self.received) = (0, 0);
        self.send(mail)
    }

    fn send(&mut self, mail: &Mail) -> io::Result<()> {
        while self.sent < mail.message.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &mail.message[self.sent..], flags) {
                Ok(sent) => self.sent += sent,
                // Not connected yet.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Does what can be done now. Whether all of the answer is there.
    pub(crate) fn go_on(&mut self, mail: &mut Mail) -> io::Result<bool> {
        self.send(mail)?;
        while self.received < self.sent {
            let received = match rustix::net::recv(&self.socket, &mut mail.scratch[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, received)) => received,
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let expected = mail.message.get(self.received..self.received + received);
            if expected.is_none() || mail.compares && expected != Some(&mail.scratch[..received]) {
                return Err(io::Error::other("the answer is not what was sent"));
            }
            self.received += received;
        }
        Ok(self.received == mail.message.len())
    }

    /// What has to happen before there is something to do.
    pub(crate) fn waits_for(&self) -> PollFlags {
        if self.received == self.sent { PollFlags::OUT } else { PollFlags::IN }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A port that an earlier connection has left behind is good again for another one; to bind alone it is not.
fn choose_port_when_connecting(socket: &OwnedFd) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the kernel reads an integer of the size that it is told.
    let done = unsafe {
        let (level, option) = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
        let size = size_of_val(&yes) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const yes).cast(), size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
