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
//! It holds one line at a time, and one row for each of the first [`MOST_KEYS`] keys: memory does not grow with what
//! is read. A file that cannot be read is told at the end and stops nothing.

use std::cell::{RefCell, RefMut};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use regex::bytes::Regex;
use ropewalk::pipeline::{Consumer, Incoming, Pipeline, broadcast, consumer};
use ropewalk::{Generator, Yielder, generate};

const HELP: &str = "\
Counts the lines that match a pattern in all text files of a folder, by what they match.

Usage: pipeline [FOLDER] [PATTERN]

  FOLDER   searched with the folders in it, but for hidden ones and cargo's `target`; links to files are read,
           links to folders are not followed [default: ropewalk's own sources]
  PATTERN  a regular expression; lines are counted by its first group, or else by the whole match
           [default: the keyword that begins a Rust item]

Gzip files are read as what they hold, binary files are skipped.

Requests in a web log, rotated or not, by status:  pipeline /var/log/nginx '\" (\\d{3}) '
";

/// Begins an item of Rust: its visibility and qualifiers, then the keyword that says what it is.
const ITEM: &str = r#"(?x)
    ^ \s* (?: pub (?: \( [^)]* \) )? \s+ )?
    (?: (?: async | const | unsafe | extern \s+ "[^"]*" ) \s+ )*
    ( fn | struct | enum | union | trait | impl | mod | type | const | static | macro_rules ) [\s<!]"#;

/// As much of a line as is looked at, in bytes: a file need not have line ends.
const LONGEST_LINE: usize = 1 << 20;

/// Rows of the table, so that a pattern that matches something else in each line does not fill the memory.
const MOST_KEYS: usize = 10_000;

/// Characters of a key, for the same reason.
const LONGEST_KEY: usize = 80;

/// Troubles that are kept in words; those after them are only counted.
const MOST_TROUBLES: usize = 20;

/// Bytes that are read at a time, and looked at to tell text from binary.
const BLOCK: usize = 64 << 10;

/// Two bytes for gzip and one for deflate, the only method that it has (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

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

/// The files of a folder and of those in it, in the order of their names.
///
/// Each folder is a generator to which the one above it delegates. So it has a stack of its own, and folders may be
/// nested as deep as they like.
fn walk(folder: PathBuf, notes: &Notes) -> Generator<PathBuf> {
    let notes = notes.clone();
    generate(move |co| {
        let names = match sorted(&folder) {
            Ok(names) => names,
            Err(error) => return notes.trouble(&folder, error),
        };
        for path in names {
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => co.yield_(path),
                Ok(found) if found.is_dir() && !is_skipped(&path) => co.yield_from(walk(path, &notes)),
                Ok(_) => {}
                Err(error) => notes.trouble(&path, error),
            }
        }
    })
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a folder is passed over. Links are, because they may lead in a circle.
fn is_skipped(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    let is_hidden = name.as_encoded_bytes().starts_with(b".");
    let is_built = name == "target" && folder.with_file_name("Cargo.toml").exists();
    is_hidden || is_built || folder.is_symlink()
}

/// A text file, with the name under which it is told.
struct Source {
    name: Rc<str>,
    text: Box<dyn BufRead>,
}

/// Opens the files that hold text.
fn open(paths: impl Iterator<Item = PathBuf> + 'static, notes: &Notes) -> Generator<Source> {
    let notes = notes.clone();
    generate(move |co| {
        for path in paths {
            match open_text(&path, &notes) {
                Ok(Some(text)) => co.yield_(Source { name: notes.name(&path).into(), text }),
                Ok(None) => notes.totals().binary += 1,
                Err(error) => notes.trouble(&path, error),
            }
        }
    })
}

/// The text of a file, unpacked if need be; nothing for a binary file.
fn open_text(path: &Path, notes: &Notes) -> io::Result<Option<Box<dyn BufRead>>> {
    let file = notes.bar.wrap_read(File::open(path)?);
    let mut text: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BLOCK, file));
    let is_gzip = text.fill_buf()?.starts_with(&GZIP);
    if is_gzip {
        text = Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(text)));
    }
    if text.fill_buf()?.contains(&0) {
        return Ok(None);
    }
    notes.opened(is_gzip);
    Ok(Some(text))
}

