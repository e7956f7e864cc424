//! Tasks that wait for the same thing, first come first served. Locks, channels and joins are this and a few cells.
//!
//! Words: whoever waits may bring an *offer*, which lies beside its place in the line. A wake gives a value, and may take
//! the offer in exchange. Who waits by `wait_then` names a *next* line, into which it can be *sent on* while it waits.
//!
//! Invariants:
//! - A waiter's node is on its own parked stack, and is taken out before the wait returns. A waiter whose wait has been
//!   cancelled, or granted by another line, may still be linked until it runs again; wakes pass over it.
//! - An offer is taken only by a wake that grants the wait. Whoever was not granted has its offer.
//! - A waiter is in the line that it named first while it has its `next`, and in the next one once that was taken. Both are
//!   borrowed until its wait returns.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use super::here;
use super::hot::{Cancel, Outcome};
use super::park;
use super::place::{InLine, Woken};
use super::record::{Record, TaskId};
use super::ticket::without_waiting;
use super::why::Why;
use crate::error::Cancelled;
use crate::list::{List, Node};

/// Tasks waiting in line, each for a value of type `T`, and each with an offer of type `O`.
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
///
/// With offers it is where those meet who give and those who take:
///
/// ```
/// use ropewalk::lowlevel::{WaitList, Why};
/// use ropewalk::task;
/// use std::rc::Rc;
///
/// ropewalk::run(|| {
///     let sellers: Rc<WaitList<u32, &str>> = Rc::default();      // Gives numbers, takes words.
///     let seller = task::spawn({
///         let sellers = sellers.clone();
///         move || sellers.wait_with(&Why::new("buyer"), "rope")
///     });
///     task::yield_now();
///     assert_eq!(sellers.first_offer(), Some("rope"));
///     assert_eq!(sellers.exchange(12), Ok("rope"));
///     let sold = seller.join().unwrap().unwrap();
///     assert_eq!((sold.value, sold.offer), (Some(12), None));
/// });
/// ```
pub struct WaitList<T = (), O = ()> {
    waiters: List,
    values: PhantomData<Cell<Option<(T, O)>>>,
}

/// A place in the line.
#[repr(C)]
pub(super) struct Waiter<T, O> {
    /// The first field: found again by a cast.
    node: Node,
    task: Cell<*const Record>,
    wait: Cell<u64>,
    value: Cell<Option<T>>,
    offer: Cell<Option<O>>,
    /// Not a task in the line, but somebody who is told of one of several: see [`Watch`]. Else null.
    watch: *const Watching,
    /// Where it can be sent on to; null for most, and when it has been.
    next: Cell<*const SendOn>,
}

/// Where a task that waits in one line goes on waiting: see [`WaitList::wait_then`].
#[derive(Clone, Copy)]
pub struct Next<'a, T, O> {
    line: &'a WaitList<T, O>,
    why: &'a Why<'a>,
    arrives: &'a dyn Fn(),
}

/// A [`Next`] whose types and lifetimes its waiter knows.
struct SendOn {
    line: *const List,
    why: *const Why<'static>,
    arrives: unsafe fn(*const ()),
    arrives_with: *const (),
}

/// # Safety
///
/// `call` must point to an `F`.
unsafe fn call<F: Fn()>(call: *const ()) {
    // SAFETY: as the caller says.
    unsafe { (*call.cast::<F>())() };
}

impl<'a, T, O> Next<'a, T, O> {
    /// At the end of `line`, for the reason `why`. `arrives` is called whenever the waiter has just come there: where
    /// nobody else would look at the line, it does. It cannot wait.
    pub fn new(line: &'a WaitList<T, O>, why: &'a Why<'a>, arrives: &'a dyn Fn()) -> Next<'a, T, O> {
        Next { line, why, arrives }
    }
}

impl<T, O> Waiter<T, O> {
    #[inline(always)]
    pub(super) fn new(offer: O) -> Waiter<T, O> {
        Waiter {
            node: Node::new(),
            task: Cell::new(std::ptr::null()),
            wait: Cell::new(0),
            value: Cell::new(None),
            offer: Cell::new(Some(offer)),
            watch: std::ptr::null(),
            next: Cell::new(std::ptr::null()),
        }
    }

    #[inline(always)]
    pub(super) fn is_linked(&self) -> bool {
        self.node.is_linked()
    }

    #[inline(always)]
    pub(super) fn was_linked(&self) -> bool {
        !self.task.get().is_null()
    }

