//! What a child returns may borrow what outlives the scope, and not what its own body owns.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        task::scope(|s| {
            let child = s.spawn(|| {
                let text = String::from("borrowed");
                text.as_str()
            });
            child.join().unwrap().len()
        });
    });
}
