//! What `panic = "abort"` changes: everything works, but a body cannot be unwound.
//!
//! Built with `panic = "abort"` and run by `tests/panic_abort`, a scenario at a time.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::pipeline::{Incoming, Pipeline, consumer};
use ropewalk::{CloseError, Generator, State, Step, Yielder, channel, generate, generator};

struct Guard(Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn main() {
    assert!(cfg!(panic = "abort"), "this shows nothing in a program that unwinds");
    match std::env::args().nth(1).as_deref() {
        Some("works") => works(),
        Some("abandoned") => abandoned(),
        Some("dropped") => dropped(),
        Some("delegated") => delegated(),
        Some("scoped") => scoped(),
        Some("panics") => panics(),
        Some("streamed") => streamed(),
        other => panic!("no such scenario: {other:?}"),
    }
    println!("done");
}

/// All that needs no unwinding.
fn works() {
    assert_eq!(generate(|co| co.yield_all(1..=4)).sum::<i32>(), 10);
    assert_eq!([1, 2].push_into(consumer(|items: Incoming<i32>| items.sum::<i32>())), 3);

    let drops = Rc::new(Cell::new(0));
    let summing = Generator::new({
        let drops = drops.clone();
        move |co: &Yielder<(), i32>| {
            let _guard = Guard(drops);
            let mut sum = 0;
            while let Ok(number) = co.try_yield(()) {
                sum += number;
            }
            sum
        }
    })
    .primed();
    assert_eq!(summing.send(5), Ok(Step::Yield(())));
    assert_eq!(summing.close(), Ok(Some(5)));
    assert_eq!(drops.get(), 1);

    let text = String::from("a b");
    let count = generator::scope(|s| s.generate(|co| co.yield_all(text.split(' '))).count());
    assert_eq!(count, 2);

    let created = generate(|co| co.yield_(1));
    assert_eq!(created.close(), Ok(None));

    ropewalk::run(|| {
        let polite = channel::stream(0, generate(|co| {
            while co.try_yield(1).is_ok() {}
            "goodbye"
        }));
        assert_eq!((polite.recv(), polite.close()), (Ok(1), Ok(Some("goodbye"))));
    });
}

/// A plain yield cannot be unwound: closing says so, and leaks the stack.
fn abandoned() {
    let drops = Rc::new(Cell::new(0));
    let generator = generate({
        let drops = drops.clone();
        move |co| {
            let _guard = Guard(drops);
            co.yield_(1);
        }
    });
    assert_eq!(generator.next(), Some(1));
    assert_eq!(generator.close(), Err(CloseError::Abandoned));
    assert_eq!((generator.state(), generator.close()), (State::Closed, Ok(None)));
    // Nothing on its stack was dropped, nor will be: the stack is never used again.
    assert_eq!((drops.get(), Rc::strong_count(&drops)), (0, 2));
    for round in 0..100 {
        assert_eq!(generate(move |co| co.yield_(round)).next(), Some(round));
    }
    assert_eq!(drops.get(), 0);
}

/// Dropping cannot say so: the hook does.
fn dropped() {
    ropewalk::set_unraisable_hook(|event| println!("{event}"));
    let generator = generate(|co| co.yield_(1));
    assert_eq!(generator.next(), Some(1));
    drop(generator);
}

/// An inner body that ends on request, in an outer one that cannot.
fn delegated() {
    let drops = Rc::new(Cell::new(0));
    let outer = generate({
        let drops = drops.clone();
        move |co| {
            let inner = generate(move |co| {
                let _guard = Guard(drops);
                let _ = co.try_yield(1);
            });
            co.yield_from(inner);
        }
    });
    assert_eq!(outer.next(), Some(1));
    assert_eq!(outer.close(), Err(CloseError::Abandoned));
    assert_eq!(drops.get(), 1);
}

/// What borrows must end before what it borrows goes: the process does.
fn scoped() {
    let data = [1, 2, 3];
    generator::scope(|s| {
        let generator = s.generate(|co| co.yield_all(&data));
        assert_eq!(generator.next(), Some(&1));
    });
}

fn panics() {
    let generator = Generator::<i32>::new(|_| panic!("in a body"));
    let _ = generator.start();
}

/// A task cannot be left as it is: its stack is not the generator's.
fn streamed() {
    ropewalk::run(|| {
        let plain = channel::stream(0, generate(|co| co.yield_all(1..)));
        assert_eq!(plain.recv(), Ok(1));
        let _ = plain.close();
    });
}
