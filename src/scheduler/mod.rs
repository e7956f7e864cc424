//! The scheduler's ground: its timers, and the door for other threads.

mod door;
mod timers;
