//! Input and output: sockets, streams, descriptors, drivers. One module for each part.
//!
//! Each driver runs all of it: `ROPEWALK_DRIVER=epoll` or `uring`.

mod drivers;
#[path = "../it/log.rs"]
#[allow(dead_code)]
mod log;
mod tcp;
mod torture;
mod udp;
mod unix;
mod urgent;
#[path = "../it/world.rs"]
#[allow(dead_code)]
mod world;
