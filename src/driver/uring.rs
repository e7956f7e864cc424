//! The io_uring driver: the system carries out the calls, many with one entry into it.
//!
//! What sockets receive, and what streams send, is *carried*: the system has the buffer until the call's completion has come. For
//! all else (whoever only peeks, and datagrams that are sent, among it) the ring says when a descriptor is ready, and the call is
//! made then. Calls on files and paths are carried, all that the system knows how to carry; they have no direction and no lane, and any
//! number of them may be out for one descriptor.
//!
//! Invariants:
//! - A completion is told of once, under the key of its operation. What is told of the ring's own entries has no key.
//! - An entry that names memory is pushed as the last thing that can fail. Nothing forgets it before its completion: the ring
//!   does not go while one is out.
//! - A cancellation only hurries a completion. Whatever the system says of it, the completion decides. If the system has not found
//!   whom to cancel it is asked again, until the completion has come.
//! - In each direction of a descriptor there waits one operation, or none; as with the other driver. Calls on files do not count.
#![allow(unsafe_code)]

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode};
use rustix::event::{EventfdFlags, epoll};
use rustix::io::Errno;

use super::file::{FileCall, Position};
use super::operation::{Operation, SEND_FLAGS, recv_flags};
use super::{Completion, Descriptor, Direction, Key, Submitted};
use crate::report;

/// Completions that the system has room for, for each entry. Those beyond it keeps for itself, which costs time.
const COMPLETIONS: u32 = 16;

/// Threads that the ring has at most for calls on files, such as those that open a FIFO, which wait for somebody else to open it. By itself it has four for each
/// processor, and when they all wait no other file is opened.
const WORKERS: u32 = 64;

/// How long a thread of the ring has to hear that its call is to end.
const DEAF: Duration = Duration::from_millis(5);

/// Wait before looking: `IORING_RECVSEND_POLL_FIRST`.
const POLL_FIRST: u16 = 1;

/// What is sent does not wait in the ring for room, but is told that there is none, and waits by a poll. In the ring it would be woken by
/// urgent data too, as often as it waits, and in the end the system would give it a thread: a peer could have as many as it likes.
const PATIENT: i32 = libc::MSG_DONTWAIT;

/// What the ring's own entries are told by. Keys are never as large.
const BELL: u64 = u64::MAX;
/// With the key of whose end was asked for: the bit would be that of a slot beyond 2^31, and as many tasks fit in no memory.
const CANCEL: u64 = 1 << 31;

pub(super) struct Uring {
    ring: RefCell<IoUring>,
    setup: Setup,
    /// It can be told not to tell of cancellations that have succeeded.
    skips_success: bool,
    bell: Bell,
    /// Is rung by the system for each completion, if somebody wants to know without asking the ring.
    herald: OnceCell<Herald>,
    /// Operations whose completion has not come.
    in_flight: Cell<usize>,
    /// Those among them whose memory the system has.
    carried: Cell<usize>,
    /// Completions that had to be taken out where nobody could be told.
    early: RefCell<VecDeque<(u64, Completion)>>,
    /// Operations whose end is to be asked for, once more or because there was no room.
    unwanted: RefCell<Vec<Key>>,
    /// Those that a thread of the ring was at when their end was asked for: it may not have heard, if it had just begun.
    busy: RefCell<Vec<Key>>,
    /// Those whose end was asked for, and has not come.
    ending: RefCell<HashSet<u64>>,
    /// By descriptor.
    lanes: RefCell<Vec<Lane>>,
    /// What the system knows how to carry; it is asked when it is first wanted.
    known: OnceCell<Option<Probe>>,
}

/// Who waits for a descriptor, in each direction.
#[derive(Clone, Default)]
struct Lane {
    source: u64,
    waiting: [Option<Key>; 2],
    /// Waits that were given up. Until they have ended they keep what is open from being closed.
    given_up: [Option<Key>; 2],
    /// The last call that received something left nothing, so that the next one is likely to wait.
    is_empty: bool,
}

