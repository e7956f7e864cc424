//! Slabs: mappings cut into slots, their guard pages, and the table that tells a fault handler whose slot it was.
//!
//! A slab is reserved with `MAP_NORESERVE`, readable and writable, and costs no memory until a page of it is
//! touched. Guards are installed when a slot is first handed out, many slots in one system call.
//!
//! Layout of a slot, from low to high addresses:
//!
//! ```text
//! | guard | ... the stack grows down ...          | Header | colour |
//! ^ low                                           ^ base            ^ low + stride
//! ```
//!
//! The *colour* (0 to 15 cache lines, by slot number) shifts the hot end of each stack to other cache sets: stacks
//! that all began at the same offset in their page would share a few sets of the first-level cache.
#![allow(unsafe_code)]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::pool::Header;
use super::shape::Shape;

/// Distance between the colours, one cache line, and how many there are: enough for the few hot lines of a
/// suspended stack to spread over the sets, few enough that the hot end stays within one page.
const COLOUR_BYTES: usize = 64;
const COLOURS: usize = 16;

/// Slabs that the table has room for: 67 million stacks of the default size, 17 TiB of address space.
const MAX_SLABS: usize = 4096;

/// The first slab of a shape has so many slots; each further one as many as there are already, up to the most.
const FIRST_SLOTS: usize = 16;
const MOST_SLOTS: usize = 16 << 10;
/// A slab reserves no more address space than this, however large its slots: 32 GiB.
const MOST_BYTES: usize = 32 << 30;
/// A slab is not tried with fewer slots: whoever is that close to a limit needs the rest for the error path.
const LEAST_SLOTS: usize = 4;

/// Slots that get their guards, or give their pages back, in one system call: 64 cost a third less than one by one.
pub(super) const BATCH: usize = 64;

/// How guard pages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardMethod {
    /// `madvise(MADV_GUARD_INSTALL)`, Linux 6.13 and later: costs no mapping, so stacks are limited by memory.
    Madvise,
    /// `mprotect(PROT_NONE)`: each guard splits a mapping, so stacks are limited by `vm.max_map_count` (about
    /// 32,000 stacks on a stock kernel).
    Mprotect,
}

/// One mapping cut into slots. Slots are carved from the low end, in order.
pub(super) struct Slab {
    base: usize,
    shape: Shape,
    slots: usize,
    carved: usize,
    /// Memory locked with `mlockall` refuses guard advice, so the method can differ from the process's.
    method: GuardMethod,
}

impl Slab {
    /// Reserves a slab, smaller than wanted where there is no room for more.
    pub(super) fn reserve(shape: Shape, slots_so_far: usize) -> io::Result<Slab> {
        let mut slots = slots_so_far.clamp(FIRST_SLOTS, MOST_SLOTS);
        while slots > LEAST_SLOTS && slots * shape.stride() > MOST_BYTES {
            slots /= 2;
        }
        loop {
            match map(slots * shape.stride()) {
                Ok(base) => {
                    let slab = Slab { base, shape, slots, carved: 0, method: guard_method() };
                    return slab.enter_in_table();
                }
                Err(_) if slots > LEAST_SLOTS => slots /= 2,
                Err(error) => return Err(no_address_space(shape, slots_so_far, &error)),
            }
        }
    }

    fn enter_in_table(self) -> io::Result<Slab> {
        if TABLE.push(&self) {
            return Ok(self);
        }
        unmap(self.base, self.slots * self.shape.stride());
        Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "all {MAX_SLABS} slabs for stacks are in use: drop generators, or ask for smaller stacks"
            ),
        ))
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.carved == self.slots
    }

    pub(super) fn reserved_bytes(&self) -> usize {
        self.slots * self.shape.stride()
    }

    /// Guards the next few slots and says which they are, lowest first.
    pub(super) fn carve(&mut self, slots_so_far: usize) -> io::Result<impl Iterator<Item = NonNull<Header>>> {
        // A program with few generators does not pay for the guards of many.
        let wanted = (slots_so_far / 4).clamp(1, BATCH).min(self.slots - self.carved);
        let first = self.carved;
        let guards = (first..first + wanted).map(|slot| self.base + slot * self.shape.stride());
        if self.method == GuardMethod::Madvise && !advise_guards(guards.clone(), self.shape.guard_bytes()) {
            self.method = GuardMethod::Mprotect;
        }
        let guarded = match self.method {
            GuardMethod::Madvise => wanted,
            GuardMethod::Mprotect => protect_guards(guards, self.shape)?,
        };
        self.carved += guarded;
        let (base, shape) = (self.base, self.shape);
        Ok((first..first + guarded).map(move |slot| {
            let address = header_of(base, shape.stride(), slot);
            NonNull::new(address as *mut Header).expect("no mapping holds address zero")
        }))
    }
}

fn header_of(base: usize, stride: usize, slot: usize) -> usize {
    base + (slot + 1) * stride - (slot % COLOURS) * COLOUR_BYTES - size_of::<Header>()
}

