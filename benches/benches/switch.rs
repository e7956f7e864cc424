//! Question: what does a round trip cost (resume, run up to the next yield, come back), and does that depend on how
//! deep in the body the yield stands?
//!
//! Not counted: making and ending the generators. Counted on purpose: the calls between the body and the yield, made
//! and returned from on each round trip, as in a body that calls a function which yields. Without them the
//! processor predicts all returns, which flatters every stackful library.

use std::hint::black_box;
use std::iter;

use divan::Bencher;
use ropewalk_benches::{DEPTHS, suspend_at};

fn main() {
    divan::main();
}

/// In one sample, so that reading the clock does not count.
const ROUND_TRIPS: u32 = 10_000;

/// A value is sent and a value comes back.
mod send {
    use super::*;

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn corosensei<const DEPTH: usize>(bencher: Bencher) {
        let mut coroutine =
            corosensei::Coroutine::new(|mut co: &corosensei::Yielder<usize, usize>, first| {
                let mut value = first;
                loop {
                    value = suspend_at::<DEPTH>(&mut co, value);
                }
                #[expect(unreachable_code, reason = "it says what the body would return")]
                ()
            });
        coroutine.resume(0);
        bencher.bench_local(|| coroutine.resume(black_box(1)).as_yield());
    }

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn ropewalk<const DEPTH: usize>(bencher: Bencher) {
        let generator = ropewalk::Generator::<usize, usize>::new(|mut co| {
            let mut value = 0;
            loop {
                value = suspend_at::<DEPTH>(&mut co, value);
            }
        });
        let _ = generator.start();
        bencher.bench_local(|| generator.send(black_box(1)).ok().and_then(ropewalk::Step::yielded));
    }

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn generator_crate<const DEPTH: usize>(bencher: Bencher) {
        let mut generator = generator::Gn::<usize>::new_scoped(|mut co| {
            let mut value = 0;
            loop {
                value = suspend_at::<DEPTH>(&mut co, value);
            }
        });
        generator.raw_send(None);
        bencher.bench_local(|| generator.send(black_box(1)));
    }

    /// Stackless: there is no depth to speak of.
    #[divan::bench(sample_size = ROUND_TRIPS)]
    fn genawaiter_rc(bencher: Bencher) {
        let mut generator = genawaiter::rc::Gen::new(|co: genawaiter::rc::Co<usize, usize>| async move {
            let mut value = 0;
            loop {
                value = co.yield_(value).await;
            }
            #[expect(unreachable_code, reason = "it says what the body would return")]
            ()
        });
        generator.resume_with(0);
        bencher.bench_local(|| generator.resume_with(black_box(1)));
    }
}

/// Nothing is sent: the generator is an iterator.
mod next {
    use super::*;

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn corosensei<const DEPTH: usize>(bencher: Bencher) {
        let mut coroutine = corosensei::Coroutine::new(counting_coroutine::<DEPTH>);
        coroutine.resume(());
        bencher.bench_local(|| coroutine.resume(()).as_yield());
    }

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn ropewalk<const DEPTH: usize>(bencher: Bencher) {
        let generator = ropewalk::generate(counting_body::<DEPTH>);
        generator.next();
        bencher.bench_local(|| generator.next());
    }

    #[divan::bench(consts = DEPTHS, sample_size = ROUND_TRIPS)]
    fn generator_crate<const DEPTH: usize>(bencher: Bencher) {
        let mut generator = generator::Gn::<()>::new_scoped(|mut co| {
            let mut value = 0;
            loop {
                value = suspend_at::<DEPTH>(&mut co, value) + 1;
            }
        });
        generator.next();
        bencher.bench_local(|| generator.next());
    }

    #[divan::bench(sample_size = ROUND_TRIPS)]
    fn genawaiter_rc(bencher: Bencher) {
        let mut generator = genawaiter::rc::Gen::new(|co: genawaiter::rc::Co<usize>| async move {
            let mut value = 0;
            loop {
                co.yield_(value).await;
                value += 1;
            }
        })
        .into_iter();
        generator.next();
        bencher.bench_local(|| generator.next());
    }

    /// The same written by hand: a state, and a function that takes it a step further.
    #[divan::bench(sample_size = ROUND_TRIPS)]
    fn state_machine(bencher: Bencher) {
        let mut numbers = Counting { next: black_box(0) };
        bencher.bench_local(|| black_box(&mut numbers).next());
    }

    #[divan::bench(sample_size = ROUND_TRIPS)]
    fn state_machine_dyn(bencher: Bencher) {
        let mut numbers: Box<dyn Iterator<Item = usize>> = black_box(Box::new(Counting { next: 0 }));
        bencher.bench_local(|| numbers.next());
    }
}

/// Many generators that are resumed in turn, each at call depth 1: what their stacks cost the caches.
mod round_robin {
    use super::*;

    /// Powers of two: a division would cost as much as a switch.
    const LIVE: [usize; 4] = [1, 32, 256, 4096];

    #[divan::bench(args = LIVE, sample_size = 4 * 4096)]
    fn corosensei_default_stack(bencher: Bencher, live: usize) {
        let mut all: Vec<_> =
            iter::repeat_with(|| corosensei::Coroutine::new(counting_coroutine::<1>)).take(live).collect();
        for coroutine in &mut all {
            coroutine.resume(());
        }
        let mut turn = 0;
        bencher.bench_local(|| {
            turn = (turn + 1) & (live - 1);
            all[turn].resume(()).as_yield()
        });
    }

    #[divan::bench(args = LIVE, sample_size = 4 * 4096)]
    fn ropewalk(bencher: Bencher, live: usize) {
        let mut all: Vec<_> =
            iter::repeat_with(|| ropewalk::generate(counting_body::<1>)).take(live).collect();
        for generator in &mut all {
            generator.next();
        }
        let mut turn = 0;
        bencher.bench_local(|| {
            turn = (turn + 1) & (live - 1);
            all[turn].next()
        });
    }
}

fn counting_body<const DEPTH: usize>(mut co: &ropewalk::Yielder<usize>) {
    let mut value = 0;
    loop {
        value = suspend_at::<DEPTH>(&mut co, value) + 1;
    }
}

fn counting_coroutine<const DEPTH: usize>(mut co: &corosensei::Yielder<(), usize>, (): ()) {
    let mut value = 0;
    loop {
        value = suspend_at::<DEPTH>(&mut co, value) + 1;
    }
}

struct Counting {
    next: usize,
}

impl Iterator for Counting {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let value = self.next;
        self.next += 1;
        Some(value)
    }
}
