//! Signals by name and by number.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::process::Signal as Named;

use super::handler;

/// A signal of the system.
///
/// ```
/// use ropewalk::signal::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!("int".parse::<Signal>().unwrap(), Signal::INT);
/// assert_eq!(Signal::from_raw(15), Some(Signal::TERM));
/// ```
///
/// It is a number that is known to be a signal's: an enum would have no place for the
/// [real-time](Signal::real_time) ones.
#[doc(alias = "SignalKind")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! names {
    ($($(#[$attribute:meta])* $name:ident = $text:literal, $what:literal;)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", $text, "`: ", $what)]
                $(#[$attribute])*
                pub const $name: Signal = Signal(Named::$name.as_raw());
            )*
        }

        /// Those that have a name.
        const NAMES: &[(Signal, &str)] = &[$($(#[$attribute])* (Signal::$name, $text)),*];
    };
}

names! {
    HUP = "SIGHUP", "the terminal is gone; to services often: read your settings again.";
    INT = "SIGINT", "Ctrl-C at the terminal.";
    QUIT = "SIGQUIT", "Ctrl-\\\\ at the terminal.";
    ILL = "SIGILL", "an instruction that is none. A fault of the program: no stream has it.";
    TRAP = "SIGTRAP", "a breakpoint.";
    ABORT = "SIGABRT", "the program has given up.";
    BUS = "SIGBUS", "memory that is not there. A fault of the program: no stream has it.";
    FPE = "SIGFPE", "arithmetic that has no result. A fault of the program: no stream has it.";
    KILL = "SIGKILL", "the end, which cannot be caught.";
    USR1 = "SIGUSR1", "whatever the program takes it for.";
    SEGV = "SIGSEGV", "memory that is not the program's. A fault of the program: no stream has it.";
    USR2 = "SIGUSR2", "whatever the program takes it for.";
    PIPE = "SIGPIPE", "nobody reads what is written. Rust's programs ignore it.";
    ALARM = "SIGALRM", "a timer of the process.";
    TERM = "SIGTERM", "a request to end.";
    CHILD = "SIGCHLD", "a child has ended or stopped.";
    CONT = "SIGCONT", "the process goes on after it was stopped.";
    STOP = "SIGSTOP", "the process is stopped, which cannot be caught.";
    TSTP = "SIGTSTP", "Ctrl-Z at the terminal.";
    TTIN = "SIGTTIN", "a process in the background reads from the terminal.";
    TTOU = "SIGTTOU", "a process in the background writes to the terminal.";
    URG = "SIGURG", "something urgent on a socket.";
    XCPU = "SIGXCPU", "the limit on processor time.";
    XFSZ = "SIGXFSZ", "the limit on the size of files.";
    VTALARM = "SIGVTALRM", "a timer of processor time.";
    PROF = "SIGPROF", "a timer of a profiler.";
    WINCH = "SIGWINCH", "the terminal has another size.";
    IO = "SIGIO", "a descriptor is ready.";
    SYS = "SIGSYS", "a system call that is none, or is forbidden.";
}

impl Signal {
    /// By its number; `None` if that is no signal's. The C library keeps some numbers to itself: these are none.
    pub fn from_raw(number: i32) -> Option<Signal> {
        let is_named = Named::from_named_raw(number).is_some();
        (is_named || handler::real_time().contains(&number)).then_some(Signal(number))
    }

    /// The number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// `SIGRTMIN` and so many more; `None` if there are not so many.
    ///
    /// # Platform
    ///
    /// Linux; elsewhere there is none.
    #[doc(alias = "SIGRTMIN")]
    pub fn real_time(number: u32) -> Option<Signal> {
        let range = handler::real_time();
        let number = range.start().checked_add(i32::try_from(number).ok()?)?;
        range.contains(&number).then_some(Signal(number))
    }

    /// Its name, if it has one: `"SIGINT"`.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(signal, _)| *signal == self).map(|(_, name)| *name)
    }

    /// Sends it to this thread; Python's `raise_signal`. Unless the thread blocks it, it has been heard when this returns.
    ///
    /// # Errors
    ///
    /// As the system has it.
    #[doc(alias = "kill")]
    #[doc(alias = "raise_signal")]
    pub fn raise(self) -> io::Result<()> {
        handler::raise(self)
    }

    /// Whether a stream can have it.
    pub(super) fn can_be_caught(self) -> bool {
        ![Signal::KILL, Signal::STOP, Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE].contains(&self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = *handler::real_time().start();
        match self.name() {
            Some(name) => f.pad(name),
            None if self.0 >= first => f.pad(&format!("SIGRTMIN+{}", self.0 - first)),
            None => f.pad(&format!("signal {}", self.0)),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

/// By name, with `SIG` or without, in letters of any size.
impl FromStr for Signal {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Signal> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(number) = short.strip_prefix("RTMIN+").and_then(|number| number.parse().ok()) {
            return Signal::real_time(number).ok_or_else(|| no_signal(text));
        }
        let found = NAMES.iter().find(|(_, name)| name.strip_prefix("SIG") == Some(short));
        found.map(|(signal, _)| *signal).ok_or_else(|| no_signal(text))
    }
}

#[cold]
fn no_signal(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}` is the name of no signal"))
}
