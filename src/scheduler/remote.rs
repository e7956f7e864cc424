//! The way in from other threads: closures are posted, the scheduler runs them between the steps of its tasks.
//!
//! Invariant: whoever was told that a message arrived has it delivered; whoever was not has it back.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::core::Core;
use super::door::{Door, Mail};
use super::fork;
use super::handle::{self, Options};
use super::here;
use super::ticket::Ticket;
use crate::driver::choice::DriverAlarm;
use crate::error::RemoteError;

pub(super) type Message = Box<dyn FnOnce() + Send>;

/// The door of a scheduler, and how many other threads may still knock.
pub(crate) struct Gate {
    door: Door<Message, DriverAlarm>,
    remotes: AtomicUsize,
    /// The process whose it is.
    generation: usize,
}

impl Gate {
    pub(super) fn new(alarm: DriverAlarm) -> Gate {
        Gate { door: Door::new(alarm), remotes: AtomicUsize::new(0), generation: fork::generation() }
    }

    /// Whether it leads into another process: the one that this was forked from.
    fn is_elsewhere(&self) -> bool {
        self.generation != fork::generation()
    }

    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        self.door.has_mail()
    }

    pub(super) fn push(&self, message: Message) -> Result<(), Message> {
        if self.is_elsewhere() {
            return Err(message);
        }
        self.door.push(message)
    }

    pub(super) fn take(&self) -> Mail<Message> {
        self.door.take()
    }

    pub(super) fn fall_asleep(&self) -> bool {
        self.door.fall_asleep()
    }

    /// Whether nobody has left mail, or knocked, since it fell asleep.
    pub(super) fn is_asleep(&self) -> bool {
        self.door.is_asleep()
    }

    pub(super) fn wake_up(&self) {
        self.door.wake_up();
    }

    pub(super) fn close(&self) -> Mail<Message> {
        self.door.close()
    }

    /// How many other threads may still knock.
    pub(super) fn remotes(&self) -> usize {
        self.remotes.load(Ordering::Acquire)
    }

    /// Whether anybody could still bring a message. A remote that goes after this has said yes knocks itself.
    pub(super) fn can_bring(&self) -> bool {
        self.remotes.load(Ordering::Acquire) > 0 && !self.door.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.door.is_closed()
    }
}

/// A handle to a runtime for other threads: `Send`, `Sync`, and cheap to clone.
///
/// While there is one, a runtime whose tasks all wait is not taken to be in deadlock: a message could come.
///
/// What is sent can hold no `Rc` and borrow nothing; what it is for, it finds in a `thread_local!`, for it runs on the
/// runtime's thread. Here a thread feeds a queue that tasks wait at:
///
/// ```
/// use ropewalk::Cancelled;
/// use ropewalk::lowlevel::{self, WaitList, Why};
/// use std::cell::RefCell;
/// use std::collections::VecDeque;
/// use std::rc::Rc;
/// use std::thread;
///
/// #[derive(Default)]
/// struct Inbox {
///     numbers: RefCell<VecDeque<u32>>,
///     waiting: WaitList<u32>,
/// }
///
/// impl Inbox {
///     fn put(&self, number: u32) {
///         if let Err(number) = self.waiting.wake_one(number) {
///             self.numbers.borrow_mut().push_back(number);       // Nobody waits.
///         }
///     }
///
///     fn take(&self) -> Result<u32, Cancelled> {
///         let first = self.numbers.borrow_mut().pop_front();
///         first.map_or_else(|| self.waiting.wait(&Why::new("number")), Ok)
///     }
/// }
///
/// thread_local! {
///     static INBOX: Rc<Inbox> = Rc::default();
/// }
///
/// let sum: Result<u32, Cancelled> = ropewalk::run(|| {
///     let inbox = INBOX.with(Rc::clone);
///     let remote = lowlevel::remote();
///     thread::spawn(move || {
///         for number in 1..=3 {
///             remote.post(move || INBOX.with(|inbox| inbox.put(number))).unwrap();
///         }
///     });
///     (0..3).map(|_| inbox.take()).sum()
/// });
/// assert_eq!(sum, Ok(6));
/// ```
///
/// A task that joins a *thread* blocks all tasks, and for ever if that thread waits for one of them: join threads outside of
/// [`run`](crate::run), or have them say that they are done.
pub struct Remote {
    gate: Arc<Gate>,
}

