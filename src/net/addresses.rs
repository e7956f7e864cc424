//! What one can connect to or listen at: addresses, and names that have to be looked up first.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::lookup;

/// What has addresses; as [`std::net::ToSocketAddrs`], but that names are looked up by other threads while the task parks.
///
/// It is there for all that std's is there for:
///
/// ```
/// use ropewalk::net::{TcpListener, TcpStream};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("localhost:0")?;
///     let address = listener.local_addr()?;
///     TcpStream::connect(address)?;
///     TcpStream::connect(("localhost", address.port()))?;
///     TcpStream::connect(format!("localhost:{}", address.port()))?;
///     TcpStream::connect(&[address, address][..])
/// })
/// .unwrap();
/// ```
///
/// A type of your own says what its addresses are, and nothing waits in it:
///
/// ```
/// use ropewalk::net::{self, Addresses, ToSocketAddrs};
/// use std::io;
///
/// enum Node {
///     Near(u16),
///     Far(String),
/// }
///
/// impl ToSocketAddrs for Node {
///     fn to_addresses(&self) -> io::Result<Addresses> {
///         match self {
///             Node::Near(port) => Ok(Addresses::of_host("127.0.0.1", *port)),
///             Node::Far(name) => Ok(Addresses::of_host(name, 7000)),
///         }
///     }
/// }
///
/// let found = ropewalk::run(|| net::lookup_host(Node::Near(80)));
/// assert_eq!(found.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
/// ```
///
/// One that has std's trait already goes in an [`OnThread`]. This trait is not simply there for all of those: nobody could
/// tell what std's method is about to look up, and it would stop the whole thread.
pub trait ToSocketAddrs {
    /// Says what there is to try, in this order. It must not wait: what waits goes into [`Addresses::found_by`].
    ///
    /// # Errors
    ///
    /// A text that cannot be an address: of the kind `InvalidInput`.
    fn to_addresses(&self) -> io::Result<Addresses>;
}

/// What there is to try: addresses, or how they are to be found. See [`ToSocketAddrs`].
pub struct Addresses {
    kind: Kind,
}

enum Kind {
    /// Most are: whatever sends datagrams has one for each.
    One(SocketAddr),
    Known(Vec<SocketAddr>),
    Named {
        host: String,
        port: u16,
    },
    FoundBy(Box<dyn FnOnce() -> io::Result<Vec<SocketAddr>> + Send>),
}

/// Addresses that are known by now.
pub(super) struct Resolved {
    pub(super) addresses: Vec<SocketAddr>,
    /// The host and port that they were looked up for.
    pub(super) name: Option<String>,
    /// Whether they were given as they are: then there is a thought behind their order.
    pub(super) are_given: bool,
}

impl Addresses {
    /// A host, whose name is looked up when the addresses are wanted; the text of an address need not be.
    pub fn of_host(host: &str, port: u16) -> Addresses {
        match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port).into(),
            Err(_) => Addresses { kind: Kind::Named { host: host.to_owned(), port } },
        }
    }

    /// Whatever `find` finds. It runs on a thread of its own, and may block that.
    pub fn found_by(find: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static) -> Addresses {
        Addresses { kind: Kind::FoundBy(Box::new(find)) }
    }

    /// The first of them.
    #[track_caller]
    pub(super) fn first(self) -> io::Result<SocketAddr> {
        match self.kind {
            // Not by way of the heap: this is done for each datagram.
            Kind::One(address) => Ok(address),
            _ => self.resolve()?.addresses.into_iter().next().ok_or_else(no_address),
        }
    }

    /// Does something with each, until it works; the error of the last.
    #[track_caller]
    pub(super) fn first_that<T>(self, mut works: impl FnMut(&SocketAddr) -> io::Result<T>) -> io::Result<T> {
        let mut last = None;
        for address in self.resolve()?.addresses {
            match works(&address) {
                Ok(value) => return Ok(value),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// Looks up what is not known.
    #[track_caller]
    pub(super) fn resolve(self) -> io::Result<Resolved> {
        match self.kind {
            Kind::One(address) => Ok(Resolved { addresses: vec![address], name: None, are_given: true }),
            Kind::Known(addresses) => Ok(Resolved { addresses, name: None, are_given: true }),
            Kind::Named { host, port } => {
                let name = format!("{host}:{port}");
                let addresses = lookup::by_name(host, port, &name)?;
                Ok(Resolved { addresses, name: Some(name), are_given: false })
            }
            Kind::FoundBy(find) => {
                let addresses = lookup::on_thread(find, "addresses")?;
                Ok(Resolved { addresses, name: None, are_given: false })
            }
        }
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Addresses {
        Addresses { kind: Kind::One(address) }
    }
}

impl FromIterator<SocketAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = SocketAddr>>(addresses: I) -> Addresses {
        Addresses { kind: Kind::Known(addresses.into_iter().collect()) }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::One(address) => f.debug_tuple("Addresses").field(address).finish(),
            Kind::Known(addresses) => f.debug_tuple("Addresses").field(addresses).finish(),
            Kind::Named { host, port } => write!(f, "Addresses({host:?}, {port})"),
            Kind::FoundBy(_) => f.write_str("Addresses(to be found)"),
        }
    }
}

/// Anything that has std's trait: its `to_socket_addrs` is called on a thread of its own, which it may block.
///
/// ```
/// use ropewalk::net::{self, OnThread};
///
/// let found = ropewalk::run(|| net::lookup_host(OnThread(("127.0.0.1", 80))));
/// assert_eq!(found.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OnThread<T>(pub T);

impl<T: std::net::ToSocketAddrs + Clone + Send + 'static> ToSocketAddrs for OnThread<T> {
    fn to_addresses(&self) -> io::Result<Addresses> {
        let addresses = self.0.clone();
        Ok(Addresses::found_by(move || Ok(addresses.to_socket_addrs()?.collect())))
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try")
}

macro_rules! known {
    ($($type:ty),+) => {
        $(
            impl ToSocketAddrs for $type {
                fn to_addresses(&self) -> io::Result<Addresses> {
                    Ok(SocketAddr::from(*self).into())
                }
            }
        )+
    };
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for [SocketAddr] {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(self.iter().copied().collect())
    }
}

impl<const N: usize> ToSocketAddrs for [SocketAddr; N] {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self[..].to_addresses()
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self[..].to_addresses()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::of_host(self.0, self.1))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (&*self.0, self.1).to_addresses()
    }
}

/// `host:port`.
impl ToSocketAddrs for str {
    fn to_addresses(&self) -> io::Result<Addresses> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{self:?} {what}"));
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid("has no port: write host:port"))?;
        let port = port.parse().map_err(|_| invalid("has a port that is no number up to 65535"))?;
        // An address that only the system can read, such as one with the name of an interface.
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Ok(Addresses::of_host(inner.unwrap_or(host), port))
    }
}

impl ToSocketAddrs for String {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (**self).to_addresses()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (**self).to_addresses()
    }
}
