//! Tasks that wait for the same thing, first come first served. Locks, channels and joins are this and a few cells.
//!
//! Invariant: a waiter's node is on its own parked stack, and is taken out before the wait returns. A waiter whose wait has
//! been cancelled may still be linked until it runs again; wakes pass over it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::record::{Record, TaskId};
use super::why::Why;
use crate::error::Cancelled;
use crate::list::{List, Node};

/// Tasks waiting in line, each for a value of type `T`.
///
/// To wait allocates nothing: a waiter's place in the line is on its own stack.
///
/// ```
/// use ropewalk::lowlevel::{WaitList, Why};
/// use ropewalk::task;
/// use std::rc::Rc;
///
/// ropewalk::run(|| {
///     let line = Rc::new(WaitList::new());
///     let waiter = task::spawn({
///         let line = line.clone();
///         move || line.wait(&Why::new("number"))
///     });
///     task::yield_now();
///     assert_eq!(line.wake_one(42), Ok(()));
///     assert_eq!(waiter.join().unwrap(), Ok(42));
///     assert_eq!(line.wake_one(43), Err(43));           // Nobody waits: the value comes back.
/// });
/// ```
pub struct WaitList<T = ()> {
    waiters: List,
    values: PhantomData<Cell<Option<T>>>,
}

/// A place in the line.
#[repr(C)]
struct Waiter<T> {
    /// The first field: found again by a cast.
    node: Node,
    task: *const Record,
    wait: u64,
    value: Cell<Option<T>>,
    /// Not a task in the line, but somebody who is told of one of several: see [`Watch`]. Else null.
    watch: *const Watching,
}

/// Waits for the first of several lines to be woken, again and again. Each is told of once.
///
/// Invariant: a node that has been told of is linked in `told`; one that has not, in its line. Whoever has the watch holds
/// the lines.
pub(super) struct Watch {
    nodes: Box<[Waiter<()>]>,
    watching: Box<Watching>,
}

struct Watching {
    told: List,
    task: Cell<*const Record>,
    wait: Cell<u64>,
}

impl Watch {
    /// # Safety
    ///
    /// The lines must stay where they are while this lives. It must be dropped before the last of them is.
    pub(super) unsafe fn new<'a>(lines: impl IntoIterator<Item = Option<&'a WaitList>>) -> Watch {
        let watching =
            Box::new(Watching { told: List::new(), task: Cell::new(std::ptr::null()), wait: Cell::new(0) });
        let waiter = |_: &Option<&WaitList>| Waiter {
            node: Node::new(),
            task: std::ptr::null(),
            wait: 0,
            value: Cell::new(None),
            watch: &raw const *watching,
        };
        let lines: Vec<_> = lines.into_iter().collect();
        let nodes: Box<[Waiter<()>]> = lines.iter().map(waiter).collect();
        for (line, waiter) in lines.iter().zip(&nodes) {
            let node: *const Node = std::ptr::from_ref(waiter).cast();
            // SAFETY: the box stays where it is, and `drop` takes out what is still linked.
            unsafe { line.map_or(&watching.told, |line| &line.waiters).push_back(node) };
        }
        Watch { nodes, watching }
    }

    /// The index of the next line that was woken; waits for one. A line that was `None` counts as woken.
    #[track_caller]
    pub(super) fn next(&self, why: &Why<'_>) -> Result<usize, Cancelled> {
        loop {
            if let Some(index) = self.next_told() {
                return Ok(index);
            }
            let (core, task) = park::may_wait()?;
            // SAFETY: the task runs, and this is its code.
            let outcome = unsafe {
                self.watching.task.set(task);
                self.watching.wait.set(park::begin(task));
                park::park(core, task, why, Cancel::Ends)
            };
            self.watching.task.set(std::ptr::null());
            if outcome == Outcome::Cancelled {
                // SAFETY: the task runs.
                return Err(unsafe { park::cancelled() });
            }
        }
    }

    /// The index of the next line that has been woken.
    pub(super) fn next_told(&self) -> Option<usize> {
        let told = self.watching.told.pop_front();
        let first: *const Waiter<()> = self.nodes.as_ptr();
        // SAFETY: it is one of `nodes`.
        (!told.is_null()).then(|| unsafe { told.cast::<Waiter<()>>().offset_from(first) } as usize)
    }

    /// Takes out what is still linked.
    pub(super) fn end<'a>(&self, lines: impl IntoIterator<Item = &'a WaitList>) {
        while !self.watching.told.pop_front().is_null() {}
        for (line, waiter) in lines.into_iter().zip(&self.nodes) {
            if waiter.node.is_linked() {
                // SAFETY: it was not told of, so it is still in its line.
                unsafe { line.waiters.remove(std::ptr::from_ref(waiter).cast()) };
            }
        }
    }
}

