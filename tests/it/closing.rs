//! Closing and dropping: what a body is told, what it may answer, and what is reported.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;

use ropewalk::{CloseError, Exit, Generator, State, Step, Yielder, generate};

use crate::log::{Log, panic_text, unraised_by, while_unwinding};

/// G17, G19.
#[test]
fn closing_unwinds_a_body_that_waits_in_a_plain_yield() {
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            let _first = log.on_drop("first dropped");
            let _second = log.on_drop("second dropped");
            co.yield_(1);
            log.add("went on");
        }
    });
    assert_eq!(generator.start().unwrap(), Step::Yield(1));
    assert_eq!(generator.close(), Ok(None));
    log.assert(&["second dropped", "first dropped"]);
    assert_eq!(generator.state(), State::Closed);
}

/// G17, G19.
#[test]
fn closing_is_a_value_for_a_body_that_asks_for_one() {
    let generator = Generator::<i32, ()>::new(|co| {
        let exit: Exit = co.try_yield(1).unwrap_err();
        assert_eq!(exit.to_string(), "the generator is being closed");
        assert!(!std::thread::panicking());
    });
    let _ = generator.start().unwrap();
    assert_eq!(generator.close(), Ok(Some(())));
}

/// G18.
#[test]
fn closing_before_the_start_drops_the_body_and_runs_none_of_it() {
    let log = Log::new();
    let generator = generate({
        let (log, captured) = (log.clone(), log.on_drop("captures dropped"));
        move |co| {
            let _captured = captured;
            log.add("begun");
            co.yield_(1);
        }
    });
    assert_eq!(generator.close(), Ok(None));
    log.assert(&["captures dropped"]);
    assert_eq!(generator.state(), State::Closed);
}

/// G20.
#[test]
fn a_body_that_handles_the_close_may_return_a_value() {
    let generator = Generator::<(), i32, i32>::new(|co| {
        let mut sum = 0;
        while let Ok(number) = co.try_yield(()) {
            sum += number;
        }
        sum
    });
    let _ = generator.start().unwrap();
    let _ = generator.send(3).unwrap();
    let _ = generator.send(4).unwrap();
    assert_eq!(generator.close(), Ok(Some(7)));
    assert_eq!(generator.close(), Ok(None));
}

/// G21.
#[test]
fn a_panic_while_closing_reaches_the_closer() {
    let generator = generate(|co| {
        if co.try_yield(1).is_err() {
            panic!("cleanup broke");
        }
    });
    let _ = generator.start().unwrap();
    assert_eq!(panic_text(|| generator.close()), "cleanup broke");
    assert_eq!(generator.state(), State::Closed);
}

/// Answers each close by yielding, `times` times, then returns "done".
fn stubborn(times: i32) -> Generator<i32, (), &'static str> {
    generate(move |co| {
        let mut ignored = 0;
        while ignored <= times {
            if co.try_yield(ignored).is_err() {
                ignored += 1;
            }
        }
        "done"
    })
}

/// G22, G24.
#[test]
fn a_body_that_yields_while_it_is_closed_is_reported_and_stays_suspended() {
    let generator = stubborn(2);
    assert_eq!(generator.start().unwrap(), Step::Yield(0));
    let error = generator.close().unwrap_err();
    assert_eq!(error, CloseError::IgnoredExit(1));
    assert_eq!(error.to_string(), "generator ignored Exit: its body yielded instead of ending");
    assert_eq!(generator.state(), State::Suspended);
    // It can be resumed as if nothing had been, and closed again.
    assert_eq!(generator.send(()), Ok(Step::Yield(1)));
    assert_eq!(generator.close(), Err(CloseError::IgnoredExit(2)));
    assert_eq!(generator.close(), Ok(Some("done")));
}

/// G22.
#[test]
fn a_body_that_catches_its_unwinding_and_yields_is_reported_and_stays_suspended() {
    let generator = generate(|co| {
        let caught = catch_unwind(AssertUnwindSafe(|| co.yield_(1)));
        assert!(caught.is_err() && !std::thread::panicking());
        co.yield_(2);
        co.yield_(3);
    });
    let _ = generator.start().unwrap();
    assert_eq!(generator.close(), Err(CloseError::IgnoredExit(2)));
    assert_eq!(generator.send(()), Ok(Step::Yield(3)));
    assert_eq!(generator.close(), Ok(None));
}

/// G23.
#[test]
fn closing_a_closed_generator_does_nothing() {
    let generator = generate(|co| co.yield_(1));
    assert_eq!(generator.close(), Ok(None));
    assert_eq!(generator.close(), Ok(None));
    let finished = Generator::<i32, (), i32>::new(|_| 5);
    assert_eq!(finished.start().unwrap(), Step::Return(5));
    assert_eq!(finished.close(), Ok(None));
}

/// G35.
#[test]
fn dropping_before_the_start_only_drops_what_the_body_captured() {
    let log = Log::new();
    drop(generate({
        let captured = log.on_drop("captures dropped");
        move |co| {
            let _captured = captured;
            co.yield_(1);
        }
    }));
    log.assert(&["captures dropped"]);
}

