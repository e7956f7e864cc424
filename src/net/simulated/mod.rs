//! A network in memory, for tests: what sockets are made of in a runtime that has one.
//!
//! A socket is two numbers, its world's and its endpoint's, which it looks up in the runtime that it is used in. So it is as free to
//! go anywhere as one with a descriptor, and harmless there.

mod connecting;
mod datagram;
mod hosts;
mod segment;
mod settings;
mod state;
mod stream;
mod world;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

pub use self::settings::NetworkStatistics;
pub(crate) use self::settings::Settings;
use self::state::{Endpoint, Kind, State};
pub(crate) use self::world::World;
use crate::scheduler::io::{Direction, busy};
use crate::scheduler::lowlevel::{self, Arm, ByTicket, Register, Ticket};

/// A socket of a simulated network.
pub(super) struct Socket {
    world: u64,
    id: u64,
    /// Among all that mean the same endpoint.
    handle: u64,
    family: AddressFamily,
    kind: SocketType,
    /// A socket of the system that is connected to nothing: made for who asks for a descriptor, and for options, which it remembers.
    stand_in: OnceLock<OwnedFd>,
}

impl Socket {
    /// A new one, if this thread's runtime has a simulated network, and it is of a kind that goes over networks.
    pub(super) fn open(family: AddressFamily, kind: SocketType) -> Option<Socket> {
        let is_known = matches!(family, AddressFamily::INET | AddressFamily::INET6);
        let endpoint = match kind {
            SocketType::STREAM if is_known => Kind::Fresh,
            SocketType::DGRAM if is_known => Kind::Datagrams(datagram::Datagrams::default()),
            _ => return None,
        };
        let world = World::current()?;
        let id = world.with(|state| state.add(Endpoint::new(State::current_host(), endpoint)));
        Some(Socket::of(&world, id, family, kind))
    }

    fn of(world: &World, id: u64, family: AddressFamily, kind: SocketType) -> Socket {
        let handle = world.with(State::new_handle);
        Socket { world: world.number(), id, handle, family, kind, stand_in: OnceLock::new() }
    }

    /// # Errors
    ///
    /// This is another runtime, or none.
    fn world(&self) -> io::Result<Rc<World>> {
        World::current().filter(|world| world.number() == self.world).ok_or_else(|| {
            let what =
                "this socket is of a simulated network, and can be used only in the runtime that has it";
            io::Error::new(io::ErrorKind::NotConnected, what)
        })
    }

    /// What need not be waited for.
    fn now<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> io::Result<T> {
        Ok(self.world()?.with(act)?)
    }

    /// Tries until it has worked, or failed; parks meanwhile.
    #[track_caller]
    fn call<T>(
        &self,
        direction: Direction,
        what: &'static str,
        attempt: impl FnMut(&mut State) -> Option<Result<T, Errno>>,
    ) -> io::Result<T> {
        let at = self.waits(direction)?;
        lowlevel::wait_as(what, &mut Call { at, attempt })?
    }

    pub(super) fn bind(&self, to: SocketAddr) -> io::Result<()> {
        self.now(|state| state.bind(self.id, to))
    }

    /// Others who say so may be bound to the same address.
    pub(super) fn share_address(&self) -> io::Result<()> {
        self.now(|state| {
            state.endpoint(self.id)?.is_shared = true;
            Ok(())
        })
    }

    pub(super) fn listen(&self, backlog: i32) -> io::Result<()> {
        self.now(|state| state.listen(self.id, usize::try_from(backlog).unwrap_or(0)))
    }

    /// Of TCP, begins to connect; of UDP, says who the other side is.
    pub(super) fn begin_connect(&self, to: SocketAddr) -> io::Result<()> {
        match self.kind {
            SocketType::DGRAM => self.now(|state| state.set_peer(self.id, to)),
            _ => self.now(|state| state.connect(self.id, to)),
        }
    }

    /// What has become of that, if it is known.
    pub(super) fn try_connected(&self) -> Option<io::Result<()>> {
        self.attempt(Direction::Write, |state| state.try_connected(self.id))
    }

