//! Which strand of execution this is: what a generator must be suspended with is what it was resumed with.
//!
//! Words: the *mark* is the address of the innermost thing that is open and whose frame must not be suspended with a
//! generator: a task, or a scope in a task. Zero, outside of all tasks. The scheduler keeps it: it sets the mark when a
//! scope opens and closes, and whenever another task goes on.
//!
//! A generator notes the mark when it is resumed, and its body may yield only under the same one. That refuses two
//! things. A yield out of an open scope, whose children could then outlive what they borrow, or find their parent in
//! another task. And a yield by another task (a child may borrow its parent's yielder), which would save the stack
//! pointer of a stack that the generator never ran on.
//!
//! Invariant: a mark is the address of something that lives for as long as the mark is set, or will be set again when a
//! parked task goes on. So two strands that are alive at the same time have different marks.

use std::cell::Cell;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) *const ());

thread_local! {
    static MARK: Cell<Mark> = const { Cell::new(Mark(std::ptr::null())) };
}

#[inline(always)]
pub(crate) fn current() -> Mark {
    MARK.get()
}

/// Sets the mark and returns what it was.
#[inline(always)]
pub(crate) fn set(mark: Mark) -> Mark {
    MARK.replace(mark)
}
