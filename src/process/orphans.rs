//! Children that nobody waits for any more: they are reaped all the same, so that no zombie is left.
//!
//! Whoever drops a child must not wait for it, and there may be no runtime, or it is about to end, or the thread is. So orphans
//! belong to the process. One thread for all of them waits by their descriptors; it begins with the first and ends with
//! the last, and a program that waits for its children never has it. Other designs were worse:
//!
//! - A handler of `SIGCHLD` hears of every child without any thread. But a process has only one, which other libraries want too; and
//!   it coalesces, so that each time all children have to be asked.
//! - `waitpid(-1)` takes the status of children that are others': of `std::process`, say.
//! - To reap at the next spawn leaves the last zombie for ever.
//! - A thread for each orphan costs most where it is least wanted: for those that live long.
//!
//! The last two are what is left where the better fails. Where there are no descriptors for processes, or none are left, each orphan
//! has a thread; where there is no thread either, it is looked for whenever a child is started or orphaned.
//!
//! Invariant: a child is in here once, and in one place: with the thread, watched, or in the list.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reaping::Reaping;

/// Those for whom there was neither a descriptor nor a thread.
static UNWATCHED: Mutex<Vec<Arc<Reaping>>> = Mutex::new(Vec::new());

/// Sees to it that the child is reaped, when it has ended.
pub(super) fn adopt(child: &Arc<Reaping>) {
    place_unwatched();
    place(child);
}

/// Tries again for those that nothing watches: reaps them, or finds a place for them.
pub(super) fn place_unwatched() {
    let unwatched = mem::take(&mut *lock(&UNWATCHED));
    unwatched.iter().for_each(place);
}

fn place(child: &Arc<Reaping>) {
    let is_over = !matches!(child.try_wait(), Ok(None));
    if is_over || child.is_watched() || ward::admit(child) || child.watch() {
        return;
    }
    lock(&UNWATCHED).push(child.clone());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics in here (memory is short) has changed nothing before.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Many children, and one thread.
#[cfg(target_os = "linux")]
mod ward {
    use std::collections::HashMap;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::process;
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::Duration;

    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

    use super::{Reaping, lock};

    /// There is one while there is a thread.
    static WARD: Mutex<Option<Ward>> = Mutex::new(None);

    struct Ward {
        /// That has the thread: one that was forked from it has a copy of this, and nobody to look at it.
        process: u32,
        /// Tells the thread who has ended, of those too who came while it waited.
        epoll: Arc<OwnedFd>,
        orphans: HashMap<u64, (Arc<Reaping>, OwnedFd)>,
        last: u64,
    }

    /// Says whether it could be taken in.
    pub(super) fn admit(child: &Arc<Reaping>) -> bool {
        let mut ward = lock(&WARD);
        match &mut *ward {
            Some(ward) if ward.process == process::id() => ward.add(child).is_ok(),
            // The thread looks for the ward when this has put it there, for that takes the lock.
            none => Ward::with(child).map(|ward| *none = Some(ward)).is_ok(),
        }
    }

    impl Ward {
        fn with(child: &Arc<Reaping>) -> io::Result<Ward> {
            let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
            let mut ward =
                Ward { process: process::id(), epoll: epoll.clone(), orphans: HashMap::new(), last: 0 };
            ward.add(child)?;
            thread::Builder::new().name("ropewalk-orphans".to_owned()).spawn(move || watch(&epoll))?;
            Ok(ward)
        }

        fn add(&mut self, child: &Arc<Reaping>) -> io::Result<()> {
            let descriptor = child.descriptor()?;
            self.last += 1;
            epoll::add(&self.epoll, &descriptor, EventData::new_u64(self.last), EventFlags::IN)?;
            self.orphans.insert(self.last, (child.clone(), descriptor));
            Ok(())
        }

        /// Says whether it is gone.
        fn discharge(&mut self, key: u64) -> bool {
            let Some((child, descriptor)) = self.orphans.get(&key) else { return false };
            if let Ok(None) = child.try_wait() {
                return false;
            }
            // Closing it is not enough: somebody who has forked may have it for a moment.
            let _ = epoll::delete(&self.epoll, descriptor);
            self.orphans.remove(&key);
            true
        }
    }

    /// How long to wait for one who has ended and cannot be reaped: while a debugger looks at it.
    const PAUSE: Duration = Duration::from_millis(5);

    fn watch(epoll: &OwnedFd) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            // What it fails with is an interruption.
            let _ = epoll::wait(epoll, spare_capacity(&mut events), None);
            let mut place = lock(&WARD);
            let ward = place.as_mut().expect("it stays until its thread takes it away");
            let discharged = events.iter().filter(|event| ward.discharge(event.data.u64())).count();
            if ward.orphans.is_empty() {
                *place = None;
                return;
            }
            drop(place);
            if discharged == 0 {
                thread::sleep(PAUSE);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod ward {
    use std::sync::Arc;

    use super::Reaping;

    /// Says whether it could be taken in.
    pub(super) fn admit(_: &Arc<Reaping>) -> bool {
        false
    }
}
