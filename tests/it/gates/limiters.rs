//! Limiters: who has tokens, and what happens when the limit is moved.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::rc::Rc;

use ropewalk::lowlevel::InLine;
use ropewalk::select::{Arm, Chosen, select, try_select};
use ropewalk::sync::{Borrower, Limiter, Token};
use ropewalk::{Cancelled, Reason, Runtime, Yielder, generate, task, testing, time};

use super::{check, deadlock_of, settle, waits_for};
use crate::log::panic_text;
use crate::world::{seconds, sleep};

/// N19.
#[test]
fn tokens_are_given_in_the_order_of_asking_and_nobody_passes() {
    check(
        |log| {
            let limiter = Limiter::new(1);
            let token = limiter.acquire().unwrap();
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (limiter, log) = (&limiter, log.clone());
                    s.spawn(move || {
                        let _token = limiter.acquire().unwrap();
                        log.add(name);
                        sleep(1).unwrap();
                    });
                }
                settle();
                drop(token);
                // It is handed over, though nobody has run.
                assert_eq!((limiter.borrowed(), limiter.available()), (1, 0));
                assert!(limiter.try_acquire().is_none());
                let token = limiter.acquire().unwrap();
                log.add("newcomer");
                drop(token);
            });
            assert_eq!(limiter.available(), 1);
        },
        &["a", "b", "newcomer"],
    );
}

/// N20.
#[test]
fn nobody_has_two_tokens() {
    testing::run(|| {
        let limiter = Limiter::new(5);
        let token = limiter.acquire().unwrap();
        let message = "task 1 has a token of this limiter already: it would wait for itself";
        assert_eq!(panic_text(|| limiter.acquire().map(drop)), message);
        assert_eq!(panic_text(|| limiter.try_acquire().map(drop)), message);
        assert_eq!(panic_text(|| select(limiter.acquiring()).map(drop)), message);
        assert_eq!((limiter.borrowed(), limiter.statistics().waiting), (1, 0));
        drop(token);
        drop(limiter.acquire().unwrap());
        // Full or not.
        limiter.set_limit(1);
        let token = limiter.acquire().unwrap();
        assert_eq!(panic_text(|| limiter.acquire().map(drop)), message);
        drop(token);
    });
}

/// N20.
#[test]
fn a_task_borrows_on_behalf_of_others() {
    testing::run(|| {
        let limiter = Limiter::new(3);
        let (one, other) = (Borrower::new(), Borrower::new());
        assert_ne!(one, other);
        let mine = limiter.acquire().unwrap();
        let tokens = [one, other].map(|borrower| limiter.acquire_on_behalf_of(borrower).unwrap());
        assert_eq!(tokens.each_ref().map(Token::borrower), [one, other]);
        let statistics = limiter.statistics();
        assert_eq!((statistics.limit, statistics.borrowed, statistics.waiting), (3, 3, 0));
        assert_eq!(statistics.borrowers, [mine.borrower(), one, other]);
        assert_eq!(mine.borrower().task(), task::current_id());
        assert_eq!(one.task(), None);
        let text = panic_text(|| limiter.try_acquire_on_behalf_of(one).map(drop));
        assert_eq!(text, format!("{one} has a token of this limiter already: it would wait for itself"));
        assert!(limiter.try_acquire_on_behalf_of(Borrower::new()).is_none());
        drop(tokens);
        assert_eq!(limiter.statistics().borrowers, [mine.borrower()]);
        drop(mine);
        // Another task's, as long as that is not one's own.
        let other_task = task::spawn(|| ());
        let its = Borrower::from(other_task.id());
        drop(limiter.acquire_on_behalf_of(its).unwrap());
        other_task.join().unwrap();
    });
}

/// N20: trio lends both the one token, and counts it once.
#[test]
fn of_two_tasks_that_wait_on_behalf_of_one_borrower_the_second_is_refused() {
    testing::run(|| {
        let limiter = Limiter::new(1);
        let borrower = Borrower::new();
        let wait = |limiter: &Limiter| limiter.acquire_on_behalf_of(borrower).and_then(|_token| sleep(1));
        let token = limiter.acquire().unwrap();
        task::scope(|s| {
            let first = s.spawn(|| wait(&limiter));
            let second = s.spawn(|| panic_text(|| wait(&limiter)));
            let third = s.spawn(|| limiter.acquire().map(drop));
            settle();
            limiter.set_limit(2);
            drop(token);
            let refused = second.join().unwrap();
            assert!(refused.ends_with("has a token of this limiter already: it would wait for itself"));
            // It has held up nobody, and taken nothing.
            assert_eq!(third.join().unwrap(), Ok(()));
            assert!(!first.is_finished());
            assert_eq!(limiter.borrowed(), 1);
            assert_eq!(first.join().unwrap(), Ok(()));
            assert_eq!(limiter.borrowed(), 0);
        });
    });
}

