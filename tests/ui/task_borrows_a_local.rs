//! A task of no scope may outlive whoever spawned it.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        let text = String::from("borrowed");
        task::spawn(|| text.len());
    });
}
