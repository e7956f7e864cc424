//! Waits for any descriptor, of whatever is not this library's own: each is registered for the time of its wait.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::arm::Arm;
use super::io::{self as scheduled, AtDescriptor, Direction, Source};

/// Parks the running task until a read from the descriptor would not wait: there is something, or an end, or an error.
///
/// So a library that has descriptors of its own, and calls on them that do not wait, is made to park only its task:
///
/// ```
/// use ropewalk::{lowlevel, task, time};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let (mut near, mut far) = UnixStream::pair().unwrap();
///     task::spawn(move || {
///         time::sleep(Duration::from_millis(1)).unwrap();
///         far.write_all(b"rope").unwrap();
///     });
///     lowlevel::wait_readable(&near).unwrap();                   // Others run meanwhile.
///     assert_eq!(near.read(&mut [0; 8]).unwrap(), 4);            // It would block, but there is something.
/// });
/// ```
///
/// What is ready may not be any more when the task goes on, if others use the descriptor too. A file on a disk is always ready,
/// whatever a read takes.
///
/// # Cancellation
///
/// Nothing has been done.
///
/// # Errors
///
/// [`Cancelled`](crate::Cancelled). Another task waits for the same: `ResourceBusy`, where the driver can tell. The
/// descriptor is none that the system can wait for.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "add_reader")]
#[track_caller]
pub fn wait_readable(fd: impl AsFd) -> io::Result<()> {
    wait(fd, Direction::Read, "readable")
}

/// Parks the running task until a write to the descriptor would not wait; as [`wait_readable`].
///
/// # Errors
///
/// As for [`wait_readable`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "add_writer")]
#[track_caller]
pub fn wait_writable(fd: impl AsFd) -> io::Result<()> {
    wait(fd, Direction::Write, "writable")
}

#[track_caller]
fn wait(fd: impl AsFd, direction: Direction, what: &'static str) -> io::Result<()> {
    let fd = fd.as_fd();
    let source = Source::new(fd.as_raw_fd());
    scheduled::wait_until_ready(&source, fd, direction, what)
}

/// An arm that waits until a read from the descriptor would not wait, for [`select`](crate::select::select): see
/// [`wait_readable`].
///
/// ```
/// use ropewalk::lowlevel;
/// use ropewalk::select::{Chosen, select};
/// use ropewalk::time;
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let (near, _far) = UnixStream::pair().unwrap();
///     let limit = time::sleeping(Duration::from_millis(1));
///     assert!(matches!(select((lowlevel::readable(&near), limit)), Ok(Chosen::Second(()))));
/// });
/// ```
pub fn readable<F: AsFd>(fd: F) -> Readiness<F> {
    Readiness { fd, direction: Direction::Read, source: None }
}

/// An arm that waits until a write to the descriptor would not wait, for [`select`](crate::select::select): see
/// [`wait_writable`].
pub fn writable<F: AsFd>(fd: F) -> Readiness<F> {
    Readiness { fd, direction: Direction::Write, source: None }
}

/// An arm that waits until a call on a descriptor would not: see [`readable`] and [`writable`].
#[must_use = "nothing is waited for until it is selected"]
pub struct Readiness<F> {
    fd: F,
    direction: Direction,
    /// Of the wait that goes on.
    source: Option<Source>,
}

impl<F: AsFd> Arm for Readiness<F> {
    type Output = io::Result<()>;
    type Place = AtDescriptor;

    fn try_now(&mut self) -> Option<io::Result<()>> {
        match scheduled::is_ready(self.fd.as_fd(), self.direction) {
            Ok(is_ready) => is_ready.then_some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    }

    fn place(&mut self) -> AtDescriptor {
        let source = self.source.insert(Source::new(self.fd.as_fd().as_raw_fd()));
        AtDescriptor::new(source, self.direction)
    }

    fn end(&mut self, place: AtDescriptor) -> Option<io::Result<()>> {
        let woken = place.into_woken();
        self.source = None;
        match woken? {
            // It may have been woken for something else.
            Ok(()) => self.try_now(),
            Err(error) => Some(Err(error)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on descriptor {}", name(self.direction), self.fd.as_fd().as_raw_fd())
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "readable",
        Direction::Write => "writable",
    }
}

impl<F: AsFd> fmt::Debug for Readiness<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readiness({} on descriptor {})", name(self.direction), self.fd.as_fd().as_raw_fd())
    }
}
