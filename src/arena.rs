//! Slots with generations: things are put in under a number, and taken out by it once. A number is never used again.
//!
//! Invariant: a slot that is free has a generation that no number out there has.

/// Things by number.
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    thing: Option<T>,
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Arena<T> {
        Arena { slots: Vec::new(), free: Vec::new() }
    }

    /// Puts a thing in, and returns its number: the slot in the lower half, the generation in the upper.
    pub(crate) fn insert(&mut self, thing: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).expect("there is no memory for 2^32 things");
            self.slots.push(Slot { generation: 0, thing: None });
            index
        });
        let slot = &mut self.slots[index as usize];
        slot.thing = Some(thing);
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    /// The thing, if it is still there.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(number as u32 as usize)?;
        if u64::from(slot.generation) == number >> 32 { slot.thing.as_mut() } else { None }
    }

    /// Takes the thing out, if it is still there.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let index = number as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.generation) != number >> 32 {
            return None;
        }
        let thing = slot.thing.take()?;
        // A slot whose generations are used up is not used again: 2^32 times 50 ns are minutes.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(index);
        }
        Some(thing)
    }
}
