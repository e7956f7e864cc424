//! A cancel scope is over when its body returns; a `Canceller` may be kept.
use ropewalk::task;

fn main() {
    ropewalk::run(|| {
        let escaped = task::cancel_scope(|scope| scope);
        escaped.cancel();
    });
}
