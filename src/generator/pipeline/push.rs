//! Pushing: coroutines that take what is sent, and give a result when it ends.
//!
//! Invariant: a consumer's generator yields only to ask for the next item, never after it was told that there is
//! none. So closing it always makes its body return.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::Pipeline;
use crate::error::{CloseError, SendError};
use crate::generator::{Generator, Scope, State, Step, Yielder};

/// Takes items one by one and gives a result at the end.
pub trait Sink<T> {
    /// What [`finish`](Sink::finish) gives.
    type Output;

    /// Takes an item.
    ///
    /// # Errors
    ///
    /// Gives the item back when the sink has ended and will take no more. Its result is ready then.
    fn send(&mut self, item: T) -> Result<(), Ended<T>>;

    /// Whether the sink takes no more items, so that its source can stop before it makes another.
    fn has_ended(&self) -> bool;

    /// Says that no item will come any more, and takes the result.
    fn finish(self) -> Self::Output;
}

/// The sink has ended; holds the item that it did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<T>(pub T);

impl<T> fmt::Display for Ended<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sink has ended and takes no more items")
    }
}

impl<T: fmt::Debug> Error for Ended<T> {}

/// A sink whose body is a coroutine: see [`consumer`].
///
/// Its body begins when the first item is sent, and takes a stack then. Dropping it ends a body that has begun, as
/// [`finish`](Sink::finish) does, and drops the result; one that has not begun never does. A consumer of a scope is ended
/// by `finish` or by the end of the scope.
#[derive(Debug)]
#[must_use = "a consumer does nothing until items are sent"]
pub struct Consumer<T, R, G = Generator<(), T, R>> {
    generator: G,
    types: PhantomData<fn(T) -> R>,
}

/// What a consumer is sent: an iterator that waits for the next item, and ends when no more will come.
#[derive(Debug)]
pub struct Incoming<'a, T> {
    /// `None` once the end was seen.
    co: Option<&'a Yielder<(), T>>,
}

impl<T> Iterator for Incoming<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let item = self.co?.try_yield(()).ok();
        if item.is_none() {
            self.co = None;
        }
        item
    }
}

impl<T> FusedIterator for Incoming<'_, T> {}

