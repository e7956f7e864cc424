//! Waits that are values: an *arm* says what to wait for, and nothing happens until somebody waits for it.
#![allow(unsafe_code)]

use std::fmt;
use std::panic::Location;

use super::core::Core;
use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::place::{Place, Sleeper, sealed};
use super::record::{Record, TaskId};
use super::ticket::Void;
use super::why::Why;
use crate::error::Cancelled;

/// Something to wait for, as a value: to receive, to lock, to sleep. [`select`](crate::select::select) waits for several.
///
/// Whatever waits has a method that makes an arm of it, named as what goes on: `recv` waits, `receiving` describes that
/// wait. An arm that is not chosen has had no effect.
///
/// An arm of your own says what can be had [at once](Arm::try_now), else in [which place](Arm::place) to wait, and what the
/// wait has [ended](Arm::end) with:
///
/// ```
/// use ropewalk::lowlevel::{self, Arm, InLine, WaitList};
/// use ropewalk::task;
/// use std::cell::Cell;
/// use std::fmt;
///
/// /// A door that lets one in for each push.
/// #[derive(Default)]
/// struct Turnstile {
///     pushed: Cell<u32>,
///     waiting: WaitList,
/// }
///
/// struct Passing<'a>(&'a Turnstile);
///
/// impl<'a> Arm for Passing<'a> {
///     type Output = ();
///     type Place = InLine<'a, ()>;
///
///     fn try_now(&mut self) -> Option<()> {
///         let left = self.0.pushed.get().checked_sub(1)?;
///         Some(self.0.pushed.set(left))
///     }
///
///     fn place(&mut self) -> Self::Place {
///         self.0.waiting.place(())
///     }
///
///     fn end(&mut self, place: Self::Place) -> Option<()> {
///         place.into_woken(&self.0.waiting).value
///     }
///
///     fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("turnstile")
///     }
/// }
///
/// impl Turnstile {
///     fn push(&self) {
///         if self.waiting.wake_one(()).is_err() {
///             self.pushed.set(self.pushed.get() + 1);
///         }
///     }
/// }
///
/// ropewalk::run(|| {
///     let door = Turnstile::default();
///     task::scope(|s| {
///         s.spawn(|| lowlevel::wait(&mut Passing(&door)).unwrap());
///         task::yield_now();
///         door.push();
///     });
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no arm, and cannot be selected",
    note = "a call that waits gives its result; its arm is called after what goes on: `recv` and `receiving`, `sleep` and `sleeping`, `wait_readable` and `readable`"
)]
pub trait Arm {
    /// What it gives.
    type Output;
    /// Where it waits.
    type Place: Place;

    /// Does it, if that needs no waiting. It must not wait, nor pass those who do.
    fn try_now(&mut self) -> Option<Self::Output>;

    /// Where to wait for it: a new place for each wait.
    ///
    /// Nothing may happen in here that another arm of the same wait could be waiting for: they have been tried already, and
    /// do not stand in their lines yet.
    fn place(&mut self) -> Self::Place;

    /// The wait has ended. If this is what it was granted by, gives what that has brought; else takes back what lies in the place.
    ///
    /// It may also find that it has to be tried again, and give nothing although it was granted.
    ///
    /// Whatever panics beside it, a place that was entered goes back to its arm.
    fn end(&mut self, place: Self::Place) -> Option<Self::Output>;

    /// What is waited for, as dumps show it: "recv", "lock".
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The task that has what is waited for, if that is known.
    fn holder(&self) -> Option<TaskId> {
        None
    }

    /// The same, with another output; `change` is called once it was chosen.
    ///
    /// ```
    /// use ropewalk::select::{Arm, select};
    /// use ropewalk::time;
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let arms = [30, 10, 20].map(|ms| time::sleeping(Duration::from_millis(ms)).map(move |()| ms));
    ///     assert_eq!(select(arms), Ok((1, 10)));
    /// });
    /// ```
    fn map<T, F: FnMut(Self::Output) -> T>(self, change: F) -> Map<Self, F>
    where
        Self: Sized,
    {
        Map { arm: self, change }
    }
}

/// An arm with another output: see [`Arm::map`].
#[derive(Clone)]
pub struct Map<A, F> {
    arm: A,
    change: F,
}

impl<A: Arm, T, F: FnMut(A::Output) -> T> Arm for Map<A, F> {
    type Output = T;
    type Place = A::Place;

    #[inline]
    fn try_now(&mut self) -> Option<T> {
        self.arm.try_now().map(&mut self.change)
    }

    #[inline]
    fn place(&mut self) -> A::Place {
        self.arm.place()
    }

    #[inline]
    fn end(&mut self, place: A::Place) -> Option<T> {
        self.arm.end(place).map(&mut self.change)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arm.show(f)
    }

    fn holder(&self) -> Option<TaskId> {
        self.arm.holder()
    }
}

/// An arm that may be switched off: `None` is never ready.
impl<A: Arm> Arm for Option<A> {
    type Output = A::Output;
    type Place = Option<A::Place>;

    #[inline]
    fn try_now(&mut self) -> Option<A::Output> {
        self.as_mut()?.try_now()
    }

    #[inline]
    fn place(&mut self) -> Option<A::Place> {
        self.as_mut().map(A::place)
    }

