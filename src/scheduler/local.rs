//! Values that belong to a task and are inherited at spawn; Python's `contextvars`.
//!
//! A child starts with what its parent had when it was spawned. What either sets later, the other does not see.

use std::any::Any;
use std::rc::Rc;

/// What a task has set or inherited. Shared until somebody sets something.
#[derive(Clone, Default)]
pub(super) struct Locals(Option<Rc<Vec<Local>>>);

/// A key, and the value that was set for it.
type Local = (usize, Rc<dyn Any>);

impl Locals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.0.as_ref()?.iter().find(|(own, _)| *own == key).map(|(_, value)| value.clone())
    }

    /// Sets the value and returns the one that was there.
    pub(super) fn set(&mut self, key: usize, value: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        let all = Rc::make_mut(self.0.get_or_insert_default());
        let at = all.iter().position(|(own, _)| *own == key);
        match (at, value) {
            (Some(at), Some(value)) => Some(std::mem::replace(&mut all[at].1, value)),
            (Some(at), None) => Some(all.swap_remove(at).1),
            (None, Some(value)) => {
                all.push((key, value));
                None
            }
            (None, None) => None,
        }
    }
}
