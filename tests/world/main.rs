//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod child;
mod folder;
mod fs;
mod fs_faults;
mod fs_paths;
mod fs_streams;
mod fs_torture;
mod guests;
mod process;
mod process_examples;
mod shards;
mod signals;
mod stdio;
