//! Several things at once: all of them, the first of them, as they come.

use std::cell::RefCell;

use ropewalk::task::{self, Until};
use ropewalk::{Cancelled, JoinError, Reason, time};

use crate::log::{Log, panic_text, while_unwinding};
use crate::world::{check, clock, panic_of, run, seconds, sleep, unhandled_by};

fn after<T>(delay: u64, value: T) -> Result<T, Reason> {
    sleep(delay).map_err(|why| why.reason())?;
    Ok(value)
}

// gather

/// S2.20, S4.21: in the order of what was given, whatever the order of the ends.
#[test]
fn gathering_gives_what_became_of_each_in_the_order_given() {
    run(|| {
        let text = String::from("borrowed");
        let results = task::gather([3, 1, 2].map(|delay| {
            let text = &text;
            move || after(delay, (delay, text.as_str()))
        }));
        let values: Vec<_> = results.into_iter().map(|result| result.unwrap().unwrap()).collect();
        assert_eq!(values, [(3, "borrowed"), (1, "borrowed"), (2, "borrowed")]);
        assert_eq!(clock(), 3.0);
        assert!(task::gather(Vec::<fn()>::new()).is_empty());
    });
}

#[test]
fn in_a_gathering_a_panic_is_the_affair_of_one() {
    run(|| {
        let results = task::gather([1, 2, 3].map(|delay| {
            move || {
                sleep(delay).unwrap();
                assert!(delay != 2, "broke");
                delay
            }
        }));
        let told: Vec<_> = results.into_iter().map(|result| result.map_err(|_| ())).collect();
        assert_eq!(told, [Ok(1), Err(()), Ok(3)]);
        assert_eq!(clock(), 3.0);
    });
}

#[test]
fn what_cancels_whoever_gathers_cancels_the_gathered_and_waits_for_them() {
    run(|| {
        let late = time::timeout(seconds(1), || {
            task::gather([5, 6].map(|delay| {
                move || {
                    let ended = after(delay, "done");
                    task::shield(|| sleep(2)).unwrap();
                    ended
                }
            }))
        });
        let results: Vec<_> = late.unwrap_err().into_inner().into_iter().map(Result::unwrap).collect();
        assert_eq!((results, clock()), (vec![Err(Reason::Deadline); 2], 3.0));
        // Those that had not begun never do.
        let never = task::cancel_scope(|scope| {
            scope.cancel();
            task::gather([|| ()])
        });
        assert!(matches!(&never[..], [Err(JoinError::NeverRan(_))]));
    });
}

// try_gather

#[test]
fn gathering_values_gives_all_of_them_or_all_errors() {
    run(|| {
        let all = task::try_gather([3, 1, 2].map(|delay| move || sleep(delay).map(|()| delay)));
        assert_eq!((all.unwrap(), clock()), (vec![3, 1, 2], 3.0));
    });
}

/// Python's `gather` leaves the others running.
#[test]
fn an_error_cancels_what_is_gathered_with_it_and_all_are_awaited() {
    #[derive(Debug, PartialEq)]
    enum Error {
        Cancelled,
        Bad,
    }
    impl From<Cancelled> for Error {
        fn from(_: Cancelled) -> Error {
            Error::Cancelled
        }
    }
    check(
        |log| {
            let failed = task::try_gather([100, 2, 0].map(|delay| {
                move || match delay {
                    0 => Ok(()),
                    2 => {
                        sleep(2)?;
                        Err(Error::Bad)
                    }
                    _ => {
                        let slept = sleep(delay);
                        task::shield(|| sleep(3))?;
                        log.add(format!("cleaned up at {} s", clock()));
                        Ok(slept?)
                    }
                }
            }));
            let group = failed.unwrap_err();
            let told: Vec<_> =
                group.failures().iter().map(|failure| format!("{:?}", failure.error)).collect();
            log.add(told.join(", "));
            assert_eq!(group.first(), &Error::Bad);
        },
        &["cleaned up at 5 s", "Bad, Cancelled"],
    );
}

#[test]
fn a_panic_of_one_that_is_gathered_for_its_value_goes_on() {
    let text = panic_text(|| {
        run(|| {
            task::try_gather([1, 100].map(|delay| {
                move || {
                    sleep(delay)?;
                    assert!(delay != 1, "broke");
                    Ok::<_, Cancelled>(())
                }
            }))
        })
    });
    assert_eq!(text, "broke");
}

// race

