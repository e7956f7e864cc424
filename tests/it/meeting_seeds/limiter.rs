//! Tokens, one for each, and a limit that moves.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Borrower, Limiter, Token};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let limit = random(3);
    let line = furniture.line();
    furniture.add(Limiter::new(limit), LimiterModel { limit: limit as u64, borrowed: 0, line });
}

pub(super) fn got(token: Token<&Limiter>) -> Got<'_> {
    (Word("token", 0), Some(Held::Token(token)))
}

fn has_its_own(hands: &[&Held<'_>]) -> bool {
    hands.iter().any(|held| matches!(held, Held::Token(token) if token.borrower().task().is_some()))
}

impl Thing for Limiter {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true);
        Some(match (random(12), hand) {
            (0 | 1, _) => Choice::acts("limit", random(4) as u64),
            (2, _) => Choice::acts("try acquire for another", 0),
            (3, _) if !has_its_own(hands) => Choice::acts("try acquire", 0),
            (4..9, Some(hand)) => Choice::acts("give back", 0).with(hand),
            (_, _) if random(2) == 0 || has_its_own(hands) => Choice::waits("acquire for another", 0),
            _ => Choice::waits("acquire", 0),
        })
    }

    fn wait<'a>(&'a self, verb: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match verb.0 {
            "acquire" => self.acquire().map(got),
            _ => self.acquire_on_behalf_of(Borrower::new()).map(got),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let token = match verb.0 {
            "limit" => {
                self.set_limit(verb.1 as usize);
                return (Word("done", 0), Vec::new());
            }
            "give back" => {
                drop(hand);
                return (Word("done", 0), Vec::new());
            }
            "try acquire" => self.try_acquire(),
            _ => self.try_acquire_on_behalf_of(Borrower::new()),
        };
        match token {
            Some(token) => (Word("token", 0), vec![Held::Token(token)]),
            None => (Word("too few", 0), Vec::new()),
        }
    }

    fn part(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(match random(2) == 0 || has_its_own(hands) {
            true => Choice::waits("acquire for another", 0),
            false => Choice::waits("acquire", 0),
        })
    }

    fn arm<'a, 'h>(&'a self, verb: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.2.1 = Some(match verb.0 {
            "acquire" => self.acquiring(),
            _ => self.acquiring_on_behalf_of(Borrower::new()),
        });
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let seen = self.statistics();
        assert_eq!(seen.borrowers.len(), seen.borrowed);
        Some([seen.limit, seen.borrowed, seen.waiting].map(|number| number as u64).to_vec())
    }
}

struct LimiterModel {
    limit: u64,
    borrowed: u64,
    line: usize,
}

impl LimiterModel {
    fn serve(&mut self, lines: &mut Lines) {
        while self.borrowed < self.limit && lines.wake(self.line, Word("token", 0)).is_some() {
            self.borrowed += 1;
        }
    }
}

impl Model for LimiterModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "limit" => {
                self.limit = verb.1;
                self.serve(lines);
                Some(Word("done", 0))
            }
            "give back" => {
                self.borrowed -= 1;
                self.serve(lines);
                Some(Word("done", 0))
            }
            _ if self.borrowed < self.limit => {
                self.borrowed += 1;
                Some(Word("token", 0))
            }
            "try acquire" | "try acquire for another" => Some(Word("too few", 0)),
            _ => None,
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, _: Word) -> (usize, u64) {
        (self.line, 0)
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        vec![self.limit, self.borrowed, lines.len(self.line) as u64]
    }
}
