//! A stream may live for ever: one that borrows is a task of a scope, with a sender.
use ropewalk::{channel, generate};

fn main() {
    ropewalk::run(|| {
        let text = String::from("short-lived");
        let words = channel::stream(1, generate(|co| co.yield_all(text.split('-').map(str::len))));
        std::mem::forget(words);
    });
}