/// The slot that a header belongs to: its lowest address. `stride` is that of its class.
pub(super) fn low_of(header: NonNull<Header>, shape: Shape) -> usize {
    let slab = TABLE.find(header.addr().get()).expect("every slab is in the table before it is carved");
    debug_assert_eq!(slab.stride, shape.stride());
    header.addr().get() - (header.addr().get() - slab.base) % slab.stride
}

/// What the table knows of the slot around an address.
pub(super) struct FoundSlot {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) guard_bytes: usize,
    pub(super) size_bytes: usize,
    pub(super) header: *const Header,
}

/// The slot that holds `address`, if one does. Async-signal-safe: it only reads atomics.
pub(super) fn find_slot(address: usize) -> Option<FoundSlot> {
    let slab = TABLE.find(address)?;
    let slot = (address - slab.base) / slab.stride;
    let low = slab.base + slot * slab.stride;
    Some(FoundSlot {
        low,
        high: low + slab.stride,
        guard_bytes: slab.guard,
        size_bytes: slab.stride - slab.guard,
        header: header_of(slab.base, slab.stride, slot) as *const Header,
    })
}

/// All slabs of the process. Entries are only ever added; a reader, be it a signal handler, needs no lock.
///
/// Invariant: entries below `count` are complete. Writers hold the pool's lock.
struct Table {
    count: AtomicUsize,
    entries: [Entry; MAX_SLABS],
}

struct Entry {
    base: AtomicUsize,
    bytes: AtomicUsize,
    stride: AtomicUsize,
    guard: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Found {
    base: usize,
    stride: usize,
    guard: usize,
}

static TABLE: Table = Table {
    count: AtomicUsize::new(0),
    entries: [const {
        Entry {
            base: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            stride: AtomicUsize::new(0),
            guard: AtomicUsize::new(0),
        }
    }; MAX_SLABS],
};

impl Table {
    #[must_use]
    fn push(&self, slab: &Slab) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let Some(entry) = self.entries.get(count) else { return false };
        entry.base.store(slab.base, Ordering::Relaxed);
        entry.bytes.store(slab.slots * slab.shape.stride(), Ordering::Relaxed);
        entry.stride.store(slab.shape.stride(), Ordering::Relaxed);
        entry.guard.store(slab.shape.guard_bytes(), Ordering::Relaxed);
        // Publishes the entry: a reader that sees the new count sees the fields.
        self.count.store(count + 1, Ordering::Release);
        true
    }

    fn find(&self, address: usize) -> Option<Found> {
        let count = self.count.load(Ordering::Acquire);
        self.entries[..count].iter().rev().find_map(|entry| {
            let base = entry.base.load(Ordering::Relaxed);
            let inside = address.checked_sub(base)? < entry.bytes.load(Ordering::Relaxed);
            inside.then(|| Found {
                base,
                stride: entry.stride.load(Ordering::Relaxed),
                guard: entry.guard.load(Ordering::Relaxed),
            })
        })
    }
}

/// The system's page size in bytes.
pub(super) fn page_size() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    // SAFETY: `sysconf` has no precondition.
    *PAGE.get_or_init(|| unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize)
}

fn map(bytes: usize) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    const STACK: libc::c_int = libc::MAP_STACK;
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "netbsd",
        target_os = "openbsd"
    )))]
    const STACK: libc::c_int = 0;
    #[cfg(any(target_os = "freebsd", target_os = "dragonfly", target_os = "openbsd"))]
    const NORESERVE: libc::c_int = 0;
    #[cfg(not(any(target_os = "freebsd", target_os = "dragonfly", target_os = "openbsd")))]
    const NORESERVE: libc::c_int = libc::MAP_NORESERVE;

    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | NORESERVE | STACK;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory that exists.
    let base =
        unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // A huge page would commit many stacks at once. Kernels without huge pages refuse the advice; nothing is lost.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the range was mapped just now and nobody else knows it; the advice does not change its contents.
    unsafe {
        libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE)
    };
    Ok(base as usize)
}

fn unmap(base: usize, bytes: usize) {
    // SAFETY: only for a slab that no slot was carved from, so that nobody has an address in it.
    unsafe { libc::munmap(base as *mut libc::c_void, bytes) };
}

/// How guards are made in this process: asked of the kernel once, with a page of its own.
///
/// `ROPEWALK_GUARD=mprotect` chooses the older way, for tests and for comparing.
pub(super) fn guard_method() -> GuardMethod {
    static METHOD: OnceLock<GuardMethod> = OnceLock::new();
    *METHOD.get_or_init(|| {
        if std::env::var_os("ROPEWALK_GUARD").is_some_and(|value| value == "mprotect") {
            return GuardMethod::Mprotect;
        }
        let Ok(page) = map(page_size()) else { return GuardMethod::Mprotect };
        let works = advise(page, page_size(), GUARD_INSTALL);
        unmap(page, page_size());
        if works { GuardMethod::Madvise } else { GuardMethod::Mprotect }
    })
}

/// `MADV_GUARD_INSTALL` of Linux 6.13.
const GUARD_INSTALL: libc::c_int = 102;

