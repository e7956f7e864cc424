//! The world of a simulated network: hosts, the links between them, and what is underway.
//!
//! Words: an *endpoint* is what a socket is here. A *link* is what two hosts have between them; a partition *cuts* it. What
//! cannot get across a link that is cut is *held*, if somebody would send it again and again, or lost.
//!
//! Invariants:
//! - Nothing happens but in a call, or when a timer is due: what is underway is a timer each.
//! - Nobody is woken, and no ticket is dropped, while the state is borrowed: what is dropped with a ticket may be the user's.
//! - Chance is the runtime's, and there is no order but that of numbers and addresses: a seed gives one history.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Weak;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::connecting::Listener;
use super::datagram::{Datagram, Datagrams};
use super::hosts::{Bound, DEFAULT_HOST, Host, HostId, Link, Protocol};
use super::segment::Segment;
use super::settings::{NetworkStatistics, Settings};
use super::stream::Stream;
use super::world::World;
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::Ticket;
use crate::time::{self, Timer};

pub(super) struct State {
    pub(super) this: Weak<World>,
    pub(super) settings: Settings,
    pub(super) hosts: BTreeMap<HostId, Host>,
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    pub(super) named: u32,
    pub(super) endpoints: BTreeMap<u64, Endpoint>,
    pub(super) last: u64,
    pub(super) last_handle: u64,
    /// Who has a port: listeners, and datagram sockets.
    pub(super) ports: BTreeMap<(Protocol, HostId, u16), Vec<u64>>,
    pub(super) cuts: BTreeSet<Link>,
    pub(super) isolated: BTreeSet<HostId>,
    pub(super) latencies: BTreeMap<Link, RangeInclusive<Duration>>,
    pub(super) held: Vec<Segment>,
    pub(super) last_segment: u64,
    pub(super) woken: Vec<Ticket<()>>,
    pub(super) statistics: NetworkStatistics,
}

/// A socket, as the world has it.
pub(super) struct Endpoint {
    pub(super) host: HostId,
    /// Sockets of the program that mean this one; none while it waits to be accepted.
    pub(super) handles: usize,
    pub(super) bound: Option<Bound>,
    pub(super) is_shared: bool,
    pub(super) kind: Kind,
    /// What went wrong and has not been told yet.
    pub(super) error: Option<Errno>,
    readers: Vec<Waiter>,
    writers: Vec<Waiter>,
}

/// What a socket has become.
pub(super) enum Kind {
    /// A TCP socket that neither listens nor is connected.
    Fresh,
    Listener(Listener),
    Stream(Box<Stream>),
    Datagrams(Datagrams),
    /// Its host has crashed.
    Gone,
}

/// Who waits, and by which of the sockets that mean the endpoint.
struct Waiter {
    handle: u64,
    ticket: Ticket<()>,
}

/// What will happen when a timer is due.
pub(super) enum Event {
    Arrives(Segment),
    ArrivesAlone(Datagram),
    /// Nobody has answered whoever wants to connect.
    NoAnswer {
        id: u64,
        attempt: u32,
    },
    /// What was sent does not get across.
    GiveUp(u64),
    /// A connection was begun, and whoever began it is not heard of.
    Forget(u64),
}

impl Endpoint {
    pub(super) fn new(host: HostId, kind: Kind) -> Endpoint {
        Endpoint {
            host,
            handles: 1,
            bound: None,
            is_shared: false,
            kind,
            error: None,
            readers: Vec::new(),
            writers: Vec::new(),
        }
    }

