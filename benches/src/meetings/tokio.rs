//! tokio's. Its `mpsc` has one receiver, and two types: one with a limit, one without.

use std::future::Future;

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, MutexGuard};

use super::{A_LIMIT, DirectChannel, FutureChannel, FutureLock, NO_LIMIT, RECEIVED, Room};

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

pub struct Bounded;
pub struct Unbounded;

impl FutureChannel for Bounded {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        mpsc::channel(room.expect(A_LIMIT))
    }

    #[inline(always)]
    async fn send(sender: &Sender<usize>, item: usize) {
        sender.send(item).await.expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut Receiver<usize>) -> impl Future<Output = Option<usize>> {
        receiver.recv()
    }
}

/// For threads.
impl DirectChannel for Bounded {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        <Bounded as FutureChannel>::open(room)
    }

    #[inline(always)]
    fn send(sender: &Sender<usize>, item: usize) {
        sender.blocking_send(item).expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut Receiver<usize>) -> Option<usize> {
        receiver.blocking_recv()
    }
}

impl FutureChannel for Unbounded {
    type Sender = UnboundedSender<usize>;
    type Receiver = UnboundedReceiver<usize>;

    fn open(room: Room) -> (UnboundedSender<usize>, UnboundedReceiver<usize>) {
        assert_eq!(room, None, "{NO_LIMIT}");
        mpsc::unbounded_channel()
    }

    #[inline(always)]
    async fn send(sender: &UnboundedSender<usize>, item: usize) {
        sender.send(item).expect(RECEIVED);
    }

    #[inline(always)]
    fn recv(receiver: &mut UnboundedReceiver<usize>) -> impl Future<Output = Option<usize>> {
        receiver.recv()
    }
}
