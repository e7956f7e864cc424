//! Two children take turns, and neither knows when: only one of them may have `&mut`.
use ropewalk::task;

fn main() {
    let mut sum = 0;
    ropewalk::run(|| {
        task::scope(|s| {
            s.spawn(|| sum += 1);
            s.spawn(|| sum += 2);
        });
    });
}
