//! A network in memory: what a program under test finds instead of the system's.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

pub use crate::net::simulated::NetworkStatistics;
use crate::net::simulated::{Settings, World};

/// How a simulated network behaves: for [`Setup::network`](super::Setup::network), or to be [installed](Network::install).
///
/// In a runtime that has one, [`TcpListener`](crate::net::TcpListener), [`TcpStream`](crate::net::TcpStream) and
/// [`UdpSocket`](crate::net::UdpSocket) are simulated. A program runs unchanged, in virtual time, and the same each time.
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::testing::{Network, Setup};
/// use ropewalk::{task, time};
/// use std::io::{self, Write};
/// use std::time::Duration;
///
/// let network = Network::new().latency(Duration::from_millis(20)..=Duration::from_millis(20)).short_reads(true);
/// Setup::new().network(network).run(|| {
///     let began = time::now();
///     let listener = TcpListener::bind("127.0.0.1:80").unwrap();           // No descriptor, and any port.
///     task::scope(|s| {
///         s.spawn(|| listener.accept().unwrap().0.write_all(b"hello"));
///         let stream = TcpStream::connect("127.0.0.1:80").unwrap();        // There and back,
///         assert_eq!(io::read_to_string(stream).unwrap(), "hello");        // and there and back.
///     });
///     assert_eq!(time::now() - began, Duration::from_millis(80));
/// });
/// ```
///
/// Unless it is told otherwise it takes no time and loses nothing. What chance decides comes from the runtime's seed.
///
/// A simulated socket is used in its own runtime. Elsewhere each call on it is an error, and to drop it there does nothing:
/// the other side does not hear of that.
#[derive(Clone, Debug)]
#[must_use = "it is not there until it is installed"]
pub struct Network {
    settings: Settings,
}

/// No moment is later than that: a test that says "for ever" means no more.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 100);

impl Network {
    /// One without delays and faults.
    pub fn new() -> Network {
        Network { settings: Settings::default() }
    }

    /// How long something is underway from one host to another, or on its way within one: at random between these two. What one
    /// side of a connection sends arrives in order; datagrams overtake each other.
    ///
    /// # Panics
    ///
    /// The range is empty.
    #[track_caller]
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Network {
        self.settings.latency = checked(latency);
        self
    }

    /// Whether reads return fewer bytes than there are, at random.
    pub fn short_reads(mut self, short: bool) -> Network {
        self.settings.short_reads = short;
        self
    }

    /// Whether writes take fewer bytes than there is room for, at random.
    pub fn short_writes(mut self, short: bool) -> Network {
        self.settings.short_writes = short;
        self
    }

    /// How likely each write is to find that the connection was reset; from 0 to 1. What it would have written is not sent.
    ///
    /// # Panics
    ///
    /// It is no probability.
    #[track_caller]
    pub fn reset_chance(mut self, chance: f64) -> Network {
        assert_chance(chance);
        self.settings.reset_chance = chance;
        self
    }

    /// How likely a datagram is to be lost; from 0 to 1.
    ///
    /// # Panics
    ///
    /// It is no probability.
    #[track_caller]
    pub fn loss(mut self, chance: f64) -> Network {
        assert_chance(chance);
        self.settings.loss = chance;
        self
    }

    /// How likely a datagram is to come twice; from 0 to 1.
    ///
    /// # Panics
    ///
    /// It is no probability.
    #[track_caller]
    pub fn duplication(mut self, chance: f64) -> Network {
        assert_chance(chance);
        self.settings.duplication = chance;
        self
    }

    /// How many bytes each side of a connection may send before the other has read them; 64 KiB unless set.
    ///
    /// # Panics
    ///
    /// None.
    #[track_caller]
    pub fn window(mut self, bytes: usize) -> Network {
        assert!(bytes > 0, "a window without room lets nothing through");
        self.settings.window = bytes;
        self
    }

    /// The longest datagram; 65,507 bytes unless set, as IPv4 has it. A longer one is an error.
    pub fn max_datagram(mut self, bytes: usize) -> Network {
        self.settings.max_datagram = bytes;
        self
    }

    /// How long it is tried to connect where nobody answers; 127 s unless set, as Linux does.
    pub fn connect_timeout(mut self, time: Duration) -> Network {
        self.settings.connect_timeout = time.min(FOR_EVER);
        self
    }

    /// How long it is tried to get data across a partition before the connection is given up; 924.6 s unless set, as Linux does.
    pub fn send_timeout(mut self, time: Duration) -> Network {
        self.settings.send_timeout = time.min(FOR_EVER);
        self
    }

    /// Has all sockets of this runtime simulated that are made from now on.
    ///
    /// ```
    /// use ropewalk::testing::{self, Network};
    ///
    /// testing::run(|| {
    ///     let network = Network::new().install();
    ///     assert_eq!(network.statistics().connections, 0);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run). If there is a simulated network already.
    #[track_caller]
    pub fn install(&self) -> SimulatedNetwork {
        assert!(World::current().is_none(), "this runtime has a simulated network already");
        SimulatedNetwork { world: World::install(self.settings.clone()).0 }
    }

