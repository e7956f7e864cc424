//! Pipelines: stages in a row, each an ordinary function.
//!
//! *Pull*: the end of the row asks for an item, and each stage asks the one before it. Stages are iterators and
//! generators; [`Pipeline::pipe`] writes them in the order in which items pass, as a shell does with `|`.
//!
//! ```
//! use ropewalk::pipeline::Pipeline;
//! use ropewalk::{Generator, generate};
//!
//! fn grep(pattern: &'static str, lines: impl Iterator<Item = String> + 'static) -> Generator<String> {
//!     generate(move |co| co.yield_all(lines.filter(|line| line.contains(pattern))))
//! }
//!
//! fn numbered(lines: impl Iterator<Item = String> + 'static) -> Generator<String> {
//!     generate(move |co| {
//!         for (number, line) in lines.enumerate() {
//!             co.yield_(format!("{number}: {line}"));
//!         }
//!     })
//! }
//!
//! let log = "start\nerror: disk\nok\nerror: net\n";
//! let report: Vec<String> = log
//!     .lines()
//!     .map(str::to_owned)
//!     .pipe(numbered)
//!     .pipe(|lines| grep("error", lines))
//!     .take(10)
//!     .collect();
//! assert_eq!(report, ["1: error: disk", "3: error: net"]);
//! ```
//!
//! Let a stage return `Generator<T>` rather than `impl Iterator`: the latter borrows, in the eyes of the compiler,
//! whatever reference the stage is passed, and the stage after it may not. State that several stages share (totals,
//! say) goes behind an `Rc<RefCell<_>>` that is never borrowed across a yield. Stages that borrow are made in a
//! [`scope`](crate::generator::scope()), with [`Scope::through`](crate::generator::Scope::through).
//!
//! An iterator has no place for what a body *returns*. A source that can fail should yield `Result`s. Or keep it, pass
//! `&source` on (to stages made in a scope, for it is borrowed), and ask it for
//! [`take_return`](crate::Generator::take_return) at the end.
//!
//! *Push*: the source drives, and sends each item into a [`Sink`]. A sink is a coroutine that takes what is sent,
//! a [`consumer`]: its body reads its input as an iterator and returns a result when the input ends. Pushing is what
//! lets one source feed several sinks at once: [`broadcast`].
//!
//! ```
//! use ropewalk::pipeline::{Pipeline, broadcast, collect, consumer, filter};
//!
//! let (longest, errors) = ["ok", "error: disk", "fine", "error: net"].push_into(broadcast((
//!     consumer(|lines| lines.map(str::len).max()),
//!     filter(|line: &&str| line.starts_with("error"), collect()),
//! )));
//! assert_eq!(longest, Some(11));
//! assert_eq!(errors, ["error: disk", "error: net"]);
//! ```

mod pull;
mod push;

pub use pull::Pipeline;
pub use push::{
    Broadcast, Consumer, Ended, Incoming, Sink, broadcast, collect, consumer, count, filter, for_each, map,
    take,
};
