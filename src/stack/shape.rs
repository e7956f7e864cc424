//! The sizes stacks come in, so that slots of one size can be reused for one another.
//!
//! A size is rounded up to a power of two and a guard to one of four sizes: few classes, each of them busy.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The size of a stack unless told otherwise, in bytes: 256 KiB of address space, of which a generator that
/// has yielded from shallow code has touched one page.
///
/// TLS handshakes overflow 64 KiB in debug builds; a panic with a backtrace needs 22 KiB of it.
pub const DEFAULT_SIZE: usize = 256 << 10;

/// The smallest size of a stack, in bytes. A panic that prints a backtrace does not fit into it.
pub const MIN_SIZE: usize = 1 << MIN_LOG2;

/// The largest size of a stack, in bytes: 1 GiB.
pub const MAX_SIZE: usize = 1 << MAX_LOG2;

/// The size of a guard unless told otherwise, in bytes: one page (on most machines).
///
/// Rust and C code built with stack probes touches every page of a frame, so that one page catches it. C code
/// without them may step over a guard that is smaller than its frame.
pub const DEFAULT_GUARD_SIZE: usize = GUARDS[0];

const MIN_LOG2: u32 = 14;
const MAX_LOG2: u32 = 30;

/// Guards that one can ask for: a page, and three sizes for C code with large unprobed frames.
const GUARDS: [usize; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];

/// One kind of slot: how many bytes for the stack, how many for the guard below it.
///
/// Invariant: `class` is below [`Shape::CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    class: u16,
}

/// A size that no slot has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShapeError {
    what: &'static str,
    asked: usize,
    largest: usize,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} of {} bytes was asked for; the largest is {}", self.what, self.asked, self.largest)
    }
}

impl Shape {
    pub(crate) const CLASSES: usize = (MAX_LOG2 - MIN_LOG2 + 1) as usize * GUARDS.len();

    /// The smallest shape with at least so many bytes for the stack and for the guard.
    pub(crate) fn new(size_bytes: usize, guard_bytes: usize) -> Result<Shape, ShapeError> {
        if size_bytes > MAX_SIZE {
            return Err(ShapeError { what: "stack size", asked: size_bytes, largest: MAX_SIZE });
        }
        let size_log2 = size_bytes.max(MIN_SIZE).next_power_of_two().trailing_zeros();
        let Some(guard) = GUARDS.iter().position(|&guard| guard >= guard_bytes) else {
            return Err(ShapeError { what: "guard size", asked: guard_bytes, largest: GUARDS[3] });
        };
        Ok(Shape { class: ((size_log2 - MIN_LOG2) as usize * GUARDS.len() + guard) as u16 })
    }

    /// The shape of a stack for which nothing special was asked.
    #[inline]
    pub(crate) fn of_default() -> Shape {
        match DEFAULT_CLASS.load(Ordering::Relaxed) {
            UNKNOWN => first_default(),
            class => Shape { class },
        }
    }

    #[inline]
    pub(super) fn class(self) -> usize {
        self.class as usize
    }

    /// The shape of a class number that [`Shape::class`] gave out.
    pub(super) fn from_class(class: usize) -> Shape {
        debug_assert!(class < Shape::CLASSES);
        Shape { class: class as u16 }
    }

    /// The stack in bytes: whole pages, also where a page is larger than [`MIN_SIZE`].
    pub(super) fn size_bytes(self) -> usize {
        (1 << (MIN_LOG2 as usize + self.class() / GUARDS.len())).max(super::slab::page_size())
    }

    /// The guard in bytes: whole pages, also where a page is larger than 4 KiB.
    pub(super) fn guard_bytes(self) -> usize {
        GUARDS[self.class() % GUARDS.len()].max(super::slab::page_size())
    }

    /// The address space of one slot: guard and stack.
    pub(super) fn stride(self) -> usize {
        self.guard_bytes() + self.size_bytes()
    }
}

/// The class of the default size with one guard page; [`UNKNOWN`] until somebody asks.
static DEFAULT_CLASS: AtomicU16 = AtomicU16::new(UNKNOWN);
const UNKNOWN: u16 = u16::MAX;

/// The size of a stack for which none was asked, in bytes.
///
/// It is what the environment variable `ROPEWALK_STACK_SIZE` says, else what [`set_default_size`] said, else
/// [`DEFAULT_SIZE`].
pub fn default_size() -> usize {
    Shape::of_default().size_bytes()
}

/// Sets the size of stacks that are taken from now on, in bytes, for generators that ask for none.
///
/// It is rounded up to a power of two between [`MIN_SIZE`] and [`MAX_SIZE`]. The environment variable
/// `ROPEWALK_STACK_SIZE` goes before this, so that whoever runs a program can raise what it set.
///
/// ```
/// use ropewalk::stack;
///
/// stack::set_default_size(50_000);
/// assert_eq!(stack::default_size(), 65_536);
/// # stack::set_default_size(stack::DEFAULT_SIZE);
/// ```
pub fn set_default_size(bytes: usize) {
    if size_from_environment().is_none() {
        DEFAULT_CLASS.store(clamped(bytes).class, Ordering::Relaxed);
    }
}

#[cold]
fn first_default() -> Shape {
    let shape = clamped(size_from_environment().unwrap_or(DEFAULT_SIZE));
    // Whoever set a default meanwhile stays the one who was heard.
    match DEFAULT_CLASS.compare_exchange(UNKNOWN, shape.class, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => shape,
        Err(class) => Shape { class },
    }
}

/// `ROPEWALK_STACK_SIZE`, read once; what is not a number of bytes is said to be none, and counts as absent.
fn size_from_environment() -> Option<usize> {
    static SIZE: OnceLock<Option<usize>> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let text = std::env::var("ROPEWALK_STACK_SIZE").ok()?;
        let bytes = text.trim().parse().ok();
        if bytes.is_none() {
            let _ = writeln!(io::stderr(), "ropewalk: ROPEWALK_STACK_SIZE={text} is not a number of bytes");
        }
        bytes
    })
}

fn clamped(bytes: usize) -> Shape {
    Shape::new(bytes.min(MAX_SIZE), DEFAULT_GUARD_SIZE).expect("the size was clamped to the largest")
}