    /// While `program` runs.
    #[track_caller]
    pub(super) fn around<T>(&self, program: impl FnOnce() -> T) -> T {
        struct PutBack(Option<Rc<World>>);
        impl Drop for PutBack {
            fn drop(&mut self) {
                World::replace(self.0.take());
            }
        }
        let (_, before) = World::install(self.settings.clone());
        let _put_back = PutBack(before);
        program()
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

#[track_caller]
fn assert_chance(chance: f64) {
    assert!((0.0..=1.0).contains(&chance), "a probability is from 0 to 1, and not {chance}");
}

#[track_caller]
fn checked(latency: RangeInclusive<Duration>) -> RangeInclusive<Duration> {
    let (least, most) = latency.into_inner();
    assert!(least <= most, "no time lies between {least:?} and {most:?}");
    least.min(FOR_EVER)..=most.min(FOR_EVER)
}

/// The simulated network of this runtime.
///
/// ```
/// use ropewalk::net::UdpSocket;
/// use ropewalk::testing::{self, Network, Setup};
///
/// Setup::new().network(Network::new()).run(|| {
///     let socket = testing::network().host("10.0.0.1", || UdpSocket::bind("0.0.0.0:53")).unwrap();
///     assert_eq!(socket.local_addr().unwrap().to_string(), "10.0.0.1:53");
///     assert_eq!(testing::network().statistics().sockets, 1);
/// });
/// ```
///
/// # Panics
///
/// There is none.
#[track_caller]
pub fn network() -> SimulatedNetwork {
    match World::current() {
        Some(world) => SimulatedNetwork { world },
        None => panic!("this runtime has no simulated network: `Setup::network` or `Network::install`"),
    }
}

/// The simulated network of a runtime: its hosts, and what happens to the links between them.
///
/// A host is named by its address (`"10.0.0.1"`) or by a name (`"db"`). A task that nobody has put on one runs on the default host:
/// that is `"127.0.0.1"`, or `"localhost"`. To each host 127.0.0.1 means itself; to others, the default host is 198.18.0.1.
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
/// use ropewalk::testing::{self, Network, Setup};
/// use ropewalk::{task, time};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// Setup::new().network(Network::new()).run(|| {
///     let network = testing::network();
///     task::scope(|s| {
///         network.host("10.0.0.1", || {
///             let listener = TcpListener::bind("0.0.0.0:80").unwrap();
///             s.spawn(move || {                                            // A task inherits its host.
///                 let (mut stream, peer) = listener.accept().unwrap();
///                 assert_eq!(peer.ip().to_string(), "10.0.0.2");
///                 stream.write_all(b"late").unwrap();
///             });
///         });
///         let mut stream = network.host("10.0.0.2", || TcpStream::connect("10.0.0.1:80").unwrap());
///         network.partition("10.0.0.1", "10.0.0.2");
///         let mut buffer = [0; 4];
///         let minute = Duration::from_secs(60);
///         assert!(time::timeout(minute, || stream.read(&mut buffer)).is_err());
///         network.heal("10.0.0.1", "10.0.0.2");
///         assert_eq!((stream.read(&mut buffer).unwrap(), &buffer), (4, b"late"));
///     });
/// });
/// ```
#[derive(Clone)]
pub struct SimulatedNetwork {
    world: Rc<World>,
}

impl SimulatedNetwork {
    /// Runs `body`, and the tasks that it spawns, as on that host: there it listens, and from there it connects. A name that is new
    /// is given an address.
    ///
    /// # Panics
    ///
    /// Outside of tasks.
    #[track_caller]
    pub fn host<T>(&self, host: impl fmt::Display, body: impl FnOnce() -> T) -> T {
        self.world.on_host(&host.to_string(), body)
    }

    /// Gives a name to an address, which lookups find. One name may have several.
    pub fn name(&self, name: &str, address: IpAddr) {
        self.world.add_name(name, address);
    }

    /// The address by which other hosts know it.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn address(&self, host: impl fmt::Display) -> IpAddr {
        self.world.address_of(&host.to_string())
    }

    /// Nothing gets from one host to the other any more, nor back.
    ///
    /// Datagrams are lost. Connections stay: what is sent arrives when the partition is [healed](SimulatedNetwork::heal), or
    /// the sender gives it up after [a time](Network::send_timeout). Who connects tries again, as long as
    /// [that](Network::connect_timeout) takes.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn partition(&self, a: impl fmt::Display, b: impl fmt::Display) {
        self.world.partition(&a.to_string(), &b.to_string());
    }

    /// Ends a partition between these two hosts.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn heal(&self, a: impl fmt::Display, b: impl fmt::Display) {
        self.world.heal(&a.to_string(), &b.to_string());
    }

    /// Cuts a host off from all others, until it [rejoins](SimulatedNetwork::rejoin) them.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn isolate(&self, host: impl fmt::Display) {
        self.world.isolate(&host.to_string());
    }

    /// The end of an isolation. Partitions stay.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn rejoin(&self, host: impl fmt::Display) {
        self.world.rejoin(&host.to_string());
    }

    /// Ends all partitions and isolations.
    pub fn heal_all(&self) {
        self.world.heal_all();
    }

    /// How long something is underway between these two, from now on: see [`Network::latency`].
    ///
    /// # Panics
    ///
    /// There is no such host. The range is empty.
    #[track_caller]
    pub fn set_latency(&self, a: impl fmt::Display, b: impl fmt::Display, latency: RangeInclusive<Duration>) {
        self.world.set_latency(&a.to_string(), &b.to_string(), checked(latency));
    }

    /// Resets all connections between these two, at once and for both sides; says how many there were.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn reset_connections(&self, a: impl fmt::Display, b: impl fmt::Display) -> usize {
        self.world.reset_connections(&a.to_string(), &b.to_string())
    }

    /// All sockets of a host are gone, as if it had started anew: who was connected to them gets a reset, and on the host itself each
    /// call on them fails. Its tasks go on, and may open new ones; to end them too, cancel them.
    ///
    /// # Panics
    ///
    /// There is no such host.
    #[track_caller]
    pub fn crash(&self, host: impl fmt::Display) {
        self.world.crash(&host.to_string());
    }

    /// What has happened so far.
    #[doc(alias = "stats")]
    pub fn statistics(&self) -> NetworkStatistics {
        self.world.statistics()
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNetwork").finish_non_exhaustive()
    }
}
