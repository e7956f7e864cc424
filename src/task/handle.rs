//! Handles to tasks: for those of no scope, and for those that may borrow.

use std::fmt;
use std::ops::Deref;

use super::Invariant;
use crate::scheduler::Handle;

/// A task of no scope. Dropping the handle lets the task go on by itself.
///
/// What can be done with it: [`Handle::join`], [`try_result`](Handle::try_result),
/// [`is_finished`](Handle::is_finished), [`cancel`](Handle::cancel).
///
/// If the task panics and the handle is dropped without having been joined, the runtime's hook is told: see
/// [`Builder::on_unhandled`](crate::Builder::on_unhandled).
pub struct JoinHandle<T>(Handle<T>);

/// A task in a scope. See [`Scope::spawn`](super::Scope::spawn).
pub struct ScopedJoinHandle<'scope, T>(Handle<T>, Invariant<'scope>);

impl<T> JoinHandle<T> {
    #[inline]
    pub(super) fn new(handle: Handle<T>) -> JoinHandle<T> {
        JoinHandle(handle)
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    #[inline]
    pub(super) fn new(handle: Handle<T>) -> Self {
        ScopedJoinHandle(handle, Invariant::default())
    }
}

impl<T> Deref for JoinHandle<T> {
    type Target = Handle<T>;

    #[inline]
    fn deref(&self) -> &Handle<T> {
        &self.0
    }
}

impl<T> Deref for ScopedJoinHandle<'_, T> {
    type Target = Handle<T>;

    #[inline]
    fn deref(&self) -> &Handle<T> {
        &self.0
    }
}

impl<T> AsRef<Handle<T>> for JoinHandle<T> {
    fn as_ref(&self) -> &Handle<T> {
        &self.0
    }
}

impl<T> AsRef<Handle<T>> for ScopedJoinHandle<'_, T> {
    fn as_ref(&self) -> &Handle<T> {
        &self.0
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
