//! What do the lines of a folder's files say, and how often? A shell pipeline, written with generators.
//!
//! ```text
//! cargo run --release --example pipeline                               # The items in ropewalk's own sources.
//! cargo run --release --example pipeline /var/log/nginx '" (\d{3}) '   # Requests by status, rotated logs included.
//! ```
//!
//! The stages up to the matches are *pulled*: each is a function that makes one iterator of another, and asks the
//! one before it when it is asked. The matches are then *pushed*, to feed three consumers at once.
//!
//! It holds one line at a time, and one row for each of the first ten thousand keys: memory does not grow with what is
//! read. A file that cannot be read is told at the end and stops nothing.

mod consumers;
mod notes;
mod stages;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use consumers::{busiest, by_key, render, summary};
use notes::{Notes, complain};
use regex::bytes::Regex;
use ropewalk::pipeline::{Pipeline, broadcast, consumer};
use stages::{grep, lines, open, parse, walk};

const HELP: &str = "\
Counts the lines that match a pattern in all text files of a folder, by what they match.

Usage: pipeline [FOLDER] [PATTERN]

  FOLDER   searched with the folders in it, but for hidden ones and cargo's `target`; links to files are read,
           links to folders are not followed [default: ropewalk's own sources]
  PATTERN  a regular expression; lines are counted by its first group, or else by the whole match
           (what is not UTF-8 is matched by `(?-u:.)`, not by `.`) [default: the keyword that begins a Rust item]

Gzip files are read as what they hold, binary files are skipped. What cannot be read is listed at the end; only when
that is FOLDER itself, the exit code is 1. It is 2 when the arguments are wrong.

Requests in a web log, rotated or not, by status:  pipeline /var/log/nginx '\" (\\d{3}) '
";

/// Begins an item of Rust: its visibility and qualifiers, then the keyword that says what it is.
const ITEM: &str = r#"(?x)
    ^ \s* (?: pub (?: \( [^)]* \) )? \s+ )?
    (?: (?: async | const | unsafe | extern \s+ "[^"]*" ) \s+ )*
    ( fn | struct | enum | union | trait | impl | mod | type | const | static | macro_rules ) [\s<!]"#;

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            complain(format_args!("pipeline: {message}"));
            ExitCode::from(code)
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<(), Failure> {
    let Some((folder, pattern)) = understand(arguments)? else {
        return print([HELP]);
    };
    let notes = Notes::new(&folder);

    let (table, busiest, matches) = walk(folder, &notes)
        .pipe(|paths| open(paths, &notes))
        .pipe(|files| lines(files, &notes))
        .pipe(|lines| grep(lines, &pattern))
        .pipe(|lines| parse(lines, &pattern))
        .push_into(broadcast((by_key(), busiest(3), consumer(|matches| matches.count()))));

    notes.bar.finish_and_clear();
    let printed = print(table.through(render).chain(summary(&notes.totals(), &busiest, matches)));
    notes.totals().complain();
    printed
}

/// Why there is nothing to count, and the exit code that says so.
struct Failure {
    code: u8,
    message: String,
}

/// The folder and the pattern; nothing when help is asked for.
fn understand(arguments: Vec<OsString>) -> Result<Option<(PathBuf, Regex)>, Failure> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(None);
    }
    let misuse = |message| Failure { code: 2, message };
    if arguments.len() > 2 {
        return Err(misuse("more than a folder and a pattern; see --help".into()));
    }
    let mut arguments = arguments.into_iter();
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    let pattern = arguments.next().unwrap_or_else(|| ITEM.into());
    let pattern = pattern.to_str().ok_or_else(|| misuse("the pattern is not UTF-8".into()))?;
    let pattern = Regex::new(pattern).map_err(|error| misuse(format!("bad pattern: {error}")))?;
    match fs::read_dir(&folder) {
        Ok(_) => Ok(Some((folder, pattern))),
        Err(error) => Err(Failure { code: 1, message: format!("cannot read {}: {error}", folder.display()) }),
    }
}

/// Writes to stdout, as far as somebody reads it: `| head` has all that it wants.
fn print(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut texts = texts.into_iter();
    match texts.try_for_each(|text| out.write_all(text.as_ref().as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure { code: 1, message: format!("cannot write: {error}") })
        }
        _ => Ok(()),
    }
}
