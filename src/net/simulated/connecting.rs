//! How a connection comes about: one side asks, the other agrees, and where that has been heard the connection can be accepted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::hosts::{Bound, Link, Protocol, definite};
use super::segment::{Segment, What};
use super::state::{Endpoint, Event, Kind, State};
use super::stream::{Phase, Stream};
use crate::scheduler::io::Direction;
use crate::time;

/// How long Linux answers whoever began a connection and does not go on: five times, after 1, 2, 4, 8 and 16 s, and then it waits 32 s.
const HALF_OPEN: Duration = Duration::from_secs(63);

/// A socket that waits for connections.
pub(super) struct Listener {
    backlog: usize,
    /// To be accepted.
    queue: VecDeque<u64>,
    /// Begun, and not to be accepted yet.
    half_open: usize,
}

impl Listener {
    pub(super) fn has_connection(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        // As Linux counts: one more than was asked for.
        self.queue.len() + self.half_open > self.backlog
    }
}

impl State {
    pub(super) fn listen(&mut self, id: u64, backlog: usize) -> Result<(), Errno> {
        let endpoint = self.endpoint(id)?;
        if !matches!(endpoint.kind, Kind::Fresh) {
            return Err(Errno::INVAL);
        }
        endpoint.kind = Kind::Listener(Listener { backlog, queue: VecDeque::new(), half_open: 0 });
        Ok(())
    }

    /// A connection that waits to be accepted, and from where it is; `None` if there is none.
    pub(super) fn try_accept(&mut self, id: u64) -> Option<Result<(u64, SocketAddr), Errno>> {
        let listener = match self.endpoint(id).map(|endpoint| &mut endpoint.kind) {
            Ok(Kind::Listener(listener)) => listener,
            Ok(_) => return Some(Err(Errno::INVAL)),
            Err(error) => return Some(Err(error)),
        };
        let accepted = listener.queue.pop_front()?;
        let endpoint = self.endpoints.get_mut(&accepted).expect("what waits to be accepted is there");
        endpoint.handles = 1;
        Some(self.stream(accepted).map(|stream| (accepted, stream.peer)))
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, id: u64, to: SocketAddr) -> Result<(), Errno> {
        let endpoint = self.endpoint(id)?;
        match endpoint.kind {
            Kind::Fresh => {}
            Kind::Stream(_) => return Err(Errno::ISCONN),
            _ => return Err(Errno::INVAL),
        }
        let (host, bound) = (endpoint.host, endpoint.bound);
        let to = definite(to);
        let Some(peer_host) = self.resolve(host, to.ip()) else { return Err(Errno::HOSTUNREACH) };
        let local = match bound {
            Some(bound) => bound.source(self, host, to.ip()),
            None => SocketAddr::new(self.source(host, to.ip())?, self.free_port(Protocol::Tcp, host)?),
        };
        let until = time::now() + self.settings.connect_timeout;
        let endpoint = self.endpoint(id)?;
        endpoint.bound = Some(Bound::to(local));
        endpoint.kind = Kind::Stream(Box::new(Stream::new(to, peer_host, Phase::Connecting(until))));
        self.ask(id, 0);
        Ok(())
    }

