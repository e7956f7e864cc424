//! The body's side of a generator: how it yields.

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::panic;

use super::Generator;
use super::engine::Outcome;
use super::handoff::{Closing, Handoff, Order, Port};
use crate::error::{DelegateError, Exit, SendError};

/// A generator's own handle, passed to its body: hands values out and takes what is sent.
///
/// The body may lend it to functions, closures and callbacks: a yield works from any call depth.
///
/// A recursion is as deep as its input, and a stack is not: where a stranger says how deep (folders in folders, say),
/// ask for a larger one with [`Builder::stack_size`](super::Builder::stack_size), or give each level a generator of
/// its own and [`yield_from`](Yielder::yield_from) it, which costs an item no more.
///
/// ```
/// use ropewalk::{Yielder, generate};
///
/// fn countdown(co: &Yielder<u32>, n: u32) {
///     if n > 0 {
///         co.yield_(n);
///         countdown(co, n - 1);
///     }
/// }
///
/// let numbers: Vec<u32> = generate(|co| countdown(co, 3)).collect();
/// assert_eq!(numbers, [3, 2, 1]);
/// ```
pub struct Yielder<Y, S = ()> {
    pub(super) own: Handoff<S>,
    /// Set once, before the body begins.
    port: Cell<Port<Y, S>>,
    pub(super) delegates: Cell<bool>,
}

impl<Y, S> Yielder<Y, S> {
    /// Its port leads nowhere yet.
    pub(super) fn new() -> Self {
        Yielder { own: Handoff::new(), port: Cell::new(Port::nowhere()), delegates: Cell::new(false) }
    }

    pub(super) fn open(&self, port: Port<Y, S>) {
        self.port.set(port);
    }

    #[inline(always)]
    pub(super) fn port(&self) -> Port<Y, S> {
        self.port.get()
    }

    /// Yields `value` to whoever resumed the generator and waits; returns what is sent next.
    ///
    /// When the generator is closed or dropped instead, this call does not return: it unwinds the body, whose
    /// destructors run, as Python's `GeneratorExit` does. A body that wants to answer uses
    /// [`try_yield`](Yielder::try_yield).
    ///
    /// # Panics
    ///
    /// In a destructor while the body unwinds: there is nobody to send a value. As for any panic in a destructor
    /// during cleanup, the process aborts.
    ///
    /// # Platform
    ///
    /// With `panic = "abort"` a body cannot be unwound: when it is closed here, it stays as it is for ever, its
    /// stack is leaked and its destructors do not run. Closing says so.
    #[inline(always)]
    #[track_caller]
    pub fn yield_(&self, value: Y) -> S {
        let port = self.port();
        match port.pass(value) {
            Order::Value(sent) => sent,
            order => port.leave(order),
        }
    }

    /// Yields `value` and waits, as [`yield_`](Yielder::yield_) does; on close it returns `Err(Exit)`.
    ///
    /// The body should then end. What it returns is given to whoever closed it; if it yields instead, closing
    /// fails with [`CloseError::IgnoredExit`](crate::CloseError::IgnoredExit).
    ///
    /// ```
    /// use ropewalk::Generator;
    ///
    /// let summing = Generator::new(|co| {
    ///     let mut sum = 0;
    ///     while let Ok(n) = co.try_yield(()) {
    ///         sum += n;
    ///     }
    ///     sum
    /// });
    /// summing.start().unwrap();
    /// summing.send(40).unwrap();
    /// summing.send(2).unwrap();
    /// assert_eq!(summing.close(), Ok(Some(42)));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Exit`] when the generator is being closed or dropped. In a destructor while the body unwinds, at once and
    /// without a switch.
    ///
    /// # Panics
    ///
    /// It unwinds, as [`yield_`](Yielder::yield_) does, where a body yields *again* although it was told that it is
    /// being dropped: somebody must end it. In a callback of C, through which nothing can be unwound, ask
    /// [`is_closing`](Yielder::is_closing) before a yield.
    #[inline(always)]
    #[track_caller]
    pub fn try_yield(&self, value: Y) -> Result<S, Exit> {
        let port = self.port();
        match port.pass(value) {
            Order::Value(sent) => Ok(sent),
            Order::Exit | Order::Refused => Err(Exit),
            Order::ForcedExit => port.raise_exit(),
        }
    }