    #[inline(always)]
    pub(super) fn take_woken(&self) -> Woken<T, O> {
        Woken { value: self.value.take(), offer: self.offer.take() }
    }

    /// What a wait for nothing else returns.
    ///
    /// # Safety
    ///
    /// Its task must be running, and the wait decided.
    #[inline(always)]
    unsafe fn end(&self) -> Result<Woken<T, O>, (Cancelled, O)> {
        let woken = self.take_woken();
        if woken.value.is_some() {
            return Ok(woken);
        }
        // SAFETY: it runs, says the caller.
        let cancelled = unsafe { park::cancelled() };
        Err((cancelled, woken.offer.expect("only a wake takes it")))
    }
}

fn send_on_with<T, O, F: Fn()>(next: &Next<'_, T, O>, arrives: &F) -> SendOn {
    SendOn {
        line: &raw const next.line.waiters,
        why: std::ptr::from_ref(next.why).cast(),
        arrives: call::<F>,
        arrives_with: std::ptr::from_ref(arrives).cast(),
    }
}

/// Waits for the first of several lines to be woken, again and again. Each is told of once.
///
/// Invariant: a node that has been told of is linked in `told`; one that has not, in its line. Whoever has the watch holds
/// the lines.
pub(super) struct Watch {
    nodes: Box<[Waiter<(), ()>]>,
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
        let waiter = |_: &Option<&WaitList>| Waiter { watch: &raw const *watching, ..Waiter::new(()) };
        let lines: Vec<_> = lines.into_iter().collect();
        let nodes: Box<[Waiter<(), ()>]> = lines.iter().map(waiter).collect();
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
            let (core, task) = park::whoever_waits()?;
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
        let first: *const Waiter<(), ()> = self.nodes.as_ptr();
        // SAFETY: it is one of `nodes`.
        (!told.is_null()).then(|| unsafe { told.cast::<Waiter<(), ()>>().offset_from(first) } as usize)
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
    #[inline]
    #[track_caller]
    pub(super) fn wait_at(&self, why: &Why<'_>, at: &'static Location<'static>) -> Result<T, Cancelled> {
        match self.wait_with_at(why, (), at) {
            Ok(Woken { value: Some(value), .. }) => Ok(value),
            Ok(_) => unreachable!("whoever is woken has a value"),
            Err((cancelled, ())) => Err(cancelled),
        }
    }
}

impl<T, O> WaitList<T, O> {
    /// An empty line.
    pub const fn new() -> WaitList<T, O> {
        WaitList { waiters: List::new(), values: PhantomData }
    }

