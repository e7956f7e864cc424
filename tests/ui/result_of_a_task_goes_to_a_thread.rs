//! What a task returns may be of its thread: another thread can only have what is `Send`.
use ropewalk::lowlevel;
use std::rc::Rc;
use std::thread;

fn main() {
    ropewalk::run(|| {
        let remote = lowlevel::remote();
        thread::spawn(move || remote.run(|| Rc::new(1)));
    });
}
