//! Question: what does it cost to keep a stack's pages, to give them back, and to touch them again?
//!
//! Works on slots of the default size, as the pool lays them out, with so many pages of each touched. *keep* touches
//! pages that are there; *dontneed* and *free* give advice about each slot, one by one or 64 in one system call, and
//! then touch. Not counted: the first touch of all, which also makes the machine below find the memory.

use std::time::Instant;

const SLOTS: usize = 4096;
const SLOT_BYTES: usize = 260 << 10;
const PAGE: usize = 4096;
const ROUNDS: usize = 9;
const BATCH: usize = 64;

/// One mapping of all slots.
struct Slots(*mut u8);

impl Slots {
    fn map() -> Slots {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping touches no memory that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), SLOTS * SLOT_BYTES, rights, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        // SAFETY: the range was mapped just now.
        unsafe { libc::madvise(base, SLOTS * SLOT_BYTES, libc::MADV_NOHUGEPAGE) };
        Slots(base.cast())
    }

    fn low(&self, slot: usize) -> *mut u8 {
        self.0.wrapping_add(slot * SLOT_BYTES)
    }

    /// Writes to the `pages` highest pages of each slot.
    fn touch(&self, pages: usize) {
        for slot in 0..SLOTS {
            for page in 1..=pages {
                // SAFETY: within the mapping, which nobody else uses.
                unsafe { self.low(slot).add(SLOT_BYTES - page * PAGE).write_volatile(1) };
            }
        }
    }

    fn advise_each(&self, advice: i32) {
        for slot in 0..SLOTS {
            // SAFETY: within the mapping; the advice at most replaces its contents by zeros.
            let done = unsafe { libc::madvise(self.low(slot).cast(), SLOT_BYTES, advice) };
            assert_eq!(done, 0);
        }
    }

    fn advise_vectored(&self, advice: i32) {
        // SAFETY: a process may always open itself.
        let own = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
        for batch in (0..SLOTS).step_by(BATCH) {
            let vectors: [libc::iovec; BATCH] = std::array::from_fn(|slot| libc::iovec {
                iov_base: self.low(batch + slot).cast(),
                iov_len: SLOT_BYTES,
            });
            // SAFETY: as in `advise_each`, for each of the vectors.
            let done =
                unsafe { libc::syscall(libc::SYS_process_madvise, own, vectors.as_ptr(), BATCH, advice, 0) };
            assert_eq!(done as usize, BATCH * SLOT_BYTES, "{}", std::io::Error::last_os_error());
        }
        // SAFETY: opened above.
        unsafe { libc::close(own as i32) };
    }
}

/// The least and the median time of `act` in nanoseconds for each slot.
fn time(prepare: impl Fn(), act: impl Fn()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            prepare();
            let began = Instant::now();
            act();
            began.elapsed().as_nanos() as f64 / SLOTS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[ROUNDS / 2])
}

fn main() {
    let slots = Slots::map();
    slots.touch(4);
    println!("ns for each slot, min / median of {ROUNDS} rounds of {SLOTS} slots");
    let row = |what: &str, (least, median): (f64, f64)| println!("{what:36} {least:8.0} {median:8.0}");
    for pages in [1, 4] {
        println!("{pages} page(s) touched");
        let touch = || slots.touch(pages);
        row("keep: touch again", time(touch, touch));
        for (name, advice) in [("dontneed", libc::MADV_DONTNEED), ("free", libc::MADV_FREE)] {
            row(&format!("{name}, one by one"), time(touch, || slots.advise_each(advice)));
            row(&format!("{name}, {BATCH} at once"), time(touch, || slots.advise_vectored(advice)));
            row(
                &format!("touch again after {name}"),
                time(
                    || {
                        slots.touch(pages);
                        slots.advise_vectored(advice);
                    },
                    touch,
                ),
            );
        }
    }
}