/// N20: the same, when the first has given its token back before.
#[test]
fn two_tasks_may_wait_on_behalf_of_one_borrower_one_after_the_other() {
    testing::run(|| {
        let limiter = Limiter::new(1);
        let borrower = Borrower::new();
        let token = limiter.acquire().unwrap();
        task::scope(|s| {
            let tasks = [1, 2].map(|_| s.spawn(|| limiter.acquire_on_behalf_of(borrower).map(drop)));
            settle();
            drop(token);
            for task in tasks {
                assert_eq!(task.join().unwrap(), Ok(()));
            }
        });
    });
}

/// N20.
#[test]
fn an_arm_that_would_have_a_second_token_is_refused_when_it_is_its_turn() {
    testing::run(|| {
        let limiter = Limiter::new(1);
        let borrower = Borrower::new();
        let token = limiter.acquire().unwrap();
        task::scope(|s| {
            let first = s.spawn(|| limiter.acquire_on_behalf_of(borrower).and_then(|_token| sleep(5)));
            let second = s.spawn(|| {
                let late = time::sleeping(seconds(9));
                panic_text(|| select((limiter.acquiring_on_behalf_of(borrower), late)).map(drop))
            });
            settle();
            limiter.set_limit(3);
            assert!(second.join().unwrap().contains("has a token of this limiter already"));
            first.join().unwrap().unwrap();
        });
        drop(token);
        assert_eq!(limiter.borrowed(), 0);
    });
}

/// N21: trio's own case.
#[test]
fn the_limit_can_be_moved_while_tokens_are_borrowed_and_waited_for() {
    testing::run(|| {
        let limiter = Rc::new(Limiter::new(2));
        let borrowers: [_; 5] = std::array::from_fn(|_| Borrower::new());
        let tokens = RefCell::new(Vec::new());
        task::scope(|s| {
            for borrower in borrowers {
                let (limiter, tokens) = (&limiter, &tokens);
                s.spawn(move || {
                    let token = limiter.acquire_on_behalf_of(borrower).unwrap();
                    tokens.borrow_mut().push(token.into_owned(limiter));
                });
            }
            settle();
            let now = || {
                let statistics = limiter.statistics();
                (statistics.borrowers, statistics.waiting)
            };
            assert_eq!(now(), (borrowers[..2].to_vec(), 3));
            limiter.set_limit(4);
            assert_eq!(now(), (borrowers[..4].to_vec(), 1));
            settle();
            limiter.set_limit(1);
            assert_eq!((limiter.limit(), limiter.borrowed(), limiter.available()), (1, 4, 0));
            for given_back in 1..=3 {
                drop(tokens.borrow_mut().remove(0));
                assert_eq!(now(), (borrowers[given_back..4].to_vec(), 1));
            }
            drop(tokens.borrow_mut().remove(0));
            assert_eq!(now(), (borrowers[4..].to_vec(), 0));
        });
        drop(tokens.take());
        assert_eq!(limiter.borrowed(), 0);
    });
}

/// N21.
#[test]
fn a_limit_of_nothing_lets_nobody_in_and_one_without_end_everybody() {
    testing::run(|| {
        let limiter = Limiter::new(0);
        assert!(limiter.try_acquire().is_none());
        assert!(time::timeout(seconds(1), || limiter.acquire().map(drop)).is_err());
        assert_eq!(limiter.statistics().waiting, 0);
        limiter.set_limit(usize::MAX);
        let tokens: Vec<_> =
            (0..1000).map(|_| limiter.try_acquire_on_behalf_of(Borrower::new()).unwrap()).collect();
        assert_eq!(limiter.borrowed(), tokens.len());
    });
}

