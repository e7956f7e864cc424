//! The loop that drives all tasks of a thread, one step after another.
//!
//! A round: up to [`BATCH`] steps of ready tasks, in the order in which they became ready; then a look around, at the clock,
//! the timers that are due and the mail of other threads. If nobody is ready after that, the thread sleeps until a timer
//! is due or somebody rings; if neither can happen, all tasks wait for one another.
//!
//! Invariants:
//! - A task is in the ready queue exactly while its state is `New` or `Ready`.
//! - User's code runs in a task, or in [`Core::outside`] of all, where it cannot wait. Never while the scheduler's own
//!   state is borrowed or half changed.
//! - The loop ends when no task is left.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::branch::{Branch, Kind};
use super::cells::Cells;
use super::chance::Chance;
use super::frame::Frame;
use super::here;
use super::hot::{Cancel, Hot, Outcome, TaskFiber};
use super::live::Listed;
use super::park;
use super::queue::Queue;
use super::record::{Birth, End, Extras, Record, State, TaskId, TaskRef};
use super::remote::{Gate, Message};
use super::timers::Timers;
use super::tripwire::Tripwire;
use super::unhandled::{Problem, Unhandled};
use super::wait_list::WaitList;
use crate::clock::{Clock, NEVER, Nanos};
use crate::driver::idle::Idle;
use crate::error::{Cancelled, JoinError, Reason};
use crate::generator::mark::{self, Mark};
use crate::generator::switch::{Parent, Turn};
use crate::stack::{self, Label, LabelKind, Shape};

/// Steps between two looks around: enough to make reading the clock cheap, few enough to be prompt.
const BATCH: usize = 64;

/// Failed waits in a row, of one task, that debug mode takes for a loop that ignores its cancellation.
const IGNORED: u32 = 1000;

/// What is done with what nobody asks for.
type Hook = Rc<dyn Fn(&Unhandled<'_>)>;

/// What a runtime is made with.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) name: Option<String>,
    pub(super) shape: Option<Shape>,
    pub(super) debug: bool,
    pub(super) seed: Option<u64>,
    pub(super) virtual_time: bool,
    pub(super) slow_step: Duration,
    pub(super) unhandled: Option<Hook>,
}

/// What happens when a timer is due.
pub(super) enum Target {
    Wake {
        task: *const Record,
        wait: u64,
    },
    /// The branch of an open frame.
    Cancel(*const Branch),
    Call(Box<dyn FnOnce()>),
}

pub(crate) struct Core {
    queue: Queue,
    cells: Cells,
    /// What tasks hang on that belong to no scope; itself on `top`.
    trunk: Branch,
    /// The first task hangs here.
    top: Branch,
    timers: RefCell<Timers<Target>>,
    clock: Clock,
    /// The time at the last look around.
    seen: Cell<Nanos>,
    alive: Cell<usize>,
    last_id: Cell<u64>,
    /// The order of ready tasks; without it, first come, first served.
    chance: Option<Chance>,
    /// For programs that ask for chance. Apart from the order, which does not depend on what they ask.
    dice: Chance,
    tripwire: Tripwire,
    idle: Idle,
    gate: Arc<Gate>,
    /// As those see it who look at all runtimes.
    live: Listed,
    /// Tasks that wait until all others wait.
    blocked: WaitList,
    /// Set once every wait fails, shields or not.
    past_shields: Cell<bool>,
    /// What the report said when no task could go on.
    deadlock: OnceCell<String>,
    ending: Cell<bool>,
    /// By which things that were made under it know it again.
    presence: Rc<()>,
    /// Things that other threads have keys to.
    kept: RefCell<HashMap<u64, Box<dyn Any>>>,
    last_key: Cell<u64>,
    pub(super) config: Config,
}

