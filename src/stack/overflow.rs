//! The report of a stack overflow: who overflowed, where it was created, how large its stack is, what to do.
//!
//! A handler for SIGSEGV (and SIGBUS, which some systems send instead) runs on the thread's alternate signal stack.
//! It claims a fault only if the address lies in a guard of ours *and* the stack pointer is in the same slot;
//! every other fault goes to the handler that was there before, std's message for threads included.
//!
//! Invariant: everything the handler calls is async-signal-safe. It reads atomics and the memory of the slot that
//! overflowed, formats into an array, and calls `write`, `sigaction` and `abort`; no allocation, no lock.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shape::MAX_SIZE;
use super::slab::{self, FoundSlot};

/// What runs on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelKind {
    Generator,
    Task,
}

/// Whom an overflow is blamed on: what its report says of the generator or task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) kind: LabelKind,
    /// What the user calls it by, if they named it. Lives as long as anything runs on the stack.
    pub(crate) name: Option<ptr::NonNull<[u8]>>,
    /// Where the user created it.
    pub(crate) created: &'static Location<'static>,
    /// Whether it asked for the size of its stack, so that another default would change nothing.
    pub(crate) sized: bool,
}

/// The label as it stands in a slot's header, where all zeros means nobody.
pub(super) struct LabelCell {
    created: Cell<*const Location<'static>>,
    name: Cell<*const u8>,
    name_length: Cell<usize>,
    sized: Cell<bool>,
    is_task: Cell<bool>,
}

impl LabelCell {
    #[inline]
    pub(super) fn set(&self, label: Label) {
        self.created.set(label.created);
        self.sized.set(label.sized);
        self.is_task.set(label.kind == LabelKind::Task);
        match label.name {
            Some(name) => {
                self.name.set(name.as_ptr().cast::<u8>());
                self.name_length.set(name.len());
            }
            None => self.name_length.set(0),
        }
    }
}

/// Sees to it that overflows on this thread are reported: the handler is set once for the process, and the
/// thread gets an alternate signal stack if it has none (threads that std made have one).
pub(super) fn watch_this_thread() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(install_handler);
    // In a thread that is past its thread-locals there is nothing to hang the stack's end on; it does without.
    let _ = ALTERNATE.try_with(|_| ());
}

/// Signals that a touched guard page raises. Index into [`PREVIOUS`].
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// The handlers that were there before ours.
struct Previous([UnsafeCell<MaybeUninit<libc::sigaction>>; 2]);

// SAFETY: written before `SET` is stored with release order, and only read by handlers that have seen it.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous([
    const { UnsafeCell::new(MaybeUninit::zeroed()) },
    const { UnsafeCell::new(MaybeUninit::zeroed()) },
]);
static SET: AtomicBool = AtomicBool::new(false);

fn install_handler() {
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS.0) {
        // SAFETY: `previous` is written here only, before any handler of ours can be entered; a null new action
        // only asks for the old one.
        unsafe { libc::sigaction(signal, ptr::null(), (*previous.get()).as_mut_ptr()) };
    }
    SET.store(true, Ordering::Release);
    for signal in SIGNALS {
        // SAFETY: zeros are a valid `sigaction`; the handler has the three-argument signature that SA_SIGINFO asks
        // for and calls only async-signal-safe functions.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler set with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    match overflowed_slot(address, context) {
        Some(slot) => {
            report(&slot, address);
            // As std's handler does for threads.
            // SAFETY: `abort` is async-signal-safe.
            unsafe { libc::abort() }
        }
        None => pass_on(signal, info, context),
    }
}

/// The slot whose guard holds `address`, if the code that touched it runs on that slot's stack. A wild pointer
/// into a guard page is somebody else's fault.
fn overflowed_slot(address: usize, context: *mut libc::c_void) -> Option<FoundSlot> {
    let slot = slab::find_slot(address)?;
    let in_guard = address - slot.low < slot.guard_bytes;
    let runs_there = (slot.low..slot.high).contains(&stack_pointer(context)?);
    (in_guard && runs_there).then_some(slot)
}

/// The stack pointer at the fault, on the machines whose context layout is known here. On others no overflow is
/// claimed: without it one cannot tell an overflow from a wild pointer, nor whether the slot's header may be read.
fn stack_pointer(context: *mut libc::c_void) -> Option<usize> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        // SAFETY: the kernel passes a `ucontext_t` as third argument of a handler set with SA_SIGINFO.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        Some(context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize)
    }
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    {
        // SAFETY: as above.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        Some(context.uc_mcontext.sp as usize)
    }
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        let _ = context;
        None
    }
}

