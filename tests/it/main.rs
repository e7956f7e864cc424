//! The behaviour of the public face, one module for each part of it.
//!
//! Tests are sentences; `G1` to `G48` in a comment are the rows of `docs/generators.md`, and what begins with `S` or `A` those
//! of `docs/tasks.md`, which name the tests.

mod architecture;
mod cancellation;
mod closing;
mod combining;
mod compile_fail;
mod delegation;
mod exits;
mod generators_in_tasks;
mod iterators;
mod log;
mod lowlevel;
mod model;
mod pipelines;
mod protocol;
mod scopes;
mod stacks;
mod task_locals;
mod task_scopes;
mod tasks;
mod timing;
mod tutorials;
mod world;
mod yielding;
