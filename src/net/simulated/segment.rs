//! What is underway on connections.
//!
//! Words: a *segment* is what one side sends to the other at once. Segments of one side arrive in the order in which they were
//! sent.

use rustix::io::Errno;

use super::hosts::{HostId, Link};
use super::state::{Event, Kind, State};
use super::stream::Phase;
use crate::scheduler::io::Direction;
use crate::time;

/// What one side of a connection sends to the other.
pub(super) struct Segment {
    pub(super) sender: HostId,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) link: Link,
    /// What was sent later has a greater one.
    pub(super) number: u64,
    pub(super) what: What,
}

pub(super) enum What {
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
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, What::Connected | What::Bytes(_) | What::End | What::Read(_))
    }

    /// Whether it comes after what was sent before.
    pub(super) fn is_in_order(&self) -> bool {
        matches!(self, What::Connected | What::Bytes(_) | What::End | What::Reset)
    }
}

impl State {
    /// Sends to the other side.
    pub(super) fn answer(&mut self, id: u64, what: What) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let sender = endpoint.host;
        let Kind::Stream(stream) = &mut endpoint.kind else { return };
        let Some(to) = stream.other else { return };
        let link = Link::between(sender, stream.peer_host);
        self.dispatch(Segment { sender, from: id, to, link, number: 0, what });
    }

    /// Sends back to whom a segment came from, from where it found nobody.
    pub(super) fn send_back(&mut self, segment: &Segment, what: What) {
        let (from, to, link) = (segment.to, segment.from, segment.link);
        self.dispatch(Segment { sender: link.other(segment.sender), from, to, link, number: 0, what });
    }

    /// Sends something for the first time.
    pub(super) fn dispatch(&mut self, mut segment: Segment) {
        self.last_segment += 1;
        segment.number = self.last_segment;
        self.send(segment);
    }

    pub(super) fn send(&mut self, segment: Segment) {
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
    pub(super) fn hold(&mut self, segment: Segment) {
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
}
