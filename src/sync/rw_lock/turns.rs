//! Who reads, who writes, and who waits for which: a lock without the value.
//!
//! Words: a *wish* is to read or to write. The lock is *open* to a wish if that can be granted beside what is going on. A
//! *turn* is what somebody has who was let in.
//!
//! Invariants:
//! - Either one has a turn to write, or any number to read. Whoever is woken has been let in.
//! - Whoever is first in line has a wish that the lock is not open to. So the line is looked at again whenever a turn ends,
//!   and whenever somebody leaves the line without having been let in.

use std::cell::Cell;

use super::RwLockStatistics;
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Held, InLine, TaskId, WaitList, Why};

pub(super) struct Turns {
    readers: Cell<usize>,
    /// One of those who read, as far as that is known.
    reader: Cell<Option<TaskId>>,
    is_writing: Cell<bool>,
    /// The task that writes, if it is a task.
    writer: Cell<Option<TaskId>>,
    waiting: WaitList<(), Wish>,
}

/// What somebody wishes to do.
#[derive(Clone, Copy)]
pub struct Wish {
    to: To,
    task: Option<TaskId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Read,
    Write,
}

/// Somebody reads, until this is dropped.
pub(super) struct ReadTurn<'a> {
    turns: &'a Turns,
    by: Option<TaskId>,
    held: Held,
}

/// Somebody writes, until this is dropped.
pub(super) struct WriteTurn<'a> {
    turns: &'a Turns,
    held: Held,
}

impl To {
    pub(super) fn verb(self) -> &'static str {
        match self {
            To::Read => "read",
            To::Write => "write",
        }
    }
}

impl Wish {
    pub(super) fn of_nobody(to: To) -> Wish {
        Wish { to, task: None }
    }

    #[inline(always)]
    pub(super) fn of_this_task(to: To) -> Wish {
        Wish { to, task: lowlevel::current_id() }
    }
}

impl Turns {
    pub(super) const fn new() -> Turns {
        Turns {
            readers: Cell::new(0),
            reader: Cell::new(None),
            is_writing: Cell::new(false),
            writer: Cell::new(None),
            waiting: WaitList::new(),
        }
    }

    /// Grants the wish if that passes nobody.
    #[inline]
    pub(super) fn enter(&self, wish: Wish) -> bool {
        // Whoever was first may have been cancelled, and not have run since: those behind it go first.
        self.let_in();
        let enters = self.waiting.is_empty() && self.is_open_to(wish);
        if enters {
            self.admit(wish);
        }
        enters
    }

    /// Waits in line until the wish is granted.
    ///
    /// # Panics
    ///
    /// When it is the writer that waits.
    #[inline]
    #[track_caller]
    pub(super) fn wait(&self, wish: Wish) -> Result<(), Cancelled> {
        assert!(
            wish.task.is_none() || self.writer.get() != wish.task,
            "this task writes already: drop its guard first, or downgrade it"
        );
        let holder = || self.holder(wish);
        let why = Why::new(wish.to.verb()).held_by(&holder);
        match self.waiting.wait_with(&why, wish) {
            Ok(_let_in) => Ok(()),
            Err((cancelled, _)) => {
                self.let_in();
                Err(cancelled)
            }
        }
    }

    #[inline]
    pub(super) fn place(&self, wish: Wish) -> InLine<'_, (), Wish> {
        self.waiting.place(wish)
    }

    /// Says whether somebody who waited in that place was let in, with that wish.
    #[inline]
    pub(super) fn end(&self, place: InLine<'_, (), Wish>, wish: Wish) -> bool {
        let woken = place.into_woken(&self.waiting);
        let was_let_in = woken.value.is_some() && woken.offer.is_some_and(|granted| granted.to == wish.to);
        if !was_let_in {
            self.let_in();
        }
        was_let_in
    }

    /// Lets those in who are first in line, as far as the lock is open to them.
    #[inline]
    fn let_in(&self) {
        while let Some(wish) = self.waiting.first_offer().filter(|&wish| self.is_open_to(wish)) {
            self.admit(wish);
            let woken = self.waiting.wake_one(());
            debug_assert!(woken.is_ok(), "somebody is first in line");
        }
    }

    #[inline(always)]
    fn is_open_to(&self, wish: Wish) -> bool {
        !self.is_writing.get() && (wish.to == To::Read || self.readers.get() == 0)
    }

    #[inline(always)]
    fn admit(&self, wish: Wish) {
        match wish.to {
            To::Read => {
                self.readers.set(self.readers.get() + 1);
                self.reader.set(self.reader.get().or(wish.task));
            }
            To::Write => {
                self.is_writing.set(true);
                self.writer.set(wish.task);
            }
        }
    }

    /// For whoever has been let in.
    #[inline(always)]
    pub(super) fn read_turn(&self, wish: Wish) -> ReadTurn<'_> {
        ReadTurn { turns: self, by: wish.task, held: Held::new() }
    }

    /// For whoever has been let in.
    #[inline(always)]
    pub(super) fn write_turn(&self) -> WriteTurn<'_> {
        WriteTurn { turns: self, held: Held::new() }
    }

    /// Whom somebody waits for who has that wish.
    pub(super) fn holder(&self, wish: Wish) -> Option<TaskId> {
        match wish.to {
            _ if self.is_writing.get() => self.writer.get(),
            To::Write => self.reader.get(),
            // Other readers would not keep it out, but a writer that stands before it does.
            To::Read => self.waiting.first().filter(|&first| Some(first) != wish.task),
        }
    }

    pub(super) fn statistics(&self) -> RwLockStatistics {
        RwLockStatistics {
            readers: self.readers.get(),
            is_writing: self.is_writing.get(),
            writer: self.writer.get(),
            waiting: self.waiting.len(),
        }
    }
}

impl<'a> ReadTurn<'a> {
    /// From now on it is the running task that reads.
    pub(super) fn adopt(&mut self) {
        let me = lowlevel::current_id();
        if self.turns.reader.get() == self.by {
            self.turns.reader.set(me);
        }
        self.by = me;
        self.held = Held::new();
    }
}

impl<'a> WriteTurn<'a> {
    /// From now on it is the running task that writes.
    pub(super) fn adopt(&mut self) {
        self.turns.writer.set(lowlevel::current_id());
        self.held = Held::new();
    }

    /// A turn to read for the running task, beside this one until that is dropped: so no other writer comes between.
    pub(super) fn read_too(&self) -> ReadTurn<'a> {
        let wish = Wish::of_this_task(To::Read);
        self.turns.admit(wish);
        self.turns.read_turn(wish)
    }
}

impl Drop for ReadTurn<'_> {
    #[inline]
    fn drop(&mut self) {
        let turns = self.turns;
        turns.readers.set(turns.readers.get() - 1);
        if turns.reader.get() == self.by {
            turns.reader.set(None);
        }
        if turns.readers.get() == 0 {
            turns.let_in();
        }
    }
}

impl Drop for WriteTurn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.turns.is_writing.set(false);
        self.turns.writer.set(None);
        self.turns.let_in();
    }
}