/// G36.
#[test]
fn dropping_a_suspended_generator_closes_it() {
    let log = Log::new();
    let plain = generate({
        let log = log.clone();
        move |co| {
            let _local = log.on_drop("plain: local dropped");
            co.yield_(1);
        }
    });
    let explicit = generate({
        let log = log.clone();
        move |co| {
            let _local = log.on_drop("explicit: local dropped");
            if co.try_yield(1).is_err() {
                log.add("explicit: told");
            }
        }
    });
    let _ = (plain.start().unwrap(), explicit.start().unwrap());
    let unraised = unraised_by(|| {
        drop(plain);
        drop(explicit);
    });
    log.assert(&["plain: local dropped", "explicit: told", "explicit: local dropped"]);
    assert_eq!(unraised, Vec::<String>::new());
}

/// G36.
#[test]
fn a_body_that_yields_while_it_is_dropped_is_reported_and_unwound() {
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            let _local = log.on_drop("local dropped");
            while co.try_yield(1).is_ok() {}
            log.add("told");
            let _ = co.try_yield(2);
            log.add("told again");
        }
    });
    let _ = generator.start().unwrap();
    let unraised = unraised_by(|| drop(generator));
    log.assert(&["told", "local dropped"]);
    assert_eq!(unraised, ["ignored Exit while it was dropped: its body yielded"]);
}

/// G36: neither a loop nor an abort.
#[test]
fn a_body_that_yields_whatever_happens_is_reported_and_leaked() {
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            let _local = log.on_drop("never");
            loop {
                let _ = catch_unwind(AssertUnwindSafe(|| co.yield_(1)));
            }
        }
    });
    let _ = generator.start().unwrap();
    let unraised = unraised_by(|| drop(generator));
    log.assert(&[]);
    assert_eq!(unraised, ["ignored Exit twice while it was dropped: its stack is leaked"]);
}

/// G36.
#[test]
fn a_panic_while_dropping_goes_to_the_hook_and_not_to_the_dropper() {
    let generator = generate(|co| {
        if co.try_yield(1).is_err() {
            panic!("cleanup broke");
        }
    });
    let _ = generator.start().unwrap();
    let unraised = unraised_by(|| drop(generator));
    assert_eq!(unraised, ["panicked while it was dropped: cleanup broke"]);
    assert!(!std::thread::panicking());
}

/// G40.
#[test]
fn a_yield_in_a_destructor_of_a_closing_body_is_refused_without_a_switch() {
    struct YieldsWhenDropped<'a>(&'a Yielder<i32>, Log);
    impl Drop for YieldsWhenDropped<'_> {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            for item in 0..100 {
                assert_eq!(self.0.try_yield(item), Err(Exit));
            }
            self.1.add("refused");
        }
    }
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            let _first = YieldsWhenDropped(co, log.clone());
            let _second = YieldsWhenDropped(co, log);
            co.yield_(1);
        }
    });
    let _ = generator.start().unwrap();
    assert_eq!(generator.close(), Ok(None));
    log.assert(&["refused", "refused"]);
}

/// G38.
#[test]
fn a_body_that_panics_cannot_suspend_in_its_destructors() {
    struct YieldsWhenDropped<'a>(&'a Yielder<i32>);
    impl Drop for YieldsWhenDropped<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.try_yield(1), Err(Exit));
        }
    }
    let generator = Generator::<i32, ()>::new(|co| {
        let _guard = YieldsWhenDropped(co);
        panic!("on the way out");
    });
    assert_eq!(panic_text(|| generator.start().is_ok()), "on the way out");
    assert!(!std::thread::panicking());
}

/// G38: whether the resumer unwinds is not the generator's business.
#[test]
fn a_generator_works_in_a_destructor_of_somebody_who_unwinds() {
    assert_eq!(while_unwinding(|| generate(|co| co.yield_all(1..=3)).collect::<Vec<i32>>()), [1, 2, 3]);
}

/// G38.
#[test]
fn a_generator_can_be_dropped_by_somebody_who_unwinds() {
    let log = Log::new();
    let generator = generate({
        let log = log.clone();
        move |co| {
            struct YieldsWhenDropped<'a>(&'a Yielder<i32>, Log);
            impl Drop for YieldsWhenDropped<'_> {
                fn drop(&mut self) {
                    assert_eq!(self.0.try_yield(9), Err(Exit));
                    self.1.add("refused");
                }
            }
            let _guard = YieldsWhenDropped(co, log);
            co.yield_(1);
        }
    });
    let _ = generator.start().unwrap();
    while_unwinding(move || drop(generator));
    log.assert(&["refused"]);
    assert!(!std::thread::panicking());
}

/// G36, G38.
#[test]
fn even_a_body_that_never_ends_can_be_dropped_by_somebody_who_unwinds() {
    let generator = generate(|co| {
        loop {
            let _ = catch_unwind(AssertUnwindSafe(|| co.yield_(1)));
        }
    });
    let _ = generator.start().unwrap();
    let unraised = unraised_by(|| while_unwinding(move || drop(generator)));
    assert_eq!(unraised, ["ignored Exit twice while it was dropped: its stack is leaked"]);
    assert!(!std::thread::panicking());
}

