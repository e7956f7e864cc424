//! The value stays where it is while somebody looks at it.
use ropewalk::sync::OnceCell;

fn main() {
    let mut cell = OnceCell::from(String::from("rope"));
    let value = cell.get();
    cell.take();
    println!("{value:?}");
}
