//! Scenarios that are cancelled at every moment at which that makes a difference: enumerated, not sampled.

//!
//! A scenario is made of *parts*. Each is cut everywhere by itself, in order and under many schedules, and so are all of
//! them side by side.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::lowlevel::{self, Ticket, Undo, WaitList, Why};
use ropewalk::testing::{Cut, Setup};
use ropewalk::{Cancelled, Generator, JoinError, Reason, generate, task, testing, time};

const TICK: Duration = Duration::from_millis(1);

/// What the parts use together. At the end all must be as in the beginning.
#[derive(Default)]
struct World {
    /// Values that must have been dropped.
    alive: Cell<usize>,
    lock: Lock,
    line: Line,
    /// What is never given.
    nothing: WaitList,
    /// Tickets of those who wait for an answer.
    asked: RefCell<Vec<Ticket<()>>>,
    begun: Cell<usize>,
    cleaned: Cell<usize>,
}

struct Alive(Rc<World>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

#[derive(Default)]
struct Lock {
    taken: Cell<bool>,
    waiting: WaitList,
}

struct Guard<'a>(&'a Lock);

impl Lock {
    fn acquire(&self) -> Result<Guard<'_>, Cancelled> {
        if self.taken.replace(true) {
            self.waiting.wait(&Why::new("lock"))?;
        }
        Ok(Guard(self))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.0.waiting.wake_one(()).is_err() {
            self.0.taken.set(false);
        }
    }
}

/// Numbers that are handed from one task to another, each once.
#[derive(Default)]
struct Line {
    waiting: WaitList<u32>,
    stock: RefCell<BTreeSet<u32>>,
    given: Cell<u32>,
    taken: RefCell<BTreeSet<u32>>,
}

impl Line {
    fn give(&self) {
        let number = self.given.get();
        self.given.set(number + 1);
        if let Err(number) = self.waiting.wake_one(number) {
            assert!(self.stock.borrow_mut().insert(number));
        }
    }

    fn take(&self) -> Result<u32, Cancelled> {
        let stocked = self.stock.borrow_mut().pop_first();
        let number = match stocked {
            Some(number) => number,
            None => self.waiting.wait(&Why::new("number"))?,
        };
        assert!(self.taken.borrow_mut().insert(number));
        Ok(number)
    }
}

impl World {
    fn alive(self: &Rc<World>) -> Alive {
        self.alive.set(self.alive.get() + 1);
        Alive(self.clone())
    }

    fn assert_clean(&self) {
        assert_eq!(task::all().len(), 1, "a task is left");
        assert_eq!(self.alive.get(), 0, "something was not dropped");
        assert!(!self.lock.taken.get() && self.lock.waiting.is_empty(), "the lock is not free");
        assert!(self.line.waiting.is_empty() && self.nothing.is_empty(), "somebody waits in line");
        let mut numbers = self.line.taken.take();
        numbers.append(&mut self.line.stock.take());
        assert!(numbers.into_iter().eq(0..self.line.given.get()), "a number is lost");
        assert!(self.asked.borrow().is_empty(), "somebody waits for an answer");
        assert_eq!(self.begun.get(), self.cleaned.get(), "not all has been cleaned up");
    }
}

type Part = fn(&Rc<World>) -> Result<(), Cancelled>;

/// The parts. Each may end early, with an error or without.
const PARTS: [Part; 13] = [
    children_that_take_turns_at_a_lock,
    numbers_that_are_handed_over,
    limits_in_limits,
    a_task_of_no_scope,
    a_gathering,
    a_race,
    a_server_that_is_started,
    a_cleanup_that_waits,
    a_generator_that_waits,
    an_answer_that_cannot_be_called_off,
    a_failure_among_siblings,
    a_service_and_an_eager_child,
    those_that_end_first,
];

fn children_that_take_turns_at_a_lock(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let _alive = w.alive();
                let _guard = w.lock.acquire()?;
                time::sleep(TICK)?;
                task::checkpoint()
            });
        }
        let _guard = w.lock.acquire()?;
        task::yield_now();
        time::sleep(TICK)
    })
}

fn numbers_that_are_handed_over(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        let taker = s.spawn(|| {
            let _alive = w.alive();
            let first = w.line.take()?;
            w.line.take().map(|second| assert_ne!(first, second))
        });
        s.spawn(|| w.line.take().is_ok());
        for _ in 0..3 {
            task::checkpoint()?;
            w.line.give();
        }
        match taker.join() {
            Ok(taken) => taken,
            Err(JoinError::Cancelled(cancelled) | JoinError::NeverRan(cancelled)) => Err(cancelled),
            Err(other) => panic!("{other}"),
        }
    })
}