/// S1.14.
#[test]
fn the_first_to_end_wins_and_the_losers_are_cancelled_and_awaited() {
    check(
        |log| {
            let winner = task::race(|r| {
                r.add(|| {
                    let slept = after(100, "tortoise");
                    task::shield(|| sleep(3)).unwrap();
                    log.add(format!("tortoise ends at {} s: {slept:?}", clock()));
                    "tortoise"
                });
                r.add(|| after(2, "hare").unwrap());
            });
            log.add(format!("{} wins at {} s", winner.unwrap(), clock()));
        },
        &["tortoise ends at 5 s: Err(Done)", "hare wins at 5 s"],
    );
}

#[test]
fn of_two_that_end_in_the_same_instant_the_one_added_first_wins() {
    run(|| {
        let winner = task::race(|r| {
            for name in ["a", "b"] {
                r.add(move || after(1, name).unwrap());
            }
        });
        assert_eq!(winner.unwrap(), "a");
    });
}

#[test]
fn a_racer_that_needs_no_wait_wins_before_the_others_begin() {
    check(
        |log| {
            let winner = task::race(|r| {
                r.add(|| 1);
                r.add(|| {
                    log.add("ran");
                    2
                });
            });
            assert_eq!(winner.unwrap(), 1);
        },
        &[],
    );
}

#[test]
fn a_racer_that_panics_first_ends_the_race() {
    let text = panic_text(|| {
        run(|| {
            task::race(|r| {
                r.add(|| after(100, ()).is_err());
                r.add(|| panic!("broke"));
            })
        })
    });
    assert_eq!(text, "broke");
}

#[test]
fn a_loser_that_panics_goes_to_the_hook() {
    let (winner, told) = unhandled_by(|| {
        task::race(|r| {
            r.add(|| after(1, "winner").unwrap());
            r.add(|| {
                let _ = sleep(100);
                panic!("sore loser")
            });
        })
    });
    assert_eq!(winner, Ok("winner"));
    assert_eq!(told, ["task 3 panicked, and nobody joined it: sore loser"]);
}

#[test]
fn a_race_that_is_cancelled_is_won_by_who_ends_first_then() {
    run(|| {
        let raced = time::timeout(seconds(1), || {
            task::race(|r| {
                r.add(|| after(100, "a").map_err(|why| (why, "a")));
                r.add(|| after(100, "b").map_err(|why| (why, "b")));
            })
        });
        assert_eq!(raced.unwrap_err().into_inner(), Ok(Err((Reason::Deadline, "a"))));
        let never = task::cancel_scope(|scope| {
            scope.cancel();
            task::race(|r| {
                r.add(|| "ran");
            })
        });
        assert_eq!(never.unwrap_err().reason(), Reason::Requested);
        assert_eq!(panic_text(|| task::race::<(), _>(|_| ())), "a race needs at least one task");
    });
}

#[test]
fn what_cannot_be_waited_for_during_a_panic_is_an_error() {
    run(|| {
        let (race, gather, try_gather) = while_unwinding(|| {
            let race = task::race(|r| {
                r.add(|| ());
            });
            (race, task::gather([|| ()]), task::try_gather([|| Ok::<_, Cancelled>(())]))
        });
        assert_eq!(race.unwrap_err().reason(), Reason::Unwinding);
        assert!(matches!(&gather[..], [Err(JoinError::NeverRan(_))]));
        assert_eq!(try_gather.unwrap_err().into_first().reason(), Reason::Unwinding);
    });
}

// wait

/// S4.22.
#[test]
fn waiting_for_the_first_or_all_neither_takes_nor_cancels() {
    run(|| {
        let tasks = [5, 1, 3].map(|delay| task::spawn(move || after(delay, delay).unwrap()));
        let first = task::wait(&tasks, Until::First).unwrap();
        assert_eq!((first.done, first.pending, clock()), (vec![1], vec![0, 2], 1.0));
        // What has ended already counts.
        let again = task::wait(&tasks, Until::First).unwrap();
        assert_eq!((again.done, clock()), (vec![1], 1.0));
        let all = task::wait(&tasks, Until::All).unwrap();
        assert_eq!((all.done, all.pending, clock()), (vec![1, 2, 0], vec![], 5.0));
        assert_eq!(tasks.map(|task| task.join().unwrap()), [5, 1, 3]);
        // Python refuses to wait for none.
        let none: [task::JoinHandle<()>; 0] = [];
        assert_eq!(task::wait(&none, Until::All).unwrap(), task::Waited::default());
    });
}

