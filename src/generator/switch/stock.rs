//! The switch of corosensei: all that is known of that crate stands in this file, but for how it tells Valgrind of stacks.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use corosensei::{Coroutine, CoroutineResult, Yielder as Link};

use super::Turn;
use crate::stack::Stack;

/// A function on a stack of its own, started by the first [`resume`](Fiber::resume).
///
/// Dropping it gives its stack back to the pool. Invariant: a fiber is never dropped while it is suspended, for corosensei
/// would unwind it in a way that neither can be answered nor ends for certain. Forget it instead, which leaks its slot.
///
/// `ROOM` bytes at the hot end of its stack are left alone, for whoever made the fiber: a multiple of 16.
pub(crate) struct Fiber<Y, R, const ROOM: usize = 0> {
    coroutine: Coroutine<(), Y, R, OnStack<ROOM>>,
}

/// The way from a fiber back to its parent.
#[repr(transparent)]
pub(crate) struct Parent<Y> {
    link: Link<(), Y>,
}

impl<Y, R, const ROOM: usize> Fiber<Y, R, ROOM> {
    /// Where the room begins on a stack that a fiber is going to be made on.
    #[inline]
    pub(crate) fn room_on(stack: &Stack) -> NonNull<u8> {
        const { assert!(ROOM % 16 == 0 && ROOM <= 1024) };
        // SAFETY: the first page below the base is part of the stack.
        unsafe { stack.top().sub(ROOM) }
    }

    /// Prepares `body` to run on `stack`.
    ///
    /// # Safety
    ///
    /// `body` must not unwind. What it borrows must live until it has returned; for ever, if the fiber is forgotten.
    #[inline]
    pub(crate) unsafe fn new(stack: Stack, body: impl FnOnce(&Parent<Y>) -> R) -> Self {
        if stack.meet() {
            super::valgrind::register(&stack);
        }
        // SAFETY: the caller keeps what `body` borrows alive.
        let coroutine = unsafe {
            Coroutine::with_stack_unchecked(OnStack::<ROOM>(stack), move |link: &Link<(), Y>, ()| {
                // SAFETY: `Parent` is a transparent wrapper of `Link`, and lives as long.
                body(&*std::ptr::from_ref(link).cast::<Parent<Y>>())
            })
        };
        Fiber { coroutine }
    }

    /// Runs the fiber until it suspends or returns. Must not be called again once it has returned.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Turn<Y, R> {
        match self.coroutine.resume(()) {
            CoroutineResult::Yield(value) => Turn::Suspended(value),
            CoroutineResult::Return(value) => Turn::Returned(value),
        }
    }
}

impl<Y> Parent<Y> {
    /// Stops here until the fiber is resumed.
    ///
    /// # Safety
    ///
    /// The fiber whose parent this is must be running: the current stack is its own, or that of a fiber which was
    /// resumed, directly or not, from it.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self, value: Y) {
        self.link.suspend(value);
    }
}

/// Whether a line of a backtrace, of that function and in that file, is a call of the switch.
pub(crate) fn is_call(function: &str, file: Option<&str>) -> bool {
    function.starts_with("corosensei::")
        || function.starts_with("stack_init_trampoline")
        || file.is_some_and(|file| file.contains("/corosensei-"))
}

struct OnStack<const ROOM: usize>(Stack);

// SAFETY: a `Stack` has a guard at its low end (see `stack::slab`), at least `stack::MIN_SIZE` bytes above it, and
// a base that is aligned to 16 bytes. It stays where it is until it is dropped, and for ever if it is forgotten.
unsafe impl<const ROOM: usize> corosensei::stack::Stack for OnStack<ROOM> {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        // Less than a page below the base: never zero.
        NonZeroUsize::new(self.0.base().get() - ROOM).expect("a stack is larger than its room")
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.0.limit()
    }
}
