//! A started generator has a stack that refers to its thread.
use ropewalk::generate;

fn main() {
    let numbers = generate(|co| co.yield_(1));
    std::thread::spawn(move || numbers.count());
}
