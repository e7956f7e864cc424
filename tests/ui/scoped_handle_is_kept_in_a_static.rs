//! The handle of a child is good for as long as its scope, and no longer.
use ropewalk::task::{self, ScopedJoinHandle};
use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Option<ScopedJoinHandle<'static, u32>>> = const { RefCell::new(None) };
}

fn main() {
    ropewalk::run(|| {
        task::scope(|s| {
            let child = s.spawn(|| 1);
            KEPT.with_borrow_mut(|kept| *kept = Some(child));
        });
    });
}
