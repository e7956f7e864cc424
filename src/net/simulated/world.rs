//! The world of a simulated network: hosts, the links between them, and what is underway.
//!
//! Words: an *endpoint* is what a socket is here. A *link* is what two hosts have between them; a partition *cuts* it. What
//! cannot get across a link that is cut is *held*, if somebody would send it again and again, or lost.
//!
//! Invariants:
//! - Nothing happens but in a call, or when a timer is due: what is underway is a timer each.
//! - Nobody is woken, and no ticket is dropped, while the state is borrowed: what is dropped with a ticket may be the user's.
//! - Chance is the runtime's, and there is no order but that of numbers and addresses: a seed gives one history.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::datagram::{Datagram, Datagrams};
use super::settings::{NetworkStatistics, Settings};
use super::stream::{Listener, Segment, Stream};
use crate::scheduler;
use crate::scheduler::io::Direction;
use crate::scheduler::lowlevel::Ticket;
use crate::task::TaskLocal;
use crate::time::{self, Timer};

/// On which host a task runs, if anybody has said.
static HOST: TaskLocal<Option<HostId>> = TaskLocal::new(|| None);

/// A host, by the first of its addresses.
pub(super) type HostId = IpAddr;

/// A host where a program runs for which nobody has said where.
pub(super) const DEFAULT_HOST: HostId = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// As what other hosts see that one, whose address means themselves to them. From the addresses for tests of networks (RFC 2544), as
/// are those of hosts that have a name and nothing else.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The first of the ports that are given to whoever does not care (RFC 6335).
const FIRST_EPHEMERAL: u16 = 49_152;

pub(crate) struct World {
    number: u64,
    state: RefCell<State>,
}

impl World {
    /// A new one, for this thread's runtime; and the one it had.
    ///
    /// # Panics
    ///
    /// Outside of `run`.
    #[track_caller]
    pub(crate) fn install(settings: Settings) -> (Rc<World>, Option<Rc<World>>) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Relaxed: that no two are equal is all there is to it.
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let world = Rc::new_cyclic(|world| World {
            number,
            state: RefCell::new(State::new(world.clone(), settings)),
        });
        let before = World::replace(Some(world.clone()));
        (world, before)
    }

    /// The one of this thread's runtime is that from now on; the one it had.
    #[track_caller]
    pub(crate) fn replace(world: Option<Rc<World>>) -> Option<Rc<World>> {
        let world = world.map(|world| -> Rc<dyn std::any::Any> { world });
        scheduler::set_extension(world)?.downcast().ok()
    }

    /// The one of this thread's runtime.
    pub(crate) fn current() -> Option<Rc<World>> {
        scheduler::extension()?.downcast().ok()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Looks at the state, or changes it; then wakes those whom that concerns.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (result, woken) = {
            let mut state = self.state.borrow_mut();
            (act(&mut state), std::mem::take(&mut state.woken))
        };
        for ticket in woken {
            // A wait that is over needs nothing: who waits next looks at the state before.
            let _ = ticket.wake(());
        }
        result
    }

    /// Runs `body`, and what it spawns, as on that host.
    #[track_caller]
    pub(crate) fn on_host<T>(&self, host: &str, body: impl FnOnce() -> T) -> T {
        let host = self.with(|state| state.host_or_new(host));
        HOST.with_value(Some(host), body)
    }

    /// Whether this world answers for names as far as it knows them; without any, nobody does.
    pub(crate) fn look_up(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.with(|state| state.names.get(name).cloned())
    }

    // What a test asks for. Hosts are named by an address or a name.

    pub(crate) fn add_name(&self, name: &str, address: IpAddr) {
        self.with(|state| {
            state.hosts.entry(address).or_default();
            state.names.entry(name.to_owned()).or_default().push(address);
        });
    }

    #[track_caller]
    pub(crate) fn address_of(&self, host: &str) -> IpAddr {
        self.with(|state| {
            let host = state.host(host)?;
            Some(state.outer_address(host))
        })
        .unwrap_or_else(|| unknown(host))
    }

    #[track_caller]
    pub(crate) fn partition(&self, a: &str, b: &str) {
        let link = self.link(a, b);
        self.with(|state| state.cuts.insert(link));
    }

    #[track_caller]
    pub(crate) fn heal(&self, a: &str, b: &str) {
        let link = self.link(a, b);
        self.with(|state| {
            state.cuts.remove(&link);
            state.release();
        });
    }

    #[track_caller]
    pub(crate) fn isolate(&self, host: &str) {
        let host = self.known(host);
        self.with(|state| state.isolated.insert(host));
    }

    #[track_caller]
    pub(crate) fn rejoin(&self, host: &str) {
        let host = self.known(host);
        self.with(|state| {
            state.isolated.remove(&host);
            state.release();
        });
    }

    pub(crate) fn heal_all(&self) {
        self.with(|state| {
            state.cuts.clear();
            state.isolated.clear();
            state.release();
        });
    }

    #[track_caller]
    pub(crate) fn set_latency(&self, a: &str, b: &str, latency: RangeInclusive<Duration>) {
        let link = self.link(a, b);
        self.with(|state| state.latencies.insert(link, latency));
    }

    #[track_caller]
    pub(crate) fn reset_connections(&self, a: &str, b: &str) -> usize {
        let link = self.link(a, b);
        self.with(|state| state.reset_connections(link))
    }

    #[track_caller]
    pub(crate) fn crash(&self, host: &str) {
        let host = self.known(host);
        self.with(|state| state.crash(host));
    }

    pub(crate) fn statistics(&self) -> NetworkStatistics {
        self.with(|state| NetworkStatistics { sockets: state.open_sockets(), ..state.statistics })
    }

    #[track_caller]
    fn known(&self, host: &str) -> HostId {
        self.with(|state| state.host(host)).unwrap_or_else(|| unknown(host))
    }

    #[track_caller]
    fn link(&self, a: &str, b: &str) -> Link {
        Link::between(self.known(a), self.known(b))
    }
}

