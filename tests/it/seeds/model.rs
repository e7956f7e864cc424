//! What a timed program does, worked out without a scheduler.
//!
//! Everything follows from when a script begins and when it is cancelled from outside, its *kill*. Where tasks can cancel
//! one another, all are worked out as if nobody did; the first to do so gives a new kill, and they are worked out again.
//! That changes nothing before that moment, so the first one stays the first.

use std::collections::HashMap;
use std::rc::Rc;

use super::program::{
    Account, Act, BodyAct, ELAPSED, Event, KEPT, MOVED_ON, Moment, Nap, Outcome, Scope, Script, TAKEN, mix,
};

const NEVER: Moment = Moment::MAX;

pub(super) fn predict(program: &Script) -> Account {
    let run = script(program, 0, NEVER);
    let mut events = run.events;
    events.sort_unstable();
    Account { events, outcome: run.outcome, unheard: run.unheard }
}

/// What became of a script or an act.
#[derive(Clone, Debug)]
struct Run {
    at: Moment,
    outcome: Outcome,
    events: Vec<Event>,
    /// When waits failed in it, other than under shields.
    cuts: Vec<Moment>,
    unheard: usize,
}

impl Run {
    fn new(at: Moment) -> Run {
        Run { at, outcome: Outcome::Value(0), events: Vec::new(), cuts: Vec::new(), unheard: 0 }
    }

    fn ends(mut self, outcome: Outcome) -> Run {
        self.outcome = outcome;
        self
    }

    /// What another one did is a part of what this one did. It ends no earlier.
    fn includes(&mut self, other: &Run) {
        self.at = self.at.max(other.at);
        self.events.extend(&other.events);
        self.cuts.extend(&other.cuts);
        self.unheard += other.unheard;
    }

    fn includes_shielded(&mut self, other: &Run) {
        let cuts = self.cuts.len();
        self.includes(other);
        self.cuts.truncate(cuts);
    }

    /// Whether a wait failed because of what came at `kill`, before `by`.
    fn was_cut(&self, kill: Moment, by: Moment) -> bool {
        self.cuts.iter().any(|&cut| kill <= cut && cut <= by)
    }

    /// False if it is cut short.
    fn nap(&mut self, nap: Nap, kill: Moment) -> bool {
        // Only what this nap's end has caused comes at the same moment.
        let slept = self.at + nap.length <= kill;
        self.at = if slept { self.at + nap.length } else { self.at.max(kill) };
        self.events.push((self.at, nap.id, if slept { Outcome::Value(0) } else { Outcome::Cut }));
        if !slept {
            self.cuts.push(self.at);
        }
        slept
    }
}

fn script(script: &Script, at: Moment, kill: Moment) -> Run {
    let mut run = Run::new(at);
    let mut value = 0;
    for step in &script.steps {
        if !run.nap(step.nap, kill) {
            return run.ends(Outcome::Cut);
        }
        match act_in(&mut run, step.nap.id, &step.act, kill) {
            Outcome::Value(more) => value = mix(value, more),
            other => return run.ends(other),
        }
    }
    if !run.nap(script.tail, kill) {
        return run.ends(Outcome::Cut);
    }
    run.ends(Outcome::Value(value))
}

fn act_in(run: &mut Run, id: u32, what: &Act, kill: Moment) -> Outcome {
    let done = act(id, what, run.at, kill);
    run.includes(&done);
    if !matches!(done.outcome, Outcome::Panicked(_)) {
        run.events.push((done.at, id, done.outcome));
    }
    done.outcome
}

