//! The result of a child may borrow what goes with the scope.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        let escaped = task::scope(|s| s.spawn(|| 1));
        escaped.join().unwrap();
    });
}
