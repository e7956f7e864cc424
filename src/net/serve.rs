//! Serving: an accept loop, a task for each connection, and an end that lets connections finish.
//!
//! Words: a server *stops* when it accepts no more; connections that are *open* then have a *grace* to end in, after which they
//! are cancelled.
//!
//! Invariants:
//! - A connection counts as open from when it was accepted until its task has ended, also if that never began.
//! - What goes wrong in a connection, or in what is told of it, ends there.
//! - Whoever waits for a server to end is not a part of it: see [`Inside`].

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net as unix;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::tcp::{TcpListener, TcpStream};
use super::unix::{UnixListener, UnixStream};
use crate::error::{Cancelled, Panic};
use crate::scheduler;
use crate::select::select;
use crate::sync::{Event, Latch, Permit, Semaphore};
use crate::task::{self, Canceller, Scope, TaskLocal};
use crate::time;

/// The first pause after a connection could not be accepted; it doubles with each that follows. Short, for a descriptor may
/// be free again at once.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause: so late at most is noticed that accepting works again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What connections can be accepted from: see [`serve`].
///
/// For listeners of your own, such as one that unwraps another; also behind a reference, an [`Rc`] or an [`Arc`].
///
/// ```
/// use ropewalk::net::{Listener, TcpListener, TcpStream};
/// use std::io;
/// use std::net::SocketAddr;
///
/// /// Sends small packets at once.
/// struct Prompt(TcpListener);
///
/// impl Listener for Prompt {
///     type Stream = TcpStream;
///     type Peer = SocketAddr;
///
///     fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
///         let (stream, peer) = self.0.accept()?;
///         stream.set_nodelay(true)?;
///         Ok((stream, peer))
///     }
/// }
/// ```
pub trait Listener {
    /// A connection.
    type Stream;
    /// The address of its other side.
    type Peer: Clone + fmt::Debug;

    /// Waits for a connection.
    ///
    /// What makes that last for long, such as a handshake, belongs into the task of the connection: meanwhile nobody else is
    /// accepted.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`]: no connection was taken.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Peer)>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    #[track_caller]
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Peer = unix::SocketAddr;

    #[track_caller]
    fn accept(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        UnixListener::accept(self)
    }
}

/// A listener behind a pointer.
macro_rules! behind {
    ($pointer:ty) => {
        impl<L: Listener + ?Sized> Listener for $pointer {
            type Stream = L::Stream;
            type Peer = L::Peer;

            #[track_caller]
            fn accept(&self) -> io::Result<(L::Stream, L::Peer)> {
                (**self).accept()
            }
        }
    };
}

behind!(&L);
behind!(Box<L>);
behind!(Rc<L>);
behind!(Arc<L>);

/// Accepts connections, and runs `handler` for each in a task of its own; asyncio's `start_server`, trio's `serve_tcp`.
///
/// It goes on until it is cancelled. What a handler fails or panics with ends its own connection and is told to the runtime's
/// [hook](crate::Builder::on_unhandled); an error of another type becomes one of these by [`io::Error::other`]. Handlers may
/// borrow. [`Server`] has more: a limit, a hook of its own, and a way to
/// shut down that lets connections finish.
///
/// ```
/// use ropewalk::net::{self, TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::cell::Cell;
/// use std::io::{self, Read, Write};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let served = Cell::new(0);
///     task::scope(|s| {
///         s.spawn_service(|| {                                   // It ends when the others have.
///             net::serve(&listener, |mut stream, _peer| {
///                 served.set(served.get() + 1);
///                 writeln!(stream, "You are number {}.", served.get())
///             })
///         });
///         for expected in ["You are number 1.\n", "You are number 2.\n"] {
///             let stream = TcpStream::connect(listener.local_addr()?)?;
///             assert_eq!(io::read_to_string(stream)?, expected);
///         }
///         Ok::<_, io::Error>(())
///     })
/// })
/// .unwrap();
/// ```
///
/// # Cancellation
///
/// As for [`Server::serve`]: the connections are cancelled with it, at once.
///
/// # Errors
///
/// As for [`Server::serve`]. Without a [`Controller`] nobody can shut it down, so that it returns nothing but errors.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "start_server")]
#[doc(alias = "serve_tcp")]
#[doc(alias = "serve_listeners")]
#[track_caller]
pub fn serve<L: Listener>(
    listener: L,
    handler: impl Fn(L::Stream, L::Peer) -> io::Result<()>,
) -> io::Result<Served> {
    Server::new(listener).serve(handler)
}

