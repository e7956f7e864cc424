//! What can go wrong, and what is given back.
//!
//! An error that refused a value carries it. Misuse that a caller can look at is a value; what only a mistake in
//! the program leads to panics, in the user's words.

mod generator;
mod task;

pub use generator::{CloseError, DelegateError, Exit, SendError, StartError, ThrowError};
pub(crate) use task::panic_text;
pub use task::{Cancelled, Elapsed, ErrorGroup, Failure, JoinError, Panic, Reason, RemoteError};
