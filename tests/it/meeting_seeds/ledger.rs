//! What should happen: plain data that is told what each task begins, and says how that ends.
//!
//! All that waits stands in *lines* of the ledger. A task that is woken in one of them, or cut, stands in none from then
//! on; so each wait is decided once. What a primitive does is a [`Model`] of a page.
//!
//! The ledger is told in the order in which things happen. What it cannot be told in time, it finds at the end of each
//! step of a task: whether what the task has begun was tried, and found that it has to wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is done, or what came of it, and with which number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(pub(super) &'static str, pub(super) u64);

/// How something ended that may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Cancelled,
    /// By which arm, and with what.
    Done(usize, Word),
}

/// A place in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) seat: usize,
    pub(super) arm: usize,
    pub(super) offer: u64,
}

/// Lines of those who wait.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<VecDeque<Entry>>,
    verdicts: Vec<Option<Outcome>>,
    /// Whose wait goes on, come what may.
    stays: BTreeSet<usize>,
}

impl Lines {
    pub(super) fn another(&mut self) -> usize {
        self.lines.push(VecDeque::new());
        self.lines.len() - 1
    }

    pub(super) fn first(&self, line: usize) -> Option<Entry> {
        self.lines[line].front().copied()
    }

    pub(super) fn len(&self, line: usize) -> usize {
        // A task with several places is one of those who wait.
        self.lines[line].iter().map(|entry| entry.seat).collect::<BTreeSet<_>>().len()
    }

    /// Grants the wait of the first in line.
    pub(super) fn wake(&mut self, line: usize, word: Word) -> Option<Entry> {
        let first = self.first(line)?;
        self.grant(first, word);
        Some(first)
    }

    pub(super) fn grant(&mut self, entry: Entry, word: Word) {
        self.decide(entry.seat, Outcome::Done(entry.arm, word));
    }

    pub(super) fn wake_all(&mut self, line: usize, word: Word) -> usize {
        // No more than there are: nobody stands in line twice for long.
        std::iter::from_fn(|| self.wake(line, word)).count()
    }

    /// The first in one line goes to the end of another, and stays there until it is woken.
    pub(super) fn send_on(&mut self, from: usize, to: usize) -> bool {
        let first = self.lines[from].pop_front();
        self.lines[to].extend(first);
        self.stays.extend(first.map(|first| first.seat));
        first.is_some()
    }

    fn decide(&mut self, seat: usize, outcome: Outcome) {
        assert_eq!(self.verdicts[seat].replace(outcome), None, "a wait is decided once");
        self.stays.remove(&seat);
        self.lines.iter_mut().for_each(|line| line.retain(|entry| entry.seat != seat));
    }
}

/// What a primitive should do.
pub(super) trait Model {
    /// Does it, if that needs no waiting.
    fn try_now(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> Option<Word>;

    /// In which line to wait for it, with what to offer.
    fn place(&mut self, lines: &mut Lines, seat: usize, verb: Word) -> (usize, u64);

    /// The task goes on, and leaves the line: with what its wait was granted with, if it was granted here. What that comes
    /// to; nothing if it has to be tried again.
    fn leave(&mut self, _: &mut Lines, _seat: usize, _verb: Word, granted: Option<Word>) -> Option<Word> {
        granted
    }

    /// The wait was cut, and there is another one after it, which cannot be: in which line, with what to offer.
    fn after_cut(&mut self, _: &mut Lines, _seat: usize, _verb: Word) -> Option<(usize, u64)> {
        None
    }

    /// Whether this is done even by whoever is cut, as it need not wait.
    fn ignores_cuts(&self, _verb: Word) -> bool {
        false
    }

    /// What can be seen from outside.
    fn seen(&self, lines: &Lines) -> Vec<u64>;
}

/// How something that may wait is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guarding {
    Nothing,
    Scope,
    Deadline(u64),
    ShieldedDeadline(u64),
}

impl Guarding {
    pub(super) fn deadline(self) -> Option<u64> {
        match self {
            Guarding::Deadline(at) | Guarding::ShieldedDeadline(at) => Some(at),
            Guarding::Nothing | Guarding::Scope => None,
        }
    }
}

/// One of several things that a task waits for. Without a `thing` it sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) thing: Option<usize>,
    pub(super) verb: Word,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It may have let others go first.
    Begun,
    Waits,
}