fn limits_in_limits(w: &Rc<World>) -> Result<(), Cancelled> {
    let _alive = w.alive();
    let outer = time::timeout(3 * TICK, || {
        let inner = time::timeout(TICK, || w.nothing.wait(&Why::new("nothing")).map(drop));
        if let Ok(done) = inner {
            done?;
        }
        time::sleep(9 * TICK)
    });
    match outer {
        Ok(done) => done,
        Err(_) => time::sleep(TICK),
    }
}

fn a_task_of_no_scope(w: &Rc<World>) -> Result<(), Cancelled> {
    let task = task::spawn({
        let w = w.clone();
        move || {
            let _alive = w.alive();
            let _guard = w.lock.acquire()?;
            time::sleep(2 * TICK)
        }
    });
    task::finally(
        || match task.join() {
            Ok(done) => done,
            Err(JoinError::Cancelled(cancelled)) => Err(cancelled),
            Err(other) => panic!("{other}"),
        },
        || {
            task.cancel();
            assert!(matches!(task.join(), Ok(_) | Err(JoinError::Taken | JoinError::NeverRan(_))));
        },
    )
}

fn a_gathering(w: &Rc<World>) -> Result<(), Cancelled> {
    let work = |ticks: u32| {
        move || {
            let _alive = w.alive();
            time::sleep(ticks * TICK)?;
            w.line.give();
            Ok::<_, Cancelled>(ticks)
        }
    };
    for (ticks, result) in [2, 1].into_iter().zip(task::gather([2, 1].map(work))) {
        match result {
            Ok(done) => assert_eq!(done?, ticks),
            Err(JoinError::NeverRan(cancelled)) => return Err(cancelled),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(task::try_gather([1, 2, 1].map(work))?, [1, 2, 1]);
    Ok(())
}

fn a_race(w: &Rc<World>) -> Result<(), Cancelled> {
    let winner = task::race(|r| {
        r.add(|| time::sleep(TICK).map(|()| 1));
        r.add(|| {
            let _alive = w.alive();
            w.nothing.wait(&Why::new("nothing")).map(|_| 2)
        });
        r.add(|| {
            let _guard = w.lock.acquire()?;
            time::sleep(9 * TICK).map(|()| 3)
        });
    })??;
    assert_eq!(winner, 1);
    Ok(())
}

fn a_server_that_is_started(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        let started = s.start(|ready| {
            let _alive = w.alive();
            time::sleep(TICK)?;
            ready.set(80);
            time::sleep(TICK)
        });
        match started {
            Ok((port, server)) => {
                assert_eq!(port, 80);
                server.join().map_or(Ok(()), |served| served)
            }
            Err(not) => match not.cancelled {
                Some(cancelled) => Err(cancelled),
                // It ended without saying so, for it was cancelled.
                None => not.task.join().map_or(Ok(()), |served| served),
            },
        }
    })
}

fn a_cleanup_that_waits(w: &Rc<World>) -> Result<(), Cancelled> {
    w.begun.set(w.begun.get() + 1);
    task::finally(
        || {
            let _guard = w.lock.acquire()?;
            task::scope(|s| s.spawn(|| time::sleep(TICK)).join()).ok();
            task::shield(|| time::sleep(TICK)).expect("nothing reaches what is shielded");
            task::checkpoint()
        },
        || {
            let _guard = w.lock.acquire().expect("nothing reaches a cleanup");
            time::sleep(TICK).expect("nothing reaches a cleanup");
            w.cleaned.set(w.cleaned.get() + 1);
        },
    )
}

fn a_generator_that_waits(w: &Rc<World>) -> Result<(), Cancelled> {
    let inner = w.clone();
    let numbers = generate(move |co| {
        let _alive = inner.alive();
        for number in 0..3 {
            if time::sleep(TICK).is_err() || inner.lock.acquire().map(drop).is_err() {
                return;
            }
            co.yield_(number);
        }
    });
    for (number, expected) in numbers.take(2).zip(0..) {
        assert_eq!(number, expected);
        task::checkpoint()?;
    }
    // One that is asked by another task, and is closed in the middle if that is cancelled.
    let inner = w.clone();
    let ticker = Generator::new(move |co: &ropewalk::Yielder<u32, ()>| -> Result<(), Cancelled> {
        let _alive = inner.alive();
        for tick in 0.. {
            time::sleep(TICK)?;
            if co.try_yield(tick).is_err() {
                break;
            }
        }
        Ok(())
    });
    task::scope(|s| {
        let asking = s.spawn(move || {
            // Moved, so that this task drops it.
            let ticker = ticker;
            let _ = ticker.start();
            task::checkpoint()?;
            let _ = ticker.send(());
            Ok::<_, Cancelled>(())
        });
        asking.join().map_or(Ok(()), |asked| asked)
    })
}

