//! Starting, sending, throwing, returning: what each call does in each state.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::{Generator, SendError, StartError, State, Step, ThrowError, Yielder, generate};

use crate::log::{Log, panic_text};

/// Yields what it is sent, until it is sent a negative number, which it returns.
fn echo() -> Generator<i32, i32, i32> {
    Generator::new(|co| {
        let mut heard = 0;
        while heard >= 0 {
            heard = co.yield_(heard);
        }
        heard
    })
}

/// G1.
#[test]
fn starting_runs_to_the_first_yield() {
    let log = Log::new();
    let generator = Generator::<i32, ()>::new({
        let log = log.clone();
        move |co| {
            log.add("begun");
            co.yield_(1);
            log.add("resumed");
        }
    });
    log.assert(&[]);
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    log.assert(&["begun"]);
    assert_eq!(generator.state(), State::Suspended);
}

/// G2.
#[test]
fn sending_before_the_start_gives_the_value_back_and_harms_nothing() {
    let generator = echo();
    assert_eq!(generator.send(5), Err(SendError::NotStarted(5)));
    assert_eq!(generator.send(5).unwrap_err().into_inner(), 5);
    assert_eq!(generator.state(), State::Created);
    assert_eq!(generator.start().unwrap(), Step::Yield(0));
}

/// G3.
#[test]
fn what_is_sent_is_the_value_of_the_yield() {
    let generator = echo();
    assert_eq!(generator.start().unwrap(), Step::Yield(0));
    assert_eq!(generator.send(7), Ok(Step::Yield(7)));
    assert_eq!(generator.send(8), Ok(Step::Yield(8)));
}

/// G3.
#[test]
fn values_of_any_size_and_kind_pass_both_ways() {
    let large = Generator::<[u64; 100], Vec<u8>>::new(|co| {
        let mut sum = 0;
        loop {
            let bytes = co.yield_([sum; 100]);
            sum = bytes.iter().map(|&byte| u64::from(byte)).sum();
        }
    });
    assert_eq!(large.start().unwrap(), Step::Yield([0; 100]));
    assert_eq!(large.send(vec![1; 500]), Ok(Step::Yield([500; 100])));

    let nothing = Generator::<(), (), ()>::new(|co| co.yield_(()));
    assert_eq!(nothing.start().unwrap(), Step::Yield(()));
    assert_eq!(nothing.send(()), Ok(Step::Return(())));

    let boxed = Generator::<Box<str>, Rc<Cell<i32>>, String>::new(|co| {
        let cell = co.yield_("give".into());
        cell.set(42);
        format!("{} owners", Rc::strong_count(&cell))
    });
    let cell = Rc::new(Cell::new(0));
    assert_eq!(boxed.start().unwrap(), Step::Yield("give".into()));
    assert_eq!(boxed.send(cell.clone()), Ok(Step::Return("2 owners".to_owned())));
    assert_eq!((cell.get(), Rc::strong_count(&cell)), (42, 1));
}

/// G4.
#[test]
fn an_iterator_is_sent_nothing() {
    let generator = generate(|co| {
        let () = co.yield_(1);
    });
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    assert_eq!(generator.send(()), Ok(Step::Return(())));
}

/// G5.
#[test]
fn a_return_is_a_step_of_its_own_whatever_its_value() {
    let generator = Generator::<i32, i32, Option<Step<i32, i32>>>::new(|_| Some(Step::Return(3)));
    assert_eq!(generator.start().unwrap(), Step::Return(Some(Step::Return(3))));
    assert_eq!(generator.state(), State::Closed);
}

/// G6.
#[test]
fn a_finished_generator_gives_back_what_it_is_sent_every_time() {
    let generator = echo();
    let _ = generator.start().unwrap();
    assert_eq!(generator.send(-1), Ok(Step::Return(-1)));
    assert_eq!(generator.send(5), Err(SendError::Finished(5)));
    assert_eq!(generator.send(6), Err(SendError::Finished(6)));
    assert!(matches!(generator.start(), Err(StartError::Finished)));
}

/// G6.
#[test]
fn what_a_finished_generator_refuses_is_not_lost() {
    let generator = Generator::<(), Box<i32>>::new(|_| ());
    assert_eq!(generator.start().unwrap(), Step::Return(()));
    let back = generator.send(Box::new(9)).unwrap_err();
    assert_eq!(back.to_string(), "generator has finished");
    assert_eq!(*back.into_inner(), 9);
}

#[test]
fn starting_twice_is_an_error_that_says_so() {
    let generator = echo();
    let _ = generator.start().unwrap();
    let error = generator.start().unwrap_err();
    assert!(matches!(error, StartError::AlreadyStarted));
    assert_eq!(error.to_string(), "generator has already been started: send to it instead");
    assert_eq!(generator.send(1), Ok(Step::Yield(1)));
}

