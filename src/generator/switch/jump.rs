//! Our own switch, for x86-64 and the System V calling convention, where programs are ELF files.
//!
//! A stack that is not running ends (at its low end) in three words, to which its saved *stack pointer* points:
//!
//! ```text
//!   sp ->  where to go on | rbx | rbp | ... frames of whoever suspended
//! ```
//!
//! To switch is to push them, to load the other stack's pointer, to pop that one's and to jump. All other registers are
//! declared as changed, so that the compiler saves those that it needs; the control words of the floating point units
//! are the thread's. No `call` enters a stack and no `ret` leaves it: the processor predicts a `ret` by the `call` that
//! it saw last, and if that was on another stack it is wrong, once on each side.
//!
//! At the hot end of a fiber's stack, below its room:
//!
//! ```text
//!   room | link: the parent's stack pointer, padding | the body, until it runs | frames ...
//! ```
//!
//! Invariants:
//! - `link` holds the stack pointer of whoever resumed the fiber last, and is good while the fiber runs.
//! - `sp` is the fiber's own while it is suspended (or new), and null once it has returned.
#![allow(unsafe_code)]

use std::arch::{asm, global_asm};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

use super::Turn;
use crate::stack::Stack;

/// A function on a stack of its own, started by the first [`resume`](Fiber::resume).
///
/// Dropping it gives its stack back to the pool. Invariant: a fiber is dropped only when it has returned. Forget it
/// otherwise, which leaks its slot.
///
/// `ROOM` bytes at the hot end of its stack are left alone, for whoever made the fiber: a multiple of 16.
pub(crate) struct Fiber<Y, R, const ROOM: usize = 0> {
    stack: Stack,
    sp: *mut u8,
    types: PhantomData<fn() -> (Y, R)>,
}

/// The way from a fiber back to its parent.
#[repr(transparent)]
pub(crate) struct Parent<Y> {
    link: Link,
    yields: PhantomData<fn(Y)>,
}

/// The parent's stack pointer.
#[repr(C, align(16))]
struct Link {
    parent: Cell<*mut u8>,
}

/// What is saved of a stack that does not run.
#[repr(C)]
struct Saved {
    go_on: unsafe extern "C" fn(),
    rbx: *const Link,
    rbp: unsafe extern "sysv64" fn(*const Link) -> !,
}

/// The name of where a fiber begins. Each version has its own: a program may have several, and under fat LTO all their
/// assembly is one file.
macro_rules! begin_fiber {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "ropewalk_begin_fiber_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
            $after
        )
    };
}

unsafe extern "C" {
    /// Where a new fiber begins: see below.
    #[link_name = begin_fiber!("", "")]
    fn ropewalk_begin_fiber();
}

/// For code of this file that is compiled in other crates. If this one went into a dylib, they find this there, but not a
/// symbol that is hidden.
static BEGIN: unsafe extern "C" fn() = ropewalk_begin_fiber;

// The first frame of a fiber. It finds the link in `rbx`, and in `rbp` the function to call, which never returns.
//
// For backtraces: the caller of this frame is the parent. Its three words lie where the link points; above them its
// own frames go on. So the canonical frame address is `*rbx + 24`, with the words at -24, -16 and -8. A debugger must
// not take the return address for the one after a call, hence a signal frame.
global_asm!(
    ".pushsection .text.ropewalk_begin_fiber,\"ax\",@progbits",
    begin_fiber!(".hidden ", ""),
    begin_fiber!(".type ", ",@function"),
    begin_fiber!(".weak ", ""),
    ".p2align 4",
    begin_fiber!("", ":"),
    "3:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    // DW_CFA_def_cfa_expression: DW_OP_breg3 (rbx) 0, DW_OP_deref, DW_OP_plus_uconst 24.
    ".cfi_escape 0x0f, 5, 0x73, 0x00, 0x06, 0x23, 24",
    ".cfi_offset rip, -24",
    ".cfi_offset rbx, -16",
    ".cfi_offset rbp, -8",
    "nop",
    "mov rdi, rbx",
    "mov rax, rbp",
    "xor ebp, ebp",
    "call rax",
    "ud2",
    ".cfi_endproc",
    begin_fiber!(".size ", ", . - 3b"),
    ".popsection",
);

/// Whether a line of a backtrace, of that function and in that file, is a call of the switch.
pub(crate) fn is_call(function: &str, _file: Option<&str>) -> bool {
    function == begin_fiber!("", "")
}

impl<Y, R, const ROOM: usize> Fiber<Y, R, ROOM> {
    /// Where the room begins on a stack that a fiber is going to be made on.
    #[inline]
    pub(crate) fn room_on(stack: &Stack) -> NonNull<u8> {
        const { assert!(ROOM % 16 == 0 && ROOM <= 1024) };
        // SAFETY: the first page below the base is part of the stack.
        unsafe { stack.top().sub(ROOM) }
    }

    #[inline(always)]
    fn link(&self) -> *const Link {
        Self::link_on(&self.stack)
    }

    #[inline(always)]
    fn link_on(stack: &Stack) -> *const Link {
        // SAFETY: as in `room_on`. The base is aligned to 16 bytes, and so are the room and the link.
        unsafe { stack.top().sub(ROOM + size_of::<Link>()).as_ptr().cast() }
    }