/// Makes a sink from a body that reads its input as an iterator and returns the result.
///
/// The body is a coroutine: it keeps its place, and its local variables, from one item to the next.
///
/// ```
/// use ropewalk::pipeline::{Incoming, Sink, consumer};
///
/// let mut longest = consumer(|words: Incoming<String>| {
///     let mut longest = String::new();
///     for word in words {
///         if word.len() > longest.len() {
///             longest = word;
///         }
///     }
///     longest
/// });
/// for word in ["rope", "strand", "yarn"] {
///     longest.send(word.to_owned()).unwrap();
/// }
/// assert_eq!(longest.finish(), "strand");
/// ```
///
/// A stage in the middle takes the next sink along:
///
/// ```
/// use ropewalk::pipeline::{Consumer, Pipeline, Sink, collect, consumer};
///
/// fn words<K>(into: K) -> Consumer<String, K::Output>
/// where
///     K: Sink<String, Output: 'static> + 'static,
/// {
///     consumer(|lines| {
///         lines.flat_map(|line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).push_into(into)
///     })
/// }
///
/// let found = ["a rose", "is"].map(str::to_owned).push_into(words(collect()));
/// assert_eq!(found, ["a", "rose", "is"]);
/// ```
///
/// A stage that borrows is made in a scope, in the same words: [`Scope::consumer`].
#[track_caller]
pub fn consumer<T, R, F>(body: F) -> Consumer<T, R>
where
    F: FnOnce(Incoming<'_, T>) -> R + 'static,
    T: 'static,
    R: 'static,
{
    Consumer::over(Generator::new(move |co| body(Incoming { co: Some(co) })))
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Makes a [`consumer`] whose body may borrow whatever outlives the scope.
    ///
    /// ```
    /// use ropewalk::generator;
    /// use ropewalk::pipeline::Pipeline;
    ///
    /// let mut seen = Vec::new();
    /// generator::scope(|s| {
    ///     ["a", "b"].push_into(s.consumer(|items| items.for_each(|item| seen.push(item))));
    /// });
    /// assert_eq!(seen, ["a", "b"]);
    /// ```
    #[track_caller]
    pub fn consumer<T, R, F>(&'scope self, body: F) -> Consumer<T, R, &'scope Generator<(), T, R>>
    where
        F: FnOnce(Incoming<'_, T>) -> R + 'scope,
        T: 'scope,
        R: 'scope,
    {
        Consumer::over(self.generator(move |co| body(Incoming { co: Some(co) })))
    }
}

impl<T, R, G: Borrow<Generator<(), T, R>>> Consumer<T, R, G> {
    fn over(generator: G) -> Self {
        Consumer { generator, types: PhantomData }
    }

    /// Runs the body up to its first look at the input.
    #[track_caller]
    fn prime(generator: &Generator<(), T, R>) {
        match generator.start() {
            Ok(step) => Self::settle(generator, step),
            Err(error) => panic!("{error}"),
        }
    }

    fn settle(generator: &Generator<(), T, R>, step: Step<(), R>) {
        if let Step::Return(result) = step {
            generator.keep_return(result);
        }
    }
}

/// # Panics
///
/// When the body panics, with its panic. `send` panics when there is no stack for the body, or when the body sends
/// to itself; `finish` when the body has panicked before, so that there is no result.
impl<T, R, G: Borrow<Generator<(), T, R>>> Sink<T> for Consumer<T, R, G> {
    type Output = R;

    #[inline]
    #[track_caller]
    fn send(&mut self, item: T) -> Result<(), Ended<T>> {
        let generator = self.generator.borrow();
        if generator.state() == State::Created {
            Self::prime(generator);
        }
        match generator.send(item) {
            Ok(step) => {
                Self::settle(generator, step);
                Ok(())
            }
            Err(SendError::Finished(item)) => Err(Ended(item)),
            Err(error) => panic!("{error}"),
        }
    }

    #[inline]
    fn has_ended(&self) -> bool {
        self.generator.borrow().state() == State::Closed
    }

    #[track_caller]
    fn finish(self) -> R {
        let generator = self.generator.borrow();
        if generator.state() == State::Created {
            Self::prime(generator);
        }
        let result = match generator.close() {
            Ok(result) => result.or_else(|| generator.take_return()),
            Err(CloseError::Running) => panic!("{}", CloseError::<()>::Running),
            Err(CloseError::IgnoredExit(()) | CloseError::Abandoned) => {
                unreachable!("a consumer's body asks for no item after the last")
            }
        };
        result.expect("the consumer's body has panicked, so that it has no result")
    }
}

/// Sends each item to several sinks, of one type (in a `Vec` or an array) or of several (in a tuple of up to four).
///
/// ```
/// use ropewalk::pipeline::{Pipeline, broadcast, collect, count, filter};
///
/// let (all, even) = (1..=5).push_into(broadcast((count(), filter(|n| n % 2 == 0, collect()))));
/// assert_eq!((all, even), (5, vec![2, 4]));
/// ```
///
/// The ready-made sinks own what they hold. Over borrowed items, make sinks in a scope:
/// `s.consumer(|items| items.count())`.
///
/// The last gets the item itself, the others copies: put what is dear to copy behind an `Rc`. A sink that has ended
/// is passed over; the broadcast ends when all have. The result holds theirs.
pub fn broadcast<K>(sinks: K) -> Broadcast<K> {
    Broadcast { sinks }
}

/// See [`broadcast`].
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until items are sent"]
pub struct Broadcast<K> {
    sinks: K,
}

/// Sends a copy to a sink that still takes items; says whether it took this one.
fn send_copy<T: Clone>(sink: &mut impl Sink<T>, item: &T) -> bool {
    !sink.has_ended() && sink.send(item.clone()).is_ok()
}

/// Sends the item itself to the last sink of a broadcast, of which others may have taken copies.
fn send_last<T>(sink: &mut impl Sink<T>, item: T, taken: bool) -> Result<(), Ended<T>> {
    sink.send(item).or_else(|ended| if taken { Ok(()) } else { Err(ended) })
}

/// Sends an item to all sinks of a slice.
fn send_to_all<T: Clone>(sinks: &mut [impl Sink<T>], item: T) -> Result<(), Ended<T>> {
    let Some((last, others)) = sinks.split_last_mut() else { return Err(Ended(item)) };
    let taken = others.iter_mut().fold(false, |taken, sink| send_copy(sink, &item) | taken);
    send_last(last, item, taken)
}

impl<T: Clone, K: Sink<T>> Sink<T> for Broadcast<Vec<K>> {
    type Output = Vec<K::Output>;

    fn send(&mut self, item: T) -> Result<(), Ended<T>> {
        send_to_all(&mut self.sinks, item)
    }

    fn has_ended(&self) -> bool {
        self.sinks.iter().all(Sink::has_ended)
    }

    fn finish(self) -> Self::Output {
        self.sinks.into_iter().map(Sink::finish).collect()
    }
}

impl<T: Clone, K: Sink<T>, const N: usize> Sink<T> for Broadcast<[K; N]> {
    type Output = [K::Output; N];

    fn send(&mut self, item: T) -> Result<(), Ended<T>> {
        send_to_all(&mut self.sinks, item)
    }

    fn has_ended(&self) -> bool {
        self.sinks.iter().all(Sink::has_ended)
    }

    fn finish(self) -> Self::Output {
        self.sinks.map(Sink::finish)
    }
}

macro_rules! broadcast_to_tuple {
    ($($sink:ident $index:tt),+; $last:ident $last_index:tt) => {
        impl<T: Clone, $($sink: Sink<T>,)+ $last: Sink<T>> Sink<T> for Broadcast<($($sink,)+ $last)> {
            type Output = ($($sink::Output,)+ $last::Output);

            fn send(&mut self, item: T) -> Result<(), Ended<T>> {
                let taken = [$(send_copy(&mut self.sinks.$index, &item)),+].contains(&true);
                send_last(&mut self.sinks.$last_index, item, taken)
            }

            fn has_ended(&self) -> bool {
                $(self.sinks.$index.has_ended() &&)+ self.sinks.$last_index.has_ended()
            }

            fn finish(self) -> Self::Output {
                ($(self.sinks.$index.finish(),)+ self.sinks.$last_index.finish())
            }
        }
    };
}

broadcast_to_tuple!(A 0; B 1);
broadcast_to_tuple!(A 0, B 1; C 2);
broadcast_to_tuple!(A 0, B 1, C 2; D 3);

/// Passes on the items that `keep` says yes to.
#[track_caller]
pub fn filter<T, K>(keep: impl FnMut(&T) -> bool + 'static, into: K) -> Consumer<T, K::Output>
where
    T: 'static,
    K: Sink<T, Output: 'static> + 'static,
{
    consumer(move |items| items.filter(keep).push_into(into))
}

/// Passes on what `change` makes of each item.
#[track_caller]
pub fn map<T, U, K>(change: impl FnMut(T) -> U + 'static, into: K) -> Consumer<T, K::Output>
where
    T: 'static,
    K: Sink<U, Output: 'static> + 'static,
{
    consumer(move |items| items.map(change).push_into(into))
}

/// Passes on the first `count` items, then ends.
#[track_caller]
pub fn take<T, K>(count: usize, into: K) -> Consumer<T, K::Output>
where
    T: 'static,
    K: Sink<T, Output: 'static> + 'static,
{
    consumer(move |items| items.take(count).push_into(into))
}

/// Calls `act` with each item.
#[track_caller]
pub fn for_each<T: 'static>(act: impl FnMut(T) + 'static) -> Consumer<T, ()> {
    consumer(move |items| items.for_each(act))
}

/// Counts the items.
#[track_caller]
pub fn count<T: 'static>() -> Consumer<T, usize> {
    consumer(|items| items.count())
}

/// Gathers the items in order. Into another collection: `consumer(|items| items.collect::<HashSet<_>>())`.
#[track_caller]
pub fn collect<T: 'static>() -> Consumer<T, Vec<T>> {
    consumer(|items| items.collect())
}