/// Lets the handler that was there before have the signal, as if ours did not exist.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let which = if signal == SIGNALS[0] { 0 } else { 1 };
    // Seen by whoever this handler was set for: by the thread that set it, and by those that `sigaction` orders after it.
    let known = SET.load(Ordering::Acquire);
    // SAFETY: zeros, which are a valid `sigaction` (the default), or what was written before `SET` was.
    let previous = unsafe { if known { *(*PREVIOUS.0[which].get()).as_ptr() } else { std::mem::zeroed() } };
    match previous.sa_sigaction {
        // The default is to die of the signal, and one cannot ignore a fault: set the default and return, so that
        // the instruction faults again.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: zeros are a valid `sigaction` and SIG_DFL a valid handler; `sigaction` is async-signal-safe.
            unsafe {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &default, ptr::null_mut());
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: with SA_SIGINFO the field holds a function of this type; the arguments are the kernel's own.
            unsafe { std::mem::transmute::<usize, Handler>(handler)(signal, info, context) }
        }
        handler => {
            // SAFETY: without SA_SIGINFO the field holds a function of one argument.
            unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal) }
        }
    }
}

fn report(slot: &FoundSlot, address: usize) {
    // SAFETY: code was running on this slot, so its header is mapped and prepared; nobody writes to it now, for
    // its owner is the thread that faulted.
    let label = unsafe { &(*slot.header).label };
    let mut text = Text { bytes: [0; 1024], length: 0 };
    text.push(b"\nropewalk: stack overflow in ");
    text.push(if label.is_task.get() { b"task " } else { b"generator " });
    if label.name_length.get() > 0 {
        text.push(b"'");
        // SAFETY: the name lives as long as anything runs on the stack (see `Label`).
        text.push(unsafe { std::slice::from_raw_parts(label.name.get(), label.name_length.get()) });
        text.push(b"' ");
    }
    // SAFETY: the pointer is null or was made from a `&'static Location` by `set`.
    if let Some(created) = unsafe { label.created.get().as_ref() } {
        text.push(if label.is_task.get() { b"spawned at " } else { b"created at " });
        text.push(created.file().as_bytes());
        text.push(b":");
        text.push_number(created.line() as usize, 10);
        text.push(b":");
        text.push_number(created.column() as usize, 10);
    }
    text.push(b"\n  its stack has ");
    text.push_number(slot.size_bytes, 10);
    text.push(b" bytes; the fault is at 0x");
    text.push_number(address, 16);
    text.push(b", in the guard page below it\n");
    let larger = (slot.size_bytes * 4).min(MAX_SIZE);
    if larger == slot.size_bytes {
        text.push(
            b"  that is the largest there is: recurse less deeply, or yield_from a generator at each level\n",
        );
    } else {
        text.push(b"  raise it with ");
        text.push(if label.is_task.get() { b"task" } else { b"generator" });
        text.push(b"::Builder::stack_size(");
        text.push_number(larger, 10);
        text.push(b")");
        if !label.sized.get() {
            text.push(b", or for all with ROPEWALK_STACK_SIZE=");
            text.push_number(larger, 10);
        }
        text.push(b"\n");
    }
    text.write_to_stderr();
}

/// A line being put together without an allocator. What does not fit is cut off.
struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.length < self.bytes.len() {
                self.bytes[self.length] = byte;
                self.length += 1;
            }
        }
    }

    fn push_number(&mut self, mut number: usize, radix: usize) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b"0123456789abcdef"[number % radix];
            number /= radix;
            if number == 0 {
                break self.push(&digits[first..]);
            }
        }
    }

    fn write_to_stderr(&self) {
        let mut rest = &self.bytes[..self.length];
        while !rest.is_empty() {
            // SAFETY: the range is part of `bytes`; `write` is async-signal-safe.
            match unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) } {
                written if written > 0 => rest = &rest[written as usize..],
                _ => return,
            }
        }
    }
}

thread_local! {
    static ALTERNATE: Option<AlternateStack> = AlternateStack::for_this_thread();
}

/// An alternate signal stack for a thread that std did not make.
struct AlternateStack {
    memory: *mut libc::c_void,
}

/// What std gives its own threads is a few KiB; this leaves room for a handler that we pass a fault on to.
const ALTERNATE_BYTES: usize = 64 << 10;

impl AlternateStack {
    fn for_this_thread() -> Option<AlternateStack> {
        // SAFETY: zeros are a valid `stack_t`; a null new stack only asks for the old one.
        let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let asked = unsafe { libc::sigaltstack(ptr::null(), &mut current) };
        if asked != 0 || current.ss_flags & libc::SS_DISABLE == 0 {
            return None;
        }
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches no memory that exists.
        let memory = unsafe { libc::mmap(ptr::null_mut(), ALTERNATE_BYTES, rights, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: ALTERNATE_BYTES };
        // SAFETY: the memory is ours and stays mapped until `drop` has taken it out of use.
        unsafe { libc::sigaltstack(&stack, ptr::null_mut()) };
        Some(AlternateStack { memory })
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let none =
            libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: ALTERNATE_BYTES };
        // SAFETY: zeros are a valid `stack_t`. Our stack is taken out of use, if nobody has set another meanwhile,
        // before its memory goes; we are not on it, for destructors of thread-locals do not run in signal handlers.
        unsafe {
            let mut current: libc::stack_t = std::mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut current);
            if current.ss_sp == self.memory {
                libc::sigaltstack(&none, ptr::null_mut());
            }
            libc::munmap(self.memory, ALTERNATE_BYTES);
        }
    }
}
