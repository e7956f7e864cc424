//! Signals that a task waits for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::handler::Listening;
use super::inbox::Inbox;
use super::name::Signal;
use crate::scheduler::lowlevel::{self, Arm, Readiness};

/// A stream of signals: from when it is made until it is dropped, they come here instead of doing what they do by default.
///
/// ```
/// use ropewalk::signal::{Signal, Signals};
///
/// ropewalk::run(|| {
///     let signals = Signals::new([Signal::HUP, Signal::TERM])?;
///     Signal::HUP.raise()?;                                      // As `kill -HUP` would.
///     assert_eq!(signals.recv()?, Signal::HUP);                  // Parks the task.
///     assert_eq!(signals.try_recv(), None);
///     # Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
///
/// However fast they come, after the last one the stream yields each signal once more: several of one kind that nobody
/// has taken are one, as they are for the system; two kinds are two, in the order in which they came. All streams of a signal have it, of
/// all threads and runtimes, and so have handlers that other crates put there by way of `signal-hook`, or that were
/// there before.
///
/// It needs no runtime to be made: in `main`, before [`run`](crate::run), no signal can come too early.
///
/// When the last stream of a signal is dropped, that does again what it did before the first was made: Ctrl-C ends the
/// process, what was ignored is ignored. A crate that has begun to listen by way of `signal-hook` *meanwhile* hears no more then; it is to
/// begin first, or the stream to stay.
///
/// # Platform
///
/// It takes two descriptors. What a child process does with signals is not changed by it: those that are caught do in a new program what they
/// do by default.
#[doc(alias = "open_signal_receiver")]
#[doc(alias = "add_signal_handler")]
pub struct Signals {
    inbox: Arc<Inbox>,
    _listening: Vec<Listening>,
}

impl Signals {
    /// Begins to listen to these signals.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for one that cannot be caught (`SIGKILL`, `SIGSTOP`), or that comes of a fault of the program (`SIGSEGV`, `SIGBUS`,
    /// `SIGILL`, `SIGFPE`), which no task could do anything about: then none of them is listened to. There are no descriptors left.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let inbox = Arc::new(Inbox::new(signals)?);
        let listen = |index| Listening::new(&inbox, index, None);
        let listening = (0..inbox.signals().len()).map(listen).collect::<io::Result<_>>()?;
        Ok(Signals { inbox, _listening: listening })
    }

    /// Parks until a signal has arrived, and takes it.
    ///
    /// # Cancellation
    ///
    /// No signal was taken.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled). Another task waits here: `ResourceBusy`.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self) -> io::Result<Signal> {
        lowlevel::may_wait()?;
        loop {
            if let Some(signal) = self.try_recv() {
                return Ok(signal);
            }
            self.inbox.wait()?;
        }
    }

    /// Takes a signal that has arrived, if there is one. It works everywhere.
    pub fn try_recv(&self) -> Option<Signal> {
        self.inbox.take()
    }

    /// An arm that waits for a signal, for [`select`](crate::select::select).
    ///
    /// ```
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::signal::{Signal, Signals};
    /// use ropewalk::time;
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let signals = Signals::new([Signal::USR1]).unwrap();
    ///     let limit = || time::sleeping(Duration::from_millis(1));
    ///     assert!(matches!(select((signals.receiving(), limit())), Ok(Chosen::Second(()))));
    /// });
    /// ```
    pub fn receiving(&self) -> Receiving<'_> {
        Receiving { signals: self, readiness: lowlevel::readable(self.inbox.bell().as_fd()) }
    }

    /// One signal after another; an error does not end it, as with std's `incoming`.
    ///
    /// ```
    /// use ropewalk::signal::{Signal, Signals};
    ///
    /// ropewalk::run(|| {
    ///     let signals = Signals::new([Signal::HUP, Signal::TERM])?;
    ///     Signal::HUP.raise()?;
    ///     Signal::TERM.raise()?;
    ///     for signal in &signals {
    ///         match signal? {
    ///             Signal::HUP => println!("reads its settings again"),
    ///             _ => break,
    ///         }
    ///     }
    ///     # Ok(())
    /// })
    /// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { signals: self }
    }

    /// What it listens to.
    pub fn signals(&self) -> impl ExactSizeIterator<Item = Signal> + '_ {
        self.inbox.signals()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.inbox).finish()
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = io::Result<Signal>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// One signal after another: see [`Signals::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    signals: &'a Signals,
}

impl Iterator for Iter<'_> {
    type Item = io::Result<Signal>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<Signal>> {
        Some(self.signals.recv())
    }
}

/// An arm that waits for a signal: see [`Signals::receiving`].
#[derive(Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Receiving<'a> {
    signals: &'a Signals,
    readiness: Readiness<BorrowedFd<'a>>,
}

impl<'a> Arm for Receiving<'a> {
    type Output = io::Result<Signal>;
    type Place = <Readiness<BorrowedFd<'a>> as Arm>::Place;

    fn try_now(&mut self) -> Option<io::Result<Signal>> {
        self.signals.try_recv().map(Ok)
    }

    fn place(&mut self) -> Self::Place {
        self.readiness.place()
    }

    fn end(&mut self, place: Self::Place) -> Option<io::Result<Signal>> {
        match self.readiness.end(place)? {
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signal")
    }
}

/// Parks until Ctrl-C is pressed, or somebody sends `SIGINT`.
///
/// ```
/// use ropewalk::net::{self, TcpListener};
/// use ropewalk::{signal, task};
///
/// ropewalk::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     task::scope(|s| {
///         s.spawn_service(|| net::serve(&listener, |_stream, _peer| Ok(())));
///         # s.spawn(|| signal::Signal::INT.raise());
///         signal::ctrl_c()                                       // Then the service is cancelled.
///     })
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
///
/// It listens while it waits. The next Ctrl-C, while the program cleans up, ends the process, unless there is another
/// stream. Whoever is to hear several, and none in between to be lost, has a [`Signals`].
///
/// # Cancellation
///
/// No signal was taken.
///
/// # Errors
///
/// [`Cancelled`](crate::Cancelled). There are no descriptors left.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([Signal::INT])?.recv().map(drop)
}
