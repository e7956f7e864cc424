//! Locks and other places where tasks meet. All of them serve those first who came first.
//!
//! - [`Mutex`]: one at a time; [`ReentrantMutex`]: the same one again and again.
//! - [`RwLock`]: many who look, or one who changes.
//! - [`Condvar`]: giving a lock back until what it protects is as it should be.
//! - [`Semaphore`]: so many at a time, or so many of something; [`Limiter`]: so many at a time, each once, and a limit that
//!   can be moved.
//! - [`Event`], [`Latch`]: until something has happened.
//! - [`Barrier`]: until so many have arrived.
//! - [`OnceCell`], [`Lazy`]: until somebody has made a value, once.
//! - [`WaitGroup`]: until nothing is in flight any more.
//! - [`cross::Event`]: an event for tasks and threads, of several runtimes.

mod barrier;
mod condvar;
pub mod cross;
mod event;
mod gate;
mod latch;
mod lazy;
mod limiter;
mod lock;
mod mutex;
mod once;
mod reentrant;
mod rw_lock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierError, BarrierWait, WaitingAtBarrier};
pub use condvar::{Condvar, CondvarStatistics};
pub use event::Event;
pub use gate::WaitingUntil;
pub use latch::Latch;
pub use lazy::Lazy;
pub use limiter::{Borrower, Borrowing, Limiter, LimiterStatistics, Token};
pub use mutex::{Locking, MappedMutexGuard, Mutex, MutexGuard, MutexStatistics};
pub use once::{OnceCell, WaitingForValue};
pub use reentrant::{
    MappedReentrantMutexGuard, ReentrantLocking, ReentrantMutex, ReentrantMutexGuard,
    ReentrantMutexStatistics,
};
pub use rw_lock::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, Reading, RwLock, RwLockReadGuard, RwLockStatistics,
    RwLockWriteGuard, Writing,
};
pub use semaphore::{Acquiring, Permit, Semaphore, SemaphoreStatistics};
pub use wait_group::{WaitGroup, WaitToken};