#[test]
fn those_that_end_in_the_same_instant_are_all_done() {
    run(|| {
        let tasks = [1, 1, 2].map(|delay| task::spawn(move || sleep(delay)));
        let waited = task::wait(&tasks, Until::First).unwrap();
        assert_eq!((waited.done, waited.pending), (vec![0, 1], vec![2]));
    });
}

#[test]
fn waiting_for_the_first_failure_sees_panics_and_tasks_that_never_ran() {
    run(|| {
        let spawn = |delay, breaks: bool| {
            task::spawn(move || {
                sleep(delay).unwrap();
                assert!(!breaks, "broke");
            })
        };
        let tasks = [spawn(3, false), spawn(2, true), spawn(1, false)];
        let waited = task::wait(&tasks, Until::FirstFailure).unwrap();
        assert_eq!((waited.done, waited.pending, clock()), (vec![2, 1], vec![0], 2.0));
        assert_eq!(panic_of(tasks[1].join()), "broke");
        // Also one whose failure has been taken.
        assert_eq!(task::wait(&tasks, Until::FirstFailure).unwrap().pending, [0]);
        let never = [spawn(5, false), spawn(5, false)];
        never[1].cancel();
        assert_eq!(task::wait(&never, Until::FirstFailure).unwrap().done, [1]);
    });
}

#[test]
fn waiting_until_a_result_is_enough() {
    run(|| {
        let tasks = [1, 2, 3].map(|delay| task::spawn(move || after(delay, delay).unwrap()));
        let waited = task::wait_until(&tasks, |task| task.peek(|n| *n >= 2).unwrap()).unwrap();
        assert_eq!((waited.done, waited.pending, clock()), (vec![0, 1], vec![2], 2.0));
        assert_eq!(tasks[1].join().unwrap(), 2, "a look takes nothing");
    });
}

#[test]
fn a_wait_for_tasks_that_is_cancelled_leaves_them_alone() {
    run(|| {
        let tasks = [5, 6].map(|delay| task::spawn(move || after(delay, delay)));
        let late = time::timeout(seconds(1), || task::wait(&tasks, Until::All));
        assert_eq!(late.unwrap_err().into_inner().unwrap_err().reason(), Reason::Deadline);
        assert_eq!(tasks.map(|task| task.join().unwrap()), [Ok(5), Ok(6)]);
    });
}

// as_completed

#[test]
fn results_come_as_the_tasks_end() {
    run(|| {
        let tasks = [3, 1, 2, 1].map(|delay| task::spawn(move || after(delay, delay).unwrap()));
        let order: Vec<_> =
            task::as_completed(&tasks).map(|(index, result)| (index, result.unwrap(), clock())).collect();
        assert_eq!(order, [(1, 1, 1.0), (3, 1, 1.0), (2, 2, 2.0), (0, 3, 3.0)]);
    });
}

#[test]
fn results_that_are_there_already_come_first_and_in_the_order_given() {
    run(|| {
        let tasks = [2, 0, 1].map(|delay| task::spawn(move || after(delay, delay).unwrap()));
        sleep(1).unwrap();
        task::yield_now();
        let order: Vec<_> = task::as_completed(&tasks).map(|(index, _)| index).collect();
        assert_eq!(order, [1, 2, 0]);
    });
}

#[test]
fn a_cancelled_wait_for_the_next_result_loses_nothing() {
    run(|| {
        let tasks = [2, 4].map(|delay| task::spawn(move || after(delay, delay).unwrap()));
        let mut results = task::as_completed(&tasks);
        let (index, result) = time::timeout(seconds(1), || results.next()).unwrap_err().into_inner().unwrap();
        assert!(index == tasks.len() && matches!(result, Err(JoinError::Cancelled(_))));
        let rest: Vec<_> = results.map(|(index, result)| (index, result.unwrap())).collect();
        assert_eq!(rest, [(0, 2), (1, 4)]);
    });
}

#[test]
fn results_of_scoped_tasks_may_borrow_and_stop_anywhere() {
    run(|| {
        let log = Log::new();
        let names = RefCell::new(vec!["left", "right"]);
        task::scope(|s| {
            let tasks: Vec<_> = (1..=2)
                .map(|delay| {
                    let (log, names) = (&log, &names);
                    s.spawn(move || {
                        sleep(delay).unwrap();
                        log.add(format!("{delay}"));
                        names.borrow_mut().pop().unwrap()
                    })
                })
                .collect();
            let first = task::as_completed(&tasks).next().unwrap();
            assert_eq!((first.0, first.1.unwrap()), (0, "right"));
        });
        log.assert(&["1", "2"]);
    });
}
