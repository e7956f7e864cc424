//! A generator in a task of its own, read as a channel.
//!
//! The body of a generator that was not started runs on the stack of the task itself, and a yield is a send. So the body may
//! have scopes open when it yields: no stack is suspended in the middle of them, there is only a task that waits. One that
//! was started before is resumed by the task, over and over.
//!
//! Invariants:
//! - The task holds the sender, the stream the receiver: each ends with the other.
//! - A panic of the body stays with the task until the reader has come to where it happened.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::ends::{self, Receiver, Sender};
use super::error::{RecvError, SendError, TryRecvError};
use crate::error::{Cancelled, JoinError};
use crate::generator::{Generator, Passed, State};
use crate::scheduler::lowlevel::{self, Arm, TaskId};
use crate::scheduler::{self, Frame, FrameKind, Handle, Options};

/// A generator that runs in a task of its own: see [`stream`].
///
/// It is an iterator, which ends when the generator has ended or the reading task is cancelled.
pub struct Stream<T, R = ()> {
    receiver: Receiver<T>,
    /// Gives what the body returned, unless it was unwound.
    task: Handle<Option<R>>,
    /// That the body waits at a yield.
    yields: Rc<Cell<bool>>,
    returned: Cell<Option<R>>,
    is_stopped: Cell<bool>,
}

/// Runs a generator in a task of its own, up to `capacity` items ahead of whoever reads them; trio's `as_safe_channel`.
///
/// A generator that waits keeps the task from going on that reads it. In a task of its own it makes the next item
/// while the last one is used. And its body may yield *while it has a scope open*, a timeout or tasks of its own,
/// which is refused where a generator is read directly:
///
/// ```
/// use ropewalk::{channel, generate, task};
///
/// ropewalk::run(|| {
///     let squares = channel::stream(1, generate(|co| {
///         task::scope(|s| {
///             let mut next = s.spawn(|| 0);                      // One ahead, on the side.
///             for number in 1.. {
///                 let square = next.join().unwrap();
///                 next = s.spawn(move || number * number);
///                 co.yield_(square);
///             }
///         });
///     }));
///     assert_eq!(squares.take(4).collect::<Vec<u32>>(), [0, 1, 4, 9]);
/// });
/// ```
///
/// A yield waits for room whatever scopes of the body have been cancelled: those concern what the body itself waits for,
/// not how fast its items are read. A task that the body starts cannot yield for it; to let several of them bring items, lend
/// them a [`Sender`].
///
/// # The end
///
/// When the generator returns, the stream ends; [`take_return`](Stream::take_return) has the value. A panic of the body
/// comes out at the reader, after the items that were yielded before.
///
/// Dropping the stream stops the generator: at a yield it is closed, as by [`Generator::close`], and may still wait
/// in its own task while it ends. If it waits for something else, that wait is cancelled; what has to wait then goes into
/// [`task::finally`](crate::task::finally). [`close`](Stream::close) does the same and waits until it is done.
///
/// The generator has to own what it uses. For one that borrows there is [`Sender::send_all`](super::Sender::send_all),
/// in a task of a scope.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
///
/// # Platform
///
/// With `panic = "abort"` a body cannot be unwound: one that waits in a plain [`yield_`](crate::Yielder::yield_) when its
/// stream is dropped aborts the process, with a message. Let it use [`try_yield`](crate::Yielder::try_yield).
#[doc(alias = "as_safe_channel")]
#[track_caller]
pub fn stream<T: 'static, R: 'static>(capacity: usize, generator: Generator<T, (), R>) -> Stream<T, R> {
    let (sender, receiver) = super::bounded(capacity);
    let yields = Rc::new(Cell::new(generator.state() == State::Suspended));
    let name = generator.name().map(str::to_owned);
    // Where there is none of the size that was asked for, starting says so.
    let (shape, can_begin) = match generator.shape() {
        Ok(shape) => (shape, true),
        Err(_) => (None, false),
    };
    let options = Options { name, shape, ..Options::default() };
    let outlet = Outlet { sender, yields: yields.clone(), task: Cell::new(None) };
    let task = scheduler::spawn(move || outlet.run(generator, can_begin), options);
    Stream { receiver, task, yields, returned: Cell::new(None), is_stopped: Cell::new(false) }
}

/// What the generator's task has.
struct Outlet<T> {
    sender: Sender<T>,
    yields: Rc<Cell<bool>>,
    task: Cell<Option<TaskId>>,
}

impl<T> Outlet<T> {
    fn run<R>(&self, generator: Generator<T, (), R>, can_begin: bool) -> Option<R> {
        self.task.set(lowlevel::current_id());
        scheduler::with_frame(FrameKind::Plain, |frame| {
            let pass = |item| self.pass(item, frame);
            if !can_begin {
                return self.pump(generator, &pass);
            }
            generator.run_in_place(&pass).unwrap_or_else(|generator| self.pump(generator, &pass))
        })
    }

    /// For a generator that has a stack of its own.
    fn pump<R>(&self, generator: Generator<T, (), R>, pass: &dyn Fn(T) -> Passed<()>) -> Option<R> {
        while !self.sender.is_closed() {
            match generator.next().map(pass) {
                Some(Passed::On(())) => {}
                _ => break,
            }
        }
        generator.take_return()
    }

    /// Sends what the body has yielded.
    fn pass(&self, item: T, frame: &Frame) -> Passed<()> {
        if lowlevel::current_id() != self.task.get() {
            return Passed::Misplaced;
        }
        let _yields = Yields::new(&self.yields);
        let sent = match self.sender.send(item) {
            // It is a scope of the body's that was cancelled.
            Err(SendError::Cancelled(_, item)) if frame.is_cancelled().is_none() => {
                lowlevel::shield(|| self.sender.send(item))
            }
            sent => sent,
        };
        // The item may have been taken, and the stream dropped then: the body is to end where it is.
        match sent {
            Ok(()) if !self.sender.is_closed() => Passed::On(()),
            _ => Passed::Unwanted,
        }
    }
}