    /// Prepares `body` to run on `stack`.
    ///
    /// # Safety
    ///
    /// `body` must not unwind. What it borrows must live until it has returned; for ever, if the fiber is forgotten.
    #[inline]
    pub(crate) unsafe fn new<F: FnOnce(&Parent<Y>) -> R>(stack: Stack, body: F) -> Self {
        const {
            // The first page is there, and nobody has asked for more of it than that.
            assert!(size_of::<F>() <= 2048 && align_of::<F>() <= 64);
        }
        if stack.meet() {
            super::valgrind::register(&stack);
        }
        let link = Self::link_on(&stack);
        // SAFETY: the stack is ours, and all of this lies in its first page. The words end on a multiple of 16, as the
        // stack must at a call.
        let sp = unsafe {
            link.cast_mut().write(Link { parent: Cell::new(ptr::null_mut()) });
            let place = place_of::<F>(link);
            place.write(body);
            let words = place.cast::<u8>().map_addr(|address| address & !15).cast::<Saved>().sub(1);
            let words = words.map_addr(|address| address & !7);
            words.write(Saved { go_on: BEGIN, rbx: link, rbp: run::<F, Y, R> });
            words.cast()
        };
        Fiber { stack, sp, types: PhantomData }
    }

    /// Runs the fiber until it suspends or returns. Must not be called again once it has returned.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Turn<Y, R> {
        debug_assert!(!self.sp.is_null(), "a fiber that has returned is not resumed");
        let (sp, word): (*mut u8, Word);
        // SAFETY: `sp` is that of a suspended stack, which ends in the three words; so will this one. The other side
        // returns to the label, with its stack pointer and a word.
        unsafe {
            asm!(
                "lea rax, [rip + 2f]",
                "push rbp",
                "push rbx",
                "push rax",
                "mov [rdi], rsp",
                "mov rsp, rsi",
                "pop rax",
                "pop rbx",
                "pop rbp",
                "jmp rax",
                "2:",
                in("rdi") self.link(),
                inlateout("rsi") self.sp => sp,
                lateout("rdx") word,
                lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
                clobber_abi("sysv64"),
            );
        }
        self.sp = sp;
        if sp.is_null() {
            // SAFETY: `run` has left the result there, on a stack that nobody has used since.
            Turn::Returned(unsafe { ptr::with_exposed_provenance::<R>(word.assume_init()).read() })
        } else {
            // SAFETY: `suspend` has left a value of this type.
            Turn::Suspended(unsafe { from_word(word) })
        }
    }
}

/// Where the body lies until it runs.
#[inline]
fn place_of<F>(link: *const Link) -> *mut F {
    let below = link.cast_mut().cast::<u8>().wrapping_sub(size_of::<F>());
    below.map_addr(|address| address & !(align_of::<F>() - 1)).cast()
}

/// The second frame of a fiber.
///
/// # Safety
///
/// The first, with the link of a fiber that was made with an `F`.
unsafe extern "sysv64" fn run<F: FnOnce(&Parent<Y>) -> R, Y, R>(link: *const Link) -> ! {
    // SAFETY: the body lies there, and is taken once. The link stays where it is while the fiber lives; `Parent` is a
    // transparent wrapper of it.
    let result = unsafe {
        let body = place_of::<F>(link).read();
        ManuallyDrop::new(body(&*link.cast::<Parent<Y>>()))
    };
    // SAFETY: the fiber runs, so the link is good. Its parent reads the result before anybody uses this stack again.
    unsafe {
        asm!(
            "xor esi, esi",
            "mov rsp, [rdi]",
            "pop rax",
            "pop rbx",
            "pop rbp",
            "jmp rax",
            in("rdi") link,
            in("rdx") (&raw const result).expose_provenance(),
            options(noreturn),
        );
    }
}

impl<Y> Parent<Y> {
    /// Stops here until the fiber is resumed.
    ///
    /// # Safety
    ///
    /// The fiber whose parent this is must be running: the current stack is its own, or that of a fiber which was
    /// resumed, directly or not, from it.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self, value: Y) {
        let value = ManuallyDrop::new(value);
        // SAFETY: the fiber runs, says the caller, so the link is good: the parent's stack ends in the three words. This
        // one will too. The value lies still until the parent has read it, which it does first of all.
        unsafe {
            asm!(
                "lea rax, [rip + 2f]",
                "push rbp",
                "push rbx",
                "push rax",
                "mov rsi, rsp",
                "mov rsp, [rdi]",
                "pop rax",
                "pop rbx",
                "pop rbp",
                "jmp rax",
                "2:",
                inlateout("rdi") &raw const self.link => _,
                in("rdx") to_word(&value),
                lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
                clobber_abi("sysv64"),
            );
        }
    }
}

/// What comes with a switch: a value if it fits, else where it lies. Not a number, for a value may be one that is not
/// initialised.
type Word = MaybeUninit<usize>;

#[inline(always)]
fn to_word<T>(value: &ManuallyDrop<T>) -> Word {
    if size_of::<T>() > size_of::<usize>() {
        return Word::new(ptr::from_ref(value).expose_provenance());
    }
    let mut word = Word::uninit();
    // SAFETY: it fits.
    unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), word.as_mut_ptr().cast(), size_of::<T>())
    };
    word
}

/// # Safety
///
/// `word` must come from [`to_word`] of a `T` that lies still, and be taken once.
#[inline(always)]
unsafe fn from_word<T>(word: Word) -> T {
    // SAFETY: either the word says where the value lies, or its first bytes are the value.
    unsafe {
        if size_of::<T>() > size_of::<usize>() {
            return ptr::with_exposed_provenance::<T>(word.assume_init()).read();
        }
        word.as_ptr().cast::<T>().read_unaligned()
    }
}