/// G7.
#[test]
fn the_return_value_is_handed_out_once() {
    let generator = echo();
    let _ = generator.start().unwrap();
    assert_eq!(generator.send(-2), Ok(Step::Return(-2)));
    assert_eq!(generator.take_return(), None);
    assert_eq!(generator.send(1), Err(SendError::Finished(1)));
}

/// G8.
#[test]
fn an_error_of_the_body_is_its_return_value() {
    let generator = Generator::<i32, (), Result<(), std::num::ParseIntError>>::new(|co| {
        for text in ["1", "two"] {
            co.yield_(text.parse()?);
        }
        Ok(())
    });
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    assert!(matches!(generator.send(()), Ok(Step::Return(Err(_)))));
    assert_eq!(generator.state(), State::Closed);
}

/// G8.
#[test]
fn a_panic_in_the_body_reaches_the_resumer_once_and_closes_the_generator() {
    let log = Log::new();
    let generator = Generator::<i32, i32>::new({
        let log = log.clone();
        move |co| {
            let _local = log.on_drop("local dropped");
            co.yield_(1);
            panic!("body broke");
        }
    });
    let _ = generator.start().unwrap();
    assert_eq!(panic_text(|| generator.send(2)), "body broke");
    log.assert(&["local dropped"]);
    assert!(!std::thread::panicking());
    assert_eq!(generator.state(), State::Closed);
    assert_eq!(generator.send(3), Err(SendError::Finished(3)));
    assert_eq!(generator.close(), Ok(None));
}

/// G8.
#[test]
fn a_panic_before_the_first_yield_reaches_whoever_started_it() {
    let generator = Generator::<i32, i32>::new(|_| panic!("no start"));
    assert_eq!(panic_text(|| generator.start().is_ok()), "no start");
    assert_eq!(generator.state(), State::Closed);
    let iterator = generate(|_: &Yielder<i32>| panic!("no item"));
    assert_eq!(panic_text(|| iterator.next()), "no item");
    assert_eq!(iterator.next(), None);
}

/// G10.
#[test]
fn an_inner_iterator_that_runs_out_is_a_value_and_not_an_error() {
    let generator = generate(|co| {
        let inner = generate(|co| co.yield_(1));
        while let Some(item) = inner.next() {
            co.yield_(item);
        }
        assert_eq!(inner.next(), None);
        co.yield_(2);
    });
    assert_eq!(generator.collect::<Vec<_>>(), [1, 2]);
}

/// A generator that can be thrown into: sums numbers, skips what it is told to, ends on `"fatal"`.
fn tolerant() -> Generator<i32, Result<i32, &'static str>, Result<i32, &'static str>> {
    Generator::new(|co| {
        let mut sum = 0;
        loop {
            match co.yield_(sum) {
                Ok(0) => return Ok(sum),
                Ok(number) => sum += number,
                Err("skip") => {}
                Err("stop") => return Ok(-1),
                Err("worse") => return Err("replaced"),
                Err(other) => return Err(other),
            }
        }
    })
}

/// G11.
#[test]
fn an_error_thrown_before_the_start_comes_back_and_the_body_never_begins() {
    let log = Log::new();
    let generator = Generator::<(), Result<(), String>>::new({
        let log = log.clone();
        let captured = log.on_drop("captures dropped");
        move |_| {
            let _captured = captured;
            log.add("begun");
        }
    });
    assert_eq!(generator.throw("early".to_owned()), Err(ThrowError::NotStarted("early".to_owned())));
    log.assert(&["captures dropped"]);
    assert_eq!(generator.state(), State::Closed);
    assert!(matches!(generator.start(), Err(StartError::Finished)));
}

/// G12.
#[test]
fn an_error_that_the_body_does_not_handle_comes_out_of_it() {
    let generator = tolerant();
    let _ = generator.start().unwrap();
    assert_eq!(generator.throw("fatal"), Ok(Step::Return(Err("fatal"))));
    assert_eq!(generator.state(), State::Closed);
}

/// G13.
#[test]
fn a_body_that_handles_an_error_goes_on_yielding() {
    let generator = tolerant();
    let _ = generator.start().unwrap();
    assert_eq!(generator.send(Ok(3)), Ok(Step::Yield(3)));
    assert_eq!(generator.throw("skip"), Ok(Step::Yield(3)));
    assert_eq!(generator.send(Ok(4)), Ok(Step::Yield(7)));
}

/// G14.
#[test]
fn a_body_that_handles_an_error_may_return() {
    let generator = tolerant();
    let _ = generator.start().unwrap();
    assert_eq!(generator.throw("stop"), Ok(Step::Return(Ok(-1))));
}

/// G15.
#[test]
fn a_body_may_answer_an_error_with_another() {
    let generator = tolerant();
    let _ = generator.start().unwrap();
    assert_eq!(generator.throw("worse"), Ok(Step::Return(Err("replaced"))));
}