    /// What has become of an attempt to connect; `None` if that is not known yet.
    pub(super) fn try_connected(&mut self, id: u64) -> Option<Result<(), Errno>> {
        let endpoint = match self.endpoint(id) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(Err(error)),
        };
        if let Some(error) = endpoint.error.take() {
            return Some(Err(error));
        }
        match &endpoint.kind {
            Kind::Stream(stream) if stream.is_connecting() => None,
            Kind::Stream(stream) if stream.is_open() => Some(Ok(())),
            _ => Some(Err(Errno::NOTCONN)),
        }
    }

    /// Whoever waits to be accepted gets a reset.
    pub(super) fn abandon_listener(&mut self, id: u64) {
        let Some(Endpoint { kind: Kind::Listener(listener), .. }) = self.endpoints.get_mut(&id) else {
            return;
        };
        for waiting in std::mem::take(&mut listener.queue) {
            self.abandon_stream(waiting);
            self.remove(waiting);
        }
    }

    /// Asks to connect, and again later if nobody answers.
    pub(super) fn ask(&mut self, id: u64, attempt: u32) {
        let Ok(endpoint) = self.endpoint(id) else { return };
        let sender = endpoint.host;
        let Kind::Stream(stream) = &mut endpoint.kind else { return };
        let Phase::Connecting(until) = stream.phase else { return };
        let link = Link::between(sender, stream.peer_host);
        // As Linux does: after a second, and then after twice the time each.
        let patience = Duration::from_secs(1 << attempt.min(16));
        let again = (time::now() + patience).min(until);
        let limit = self.later(again, Event::NoAnswer { id, attempt: attempt + 1 });
        if let Some(stream) = self.stream_of(id) {
            stream.limit = Some(limit);
        }
        self.dispatch(Segment { sender, from: id, to: 0, link, number: 0, what: What::Begin });
    }

    pub(super) fn ask_again(&mut self, id: u64, attempt: u32) {
        let Some(stream) = self.stream_of(id) else { return };
        let Phase::Connecting(until) = stream.phase else { return };
        if time::now() >= until {
            self.break_off(id, Errno::TIMEDOUT);
        } else {
            self.ask(id, attempt);
        }
    }

    /// Somebody wants to connect to this host.
    pub(super) fn asked(&mut self, segment: &Segment) {
        let id = segment.from;
        let Ok(client) = self.endpoint(id) else { return };
        let (client_host, bound) = (client.host, client.bound);
        let Kind::Stream(stream) = &client.kind else { return };
        let (to, host, begun) = (stream.peer, stream.peer_host, stream.other);
        let Some(Bound { address: from, .. }) = bound.filter(|_| stream.is_connecting()) else { return };
        // It asks again, for the answer was lost or takes its time.
        if let Some(begun) = begun.filter(|begun| self.endpoints.contains_key(begun)) {
            return self.answer(begun, What::Agreed);
        }
        let listeners = self.at(Protocol::Tcp, host, to, |one| matches!(one.kind, Kind::Listener(_)));
        if listeners.is_empty() {
            return self.send_back(segment, What::Refused);
        }
        let listener = listeners[State::some_of(listeners.len(), true) - 1];
        match self.endpoint(listener).map(|endpoint| &mut endpoint.kind) {
            Ok(Kind::Listener(listening)) if !listening.is_full() => listening.half_open += 1,
            // It will ask again.
            _ => return,
        }
        let mut stream = Stream::new(from, client_host, Phase::HalfOpen);
        stream.other = Some(id);
        stream.listener = Some(listener);
        let mut endpoint = Endpoint::new(host, Kind::Stream(Box::new(stream)));
        endpoint.handles = 0;
        endpoint.bound = Some(Bound::to(to));
        let server = self.add(endpoint);
        if let Some(client) = self.stream_of(id) {
            client.other = Some(server);
        }
        let there_and_back = 2 * self.longest_latency(segment.link);
        let limit = self.later(time::now() + HALF_OPEN + there_and_back, Event::Forget(server));
        if let Some(stream) = self.stream_of(server) {
            stream.limit = Some(limit);
        }
        self.answer(server, What::Agreed);
    }

    /// The other side is there.
    pub(super) fn agreed(&mut self, server: u64, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        if !stream.is_connecting() {
            return;
        }
        stream.no_limit();
        stream.phase = Phase::Connected;
        stream.other = Some(server);
        self.statistics.connections += 1;
        self.answer(id, What::Connected);
        self.wake(id, Direction::Write);
    }

    /// Whoever wanted to connect knows that it is: it waits to be accepted.
    pub(super) fn connected(&mut self, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        if stream.phase != Phase::HalfOpen {
            return;
        }
        stream.no_limit();
        stream.phase = Phase::Connected;
        let Some(listener) = self.no_more_half_open(id) else {
            self.abandon_stream(id);
            self.remove(id);
            return;
        };
        if let Ok(Endpoint { kind: Kind::Listener(listening), .. }) = self.endpoint(listener) {
            listening.queue.push_back(id);
        }
        self.wake(listener, Direction::Read);
    }

    /// The listener that waits for it, if that is still there.
    pub(super) fn no_more_half_open(&mut self, id: u64) -> Option<u64> {
        let listener = self.stream_of(id)?.listener.take()?;
        match &mut self.endpoint(listener).ok()?.kind {
            Kind::Listener(listening) => {
                listening.half_open -= 1;
                Some(listener)
            }
            _ => None,
        }
    }

    /// Nobody has gone on with it.
    pub(super) fn forget(&mut self, id: u64) {
        self.no_more_half_open(id);
        self.remove(id);
    }
}
