//! Thousands of random programs under random schedules.
//!
//! Two kinds. What a *timed* program does is known beforehand: no two of its events fall on one moment by chance, so that
//! its outcome must not depend on the schedule, and a model of some pages says what it is, event by event. A *crowded*
//! program is full of coincidences and of tasks that meddle with one another; nobody can say what it does, but some things
//! must be true whatever it does.
//!
//! `ROPEWALK_SEEDS` in the environment says how many; a failing seed prints the line that replays it.

mod crowded;
mod model;
mod perform;
mod program;

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::Problem;
use ropewalk::testing::Setup;

use program::Writer;

const SEEDS: u64 = 3_000;

#[test]
fn whatever_the_schedule_a_timed_program_does_what_the_model_says() {
    // Panics that others go before reach the hook. The model knows how many.
    let unheard = Rc::new(Cell::new(0));
    let count = unheard.clone();
    let setup = Setup::new().allow(move |what| {
        count.set(count.get() + 1);
        matches!(what.problem, Problem::Panicked(_))
    });
    setup.explore(0..SEEDS, || {
        unheard.set(0);
        let program = Writer::new().program();
        let expected = model::predict(&program);
        let seen = perform::perform(&program);
        if seen.events != expected.events || seen.outcome != expected.outcome {
            println!("{program:#?}");
        }
        similar(&seen.events, &expected.events);
        assert_eq!(seen.outcome, expected.outcome);
        assert_eq!(unheard.get(), expected.unheard, "panics that nobody heard");
    });
}

#[track_caller]
fn similar(seen: &[program::Event], expected: &[program::Event]) {
    for (seen, expected) in seen.iter().zip(expected) {
        assert_eq!(seen, expected, "seen, and expected: when, which step, how it ended");
    }
    assert_eq!(seen.len(), expected.len());
}

#[test]
fn whatever_the_schedule_a_crowded_program_loses_nothing_and_ends() {
    Setup::new().allow(crowded::is_allowed).explore(0..SEEDS, crowded::check);
}
