//! Input and output: sockets, streams, descriptors, drivers. One module for each part.
//!
//! Each driver runs all of it: `ROPEWALK_DRIVER=epoll` or `uring`.

mod arms;
mod async_fd;
mod attacks;
mod connect;
mod copy_fd;
mod copying;
mod drivers;
mod examples;
mod faults;
mod halves;
mod lines;
#[path = "../it/log.rs"]
#[allow(dead_code)]
mod log;
mod lookup;
mod pipes;
mod programs;
mod ring;
mod serve;
mod simulated;
mod std_io;
mod tcp;
mod tcp_options;
mod torture;
mod udp;
mod unix;
mod urgent;
#[path = "../it/world.rs"]
#[allow(dead_code)]
mod world;

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::task;

/// The two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    task::scope(|s| {
        let accepted = s.spawn(|| listener.accept().unwrap().0);
        let connected = TcpStream::connect(address).unwrap();
        (connected, accepted.join().unwrap())
    })
}