fn act(id: u32, act: &Act, at: Moment, kill: Moment) -> Run {
    let run = Run::new(at);
    match act {
        Act::Nothing => run.ends(Outcome::Value(1)),
        Act::Fail => run.ends(Outcome::Failed(id)),
        Act::Panic => run.ends(Outcome::Panicked(id)),
        Act::Timeout(limit, inner) => {
            let deadline = at + limit;
            let inner = script(inner, at, kill.min(deadline));
            let is_over = deadline <= inner.at && kill > inner.at && inner.was_cut(deadline, inner.at);
            match inner.outcome {
                Outcome::Panicked(_) => inner,
                _ if is_over => inner.ends(Outcome::Value(ELAPSED)),
                _ => inner,
            }
        }
        Act::CancelLater(delay, inner) => {
            let mut inner = script(inner, at, kill.min(at + delay));
            match inner.outcome {
                Outcome::Cut if inner.at < kill => inner.ends(Outcome::Value(MOVED_ON)),
                Outcome::Cut => {
                    inner.cuts.push(inner.at);
                    inner
                }
                _ => inner,
            }
        }
        Act::Shield(inner) => {
            let inner = script(inner, at, NEVER);
            let mut run = run;
            run.includes_shielded(&inner);
            run.ends(inner.outcome)
        }
        Act::Finally(body, cleanup) => {
            let mut run = script(body, at, kill);
            let cleaned = script(cleanup, run.at, NEVER);
            run.includes_shielded(&cleaned);
            match (run.outcome, cleaned.outcome) {
                (Outcome::Panicked(_), Outcome::Panicked(_)) => {
                    run.unheard += 1;
                    run
                }
                (_, panic @ Outcome::Panicked(_)) => run.ends(panic),
                _ => run,
            }
        }
        Act::Race(scripts) => race(scripts, at, kill),
        Act::Gather(scripts) => {
            let mut run = run;
            let mut value = 2;
            for inner in scripts {
                let inner = script(inner, at, kill);
                run.includes(&inner);
                value = mix(value, inner.outcome.code());
            }
            run.ends(Outcome::Value(value))
        }
        Act::TryGather(scripts) => try_gather(scripts, at, kill),
        Act::Detached(inner) => {
            let mut run = run;
            let free = script(inner, at, NEVER);
            if free.at <= kill {
                run.includes_shielded(&free);
                return run.ends(free.outcome);
            }
            run.includes_shielded(&script(inner, at, kill));
            run.cuts.push(kill);
            run.ends(Outcome::Cut)
        }
        Act::Scope(inner) => scope(inner, at, kill),
    }
}

/// Works out tasks that begin together, of which those that end as `stops` says cancel the others.
fn siblings(
    scripts: &[Rc<Script>],
    at: Moment,
    kill: Moment,
    stops: impl Fn(Outcome) -> bool,
) -> (Vec<Run>, Moment) {
    let free = scripts.iter().map(|inner| script(inner, at, kill));
    let first = free.filter(|run| stops(run.outcome)).map(|run| run.at).min();
    let kill = kill.min(first.unwrap_or(NEVER));
    (scripts.iter().map(|inner| script(inner, at, kill)).collect(), kill)
}

/// The panics among the ends of tasks: the first in time, and how many there are.
fn panics<'a>(runs: impl IntoIterator<Item = &'a Run>) -> (Option<Outcome>, usize) {
    let mut panics: Vec<&Run> = runs.into_iter().filter(|run| is_panic(run.outcome)).collect();
    panics.sort_by_key(|run| run.at);
    (panics.first().map(|run| run.outcome), panics.len())
}

fn is_panic(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Panicked(_))
}

fn race(scripts: &[Rc<Script>], at: Moment, kill: Moment) -> Run {
    let (runs, _) = siblings(scripts, at, kill, |_| true);
    let mut run = Run::new(at);
    runs.iter().for_each(|inner| run.includes(inner));
    // At the moment at which one ends first, the others are cut.
    let first =
        runs.iter().min_by_key(|run| (run.at, run.outcome == Outcome::Cut)).expect("somebody has run");
    // Only that one is heard.
    run.unheard +=
        runs.iter().filter(|run| is_panic(run.outcome)).count() - usize::from(is_panic(first.outcome));
    run.ends(first.outcome)
}

fn try_gather(scripts: &[Rc<Script>], at: Moment, kill: Moment) -> Run {
    let (runs, kill) = siblings(scripts, at, kill, |outcome| !matches!(outcome, Outcome::Value(_)));
    let mut run = Run::new(at);
    runs.iter().for_each(|inner| run.includes(inner));
    // They are asked in the order in which they were given.
    let panic = runs.iter().find(|inner| is_panic(inner.outcome));
    run.unheard += panics(&runs).1.saturating_sub(1);
    if let Some(panic) = panic {
        return run.ends(panic.outcome);
    }
    let failures =
        runs.iter().zip(scripts).map(|(run, inner)| Failure::of(run, kill, script(inner, at, NEVER).at));
    if let Some(outcome) = first_failure(failures.flatten().collect()) {
        return run.ends(outcome);
    }
    let values = runs.iter().map(|inner| match inner.outcome {
        Outcome::Value(value) => value,
        other => unreachable!("{other:?} is a failure"),
    });
    let value = values.fold(3, mix);
    run.ends(Outcome::Value(value))
}

