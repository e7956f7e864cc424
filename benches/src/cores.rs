//! Where threads run, for contests of two of them.

use std::mem;

/// How many cores the two threads have between them.
#[derive(Clone, Copy, Debug)]
pub enum Cores {
    One,
    Two,
}

impl Cores {
    /// The scheduler's and the partner's. Where the process has only one core, they share it.
    pub fn cores(self) -> (usize, usize) {
        // SAFETY: an array of integers may be all zeros.
        let mut allowed: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes at most as much as it is told.
        let done = unsafe { libc::sched_getaffinity(0, size_of_val(&allowed), &mut allowed) };
        assert_eq!(done, 0);
        let is_allowed = |&core: &usize| {
            // SAFETY: reads one bit of the array, for `core` is below its size.
            unsafe { libc::CPU_ISSET(core, &allowed) }
        };
        let mut cores = (0..libc::CPU_SETSIZE as usize).filter(is_allowed);
        let own = cores.next_back().expect("this thread runs somewhere");
        match self {
            Cores::One => (own, own),
            Cores::Two => (own, cores.next_back().unwrap_or(own)),
        }
    }
}

/// Keeps this thread on that core.
pub fn stay_on(core: usize) {
    // SAFETY: an array of integers may be all zeros.
    let mut only: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: writes one bit of the array, for `core` came out of one of the same size.
    unsafe { libc::CPU_SET(core, &mut only) };
    // SAFETY: the kernel reads as much as it is told.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&only), &only) };
    assert_eq!(done, 0);
}

/// Lets this thread run only when its core is free: a partner that interrupted its caller at once would have answered
/// before the scheduler is idle, and all contenders would be equally fast.
pub fn never_interrupt() {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the parameter and changes how this thread is scheduled.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &none) };
    assert_eq!(done, 0);
}
