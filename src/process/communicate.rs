//! All that is said between a child and its parent, at once: what the child reads, and what it writes.

use std::io::{self, Read, Write};
use std::process::Output;

use super::{Child, ChildStdin};
use crate::error::JoinError;
use crate::task;

/// Writes, reads to the ends, and waits for the child, which does not outlive this.
#[track_caller]
pub(super) fn communicate(mut child: Child, input: &[u8]) -> io::Result<Output> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // A child that waits for one of the three does nothing about the others: so none may wait for another here.
    let said = task::try_scope(|s| {
        let stdout = stdout.map(|stdout| s.spawn(|| collect(stdout)));
        let stderr = stderr.map(|stderr| s.spawn(|| collect(stderr)));
        stdin.map_or(Ok(()), |stdin| feed(stdin, input))?;
        // Joined, because a task for which there is no stack has read nothing.
        let stdout = stdout.map(|collecting| collecting.join()).transpose().map_err(not_read)?;
        let stderr = stderr.map(|collecting| collecting.join()).transpose().map_err(not_read)?;
        Ok::<_, io::Error>((stdout.unwrap_or_default(), stderr.unwrap_or_default()))
    });
    match said {
        Ok((stdout, stderr)) => Ok(Output { status: child.wait_or_stop()?, stdout, stderr }),
        Err(failures) => {
            child.stop();
            Err(failures.into_first())
        }
    }
}

/// Writes it all, and closes it.
fn feed(mut stdin: ChildStdin, input: &[u8]) -> io::Result<()> {
    match stdin.write_all(input) {
        // It does not want the rest.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// All that comes, up to the end.
fn collect(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

/// Why a stream was not read.
fn not_read(error: JoinError) -> io::Error {
    match error {
        // For whoever has called, it is all one wait.
        JoinError::NeverRan(cancelled) => cancelled.into(),
        error => error.into(),
    }
}
