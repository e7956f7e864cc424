//! Input and output: sockets, streams, descriptors, drivers. One module for each part.
//!
//! Each driver runs all of it: `ROPEWALK_DRIVER=epoll` or `uring`.

#[path = "../it/log.rs"]
#[allow(dead_code)]
mod log;
mod tcp;
#[path = "../it/world.rs"]
#[allow(dead_code)]
mod world;