/// G38: no innocent lock is poisoned, for nobody is suspended in the middle of a panic.
#[test]
fn closing_poisons_the_locks_of_the_body_and_no_others() {
    let (own, other) = (Rc::new(Mutex::new(0)), Mutex::new(0));
    let generator = generate({
        let own = own.clone();
        move |co| {
            let _guard = own.lock().unwrap();
            co.yield_(1);
        }
    });
    let _ = generator.start().unwrap();
    assert_eq!(generator.close(), Ok(None));
    drop(other.lock().unwrap());
    assert!(!other.is_poisoned());
    // A plain yield unwinds, and std poisons what is locked then: the documented price. `try_yield` has none.
    assert!(own.is_poisoned());
    own.clear_poison();
    let generator = generate({
        let own = own.clone();
        move |co| {
            let _guard = own.lock().unwrap();
            let _ = co.try_yield(1);
        }
    });
    let _ = generator.start().unwrap();
    assert_eq!(generator.close(), Ok(Some(())));
    assert!(!own.is_poisoned());
}

/// G39.
#[test]
fn what_was_sent_and_not_used_is_dropped_on_close() {
    let sent = Rc::new(());
    let generator = Generator::<(), Rc<()>>::new(|co| {
        let mut kept = Vec::new();
        loop {
            kept.push(co.yield_(()));
        }
    });
    let _ = generator.start().unwrap();
    for _ in 0..3 {
        let _ = generator.send(sent.clone()).unwrap();
    }
    assert_eq!(Rc::strong_count(&sent), 4);
    assert_eq!(generator.close(), Ok(None));
    assert_eq!(Rc::strong_count(&sent), 1);
}

#[test]
fn a_forgotten_generator_leaks_its_stack_and_nothing_else() {
    let alive = Rc::new(Cell::new(0));
    let place = || {
        let local = 0u8;
        std::hint::black_box(&raw const local) as usize
    };
    let mut leaked = Vec::new();
    for _ in 0..100 {
        let generator = generate({
            let alive = alive.clone();
            move |co| {
                alive.set(alive.get() + 1);
                co.yield_(place());
            }
        });
        leaked.extend(generator.next());
        std::mem::forget(generator);
    }
    // None of their slots is handed out again, by whatever way the next ones come.
    let generators: Vec<_> = (0..200).map(|_| generate(move |co| co.yield_(place()))).collect();
    let places: Vec<usize> = generators.iter().map(|generator| generator.next().unwrap()).collect();
    for one in &places {
        let near =
            leaked.iter().filter(|leaked| leaked.abs_diff(*one) < ropewalk::stack::DEFAULT_SIZE / 2).count();
        assert_eq!(near, 0, "a leaked stack is in use");
    }
    assert_eq!((alive.get(), Rc::strong_count(&alive)), (100, 101));
    drop(generators);
}

#[test]
fn a_generator_in_a_thread_local_is_closed_when_the_thread_ends() {
    thread_local! {
        static KEPT: RefCell<Option<Generator<i32>>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        struct Tells(std::sync::mpsc::Sender<&'static str>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send("closed").unwrap();
            }
        }
        let generator = generate(move |co| {
            let _tells = Tells(sender);
            co.yield_(1);
        });
        let _ = generator.start().unwrap();
        KEPT.with(|kept| *kept.borrow_mut() = Some(generator));
    })
    .join()
    .unwrap();
    assert_eq!(receiver.recv(), Ok("closed"));
}

/// G36.
#[test]
fn nothing_that_a_dropped_generator_drops_unwinds_the_dropper() {
    struct Bomb(&'static str);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("{} went off", self.0);
        }
    }
    let yields = generate(|co| {
        assert!(co.try_yield(None).is_err());
        let _ = co.try_yield(Some(Bomb("what it yielded")));
    });
    let returns = Generator::<(), (), Bomb>::new(|co| {
        let _ = co.try_yield(());
        Bomb("what it returned")
    });
    assert!(yields.start().unwrap().yielded().unwrap().is_none());
    let _ = returns.start().unwrap().yielded();
    assert_eq!(
        unraised_by(|| drop(yields)),
        [
            "ignored Exit while it was dropped: its body yielded",
            "panicked while it was dropped: what it yielded went off"
        ]
    );
    assert_eq!(unraised_by(|| drop(returns)), ["panicked while it was dropped: what it returned went off"]);
    assert!(!std::thread::panicking());
}

/// G36.
#[test]
fn a_body_that_will_not_end_is_reported_as_such_whatever_it_yields() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("must not go off");
        }
    }
    let generator = generate(|co| {
        loop {
            let _ = catch_unwind(AssertUnwindSafe(|| co.yield_(Bomb)));
        }
    });
    std::mem::forget(generator.start());
    let unraised = unraised_by(|| drop(generator));
    assert_eq!(unraised, ["ignored Exit twice while it was dropped: its stack is leaked"]);
}
