//! A value with what makes it.

use std::fmt;

use super::once::OnceCell;
use crate::error::Cancelled;

/// A value that is made when it is asked for the first time, by something that may wait.
///
/// ```
/// use ropewalk::sync::Lazy;
/// use ropewalk::{Cancelled, task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let answer = Lazy::new(|| {
///         time::sleep(Duration::from_millis(1))?;
///         Ok::<_, Cancelled>(42)
///     });
///     task::scope(|s| {
///         s.spawn(|| assert_eq!(answer.force(), Ok(&42)));
///         s.spawn(|| assert_eq!(answer.force(), Ok(&42)));          // Made once.
///     });
/// });
/// ```
///
/// It is no smart pointer, for `*answer` could not say that the wait was cancelled. What makes the value may fail, and is
/// called again then when somebody asks; so a failure, a cancelled task or a panic spoils nothing.
#[doc(alias = "LazyCell")]
#[doc(alias = "LazyLock")]
pub struct Lazy<T, F = fn() -> Result<T, Cancelled>> {
    cell: OnceCell<T>,
    init: F,
}

impl<T, E: From<Cancelled>, F: Fn() -> Result<T, E>> Lazy<T, F> {
    /// A value that `init` makes.
    pub const fn new(init: F) -> Lazy<T, F> {
        Lazy { cell: OnceCell::new(), init }
    }

    /// The value; makes it if there is none, or waits for the task that does.
    ///
    /// If that one fails, is cancelled or panics, whoever has waited longest makes it.
    ///
    /// # Cancellation
    ///
    /// The value is not made if what makes it says so.
    ///
    /// # Errors
    ///
    /// That of what makes the value, or [`Cancelled`].
    ///
    /// # Panics
    ///
    /// With the panic of what makes the value, or when that asks for it. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn force(&self) -> Result<&T, E> {
        self.cell.get_or_try_init(&self.init)
    }
}

impl<T, F> Lazy<T, F> {
    /// The value, if it has been made.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.cell.get()
    }

    /// How many tasks wait for the value.
    pub fn waiters(&self) -> usize {
        self.cell.waiters()
    }

    /// The value, if it has been made; for whoever has this to itself.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.cell.get_mut()
    }

    /// Takes the value out, if it has been made: whoever asks next makes it again.
    pub fn take(&mut self) -> Option<T> {
        self.cell.take()
    }

    /// The value, if it has been made.
    pub fn into_inner(self) -> Option<T> {
        self.cell.into_inner()
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.cell).finish()
    }
}