    /// Whether the body has been told to end: by an [`Exit`], or by being unwound.
    ///
    /// For code that cannot end the body itself, such as a callback: it should yield no more.
    pub fn is_closing(&self) -> bool {
        self.port().closing() != Closing::No
    }

    /// Lets `inner` stand in until it ends, and returns what it returned; Python's `yield from`.
    ///
    /// What `inner` yields goes to whoever resumes this generator; what they send, and errors they throw, go to
    /// `inner`; when they close this generator, `inner` is closed first. An item costs one switch however many
    /// generators delegate to one another.
    ///
    /// While it stands in, `inner` counts as running: nobody else can resume it.
    ///
    /// ```
    /// use ropewalk::{Generator, generate};
    ///
    /// let outer = generate(|co| {
    ///     let inner = Generator::new(|co| {
    ///         co.yield_(1);
    ///         co.yield_(2);
    ///         "two items"
    ///     });
    ///     assert_eq!(co.yield_from(inner), "two items");
    ///     co.yield_(3);
    /// });
    /// assert_eq!(outer.collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    ///
    /// # Panics
    ///
    /// When `inner` has been started before, runs, has finished, or gets no stack:
    /// [`try_yield_from`](Yielder::try_yield_from) returns these as errors. When the body of `inner` panics, with
    /// its panic.
    #[track_caller]
    pub fn yield_from<R>(&self, inner: impl Borrow<Generator<Y, S, R>>) -> R {
        match self.try_yield_from(inner) {
            Ok(value) => value,
            Err(DelegateError::Exit(Exit)) => self.port().raise_exit(),
            Err(DelegateError::Refused(error)) => panic!("cannot yield from this generator: {error}"),
        }
    }

    /// As [`yield_from`](Yielder::yield_from), with misuse and close as errors.
    ///
    /// # Errors
    ///
    /// [`DelegateError::Exit`] when this generator is being closed: `inner` has been closed then.
    /// [`DelegateError::Refused`] when `inner` cannot be started.
    ///
    /// # Panics
    ///
    /// When the body of `inner` panics, with its panic.
    pub fn try_yield_from<R>(&self, inner: impl Borrow<Generator<Y, S, R>>) -> Result<R, DelegateError> {
        let inner = inner.borrow();
        self.delegate(inner, || inner.enter(self.port()))
    }

    /// Lets a generator that has been started, and waits at a yield, stand in from there: `first` is sent to it.
    ///
    /// It goes on yielding to whoever resumes it, which is this generator now: an item is passed on, at one switch more.
    ///
    /// ```
    /// use ropewalk::{Generator, Step};
    ///
    /// let echo = Generator::new(|co| {
    ///     let mut heard = co.yield_("ready".to_owned());
    ///     loop { heard = co.yield_(format!("heard {heard}")) }
    /// });
    /// echo.start().unwrap();
    /// let outer = Generator::<String, u8>::new(move |co| co.yield_from_started(echo, 7));
    /// assert_eq!(outer.start().unwrap(), Step::Yield("heard 7".to_owned()));
    /// assert_eq!(outer.send(8), Ok(Step::Yield("heard 8".to_owned())));
    /// ```
    ///
    /// # Panics
    ///
    /// When `inner` does not wait at a yield: [`try_yield_from_started`](Yielder::try_yield_from_started) returns
    /// that as an error. When the body of `inner` panics, with its panic.
    #[track_caller]
    pub fn yield_from_started<R>(&self, inner: impl Borrow<Generator<Y, S, R>>, first: S) -> R {
        match self.try_yield_from_started(inner, first) {
            Ok(value) => value,
            Err(DelegateError::Exit(Exit)) => self.port().raise_exit(),
            Err(DelegateError::Refused(error)) => panic!("cannot yield from this generator: {error}"),
        }
    }

