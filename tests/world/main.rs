//! Threads, files, children and signals, with the driver that `ROPEWALK_DRIVER` names.

mod blocking;
mod folder;
mod fs;
