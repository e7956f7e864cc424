//! Random programs: tasks that meet at a few things, hold them for a while, and cancel one another.
//!
//! Written while they run, by chance that comes from the seed. All that is done goes to the [`Ledger`], and what comes of it
//! is compared; after each event so is what can be seen of each thing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ropewalk::lowlevel::{TaskId, TaskState};
use ropewalk::select::{Chosen, fairly, select};
use ropewalk::task::{self, Canceller};
use ropewalk::testing::{self, Setup, random};
use ropewalk::{Cancelled, Problem, Unhandled, time};

use super::ledger::{Guarding, Ledger, Outcome, Part, Stands, Word};
use super::things::{AnyArm, Choice, Got, Held, Probed, Stopped, Thing};
use super::things::{got_of, left_in};

/// Many enough for each mistake that we could think of, few enough to wait for.
const SEEDS: u64 = 2_000;

/// What there is in a program, for so many tasks: adds things and their models, and says who has what at first.
pub(super) type Furnish = fn(&mut Furniture);

pub(super) struct Furniture {
    things: Vec<Box<dyn Thing>>,
    hands: Vec<Vec<(usize, Held<'static>)>>,
    pub(super) diary: Rc<Diary>,
}

impl Furniture {
    pub(super) fn seats(&self) -> usize {
        self.hands.len()
    }

    pub(super) fn add(
        &mut self,
        thing: impl Thing + 'static,
        model: impl super::ledger::Model + 'static,
    ) -> usize {
        self.things.push(Box::new(thing));
        self.diary.ledger.borrow_mut().add(Box::new(model));
        self.things.len() - 1
    }

    pub(super) fn give(&mut self, seat: usize, thing: usize, held: Held<'static>) {
        self.hands[seat].push((thing, held));
    }

    pub(super) fn next_thing(&self) -> usize {
        self.things.len()
    }

    pub(super) fn fresh(&self) -> u64 {
        self.diary.fresh()
    }

    pub(super) fn line(&mut self) -> usize {
        self.diary.ledger.borrow_mut().lines().another()
    }
}

/// What goes into the ledger, and when.
pub(super) struct Diary {
    ledger: RefCell<Ledger>,
    tasks: RefCell<Vec<TaskId>>,
    cancellers: RefCell<Vec<Option<Canceller>>>,
    began: Instant,
    numbers: Cell<u64>,
    /// Items that have not been dropped.
    pub(super) items: Rc<Cell<u64>>,
    is_broken: Cell<bool>,
}

impl Diary {
    fn now(&self) -> u64 {
        u64::try_from((time::now() - self.began).as_millis()).expect("programs are short")
    }

    pub(super) fn tell<R>(&self, event: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledger = self.ledger.borrow_mut();
        ledger.tick(self.now());
        event(&mut ledger)
    }

    /// Panics once with what has gone wrong. Others only end.
    fn verdict(&self) {
        let ledger = self.ledger.borrow();
        if let Some(fault) = &ledger.fault {
            if !self.is_broken.replace(true) {
                panic!("{fault}\n{}", ledger.history().join("\n"));
            }
        }
    }

    fn seat(&self, task: TaskId) -> Option<usize> {
        self.tasks.borrow().iter().position(|&other| other == task)
    }

    fn step_ends(&self, what: &Unhandled<'_>) {
        let Some(info) = &what.task else { return };
        let Some(seat) = self.seat(info.id) else { return };
        let stands = match info.state {
            TaskState::Waiting { .. } => Stands::Waits,
            TaskState::Ready => Stands::Ready,
            _ => Stands::Ended,
        };
        if !self.is_broken.get() {
            self.tell(|ledger| ledger.step_ends(seat, stands));
        }
    }

