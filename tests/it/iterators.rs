//! A generator to which nothing is sent is an iterator.

use std::rc::Rc;

use ropewalk::{Generator, State, Step, generate};

use crate::log::panic_text;

/// G43.
#[test]
fn a_generator_is_a_fused_iterator() {
    fn is_fused(_: &impl std::iter::FusedIterator<Item = i32>) {}
    let generator = generate(|co| co.yield_all([1, 2]));
    is_fused(&generator);
    assert_eq!((generator.next(), generator.next()), (Some(1), Some(2)));
    for _ in 0..3 {
        assert_eq!(generator.next(), None);
    }
}

#[test]
fn every_adaptor_of_the_standard_library_works() {
    let numbers = || generate(|co| co.yield_all(1..=10));
    assert_eq!(numbers().filter(|n| n % 2 == 0).map(|n| n * n).take(3).collect::<Vec<_>>(), [4, 16, 36]);
    assert_eq!(numbers().zip("abc".chars()).last(), Some((3, 'c')));
    assert_eq!(numbers().chain(numbers()).sum::<i32>(), 110);
    let mut peekable = numbers().skip_while(|&n| n < 4).peekable();
    assert_eq!((peekable.peek().copied(), peekable.next()), (Some(4), Some(4)));
}

#[test]
fn a_shared_generator_is_read_by_several_hands() {
    let shared = Rc::new(generate(|co| co.yield_all(1..)));
    let (left, right) = (shared.clone(), shared);
    assert_eq!(left.next(), Some(1));
    assert_eq!(right.next(), Some(2));
    assert_eq!((&*left).take(2).collect::<Vec<i32>>(), [3, 4]);
    assert_eq!(right.next(), Some(5));
}

#[test]
fn starting_by_hand_and_iterating_mix() {
    let generator = generate(|co| co.yield_all(1..=3));
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    assert_eq!(generator.next(), Some(2));
    assert_eq!(generator.send(()), Ok(Step::Yield(3)));
    assert_eq!(generator.next(), None);
    assert_eq!(generator.state(), State::Closed);
}

/// G7.
#[test]
fn the_return_value_waits_behind_the_last_item() {
    let generator = generate(|co| {
        co.yield_(1);
        "the end"
    });
    assert_eq!(generator.take_return(), None);
    assert_eq!(generator.next(), Some(1));
    assert_eq!(generator.take_return(), None);
    assert_eq!(generator.next(), None);
    assert_eq!(generator.take_return(), Some("the end"));
    assert_eq!(generator.take_return(), None);
}

#[test]
fn a_return_value_that_nobody_takes_is_dropped_with_the_generator() {
    let value = Rc::new(());
    let generator = generate({
        let value = value.clone();
        move |co| {
            co.yield_(1);
            value
        }
    });
    assert_eq!((&generator).count(), 1);
    assert_eq!(Rc::strong_count(&value), 2);
    drop(generator);
    assert_eq!(Rc::strong_count(&value), 1);
}

/// G25.
#[test]
fn asking_a_running_generator_for_an_item_panics_in_the_users_words() {
    let slot: Rc<std::cell::RefCell<Option<Rc<Generator<i32>>>>> = Rc::default();
    let generator = Rc::new(generate({
        let slot = slot.clone();
        move |co| {
            let own = slot.borrow_mut().take().unwrap();
            let text = panic_text(|| own.next());
            assert_eq!(
                text,
                "generator is already running: resume it from outside its own body, and of those that it stands in for"
            );
            co.yield_(1);
        }
    }));
    *slot.borrow_mut() = Some(generator.clone());
    assert_eq!(generator.next(), Some(1));
}

#[test]
fn an_infinite_generator_is_left_where_one_stops() {
    let mut evens = generate(|co| (0..).step_by(2).for_each(|n| co.yield_(n)));
    assert_eq!(evens.by_ref().take(3).collect::<Vec<u32>>(), [0, 2, 4]);
    assert_eq!(evens.next(), Some(6));
    assert_eq!(evens.state(), State::Suspended);
}

/// G46: Python's asynchronous generators may not return a value; these may do both.
#[test]
fn yielding_and_returning_go_together() {
    let mut generator = generate(|co| {
        co.yield_all(["a", "b"]);
        2
    });
    assert_eq!(generator.by_ref().collect::<String>(), "ab");
    assert_eq!(generator.take_return(), Some(2));
}
