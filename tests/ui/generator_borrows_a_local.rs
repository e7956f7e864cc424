//! A generator that owns nothing would outlive what it borrows, for it can be forgotten.
use ropewalk::generate;

fn main() {
    let text = String::from("short-lived");
    let words = generate(|co| co.yield_all(text.split('-').map(str::len)));
    std::mem::forget(words);
}
