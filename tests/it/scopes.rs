//! Generators over borrowed data.

use std::cell::Cell;

use ropewalk::generator::{self, Builder};
use ropewalk::{State, Step, Yielder};

use crate::log::{Log, panic_text, unraised_by};

#[test]
fn a_scoped_generator_borrows_and_lends_what_it_borrows() {
    let text = String::from("a rope of strands");
    let longest = generator::scope(|s| {
        let words = s.generator(|co| co.yield_all(text.split(' ')));
        // Not the words, which may not leave the scope.
        words.map(str::len).max()
    });
    assert_eq!(longest, Some(7));
}

#[test]
fn a_scoped_generator_may_change_what_it_borrows() {
    let mut sum = 0;
    generator::scope(|s| {
        let adding = s.generator(|co: &Yielder<(), i32>| {
            while let Ok(number) = co.try_yield(()) {
                sum += number;
            }
        });
        assert_eq!(adding.start().unwrap(), Step::Yield(()));
        for number in 1..=4 {
            let _ = adding.send(number).unwrap();
        }
    });
    assert_eq!(sum, 10);
}

#[test]
fn references_can_be_sent_into_a_scoped_generator() {
    let (left, right) = (String::from("left"), String::from("right"));
    let joined = generator::scope(|s| {
        let joining = s.generator(|co: &Yielder<(), &str>| {
            let first = co.yield_(());
            let second = co.yield_(());
            format!("{first} {second}")
        });
        let _ = joining.start().unwrap();
        let _ = joining.send(&left).unwrap();
        joining.send(&right).unwrap().returned()
    });
    assert_eq!(joined.as_deref(), Some("left right"));
}

#[test]
fn the_end_of_the_scope_closes_its_generators() {
    let log = Log::new();
    generator::scope(|s| {
        for (event, start) in [("first closed", true), ("second closed", true), ("third dropped", false)] {
            let guard = log.on_drop(event);
            let generator = s.generator(move |co: &Yielder<i32>| {
                let _guard = guard;
                co.yield_(1);
            });
            if start {
                let _ = generator.start().unwrap();
            }
        }
        log.add("body over");
    });
    log.assert(&["body over", "first closed", "second closed", "third dropped"]);
}

#[test]
fn a_panic_in_the_scope_closes_its_generators_and_goes_on() {
    let log = Log::new();
    let text = panic_text(|| {
        generator::scope(|s| {
            let generator = s.generator(|co: &Yielder<i32>| {
                let _guard = log.on_drop("closed");
                // The scope has caught the panic by now.
                assert_eq!(co.try_yield(1), Err(ropewalk::Exit));
                assert!(!std::thread::panicking());
            });
            let _ = generator.start().unwrap();
            panic!("scope broke");
        })
    });
    assert_eq!(text, "scope broke");
    log.assert(&["closed"]);
}

#[test]
fn a_panic_while_a_scope_closes_comes_out_after_all_are_closed() {
    let log = Log::new();
    let text = panic_text(|| {
        generator::scope(|s| {
            for event in ["first", "second"] {
                let log = &log;
                let generator = s.generator(move |co: &Yielder<i32>| {
                    let _ = co.try_yield(1);
                    log.add(event);
                    panic!("{event} broke");
                });
                let _ = generator.start().unwrap();
            }
        })
    });
    assert_eq!(text, "first broke");
    log.assert(&["first", "second"]);
}

#[test]
fn a_body_that_ignores_the_end_of_its_scope_once_is_reported_and_unwound() {
    let data = Cell::new(0);
    let unraised = unraised_by(|| {
        generator::scope(|s| {
            let generator = s.generator(|co: &Yielder<i32>| {
                let _ = co.try_yield(1);
                data.set(data.get() + 1);
                let _ = co.try_yield(2);
                data.set(100);
            });
            let _ = generator.start().unwrap();
        });
    });
    assert_eq!(data.get(), 1);
    assert_eq!(unraised, ["ignored Exit while it was dropped: its body yielded"]);
}

#[test]
fn a_destructor_may_drive_its_neighbours_while_the_scope_closes() {
    struct Drives<'s>(&'s ropewalk::Generator<i32>, &'s Log);
    impl Drop for Drives<'_> {
        fn drop(&mut self) {
            let item = self.0.next();
            self.1.add(format!("neighbour gave {item:?}"));
        }
    }
    let log = Log::new();
    generator::scope(|s| {
        let early = s.generator(|co: &Yielder<i32>| co.yield_all(1..));
        let log = &log;
        // Made in the order early, driver, late: one neighbour is closed before the driver is, one after.
        let late_slot: &Cell<Option<&ropewalk::Generator<i32>>> = Box::leak(Box::default());
        let driver = s.generator(move |co: &Yielder<i32>| {
            let _early = Drives(early, log);
            let _late = late_slot.take().map(|late| Drives(late, log));
            co.yield_(0);
        });
        late_slot.set(Some(s.generator(|co: &Yielder<i32>| co.yield_all(10..))));
        let _ = driver.start().unwrap();
    });
    log.assert(&["neighbour gave Some(10)", "neighbour gave None"]);
}