    #[track_caller]
    pub(super) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.begin_connect(to)?;
        self.call(Direction::Write, "connect", |state| state.try_connected(self.id))
    }

    #[track_caller]
    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (id, peer) = self.call(Direction::Read, "accept", |state| state.try_accept(self.id))?;
        Ok((self.accepted(id)?, peer))
    }

    pub(super) fn try_accept(&self) -> Option<io::Result<(Socket, SocketAddr)>> {
        let accepted = self.attempt(Direction::Read, |state| state.try_accept(self.id))?;
        Some(accepted.and_then(|(id, peer)| Ok((self.accepted(id)?, peer))))
    }

    fn accepted(&self, id: u64) -> io::Result<Socket> {
        Ok(Socket::of(&*self.world()?, id, self.family, self.kind))
    }

    #[track_caller]
    pub(super) fn recv(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        if self.kind == SocketType::DGRAM {
            return Ok(self.recv_from(buffer, peek)?.0);
        }
        let what = if peek { "peek" } else { "recv" };
        self.call(Direction::Read, what, |state| state.try_recv(self.id, buffer, peek))
    }

    #[track_caller]
    pub(super) fn recv_from(&self, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let what = if peek { "peek" } else { "recv" };
        self.call(Direction::Read, what, |state| state.try_recv_from(self.id, buffer, peek))
    }

    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.kind == SocketType::DGRAM {
            return self
                .call(Direction::Write, "send", |state| Some(state.send_datagram(self.id, bytes, None)));
        }
        self.call(Direction::Write, "send", |state| state.try_send(self.id, bytes))
    }

    #[track_caller]
    pub(super) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.call(Direction::Write, "send", |state| Some(state.send_datagram(self.id, bytes, Some(to))))
    }

    pub(super) fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        let (read, write) = match how {
            std::net::Shutdown::Read => (true, false),
            std::net::Shutdown::Write => (false, true),
            std::net::Shutdown::Both => (true, true),
        };
        self.now(|state| state.shutdown(self.id, read, write))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let bound = self.now(|state| Ok(state.endpoint(self.id)?.bound))?;
        let nowhere: SocketAddr = match self.family {
            AddressFamily::INET6 => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            _ => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        Ok(bound.map_or(nowhere, |bound| bound.address))
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.now(|state| state.peer(self.id))
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.now(|state| Ok(state.endpoint(self.id)?.error.take().map(io::Error::from)))
    }

    /// Whether a close resets the connection.
    pub(super) fn set_resets_when_closed(&self, resets: bool) -> io::Result<()> {
        self.now(|state| {
            state.set_resets_when_closed(self.id, resets);
            Ok(())
        })
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let world = self.world()?;
        world.with(|state| state.share(self.id))?;
        let clone = Socket::of(&world, self.id, self.family, self.kind);
        if let Some(fd) = self.stand_in.get() {
            clone.stand_in.get_or_init(|| fd.try_clone().unwrap_or_else(|_| clone.make_stand_in()));
        }
        Ok(clone)
    }

    /// Whether a call in that direction need not wait.
    pub(super) fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        self.now(|state| Ok(state.is_ready(self.id, direction)))
    }

    #[track_caller]
    pub(super) fn wait(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        self.call(direction, what, |state| state.is_ready(self.id, direction).then_some(Ok(())))
    }

    /// For arms: `None` where nothing is to be waited for.
    pub(super) fn place(&self, direction: Direction) -> Option<Place> {
        Some(ByTicket::new(self.waits(direction).ok()?))
    }

    fn waits(&self, direction: Direction) -> io::Result<Waits> {
        Ok(Waits { world: self.world()?, id: self.id, handle: self.handle, direction })
    }

    /// Once, for arms.
    fn attempt<T>(
        &self,
        direction: Direction,
        attempt: impl FnMut(&mut State) -> Option<Result<T, Errno>>,
    ) -> Option<io::Result<T>> {
        match self.waits(direction) {
            Ok(at) => Call { at, attempt }.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn make_stand_in(&self) -> OwnedFd {
        let opened = rustix::net::socket(self.family, self.kind, None);
        let opened = opened
            .or_else(|_| rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()));
        // As where std has no descriptor left for what cannot fail.
        opened.unwrap_or_else(|error| panic!("no descriptor for a simulated socket: {error}"))
    }

    /// The descriptor that stands in for this, which is connected to nothing.
    pub(super) fn into_fd(mut self) -> OwnedFd {
        let taken = self.stand_in.take();
        taken.unwrap_or_else(|| self.make_stand_in())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stand_in.get_or_init(|| self.make_stand_in()).as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Ok(world) = self.world() {
            world.with(|state| state.drop_handle(self.id));
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated {}", self.id)
    }
}

/// Where a task waits for a socket.
pub(crate) type Place = ByTicket<Waits>;

/// Tasks that wait for a socket in one direction.
#[derive(Clone)]
pub struct Waits {
    world: Rc<World>,
    id: u64,
    handle: u64,
    direction: Direction,
}

impl Register for Waits {
    type Value = ();

    fn register(&self, ticket: Ticket<()>) {
        self.world.with(|state| state.wait(self.id, self.handle, self.direction, ticket));
    }

    fn undo(&self) {
        self.world.with(|state| state.unwait(self.id, self.direction));
    }
}

/// The arm that tries again whenever something has changed.
struct Call<F> {
    at: Waits,
    attempt: F,
}

impl<T, F: FnMut(&mut State) -> Option<Result<T, Errno>>> Arm for Call<F> {
    type Output = io::Result<T>;
    type Place = Place;

    fn try_now(&mut self) -> Option<io::Result<T>> {
        let Waits { world, id, handle, direction } = &self.at;
        world.with(|state| match (self.attempt)(state) {
            Some(done) => Some(done.map_err(io::Error::from)),
            None if state.is_waited_for(*id, *handle, *direction) => Some(Err(busy(*direction))),
            None => None,
        })
    }

    fn place(&mut self) -> Place {
        ByTicket::new(self.at.clone())
    }

    fn end(&mut self, place: Place) -> Option<io::Result<T>> {
        place.into_value().and_then(|()| self.try_now())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.show(f)
    }
}

impl Waits {
    /// Which socket it is.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.world.with(|state| {
            if let Ok(Some(bound)) = state.endpoint(self.id).map(|endpoint| endpoint.bound) {
                write!(f, "at {}", bound.address)?;
            }
            match state.far_end(self.id) {
                Some(peer) => write!(f, " of {peer}"),
                None => Ok(()),
            }
        })
    }
}
