//! Counting what a task has taken and must give back.

use std::fmt;

use super::here;
use super::record::TaskRef;

/// That a task has something which it must give back before it ends: a part of the guards of locks, and of yours.
///
/// In debug mode these are counted, and a task that ends with some of them is reported, as
/// [`Problem::GuardsHeld`](crate::Problem::GuardsHeld): a guard that was forgotten, or that lives on elsewhere, keeps all
/// others out. Without debug mode it does nothing. It counts for the task that made it, whoever drops it.
///
/// ```
/// use ropewalk::lowlevel::Held;
/// use ropewalk::{Runtime, task};
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// struct Guard {
///     _held: Held,
/// }
///
/// let told = Rc::new(RefCell::new(String::new()));
/// let hook = told.clone();
/// let runtime = Runtime::builder().debug(true).on_unhandled(move |event| *hook.borrow_mut() = event.to_string());
/// runtime.build().run(|| {
///     let forgetful = task::spawn(|| std::mem::forget(Guard { _held: Held::new() }));
///     forgetful.join().unwrap();
/// });
/// assert!(told.borrow().ends_with("ended with 1 guard that it did not give back"));
/// ```
#[must_use = "it counts until it is dropped"]
pub struct Held {
    /// Only in debug mode, and in tasks.
    task: Option<TaskRef>,
}

impl Held {
    /// The running task has one more thing to give back.
    #[inline]
    pub fn new() -> Held {
        match here::lend_core() {
            Some(core) if core.config.debug => Held::count(),
            _ => Held { task: None },
        }
    }

    #[cold]
    fn count() -> Held {
        let task = here::keep_task();
        if let Some(task) = &task {
            task.record().extras_mut(|extras| extras.held += 1);
        }
        Held { task }
    }
}

impl Default for Held {
    fn default() -> Held {
        Held::new()
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.record().extras_mut(|extras| extras.held -= 1);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "Held(by {})", task.record()),
            None => f.write_str("Held"),
        }
    }
}