#[test]
fn a_generator_made_while_the_scope_closes_is_closed_too() {
    struct Makes<'scope, 'env>(&'scope generator::Scope<'scope, 'env>, &'env Log);
    impl Drop for Makes<'_, '_> {
        fn drop(&mut self) {
            let log = self.1;
            let late = self.0.generator(move |co: &Yielder<i32>| {
                let _guard = log.on_drop("late one closed");
                co.yield_(5);
            });
            log.add(format!("late one gave {:?}", late.next()));
        }
    }
    let log = Log::new();
    generator::scope(|s| {
        let generator = s.generator(|co: &Yielder<i32>| {
            let _makes = Makes(s, &log);
            co.yield_(1);
        });
        let _ = generator.start().unwrap();
    });
    log.assert(&["late one gave Some(5)", "late one closed"]);
}

#[test]
fn a_return_value_that_nobody_took_is_dropped_before_its_neighbours_are_freed() {
    struct Looks<'s>(&'s ropewalk::Generator<i32>, &'s Log);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.1.add(format!("neighbour is {:?}", self.0.state()));
        }
    }
    let log = Log::new();
    generator::scope(|s| {
        let neighbour = s.generator(|co: &Yielder<i32>| co.yield_(1));
        let returning = s.generator(|co: &Yielder<i32>| {
            co.yield_(1);
            Looks(neighbour, &log)
        });
        assert_eq!(returning.count(), 1);
    });
    log.assert(&["neighbour is Closed"]);
}

#[test]
fn scopes_nest_and_generators_of_one_read_those_of_the_other() {
    let numbers = [1, 2, 3, 4];
    let sum: i32 = generator::scope(|outer| {
        let evens = outer.generator(|co| co.yield_all(numbers.iter().filter(|n| *n % 2 == 0)));
        generator::scope(|inner| {
            let doubled = inner.generator(move |co| evens.for_each(|n| co.yield_(n * 2)));
            doubled.sum()
        })
    });
    assert_eq!(sum, 12);
}

#[test]
fn a_forgotten_reference_changes_nothing() {
    let mut closed = false;
    generator::scope(|s| {
        let generator = s.generator(|co: &Yielder<i32>| {
            let _ = co.try_yield(1);
            closed = true;
        });
        let _ = generator.start().unwrap();
        #[expect(forgetting_references, reason = "that this does nothing is what is shown")]
        std::mem::forget(generator);
    });
    assert!(closed);
}

/// What makes forgetting dangerous: a thread that reads what the generator borrows.
#[test]
fn threads_that_a_body_has_open_are_joined_before_the_scope_ends() {
    let data = vec![1u64; 1000];
    let joined = Cell::new(0);
    generator::scope(|s| {
        let generator = s.generator(|co: &Yielder<i32>| {
            std::thread::scope(|threads| {
                let summing = threads.spawn(|| data.iter().sum::<u64>());
                let _ = co.try_yield(1);
                joined.set(summing.join().unwrap());
            });
        });
        let _ = generator.start().unwrap();
    });
    assert_eq!(joined.get(), 1000);
}

#[test]
fn a_scoped_generator_can_have_a_name_and_a_stack_of_its_own() {
    let text = "a b";
    generator::scope(|s| {
        let builder = Builder::new().name("words").stack_size(1 << 20);
        let words = builder.scoped(s, |co: &Yielder<&str>| co.yield_all(text.split(' ')));
        assert_eq!((words.name(), words.state()), (Some("words"), State::Created));
        assert_eq!(words.count(), 2);
    });
}

#[test]
fn a_scope_in_a_body_that_is_closed_closes_its_generators_first() {
    let log = Log::new();
    let outer = ropewalk::generate({
        let log = log.clone();
        move |co| {
            let owned = String::from("owned by the outer body");
            generator::scope(|s| {
                let inner = s.generator(|inner_co: &Yielder<usize>| {
                    let _guard = log.on_drop("inner closed");
                    inner_co.yield_(owned.len());
                });
                for item in inner {
                    co.yield_(item);
                }
            });
        }
    });
    assert_eq!(outer.next(), Some(23));
    drop(outer);
    log.assert(&["inner closed"]);
}

/// A value that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the bomb went off");
    }
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_does_not_leave_a_generator_open() {
    let closed = Cell::new(0);
    let text = panic_text(|| {
        generator::scope(|s| {
            for bomb in [false, true, true] {
                let generator = s.generator(move |co: &Yielder<i32>| {
                    let _ = co.try_yield(1);
                    if bomb {
                        std::panic::panic_any(Bomb);
                    }
                    panic!("the first");
                });
                let _ = generator.start().unwrap();
            }
            let last = s.generator(|co: &Yielder<i32>| {
                let _ = co.try_yield(1);
                closed.set(closed.get() + 1);
            });
            let _ = last.start().unwrap();
        })
    });
    assert_eq!((text.as_str(), closed.get()), ("the first", 1));
    assert!(!std::thread::panicking());
}

#[test]
fn a_panic_of_the_scope_goes_before_those_of_its_generators_whatever_their_payloads() {
    let text = panic_text(|| {
        generator::scope(|s| {
            let generator = s.generator(|co: &Yielder<i32>| {
                let _ = co.try_yield(1);
                std::panic::panic_any(Bomb);
            });
            let _ = generator.start().unwrap();
            panic!("the scope's own");
        })
    });
    assert_eq!(text, "the scope's own");
    assert!(!std::thread::panicking());
}
