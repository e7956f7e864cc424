//! How files are opened.
//!
//! Invariant: what was opened is returned, cancelled or not.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::File;
use super::paths::{named, shown};
use super::thread::{is_in_task, on_thread, on_thread_or_abandon};
use crate::scheduler::io::carry_open;

/// How a file is to be opened; as [`std::fs::OpenOptions`].
///
/// ```
/// use ropewalk::fs::OpenOptions;
/// use std::io::Write;
///
/// # let path = std::env::temp_dir().join(format!("ropewalk-doc-options-{}", std::process::id()));
/// # ropewalk::run(|| {
/// for line in ["hemp\n", "sisal\n"] {
///     let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
///     log.write_all(line.as_bytes())?;
/// }
/// assert_eq!(ropewalk::fs::read_to_string(&path)?, "hemp\nsisal\n");
/// # ropewalk::fs::remove_file(&path)
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until it is opened"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    custom: i32,
    mode: u32,
}

impl OpenOptions {
    /// Nothing is allowed, nothing is made.
    #[expect(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            custom: 0,
            mode: 0o666,
        }
    }

    /// To be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// To be written.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// To be written at its end, wherever that is by then: nothing is overwritten, however many append.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// It is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// It is made if there is none.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// It is made, and it is an error if there is one.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// Who may do what with a file that is made, less what the process takes away; 0o666 if nothing is said.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Further flags of the system, such as `O_DIRECT`. Those that say whether it is read or written do not count.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom = flags;
        self
    }

    /// Opens it.
    ///
    /// # Cancellation
    ///
    /// What was opened is returned, cancelled or not. To open a FIFO is to wait for somebody at its other end, and a terminal or another device may have to be waited for as well; such a wait can be
    /// cancelled. A ring has ended it then; without one its thread waits on, closes at once what it gets to open in the end, and counts against
    /// [`limiter`](crate::blocking::limiter) until then.
    ///
    /// A clock that is [virtual](crate::Clock::Virtual) stands still until it is open, also where that waits for others.
    ///
    /// # Errors
    ///
    /// The options contradict each other: `InvalidInput`. There is a zero in the path: the same. Else as the system has it; [`Cancelled`](crate::Cancelled), and nothing was made nor
    /// emptied.
    #[track_caller]
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let (name, flags) = (named(path)?, self.flags()?);
        if is_in_task()? {
            let opened = carry_open(&shown(path), &name, flags.bits() as i32, self.mode)?;
            if let Some(fd) = opened {
                return Ok(File::of_opened(fd));
            }
        }
        open_on_thread(name, flags, self.mode).map(File::of_opened)
    }

    fn flags(&self) -> io::Result<OFlags> {
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => OFlags::RDONLY,
            (false, true, false) => OFlags::WRONLY,
            (true, true, false) => OFlags::RDWR,
            (false, _, true) => OFlags::WRONLY | OFlags::APPEND,
            (true, _, true) => OFlags::RDWR | OFlags::APPEND,
            (false, false, false) => {
                return invalid("say what the file is opened for: `read`, `write` or `append`");
            }
        };
        let makes = self.truncate || self.create || self.create_new;
        if makes && !self.write && !self.append {
            return invalid("a file is made or emptied only for `write` or `append`");
        }
        if self.append && self.truncate && !self.create_new {
            return invalid("a file is emptied for `write`, not for `append`");
        }
        let making = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => OFlags::CREATE | OFlags::EXCL,
            (false, false, false) => OFlags::empty(),
            (true, false, false) => OFlags::CREATE,
            (false, true, false) => OFlags::TRUNC,
            (true, true, false) => OFlags::CREATE | OFlags::TRUNC,
        };
        let custom = OFlags::from_bits_retain(self.custom as _) - OFlags::ACCMODE;
        Ok(OFlags::CLOEXEC | access | making | custom)
    }
}

/// Has a thread open it; another one if that may wait for others, which nobody waits for when it is cancelled.
#[track_caller]
fn open_on_thread(name: CString, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    let opened = on_thread("open", || match may_wait_for_others(&name, flags) {
        true => Ok(None),
        false => open_here(&name, flags, mode).map(Some),
    })?;
    match opened {
        Some(fd) => Ok(fd),
        None => on_thread_or_abandon("open", move || open_here(&name, flags, mode)),
    }
}

/// Whether it is something that opens when somebody else does something. What has to be made is not.
pub(super) fn may_wait_for_others(name: &CStr, flags: OFlags) -> bool {
    if flags.intersects(OFlags::NONBLOCK | OFlags::EXCL) {
        return false;
    }
    let found = rustix::fs::stat(name).map(|known| FileType::from_raw_mode(known.st_mode));
    matches!(found, Ok(FileType::Fifo | FileType::CharacterDevice))
}

fn open_here(name: &CStr, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(mode as _);
    Ok(rustix::io::retry_on_intr(|| rustix::fs::open(name, flags, mode))?)
}
