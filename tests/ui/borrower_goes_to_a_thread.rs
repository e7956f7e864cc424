//! Borrowers are numbered on each thread: another one would have the same.
use ropewalk::sync::Borrower;
use std::thread;

fn main() {
    let borrower = Borrower::new();
    thread::spawn(move || println!("{borrower}"));
}
