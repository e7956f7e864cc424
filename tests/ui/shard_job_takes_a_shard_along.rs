//! A job that kept the shard of whoever added it would use it on another thread.

use ropewalk::shards;

fn main() {
    shards::run(2, |shard| {
        let _job = shard.spawn(move |_| shard.index());
    });
}