#[cold]
#[track_caller]
fn unknown(host: &str) -> ! {
    panic!("no host is called `{host}`: `host` or `name` make one")
}

/// What two hosts have between them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Link(HostId, HostId);

impl Link {
    pub(super) fn between(a: HostId, b: HostId) -> Link {
        Link(a.min(b), a.max(b))
    }

    pub(super) fn is_at(self, host: HostId) -> bool {
        self.0 == host || self.1 == host
    }

    /// The one at the other end.
    pub(super) fn other(self, host: HostId) -> HostId {
        if self.0 == host { self.1 } else { self.0 }
    }
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

#[derive(Default)]
struct Host {
    last_port: u16,
}

/// Where something goes that is sent to no address in particular: to this host, as systems have it.
pub(super) fn definite(to: SocketAddr) -> SocketAddr {
    let ip = match to.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, to.port())
}

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

pub(super) struct State {
    this: Weak<World>,
    pub(super) settings: Settings,
    hosts: BTreeMap<HostId, Host>,
    names: BTreeMap<String, Vec<IpAddr>>,
    named: u32,
    pub(super) endpoints: BTreeMap<u64, Endpoint>,
    last: u64,
    last_handle: u64,
    /// Who has a port: listeners, and datagram sockets.
    ports: BTreeMap<(Protocol, HostId, u16), Vec<u64>>,
    cuts: BTreeSet<Link>,
    isolated: BTreeSet<HostId>,
    latencies: BTreeMap<Link, RangeInclusive<Duration>>,
    pub(super) held: Vec<Segment>,
    pub(super) last_segment: u64,
    woken: Vec<Ticket<()>>,
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

/// Who waits, and by which of the sockets that mean the endpoint.
struct Waiter {
    handle: u64,
    ticket: Ticket<()>,
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

/// Where a socket is to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// At all addresses of its host.
    any: bool,
    pub(super) address: SocketAddr,
}

impl Bound {
    pub(super) fn to(address: SocketAddr) -> Bound {
        Bound { any: false, address }
    }

    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        let is_same_family = self.address.is_ipv4() == address.is_ipv4();
        self.address.ip() == address || (self.any && is_same_family)
    }

