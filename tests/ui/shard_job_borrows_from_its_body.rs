//! A job may run on another thread when the body has returned.

use ropewalk::shards;

fn main() {
    shards::run(2, |shard| {
        let word = String::from("hemp");
        let _job = shard.spawn(|_| word.len());
    });
}