impl Core {
    pub(super) fn new(config: Config) -> Core {
        let idle = Idle::new();
        let gate = Arc::new(Gate::new(idle.alarm()));
        let live = Listed::new(&gate, config.name.as_deref(), config.debug);
        Core {
            queue: Queue::new(),
            cells: Cells::new(),
            trunk: Branch::new(Kind::Trunk, false),
            top: Branch::new(Kind::Trunk, false),
            timers: RefCell::new(Timers::new()),
            clock: if config.virtual_time { Clock::virtual_() } else { Clock::real() },
            seen: Cell::new(0),
            alive: Cell::new(0),
            last_id: Cell::new(0),
            chance: config.seed.map(Chance::new),
            dice: Chance::new(!config.seed.unwrap_or(0)),
            tripwire: Tripwire::default(),
            idle,
            gate,
            live,
            blocked: WaitList::new(),
            past_shields: Cell::new(false),
            deadlock: OnceCell::new(),
            ending: Cell::new(false),
            presence: Rc::new(()),
            kept: RefCell::default(),
            last_key: Cell::new(0),
            config,
        }
    }

    /// Hangs the trunk up; from now on the core must stay where it is.
    pub(super) fn plant(&self) {
        // SAFETY: both are fields of this, which stays where it is.
        unsafe { Branch::hang(&self.trunk, &self.top) };
    }

    pub(super) fn trunk(&self) -> *const Branch {
        &self.trunk
    }

    pub(super) fn top(&self) -> *const Branch {
        &self.top
    }

