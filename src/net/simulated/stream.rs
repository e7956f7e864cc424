//! TCP: how a connection comes about, what is underway on it, and how it ends.
//!
//! Words: a *segment* is what one side sends to the other at once. Segments of one side arrive in the order in which they were
//! sent. The *window* is how many bytes may be underway or wait to be read.
//!
//! Invariant: what has been sent counts as underway until the other side has read it, and the news of that has come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::world::{Bound, Endpoint, Event, HostId, Kind, Link, Protocol, State, definite};
use crate::scheduler::io::Direction;
use crate::time::{self, Timer};

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

    fn is_full(&self) -> bool {
        // As Linux counts: one more than was asked for.
        self.queue.len() + self.half_open > self.backlog
    }
}

/// One side of a connection.
pub(super) struct Stream {
    pub(super) peer: SocketAddr,
    peer_host: HostId,
    /// The endpoint of the other side, once there is one; of which this side knows when it is connected.
    other: Option<u64>,
    phase: Phase,
    /// By whom it will be accepted, until it waits there.
    listener: Option<u64>,
    incoming: VecDeque<u8>,
    /// The other side has said that no more will come.
    is_at_end: bool,
    /// This side does not want any more.
    is_deaf: bool,
    /// This side has said that no more will come.
    has_ended: bool,
    underway: usize,
    /// When what was sent last arrives.
    last_arrival: Option<Instant>,
    /// When it is given up.
    limit: Option<Timer>,
    resets_when_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until when is it tried?
    Connecting(Instant),
    HalfOpen,
    Connected,
    /// Reset, refused, or given up.
    Dead,
}

impl Stream {
    fn new(peer: SocketAddr, peer_host: HostId, phase: Phase) -> Stream {
        Stream {
            peer,
            peer_host,
            other: None,
            phase,
            listener: None,
            incoming: VecDeque::new(),
            is_at_end: false,
            is_deaf: false,
            has_ended: false,
            underway: 0,
            last_arrival: None,
            limit: None,
            resets_when_closed: false,
        }
    }

    fn is_open(&self) -> bool {
        self.phase == Phase::Connected
    }

    fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting(_))
    }

    pub(super) fn is_readable(&self) -> bool {
        let is_over = self.is_at_end || self.is_deaf || self.phase == Phase::Dead;
        !self.incoming.is_empty() || is_over
    }

    pub(super) fn is_writable(&self, window: usize) -> bool {
        match self.phase {
            Phase::Connecting(_) | Phase::HalfOpen => false,
            Phase::Connected => self.underway < window || self.has_ended,
            Phase::Dead => true,
        }
    }

    fn no_limit(&mut self) {
        if let Some(limit) = self.limit.take() {
            limit.cancel();
        }
    }
}

/// What one side of a connection sends to the other.
pub(super) struct Segment {
    pub(super) sender: HostId,
    from: u64,
    to: u64,
    link: Link,
    /// What was sent later has a greater one.
    number: u64,
    what: What,
}

enum What {
    /// "Shall we connect?"
    Begin,
    /// "Yes."
    Agreed,
    /// "Nobody listens here."
    Refused,
    /// "Then we are connected."
    Connected,
    Bytes(Vec<u8>),
    End,
    /// So many bytes have been read.
    Read(usize),
    Reset,
}

impl What {
    /// Whether it is sent again and again until it gets across.
    fn is_kept(&self) -> bool {
        matches!(self, What::Connected | What::Bytes(_) | What::End | What::Read(_))
    }

    /// Whether it comes after what was sent before.
    fn is_in_order(&self) -> bool {
        matches!(self, What::Connected | What::Bytes(_) | What::End | What::Reset)
    }
}

impl State {
    /// # Errors
    ///
    /// It is no connection.
    fn stream(&mut self, id: u64) -> Result<&mut Stream, Errno> {
        match &mut self.endpoint(id)?.kind {
            Kind::Stream(stream) => Ok(stream),
            _ => Err(Errno::NOTCONN),
        }
    }

