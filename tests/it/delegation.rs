//! `yield_from`: one generator stands in for another.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ropewalk::{
    CloseError, DelegateError, Exit, Generator, SendError, StartError, State, Step, Yielder, generate,
};

use crate::log::{Log, panic_text, unraised_by};

fn adder() -> Generator<i32, i32, i32> {
    Generator::new(|co| {
        let mut sum = 0;
        loop {
            match co.yield_(sum) {
                0 => return sum,
                number => sum += number,
            }
        }
    })
}

/// G27, G28.
#[test]
fn items_sends_and_the_return_value_pass_through() {
    let outer = Generator::<i32, i32, String>::new(|co| {
        let first = co.yield_from(adder());
        let second = co.yield_from(adder());
        format!("{first} then {second}")
    });
    assert_eq!(outer.start().unwrap(), Step::Yield(0));
    assert!(outer.is_delegating());
    assert_eq!(outer.send(3), Ok(Step::Yield(3)));
    assert_eq!(outer.send(4), Ok(Step::Yield(7)));
    assert_eq!(outer.send(0), Ok(Step::Yield(0)));
    assert_eq!(outer.send(5), Ok(Step::Yield(5)));
    assert_eq!(outer.send(0), Ok(Step::Return("7 then 5".to_owned())));
    assert!(!outer.is_delegating());
}

/// G27.
#[test]
fn an_inner_generator_that_yields_nothing_costs_no_step() {
    let outer = generate(|co| {
        let value = co.yield_from(generate(|_: &Yielder<i32>| 41));
        co.yield_(value + 1);
    });
    assert_eq!(outer.collect::<Vec<_>>(), [42]);
}

/// G27.
#[test]
fn the_outer_body_does_not_run_between_the_items_of_the_inner() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |co| {
            log.add("before");
            co.yield_from(generate(|co| co.yield_all(1..=3)));
            log.add("after");
        }
    });
    assert_eq!((outer.next(), outer.next(), outer.next()), (Some(1), Some(2), Some(3)));
    log.assert(&["before"]);
    assert_eq!(outer.next(), None);
    log.assert(&["before", "after"]);
}

/// G29.
#[test]
fn a_thrown_error_goes_to_the_inner_generator() {
    type Fallible = Generator<i32, Result<i32, &'static str>, Result<i32, &'static str>>;
    let inner = || -> Fallible {
        Generator::new(|co| {
            let mut last = 0;
            loop {
                match co.yield_(last) {
                    Ok(0) => return Ok(last),
                    Ok(number) => last = number,
                    Err("ignore") => last = -1,
                    Err("return") => return Ok(99),
                    Err(error) => return Err(error),
                }
            }
        })
    };
    let outer = || -> Generator<i32, Result<i32, &'static str>, Result<i32, String>> {
        Generator::new(move |co| match co.yield_from(inner()) {
            Ok(value) => Ok(value),
            Err(error) => Err(format!("outer saw {error}")),
        })
    };
    // It handles the error and yields: the outer one sees nothing.
    let handled = outer();
    let _ = handled.start().unwrap();
    assert_eq!(handled.throw("ignore"), Ok(Step::Yield(-1)));
    assert_eq!(handled.send(Ok(5)), Ok(Step::Yield(5)));
    // It returns: the outer one goes on with the value.
    assert_eq!(handled.throw("return"), Ok(Step::Return(Ok(99))));
    // It raises: the outer one gets the error where it delegated.
    let raised = outer();
    let _ = raised.start().unwrap();
    assert_eq!(raised.throw("bad"), Ok(Step::Return(Err("outer saw bad".to_owned()))));
}

/// G30.
#[test]
fn closing_the_outer_closes_the_inner_first() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |co| {
            let _outer = log.on_drop("outer unwound");
            let inner_log = log.clone();
            co.yield_from(generate(move |co| {
                let _inner = inner_log.on_drop("inner unwound");
                co.yield_(1);
            }));
            log.add("outer went on");
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Ok(None));
    log.assert(&["inner unwound", "outer unwound"]);
}

/// G30.
#[test]
fn an_inner_generator_that_returns_on_close_does_not_keep_the_outer_going() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |co| {
            let _outer = log.on_drop("outer unwound");
            let got = co.yield_from(generate(|co| if co.try_yield(1).is_err() { 5 } else { 6 }));
            log.add(format!("outer got {got}"));
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Ok(None));
    log.assert(&["outer unwound"]);
}

