//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod blocking_stress;
mod child;
mod guests;
mod pool;
mod process;
mod process_examples;
mod shards;
mod signals;
mod stdio;
