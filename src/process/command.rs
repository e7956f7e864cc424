//! What to run, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::Child;
use super::child::Fate;
use super::orphans;
use super::reaping::Whom;
use crate::scheduler::lowlevel;

/// Starts child processes, as std's: the same methods under the same names, and waits that park the task.
///
/// ```
/// use ropewalk::process::Command;
///
/// # ropewalk::run(|| {
/// let output = Command::new("sh").args(["-c", "echo rope; exit 3"]).output()?;
/// assert_eq!(output.stdout, b"rope\n");
/// assert_eq!(output.status.code(), Some(3));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// It can be used again, for another child of the same kind. What std has and is not here goes by [`as_std_mut`](Command::as_std_mut):
/// `pre_exec`, say.
///
/// Starting a child took 90 µs, at the median, of the 570 µs that a `true` takes from its start to the end of a wait for it; longer on
/// a busy machine, for it waits until the child has become its program. Nothing else runs on this thread meanwhile. It is not moved
/// to another one, because some of what a child inherits belongs to the thread that starts it.
///
/// # What a child inherits
///
/// Descriptors of this library are closed in it. Pipes that are given to it, or made for it, block it. Signals that are blocked in the
/// thread that starts it are blocked in it, as std has it; this library blocks none.
#[doc(alias = "create_subprocess_exec")]
#[doc(alias = "Popen")]
#[doc(alias = "run_process")]
pub struct Command {
    std: std::process::Command,
    /// Of standard input, output and errors: whether it was said what they are to be.
    is_said: [bool; 3],
    fate: Fate,
}

