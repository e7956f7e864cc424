//! A child that runs, or has run.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::communicate;
use super::orphans;
use super::reaping::{Reaping, Whom};
use super::{ChildStderr, ChildStdin, ChildStdout};
use crate::error::Cancelled;
use crate::scheduler::io::AtDescriptor;
use crate::scheduler::lowlevel::{self, Arm, AtTime, Readiness};
use crate::select::{Chosen, select};
use crate::sync::cross;
use crate::time;

/// A child process, as std's, whose waits park the task: [`Command::spawn`](super::Command::spawn) starts it.
///
/// ```
/// use ropewalk::io::LineReader;
/// use ropewalk::process::{Command, Stdio};
/// use std::io::Write;
///
/// # ropewalk::run(|| {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let mut input = child.stdin.take().unwrap();
/// let mut output = LineReader::new(child.stdout.take().unwrap());
/// writeln!(input, "hemp")?;
/// assert_eq!(output.next_line()?, Some("hemp"));                 // The task parks, until the child has answered.
/// drop(input);                                                   // So the child comes to an end.
/// assert!(child.wait()?.success());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// One that is dropped is killed, unless it was started with [`kill_on_drop(false)`](super::Command::kill_on_drop). Either way it is
/// reaped when it has ended, by whatever there is then: no zombie is left behind. A drop does not wait.
///
/// A child that is forgotten, with [`mem::forget`](std::mem::forget) or in a cycle of `Rc`, runs on, and stays a zombie until
/// this process ends.
///
/// It is `Send` and `Sync`, and belongs to no runtime: one task may wait for it while another one, or a thread, kills it.
///
/// # Platform
///
/// Linux tells by a descriptor (a *pidfd*, from 5.3 on) that a child has ended. It is opened for the time of a wait. Where that
/// cannot be, as on other systems, in some containers or because there are no more descriptors, a thread waits for the child.
///
/// A process that ignores `SIGCHLD`, or calls `waitpid(-1)`, takes the statuses away: then waits fail with `ECHILD`.
#[derive(Debug)]
pub struct Child {
    /// What the child reads, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// What the child writes, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// What the child says of what goes wrong, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    kept: Kept,
}

/// What becomes of a child that nobody waits for any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) kill_on_drop: bool,
    /// How long it has to end by itself, where that can be waited for.
    pub(super) grace: Option<Duration>,
    /// Whom a kill is for.
    pub(super) whom: Whom,
}

impl Fate {
    pub(super) const USUAL: Fate = Fate { kill_on_drop: true, grace: None, whom: Whom::Child };
}

/// The child itself, without its pipes, which can be taken out of a [`Child`] as long as that has no destructor.
#[derive(Debug)]
struct Kept {
    reaping: Arc<Reaping>,
    fate: Fate,
}

