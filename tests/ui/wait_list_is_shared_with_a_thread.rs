//! Waiters lie on the stacks of one thread.
use ropewalk::lowlevel::WaitList;
use std::sync::Arc;
use std::thread;

fn main() {
    ropewalk::run(|| {
        let line = Arc::new(WaitList::<()>::new());
        thread::spawn(move || line.wake_one(()));
    });
}
