//! To read and to write, as arms.

use std::fmt;

use super::turns::{To, Wish};
use super::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::scheduler::lowlevel::{Arm, InLine, TaskId};

macro_rules! arms {
    ($($(#[$doc:meta])* $arm:ident gives $guard:ident, by $try_now:ident, to $to:ident)+) => {$(
        $(#[$doc])*
        #[must_use = "nothing is locked until it is selected"]
        pub struct $arm<'a, T: ?Sized> {
            lock: &'a RwLock<T>,
            /// Once it waits.
            wish: Wish,
        }

        impl<'a, T: ?Sized> $arm<'a, T> {
            pub(super) fn of(lock: &'a RwLock<T>) -> $arm<'a, T> {
                $arm { lock, wish: Wish::of_nobody(To::$to) }
            }
        }

        impl<'a, T: ?Sized> Arm for $arm<'a, T> {
            type Output = $guard<'a, T>;
            type Place = InLine<'a, (), Wish>;

            #[inline]
            fn try_now(&mut self) -> Option<Self::Output> {
                self.lock.$try_now()
            }

            #[inline]
            fn place(&mut self) -> Self::Place {
                self.wish = Wish::of_this_task(To::$to);
                self.lock.turns.place(self.wish)
            }

            #[inline]
            fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
                self.lock.turns.end(place, self.wish).then(|| $guard::of(self.lock, self.wish))
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(To::$to.verb())
            }

            fn holder(&self) -> Option<TaskId> {
                self.lock.turns.holder(self.wish)
            }
        }

        impl<T: ?Sized> Copy for $arm<'_, T> {}

        impl<T: ?Sized> Clone for $arm<'_, T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T: ?Sized> fmt::Debug for $arm<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($arm))
            }
        }
    )+};
}

arms! {
    /// An arm that reads: see [`RwLock::reading`].
    Reading gives RwLockReadGuard, by try_read, to Read

    /// An arm that writes: see [`RwLock::writing`].
    Writing gives RwLockWriteGuard, by try_write, to Write
}
