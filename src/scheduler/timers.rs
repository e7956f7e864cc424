//! Deadlines in order, the next one at the front.
//!
//! A *timer* is a deadline in nanoseconds and a *target*, whatever the scheduler wakes by it. Its *number* counts the
//! timers that were ever set; timers with one deadline fire in the order of their numbers, the order of setting.
//!
//! Deadlines and numbers lie in a heap, each with the *slot* of its timer; slots lie in a table and know their place in
//! the heap. So a timer in the middle is found and taken out at once, and sifting touches these two arrays and nothing
//! that a target points to, which may be on a stack that has not been used for long.
//!
//! A key is a slot and the number of the timer that had it. A slot has many timers after one another and a number has
//! one, for ever: a stale key cannot hit a later timer, however often the slot is used again.
//!
//! Invariants:
//! - The heap holds what is set and nothing else; who cancels leaves no mark behind.
//! - `table[heap[place].slot].place == place`; the other slots have no target and are linked from `free`.
//! - No parent in the heap comes after its children.

/// A node's children lie side by side: with four of them the heap is half as deep as with two, and what is compared
/// comes in one or two cache lines.
const CHILDREN: usize = 4;

/// Room for so many timers is never given back.
const KEPT: usize = 256;

/// No slot; the end of the free list.
const NONE: u32 = u32::MAX;

/// Timers that are set, in the order in which they will fire.
pub(crate) struct Timers<T> {
    heap: Vec<Entry>,
    table: Vec<Slot<T>>,
    /// The first free slot: the one that was used last, which is in the cache.
    free: u32,
    /// Slots that became free since the last [`sweep`](Timers::sweep).
    released: usize,
    /// How many timers were ever set. At one a nanosecond it is good for five centuries.
    numbers: u64,
}

/// Names a timer, also one that is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    slot: u32,
    number: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    deadline: u64,
    number: u64,
    slot: u32,
}

struct Slot<T> {
    /// In the heap, if there is a target; else the next free slot.
    place: u32,
    target: Option<T>,
}

impl Entry {
    /// In one number, so that a comparison is two instructions without a branch.
    #[inline]
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.number)
    }
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Timers<T> {
        Timers { heap: Vec::new(), table: Vec::new(), free: NONE, released: 0, numbers: 0 }
    }

    /// Takes all timers out. Those that are set from now on have later numbers all the same: keys to these hit none of them.
    #[allow(dead_code, reason = "the tests of this file do not ask it")]
    pub(crate) fn take(&mut self) -> Timers<T> {
        let numbers = self.numbers;
        std::mem::replace(self, Timers { numbers, ..Timers::new() })
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sets a timer. One that has the latest deadline so far, as most timeouts have, is set in constant time, and also
    /// cancelled so if no other was set in between.
    pub(crate) fn set(&mut self, deadline: u64, target: T) -> TimerKey {
        let slot = self.occupy(target);
        let number = self.numbers;
        self.numbers += 1;
        let entry = Entry { deadline, number, slot };
        self.heap.push(entry);
        self.sift_up(self.heap.len() - 1, entry);
        TimerKey { slot, number }
    }

    /// Takes a timer back; `None` if it has fired or was cancelled.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let place = self.place_of(key)?;
        Some(self.remove(place))
    }

    /// When a timer is due; `None` if it has fired or was cancelled.
    #[allow(dead_code, reason = "the tests of this file ask it")]
    pub(crate) fn deadline(&self, key: TimerKey) -> Option<u64> {
        self.place_of(key).map(|place| self.heap[place].deadline)
    }

    /// When the next timer is due.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Takes out the next timer that is due at `now`, if any is: its deadline is `now` or earlier.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        Some(self.remove(0))
    }

    /// The memory that it holds, for statistics. Targets may own more.
    #[allow(dead_code, reason = "the tests of this file ask it")]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Entry>() + self.table.capacity() * size_of::<Slot<T>>()
    }

    fn place_of(&self, key: TimerKey) -> Option<usize> {
        let slot = self.table.get(key.slot as usize)?;
        slot.target.as_ref()?;
        let place = slot.place as usize;
        (self.heap[place].number == key.number).then_some(place)
    }

    fn remove(&mut self, place: usize) -> T {
        let slot = self.heap[place].slot;
        let last = self.heap.pop().expect("there is something at `place`");
        if place < self.heap.len() {
            // The last one fills the gap. It may be from another branch, so it may have to go either way. (The front is
            // its own parent here; what lay there came before all others.)
            let parent = place.saturating_sub(1) / CHILDREN;
            if last.rank() < self.heap[parent].rank() {
                self.sift_up(place, last);
            } else {
                self.sift_down(place, last);
            }
        }
        self.vacate(slot)
    }

    /// Puts an entry where no parent comes after it: at `place`, which is free for it, or above. The entry comes along in
    /// registers: to read it back from where it was just written would take longer than the rest of a `set`.
    fn sift_up(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent].rank() < entry.rank() {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Puts an entry where it comes before its children: at `place`, which is free for it, or below.
    fn sift_down(&mut self, mut place: usize, entry: Entry) {
        while let Some(child) = self.first_child(place) {
            if entry.rank() < self.heap[child].rank() {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }

    /// The child that fires before its siblings.
    #[inline]
    fn first_child(&self, place: usize) -> Option<usize> {
        let begin = place * CHILDREN + 1;
        let end = self.heap.len().min(begin + CHILDREN);
        (begin..end).min_by_key(|&child| self.heap[child].rank())
    }

    #[inline]
    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.table[entry.slot as usize].place = place as u32;
    }

    /// A slot for a new timer, whose place is not known yet.
    fn occupy(&mut self, target: T) -> u32 {
        let slot = self.free;
        if let Some(vacant) = self.table.get_mut(slot as usize) {
            self.free = vacant.place;
            vacant.target = Some(target);
            return slot;
        }
        let slot = self.table.len();
        assert!(slot < NONE as usize, "more timers are set than can be counted in 32 bits");
        self.table.push(Slot { place: NONE, target: Some(target) });
        slot as u32
    }

    fn vacate(&mut self, slot: u32) -> T {
        let vacated = &mut self.table[slot as usize];
        let target = vacated.target.take().expect("what is in the heap has a target");
        vacated.place = self.free;
        self.free = slot;
        self.released += 1;
        if self.table.len() > KEPT && self.is_worth_a_sweep() {
            self.sweep();
        }
        target
    }

    /// A sweep looks at every slot once, so as many must have become free since the last, unless it frees them all.
    fn is_worth_a_sweep(&self) -> bool {
        let few = self.heap.len() < self.table.len() / 4;
        self.heap.is_empty() || few && self.released >= self.table.len()
    }

    /// Gives memory back after a burst: the slots behind the last live one, and room in the heap. A free slot between
    /// live ones stays, to be used again.
    #[cold]
    fn sweep(&mut self) {
        self.released = 0;
        let used = self.table.iter().rposition(|slot| slot.target.is_some()).map_or(0, |last| last + 1);
        self.table.truncate(used);
        self.table.shrink_to(KEPT.max(2 * used));
        self.heap.shrink_to(KEPT.max(2 * self.heap.len()));
        self.free = NONE;
        for (slot, vacant) in self.table.iter_mut().enumerate().rev() {
            if vacant.target.is_none() {
                vacant.place = self.free;
                self.free = slot as u32;
            }
        }
    }
}
