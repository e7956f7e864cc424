//! Telling Valgrind of stacks: it takes a far jump of the stack pointer for a giant frame unless it knows them.

use corosensei::stack::valgrind::ValgrindStackRegistration;

use crate::stack::Stack;

#[cold]
pub(super) fn register(stack: &Stack) {
    let (low, high) = (stack.limit().get(), stack.base().get());
    // Registered for good: slots are never unmapped.
    std::mem::forget(ValgrindStackRegistration::new(low as *mut u8, high - low));
}