/// Accepts connections and serves them, until it is shut down. For what needs no settings there is [`serve`].
///
/// ```
/// use ropewalk::net::{Server, TcpListener, TcpStream};
/// use ropewalk::task;
/// use std::io::{self, Read, Write};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let server = Server::new(listener).limit(1000).on_error(|error| eprintln!("{error}"));
///     let controller = server.controller();
///     task::scope(|s| {
///         s.spawn(move || server.serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(drop)));
///
///         let mut stream = TcpStream::connect(address)?;
///         stream.write_all(b"rope")?;
///         stream.read_exact(&mut [0; 4])?;
///         drop(stream);                                          // The connection ends within the grace.
///         let served = controller.shutdown(Duration::from_secs(10))?;
///         assert_eq!((served.finished, served.cancelled), (1, 0));
///         assert!(TcpStream::connect(address).is_err());
///         Ok::<_, io::Error>(())
///     })
/// })
/// .unwrap();
/// ```
#[doc(alias = "StreamServer")]
#[must_use = "nobody is served before `serve`"]
pub struct Server<'a, L: Listener> {
    listener: L,
    limit: Option<usize>,
    connection: task::Builder,
    on_error: Option<OnError<'a, L::Peer>>,
    control: Controlled,
}

type OnError<'a, P> = Box<dyn Fn(ServeError<P>) + 'a>;

/// Shuts a [`Server`] down, and tells how it is: from any task of the runtime, and also from a connection of the server.
///
/// It stays on the thread of its server. For another thread to shut that down, have a task wait for its word:
///
/// ```
/// use ropewalk::channel::cross;
/// use ropewalk::net::{Server, TcpListener};
/// use ropewalk::task;
/// use std::io::Write;
/// use std::thread;
/// use std::time::Duration;
///
/// let (stop, stopped) = cross::oneshot();
/// let server = thread::spawn(|| {
///     ropewalk::run(|| {
///         let server = Server::new(TcpListener::bind("127.0.0.1:0")?);
///         let controller = server.controller();
///         task::scope(|s| {
///             // Whoever drops `stop` without a word stops it too.
///             s.spawn(move || controller.shutdown(stopped.recv().unwrap_or_default()));
///             server.serve(|mut stream, _| stream.write_all(b"hello"))
///         })
///     })
/// });
/// stop.send(Duration::from_secs(10)).unwrap();
/// server.join().unwrap().unwrap();
/// ```
#[doc(alias = "ServerHandle")]
#[derive(Clone)]
pub struct Controller {
    control: Rc<Control>,
}

/// How many connections a server has had.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Served {
    /// Connections that have ended, well or not, and were not cancelled.
    pub finished: u64,
    /// Connections that ended after they had been cancelled: at the end of the grace, or with the server.
    pub cancelled: u64,
    /// Connections that are there now. When the server has ended there are none.
    pub open: u64,
}

/// What went wrong in a server that goes on: see [`Server::on_error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError<P> {
    /// The handler of a connection returned an error.
    #[non_exhaustive]
    Failed {
        /// The other side of the connection.
        peer: P,
        /// What the handler returned.
        error: io::Error,
    },
    /// The handler of a connection panicked.
    #[non_exhaustive]
    Panicked {
        /// The other side of the connection.
        peer: P,
        /// What with.
        panic: Panic,
    },
    /// No connection could be accepted, for want of descriptors or memory, say. This is tried again.
    #[non_exhaustive]
    NotAccepted {
        /// What the system said.
        error: io::Error,
        /// When it is tried again, if no connection ends before: then it is tried at once.
        pause: Duration,
    },
}

/// What a server, its connections and its controllers share.
struct Control {
    phase: Cell<Phase>,
    /// When connections are cancelled, once the server is to stop.
    deadline: Cell<Option<Instant>>,
    accepting: Cell<Option<Canceller>>,
    finished: Cell<u64>,
    cancelled: Cell<u64>,
    open: Cell<u64>,
    /// A connection has ended, or the deadline has changed.
    news: Event,
    has_ended: Latch,
}

/// The server's own hold on what it shares. It has ended when this is dropped, whatever ends it, also if it never served.
struct Controlled(Rc<Control>);

