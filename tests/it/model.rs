//! Random calls on random bodies, against a model that is a dozen lines of state machine.
//!
//! The same calls go to a generator that delegates to the body through some others, which must not be seen, except
//! that a close is raised again in each of them. In between, others take over a generator that waits at a yield, which
//! must look like a send.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;
use ropewalk::{CloseError, Generator, SendError, StartError, State, Step, ThrowError};

/// What a body does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Yields plainly, or asking for the close. Takes an error with or without ending, and a close likewise.
    Yield {
        plain: bool,
        raises: bool,
        ignores_exit: bool,
    },
    Panic,
}

/// What is done to it.
#[derive(Clone, Copy, Debug)]
enum Call {
    Start,
    Send(u8),
    Throw(u8),
    Close,
    /// A new generator takes over from where this one waits, and sends it this.
    TakeOver(u8),
}

type Sent = Result<u8, u8>;
type Returned = Result<usize, u8>;
type Subject = Generator<usize, Sent, Returned>;

/// What came of a call; panics are values here.
#[derive(Debug, PartialEq)]
enum Seen {
    Step(Step<usize, Returned>),
    Closed(Option<Returned>),
    Ignored(usize),
    NotStarted,
    AlreadyStarted,
    Finished,
    Panicked,
}

/// Counts drops of what lives in the body.
struct Guard(Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn subject(script: Vec<Act>, drops: &Rc<Cell<u32>>) -> Subject {
    let guard = Guard(drops.clone());
    Generator::new(move |co| {
        let _guard = guard;
        let mut sum = 0;
        for (place, act) in script.into_iter().enumerate() {
            let Act::Yield { plain, raises, ignores_exit } = act else { panic!("as the script says") };
            let reply = if plain { Ok(co.yield_(place)) } else { co.try_yield(place) };
            match reply {
                Ok(Ok(value)) => sum += usize::from(value),
                Ok(Err(error)) if raises => return Err(error),
                Ok(Err(_)) => {}
                Err(_) if ignores_exit => {}
                Err(_) => return Ok(1000 + place),
            }
        }
        Ok(sum)
    })
}

fn delegating(inner: Subject) -> Subject {
    Generator::new(move |co| co.yield_from(inner))
}

fn taking_over(inner: Subject, first: u8) -> Subject {
    Generator::new(move |co| co.yield_from_started(inner, Ok(first)))
}

fn see(subject: &mut Subject, call: Call) -> Seen {
    if let Call::TakeOver(first) = call {
        if subject.state() != State::Suspended {
            return see(subject, Call::Send(first));
        }
        let inner = std::mem::replace(subject, Generator::new(|_| unreachable!("it is replaced at once")));
        *subject = taking_over(inner, first);
        return see(subject, Call::Start);
    }
    let seen = catch_unwind(AssertUnwindSafe(|| match call {
        Call::TakeOver(_) => unreachable!("done above"),
        Call::Start => match subject.start() {
            Ok(step) => Seen::Step(step),
            Err(StartError::AlreadyStarted) => Seen::AlreadyStarted,
            Err(StartError::Finished) => Seen::Finished,
            Err(other) => panic!("{other}"),
        },
        Call::Send(value) => match subject.send(Ok(value)) {
            Ok(step) => Seen::Step(step),
            Err(SendError::NotStarted(Ok(back))) if back == value => Seen::NotStarted,
            Err(SendError::Finished(Ok(back))) if back == value => Seen::Finished,
            Err(other) => panic!("{other}"),
        },
        Call::Throw(error) => match subject.throw(error) {
            Ok(step) => Seen::Step(step),
            Err(ThrowError::NotStarted(back)) if back == error => Seen::NotStarted,
            Err(ThrowError::Finished(back)) if back == error => Seen::Finished,
            Err(other) => panic!("{other}"),
        },
        Call::Close => match subject.close() {
            Ok(value) => Seen::Closed(value),
            Err(CloseError::IgnoredExit(value)) => Seen::Ignored(value),
            Err(other) => panic!("{other}"),
        },
    }));
    seen.unwrap_or(Seen::Panicked)
}

struct Model {
    script: Vec<Act>,
    state: State,
    place: usize,
    sum: usize,
    /// Whether others delegate to the body.
    delegated: bool,
}

impl Model {
    /// The body goes on at `place`.
    fn run(&mut self, place: usize) -> Seen {
        match self.script.get(place) {
            Some(Act::Yield { .. }) => {
                (self.state, self.place) = (State::Suspended, place);
                Seen::Step(Step::Yield(place))
            }
            Some(Act::Panic) => self.end(Seen::Panicked),
            None => self.end(Seen::Step(Step::Return(Ok(self.sum)))),
        }
    }

    fn end(&mut self, seen: Seen) -> Seen {
        self.state = State::Closed;
        seen
    }

    fn see(&mut self, call: Call) -> Seen {
        match (self.state, call) {
            (_, Call::TakeOver(first)) => {
                self.delegated |= self.state == State::Suspended;
                self.see(Call::Send(first))
            }
            (State::Created, Call::Start) => self.run(0),
            (State::Created, Call::Send(_)) => Seen::NotStarted,
            (State::Created, Call::Throw(_)) => self.end(Seen::NotStarted),
            (State::Created, Call::Close) => self.end(Seen::Closed(None)),
            (State::Closed, Call::Close) => Seen::Closed(None),
            (State::Closed, _) => Seen::Finished,
            (State::Suspended, Call::Start) => Seen::AlreadyStarted,
            (State::Suspended, call) => {
                let Act::Yield { plain, raises, ignores_exit } = self.script[self.place] else {
                    unreachable!("it is suspended at a yield")
                };
                match call {
                    Call::Throw(error) if raises => self.end(Seen::Step(Step::Return(Err(error)))),
                    Call::Send(value) => {
                        self.sum += usize::from(value);
                        self.run(self.place + 1)
                    }
                    Call::Throw(_) => self.run(self.place + 1),
                    Call::Close if plain => self.end(Seen::Closed(None)),
                    Call::Close if ignores_exit => match self.run(self.place + 1) {
                        Seen::Step(Step::Yield(value)) => Seen::Ignored(value),
                        Seen::Step(Step::Return(value)) => self.closed(value),
                        seen => seen,
                    },
                    Call::Close => {
                        self.state = State::Closed;
                        self.closed(Ok(1000 + self.place))
                    }
                    Call::Start | Call::TakeOver(_) => unreachable!("matched above"),
                }
            }
            (State::Running, _) => unreachable!("nobody calls from inside"),
        }
    }

    /// What the closer gets of a value that the body returned on close.
    fn closed(&self, value: Returned) -> Seen {
        Seen::Closed((!self.delegated).then_some(value))
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(plain, raises, ignores_exit)| Act::Yield { plain, raises, ignores_exit }),
        1 => Just(Act::Panic),
    ];
    prop::collection::vec(act, 0..8)
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        3 => Just(Call::Start),
        6 => any::<u8>().prop_map(Call::Send),
        3 => any::<u8>().prop_map(Call::Throw),
        2 => Just(Call::Close),
        2 => any::<u8>().prop_map(Call::TakeOver),
    ];
    prop::collection::vec(call, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_generator_does_what_the_model_does(script in acts(), calls in calls(), levels in 0..4usize) {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let drops = Rc::new(Cell::new(0));
        let mut generator = subject(script.clone(), &drops);
        for _ in 0..levels {
            generator = delegating(generator);
        }
        let mut model = Model { script, state: State::Created, place: 0, sum: 0, delegated: levels > 0 };
        let results: Vec<_> = calls
            .iter()
            .map(|&call| (see(&mut generator, call), model.see(call), generator.state(), model.state, drops.get()))
            .collect();
        drop(generator);
        std::panic::set_hook(hook);
        for (call, (seen, expected, state, expected_state, dropped)) in calls.iter().zip(results) {
            prop_assert_eq!(seen, expected, "at {:?}", call);
            prop_assert_eq!(state, expected_state, "after {:?}", call);
            prop_assert_eq!(dropped, u32::from(state == State::Closed), "after {:?}", call);
        }
        // Whatever was done to it, what lived in the body has been dropped once.
        prop_assert_eq!(drops.get(), 1);
    }
}
