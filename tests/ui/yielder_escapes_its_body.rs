//! Once the body has ended there is nothing to yield from.
use ropewalk::{Yielder, generate};

fn main() {
    let mut escaped: Option<&Yielder<i32>> = None;
    ropewalk::generator::scope(|s| {
        s.generator(|co: &Yielder<i32>| escaped = Some(co)).for_each(drop);
    });
    escaped.unwrap().yield_(1);
    generate(|co| co.yield_(1)).for_each(drop);
}