impl Drop for Controlled {
    fn drop(&mut self) {
        self.0.phase.set(Phase::Ended);
        self.0.has_ended.set();
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    New,
    Serving,
    Ended,
}

/// Which servers the running task is a part of: such a task cannot wait for their end.
#[derive(Clone)]
struct Inside {
    control: Rc<Control>,
    outer: Option<Rc<Inside>>,
}

/// A task inherits this from whoever spawned it, and so each task of a connection has it.
static INSIDE: TaskLocal<Option<Rc<Inside>>> = TaskLocal::new(|| None);

impl<'a, L: Listener> Server<'a, L> {
    /// A server that accepts from `listener`: one that it owns, or a reference to one.
    ///
    /// One that it owns is closed as soon as the server stops, so that the system refuses those who come later. One that it
    /// borrows stays open: who connects later waits for whoever accepts next.
    pub fn new(listener: L) -> Server<'a, L> {
        Server {
            listener,
            limit: None,
            connection: task::Builder::new().contained(),
            on_error: None,
            control: Controlled(Rc::new(Control::new())),
        }
    }

    /// How many connections may be open at the same time; without a limit, as many as the system has descriptors for.
    ///
    /// At the limit it accepts no more, until one ends: the others wait in the listener's backlog, and do not know it.
    ///
    /// # Panics
    ///
    /// When `connections` is 0: such a server would serve nobody.
    #[track_caller]
    pub fn limit(mut self, connections: usize) -> Self {
        assert!(connections > 0, "a server with a limit of 0 connections would serve nobody");
        self.limit = Some(connections);
        self
    }

    /// The size of the stack of each connection's task: see [`task::Builder::stack_size`].
    ///
    /// # Panics
    ///
    /// More than [`stack::MAX_SIZE`](crate::stack::MAX_SIZE).
    #[track_caller]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.connection = self.connection.stack_size(bytes);
        self
    }

    /// Is told what goes wrong, instead of the runtime's [hook](crate::Builder::on_unhandled).
    ///
    /// It runs in the task that it happened to, and may wait; for the accept loop that means that nobody is accepted meanwhile.
    /// A panic of its own goes to the runtime's hook, and so does a connection for which there was no stack.
    ///
    /// What a handler returns because its wait was cancelled with the server is no news, and is not told.
    pub fn on_error(mut self, hook: impl Fn(ServeError<L::Peer>) + 'a) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    /// With this others shut the server down.
    pub fn controller(&self) -> Controller {
        Controller { control: self.control.0.clone() }
    }

    /// Accepts connections, and runs `handler` for each in a task of its own, until the server has been
    /// [shut down](Controller::shutdown) and all of them have ended.
    ///
    /// The tasks hang in a scope of the server: handlers may borrow, and none is left when this returns. Several servers may
    /// run in one runtime, each with a listener of its own.
    ///
    /// Where connections cannot be accepted, for want of descriptors or memory or because of the network, it pauses and tries
    /// again: after 5 ms, then after twice as long each time, up to a second; and whenever a connection has ended.
    ///
    /// # Cancellation
    ///
    /// What cancels the caller cancels the connections too, at once and without a grace; they are waited for. To let them finish,
    /// shut the server down instead.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]. And what makes the listener useless, such as that it does not listen, or that another task waits to accept
    /// from the same one: then nobody is accepted any more, and the error is returned when the connections have ended. They may
    /// take as long as they like, unless the server is shut down.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "serve_forever")]
    #[track_caller]
    pub fn serve(self, handler: impl Fn(L::Stream, L::Peer) -> io::Result<()>) -> io::Result<Served> {
        let Server { listener, limit, connection, on_error, control: controlled } = self;
        let control = &controlled.0;
        control.phase.set(Phase::Serving);
        let limit = limit.map(|limit| Rc::new(Semaphore::new(limit)));
        let inside = Inside { control: control.clone(), outer: INSIDE.get() };
        let (handler, tell) = (&handler, &|error| tell(on_error.as_ref(), error));
        let result = INSIDE.with_value(Some(Rc::new(inside)), || {
            task::scope(|s| {
                let accepted = control.accept_all(&listener, limit.as_ref(), tell, |stream, peer, permit| {
                    let open = Open::new(s, control.clone(), permit);
                    let name = format!("connection of {peer:?}");
                    connection.clone().name(name).spawn_in(s, move || {
                        let open = open;
                        let outcome = panic::catch_unwind(AssertUnwindSafe(|| handler(stream, peer.clone())));
                        match outcome {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) if Cancelled::is(&error) && open.is_cancelled() => {}
                            Ok(Err(error)) => tell(ServeError::Failed { peer, error }),
                            Err(payload) => tell(ServeError::Panicked { peer, panic: Panic::new(payload) }),
                        }
                    });
                });
                // Those who come now are refused, rather than kept waiting for nobody.
                drop(listener);
                control.let_finish(s, accepted)
            })
        });
        result.map(|()| control.served())
    }
}

