//! The switch between stacks. Nothing else knows how it is done.
//!
//! Words: a *fiber* is a function on a stack of its own; its *parent* is whoever resumed it last.
//!
//! The face is narrow: make a fiber, resume it, take its stack back; from inside, suspend to the parent. A fiber gets
//! nothing when it is resumed: whatever is sent to it lies in memory that both sides know.
//!
//! A parent link may be used from a deeper stack too: code that runs on fiber B, resumed by fiber A, may suspend A.
//! A's next resume then continues on B's stack, for the registers are saved on whatever stack is current.
//!
//! Two kinds:
//! - `jump`: our own, for x86-64 where programs are ELF files (not on macOS). It leaves and enters stacks by jumps, so
//!   that the processor's predictor of returns stays in step: some 15 ns less for a round trip, wherever in a program the
//!   switch is.
//! - `stock`: corosensei's, for all other machines, and where AddressSanitizer has to be told of switches.

// `RUSTFLAGS="--cfg ropewalk_stock_switch"` takes the stock one everywhere, for tests and comparison.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(target_vendor = "apple"),
    not(feature = "sanitizer"),
    not(ropewalk_stock_switch)
))]
#[path = "jump.rs"]
mod kind;

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(target_vendor = "apple"),
    not(feature = "sanitizer"),
    not(ropewalk_stock_switch)
)))]
#[path = "stock.rs"]
mod kind;

mod valgrind;

pub(crate) use kind::{Fiber, Parent, is_call};

/// What a fiber did since it was resumed.
pub(crate) enum Turn<Y, R> {
    Suspended(Y),
    Returned(R),
}
