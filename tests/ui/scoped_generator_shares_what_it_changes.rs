//! While a scoped generator borrows something mutably nobody else may look.
use ropewalk::{Yielder, generator};

fn main() {
    let mut sum = 0;
    generator::scope(|s| {
        let adding = s.generator(|co: &Yielder<(), i32>| loop {
            sum += co.yield_(());
        });
        let _ = adding.start();
        println!("{sum}");
        let _ = adding.send(1);
    });
}