    #[inline]
    fn end(&mut self, place: Option<A::Place>) -> Option<A::Output> {
        self.as_mut()?.end(place?)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(arm) => arm.show(f),
            None => f.write_str("nothing"),
        }
    }

    fn holder(&self) -> Option<TaskId> {
        self.as_ref()?.holder()
    }
}

/// An arm by reference is not used up: what it would have sent is still there.
impl<A: Arm> Arm for &mut A {
    type Output = A::Output;
    type Place = A::Place;

    #[inline]
    fn try_now(&mut self) -> Option<A::Output> {
        (**self).try_now()
    }

    #[inline]
    fn place(&mut self) -> A::Place {
        (**self).place()
    }

    #[inline]
    fn end(&mut self, place: A::Place) -> Option<A::Output> {
        (**self).end(place)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).show(f)
    }

    fn holder(&self) -> Option<TaskId> {
        (**self).holder()
    }
}

/// Waits until `arm` gives something. Dumps show `what`, and what the arm says of itself.
///
/// # Cancellation
///
/// What was granted before is returned.
///
/// # Errors
///
/// [`Cancelled`]: the arm has had no effect.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[inline]
#[track_caller]
pub fn wait_as<A: Arm>(what: &'static str, arm: &mut A) -> Result<A::Output, Cancelled> {
    park::may_wait()?;
    loop {
        let waits = here::waits();
        if let Some(output) = arm.try_now() {
            return Ok(output);
        }
        if let Some(output) = wait_once(what, arm, waits, Location::caller())? {
            return Ok(output);
        }
        // It may have been granted without having waited, and again and again. If it was cancelled meanwhile the next wait
        // fails: not before what was woken for has been tried for, and not at all if that is there.
        park::share_thread();
    }
}

/// As [`wait_as`], where the arm says all there is to say.
#[inline]
#[track_caller]
pub fn wait<A: Arm>(arm: &mut A) -> Result<A::Output, Cancelled> {
    wait_as("", arm)
}

#[inline]
#[track_caller]
fn wait_once<A: Arm>(
    what: &'static str,
    arm: &mut A,
    waits: u64,
    at: &'static Location<'static>,
) -> Result<Option<A::Output>, Cancelled> {
    let place = Some(arm.place());
    let mut entered = Entered { arm, place };
    if here::waits() != waits {
        // An arm of the user's has let the loop run, and the driver has told of events since the others were tried.
        return Ok(entered.end());
    }
    // Not before: in an arm of the user's, a generator may have been suspended and gone on in another task.
    let (core, task) = match park::whoever_waits() {
        Ok(found) => found,
        Err(cancelled) => return entered.end().map_or(Err(cancelled), |output| Ok(Some(output))),
    };
    let outcome = {
        let shown = Shown(&*entered.arm);
        let holder = || shown.0.holder();
        let why = Why::new(what).on(&shown).held_by(&holder);
        let place = entered.place.as_ref().expect("it has not ended");
        // SAFETY: the task runs, and this is its code. The place stays where it is until it has been left.
        unsafe { park_in(place, core, task, &why, at) }
    };
    // Asked before the arm ends, for the same reason.
    // SAFETY: the task runs.
    let failed = (outcome == Outcome::Cancelled).then(|| unsafe { park::cancelled() });
    match (entered.end(), failed) {
        (None, Some(cancelled)) => Err(cancelled),
        (ended, _) => Ok(ended),
    }
}

/// Parks the task in a place until it is woken, there or otherwise, or cancelled; leaves the place.
///
/// # Safety
///
/// The task must be running, and the place stay where it is.
#[inline]
pub(super) unsafe fn park_in<P: sealed::Place>(
    place: &P,
    core: &Core,
    task: *const Record,
    why: &Why<'_>,
    at: &'static Location<'static>,
) -> Outcome {
    // SAFETY: as the caller says. Where a part of the place panics while it is entered, the wait is void before the
    // place goes.
    unsafe {
        let hot = park::hot(task);
        let wait = park::begin(task);
        let void = Void(hot);
        let sleeper = Sleeper { core, task, wait };
        // User's code runs when the task stands in all of its lines: what it gives to one of them is not overlooked.
        place.enter(&sleeper);
        place.register(&sleeper);
        // Cancelled while it was arranged: nobody would come to say so.
        if (*park::current_branch()).effective().is_some() && hot.outcome.get() == Outcome::Waiting {
            hot.outcome.set(Outcome::Cancelled);
        }
        let outcome = park::park_at(core, task, why, at, Cancel::Ends);
        drop(void);
        place.leave();
        outcome
    }
}

/// A place that may have been entered, and is given back to its arm; also if another part of it panics while it is.
struct Entered<'a, A: Arm> {
    arm: &'a mut A,
    place: Option<A::Place>,
}

impl<A: Arm> Entered<'_, A> {
    #[inline]
    fn end(&mut self) -> Option<A::Output> {
        self.arm.end(self.place.take()?)
    }
}

impl<A: Arm> Drop for Entered<'_, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // SAFETY: whoever entered it runs, and has voided the wait.
            unsafe { sealed::Place::leave(place) };
            drop(self.end());
        }
    }
}

/// What an arm says of itself.
struct Shown<'a, A>(&'a A);

impl<A: Arm> fmt::Display for Shown<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
