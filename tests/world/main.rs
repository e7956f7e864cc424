//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod attacks;
mod blocking;
mod blocking_stress;
mod child;
mod examples;
mod folder;
mod fs;
mod fs_faults;
mod fs_paths;
mod fs_streams;
mod fs_torture;
mod guests;
mod pool;
mod process;
mod process_examples;
mod shards;
mod shards_stress;
mod signals;
mod stdio;
mod tutorials;
