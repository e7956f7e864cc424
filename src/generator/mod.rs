//! Generators: functions on stacks of their own that yield values, and can be sent values back.
//!
//! A [`Generator`] is resumed with [`start`](Generator::start) and [`send`](Generator::send) and stopped with
//! [`close`](Generator::close); one that is sent nothing is an [`Iterator`]. Its body gets a [`Yielder`], and may
//! yield from any call depth. `docs/generators.md` compares each case with Python's.
//!
//! Errors are values ([`SendError`] gives back what it refused). A panic in a body reaches whoever resumed it, once.
//!
//! # What no stackful library can promise
//!
//! `thread_local!` belongs to the thread, and all generators of a thread share it. A body must not yield inside
//! `LocalKey::with` while the generator itself lives in a thread-local: when the thread ends, the borrowed value may
//! be destroyed before the generator is unwound. See `docs/unsafe.md`.

mod builder;
mod closing;
mod engine;
mod handoff;
mod iterate;
pub(crate) mod mark;
pub mod pipeline;
mod scope;
pub(crate) mod switch;
mod yielder;

use std::panic::{self, Location};
use std::{fmt, io};

pub use builder::Builder;
pub use engine::State;
use engine::{Body, Engine, Outcome};
pub(crate) use handoff::Passed;
use handoff::{Closing, Outlet, Port};
pub use scope::{Scope, scope};
pub use yielder::Yielder;

use crate::error::{CloseError, SendError, StartError, ThrowError};
use crate::stack::Shape;

/// A function that can stop at a yield, hand out a value and be sent another.
///
/// `Y` is what it yields, `S` what is sent to it, `R` what it returns. Its methods take `&self`, as those of a `Cell`
/// do: a generator can be shared through an `Rc`, and resuming one that is running is an error that says so.
///
/// ```
/// use ropewalk::{Generator, Step};
///
/// let averager = Generator::new(|co| {
///     let (mut sum, mut count) = (0.0, 0.0);
///     let mut mean = 0.0;
///     loop {
///         sum += co.yield_(mean);
///         count += 1.0;
///         mean = sum / count;
///     }
/// });
/// # let _: &Generator<f64, f64> = &averager;
/// averager.start().unwrap();                                    // Runs up to the first yield.
/// assert_eq!(averager.send(10.0), Ok(Step::Yield(10.0)));
/// assert_eq!(averager.send(30.0), Ok(Step::Yield(20.0)));
/// averager.close().unwrap();
/// assert_eq!(averager.send(5.0).unwrap_err().into_inner(), 5.0);
/// ```
///
/// A generator that has not started holds its body in a box; it takes a stack when it starts, and gives it back when it
/// ends.
/// Dropping a suspended one closes it; forgetting it leaks its stack and nothing else.
#[must_use = "a generator does nothing until it is started or iterated"]
pub struct Generator<Y, S = (), R = ()> {
    engine: Engine<Y, S, R>,
}

/// What a resumed generator came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step<Y, R = ()> {
    /// It yielded this and waits to be resumed.
    Yield(Y),
    /// It returned this and is closed.
    Return(R),
}

impl<Y, R> Step<Y, R> {
    /// The value if it was yielded.
    pub fn yielded(self) -> Option<Y> {
        match self {
            Step::Yield(value) => Some(value),
            Step::Return(_) => None,
        }
    }

    /// The value if it was returned.
    pub fn returned(self) -> Option<R> {
        match self {
            Step::Yield(_) => None,
            Step::Return(value) => Some(value),
        }
    }
}

/// A generator to which nothing is sent: an iterator with a body that yields.
///
/// It owns what it captures, for it may live for ever; [`Scope::generate`] makes one that borrows.
///
/// ```
/// use ropewalk::generate;
///
/// let squares = generate(|co| (1..).for_each(|n| co.yield_(n * n)));
/// let small: Vec<u32> = squares.take_while(|&square| square < 50).collect();
/// assert_eq!(small, [1, 4, 9, 16, 25, 36, 49]);
/// ```
#[track_caller]
pub fn generate<Y, R, F>(body: F) -> Generator<Y, (), R>
where
    F: FnOnce(&Yielder<Y>) -> R + 'static,
    Y: 'static,
    R: 'static,
{
    Generator::with_options(Box::new(body), Location::caller(), None)
}

impl<Y, S, R> Generator<Y, S, R> {
    /// Makes a generator from its body, which does not begin before [`start`](Generator::start).
    ///
    /// The body may own what it captures, of any size. To borrow, open a [`scope`].
    #[track_caller]
    pub fn new<F>(body: F) -> Generator<Y, S, R>
    where
        F: FnOnce(&Yielder<Y, S>) -> R + 'static,
        Y: 'static,
        S: 'static,
        R: 'static,
    {
        Generator::with_options(Box::new(body), Location::caller(), None)
    }

