//! Locks and channels behind one face for tasks with stacks and for threads, and another for futures.
//!
//! Items are numbers. Nothing here is cancelled, and no receiver goes before its senders do: errors are panics.

use std::future::Future;
use std::ops::DerefMut;

pub mod elsewhere;
pub mod flume;
pub mod may;
pub mod ropewalk;
pub mod smol;
pub mod threads;
pub mod tokio;

/// How many items a channel holds; `None`: as many as there is memory for.
pub type Room = Option<usize>;

/// A lock that one waits for in direct style.
pub trait DirectLock<T>: 'static {
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    fn new(value: T) -> Self;
    fn lock(&self) -> Self::Guard<'_>;
}

/// A lock that one awaits.
pub trait FutureLock<T>: 'static {
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    fn new(value: T) -> Self;
    fn lock(&self) -> impl Future<Output = Self::Guard<'_>>;
}

/// A channel whose ends one waits for in direct style.
pub trait DirectChannel: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn open(room: Room) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, item: usize);
    /// Nothing when all senders are gone.
    fn recv(receiver: &mut Self::Receiver) -> Option<usize>;
}

/// A channel whose ends one awaits.
pub trait FutureChannel: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn open(room: Room) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, item: usize) -> impl Future<Output = ()>;
    /// Nothing when all senders are gone.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<usize>>;
}

/// What a send fails with: never here.
const RECEIVED: &str = "somebody receives until all is sent";

/// What opening a channel fails with.
const NO_LIMIT: &str = "this channel has no limit";
const A_LIMIT: &str = "this channel has a limit";
