//! What a scheduler consists of; waking, and code that is no task's. `life` has how tasks begin and end, `rounds` the loop.
//!
//! Invariants:
//! - A task is in the ready queue exactly while its state is `New` or `Ready`.
//! - User's code runs in a task, or in [`Core::outside`] of all, where it cannot wait. Never while the scheduler's own
//!   state is borrowed or half changed.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::branch::{Branch, Kind};
use super::cells::Cells;
use super::chance::Chance;
use super::fork;
use super::here;
use super::hot::{Cancel, Hot, Outcome};
use super::io::InFlight;
use super::live::Listed;
use super::park;
use super::place::AtTime;
use super::queue::Queue;
use super::record::{Record, State, TaskId};
use super::remote::Gate;
use super::timers::Timers;
use super::tripwire::Tripwire;
use super::unhandled::{Problem, Unhandled};
use super::wait_list::WaitList;
use crate::arena::Arena;
use crate::clock::{Clock, Nanos};
use crate::driver::choice::{Chosen, Driver};
use crate::generator::mark::{self, Mark};
use crate::stack::Shape;

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
    pub(super) driver: Driver,
    pub(super) ring_entries: u32,
}

/// What happens when a timer is due.
pub(super) enum Target {
    /// One of the places where a task waits.
    Ring(*const AtTime),
    /// The branch of an open frame.
    Cancel(*const Branch),
    Call(Box<dyn FnOnce()>),
}

/// That something is done on another thread.
pub(super) struct Elsewhere<'a>(&'a Cell<usize>);

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub(crate) struct Core {
    pub(super) queue: Queue,
    pub(super) cells: Cells,
    /// What tasks hang on that belong to no scope; itself on `top`.
    pub(super) trunk: Branch,
    /// The first task hangs here.
    pub(super) top: Branch,
    pub(super) timers: RefCell<Timers<Target>>,
    pub(super) clock: Clock,
    /// The time at the last look around.
    pub(super) seen: Cell<Nanos>,
    pub(super) alive: Cell<usize>,
    /// The task that was spawned last, as its [`TaskId`] has it.
    pub(super) last_id: Cell<u64>,
    /// The order of ready tasks; without it, first come, first served.
    pub(super) chance: Option<Chance>,
    /// For programs that ask for chance. Apart from the order, which does not depend on what they ask.
    pub(super) dice: Chance,
    pub(super) tripwire: Tripwire,
    pub(super) driver: Chosen,
    /// What the driver was asked for.
    pub(super) operations: RefCell<Arena<InFlight>>,
    pub(super) gate: Arc<Gate>,
    /// As those see it who look at all runtimes.
    pub(super) live: Listed,
    /// Tasks that wait until all others wait.
    pub(super) blocked: WaitList,
    /// Tasks that wait for what other threads do for them, now.
    elsewhere: Cell<usize>,
    /// Whether somebody else's loop drives it, who may wake tasks between its turns.
    pub(super) is_guest: Cell<bool>,
    /// Set once every wait fails, shields or not.
    pub(super) past_shields: Cell<bool>,
    /// What the report said when no task could go on.
    pub(super) deadlock: OnceCell<String>,
    pub(super) ending: Cell<bool>,
    /// By which things that were made under it know it again.
    pub(super) presence: Rc<()>,
    /// Things that other threads have keys to.
    pub(super) kept: RefCell<HashMap<u64, Box<dyn Any>>>,
    pub(super) last_key: Cell<u64>,
    /// What higher floors keep with the runtime.
    pub(super) extensions: RefCell<Vec<Rc<dyn Any>>>,
    pub(super) config: Config,
}

impl Core {
    pub(super) fn new(config: Config) -> Core {
        fork::watch();
        let driver = Chosen::new(config.driver, config.ring_entries);
        let gate = Arc::new(Gate::new(driver.alarm()));
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
            last_id: Cell::new(TaskId::before_first()),
            chance: config.seed.map(Chance::new),
            dice: Chance::new(!config.seed.unwrap_or(0)),
            tripwire: Tripwire::default(),
            driver,
            operations: RefCell::new(Arena::new()),
            gate,
            live,
            blocked: WaitList::new(),
            elsewhere: Cell::new(0),
            is_guest: Cell::new(false),
            past_shields: Cell::new(false),
            deadlock: OnceCell::new(),
            ending: Cell::new(false),
            presence: Rc::new(()),
            kept: RefCell::default(),
            last_key: Cell::new(0),
            extensions: RefCell::default(),
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

    pub(super) fn driver(&self) -> &Chosen {
        &self.driver
    }

    pub(super) fn operations(&self) -> RefMut<'_, Arena<InFlight>> {
        self.operations.borrow_mut()
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

    pub(super) fn has_nobody_ready(&self) -> bool {
        self.queue.is_empty()
    }

    /// Until this is dropped, something is done for the running task on another thread.
    pub(super) fn count_elsewhere(&self) -> Elsewhere<'_> {
        self.elsewhere.set(self.elsewhere.get() + 1);
        Elsewhere(&self.elsewhere)
    }

    /// Whether anything is done on other threads that tasks wait for.
    pub(super) fn is_busy_elsewhere(&self) -> bool {
        self.elsewhere.get() > 0
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
            let waits = self.is_waiting(task, wait);
            if waits {
                self.grant(task);
            }
            waits
        }
    }

    /// Grants the wait that the task is in.
    ///
    /// # Safety
    ///
    /// [`is_waiting`](Core::is_waiting) must just have said so.
    #[inline]
    pub(super) unsafe fn grant(&self, task: *const Record) {
        // SAFETY: a task that waits is alive and has a stack.
        unsafe {
            let hot = park::hot(task);
            hot.outcome.set(Outcome::Granted);
            // One that still arranges its wait will find it granted.
            if (*task).state.get() == State::Parked {
                self.make_ready(task, hot);
            }
        }
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
                Cancel::EndsAtLast if !self.is_past_shields() => return,
                Cancel::Ends | Cancel::EndsAtLast => Outcome::Cancelled,
                Cancel::Asks => Outcome::Asked,
            });
            self.make_ready(task, hot);
        }
    }

    /// Runs code that is not a task's. It cannot wait, and what it panics with is told to the hook.
    pub(super) fn outside(&self, code: impl FnOnce()) {
        let task = here::task();
        here::set_task(std::ptr::null());
        // A mark of its own, for one callback can run inside another.
        let here = Cell::new(());
        let mark = mark::set(Mark((&raw const here).cast()));
        let result = panic::catch_unwind(AssertUnwindSafe(code));
        mark::set(mark);
        if here::is_forked() {
            fork::fatal();
        }
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
}
