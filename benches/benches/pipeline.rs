//! Question: what does an item cost on its way through five stages, if each stage is a generator that pulls from the
//! one before?
//!
//! Not counted: nothing but the start of the process; making five generators vanishes among ten million items. The
//! stages do next to nothing, so what is measured is the way from one to the next. An item is one number of the
//! source: one half of them is still there after the third stage, two fifths after the fifth.

use std::hint::black_box;
use std::iter;

use divan::Bencher;
use divan::counter::ItemsCount;
use ropewalk::{Generator, generate};

fn main() {
    divan::main();
}

const ITEMS: u64 = 10_000_000;

fn scale(number: u64) -> u64 {
    number * 3 + 1
}

fn is_even(number: &u64) -> bool {
    number.is_multiple_of(2)
}

fn fold(number: u64) -> u64 {
    number ^ (number >> 7)
}

fn is_no_fifth(number: &u64) -> bool {
    !number.is_multiple_of(5)
}

fn bench_sum<I: Iterator<Item = u64>>(bencher: Bencher, pipeline: impl Fn(u64) -> I) {
    bencher.counter(ItemsCount::new(ITEMS)).bench_local(|| {
        let mut sum = 0_u64;
        for number in pipeline(black_box(ITEMS)) {
            sum = sum.wrapping_add(number);
        }
        sum
    });
}

/// The floor: the compiler makes one loop of it.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn adaptors(bencher: Bencher) {
    bench_sum(bencher, |items| (0..items).map(scale).filter(is_even).map(fold).filter(is_no_fifth));
}

/// The same, if the stages are not known until the program runs.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn boxed_adaptors(bencher: Bencher) {
    type Stage = Box<dyn Iterator<Item = u64>>;
    bench_sum(bencher, |items| {
        let source: Stage = black_box(Box::new(0..items));
        let scaled: Stage = black_box(Box::new(source.map(scale)));
        let even: Stage = black_box(Box::new(scaled.filter(is_even)));
        let folded: Stage = black_box(Box::new(even.map(fold)));
        let kept: Stage = black_box(Box::new(folded.filter(is_no_fifth)));
        kept
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn ropewalk_source_and_adaptors(bencher: Bencher) {
    bench_sum(bencher, |items| {
        generate(move |co| (0..items).for_each(|number| co.yield_(number)))
            .map(scale)
            .filter(is_even)
            .map(fold)
            .filter(is_no_fifth)
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn ropewalk_stages(bencher: Bencher) {
    fn mapped(numbers: Generator<u64>, f: fn(u64) -> u64) -> Generator<u64> {
        generate(move |co| {
            for number in numbers {
                co.yield_(f(number));
            }
        })
    }
    fn filtered(numbers: Generator<u64>, keeps: fn(&u64) -> bool) -> Generator<u64> {
        generate(move |co| {
            for number in numbers {
                if keeps(&number) {
                    co.yield_(number);
                }
            }
        })
    }
    bench_sum(bencher, |items| {
        let source = generate(move |co| (0..items).for_each(|number| co.yield_(number)));
        filtered(mapped(filtered(mapped(source, scale), is_even), fold), is_no_fifth)
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn corosensei_stages(bencher: Bencher) {
    type Stage = corosensei::Coroutine<(), u64, ()>;
    type Link = corosensei::Yielder<(), u64>;
    fn pull(stage: &mut Stage) -> Option<u64> {
        stage.resume(()).as_yield()
    }
    fn mapped(mut numbers: Stage, f: fn(u64) -> u64) -> Stage {
        corosensei::Coroutine::new(move |co: &Link, ()| {
            while let Some(number) = pull(&mut numbers) {
                co.suspend(f(number));
            }
        })
    }
    fn filtered(mut numbers: Stage, keeps: fn(&u64) -> bool) -> Stage {
        corosensei::Coroutine::new(move |co: &Link, ()| {
            while let Some(number) = pull(&mut numbers) {
                if keeps(&number) {
                    co.suspend(number);
                }
            }
        })
    }
    bench_sum(bencher, |items| {
        let source =
            corosensei::Coroutine::new(move |co: &Link, ()| (0..items).for_each(|number| co.suspend(number)));
        let mut last = filtered(mapped(filtered(mapped(source, scale), is_even), fold), is_no_fifth);
        iter::from_fn(move || pull(&mut last))
    });
}
