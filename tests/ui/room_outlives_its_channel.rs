//! A permit is room in a channel that is there.
use ropewalk::channel;

fn main() {
    let permit = {
        let (sender, _receiver) = channel::bounded(1);
        sender.try_reserve().unwrap()
    };
    permit.send(1).unwrap();
}
