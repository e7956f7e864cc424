//! Question: what does it cost to make a generator, run it and be done with it?
//!
//! Not counted: growing the pool of stacks; each bench has made and ended a generator before it is timed. All bodies
//! capture one number and are as short as can be, so what is measured is the library.

use std::hint::black_box;
use std::panic;

use corosensei::stack::DefaultStack;
use divan::Bencher;

fn main() {
    // `generator` ends a suspended body with a panic of its own; none of these panics is to be printed.
    panic::set_hook(Box::new(|_| {}));
    divan::main();
}

/// In one sample, so that reading the clock does not count.
const ROUNDS: u32 = 1000;

/// Made, run to its end at once, dropped.
mod run {
    use super::*;

    /// The floor: what a body costs that needs no stack.
    #[divan::bench(sample_size = ROUNDS)]
    fn boxed_closure(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let body: Box<dyn FnOnce() -> usize> = black_box(Box::new(move || number));
            body()
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn corosensei_stack_reused(bencher: Bencher) {
        let mut stack = Some(DefaultStack::default());
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let mut coroutine = corosensei::Coroutine::with_stack(
                stack.take().expect("the last round put it back"),
                move |_: &corosensei::Yielder<(), ()>, ()| number,
            );
            let result = coroutine.resume(()).as_return();
            stack = Some(coroutine.into_stack());
            result
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn corosensei_default_stack(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            corosensei::Coroutine::new(move |_: &corosensei::Yielder<(), ()>, ()| number)
                .resume(())
                .as_return()
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn ropewalk(bencher: Bencher) {
        let round = || {
            let number = black_box(1_usize);
            ropewalk::Generator::<(), (), usize>::new(move |_| number)
                .start()
                .ok()
                .and_then(ropewalk::Step::returned)
        };
        round();
        bencher.bench_local(round);
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn generator_crate(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            generator::Gn::<()>::new_scoped(move |_| number).resume()
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn genawaiter_rc(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            genawaiter::rc::Gen::new(move |_: genawaiter::rc::Co<()>| async move { number }).resume()
        });
    }
}

/// Made and dropped without ever being started.
mod unstarted {
    use super::*;

    #[divan::bench(sample_size = ROUNDS)]
    fn boxed_closure(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let body: Box<dyn FnOnce() -> usize> = Box::new(move || number);
            drop(black_box(body));
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn corosensei_stack_reused(bencher: Bencher) {
        let mut stack = Some(DefaultStack::default());
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let mut coroutine = corosensei::Coroutine::with_stack(
                stack.take().expect("the last round put it back"),
                move |_: &corosensei::Yielder<(), ()>, ()| number,
            );
            // Of a coroutine that has not begun it drops the body only.
            coroutine.force_unwind();
            stack = Some(coroutine.into_stack());
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn ropewalk(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            drop(black_box(ropewalk::Generator::<(), (), usize>::new(move |_| number)));
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn generator_crate(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            drop(black_box(generator::Gn::<()>::new_scoped(move |_| number)));
        });
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn genawaiter_rc(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            drop(black_box(genawaiter::rc::Gen::new(move |_: genawaiter::rc::Co<()>| async move { number })));
        });
    }
}

/// Made, run up to its first yield, closed there.
mod close {
    use super::*;

    #[divan::bench(sample_size = ROUNDS)]
    fn corosensei_unwinding(bencher: Bencher) {
        let mut stack = Some(DefaultStack::default());
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let mut coroutine = corosensei::Coroutine::with_stack(
                stack.take().expect("the last round put it back"),
                move |co: &corosensei::Yielder<(), usize>, ()| co.suspend(number),
            );
            black_box(coroutine.resume(()).as_yield());
            coroutine.force_unwind();
            stack = Some(coroutine.into_stack());
        });
    }

    /// A yield that does not return: the body is unwound.
    #[divan::bench(sample_size = ROUNDS)]
    fn ropewalk_unwinding(bencher: Bencher) {
        let round = || {
            let number = black_box(1_usize);
            let generator = ropewalk::Generator::<usize>::new(move |co| co.yield_(number));
            black_box(generator.start().ok());
            generator.close().ok()
        };
        round();
        bencher.bench_local(round);
    }

    /// A yield that returns `Err(Exit)`: the body ends by itself.
    #[divan::bench(sample_size = ROUNDS)]
    fn ropewalk_by_value(bencher: Bencher) {
        let round = || {
            let number = black_box(1_usize);
            let generator =
                ropewalk::Generator::<usize, (), bool>::new(move |co| co.try_yield(number).is_err());
            black_box(generator.start().ok());
            generator.close().ok()
        };
        round();
        bencher.bench_local(round);
    }

    /// The same generator, resumed to its end instead of closed.
    #[divan::bench(sample_size = ROUNDS)]
    fn ropewalk_resumed_instead(bencher: Bencher) {
        let round = || {
            let number = black_box(1_usize);
            let generator =
                ropewalk::Generator::<usize, (), bool>::new(move |co| co.try_yield(number).is_err());
            black_box(generator.start().ok());
            generator.send(()).ok()
        };
        round();
        bencher.bench_local(round);
    }

    #[divan::bench(sample_size = ROUNDS)]
    fn generator_crate_unwinding(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let mut generator = generator::Gn::<()>::new_scoped(move |mut co| {
                co.yield_(number);
                number
            });
            black_box(generator.resume());
        });
    }

    /// Stackless: dropping the future is all.
    #[divan::bench(sample_size = ROUNDS)]
    fn genawaiter_rc_dropped(bencher: Bencher) {
        bencher.bench_local(|| {
            let number = black_box(1_usize);
            let mut generator = genawaiter::rc::Gen::new(move |co: genawaiter::rc::Co<usize>| async move {
                co.yield_(number).await
            });
            black_box(generator.resume());
        });
    }
}
