//! Both ends of a channel stay on their thread; `channel::cross` has some that may go.
use ropewalk::channel;
use std::thread;

fn main() {
    let (sender, receiver) = channel::unbounded();
    thread::spawn(move || sender.try_send(1));
    thread::spawn(move || receiver.try_recv());
}