/// G30.
#[test]
fn an_outer_body_that_asks_gets_the_close_as_a_value() {
    let outer = Generator::<i32, (), &'static str>::new(|co| {
        let inner = generate(|co| co.yield_(1));
        match co.try_yield_from(&inner) {
            Err(DelegateError::Exit(Exit)) => {
                assert_eq!(inner.state(), State::Closed);
                "closed in good order"
            }
            other => panic!("{other:?}"),
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Ok(Some("closed in good order")));
}

/// G30.
#[test]
fn an_inner_generator_that_ignores_the_close_is_the_fault_of_the_outer() {
    let outer = generate(|co| {
        co.yield_from(generate(|co| {
            let _ = co.try_yield(1);
            co.yield_(2);
            co.yield_(3);
        }));
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Err(CloseError::IgnoredExit(2)));
    assert_eq!(outer.send(()), Ok(Step::Yield(3)));
    assert_eq!(outer.close(), Ok(None));
}

/// G31.
#[test]
fn an_iterator_is_delegated_to_item_by_item() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |co| {
            co.yield_all([1, 2]);
            co.yield_all("ab".chars().map(|letter| letter as i32));
            let _dropped = log.on_drop("closed");
            assert_eq!(co.try_yield_all([3, 4]), Err(Exit));
        }
    });
    assert_eq!(outer.by_ref_items(5), [1, 2, 97, 98, 3]);
    assert_eq!(outer.close(), Ok(Some(())));
    log.assert(&["closed"]);
}

trait Items {
    fn by_ref_items(&self, count: usize) -> Vec<i32>;
}

impl<R> Items for Generator<i32, (), R> {
    fn by_ref_items(&self, count: usize) -> Vec<i32> {
        self.take(count).collect()
    }
}

/// G32.
#[test]
fn a_panic_in_the_first_step_of_the_inner_arises_where_it_was_delegated_to() {
    let outer = generate(|co| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            co.yield_from(generate(|_: &Yielder<i32>| panic!("inner broke")));
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inner broke"));
        co.yield_(1);
    });
    assert_eq!(outer.collect::<Vec<_>>(), [1]);
}

/// G32.
#[test]
fn a_panic_in_a_later_step_of_the_inner_passes_through_the_outer_to_the_resumer() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |co| {
            let _outer = log.on_drop("outer unwound");
            co.yield_from(generate(|co| {
                co.yield_(1);
                panic!("later");
            }))
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(panic_text(|| outer.send(())), "later");
    log.assert(&["outer unwound"]);
    assert_eq!(outer.state(), State::Closed);
    assert!(!std::thread::panicking());
}

/// G26.
#[test]
fn delegating_in_a_circle_is_an_error_at_the_inner_end() {
    type Shared = Rc<Generator<i32>>;
    let slot: Rc<RefCell<Option<Shared>>> = Rc::default();
    let outer: Shared = Rc::new(generate({
        let slot = slot.clone();
        move |co| {
            let slot = slot.clone();
            co.yield_from(generate(move |co| {
                let outer = slot.borrow_mut().take().expect("it was put there");
                let error = co.try_yield_from(outer).unwrap_err();
                assert!(matches!(error, DelegateError::Refused(StartError::Running)));
                co.yield_(1);
            }));
            co.yield_(2);
        }
    }));
    *slot.borrow_mut() = Some(outer.clone());
    assert_eq!(outer.by_ref_items(9), [1, 2]);
}

#[test]
fn delegating_to_what_cannot_be_started_says_why() {
    let outer = generate(|co| {
        let finished = generate(|co| co.yield_(0));
        finished.close().unwrap();
        let error = co.try_yield_from(&finished).unwrap_err();
        assert!(matches!(error, DelegateError::Refused(StartError::Finished)));
        let text = panic_text(|| co.yield_from(&finished));
        assert_eq!(text, "cannot yield from this generator: generator has finished");
        let started = generate(|co| co.yield_(0));
        let _ = started.start().unwrap();
        let error = co.try_yield_from(&started).unwrap_err();
        assert!(matches!(error, DelegateError::Refused(StartError::AlreadyStarted)));
        co.yield_(1);
    });
    assert_eq!(outer.collect::<Vec<_>>(), [1]);
}