/// Ends the wait of the ring that it is from.
#[derive(Clone)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    fn new() -> io::Result<Bell> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell(Arc::new(fd)))
    }

    pub(super) fn ring(&self) {
        // What cannot be added to has been rung.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    fn hush(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

/// Tells somebody outside that the ring has something to tell.
struct Herald {
    /// Is rung by the system for each completion.
    told: Bell,
    /// Is readable when that was rung, or the bell itself: Linux (6.18 was seen to) loses what a ring in the middle of a ring is to tell.
    any: OwnedFd,
}

/// How a ring was set up: the best that the system took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    /// Completions are worked out when this thread asks for them, and nobody else uses the ring: Linux 6.1.
    Deferred,
    /// Completions are worked out when this thread enters the system next: Linux 5.19, which also knows [`POLL_FIRST`].
    Cooperative,
    /// As the first rings were.
    Plain,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setup::Deferred => "SINGLE_ISSUER and DEFER_TASKRUN",
            Setup::Cooperative => "COOP_TASKRUN",
            Setup::Plain => "no flags",
        })
    }
}

/// Found by trying: what a system can do is not to be seen from its version.
fn set_up(entries: u32) -> io::Result<(IoUring, Setup)> {
    let mut refused = None;
    for setup in [Setup::Deferred, Setup::Cooperative, Setup::Plain] {
        let mut builder = IoUring::builder();
        // A child would share the ring, and with it what the parent's tasks read into.
        builder.dontfork().setup_clamp();
        match setup {
            Setup::Deferred => {
                let builder = builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
                builder.setup_submit_all().setup_cqsize(entries * COMPLETIONS)
            }
            Setup::Cooperative => {
                let builder = builder.setup_coop_taskrun().setup_taskrun_flag();
                builder.setup_submit_all().setup_cqsize(entries * COMPLETIONS)
            }
            Setup::Plain => builder.setup_cqsize(entries * COMPLETIONS),
        };
        match builder.build(entries) {
            Ok(ring) => return Ok((ring, setup)),
            // It does not know a flag. Whatever else it says, it will say again.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

impl Uring {
    /// For the thread that it is made on, and no other. `entries` wait at most to be handed to the system; they go with one call.
    pub(super) fn new(entries: u32) -> io::Result<(Uring, Bell, Setup)> {
        let bell = Bell::new()?;
        let (ring, setup) = set_up(entries)?;
        let params = ring.params();
        if !(params.is_feature_nodrop() && params.is_feature_ext_arg() && params.is_feature_fast_poll()) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is of Linux 5.10 or older"));
        }
        let skips_success = params.is_feature_skip_cqe_on_success();
        let uring = Uring {
            ring: RefCell::new(ring),
            setup,
            skips_success,
            bell: bell.clone(),
            herald: OnceCell::new(),
            in_flight: Cell::new(0),
            carried: Cell::new(0),
            early: RefCell::default(),
            unwanted: RefCell::default(),
            busy: RefCell::default(),
            ending: RefCell::default(),
            lanes: RefCell::default(),
            known: OnceCell::new(),
        };
        uring.listen_to_bell()?;
        Ok((uring, bell, setup))
    }

    /// How many operations are waited for.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Has the system carry it out, or wait until it can be attempted.
    ///
    /// # Errors
    ///
    /// Somebody waits for that already; or the system takes no more.
    ///
    /// # Safety
    ///
    /// If it is carried, the operation and what it borrows must stay where they are, and nobody may touch them, until its
    /// completion has come.
    pub(super) unsafe fn submit(
        &self,
        key: Key,
        at: Descriptor,
        operation: &mut Operation<'_, '_>,
    ) -> io::Result<Submitted> {
        let direction = operation.direction();
        // Where there is urgent data the ring would take whoever peeks for ready, again and again, and give it a thread.
        if operation.is_call() || operation.is_peek() {
            return self.watch(key, at, direction);
        }
        let is_empty = self.occupy(key, at, direction)? && self.setup != Setup::Plain;
        let entry = carry(at, operation, is_empty);
        // SAFETY: what it points to stays as it is, says the caller.
        unsafe { self.push_or_vacate(&entry.user_data(key.0), key, at, direction)? };
        self.carried.set(self.carried.get() + 1);
        Ok(Submitted::Carried)
    }

    /// Whether the system knows how to carry a call like this.
    #[inline]
    pub(super) fn carries(&self, call: &FileCall<'_, '_>) -> bool {
        let known = self.known.get_or_init(|| {
            let ring = self.ring.borrow();
            // Linux 5.15. Where it cannot be set it is what it was.
            let _ = ring.submitter().register_iowq_max_workers(&mut [WORKERS, 0]);
            let mut probe = Probe::new();
            ring.submitter().register_probe(&mut probe).ok().map(|()| probe)
        });
        known.as_ref().is_some_and(|probe| probe.is_supported(code_of(call)))
    }

    /// Has the system carry out a call on a file.
    ///
    /// # Errors
    ///
    /// The system takes no more.
    ///
    /// # Safety
    ///
    /// The call and what it borrows must stay where they are, and nobody may touch them, until its completion has come.
    pub(super) unsafe fn carry(&self, key: Key, call: &mut FileCall<'_, '_>) -> io::Result<()> {
        // SAFETY: what it points to stays as it is, says the caller.
        unsafe { self.push(&entry_of(call).user_data(key.0))? };
        self.in_flight.set(self.in_flight.get() + 1);
        self.carried.set(self.carried.get() + 1);
        Ok(())
    }

    /// The completion of a call on a file has come, and who has made it knows.
    pub(super) fn finish_carrying(&self) {
        self.carried.set(self.carried.get() - 1);
    }

    /// One that can be read when something has completed. The ring's own is not enough: nobody who polls that is woken for completions
    /// that are worked out only when they are asked for.
    pub(super) fn descriptor(&self) -> io::Result<RawFd> {
        if self.herald.get().is_none() {
            let told = Bell::new()?;
            self.ring.borrow().submitter().register_eventfd(told.0.as_raw_fd())?;
            let any = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            for bell in [&told, &self.bell] {
                epoll::add(&any, &*bell.0, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
            }
            let _only_now = self.herald.set(Herald { told, any });
        }
        let herald = self.herald.get().expect("it was set just now");
        Ok(herald.any.as_raw_fd())
    }

    /// Says when the descriptor is ready.
    ///
    /// # Errors
    ///
    /// As [`submit`](Uring::submit).
    pub(super) fn watch(&self, key: Key, at: Descriptor, direction: Direction) -> io::Result<Submitted> {
        self.occupy(key, at, direction)?;
        let events = match direction {
            Direction::Read => libc::POLLIN | libc::POLLRDHUP,
            Direction::Write => libc::POLLOUT,
        };
        let entry = opcode::PollAdd::new(Fd(at.fd), events as u32).build().user_data(key.0);
        // SAFETY: it points to no memory.
        unsafe { self.push_or_vacate(&entry, key, at, direction)? };
        Ok(Submitted::Awaited)
    }

    /// # Safety
    ///
    /// As for [`push`](Uring::push).
    #[inline]
    unsafe fn push_or_vacate(
        &self,
        entry: &Entry,
        key: Key,
        at: Descriptor,
        direction: Direction,
    ) -> io::Result<()> {
        // SAFETY: as the caller says.
        let pushed = unsafe { self.push(entry) };
        match &pushed {
            Ok(()) => self.in_flight.set(self.in_flight.get() + 1),
            Err(_) => self.vacate(key, at, direction, true),
        }
        pushed
    }

    /// # Errors
    ///
    /// The system takes no more; the entry has not been pushed.
    ///
    /// # Safety
    ///
    /// What the entry points to must stay as it is until its completion has come.
    #[inline]
    unsafe fn push(&self, entry: &Entry) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        // SAFETY: as the caller says.
        if unsafe { ring.submission().push(entry).is_ok() } {
            return Ok(());
        }
        self.make_room(&mut ring)?;
        // SAFETY: as above.
        unsafe { ring.submission().push(entry).map_err(|_| io::Error::from(Errno::NOBUFS)) }
    }

    /// Hands over what waits to be handed over.
    #[cold]
    fn make_room(&self, ring: &mut IoUring) -> io::Result<()> {
        loop {
            match ring.submit() {
                Ok(_) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // It takes no more before completions are taken out.
                    Some(libc::EBUSY | libc::EAGAIN) => {
                        let before = self.early.borrow().len();
                        let taken = ring.completion().map(|done| (done.user_data(), completion(&done)));
                        self.early.borrow_mut().extend(taken);
                        if self.early.borrow().len() == before {
                            return Err(error);
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// Asks for the end of an operation, whose completion will come all the same.
    pub(super) fn cancel(&self, key: Key) {
        self.ending.borrow_mut().insert(key.0);
        let entry = opcode::AsyncCancel::new(key.0).build().user_data(CANCEL | key.0);
        // Linux 5.17; an entry with a flag that is not known is refused, and nothing is cancelled.
        let entry = if self.skips_success { entry.flags(Flags::SKIP_SUCCESS) } else { entry };
        // SAFETY: it points to no memory.
        if unsafe { self.push(&entry).is_err() } {
            self.unwanted.borrow_mut().push(key);
        }
    }

    /// Says whether a call is likely to wait.
    fn occupy(&self, key: Key, at: Descriptor, direction: Direction) -> io::Result<bool> {
        let mut lanes = self.lanes.borrow_mut();
        let index = super::index_of(at)?;
        if lanes.len() <= index {
            lanes.resize(index + 1, Lane::default());
        }
        let lane = &mut lanes[index];
        if lane.source != at.source {
            // Two may use one descriptor under two numbers; they are not told apart here, and nobody is lost by it.
            *lane = Lane { source: at.source, ..Lane::default() };
        }
        let waiting = &mut lane.waiting[direction as usize];
        if waiting.is_some() {
            return Err(super::busy(direction));
        }
        *waiting = Some(key);
        Ok(lane.is_empty)
    }

    /// An operation is over for whoever submitted it.
    #[inline]
    pub(super) fn finish(
        &self,
        key: Key,
        at: Descriptor,
        direction: Direction,
        submitted: Submitted,
        completion: Option<Completion>,
    ) {
        if submitted == Submitted::Carried {
            self.carried.set(self.carried.get() - 1);
        }
        self.vacate(key, at, direction, completion.is_some_and(|completion| completion.has_more));
        if completion.is_none() {
            self.give_up(key, at, direction);
        }
    }

    #[cold]
    fn give_up(&self, key: Key, at: Descriptor, direction: Direction) {
        if let Some(lane) = self.lanes.borrow_mut().get_mut(at.fd as usize) {
            lane.given_up[direction as usize] = Some(key);
        }
    }

    /// The descriptor is about to be closed, and with it what it stands for: what was given up of it ends now.
    pub(super) fn forget(&self, at: Descriptor) {
        let given_up = match self.lanes.borrow_mut().get_mut(at.fd as usize) {
            Some(lane) if lane.source == at.source => mem::take(&mut lane.given_up),
            _ => return,
        };
        if given_up.iter().flatten().any(|key| self.is_ending(*key)) {
            let ring = self.ring.borrow();
            // First it is handed over, and then carried out. If either fails it ends with the next wait.
            let _ = ring.submit().and_then(|_| ring.submit());
        }
    }

    #[inline]
    fn vacate(&self, key: Key, at: Descriptor, direction: Direction, has_more: bool) {
        if let Some(lane) = self.lanes.borrow_mut().get_mut(at.fd as usize) {
            let waiting = &mut lane.waiting[direction as usize];
            if *waiting == Some(key) {
                *waiting = None;
                lane.is_empty |= direction == Direction::Read;
                lane.is_empty &= !has_more;
            }
        }
    }

    fn listen_to_bell(&self) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(self.bell.0.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: it points to no memory.
        unsafe { self.push(&entry.user_data(BELL)) }
    }

    /// Returns when the time is over, the alarm was rung or operations have completed, of which it tells; or for no reason.
    pub(super) fn wait(&self, timeout: Option<Duration>, mut complete: impl FnMut(Key, Completion)) {
        if let Some(herald) = self.herald.get() {
            // Before what it told of is taken: what comes after that it tells again.
            herald.told.hush();
        }
        self.ask_again_for_ends();
        let told = self.reap(&mut complete);
        let mut ring = self.ring.borrow_mut();
        if told || timeout == Some(Duration::ZERO) {
            let queue = ring.submission();
            // Completions that there was no room for come with an entry into the system, and not before.
            let mut has_work = queue.taskrun() || queue.cq_overflow() || !queue.is_empty();
            drop(queue);
            if !has_work {
                return;
            }
            // What it says it says again with the next wait, if it is to be heard. What is there already when it is asked for comes
            // with the entry after: now, or a virtual clock would go on before.
            while has_work {
                has_work = ring.submit().is_ok() && { ring.submission().taskrun() };
            }
        } else {
            let busy = self.busy.take();
            let timeout = match timeout {
                // Asked again after a while, and again.
                _ if !busy.is_empty() => Some(timeout.unwrap_or(DEAF).min(DEAF)),
                timeout => timeout,
            };
            self.unwanted.borrow_mut().extend(busy);
            let entered = match timeout {
                None => ring.submit_and_wait(1),
                Some(timeout) => {
                    let until = Timespec::from(timeout);
                    ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&until))
                }
            };
            // The time is over, a signal came, or completions have to be taken out first: all of it is done now.
            let _ = entered;
        }
        drop(ring);
        self.reap(&mut complete);
        if self.herald.get().is_some() {
            // Who waits for that waits outside: the bell may have to be listened to anew, and what was not handed over would ring nobody.
            let ring = self.ring.borrow();
            // If it fails, it is handed over with the next wait.
            let _ = ring.submit();
        }
    }

    fn is_ending(&self, key: Key) -> bool {
        self.ending.borrow().contains(&key.0)
    }

    #[inline]
    fn ask_again_for_ends(&self) {
        if !self.unwanted.borrow().is_empty() {
            // Those that have ended meanwhile would never be found.
            let unwanted = self.unwanted.take().into_iter().filter(|key| self.is_ending(*key));
            unwanted.for_each(|key| self.cancel(key));
        }
    }

    /// Tells of what has completed; whether there was anything.
    fn reap(&self, complete: &mut impl FnMut(Key, Completion)) -> bool {
        let mut rung = false;
        let mut any = false;
        let early = mem::take(&mut *self.early.borrow_mut());
        let mut ring = self.ring.borrow_mut();
        let done = ring.completion().map(|done| (done.user_data(), completion(&done)));
        for (about, completion) in early.into_iter().chain(done) {
            any = true;
            match about {
                BELL => rung = true,
                // It was not found: between two tries of the system it is nowhere, and it may wait again after the second.
                told if told & CANCEL != 0 => {
                    let key = told & !CANCEL;
                    if completion.result == -libc::EALREADY && self.is_ending(Key(key)) {
                        self.busy.borrow_mut().push(Key(key));
                    }
                    if completion.result == -libc::ENOENT && self.is_ending(Key(key)) {
                        self.unwanted.borrow_mut().push(Key(key));
                    }
                }
                key => {
                    let mut ending = self.ending.borrow_mut();
                    if !ending.is_empty() {
                        ending.remove(&key);
                    }
                    drop(ending);
                    self.in_flight.set(self.in_flight.get() - 1);
                    complete(Key(key), completion);
                }
            }
        }
        drop(ring);
        if rung {
            self.bell.hush();
            // There is room: what waited to be handed over was.
            if self.listen_to_bell().is_err() {
                report::fatal(
                    "io_uring takes no more entries, and other threads could not be heard any more",
                );
            }
        }
        any
    }
}

/// The entry of an operation that the system is to carry out. If nothing is there to be received, it need not look first.
#[inline]
fn carry(at: Descriptor, operation: &mut Operation<'_, '_>, is_empty: bool) -> Entry {
    let fd = Fd(at.fd);
    let patience = if is_empty { POLL_FIRST } else { 0 };
    match operation {
        Operation::Recv { buffer, peek, .. } => {
            let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            let flags = recv_flags(*peek);
            opcode::Recv::new(fd, buffer.as_mut_ptr(), length).flags(flags).ioprio(patience).build()
        }
        Operation::Send { bytes } => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            opcode::Send::new(fd, bytes.as_ptr(), length).flags(SEND_FLAGS | PATIENT).build()
        }
        Operation::RecvMessage { message, peek, .. } => {
            opcode::RecvMsg::new(fd, message.header()).flags(recv_flags(*peek) as u32).build()
        }
        Operation::SendMessage { message } => {
            opcode::SendMsg::new(fd, message.header()).flags((SEND_FLAGS | PATIENT) as u32).build()
        }
        Operation::Call { .. } => unreachable!("calls are made by whoever wants them"),
    }
}

fn code_of(call: &FileCall<'_, '_>) -> u8 {
    match call {
        FileCall::Read { .. } => opcode::Readv::CODE,
        FileCall::Write { .. } => opcode::Writev::CODE,
        FileCall::Sync { .. } => opcode::Fsync::CODE,
        FileCall::Open { .. } => opcode::OpenAt::CODE,
        FileCall::Rename { .. } => opcode::RenameAt::CODE,
        FileCall::Unlink { .. } => opcode::UnlinkAt::CODE,
        FileCall::CreateDirectory { .. } => opcode::MkDirAt::CODE,
        FileCall::Symlink { .. } => opcode::SymlinkAt::CODE,
        FileCall::HardLink { .. } => opcode::LinkAt::CODE,
    }
}

/// The entry of a call on a file.
fn entry_of(call: &mut FileCall<'_, '_>) -> Entry {
    const HERE: Fd = Fd(libc::AT_FDCWD);
    match call {
        FileCall::Read { fd, buffers, at, by_worker } => {
            // A slice of bytes for the system is what the system calls an `iovec`: std promises that.
            let (list, count) = (buffers.as_mut_ptr().cast_const().cast(), FileCall::buffers(buffers.len()));
            let entry = opcode::Readv::new(Fd(fd.as_raw_fd()), list, count).offset(offset_of(*at)).build();
            if *by_worker { entry.flags(Flags::ASYNC) } else { entry }
        }
        FileCall::Write { fd, parts, at, by_worker } => {
            let (list, count) = (parts.as_ptr().cast(), FileCall::buffers(parts.len()));
            let entry = opcode::Writev::new(Fd(fd.as_raw_fd()), list, count).offset(offset_of(*at)).build();
            // What is tried without waiting may be written in two parts; a thread of the ring writes it as a call of `write` would.
            if *by_worker { entry.flags(Flags::ASYNC) } else { entry }
        }
        FileCall::Sync { fd, data_only } => {
            let flags = if *data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(Fd(fd.as_raw_fd())).flags(flags).build()
        }
        FileCall::Open { path, flags, mode } => {
            let entry = opcode::OpenAt::new(HERE, path.as_ptr())
                .flags(*flags | libc::O_LARGEFILE)
                .mode(*mode)
                .build();
            // By a thread of the ring. What Linux (6.18 was seen to) tries without one it opens as if `O_NONBLOCK` were asked for: a FIFO is then
            // open before anybody is at its other end, or cannot be opened.
            if *flags & libc::O_NONBLOCK == 0 { entry.flags(Flags::ASYNC) } else { entry }
        }
        FileCall::Rename { from, to } => {
            opcode::RenameAt::new(HERE, from.as_ptr(), HERE, to.as_ptr()).build()
        }
        FileCall::Unlink { path, is_directory } => {
            let flags = if *is_directory { libc::AT_REMOVEDIR } else { 0 };
            opcode::UnlinkAt::new(HERE, path.as_ptr()).flags(flags).build()
        }
        FileCall::CreateDirectory { path, mode } => {
            opcode::MkDirAt::new(HERE, path.as_ptr()).mode(*mode).build()
        }
        FileCall::Symlink { target, link } => {
            opcode::SymlinkAt::new(HERE, target.as_ptr(), link.as_ptr()).build()
        }
        FileCall::HardLink { original, link } => {
            opcode::LinkAt::new(HERE, original.as_ptr(), HERE, link.as_ptr()).build()
        }
    }
}

/// As the system has it: all ones for the file's own position.
fn offset_of(at: Position) -> u64 {
    match at {
        Position::At(offset) => offset,
        Position::Own => u64::MAX,
    }
}

fn completion(done: &io_uring::cqueue::Entry) -> Completion {
    let result = match done.result() {
        // What the system says to itself of a call that was interrupted, and of an opening (6.18 was seen to) to the ring as well.
        result if RESTARTS.contains(&-result) => -libc::EINTR,
        result => result,
    };
    Completion { result, has_more: cqueue::sock_nonempty(done.flags()) }
}

/// `ERESTARTSYS` and its siblings, which no program is to see.
const RESTARTS: std::ops::RangeInclusive<i32> = 512..=516;

impl Drop for Uring {
    fn drop(&mut self) {
        if self.carried.get() > 0 {
            report::fatal(
                "the io_uring driver goes while the system may still write to what tasks have lent it",
            );
        }
    }
}