/// G16.
#[test]
fn an_error_thrown_into_a_finished_generator_comes_back() {
    let generator = tolerant();
    let _ = generator.start().unwrap();
    assert_eq!(generator.send(Ok(0)), Ok(Step::Return(Ok(0))));
    assert_eq!(generator.throw("late"), Err(ThrowError::Finished("late")));
    assert_eq!(generator.throw("late").unwrap_err().into_inner(), "late");
}

/// G25.
#[test]
fn resuming_a_generator_from_its_own_body_is_an_error_that_says_so() {
    type Shared = Rc<Generator<i32, Result<i32, i32>>>;
    let slot: Rc<Cell<Option<Shared>>> = Rc::new(Cell::new(None));
    let generator: Shared = Rc::new(Generator::new({
        let slot = slot.clone();
        move |co: &Yielder<i32, Result<i32, i32>>| {
            let own = slot.take().expect("it was put there");
            assert_eq!(own.state(), State::Running);
            let error = own.send(Ok(1)).unwrap_err();
            assert_eq!(error, SendError::Running(Ok(1)));
            assert_eq!(
                error.to_string(),
                "generator is already running: resume it from outside its own body, and of those that it stands in for"
            );
            assert!(matches!(own.start(), Err(StartError::Running)));
            assert_eq!(own.throw(2), Err(ThrowError::Running(2)));
            assert_eq!(own.close().unwrap_err(), ropewalk::CloseError::Running);
            drop(own);
            assert_eq!(co.yield_(10), Ok(11));
        }
    }));
    slot.set(Some(generator.clone()));
    assert_eq!(generator.start().unwrap(), Step::Yield(10));
    // It is unharmed.
    assert_eq!(generator.send(Ok(11)), Ok(Step::Return(())));
}

/// G37.
#[test]
fn a_running_generator_outlives_its_last_other_owner() {
    let slot: Rc<Cell<Option<Rc<Generator<i32>>>>> = Rc::new(Cell::new(None));
    let generator = Rc::new(generate({
        let slot = slot.clone();
        move |co| {
            // The resumer holds a reference of its own, or it could not have resumed.
            drop(slot.take());
            co.yield_(1);
        }
    }));
    slot.set(Some(generator.clone()));
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    assert_eq!(Rc::strong_count(&generator), 1);
}

/// G41.
#[test]
fn a_generator_tells_its_state() {
    let seen = Rc::new(Cell::new(None));
    let own: Rc<Cell<Option<Rc<Generator<i32>>>>> = Rc::new(Cell::new(None));
    let generator = Rc::new(generate({
        let (seen, own) = (seen.clone(), own.clone());
        move |co| {
            seen.set(own.take().map(|own| own.state()));
            co.yield_(1);
        }
    }));
    own.set(Some(generator.clone()));
    assert_eq!(generator.state(), State::Created);
    let _ = generator.start().unwrap();
    assert_eq!(seen.get(), Some(State::Running));
    assert_eq!(generator.state(), State::Suspended);
    let _ = generator.send(());
    assert_eq!(generator.state(), State::Closed);
}

#[test]
fn a_generator_says_who_it_is() {
    let named = ropewalk::generator::Builder::new().name("lexer").generator(|co: &Yielder<i32>| co.yield_(1));
    assert_eq!(named.name(), Some("lexer"));
    assert!(named.created_at().file().ends_with("protocol.rs"));
    let text = format!("{named:?}");
    assert!(text.contains("lexer") && text.contains("Created") && text.contains("protocol.rs"), "{text}");
    assert_eq!(generate(|co| co.yield_(1)).name(), None);
}

#[test]
fn a_stack_that_is_too_large_is_an_error_and_the_generator_can_be_closed() {
    let builder = ropewalk::generator::Builder::new().stack_size(2 << 30);
    let generator = builder.generator(|co: &Yielder<i32>| co.yield_(1));
    let Err(StartError::NoStack(error)) = generator.start() else { panic!("two gigabytes is too much") };
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("the largest is 1073741824"), "{error}");
    assert_eq!(generator.state(), State::Created);
    assert_eq!(generator.close(), Ok(None));
}

#[test]
fn a_closure_of_many_kilobytes_just_works() {
    let captured = [7u8; 100_000];
    let generator = Generator::<u32, ()>::new(move |co| {
        co.yield_(captured.iter().map(|&byte| u32::from(byte)).sum());
    });
    assert_eq!(generator.start().unwrap(), Step::Yield(700_000));
}

#[test]
fn closures_with_a_strict_alignment_just_work() {
    #[repr(align(256))]
    struct Aligned([u8; 256]);
    let captured = Aligned([3; 256]);
    let generator = generate(move |co| {
        let captured = captured;
        co.yield_((std::ptr::from_ref(&captured).addr() % 256, captured.0[255]));
    });
    assert_eq!(generator.collect::<Vec<_>>(), [(0, 3)]);
}