struct Failure {
    at: Moment,
    outcome: Outcome,
    /// Whether it may just say that the task was cancelled.
    cancelled: bool,
}

impl Failure {
    /// If nobody had been cancelled, it would have ended at `by_itself`: if that is when all were, it was why.
    fn of(run: &Run, kill: Moment, by_itself: Moment) -> Option<Failure> {
        match run.outcome {
            Outcome::Cut | Outcome::Failed(_) => {
                let cancelled = run.was_cut(kill, run.at) && kill != by_itself;
                Some(Failure { at: run.at, outcome: run.outcome, cancelled })
            }
            _ => None,
        }
    }
}

fn first_failure(mut failures: Vec<Failure>) -> Option<Outcome> {
    failures.sort_by_key(|failure| (failure.cancelled, failure.at));
    failures.first().map(|failure| failure.outcome)
}

/// A task of a scope.
struct Child<'a> {
    script: &'a Script,
    at: Moment,
    /// When the body cancelled it by its handle.
    cancelled: Moment,
    joined: bool,
}

impl Child<'_> {
    fn run(&self, kill: Moment) -> Run {
        script(self.script, self.at, self.kill(kill))
    }

    fn kill(&self, kill: Moment) -> Moment {
        kill.min(self.cancelled)
    }

    /// Whether that is how it ended because it was cancelled by its handle, and before anything else was.
    fn was_cancelled_alone(&self, run: &Run, kill: Moment) -> bool {
        let error = matches!(run.outcome, Outcome::Cut | Outcome::Failed(_));
        error && run.at < kill && run.was_cut(self.cancelled, run.at)
    }
}

/// A scope, if nobody in it did more to the others than what comes at `kill`.
struct Attempt<'a> {
    children: Vec<Child<'a>>,
    services: Vec<Child<'a>>,
    body: Run,
    /// When the body cancelled the scope.
    cancelled: Moment,
}

fn scope(scope: &Scope, at: Moment, kill: Moment) -> Run {
    let mut kill = kill;
    loop {
        let attempt = attempt(scope, at, kill);
        let stops = |outcome| match outcome {
            Outcome::Panicked(_) => true,
            Outcome::Value(_) => false,
            Outcome::Cut | Outcome::Failed(_) => scope.tries,
        };
        let runs: Vec<Run> = attempt.children.iter().map(|child| child.run(kill)).collect();
        let done = runs.iter().map(|run| run.at).fold(attempt.body.at, Moment::max);
        // Only a service that fails by itself concerns the others, not one that is cancelled when they are done.
        let services: Vec<Run> = attempt.services.iter().map(|service| service.run(NEVER)).collect();
        let services = services.iter().filter(|service| service.at < done);
        let children = runs.iter().zip(&attempt.children);
        let children =
            children.filter(|(run, child)| !child.was_cancelled_alone(run, kill)).map(|(run, _)| run);
        let all = children.chain([&attempt.body]).chain(services);
        let ends = all.filter(|run| stops(run.outcome)).map(|run| run.at);
        let first = ends.min().unwrap_or(NEVER).min(attempt.cancelled);
        if first >= kill {
            return settle(scope, at, kill, attempt, runs);
        }
        kill = first;
    }
}

