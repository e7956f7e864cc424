//! The behaviour of the public face, one module for each part of it.
//!
//! Tests are sentences; `G1` to `G48` in a comment are the rows of `docs/generators.md`, and what begins with `S` or `A` those
//! of `docs/tasks.md`, which name the tests.

mod architecture;
mod attacks_tasks;
mod cancellation;
mod closing;
mod combining;
mod compile_fail;
mod cross;
mod deadlock;
mod debug_mode;
mod delegation;
mod every_checkpoint;
mod exits;
mod generators_in_tasks;
mod inspect;
mod iterators;
mod log;
mod lowlevel;
mod model;
mod pipelines;
mod protocol;
mod scopes;
mod seeds;
mod select;
mod stacks;
mod task_locals;
mod task_scopes;
mod tasks;
mod test_tools;
mod timers;
mod timing;
mod tutorials;
mod world;
mod yielding;
