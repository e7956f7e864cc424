//! What nobody is there to be told: errors on the way out of a `Drop`, which cannot return them.
//!
//! They go to a hook, which prints to standard error unless the program sets another. Nothing is lost silently.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::{Arc, PoisonError, RwLock};

/// Something that went wrong while a generator was dropped, or closed by the end of its scope.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unraisable<'a> {
    /// What happened.
    pub what: Unraised<'a>,
    /// Where the generator was created.
    pub created: &'static Location<'static>,
    /// What the generator is called, if it has a name.
    pub name: Option<&'a str>,
}

/// What happened, in an [`Unraisable`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Unraised<'a> {
    /// The body answered `Exit` by yielding, and ended when it was asked again, by force.
    IgnoredExit,
    /// The body yielded also when it was unwound by force. Its stack is leaked, with everything on it.
    Leaked,
    /// The body waited in a plain `yield_` and `panic = "abort"` forbids to unwind it. Its stack is leaked, with
    /// everything on it.
    Abandoned,
    /// The generator stood in for another, whose stack was forgotten or leaked. Its own stack is leaked too, with
    /// everything on it.
    Stranded,
    /// The body panicked while it was being closed; this is the payload.
    Panicked(&'a (dyn Any + Send)),
}

impl fmt::Display for Unraisable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("generator ")?;
        if let Some(name) = self.name {
            write!(f, "'{name}' ")?;
        }
        write!(f, "created at {} ", self.created)?;
        match &self.what {
            Unraised::IgnoredExit => f.write_str("ignored Exit while it was dropped: its body yielded"),
            Unraised::Leaked => f.write_str("ignored Exit twice while it was dropped: its stack is leaked"),
            Unraised::Abandoned => f.write_str(
                "was dropped in a plain yield_, which panic = \"abort\" forbids to unwind: its stack is leaked",
            ),
            Unraised::Stranded => f.write_str(
                "was dropped while it stood in for a generator that was forgotten: its stack is leaked",
            ),
            Unraised::Panicked(payload) => {
                let text = payload
                    .downcast_ref::<&str>()
                    .copied()
                    .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                write!(f, "panicked while it was dropped: {}", text.unwrap_or("(not a string)"))
            }
        }
    }
}

type Hook = Arc<dyn Fn(&Unraisable<'_>) + Send + Sync>;

static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

/// Sets what is done with errors that nobody can be told of; Python's `sys.unraisablehook`.
///
/// The hook runs on the thread and the stack that dropped the generator. Unless one is set, a line is printed to
/// standard error. A hook that panics is ignored.
pub fn set_unraisable_hook(hook: impl Fn(&Unraisable<'_>) + Send + Sync + 'static) {
    let before = HOOK.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(hook));
    // Not under the lock: what the old hook owned may have something to report when it is dropped.
    drop(before);
}

/// Ends the process where going on would be unsound.
#[cold]
pub(crate) fn fatal(why: &str) -> ! {
    // Not `eprintln`, which panics where there is no standard error.
    let _ = writeln!(io::stderr(), "ropewalk: {why}");
    std::process::abort()
}

/// Tells the hook.
#[cold]
pub(crate) fn unraisable(event: &Unraisable<'_>) {
    let hook = HOOK.read().unwrap_or_else(PoisonError::into_inner).clone();
    // Whoever drops a generator must not be unwound by what a hook does.
    let told = panic::catch_unwind(AssertUnwindSafe(|| match hook {
        Some(hook) => hook(event),
        None => eprintln!("ropewalk: {event}"),
    }));
    if let Err(payload) = told {
        discard(payload);
    }
}

/// Drops the payload of a panic that goes no further. One that panics when it is dropped is leaked.
#[cold]
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
