//! A scoped generator keeps what it is sent until the scope ends.
use ropewalk::{Yielder, generator};

fn main() {
    generator::scope(|s| {
        let listening = s.generator(|co: &Yielder<(), &str>| {
            let heard = co.yield_(());
            co.yield_(());
            assert!(!heard.is_empty());
        });
        let _ = listening.start();
        {
            let text = String::from("gone too soon");
            let _ = listening.send(&text);
        }
        let _ = listening.send("more");
    });
}
