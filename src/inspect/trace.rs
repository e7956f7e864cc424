//! What of a backtrace is the user's: not this library's own calls, nor what lies below the first frame of the task.
//!
//! A frame is known by the path of its function, or by its file: with `debug = "line-tables-only"` functions have no paths,
//! and in a stripped program there are no files. With neither all frames are shown.

use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::env;

use crate::generator::switch;

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
    users(&all).into_iter().map(Frame::text).collect()
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

/// Those calls that are not this library's, nor what it calls them through.
fn users<'a, 'b>(all: &'a [Frame<'b>]) -> Vec<&'a Frame<'b>> {
    // Below the first frame of the task lies whoever resumed it, which is no business of the task's.
    let Some(base) = all.iter().position(Frame::is_base) else {
        return all.iter().collect();
    };
    // The running task is here itself, where others have been resumed to say where they are.
    let asked = all[..base].iter().position(|frame| frame.is_in("inspect")).unwrap_or(0);
    all[asked..base].iter().filter(|frame| !frame.is_own() && !frame.is_between()).collect()
}

impl Frame<'_> {
    fn is_own(&self) -> bool {
        // `<a::b::C<T> as d::E>::f` and `<a::b::C>::f` stand for what is in `a::b`.
        self.own.is_some() || self.function.trim_start_matches('<').starts_with("ropewalk::")
    }

    fn is_in(&self, room: &str) -> bool {
        let path = self.function.trim_start_matches('<').strip_prefix("ropewalk::");
        let starts = |text: &str| text.strip_prefix(room).is_some_and(|rest| rest.starts_with(['/', ':']));
        path.is_some_and(starts) || self.own.as_deref().is_some_and(starts)
    }

    /// Whether it is the first frame of a task: what calls the closure that the task was spawned with.
    fn is_base(&self) -> bool {
        let is_record = self.function.contains("ropewalk::scheduler::record::")
            || self.own.as_ref().is_some_and(|file| file.starts_with("scheduler/record.rs"));
        let name = self.function.split('<').next().unwrap_or_default();
        is_record && (name == "run" || self.function.ends_with("::run"))
    }

    /// Whether it often stands between this library and the user's closures, and says nothing.
    fn is_between(&self) -> bool {
        const FUNCTIONS: &[&str] = &["std::panic", "core::panic", "core::ops::function", "__rust_try"];
        const FILES: &[&str] =
            &["/library/std/src/panic", "/library/core/src/panic/", "/library/core/src/ops/function.rs"];
        let function = self.function.trim_start_matches('<');
        switch::is_call(function, self.place)
            || FUNCTIONS.iter().any(|start| function.starts_with(start))
            || self.place.is_some_and(|place| FILES.iter().any(|file| place.contains(file)))
    }

    fn text(&self) -> String {
        match self.place {
            Some(place) => format!("{} at {place}", self.function),
            None => self.function.to_owned(),
        }
    }
}
