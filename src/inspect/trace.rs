//! What of a backtrace is the user's: not the scheduler's calls at its top, nor the task's first frames and what is below.

use std::backtrace::Backtrace;

/// A call, as `std` prints it.
struct Frame<'a> {
    function: &'a str,
    place: Option<&'a str>,
}

/// Calls from the innermost out.
pub(super) fn frames(backtrace: &Backtrace) -> Vec<String> {
    let text = backtrace.to_string();
    let all = parse(&text);
    users(&all).iter().map(Frame::text).collect()
}

fn parse(text: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.place = Some(place);
            }
        } else if let Some((_, function)) = line.split_once(": ") {
            frames.push(Frame { function, place: None });
        }
    }
    frames
}

/// The part between the scheduler's own calls.
fn users<'a, 'b>(all: &'a [Frame<'b>]) -> &'a [Frame<'b>] {
    // Below the first frame of the task lies whoever resumed it, which is no business of the task's.
    let base = all.iter().position(|frame| frame.is_in(&["ropewalk::scheduler::record::TaskCell"]));
    let above = &all[..base.unwrap_or(all.len())];
    // Where no symbols tell what is what, all of it is shown.
    // The running task is here itself, where others have been resumed to say where they are.
    let asked = above.iter().position(|frame| frame.is_in(&["ropewalk::inspect::"])).unwrap_or(0);
    let top = above[asked..].iter().position(|frame| !frame.is_in(TOP)).unwrap_or(0);
    let above = &above[asked + top..];
    let bottom = match base {
        Some(_) => above.iter().rposition(|frame| !frame.is_in(BOTTOM)).map_or(0, |last| last + 1),
        None => above.len(),
    };
    &above[..bottom]
}

/// Between the innermost call of the user and the capture of the trace.
const TOP: &[&str] = &["ropewalk::scheduler::", "ropewalk::inspect::", "std::backtrace"];

/// Between the first frame of a task and the closure that it was spawned with.
const BOTTOM: &[&str] = &[
    "ropewalk::scheduler::",
    "ropewalk::task::",
    "std::panic",
    "core::panic",
    "core::ops::function",
    "__rust_try",
];

impl Frame<'_> {
    fn is_in(&self, rooms: &[&str]) -> bool {
        // `<a::b::C<T> as d::E>::f` and `<a::b::C>::f` stand for what is in `a::b`.
        let function = self.function.trim_start_matches('<');
        rooms.iter().any(|room| function.starts_with(room))
    }

    fn text(&self) -> String {
        match self.place {
            Some(place) => format!("{} at {place}", self.function),
            None => self.function.to_owned(),
        }
    }
}
