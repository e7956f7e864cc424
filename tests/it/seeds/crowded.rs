//! Crowded programs: short sleeps that end together, and tasks that hand things to one another, take locks, cancel, race,
//! fail and panic. What must be true whatever they do:
//!
//! - A *token* that is given is taken once or still there: a wait that was cancelled has not taken one.
//! - Who waits in line longest is given to first; who is woken by a bell has heard it.
//! - A lock has one holder, and none at the end.
//! - An answer that cannot be called off arrives, and one that was called off does not. A ticket whose wait is over wakes
//!   nobody, whatever its task waits for now.
//! - A sleep, a timeout and a callback are never early, and with no one who computes never late; callbacks come in the
//!   order of their times, and at one time in the order in which they were set.
//! - Once a wait has failed in a scope, all do until it is left.
//! - A scope is never left before its tasks.
//! - At the end nobody is left.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::panic;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ropewalk::lowlevel::{self, TaskId, Ticket, Undo, WaitList, Why};
use ropewalk::task::{self, JoinHandle};
use ropewalk::testing::random;
use ropewalk::{Cancelled, JoinError, Problem, Unhandled, time};

use super::perform::{Ground, assert_cancelled};

/// Panics are a part of the programs, and some are gone before.
pub(super) fn is_allowed(what: &Unhandled<'_>) -> bool {
    matches!(&what.problem, Problem::Panicked(payload) if payload.is::<Boom>())
}

pub(super) fn check() {
    let world = Rc::new(World::default());
    // Written while it runs: what is random is random by the seed.
    let depth = 2 + random(4);
    world.left.set(10 + random(150));
    let ran = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(world.acts(depth))));
    if let Err(payload) = ran {
        if !payload.is::<Boom>() {
            panic::resume_unwind(payload);
        }
    }
    // Callbacks that are still set, and tasks of theirs that have only to end.
    time::sleep(Duration::from_secs(1)).unwrap();
    assert_eq!(task::all().len(), 1, "only the first task is left");
    world.close();
}

/// What panics carry.
struct Boom;

enum Fault {
    Cut,
    Failed,
}

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Fault {
        Fault::Cut
    }
}

type Done = Result<(), Fault>;

#[derive(Default)]
struct World {
    /// Acts that may still be done.
    left: Cell<usize>,
    lines: [Line; 2],
    locks: [Lock; 2],
    bell: WaitList,
    rung: Cell<usize>,
    heard: Cell<usize>,
    answers: Cell<usize>,
    last_answer: Cell<usize>,
    answered: Cell<usize>,
    called_off: Cell<usize>,
    /// Tickets whose waits are over.
    stale: RefCell<Vec<Ticket<usize>>>,
    callbacks: Callbacks,
}

/// Tokens, and those who wait for one.
#[derive(Default)]
struct Line {
    waiting: WaitList<u64>,
    stock: RefCell<VecDeque<u64>>,
    given: Cell<u64>,
    taken: RefCell<Vec<u64>>,
    /// Who is to have which token.
    meant_for: RefCell<HashMap<u64, TaskId>>,
}

impl Line {
    fn give(&self) {
        let token = self.given.get();
        self.given.set(token + 1);
        if let Some(first) = self.waiting.first() {
            assert!(self.stock.borrow().is_empty(), "nobody waits for what is there");
            self.meant_for.borrow_mut().insert(token, first);
        }
        if let Err(token) = self.waiting.wake_one(token) {
            assert!(!self.meant_for.borrow().contains_key(&token), "somebody waited");
            self.stock.borrow_mut().push_back(token);
        }
    }

    fn take(&self) -> Result<(), Cancelled> {
        let stocked = self.stock.borrow_mut().pop_front();
        let token = match stocked {
            Some(token) => token,
            None => {
                let token = self.waiting.wait(&Why::new("token"))?;
                assert_eq!(self.meant_for.borrow_mut().remove(&token), task::current_id());
                token
            }
        };
        self.taken.borrow_mut().push(token);
        Ok(())
    }

    fn close(&self) {
        assert!(self.waiting.is_empty());
        assert!(self.meant_for.borrow().is_empty(), "a token was granted and has not arrived");
        let mut all = self.taken.take();
        all.extend(self.stock.take());
        all.sort_unstable();
        assert!(all.into_iter().eq(0..self.given.get()), "each token is taken once, or still there");
    }
}

#[derive(Default)]
struct Lock {
    taken: Cell<bool>,
    holder: Cell<Option<TaskId>>,
    waiting: WaitList,
}

struct Guard<'a>(&'a Lock);

