//! Values of a task that its children inherit.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use crate::scheduler;

/// A value that each task has for itself, and inherits from the task that spawned it; Python's `ContextVar`.
///
/// A child starts with what its parent had when it was spawned; what either sets later, the other does not see. Outside of
/// tasks, and where nothing was set, it is the default.
///
/// ```
/// use ropewalk::task;
///
/// ropewalk::task_local! {
///     static REQUEST: u32 = 0;
/// }
///
/// ropewalk::run(|| {
///     let handled = REQUEST.with_value(7, || {
///         task::spawn(|| format!("request {}", REQUEST.get()))
///     });
///     assert_eq!(REQUEST.get(), 0);
///     assert_eq!(handled.join().unwrap(), "request 7");
/// });
/// ```
pub struct TaskLocal<T: 'static> {
    default: fn() -> T,
}

impl<T: Clone + 'static> TaskLocal<T> {
    /// For a `static`; [`task_local!`](crate::task_local) writes it down.
    pub const fn new(default: fn() -> T) -> TaskLocal<T> {
        TaskLocal { default }
    }

    /// The value of the running task.
    pub fn get(&'static self) -> T {
        let value = scheduler::local(self.key());
        match value.as_ref().and_then(|value| value.downcast_ref::<T>()) {
            Some(value) => value.clone(),
            None => (self.default)(),
        }
    }

    /// Sets the value of the running task, for the rest of it.
    ///
    /// # Panics
    ///
    /// Outside of tasks.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.replace(Some(Rc::new(value)));
    }

    #[track_caller]
    fn replace(&'static self, value: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        match scheduler::set_local(self.key(), value) {
            Ok(before) => before,
            Err(_) => panic!("a task-local value was set where no task runs"),
        }
    }

    /// Sets the value while `body` runs, and puts back what was there.
    ///
    /// # Panics
    ///
    /// Outside of tasks.
    #[track_caller]
    pub fn with_value<R>(&'static self, value: T, body: impl FnOnce() -> R) -> R {
        struct PutBack(usize, Option<Rc<dyn Any>>);
        impl Drop for PutBack {
            fn drop(&mut self) {
                // Where no task runs there is nothing to put back.
                let _ = scheduler::set_local(self.0, self.1.take());
            }
        }
        let before = self.replace(Some(Rc::new(value)));
        let _put_back = PutBack(self.key(), before);
        body()
    }

    /// A static stays where it is, and no other is there.
    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

/// Declares values that each task has for itself: see [`TaskLocal`](crate::task::TaskLocal).
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $visible:vis static $name:ident: $type:ty = $default:expr;)*) => {
        $($(#[$attribute])* $visible static $name: $crate::task::TaskLocal<$type> =
            $crate::task::TaskLocal::new(|| $default);)*
    };
}
