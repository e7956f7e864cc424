//! Programs that end in order when they are asked to by a signal: the first cancels all tasks, the second kills.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::handler;
use super::name::Signal;
use super::watch::Watch;
use crate::error::Reason;
use crate::scheduler;

/// From now on, until [`run`](crate::run) returns, Ctrl-C cancels all tasks of this runtime; the second time it kills the
/// process.
///
/// ```no_run
/// use ropewalk::{Cancelled, signal, time};
/// use std::io;
/// use std::time::Duration;
///
/// let ended: io::Result<()> = ropewalk::run(|| {
///     signal::cancel_on_ctrl_c()?;
///     time::sleep(Duration::from_secs(3600))?;                   // Or whatever the program does.
///     Ok(())
/// });
/// if ended.is_err_and(|error| Cancelled::is(&error)) {
///     println!("ended in order");
/// }
/// ```
///
/// It is [`cancel_on`] with `SIGINT`, which says the rest.
///
/// # Errors
///
/// As for [`cancel_on`].
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[doc(alias = "KeyboardInterrupt")]
#[track_caller]
pub fn cancel_on_ctrl_c() -> io::Result<()> {
    cancel_on([Signal::INT])
}

/// From now on, until [`run`](crate::run) returns, the first of these signals cancels all tasks of this runtime; any that comes
/// after it does what it does by default, which is to kill the process.
///
/// The first task is cancelled and all others, those that belong to no scope too, as by a scope around everything: waits fail with
/// the reason [`Interrupted`](crate::Reason::Interrupted), except inside [`task::shield`](crate::task::shield), and new
/// tasks never begin. So the program cleans up, and `run` returns what the first task returns.
///
/// The second signal needs nothing of the program: it is seen in the handler, while a task computes, while a shield waits for
/// ever. The process dies of the signal, and whoever has started it sees that.
///
/// A signal that is ignored stays ignored, as shells do it for what they start in the background. A program that only
/// waits for a signal that would cancel it is in a deadlock, and told so, as it would be without. A [`Signals`](super::Signals) that listens to
/// the same has both.
///
/// # Errors
///
/// `InvalidInput` for a signal that cannot be caught, or that the system has nothing to do for by default, such as those in real time. There
/// is no thread left, or no descriptors. Those named before it count.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
///
/// # Platform
///
/// It takes a thread and two descriptors for each signal.
#[track_caller]
pub fn cancel_on(signals: impl IntoIterator<Item = Signal>) -> io::Result<()> {
    let live = scheduler::current_live();
    let interruption = Interruption::of_this_runtime();
    for signal in signals {
        let is_known = interruption.watches.borrow().iter().any(|(known, _)| *known == signal);
        if is_known || handler::is_ignored(signal)? {
            continue;
        }
        let live = live.clone();
        let cancel = move || {
            // It may just have ended, by itself.
            live.post(|| {
                scheduler::cancel_all(Reason::Interrupted);
            });
        };
        let watch = Watch::new("ropewalk-signal", signal, Some(&interruption.kills), cancel)?;
        interruption.watches.borrow_mut().push((signal, watch));
    }
    Ok(())
}

/// What a runtime is to be ended by; dropped with it.
#[derive(Default)]
struct Interruption {
    watches: RefCell<Vec<(Signal, Watch)>>,
    /// Set by the first signal: the next one kills.
    kills: Arc<AtomicBool>,
}

impl Interruption {
    #[track_caller]
    fn of_this_runtime() -> Rc<Interruption> {
        scheduler::extension::<Interruption>().unwrap_or_else(|| {
            let new = Rc::<Interruption>::default();
            scheduler::set_extension(Some(new.clone()));
            new
        })
    }
}

/// Ends the process as the signal would by default, whoever listens to it.
///
/// That is how a program ends that has cleaned up when a signal asked it to, so that whoever has started it knows: a shell
/// then ends its script too, and does not go on as after an error.
///
/// ```no_run
/// use ropewalk::signal::{self, Signal};
/// use ropewalk::{Cancelled, Reason, time};
/// use std::time::Duration;
///
/// let ended = ropewalk::run(|| {
///     signal::cancel_on_ctrl_c().unwrap();
///     time::sleep(Duration::from_secs(3600))
/// });
/// if ended == Err(Cancelled::new(Reason::Interrupted)) {
///     signal::die_of(Signal::INT);
/// }
/// ```
///
/// Nothing is dropped or flushed on the way. With a signal that does not end processes by default this aborts.
pub fn die_of(signal: Signal) -> ! {
    handler::die_of(signal)
}
