//! Shards under random programs: trees of jobs that wait, compute, talk, panic, are let go of, and are stopped in the middle.
//!
//! Whatever happens: a job begins at most once; all that it holds is dropped once; whoever joins it has its result, or is told why there is
//! none; and the whole returns. A program is made from a seed, which a failure prints; `ROPEWALK_SEED=number` runs that one alone.
//! What the threads make of it is theirs.

use std::env;
use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk::channel::cross;
use ropewalk::net::UnixStream;
use ropewalk::shards::{self, Shard, ShardJob, ShardStatistics};
use ropewalk::{Cancelled, JoinError, Reason, task, time};

const SEEDS: u64 = 60;

/// What a job panics with that is meant to.
struct Intended;

/// Marsaglia's xorshift: chance enough for programs.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % u64::from(bound)) as u32
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }
}

/// A job, as it was made up: before anything runs, so that threads have no part in it.
struct Plan {
    waits: Vec<Wait>,
    children: Vec<(Plan, Placing, Ending)>,
    panics: Option<Panics>,
    stops: bool,
    number: usize,
}

#[derive(Clone, Copy)]
enum Wait {
    Sleep(Duration),
    Yield,
    Compute(u32),
    Channel,
    Input,
    Shielded(Duration),
}

#[derive(Clone, Copy)]
enum Placing {
    Anywhere,
    /// On the shard with that number, modulo how many there are.
    On(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Panics {
    /// And lets go of its children.
    Early,
    Late,
}

/// What becomes of a handle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Joined,
    Dropped,
    Forgotten,
}

struct Programs {
    chance: Chance,
    jobs: usize,
    /// Whether a panic may be left to end the whole, and whether somebody may stop it.
    may_end: bool,
}

impl Programs {
    fn plan(&mut self, depth: u32, is_joined: bool) -> Plan {
        let number = self.jobs;
        self.jobs += 1;
        let waits = (0..self.chance.below(4)).map(|_| self.wait()).collect();
        let children = match depth {
            0 => 0,
            _ => self.chance.below(4),
        };
        let children = (0..children).map(|_| {
            let ending = match self.chance.below(4) {
                0 => Ending::Dropped,
                1 => Ending::Forgotten,
                _ => Ending::Joined,
            };
            let placing = match self.chance.below(3) {
                0 => Placing::On(self.chance.below(8)),
                _ => Placing::Anywhere,
            };
            (self.plan(depth - 1, ending == Ending::Joined), placing, ending)
        });
        let children = children.collect();
        let panics = ((is_joined || self.may_end) && self.chance.one_in(12))
            .then(|| if self.may_end && self.chance.one_in(2) { Panics::Early } else { Panics::Late });
        let stops = self.may_end && self.chance.one_in(40);
        Plan { waits, children, panics, stops, number }
    }

    fn wait(&mut self) -> Wait {
        let short = Duration::from_micros(u64::from(self.chance.below(200)));
        match self.chance.below(8) {
            0 | 1 => Wait::Sleep(short),
            2 | 3 => Wait::Yield,
            4 => Wait::Compute(self.chance.below(20_000)),
            5 => Wait::Channel,
            6 => Wait::Input,
            _ => Wait::Shielded(short),
        }
    }
}

/// What is known of a run.
struct Book {
    begun: Vec<AtomicU32>,
    /// What jobs hold that was dropped.
    dropped: AtomicUsize,
    added: AtomicUsize,
    /// Results that came out of jobs, and those that did not.
    delivered: AtomicUsize,
    refused: AtomicUsize,
    has_ended: AtomicBool,
}

/// What a job holds.
struct Held<'env> {
    plan: Option<Plan>,
    book: &'env Book,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.book.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn wait(wait: Wait) -> Result<(), Cancelled> {
    match wait {
        Wait::Sleep(short) => time::sleep(short),
        Wait::Yield => {
            task::yield_now();
            Ok(())
        }
        Wait::Compute(steps) => {
            std::hint::black_box((0..steps).fold(0_u32, |sum, step| sum.wrapping_mul(31) ^ step));
            Ok(())
        }
        Wait::Channel => {
            let (sender, receiver) = cross::bounded(1);
            task::scope(|s| {
                s.spawn(move || sender.send(1));
                match receiver.recv() {
                    Ok(_) => Ok(()),
                    Err(error) => Err(cancelled_in(error.into())),
                }
            })
        }
        Wait::Input => {
            let (mut one, mut other) = UnixStream::pair().unwrap();
            task::scope(|s| {
                s.spawn(move || one.write_all(b"rope"));
                let mut read = [0; 4];
                other.read_exact(&mut read).map_err(cancelled_in)
            })
        }
        Wait::Shielded(short) => task::shield(|| time::sleep(short)),
    }
}

fn cancelled_in(error: std::io::Error) -> Cancelled {
    // A sender that was cancelled has gone without a word: then this is, or will be at the next wait.
    Cancelled::in_error(&error).unwrap_or(Cancelled::new(Reason::Sibling))
}