    /// As [`wait`](WaitList::wait), with something that a wake may take in exchange: what is returned says what became of it.
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](WaitList::wait): while a wait can fail, nobody has its offer.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], and the offer.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait_with(&self, why: &Why<'_>, offer: O) -> Result<Woken<T, O>, (Cancelled, O)> {
        self.wait_with_at(why, offer, Location::caller())
    }

    /// As [`wait_with`](WaitList::wait_with), for whoever knows better than the call where the user's code waits: in a closure
    /// that is run under a [`shield`](super::lowlevel::shield), for instance.
    ///
    /// # Errors
    ///
    /// As for [`wait_with`](WaitList::wait_with).
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait_with_at(
        &self,
        why: &Why<'_>,
        offer: O,
        at: &'static Location<'static>,
    ) -> Result<Woken<T, O>, (Cancelled, O)> {
        let (core, task) = match park::whoever_waits() {
            Ok(found) => found,
            Err(cancelled) => return Err((cancelled, offer)),
        };
        let waiter = Waiter::new(offer);
        // SAFETY: the waiter is on this stack and is taken out below, or was by the waker; `park` does not unwind, and a
        // parked stack is neither freed nor unwound. This list is borrowed until then. The task runs, and this is its code.
        unsafe {
            self.link(&waiter, task, park::begin(task));
            park::park_at(core, task, why, at, Cancel::Ends);
            self.unlink(&waiter);
            waiter.end()
        }
    }

    /// Waits in two lines, one after the other, as one wait: in this one until the waiter is [sent on](WaitList::send_on),
    /// then at the end of the next, until a value comes.
    ///
    /// A condition is such a place, whose next line is that of its lock: whoever is notified need not run to get in line.
    ///
    /// ```
    /// use ropewalk::lowlevel::{Next, WaitList, Why};
    /// use ropewalk::task;
    ///
    /// ropewalk::run(|| {
    ///     let (hall, counter) = (WaitList::new(), WaitList::<&str>::new());
    ///     task::scope(|s| {
    ///         let guest = s.spawn(|| {
    ///             let why = Why::new("counter");
    ///             let next = Next::new(&counter, &why, &|| ());
    ///             hall.wait_then(&Why::new("call"), (), next).map(|woken| woken.value)
    ///         });
    ///         task::yield_now();
    ///         assert!(hall.send_on());
    ///         assert!(hall.is_empty() && counter.len() == 1);
    ///         counter.wake_one("served").unwrap();
    ///         assert_eq!(guest.join().unwrap(), Ok(Some("served")));
    ///     });
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// To be sent on is what is waited for first, and is never lost: from then on a cancellation does not end the wait, as if
    /// it stood under a shield.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], and the offer: without having been sent on, or because all tasks wait for one another and nothing else
    /// could end that.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_then(
        &self,
        why: &Why<'_>,
        offer: O,
        next: Next<'_, T, O>,
    ) -> Result<Woken<T, O>, (Cancelled, O)> {
        let (core, task) = match park::whoever_waits() {
            Ok(found) => found,
            Err(cancelled) => return Err((cancelled, offer)),
        };
        let arrives = || (next.arrives)();
        let send_on = send_on_with(&next, &arrives);
        let waiter = Waiter { next: Cell::new(&send_on), ..Waiter::new(offer) };
        // SAFETY: as for `wait_with`; both lines are borrowed until the waiter was taken out of the one it is in.
        unsafe {
            self.link(&waiter, task, park::begin(task));
            park::park_at(core, task, why, Location::caller(), Cancel::Ends);
            let line = if waiter.next.get().is_null() { next.line } else { self };
            line.unlink(&waiter);
            waiter.end()
        }
    }

    /// Sends the task on that has waited longest of those that wait here by [`wait_then`](WaitList::wait_then): from now on
    /// it waits at the end of its next line. Says whether there was one.
    pub fn send_on(&self) -> bool {
        let mut at = self.waiters.first();
        while !at.is_null() {
            let node = at;
            // SAFETY: as in `wake_first`. What is linked in a line after this one has a line that is borrowed, and what it
            // goes on with lies where it does. Nothing runs meanwhile, but `arrives` when all is done, which cannot wait:
            // so the waiter's task does not run either, on whose stack that lies.
            unsafe {
                at = self.waiters.after(node);
                let waiter = &*node.cast::<Waiter<T, O>>();
                if !waiter.watch.is_null() {
                    continue;
                }
                let task = waiter.task.get();
                let core = &*here::core();
                if !core.is_waiting(task, waiter.wait.get()) {
                    // Cancelled: it would be looked at again and again until it runs.
                    self.waiters.remove(node);
                } else if let Some(next) = waiter.next.get().as_ref() {
                    waiter.next.set(std::ptr::null());
                    self.waiters.remove(node);
                    (*next.line).push_back(node);
                    park::send_on(core, task, next.why);
                    without_waiting(|| (next.arrives)(next.arrives_with));
                    return true;
                }
            }
        }
        false
    }

    /// A place in this line for a task that waits for other things too: for an [`Arm`](super::lowlevel::Arm).
    pub fn place(&self, offer: O) -> InLine<'_, T, O> {
        InLine::new(self, offer)
    }

    /// # Safety
    ///
    /// The waiter must stay where it is until `unlink`. `task` must be running and have begun this wait.
    #[inline(always)]
    pub(super) unsafe fn link(&self, waiter: &Waiter<T, O>, task: *const Record, wait: u64) {
        waiter.task.set(task);
        waiter.wait.set(wait);
        // SAFETY: it is the first field, and stays, says the caller.
        unsafe { self.waiters.push_back(std::ptr::from_ref(waiter).cast()) };
    }

    /// Takes the waiter out, unless a wake has.
    ///
    /// # Safety
    ///
    /// It must not be linked in another line.
    #[inline(always)]
    pub(super) unsafe fn unlink(&self, waiter: &Waiter<T, O>) {
        if waiter.node.is_linked() {
            // SAFETY: linked, hence here.
            unsafe { self.waiters.remove(std::ptr::from_ref(waiter).cast()) };
        }
    }

    /// Wakes the task that has waited longest, and gives it `value`. It keeps its offer.
    ///
    /// # Errors
    ///
    /// Nobody waits: the value comes back.
    #[inline]
    pub fn wake_one(&self, value: T) -> Result<(), T> {
        if self.is_unused() {
            return Err(value);
        }
        self.wake_first(value, |_| ())
    }

    /// Wakes the task that has waited longest: gives it `value`, and returns what it offers.
    ///
    /// # Errors
    ///
    /// Nobody waits: the value comes back.
    #[inline]
    pub fn exchange(&self, value: T) -> Result<O, T> {
        if self.is_unused() {
            return Err(value);
        }
        self.wake_first(value, |waiter| waiter.offer.take().expect("only a wake takes it"))
    }

    #[inline]
    fn wake_first<R>(&self, value: T, take: impl FnOnce(&Waiter<T, O>) -> R) -> Result<R, T> {
        loop {
            let node = self.waiters.pop_front();
            if node.is_null() {
                return Err(value);
            }
            // SAFETY: a linked node is a living waiter of this list, whose task is parked, or still arranges its wait, or
            // has just been cancelled. It is a `Waiter<T, O>`, for it was linked by `link`; or that of a `Watch`, whose line
            // is of the same type.
            unsafe {
                let waiter = &*node.cast::<Waiter<T, O>>();
                let core = &*here::core();
                if let Some(watching) = waiter.watch.as_ref() {
                    watching.told.push_back(node);
                    if !watching.task.get().is_null() {
                        core.wake(watching.task.get(), watching.wait.get());
                    }
                } else if core.is_waiting(waiter.task.get(), waiter.wait.get()) {
                    waiter.value.set(Some(value));
                    let taken = take(waiter);
                    core.grant(waiter.task.get());
                    return Ok(taken);
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
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.is_unused() || self.front().is_none()
    }

    /// The task that has waited longest.
    pub fn first(&self) -> Option<TaskId> {
        // SAFETY: its task is alive.
        self.front().map(|waiter| unsafe { (*waiter.task.get()).id })
    }

    /// What the task that has waited longest offers.
    pub fn first_offer(&self) -> Option<O>
    where
        O: Copy,
    {
        let first = self.front()?;
        let offer = first.offer.take();
        first.offer.set(offer);
        offer
    }

    /// The first of those that wait. Those before it that wait no more are taken out, so that they are passed over once,
    /// however many they are and however often somebody asks.
    #[inline]
    fn front(&self) -> Option<&Waiter<T, O>> {
        loop {
            // SAFETY: as in `wake_first`.
            let first = unsafe { self.waiters.first().cast::<Waiter<T, O>>().as_ref() }?;
            if !first.watch.is_null() {
                // It stays until it is told.
                return self.iter().next();
            }
            // SAFETY: its task is alive, and so its scheduler.
            if unsafe { (*here::core()).is_waiting(first.task.get(), first.wait.get()) } {
                return Some(first);
            }
            self.waiters.pop_front();
        }
    }

    /// Those that wait. Whoever uses it must not run user's code before the end.
    ///
    /// A task that has several places here is seen once: they stand side by side, for it takes them all before anybody else
    /// runs.
    fn iter(&self) -> impl Iterator<Item = &Waiter<T, O>> {
        let mut at = self.waiters.first();
        let mut seen = (std::ptr::null(), 0);
        std::iter::from_fn(move || {
            while !at.is_null() {
                // SAFETY: as in `wake_first`; nothing changes the list while it is looked at, for no other code runs.
                let waiter = unsafe { &*at.cast::<Waiter<T, O>>() };
                // SAFETY: linked in this list.
                at = unsafe { self.waiters.after(at) };
                let waits = waiter.watch.is_null()
                    // SAFETY: its task is alive, and so its scheduler.
                    && unsafe { (*here::core()).is_waiting(waiter.task.get(), waiter.wait.get()) };
                let this = (waiter.task.get(), waiter.wait.get());
                if waits && this != seen {
                    seen = this;
                    return Some(waiter);
                }
            }
            None
        })
    }
}

impl<T, O> fmt::Debug for Next<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({})", self.why)
    }
}

impl<T, O> Default for WaitList<T, O> {
    fn default() -> Self {
        WaitList::new()
    }
}

impl<T, O> fmt::Debug for WaitList<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before any of it is shown: it is shown to user's code, in which waiters may go.
        // SAFETY: the tasks are alive.
        let tasks: Vec<_> = self.iter().map(|waiter| unsafe { (*waiter.task.get()).id }).collect();
        f.debug_list().entries(tasks).finish()
    }
}
