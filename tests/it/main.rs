//! The behaviour of the public face, one module for each part of it.
//!
//! Tests are sentences; `G1` to `G48` in a comment are the rows of `docs/generators.md`, which names the tests.

mod architecture;
mod closing;
mod compile_fail;
mod deadlock;
mod debug_mode;
mod delegation;
mod exits;
mod inspect;
mod iterators;
mod log;
mod model;
mod pipelines;
mod protocol;
mod scopes;
mod stacks;
mod yielding;
