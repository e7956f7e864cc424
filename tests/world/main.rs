//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod child;
mod guests;
mod shards;
mod signals;
mod stdio;
