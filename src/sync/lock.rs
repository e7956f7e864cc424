//! Who has a lock and who waits for it, without a value: what `Mutex`, `ReentrantMutex` and `Condvar` share.
//!
//! Invariant: while somebody waits in line the lock is taken, for whoever gives it back hands it to the first of them. So
//! nobody who comes can pass.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Held, Next, TaskId, WaitList, Why};

/// Whoever is woken has the lock; each offers its name.
pub(super) type Line = WaitList<(), Option<TaskId>>;

pub(super) struct Lock {
    is_taken: Cell<bool>,
    /// The task that took it, if it was a task.
    owner: Cell<Option<TaskId>>,
    waiting: Line,
}

/// The lock is taken, and is given back when this is dropped.
pub(super) struct Taken<'a> {
    lock: &'a Lock,
    held: Held,
}

impl Lock {
    pub(super) const fn new() -> Lock {
        Lock { is_taken: Cell::new(false), owner: Cell::new(None), waiting: WaitList::new() }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.get()
    }

    pub(super) fn owner(&self) -> Option<TaskId> {
        self.owner.get()
    }

    pub(super) fn line(&self) -> &Line {
        &self.waiting
    }

    /// Takes it, if nobody has it.
    #[inline(always)]
    pub(super) fn take(&self, me: Option<TaskId>) -> bool {
        if self.is_taken.get() {
            return false;
        }
        self.is_taken.set(true);
        self.owner.set(me);
        true
    }

    /// Waits until it is handed over.
    ///
    /// # Panics
    ///
    /// When it is the running task that has it.
    #[track_caller]
    pub(super) fn wait(&self, me: Option<TaskId>) -> Result<(), Cancelled> {
        assert!(
            self.owner.get() != me,
            "this task has the lock already: drop its guard first, or use a ReentrantMutex"
        );
        self.wait_at(me, Location::caller())
    }

    #[inline]
    fn wait_at(&self, me: Option<TaskId>, at: &'static Location<'static>) -> Result<(), Cancelled> {
        let holder = || self.owner.get();
        let why = Why::new("lock").held_by(&holder);
        match self.waiting.wait_with_at(&why, me, at) {
            Ok(_handed_over) => Ok(()),
            Err((cancelled, _)) => Err(cancelled),
        }
    }

    /// Waits in `line` until it is sent on from there, and then for the lock; has the lock when it returns, whatever it
    /// returns.
    #[track_caller]
    pub(super) fn wait_after(&self, line: &Line, why: &Why<'_>) -> Result<(), Cancelled> {
        let me = lowlevel::current_id();
        let holder = || self.owner.get();
        let for_lock = Why::new("lock").held_by(&holder);
        let arrives = || self.serve();
        match line.wait_then(why, me, Next::new(&self.waiting, &for_lock, &arrives)) {
            Ok(_handed_over) => Ok(()),
            Err((cancelled, _)) => {
                self.take_back(me);
                Err(cancelled)
            }
        }
    }

    /// Takes it, waiting for it whatever is cancelled.
    #[track_caller]
    fn take_back(&self, me: Option<TaskId>) {
        if self.take(me) {
            return;
        }
        let at = Location::caller();
        let waited = lowlevel::shield(|| self.wait_at(me, at));
        // Whoever called has promised it, and must not go on without.
        assert!(waited.is_ok(), "deadlock: nothing is left that could give back the lock of this condition");
    }

    /// Somebody has come into the line who has not looked whether the lock is free.
    fn serve(&self) {
        if !self.is_taken.get() {
            self.give_back();
        }
    }

    /// Hands it to whoever has waited longest. Says whether there was somebody.
    #[inline(always)]
    pub(super) fn give_back(&self) -> bool {
        if self.waiting.is_empty() {
            self.is_taken.set(false);
            self.owner.set(None);
            return false;
        }
        self.hand_over()
    }

    /// Apart from what is short, which need not save registers for it.
    #[inline(never)]
    fn hand_over(&self) -> bool {
        let next = self.waiting.exchange(());
        self.is_taken.set(next.is_ok());
        self.owner.set(next.unwrap_or(None));
        next.is_ok()
    }

    /// For whoever has just taken it, or was handed it.
    #[inline(always)]
    pub(super) fn taken(&self) -> Taken<'_> {
        Taken { lock: self, held: Held::new() }
    }
}

impl Taken<'_> {
    /// From now on it is the running task that has it.
    pub(super) fn adopt(&mut self) {
        self.lock.owner.set(lowlevel::current_id());
        self.held = Held::new();
    }
}

impl Drop for Taken<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.give_back();
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("owner", &self.owner.get()).finish_non_exhaustive()
    }
}
