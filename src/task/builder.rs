//! Tasks with a name, or with a stack of another size.

use super::{JoinHandle, Scope, ScopedJoinHandle, TryScope};
use crate::scheduler::{self, Options};
use crate::stack::{self, Shape};

/// Starts tasks that differ from the usual: a name, a larger stack, a first step at once.
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let task = task::Builder::new().name("parser").stack_size(1 << 20).spawn(|| 1);
///     assert_eq!(task.name().as_deref(), Some("parser"));
///     task.join().unwrap();
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    name: Option<String>,
    shape: Option<Shape>,
    eager: bool,
    contained: bool,
}

impl Builder {
    /// A builder of tasks like those of [`task::spawn`](super::spawn).
    pub fn new() -> Builder {
        Builder::default()
    }

    /// What reports and dumps call the task.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The size of the stack, in bytes: at least this, rounded up to a power of two.
    ///
    /// It is address space; memory is used by the page as the stack is touched.
    ///
    /// # Panics
    ///
    /// More than [`stack::MAX_SIZE`].
    #[track_caller]
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        let shape = Shape::new(bytes, stack::DEFAULT_GUARD_SIZE);
        match shape {
            Ok(shape) => self.shape = Some(shape),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Whether the task runs at once, up to its first wait, before `spawn` returns; Python's `eager_start`.
    ///
    /// It is a member of its scope before that. Whoever spawns it while panicking has it begin later.
    pub fn eager(mut self, eager: bool) -> Builder {
        self.eager = eager;
        self
    }

    /// If there is no stack for the task, that does not concern its scope: the runtime's hook is told.
    pub(crate) fn contained(mut self) -> Builder {
        self.contained = true;
        self
    }

    /// Starts a task, as [`task::spawn`](super::spawn) does.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn spawn<T: 'static>(self, task: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        JoinHandle::new(scheduler::spawn(task, self.options()))
    }

    /// Starts a task in a scope, as [`Scope::spawn`] does.
    #[track_caller]
    pub fn spawn_in<'scope, 'env, T: 'scope>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        task: impl FnOnce() -> T + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        scope.spawn_with(self.options(), task)
    }

    /// Starts a task in a scope, as [`TryScope::spawn`] does.
    #[track_caller]
    pub fn try_spawn_in<'scope, 'env, T: 'scope, E: 'env>(
        self,
        scope: &'scope TryScope<'scope, 'env, E>,
        task: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        scope.spawn_with(self.options(), task)
    }

    fn options(self) -> Options {
        Options {
            name: self.name,
            shape: self.shape,
            eager: self.eager,
            contained: self.contained,
            spawned: None,
        }
    }
}