/// N22: trio kept the cancelled one's name for ever.
#[test]
fn a_cancelled_waiter_has_borrowed_nothing_and_one_who_was_given_a_token_before_has_it() {
    testing::run(|| {
        let limiter = Limiter::new(1);
        let token = limiter.acquire().unwrap();
        task::scope(|s| {
            let cut = s.spawn(|| limiter.acquire().map(drop));
            let given = s.spawn(|| limiter.acquire().map(drop));
            let last = s.spawn(|| limiter.acquire().map(drop));
            settle();
            cut.cancel();
            drop(token);
            given.cancel();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(given.join().unwrap(), Ok(()));
            assert_eq!(last.join().unwrap(), Ok(()));
        });
        let statistics = limiter.statistics();
        assert_eq!((statistics.borrowed, statistics.waiting), (0, 0));
    });
}

/// N22.
#[test]
fn an_arm_takes_a_token_for_the_task_that_selects_it_or_none() {
    testing::run(|| {
        let (limiter, other) = (Limiter::new(1), Limiter::new(1));
        let arm = limiter.acquiring();
        task::scope(|s| {
            // Made here, selected there.
            let selecting = s.spawn(|| {
                let token = select(arm).unwrap();
                assert_eq!(token.borrower().task(), task::current_id());
                sleep(2).unwrap();
            });
            settle();
            let late = select((limiter.acquiring(), time::sleeping(seconds(1))));
            assert!(matches!(late, Ok(Chosen::Second(()))));
            assert_eq!(limiter.statistics().waiting, 0);
            let chosen = select((limiter.acquiring(), other.acquiring()));
            assert!(matches!(chosen, Ok(Chosen::Second(_))));
            drop(chosen);
            assert_eq!((limiter.borrowed(), other.borrowed()), (1, 0));
            // Two arms, one wait, one token.
            let twice = select((limiter.acquiring(), limiter.acquiring())).unwrap();
            assert!(matches!(twice, Chosen::First(_)));
            assert_eq!(limiter.borrowed(), 1);
            selecting.join().unwrap();
        });
    });
}

/// N22: the arm is arranged in one task, and a generator takes it to another before it waits.
#[test]
fn a_token_is_of_whoever_asked_for_it_whatever_task_goes_on() {
    /// An arm that yields to whoever resumed its generator when it is asked where to wait; it is never ready.
    struct Yields<'a>(&'a Yielder<()>);
    impl Arm for Yields<'_> {
        type Output = ();
        type Place = Option<InLine<'static, ()>>;
        fn try_now(&mut self) -> Option<()> {
            None
        }
        fn place(&mut self) -> Self::Place {
            self.0.yield_(());
            None
        }
        fn end(&mut self, _: Self::Place) -> Option<()> {
            None
        }
        fn show(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Ok(())
        }
    }
    testing::run(|| {
        let limiter = Rc::new(Limiter::new(1));
        let token = limiter.try_acquire_on_behalf_of(Borrower::new()).unwrap();
        let of_generator = limiter.clone();
        let asks = generate(move |co| {
            let chosen = select((of_generator.acquiring(), Yields(co))).unwrap();
            let Chosen::First(token) = chosen else { unreachable!() };
            assert_eq!(of_generator.statistics().borrowers, [token.borrower()]);
        });
        let asking = task::spawn(move || asks.next().map(|()| asks));
        let asks = asking.join().unwrap().unwrap();
        task::scope(|s| {
            s.spawn(|| drop(token));
            assert_eq!(asks.next(), None);
        });
        assert_eq!(limiter.borrowed(), 0);
    });
}

/// N23: as the pool of threads will use it.
#[test]
fn a_token_that_owns_a_share_of_its_limiter_comes_back_from_a_callback() {
    testing::run(|| {
        let limiter = Rc::new(Limiter::new(2));
        let offload = |takes: u64| -> Result<(), Cancelled> {
            let token = limiter.acquire_on_behalf_of(Borrower::new())?.into_owned(&limiter);
            time::call_later(seconds(takes), move || drop(token));
            Ok(())
        };
        let began = time::now();
        for takes in [3, 5, 1] {
            offload(takes).unwrap();
        }
        assert_eq!(time::now() - began, seconds(3));
        assert_eq!(limiter.borrowed(), 2);
        sleep(2).unwrap();
        settle();
        assert_eq!(limiter.borrowed(), 0);
        let other = Rc::new(Limiter::new(1));
        let text = panic_text(|| limiter.acquire().unwrap().into_owned(&other).borrower());
        assert_eq!(text, "this is a token of another limiter");
        assert_eq!(limiter.borrowed(), 0);
    });
}

