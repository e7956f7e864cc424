//! The body of a scope ends before its children do.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        task::scope(|s| {
            let text = String::from("borrowed");
            s.spawn(|| text.len());
        });
    });
}
