//! A folder for a test, which goes with it, and both drivers in turn.

use std::env;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk::{Driver, Runtime, fs, inspect, time};

/// Empty at first, and gone at the end with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ropewalk-test-{}-{number}", process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A FIFO that nobody has opened.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        let status = process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(status.success());
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// With one driver, and then with the other, each time in a folder of its own.
pub(crate) fn with_both(program: impl Fn(&Folder)) {
    for driver in [Driver::Epoll, Driver::Uring] {
        let folder = Folder::new();
        Runtime::builder().driver(driver).build().run(|| program(&folder));
    }
}

/// Whether this runtime has a ring.
pub(crate) fn has_ring() -> bool {
    // The driver is made for the first call.
    fs::remove_file("/proc/no such file").unwrap_err();
    inspect::driver().unwrap().name == "io_uring"
}

/// Writes it to disk and forgets what is in memory of it, where that can be done.
pub(crate) fn forget(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Whether none of it is in memory.
pub(crate) fn is_forgotten(path: &Path) -> bool {
    let file = std::fs::File::open(path).unwrap();
    let nowait = rustix::io::ReadWriteFlags::NOWAIT;
    let mut byte = [0];
    let read = rustix::io::preadv2(&file, &mut [std::io::IoSliceMut::new(&mut byte)], 0, nowait);
    read == Err(rustix::io::Errno::AGAIN)
}

/// Waits until it is so; other tasks and threads see to that.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if is_so() {
            return;
        }
        time::sleep(Duration::from_millis(1)).unwrap();
    }
    panic!("it does not come to be so");
}
