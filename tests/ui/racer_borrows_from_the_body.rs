//! A race is decided after its body has returned.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        task::race(|r| {
            let text = String::from("borrowed");
            r.add(|| text.len());
        })
        .unwrap();
    });
}
