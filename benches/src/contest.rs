//! A *contest*: several *contenders* do the same thing, and a table says what it cost each of them.
//!
//! A cell of the table is the least and the median of all samples of all plays, and in brackets the ratio of the median
//! to ropewalk's.
//!
//! Made for what does not fit into a timed loop: schedulers that start and end, memory, and peers that die of it. Each
//! *play* is a process of its own, so that nobody inherits another's heap, threads or bad luck; contenders take turns,
//! so that a slow minute of the machine falls on all of them. A contender that dies or hangs is not asked again, and
//! the table says so.
//!
//! Arguments: `--test` plays everything once at a small size and fails if anybody dies; `--rounds N`; and any words,
//! of which the `case/contender` must contain one.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Processes for each contender: enough for a median that one bad layout of memory does not move.
const ROUNDS: usize = 5;

/// After so long a play counts as hung. The slowest honest one takes a third of that.
const PATIENCE: Duration = Duration::from_secs(40);

/// The same in a test, where nothing takes a second.
const PATIENCE_IN_TEST: Duration = Duration::from_secs(20);

/// The contender that all others are compared with.
const REFERENCE: &str = "ropewalk";

/// How large a play is.
#[derive(Clone, Copy)]
pub struct Scale {
    test: bool,
}

impl Scale {
    /// So many tasks or repetitions; in a test as few as still mean something.
    pub fn of(self, full: usize) -> usize {
        if self.test { full.min(64) } else { full }
    }

    pub fn is_test(self) -> bool {
        self.test
    }

    /// How often one process repeats what can be repeated.
    pub fn samples(self) -> usize {
        if self.test { 1 } else { 5 }
    }
}

/// What a play found: its column, with the unit, and the value.
pub type Figure = (&'static str, f64);

struct Contender {
    case: String,
    name: &'static str,
    play: Box<dyn Fn(Scale) -> Vec<Figure>>,
}

/// The cases of one question, and who takes part.
#[derive(Default)]
pub struct Contest {
    contenders: Vec<Contender>,
    case: String,
}

/// What all plays of one contender gave.
#[derive(Default)]
struct Outcome {
    figures: Vec<(String, Vec<f64>)>,
    died: Option<String>,
}

impl Outcome {
    fn add(&mut self, column: String, value: f64) {
        match self.figures.iter_mut().find(|(known, _)| *known == column) {
            Some((_, values)) => values.push(value),
            None => self.figures.push((column, vec![value])),
        }
    }

    fn values(&self, column: &str) -> Option<&[f64]> {
        self.figures.iter().find(|(known, _)| known == column).map(|(_, values)| values.as_slice())
    }
}

impl Contest {
    pub fn new() -> Contest {
        Contest::default()
    }

    /// Whoever enters from here on plays in this case.
    pub fn case(&mut self, name: impl Into<String>) {
        self.case = name.into();
    }

    pub fn enter(&mut self, name: &'static str, play: impl Fn(Scale) -> Vec<Figure> + 'static) {
        self.contenders.push(Contender { case: self.case.clone(), name, play: Box::new(play) });
    }

    /// Plays all rounds and prints the tables; or, in a process that was started for that, one play.
    pub fn hold(self) -> ExitCode {
        let mut arguments = env::args().skip(1);
        let (mut bench, mut test, mut rounds, mut words) = (false, false, ROUNDS, Vec::new());
        let mut single = None;
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number follows");
            match argument.as_str() {
                "--bench" => bench = true,
                "--test" => test = true,
                "--rounds" => rounds = number(),
                "--play" => single = Some(number()),
                _ => words.push(argument),
            }
        }
        if let Some(index) = single {
            for (column, value) in (self.contenders[index].play)(Scale { test }) {
                println!("{column}\t{value}");
            }
            return ExitCode::SUCCESS;
        }
        // Cargo says `--bench` when it benches; `cargo test` does not.
        let test = test || !bench;
        let rounds = if test { 1 } else { rounds };
        let chosen: Vec<usize> = (0..self.contenders.len())
            .filter(|&index| {
                let Contender { case, name, .. } = &self.contenders[index];
                let path = format!("{case}/{name}");
                words.is_empty() || words.iter().any(|word| path.contains(word.as_str()))
            })
            .collect();
        self.play_all(&chosen, rounds, test)
    }

    fn play_all(&self, chosen: &[usize], rounds: usize, test: bool) -> ExitCode {
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        for round in 0..rounds {
            for turn in 0..chosen.len() {
                // Nobody always comes after the same neighbour's heat.
                let index = chosen[(turn + round) % chosen.len()];
                let outcome = outcomes.entry(index).or_default();
                if outcome.died.is_some() {
                    continue;
                }
                match play_apart(index, test) {
                    Ok(figures) => {
                        for (column, value) in figures {
                            outcome.add(column, value);
                        }
                    }
                    Err(reason) => outcome.died = Some(reason),
                }
            }
        }
        let mut failed = false;
        if test {
            for (&index, outcome) in &outcomes {
                let Contender { case, name, .. } = &self.contenders[index];
                let verdict = outcome.died.as_deref().unwrap_or("ok");
                failed |= outcome.died.is_some();
                println!("{case}/{name}: {verdict}");
            }
        } else {
            self.print_tables(&outcomes);
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn print_tables(&self, outcomes: &BTreeMap<usize, Outcome>) {
        let mut cases: Vec<&str> =
            outcomes.keys().map(|&index| self.contenders[index].case.as_str()).collect();
        cases.dedup();
        for case in cases {
            let rows: Vec<(&str, &Outcome)> = outcomes
                .iter()
                .map(|(&index, outcome)| (&self.contenders[index], outcome))
                .filter(|(contender, _)| contender.case == case)
                .map(|(contender, outcome)| (contender.name, outcome))
                .collect();
            print_table(case, &rows);
        }
    }
}

/// Least and median of each figure, and the ratio of the median to the reference's.
fn print_table(case: &str, rows: &[(&str, &Outcome)]) {
    let mut columns: Vec<&str> = Vec::new();
    for (column, _) in rows.iter().flat_map(|(_, outcome)| &outcome.figures) {
        if !columns.contains(&column.as_str()) {
            columns.push(column);
        }
    }
    let reference = rows.iter().find(|(name, _)| *name == REFERENCE).map(|(_, outcome)| *outcome);
    println!("\n| {case} | {} |", columns.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len().max(1)));
    for (name, outcome) in rows {
        let cells = match &outcome.died {
            Some(reason) => format!("{reason}{}", " |".repeat(columns.len().saturating_sub(1))),
            None => {
                columns.iter().map(|column| cell(column, outcome, reference)).collect::<Vec<_>>().join(" | ")
            }
        };
        println!("| {name} | {cells} |");
    }
}

fn cell(column: &str, outcome: &Outcome, reference: Option<&Outcome>) -> String {
    let Some(values) = outcome.values(column) else { return String::new() };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = reference
        .and_then(|reference| reference.values(column))
        .map(|all| format!(" ({:.2})", median(values) / median(all)));
    format!("{} / {}{}", short(least), short(median(values)), ratio.unwrap_or_default())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Three digits are what these figures are good for.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// One play in a process of its own.
fn play_apart(index: usize, test: bool) -> Result<Vec<(String, f64)>, String> {
    let mut command = Command::new(env::current_exe().expect("a process knows its program"));
    command.args(["--play", &index.to_string()]);
    if test {
        command.arg("--test");
    }
    // A backtrace of a process that has run out of mappings may need one more, and then hang.
    let mut child = command
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program can start itself");
    let mut pipe = child.stdout.take().expect("it is piped");
    let output = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    let mut pipe = child.stderr.take().expect("it is piped");
    let complaint = thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let patience = if test { PATIENCE_IN_TEST } else { PATIENCE };
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break Some(status);
        }
        if began.elapsed() > patience {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
            break None;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let output = output.join().expect("it only reads").unwrap_or_default();
    let complaint = complaint.join().expect("it only reads").unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(parse(&output)),
        Some(status) => Err(format!("died ({status}): {}", first_words(&complaint))),
        None => Err(format!("hung: {}", first_words(&complaint))),
    }
}

fn parse(output: &str) -> Vec<(String, f64)> {
    output
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(column, value)| (column.to_owned(), value.parse().expect("a play prints numbers")))
        .collect()
}

