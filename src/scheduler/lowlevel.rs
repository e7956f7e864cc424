//! What primitives are made of: parking with a reason, tickets, wait lists, and the way in from other threads.
//!
//! Everything in this library that waits is made of these, and so can yours be. A lock, for instance, is a
//! [`WaitList`] and a `Cell<bool>`:
//!
//! ```
//! use ropewalk::lowlevel::{WaitList, Why};
//! use ropewalk::{Cancelled, task};
//! use std::cell::Cell;
//!
//! #[derive(Default)]
//! struct Lock {
//!     taken: Cell<bool>,
//!     waiting: WaitList,
//! }
//!
//! impl Lock {
//!     fn acquire(&self) -> Result<(), Cancelled> {
//!         if self.taken.replace(true) {
//!             self.waiting.wait(&Why::new("lock"))?;        // Who is woken has the lock.
//!         }
//!         Ok(())
//!     }
//!
//!     fn release(&self) {
//!         if self.waiting.wake_one(()).is_err() {
//!             self.taken.set(false);                        // Nobody waits for it.
//!         }
//!     }
//! }
//!
//! ropewalk::run(|| {
//!     let lock = Lock::default();
//!     lock.acquire().unwrap();
//!     task::scope(|s| {
//!         s.spawn(|| {
//!             lock.acquire().unwrap();
//!             lock.release();
//!         });
//!         task::yield_now();
//!         lock.release();
//!     });
//! });
//! ```

pub use super::arm::{Arm, Map, wait, wait_as};
pub use super::cancel::shield;
pub use super::chance::random;
pub use super::cross::{
    CrossError, CrossLine, CrossTicket, CrossWait, CrossWaiter, cross_may_wait, cross_park, cross_park_for,
};
pub use super::descriptor::{Readiness, readable, wait_readable, wait_writable, writable};
pub use super::guest::Guest;
pub use super::held::Held;
pub use super::info::{TaskInfo, TaskState, current_id};
pub use super::park::{may_wait, will_wait};
pub use super::place::{AtTime, ByTicket, InLine, Place, Register, Woken};
pub use super::record::TaskId;
pub use super::remote::{Gone, Remote, RemoteTask, RemoteTicket, remote};
pub use super::ticket::{Ticket, Undo, park, without_waiting};
pub use super::wait_list::{Next, WaitList};
pub use super::why::Why;