struct Pending {
    parts: Vec<Part>,
    fairly: bool,
    phase: Phase,
    guarding: Guarding,
    ignores_cuts: bool,
    scope_is_cut: bool,
    /// It was granted, and has to be tried again.
    retries: bool,
    /// It has been cut, and waits for something that it cannot go on without.
    was_cut: bool,
    deadline: Option<(u64, u64)>,
    naps: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Seat {
    is_cut: bool,
    pending: Option<Pending>,
}

/// What a task does at the end of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stands {
    Waits,
    Ready,
    Ended,
}

enum Due {
    Cuts(usize),
    Wakes(Entry),
}

pub(super) struct Ledger {
    lines: Lines,
    models: Vec<Box<dyn Model>>,
    seats: Vec<Seat>,
    timers: BTreeMap<(u64, u64), Due>,
    timer_count: u64,
    now: u64,
    history: Vec<String>,
    keeps_history: bool,
    pub(super) fault: Option<String>,
}

impl Ledger {
    pub(super) fn new(keeps_history: bool) -> Ledger {
        Ledger {
            lines: Lines::default(),
            models: Vec::new(),
            seats: Vec::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            now: 0,
            history: Vec::new(),
            keeps_history,
            fault: None,
        }
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    pub(super) fn add(&mut self, model: Box<dyn Model>) {
        self.models.push(model);
    }

    pub(super) fn seat(&mut self) -> usize {
        self.seats.push(Seat::default());
        self.lines.verdicts.push(None);
        self.seats.len() - 1
    }

    pub(super) fn seen(&self, thing: usize) -> Vec<u64> {
        self.models[thing].seen(&self.lines)
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.note(|| format!("!! {what}"));
        if self.fault.is_none() {
            self.fault = Some(what);
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.keeps_history {
            let line = format!("{:3} {}", self.now, what());
            self.history.push(line);
        }
    }

    pub(super) fn history(&self) -> &[String] {
        &self.history
    }

    /// The clock shows `now`. Nothing else has run since it last moved: all that is due comes first.
    pub(super) fn tick(&mut self, now: u64) {
        self.now = now;
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            let ((at, _), due) = first.remove_entry();
            self.now = at;
            match due {
                Due::Cuts(seat) => self.cut_scope(seat),
                Due::Wakes(entry) => {
                    if self.is_open(entry.seat) {
                        self.note(|| format!("{} has slept", entry.seat));
                        self.lines.grant(entry, Word("slept", 0));
                    }
                }
            }
            self.now = now;
        }
    }

    fn set_timer(&mut self, at: u64, due: Due) -> (u64, u64) {
        self.timer_count += 1;
        self.timers.insert((at, self.timer_count), due);
        (at, self.timer_count)
    }

    /// Whether it waits, and that is not decided.
    pub(super) fn is_open(&self, seat: usize) -> bool {
        self.lines.verdicts[seat].is_none()
            && self.seats[seat].pending.as_ref().is_some_and(|pending| pending.phase == Phase::Waits)
    }

    /// Whether it waits, or has not gone on since.
    pub(super) fn is_pending(&self, seat: usize) -> bool {
        self.seats[seat].pending.is_some()
    }

    fn is_cut(&self, seat: usize) -> bool {
        let seat = &self.seats[seat];
        match &seat.pending {
            None => seat.is_cut,
            Some(pending) => {
                pending.scope_is_cut
                    || seat.is_cut && !matches!(pending.guarding, Guarding::ShieldedDeadline(_))
            }
        }
    }

    /// Whether nothing but the scope of what has just been cancelled is the reason.
    pub(super) fn is_cut_by_scope_alone(&self, seat: usize) -> bool {
        let seat = &self.seats[seat];
        seat.pending.as_ref().is_some_and(|pending| {
            pending.scope_is_cut
                && (!seat.is_cut || matches!(pending.guarding, Guarding::ShieldedDeadline(_)))
        })
    }

    pub(super) fn cut_scope(&mut self, seat: usize) {
        self.note(|| format!("{seat} is cut in its scope"));
        if let Some(pending) = &mut self.seats[seat].pending {
            pending.scope_is_cut = true;
        }
        self.cut_wait(seat);
    }

    pub(super) fn cut_task(&mut self, seat: usize) {
        self.note(|| format!("{seat} is cut"));
        self.seats[seat].is_cut = true;
        self.cut_wait(seat);
    }

    fn cut_wait(&mut self, seat: usize) {
        if self.is_open(seat) && self.is_cut(seat) && !self.lines.stays.contains(&seat) {
            self.lines.decide(seat, Outcome::Cancelled);
        }
    }

    /// Something that does not wait.
    pub(super) fn now(&mut self, seat: usize, thing: usize, verb: Word, seen: Word) {
        self.note(|| format!("{seat} does {verb:?} with {thing}: {seen:?}"));
        let expected = self.models[thing].try_now(&mut self.lines, seat, verb);
        if expected != Some(seen) {
            self.wrong(format!("{seat} did {verb:?} with {thing}: {seen:?}, and should have {expected:?}"));
        }
    }

    pub(super) fn begin(&mut self, seat: usize, parts: Vec<Part>, fairly: bool, guarding: Guarding) {
        self.note(|| format!("{seat} begins {parts:?} {guarding:?} fairly: {fairly}"));
        let deadline = guarding.deadline().map(|at| self.set_timer(at, Due::Cuts(seat)));
        let ignores_cuts = match parts[..] {
            [Part { thing: Some(thing), verb }] => self.models[thing].ignores_cuts(verb),
            _ => false,
        };
        let before = self.seats[seat].pending.replace(Pending {
            parts,
            fairly,
            phase: Phase::Begun,
            guarding,
            ignores_cuts,
            scope_is_cut: false,
            retries: false,
            was_cut: false,
            deadline,
            naps: Vec::new(),
        });
        assert!(before.is_none(), "a task waits once at a time");
    }

    /// Tries those parts in that order. The first that needs no waiting.
    fn try_parts(&mut self, seat: usize, order: impl IntoIterator<Item = usize>) -> Option<Outcome> {
        let parts = self.pending(seat).parts.clone();
        for arm in order {
            let part = parts[arm];
            let done = match part.thing {
                Some(thing) => self.models[thing].try_now(&mut self.lines, seat, part.verb),
                None => (part.verb.1 <= self.now).then_some(Word("slept", 0)),
            };
            if let Some(word) = done {
                return Some(Outcome::Done(arm, word));
            }
        }
        None
    }

    /// In which order its parts stand.
    fn in_order(&self, seat: usize) -> std::ops::Range<usize> {
        0..self.seats[seat].pending.as_ref().map_or(0, |pending| pending.parts.len())
    }

    fn wait(&mut self, seat: usize) {
        let parts = self.seats[seat].pending.as_ref().expect("it has begun").parts.clone();
        for (arm, part) in parts.iter().enumerate() {
            match part.thing {
                Some(thing) => {
                    let (line, offer) = self.models[thing].place(&mut self.lines, seat, part.verb);
                    self.lines.lines[line].push_back(Entry { seat, arm, offer });
                }
                None => {
                    let due = Due::Wakes(Entry { seat, arm, offer: 0 });
                    let timer = self.set_timer(part.verb.1, due);
                    self.pending(seat).naps.push(timer);
                }
            }
        }
        self.pending(seat).phase = Phase::Waits;
    }

    fn pending(&mut self, seat: usize) -> &mut Pending {
        self.seats[seat].pending.as_mut().expect("it has begun")
    }

    /// The wait is decided, and the task goes on. What it comes to; nothing if all has to be tried again.
    fn leave(&mut self, seat: usize) -> Option<Outcome> {
        let verdict = self.lines.verdicts[seat].take().expect("the wait is decided");
        for nap in std::mem::take(&mut self.pending(seat).naps) {
            self.timers.remove(&nap);
        }
        let parts = self.pending(seat).parts.clone();
        if let (Outcome::Cancelled, [Part { thing: Some(thing), verb }]) = (verdict, &parts[..]) {
            if let Some((line, offer)) = self.models[*thing].after_cut(&mut self.lines, seat, *verb) {
                self.lines.lines[line].push_back(Entry { seat, arm: 0, offer });
                self.lines.stays.insert(seat);
                self.pending(seat).was_cut = true;
                return None;
            }
        }
        let mut ends = (verdict == Outcome::Cancelled).then_some(Outcome::Cancelled);
        for (arm, part) in parts.iter().enumerate() {
            let granted = match verdict {
                Outcome::Done(chosen, word) if chosen == arm => Some(word),
                _ => None,
            };
            let word = match part.thing {
                Some(thing) => self.models[thing].leave(&mut self.lines, seat, part.verb, granted),
                None => granted,
            };
            if let Some(word) = word {
                ends = Some(Outcome::Done(arm, word));
            }
        }
        self.pending(seat).phase = Phase::Begun;
        self.pending(seat).retries = ends.is_none();
        if self.pending(seat).was_cut { Some(Outcome::Cancelled) } else { ends }
    }

    /// A step of the task has ended.
    pub(super) fn step_ends(&mut self, seat: usize, stands: Stands) {
        let Some(pending) = &self.seats[seat].pending else { return };
        let phase = pending.phase;
        if phase == Phase::Waits {
            if self.lines.verdicts[seat].is_none() {
                return self.wrong(format!("{seat} goes on, and should wait"));
            }
            if let Some(outcome) = self.leave(seat) {
                return self.wrong(format!("{seat} {stands:?}, and should have ended: {outcome:?}"));
            }
            if self.is_open(seat) {
                return match stands {
                    Stands::Waits => self.note(|| format!("{seat} waits on")),
                    _ => self.wrong(format!("{seat} is {stands:?}, and should wait on")),
                };
            }
        }
        match stands {
            // It lets others go first.
            Stands::Ready => {}
            Stands::Ended => self.wrong(format!("{seat} ended within a wait")),
            Stands::Waits => {
                if self.is_cut(seat) {
                    self.wrong(format!("{seat} waits, and should be cancelled"));
                } else if let Some(outcome) = self.try_parts(seat, self.in_order(seat)) {
                    self.wrong(format!("{seat} waits, and should not: {outcome:?}"));
                } else {
                    self.note(|| format!("{seat} waits"));
                    self.wait(seat);
                }
            }
        }
    }

    /// What may have waited has ended, with this. Those were tried since it waited last.
    pub(super) fn end(&mut self, seat: usize, seen: Outcome, tried: &[usize]) {
        self.note(|| format!("{seat} ends: {seen:?}"));
        let mut expected = None;
        if self.pending(seat).phase == Phase::Waits {
            if self.lines.verdicts[seat].is_none() {
                return self.wrong(format!("{seat} ends with {seen:?}, and should wait"));
            }
            expected = self.leave(seat);
            if self.is_open(seat) {
                return self.wrong(format!("{seat} ends with {seen:?}, and should wait on"));
            }
        }
        if expected.is_none() {
            let in_order = self.in_order(seat);
            if !self.pending(seat).fairly && tried.iter().copied().ne(in_order.take(tried.len())) {
                self.wrong(format!("{seat} has tried in the order of {tried:?}"));
            }
            let is_cut = self.is_cut(seat);
            let looks = !is_cut || self.pending(seat).ignores_cuts || self.pending(seat).retries;
            expected = if looks { self.try_parts(seat, tried.iter().copied()) } else { None };
            expected = expected.or(is_cut.then_some(Outcome::Cancelled));
        }
        if expected != Some(seen) {
            self.wrong(format!("{seat} ends with {seen:?}, and should with {expected:?}"));
        }
        if let Some(timer) = self.pending(seat).deadline {
            self.timers.remove(&timer);
        }
    }

    /// And its scope is closed.
    pub(super) fn close(&mut self, seat: usize) {
        self.seats[seat].pending = None;
    }

    /// All tasks wait: nobody who has something to do is left.
    pub(super) fn all_wait(&mut self) {
        for seat in 0..self.seats.len() {
            if self.is_pending(seat) && !self.is_open(seat) {
                let verdict = self.lines.verdicts[seat];
                self.wrong(format!("{seat} waits, and should go on: {verdict:?}"));
            }
        }
    }

    pub(super) fn nobody_waits(&mut self) {
        if self.lines.lines.iter().any(|line| !line.is_empty())
            || self.seats.iter().any(|seat| seat.pending.is_some())
        {
            self.wrong("somebody still waits".to_owned());
        }
    }
}
