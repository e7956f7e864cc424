//! UDP: datagrams, each on its own.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

use super::hosts::{HostId, Link, Protocol, definite};
use super::state::{Endpoint, Event, Kind, State};
use crate::scheduler::io::Direction;
use crate::time;

/// Bytes that may wait to be received, with what each datagram takes beside them: what Linux gives a socket.
const ROOM: usize = 212_992;

/// What Linux counts for a datagram beside its bytes, about.
const OVERHEAD: usize = 512;

/// A UDP socket.
#[derive(Default)]
pub(super) struct Datagrams {
    pub(super) peer: Option<SocketAddr>,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    taken: usize,
}

impl Datagrams {
    pub(super) fn has_one(&self) -> bool {
        !self.queue.is_empty()
    }

    /// False if there is no room.
    fn push(&mut self, from: SocketAddr, bytes: Vec<u8>) -> bool {
        let taken = self.taken + bytes.len() + OVERHEAD;
        if taken <= ROOM {
            self.taken = taken;
            self.queue.push_back((from, bytes));
        }
        taken <= ROOM
    }
}

/// A datagram that is underway.
#[derive(Clone)]
pub(super) struct Datagram {
    link: Link,
    host: HostId,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl State {
    fn datagrams(&mut self, id: u64) -> Result<&mut Datagrams, Errno> {
        match &mut self.endpoint(id)?.kind {
            Kind::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// A socket that is bound to no port gets one.
    fn bind_somewhere(&mut self, id: u64, to: SocketAddr) -> Result<(), Errno> {
        if self.endpoint(id)?.bound.is_some() {
            return Ok(());
        }
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        self.bind(id, any)
    }

    /// Sends to one address from now on, and receives from nobody else.
    pub(super) fn set_peer(&mut self, id: u64, to: SocketAddr) -> Result<(), Errno> {
        self.datagrams(id)?;
        self.bind_somewhere(id, to)?;
        self.datagrams(id)?.peer = Some(definite(to));
        Ok(())
    }

    /// Sends a datagram to an address, or to the one that the socket is connected to.
    pub(super) fn send_datagram(
        &mut self,
        id: u64,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let peer = self.datagrams(id)?.peer;
        let to = definite(to.or(peer).ok_or(Errno::DESTADDRREQ)?);
        if bytes.len() > self.settings.max_datagram {
            return Err(Errno::MSGSIZE);
        }
        if to.port() == 0 {
            return Err(Errno::INVAL);
        }
        if to.ip().is_multicast() || to.ip() == Ipv4Addr::BROADCAST {
            return Err(Errno::NETUNREACH);
        }
        self.bind_somewhere(id, to)?;
        let (host, bound) = (self.endpoint(id)?.host, self.endpoint(id)?.bound);
        let from = bound.expect("it has just been bound").source(self, host, to.ip());
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Errno::AFNOSUPPORT);
        }
        self.statistics.datagrams += 1;
        let Some(there) = self.resolve(host, to.ip()) else {
            self.statistics.lost_datagrams += 1;
            return Ok(bytes.len());
        };
        let link = Link::between(host, there);
        let datagram = Datagram { link, host: there, from, to, bytes: bytes.to_vec() };
        if self.is_cut(link) || State::happens(self.settings.loss) {
            self.statistics.lost_datagrams += 1;
            return Ok(bytes.len());
        }
        if State::happens(self.settings.duplication) {
            self.statistics.duplicated_datagrams += 1;
            self.dispatch_alone(datagram.clone());
        }
        self.dispatch_alone(datagram);
        Ok(bytes.len())
    }

    fn dispatch_alone(&mut self, datagram: Datagram) {
        let latency = self.latency(datagram.link);
        if latency.is_zero() {
            return self.arrive_alone(datagram);
        }
        self.later(time::now() + latency, Event::ArrivesAlone(datagram));
    }

    pub(super) fn arrive_alone(&mut self, datagram: Datagram) {
        let Datagram { link, host, from, to, bytes } = datagram;
        let is_for_it = |one: &Endpoint| match &one.kind {
            Kind::Datagrams(datagrams) => datagrams.peer.is_none_or(|peer| peer == from),
            _ => false,
        };
        let found = self.at(Protocol::Udp, host, to, is_for_it);
        let receiver = found.first().copied().filter(|_| !self.is_cut(link));
        let is_received = match receiver {
            Some(id) => self.datagrams(id).is_ok_and(|datagrams| datagrams.push(from, bytes)),
            None => false,
        };
        match receiver.filter(|_| is_received) {
            Some(id) => self.wake(id, Direction::Read),
            None => self.statistics.lost_datagrams += 1,
        }
    }

    /// Takes a datagram, or looks at it: how much of it the buffer had room for, and from where it is.
    pub(super) fn try_recv_from(
        &mut self,
        id: u64,
        buffer: &mut [u8],
        peek: bool,
    ) -> Option<Result<(usize, SocketAddr), Errno>> {
        let datagrams = match self.datagrams(id) {
            Ok(datagrams) => datagrams,
            Err(error) => return Some(Err(error)),
        };
        let (from, bytes) = datagrams.queue.front()?;
        let (from, count) = (*from, bytes.len().min(buffer.len()));
        buffer[..count].copy_from_slice(&bytes[..count]);
        if !peek {
            datagrams.taken -= bytes.len() + OVERHEAD;
            datagrams.queue.pop_front();
        }
        Some(Ok((count, from)))
    }
}