/// N23.
#[test]
fn outside_of_tasks_everybody_is_somebody_else() {
    let limiter = Rc::new(Limiter::new(3));
    let tokens = [limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap()];
    assert_eq!(limiter.borrowed(), 2);
    assert!(tokens.iter().all(|token| token.borrower().task().is_none()));
    assert!(try_select(limiter.acquiring()).is_some());
    drop(tokens);
    testing::run(|| {
        let tried = Rc::new(Cell::new(None));
        time::call_later(seconds(1), {
            let (limiter, tried) = (limiter.clone(), tried.clone());
            move || {
                let tries = limiter.try_acquire().is_some();
                tried.set(Some((tries, limiter.acquire().map(drop).map_err(|cancelled| cancelled.reason()))));
            }
        });
        sleep(2).unwrap();
        assert_eq!(tried.get(), Some((true, Err(Reason::OutsideTask))));
    });
    assert_eq!(limiter.borrowed(), 0);
}

/// N23.
#[test]
fn a_token_comes_back_from_a_panic_and_one_that_is_forgotten_is_told_of() {
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let hook = told.clone();
    let runtime = Runtime::builder().debug(true).slow_step(seconds(9));
    runtime.on_unhandled(move |event| hook.borrow_mut().push(event.to_string())).build().run(|| {
        let limiter = Limiter::new(1);
        task::scope(|s| {
            s.spawn(|| {
                panic_text(|| {
                    let _token = limiter.acquire().unwrap();
                    panic!("broke");
                })
            });
            s.spawn(|| std::mem::forget(limiter.acquire().unwrap()));
        });
        assert_eq!((limiter.borrowed(), limiter.available()), (1, 0));
    });
    assert_eq!(told.borrow().len(), 1, "{told:?}");
    assert!(told.borrow()[0].ends_with("ended with 1 guard that it did not give back"), "{told:?}");
}

#[test]
fn whoever_writes_down_what_a_limiter_shows_may_use_it() {
    struct Meddler<'a>(&'a Limiter);
    impl fmt::Write for Meddler<'_> {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            drop(self.0.try_acquire().unwrap());
            Ok(())
        }
    }
    let limiter = Limiter::new(2);
    let token = limiter.try_acquire().unwrap();
    write!(Meddler(&limiter), "{limiter:?} {:?} {token:?}", limiter.statistics()).unwrap();
    assert_eq!(limiter.borrowed(), 1);
}

/// N16: with one token it is known who has it, and a ring is seen.
#[test]
fn reports_say_how_many_are_borrowed_and_who_has_the_only_one() {
    let (one, two) = (Limiter::new(1), Limiter::new(2));
    let reported = deadlock_of(|| {
        let _token = one.acquire().unwrap();
        let _others = [Borrower::new(), Borrower::new()].map(|borrower| two.acquire_on_behalf_of(borrower));
        task::scope(|s| {
            s.spawn(|| one.acquire().is_err());
            s.spawn(|| two.acquire().is_err());
            s.spawn(|| select((two.acquiring(), one.acquiring())).is_err());
        });
    });
    let expected = [
        "scope with 3 tasks",
        "limiter: 1 of 1 borrowed, held by task 1",
        "limiter: 2 of 2 borrowed",
        "select limiter: 2 of 2 borrowed, limiter: 1 of 1 borrowed, held by task 1",
    ];
    assert_eq!(reported[..4], expected);
    // And the ring: the scope waits for a task, which waits for the token of the scope's.
    assert!(reported[4..].contains(&expected[1].to_owned()), "{reported:?}");
    testing::run(|| {
        let limiter = Limiter::new(1);
        let borrower = Borrower::new();
        let token = limiter.acquire_on_behalf_of(Borrower::new()).unwrap();
        task::scope(|s| {
            let waiter = s.spawn(|| limiter.acquire_on_behalf_of(borrower).map(drop));
            settle();
            assert_eq!(waits_for(&waiter), format!("limiter for {borrower}: 1 of 1 borrowed"));
            let shown = format!("{limiter:?}");
            assert!(shown.starts_with("Limiter { limit: 1, borrowers: [Borrower(borrower "), "{shown}");
            assert!(shown.ends_with("waiting: 1 }"), "{shown}");
            drop(token);
        });
    });
}
