//! What becomes of the matches: the consumers into which they are pushed, and the text of their results.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use indicatif::HumanCount;
use ropewalk::Yielder;
use ropewalk::pipeline::{Consumer, Incoming, consumer};

use crate::notes::Totals;
use crate::stages::Match;

/// Rows of the table, so that a pattern that matches something else in each line does not fill the memory.
const MOST_KEYS: usize = 10_000;

/// What is known about a key.
pub(crate) struct Row {
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
pub(crate) fn by_key() -> Consumer<Match, Vec<Row>> {
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
pub(crate) fn busiest(count: usize) -> Consumer<Match, Vec<(Rc<str>, usize)>> {
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
pub(crate) fn render(table: impl Iterator<Item = Row>, co: &Yielder<String>) {
    co.yield_(format!("{:>9} {:>7}  {:<20}  first seen\n", "matches", "files", "key"));
    for Row { key, first, files, matches, .. } in table {
        co.yield_(format!("{matches:>9} {files:>7}  {key:<20}  {}:{}\n", first.file, first.line));
    }
}

/// The lines below the table.
pub(crate) fn summary(totals: &Totals, busiest: &[(Rc<str>, usize)], matches: usize) -> [String; 2] {
    let Totals { files, gzip, binary, lines, cut, bytes, .. } = *totals;
    let [files, gzip, binary, lines, cut, bytes, matches] =
        [files, gzip, binary, lines, cut, bytes, matches as u64].map(HumanCount);
    let busiest: Vec<String> = busiest.iter().map(|(file, matches)| format!("{file} ({matches})")).collect();
    [
        format!(
            "\nfiles {files} (gzip {gzip}; skipped as binary {binary}), lines {lines} (cut {cut}), bytes {bytes}, \
             matches {matches}\n"
        ),
        format!("most matches in: {}\n", if busiest.is_empty() { "none".into() } else { busiest.join(", ") }),
    ]
}
