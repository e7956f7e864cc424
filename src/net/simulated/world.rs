//! The simulated network of a runtime, and what a test asks of it. Hosts are named by an address or a name.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::hosts::{HOST, HostId, Link};
use super::settings::{NetworkStatistics, Settings};
use super::state::State;
use crate::scheduler;

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
        scheduler::set_extension(world)
    }

    /// The one of this thread's runtime.
    pub(crate) fn current() -> Option<Rc<World>> {
        scheduler::extension()
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

    // What a test asks for.

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
