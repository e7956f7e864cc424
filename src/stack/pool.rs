//! Who has which slot: each thread keeps a short list of its own, the rest lie in one pool behind a lock.
//!
//! Words: the *cache* is a thread's list, linked through the headers of its idle slots; the *pool* is shared.
//! Both hand out the slot that came back last, for its pages and cache lines are still hot.
//!
//! Invariants:
//! - A slot is in exactly one place: with its `Stack`, in one cache, or in the pool (warm or cold).
//! - The header of a warm slot is intact. That of a cold slot reads as zeros: nothing in it may be relied on
//!   before [`Header::prepare`], and no list runs through it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Stats;
use super::overflow::{self, Label};
use super::shape::Shape;
use super::slab::{self, BATCH, Slab};

/// Slots that a thread keeps for itself, by size; when it has more, half of them go to the pool.
const CACHED: usize = 64;
/// Warm slots that a thread takes from the pool in one visit.
const REFILL: usize = 32;
/// Idle slots of each size that keep their pages: see [`super::set_high_water`].
static HIGH_WATER: AtomicUsize = AtomicUsize::new(16 << 10);

/// The first words of a slot, at the hot end of its stack, so that they cost no page of their own.
///
/// All zeros is a valid header: that of a slot without pages.
#[repr(C, align(16))]
pub(super) struct Header {
    /// The lowest address of the slot; 0 until [`Header::prepare`].
    low: Cell<usize>,
    /// The next idle slot in the same cache.
    next: Cell<Option<NonNull<Header>>>,
    class: Cell<u16>,
    met: Cell<bool>,
    /// Whom an overflow of this stack is to be blamed on.
    pub(super) label: overflow::LabelCell,
}

impl Header {
    fn prepare(&self, shape: Shape) {
        self.low.set(slab::low_of(NonNull::from(self), shape));
        self.class.set(shape.class() as u16);
    }
}

/// A stack that nobody else has. Dropping it puts its slot back into the pool; forgetting it leaks the slot.
///
/// Invariant: `header` is the prepared header of a slot that is in no list.
pub(crate) struct Stack {
    header: NonNull<Header>,
}

impl Stack {
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: slabs are never unmapped, a header is all cells, and only the owner of the `Stack` looks at it.
        unsafe { self.header.as_ref() }
    }

    /// The highest address of the stack, aligned to 16 bytes.
    #[inline]
    pub(crate) fn base(&self) -> NonZeroUsize {
        self.header.addr()
    }

    /// The base as a pointer, for whoever keeps something of theirs below it.
    #[inline]
    pub(crate) fn top(&self) -> NonNull<u8> {
        self.header.cast()
    }

    /// The lowest address of the stack's slot, guard included.
    #[inline]
    pub(crate) fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.header().low.get()).expect("the header of a stack in use is prepared")
    }

    /// Says whom to blame for an overflow from now on.
    #[inline]
    pub(crate) fn set_label(&self, label: Label) {
        self.header().label.set(label);
    }

    /// True once for each slot whose pages are new, so that tools which must know each stack can be told.
    #[inline]
    pub(crate) fn meet(&self) -> bool {
        !self.header().met.replace(true)
    }
}

impl Drop for Stack {
    #[inline]
    fn drop(&mut self) {
        let class = self.header().class.get() as usize;
        // After the cache's own destructor has run (a generator may live in a thread-local), go to the pool.
        let cached = CACHE.try_with(|cache| cache.put(class, self.header)).is_ok();
        if !cached {
            give_to_pool(class, [self.header]);
        }
    }
}

/// Takes a stack: the one this thread gave back last, if it has one.
///
/// # Errors
///
/// Out of address space, or of memory mappings for guards. The message names the limit and the knob.
#[inline]
pub(crate) fn acquire(shape: Shape) -> io::Result<Stack> {
    match CACHE.try_with(|cache| cache.take(shape.class())) {
        Ok(Some(header)) => Ok(Stack { header }),
        _ => refill(shape),
    }
}

