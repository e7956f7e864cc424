//! The scope owns its generators.
use ropewalk::generator;

fn main() {
    let text = String::from("borrowed");
    let escaped = generator::scope(|s| s.generator(|co| co.yield_all(text.chars())));
    escaped.for_each(drop);
}
