//! Input and output: sockets, streams, descriptors, drivers. One module for each part.
//!
//! Each driver runs all of it: `ROPEWALK_DRIVER=epoll` or `uring`.

mod drivers;
mod examples;
#[path = "../it/log.rs"]
#[allow(dead_code)]
mod log;
mod programs;
mod serve;
mod tcp;
mod torture;
#[path = "../it/world.rs"]
#[allow(dead_code)]
mod world;