/// Idle slots of this thread, a list for each class.
struct Cache {
    lists: [List; Shape::CLASSES],
}

struct List {
    first: Cell<Option<NonNull<Header>>>,
    length: Cell<usize>,
}

thread_local! {
    static CACHE: Cache = const {
        Cache { lists: [const { List { first: Cell::new(None), length: Cell::new(0) } }; Shape::CLASSES] }
    };
}

impl Cache {
    #[inline]
    fn put(&self, class: usize, slot: NonNull<Header>) {
        let list = &self.lists[class];
        list.push(slot);
        if list.length.get() > CACHED {
            self.spill(class);
        }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<Header>> {
        self.lists[class].pop()
    }

    /// Gives the half that has been idle longest to the pool.
    #[cold]
    fn spill(&self, class: usize) {
        let list = &self.lists[class];
        let kept = List { first: Cell::new(None), length: Cell::new(0) };
        let mut hot = [NonNull::dangling(); CACHED / 2];
        for slot in &mut hot {
            *slot = list.pop().expect("a list that spills is longer than half of itself");
        }
        for slot in hot.into_iter().rev() {
            kept.push(slot);
        }
        list.empty_into_pool(class);
        list.first.set(kept.first.get());
        list.length.set(kept.length.get());
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for (class, list) in self.lists.iter().enumerate() {
            list.empty_into_pool(class);
        }
    }
}

impl List {
    #[inline]
    fn push(&self, slot: NonNull<Header>) {
        // SAFETY: the slot is warm and was given to this list: its header is intact and nobody else looks at it.
        unsafe { slot.as_ref() }.next.set(self.first.get());
        self.first.set(Some(slot));
        self.length.set(self.length.get() + 1);
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Header>> {
        let slot = self.first.get()?;
        // SAFETY: slots in a list are warm and belong to it.
        self.first.set(unsafe { slot.as_ref() }.next.get());
        self.length.set(self.length.get() - 1);
        Some(slot)
    }

    fn empty_into_pool(&self, class: usize) {
        let idle: Vec<_> = std::iter::from_fn(|| self.pop()).collect();
        if !idle.is_empty() {
            give_to_pool(class, idle.into_iter().rev());
        }
    }
}

/// What all threads share.
struct Pool {
    classes: Vec<Class>,
}

/// Slots of one shape.
#[derive(Default)]
struct Class {
    /// The slab that slots are cut from now.
    slab: Option<Slab>,
    /// Idle slots with pages; the back came last and is hottest.
    warm: VecDeque<NonNull<Header>>,
    /// Idle slots without pages.
    cold: Vec<NonNull<Header>>,
    /// Slots cut so far.
    slots: usize,
    reserved_bytes: usize,
}

// SAFETY: the pool owns its slots; a header is only looked at by whoever holds the slot, and slots change hands
// under the pool's lock.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool { classes: Vec::new() });

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing under the lock leaves a slot half moved when it panics, so a poisoned pool is a good pool.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody else gets at the pool while somebody has this.
pub(crate) struct Held(#[expect(dead_code, reason = "it is kept for its drop")] MutexGuard<'static, Pool>);

/// Waits until nobody is at the pool.
pub(crate) fn hold() -> Held {
    Held(pool())
}

impl Pool {
    fn class(&mut self, class: usize) -> &mut Class {
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        &mut self.classes[class]
    }
}

impl Class {
    /// Cuts some more slots, so that `cold` is not empty.
    fn grow(&mut self, shape: Shape) -> io::Result<()> {
        if self.slab.as_ref().is_none_or(Slab::is_used_up) {
            let slab = Slab::reserve(shape, self.slots)?;
            self.reserved_bytes += slab.reserved_bytes();
            self.slab = Some(slab);
        }
        let slab = self.slab.as_mut().expect("a slab was put there above");
        self.cold.extend(slab.carve(self.slots)?);
        self.slots += self.cold.len();
        // The lowest address goes first.
        self.cold.reverse();
        Ok(())
    }
}

/// The slow way to a stack: from the pool, or newly cut.
#[cold]
fn refill(shape: Shape) -> io::Result<Stack> {
    overflow::watch_this_thread();
    let mut pool = pool();
    let class = pool.class(shape.class());
    if let Some(header) = class.warm.pop_back() {
        // Only warm slots are taken ahead of need: linking a cold one would give it a page.
        let ahead = class.warm.len().min(REFILL - 1);
        let _ = CACHE.try_with(|cache| {
            let first = class.warm.len() - ahead;
            class.warm.drain(first..).for_each(|slot| cache.lists[shape.class()].push(slot));
        });
        return Ok(Stack { header });
    }
    if class.cold.is_empty() {
        class.grow(shape)?;
    }
    let header = class.cold.pop().expect("growing adds at least one slot, or fails");
    drop(pool);
    // SAFETY: the slot has just left the pool, so it is ours; its memory is mapped, and zeros are a valid header.
    unsafe { header.as_ref() }.prepare(shape);
    Ok(Stack { header })
}

/// Puts idle slots into the pool, the coldest first, and gives pages back above the high-water mark.
#[cold]
fn give_to_pool(class: usize, idle: impl IntoIterator<Item = NonNull<Header>>) {
    let mut pool = pool();
    let warm = &mut pool.class(class).warm;
    warm.extend(idle);
    let high_water = HIGH_WATER.load(Ordering::Relaxed);
    if warm.len() >= high_water.saturating_add(BATCH) {
        drop(pool);
        cool(class, high_water);
    }
}

/// Gives back the pages of the slots above `keep` that have been idle longest; returns how many slots those were.
fn cool(class: usize, keep: usize) -> usize {
    let shape = Shape::from_class(class);
    let mut cooled = 0;
    loop {
        let mut pool = pool();
        let warm = &mut pool.class(class).warm;
        let batch = warm.len().saturating_sub(keep).min(BATCH);
        if batch == 0 {
            return cooled;
        }
        let idle: Vec<_> = warm.drain(..batch).collect();
        // The system call is made without the lock: these slots are in no list, so nobody can take them.
        drop(pool);
        if slab::discard(idle.iter().copied(), shape) {
            cooled += idle.len();
            self::pool().class(class).cold.extend(idle);
            continue;
        }
        // SAFETY: the slots are ours until they are put back below. The header of one whose pages went reads as zeros.
        let lost = |slot: &NonNull<Header>| unsafe { slot.as_ref() }.low.get() == 0;
        let (cold, warm): (Vec<_>, Vec<_>) = idle.into_iter().partition(lost);
        let mut pool = self::pool();
        let class = pool.class(class);
        cooled += cold.len();
        class.cold.extend(cold);
        warm.into_iter().rev().for_each(|slot| class.warm.push_front(slot));
        // The system keeps its pages where they are, now and the next time it is asked.
        return cooled;
    }
}

pub(super) fn set_high_water(idle_stacks: usize) {
    HIGH_WATER.store(idle_stacks, Ordering::Relaxed);
}

pub(super) fn trim() -> usize {
    let _ = CACHE.try_with(|cache| {
        for (class, list) in cache.lists.iter().enumerate() {
            list.empty_into_pool(class);
        }
    });
    let classes = pool().classes.len();
    (0..classes).map(|class| cool(class, 0)).sum()
}

pub(super) fn stats() -> Stats {
    let cached = CACHE.try_with(|cache| cache.lists.iter().map(|list| list.length.get()).sum()).unwrap_or(0);
    let pool = pool();
    let sum = |of: fn(&Class) -> usize| pool.classes.iter().map(of).sum::<usize>();
    let slots = sum(|class| class.slots);
    Stats {
        slots,
        idle_warm: sum(|class| class.warm.len()) + cached,
        idle_cold: sum(|class| class.cold.len()),
        reserved_bytes: sum(|class| class.reserved_bytes),
        guard: (slots > 0).then(slab::guard_method),
    }
}
