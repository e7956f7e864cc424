//! Permits, in the order of asking, however many are asked for.

use ropewalk::Cancelled;
use ropewalk::lowlevel::TaskId;
use ropewalk::sync::{Permit, Semaphore};
use ropewalk::testing::random;

use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing, pick};
use super::world::Furniture;

pub(super) fn furnish(furniture: &mut Furniture) {
    let permits = random(5);
    let line = furniture.line();
    let model = SemaphoreModel { available: permits as u64, taken: 0, line };
    furniture.add(Semaphore::new(permits), model);
}

pub(super) fn got(permit: Permit<&Semaphore>) -> Got<'_> {
    (Word("permits", permit.count() as u64), Some(Held::Permit(permit)))
}

/// Mostly few; now and then none, or more than there may be.
fn some() -> u64 {
    [1, 1, 1, 1, 2, 2, 3, 4, 0, 6][random(10)]
}

impl Thing for Semaphore {
    fn choose(&self, hands: &[&Held<'_>], _: u64) -> Option<Choice> {
        let hand = pick(hands, |_| true);
        Some(match (random(14), hand) {
            (0, _) => Choice::acts("add", some()),
            (1, _) => Choice::acts("take away", some()),
            (2..5, _) => Choice::acts("try acquire", some()),
            (5..10, Some(hand)) => {
                let Held::Permit(permit) = hands[hand] else { unreachable!() };
                let count = permit.count();
                match random(5) {
                    0 => Choice::acts("forget", count as u64).with(hand),
                    1 => Choice::acts("split", random(count + 1) as u64).with(hand),
                    _ => Choice::acts("release", count as u64).with(hand),
                }
            }
            _ => Choice::waits("acquire", some()),
        })
    }

    fn wait<'a>(&'a self, verb: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
        match verb.1 {
            1 => self.acquire().map(got),
            count => self.acquire_many(count as usize).map(got),
        }
    }

    fn act<'a>(&'a self, verb: Word, hand: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
        let (done, count) = (Word("done", 0), verb.1 as usize);
        match (verb.0, hand) {
            ("add", _) => {
                self.add_permits(count);
                (done, Vec::new())
            }
            ("take away", _) => (Word("taken away", self.forget_permits(count) as u64), Vec::new()),
            ("try acquire", _) => match self.try_acquire_many(count) {
                Some(permit) => (Word("permits", permit.count() as u64), vec![Held::Permit(permit)]),
                None => (Word("too few", 0), Vec::new()),
            },
            ("forget", Some(Held::Permit(permit))) => {
                let count = permit.count() as u64;
                permit.forget();
                (Word("forgotten", count), Vec::new())
            }
            ("split", Some(Held::Permit(mut permit))) => {
                let other = permit.split(count);
                let mut held = vec![Held::Permit(permit)];
                held.extend(other.map(Held::Permit));
                (Word("split", held.len() as u64), held)
            }
            ("release", permit) => {
                drop(permit);
                (done, Vec::new())
            }
            _ => unreachable!(),
        }
    }

    fn part(&self, _: &[&Held<'_>], _: u64) -> Option<Choice> {
        Some(Choice::waits("acquire", some()))
    }

    fn arm<'a, 'h>(&'a self, verb: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
        let mut arm = AnyArm::default();
        arm.2.0 = Some(self.acquiring_many(verb.1 as usize));
        arm
    }

    fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
        let seen = self.statistics();
        let next = seen.next.map_or(u64::MAX, |next| next as u64);
        Some(vec![seen.available as u64, seen.taken as u64, seen.waiting as u64, next])
    }
}

struct SemaphoreModel {
    available: u64,
    taken: u64,
    line: usize,
}

impl SemaphoreModel {
    fn take(&mut self, count: u64) {
        self.available -= count;
        self.taken += count;
    }

    fn serve(&mut self, lines: &mut Lines) {
        while let Some(first) = lines.first(self.line).filter(|first| first.offer <= self.available) {
            self.take(first.offer);
            lines.grant(first, Word("permits", first.offer));
        }
    }
}

impl Model for SemaphoreModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        let count = verb.1;
        let is_there = count <= self.available && lines.len(self.line) == 0;
        Some(match verb.0 {
            "acquire" | "try acquire" if is_there => {
                self.take(count);
                Word("permits", count)
            }
            "acquire" => return None,
            "try acquire" => Word("too few", 0),
            "add" => {
                self.available += count;
                self.serve(lines);
                Word("done", 0)
            }
            "take away" => {
                let count = count.min(self.available);
                self.available -= count;
                Word("taken away", count)
            }
            "forget" => {
                self.taken -= count;
                self.serve(lines);
                Word("forgotten", count)
            }
            "split" => Word("split", 2),
            "release" => {
                self.taken -= count;
                self.available += count;
                self.serve(lines);
                Word("done", 0)
            }
            other => unreachable!("{other}"),
        })
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        (self.line, verb.1)
    }

    /// A request that is given up may have held back others.
    fn leave(&mut self, lines: &mut Lines, _: usize, _: Word, granted: Option<Word>) -> Option<Word> {
        if granted.is_none() {
            self.serve(lines);
        }
        granted
    }

    fn seen(&self, lines: &Lines) -> Vec<u64> {
        let next = lines.first(self.line).map_or(u64::MAX, |first| first.offer);
        vec![self.available, self.taken, lines.len(self.line) as u64, next]
    }
}
