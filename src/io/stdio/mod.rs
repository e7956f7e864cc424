//! Standard input, output and error output, whose waits park the task.
//!
//! Words: a *standard descriptor* is 0, 1 or 2. Other processes have it too: what is open there is theirs as much as ours.
//!
//! Invariants:
//! - Nothing that others see of a standard descriptor is changed, `O_NONBLOCK` above all.
//! - Each of the three has one *turn*, which lies in a channel of one. Whoever has taken it out reads or writes; nobody else does
//!   until it is put back.
//! - What was read from the system is with the turn of the input, or in the [`Pump`](pump::Pump), until somebody gets it: a
//!   wait that is cut short loses nothing.

mod descriptor;
mod pump;

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::line_reader::LineReader;
use crate::channel::cross;
use crate::scheduler::fork::PerProcess;
use crate::scheduler::lowlevel;
use descriptor::{Number, Standard};

/// A turn, in a channel of one.
struct Turns<T> {
    put: cross::Sender<T>,
    take: cross::Receiver<T>,
}

impl<T> Turns<T> {
    fn new(turn: T) -> Turns<T> {
        let (put, take) = cross::bounded(1);
        let turns = Turns { put, take };
        turns.put_back(turn);
        turns
    }

    /// Waits for it: a task of whatever runtime parks.
    #[track_caller]
    fn take(&self) -> io::Result<T> {
        lowlevel::may_wait()?;
        Ok(self.take.recv()?)
    }

    fn put_back(&self, turn: T) {
        // There is one turn, and room for it; nobody closes the channel.
        let put = self.put.try_send(turn);
        debug_assert!(put.is_ok(), "there is one turn");
    }
}

/// Who was forked while somebody had the turn has one of its own.
static INPUT: PerProcess<Turns<LineReader<Standard>>> = PerProcess::new();

fn input() -> &'static Turns<LineReader<Standard>> {
    INPUT.get(|| Turns::new(LineReader::with_limit(usize::MAX, Standard::new(Number::Input))))
}

/// Standard input, whose waits park the task and not the thread: as std's, and in its place.
///
/// ```
/// use ropewalk::io;
///
/// ropewalk::run(|| {
///     for line in io::stdin().lines() {
///         println!("{}", line?.to_uppercase());
///     }
///     Ok(())
/// })
/// # .map_err(|error: io::Error| panic!("{error}")).unwrap();
/// ```
///
/// It may be a terminal, a pipe, a file, a socket or anything else. What is open there belongs to other processes too, to the
/// shell for instance, and they see no change: it is not set not to block.
///
/// All handles share one buffer, as std's do; but with std's they share none: use either. Whoever waits while another task
/// reads, of this runtime or another, waits for its turn.
///
/// There is no arm for [`select`](crate::select::select). A task that reads, and sends the lines into a [channel](crate::channel), makes one of it.
///
/// # Cancellation
///
/// What a wait that was cut short had read is there for the next, of whoever it is: also the part of a line, for `read_line`
/// and [`lines`](Stdin::lines). `read_to_end` and `read_to_string` have left what they had in the buffer that they were given, as std's
/// do; if that was no UTF-8 yet it is lost.
///
/// # Errors
///
/// As the system has it; [`Cancelled`](crate::Cancelled). A descriptor that is closed has nothing to read, and is no error.
///
/// # Panics
///
/// Reading, outside of [`run`](crate::run): there std's is the one to use.
///
/// # Platform
///
/// On Linux pipes and sockets are read by calls that do not wait, and terminals by a descriptor of our own. What can be read in no such
/// way (terminals that may not be opened again, devices, files that are not in memory, and everything but sockets elsewhere) is read by a thread,
/// 64 KiB at most at a time; what it brings after its task was cancelled, the next one gets.
#[derive(Clone, Copy)]
pub struct Stdin(());

/// A handle to standard input: see [`Stdin`].
#[doc(alias = "connect_read_pipe")]
#[doc(alias = "input")]
pub fn stdin() -> Stdin {
    Stdin(())
}