/// For as long as the body waits at a yield.
struct Yields<'a>(&'a Cell<bool>);

impl Yields<'_> {
    fn new(yields: &Cell<bool>) -> Yields<'_> {
        yields.set(true);
        Yields(yields)
    }
}

impl Drop for Yields<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<T, R> Stream<T, R> {
    /// Takes the next item, waiting for it if it is not there.
    ///
    /// # Cancellation
    ///
    /// A wait that fails has taken nothing. One that was given an item before it was cancelled returns it.
    ///
    /// # Errors
    ///
    /// The generator has ended and all items were taken, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// When the body has panicked, with its panic; when there was no stack for the task. Outside of [`run`](crate::run).
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        lowlevel::wait_as("recv", &mut self.receiving())?
    }

    /// Takes the next item if it is there.
    ///
    /// # Errors
    ///
    /// No item is there now, or for ever.
    ///
    /// # Panics
    ///
    /// When the body has panicked, with its panic; when there was no stack for the task.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let received = self.receiver.try_recv();
        if matches!(received, Err(TryRecvError::Closed)) {
            self.look_at_end();
        }
        received
    }

    /// An arm that takes the next item, for [`select`](crate::select::select). If the body has panicked, selecting it
    /// panics.
    pub fn receiving(&self) -> Receiving<'_, T, R> {
        Receiving { stream: self, inner: self.receiver.receiving() }
    }

    /// Nothing more will come: what has become of the generator?
    #[track_caller]
    fn look_at_end(&self) {
        match self.task.try_result() {
            Some(Ok(returned)) => self.returned.set(returned),
            Some(Err(error)) => {
                self.raise(error);
            }
            None => {}
        }
    }

    /// Goes on with a panic of the body. What else can become of the task is no panic of anybody's.
    #[track_caller]
    fn raise(&self, error: JoinError) -> Option<R> {
        match error.resume_panic() {
            JoinError::NoStack(error) => panic!("{error}"),
            _ => self.returned.take(),
        }
    }

    /// What the generator has returned, once the stream has come to its end. It is handed out once.
    ///
    /// ```
    /// use ropewalk::{channel, generate};
    ///
    /// ropewalk::run(|| {
    ///     let mut letters = channel::stream(1, generate(|co| { co.yield_all("ab".chars()); "done" }));
    ///     assert_eq!(letters.by_ref().count(), 2);
    ///     assert_eq!(letters.take_return(), Some("done"));
    /// });
    /// ```
    pub fn take_return(&self) -> Option<R> {
        self.returned.take()
    }

    /// Stops the generator, as dropping the stream does, and waits until it has ended; Python's `aclose`. Gives what it
    /// returned, unless it was unwound.
    ///
    /// ```
    /// use ropewalk::{channel, generate, time};
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let polite = channel::stream(0, generate(|co| {
    ///         while co.try_yield("item").is_ok() {}
    ///         time::sleep(Duration::from_millis(1)).unwrap();        // It says goodbye to somebody.
    ///         "goodbye"
    ///     }));
    ///     assert_eq!(polite.recv(), Ok("item"));
    ///     assert_eq!(polite.close(), Ok(Some("goodbye")));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: the generator was told, but may not have ended.
    ///
    /// # Panics
    ///
    /// With the panic of the body. Outside of [`run`](crate::run).
    #[doc(alias = "aclose")]
    #[track_caller]
    pub fn close(self) -> Result<Option<R>, Cancelled> {
        self.stop();
        match self.task.join() {
            Ok(returned) => Ok(returned),
            Err(JoinError::Cancelled(cancelled)) => Err(cancelled),
            Err(error) => Ok(self.raise(error)),
        }
    }

    /// Closes a generator that waits at a yield; cancels what another one waits for.
    fn stop(&self) {
        if self.is_stopped.replace(true) {
            return;
        }
        self.receiver.close();
        if !self.yields.get() {
            self.task.cancel();
        }
    }

    /// How many items are there.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether no item is there now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task in which the generator runs.
    pub fn task(&self) -> TaskId {
        self.task.id()
    }
}

impl<T, R> Drop for Stream<T, R> {
    fn drop(&mut self) {
        self.stop();
        self.task.dismiss();
    }
}

impl<T, R> Iterator for Stream<T, R> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T, R> Iterator for &Stream<T, R> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T, R> fmt::Debug for Stream<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("task", &self.task).field("len", &self.len()).finish()
    }
}

/// An arm that takes an item of a stream: see [`Stream::receiving`].
#[must_use = "nothing is received until it is selected"]
pub struct Receiving<'a, T, R = ()> {
    stream: &'a Stream<T, R>,
    inner: ends::Receiving<'a, T>,
}

impl<'a, T, R> Arm for Receiving<'a, T, R> {
    type Output = Result<T, RecvError>;
    type Place = <ends::Receiving<'a, T> as Arm>::Place;

    fn try_now(&mut self) -> Option<Self::Output> {
        match self.stream.try_recv() {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn place(&mut self) -> Self::Place {
        self.inner.place()
    }

    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        match self.inner.end(place)? {
            Ok(item) => Some(Ok(item)),
            // Looks again: a panic comes out there, where nothing else is half done.
            Err(_) => None,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream of task {}", self.stream.task.id())
    }

    fn holder(&self) -> Option<TaskId> {
        Some(self.stream.task.id())
    }
}

impl<T, R> Copy for Receiving<'_, T, R> {}

impl<T, R> Clone for Receiving<'_, T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R> fmt::Debug for Receiving<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiving")
    }
}
