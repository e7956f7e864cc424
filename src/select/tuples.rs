//! Arms of different kinds, side by side.

use std::convert::Infallible;
use std::fmt;

use super::{Arm, Several};
use crate::scheduler::lowlevel::TaskId;

/// Which arm of a tuple was chosen, and what it gave.
///
/// The variants that a tuple has no arm for cannot be made, and need not be matched:
///
/// ```
/// use ropewalk::select::{Chosen, select};
/// use ropewalk::time;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let (short, long) = (Duration::from_millis(1), Duration::from_secs(1));
///     match select((time::sleeping(short), time::sleeping(long))).unwrap() {
///         Chosen::First(()) => {}
///         Chosen::Second(()) => unreachable!(),
///     }
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Chosen<
    A,
    B = Infallible,
    C = Infallible,
    D = Infallible,
    E = Infallible,
    F = Infallible,
    G = Infallible,
    H = Infallible,
> {
    First(A),
    Second(B),
    Third(C),
    Fourth(D),
    Fifth(E),
    Sixth(F),
    Seventh(G),
    Eighth(H),
}

/// An arm whose wait has ended, or not begun. If one beside it panics, it takes back what is its own all the same.
struct Ending<'a, A: Arm> {
    arm: &'a mut A,
    place: Option<A::Place>,
}

impl<A: Arm> Ending<'_, A> {
    #[inline]
    fn new(arm: &mut A, place: A::Place) -> Ending<'_, A> {
        Ending { arm, place: Some(place) }
    }

    #[inline]
    fn end(&mut self) -> Option<A::Output> {
        self.arm.end(self.place.take()?)
    }
}

impl<A: Arm> Drop for Ending<'_, A> {
    #[inline]
    fn drop(&mut self) {
        drop(self.end());
    }
}

macro_rules! tuples {
    ($(($arm:ident $index:tt $variant:ident))+) => {
        impl<$($arm: Arm),+> Arm for ($($arm,)+) {
            type Output = Chosen<$($arm::Output),+>;
            type Place = ($($arm::Place,)+);

            #[inline]
            fn try_now(&mut self) -> Option<Self::Output> {
                $(
                    if let Some(output) = self.$index.try_now() {
                        return Some(Chosen::$variant(output));
                    }
                )+
                None
            }

            #[inline]
            #[allow(non_snake_case)]
            fn place(&mut self) -> Self::Place {
                $(
                    let place = self.$index.place();
                    let mut $arm = Ending::new(&mut self.$index, place);
                )+
                ($($arm.place.take().expect("it has just been made"),)+)
            }

            #[inline]
            #[allow(non_snake_case)]
            fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
                $(let mut $arm = Ending::new(&mut self.$index, place.$index);)+
                let mut chosen = None;
                // All of them: those that were not chosen take back what is theirs.
                $(
                    if let Some(output) = $arm.end() {
                        chosen = Some(Chosen::$variant(output));
                    }
                )+
                chosen
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(
                    if $index > 0 {
                        f.write_str(", ")?;
                    }
                    self.$index.show(f)?;
                )+
                Ok(())
            }

            fn holder(&self) -> Option<TaskId> {
                None$(.or_else(|| self.$index.holder()))+
            }
        }

        impl<$($arm: Arm),+> Several for ($($arm,)+) {
            fn count(&self) -> usize {
                [$($index),+].len()
            }

            #[inline]
            fn try_one(&mut self, index: usize) -> Option<Self::Output> {
                match index {
                    $($index => self.$index.try_now().map(Chosen::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

tuples!((A 0 First));
tuples!((A 0 First) (B 1 Second));
tuples!((A 0 First) (B 1 Second) (C 2 Third));
tuples!((A 0 First) (B 1 Second) (C 2 Third) (D 3 Fourth));
tuples!((A 0 First) (B 1 Second) (C 2 Third) (D 3 Fourth) (E 4 Fifth));
tuples!((A 0 First) (B 1 Second) (C 2 Third) (D 3 Fourth) (E 4 Fifth) (F 5 Sixth));
tuples!((A 0 First) (B 1 Second) (C 2 Third) (D 3 Fourth) (E 4 Fifth) (F 5 Sixth) (G 6 Seventh));
tuples!((A 0 First) (B 1 Second) (C 2 Third) (D 3 Fourth) (E 4 Fifth) (F 5 Sixth) (G 6 Seventh) (H 7 Eighth));
