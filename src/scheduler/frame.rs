//! Scopes that a task has open: for cancelling a part of what it does, and for tasks of its own to hang on.
//!
//! A frame lies on the stack of the task that opened it, and is closed before the function returns that opened it,
//! whether that returns or unwinds.
//!
//! Invariants:
//! - While a frame is open its branch hangs on the one that was current, and (but for those aside) is current itself until another is
//!   opened.
//! - A frame with tasks on it is not closed before they have ended: see [`Frame::wait_for_tasks`]. Nothing cuts that
//!   short, neither a cancellation nor a panic, for the tasks may borrow what lies above the frame.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::thread;

use super::branch::{Branch, Kind};
use super::core::{Core, Target};
use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::record::{End, Record, TaskRef};
use super::timers::TimerKey;
use super::unhandled::Problem;
use super::why::Why;
use crate::clock::{NEVER, Nanos};
use crate::error::{Cancelled, JoinError, Reason};
use crate::generator::mark::{self, Mark};

#[repr(C)]
pub(crate) struct Frame {
    /// The first field: found again by a cast.
    branch: Branch,
    /// The task that opened it; null outside of tasks.
    owner: *const Record,
    core: *const Core,
    /// Why tasks cannot be waited for here; none are begun then.
    barren: Option<Reason>,
    kind: FrameKind,
    timer: Cell<Option<TimerKey>>,
    deadline: Cell<Nanos>,
    /// The number of the owner's wait for the tasks that hang here.
    waits: Cell<Option<u64>>,
    /// Tasks that hung here and failed, in the order in which they ended.
    failed: RefCell<Vec<TaskRef>>,
    way_in: OnceCell<Rc<WayIn>>,
}

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    /// Cancelled with what is around it.
    Plain,
    /// Not reached by what cancels what is around it.
    Shield,
    /// A shield for tasks that hang on it, not for who opened it. Right inside of a plain one, which is cancelled when
    /// one of the tasks fails.
    Aside,
}

/// A way to a frame from elsewhere, for as long as it is open.
pub(super) struct WayIn(Cell<*const Frame>);

impl WayIn {
    pub(super) fn is_open(&self) -> bool {
        !self.0.get().is_null()
    }

    pub(super) fn cancel(&self, reason: Reason) -> bool {
        // SAFETY: the pointer is null from before the frame is closed.
        unsafe { self.0.get().as_ref() }.is_some_and(|frame| frame.cancel(reason))
    }
}

/// Opens a frame while `body` runs.
///
/// # Panics
///
/// Outside of `run`.
#[track_caller]
pub(crate) fn with_frame<R>(kind: FrameKind, body: impl FnOnce(&Frame) -> R) -> R {
    let (core, owner) = (here::core(), here::task());
    if core.is_null() {
        here::no_runtime();
    }
    // SAFETY: a scheduler outlives the code that runs under it.
    let core = unsafe { &*core };
    let frame = Frame {
        branch: Branch::new(Kind::Frame, kind != FrameKind::Plain && !core.is_past_shields()),
        owner,
        core,
        barren: match () {
            () if owner.is_null() => Some(here::why_outside()),
            () if thread::panicking() => Some(Reason::Unwinding),
            () => None,
        },
        kind,
        timer: Cell::new(None),
        deadline: Cell::new(NEVER),
        waits: Cell::new(None),
        failed: RefCell::new(Vec::new()),
        way_in: OnceCell::new(),
    };
    let _open = Open::new(&frame);
    body(&frame)
}

/// A frame that is open, until this is dropped.
struct Open<'a> {
    frame: &'a Frame,
    outer: Mark,
}

impl<'a> Open<'a> {
    fn new(frame: &'a Frame) -> Open<'a> {
        let branch = &raw const frame.branch;
        // SAFETY: the frame stays where it is while it is borrowed. What it hangs on lives longer: it is the task's
        // current branch, or the trunk.
        unsafe {
            let parent = if frame.owner.is_null() { (*frame.core).trunk() } else { park::current_branch() };
            Branch::hang(branch, parent);
        }
        let outer = mark::current();
        if frame.kind != FrameKind::Aside {
            mark::set(Mark(branch.cast()));
        }
        Open { frame, outer }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        mark::set(self.outer);
        self.frame.set_deadline(NEVER);
        if let Some(way) = self.frame.way_in.get() {
            way.0.set(std::ptr::null());
        }
        // SAFETY: it was hung up in `new`. Frames that were opened after it are closed, and no task hangs here: whoever
        // lets tasks hang on a frame waits for them.
        unsafe { Branch::unhang(&self.frame.branch) };
    }
}

impl Frame {
    pub(super) fn owner(&self) -> *const Record {
        self.owner
    }

    pub(super) fn branch(&self) -> *const Branch {
        &self.branch
    }

    fn core(&self) -> &Core {
        // SAFETY: a scheduler outlives the frames that are opened under it.
        unsafe { &*self.core }
    }

    /// Cancels what stands in the frame. False if that had been done before.
    pub(crate) fn cancel(&self, reason: Reason) -> bool {
        // SAFETY: the frame is open while it is borrowed.
        unsafe { Branch::cancel(&self.branch, self.core(), reason) }
    }

    pub(super) fn way_in(&self) -> Rc<WayIn> {
        self.way_in.get_or_init(|| Rc::new(WayIn(Cell::new(self)))).clone()
    }

