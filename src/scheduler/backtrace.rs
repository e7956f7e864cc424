//! Where a parked task stands: it is resumed for a moment, says so on its own stack, and suspends again.
#![allow(unsafe_code)]

use std::backtrace::Backtrace;
use std::cell::Cell;

use super::here;
use super::hot::{Hot, Order};
use super::record::{Record, State};

thread_local! {
    static CAPTURED: Cell<Option<Backtrace>> = const { Cell::new(None) };
}

/// What must be left of a stack to look at it from itself: three times what was measured.
const ROOM: usize = 6 << 10;

/// On the parked task's stack. Text is made of it elsewhere: that takes 21 KB of stack, this 2 KB.
#[cold]
#[inline(never)]
pub(super) fn answer(hot: &Hot) {
    hot.order.set(Order::GoOn);
    // A dump must not be what makes a stack overflow.
    if crate::stack::room_left().is_none_or(|bytes| bytes >= ROOM) {
        // Not `set`: it panics when the thread's own destructors have come past it, and that would unwind a parked stack.
        let _ = CAPTURED.try_with(|captured| captured.set(Some(Backtrace::force_capture())));
    }
}

/// The backtrace of a task; `None` if it has not started, has ended, or has hardly any stack left.
pub(super) fn of(record: &Record) -> Option<Backtrace> {
    match record.state.get() {
        State::New | State::Ended => None,
        State::Running => Some(Backtrace::force_capture()),
        State::Ready | State::Parked => {
            let task = here::task();
            here::set_task(record);
            // SAFETY: a task that is ready or parked has a stack, and waits in `park::suspend`. That suspends it again
            // when it has answered, having run none of the user's code.
            unsafe {
                let hot = &*record.hot.get();
                let mark = crate::generator::mark::current();
                hot.order.set(Order::Backtrace);
                let _ = (*hot.fiber.get()).resume();
                crate::generator::mark::set(mark);
            }
            here::set_task(task);
            CAPTURED.try_with(Cell::take).ok().flatten()
        }
    }
}
