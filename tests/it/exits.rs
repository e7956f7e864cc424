//! Whose exit it is: bodies that are closed inside one another, and by somebody who unwinds.

use ropewalk::{Exit, Step, Yielder, generate};

use crate::log::{Log, unraised_by, while_unwinding};

/// Yields when it is dropped, and says what came of it.
struct Flushes<'a>(&'a Yielder<u32>, Log);

impl Drop for Flushes<'_> {
    fn drop(&mut self) {
        if self.0.try_yield(7) == Err(Exit) {
            self.1.add("refused");
        }
    }
}

/// G40.
#[test]
fn any_number_of_yields_is_refused_in_destructors_also_when_the_dropper_unwinds() {
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            let _guards: Vec<Flushes> = (0..100).map(|_| Flushes(co, log.clone())).collect();
            co.yield_(0);
        }
    });
    assert_eq!(generator.next(), Some(0));
    assert_eq!(unraised_by(|| while_unwinding(move || drop(generator))), Vec::<String>::new());
    log.assert(&["refused"; 100]);
}

/// G19: an exit belongs to the generator that is closed, through whatever bodies it passes.
#[test]
fn the_exit_of_an_outer_generator_passes_through_an_inner_one_that_is_being_closed() {
    for drops in [false, true] {
        let log = Log::new();
        let outer = generate({
            let log = log.clone();
            move |outer_co: &Yielder<u32>| {
                let _outer = log.on_drop("outer unwound");
                let inner_log = log.clone();
                ropewalk::generator::scope(|s| {
                    let inner = s.generate(|co: &Yielder<u32>| {
                        let _inner = inner_log.on_drop("inner unwound");
                        if co.try_yield(0).is_err() {
                            outer_co.yield_(1);
                        }
                    });
                    assert_eq!(inner.next(), Some(0));
                    outer_co.yield_(0);
                    // The outer one is suspended in here, on the stack of the inner one; by the end of the scope in
                    // the second round.
                    if !drops {
                        let _ = inner.close();
                        log.add("went on after the close");
                    }
                });
                log.add("went on after the scope");
                outer_co.yield_(2);
            }
        });
        assert_eq!((outer.next(), outer.next()), (Some(0), Some(1)));
        assert_eq!(outer.close(), Ok(None));
        log.assert(&["inner unwound", "outer unwound"]);
    }
}

/// G19, G36.
#[test]
fn the_exit_of_an_outer_generator_passes_through_an_inner_one_that_is_being_dropped() {
    let log = Log::new();
    // What lets an inner body that owns what it captures yield through the outer one: it is handed its yielder.
    let outer = generate({
        let log = log.clone();
        move |outer_co: &Yielder<u32>| {
            let _outer = log.on_drop("outer unwound");
            ropewalk::generator::scope(|s| {
                let holder = s.generator(|co: &Yielder<u32>| {
                    let _inner = log.on_drop("inner unwound");
                    let _ = co.try_yield(0);
                    outer_co.yield_(1);
                });
                assert_eq!(holder.start().unwrap(), Step::Yield(0));
            });
            log.add("went on after the scope");
        }
    });
    assert_eq!(outer.next(), Some(1));
    let unraised = unraised_by(|| drop(outer));
    log.assert(&["inner unwound", "outer unwound"]);
    assert_eq!(unraised, Vec::<String>::new());
}

/// G36.
#[test]
fn the_payload_of_a_panic_that_is_reported_is_dropped() {
    let counted = std::sync::Arc::new(());
    let generator = generate({
        let payload = counted.clone();
        move |co| {
            let _ = co.try_yield(1);
            std::panic::panic_any(payload);
        }
    });
    assert_eq!(generator.next(), Some(1));
    let unraised = unraised_by(|| drop(generator));
    assert_eq!(unraised, ["panicked while it was dropped: (not a string)"]);
    assert_eq!(std::sync::Arc::strong_count(&counted), 1);
}

#[test]
fn an_exit_that_was_caught_and_kept_ends_no_other_generator() {
    // The second generator has the stack of the first, and all addresses with it.
    let kept: std::rc::Rc<std::cell::RefCell<Option<Box<dyn std::any::Any + Send>>>> = std::rc::Rc::default();
    let first = generate({
        let kept = kept.clone();
        move |co| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| co.yield_(1)));
            *kept.borrow_mut() = caught.err();
        }
    });
    assert_eq!(first.next(), Some(1));
    assert_eq!(first.close(), Ok(Some(())));
    let second = generate({
        let kept = kept.clone();
        move |co| {
            if co.try_yield(2).is_err() {
                std::panic::resume_unwind(kept.take().expect("the first one's exit"));
            }
        }
    });
    assert_eq!(second.next(), Some(2));
    // It arrives as the panic that it is for this generator.
    let arrived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second.close()));
    assert!(arrived.is_err());
    assert_eq!(second.state(), ropewalk::State::Closed);
}

/// Yields plainly when it is dropped, and catches what comes of it.
struct CatchesInDrop<'a>(&'a Yielder<u32>);

impl Drop for CatchesInDrop<'_> {
    fn drop(&mut self) {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.0.yield_(10)));
        assert!(caught.is_err());
    }
}

#[test]
fn an_exit_that_is_raised_twice_unwinds_until_both_are_gone() {
    for closes in [false, true] {
        let log = Log::new();
        let generator = generate({
            let log = log.clone();
            move |co| {
                let _refused = Flushes(co, log.clone());
                let _catches = CatchesInDrop(co);
                co.yield_(1);
            }
        });
        assert_eq!(generator.next(), Some(1));
        let unraised = unraised_by(|| {
            while_unwinding(move || {
                if closes {
                    assert_eq!(generator.close(), Ok(None));
                }
            })
        });
        log.assert(&["refused"]);
        assert_eq!(unraised, Vec::<String>::new());
        assert!(!std::thread::panicking());
    }
}

#[test]
fn an_exit_that_the_body_keeps_refuses_none_of_its_later_yields() {
    let generator = generate(|co: &Yielder<u32>| {
        let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| co.yield_(1)));
        co.yield_all(2..);
        drop(kept);
    });
    assert_eq!(generator.next(), Some(1));
    assert_eq!(generator.close(), Err(ropewalk::CloseError::IgnoredExit(2)));
    let generator = std::rc::Rc::new(generator);
    let other = generator.clone();
    assert_eq!(while_unwinding(move || other.next()), Some(3));
    assert_eq!(generator.next(), Some(4));
}
