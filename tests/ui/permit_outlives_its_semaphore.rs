//! A permit that borrows its semaphore goes before it; `into_owned` is for those that do not.
use ropewalk::sync::Semaphore;

fn main() {
    let permit = {
        let semaphore = Semaphore::new(1);
        semaphore.try_acquire()
    };
    drop(permit);
}