/// A line, without its end.
struct Line {
    file: Rc<str>,
    number: u64,
    text: Vec<u8>,
}

/// The lines of one file after another.
fn lines(files: impl Iterator<Item = Source> + 'static, notes: &Notes) -> Generator<Line> {
    let notes = notes.clone();
    generate(move |co| {
        for mut file in files {
            if let Err(error) = yield_lines(&mut file, &notes, co) {
                notes.totals().trouble(&file.name, error);
            }
        }
    })
}

fn yield_lines(file: &mut Source, notes: &Notes, co: &Yielder<Line>) -> io::Result<()> {
    for number in 1.. {
        let mut text = Vec::new();
        // One byte more than the longest, to see whether it was the last.
        let mut size = file.text.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut text)?;
        if size == 0 {
            break;
        }
        let is_cut = size > LONGEST_LINE && !text.ends_with(b"\n");
        if is_cut {
            text.truncate(LONGEST_LINE);
            size += file.text.skip_until(b'\n')?;
        }
        let end = text
            .strip_suffix(b"\n")
            .map_or(text.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
        text.truncate(end);
        notes.totals().line(size, is_cut);
        co.yield_(Line { file: Rc::clone(&file.name), number, text });
    }
    Ok(())
}

/// The lines that match.
fn grep(lines: impl Iterator<Item = Line>, pattern: &Regex) -> impl Iterator<Item = Line> {
    lines.filter(|line| pattern.is_match(&line.text))
}

/// What a line is counted by, and where it is.
#[derive(Clone)]
struct Match {
    key: Rc<str>,
    file: Rc<str>,
    line: u64,
}

/// Takes the key out of each line: the first group that took part in the match, or else the whole match.
fn parse(lines: impl Iterator<Item = Line>, pattern: &Regex) -> impl Iterator<Item = Match> {
    lines.filter_map(|line| {
        let captures = pattern.captures(&line.text)?;
        let key = captures.iter().skip(1).flatten().next().or(captures.get(0))?;
        let key: String = shown(key.as_bytes()).chars().take(LONGEST_KEY).collect();
        Some(Match { key: key.into(), file: line.file, line: line.number })
    })
}

/// What is known about a key.
struct Row {
    key: Rc<str>,
    first: Match,
    latest: Rc<str>,
    files: u64,
    matches: u64,
}

impl Row {
    fn new(key: &Rc<str>, first: &Match) -> Row {
        Row { key: key.clone(), first: first.clone(), latest: first.file.clone(), files: 1, matches: 0 }
    }

    fn add(&mut self, found: Match) {
        self.matches += 1;
        // The matches of a file come one after another: it is a new one, or the latest.
        if !Rc::ptr_eq(&self.latest, &found.file) {
            self.latest = found.file;
            self.files += 1;
        }
    }
}

/// Consumes matches into a table by key, most matches first; the keys that find no room share a row at its end.
fn by_key() -> Consumer<Match, Vec<Row>> {
    consumer(|matches: Incoming<Match>| {
        let mut rows: HashMap<Rc<str>, Row> = HashMap::new();
        let mut other: Option<Row> = None;
        for found in matches {
            let row = if rows.len() < MOST_KEYS || rows.contains_key(&found.key) {
                rows.entry(found.key.clone()).or_insert_with(|| Row::new(&found.key, &found))
            } else {
                other.get_or_insert_with(|| Row::new(&"(other)".into(), &found))
            };
            row.add(found);
        }
        let mut table: Vec<Row> = rows.into_values().collect();
        table.sort_unstable_by(|a, b| b.matches.cmp(&a.matches).then_with(|| a.key.cmp(&b.key)));
        table.extend(other);
        table
    })
}

