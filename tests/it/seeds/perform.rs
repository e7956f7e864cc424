//! Timed programs, carried out by ropewalk.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ropewalk::task::{self, ScopedJoinHandle};
use ropewalk::{Cancelled, JoinError, time};

use super::program::{
    Account, Act, BodyAct, ELAPSED, Event, KEPT, MOVED_ON, Moment, Nap, Outcome, Scope, Script, TAKEN, mix,
};

/// What a script ends with, unless it panics.
type Done = Result<u64, Fault>;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    Failed(u32),
}

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Fault {
        Fault::Cut
    }
}

/// What panics carry.
struct Boom(u32);

struct World {
    began: Instant,
    events: RefCell<Vec<Event>>,
}

pub(super) fn perform(program: &Script) -> Account {
    let world = Rc::new(World { began: time::now(), events: RefCell::default() });
    let done = panic::catch_unwind(AssertUnwindSafe(|| world.script(program)));
    let mut events = world.events.take();
    events.sort_unstable();
    let outcome = match done {
        Ok(done) => outcome_of(done),
        Err(payload) => boom(payload),
    };
    assert_eq!(task::all().len(), 1, "only the first task is left");
    Account { events, outcome, unheard: 0 }
}

fn outcome_of(done: Done) -> Outcome {
    match done {
        Ok(value) => Outcome::Value(value),
        Err(Fault::Cut) => Outcome::Cut,
        Err(Fault::Failed(id)) => Outcome::Failed(id),
    }
}

