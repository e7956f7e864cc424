//! Input and output: sockets, streams, descriptors, drivers. One module for each part.
//!
//! Each driver runs all of it: `ROPEWALK_DRIVER=epoll` or `uring`.

mod tcp;
#[path = "../it/world.rs"]
mod world;
