//! The scheduler: many tasks, one thread. Tasks park and are woken; the loop runs those that are ready.
//!
//! Upper floors use what is named here; users get [`lowlevel`].

mod alarm;
mod arm;
mod backtrace;
mod branch;
mod cancel;
mod cells;
mod chance;
mod core;
mod cross;
mod descriptor;
mod door;
pub(crate) mod fork;
mod frame;
mod guest;
mod handle;
mod held;
mod here;
mod hot;
mod info;
pub(crate) mod io;
mod life;
mod live;
mod local;
pub mod lowlevel;
mod park;
mod place;
mod queue;
mod record;
mod remote;
mod rounds;
mod runtime;
mod ticket;
mod timers;
mod tree;
mod tripwire;
mod unhandled;
mod wait_list;
mod why;

use std::any::Any;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::driver::choice::DriverChoice;
pub use cancel::{CancelScope, Canceller};
pub(crate) use cross::wait_elsewhere;
pub(crate) use frame::{Failed, Frame, FrameKind, with_frame};
pub(crate) use handle::{Ends, Options, spawn, spawn_on};
pub use handle::{Handle, Joining};
pub(crate) use info::{current_id, snapshot};
pub(crate) use live::{Live, live_runtimes};
pub(crate) use park::{checkpoint, share_thread, yield_now};
pub(crate) use remote::Deposit;
pub use runtime::{Builder, Clock, Driver, RunError, Runtime, run};
pub(crate) use tree::{Seen, Snapshot};
pub(crate) use tripwire::{set_tripwire, take_tripwire};
pub use unhandled::{Problem, Unhandled};

use crate::clock::{NEVER, Nanos};
use crate::error::{Cancelled, Reason};

/// What a panic says on this thread where something needs a runtime.
pub(crate) fn advise(advice: &'static str) {
    here::advise(advice);
}

/// A panic that another one goes before.
pub(crate) fn unhandled_panic(payload: Box<dyn std::any::Any + Send>) {
    if let Some(core) = here::lend_core() {
        core.unhandled(here::lend_task(), Problem::Panicked(&*payload));
    }
    crate::report::discard(payload);
}

/// What went wrong in a server that goes on, in the running task.
pub(crate) fn unhandled_in_server(what: &str) {
    if let Some(core) = here::lend_core() {
        core.unhandled(here::lend_task(), Problem::Server(what));
    }
}

/// The running task, as others see it.
pub(crate) fn current_info() -> Option<info::TaskInfo> {
    here::lend_task().map(|task| info::TaskInfo::of(task, here::lend_core()))
}

pub(crate) fn all_info() -> Vec<info::TaskInfo> {
    let tasks = info::snapshot(0).unwrap_or_default().tasks;
    tasks.into_iter().map(|seen| seen.info).collect()
}

/// Who has just failed: the name of the running task, where it was spawned, whether a wait of its was cancelled, and
/// whether that was because the task was cancelled by itself.
pub(crate) fn failing_task() -> (Option<String>, &'static Location<'static>, bool, bool) {
    let task = here::lend_task().expect("an error of a task is noted in the task");
    (task.name(), task.spawned, task.branch.was_delivered(), task.was_cancelled_alone())
}

/// This thread's runtime, for whoever wants to post something to it and is no remote of it.
#[track_caller]
pub(crate) fn current_live() -> Arc<Live> {
    here::need_core().live.share()
}

/// Cancels all tasks of this thread's runtime, the first one too, up to shields. False if that was done before.
#[track_caller]
pub(crate) fn cancel_all(reason: Reason) -> bool {
    here::need_core().cancel_all(reason)
}

/// What does the input and output of this thread's runtime.
pub(crate) fn driver_choice() -> Option<DriverChoice> {
    Some(here::lend_core()?.driver().choice())
}

/// Parks the running task until all others wait.
#[track_caller]
pub(crate) fn wait_until_all_wait() -> Result<(), Cancelled> {
    here::need_core().blocked().wait(&lowlevel::Why::new("all others to wait"))
}