impl Stdin {
    /// Waits for the turn to read, and keeps it until it is dropped. A second one in the same task would wait for ever.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn lock(&self) -> io::Result<StdinLock> {
        let turns = input();
        Ok(StdinLock { reader: Some(turns.take()?), turns })
    }

    /// Reads a line with its end, and says how long it is; 0 at the end of the input.
    ///
    /// # Cancellation
    ///
    /// Nothing was read: what has come of the line is there for the next call.
    ///
    /// # Errors
    ///
    /// As for [`Stdin`]. The line is no UTF-8: it is still there, to be read in another way.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        self.lock()?.read_line(line)
    }

    /// All lines, without their ends. One that is no UTF-8 is an error, and passed over. After an error it goes on, if there is more.
    pub fn lines(self) -> StdinLines {
        StdinLines { input: self }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stdin().is_terminal()
    }
}

impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock()?.read(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.lock()?.read_to_end(buffer)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        self.lock()?.read_to_string(buffer)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.lock()?.read_exact(buffer)
    }
}

impl Read for &Stdin {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock()?.read(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.lock()?.read_to_end(buffer)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        self.lock()?.read_to_string(buffer)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.lock()?.read_exact(buffer)
    }
}

/// Standard input, for one task alone: see [`Stdin::lock`].
pub struct StdinLock {
    /// `None` once it was dropped.
    reader: Option<LineReader<Standard>>,
    turns: &'static Turns<LineReader<Standard>>,
}

impl StdinLock {
    fn reader(&mut self) -> &mut LineReader<Standard> {
        self.reader.as_mut().expect("it has its turn until it is dropped")
    }
}

impl Read for StdinLock {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader().read(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.reader().read_to_end(buffer)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.reader().read_exact(buffer)
    }
}

/// Cut short, `read_line` and `read_until` have read nothing: see [`LineReader`].
impl BufRead for StdinLock {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader().fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.reader().consume(count);
    }

    #[track_caller]
    fn read_until(&mut self, end: u8, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.reader().read_until(end, buffer)
    }

    #[track_caller]
    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        self.reader().read_line(line)
    }
}

impl Drop for StdinLock {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.turns.put_back(reader);
        }
    }
}

impl fmt::Debug for StdinLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

/// The lines of standard input: see [`Stdin::lines`].
#[derive(Clone, Debug)]
pub struct StdinLines {
    input: Stdin,
}

impl Iterator for StdinLines {
    type Item = io::Result<String>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = Vec::new();
        match self.input.lock().and_then(|mut input| input.read_until(b'\n', &mut line)) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        let text = String::from_utf8(line);
        Some(text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
    }
}

