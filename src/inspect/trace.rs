//! What of a backtrace is the user's: not the scheduler's calls at its top, nor the task's first frames and what is below.
//!
//! A frame is known by the path of its function, or by its file: with `debug = "line-tables-only"` functions have no paths,
//! and in a stripped program there are no files. With neither all frames are shown.

use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::env;

/// Where the sources of this library were when it was built; ends with a slash.
fn sources() -> &'static str {
    file!().strip_suffix("inspect/trace.rs").expect("that is this file")
}

/// A call, as `std` prints it.
struct Frame<'a> {
    function: &'a str,
    place: Option<&'a str>,
    /// Which of this library's files it is in, if it is.
    own: Option<String>,
}

/// Calls from the innermost out.
pub(super) fn frames(backtrace: &Backtrace) -> Vec<String> {
    let text = backtrace.to_string();
    let mut all = parse(&text);
    let here = env::current_dir().ok();
    let here = here.as_ref().and_then(|here| here.to_str());
    for frame in &mut all {
        frame.own = frame.place.and_then(|place| own_file(place, here));
    }
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
            frames.push(Frame { function, place: None, own: None });
        }
    }
    frames
}

fn own_file(place: &str, here: Option<&str>) -> Option<String> {
    // What lies below the current directory is printed relative to it, whatever the compiler was told.
    let place = match (place.strip_prefix('.'), here) {
        (Some(below), Some(here)) => Cow::from(format!("{here}{below}")),
        _ => Cow::from(place),
    };
    let (before, file) = place.split_once(sources())?;
    (before.is_empty() || before.ends_with('/')).then(|| file.to_owned())
}

/// The part between the scheduler's own calls.
fn users<'a, 'b>(all: &'a [Frame<'b>]) -> &'a [Frame<'b>] {
    // Below the first frame of the task lies whoever resumed it, which is no business of the task's.
    let base = all.iter().position(Frame::is_base);
    let above = &all[..base.unwrap_or(all.len())];
    // The running task is here itself, where others have been resumed to say where they are.
    let asked = above.iter().position(|frame| frame.is_in("inspect")).unwrap_or(0);
    let is_top = |frame: &Frame<'_>| frame.is_in("scheduler") || frame.is_in("inspect");
    let top = above[asked..].iter().position(|frame| !is_top(frame)).unwrap_or(0);
    let above = &above[asked + top..];
    let last = above.iter().rposition(|frame| base.is_none() || !frame.is_between());
    &above[..last.map_or(0, |last| last + 1)]
}

impl Frame<'_> {
    /// Whether it belongs to that room of this library.
    fn is_in(&self, room: &str) -> bool {
        let starts = |text: &str, with: &str| {
            text.strip_prefix(with)
                .and_then(|rest| rest.strip_prefix(room))
                .is_some_and(|rest| rest.starts_with(['/', ':']))
        };
        // `<a::b::C<T> as d::E>::f` and `<a::b::C>::f` stand for what is in `a::b`.
        starts(self.function.trim_start_matches('<'), "ropewalk::")
            || self.own.as_deref().is_some_and(|file| starts(file, ""))
    }

    /// Whether it is the first frame of a task: what calls the closure that the task was spawned with.
    fn is_base(&self) -> bool {
        let is_record = self.function.contains("ropewalk::scheduler::record::")
            || self.own.as_ref().is_some_and(|file| file.starts_with("scheduler/record.rs"));
        let name = self.function.split('<').next().unwrap_or_default();
        is_record && (name == "run" || self.function.ends_with("::run"))
    }

    /// Whether it may stand between that one and the closure itself.
    fn is_between(&self) -> bool {
        const FUNCTIONS: &[&str] = &["std::panic", "core::panic", "core::ops::function", "__rust_try"];
        const FILES: &[&str] = &["std/src/panic", "core/src/panic", "core/src/ops/function.rs"];
        let function = self.function.trim_start_matches('<');
        let is_file = |place: &str| FILES.iter().any(|file| place.contains(&format!("/library/{file}")));
        self.is_in("scheduler")
            || self.is_in("task")
            || FUNCTIONS.iter().any(|start| function.starts_with(start))
            || self.place.is_some_and(is_file)
    }

    fn text(&self) -> String {
        match self.place {
            Some(place) => format!("{} at {place}", self.function),
            None => self.function.to_owned(),
        }
    }
}
