//! Two threads must not resume one generator.
use ropewalk::generate;

fn main() {
    let numbers = generate(|co| co.yield_(1));
    std::thread::scope(|s| {
        s.spawn(|| numbers.state());
    });
}
