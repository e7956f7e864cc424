//! A task never leaves its thread, nor does its handle.
use ropewalk::task;
use std::thread;

fn main() {
    ropewalk::run(|| {
        let task = task::spawn(|| 1);
        thread::spawn(move || task.try_result());
    });
}
