//! What threads meet at: std's, `parking_lot`'s and crossbeam's. They are here for scale.

use std::sync::mpsc;

use super::{DirectChannel, DirectLock, RECEIVED, Room};

impl<T: 'static> DirectLock<T> for std::sync::Mutex<T> {
    type Guard<'a> = std::sync::MutexGuard<'a, T>;

    fn new(value: T) -> std::sync::Mutex<T> {
        std::sync::Mutex::new(value)
    }

    #[inline(always)]
    fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.lock().expect("nobody panics")
    }
}

impl<T: 'static> DirectLock<T> for parking_lot::Mutex<T> {
    type Guard<'a> = parking_lot::MutexGuard<'a, T>;

    fn new(value: T) -> parking_lot::Mutex<T> {
        parking_lot::Mutex::new(value)
    }

    #[inline(always)]
    fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        self.lock()
    }
}

/// std's channels, which are two types of sender.
pub struct StdBounded;
pub struct StdUnbounded;
pub struct Crossbeam;

impl DirectChannel for StdBounded {
    type Sender = mpsc::SyncSender<usize>;
    type Receiver = mpsc::Receiver<usize>;

    fn open(room: Room) -> (Self::Sender, Self::Receiver) {
        mpsc::sync_channel(room.expect(super::A_LIMIT))
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

impl DirectChannel for StdUnbounded {
    type Sender = mpsc::Sender<usize>;
    type Receiver = mpsc::Receiver<usize>;

    fn open(room: Room) -> (Self::Sender, Self::Receiver) {
        assert_eq!(room, None, "{}", super::NO_LIMIT);
        mpsc::channel()
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

impl DirectChannel for Crossbeam {
    type Sender = crossbeam_channel::Sender<usize>;
    type Receiver = crossbeam_channel::Receiver<usize>;

    fn open(room: Room) -> (Self::Sender, Self::Receiver) {
        room.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded)
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
