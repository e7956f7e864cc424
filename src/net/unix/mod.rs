//! Unix sockets: those of one machine, found by path.
//!
//! The system never says when a listener or a receiver that is full has room again, unless one is connected to it. Whoever
//! waits for that asks again and again.

mod address;
mod datagram;
mod listener;
mod stream;

use std::io;
use std::time::Duration;

pub use datagram::UnixDatagram;
pub use listener::{UnixIncoming, UnixListener};
pub use stream::{UCred, UnixStream};

use crate::time;

/// Pauses between two tries of what nobody tells about: from short to long.
struct Pauses(Duration);

impl Pauses {
    /// Another task that only has to run makes room in less.
    const SHORTEST: Duration = Duration::from_micros(100);
    /// Nobody notices, and it costs little.
    const LONGEST: Duration = Duration::from_millis(20);

    fn new() -> Pauses {
        Pauses(Self::SHORTEST)
    }

    #[track_caller]
    fn pause(&mut self) -> io::Result<()> {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        Ok(time::sleep(pause)?)
    }
}