impl Command {
    /// A command that runs `program`, which is looked for in `PATH` unless it is a path itself.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command { std: std::process::Command::new(program), is_said: [false; 3], fate: Fate::USUAL }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.std.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets several variables of the child's environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Command {
        self.std.envs(vars);
        self
    }

    /// Takes a variable out of the child's environment, also if it would be inherited.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Takes all variables out of the child's environment; nothing is inherited.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the folder that the child begins in.
    #[doc(alias = "cwd")]
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(folder);
        self
    }

    /// Says what the child reads. Unless it is said, that is what this process reads; with [`output`](Command::output), nothing.
    ///
    /// A file or a pipe is taken as it is, the ends of [`io::pipe`](crate::io::pipe) too, and what another child writes:
    ///
    /// ```
    /// use ropewalk::process::{Command, Stdio};
    ///
    /// # ropewalk::run(|| {
    /// let mut echo = Command::new("echo").arg("rope").stdout(Stdio::piped()).spawn()?;
    /// let counted = Command::new("wc").arg("-c").stdin(echo.stdout.take().unwrap()).output()?;
    /// assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "5");
    /// assert!(echo.wait()?.success());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.is_said[0] = true;
        self
    }

    /// Says where the child's output goes. Unless it is said, where that of this process goes; with [`output`](Command::output), there.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.is_said[1] = true;
        self
    }

    /// As [`stdout`](Command::stdout), for errors.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.is_said[2] = true;
        self
    }

    /// What becomes of the child when nobody waits for it any more: it is killed, unless this says `false`. Then it runs on.
    ///
    /// Nobody does when its [`Child`] is dropped, and when a call was cancelled that had it: [`status`](Command::status),
    /// [`output`](Command::output), [`Child::wait_with_output`]. Those wait for the child that they have killed.
    ///
    /// Killing is what scopes promise: nothing that was begun in them goes on behind them. A child that is to outlive its parent is the
    /// rarer case, and the one to ask for; std never kills, and trio always does. Reaped they are either way.
    ///
    /// ```
    /// use ropewalk::{process::Command, time};
    /// use std::time::Duration;
    ///
    /// # ropewalk::run(|| {
    /// // The deadline ends the child too.
    /// let limit = Duration::from_millis(5);
    /// assert!(time::timeout(limit, || Command::new("sleep").arg("1000").status()).is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "deliver_cancel")]
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.fate.kill_on_drop = kill;
        self
    }

    /// A call that was cancelled asks its child to end, with `SIGTERM`, and kills it after `grace`, as
    /// [`Child::terminate_within`] does. So long the call may take to return.
    ///
    /// A [`Child`] that is dropped is killed at once all the same: a drop does not wait.
    #[doc(alias = "deliver_cancel")]
    pub fn terminate_within(&mut self, grace: Duration) -> &mut Command {
        self.fate.grace = Some(grace);
        self
    }

    /// Puts the child into a process group of its own, and whatever kills it kills all who are in that: the children of a shell,
    /// say.
    ///
    /// Until it was waited for: then the group might be another one. Who leaves the group, as daemons do, is not killed. Ctrl-C at a
    /// terminal does not reach such a child, nor may it read from there.
    #[doc(alias = "start_new_session")]
    pub fn own_group(&mut self) -> &mut Command {
        self.std.process_group(0);
        self.fate.whom = Whom::Group;
        self
    }

    /// Puts the child into a process group: 0 is one of its own, which is not killed with it. See
    /// [`own_group`](Command::own_group).
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self.fate.whom = Whom::Child;
        self
    }

    /// Sets the user that the child runs as.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the group that the child runs as.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Sets what the child sees as its name, argument zero.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg0(arg);
        self
    }

    /// Starts a child, and does not wait for it.
    ///
    /// # Errors
    ///
    /// As std's: there is no such program, or it cannot be run, or there are no more processes or descriptors. Then there is no child.
    #[doc(alias = "open_process")]
    pub fn spawn(&mut self) -> io::Result<Child> {
        orphans::place_unwatched();
        Child::new(self.std.spawn()?, self.fate)
    }

    /// Runs a child to its end, and says how it has ended.
    ///
    /// # Cancellation
    ///
    /// If it is cancelled before, no child is started. Later the child is killed and waited for; unless it has ended by itself,
    /// which is then returned. See [`terminate_within`](Command::terminate_within) and [`kill_on_drop`](Command::kill_on_drop).
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        lowlevel::may_wait()?;
        self.spawn()?.wait_or_stop()
    }

    /// Runs a child to its end, and gives what it has written and how it has ended.
    ///
    /// Unless something else was said, its output and errors are collected, and it has nothing to read. See
    /// [`Child::wait_with_output`] for when the output ends. There is no limit on it: who does not trust the child reads
    /// [`Child::stdout`] through [`Read::take`](std::io::Read::take), say.
    ///
    /// # Cancellation
    ///
    /// If it is cancelled before, no child is started. Later the child is killed and waited for, and what it has written is dropped. See
    /// [`terminate_within`](Command::terminate_within) and [`kill_on_drop`](Command::kill_on_drop).
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "check_output")]
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        lowlevel::may_wait()?;
        let child = self.spawn_with([Stdio::null, Stdio::piped, Stdio::piped])?;
        child.wait_with_output()
    }

    /// As [`output`](Command::output), with something to read for the child, however long it is.
    ///
    /// ```
    /// use ropewalk::process::Command;
    ///
    /// # ropewalk::run(|| {
    /// assert_eq!(Command::new("tr").args(["a-z", "A-Z"]).output_of(b"rope")?.stdout, b"ROPE");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// As for `output`.
    ///
    /// # Errors
    ///
    /// As for `output`. Something else was said that the child reads: see [`Child::communicate`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[doc(alias = "communicate")]
    #[doc(alias = "input")]
    #[track_caller]
    pub fn output_of(&mut self, input: impl AsRef<[u8]>) -> io::Result<Output> {
        lowlevel::may_wait()?;
        let child = self.spawn_with([Stdio::piped; 3])?;
        child.communicate(input.as_ref())
    }

    /// Starts a child, whose streams are made where nothing was said of them.
    fn spawn_with(&mut self, unsaid: [fn() -> Stdio; 3]) -> io::Result<Child> {
        self.set_unsaid(unsaid);
        let child = self.spawn();
        self.set_unsaid([Stdio::inherit; 3]);
        child
    }

    fn set_unsaid(&mut self, [stdin, stdout, stderr]: [fn() -> Stdio; 3]) {
        let set =
            [std::process::Command::stdin, std::process::Command::stdout, std::process::Command::stderr];
        for ((set, make), is_said) in set.into_iter().zip([stdin, stdout, stderr]).zip(self.is_said) {
            if !is_said {
                set(&mut self.std, make());
            }
        }
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments, without the program.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// What was said of the environment; `None` for variables that are taken out.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The folder that the child begins in, if it was said.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }

    /// What std has of it.
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// What std has of it, to be changed: by `pre_exec`, say.
    ///
    /// Nobody knows afterwards what was said of the child's input: [`output`](Command::output) leaves that as it is. The child's output
    /// and errors it collects unless it was said *here* where they go.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        self.is_said[0] = true;
        &mut self.std
    }

    /// What std has of it.
    pub fn into_std(self) -> std::process::Command {
        self.std
    }
}

/// Of what was said of the streams, see [`Command::as_std_mut`].
impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Command {
        Command { std, is_said: [true, false, false], fate: Fate::USUAL }
    }
}

/// As a shell would have it.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
