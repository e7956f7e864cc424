//! An item may not borrow from the generator's own stack, which goes on while the item is kept.
use ropewalk::generate;

fn main() {
    let items = generate(|co| {
        let local = String::from("local");
        co.yield_(local.as_str());
    });
    items.for_each(drop);
}