    fn fresh(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }
}

thread_local! {
    /// The diary of the program that runs on this thread.
    static DIARY: RefCell<Option<Rc<Diary>>> = const { RefCell::new(None) };
}

/// Runs programs with these things, one for each seed.
#[track_caller]
pub(super) fn check(furnish: Furnish) {
    // Nobody is that quick: so the runtime's hook is told of each step of each task, right after it.
    Setup::new()
        .slow_step(Duration::ZERO)
        .allow(|what| {
            let is_step = matches!(what.problem, Problem::SlowStep(_));
            if is_step {
                let diary = DIARY.with_borrow(Clone::clone);
                diary.inspect(|diary| diary.step_ends(what));
            }
            is_step
        })
        .explore(0..SEEDS, || program(furnish));
}

fn program(furnish: Furnish) {
    let diary = Rc::new(Diary {
        ledger: RefCell::new(Ledger::new(std::env::var_os("ROPEWALK_SEED").is_some())),
        tasks: RefCell::default(),
        cancellers: RefCell::default(),
        began: time::now(),
        numbers: Cell::new(0),
        items: Rc::default(),
        is_broken: Cell::new(false),
    });
    DIARY.set(Some(diary.clone()));
    let seats = 3 + random(4);
    for _ in 0..seats {
        diary.ledger.borrow_mut().seat();
        diary.cancellers.borrow_mut().push(None);
    }
    let mut furniture = Furniture {
        things: Vec::new(),
        hands: (0..seats).map(|_| Vec::new()).collect(),
        diary: diary.clone(),
    };
    furnish(&mut furniture);
    {
        let world = World { diary: &diary, things: furniture.things };
        world.run(furniture.hands);
    }
    assert_eq!(diary.items.get(), 0, "each item that was made is dropped");
    DIARY.set(None);
}

struct World<'d> {
    diary: &'d Diary,
    things: Vec<Box<dyn Thing>>,
}

impl World<'_> {
    fn run(&self, hands: Vec<Vec<(usize, Held<'static>)>>) {
        task::scope(|s| {
            let mut tasks = Vec::new();
            for (seat, hands) in hands.into_iter().enumerate() {
                let task = s.spawn(move || Worker { world: self, seat, hands: shorter(hands) }.work());
                self.diary.tasks.borrow_mut().push(task.id());
                tasks.push(task);
            }
            for _ in 0..random(20) {
                match random(8) {
                    0 => {
                        let seat = random(tasks.len());
                        // One that never begins drops what it was given, and says nothing.
                        let has_begun = !matches!(tasks[seat].info().state, TaskState::New);
                        if has_begun && !tasks[seat].is_finished() {
                            tasks[seat].cancel();
                            self.diary.tell(|ledger| ledger.cut_task(seat));
                        }
                    }
                    1..4 => self.cancel_somebody(),
                    4..6 => task::yield_now(),
                    _ => drop(time::sleep(millis(1))),
                }
            }
            // Those that wait for one another are cut one by one.
            while !tasks.iter().all(|task| task.is_finished()) && !self.diary.is_broken.get() {
                if time::sleep(millis(20)).is_err() || testing::wait_all_tasks_blocked().is_err() {
                    return;
                }
                self.diary.tell(Ledger::all_wait);
                self.check();
                let waiting: Vec<usize> =
                    (0..tasks.len()).filter(|&seat| !tasks[seat].is_finished()).collect();
                if let Some(&seat) = waiting.get(random(waiting.len().max(1))) {
                    let canceller = self.diary.cancellers.borrow()[seat].clone();
                    match canceller {
                        Some(canceller) if canceller.cancel() => {
                            self.diary.tell(|ledger| ledger.cut_scope(seat));
                        }
                        _ => {
                            tasks[seat].cancel();
                            self.diary.tell(|ledger| ledger.cut_task(seat));
                        }
                    }
                }
            }
        });
        // Whoever is joined ends.
        time::sleep(millis(20)).unwrap();
        self.diary.tell(Ledger::nobody_waits);
        self.check();
    }

    /// Compares all that can be seen.
    fn check(&self) {
        let seat = |task| self.diary.seat(task).map_or(u64::MAX, |seat| seat as u64);
        for (number, thing) in self.things.iter().enumerate() {
            let Some(seen) = thing.seen(&seat) else { continue };
            self.diary.tell(|ledger| {
                let expected = ledger.seen(number);
                if seen != expected {
                    ledger.wrong(format!("of {number} is seen {seen:?}, and should be {expected:?}"));
                }
            });
        }
        self.diary.verdict();
    }

    fn cancel_somebody(&self) {
        let candidates: Vec<(usize, Canceller)> = {
            let cancellers = self.diary.cancellers.borrow();
            let open = cancellers.iter().enumerate();
            open.filter_map(|(seat, canceller)| Some((seat, canceller.clone()?))).collect()
        };
        if candidates.is_empty() {
            return;
        }
        let (seat, canceller) = &candidates[random(candidates.len())];
        if canceller.cancel() {
            self.diary.tell(|ledger| ledger.cut_scope(*seat));
        }
    }
}

