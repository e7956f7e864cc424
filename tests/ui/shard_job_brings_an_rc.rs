//! A job may run on another thread than the one that adds it.

use ropewalk::shards;
use std::rc::Rc;

fn main() {
    shards::run(2, |shard| {
        let word = Rc::new("hemp");
        let _job = shard.spawn(move |_| word.len());
    });
}
