//! Nor can it be yielded from while the generator is suspended.
use ropewalk::{Yielder, generate};

struct Item<'a>(&'a Yielder<Item<'a>>);

fn main() {
    let items = generate(|co| co.yield_(Item(co)));
    items.for_each(drop);
}
