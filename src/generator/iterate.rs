//! A generator to which nothing is sent, as an iterator.

use std::iter::FusedIterator;

use super::engine::{Outcome, State};
use super::{Generator, Step};
use crate::error::StartError;

impl<Y, R> Generator<Y, (), R> {
    /// The next item: [`Iterator::next`] for a generator that is shared, or not declared `mut`.
    ///
    /// ```
    /// use ropewalk::generate;
    ///
    /// let numbers = std::rc::Rc::new(generate(|co| co.yield_all(1..)));
    /// assert_eq!((numbers.next(), numbers.next()), (Some(1), Some(2)));
    /// ```
    ///
    /// # Panics
    ///
    /// As the iterator does: when the body panics, with its panic; when there is no stack for it; when it is running.
    #[inline(always)]
    #[track_caller]
    pub fn next(&self) -> Option<Y> {
        if !self.engine.is_ready() {
            return self.next_anyhow();
        }
        self.item(self.engine.resume(()))
    }

    #[inline(always)]
    fn item(&self, outcome: Outcome<Y, R>) -> Option<Y> {
        match self.step(outcome) {
            Step::Yield(value) => Some(value),
            Step::Return(value) => {
                self.keep_return(value);
                None
            }
        }
    }

    /// The long way of [`next`](Generator::next), by which a generator starts and ends.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn next_anyhow(&self) -> Option<Y> {
        let outcome = match self.engine.state() {
            State::Suspended => Ok(self.engine.resume_anyhow(())),
            State::Closed => return None,
            State::Created | State::Running => {
                self.can_start().and_then(|()| self.engine.start(None).map_err(StartError::NoStack))
            }
        };
        match outcome {
            Ok(outcome) => self.item(outcome),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the body yields.
///
/// # Panics
///
/// `next` panics when the body does, with its panic; when there is no stack for it (use
/// [`start`](Generator::start) to see the error); and when the generator is running.
impl<Y, R> Iterator for Generator<Y, (), R> {
    type Item = Y;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        Generator::next(self)
    }
}

impl<Y, R> FusedIterator for Generator<Y, (), R> {}

/// As for a generator itself: what one reference takes, another does not see.
impl<Y, R> Iterator for &Generator<Y, (), R> {
    type Item = Y;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        Generator::next(self)
    }
}

impl<Y, R> FusedIterator for &Generator<Y, (), R> {}
