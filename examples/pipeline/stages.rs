//! The stages that are pulled: from a folder to the matches in its files.
//!
//! Each is an ordinary function that takes an iterator and gives one back. What needs a place to come back to is a
//! generator; what does not is an adapter of the standard library's.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use regex::bytes::Regex;
use ropewalk::{Generator, Yielder, generate};

use crate::notes::{Notes, shown};

/// As much of a line as is looked at, in bytes: a file need not have line ends.
const LONGEST_LINE: usize = 1 << 20;

/// As much of a key as is kept, in characters.
const LONGEST_KEY: usize = 80;

/// Bytes that are read at a time, and looked at to tell text from binary.
const BLOCK: usize = 64 << 10;

/// Two bytes for gzip and one for deflate, the only method that it has (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// The files of a folder and of those in it, in the order of their names.
///
/// Each folder is a generator to which the one above it delegates. So it has a stack of its own, and folders may be
/// nested as deep as they like.
pub(crate) fn walk(folder: PathBuf, notes: &Notes) -> Generator<PathBuf> {
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
pub(crate) struct Source {
    name: Rc<str>,
    text: Box<dyn BufRead>,
}

/// Opens the files that hold text.
pub(crate) fn open(paths: impl Iterator<Item = PathBuf> + 'static, notes: &Notes) -> Generator<Source> {
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
pub(crate) struct Line {
    file: Rc<str>,
    number: u64,
    text: Vec<u8>,
}

/// The lines of one file after another.
pub(crate) fn lines(files: impl Iterator<Item = Source> + 'static, notes: &Notes) -> Generator<Line> {
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
        if text.ends_with(b"\n") {
            text.pop();
            if text.ends_with(b"\r") {
                text.pop();
            }
        }
        notes.totals().line(size, is_cut);
        co.yield_(Line { file: Rc::clone(&file.name), number, text });
    }
    Ok(())
}

/// The lines that match.
pub(crate) fn grep(lines: impl Iterator<Item = Line>, pattern: &Regex) -> impl Iterator<Item = Line> {
    lines.filter(|line| pattern.is_match(&line.text))
}

/// What a line is counted by, and where it is.
#[derive(Clone)]
pub(crate) struct Match {
    pub(crate) key: Rc<str>,
    pub(crate) file: Rc<str>,
    pub(crate) line: u64,
}

/// Takes the key out of each line: the first group that took part in the match, or else the whole match.
pub(crate) fn parse(lines: impl Iterator<Item = Line>, pattern: &Regex) -> impl Iterator<Item = Match> {
    lines.filter_map(|line| {
        let captures = pattern.captures(&line.text)?;
        let key = captures.iter().skip(1).flatten().next().or(captures.get(0))?;
        let key: String = shown(key.as_bytes()).chars().take(LONGEST_KEY).collect();
        Some(Match { key: key.into(), file: line.file, line: line.number })
    })
}
