//! Every thread would have it.
use ropewalk::lowlevel::WaitList;

static LINE: WaitList<()> = WaitList::new();

fn main() {
    let _ = LINE.wake_one(());
}