/// Consumes matches into the `count` files that have most of them.
fn busiest(count: usize) -> Consumer<Match, Vec<(Rc<str>, usize)>> {
    consumer(move |matches: Incoming<Match>| {
        let mut files = Vec::new();
        let mut matches = matches.peekable();
        while let Some(Match { file, .. }) = matches.next() {
            let others = std::iter::from_fn(|| matches.next_if(|next| Rc::ptr_eq(&next.file, &file))).count();
            files.push((file, 1 + others));
            files.sort_by_key(|&(_, matches)| Reverse(matches));
            files.truncate(count);
        }
        files
    })
}

/// The lines of the table.
fn render(table: impl Iterator<Item = Row>, co: &Yielder<String>) {
    co.yield_(format!("{:>9} {:>7}  {:<20}  first seen\n", "matches", "files", "key"));
    for Row { key, first, files, matches, .. } in table {
        co.yield_(format!("{matches:>9} {files:>7}  {key:<20}  {}:{}\n", first.file, first.line));
    }
}

/// The lines below the table.
fn summary(totals: &Totals, busiest: &[(Rc<str>, usize)], matches: usize) -> [String; 2] {
    let Totals { files, gzip, binary, lines, cut, bytes, .. } = *totals;
    let [files, gzip, binary, lines, cut, bytes, matches] =
        [files, gzip, binary, lines, cut, bytes, matches as u64].map(HumanCount);
    let busiest: Vec<String> = busiest.iter().map(|(file, matches)| format!("{file} ({matches})")).collect();
    [
        format!(
            "\n{files} files ({gzip} gzip; {binary} binary skipped), {lines} lines ({cut} cut), {bytes} bytes, \
             {matches} matches\n"
        ),
        format!("most matches in: {}\n", if busiest.is_empty() { "none".into() } else { busiest.join(", ") }),
    ]
}

/// What stages note beside the items that they pass on: totals, troubles and progress.
#[derive(Clone)]
struct Notes {
    folder: Rc<Path>,
    totals: Rc<RefCell<Totals>>,
    /// Draws to stderr, and nothing when that is not a terminal. Counts the bytes of the files as they are.
    bar: ProgressBar,
}

impl Notes {
    fn new(folder: &Path) -> Notes {
        let style = ProgressStyle::with_template("{spinner} {msg} files, {bytes} at {bytes_per_sec}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("the template is well-formed"));
        Notes { folder: folder.into(), totals: Rc::default(), bar }
    }

    /// Borrowed for a statement, never across a yield.
    fn totals(&self) -> RefMut<'_, Totals> {
        self.totals.borrow_mut()
    }

    fn opened(&self, is_gzip: bool) {
        let mut totals = self.totals();
        totals.files += 1;
        totals.gzip += u64::from(is_gzip);
        self.bar.set_message(totals.files.to_string());
    }

    /// A path as it is told: from the folder on.
    fn name(&self, path: &Path) -> String {
        shown(path.strip_prefix(&self.folder).unwrap_or(path).as_os_str().as_encoded_bytes())
    }

    fn trouble(&self, path: &Path, error: io::Error) {
        self.totals().trouble(&self.name(path), error);
    }
}

#[derive(Default)]
struct Totals {
    files: u64,
    gzip: u64,
    binary: u64,
    lines: u64,
    cut: u64,
    /// Of text: unpacked, and with the ends of lines.
    bytes: u64,
    failed: usize,
    troubles: Vec<String>,
}

impl Totals {
    fn line(&mut self, size: usize, is_cut: bool) {
        self.lines += 1;
        self.bytes += size as u64;
        self.cut += u64::from(is_cut);
    }

    fn trouble(&mut self, name: &str, error: io::Error) {
        self.failed += 1;
        if self.troubles.len() < MOST_TROUBLES {
            self.troubles.push(format!("{name}: {error}"));
        }
    }

    fn complain(&self) {
        if self.failed > 0 {
            complain(format_args!("{} could not be read, or not to the end:", self.failed));
            self.troubles.iter().for_each(|trouble| complain(format_args!("  {trouble}")));
        }
        if self.failed > self.troubles.len() {
            complain(format_args!("  and {} more", self.failed - self.troubles.len()));
        }
    }
}

/// Text for a terminal, on which control characters would act, and which takes nothing but UTF-8.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
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

/// Writes a line to stderr; when that is closed, there is nobody left to tell.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
