//! Both ends of a conversation with a child at once: what it reads, and all that it writes.

use std::io::{self, Read, Write};
use std::process::Output;

use super::{Child, ChildStdin};
use crate::task;

/// Writes, reads to the ends, and waits for the child, which does not outlive this.
#[track_caller]
pub(super) fn communicate(mut child: Child, input: &[u8]) -> io::Result<Output> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    // A child that waits for one of the three does nothing about the others: so none may wait for another here.
    let streams = task::try_scope(|s| {
        if let Some(stdout) = stdout {
            s.spawn(|| collect(stdout, &mut said));
        }
        if let Some(stderr) = stderr {
            s.spawn(|| collect(stderr, &mut complained));
        }
        stdin.map_or(Ok(()), |stdin| feed(stdin, input))
    });
    if let Err(failures) = streams {
        child.stop();
        return Err(failures.into_first());
    }
    Ok(Output { status: child.wait_or_stop()?, stdout: said, stderr: complained })
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
fn collect(mut stream: impl Read, all: &mut Vec<u8>) -> io::Result<()> {
    stream.read_to_end(all).map(drop)
}