    pub(super) fn timers(&self) -> RefMut<'_, Timers<Target>> {
        self.timers.borrow_mut()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }

    pub(super) fn presence(&self) -> &Rc<()> {
        &self.presence
    }

    pub(super) fn dice(&self) -> &Chance {
        &self.dice
    }

    pub(super) fn tripwire(&self) -> &Tripwire {
        &self.tripwire
    }

    pub(super) fn blocked(&self) -> &WaitList {
        &self.blocked
    }

    /// The time at the last look around: at most a batch of steps ago.
    #[inline(always)]
    pub(super) fn seen(&self) -> Nanos {
        self.seen.get()
    }

    pub(super) fn is_past_shields(&self) -> bool {
        self.past_shields.get()
    }

    pub(super) fn deadlock(&self) -> Option<&str> {
        self.deadlock.get().map(String::as_str)
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.get()
    }

    // Waking.

    /// # Safety
    ///
    /// `task` must be alive and not in the queue; `hot` must be its own.
    #[inline(always)]
    pub(super) unsafe fn make_ready(&self, task: *const Record, hot: &Hot) {
        // SAFETY: alive, says the caller.
        unsafe { (*task).state.set(State::Ready) };
        self.queue.push(task, std::ptr::from_ref(hot).cast());
    }

    /// Whether that wait of the task is undecided.
    ///
    /// # Safety
    ///
    /// `task` must point to a record that has not been freed.
    #[inline]
    pub(super) unsafe fn is_waiting(&self, task: *const Record, wait: u64) -> bool {
        // SAFETY: as the caller says; `hot` is null or good.
        unsafe {
            (*task)
                .hot
                .get()
                .as_ref()
                .is_some_and(|hot| hot.wait.get() == wait && hot.outcome.get().is_open())
        }
    }

    /// Grants that wait, if it is undecided; says whether it was.
    ///
    /// # Safety
    ///
    /// `task` must point to a record that has not been freed.
    #[inline]
    pub(super) unsafe fn wake(&self, task: *const Record, wait: u64) -> bool {
        // SAFETY: as the caller says. A task that waits has a stack.
        unsafe {
            if !self.is_waiting(task, wait) {
                return false;
            }
            let hot = park::hot(task);
            hot.outcome.set(Outcome::Granted);
            // One that still arranges its wait will find it granted.
            if (*task).state.get() == State::Parked {
                self.make_ready(task, hot);
            }
        }
        true
    }

    /// Ends the wait of a task that is parked under `branch`, if that can be ended.
    ///
    /// # Safety
    ///
    /// `task` must be alive, or null.
    pub(super) unsafe fn cancel_wait(&self, task: *const Record, branch: *const Branch) {
        // SAFETY: alive, says the caller. A parked task has a stack.
        unsafe {
            if task.is_null() || (*task).state.get() != State::Parked {
                return;
            }
            let hot = park::hot(task);
            if hot.mark.get() != Mark(branch.cast()) || hot.outcome.get() != Outcome::Waiting {
                return;
            }
            hot.outcome.set(match hot.cancel.get() {
                Cancel::Never => return,
                Cancel::Ends => Outcome::Cancelled,
                Cancel::Asks => Outcome::Asked,
            });
            self.make_ready(task, hot);
        }
    }

    // Tasks come and go.

    /// Makes a task and puts it at the end of the queue.
    ///
    /// # Safety
    ///
    /// `parent` must be alive until the task has ended; if it is that of a frame, that one has been told. For what the
    /// closure borrows see [`TaskRef::new`].
    #[inline]
    pub(super) unsafe fn spawn<F: FnOnce() -> Result<T, JoinError>, T>(
        &self,
        parent: *const Branch,
        mut birth: Birth,
        closure: F,
    ) -> TaskRef {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        birth.id = TaskId(std::num::NonZeroU64::new(id).expect("2^64 tasks take centuries"));
        inherit(&mut birth.extras);
        // SAFETY: as the caller says.
        unsafe {
            let task = TaskRef::new(&self.cells, birth, closure).into_raw();
            Branch::hang(&raw const (*task).branch, parent);
            self.alive.set(self.alive.get() + 1);
            self.queue.push(task, std::ptr::null());
            TaskRef::to(task)
        }
    }

    /// A task that never runs: it is over when this returns.
    ///
    /// # Safety
    ///
    /// None: what the closure borrows is not looked at after this.
    pub(super) unsafe fn stillborn<F: FnOnce() -> Result<T, JoinError>, T>(
        &self,
        birth: Birth,
        closure: F,
        why: Cancelled,
    ) -> TaskRef {
        // SAFETY: the trunk is there; the closure is dropped below, and the task has no result but its failure.
        unsafe {
            let running = here::task();
            let task = self.spawn(self.trunk(), birth, closure);
            let record = self.queue.pop_back();
            debug_assert_eq!(record, task.as_ptr());
            self.outside(|| Record::fail(record, JoinError::NeverRan(why)));
            self.bury(record);
            here::set_task(running);
            task
        }
    }

    /// Keeps something for another thread, which gets a key to it.
    pub(super) fn keep(&self, thing: Box<dyn Any>) -> u64 {
        let key = self.last_key.get() + 1;
        self.last_key.set(key);
        self.kept.borrow_mut().insert(key, thing);
        key
    }

    pub(super) fn give_up(&self, key: u64) -> Option<Box<dyn Any>> {
        self.kept.borrow_mut().remove(&key)
    }

    /// Lets the task that was spawned last take its first step now, on top of whatever runs here. It must still be in its
    /// place.
    pub(super) fn begin_last(&self) {
        let (running, mark) = (here::task(), mark::current());
        // SAFETY: it comes from the queue, where it was new. Its fiber returns here when it suspends or ends, whoever
        // resumes it later.
        unsafe { self.step(self.queue.pop_back()) };
        here::set_task(running);
        mark::set(mark);
    }

    /// Runs tasks until `done`.
    pub(super) fn run_until(&self, done: impl Fn() -> bool) {
        while !done() {
            for _ in 0..BATCH {
                if self.queue.is_empty() {
                    break;
                }
                let task = match &self.chance {
                    None => self.queue.pop(),
                    Some(chance) => self.queue.pop_at(chance.below(self.queue.len())),
                };
                // SAFETY: what is in the queue is alive, and has been told so by its state.
                unsafe { self.step(task) };
            }
            self.look_around();
            if self.queue.is_empty() && !done() {
                self.idle();
            }
        }
    }

    /// # Safety
    ///
    /// `task` must come from the queue.
    #[inline(always)]
    unsafe fn step(&self, task: *const Record) {
        here::set_task(task);
        // SAFETY: alive, says the caller; what comes from the queue is `New` or `Ready`.
        unsafe {
            let hot = match (*task).hot.get() {
                hot if hot.is_null() => match self.begin(task) {
                    Some(hot) => hot,
                    None => return,
                },
                hot => hot,
            };
            (*task).state.set(State::Running);
            let turn = if self.config.debug {
                self.timed(task, || (*(*hot).fiber.get()).resume())
            } else {
                (*(*hot).fiber.get()).resume()
            };
            if let Turn::Returned(()) = turn {
                self.end(task, hot);
            }
        }
    }

    #[cold]
    fn timed<R>(&self, task: *const Record, step: impl FnOnce() -> R) -> R {
        self.pass_moment();
        // SAFETY: it is alive, for it has come from the queue.
        self.live.note_step(unsafe { &*task });
        let began = Instant::now();
        let result = step();
        let took = began.elapsed();
        self.live.note_no_step();
        if took >= self.config.slow_step {
            // SAFETY: the scheduler's reference is dropped after this.
            self.unhandled(unsafe { task.as_ref() }, Problem::SlowStep(took));
        }
        result
    }

    /// Gives a new task a stack. Without one it ends.
    ///
    /// # Safety
    ///
    /// `task` must be new.
    #[inline]
    unsafe fn begin(&self, task: *const Record) -> Option<*const Hot> {
        // SAFETY: alive, says the caller.
        let record = unsafe { &*task };
        let usual = self.config.shape.unwrap_or_else(Shape::of_default);
        let plain = Label { kind: LabelKind::Task, name: None, created: record.spawned, sized: false };
        let (shape, label) =
            if record.has_extras() { with_extras(record, usual, plain) } else { (usual, plain) };
        let stack = match stack::acquire(shape) {
            Ok(stack) => stack,
            Err(error) => {
                self.no_stack(task, error);
                return None;
            }
        };
        stack.set_label(label);
        let hot: *const Hot = TaskFiber::room_on(&stack).as_ptr().cast();
        // SAFETY: the room is ours while the stack is. `run` does not unwind. What the closure borrows outlives the task.
        unsafe {
            let fiber = TaskFiber::new(stack, move |parent: &Parent<()>| run_task(task, hot, parent));
            hot.cast_mut().write(Hot::new(fiber, Mark(task.cast())));
        }
        record.hot.set(hot);
        Some(hot)
    }

    #[cold]
    fn no_stack(&self, task: *const Record, error: std::io::Error) {
        here::set_task(std::ptr::null());
        // SAFETY: it is new, and alive until it has ended.
        unsafe {
            self.outside(|| {
                Record::fail(task, JoinError::NoStack(error));
                super::record::leave(&*task);
            });
            self.bury(task);
        }
    }

    /// The task has returned: its stack can be used by another.
    ///
    /// # Safety
    ///
    /// The fiber of `hot` must have returned, and be that of `task`.
    #[inline]
    unsafe fn end(&self, task: *const Record, hot: *const Hot) {
        // SAFETY: nobody looks at the room again: `hot` is null from now on. The fiber is moved out of it, for it gives
        // the stack back in which it lies.
        unsafe {
            (*task).hot.set(std::ptr::null());
            here::set_task(std::ptr::null());
            drop((*hot).fiber.get().read());
            self.bury(task);
        }
    }

    /// # Safety
    ///
    /// `task` must have ended, and never have been buried.
    #[inline]
    unsafe fn bury(&self, task: *const Record) {
        // SAFETY: the scheduler's own reference, which is dropped at the end of this.
        let task = unsafe { TaskRef::from_raw(task) };
        let record = task.record();
        record.state.set(State::Ended);
        while !record.joiners.is_unused() && record.joiners.wake_one(()).is_ok() {}
        let parent = record.branch.parent();
        // SAFETY: it hangs there since it was spawned, and its frames are closed. The parent outlives it.
        unsafe {
            Branch::unhang(&raw const record.branch);
            if record.scoped.get() {
                (*parent.cast::<Frame>()).task_ends(&task);
            }
        }
        self.alive.set(self.alive.get() - 1);
        if std::ptr::eq(parent, &self.top) {
            self.first_task_ends();
        }
        if !record.handled.get() && !record.scoped.get() {
            self.tell_failure(record);
        }
    }

    /// Nobody will ask for the result of `record`: if it failed, the hook is told.
    pub(super) fn tell_failure(&self, record: &Record) {
        if record.end.get() != End::Failure {
            return;
        }
        if let Some(error) = record.take_failure() {
            self.unhandled(Some(record), Problem::from_failure(&error));
            self.outside(|| drop(error));
        }
    }

    // What is not a task's.

    /// Runs code that is not a task's. It cannot wait, and what it panics with is told to the hook.
    pub(super) fn outside(&self, code: impl FnOnce()) {
        let task = here::task();
        here::set_task(std::ptr::null());
        // A mark of its own, for one callback can run inside another.
        let here = Cell::new(());
        let mark = mark::set(Mark((&raw const here).cast()));
        let result = panic::catch_unwind(AssertUnwindSafe(code));
        mark::set(mark);
        here::set_task(task);
        if let Err(payload) = result {
            self.unhandled(None, Problem::Panicked(&*payload));
            crate::report::discard(payload);
        }
    }

    /// Tells the runtime's hook. What that panics with is dropped.
    #[cold]
    pub(super) fn unhandled(&self, task: Option<&Record>, problem: Problem<'_>) {
        let event = Unhandled::new(task, Some(self), self.config.name.as_deref(), problem);
        let (current, mark) = (here::task(), mark::current());
        here::set_task(std::ptr::null());
        let place = 0_u8;
        mark::set(Mark((&raw const place).cast()));
        let told = panic::catch_unwind(AssertUnwindSafe(|| match &self.config.unhandled {
            Some(hook) => hook(&event),
            None => event.print(),
        }));
        mark::set(mark);
        here::set_task(current);
        told.unwrap_or_else(crate::report::discard);
    }

    #[inline]
    pub(super) fn note_ignored(&self, task: *const Record, times: u32) {
        if times == IGNORED && self.config.debug {
            // SAFETY: it runs.
            self.unhandled(unsafe { task.as_ref() }, Problem::IgnoredCancellation(times));
        }
    }

    fn look_around(&self) {
        if self.config.debug {
            self.pass_moment();
        }
        let now = self.clock.now();
        self.seen.set(now);
        // No more than there are now: a callback may set another one that is due at once.
        let most = self.timers.borrow().len();
        for _ in 0..most {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                None => break,
                Some(Target::Wake { task, wait }) => {
                    // SAFETY: whoever parks with a timer cancels it when the wait is over; a record is alive until then.
                    unsafe { self.wake(task, wait) };
                }
                // SAFETY: a frame that is closed has cancelled its timer.
                Some(Target::Cancel(branch)) => unsafe { Frame::expire(branch) },
                Some(Target::Call(call)) => self.outside(call),
            }
        }
        if self.gate.has_mail() {
            self.read_mail();
        }
    }

    #[cold]
    fn read_mail(&self) {
        for message in self.gate.take() {
            self.deliver(message);
        }
    }

    pub(super) fn deliver(&self, message: Message) {
        self.outside(message);
    }

    /// Nobody is ready. Waits for something that can change that.
    #[cold]
    fn idle(&self) {
        // What is set for never does not count, or a virtual clock would come there.
        let next = self.timers.borrow().next_deadline().filter(|&deadline| deadline != NEVER);
        // What a callback has set for at once is due before anybody can say that all wait.
        let is_due = next.is_some_and(|deadline| deadline <= self.clock.now());
        if !is_due && !self.blocked.is_empty() {
            self.blocked.wake_all(());
            return;
        }
        match next {
            Some(deadline) if self.clock.is_virtual() => self.clock.advance_to(deadline),
            // Whoever went last may have left a message: who sees that he is gone sees that too.
            None if !self.gate.can_bring() && !self.gate.has_mail() => self.end_deadlock(),
            _ => {
                let now = self.clock.now();
                let timeout = next.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
                // A door that is closed does not sleep, and nobody rings.
                if timeout != Some(Duration::ZERO) && (self.gate.is_closed() || self.gate.fall_asleep()) {
                    self.idle.wait(timeout);
                    self.gate.wake_up();
                }
            }
        }
    }

    /// All tasks wait, and nothing is left that could wake one: cancels first what can be cancelled, then what is shielded.
    fn end_deadlock(&self) {
        let report = super::info::report(self);
        if self.past_shields.get() {
            crate::report::fatal(&format!("nothing can end the waits of these tasks:\n{report}"));
        }
        let again = self.deadlock.get().is_some() || self.ending.get();
        if self.ending.get() {
            self.unhandled(None, Problem::StuckAtEnd(&report));
        } else {
            let _ = self.deadlock.set(report);
        }
        // SAFETY: the top is a field of this.
        unsafe {
            if again {
                self.past_shields.set(true);
                Branch::cancel_shields(&self.top, self, Reason::Deadlock);
            } else {
                Branch::cancel(&self.top, self, Reason::Deadlock);
            }
        }
    }

    /// The first task has ended: says who is left, and cancels them before any of them takes another step.
    #[cold]
    fn first_task_ends(&self) {
        self.ending.set(true);
        for (task, _) in super::info::tasks(self) {
            self.unhandled(Some(task.record()), Problem::Leftover);
        }
        // SAFETY: the trunk is a field of this.
        unsafe { Branch::cancel(&self.trunk, self, Reason::Shutdown) };
    }

    /// After the first task: runs those that are left to their end.
    pub(super) fn wind_up(&self) {
        self.run_until(|| self.alive.get() == 0);
        // Whoever was told that their message arrived has it delivered. New tasks are born cancelled now.
        for message in self.gate.close() {
            self.deliver(message);
        }
        // What is dropped can spawn, and set timers: on with it until nothing is left.
        loop {
            self.run_until(|| self.alive.get() == 0);
            if !self.drop_leftovers() {
                return;
            }
        }
    }

    /// Callbacks that never came to be due, and what other threads never asked for. False if there was nothing.
    fn drop_leftovers(&self) -> bool {
        let timers = std::mem::replace(&mut *self.timers.borrow_mut(), Timers::new());
        let kept = self.kept.take();
        let any = !timers.is_empty() || !kept.is_empty();
        self.outside(|| drop(timers));
        self.outside(|| drop(kept));
        any
    }
}