/// What a panic says; one that is none of the program's goes on.
fn boom(payload: Box<dyn Any + Send>) -> Outcome {
    match payload.downcast::<Boom>() {
        Ok(boom) => Outcome::Panicked(boom.0),
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Once cancelled, always cancelled: in what is opened inside too, but not under a shield.
pub(super) fn assert_cancelled() {
    assert!(task::checkpoint().is_err());
    assert!(task::cancel_scope(|_| task::checkpoint()).is_err());
    task::shield(|| task::checkpoint()).unwrap();
    task::scope(|s| {
        let child = s.spawn(|| unreachable!("it is cancelled before it begins"));
        let joined: Result<(), JoinError> = task::shield(|| child.join());
        assert!(matches!(joined, Err(JoinError::NeverRan(_))));
    });
}

fn nanos(length: Moment) -> Duration {
    Duration::from_nanos(length)
}

impl World {
    fn now(&self) -> Moment {
        (time::now() - self.began).as_nanos() as Moment
    }

    fn note(&self, id: u32, outcome: Outcome) {
        self.events.borrow_mut().push((self.now(), id, outcome));
    }

    fn nap(&self, nap: Nap) -> Result<(), Fault> {
        let began = self.now();
        let slept = time::sleep(nanos(nap.length));
        match slept {
            Ok(()) => assert_eq!(self.now(), began + nap.length, "neither early nor late"),
            Err(_) => {
                assert!(self.now() <= began + nap.length);
                assert_cancelled();
                assert!(self.now() <= began + nap.length);
            }
        }
        self.note(nap.id, slept.map_or(Outcome::Cut, |()| Outcome::Value(0)));
        Ok(slept?)
    }

    fn script(self: &Rc<World>, script: &Script) -> Done {
        let mut value = 0;
        for step in &script.steps {
            self.nap(step.nap)?;
            value = mix(value, self.act(step.nap.id, &step.act)?);
        }
        self.nap(script.tail)?;
        Ok(value)
    }

    fn act(self: &Rc<World>, id: u32, act: &Act) -> Done {
        let done = match act {
            Act::Nothing => Ok(1),
            Act::Fail => Err(Fault::Failed(id)),
            Act::Panic => panic::resume_unwind(Box::new(Boom(id))),
            Act::Timeout(limit, script) => {
                time::timeout(nanos(*limit), || self.script(script)).unwrap_or(Ok(ELAPSED))
            }
            Act::CancelLater(delay, script) => self.cancel_later(*delay, script),
            Act::Shield(script) => task::shield(|| self.script(script)),
            Act::Finally(body, cleanup) => {
                task::finally(|| self.script(body), || self.script(cleanup).map_or((), |_| ()))
            }
            Act::Race(scripts) => {
                let ground = Ground::new();
                let raced = task::race(|r| {
                    for script in scripts {
                        let stands = ground.stands();
                        r.add(move || stands.carry(|| self.script(script)));
                    }
                });
                raced.unwrap_or(Err(Fault::Cut))
            }
            Act::Gather(scripts) => {
                let tasks = scripts.iter().map(|script| || self.script(script));
                Ok(task::gather(tasks).into_iter().fold(2, |value, done| mix(value, code_of(done))))
            }
            Act::TryGather(scripts) => {
                let tasks = scripts.iter().map(|script| || self.script(script));
                match task::try_gather(tasks) {
                    Ok(values) => Ok(values.into_iter().fold(3, mix)),
                    Err(group) => Err(group.into_first()),
                }
            }
            Act::Detached(script) => self.detached(script),
            Act::Scope(scope) if scope.tries => self.try_scope(scope),
            Act::Scope(scope) => self.scope(scope),
        };
        self.note(id, outcome_of(done));
        done
    }

    fn cancel_later(self: &Rc<World>, delay: Moment, script: &Script) -> Done {
        let done = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            let timer = time::call_later(nanos(delay), move || {
                canceller.cancel();
            });
            let done = self.script(script);
            timer.cancel();
            done
        });
        match done {
            Err(Fault::Cut) => {
                task::checkpoint()?;
                Ok(MOVED_ON)
            }
            done => done,
        }
    }

    fn detached(self: &Rc<World>, script: &Rc<Script>) -> Done {
        let task = task::spawn({
            let (world, script) = (self.clone(), script.clone());
            move || world.script(&script)
        });
        match task.join() {
            Ok(done) => done,
            Err(JoinError::Panicked(panic)) => panic.resume(),
            Err(JoinError::Cancelled(_)) => {
                task.cancel();
                let _ = task::shield(|| task.join());
                Err(Fault::Cut)
            }
            Err(other) => unreachable!("{other}"),
        }
    }

    fn scope(self: &Rc<World>, scope: &Scope) -> Done {
        let ground = Ground::new();
        task::scope(|s| {
            let spawn = |script: &Rc<Script>, service| {
                let (world, script, stands) = (self.clone(), script.clone(), ground.stands());
                let task = move || stands.carry(|| world.script(&script));
                if service { s.spawn_service(task) } else { s.spawn(task) }
            };
            self.body(scope, &spawn, &|| s.cancel(), |done| outcome_of(done).code())
        })
    }

    fn try_scope(self: &Rc<World>, scope: &Scope) -> Done {
        let ground = Ground::new();
        let result = task::try_scope(|s| {
            let spawn = |script: &Rc<Script>, service| {
                let (world, script, stands) = (self.clone(), script.clone(), ground.stands());
                let task = move || stands.carry(|| world.script(&script));
                if service { s.spawn_service(task) } else { s.spawn(task) }
            };
            self.body(scope, &spawn, &|| s.cancel(), |value| Outcome::Value(value).code())
        });
        result.map_err(|group| group.into_first())
    }

    fn body<'scope, T>(
        self: &Rc<World>,
        scope: &Scope,
        spawn: &dyn Fn(&Rc<Script>, bool) -> ScopedJoinHandle<'scope, T>,
        cancel: &dyn Fn() -> bool,
        code: impl Fn(T) -> u64,
    ) -> Done {
        let mut tasks = Vec::new();
        let mut value = 4;
        for step in &scope.body {
            self.nap(step.nap)?;
            let seen = match &step.act {
                BodyAct::Plain(act) => self.act(step.nap.id, act)?,
                BodyAct::Spawn(script) => {
                    tasks.push(spawn(script, false));
                    5
                }
                BodyAct::Service(script) => {
                    spawn(script, true);
                    6
                }
                BodyAct::Join(index) => match tasks[*index].join() {
                    Ok(result) => code(result),
                    Err(JoinError::Panicked(panic)) => boom(panic.into_payload()).code(),
                    Err(JoinError::Taken) => TAKEN,
                    Err(JoinError::Failed) => KEPT,
                    Err(JoinError::Cancelled(_)) => return Err(Fault::Cut),
                    Err(other) => unreachable!("{other}"),
                },
                BodyAct::CancelTask(index) => {
                    let was_there = !tasks[*index].is_finished();
                    u64::from(tasks[*index].cancel() && was_there)
                }
                BodyAct::CancelAll => {
                    cancel();
                    7
                }
            };
            value = mix(value, seen);
        }
        self.nap(scope.tail)?;
        Ok(value)
    }
}

/// What a task has returned, or panicked with.
fn code_of(done: Result<Done, JoinError>) -> u64 {
    match done {
        Ok(done) => outcome_of(done).code(),
        Err(JoinError::Panicked(panic)) => boom(panic.into_payload()).code(),
        Err(other) => unreachable!("{other}"),
    }
}

/// What tasks of a scope stand on: a part of the frame of whoever opened it. It must be there while one of them is.
pub(super) struct Ground {
    tasks: Cell<usize>,
}

pub(super) struct Stands<'a>(&'a Ground);

impl Ground {
    pub(super) fn new() -> Ground {
        Ground { tasks: Cell::new(0) }
    }

    /// For a task to take along, whether it ever runs or not.
    pub(super) fn stands(&self) -> Stands<'_> {
        self.tasks.set(self.tasks.get() + 1);
        Stands(self)
    }
}

impl Stands<'_> {
    /// Runs what a task does, and goes with it.
    pub(super) fn carry<T>(self, task: impl FnOnce() -> T) -> T {
        task()
    }
}

impl Drop for Stands<'_> {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.tasks.get() != 0 {
            // Tasks borrow what goes away now: there is no way to go on.
            eprintln!("a scope was left before its tasks");
            std::process::abort();
        }
    }
}