impl Lock {
    fn acquire(&self) -> Result<Guard<'_>, Cancelled> {
        if self.taken.replace(true) {
            self.waiting.wait(&Why::new("lock").held_by(&|| self.holder.get()))?;
        }
        assert_eq!(self.holder.replace(task::current_id()), None, "a lock has one holder");
        Ok(Guard(self))
    }

    fn close(&self) {
        assert!(!self.taken.get() && self.waiting.is_empty(), "a lock is free at the end");
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        assert_eq!(self.0.holder.take(), task::current_id());
        if self.0.waiting.wake_one(()).is_err() {
            self.0.taken.set(false);
        }
    }
}

#[derive(Default)]
struct Callbacks {
    set: Cell<usize>,
    /// The time and number of the last one that ran.
    last: Rc<Cell<Option<(Instant, usize)>>>,
}

impl Callbacks {
    /// Has `call` run at its time, and sees to it that it does.
    fn after(&self, delay: Duration, call: impl FnOnce() + 'static) -> time::Timer {
        self.set.set(self.set.get() + 1);
        let due = (time::now() + delay, self.set.get());
        let last = self.last.clone();
        time::call_later(delay, move || {
            assert_eq!(time::now(), due.0, "a callback comes at its time");
            assert!(last.replace(Some(due)) < Some(due), "callbacks come in order");
            call();
        })
    }
}

/// Short, so that much ends together.
fn while_() -> Duration {
    Duration::from_millis(random(6) as u64)
}

/// Whoever has been cancelled finds that out again.
fn level<T>(done: Result<T, Cancelled>) -> Result<T, Fault> {
    if done.is_err() {
        for _ in 0..random(3) {
            assert_cancelled();
        }
    }
    Ok(done?)
}

impl World {
    fn close(&self) {
        self.lines.iter().for_each(Line::close);
        self.locks.iter().for_each(Lock::close);
        assert!(self.bell.is_empty());
        assert_eq!(self.heard.get(), self.rung.get(), "who was woken by the bell has heard it");
        assert_eq!(self.answers.get(), self.answered.get() + self.called_off.get());
    }

    fn acts(self: &Rc<World>, depth: usize) -> Done {
        for _ in 0..random(6) {
            if self.left.get() == 0 {
                break;
            }
            self.left.set(self.left.get() - 1);
            self.act(depth)?;
        }
        Ok(())
    }

    fn act(self: &Rc<World>, depth: usize) -> Done {
        match random(if depth == 0 { 12 } else { 27 }) {
            0 => task::yield_now(),
            1 => level(task::checkpoint())?,
            2 | 3 => self.sleep()?,
            4 | 5 => self.lines[random(2)].give(),
            6 | 7 => self.within(while_(), || self.lines[random(2)].take())?,
            8 => self.rung.set(self.rung.get() + self.bell.wake_all(())),
            9 => self.within(while_(), || {
                self.bell.wait(&Why::new("bell"))?;
                self.heard.set(self.heard.get() + 1);
                Ok(())
            })?,
            10 => match random(3) {
                0 => self.poke(),
                1 => self.ask_nobody()?,
                _ => match time::timeout(while_(), || self.ask()) {
                    Ok(asked) => asked?,
                    Err(elapsed) => assert!(elapsed.into_inner().is_err(), "nothing was cut short"),
                },
            },
            11 => self.meddle(depth)?,
            12 | 13 => self.locked(depth - 1)?,
            14 | 15 => self.scope(depth - 1)?,
            16 => self.try_scope(depth - 1)?,
            17 | 18 => self.detached(depth - 1)?,
            19 => self.timeout(depth - 1)?,
            20 => self.cancelled_by_another(depth - 1)?,
            21 => task::shield(|| self.acts(depth - 1))?,
            22 => self.race(depth - 1)?,
            23 => self.gather(depth - 1)?,
            24 => task::finally(|| self.acts(depth - 1), || drop(self.acts(depth - 1)))?,
            25 => self.all_wait()?,
            _ => self.start(depth - 1)?,
        }
        Ok(())
    }

    /// What goes wrong now and then.
    fn meddle(&self, depth: usize) -> Done {
        match random(6) {
            0 if depth > 0 => panic::resume_unwind(Box::new(Boom)),
            1 => Err(Fault::Failed),
            _ => Ok(()),
        }
    }

    fn sleep(&self) -> Done {
        let until = time::now() + while_();
        let slept = time::sleep_until(until);
        match slept {
            Ok(()) => assert_eq!(time::now(), until, "neither early nor late"),
            Err(_) => assert!(time::now() <= until),
        }
        level(slept)
    }