/// The runtime is gone; this is what it was to do.
///
/// Where the closure is not wanted back, `map_err(RemoteError::from)` makes it an error that is `Sync`.
pub struct Gone(pub Box<dyn FnOnce() + Send>);

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gone(..)")
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RemoteError::Gone.fmt(f)
    }
}

impl std::error::Error for Gone {}

impl From<Gone> for RemoteError {
    fn from(_: Gone) -> RemoteError {
        RemoteError::Gone
    }
}

/// A handle for other threads to the runtime that this code runs under.
///
/// # Panics
///
/// Outside of [`run`](crate::run).
#[track_caller]
pub fn remote() -> Remote {
    Remote::to(here::need_core().gate().clone())
}

impl Remote {
    fn to(gate: Arc<Gate>) -> Remote {
        gate.remotes.fetch_add(1, Ordering::Relaxed);
        Remote { gate }
    }

    /// Has `call` run on the runtime's thread, after what was posted before and between the steps of tasks.
    ///
    /// It must be short, and cannot wait: that is for [`spawn`](Remote::spawn). A panic goes to the runtime's hook.
    /// It runs in no task; how it finds what it is for stands [above](Remote).
    ///
    /// # Errors
    ///
    /// The runtime is gone: the closure comes back.
    pub fn post(&self, call: impl FnOnce() + Send + 'static) -> Result<(), Gone> {
        self.gate.push(Box::new(call)).map_err(Gone)
    }

    /// Spawns a task there. Another thread can wait for its result.
    ///
    /// # Errors
    ///
    /// The runtime is gone.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<RemoteTask<T>, RemoteError> {
        let spawned = Location::caller();
        let (sender, receiver) = mpsc::sync_channel(1);
        let call = move || {
            let task = move || {
                // Nobody may be listening.
                let _ = sender.send(task());
            };
            drop(handle::spawn_from(spawned, task, Options::default()));
        };
        self.post(call)?;
        Ok(RemoteTask { result: receiver, generation: fork::generation() })
    }

    /// Spawns a task there and blocks this *thread* until it has ended.
    ///
    /// # Errors
    ///
    /// The runtime is gone, or the task ended without a result.
    ///
    /// # Panics
    ///
    /// In a task: it would block all others.
    #[track_caller]
    pub fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RemoteError> {
        assert_may_block();
        self.spawn(task)?.join()
    }

    /// Whether the runtime is still there. It may go right after.
    pub fn is_alive(&self) -> bool {
        !self.gate.door.is_closed() && !self.gate.is_elsewhere()
    }
}

impl Clone for Remote {
    fn clone(&self) -> Remote {
        Remote::to(self.gate.clone())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.gate.remotes.fetch_sub(1, Ordering::Release) == 1 && !self.gate.is_elsewhere() {
            // The scheduler may sleep until somebody knocks, and now nobody could.
            self.gate.door.knock();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("is_alive", &self.is_alive()).finish()
    }
}

#[track_caller]
fn assert_may_block() {
    assert!(
        // In a forked child it ends at once.
        here::lend_core().is_none() || here::is_forked(),
        "this would block the thread, and all its tasks: wait in another thread"
    );
}

/// A task that another thread has spawned, as that thread sees it.
#[derive(Debug)]
pub struct RemoteTask<T> {
    result: mpsc::Receiver<T>,
    /// The process in which it runs.
    generation: usize,
}

impl<T> RemoteTask<T> {
    /// Blocks this *thread* until the task has ended.
    ///
    /// # Errors
    ///
    /// It panicked, or never ran because the runtime ended; it runs in the process that this one was forked from: [`RemoteError::Lost`].
    ///
    /// # Panics
    ///
    /// In a task: it would block all others.
    #[track_caller]
    pub fn join(self) -> Result<T, RemoteError> {
        assert_may_block();
        match self.generation == fork::generation() {
            true => self.result.recv().map_err(|_| RemoteError::Lost),
            // Its sender is here too, among the copies, and sends nothing.
            false => self.try_join().expect("what will not come is lost"),
        }
    }