/// Tells the server's hook, or the runtime's.
fn tell<P: fmt::Debug>(hook: Option<&OnError<'_, P>>, error: ServeError<P>) {
    match (hook, error) {
        (Some(hook), error) => {
            let told = panic::catch_unwind(AssertUnwindSafe(|| hook(error)));
            told.unwrap_or_else(scheduler::unhandled_panic);
        }
        (None, ServeError::Panicked { panic, .. }) => scheduler::unhandled_panic(panic.into_payload()),
        (None, ServeError::Failed { error, .. }) => {
            scheduler::unhandled_in_server(&format!("ended with an error: {error}"));
        }
        (None, error) => scheduler::unhandled_in_server(&error.to_string()),
    }
}

/// Whether a listener that says this can accept no more, ever or as long as it is used like this.
fn is_final(error: &io::Error) -> bool {
    Cancelled::is(error)
        // Another task waits to accept from it.
        || error.kind() == io::ErrorKind::ResourceBusy
        || matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK))
}

impl Control {
    fn new() -> Control {
        Control {
            phase: Cell::new(Phase::New),
            deadline: Cell::new(None),
            accepting: Cell::new(None),
            finished: Cell::new(0),
            cancelled: Cell::new(0),
            open: Cell::new(0),
            news: Event::new(),
            has_ended: Latch::new(),
        }
    }

    /// Accepts until the server stops. Returns why it does: no error means that it was asked to.
    fn accept_all<L: Listener>(
        &self,
        listener: &L,
        limit: Option<&Rc<Semaphore>>,
        tell: impl Fn(ServeError<L::Peer>),
        mut spawn: impl FnMut(L::Stream, L::Peer, Option<Permit<Rc<Semaphore>>>),
    ) -> io::Result<()> {
        let stopped = task::cancel_scope(|accepting| {
            self.accepting.set(Some(accepting.canceller()));
            if self.deadline.get().is_some() {
                accepting.cancel();
            }
            let mut pause = SHORTEST_PAUSE;
            loop {
                // First there is room, and then somebody to fill it: nobody is accepted to be kept waiting.
                let permit = match limit.map(|limit| limit.acquire_owned()).transpose() {
                    Ok(permit) => permit,
                    Err(cancelled) => return io::Error::from(cancelled),
                };
                // What is going to end now cannot have been the cause.
                self.news.clear();
                match listener.accept() {
                    Ok((stream, peer)) => {
                        spawn(stream, peer, permit);
                        pause = SHORTEST_PAUSE;
                    }
                    Err(error) if is_final(&error) => return error,
                    Err(error) => {
                        tell(ServeError::NotAccepted { error, pause });
                        if let Err(cancelled) = select((self.news.waiting(), time::sleeping(pause))) {
                            return cancelled.into();
                        }
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        });
        self.accepting.set(None);
        if Cancelled::is(&stopped) && self.deadline.get().is_some() { Ok(()) } else { Err(stopped) }
    }

    /// Waits until no connection is open, or cancels them when the deadline comes.
    fn let_finish(&self, scope: &Scope<'_, '_>, accepted: io::Result<()>) -> io::Result<()> {
        while self.open.get() > 0 {
            self.news.clear();
            let deadline = self.deadline.get();
            if deadline.is_some_and(|deadline| deadline <= time::now()) {
                // The scope waits for them.
                scope.cancel();
                break;
            }
            // It fails when the server was cancelled, and the connections with it.
            select((self.news.waiting(), deadline.map(time::sleeping_until)))?;
        }
        accepted
    }

    fn served(&self) -> Served {
        Served { finished: self.finished.get(), cancelled: self.cancelled.get(), open: self.open.get() }
    }
}

/// A connection that is open, until this is dropped: by its task, or with that if it never begins.
struct Open<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    control: Rc<Control>,
    /// Makes room for another one; dropped after the connection was counted.
    _permit: Option<Permit<Rc<Semaphore>>>,
}

impl<'scope, 'env> Open<'scope, 'env> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        control: Rc<Control>,
        permit: Option<Permit<Rc<Semaphore>>>,
    ) -> Open<'scope, 'env> {
        control.open.set(control.open.get() + 1);
        Open { scope, control, _permit: permit }
    }