impl Kept {
    /// To all who end with it.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let Kept { reaping, fate } = self;
        match fate.whom {
            Whom::Child => reaping.signal(signal, Whom::Child),
            // It may have left its group.
            Whom::Group => {
                reaping.signal(signal, Whom::Group).or_else(|_| reaping.signal(signal, Whom::Child))
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.fate.kill_on_drop {
            // There is nobody to tell that it may not be killed, as is so with one that has become another user's, or that somebody
            // else has reaped it.
            let _ = self.signal(Signal::KILL);
        }
        orphans::adopt(&self.reaping);
    }
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, fate: Fate) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Before anything fails: then it is dropped.
        let kept = Kept { reaping: Arc::new(Reaping::new(child)), fate };
        Ok(Child {
            stdin: stdin.map(ChildStdin::try_from).transpose()?,
            stdout: stdout.map(ChildStdout::try_from).transpose()?,
            stderr: stderr.map(ChildStderr::try_from).transpose()?,
            kept,
        })
    }

    /// The number that the system knows it by. Once it was waited for, another process may have it.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.kept.reaping.id()
    }

    /// Parks until the child has ended, and says how. Once it has, the answer is always the same.
    ///
    /// It closes the child's input first, as std's does: a child that reads to the end of it ends. Output that is a pipe and is not
    /// read can keep a child from ending: see [`wait_with_output`](Child::wait_with_output).
    ///
    /// A child of the child's that lives on is not waited for.
    ///
    /// # Cancellation
    ///
    /// The child runs on, without its input, and can be waited for again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]; the status was taken by somebody else.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        lowlevel::wait(&mut self.waiting())?
    }

    /// An arm that waits until the child has ended, for [`select`]; its input stays open.
    ///
    /// ```
    /// use ropewalk::process::Command;
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::time;
    /// use std::time::Duration;
    ///
    /// # ropewalk::run(|| {
    /// let child = Command::new("sleep").arg("1000").spawn()?;
    /// match select((child.waiting(), time::sleeping(Duration::from_millis(5))))? {
    ///     Chosen::First(status) => panic!("it has ended: {}", status?),
    ///     Chosen::Second(()) => child.kill()?,
    /// }
    /// assert!(!select(child.waiting())??.success());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// Several tasks may wait for one child, each with an arm of its own, and all are given the status.
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { child: &self.kept.reaping, means: None }
    }

    /// How the child has ended, if it has. It does not wait, and works everywhere.
    ///
    /// # Errors
    ///
    /// The status was taken by somebody else.
    #[doc(alias = "poll")]
    #[doc(alias = "returncode")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.kept.reaping.try_wait()
    }

    /// Closes the child's input, reads its output and errors to their ends, as far as they are pipes, and waits for the child.
    ///
    /// Both are read at once, so that neither fills while the other is waited for. They end when nobody has them open any more: if the
    /// child leaves a child behind that has, this waits for that too, as std's does.
    ///
    /// ```
    /// use ropewalk::process::{Command, Stdio};
    ///
    /// # ropewalk::run(|| {
    /// let child = Command::new("echo").arg("rope").stdout(Stdio::piped()).spawn()?;
    /// let output = child.wait_with_output()?;
    /// assert_eq!(output.stdout, b"rope\n");
    /// assert!(output.status.success());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// The child is killed and waited for, and what it has said is dropped; with `kill_on_drop(false)` it runs on. See
    /// [`Command::terminate_within`](super::Command::terminate_within).
    ///
    /// # Errors
    ///
    /// [`Cancelled`]; as the system has it.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn wait_with_output(self) -> io::Result<Output> {
        communicate::communicate(self, &[])
    }

    /// As [`wait_with_output`](Child::wait_with_output), and writes `input` meanwhile, however long that is.
    ///
    /// ```
    /// use ropewalk::process::{Command, Stdio};
    ///
    /// # ropewalk::run(|| {
    /// let child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.communicate(b"sisal\nhemp\n")?.stdout, b"hemp\nsisal\n");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// A child may end, or close its input, before it has read it all. That is no error.
    ///
    /// # Cancellation
    ///
    /// As for `wait_with_output`.
    ///
    /// # Errors
    ///
    /// As for `wait_with_output`. The child's input is not a pipe, or was taken: of the kind `InvalidInput`; then the child is dropped.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn communicate(self, input: &[u8]) -> io::Result<Output> {
        if self.stdin.is_none() {
            let what = "the child's input is no pipe that it could be written to: `stdin(Stdio::piped())`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        communicate::communicate(self, input)
    }

    /// Kills the child, with `SIGKILL`; with [`own_group`](super::Command::own_group) all of its group.
    ///
    /// If it has ended, that changes nothing and is no error. It does not wait, and works everywhere; the child has not ended when
    /// this returns, but soon: [`wait`](Child::wait) for it.
    ///
    /// # Errors
    ///
    /// As the system has it: a child that has become another user's may not be killed.
    pub fn kill(&self) -> io::Result<()> {
        self.kept.signal(Signal::KILL)
    }

    /// Sends the child a signal, by its number: `SIGTERM` is 15, or [`Signal::TERM.into()`](crate::signal::Signal).
    ///
    /// A child that was waited for gets none, and that is no error. No other process gets it in its place. It works everywhere.
    ///
    /// # Errors
    ///
    /// There is no such signal, or it is one of the real-time signals, which this cannot send: of the kind `InvalidInput`. As the
    /// system has it.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        self.kept.reaping.signal(named(signal)?, Whom::Child)
    }

    /// Sends a signal to all in the child's process group, which it must lead: [`process_group(0)`](super::Command::process_group).
    ///
    /// When the child was waited for, this reaches nobody, whoever is left of the group: another one may have its number by then.
    ///
    /// # Errors
    ///
    /// As for [`send_signal`](Child::send_signal); the child leads no group.
    pub fn send_process_group_signal(&self, signal: i32) -> io::Result<()> {
        self.kept.reaping.signal(named(signal)?, Whom::Group)
    }

    /// Kills all in the child's process group; for the rest, as [`send_process_group_signal`](Child::send_process_group_signal).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill_process_group(&self) -> io::Result<()> {
        self.kept.reaping.signal(Signal::KILL, Whom::Group)
    }

    /// Asks the child to end, with `SIGTERM`, kills it if it has not after `grace`, and waits for it.
    ///
    /// With [`own_group`](super::Command::own_group) that goes for all of its group: who is left of it when the child has ended is
    /// killed. The child's input is closed.
    ///
    /// ```
    /// use ropewalk::process::Command;
    /// use std::os::unix::process::ExitStatusExt;
    /// use std::time::Duration;
    ///
    /// # ropewalk::run(|| {
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// let status = child.terminate_within(Duration::from_secs(10))?;     // It does not take that long.
    /// assert_eq!(status.signal(), Some(15));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// It ends the grace, not the wait: the child is killed at once, waited for, and the status is returned. Inside of a
    /// [`shield`](crate::task::shield) the grace stays what it is.
    ///
    /// # Errors
    ///
    /// As the system has it. [`Cancelled`] where a task unwinds, and in callbacks: then the child was killed, and was not waited for.
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "terminate")]
    #[track_caller]
    pub fn terminate_within(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if self.kept.fate.whom == Whom::Group {
            self.kept.reaping.sweep();
        }
        self.kept.signal(Signal::TERM)?;
        if let Ok(Chosen::First(ended)) = select((self.waiting(), time::sleeping(grace))) {
            return ended;
        }
        self.kill()?;
        lowlevel::shield(|| self.wait())
    }

    /// As [`wait`](Child::wait), where the child must not outlive the call.
    #[track_caller]
    pub(super) fn wait_or_stop(&mut self) -> io::Result<ExitStatus> {
        match self.wait() {
            Err(error) if Cancelled::is(&error) => match self.try_wait() {
                // It has ended by itself: what was done is returned.
                Ok(Some(status)) => Ok(status),
                _ => {
                    self.stop();
                    Err(error)
                }
            },
            waited => waited,
        }
    }

    /// What becomes of the child when the call that has it was cancelled, or has failed.
    #[track_caller]
    pub(super) fn stop(&mut self) {
        let Fate { kill_on_drop, grace, .. } = self.kept.fate;
        if kill_on_drop {
            // What is wrong with it is no news beside why it is stopped; if it was not waited for, the drop sees to it.
            let _ = lowlevel::shield(|| match grace {
                Some(grace) => self.terminate_within(grace),
                None => self.kill().and_then(|()| self.wait()),
            });
        }
    }
}

