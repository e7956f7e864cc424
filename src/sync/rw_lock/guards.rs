//! What somebody has who was let in, and the value with it.

use std::cell::{Ref, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::RwLock;
use super::turns::{ReadTurn, Wish, WriteTurn};
use crate::sync::mutex::show_value;

/// The value can be looked at, and nobody changes it, until this is dropped.
///
/// In debug mode a task that ends without having dropped its guard is reported: see [`Held`](crate::lowlevel::Held).
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // In this order: who is let in borrows the value.
    value: Ref<'a, T>,
    turn: ReadTurn<'a>,
}

/// The value can be changed, and nobody else looks at it, until this is dropped.
///
/// In debug mode a task that ends without having dropped its guard is reported: see [`Held`](crate::lowlevel::Held).
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    // In this order: who is let in borrows the value.
    value: RefMut<'a, T>,
    turn: WriteTurn<'a>,
}

/// A part of what can be looked at: see [`RwLockReadGuard::map`].
#[must_use = "the lock is given back when this is dropped"]
pub struct MappedRwLockReadGuard<'a, T: ?Sized> {
    // In this order: who is let in borrows the value.
    value: Ref<'a, T>,
    turn: ReadTurn<'a>,
}

/// A part of what can be changed: see [`RwLockWriteGuard::map`].
#[must_use = "the lock is given back when this is dropped"]
pub struct MappedRwLockWriteGuard<'a, T: ?Sized> {
    // In this order: who is let in borrows the value.
    value: RefMut<'a, T>,
    turn: WriteTurn<'a>,
}

macro_rules! guards_of_parts {
    ($guard:ident, $mapped:ident, $borrow:ident, ($($mut:tt)?)) => {
        impl<'a, T: ?Sized> $mapped<'a, T> {
            #[doc = concat!("As [`", stringify!($guard), "::map`].")]
            pub fn map<U: ?Sized>(
                guard: $mapped<'a, T>,
                part: impl FnOnce(&$($mut)? T) -> &$($mut)? U,
            ) -> $mapped<'a, U> {
                let $mapped { value, turn } = guard;
                $mapped { value: $borrow::map(value, part), turn }
            }

            #[doc = concat!("As [`", stringify!($guard), "::filter_map`].")]
            ///
            /// # Errors
            ///
            /// The part is not there: the guard comes back.
            pub fn filter_map<U: ?Sized>(
                guard: $mapped<'a, T>,
                part: impl FnOnce(&$($mut)? T) -> Option<&$($mut)? U>,
            ) -> Result<$mapped<'a, U>, $mapped<'a, T>> {
                let $mapped { value, turn } = guard;
                match $borrow::filter_map(value, part) {
                    Ok(value) => Ok($mapped { value, turn }),
                    Err(value) => Err($mapped { value, turn }),
                }
            }

            #[doc = concat!("As [`", stringify!($guard), "::adopt`].")]
            pub fn adopt(guard: &mut $mapped<'a, T>) {
                guard.turn.adopt();
            }
        }
    };
}

guards_of_parts!(RwLockReadGuard, MappedRwLockReadGuard, Ref, ());
guards_of_parts!(RwLockWriteGuard, MappedRwLockWriteGuard, RefMut, (mut));

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// For whoever has been let in.
    #[inline(always)]
    pub(super) fn of(lock: &'a RwLock<T>, wish: Wish) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { value: lock.value.borrow(), turn: lock.turns.read_turn(wish) }
    }

    /// Makes a guard of a part of the value; a function, for methods are those of the value.
    pub fn map<U: ?Sized>(
        guard: RwLockReadGuard<'a, T>,
        part: impl FnOnce(&T) -> &U,
    ) -> MappedRwLockReadGuard<'a, U> {
        let RwLockReadGuard { value, turn } = guard;
        MappedRwLockReadGuard { value: Ref::map(value, part), turn }
    }

    /// As [`map`](RwLockReadGuard::map), for a part that may not be there.
    ///
    /// # Errors
    ///
    /// It is not: the guard comes back.
    pub fn filter_map<U: ?Sized>(
        guard: RwLockReadGuard<'a, T>,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<MappedRwLockReadGuard<'a, U>, RwLockReadGuard<'a, T>> {
        let RwLockReadGuard { value, turn } = guard;
        match Ref::filter_map(value, part) {
            Ok(value) => Ok(MappedRwLockReadGuard { value, turn }),
            Err(value) => Err(RwLockReadGuard { value, turn }),
        }
    }

    /// Makes it the running task that reads, which was given the guard by another one.
    pub fn adopt(guard: &mut RwLockReadGuard<'a, T>) {
        guard.turn.adopt();
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// For whoever has been let in.
    #[inline(always)]
    pub(super) fn of(lock: &'a RwLock<T>, _let_in: Wish) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { lock, value: lock.value.borrow_mut(), turn: lock.turns.write_turn() }
    }

    /// Goes on reading, without letting a writer in before. Readers that are first in line come in.
    ///
    /// ```
    /// use ropewalk::sync::{RwLock, RwLockWriteGuard};
    /// use ropewalk::task;
    ///
    /// ropewalk::run(|| {
    ///     let table = RwLock::new(Vec::new());
    ///     task::scope(|s| {
    ///         let mut filling = table.write().unwrap();
    ///         s.spawn(|| assert_eq!(table.read().unwrap().len(), 3));
    ///         filling.extend([1, 2, 3]);
    ///         let reading = RwLockWriteGuard::downgrade(filling);
    ///         task::yield_now();                                     // The other one reads too.
    ///         assert_eq!(*reading, [1, 2, 3]);
    ///     });
    /// });
    /// ```
    pub fn downgrade(guard: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let (lock, turn) = (guard.lock, guard.turn.read_too());
        drop(guard);
        RwLockReadGuard { value: lock.value.borrow(), turn }
    }

    /// Makes a guard of a part of the value; a function, for methods are those of the value.
    pub fn map<U: ?Sized>(
        guard: RwLockWriteGuard<'a, T>,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedRwLockWriteGuard<'a, U> {
        let RwLockWriteGuard { value, turn, .. } = guard;
        MappedRwLockWriteGuard { value: RefMut::map(value, part), turn }
    }

    /// As [`map`](RwLockWriteGuard::map), for a part that may not be there.
    ///
    /// # Errors
    ///
    /// It is not: the guard comes back.
    pub fn filter_map<U: ?Sized>(
        guard: RwLockWriteGuard<'a, T>,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedRwLockWriteGuard<'a, U>, RwLockWriteGuard<'a, T>> {
        let RwLockWriteGuard { lock, value, turn } = guard;
        match RefMut::filter_map(value, part) {
            Ok(value) => Ok(MappedRwLockWriteGuard { value, turn }),
            Err(value) => Err(RwLockWriteGuard { lock, value, turn }),
        }
    }

    /// Makes it the running task that writes, which was given the guard by another one.
    pub fn adopt(guard: &mut RwLockWriteGuard<'a, T>) {
        guard.turn.adopt();
    }
}

macro_rules! lend_value {
    ($($guard:ident)+) => {$(
        impl<T: ?Sized> Deref for $guard<'_, T> {
            type Target = T;

            #[inline(always)]
            fn deref(&self) -> &T {
                &self.value
            }
        }
    )+};
}

lend_value!(RwLockReadGuard RwLockWriteGuard MappedRwLockReadGuard MappedRwLockWriteGuard);
show_value!(RwLockReadGuard RwLockWriteGuard MappedRwLockReadGuard MappedRwLockWriteGuard);

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized> DerefMut for MappedRwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