    /// The result, if the task has ended.
    ///
    /// # Errors
    ///
    /// As for [`join`](RemoteTask::join).
    pub fn try_join(&self) -> Option<Result<T, RemoteError>> {
        match self.result.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(mpsc::TryRecvError::Empty) if self.generation == fork::generation() => None,
            Err(mpsc::TryRecvError::Empty) => Some(Err(RemoteError::Lost)),
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(RemoteError::Lost)),
        }
    }
}

/// Something of a runtime's that another thread lets go of, by dropping this. While there is one, no deadlock is found: see
/// [`Remote`].
pub(crate) struct Deposit {
    remote: Remote,
    key: u64,
}

impl Deposit {
    /// # Panics
    ///
    /// Outside of `run`.
    #[track_caller]
    pub(crate) fn new(thing: Box<dyn Any>) -> Deposit {
        let core = here::need_core();
        Deposit { remote: Remote::to(core.gate().clone()), key: core.keep(thing) }
    }
}

impl Drop for Deposit {
    fn drop(&mut self) {
        let key = self.key;
        // If the runtime is gone, so is what it kept.
        let _ = self.remote.post(move || drop(here::need_core().give_up(key)));
    }
}

/// A [`Ticket`] that another thread can spend. While there is one, no deadlock is found: see [`Remote`].
pub struct RemoteTicket<T> {
    remote: Remote,
    /// Where the ticket itself is kept; `None` once it was spent.
    key: Option<u64>,
    /// Invariant: the ticket is found again by its exact type.
    values: PhantomData<fn(T) -> T>,
}

impl<T: Send + 'static> Ticket<T> {
    /// Lets another thread spend it.
    ///
    /// ```
    /// use ropewalk::lowlevel::{self, Undo, Why};
    /// use std::thread;
    ///
    /// let answer = ropewalk::run(|| {
    ///     lowlevel::park(
    ///         &Why::new("answer"),
    ///         |ticket| {
    ///             let ticket = ticket.into_remote();
    ///             thread::spawn(move || ticket.wake(42));
    ///         },
    ///         || Undo::Done,
    ///     )
    /// });
    /// assert_eq!(answer, Ok(42));
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn into_remote(self) -> RemoteTicket<T> {
        let core: &Core = here::need_core();
        let (remote, key) = (Remote::to(core.gate().clone()), core.keep(Box::new(self)));
        RemoteTicket { remote, key: Some(key), values: PhantomData }
    }
}

impl<T: Send + 'static> RemoteTicket<T> {
    /// Ends the wait, if it is still open when the message arrives: it returns `value`. Under the runtime that the wait is of,
    /// that is at once.
    ///
    /// # Errors
    ///
    /// The runtime is gone.
    pub fn wake(mut self, value: T) -> Result<(), RemoteError> {
        let key = self.key.take().expect("it is spent once");
        let spend = move || {
            let kept = here::need_core().give_up(key);
            if let Some(ticket) = kept.and_then(|kept| kept.downcast::<Ticket<T>>().ok()) {
                // The wait may be over: then nobody wants the value.
                let _ = ticket.wake(value);
            }
        };
        if self.is_at_home() {
            spend();
            return Ok(());
        }
        self.remote.post(spend).map_err(RemoteError::from)
    }
}

impl<T> RemoteTicket<T> {
    /// Whether this is the thread, and the runtime, of the wait: then there is no need for the door.
    fn is_at_home(&self) -> bool {
        here::lend_core().is_some_and(|core| Arc::ptr_eq(core.gate(), &self.remote.gate))
    }

    /// Whether the runtime of the wait sleeps. It may wake up right after.
    pub(super) fn is_asleep(&self) -> bool {
        self.remote.gate.door.is_asleep()
    }

    /// Whether both are of waits under the same runtime.
    pub(super) fn is_beside(&self, other: &RemoteTicket<T>) -> bool {
        Arc::ptr_eq(&self.remote.gate, &other.remote.gate)
    }
}

impl<T> Drop for RemoteTicket<T> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let let_go = move || drop(here::need_core().give_up(key));
        if self.is_at_home() {
            let_go();
        } else {
            // If the runtime is gone, so is the ticket.
            let _ = self.remote.post(let_go);
        }
    }
}

impl<T> fmt::Debug for RemoteTicket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTicket").finish_non_exhaustive()
    }
}
