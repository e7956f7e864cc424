//! ropewalk's own. With `tasks/ropewalk.rs`, and the benches of `select` and `oneshot`, all that the benches know of its face.

use ropewalk::channel::{self, Receiver, Sender, cross};
use ropewalk::sync::{Mutex, MutexGuard};

use super::{DirectChannel, DirectLock, RECEIVED, Room};
use crate::tasks::ropewalk::Ropewalk;

impl<T: 'static> DirectLock<T> for Mutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    #[inline(always)]
    fn lock(&self) -> MutexGuard<'_, T> {
        self.lock().expect("nobody is cancelled")
    }
}

impl DirectChannel for Ropewalk {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        room.map_or_else(channel::unbounded, channel::bounded)
    }

    #[inline(always)]
    fn send(sender: &Sender<usize>, item: usize) {
        sender.send(item).expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut Receiver<usize>) -> Option<usize> {
        receiver.recv().ok()
    }
}

/// The channel between threads, for tasks and for threads without any.
pub struct Cross;

impl DirectChannel for Cross {
    type Sender = cross::Sender<usize>;
    type Receiver = cross::Receiver<usize>;

    fn open(room: Room) -> (Self::Sender, Self::Receiver) {
        room.map_or_else(cross::unbounded, cross::bounded)
    }

    #[inline(always)]
    fn send(sender: &Self::Sender, item: usize) {
        sender.send(item).expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut Self::Receiver) -> Option<usize> {
        receiver.recv().ok()
    }
}