/// Whether a task can go on beside the one that runs.
pub(crate) fn is_anybody_ready() -> bool {
    here::lend_core().is_some_and(|core| !core.queue.is_empty())
}

/// For how long the loop has not looked at timers, and for input. Zero outside of `run`.
pub(crate) fn time_since_look() -> Duration {
    let since = |core: &core::Core| core.clock().now().saturating_sub(core.seen());
    Duration::from_nanos(here::lend_core().map_or(0, since))
}

/// Parks the running task until the loop has looked at timers, and for input.
#[track_caller]
pub(crate) fn wait_for_look() -> Result<(), Cancelled> {
    alarm::sleep_until(here::need_core().seen())
}

/// Whether a runtime runs on this thread, in a task or not: then the thread must not block.
pub(crate) fn runs_here() -> bool {
    here::lend_core().is_some()
}

/// A number below `bound`, by the runtime's seed.
#[track_caller]
pub(crate) fn random(bound: usize) -> usize {
    here::need_core().dice().below(bound)
}

/// Sets a virtual clock forward. False if the clock is real.
#[track_caller]
pub(crate) fn advance(by: Duration) -> bool {
    let clock = here::need_core().clock();
    if clock.is_virtual() {
        clock.advance_to(clock.after(by));
    }
    clock.is_virtual()
}

/// What the running task has set, or inherited.
pub(crate) fn local(key: usize) -> Option<Rc<dyn Any>> {
    here::lend_task()?.with_extras(|extras| extras?.locals.get(key))
}

/// Sets it, and returns what was there.
///
/// # Errors
///
/// There is no running task.
pub(crate) fn set_local(key: usize, value: Option<Rc<dyn Any>>) -> Result<Option<Rc<dyn Any>>, Cancelled> {
    let task = here::lend_task().ok_or(Cancelled::new(Reason::OutsideTask))?;
    Ok(task.extras_mut(|extras| extras.locals.set(key, value)))
}

/// What a higher floor keeps with this thread's runtime, one of each type; it is dropped with that.
pub(crate) fn extension<T: 'static>() -> Option<Rc<T>> {
    let extensions = here::lend_core()?.extensions.borrow();
    extensions.iter().find_map(|extension| extension.clone().downcast().ok())
}

/// Sets it, and returns what was there.
#[track_caller]
pub(crate) fn set_extension<T: 'static>(extension: Option<Rc<T>>) -> Option<Rc<T>> {
    let mut extensions = here::need_core().extensions.borrow_mut();
    let found = extensions.iter().position(|extension| extension.is::<T>());
    let before = found.map(|index| extensions.swap_remove(index));
    extensions.extend(extension.map(|extension| extension as Rc<dyn Any>));
    before?.downcast().ok()
}

/// Parks the running task until `deadline`.
#[track_caller]
pub(crate) fn sleep_until(deadline: Nanos) -> Result<(), Cancelled> {
    alarm::sleep_until(deadline)
}

pub(crate) use alarm::{LaterCall, call_at};

/// The earliest deadline of what the running task stands in.
pub(crate) fn effective_deadline() -> Option<Instant> {
    here::lend_task()?;
    instant(alarm::effective_deadline())
}

/// As an `Instant`, also where it is as far as never.
#[track_caller]
pub(crate) fn moment_as_instant(moment: Nanos) -> Instant {
    here::need_core().clock().instant(moment)
}

/// Now, by the runtime's clock.
#[track_caller]
pub(crate) fn now() -> Instant {
    let clock = here::need_core().clock();
    clock.instant(clock.now())
}

/// `delay` from now.
#[track_caller]
pub(crate) fn after(delay: Duration) -> Nanos {
    here::need_core().clock().after(delay)
}

#[track_caller]
pub(crate) fn instant(moment: Nanos) -> Option<Instant> {
    if moment == NEVER { None } else { Some(here::need_core().clock().instant(moment)) }
}

#[track_caller]
pub(crate) fn moment(instant: Option<Instant>) -> Nanos {
    match instant {
        Some(instant) => here::need_core().clock().moment(instant),
        None => NEVER,
    }
}
