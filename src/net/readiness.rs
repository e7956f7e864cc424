//! Arms that wait until a call on a socket would not.

use std::fmt;
use std::io;

use super::socket::{AtSocket, Socket, into_woken};
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::Arm;

/// An arm that waits until a call on a socket would not: see [`TcpStream::readable`](super::TcpStream::readable).
///
/// It transfers nothing. What fails at once is ready too: the call says what is wrong.
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::select::{Chosen, select};
/// use std::io::{Read, Write};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let connect = || {
///         let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
///         (near, listener.accept().unwrap().0)
///     };
///     let ((left, _quiet), (mut right, mut far)) = (connect(), connect());
///     far.write_all(b"!").unwrap();
///     match select((left.readable(), right.readable())).unwrap() {
///         Chosen::First(_) => panic!("nothing was written there"),
///         Chosen::Second(ready) => ready.unwrap(),
///     }
///     assert_eq!(right.read(&mut [0; 8]).unwrap(), 1);
/// });
/// ```
#[derive(Clone, Copy)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Readiness<'a> {
    socket: &'a Socket,
    direction: Direction,
}

impl<'a> Readiness<'a> {
    pub(super) fn new(socket: &'a Socket, direction: Direction) -> Readiness<'a> {
        Readiness { socket, direction }
    }
}

impl Arm for Readiness<'_> {
    type Output = io::Result<()>;
    type Place = AtSocket;

    fn try_now(&mut self) -> Option<io::Result<()>> {
        match self.socket.is_ready(self.direction) {
            Ok(is_ready) => is_ready.then_some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    }

    fn place(&mut self) -> AtSocket {
        self.socket.place(self.direction)
    }

    fn end(&mut self, place: AtSocket) -> Option<io::Result<()>> {
        match into_woken(place)? {
            // It may have been woken for something else.
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.direction {
            Direction::Read => "readable",
            Direction::Write => "writable",
        };
        write!(f, "{what} on descriptor {:?}", self.socket)
    }
}

impl fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("fd", self.socket).field("direction", &self.direction).finish()
    }
}
