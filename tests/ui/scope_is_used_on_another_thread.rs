//! Children run on the thread of their scope.
use ropewalk::task;
use std::thread;

fn main() {
    ropewalk::run(|| {
        task::scope(|s| {
            thread::scope(|threads| {
                threads.spawn(|| s.cancel());
            });
        });
    });
}
