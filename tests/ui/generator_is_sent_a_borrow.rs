//! What is sent to a generator that nobody is sure to close must own what it holds.
use ropewalk::Generator;

fn main() {
    let listening = Generator::new(|co: &ropewalk::Yielder<(), &str>| {
        let heard = co.yield_(());
        std::thread::scope(|s| {
            s.spawn(|| heard.len());
            co.yield_(());
        });
    });
    let _ = listening.start();
    let text = String::from("gone too soon");
    let _ = listening.send(&text);
    std::mem::forget(listening);
}
