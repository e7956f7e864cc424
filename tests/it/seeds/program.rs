//! Timed programs: what they are made of, and how one is written at random.
//!
//! Before each act comes a nap of a random length, and at the end of each script another one. So events that do not
//! cause one another happen at moments of their own, and whoever has been cancelled finds out.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::testing::random;

/// Nanoseconds since the program began.
pub(super) type Moment = u64;

#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) tail: Nap,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Nap {
    pub(super) id: u32,
    pub(super) length: Moment,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) nap: Nap,
    pub(super) act: Act,
}

#[derive(Debug)]
pub(super) enum Act {
    Nothing,
    /// Ends the script with an error.
    Fail,
    Panic,
    /// Its deadline is so long after its beginning.
    Timeout(Moment, Rc<Script>),
    /// It is cancelled by a callback so long after its beginning.
    CancelLater(Moment, Rc<Script>),
    Shield(Rc<Script>),
    Finally(Rc<Script>, Rc<Script>),
    Race(Vec<Rc<Script>>),
    Gather(Vec<Rc<Script>>),
    TryGather(Vec<Rc<Script>>),
    /// A task of no scope, which is joined; and cancelled and joined if that fails.
    Detached(Rc<Script>),
    Scope(Scope),
}

#[derive(Debug)]
pub(super) struct Scope {
    /// Whether it is a `try_scope`.
    pub(super) tries: bool,
    pub(super) body: Vec<BodyStep>,
    pub(super) tail: Nap,
}

#[derive(Debug)]
pub(super) struct BodyStep {
    pub(super) nap: Nap,
    pub(super) act: BodyAct,
}

/// Tasks are named by the order in which the body spawns them.
#[derive(Debug)]
pub(super) enum BodyAct {
    Plain(Act),
    Spawn(Rc<Script>),
    Service(Rc<Script>),
    Join(usize),
    CancelTask(usize),
    CancelAll,
}

/// How a script, or an act, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// With a number that says what was seen on the way.
    Value(u64),
    Cut,
    Failed(u32),
    Panicked(u32),
}

/// When, which step, how it ended. Naps that were slept to the end are events as well.
pub(super) type Event = (Moment, u32, Outcome);

#[derive(Debug)]
pub(super) struct Account {
    /// In the order of time, and of numbers at one moment.
    pub(super) events: Vec<Event>,
    pub(super) outcome: Outcome,
    /// Panics that nobody could be told of.
    pub(super) unheard: usize,
}

impl Outcome {
    pub(super) fn code(self) -> u64 {
        match self {
            Outcome::Value(value) => value ^ 0x5555,
            Outcome::Cut => 2,
            Outcome::Failed(id) => 1_000 + u64::from(id),
            Outcome::Panicked(id) => 1_000_000 + u64::from(id),
        }
    }
}

/// What is known after `more`, when `before` was known.
pub(super) fn mix(before: u64, more: u64) -> u64 {
    (before.rotate_left(7) ^ more).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Results that are not outcomes of scripts.
pub(super) const ELAPSED: u64 = 71;
pub(super) const MOVED_ON: u64 = 72;
pub(super) const TAKEN: u64 = 73;
pub(super) const KEPT: u64 = 74;

/// Some eighteen minutes: long enough that no two sums of naps are the same by chance.
const LONGEST: usize = 1 << 40;

pub(super) struct Writer {
    last_id: Cell<u32>,
    /// Steps that may still be written.
    left: Cell<usize>,
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer { last_id: Cell::new(0), left: Cell::new(3 + random(60)) }
    }

    pub(super) fn program(&self) -> Rc<Script> {
        self.script(5, false)
    }

    fn nap(&self) -> Nap {
        self.last_id.set(self.last_id.get() + 1);
        Nap { id: self.last_id.get(), length: self.while_() }
    }

    fn while_(&self) -> Moment {
        // Short and long ones: else whatever takes several steps is never in time.
        (1 + random(LONGEST >> random(6))) as Moment
    }

    fn takes_step(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// A tame one neither fails nor panics.
    fn script(&self, depth: usize, tame: bool) -> Rc<Script> {
        let most = random(4);
        let steps = (0..most).take_while(|_| self.takes_step());
        let steps = steps.map(|_| Step { nap: self.nap(), act: self.act(depth, tame) }).collect();
        Rc::new(Script { steps, tail: self.nap() })
    }

    /// For where no cancellation reaches: it often goes wrong there, when all around is over.
    fn sheltered(&self, depth: usize, tame: bool) -> Rc<Script> {
        let Script { mut steps, tail } =
            Rc::into_inner(self.script(depth, tame)).expect("nobody else has it");
        if !tame && random(3) == 0 {
            let act = if random(2) == 0 { Act::Fail } else { Act::Panic };
            steps.push(Step { nap: self.nap(), act });
        }
        Rc::new(Script { steps, tail })
    }

    fn scripts(&self, depth: usize, tame: bool) -> Vec<Rc<Script>> {
        (0..1 + random(3)).map(|_| self.script(depth, tame)).collect()
    }

    fn act(&self, depth: usize, tame: bool) -> Act {
        if depth == 0 {
            return Act::Nothing;
        }
        let script = || self.script(depth - 1, tame);
        match random(24) {
            0 if !tame => Act::Fail,
            1 if !tame => Act::Panic,
            2..4 => Act::Timeout(self.while_(), script()),
            4..6 => Act::CancelLater(self.while_(), script()),
            6..9 => Act::Shield(self.sheltered(depth - 1, tame)),
            9 => Act::Finally(script(), self.sheltered(depth - 1, tame)),
            10..12 => Act::Race(self.scripts(depth - 1, tame)),
            12..14 => Act::Gather(self.scripts(depth - 1, tame)),
            14 if !tame => Act::TryGather(self.scripts(depth - 1, tame)),
            15 => Act::Detached(script()),
            16..22 => Act::Scope(self.scope(depth - 1, tame)),
            _ => Act::Nothing,
        }
    }

    fn scope(&self, depth: usize, tame: bool) -> Scope {
        let tries = !tame && random(2) == 0;
        let mut spawned = 0;
        let mut body = Vec::new();
        for _ in 0..1 + random(6) {
            if !self.takes_step() {
                break;
            }
            let act = match random(12) {
                0..4 => BodyAct::Spawn(self.script(depth, tame)),
                4..6 => BodyAct::Service(self.script(depth, true)),
                6..9 if spawned > 0 => BodyAct::Join(random(spawned)),
                9 if spawned > 0 => BodyAct::CancelTask(random(spawned)),
                10 if random(2) == 0 => BodyAct::CancelAll,
                _ => BodyAct::Plain(self.act(depth, tame)),
            };
            spawned += usize::from(matches!(act, BodyAct::Spawn(_)));
            body.push(BodyStep { nap: self.nap(), act });
        }
        Scope { tries, body, tail: self.nap() }
    }
}
