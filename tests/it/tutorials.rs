//! The programs of the tutorials that Python's asyncio is taught with, in virtual time: what they print, and when.

use std::collections::BTreeMap;

use ropewalk::{Cancelled, task};

use crate::world::{check, clock, run, sleep};

/// S0.23: the master plays 24 games of 30 moves; she needs 5 s for a move, her opponents 55 s.
const GAMES: u64 = 24;
const MOVES: u64 = 30;

#[test]
fn a_chess_exhibition_takes_twelve_hours_one_by_one() {
    run(|| {
        for _ in 0..GAMES {
            for _ in 0..MOVES {
                sleep(5).unwrap();
                sleep(55).unwrap();
            }
        }
        assert_eq!(clock(), 43_200.0);
    });
}

/// S0.23: two minutes a round, of which her moves take all.
#[test]
fn a_chess_exhibition_takes_one_hour_from_board_to_board() {
    run(|| {
        task::scope(|s| {
            let mut boards: Vec<_> =
                (0..GAMES).map(|_| None::<task::ScopedJoinHandle<'_, Result<(), Cancelled>>>).collect();
            for round in 1..=MOVES {
                for board in &mut boards {
                    // Nobody has to be waited for: the round is longer than anybody thinks.
                    if let Some(opponent) = board.take() {
                        opponent.try_result().expect("has moved").unwrap().unwrap();
                    }
                    sleep(5).unwrap();
                    *board = Some(s.spawn(|| sleep(55)));
                }
                assert_eq!(clock(), 120.0 * round as f64);
            }
            assert_eq!(clock(), 3_600.0);
        });
    });
}

/// S4.56.
fn say_after(delay: u64, what: &str, log: &crate::log::Log) -> Result<(), Cancelled> {
    sleep(delay)?;
    log.add(what);
    Ok(())
}

/// S1.27, S4.56.
#[test]
fn saying_hello_and_world_one_after_the_other_takes_three_seconds() {
    check(
        |log| {
            log.add(format!("started at {}", clock()));
            say_after(1, "hello", log).unwrap();
            say_after(2, "world", log).unwrap();
            log.add(format!("finished at {}", clock()));
        },
        &["started at 0", "hello", "world", "finished at 3"],
    );
}

/// S1.27, S4.7, S4.56.
#[test]
fn saying_hello_and_world_side_by_side_takes_two_seconds() {
    check(
        |log| {
            task::scope(|s| {
                let first = s.spawn(|| say_after(1, "hello", log));
                let second = s.spawn(|| say_after(2, "world", log));
                log.add(format!("started at {}", clock()));
                first.join().unwrap().unwrap();
                second.join().unwrap().unwrap();
                log.add(format!("finished at {}", clock()));
            });
        },
        &["started at 0", "hello", "world", "finished at 2"],
    );
}

/// S3.9.
#[test]
fn the_minimum_of_three_is_received_in_the_order_of_waking() {
    check(
        |log| {
            let minimum = |x: u64| {
                log.add(format!("{x} started"));
                sleep(5 - x).unwrap();
                log.add(format!("Received: {x}"));
                x
            };
            let values = task::gather((0..3).map(|x| move || minimum(x)));
            let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
            log.add(format!("{values:?} at {} s", clock()));
        },
        &[
            "0 started",
            "1 started",
            "2 started",
            "Received: 2",
            "Received: 1",
            "Received: 0",
            "[0, 1, 2] at 5 s",
        ],
    );
}

fn fetch(site: &str) -> Result<usize, Cancelled> {
    sleep(3)?;
    Ok(site.len())
}

/// S2.1, S0.17.
#[test]
fn a_crawler_takes_as_long_as_the_slowest_site_and_not_as_all_of_them() {
    let sites = ["python.org", "rust-lang.org", "debian.org"];
    run(|| {
        let one_by_one: BTreeMap<_, _> = sites.iter().map(|site| (*site, fetch(site).unwrap())).collect();
        assert_eq!(clock(), 9.0);
        let together = task::try_gather(sites.map(|site| move || Ok::<_, Cancelled>((site, fetch(site)?))));
        assert_eq!(clock(), 12.0);
        assert_eq!(together.unwrap().into_iter().collect::<BTreeMap<_, _>>(), one_by_one);
    });
}

/// S3.5: primed by a `next`, then sent two lines; the consumer sleeps.
#[test]
fn a_coroutine_that_sleeps_receives_what_it_is_sent() {
    check(
        |log| {
            let ours = log.clone();
            let receiver = ropewalk::Generator::<(), &str>::new(move |co| {
                for delay in [4, 2] {
                    let received = co.yield_(());
                    sleep(delay).unwrap();
                    ours.add(format!("Received: {received} at {} s", clock()));
                }
            });
            let _ = receiver.start().unwrap();
            let _ = receiver.send("First").unwrap();
            let _ = receiver.send("Second").unwrap();
        },
        &["Received: First at 4 s", "Received: Second at 6 s"],
    );
}