    pub(crate) fn with_options(
        body: Body<Y, S, R>,
        created: &'static Location<'static>,
        options: Option<Box<Builder>>,
    ) -> Generator<Y, S, R> {
        Generator { engine: Engine::new(body, created, options) }
    }

    /// Runs the body up to its first yield, or its end; Python's first `next`, which *primes* a generator.
    ///
    /// # Errors
    ///
    /// [`StartError::NoStack`] when there is no stack; the generator can be started later. Otherwise it was started
    /// before, or closed.
    ///
    /// # Panics
    ///
    /// When the body panics, with its panic; the generator is closed then.
    #[inline]
    pub fn start(&self) -> Result<Step<Y, R>, StartError> {
        self.can_start()?;
        Ok(self.step(self.engine.start(None).map_err(StartError::NoStack)?))
    }

    /// Starts the generator and drops what it yields first: ready for the first [`send`](Generator::send).
    ///
    /// If it returns at once, it is closed, and [`take_return`](Generator::take_return) has the value.
    ///
    /// ```
    /// use ropewalk::{Generator, Step};
    ///
    /// let doubler = Generator::new(|co| {
    ///     let mut doubled = 0;
    ///     loop {
    ///         doubled = 2 * co.yield_(doubled);
    ///     }
    /// })
    /// .primed();
    /// # let _: &Generator<i32, i32> = &doubler;
    /// assert_eq!(doubler.send(4), Ok(Step::Yield(8)));
    /// ```
    ///
    /// # Panics
    ///
    /// When it cannot be started, for which [`start`](Generator::start) returns an error; and when the body panics.
    #[track_caller]
    pub fn primed(self) -> Self {
        match self.start() {
            Ok(Step::Yield(_)) => {}
            Ok(Step::Return(value)) => self.keep_return(value),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Sends `value` to the body, whose yield returns it, and runs it up to its next yield, or its end.
    ///
    /// # Errors
    ///
    /// Gives the value back when there is no yield to return it: the generator has not been started, runs, or has
    /// finished.
    ///
    /// # Panics
    ///
    /// When the body panics, with its panic; the generator is closed then.
    #[inline(always)]
    pub fn send(&self, value: S) -> Result<Step<Y, R>, SendError<S>> {
        if !self.engine.is_ready() {
            return self.send_anyhow(value);
        }
        Ok(self.step(self.engine.resume(value)))
    }

    /// The long way of [`send`](Generator::send).
    #[cold]
    fn send_anyhow(&self, value: S) -> Result<Step<Y, R>, SendError<S>> {
        match self.engine.state() {
            State::Suspended => Ok(self.step(self.engine.resume_anyhow(value))),
            _ => Err(self.refuse(value)),
        }
    }

    #[cold]
    fn refuse(&self, value: S) -> SendError<S> {
        match self.engine.state() {
            State::Created => SendError::NotStarted(value),
            State::Running => SendError::Running(value),
            State::Closed => SendError::Finished(value),
            State::Suspended => unreachable!("a suspended generator takes what it is sent"),
        }
    }

    /// Asks the body to end: Python's `close`.
    ///
    /// A body that waits in [`yield_`](Yielder::yield_) is unwound, one that waits in
    /// [`try_yield`](Yielder::try_yield) gets `Err(Exit)` and may still return a value, which is given back here. A
    /// body that has not begun is dropped; closing a closed generator does nothing.
    ///
    /// # Errors
    ///
    /// [`CloseError::IgnoredExit`] with the value that the body yielded instead of ending. It is suspended there and
    /// can be resumed, or closed again.
    ///
    /// # Panics
    ///
    /// When the body panics while it ends, with its panic; the generator is closed then.
    pub fn close(&self) -> Result<Option<R>, CloseError<Y>> {
        match self.engine.state() {
            State::Running => Err(CloseError::Running),
            State::Closed => Ok(None),
            State::Created => {
                self.engine.discard_body();
                Ok(None)
            }
            State::Suspended => match self.engine.exit(Closing::Asked) {
                Outcome::Yielded(value) => Err(CloseError::IgnoredExit(value)),
                Outcome::Returned(value) => Ok(Some(value)),
                Outcome::Exited => Ok(None),
                Outcome::Abandoned => Err(CloseError::Abandoned),
                Outcome::Panicked(payload) => panic::resume_unwind(payload),
            },
        }
    }

    /// Where the generator stands.
    #[inline]
    pub fn state(&self) -> State {
        self.engine.state()
    }

    /// Whether another generator stands in for this one: Python's `gi_yieldfrom`.
    pub fn is_delegating(&self) -> bool {
        self.engine.delegates()
    }

    /// The value that the body returned to somebody who had no place for it: an iterator, or
    /// [`primed`](Generator::primed).
    ///
    /// It is handed out once.
    ///
    /// ```
    /// use ropewalk::generate;
    ///
    /// let mut letters = generate(|co| { co.yield_all("ab".chars()); "done" });
    /// assert_eq!(letters.by_ref().count(), 2);
    /// assert_eq!(letters.take_return(), Some("done"));
    /// assert_eq!(letters.take_return(), None);
    /// ```
    pub fn take_return(&self) -> Option<R> {
        self.engine.take_return()
    }

    /// Where the generator was created.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.engine.created()
    }

    /// The name that a [`Builder`] gave it.
    pub fn name(&self) -> Option<&str> {
        self.engine.name()
    }

    /// Runs the body of a generator that was never started where this is called, on this very stack. Each yield calls
    /// `outlet`, and returns when that does: nothing is suspended but what waits in there. So scopes may be open.
    ///
    /// `None` if the body was unwound because its items were not wanted any more.
    ///
    /// # Errors
    ///
    /// The generator has been started: here it is.
    ///
    /// # Panics
    ///
    /// With the panic of the body.
    pub(crate) fn run_in_place(self, outlet: Outlet<'_, Y, S>) -> Result<Option<R>, Self> {
        match self.engine.take_body() {
            Some(body) => Ok(engine::run_in_place(body, outlet)),
            None => Err(self),
        }
    }

    /// The stack that it is to have, if it was asked for one.
    ///
    /// # Errors
    ///
    /// There is none of that size.
    pub(crate) fn shape(&self) -> io::Result<Option<Shape>> {
        self.engine.options().map_or(Ok(None), Builder::own_shape)
    }

    /// Keeps the value of a return for [`take_return`](Generator::take_return). The state must be `Closed`.
    pub(in crate::generator) fn keep_return(&self, value: R) {
        self.engine.keep_return(value);
    }

    fn can_start(&self) -> Result<(), StartError> {
        match self.engine.state() {
            State::Created => Ok(()),
            State::Suspended => Err(StartError::AlreadyStarted),
            State::Running => Err(StartError::Running),
            State::Closed => Err(StartError::Finished),
        }
    }

    #[inline(always)]
    fn step(&self, outcome: Outcome<Y, R>) -> Step<Y, R> {
        match outcome {
            Outcome::Yielded(value) => Step::Yield(value),
            Outcome::Returned(value) => Step::Return(value),
            Outcome::Panicked(payload) => panic::resume_unwind(payload),
            Outcome::Exited | Outcome::Abandoned => unreachable!("only a generator that is closed exits"),
        }
    }

    /// Begins to stand in for the generator whose port it is.
    pub(in crate::generator) fn enter(&self, port: Port<Y, S>) -> Result<Outcome<Y, R>, StartError> {
        self.can_start()?;
        self.engine.start(Some(port)).map_err(StartError::NoStack)
    }

    /// Begins to stand in for another generator, from the yield where it waits.
    pub(in crate::generator) fn take_over(&self, first: S) -> Result<Outcome<Y, R>, SendError<S>> {
        match self.engine.state() {
            State::Suspended => Ok(self.engine.resume_anyhow(first)),
            _ => Err(self.refuse(first)),
        }
    }
}

impl<Y, T, E, R> Generator<Y, Result<T, E>, R> {
    /// Throws `error` into the body: its yield returns `Err(error)`, which `?` carries on.
    ///
    /// A generator into which errors can be thrown says so in its type: `S` is a `Result`.
    ///
    /// ```
    /// use ropewalk::{Generator, Step};
    ///
    /// let parser = Generator::new(|co| -> Result<(), String> {
    ///     loop {
    ///         let digit: u32 = co.yield_("more")?;
    ///         println!("{digit}");
    ///     }
    /// });
    /// # let _: &Generator<&str, Result<u32, String>, Result<(), String>> = &parser;
    /// parser.start().unwrap();
    /// assert_eq!(parser.send(Ok(7)), Ok(Step::Yield("more")));
    /// assert_eq!(parser.throw("line 3".to_owned()), Ok(Step::Return(Err("line 3".to_owned()))));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the error back when no yield is there to return it. As in Python, a generator that has not been
    /// started is closed by this, and its body never begins.
    ///
    /// # Panics
    ///
    /// When the body panics, with its panic; the generator is closed then.
    pub fn throw(&self, error: E) -> Result<Step<Y, R>, ThrowError<E>> {
        match self.engine.state() {
            State::Suspended => Ok(self.step(self.engine.resume_anyhow(Err(error)))),
            State::Running => Err(ThrowError::Running(error)),
            State::Closed => Err(ThrowError::Finished(error)),
            State::Created => {
                self.engine.discard_body();
                Err(ThrowError::NotStarted(error))
            }
        }
    }
}

impl<Y, S, R> fmt::Debug for Generator<Y, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Generator");
        if let Some(name) = self.name() {
            text.field("name", &name);
        }
        text.field("state", &self.state())
            .field("created", &format_args!("{}", self.created_at()))
            .finish_non_exhaustive()
    }
}