/// Runs a plan; returns its number.
fn run<'env>(shard: &Shard<'_, 'env>, mut held: Held<'env>) -> usize {
    let book = held.book;
    let plan = held.plan.take().unwrap();
    assert_eq!(book.begun[plan.number].fetch_add(1, Ordering::SeqCst), 0, "a job begins once");
    assert!(!book.has_ended.load(Ordering::SeqCst), "nothing outlives the run");
    let mut waits = plan.waits.into_iter();
    let first = waits.next().map_or(Ok(()), wait);
    let children: Vec<_> = plan.children.into_iter().map(|child| add(shard, book, child)).collect();
    // Where it is cancelled, what is left of its waits fails.
    let _ = first.and_then(|()| waits.try_for_each(wait));
    if plan.stops {
        shard.stop();
    }
    if plan.panics == Some(Panics::Early) {
        panic::resume_unwind(Box::new(Intended));
    }
    for (job, ending, number) in children {
        match ending {
            Ending::Joined => join(book, &job, number),
            Ending::Dropped => drop(job),
            Ending::Forgotten => std::mem::forget(job),
        }
    }
    if plan.panics == Some(Panics::Late) {
        panic::resume_unwind(Box::new(Intended));
    }
    plan.number
}

fn add<'team, 'env>(
    shard: &Shard<'team, 'env>,
    book: &'env Book,
    (plan, placing, ending): (Plan, Placing, Ending),
) -> (ShardJob<'team, 'env, usize>, Ending, usize) {
    let number = plan.number;
    book.added.fetch_add(1, Ordering::SeqCst);
    let held = Held { plan: Some(plan), book };
    let job = move |shard: &Shard<'_, 'env>| run(shard, held);
    let job = match placing {
        Placing::Anywhere => shard.spawn(job),
        Placing::On(index) => shard.spawn_on(index as usize % shard.count(), job),
    };
    (job, ending, number)
}

/// Waits in a shield too: a job that is over says so, whatever was cancelled.
fn join(book: &Book, job: &ShardJob<'_, '_, usize>, number: usize) {
    let mut joined = job.join();
    if let Err(JoinError::Cancelled(_)) = joined {
        joined = task::shield(|| job.join());
    }
    match joined {
        Ok(result) => {
            assert_eq!(result, number);
            book.delivered.fetch_add(1, Ordering::SeqCst);
        }
        Err(JoinError::Panicked(panic)) => {
            assert!(panic.into_payload().is::<Intended>(), "job {number} panicked by mistake");
            book.delivered.fetch_add(1, Ordering::SeqCst);
        }
        Err(JoinError::NeverRan(_)) => {
            assert_eq!(book.begun[number].load(Ordering::SeqCst), 0, "it never ran, it is said");
            book.refused.fetch_add(1, Ordering::SeqCst);
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn run_program(seed: u64) {
    let mut chance = Chance::new(seed);
    let shards = 1 + chance.below(8) as usize;
    let may_end = chance.one_in(2);
    let mut programs = Programs { chance, jobs: 0, may_end };
    let roots: Vec<Mutex<Vec<_>>> = (0..shards)
        .map(|_| {
            let roots = (0..1 + programs.chance.below(3))
                .map(|_| (programs.plan(4, true), Placing::Anywhere, Ending::Joined))
                .collect();
            Mutex::new(roots)
        })
        .collect();
    let stops_at = (may_end && programs.chance.one_in(3)).then(|| programs.chance.below(2000));
    let jobs = programs.jobs;
    let book = Book {
        begun: (0..jobs).map(|_| AtomicU32::new(0)).collect(),
        dropped: AtomicUsize::new(0),
        added: AtomicUsize::new(0),
        delivered: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
        has_ended: AtomicBool::new(false),
    };
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        shards::run(shards, |shard| {
            let mine = std::mem::take(&mut *roots[shard.index()].lock().unwrap());
            let children: Vec<_> = mine.into_iter().map(|child| add(shard, &book, child)).collect();
            if let (Some(micros), 0) = (stops_at, shard.index()) {
                let _ = time::sleep(Duration::from_micros(u64::from(micros)));
                shard.stop();
            }
            for (job, _, number) in children {
                join(&book, &job, number);
            }
            shard.statistics()
        })
    }));
    book.has_ended.store(true, Ordering::SeqCst);
    let begun = book.begun.iter().filter(|begun| begun.load(Ordering::SeqCst) > 0).count();
    let added = book.added.load(Ordering::SeqCst);
    assert_eq!(book.dropped.load(Ordering::SeqCst), added, "what jobs hold is dropped once");
    match ended {
        Ok(statistics) if !may_end => {
            assert_eq!((begun, added), (jobs, jobs), "all that was planned has run");
            assert_eq!(book.refused.load(Ordering::SeqCst), 0);
            let all: ShardStatistics = statistics[0].iter().copied().sum();
            assert!(all.begun <= jobs as u64 && all.finished <= all.begun, "{all:?}");
        }
        Ok(_) => assert!(begun <= added),
        Err(payload) => {
            assert!(may_end, "no panic was left over");
            assert!(payload.is::<Intended>(), "it has panicked by mistake");
        }
    }
}

#[test]
fn random_programs_lose_nothing_and_end() {
    // A panic that is meant says nothing; one that is not says where it was.
    let seeds = match env::var("ROPEWALK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("ROPEWALK_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let ran = panic::catch_unwind(|| run_program(seed));
        if let Err(payload) = ran {
            eprintln!("to see it again: ROPEWALK_SEED={seed}");
            panic::resume_unwind(payload);
        }
    }
}
