//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod child;
mod examples;
mod guests;
mod process;
mod process_examples;
mod shards;
mod signals;
mod stdio;
mod tutorials;
