//! Runs several commands at once, and shows live what each says, line by line, behind its number.
//!
//! ```text
//! cargo run --example run_commands -- [-j COUNT] [-t SECONDS] [-x] [COMMAND]...
//!
//! -j COUNT     run no more than so many at once; else as many as there are processors
//! -t SECONDS   end a command that takes longer, with all it has started
//! -x           end the others when one has failed
//!
//! $ cargo run --example run_commands -- 'echo one; sleep 1; echo three' 'sleep 0.5; echo two >&2; exit 3'
//! [1] $ echo one; sleep 1; echo three
//! [2] $ sleep 0.5; echo two >&2; exit 3
//! [1] one
//! [2] ! two
//! [2] = exit status: 3
//! [1] three
//! [1] = exit status: 0
//!
//! [1] exit status: 0: echo one; sleep 1; echo three
//! [2] exit status: 3: sleep 0.5; echo two >&2; exit 3
//! 1 of 2 succeeded
//! ```
//!
//! Without a COMMAND it reads them from standard input, one in each line. It succeeds if all of them do.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ropewalk::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use ropewalk::select::{Chosen, select};
use ropewalk::sync::{Latch, Semaphore};
use ropewalk::{task, time};

const USAGE: &str = "Usage: run_commands [-j COUNT] [-t SECONDS] [-x] [COMMAND]...";

/// How long a command that is asked to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes of a line that are shown in one; the rest of a longer one is shown as another.
const LONGEST_LINE: u64 = 64 << 10;

struct Options {
    at_once: usize,
    limit: Option<Duration>,
    stop_at_failure: bool,
    commands: Vec<String>,
}

/// What has become of a command.
enum Outcome {
    Ended(ExitStatus),
    TookTooLong(ExitStatus),
    /// It was ended because another one has failed.
    Stopped(ExitStatus),
    NotRun,
}

impl Outcome {
    fn is_success(&self) -> bool {
        matches!(self, Outcome::Ended(status) if status.success())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ended(status) => status.fmt(f),
            Outcome::TookTooLong(status) => write!(f, "took too long, {status}"),
            Outcome::Stopped(status) => write!(f, "stopped, {status}"),
            Outcome::NotRun => f.write_str("not run"),
        }
    }
}

/// One line of output, whole: lines of several commands do not get mixed up.
fn show(number: usize, mark: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
    let text = text.as_ref();
    let mut line = format!("[{number}] {mark}").into_bytes();
    line.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
    line.push(b'\n');
    io::stdout().lock().write_all(&line)
}

/// Shows what a command says, as it says it, up to the end.
fn pass_on(number: usize, mark: &str, stream: impl Read) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        show(number, mark, &line)?;
        line.clear();
    }
    Ok(())
}

fn pass_on_both(number: usize, stdout: ChildStdout, stderr: ChildStderr) -> io::Result<()> {
    task::try_scope(|s| {
        s.spawn(move || pass_on(number, "", stdout));
        s.spawn(move || pass_on(number, "! ", stderr));
        Ok::<_, io::Error>(())
    })?;
    Ok(())
}

/// Runs a command to its end, or ends it: when its time is over, or when all are to stop.
fn run(number: usize, command: &str, limit: Option<Duration>, stop: &Latch) -> io::Result<Outcome> {
    show(number, "$ ", command)?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it has started is ended with it.
        .own_group()
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let outcome = task::try_scope(|s| {
        let output = s.spawn(move || pass_on_both(number, stdout, stderr));
        // First the end of all output, and of all who have it open. As long as the command was not waited for they can be ended.
        let first = select((output.joining(), stop.waiting(), limit.map(time::sleeping)))?;
        Ok::<_, io::Error>(match first {
            Chosen::First(_) => Outcome::Ended(child.wait()?),
            // What they say at their ends is still passed on, before the scope ends.
            Chosen::Second(()) => Outcome::Stopped(child.terminate_within(GRACE)?),
            Chosen::Third(()) => Outcome::TookTooLong(child.terminate_within(GRACE)?),
        })
    })?;
    show(number, "= ", outcome.to_string())?;
    Ok(outcome)
}

/// Runs them all, and gives what has become of each, in their order.
fn run_all(options: &Options) -> io::Result<Vec<Outcome>> {
    let permits = Semaphore::new(options.at_once);
    let stop = Latch::new();
    let outcomes: Vec<_> = options.commands.iter().map(|_| Cell::new(Outcome::NotRun)).collect();
    task::try_scope(|s| {
        for (index, command) in options.commands.iter().enumerate() {
            // In their order: who waits here lets no other one pass.
            let permit = permits.acquire()?;
            if stop.is_set() {
                break;
            }
            let (stop, outcome) = (&stop, &outcomes[index]);
            s.spawn(move || {
                let _permit = permit;
                let ended = run(index + 1, command, options.limit, stop)?;
                if options.stop_at_failure && !ended.is_success() {
                    stop.set();
                }
                outcome.set(ended);
                Ok(())
            });
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(outcomes.into_iter().map(Cell::into_inner).collect())
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut arguments = arguments.peekable();
    let mut options = Options {
        at_once: thread::available_parallelism().map_or(1, usize::from),
        limit: None,
        stop_at_failure: false,
        commands: Vec::new(),
    };
    while let Some(option) = arguments.next_if(|argument| argument.starts_with('-')) {
        let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a number"));
        match option.as_str() {
            "-j" => {
                let count = value()?.parse().ok().filter(|&count| count > 0);
                options.at_once = count.ok_or("-j needs a number, of one or more")?;
            }
            "-t" => {
                let seconds =
                    value()?.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                options.limit = Some(seconds.ok_or("-t needs a number of seconds")?);
            }
            "-x" => options.stop_at_failure = true,
            "--" => break,
            _ => return Err(format!("there is no option {option}")),
        }
    }
    options.commands = arguments.collect();
    Ok(options)
}

fn main() -> ExitCode {
    let mut options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("run_commands: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let ended = (|| {
        if options.commands.is_empty() {
            let lines: Vec<_> = io::stdin().lines().collect::<io::Result<_>>()?;
            options.commands = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
        }
        let outcomes = ropewalk::run(|| run_all(&options))?;
        let mut out = io::stdout().lock();
        writeln!(out)?;
        for (index, (outcome, command)) in outcomes.iter().zip(&options.commands).enumerate() {
            writeln!(out, "[{}] {outcome}: {command}", index + 1)?;
        }
        let succeeded = outcomes.iter().filter(|outcome| outcome.is_success()).count();
        writeln!(out, "{succeeded} of {} succeeded", outcomes.len())?;
        io::Result::Ok(succeeded == outcomes.len())
    })();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("run_commands: {error}");
            ExitCode::FAILURE
        }
    }
}
