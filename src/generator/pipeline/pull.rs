//! Pulling: stages after one another, in the order in which items pass.

use super::push::Sink;
use crate::generator::{Generator, Scope, Yielder, generate};

/// Puts stages after a source, be it an iterator, a generator or a collection.
pub trait Pipeline: IntoIterator + Sized {
    /// Hands the source to `stage`, a function that makes one iterator of another: `source | stage` in a shell.
    fn pipe<T>(self, stage: impl FnOnce(Self) -> T) -> T {
        stage(self)
    }

    /// Adds a stage that is written as a generator's body: it reads items and yields what it makes of them.
    ///
    /// Source and stage own what they hold; where they borrow, use [`Scope::through`].
    ///
    /// ```
    /// use ropewalk::pipeline::Pipeline;
    ///
    /// let words = ["a rose", "is a rose"].through(|lines, co| {
    ///     for line in lines {
    ///         co.yield_all(line.split(' '));
    ///     }
    /// });
    /// assert_eq!(words.collect::<Vec<_>>(), ["a", "rose", "is", "a", "rose"]);
    /// ```
    #[track_caller]
    fn through<Y, F>(self, stage: F) -> Generator<Y>
    where
        F: FnOnce(Self::IntoIter, &Yielder<Y>) + 'static,
        Self::IntoIter: 'static,
        Y: 'static,
    {
        let items = self.into_iter();
        generate(move |co| stage(items, co))
    }

    /// Sends all items into `sink`, or as many as it wants, and returns its result.
    ///
    /// ```
    /// use ropewalk::pipeline::{Pipeline, collect, take};
    ///
    /// let mut numbers = 1..;
    /// let first: Vec<u32> = numbers.by_ref().push_into(take(3, collect()));
    /// assert_eq!(first, [1, 2, 3]);
    /// assert_eq!(numbers.next(), Some(4));
    /// ```
    fn push_into<K: Sink<Self::Item>>(self, mut sink: K) -> K::Output {
        let mut items = self.into_iter();
        // Asked before each item, for an item that nobody wants must not be waited for.
        while !sink.has_ended() {
            let Some(item) = items.next() else { break };
            if sink.send(item).is_err() {
                break;
            }
        }
        sink.finish()
    }
}

impl<I: IntoIterator> Pipeline for I {}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Adds a stage to a source, as [`Pipeline::through`] does, where they borrow.
    ///
    /// ```
    /// use ropewalk::generator;
    ///
    /// let text = String::from("a rose\nis a rose");
    /// generator::scope(|s| {
    ///     let words = s.through(text.lines(), |lines, co| {
    ///         lines.for_each(|line| co.yield_all(line.split(' ')));
    ///     });
    ///     assert_eq!(words.collect::<Vec<_>>(), ["a", "rose", "is", "a", "rose"]);
    /// });
    /// ```
    #[track_caller]
    pub fn through<I, Y, F>(&'scope self, source: I, stage: F) -> &'scope Generator<Y>
    where
        F: FnOnce(I::IntoIter, &Yielder<Y>) + 'scope,
        I: IntoIterator<IntoIter: 'scope>,
        Y: 'scope,
    {
        let items = source.into_iter();
        self.generate(move |co| stage(items, co))
    }
}
