//! A ticket wakes on its own thread; `into_remote` makes one that may go.
use ropewalk::lowlevel::{self, Undo, Why};
use std::thread;

fn main() {
    ropewalk::run(|| {
        let register = |ticket| {
            thread::spawn(move || lowlevel::Ticket::wake(ticket, 1));
        };
        lowlevel::park(&Why::new("it"), register, || Undo::Done)
    })
    .unwrap();
}
