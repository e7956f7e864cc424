//! Keeping a thread on one processor.

/// The processors that this thread may use.
#[cfg(target_os = "linux")]
pub(super) fn cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Keeps this thread there, if the system lets it.
#[cfg(target_os = "linux")]
pub(super) fn to(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    // Where it is refused, the thread runs where it is put.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cores() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn to(_core: usize) {}

/// The one for that shard: they are dealt out in turn.
pub(super) fn one_of(cores: &[usize], shard: usize) -> Option<usize> {
    cores.get(shard % cores.len().max(1)).copied()
}
