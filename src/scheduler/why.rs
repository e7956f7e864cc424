//! What a task waits for, as dumps and deadlock reports show it.

use std::fmt;

use super::record::TaskId;

/// Why a task waits: a word or two, and what only the one who waits knows. It lies on the waiter's stack.
///
/// ```
/// use ropewalk::lowlevel::Why;
///
/// let plain = Why::new("lock");
/// let path = "the log file";
/// let detailed = Why::new("lock").on(&path);
/// assert_eq!((plain.to_string(), detailed.to_string()), ("lock".to_owned(), "lock the log file".to_owned()));
/// ```
#[derive(Clone, Copy)]
pub struct Why<'a> {
    what: &'static str,
    on: Option<&'a dyn fmt::Display>,
    holder: Option<&'a dyn Fn() -> Option<TaskId>>,
}

impl<'a> Why<'a> {
    /// Waits for a `what`: "sleep", "lock", "read".
    pub const fn new(what: &'static str) -> Why<'static> {
        Why { what, on: None, holder: None }
    }

    /// Which one of them: shown after the word.
    pub fn on(self, which: &'a dyn fmt::Display) -> Why<'a> {
        Why { on: Some(which), ..self }
    }

    /// Who has what is waited for: asked when a dump is made, while the waiter is parked.
    pub fn held_by(self, holder: &'a dyn Fn() -> Option<TaskId>) -> Why<'a> {
        Why { holder: Some(holder), ..self }
    }

    /// The word.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The task that has what is waited for, if that is known.
    pub fn holder(&self) -> Option<TaskId> {
        self.holder.and_then(|ask| ask())
    }
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.on {
            Some(which) if self.what.is_empty() => which.fmt(f),
            Some(which) => write!(f, " {which}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Why({self})")
    }
}
