//! Hosts, their addresses and ports, and the links between them.

use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

use super::state::{Endpoint, Kind, State};
use crate::scheduler;
use crate::task::TaskLocal;

/// On which host a task runs, if anybody has said.
pub(super) static HOST: TaskLocal<Option<HostId>> = TaskLocal::new(|| None);

/// A host, by the first of its addresses.
pub(super) type HostId = IpAddr;

/// A host where a program runs for which nobody has said where.
pub(super) const DEFAULT_HOST: HostId = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// As what other hosts see that one, whose address means themselves to them. From the addresses for tests of networks (RFC 2544), as
/// are those of hosts that have a name and nothing else.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The first of the ports that are given to whoever does not care (RFC 6335).
const FIRST_EPHEMERAL: u16 = 49_152;

#[derive(Default)]
pub(super) struct Host {
    pub(super) last_port: u16,
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

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Protocol {
    Tcp,
    Udp,
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

impl State {
    /// That of the running task.
    pub(super) fn current_host() -> HostId {
        HOST.get().unwrap_or(DEFAULT_HOST)
    }

    pub(super) fn host(&mut self, text: &str) -> Option<HostId> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() || address == FIRST_ADDRESS => Some(DEFAULT_HOST),
            Ok(address) => {
                self.hosts.entry(address).or_default();
                Some(address)
            }
            Err(_) => self.names.get(text)?.first().copied(),
        }
    }

    pub(super) fn host_or_new(&mut self, text: &str) -> HostId {
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
    pub(super) fn outer_address(&self, host: HostId) -> IpAddr {
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

    pub(super) fn unbind(&mut self, id: u64, endpoint: &Endpoint) {
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
}

impl State {
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
}
