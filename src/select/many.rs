//! Arms of one kind: arrays, slices and vectors. They give the index of the one that was chosen, and its output.

use std::fmt;
use std::iter::{Enumerate, Zip};
use std::slice;

use super::{Arm, Several};
use crate::scheduler::lowlevel::TaskId;

/// Arms whose wait has ended, with their places. If one of them panics, the others take back what is theirs all the same.
struct Ending<'a, A: Arm, P: Iterator<Item = A::Place>> {
    left: Enumerate<Zip<slice::IterMut<'a, A>, P>>,
}

impl<A: Arm, P: Iterator<Item = A::Place>> Drop for Ending<'_, A, P> {
    #[inline]
    fn drop(&mut self) {
        for (_, (arm, place)) in &mut self.left {
            drop(arm.end(place));
        }
    }
}

macro_rules! many {
    ([$($generics:tt)*] $type:ty, $place:ty, |$arms:ident| $place_all:expr) => {
        impl<A: Arm, $($generics)*> Arm for $type {
            type Output = (usize, A::Output);
            type Place = $place;

            #[inline]
            fn try_now(&mut self) -> Option<Self::Output> {
                (0..self.len()).find_map(|index| self.try_one(index))
            }

            #[inline]
            fn place(&mut self) -> Self::Place {
                let $arms = self;
                $place_all
            }

            #[inline]
            fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
                let mut chosen = None;
                let mut ending = Ending { left: self.iter_mut().zip(place).enumerate() };
                // All of them: those that were not chosen take back what is theirs.
                while let Some((index, (arm, place))) = ending.left.next() {
                    if let Some(output) = arm.end(place) {
                        chosen = Some((index, output));
                    }
                }
                chosen
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, arm) in self.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    // A dump is read by somebody.
                    if index == SHOWN {
                        return write!(f, "and {} more", self.len() - SHOWN);
                    }
                    arm.show(f)?;
                }
                Ok(())
            }

            fn holder(&self) -> Option<TaskId> {
                self.iter().find_map(|arm| arm.holder())
            }
        }

        impl<A: Arm, $($generics)*> Several for $type {
            fn count(&self) -> usize {
                self.len()
            }

            #[inline]
            fn try_one(&mut self, index: usize) -> Option<Self::Output> {
                Some((index, self[index].try_now()?))
            }
        }
    };
}

/// So many arms of one kind are shown by name.
const SHOWN: usize = 4;

many!([const N: usize] [A; N], [A::Place; N], |arms| std::array::from_fn(|index| arms[index].place()));
many!([] Vec<A>, Box<[A::Place]>, |arms| arms.iter_mut().map(A::place).collect());
many!([] &mut [A], Box<[A::Place]>, |arms| arms.iter_mut().map(A::place).collect());