/// A child starts with what its parent has set.
#[inline]
fn inherit(extras: &mut Option<Box<Extras>>) {
    // SAFETY: a running task is alive.
    if let Some(parent) = unsafe { here::task().as_ref() } {
        let locals = parent.with_extras(|extras| extras.map(|extras| extras.locals.clone()));
        if let Some(locals) = locals.filter(|locals| !locals.is_empty()) {
            extras.get_or_insert_with(Extras::none).locals = locals;
        }
    }
}

/// The stack of a task that may have asked for another, and what an overflow of it is blamed on.
#[cold]
fn with_extras(record: &Record, usual: Shape, plain: Label) -> (Shape, Label) {
    record.with_extras(|extras| {
        let shape = extras.and_then(|extras| extras.shape);
        let name = extras.and_then(|extras| extras.name.as_deref()).map(|name| name.as_bytes().into());
        (shape.unwrap_or(usual), Label { name, sized: shape.is_some(), ..plain })
    })
}

/// The first frame on the stack of a task.
///
/// # Safety
///
/// `task` must be alive until it has ended, and `hot` be its own; `parent` must be the parent of this stack's fiber.
unsafe fn run_task(task: *const Record, hot: *const Hot, parent: &Parent<()>) {
    // SAFETY: as the caller says.
    unsafe {
        (*hot).way_back.set(parent);
        mark::set(Mark(task.cast()));
        Record::run(task);
        super::record::leave(&*task);
    }
}

/// A task has ended with guards that it did not give back. Only debug mode says so.
#[cold]
pub(super) fn tell_held(record: &Record, guards: u32) {
    // SAFETY: the task is just ending, so its scheduler is there.
    let core = unsafe { &*here::core() };
    if core.config.debug {
        core.unhandled(Some(record), Problem::GuardsHeld(guards));
    }
}
