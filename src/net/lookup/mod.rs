//! Names: looked up by other threads, since the system's own way blocks whoever calls it, and there is none that does not.
//!
//! A lookup borrows nothing, so that it can be abandoned: its thread finishes alone, and nobody hears the answer.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::addresses::ToSocketAddrs;
use super::simulated::World;
use crate::blocking::Pool;
use crate::error::JoinError;
use crate::scheduler::fork::PerProcess;
use crate::scheduler::lowlevel::{self, Why};

/// Lookups at the same time. They do nothing but wait for name servers; so many are more than these are asked at once.
const MOST: usize = 32;

/// How long a thread waits for more: a burst of connections is over by then, and a thread costs nothing to start beside a lookup.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds addresses, and may block the thread.
pub(super) type Find = Box<dyn FnOnce() -> io::Result<Vec<SocketAddr>> + Send>;

/// The addresses of a host, in the order in which they are to be tried; Python's `getaddrinfo`.
///
/// ```
/// use ropewalk::net;
///
/// ropewalk::run(|| {
///     let addresses = net::lookup_host("localhost:80").unwrap();
///     assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// });
/// ```
///
/// It asks the system, as std does: `/etc/hosts`, name servers and whatever else is set up there. That is done by up to 32
/// threads, which are started when they are needed and end when they have had nothing to do for some seconds; the task parks. What
/// is an address already is answered at once.
///
/// Outside of [`run`](crate::run) it blocks the thread.
///
/// # Cancellation
///
/// The lookup is abandoned, and its thread ends it alone. So a name server that does not answer has a limit in
/// [`timeout`](crate::time::timeout). A clock that is [virtual](crate::Clock::Virtual) stands still until the answer is there.
///
/// # Errors
///
/// Nothing was found: `NotFound`. The text is no host and port: `InvalidInput`. What the system says else.
/// [`Cancelled`](crate::Cancelled).
#[doc(alias = "getaddrinfo")]
#[track_caller]
pub fn lookup_host(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    lowlevel::cross_may_wait()?;
    Ok(host.to_addresses()?.resolve()?.addresses)
}

/// The addresses of a host that is no address itself. `name` is what dumps and errors show.
#[track_caller]
pub(super) fn by_name(host: String, port: u16, name: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(world) = World::current() {
        return match world.look_up(&host) {
            Some(found) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            None => Err(not_found(name.to_owned(), io::ErrorKind::NotFound.into())),
        };
    }
    let shown = name.to_owned();
    let find = move || {
        use std::net::ToSocketAddrs;
        match (host, port).to_socket_addrs() {
            Ok(found) if found.len() > 0 => Ok(found.collect()),
            Ok(_) => Err(not_found(shown, io::ErrorKind::NotFound.into())),
            Err(error) => Err(not_found(shown, error)),
        }
    };
    on_thread(Box::new(find), name)
}

/// Has a thread find the addresses, and parks until it has.
#[track_caller]
pub(super) fn on_thread(find: Find, shown: &str) -> io::Result<Vec<SocketAddr>> {
    static POOL: PerProcess<Pool> = PerProcess::new();
    lowlevel::cross_may_wait()?;
    if lowlevel::current_id().is_none() {
        return find();
    }
    let pool = POOL.get(|| Pool::builder().threads(MOST).name("ropewalk-lookup").idle_time(PATIENCE).build());
    let job = pool.submit(find);
    if let Err(cancelled) = job.wait_as(&Why::new("lookup").on(&shown)) {
        // If a thread is at it, it ends that alone.
        job.cancel();
        return Err(cancelled.into());
    }
    job.join().map_err(JoinError::resume_panic)?
}

/// Says for which name. What std has no kind for gets one: that there is no such host.
fn not_found(name: String, error: io::Error) -> io::Error {
    let kind = match error.kind() {
        io::ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        kind if error.raw_os_error().is_some() => kind,
        _ => io::ErrorKind::NotFound,
    };
    io::Error::new(kind, NotFound { name, error })
}

#[derive(Debug)]
struct NotFound {
    name: String,
    error: io::Error,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address of {}: {}", self.name, self.error)
    }
}

impl Error for NotFound {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
