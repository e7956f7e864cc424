//! The behaviour of the public face, one module for each part of it.
//!
//! Tests are sentences; `G1` to `G48` in a comment are the rows of `docs/generators.md`, and what begins with `S` or `A` those
//! of `docs/tasks.md`, which name the tests.

mod architecture;
mod attacks_meeting;
mod attacks_tasks;
mod broadcasts;
mod cancellation;
mod channels;
mod closing;
mod combining;
mod compile_fail;
mod condvars;
mod cross;
mod deadlock;
mod debug_mode;
mod delegation;
mod every_checkpoint;
mod exits;
mod gates;
mod generators_in_tasks;
mod inspect;
mod iterators;
mod locks;
mod log;
mod lowlevel;
mod meeting_seeds;
mod model;
mod oneshots;
mod pipelines;
mod protocol;
mod queues;
mod reentrant_locks;
mod rw_locks;
mod scopes;
mod seeds;
mod select;
mod stacks;
mod streams;
mod task_locals;
mod task_scopes;
mod tasks;
mod test_tools;
mod timers;
mod timing;
mod tutorials;
mod watches;
mod world;
mod yielding;