    /// Why waits in the frame fail, if they do: it was cancelled, or something around it, or nobody can wait here.
    pub(crate) fn is_cancelled(&self) -> Option<Cancelled> {
        self.barren().or(self.branch.effective()).map(Cancelled::new)
    }

    /// Why this very frame was cancelled, if it was.
    pub(crate) fn cancelled_itself(&self) -> Option<Reason> {
        self.branch.itself()
    }

    /// Whether a wait has failed because of this frame, and of nothing around it.
    pub(crate) fn has_cut_short(&self) -> bool {
        self.branch.was_delivered() && self.branch.is_outermost()
    }

    /// Whether a wait in it has failed, whatever it was that had been cancelled.
    pub(crate) fn was_delivered(&self) -> bool {
        self.branch.was_delivered()
    }

    pub(crate) fn deadline(&self) -> Nanos {
        self.deadline.get()
    }

    /// When to cancel it; `NEVER` for not at all. The frame must be open.
    pub(crate) fn set_deadline(&self, deadline: Nanos) {
        if let Some(timer) = self.timer.take() {
            self.core().timers().cancel(timer);
        }
        self.deadline.set(deadline);
        if deadline != NEVER {
            let target = Target::Cancel(&self.branch);
            self.timer.set(Some(self.core().timers().set(deadline, target)));
        }
    }

    /// The deadline has come.
    ///
    /// # Safety
    ///
    /// `branch` must be that of an open frame.
    pub(super) unsafe fn expire(branch: *const Branch) {
        // SAFETY: a branch is the first field of its frame, which is open.
        let frame = unsafe { &*branch.cast::<Frame>() };
        frame.timer.set(None);
        frame.cancel(Reason::Deadline);
    }

    /// Why tasks cannot hang here, if they cannot.
    pub(crate) fn barren(&self) -> Option<Reason> {
        // It may have been opened before the fork.
        if here::is_forked() { Some(Reason::Forked) } else { self.barren }
    }

    pub(crate) fn has_tasks(&self) -> bool {
        self.branch.count.get() > 0
    }

    /// A task hangs here now.
    pub(super) fn task_begins(&self) {
        self.branch.count.set(self.branch.count.get() + 1);
    }

    /// A task that hung here has ended.
    pub(super) fn task_ends(&self, task: &TaskRef) {
        let left = self.branch.count.get() - 1;
        self.branch.count.set(left);
        let cancels = match task.record().end.get() {
            End::Failure => {
                self.failed.borrow_mut().push(task.clone());
                true
            }
            End::Kept => !task.record().was_cancelled_alone(),
            _ => false,
        };
        if cancels {
            self.siblings().cancel(Reason::Sibling);
        }
        if let (0, Some(wait)) = (left, self.waits.get()) {
            // SAFETY: the owner is alive, for its frame is open.
            unsafe { self.core().wake(self.owner, wait) };
        }
    }

    /// The frame that is cancelled when a task fails that hangs here.
    fn siblings(&self) -> &Frame {
        match self.kind {
            // SAFETY: it was opened right inside of a frame, says its kind, which is open for longer; a branch is the
            // first field of its frame.
            FrameKind::Aside => unsafe { &*self.branch.parent().cast::<Frame>() },
            _ => self,
        }
    }

    /// What made tasks fail that hung here, as far as nobody has asked their handles.
    pub(crate) fn take_failures(&self) -> Vec<Failed> {
        let taken = |task: TaskRef| task.record().take_failure().map(|error| Failed { task, error });
        self.failed.take().into_iter().filter_map(taken).collect()
    }

    /// Whether its owner waits for the tasks that hang here, and for nothing else.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waits.get().is_some()
    }

    /// Waits until no task hangs here. Nothing cuts it short, and it waits even while the thread unwinds.
    ///
    /// `at` is what reports show: where the user's code has opened the frame.
    pub(crate) fn wait_for_tasks(&self, at: &'static Location<'static>) {
        while self.has_tasks() {
            debug_assert!(!self.owner.is_null(), "no task hangs on a frame that nobody can wait in");
            let count = Count(&self.branch.count);
            let why = Why::new("scope").on(&count);
            // SAFETY: a frame is only closed by its owner, whose code this is.
            let wait = unsafe { park::begin(self.owner) };
            self.waits.set(Some(wait));
            // SAFETY: as above; the wait has just begun.
            let outcome = unsafe { park::park_at(self.core(), self.owner, &why, at, Cancel::Never) };
            debug_assert_eq!(outcome, Outcome::Granted);
            self.waits.set(None);
        }
    }
}

/// A task that failed, and what with.
pub(crate) struct Failed {
    task: TaskRef,
    error: JoinError,
}

impl Failed {
    /// What to go on unwinding with: the payload of its panic, or a message.
    pub(crate) fn into_payload(self) -> Box<dyn Any + Send> {
        match self.error {
            JoinError::Panicked(panic) => panic.into_payload(),
            other => Box::new(other.to_string()),
        }
    }

    /// Another failure goes before this one: it goes to the hook.
    pub(crate) fn tell(mut self) {
        if let Some(core) = here::lend_core() {
            core.unhandled(Some(self.task.record()), Problem::from_failure(&mut self.error));
        }
        if let JoinError::Panicked(panic) = self.error {
            crate::report::discard(panic.into_payload());
        }
    }
}

struct Count<'a>(&'a Cell<u32>);

impl std::fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.get() {
            1 => f.write_str("with 1 task"),
            tasks => write!(f, "with {tasks} tasks"),
        }
    }
}