fn an_answer_that_cannot_be_called_off(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        let asking = s.spawn(|| {
            let _alive = w.alive();
            let register = |ticket| w.asked.borrow_mut().push(ticket);
            let asked = lowlevel::park(&Why::new("answer"), register, || Undo::Later);
            assert!(w.asked.borrow().is_empty() || asked.is_err(), "the wait was over before its answer");
            asked
        });
        // Who answers does so whatever is cancelled.
        task::shield(|| time::sleep(2 * TICK)).unwrap();
        w.asked.take().into_iter().for_each(|ticket| ticket.wake(()).expect("it goes on until the answer"));
        asking.join().map_or(Ok(()), |asked| asked)
    })
}

fn a_failure_among_siblings(w: &Rc<World>) -> Result<(), Cancelled> {
    let failed = task::try_scope(|s| {
        s.spawn(|| {
            let _guard = w.lock.acquire().map_err(|_| "cancelled")?;
            time::sleep(9 * TICK).map_err(|_| "cancelled")
        });
        s.spawn(|| {
            let _alive = w.alive();
            time::sleep(TICK).map_err(|_| "cancelled")?;
            Err::<(), _>("failed")
        });
        w.nothing.wait(&Why::new("nothing")).map(drop).map_err(|_| "cancelled")
    });
    match failed.unwrap_err().into_first() {
        "failed" => Ok(()),
        _ => task::checkpoint(),
    }
}

fn a_service_and_an_eager_child(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        s.spawn_service(move || {
            let _alive = w.alive();
            while time::sleep(TICK).is_ok() {
                count.set(count.get() + 1);
            }
        });
        let client = task::Builder::new().eager(true).spawn_in(s, || {
            let _alive = w.alive();
            time::sleep(5 * TICK)
        });
        client.join().map_or(Ok(()), |done| done.map(|()| assert!(served.get() >= 3)))
    })
}

fn those_that_end_first(w: &Rc<World>) -> Result<(), Cancelled> {
    task::scope(|s| {
        let tasks = [3, 1, 2].map(|ticks| {
            s.spawn(move || {
                let _alive = w.alive();
                time::sleep(ticks * TICK)
            })
        });
        let waited = task::wait(&tasks, task::Until::First)?;
        // Others may have been cancelled before this one goes on.
        assert!(!waited.done.is_empty());
        let ended = task::as_completed(&tasks).filter(|(index, _)| *index < tasks.len()).count();
        assert_eq!(ended, 3);
        task::checkpoint()
    })
}

fn cut(cut: &Cut, parts: &[Part]) {
    let world = Rc::new(World::default());
    let done = cut.here(|| match parts {
        [part] => part(&world),
        parts => task::try_gather(parts.iter().map(|part| || part(&world))).map(drop).map_err(Into::into),
    });
    // A part that is cancelled may still get to its end: it was granted what it waited for last.
    assert!(cut.moment().is_some() || done.is_ok(), "nobody cancelled it");
    world.assert_clean();
}

#[test]
fn wherever_a_part_is_cancelled_nothing_is_lost() {
    for part in PARTS {
        let moments = testing::cancel_everywhere(|c| cut(c, &[part]));
        assert!(moments > 5);
    }
}

#[test]
fn wherever_a_part_is_cancelled_nothing_is_lost_under_other_schedules() {
    for seed in 0..50 {
        for part in PARTS {
            Setup::new().seed(seed).cancel_everywhere(|c| cut(c, &[part]));
        }
    }
}

#[test]
fn wherever_all_parts_together_are_cancelled_nothing_is_lost() {
    let moments = testing::cancel_everywhere(|c| cut(c, &PARTS));
    assert!(moments > 200, "{moments} moments");
    Setup::new().seed(1).cancel_everywhere(|c| cut(c, &PARTS));
}

#[test]
fn a_race_that_is_cancelled_before_its_tasks_begin_is_cancelled() {
    testing::run(|| {
        let raced: Result<(), Cancelled> = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || canceller.cancel());
            task::race(|r| drop(r.add(|| ())))
        });
        assert_eq!(raced.unwrap_err().reason(), Reason::Requested);
        // Each for itself.
        let raced: Result<(), Cancelled> = task::race(|r| {
            r.add(|| ()).cancel();
        });
        assert_eq!(raced.unwrap_err().reason(), Reason::Requested);
    });
}