/// What lives for ever also lives for less.
fn shorter<'a>(hands: Vec<(usize, Held<'static>)>) -> Vec<(usize, Held<'a>)> {
    hands
}

struct Worker<'a> {
    world: &'a World<'a>,
    seat: usize,
    hands: Vec<(usize, Held<'a>)>,
}

impl<'a> Worker<'a> {
    fn work(mut self) {
        for _ in 0..2 + random(9) {
            self.act();
            if self.diary().is_broken.get() {
                return;
            }
        }
        while !self.hands.is_empty() {
            self.give_back(random(self.hands.len()));
        }
    }

    fn diary(&self) -> &'a Diary {
        self.world.diary
    }

    fn act(&mut self) {
        match random(12) {
            0 => task::yield_now(),
            1 => self.world.cancel_somebody(),
            2 => self.sleep(self.some_guarding()),
            3 if !self.hands.is_empty() => self.give_back(random(self.hands.len())),
            4..7 => self.select(),
            _ => self.meet(),
        }
    }

    /// The places of what is in the hands for that thing.
    fn places(&self, thing: usize) -> Vec<usize> {
        (0..self.hands.len()).filter(|&place| self.hands[place].0 == thing).collect()
    }

    fn choose(
        &self,
        choose: impl FnOnce(&dyn Thing, &[&Held<'_>], u64) -> Option<Choice>,
    ) -> Option<(usize, Choice)> {
        let thing = random(self.world.things.len());
        let places = self.places(thing);
        let held: Vec<&Held<'_>> = places.iter().map(|&place| &self.hands[place].1).collect();
        let mut choice = choose(&*self.world.things[thing], &held, self.diary().fresh())?;
        choice.hand = choice.hand.map(|hand| places[hand]);
        Some((thing, choice))
    }

    fn meet(&mut self) {
        let Some((thing, choice)) = self.choose(|thing, held, fresh| thing.choose(held, fresh)) else {
            return;
        };
        if !choice.waits {
            return self.at_once(thing, choice.verb, choice.hand);
        }
        let things: &'a [Box<dyn Thing>] = &self.world.things;
        let parts = vec![Part { thing: Some(thing), verb: choice.verb }];
        if choice.makes {
            return self.make(thing, parts);
        }
        let mut held = choice.hand.map(|hand| self.hands.swap_remove(hand).1);
        let got = self.guarded(parts, false, &RefCell::new(vec![0]), || {
            Ok((0, things[thing].wait(choice.verb, held.as_mut())?))
        });
        self.hands.extend(held.map(|held| (thing, held)));
        self.take(thing, got);
    }

    fn take(&mut self, thing: usize, got: Option<Held<'a>>) {
        self.hands.extend(got.map(|held| (thing, held)));
        self.world.check();
    }

    fn at_once(&mut self, thing: usize, verb: Word, hand: Option<usize>) {
        let held = hand.map(|hand| self.hands.swap_remove(hand).1);
        let (word, more) = self.world.things[thing].act(verb, held);
        self.diary().tell(|ledger| ledger.now(self.seat, thing, verb, word));
        self.hands.extend(more.into_iter().map(|held| (thing, held)));
        self.world.check();
        // Somebody may just have been granted something.
        if random(3) == 0 {
            self.world.cancel_somebody();
            self.world.check();
        }
    }

    fn give_back(&mut self, hand: usize) {
        let (thing, held) = &self.hands[hand];
        self.at_once(*thing, held.farewell(), Some(hand));
    }

    fn sleep(&self, guarding: Guarding) {
        let delay = 1 + random(3) as u64;
        let until = self.diary().now() + delay;
        let parts = vec![Part { thing: None, verb: Word("sleep", until) }];
        self.guarded_in(guarding, parts, false, &RefCell::new(vec![0]), || {
            time::sleep(millis(delay))?;
            Ok((0, (Word("slept", 0), None)))
        });
        self.world.check();
    }

    /// Has something made that others wait for, and may wait while it is made.
    fn make(&mut self, thing: usize, parts: Vec<Part>) {
        let things: &'a [Box<dyn Thing>] = &self.world.things;
        let (diary, seat) = (self.diary(), self.seat);
        let limit = 1 + random(3) as u64;
        let guarding = Guarding::Deadline(diary.now() + limit);
        diary.tell(|ledger| ledger.begin(seat, parts, false, guarding));
        let ended = Cell::new(false);
        let end = |outcome| {
            diary.cancellers.borrow_mut()[seat] = None;
            diary.tell(|ledger| {
                ledger.end(seat, outcome, &[0]);
                ledger.close(seat);
            });
            ended.set(true);
        };
        let fresh = diary.fresh();
        time::move_on_after(millis(limit), |scope| {
            diary.cancellers.borrow_mut()[seat] = Some(scope.canceller());
            let got = things[thing].make(&mut || {
                end(Outcome::Done(0, Word("yours", 0)));
                // What is around it was for the wait.
                task::shield(|| {
                    for _ in 0..random(3) {
                        self.sleep(Guarding::ShieldedDeadline(diary.now() + 1 + random(3) as u64));
                    }
                });
                let (verb, made) = match random(3) {
                    0 => (Word("gave up", 0), Err(Stopped::GaveUp)),
                    _ => (Word("made", fresh), Ok(fresh)),
                };
                diary.tell(|ledger| ledger.now(seat, thing, verb, Word("done", 0)));
                made
            });
            match &got {
                Ok(word) if ended.get() => assert_eq!(*word, Word("value", fresh), "what it made itself"),
                Ok(word) => end(Outcome::Done(0, *word)),
                Err(_) if ended.get() => {}
                Err(_) => end(Outcome::Cancelled),
            }
        });
        self.world.check();
    }

    fn select(&mut self) {
        let things: &'a [Box<dyn Thing>] = &self.world.things;
        let mut parts = Vec::new();
        let mut hands = Vec::new();
        for _ in 0..1 + random(3) {
            if random(5) == 0 {
                let until = self.diary().now() + random(4) as u64;
                parts.push(Part { thing: None, verb: Word("sleep", until) });
                hands.push(None);
            } else if let Some((thing, choice)) = self.choose(|thing, held, fresh| thing.part(held, fresh)) {
                parts.push(Part { thing: Some(thing), verb: choice.verb });
                hands.push(choice.hand);
            }
        }
        if parts.is_empty() {
            return;
        }
        let form = random(5);
        let tried = RefCell::new(Vec::new());
        let mut arms: Vec<Probed<'_, AnyArm<'a, '_>>> = Vec::new();
        for (part, hand) in parts.iter().zip(hands) {
            let arm = match part.thing {
                Some(thing) => things[thing].arm(part.verb, hand.map(|hand| &self.hands[hand].1)),
                None => {
                    let mut arm = no_arm();
                    arm.0.0 = Some(time::sleeping_until(self.diary().began + millis(part.verb.1)));
                    arm
                }
            };
            arms.push(Probed { arm, number: arms.len(), tried: &tried });
        }
        let mut chosen = None;
        let got = self.guarded(parts.clone(), form > 2, &tried, || {
            let middle = random(arms.len());
            let (before, after) = arms.split_at_mut(middle);
            let (arm, output) = match form {
                0 => select(&mut arms[..])?,
                1 => match select((before, after))? {
                    Chosen::First(first) => first,
                    Chosen::Second((arm, output)) => (middle + arm, output),
                },
                2 => {
                    let (first, rest) = arms.split_at_mut(1);
                    match select((&mut first[0], Some(Vec::from_iter(rest))))? {
                        Chosen::First(output) => (0, output),
                        Chosen::Second((arm, output)) => (1 + arm, output),
                    }
                }
                3 => select(fairly(&mut arms[..]))?,
                _ => match select((fairly(before), fairly(after)))? {
                    Chosen::First(first) => first,
                    Chosen::Second((arm, output)) => (middle + arm, output),
                },
            };
            chosen = Some(arm);
            Ok((arm, got_of(output)))
        });
        let mut wrong = None;
        for (number, (arm, part)) in arms.into_iter().zip(&parts).enumerate() {
            let expected =
                (matches!(part.verb.0, "send" | "put") && chosen != Some(number)).then_some(part.verb.1);
            let left = left_in(arm.arm);
            if left != expected {
                wrong = Some(format!("{left:?} is left in an arm, and should be {expected:?}"));
            }
        }
        if let Some(wrong) = wrong {
            self.diary().tell(|ledger| ledger.wrong(wrong));
        }
        let thing = chosen.and_then(|chosen| parts[chosen].thing).unwrap_or(usize::MAX);
        self.take(thing, got);
    }

    /// Does something that may wait, limited in some way.
    fn guarded(
        &self,
        parts: Vec<Part>,
        fairly: bool,
        tried: &RefCell<Vec<usize>>,
        wait: impl FnOnce() -> Result<(usize, Got<'a>), Cancelled>,
    ) -> Option<Held<'a>> {
        self.guarded_in(self.some_guarding(), parts, fairly, tried, wait)
    }

    fn some_guarding(&self) -> Guarding {
        let at = self.diary().now() + 1 + random(3) as u64;
        match random(8) {
            0 | 1 => Guarding::Nothing,
            2 | 3 => Guarding::Scope,
            4..7 => Guarding::Deadline(at),
            _ => Guarding::ShieldedDeadline(at),
        }
    }

    fn guarded_in(
        &self,
        guarding: Guarding,
        parts: Vec<Part>,
        fairly: bool,
        tried: &RefCell<Vec<usize>>,
        wait: impl FnOnce() -> Result<(usize, Got<'a>), Cancelled>,
    ) -> Option<Held<'a>> {
        let (diary, seat) = (self.diary(), self.seat);
        let limit = guarding.deadline().map_or(0, |at| at - diary.now());
        diary.tell(|ledger| ledger.begin(seat, parts, fairly, guarding));
        let mut outcome = Outcome::Cancelled;
        let mut taken = None;
        let wait = || {
            if let Ok((arm, (word, held))) = wait() {
                outcome = Outcome::Done(arm, word);
                taken = held;
            }
        };
        let limited = |wait: &mut dyn FnMut()| {
            time::move_on_after(millis(limit), |scope| {
                diary.cancellers.borrow_mut()[seat] = Some(scope.canceller());
                wait();
            })
        };
        let mut wait = Some(wait);
        let mut wait = || wait.take().expect("once")();
        let is_whole = match guarding {
            Guarding::Nothing => {
                wait();
                true
            }
            Guarding::Scope => task::cancel_scope(|scope| {
                diary.cancellers.borrow_mut()[seat] = Some(scope.canceller());
                wait();
                true
            }),
            Guarding::Deadline(_) => limited(&mut wait).is_some(),
            Guarding::ShieldedDeadline(_) => task::shield(|| limited(&mut wait)).is_some(),
        };
        diary.cancellers.borrow_mut()[seat] = None;
        diary.tell(|ledger| {
            let cut_short = outcome == Outcome::Cancelled
                && guarding.deadline().is_some()
                && ledger.is_cut_by_scope_alone(seat);
            if cut_short == is_whole {
                ledger.wrong(format!("{seat} was cut short: {}, and should: {cut_short}", !is_whole));
            }
            ledger.end(seat, outcome, &tried.borrow());
            ledger.close(seat);
        });
        taken
    }
}

fn no_arm<'a, 'h>() -> AnyArm<'a, 'h> {
    Default::default()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
