//! What an open file is like, as far as it changes how it is read and written.

use std::io::Seek;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, OFlags};

/// What one file is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Its bytes come and go as others send and take them; it has no places.
    pub(super) is_stream: bool,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// What is written goes to the end, wherever that is by then.
    pub(super) appends: bool,
    /// It can be asked to read what is in memory, and not to wait.
    pub(super) reads_now: bool,
    /// The same for a stream that is written to.
    pub(super) writes_now: bool,
}

/// What a file is like: found out when it is first needed, and learned.
#[derive(Debug, Default)]
pub(super) struct Manners(AtomicU8);

const KNOWN: u8 = 1;
const STREAM: u8 = 2;
const READABLE: u8 = 4;
const WRITABLE: u8 = 8;
const APPENDS: u8 = 16;
const NO_READS_NOW: u8 = 32;
const NO_WRITES_NOW: u8 = 64;

impl Manners {
    #[inline]
    pub(super) fn of(&self, file: &std::fs::File) -> Manner {
        // Relaxed: each bit says something by itself, and whoever does not see one finds it out again.
        let bits = match self.0.load(Ordering::Relaxed) {
            bits if bits & KNOWN != 0 => bits,
            _ => self.learn(find_out(file) | KNOWN),
        };
        let has = |bit| bits & bit != 0;
        Manner {
            is_stream: has(STREAM),
            is_readable: has(READABLE),
            is_writable: has(WRITABLE),
            appends: has(APPENDS),
            reads_now: !has(NO_READS_NOW),
            writes_now: !has(NO_WRITES_NOW),
        }
    }

    #[cold]
    fn learn(&self, bits: u8) -> u8 {
        self.0.fetch_or(bits, Ordering::Relaxed) | bits
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn cannot_read_now(&self) {
        self.learn(NO_READS_NOW);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn cannot_write_now(&self) {
        self.learn(NO_WRITES_NOW);
    }

    /// How much is left to be read, as far as is known without asking a disk or a network.
    pub(super) fn size_left(&self, file: &std::fs::File) -> Option<usize> {
        if self.of(file).is_stream {
            return None;
        }
        let (_, size) = ask(file)?;
        let position = (&*file).stream_position().ok()?;
        usize::try_from(size.saturating_sub(position)).ok()
    }
}

fn find_out(file: &std::fs::File) -> u8 {
    let stream = match ask(file) {
        Some((
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice | FileType::Symlink,
            _,
        )) => 0,
        // Of what says nothing of itself it is safe to expect anything.
        _ => STREAM,
    };
    let Ok(flags) = rustix::fs::fcntl_getfl(file) else { return stream };
    let access = match flags & OFlags::ACCMODE {
        OFlags::WRONLY => WRITABLE,
        OFlags::RDWR => READABLE | WRITABLE,
        _ => READABLE,
    };
    stream | access | if flags.contains(OFlags::APPEND) { APPENDS } else { 0 }
}

/// Its kind and its size, as this system knows them: a server is not asked.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask(file: impl AsFd) -> Option<(FileType, u64)> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let known = statx(file, c"", flags, StatxFlags::TYPE | StatxFlags::SIZE).ok()?;
    Some((FileType::from_raw_mode(known.stx_mode.into()), known.stx_size))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ask(file: impl AsFd) -> Option<(FileType, u64)> {
    let known = rustix::fs::fstat(file).ok()?;
    Some((FileType::from_raw_mode(known.st_mode), known.st_size.try_into().ok()?))
}
