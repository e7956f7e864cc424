//! The cancel tree: which waits fail when something is cancelled.
//!
//! Words: a *branch* stands for a task, or for a scope that a task has opened. A task's waits stand under the innermost
//! branch that it has open, its *current* one; that is what its [`Mark`](crate::generator::mark::Mark) points to. A branch
//! is cancelled *itself*, or by what it hangs on; `effective` says whether either is so. A *shield* is a branch that what
//! it hangs on does not reach.
//!
//! Invariants:
//! - A branch hangs on its parent from when it is opened until it is closed, and what hangs on it is closed before.
//! - `effective` is set if the branch is cancelled itself, or if it is no shield and its parent's is set. It is never
//!   taken back: cancellation is a level, not an event.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use super::core::Core;
use super::record::Record;
use crate::error::Reason;
use crate::list::{List, Node};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nobody's: what tasks hang on that belong to no scope.
    Trunk,
    /// The first field of a [`Record`].
    Task,
    /// The first field of a [`Frame`](super::frame::Frame).
    Frame,
}

#[repr(C)]
pub(crate) struct Branch {
    /// Among the children of the parent. The first field: found again by a cast.
    node: Node,
    children: List,
    parent: Cell<*const Branch>,
    /// Of a task: references to it. Of a frame: tasks that hang on it.
    pub(super) count: Cell<u32>,
    itself: Cell<Option<Reason>>,
    effective: Cell<Option<Reason>>,
    shield: Cell<bool>,
    /// Whether a wait under it has failed because of a cancellation that reaches it.
    delivered: Cell<bool>,
    kind: Kind,
}

impl Branch {
    pub(super) const fn new(kind: Kind, shield: bool) -> Branch {
        Branch {
            node: Node::new(),
            children: List::new(),
            parent: Cell::new(ptr::null()),
            count: Cell::new(0),
            itself: Cell::new(None),
            effective: Cell::new(None),
            shield: Cell::new(shield),
            delivered: Cell::new(false),
            kind,
        }
    }

    /// Hangs `this` on `parent`, with what holds there.
    ///
    /// # Safety
    ///
    /// Both must be alive. `this` must stay where it is until [`unhang`](Branch::unhang), and `parent` longer.
    pub(super) unsafe fn hang(this: *const Branch, parent: *const Branch) {
        // SAFETY: alive, says the caller. A node is the first field of its branch.
        unsafe {
            (*this).parent.set(parent);
            if !(*this).shield.get() && (*this).effective.get().is_none() {
                (*this).effective.set((*parent).effective.get());
            }
            (*parent).children.push_back(this.cast());
        }
    }

    /// # Safety
    ///
    /// `this` must hang on its parent, and nothing on it.
    pub(super) unsafe fn unhang(this: *const Branch) {
        // SAFETY: it hangs there, says the caller.
        unsafe {
            debug_assert!((*this).children.is_empty(), "a scope is closed before what hangs on it");
            (*(*this).parent.get()).children.remove(this.cast());
        }
    }

    #[inline(always)]
    pub(super) fn effective(&self) -> Option<Reason> {
        self.effective.get()
    }

    pub(super) fn itself(&self) -> Option<Reason> {
        self.itself.get()
    }

