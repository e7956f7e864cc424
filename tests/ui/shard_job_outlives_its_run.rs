//! A handle leads to what the shards share, which goes with them.

use ropewalk::shards;
use std::sync::Mutex;

fn main() {
    let kept = Mutex::new(None);
    shards::run(2, |shard| {
        *kept.lock().unwrap() = Some(shard.spawn(|_| 42));
    });
    let _job = kept.into_inner().unwrap().unwrap();
}
