//! What a body returns leaves its thread.

use ropewalk::shards;
use std::rc::Rc;

fn main() {
    let _words = shards::run(2, |_| Rc::new("hemp"));
}