/// What a dying process said, short enough for a table, and without where in whose source it stands.
fn first_words(complaint: &str) -> String {
    let telling = |line: &&str| !(line.trim().is_empty() || line.contains("panicked at"));
    let line = complaint.lines().find(telling).unwrap_or("without a word");
    line.replace('|', "/").chars().take(120).collect()
}

/// Nanoseconds for each of `count` operations, since `began`.
pub fn nanoseconds_each(began: Instant, count: usize) -> f64 {
    began.elapsed().as_nanos() as f64 / count as f64
}

/// What one of so many repetitions takes, some times; once before, to warm up, is not counted.
pub fn samples(
    scale: Scale,
    column: &'static str,
    repetitions: usize,
    mut operation: impl FnMut(),
) -> Vec<Figure> {
    let mut sample = || {
        let began = Instant::now();
        (0..repetitions).for_each(|_| operation());
        (column, nanoseconds_each(began, repetitions))
    };
    sample();
    (0..scale.samples()).map(|_| sample()).collect()
}

/// As [`samples`], of what is awaited.
pub async fn samples_of_future(
    scale: Scale,
    column: &'static str,
    repetitions: usize,
    mut operation: impl AsyncFnMut(),
) -> Vec<Figure> {
    let mut samples = Vec::new();
    for _ in 0..=scale.samples() {
        let began = Instant::now();
        for _ in 0..repetitions {
            operation().await;
        }
        samples.push((column, nanoseconds_each(began, repetitions)));
    }
    samples.split_off(1)
}

/// The same values in another column.
pub fn in_column(column: &'static str, figures: Vec<Figure>) -> Vec<Figure> {
    figures.into_iter().map(|(_, value)| (column, value)).collect()
}

/// What this process holds of the machine's memory.
#[derive(Clone, Copy)]
pub struct Memory {
    pub resident_bytes: usize,
    pub page_table_bytes: usize,
}

impl Memory {
    /// Reads `statm` for the pages, and `status` for the tables that map them.
    pub fn now() -> Memory {
        /// That of the machines that these benches know.
        const PAGE_BYTES: usize = 4096;
        let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("the second is RSS");
        let kibibytes: usize = status
            .lines()
            .find_map(|line| line.strip_prefix("VmPTE:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .expect("it has VmPTE");
        Memory { resident_bytes: pages * PAGE_BYTES, page_table_bytes: kibibytes * 1024 }
    }

    /// Since then, for each of `count`.
    pub fn since_each(self, then: Memory, count: usize) -> (f64, f64) {
        let each = |now: usize, then: usize| now.saturating_sub(then) as f64 / count as f64;
        (each(self.resident_bytes, then.resident_bytes), each(self.page_table_bytes, then.page_table_bytes))
    }
}

/// The numbers `0..count` in a random order, the same one in each process.
pub fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for last in (1..count).rev() {
        // Marsaglia's xorshift: chance enough for an order.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(last, (state % (last as u64 + 1)) as usize);
    }
    numbers
}
