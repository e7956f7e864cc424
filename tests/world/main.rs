//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod examples;
mod shards;
mod tutorials;
