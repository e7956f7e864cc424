//! A body can be suspended only by the thread that runs it.
use ropewalk::generate;

fn main() {
    let numbers = generate(|co| {
        std::thread::scope(|s| {
            s.spawn(|| co.yield_(1));
        });
    });
    numbers.for_each(drop);
}