macro_rules! output {
    ($(#[$attribute:meta])* $handle:ident, $lock:ident, $make:ident, $turns:ident, $number:ident, $what:literal) => {
        static $turns: PerProcess<Turns<Standard>> = PerProcess::new();

        $(#[$attribute])*
        #[derive(Clone, Copy)]
        pub struct $handle(());

        #[doc = concat!("A handle to standard ", $what, ": see [`", stringify!($handle), "`].")]
        pub fn $make() -> $handle {
            $handle(())
        }

        impl $handle {
            /// Waits for the turn to write, and keeps it until it is dropped: what others write comes before it or after it. A
            /// second one in the same task would wait for ever. So would `writeln!(io::stdout(), ..)` in a function that is called meanwhile: std's
            /// lock may be taken again, this one is to be written to.
            ///
            /// # Errors
            ///
            /// [`Cancelled`](crate::Cancelled).
            ///
            /// # Panics
            ///
            /// Outside of [`run`](crate::run).
            #[track_caller]
            pub fn lock(&self) -> io::Result<$lock> {
                let turns = $turns.get(|| Turns::new(Standard::new(Number::$number)));
                Ok($lock { output: Some(turns.take()?), turns })
            }

            /// Whether it is a terminal.
            pub fn is_terminal(&self) -> bool {
                io::$make().is_terminal()
            }
        }

        output!(write: $handle);
        output!(write: &$handle);

        #[doc = concat!("Standard ", $what, ", for one task alone: see [`", stringify!($handle), "::lock`].")]
        pub struct $lock {
            /// `None` once it was dropped.
            output: Option<Standard>,
            turns: &'static Turns<Standard>,
        }

        impl Write for $lock {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.output.as_mut().expect("it has its turn until it is dropped").write(bytes)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                write_whole(text, |bytes| self.write_all(bytes))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Drop for $lock {
            fn drop(&mut self) {
                if let Some(output) = self.output.take() {
                    self.turns.put_back(output);
                }
            }
        }

        impl fmt::Debug for $lock {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($lock)).finish_non_exhaustive()
            }
        }
    };
    (write: $handle:ty) => {
        impl Write for $handle {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.lock()?.write(bytes)
            }

            #[track_caller]
            fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.lock()?.write_all(bytes)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                write_whole(text, |bytes| self.write_all(bytes))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

/// A text is put together before anything of it is written: it may be made by code of the user's, which may wait itself, and write.
fn write_whole(text: fmt::Arguments<'_>, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
    match text.as_str() {
        Some(text) => write(text.as_bytes()),
        None => {
            let mut whole = String::new();
            fmt::write(&mut whole, text)
                .map_err(|_| io::Error::other("what was to be written cannot be shown"))?;
            write(whole.as_bytes())
        }
    }
}

output! {
    /// Standard output, whose waits park the task and not the thread.
    ///
    /// ```
    /// use ropewalk::{io, task};
    /// use std::io::Write;
    ///
    /// ropewalk::run(|| {
    ///     task::scope(|s| {
    ///         for word in ["hemp", "sisal"] {
    ///             s.spawn(move || writeln!(io::stdout(), "a line with {word} and nothing else"));
    ///         }
    ///     });
    /// });
    /// ```
    ///
    /// Where nobody reads, only the task that writes waits. What one `write_all` or one `writeln!` writes stays together, whatever
    /// other tasks write, of this runtime or another; several of them stay together under a [`lock`](Stdout::lock). Nothing is kept
    /// back: when the call returns the system has it. For much output in small pieces there is `BufWriter`.
    ///
    /// What is open there belongs to other processes too, and they see no change: it is not set not to block.
    ///
    /// # Beside `print!`
    ///
    /// std keeps back what has no line break yet. So `print!("a")` and then this one's `"b"` come out the other way round, unless std's
    /// is flushed between them; `println!` is written at once. It knows of no turn, and may fall into a long text that waits for its reader. It
    /// blocks the thread where nobody reads.
    ///
    /// # Cancellation
    ///
    /// `write` says how much was written. A `write_all` that was cut short may have written a part, as all of its kind.
    ///
    /// # Errors
    ///
    /// As the system has it; [`Cancelled`](crate::Cancelled). Nobody will read it: `BrokenPipe`, and no signal. A descriptor that is closed takes
    /// everything, as it does with std.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run): there std's is the one to use.
    ///
    /// # Platform
    ///
    /// On Linux pipes and sockets are written by calls that do not wait, and terminals by a descriptor of our own. What can be written in
    /// no such way (files, terminals that may not be opened again, devices, and everything but sockets elsewhere) is written by
    /// a thread of [`blocking`](crate::blocking), 64 KiB at most at a time; such a write has an end before its task goes on, cancelled or
    /// not.
    #[doc(alias = "connect_write_pipe")]
    Stdout, StdoutLock, stdout, OUTPUT, Output, "output"
}

output! {
    /// Standard error output, whose waits park the task and not the thread: as [`Stdout`], and nothing is kept back by std's `eprint!` either.
    Stderr, StderrLock, stderr, ERRORS, Errors, "error output"
}

macro_rules! descriptors {
    ($($handle:ident $make:ident $number:ident),*) => {$(
        impl AsFd for $handle {
            fn as_fd(&self) -> BorrowedFd<'_> {
                Number::$number.descriptor()
            }
        }

        impl AsRawFd for $handle {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($handle))
            }
        }
    )*};
}

descriptors!(Stdin stdin Input, Stdout stdout Output, Stderr stderr Errors);