    fn stream_of(&mut self, id: u64) -> Option<&mut Stream> {
        self.stream(id).ok()
    }

    // Calls of the program.

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

    /// Takes bytes that have come, or looks at them; `None` if there are none yet.
    pub(super) fn try_recv(
        &mut self,
        id: u64,
        buffer: &mut [u8],
        peek: bool,
    ) -> Option<Result<usize, Errno>> {
        let (is_short, window) = (self.settings.short_reads, self.settings.window);
        let endpoint = match self.endpoint(id) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(Err(error)),
        };
        let Kind::Stream(stream) = &mut endpoint.kind else { return Some(Err(Errno::NOTCONN)) };
        if buffer.is_empty() {
            return Some(Ok(0));
        }
        if stream.incoming.is_empty() {
            // Who was told that no more will come is told so again, whatever has happened since.
            if stream.is_at_end || stream.is_deaf {
                return Some(Ok(0));
            }
            if let Some(error) = endpoint.error.take() {
                return Some(Err(error));
            }
            return (stream.phase == Phase::Dead).then_some(Ok(0));
        }
        let count = State::some_of(buffer.len().min(stream.incoming.len()), is_short);
        let (front, back) = stream.incoming.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        if !peek {
            stream.incoming.drain(..count);
            if stream.incoming.is_empty() && stream.incoming.capacity() > window {
                stream.incoming = VecDeque::new();
            }
            self.answer(id, What::Read(count));
        }
        Some(Ok(count))
    }

    /// Sends as much as there is room for; `None` if there is none.
    pub(super) fn try_send(&mut self, id: u64, bytes: &[u8]) -> Option<Result<usize, Errno>> {
        let (is_short, window) = (self.settings.short_writes, self.settings.window);
        let reset_chance = self.settings.reset_chance;
        let endpoint = match self.endpoint(id) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(Err(error)),
        };
        if let Some(error) = endpoint.error.take() {
            return Some(Err(error));
        }
        let Kind::Stream(stream) = &mut endpoint.kind else { return Some(Err(Errno::NOTCONN)) };
        if stream.phase == Phase::Dead || stream.has_ended {
            return Some(Err(Errno::PIPE));
        }
        if bytes.is_empty() {
            return Some(Ok(0));
        }
        let room = window.saturating_sub(stream.underway);
        if room == 0 || !stream.is_open() {
            return None;
        }
        if State::happens(reset_chance) {
            self.statistics.resets += 1;
            self.answer(id, What::Reset);
            self.kill(id);
            return Some(Err(Errno::CONNRESET));
        }
        let count = State::some_of(room.min(bytes.len()), is_short);
        if let Some(stream) = self.stream_of(id) {
            stream.underway += count;
        }
        self.answer(id, What::Bytes(bytes[..count].to_vec()));
        Some(Ok(count))
    }

    pub(super) fn shutdown(&mut self, id: u64, read: bool, write: bool) -> Result<(), Errno> {
        let stream = self.stream(id)?;
        if !stream.is_open() {
            return Err(Errno::NOTCONN);
        }
        stream.is_deaf |= read;
        let ends = write && !stream.has_ended;
        stream.has_ended |= write;
        if ends {
            self.answer(id, What::End);
        }
        if read {
            self.wake(id, Direction::Read);
        }
        if write {
            self.wake(id, Direction::Write);
        }
        Ok(())
    }

    pub(super) fn peer(&mut self, id: u64) -> Result<SocketAddr, Errno> {
        match &self.endpoint(id)?.kind {
            Kind::Stream(stream) if stream.is_open() => Ok(stream.peer),
            Kind::Datagrams(datagrams) => datagrams.peer.ok_or(Errno::NOTCONN),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Whether a close resets the connection.
    pub(super) fn set_resets_when_closed(&mut self, id: u64, resets: bool) {
        if let Some(stream) = self.stream_of(id) {
            stream.resets_when_closed = resets;
        }
    }

    /// The last socket of the program that meant it is gone.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(stream) = self.stream_of(id) {
            let (has_ended, is_open) = (stream.has_ended, stream.is_open());
            let resets = stream.resets_when_closed || !stream.incoming.is_empty();
            if is_open && resets {
                self.answer(id, What::Reset);
            } else if is_open && !has_ended {
                self.answer(id, What::End);
            }
        }
        self.abandon_listener(id);
        if let Some(Endpoint { kind: Kind::Stream(mut stream), .. }) = self.remove(id) {
            stream.no_limit();
        }
    }

    /// Whoever waits to be accepted gets a reset.
    fn abandon_listener(&mut self, id: u64) {
        let Some(Endpoint { kind: Kind::Listener(listener), .. }) = self.endpoints.get_mut(&id) else {
            return;
        };
        for waiting in std::mem::take(&mut listener.queue) {
            self.abandon_stream(waiting);
            self.remove(waiting);
        }
    }

    /// The other side of whatever it is gets a reset.
    pub(super) fn abandon_stream(&mut self, id: u64) {
        self.abandon_listener(id);
        let Some(stream) = self.stream_of(id) else { return };
        stream.no_limit();
        if stream.phase != Phase::Dead && !stream.is_connecting() {
            self.answer(id, What::Reset);
        }
    }

    pub(super) fn reset_connections(&mut self, link: Link) -> usize {
        let is_between = |endpoint: &Endpoint| match &endpoint.kind {
            Kind::Stream(stream) => {
                stream.is_open() && Link::between(endpoint.host, stream.peer_host) == link
            }
            _ => false,
        };
        let ids: Vec<u64> =
            self.endpoints.iter().filter(|(_, one)| is_between(one)).map(|(id, _)| *id).collect();
        // Each has two sides, one of which may be closed already.
        let others = ids.iter().filter(|id| {
            let other = match &self.endpoints[id].kind {
                Kind::Stream(stream) => stream.other,
                _ => None,
            };
            other.is_some_and(|other| other < **id && ids.contains(&other))
        });
        let connections = ids.len() - others.count();
        for id in ids {
            self.break_off(id, Errno::CONNRESET);
        }
        self.statistics.resets += connections as u64;
        connections
    }

    // The way there and back.

    /// Sends to the other side.
    fn answer(&mut self, id: u64, what: What) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let sender = endpoint.host;
        let Kind::Stream(stream) = &mut endpoint.kind else { return };
        let Some(to) = stream.other else { return };
        let link = Link::between(sender, stream.peer_host);
        self.dispatch(Segment { sender, from: id, to, link, number: 0, what });
    }

    /// Sends back to whom a segment came from, from where it found nobody.
    fn send_back(&mut self, segment: &Segment, what: What) {
        let (from, to, link) = (segment.to, segment.from, segment.link);
        self.dispatch(Segment { sender: link.other(segment.sender), from, to, link, number: 0, what });
    }

    /// Sends something for the first time.
    fn dispatch(&mut self, mut segment: Segment) {
        self.last_segment += 1;
        segment.number = self.last_segment;
        self.send(segment);
    }

    fn send(&mut self, segment: Segment) {
        if self.is_cut(segment.link) {
            return self.hold(segment);
        }
        let now = time::now();
        let mut arrival = now + self.latency(segment.link);
        if segment.what.is_in_order() {
            if let Some(stream) = self.stream_of(segment.from) {
                arrival = stream.last_arrival.map_or(arrival, |last| last.max(arrival));
                stream.last_arrival = Some(arrival);
            }
        }
        if arrival <= now {
            return self.arrive(segment);
        }
        self.later(arrival, Event::Arrives(segment));
    }

    /// It does not get across.
    fn hold(&mut self, segment: Segment) {
        if !segment.what.is_kept() {
            return;
        }
        if matches!(segment.what, What::Bytes(_) | What::End) {
            let at = time::now() + self.settings.send_timeout;
            let has_limit = self.stream_of(segment.from).is_none_or(|stream| stream.limit.is_some());
            if !has_limit {
                let limit = self.later(at, Event::GiveUp(segment.from));
                if let Some(stream) = self.stream_of(segment.from) {
                    stream.limit = Some(limit);
                }
            }
        }
        self.held.push(segment);
    }

    /// What is held goes on its way, where that is free again.
    pub(super) fn release(&mut self) {
        let (held, mut free): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|segment| self.is_cut(segment.link));
        self.held = held;
        // Some were held when they were sent, and others, sent before, when they should have arrived.
        free.sort_by_key(|segment| segment.number);
        for segment in free {
            if let Some(stream) = self.stream_of(segment.from) {
                stream.no_limit();
                self.send(segment);
            } else {
                // Its sender has closed it, and keeps no order any more: all of it arrives at once, and last.
                let at = time::now() + self.longest_latency(segment.link);
                self.later(at, Event::Arrives(segment));
            }
        }
    }

    pub(super) fn arrive(&mut self, segment: Segment) {
        if self.is_cut(segment.link) {
            return self.hold(segment);
        }
        let to = segment.to;
        if let What::Begin = segment.what {
            return self.asked(&segment);
        }
        let is_there = self.stream_of(to).is_some_and(|stream| stream.phase != Phase::Dead);
        match segment.what {
            What::Begin => unreachable!("that was looked at before"),
            What::Agreed if is_there => self.agreed(segment.from, to),
            What::Connected if is_there => self.connected(to),
            What::Bytes(bytes) if is_there => self.received(to, bytes),
            What::End if is_there => {
                if let Some(stream) = self.stream_of(to) {
                    stream.is_at_end = true;
                }
                self.wake(to, Direction::Read);
            }
            What::Agreed | What::Bytes(_) | What::End => self.send_back(&segment, What::Reset),
            What::Read(count) => {
                if let Some(stream) = self.stream_of(to) {
                    stream.underway = stream.underway.saturating_sub(count);
                }
                self.wake(to, Direction::Write);
            }
            What::Refused if is_there => {
                self.statistics.refused += 1;
                self.break_off(to, Errno::CONNREFUSED);
            }
            What::Reset if is_there => self.was_reset(to),
            What::Connected | What::Refused | What::Reset => {}
        }
    }

    fn received(&mut self, to: u64, bytes: Vec<u8>) {
        self.statistics.bytes += bytes.len() as u64;
        let Some(stream) = self.stream_of(to) else { return };
        if stream.is_deaf {
            // Taken, and for nobody: as Linux has it.
            return self.answer(to, What::Read(bytes.len()));
        }
        stream.incoming.extend(bytes);
        self.wake(to, Direction::Read);
    }

    fn was_reset(&mut self, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        let error = if stream.is_at_end { Errno::PIPE } else { Errno::CONNRESET };
        if stream.phase == Phase::HalfOpen {
            // Nobody has heard of it.
            self.no_more_half_open(id);
            self.remove(id);
            return;
        }
        self.break_off(id, error);
    }

    /// The connection is over, and whoever uses it next is told why.
    pub(super) fn break_off(&mut self, id: u64, error: Errno) {
        if self.stream_of(id).is_none_or(|stream| stream.phase == Phase::Dead) {
            return;
        }
        self.kill(id);
        if let Ok(endpoint) = self.endpoint(id) {
            endpoint.error = Some(error);
        }
    }

    fn kill(&mut self, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        stream.no_limit();
        stream.phase = Phase::Dead;
        self.held.retain(|segment| segment.from != id);
        self.wake(id, Direction::Read);
        self.wake(id, Direction::Write);
    }

    // How a connection comes about.

    /// Asks to connect, and again later if nobody answers.
    fn ask(&mut self, id: u64, attempt: u32) {
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
    fn asked(&mut self, segment: &Segment) {
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
    fn agreed(&mut self, server: u64, id: u64) {
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
    fn connected(&mut self, id: u64) {
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
    fn no_more_half_open(&mut self, id: u64) -> Option<u64> {
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
