//! `flume`'s channel, for futures and for threads.

use flume::{Receiver, Sender, bounded, unbounded};

use super::{DirectChannel, FutureChannel, RECEIVED, Room};

pub struct Flume;

impl FutureChannel for Flume {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        room.map_or_else(unbounded, bounded)
    }

    #[inline(always)]
    async fn send(sender: &Sender<usize>, item: usize) {
        sender.send_async(item).await.expect(RECEIVED);
    }

    #[inline(always)]
    async fn recv(receiver: &mut Receiver<usize>) -> Option<usize> {
        receiver.recv_async().await.ok()
    }
}

impl DirectChannel for Flume {
    type Sender = Sender<usize>;
    type Receiver = Receiver<usize>;

    fn open(room: Room) -> (Sender<usize>, Receiver<usize>) {
        <Flume as FutureChannel>::open(room)
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