    fn waiters(&mut self, direction: Direction) -> &mut Vec<Waiter> {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

impl State {
    pub(super) fn new(this: Weak<World>, settings: Settings) -> State {
        State {
            this,
            settings,
            hosts: BTreeMap::from([(DEFAULT_HOST, Host::default())]),
            names: BTreeMap::from([("localhost".to_owned(), vec![DEFAULT_HOST])]),
            named: 0,
            endpoints: BTreeMap::new(),
            last: 0,
            last_handle: 0,
            ports: BTreeMap::new(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            latencies: BTreeMap::new(),
            held: Vec::new(),
            last_segment: 0,
            woken: Vec::new(),
            statistics: NetworkStatistics::default(),
        }
    }

    pub(super) fn add(&mut self, endpoint: Endpoint) -> u64 {
        self.last += 1;
        self.endpoints.insert(self.last, endpoint);
        self.last
    }

    /// # Errors
    ///
    /// Its host has crashed.
    pub(super) fn endpoint(&mut self, id: u64) -> Result<&mut Endpoint, Errno> {
        match self.endpoints.get_mut(&id) {
            None | Some(Endpoint { kind: Kind::Gone, .. }) => Err(Errno::NETDOWN),
            Some(endpoint) => Ok(endpoint),
        }
    }

    pub(super) fn open_sockets(&self) -> usize {
        self.endpoints.values().filter(|endpoint| !matches!(endpoint.kind, Kind::Gone)).count()
    }

    /// Whether a call in that direction need not wait.
    pub(super) fn is_ready(&self, id: u64, direction: Direction) -> bool {
        let Some(endpoint) = self.endpoints.get(&id) else { return true };
        if endpoint.error.is_some() {
            return true;
        }
        match (&endpoint.kind, direction) {
            (Kind::Listener(listener), Direction::Read) => listener.has_connection(),
            (Kind::Stream(stream), Direction::Read) => stream.is_readable(),
            (Kind::Stream(stream), Direction::Write) => stream.is_writable(self.settings.window),
            (Kind::Datagrams(datagrams), Direction::Read) => datagrams.has_one(),
            (Kind::Fresh | Kind::Gone | Kind::Listener(_) | Kind::Datagrams(_), _) => true,
        }
    }

    /// A number for a socket of the program.
    pub(super) fn new_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    /// One more socket of the program that means this endpoint.
    pub(super) fn share(&mut self, id: u64) -> Result<(), Errno> {
        self.endpoint(id)?.handles += 1;
        Ok(())
    }

    /// One socket of the program less.
    pub(super) fn drop_handle(&mut self, id: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.handles -= 1;
            if endpoint.handles == 0 {
                self.close(id);
            }
        }
    }

    /// Takes an endpoint out, and its name off the port.
    pub(super) fn remove(&mut self, id: u64) -> Option<Endpoint> {
        let mut endpoint = self.endpoints.remove(&id)?;
        self.unbind(id, &endpoint);
        let waiters = endpoint.readers.drain(..).chain(endpoint.writers.drain(..));
        self.woken.extend(waiters.map(|waiter| waiter.ticket));
        Some(endpoint)
    }

    /// All sockets of a host are gone; who was connected to them gets a reset.
    pub(super) fn crash(&mut self, host: HostId) {
        // What it would have sent again and again nobody sends.
        self.held.retain(|segment| segment.sender != host);
        let ids: Vec<u64> =
            self.endpoints.iter().filter(|(_, one)| one.host == host).map(|(id, _)| *id).collect();
        for id in ids {
            self.abandon_stream(id);
            let Some(endpoint) = self.remove(id) else { continue };
            if endpoint.handles > 0 {
                let gone = Endpoint { handles: endpoint.handles, ..Endpoint::new(host, Kind::Gone) };
                self.endpoints.insert(id, gone);
            }
        }
    }

    /// The address of the other side, also of a connection that does not stand yet.
    pub(super) fn far_end(&self, id: u64) -> Option<SocketAddr> {
        match &self.endpoints.get(&id)?.kind {
            Kind::Stream(stream) => Some(stream.peer),
            Kind::Datagrams(datagrams) => datagrams.peer,
            _ => None,
        }
    }

    /// Whether a task waits there, by that very socket.
    pub(super) fn is_waited_for(&mut self, id: u64, handle: u64, direction: Direction) -> bool {
        let is_rival = |waiter: &Waiter| waiter.handle == handle && waiter.ticket.is_waiting();
        self.endpoints.get_mut(&id).is_some_and(|endpoint| endpoint.waiters(direction).iter().any(is_rival))
    }

    /// Keeps a ticket, to be spent when a call in that direction may not have to wait any more.
    pub(super) fn wait(&mut self, id: u64, handle: u64, direction: Direction, ticket: Ticket<()>) {
        let is_ready = self.is_ready(id, direction);
        match self.endpoints.get_mut(&id).filter(|_| !is_ready) {
            Some(endpoint) => endpoint.waiters(direction).push(Waiter { handle, ticket }),
            None => self.woken.push(ticket),
        }
    }

    /// Gives up the tickets of waits that are over.
    pub(super) fn unwait(&mut self, id: u64, direction: Direction) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            let waiters = endpoint.waiters(direction);
            let (open, over): (Vec<_>, Vec<_>) =
                std::mem::take(waiters).into_iter().partition(|waiter| waiter.ticket.is_waiting());
            *waiters = open;
            self.woken.extend(over.into_iter().map(|waiter| waiter.ticket));
        }
    }

    /// Whoever waits there looks again.
    pub(super) fn wake(&mut self, id: u64, direction: Direction) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            self.woken.extend(endpoint.waiters(direction).drain(..).map(|waiter| waiter.ticket));
        }
    }

    pub(super) fn later(&self, at: Instant, event: Event) -> Timer {
        let world = self.this.clone();
        time::call_at(at, move || {
            if let Some(world) = world.upgrade() {
                world.with(|state| state.happen(event));
            }
        })
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(segment) => self.arrive(segment),
            Event::ArrivesAlone(datagram) => self.arrive_alone(datagram),
            Event::NoAnswer { id, attempt } => self.ask_again(id, attempt),
            Event::GiveUp(id) => self.break_off(id, Errno::TIMEDOUT),
            Event::Forget(id) => self.forget(id),
        }
    }
}