    /// Waits no longer than that.
    fn within(&self, limit: Duration, wait: impl FnOnce() -> Result<(), Cancelled>) -> Done {
        let deadline = time::now() + limit;
        match time::timeout(limit, wait) {
            Ok(done) => {
                assert!(time::now() <= deadline);
                level(done)
            }
            Err(_) => {
                assert_eq!(time::now(), deadline, "a deadline is neither early nor late");
                Ok(())
            }
        }
    }

    /// A wait that is answered later by a callback. It may be called off, or not.
    fn ask(&self) -> Done {
        let can_be_called_off = random(2) == 0;
        let delay = while_();
        let due = time::now() + delay;
        let number = self.last_answer.get();
        self.last_answer.set(number + 1);
        let timer = RefCell::new(None);
        let register = |ticket: Ticket<usize>| {
            self.answers.set(self.answers.get() + 1);
            let answer = move || assert_eq!(ticket.wake(number), Ok(()), "who asked waits for the answer");
            *timer.borrow_mut() = Some(self.callbacks.after(delay, answer));
        };
        let undo = || match can_be_called_off {
            true => {
                assert!(timer.borrow().as_ref().unwrap().cancel(), "who was answered is not asked to undo");
                self.called_off.set(self.called_off.get() + 1);
                Undo::Done
            }
            false => Undo::Later,
        };
        let answer = lowlevel::park(&Why::new("answer"), register, undo);
        match answer {
            Ok(answer) => {
                assert_eq!((answer, time::now()), (number, due));
                self.answered.set(self.answered.get() + 1);
                Ok(())
            }
            Err(cancelled) => {
                assert!(can_be_called_off || timer.borrow().is_none(), "a wait that goes on is not over");
                level(Err(cancelled))
            }
        }
    }

    /// A wait that only its cancellation ends.
    fn ask_nobody(&self) -> Done {
        let ticket = RefCell::new(None);
        self.within(while_(), || {
            let register = |asked| *ticket.borrow_mut() = Some(asked);
            let answered = lowlevel::park(&Why::new("nobody"), register, || Undo::Done);
            self.stale.borrow_mut().extend(ticket.take());
            answered.map(|number: usize| panic!("nobody has answered {number}"))
        })
    }

    fn poke(&self) {
        for ticket in self.stale.take() {
            assert!(!ticket.is_waiting());
            assert_eq!(ticket.wake(7), Err(7), "that wait is over");
        }
    }

    fn locked(self: &Rc<World>, depth: usize) -> Done {
        let lock = &self.locks[random(2)];
        let mut guard = None;
        self.within(while_(), || {
            guard = Some(lock.acquire()?);
            Ok(())
        })?;
        // Without the lock, if that took too long.
        let done = self.acts(depth);
        drop(guard);
        done
    }

    fn scope(self: &Rc<World>, depth: usize) -> Done {
        let ground = Ground::new();
        task::scope(|s| {
            let mut tasks = Vec::new();
            for _ in 0..1 + random(4) {
                let stands = ground.stands();
                let began = Rc::new(Cell::new(false));
                let begins = began.clone();
                let child = move || {
                    begins.set(true);
                    stands.carry(|| self.acts(depth))
                };
                match random(5) {
                    0 => drop(s.spawn_service(child)),
                    1 => {
                        let was_cancelled = s.cancelled().is_some();
                        tasks.push(task::Builder::new().eager(true).spawn_in(s, child));
                        assert_ne!(
                            began.get(),
                            was_cancelled,
                            "an eager child has begun, unless it never will"
                        );
                    }
                    _ => {
                        tasks.push(s.spawn(child));
                        assert!(!began.get(), "whoever spawns goes on first");
                    }
                }
            }
            let done = self.acts(depth);
            if random(4) == 0 {
                s.cancel();
                assert!(task::checkpoint().is_err());
            }
            if random(3) == 0 && !tasks.is_empty() {
                tasks[random(tasks.len())].cancel();
            }
            if random(2) == 0 {
                tasks.iter().try_for_each(|task| self.join(task.join()))?;
            }
            done
        })
    }

    fn try_scope(self: &Rc<World>, depth: usize) -> Done {
        let ground = Ground::new();
        let result = task::try_scope(|s| {
            for _ in 0..1 + random(4) {
                let stands = ground.stands();
                s.spawn(move || stands.carry(|| self.acts(depth)));
            }
            self.acts(depth)
        });
        result.map_err(|group| group.into_first())
    }