fn attempt<'a>(scope: &'a Scope, at: Moment, kill: Moment) -> Attempt<'a> {
    let mut attempt =
        Attempt { children: Vec::new(), services: Vec::new(), body: Run::new(at), cancelled: NEVER };
    let mut known: HashMap<usize, Run> = HashMap::new();
    let mut value = 4;
    for step in &scope.body {
        // What is cancelled by the body itself is known at once.
        let kill = kill.min(attempt.cancelled);
        if !attempt.body.nap(step.nap, kill) {
            attempt.body.outcome = Outcome::Cut;
            return attempt;
        }
        let now = attempt.body.at;
        let child = |script: &'a Rc<Script>| Child { script, at: now, cancelled: NEVER, joined: false };
        let seen = match &step.act {
            BodyAct::Plain(act) => match act_in(&mut attempt.body, step.nap.id, act, kill) {
                Outcome::Value(value) => value,
                other => {
                    attempt.body.outcome = other;
                    return attempt;
                }
            },
            BodyAct::Spawn(script) => {
                attempt.children.push(child(script));
                5
            }
            BodyAct::Service(script) => {
                attempt.services.push(child(script));
                6
            }
            BodyAct::Join(index) => {
                let child = &mut attempt.children[*index];
                let run = known.entry(*index).or_insert_with(|| child.run(kill));
                // Who fails has its joiners woken before it has the scope cancelled.
                let has_failed = run.at == kill && child.run(NEVER).at == kill;
                let in_time = run.at < kill || has_failed || run.at <= now;
                if !in_time {
                    attempt.body.at = kill;
                    attempt.body.cuts.push(kill);
                    attempt.body.outcome = Outcome::Cut;
                    return attempt;
                }
                attempt.body.at = now.max(run.at);
                match run.outcome {
                    _ if std::mem::replace(&mut child.joined, true) => TAKEN,
                    // The scope has the error.
                    Outcome::Cut | Outcome::Failed(_) if scope.tries => KEPT,
                    outcome => outcome.code(),
                }
            }
            BodyAct::CancelTask(index) => {
                let child = &mut attempt.children[*index];
                let was_there = child.run(kill).at > now && child.cancelled == NEVER;
                if was_there {
                    child.cancelled = now;
                    known.remove(index);
                }
                u64::from(was_there)
            }
            BodyAct::CancelAll => {
                attempt.cancelled = attempt.cancelled.min(now);
                7
            }
        };
        value = mix(value, seen);
    }
    let kill = kill.min(attempt.cancelled);
    let slept = attempt.body.nap(scope.tail, kill);
    attempt.body.outcome = if slept { Outcome::Value(value) } else { Outcome::Cut };
    attempt
}

/// All that there is to know is known: the scope waits for its tasks, then for its services.
fn settle(scope: &Scope, at: Moment, kill: Moment, attempt: Attempt<'_>, runs: Vec<Run>) -> Run {
    let mut run = Run::new(at);
    run.includes(&attempt.body);
    runs.iter().for_each(|child| run.includes(child));
    let done = run.at;
    let services: Vec<Run> = attempt.services.iter().map(|service| service.run(done)).collect();
    services.iter().for_each(|service| run.includes_shielded(service));
    let unjoined = runs.iter().zip(&attempt.children).filter(|(_, child)| !child.joined).map(|(run, _)| run);
    let (panic, count) = panics(unjoined);
    if is_panic(attempt.body.outcome) {
        run.unheard += count;
        return run.ends(attempt.body.outcome);
    }
    if let Some(panic) = panic {
        run.unheard += count - 1;
        return run.ends(panic);
    }
    if !scope.tries {
        return run.ends(attempt.body.outcome);
    }
    let mut failures: Vec<Failure> = Vec::new();
    for (run, child) in runs.iter().zip(&attempt.children) {
        failures.extend(Failure::of(run, child.kill(kill), script(child.script, child.at, NEVER).at));
    }
    // A service that is cut when everybody is done fails nobody either.
    let dismissed: Vec<_> = services.iter().filter_map(|service| Failure::of(service, done, NEVER)).collect();
    let dismissals = dismissed.iter().filter(|failure| failure.cancelled).count();
    failures.extend(dismissed);
    let by_itself = match attempt.cancelled {
        // That the body has cancelled the scope is no error yet.
        cancelled if cancelled == kill => NEVER,
        _ => self::attempt(scope, at, NEVER).body.at,
    };
    if let Some(mut failure) = Failure::of(&attempt.body, kill, by_itself) {
        let by = attempt.body.at;
        let was_cut = attempt.body.was_cut(kill, by) || runs.iter().any(|run| run.was_cut(kill, by));
        failure.cancelled = was_cut && kill != by_itself;
        failures.push(failure);
    }
    let alone =
        runs.iter().zip(&attempt.children).filter(|(run, child)| child.was_cancelled_alone(run, kill));
    // Tasks that were cancelled by themselves fail nobody, but are told of where others do.
    if alone.count() + dismissals == failures.len() {
        return run.ends(attempt.body.outcome);
    }
    run.ends(first_failure(failures).expect("there are failures"))
}
