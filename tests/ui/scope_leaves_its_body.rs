//! Nobody would wait for a child that is spawned when the scope is over.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        let scope = task::scope(|s| s);
        scope.spawn(|| ());
    });
}
