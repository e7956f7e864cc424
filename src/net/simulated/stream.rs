//! Connections as their two sides have them: what has come, what may still be sent, and how they end.
//!
//! Words: the *window* is how many bytes may be underway or wait to be read.
//!
//! Invariant: what has been sent counts as underway until the other side has read it, and the news of that has come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rustix::io::Errno;

use super::hosts::{HostId, Link};
use super::segment::What;
use super::state::{Endpoint, Kind, State};
use crate::scheduler::io::Direction;
use crate::time::Timer;

/// One side of a connection.
pub(super) struct Stream {
    pub(super) peer: SocketAddr,
    pub(super) peer_host: HostId,
    /// The endpoint of the other side, once there is one; of which this side knows when it is connected.
    pub(super) other: Option<u64>,
    pub(super) phase: Phase,
    /// By whom it will be accepted, until it waits there.
    pub(super) listener: Option<u64>,
    pub(super) incoming: VecDeque<u8>,
    /// The other side has said that no more will come.
    pub(super) is_at_end: bool,
    /// This side does not want any more.
    pub(super) is_deaf: bool,
    /// This side has said that no more will come.
    pub(super) has_ended: bool,
    pub(super) underway: usize,
    /// When what was sent last arrives.
    pub(super) last_arrival: Option<Instant>,
    /// When it is given up.
    pub(super) limit: Option<Timer>,
    pub(super) resets_when_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until when is it tried?
    Connecting(Instant),
    HalfOpen,
    Connected,
    /// Reset, refused, or given up.
    Dead,
}

impl Stream {
    pub(super) fn new(peer: SocketAddr, peer_host: HostId, phase: Phase) -> Stream {
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

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Connected
    }

    pub(super) fn is_connecting(&self) -> bool {
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

    pub(super) fn no_limit(&mut self) {
        if let Some(limit) = self.limit.take() {
            limit.cancel();
        }
    }
}

impl State {
    /// # Errors
    ///
    /// It is no connection.
    pub(super) fn stream(&mut self, id: u64) -> Result<&mut Stream, Errno> {
        match &mut self.endpoint(id)?.kind {
            Kind::Stream(stream) => Ok(stream),
            _ => Err(Errno::NOTCONN),
        }
    }

    pub(super) fn stream_of(&mut self, id: u64) -> Option<&mut Stream> {
        self.stream(id).ok()
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

    pub(super) fn received(&mut self, to: u64, bytes: Vec<u8>) {
        self.statistics.bytes += bytes.len() as u64;
        let Some(stream) = self.stream_of(to) else { return };
        if stream.is_deaf {
            // Taken, and for nobody: as Linux has it.
            return self.answer(to, What::Read(bytes.len()));
        }
        stream.incoming.extend(bytes);
        self.wake(to, Direction::Read);
    }

    pub(super) fn was_reset(&mut self, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        let error = match stream.phase {
            Phase::Connecting(_) => Errno::CONNREFUSED,
            _ if stream.is_at_end => Errno::PIPE,
            _ => Errno::CONNRESET,
        };
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

    pub(super) fn kill(&mut self, id: u64) {
        let Some(stream) = self.stream_of(id) else { return };
        stream.no_limit();
        stream.phase = Phase::Dead;
        self.held.retain(|segment| segment.from != id);
        self.wake(id, Direction::Read);
        self.wake(id, Direction::Write);
    }
}
