//! Tests of programs that wait: in virtual time, under schedules that can be replayed, cancelled wherever they can be.
//!
//! A test that sleeps is slow, and one that hopes for an order fails on another machine. Here a clock jumps when all
//! tasks wait, the order of tasks comes from a seed, and nothing is lost: a task that is left over fails the test.
//!
//! ```
//! use ropewalk::{testing, time};
//! use std::time::Duration;
//!
//! testing::run(|| {
//!     let began = time::now();
//!     time::sleep(Duration::from_secs(3600)).unwrap();              // Takes no time,
//!     assert_eq!(time::now() - began, Duration::from_secs(3600));   // and is exact.
//! });
//! ```
//!
//! - [`run`] runs a program as a test should.
//! - [`explore`] runs it under many schedules, and tells how to replay the one that fails.
//! - [`cancel_everywhere`] cancels it at every moment at which that makes a difference, one after another.
//! - [`wait_all_tasks_blocked`] waits until everybody waits, [`advance`] lets time pass, [`random`] gives chance that
//!   comes from the seed.
//! - [`Network`] is a network in memory, with delays, resets and partitions, on which programs run that use sockets.
//!
//! Words: a *program* is the closure under test; it is the first task of a runtime of its own.

mod everywhere;
mod explore;
mod network;
mod setup;
mod world;

pub use everywhere::{Cut, cancel_everywhere};
pub use explore::explore;
pub use network::{Network, NetworkStatistics, SimulatedNetwork, network};
pub use setup::{Setup, run};
pub use world::{advance, random, wait_all_tasks_blocked};