    fn is_cancelled(&self) -> bool {
        self.scope.cancelled().is_some()
    }
}

impl Drop for Open<'_, '_> {
    fn drop(&mut self) {
        let control = &self.control;
        control.open.set(control.open.get() - 1);
        let ended = if self.is_cancelled() { &control.cancelled } else { &control.finished };
        ended.set(ended.get() + 1);
        control.news.set();
    }
}

impl Controller {
    /// Stops accepting, lets connections finish, cancels those that are still there after `grace`, and returns when the server
    /// has ended. Says how many finished and how many were cancelled.
    ///
    /// From a connection of the same server it does not wait, for that could not end before; nor from any task that was spawned
    /// in one. It returns at once, and says how many are still [open](Served::open).
    ///
    /// The second time it waits as well; if its grace ends earlier, that counts. Of a server that does not serve yet there is
    /// nothing to wait for: whoever serves then returns at once.
    ///
    /// A connection that ignores that it was cancelled is waited for all the same.
    ///
    /// # Cancellation
    ///
    /// A wait that is cancelled leaves the server to end by itself.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "wait_closed")]
    #[doc(alias = "close_clients")]
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) -> Result<Served, Cancelled> {
        self.stop(grace);
        if self.control.phase.get() == Phase::Serving && !self.is_inside() {
            self.control.has_ended.wait()?;
        }
        Ok(self.served())
    }

    /// Begins to shut down, as [`shutdown`](Controller::shutdown) does, and does not wait. Says whether this was the first time.
    ///
    /// Connections that the loop has accepted in the same turn are served all the same: several may begin before the first of them says
    /// stop. It works in callbacks and in destructors too. A `grace` of [`Duration::MAX`] is for ever.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "close")]
    #[track_caller]
    pub fn stop(&self, grace: Duration) -> bool {
        let control = &self.control;
        let deadline = time::sleeping(grace).deadline();
        let before = control.deadline.get();
        control.deadline.set(Some(before.map_or(deadline, |before| before.min(deadline))));
        if let Some(accepting) = control.accepting.take() {
            accepting.cancel();
        }
        control.news.set();
        before.is_none()
    }

    /// Waits until the server has ended, whatever ends it, and says how many connections it has had.
    ///
    /// From a connection of the same server this would wait until that is cancelled: a task cannot wait for its own end.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "wait_closed")]
    #[track_caller]
    pub fn wait(&self) -> Result<Served, Cancelled> {
        self.control.has_ended.wait()?;
        Ok(self.served())
    }

    /// How many connections there are and have been.
    pub fn served(&self) -> Served {
        self.control.served()
    }

    /// Whether it accepts connections, or would if it had not reached its limit.
    #[doc(alias = "is_serving")]
    pub fn is_accepting(&self) -> bool {
        self.control.phase.get() == Phase::Serving && self.control.deadline.get().is_none()
    }

    /// Whether the running task is a part of the server.
    fn is_inside(&self) -> bool {
        let mut inside = INSIDE.get();
        while let Some(server) = inside {
            if Rc::ptr_eq(&server.control, &self.control) {
                return true;
            }
            inside = server.outer.clone();
        }
        false
    }
}

impl<L: Listener> fmt::Debug for Server<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("phase", &self.control.phase.get())
            .field("served", &self.served())
            .finish_non_exhaustive()
    }
}

impl<P: fmt::Debug> fmt::Display for ServeError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Failed { peer, error } => {
                write!(f, "the connection of {peer:?} ended with an error: {error}")
            }
            ServeError::Panicked { peer, panic } => {
                write!(f, "the connection of {peer:?} panicked: {}", panic.text())
            }
            ServeError::NotAccepted { error, pause } => {
                write!(f, "cannot accept connections, and tries again in {pause:?}: {error}")
            }
        }
    }
}

impl<P: fmt::Debug> std::error::Error for ServeError<P> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Failed { error, .. } | ServeError::NotAccepted { error, .. } => Some(error),
            ServeError::Panicked { .. } => None,
        }
    }
}
