//! What smol's tasks meet at: `async-lock` and `async-channel`.

use std::future::Future;

use async_channel::{Receiver, Sender, bounded, unbounded};
use async_lock::{Mutex, MutexGuard};

use super::{DirectChannel, FutureChannel, FutureLock, RECEIVED, Room};

impl<T: 'static> FutureLock<T> for Mutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    #[inline(always)]
    fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        self.lock()
    }
}

pub struct AsyncChannel;

impl FutureChannel for AsyncChannel {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        room.map_or_else(unbounded, bounded)
    }

    #[inline(always)]
    async fn send(sender: &Sender<usize>, item: usize) {
        sender.send(item).await.expect(RECEIVED);
    }

    #[inline(always)]
    async fn recv(receiver: &mut Receiver<usize>) -> Option<usize> {
        receiver.recv().await.ok()
    }
}

/// For threads.
impl DirectChannel for AsyncChannel {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        <AsyncChannel as FutureChannel>::open(room)
    }

    #[inline(always)]
    fn send(sender: &Sender<usize>, item: usize) {
        sender.send_blocking(item).expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut Receiver<usize>) -> Option<usize> {
        receiver.recv_blocking().ok()
    }
}