    fn overlaps(&self, other: &Bound) -> bool {
        self.is_at(other.address.ip()) || other.is_at(self.address.ip())
    }

    /// From where something goes that goes to `to`.
    pub(super) fn source(&self, state: &State, host: HostId, to: IpAddr) -> SocketAddr {
        match self.any.then(|| state.source(host, to)) {
            Some(Ok(ip)) => SocketAddr::new(ip, self.address.port()),
            _ => self.address,
        }
    }
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
    fn new(this: Weak<World>, settings: Settings) -> State {
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

    // Hosts and their addresses.

    /// That of the running task.
    pub(super) fn current_host() -> HostId {
        HOST.get().unwrap_or(DEFAULT_HOST)
    }

    fn host(&mut self, text: &str) -> Option<HostId> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() || address == FIRST_ADDRESS => Some(DEFAULT_HOST),
            Ok(address) => {
                self.hosts.entry(address).or_default();
                Some(address)
            }
            Err(_) => self.names.get(text)?.first().copied(),
        }
    }

    fn host_or_new(&mut self, text: &str) -> HostId {
        if let Some(host) = self.host(text) {
            return host;
        }
        loop {
            self.named += 1;
            let address = IpAddr::V4(Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + self.named));
            if let Entry::Vacant(free) = self.hosts.entry(address) {
                free.insert(Host::default());
                self.names.insert(text.to_owned(), vec![address]);
                return address;
            }
        }
    }

    /// As what other hosts know it.
    fn outer_address(&self, host: HostId) -> IpAddr {
        if host == DEFAULT_HOST { FIRST_ADDRESS.into() } else { host }
    }

    /// Whom `address` means on `host`.
    pub(super) fn resolve(&self, host: HostId, address: IpAddr) -> Option<HostId> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(host);
        }
        if address == FIRST_ADDRESS {
            return Some(DEFAULT_HOST);
        }
        self.hosts.contains_key(&address).then_some(address)
    }

    /// From which address `host` sends to another one.
    pub(super) fn source(&self, host: HostId, to: IpAddr) -> Result<IpAddr, Errno> {
        if to.is_loopback() {
            return Ok(to);
        }
        let own = self.outer_address(host);
        if own.is_ipv4() == to.is_ipv4() { Ok(own) } else { Err(Errno::NETUNREACH) }
    }

    // Endpoints.

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

    fn open_sockets(&self) -> usize {
        self.endpoints.values().filter(|endpoint| !matches!(endpoint.kind, Kind::Gone)).count()
    }

    pub(super) fn bind(&mut self, id: u64, to: SocketAddr) -> Result<(), Errno> {
        let endpoint = self.endpoint(id)?;
        let protocol = match endpoint.kind {
            Kind::Datagrams(_) => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let (host, is_shared) = (endpoint.host, endpoint.is_shared);
        if endpoint.bound.is_some() {
            return Err(Errno::INVAL);
        }
        let any = to.ip().is_unspecified();
        let ip = match to.ip() {
            IpAddr::V4(_) if any && host.is_ipv4() => host,
            IpAddr::V6(_) if any && host.is_ipv6() => host,
            IpAddr::V4(_) if any => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) if any => Ipv6Addr::LOCALHOST.into(),
            own if own.is_loopback() || own == host || own == self.outer_address(host) => own,
            _ => return Err(Errno::ADDRNOTAVAIL),
        };
        let port = match to.port() {
            0 => self.free_port(protocol, host)?,
            port => port,
        };
        let bound = Bound { any, address: SocketAddr::new(ip, port) };
        let there = self.ports.get(&(protocol, host, port)).into_iter().flatten();
        let is_taken = there.filter_map(|other| self.endpoints.get(other)).any(|other| {
            let overlaps = other.bound.is_some_and(|other| other.overlaps(&bound));
            overlaps && !(is_shared && other.is_shared)
        });
        if is_taken {
            return Err(Errno::ADDRINUSE);
        }
        self.ports.entry((protocol, host, port)).or_default().push(id);
        self.endpoint(id)?.bound = Some(bound);
        Ok(())
    }

    /// A port that nobody listens at.
    pub(super) fn free_port(&mut self, protocol: Protocol, host: HostId) -> Result<u16, Errno> {
        let ports = usize::from(u16::MAX - FIRST_EPHEMERAL) + 1;
        let counted = self.hosts.entry(host).or_default();
        for _ in 0..ports {
            counted.last_port = counted.last_port.checked_add(1).unwrap_or(0).max(FIRST_EPHEMERAL);
            if !self.ports.contains_key(&(protocol, host, counted.last_port)) {
                return Ok(counted.last_port);
            }
        }
        Err(Errno::ADDRINUSE)
    }

    /// Those bound to an address, of whom `is_meant`.
    pub(super) fn at(
        &self,
        protocol: Protocol,
        host: HostId,
        address: SocketAddr,
        is_meant: impl Fn(&Endpoint) -> bool,
    ) -> Vec<u64> {
        let at_port = self.ports.get(&(protocol, host, address.port())).into_iter().flatten();
        at_port
            .filter(|id| {
                self.endpoints.get(id).is_some_and(|endpoint| {
                    is_meant(endpoint) && endpoint.bound.is_some_and(|bound| bound.is_at(address.ip()))
                })
            })
            .copied()
            .collect()
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

    fn unbind(&mut self, id: u64, endpoint: &Endpoint) {
        let Some(bound) = endpoint.bound else { return };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let port = (protocol, endpoint.host, bound.address.port());
            if let Some(there) = self.ports.get_mut(&port) {
                there.retain(|other| *other != id);
                if there.is_empty() {
                    self.ports.remove(&port);
                }
            }
        }
    }

    /// All sockets of a host are gone; who was connected to them gets a reset.
    fn crash(&mut self, host: HostId) {
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

    // Waiting.

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

    // Links, chance and time.

    pub(super) fn is_cut(&self, link: Link) -> bool {
        if link.0 == link.1 {
            return false;
        }
        self.cuts.contains(&link) || self.isolated.iter().any(|&host| link.is_at(host))
    }

    pub(super) fn longest_latency(&self, link: Link) -> Duration {
        *self.latencies.get(&link).unwrap_or(&self.settings.latency).end()
    }

    /// How long something is underway.
    pub(super) fn latency(&self, link: Link) -> Duration {
        let range = self.latencies.get(&link).unwrap_or(&self.settings.latency);
        let (least, most) = (*range.start(), *range.end());
        match usize::try_from(most.saturating_sub(least).as_nanos()) {
            Ok(0) => least,
            Ok(more) => least + Duration::from_nanos(scheduler::random(more.saturating_add(1)) as u64),
            Err(_) => most,
        }
    }

    /// Whether something happens that happens with that probability.
    pub(super) fn happens(chance: f64) -> bool {
        /// Finer than any test can tell, and the same number wherever it runs.
        const STEPS: usize = 1 << 30;
        chance > 0.0 && (scheduler::random(STEPS) as f64) < chance * STEPS as f64
    }

    /// Some of `most`, at least one, if counts are to be short.
    pub(super) fn some_of(most: usize, is_short: bool) -> usize {
        if is_short && most > 1 { scheduler::random(most) + 1 } else { most }
    }

    pub(super) fn later(&self, at: Instant, event: Event) -> Timer {
        let world = self.this.clone();
        time::call_at(at, move || {
            if let Some(world) = world.upgrade() {
                world.with(|state| state.happen(event));
            }
        })
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(segment) => self.arrive(segment),
            Event::ArrivesAlone(datagram) => self.arrive_alone(datagram),
            Event::NoAnswer { id, attempt } => self.ask_again(id, attempt),
            Event::GiveUp(id) => self.break_off(id, Errno::TIMEDOUT),
            Event::Forget(id) => self.forget(id),
        }
    }
}