#[test]
fn a_generator_that_stands_in_can_be_resumed_by_nobody_else() {
    let inner = Rc::new(adder());
    let outer = Generator::<i32, i32, i32>::new({
        let inner = inner.clone();
        move |co| co.yield_from(inner)
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.send(2), Ok(Step::Yield(2)));
    assert_eq!(inner.state(), State::Running);
    assert_eq!(inner.send(5), Err(SendError::Running(5)));
    assert_eq!(inner.close(), Err(CloseError::Running));
    assert_eq!(outer.send(0), Ok(Step::Return(2)));
    assert_eq!(inner.state(), State::Closed);
    assert_eq!(Rc::strong_count(&inner), 1);
}

#[test]
fn a_generator_that_does_not_wait_gives_back_what_it_was_to_begin_with() {
    let outer = Generator::<i32, i32>::new(|co| {
        let created = adder();
        let Err(DelegateError::Refused(error)) = co.try_yield_from_started(&created, 5) else { panic!() };
        assert_eq!(error, SendError::NotStarted(5));
        created.close().unwrap();
        let Err(DelegateError::Refused(error)) = co.try_yield_from_started(&created, 6) else { panic!() };
        assert_eq!(error, SendError::Finished(6));
        let text = panic_text(|| co.yield_from_started(&created, 7));
        assert_eq!(text, "cannot yield from this generator: generator has finished");
        assert_eq!(co.yield_(1), 2);
    });
    assert_eq!(outer.start().unwrap(), Step::Yield(1));
    assert!(!outer.is_delegating());
    assert_eq!(outer.send(2), Ok(Step::Return(())));
}

#[test]
fn a_started_generator_goes_on_for_another() {
    let inner = adder();
    let _ = inner.start().unwrap();
    assert_eq!(inner.send(10), Ok(Step::Yield(10)));
    let outer = Generator::<i32, i32, i32>::new(move |co| co.yield_from_started(inner, 5));
    assert_eq!(outer.start().unwrap(), Step::Yield(15));
    assert_eq!(outer.send(1), Ok(Step::Yield(16)));
    assert_eq!(outer.send(0), Ok(Step::Return(16)));
}

/// A generator that was delegating before somebody delegated to it yields through all of them.
#[test]
fn a_generator_in_the_middle_of_delegating_can_be_taken_over() {
    let log = Log::new();
    let middle = Generator::<i32, i32, i32>::new({
        let log = log.clone();
        move |co| {
            let _middle = log.on_drop("middle unwound");
            let inner_log = log.clone();
            let sum = co.yield_from(Generator::<i32, i32, i32>::new(move |co| {
                let _inner = inner_log.on_drop("inner ended");
                co.yield_from(adder())
            }));
            co.yield_(sum * 100)
        }
    });
    let _ = middle.start().unwrap();
    assert_eq!(middle.send(1), Ok(Step::Yield(1)));
    let outer = Generator::<i32, i32, i32>::new({
        let log = log.clone();
        move |co| {
            let _outer = log.on_drop("outer unwound");
            co.yield_from_started(middle, 2)
        }
    });
    assert_eq!(outer.start().unwrap(), Step::Yield(3));
    assert_eq!(outer.send(4), Ok(Step::Yield(7)));
    assert_eq!(outer.send(0), Ok(Step::Yield(700)));
    log.assert(&["inner ended"]);
    assert_eq!(outer.close(), Ok(None));
    log.assert(&["inner ended", "middle unwound", "outer unwound"]);
}

#[test]
fn a_generator_taken_over_is_closed_through_all_of_them() {
    let log = Log::new();
    let middle = Generator::<i32, i32>::new({
        let log = log.clone();
        move |co| {
            let _middle = log.on_drop("middle unwound");
            let inner_log = log.clone();
            co.yield_from(Generator::<i32, i32>::new(move |co| {
                let _inner = inner_log.on_drop("inner unwound");
                loop {
                    co.yield_(0);
                }
            }));
        }
    });
    let _ = middle.start().unwrap();
    let outer = Generator::<i32, i32>::new({
        let log = log.clone();
        move |co| {
            let _outer = log.on_drop("outer unwound");
            co.yield_from_started(middle, 1);
        }
    });
    let _ = outer.start().unwrap();
    let unraised = unraised_by(|| drop(outer));
    log.assert(&["inner unwound", "middle unwound", "outer unwound"]);
    assert_eq!(unraised, Vec::<String>::new());
}

/// A chain of delegations, `depth` deep, with one item at the end of it.
fn chain(depth: u32) -> Generator<u32> {
    generate(move |co| match depth {
        0 => co.yield_all(0..3),
        _ => co.yield_from(chain(depth - 1)),
    })
}

#[test]
fn delegation_goes_a_thousand_deep() {
    assert_eq!(chain(1_000).collect::<Vec<_>>(), [0, 1, 2]);
    let closed = chain(1_000);
    assert_eq!(closed.start().unwrap(), Step::Yield(0));
    assert_eq!(closed.close(), Ok(None));
}

/// The claim that an item costs one switch: only the frames of the innermost body and the resumer move.
#[test]
fn an_item_crosses_a_chain_of_delegations_in_one_switch() {
    // Were an item passed on by each level, each level's state would change at each item, and the innermost would
    // not be `Running` while the outermost is suspended.
    let innermost: Rc<RefCell<Option<Rc<Generator<i32>>>>> = Rc::default();
    let resumed = Rc::new(Cell::new(0));
    let inner = Rc::new(generate({
        let resumed = resumed.clone();
        move |co| {
            for item in 0..5 {
                co.yield_(item);
                resumed.set(resumed.get() + 1);
            }
        }
    }));
    *innermost.borrow_mut() = Some(inner.clone());
    let middle = Rc::new(generate({
        let inner = inner.clone();
        move |co| co.yield_from(inner)
    }));
    let outer = generate({
        let middle = middle.clone();
        move |co| co.yield_from(middle)
    });
    for item in 0..5 {
        assert_eq!(outer.next(), Some(item));
        assert_eq!((inner.state(), middle.state()), (State::Running, State::Running));
        assert_eq!(outer.state(), State::Suspended);
    }
    assert_eq!(outer.next(), None);
    assert_eq!(resumed.get(), 5);
}

#[test]
fn a_scoped_inner_may_borrow_what_the_outer_owns() {
    let outer = generate(|co| {
        let words = String::from("to be or not");
        ropewalk::generator::scope(|s| {
            let inner = s.generator(|co: &Yielder<usize>| co.yield_all(words.split(' ').map(str::len)));
            co.yield_from(inner);
        });
        co.yield_(words.len());
    });
    assert_eq!(outer.collect::<Vec<_>>(), [2, 2, 2, 3, 12]);
}

/// A generator with an inner one that it has started, as `middle` of a takeover.
fn delegating() -> Generator<u32, u32, u32> {
    Generator::new(|co| {
        let inner = Generator::<u32, u32, u32>::new(|co| {
            co.yield_(1);
            co.yield_(2);
            co.yield_(3);
            9
        });
        let value = co.yield_from(inner);
        co.yield_(100 + value);
        7
    })
}

#[test]
fn a_generator_taken_over_in_the_middle_of_delegating_can_be_resumed_by_nobody_else() {
    let middle = Rc::new(delegating());
    assert_eq!(middle.start().unwrap(), Step::Yield(1));
    let outer = Generator::<u32, u32, u32>::new({
        let middle = middle.clone();
        move |co| co.yield_from_started(middle, 5)
    });
    assert_eq!(outer.start().unwrap(), Step::Yield(2));
    assert_eq!(middle.state(), State::Running);
    assert_eq!(middle.send(1), Err(SendError::Running(1)));
    assert_eq!(middle.close(), Err(CloseError::Running));
    assert_eq!(outer.send(0), Ok(Step::Yield(3)));
    assert_eq!(outer.send(0), Ok(Step::Yield(109)));
    assert_eq!(middle.send(1), Err(SendError::Running(1)));
    assert_eq!(outer.send(0), Ok(Step::Return(7)));
    assert_eq!(middle.state(), State::Closed);
}

#[test]
fn a_takeover_in_a_destructor_of_an_unwinding_body_is_refused_and_leaves_the_inner_one_alone() {
    struct TakesOverWhenDropped<'a>(&'a Yielder<u32, u32>, Rc<Generator<u32, u32, u32>>);
    impl Drop for TakesOverWhenDropped<'_> {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            let refused = self.0.try_yield_from_started(self.1.clone(), 0);
            assert!(matches!(refused, Err(DelegateError::Exit(Exit))));
        }
    }
    let middle = Rc::new(delegating());
    assert_eq!(middle.start().unwrap(), Step::Yield(1));
    let outer = Generator::<u32, u32>::new({
        let middle = middle.clone();
        move |co| {
            let _guard = TakesOverWhenDropped(co, middle);
            co.yield_(0);
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Ok(None));
    assert_eq!(middle.state(), State::Suspended);
    assert_eq!(middle.send(0), Ok(Step::Yield(3)));
}