    fn join(&self, joined: Result<Done, JoinError>) -> Done {
        match joined {
            Ok(_) => Ok(()),
            Err(JoinError::Cancelled(cancelled)) => level(Err(cancelled)),
            Err(JoinError::Panicked(panic)) => {
                assert!(panic.into_payload().is::<Boom>());
                Ok(())
            }
            Err(JoinError::NeverRan(_)) => Ok(()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Tasks of no scope. They are joined, come what may.
    fn detached(self: &Rc<World>, depth: usize) -> Done {
        let spawn = |_| {
            let world = self.clone();
            task::spawn(move || world.acts(depth))
        };
        let tasks: Vec<JoinHandle<Done>> = (0..1 + random(3)).map(spawn).collect();
        task::finally(
            || {
                self.acts(depth)?;
                if random(3) == 0 {
                    tasks[random(tasks.len())].cancel();
                }
                match random(5) {
                    0 => task::scope(|s| {
                        // Several wait for the same end.
                        for _ in 0..3 {
                            s.spawn(|| {
                                if task::wait(&tasks, task::Until::All).is_ok() {
                                    assert!(tasks.iter().all(|task| task.is_finished()));
                                }
                            });
                        }
                        let _ = tasks[0].join().map_err(|error| self.join(Err(error)));
                    }),
                    1 => drop(task::wait(&tasks, task::Until::First).map_err(|_| Fault::Cut)?),
                    2 => {
                        for (index, joined) in task::as_completed(&tasks) {
                            assert!(index == tasks.len() || tasks[index].is_finished());
                            self.join(joined)?;
                        }
                        // Nothing is left to be joined.
                        assert!(tasks.iter().all(|task| matches!(task.join(), Err(JoinError::Taken))));
                    }
                    _ => {}
                }
                Ok(())
            },
            || {
                for task in &tasks {
                    if random(2) == 0 {
                        task.cancel();
                    }
                    let joined = task.join();
                    assert!(task.is_finished());
                    match joined {
                        Err(JoinError::Taken) => {}
                        joined => drop(self.join(joined)),
                    }
                }
            },
        )
    }

    fn timeout(self: &Rc<World>, depth: usize) -> Done {
        let limit = while_();
        let deadline = time::now() + limit;
        match time::timeout(limit, || self.acts(depth)) {
            Ok(done) => done,
            Err(_) => {
                assert!(time::now() >= deadline, "a deadline is never early");
                Ok(())
            }
        }
    }

    fn cancelled_by_another(self: &Rc<World>, depth: usize) -> Done {
        task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            let cancel = move || {
                canceller.cancel();
            };
            match random(3) {
                0 => drop(self.callbacks.after(while_(), cancel)),
                1 => drop(task::Builder::new().eager(random(2) == 0).spawn(cancel).join()),
                _ => {
                    let canceller = task::spawn(cancel);
                    let done = self.acts(depth);
                    task::shield(|| canceller.join()).unwrap();
                    return done;
                }
            }
            self.acts(depth)
        })
    }

    fn race(self: &Rc<World>, depth: usize) -> Done {
        let ground = Ground::new();
        let raced = task::race(|r| {
            for _ in 0..1 + random(3) {
                let stands = ground.stands();
                r.add(move || stands.carry(|| self.acts(depth)));
            }
        });
        raced.unwrap_or(Err(Fault::Cut))
    }

    fn gather(self: &Rc<World>, depth: usize) -> Done {
        let ground = Ground::new();
        let tasks = (0..random(4)).map(|_| {
            let stands = ground.stands();
            || stands.carry(|| self.acts(depth))
        });
        if random(2) == 0 {
            return task::try_gather(tasks).map(drop).map_err(|group| group.into_first());
        }
        task::gather(tasks).into_iter().try_for_each(|result| self.join(result))
    }

    /// A task that may be ready, or cancelled, or never say so.
    fn start(self: &Rc<World>, depth: usize) -> Done {
        let ground = Ground::new();
        task::scope(|s| {
            let stands = ground.stands();
            let started = s.start(|ready| {
                stands.carry(|| {
                    self.acts(depth)?;
                    match random(2) {
                        0 => drop(ready),
                        _ => ready.set(7),
                    }
                    self.acts(depth)
                })
            });
            match started {
                Ok((value, task)) => {
                    assert_eq!(value, 7);
                    self.join(task.join())
                }
                Err(not) => match not.cancelled {
                    Some(cancelled) => level(Err(cancelled)),
                    None => self.join(not.task.join()),
                },
            }
        })
    }

    fn all_wait(&self) -> Done {
        let began = time::now();
        let waited = ropewalk::testing::wait_all_tasks_blocked();
        assert_eq!(time::now(), began, "no time passes until all wait");
        level(waited)
    }
}
