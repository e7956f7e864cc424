//! Waiting for a child by its number without reaping it: it stays a zombie, and its number its own.

use std::io;
use std::process::ExitStatus;

use rustix::process::Pid;

/// How a child has ended, if it has. It can be asked again.
#[cfg(not(any(target_os = "openbsd", target_os = "netbsd", target_os = "redox")))]
pub(super) fn peek(pid: Pid) -> io::Result<Option<ExitStatus>> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::unix::process::ExitStatusExt;

    /// The bit that says, beside a signal, that there is a dump of the process.
    const DUMPED: i32 = 0x80;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let Some(ended) = waitid(WaitId::Pid(pid), options)? else { return Ok(None) };
    let raw = match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) if ended.dumped() => signal | DUMPED,
        (None, Some(signal)) => signal,
        (None, None) => return Ok(None),
    };
    Ok(Some(ExitStatus::from_raw(raw)))
}

/// Blocks the thread until the child has ended.
#[cfg(not(any(target_os = "openbsd", target_os = "netbsd", target_os = "redox")))]
pub(super) fn block_until_ended(pid: Pid) -> io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options))?;
    Ok(())
}

/// These systems cannot be asked without reaping, or do not answer: the thread that waits finds out.
#[cfg(any(target_os = "openbsd", target_os = "netbsd", target_os = "redox"))]
pub(super) fn peek(_: Pid) -> io::Result<Option<ExitStatus>> {
    Ok(None)
}

/// Blocks the thread for a while, after which the child may have ended.
#[cfg(any(target_os = "openbsd", target_os = "netbsd", target_os = "redox"))]
pub(super) fn block_until_ended(_: Pid) -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(5));
    Ok(())
}
