//! No library: a loop around epoll. This is what the others are compared with.
//!
//! Each descriptor is registered once, for both directions and for changes only. A connection receives until it has received
//! less than there was room for, which saves the call that would find nothing. What cannot be sent at once is kept, and
//! nothing is received until it is sent.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

/// Events taken at a time: as many as ropewalk and tokio take.
const EVENTS: usize = 1024;

/// What the listener's events carry; connections have the numbers below.
const LISTENER: u64 = u64::MAX;

struct Connection {
    socket: OwnedFd,
    /// None if there is one for all.
    buffer: Option<Box<[u8]>>,
    unsent: Vec<u8>,
}

/// What is to be done with a connection.
enum Next {
    Wait,
    Close,
}

/// A buffer for each connection, as a server needs that waits for the rest of something. A loop on each of so many threads.
pub(crate) fn serve_with_buffers(threads: usize, buffer_bytes: usize) -> io::Result<()> {
    let buffer = || Some(vec![0; buffer_bytes].into_boxed_slice());
    let listeners = crate::listeners(threads)?;
    thread::scope(|s| {
        let serving =
            listeners.into_iter().map(|listener| s.spawn(move || serve(listener, buffer_bytes, buffer)));
        let serving: Vec<_> = serving.collect();
        serving.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })
}

/// One buffer for all: it stays in the processor's cache.
pub(crate) fn serve_with_one_buffer(buffer_bytes: usize) -> io::Result<()> {
    let listener = crate::listeners(1)?.remove(0);
    serve(listener, buffer_bytes, || None)
}

fn serve(
    listener: TcpListener,
    buffer_bytes: usize,
    buffer: impl Fn() -> Option<Box<[u8]>>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::ET)?;
    let mut common = vec![0; buffer_bytes];
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::<Event>::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Whoever is accepted in this round has no event in it: a place that becomes free is not taken before the next.
        let mut closed = Vec::new();
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                accept(&listener, &poll, &mut connections, &mut free, &buffer)?;
                continue;
            }
            let place = &mut connections[number as usize];
            let Some(connection) = place else { continue };
            let flags = event.flags;
            let is_final = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            if let Ok(Next::Wait) = connection.echo(&mut common, is_final) {
                continue;
            }
            // Closing it takes it out of the epoll.
            *place = None;
            closed.push(number as usize);
        }
        free.append(&mut closed);
    }
}

/// Takes all connections that wait.
fn accept(
    listener: &TcpListener,
    poll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
    buffer: &impl Fn() -> Option<Box<[u8]>>,
) -> io::Result<()> {
    loop {
        let socket = match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error.into()),
        };
        let number = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, &socket, EventData::new_u64(number as u64), both)?;
        connections[number] = Some(Connection { socket, buffer: buffer(), unsent: Vec::new() });
    }
}

impl Connection {
    /// What is *final* has no more events: it is to be received to its end.
    fn echo(&mut self, common: &mut [u8], is_final: bool) -> Result<Next, Errno> {
        if !self.unsent.is_empty() {
            match send(&self.socket, &self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
            if !self.unsent.is_empty() {
                return Ok(Next::Wait);
            }
        }
        let buffer = self.buffer.as_deref_mut().unwrap_or(common);
        loop {
            let received = match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Ok(Next::Close),
                Ok((_, received)) => received,
                Err(Errno::AGAIN) => return Ok(Next::Wait),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let sent = match send(&self.socket, &buffer[..received]) {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => 0,
                Err(error) => return Err(error),
            };
            if sent < received {
                self.unsent.extend_from_slice(&buffer[sent..received]);
                return Ok(Next::Wait);
            }
            // Less than there was room for: that was all there is.
            if received < buffer.len() && !is_final {
                return Ok(Next::Wait);
            }
        }
    }
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}