impl<T> WaitList<T> {
    /// An empty line.
    pub const fn new() -> WaitList<T> {
        WaitList { waiters: List::new(), values: PhantomData }
    }

    /// Parks at the end of the line until a value comes.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the line. One that has been woken has its value, and returns it even if it is cancelled
    /// before it runs.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], without having waited in line.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait(&self, why: &Why<'_>) -> Result<T, Cancelled> {
        self.wait_at(why, Location::caller())
    }

    /// As [`wait`](WaitList::wait), for whoever knows better than the call where the user's code waits.
    #[track_caller]
    pub(super) fn wait_at(&self, why: &Why<'_>, at: &'static Location<'static>) -> Result<T, Cancelled> {
        let (core, task) = park::may_wait()?;
        // SAFETY: the task runs, and this is its code.
        let wait = unsafe { park::begin(task) };
        let waiter =
            Waiter { node: Node::new(), task, wait, value: Cell::new(None), watch: std::ptr::null() };
        let node: *const Node = (&raw const waiter).cast();
        // SAFETY: the waiter is on this stack and is taken out below, or was by the waker; `park` does not unwind, and a
        // parked stack is neither freed nor unwound. This list is borrowed until then.
        let outcome = unsafe {
            self.waiters.push_back(node);
            let outcome = park::park_at(core, task, why, at, Cancel::Ends);
            if (*node).is_linked() {
                self.waiters.remove(node);
            }
            outcome
        };
        match waiter.value.take() {
            Some(value) => Ok(value),
            None => {
                debug_assert_eq!(outcome, Outcome::Cancelled);
                // SAFETY: the task runs.
                Err(unsafe { park::cancelled() })
            }
        }
    }

    /// Wakes the task that has waited longest, and gives it `value`.
    ///
    /// # Errors
    ///
    /// Nobody waits: the value comes back.
    pub fn wake_one(&self, value: T) -> Result<(), T> {
        loop {
            let node = self.waiters.pop_front();
            if node.is_null() {
                return Err(value);
            }
            // SAFETY: a linked node is a living waiter of this list, whose task is parked or has just been cancelled.
            // It is a `Waiter<T>`, for it was linked by `wait`.
            unsafe {
                let waiter = &*node.cast::<Waiter<T>>();
                let core = &*here::core();
                if let Some(watching) = waiter.watch.as_ref() {
                    watching.told.push_back(node);
                    if !watching.task.get().is_null() {
                        core.wake(watching.task.get(), watching.wait.get());
                    }
                } else if core.is_waiting(waiter.task, waiter.wait) {
                    waiter.value.set(Some(value));
                    core.wake(waiter.task, waiter.wait);
                    return Ok(());
                }
            }
        }
    }

    /// Wakes all tasks that wait now, each with a clone of `value`, and returns how many that were.
    pub fn wake_all(&self, value: T) -> usize
    where
        T: Clone,
    {
        // Those that begin to wait while values are cloned are not woken: there are no more than so many now.
        let waiting = self.len();
        (0..waiting).take_while(|_| self.wake_one(value.clone()).is_ok()).count()
    }

    /// Whether nobody is in the line, not even one who has been cancelled.
    #[inline(always)]
    pub(super) fn is_unused(&self) -> bool {
        self.waiters.is_empty()
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The task that has waited longest.
    pub fn first(&self) -> Option<TaskId> {
        self.iter().next()
    }

    fn iter(&self) -> impl Iterator<Item = TaskId> {
        let mut at = self.waiters.first();
        std::iter::from_fn(move || {
            while !at.is_null() {
                // SAFETY: as in `wake_one`; nothing changes the list while it is looked at, for no other code runs.
                let waiter = unsafe { &*at.cast::<Waiter<T>>() };
                // SAFETY: linked in this list.
                at = unsafe { self.waiters.after(at) };
                // SAFETY: its task is alive, and so its scheduler.
                if waiter.watch.is_null() && unsafe { (*here::core()).is_waiting(waiter.task, waiter.wait) } {
                    // SAFETY: alive.
                    return Some(unsafe { (*waiter.task).id });
                }
            }
            None
        })
    }
}

impl<T> Default for WaitList<T> {
    fn default() -> Self {
        WaitList::new()
    }
}

impl<T> fmt::Debug for WaitList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
