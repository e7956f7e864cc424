//! A consumer's input ends with its body.
use ropewalk::pipeline::{Incoming, Sink, consumer};

fn main() {
    let keeping = consumer(|items: Incoming<i32>| items);
    keeping.finish();
}
