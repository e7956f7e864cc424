//! A shard is of one thread: a job is given the one that it runs on.

use ropewalk::shards;
use std::thread;

fn main() {
    shards::run(2, |shard| {
        thread::scope(|s| {
            s.spawn(|| shard.index());
        });
    });
}
