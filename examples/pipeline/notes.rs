//! What is noted on the way, beside the items that stages pass on, and how it is told.

use std::cell::{RefCell, RefMut};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressStyle};

/// Troubles that are kept in words; those after them are only counted.
const MOST_TROUBLES: usize = 20;

/// What stages note beside the items that they pass on: totals, troubles and progress.
#[derive(Clone)]
pub(crate) struct Notes {
    folder: Rc<Path>,
    totals: Rc<RefCell<Totals>>,
    /// Draws to stderr, and nothing when that is not a terminal. Counts the bytes of the files as they are.
    pub(crate) bar: ProgressBar,
}

impl Notes {
    pub(crate) fn new(folder: &Path) -> Notes {
        let style = ProgressStyle::with_template("{spinner} {msg} files, {bytes} at {bytes_per_sec}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("the template is well-formed"));
        Notes { folder: folder.into(), totals: Rc::default(), bar }
    }

    /// Borrowed for a statement, never across a yield.
    pub(crate) fn totals(&self) -> RefMut<'_, Totals> {
        self.totals.borrow_mut()
    }

    pub(crate) fn opened(&self, is_gzip: bool) {
        let mut totals = self.totals();
        totals.files += 1;
        totals.gzip += u64::from(is_gzip);
        self.bar.set_message(totals.files.to_string());
    }

    /// A path as it is told: from the folder on.
    pub(crate) fn name(&self, path: &Path) -> String {
        shown(path.strip_prefix(&self.folder).unwrap_or(path).as_os_str().as_encoded_bytes())
    }

    pub(crate) fn trouble(&self, path: &Path, error: io::Error) {
        self.totals().trouble(&self.name(path), error);
    }
}

/// What is counted on the way, and what went wrong.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) gzip: u64,
    pub(crate) binary: u64,
    pub(crate) lines: u64,
    pub(crate) cut: u64,
    /// Of text: unpacked, and with the ends of lines.
    pub(crate) bytes: u64,
    failed: usize,
    troubles: Vec<String>,
}

impl Totals {
    pub(crate) fn line(&mut self, size: usize, is_cut: bool) {
        self.lines += 1;
        self.bytes += size as u64;
        self.cut += u64::from(is_cut);
    }

    pub(crate) fn trouble(&mut self, name: &str, error: io::Error) {
        self.failed += 1;
        if self.troubles.len() < MOST_TROUBLES {
            self.troubles.push(format!("{name}: {error}"));
        }
    }

    pub(crate) fn complain(&self) {
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
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// Writes a line to stderr; when that is closed, there is nobody left to tell.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