fn named(signal: i32) -> io::Result<Signal> {
    let found = Signal::from_named_raw(signal);
    found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} is no signal with a name"))
    })
}

/// A child that std has started. It is killed when it is dropped.
impl TryFrom<std::process::Child> for Child {
    type Error = io::Error;

    fn try_from(child: std::process::Child) -> io::Result<Child> {
        let child = Child::new(child, Fate::USUAL)?;
        // If it was waited for already, its number is another's, and std knows.
        child.try_wait()?;
        Ok(child)
    }
}

/// An arm that waits until a child has ended: see [`Child::waiting`].
#[must_use = "nothing is waited for until it is selected"]
pub struct Waiting<'a> {
    child: &'a Arc<Reaping>,
    /// Chosen for the first wait.
    means: Option<Means<'a>>,
}

/// By what to hear that a child has ended.
enum Means<'a> {
    Descriptor(Readiness<OwnedFd>),
    /// A thread watches, which sets an event.
    Thread(cross::Waiting<'a>),
    /// There is nothing that would tell: to ask again after a while.
    Pause,
}

/// How long to wait before asking again, where nothing tells: there are neither descriptors nor threads, or a debugger keeps a child
/// that has ended from being reaped.
const PAUSE: Duration = Duration::from_millis(5);

impl<'a> Means<'a> {
    fn of(child: &'a Arc<Reaping>) -> Means<'a> {
        if !child.is_watched() {
            if let Ok(descriptor) = child.descriptor() {
                return Means::Descriptor(lowlevel::readable(descriptor));
            }
        }
        Means::without_descriptor(child)
    }

    fn without_descriptor(child: &'a Arc<Reaping>) -> Means<'a> {
        if Reaping::watch(child) { Means::Thread(child.has_ended().waiting()) } else { Means::Pause }
    }
}

/// Where to wait, for each of the means. It is named as the place of an arm, and is for nobody to use.
type AtChild<'a> = (Option<AtDescriptor>, Option<<cross::Waiting<'a> as Arm>::Place>, Option<AtTime>);

impl<'a> Arm for Waiting<'a> {
    type Output = io::Result<ExitStatus>;
    type Place = AtChild<'a>;

    fn try_now(&mut self) -> Option<io::Result<ExitStatus>> {
        self.child.try_wait().transpose()
    }

    fn place(&mut self) -> AtChild<'a> {
        match self.means.get_or_insert_with(|| Means::of(self.child)) {
            Means::Descriptor(readable) => (Some(readable.place()), None, None),
            Means::Thread(waiting) => (None, Some(waiting.place()), None),
            Means::Pause => (None, None, Some(AtTime::new(time::now() + PAUSE))),
        }
    }

    fn end(&mut self, place: AtChild<'a>) -> Option<io::Result<ExitStatus>> {
        let is_granted = match (self.means.as_mut()?, place) {
            (Means::Descriptor(readable), (Some(place), ..)) => match readable.end(place)? {
                Ok(()) => true,
                // The system cannot wait for such a descriptor.
                Err(_) => {
                    self.means = Some(Means::without_descriptor(self.child));
                    return None;
                }
            },
            (Means::Thread(waiting), (_, Some(place), _)) => waiting.end(place).is_some(),
            (Means::Pause, (.., Some(place))) => place.has_come(),
            _ => false,
        };
        if !is_granted {
            return None;
        }
        let ended = self.child.try_wait().transpose();
        // Next time there may be something that tells.
        self.means = match self.means {
            Some(Means::Pause) => None,
            _ => Some(Means::Pause),
        };
        ended
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end of child {}", self.child.id())
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting(end of child {})", self.child.id())
    }
}
