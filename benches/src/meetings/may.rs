//! `may`'s. Its channels have no limit: where a limit would never be reached, nobody sees that.

use may::sync::{Mutex, MutexGuard, mpmc, mpsc, spsc};

use super::{DirectChannel, DirectLock, NO_LIMIT, RECEIVED, Room};

impl<T: 'static> DirectLock<T> for Mutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    #[inline(always)]
    fn lock(&self) -> MutexGuard<'_, T> {
        self.lock().expect("nobody panics")
    }
}

pub struct Mpsc;
pub struct Spsc;
pub struct Mpmc;

macro_rules! channels {
    ($($channel:ident $module:ident;)*) => {$(
        impl DirectChannel for $channel {
            type Sender = $module::Sender<usize>;
            type Receiver = $module::Receiver<usize>;

            fn open(room: Room) -> (Self::Sender, Self::Receiver) {
                assert_eq!(room, None, "{NO_LIMIT}");
                $module::channel()
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
    )*};
}

channels! {
    Mpsc mpsc;
    Spsc spsc;
    Mpmc mpmc;
}