    pub(super) fn was_delivered(&self) -> bool {
        self.delivered.get()
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_shield(&self) -> bool {
        self.shield.get()
    }

    pub(super) fn parent(&self) -> *const Branch {
        self.parent.get()
    }

    /// Whether this branch, and nothing outside of it, is why waits under it fail.
    pub(super) fn is_outermost(&self) -> bool {
        // SAFETY: a branch hangs on one that lives longer.
        let parent = unsafe { self.parent.get().as_ref() };
        self.itself.get().is_some()
            && (self.shield.get() || parent.is_none_or(|parent| parent.effective.get().is_none()))
    }

    /// Notes that a wait has failed: here, and as far out as it is cancelled. Not beyond a shield, though what is there may
    /// have been cancelled too: that is not why.
    pub(super) fn deliver(&self) {
        let mut at: *const Branch = self;
        // SAFETY: each branch hangs on one that lives longer, and the outermost has a null parent.
        while let Some(branch) = unsafe { at.as_ref() } {
            if branch.effective.get().is_none() {
                break;
            }
            branch.delivered.set(true);
            if branch.shield.get() {
                break;
            }
            at = branch.parent.get();
        }
    }

    /// Cancels what hangs on `this`, and wakes the tasks that wait there. False if it has been cancelled before.
    ///
    /// # Safety
    ///
    /// `this` must be alive and belong to `core`.
    pub(super) unsafe fn cancel(this: *const Branch, core: &Core, reason: Reason) -> bool {
        // SAFETY: alive, says the caller.
        unsafe {
            if (*this).itself.get().is_some() {
                return false;
            }
            (*this).itself.set(Some(reason));
            if (*this).effective.get().is_none() {
                Branch::spread(this, core, reason, false);
            }
        }
        true
    }

    /// Cancels everything under `this`, shields too: the last resort where nothing else can wake anybody.
    ///
    /// # Safety
    ///
    /// As for [`cancel`](Branch::cancel).
    pub(super) unsafe fn cancel_shields(this: *const Branch, core: &Core, reason: Reason) {
        // SAFETY: as the caller says.
        unsafe { Branch::spread(this, core, reason, true) };
    }

    /// # Safety
    ///
    /// As for [`cancel`](Branch::cancel).
    unsafe fn spread(top: *const Branch, core: &Core, reason: Reason, through_shields: bool) {
        let (mut at, mut depth) = (top, 0);
        while !at.is_null() {
            // SAFETY: whatever hangs on a living branch is alive. Waking a task runs nothing and changes no branch.
            unsafe {
                let spared = (*at).shield.get() || (*at).effective.get().is_some();
                let reached = at == top || through_shields || !spared;
                if reached {
                    if (*at).effective.get().is_none() {
                        (*at).effective.set(Some(reason));
                    }
                    core.cancel_wait(Branch::owner(at), at);
                }
                at = Branch::after(at, top, reached, &mut depth);
            }
        }
    }

    /// The branch after `at` in the tree under `top`, those outside before what hangs on them; null after the last one.
    /// What hangs on `at` is left out unless it is to be entered. Keeps count of the depth.
    ///
    /// Not recursive: branches can hang on one another deeper than a stack goes.
    ///
    /// # Safety
    ///
    /// `top` must be alive, and `at` hang under it, or be it.
    #[inline]
    unsafe fn after(
        mut at: *const Branch,
        top: *const Branch,
        enter: bool,
        depth: &mut usize,
    ) -> *const Branch {
        // SAFETY: whatever hangs on a living branch is alive.
        unsafe {
            let child = (*at).children.first();
            if enter && !child.is_null() {
                *depth += 1;
                return child.cast();
            }
            while at != top {
                let parent = (*at).parent.get();
                let next = (*parent).children.after(at.cast());
                if !next.is_null() {
                    return next.cast();
                }
                *depth -= 1;
                at = parent;
            }
        }
        ptr::null()
    }

    /// The task whose waits stand under `this`; null for a trunk.
    ///
    /// # Safety
    ///
    /// `this` must be alive, and the first field of what its kind says.
    pub(super) unsafe fn owner(this: *const Branch) -> *const Record {
        // SAFETY: as the caller says.
        unsafe {
            match (*this).kind {
                Kind::Trunk => ptr::null(),
                Kind::Task => this.cast(),
                Kind::Frame => (*this.cast::<super::frame::Frame>()).owner(),
            }
        }
    }

    /// Calls `visit` for each branch under `top`, outer ones first, with its depth.
    ///
    /// # Safety
    ///
    /// As for [`cancel`](Branch::cancel); `visit` must not change the tree.
    pub(super) unsafe fn visit(top: *const Branch, visit: &mut dyn FnMut(*const Branch, usize)) {
        let (mut at, mut depth) = (top, 0);
        while !at.is_null() {
            visit(at, depth);
            // SAFETY: it hangs under `top`, which is alive.
            at = unsafe { Branch::after(at, top, true, &mut depth) };
        }
    }
}