    /// As [`yield_from_started`](Yielder::yield_from_started), with misuse and close as errors.
    ///
    /// # Errors
    ///
    /// [`DelegateError::Exit`] when this generator is being closed: `inner` has been closed then. (In a destructor
    /// while the body unwinds it is left where it waits.) [`DelegateError::Refused`] when `inner` does not wait at a
    /// yield; it gives `first` back.
    ///
    /// # Panics
    ///
    /// When the body of `inner` panics, with its panic.
    #[track_caller]
    pub fn try_yield_from_started<R>(
        &self,
        inner: impl Borrow<Generator<Y, S, R>>,
        first: S,
    ) -> Result<R, DelegateError<SendError<S>>> {
        let inner = inner.borrow();
        self.delegate(inner, || inner.take_over(first))
    }

    /// Begins with `resume` and stays until `inner` has ended.
    #[track_caller]
    fn delegate<R, E>(
        &self,
        inner: &Generator<Y, S, R>,
        resume: impl FnOnce() -> Result<Outcome<Y, R>, E>,
    ) -> Result<R, DelegateError<E>> {
        let _delegates = Delegating { flag: &self.delegates, before: self.delegates.replace(true) };
        let mut outcome = resume().map_err(DelegateError::Refused)?;
        // An inner generator that we started yields straight through our port, and comes back here only when it has
        // ended. One that was started before yields to us: pass its items on, and let nobody else have it meanwhile.
        while let Outcome::Yielded(value) = outcome {
            let held = inner.engine.hold();
            let order = self.port().pass(value);
            drop(held);
            outcome = match order {
                Order::Value(sent) => inner.engine.resume_anyhow(sent),
                Order::Exit => inner.engine.exit(Closing::Asked),
                Order::ForcedExit => inner.engine.exit(Closing::Forced),
                // This body unwinds. The inner one stays where it is, for its owner to close.
                Order::Refused => return Err(DelegateError::Exit(Exit)),
            };
        }
        let port = self.port();
        match outcome {
            Outcome::Panicked(payload) => panic::resume_unwind(payload),
            // Python raises GeneratorExit in the outer one whatever the inner one made of it.
            _ if port.closing() == Closing::Forced => port.raise_exit(),
            _ if port.closing() == Closing::Asked => Err(DelegateError::Exit(Exit)),
            Outcome::Returned(value) => Ok(value),
            Outcome::Exited | Outcome::Abandoned | Outcome::Yielded(_) => {
                unreachable!("it exits only when this body does, and the loop took its yields")
            }
        }
    }
}

/// For as long as another generator stands in.
struct Delegating<'a> {
    flag: &'a Cell<bool>,
    before: bool,
}

impl Drop for Delegating<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

impl<Y> Yielder<Y> {
    /// Yields all items of an iterator: `yield from` for anything but generators.
    ///
    /// ```
    /// use ropewalk::generate;
    ///
    /// let letters = generate(|co| co.yield_all("abc".chars()));
    /// assert_eq!(letters.collect::<String>(), "abc");
    /// ```
    #[inline]
    pub fn yield_all(&self, items: impl IntoIterator<Item = Y>) {
        items.into_iter().for_each(|item| self.yield_(item));
    }

    /// As [`yield_all`](Yielder::yield_all), up to a close.
    ///
    /// # Errors
    ///
    /// [`Exit`] when the generator is being closed; the items that are left are not taken from the iterator.
    #[inline]
    pub fn try_yield_all(&self, items: impl IntoIterator<Item = Y>) -> Result<(), Exit> {
        items.into_iter().try_for_each(|item| self.try_yield(item))
    }
}

impl<Y, S> fmt::Debug for Yielder<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").field("delegates", &self.delegates.get()).finish_non_exhaustive()
    }
}
