//! What is made inside the scope's closure is gone before the generators are closed.
use ropewalk::generator;

fn main() {
    generator::scope(|s| {
        let text = String::from("too short-lived");
        s.generator(|co| co.yield_all(text.chars())).for_each(drop);
    });
}
