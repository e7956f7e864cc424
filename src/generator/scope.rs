//! Generators over borrowed data: a scope that outlives them.
//!
//! A generator that borrows must be gone before what it borrows is, even if its owner forgets it: a forgotten one
//! would keep, say, a `std::thread::scope` open on its stack, whose threads go on reading what was freed. So the scope
//! owns its generators and lends references; there is nothing to forget.
//!
//! Invariant: when [`scope`] returns or unwinds, each generator that was made in it is closed and holds no value of the
//! user's any more. Only then is their memory freed, and freeing it runs no code of the user's.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr::NonNull;

use super::builder::Builder;
use super::closing::Closed;
use super::engine::{Body, Payload};
use super::{Generator, Yielder};
use crate::report;

/// Owns generators that may borrow from outside of it. See [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    /// From `Box::into_raw`; freed by [`Scope::free`] and nowhere else.
    generators: RefCell<Vec<NonNull<dyn Close + 'scope>>>,
    // Invariant in both, as in `std::thread::Scope`: a longer or shorter `'scope` would let references out.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A body with its honest lifetime.
type ScopedBody<'scope, Y, S, R> = Box<dyn FnOnce(&Yielder<Y, S>) -> R + 'scope>;

/// Opens a scope in which generators may borrow what lives outside of it, and closes them all when it ends.
///
/// ```
/// use ropewalk::generator;
///
/// let text = String::from("the quick brown fox");
/// let mut longest = "";
/// generator::scope(|s| {
///     let words = s.generate(|co| co.yield_all(text.split(' ')));   // Borrows `text`.
///     for word in words {
///         if word.len() > longest.len() {
///             longest = word;
///         }
///     }
/// });
/// assert_eq!(longest, "quick");
/// ```
///
/// A generator's memory (not its stack, which is reused at once) is kept until the scope ends: where a loop makes
/// many, open a scope in the loop.
///
/// # Panics
///
/// With the panic of `f`, or else with the first panic of a body that was being closed. If a body goes on yielding
/// although it is unwound by force, or cannot be unwound because of `panic = "abort"` (see
/// [`Yielder::yield_`]), the process aborts with a message: returning would free what it borrows.
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope { generators: RefCell::new(Vec::new()), scope: PhantomData, env: PhantomData };
    let result = panic::catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let panicked = scope.close_all();
    // SAFETY: `f` has returned and its `'scope` is over; all generators are closed, so no body of theirs uses it.
    unsafe { scope.free() };
    match (result, panicked) {
        (Ok(value), None) => value,
        (Ok(_), Some(payload)) => panic::resume_unwind(payload),
        (Err(payload), other) => {
            other.into_iter().for_each(report::discard);
            panic::resume_unwind(payload)
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Makes a generator that may borrow whatever outlives the scope, and lends it.
    #[track_caller]
    pub fn generator<Y, S, R, F>(&'scope self, body: F) -> &'scope Generator<Y, S, R>
    where
        F: FnOnce(&Yielder<Y, S>) -> R + 'scope,
        Y: 'scope,
        S: 'scope,
        R: 'scope,
    {
        self.with_options(Box::new(body), Location::caller(), None)
    }

    /// Makes a generator to which nothing is sent, as [`generate`](super::generate) does, that may borrow.
    #[track_caller]
    pub fn generate<Y, R, F>(&'scope self, body: F) -> &'scope Generator<Y, (), R>
    where
        F: FnOnce(&Yielder<Y>) -> R + 'scope,
        Y: 'scope,
        R: 'scope,
    {
        self.with_options(Box::new(body), Location::caller(), None)
    }

    pub(super) fn with_options<Y, S, R>(
        &'scope self,
        body: ScopedBody<'scope, Y, S, R>,
        created: &'static Location<'static>,
        options: Option<Box<Builder>>,
    ) -> &'scope Generator<Y, S, R>
    where
        Y: 'scope,
        S: 'scope,
        R: 'scope,
    {
        // SAFETY: only the lifetime changes. `scope` closes the generator, which drops the body or runs it to its end,
        // before it returns, and what the body borrows lives longer than that.
        let body = unsafe { mem::transmute::<ScopedBody<'scope, Y, S, R>, Body<Y, S, R>>(body) };
        let generator = Box::into_raw(Box::new(Generator::with_options(body, created, options)));
        // SAFETY: fresh from a box, and freed only after `'scope`.
        let lent = unsafe { &*generator };
        self.generators.borrow_mut().push(NonNull::from(lent as &(dyn Close + 'scope)));
        lent
    }

    /// Closes all generators and drops every value they hold; returns the first panic. Does not unwind.
    fn close_all(&self) -> Option<Payload> {
        let mut first_panic = None;
        // One pass is not enough: dropping what one generator held may start another, or make a new one; and one that
        // stands in for a second is closed by closing that.
        loop {
            let mut changed = false;
            let mut next = 0;
            while let Some(generator) = self.nth(next) {
                // SAFETY: freed only by `free`, later.
                match panic::catch_unwind(AssertUnwindSafe(|| unsafe { generator.as_ref() }.close_in_scope()))
                {
                    Ok(closed) => changed |= closed,
                    Err(payload) => {
                        changed = true;
                        match first_panic {
                            None => first_panic = Some(payload),
                            Some(_) => report::discard(payload),
                        }
                    }
                }
                next += 1;
            }
            if !changed {
                break;
            }
        }
        first_panic
    }

    fn nth(&self, index: usize) -> Option<NonNull<dyn Close + 'scope>> {
        self.generators.borrow().get(index).copied()
    }

    /// # Safety
    ///
    /// Nobody has a reference to a generator of this scope any more, and all are closed.
    unsafe fn free(&self) {
        for generator in self.generators.take() {
            // SAFETY: from `Box::into_raw`, once; nobody refers to it, says the caller.
            let generator = unsafe { Box::from_raw(generator.as_ptr()) };
            if !generator.is_spent() {
                report::fatal("a generator is still in use at the end of its scope");
            }
        }
    }
}

/// What a scope does with a generator of any type.
trait Close {
    /// Takes a step towards closed and empty; says whether there was one to take.
    fn close_in_scope(&self) -> bool;

    /// Closed, and without a value of the user's.
    fn is_spent(&self) -> bool;
}

impl<Y, S, R> Close for Generator<Y, S, R> {
    fn close_in_scope(&self) -> bool {
        match self.close_for_good() {
            // Whoever it stands in for will be closed, and that closes it.
            Closed::Running => false,
            Closed::Already => self.take_return().is_some(),
            Closed::Now => true,
            Closed::Panicked(payload) => panic::resume_unwind(payload),
            Closed::Refused => report::fatal(
                "a generator that borrows kept on yielding while its scope ended: \
                 what it borrows is about to be freed",
            ),
            Closed::Abandoned => report::fatal(
                "a generator that borrows was suspended in a plain yield_ at the end of its scope, which \
                 panic = \"abort\" forbids to unwind: use try_yield, or run it to its end",
            ),
        }
    }

    fn is_spent(&self) -> bool {
        self.state() == super::State::Closed && !self.engine.holds_return()
    }
}

impl std::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("generators", &self.generators.borrow().len()).finish_non_exhaustive()
    }
}