/// Gives advice about one range that belongs to a slab; says whether the system took it.
fn advise(start: usize, bytes: usize, advice: libc::c_int) -> bool {
    // SAFETY: callers name a range of a slab that no stack in use covers, and advice that at most replaces its
    // contents by zeros or by a guard.
    cfg!(target_os = "linux") && unsafe { libc::madvise(start as *mut libc::c_void, bytes, advice) } == 0
}

fn advise_guards(guards: impl Iterator<Item = usize> + Clone, guard_bytes: usize) -> bool {
    advise_all(guards.map(|guard| (guard, guard_bytes)), GUARD_INSTALL)
}

/// Gives the pages of idle slots back to the system; the guards stay.
///
/// `idle` are slots in the pool: nobody runs on them and nobody will before this returns.
///
/// Says whether the system took them all; where it did not (locked memory), it may have taken some.
pub(super) fn discard(idle: impl Iterator<Item = NonNull<Header>> + Clone, shape: Shape) -> bool {
    let ranges = idle.map(|header| (low_of(header, shape) + shape.guard_bytes(), shape.size_bytes()));
    advise_all(ranges, libc::MADV_DONTNEED)
}

/// Gives the same advice about many ranges, in one system call where the system has one for that.
fn advise_all(ranges: impl Iterator<Item = (usize, usize)> + Clone, advice: libc::c_int) -> bool {
    advise_vectored(ranges.clone(), advice)
        || ranges.clone().all(|(start, bytes)| advise(start, bytes, advice))
}

/// `process_madvise` on this very process, Linux 5.10 and later (and for these kinds of advice 6.13).
#[cfg(target_os = "linux")]
fn advise_vectored(ranges: impl Iterator<Item = (usize, usize)>, advice: libc::c_int) -> bool {
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
    let (mut count, mut bytes) = (0, 0);
    for (start, length) in ranges {
        let Some(vector) = vectors.get_mut(count) else { return false };
        *vector = libc::iovec { iov_base: start as *mut libc::c_void, iov_len: length };
        count += 1;
        bytes += length;
    }
    if count < 2 {
        return false;
    }
    // Opened anew each time: a descriptor kept across `fork` would let a child advise its parent's memory.
    // SAFETY: a process always has the right to a descriptor of itself; failure is looked at.
    let own = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    if own < 0 {
        return false;
    }
    // SAFETY: as in `advise`, for each of the `count` ranges; the vectors live until the call returns.
    let advised =
        unsafe { libc::syscall(libc::SYS_process_madvise, own, vectors.as_ptr(), count, advice, 0) };
    // SAFETY: the descriptor was opened above and is nobody else's.
    unsafe { libc::close(own as libc::c_int) };
    advised == bytes as libc::c_long
}

#[cfg(not(target_os = "linux"))]
fn advise_vectored(_ranges: impl Iterator<Item = (usize, usize)>, _advice: libc::c_int) -> bool {
    false
}

/// Takes the rights to the guards away, slot by slot; returns how many it could, at least one.
///
/// Stops short of the kernel's limit on mappings: at the limit the allocator fails too, and with it everything.
fn protect_guards(guards: impl Iterator<Item = usize>, shape: Shape) -> io::Result<usize> {
    static PROTECTED: AtomicUsize = AtomicUsize::new(0);
    let mut done = 0;
    for guard in guards {
        let protected = PROTECTED.load(Ordering::Relaxed);
        // Each guard splits its mapping: two more of them.
        if most_mappings().is_some_and(|most| 2 * protected + most / 16 > most) {
            break;
        }
        // SAFETY: the range is the guard of a slot that was never handed out.
        let refused =
            unsafe { libc::mprotect(guard as *mut libc::c_void, shape.guard_bytes(), libc::PROT_NONE) != 0 };
        if refused {
            break;
        }
        PROTECTED.store(protected + 1, Ordering::Relaxed);
        done += 1;
    }
    if done > 0 { Ok(done) } else { Err(no_mappings(PROTECTED.load(Ordering::Relaxed))) }
}

/// `vm.max_map_count`, where there is such a limit.
fn most_mappings() -> Option<usize> {
    static MOST: OnceLock<Option<usize>> = OnceLock::new();
    *MOST.get_or_init(|| std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok())
}

#[cold]
fn no_mappings(stacks: usize) -> io::Error {
    let limit = most_mappings().map_or("unknown".to_owned(), |most| most.to_string());
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "out of memory mappings for guard pages after {stacks} stacks: each takes two, and \
             vm.max_map_count is {limit}; raise it with sysctl, or use Linux 6.13 or later without locked \
             memory, where guard pages take none"
        ),
    )
}

#[cold]
fn no_address_space(shape: Shape, stacks: usize, error: &io::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "out of address space after {stacks} stacks of {} KiB ({error}): raise the limit on virtual memory \
             (`ulimit -v`, or vm.overcommit_memory where that is 2), or ask for smaller stacks",
            shape.size_bytes() >> 10,
        ),
    )
}
