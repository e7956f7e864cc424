//! Dumps for programs: one line of JSON.

use std::fmt::{self, Write};

use super::{Dump, Entry};
use crate::scheduler::lowlevel::TaskState;

impl Dump {
    /// The dump as one line of JSON.
    ///
    /// `null` if there was no runtime; else an object:
    ///
    /// | key | value |
    /// |---|---|
    /// | `runtime` | its name, or `null` |
    /// | `timers`, `remotes` | numbers: see [`timers`](Dump::timers) and [`remotes`](Dump::remotes) |
    /// | `tasks` | a list of objects as below, parents before their children |
    /// | `cycles` | a list of lists of task numbers: see [`cycles`](Dump::cycles) |
    ///
    /// | key of a task | value |
    /// |---|---|
    /// | `id` | its number |
    /// | `name` | or `null` |
    /// | `spawned` | the place, as `file:line:column` |
    /// | `parent` | the number of the task in whose scope it is, or `null` |
    /// | `depth` | tasks above it in the tree |
    /// | `state` | `"new"`, `"ready"`, `"running"` or `"waiting"` |
    /// | `waits_for`, `at`, `waited_ns`, `held_by` | if it is waiting; `held_by` is a number, which no task here has if that one has ended, or `null` |
    /// | `cancelled` | the [`Reason`](crate::Reason) as a word, or `null` |
    /// | `frames` | with backtraces: a list of strings |
    ///
    /// ```
    /// use ropewalk::inspect;
    ///
    /// ropewalk::run(|| {
    ///     let json = inspect::dump().to_json();
    ///     assert!(json.starts_with(r#"{"runtime":null,"timers":0,"remotes":0,"tasks":[{"id":1,"name":null,"#));
    /// });
    /// ```
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write_json(&self, to: &mut String) -> fmt::Result {
        if self.snapshot.is_none() {
            return to.write_str("null");
        }
        write!(to, r#"{{"runtime":{},"timers":{}"#, Maybe(self.runtime().map(Text)), self.timers())?;
        write!(to, r#","remotes":{},"tasks":["#, self.remotes())?;
        for (place, task) in self.tasks().enumerate() {
            to.write_str(comma(place))?;
            write_task(to, task)?;
        }
        to.write_str(r#"],"cycles":["#)?;
        for (place, cycle) in self.cycles().into_iter().enumerate() {
            write!(to, "{}{}", comma(place), List(&cycle))?;
        }
        to.write_str("]}")
    }
}

fn write_task(to: &mut String, task: Entry<'_>) -> fmt::Result {
    let info = task.info();
    write!(to, r#"{{"id":{},"name":{}"#, info.id, Maybe(info.name.as_deref().map(Text)))?;
    write!(to, r#","spawned":{}"#, Text(info.spawned))?;
    write!(to, r#","parent":{},"depth":{}"#, Maybe(info.parent), task.depth())?;
    match &info.state {
        TaskState::Waiting { what, at, waited, holder } => {
            write!(to, r#","state":"waiting","waits_for":{},"at":{}"#, Text(what), Text(at))?;
            write!(to, r#","waited_ns":{},"held_by":{}"#, waited.as_nanos(), Maybe(*holder))?;
        }
        other => write!(to, r#","state":{}"#, Text(other))?,
    }
    let reason = info.cancelled.map(|reason| format!("{reason:?}"));
    write!(to, r#","cancelled":{}"#, Maybe(reason.as_ref().map(Text)))?;
    if let Some(frames) = task.frames() {
        let frames: Vec<_> = frames.iter().map(Text).collect();
        write!(to, r#","frames":{}"#, List(&frames))?;
    }
    to.write_str("}")
}

fn comma(place: usize) -> &'static str {
    if place == 0 { "" } else { "," }
}

/// A string: what it displays, between quotes.
struct Text<T>(T);

/// A value or `null`.
struct Maybe<T>(Option<T>);

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escape(f), "{}", self.0)?;
        f.write_char('"')
    }
}

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (place, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", comma(place))?;
        }
        f.write_char(']')
    }
}

/// What is written goes on as the inside of a JSON string (RFC 8259, 7).
struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                // Those that it forbids, and those that make a mess of a terminal.
                c if c.is_control() => write!(self.0, "\\u{:04x}", u32::from(c))?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}
