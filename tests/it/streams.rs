//! Generators in tasks of their own, read as channels.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk::channel::{self, RecvError, Stream, TryRecvError};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Exit, Generator, Reason, Runtime, Step, Yielder, generate, generator, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep, unhandled_by};

const REFUSED: &str = "a generator must not yield while a scope that was opened in its body is open, nor in a task that \
                       did not resume it: yield after the scope, or read the generator through a task of its own";
const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

/// Numbers, each a second after the one before, until its wait is cancelled.
fn ticker() -> Generator<u32> {
    generate(|co| {
        for number in 1.. {
            if sleep(1).is_err() {
                return;
            }
            co.yield_(number);
        }
    })
}

/// Says what becomes of it.
fn polite(log: &Log) -> Generator<u32, (), &'static str> {
    let log = log.clone();
    generate(move |co| {
        let _dropped = log.on_drop("dropped");
        for number in 1.. {
            if co.try_yield(number) == Err(Exit) {
                break;
            }
        }
        log.add(format!("told to end, waits: {:?} {}", sleep(1), clock()));
        "ended"
    })
}

// Reading.

#[test]
fn a_stream_is_read_as_a_channel_and_as_an_iterator() {
    run(|| {
        let mut numbers = channel::stream(2, generate(|co| co.yield_all(1..=6)));
        assert_eq!(numbers.try_recv(), Err(TryRecvError::Empty), "it has not begun");
        assert_eq!(numbers.recv(), Ok(1));
        task::yield_now();
        assert_eq!((numbers.len(), numbers.try_recv()), (2, Ok(2)));
        assert_eq!(select((numbers.receiving(), time::sleeping(seconds(1)))), Ok(Chosen::First(Ok(3))));
        assert_eq!((&numbers).next(), Some(4));
        assert_eq!(numbers.by_ref().collect::<Vec<_>>(), [5, 6]);
        assert_eq!((numbers.recv(), numbers.try_recv()), (Err(RecvError::Closed), Err(TryRecvError::Closed)));
        assert_eq!(try_select(numbers.receiving()), Some(Err(RecvError::Closed)));
    });
}

#[test]
fn a_generator_makes_the_next_item_while_the_last_one_is_used() {
    check(
        |log| {
            for number in ticker().take(2) {
                sleep(1).unwrap();
                log.add(format!("directly: {number} at {}", clock()));
            }
            for number in channel::stream(1, ticker()).take(2) {
                sleep(1).unwrap();
                log.add(format!("ahead: {number} at {}", clock()));
            }
        },
        &["directly: 1 at 2", "directly: 2 at 4", "ahead: 1 at 6", "ahead: 2 at 7"],
    );
}

#[test]
fn a_generator_is_as_far_ahead_as_it_has_room() {
    run(|| {
        for capacity in [0, 1, 3] {
            let made = Rc::new(Cell::new(0));
            let ours = made.clone();
            let numbers = channel::stream(
                capacity,
                generate(move |co| {
                    for number in 1.. {
                        ours.set(number);
                        co.yield_(number);
                    }
                }),
            );
            sleep(1).unwrap();
            assert_eq!((made.get(), numbers.len()), (capacity + 1, capacity));
            assert_eq!(numbers.recv(), Ok(1));
            sleep(1).unwrap();
            assert_eq!(made.get(), capacity + 2);
        }
    });
}

#[test]
fn what_a_generator_returns_comes_after_its_items() {
    run(|| {
        let mut letters = channel::stream(
            1,
            generate(|co| {
                co.yield_('a');
                "done"
            }),
        );
        assert_eq!((letters.next(), letters.take_return()), (Some('a'), None));
        assert_eq!(
            (letters.next(), letters.take_return(), letters.take_return()),
            (None, Some("done"), None)
        );
        assert_eq!(letters.next(), None);
    });
}

#[test]
fn a_cancelled_reader_has_taken_nothing() {
    run(|| {
        let ticks = channel::stream(0, ticker());
        let limited = time::timeout(Duration::from_millis(500), || ticks.recv());
        assert_eq!(
            limited.unwrap_err().into_inner(),
            Err(RecvError::Cancelled(Cancelled::new(Reason::Deadline)))
        );
        assert_eq!((ticks.recv(), clock()), (Ok(1), 1.0));
        let late = select((time::sleeping(Duration::from_millis(500)), ticks.receiving()));
        assert_eq!(late, Ok(Chosen::First(())));
        assert_eq!((ticks.recv(), clock()), (Ok(2), 2.0));
        task::scope(|s| {
            let granted = s.spawn(|| ticks.recv());
            sleep(1).unwrap();
            granted.cancel();
            assert_eq!(granted.join().unwrap(), Ok(3));
        });
    });
}

#[test]
fn a_generator_may_read_a_stream_and_a_stream_a_stream() {
    run(|| {
        let numbers = channel::stream(1, ticker());
        let doubled = channel::stream(
            1,
            generate(move |co| {
                for number in numbers {
                    co.yield_(2 * number);
                }
            }),
        );
        let texts = generate(|co| doubled.take(3).for_each(|number| co.yield_(number.to_string())));
        assert_eq!(
            (texts.collect::<Vec<_>>(), clock()),
            (vec!["2".to_owned(), "4".to_owned(), "6".to_owned()], 3.0)
        );
    });
}

// Scopes in the body: PEP 789.

/// Each of these is refused where the generator is read directly.
#[test]
fn a_body_may_yield_with_scopes_open() {
    type Body = fn(&Yielder<u32>);
    let bodies: [(&str, Body); 8] = [
        ("task scope", |co| task::scope(|_| co.yield_(1))),
        ("scope of tasks that fail", |co| {
            let _ = task::try_scope::<_, (), _>(|_| {
                co.yield_(1);
                Ok(())
            });
        }),
        ("cancel scope", |co| task::cancel_scope(|_| co.yield_(1))),
        ("shield", |co| task::shield(|| co.yield_(1))),
        ("timeout", |co| _ = time::timeout(seconds(1), || co.yield_(1))),
        ("move on", |co| _ = time::move_on_after(seconds(1), |_| co.yield_(1))),
        ("cleanup", |co| task::finally(|| (), || co.yield_(1))),
        ("generator in a scope", |co| {
            task::shield(|| co.yield_from(generate(|co| task::shield(|| co.yield_(1)))));
        }),
    ];
    run(|| {
        for (what, body) in bodies {
            assert_eq!(panic_text(|| generate(body).next()), REFUSED, "{what}");
            for capacity in [0, 1] {
                assert_eq!(channel::stream(capacity, generate(body)).collect::<Vec<_>>(), [1], "{what}");
            }
        }
    });
}

#[test]
fn tasks_of_the_body_go_on_while_it_waits_at_a_yield() {
    check(
        |log| {
            let ours = log.clone();
            let mut sums = channel::stream(
                0,
                generate(move |co| {
                    let sum = Cell::new(0);
                    task::scope(|s| {
                        s.spawn_service(|| {
                            while sleep(1).is_ok() {
                                sum.set(sum.get() + 1);
                            }
                            ours.add("the service ends");
                        });
                        for _ in 0..2 {
                            co.yield_(());
                            co.yield_(());
                            ours.add(format!("{} at {}", sum.get(), clock()));
                        }
                    });
                }),
            );
            for _ in 0..4 {
                time::sleep(Duration::from_millis(1400)).unwrap();
                sums.next().unwrap();
            }
            assert_eq!(sums.next(), None);
        },
        &["2 at 2.8", "5 at 5.6", "the service ends"],
    );
}

/// A timeout concerns what the body waits for, and not how fast its items are read.
#[test]
fn a_yield_in_a_scope_that_is_cancelled_hands_its_item_over_all_the_same() {
    check(
        |log| {
            let ours = log.clone();
            let mut items = channel::stream(
                0,
                generate(move |co| {
                    let limited = time::timeout(seconds(1), || {
                        co.yield_("slowly read");
                        ours.add(format!("read at {}", clock()));
                        let late = sleep(1);
                        co.yield_("after it was cancelled");
                        late
                    });
                    ours.add(format!("over: {}", limited.is_err()));
                    co.yield_("goes on");
                }),
            );
            for _ in 0..3 {
                sleep(5).unwrap();
                log.add(items.next().unwrap());
            }
        },
        &["slowly read", "read at 5", "after it was cancelled", "over: true", "goes on"],
    );
}

#[test]
fn a_failing_child_of_the_body_ends_it_at_its_next_wait() {
    run(|| {
        let items = channel::stream(
            0,
            generate(|co| {
                let group = task::try_scope(|s| {
                    s.spawn(|| {
                        sleep(1).map_err(|_| "cancelled")?;
                        Err::<(), _>("broke")
                    });
                    co.yield_("one");
                    sleep(9).map_err(|_| "body was cancelled")
                });
                co.yield_(group.unwrap_err().into_first());
            }),
        );
        sleep(3).unwrap();
        assert_eq!((items.recv(), items.recv(), clock()), (Ok("one"), Ok("broke"), 3.0));
    });
}

/// Its item would have to wait under the scope of another task.
#[test]
fn tasks_and_callbacks_of_the_body_cannot_yield_for_it() {
    run(|| {
        let items = channel::stream(
            0,
            generate(|co| {
                let text = task::scope(|s| {
                    let child = s.spawn(|| panic_text(|| co.yield_(String::new())));
                    child.join().unwrap()
                });
                co.yield_(text);
                let registering = panic_text(|| {
                    use ropewalk::lowlevel::{Ticket, Undo, Why, park};
                    let register = |_: Ticket<()>| co.yield_(String::new());
                    _ = park(&Why::new("it"), register, || Undo::Done);
                });
                co.yield_(registering);
            }),
        );
        assert_eq!(items.collect::<Vec<_>>(), [REFUSED, REFUSED]);
    });
}

#[test]
fn generators_that_stand_in_yield_straight_into_the_stream() {
    check(
        |log| {
            let (inner_log, outer_log) = (log.clone(), log.clone());
            let mut items = channel::stream(
                0,
                generate(move |co| {
                    let _outer = outer_log.on_drop("outer dropped");
                    let count = co.yield_from(generate(move |co| {
                        let _inner = inner_log.on_drop("inner dropped");
                        time::timeout(seconds(9), || {
                            co.yield_(1);
                            sleep(1).unwrap();
                        })
                        .unwrap();
                        co.yield_(2);
                        2
                    }));
                    co.yield_(10 * count);
                    let started = generate(|co| co.yield_all(5..));
                    started.start().unwrap();
                    co.yield_from_started(started, ());
                }),
            );
            assert_eq!(items.by_ref().take(4).collect::<Vec<_>>(), [1, 2, 20, 6]);
            log.add("closes");
            items.close().unwrap();
        },
        &["inner dropped", "closes", "outer dropped"],
    );
}

// Panics.

#[test]
fn a_panic_of_the_body_comes_out_at_the_reader_after_the_items_before_it() {
    let (text, told) = unhandled_by(|| {
        let broken = channel::stream(
            5,
            generate(|co| {
                co.yield_all([1, 2]);
                panic!("body broke");
            }),
        );
        sleep(1).unwrap();
        assert_eq!((broken.recv(), broken.try_recv()), (Ok(1), Ok(2)));
        let text = panic_text(|| broken.recv());
        // Once.
        assert_eq!((broken.recv(), broken.take_return()), (Err(RecvError::Closed), None));
        text
    });
    assert_eq!((text.as_str(), told.len()), ("body broke", 0));
}

#[test]
fn a_panic_wakes_the_reader_who_waits_also_in_a_select() {
    let ((), told) = unhandled_by(|| {
        let broken = || {
            channel::stream(
                0,
                generate(|_: &Yielder<u32>| {
                    sleep(1).unwrap();
                    panic!("body broke");
                }),
            )
        };
        let stream = broken();
        assert_eq!(panic_text(|| stream.recv()), "body broke");
        let mut stream = broken();
        assert_eq!(panic_text(|| stream.next()), "body broke");
        let stream = broken();
        // The arm beside it has its item still.
        let (sender, _receiver) = channel::rendezvous();
        let mut sending = sender.sending("mine");
        assert_eq!(panic_text(|| select((&mut sending, stream.receiving()))), "body broke");
        assert_eq!(sending.into_item(), Some("mine"));
        let stream = broken();
        sleep(2).unwrap();
        assert_eq!(panic_text(|| try_select(stream.receiving())), "body broke");
        let stream = broken();
        sleep(2).unwrap();
        assert_eq!(panic_text(|| stream.close()), "body broke");
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_panic_that_nobody_has_read_goes_to_the_hook() {
    let ((), told) = unhandled_by(|| {
        let broken = channel::stream(
            5,
            generate(|co| {
                co.yield_(1);
                panic!("body broke");
            }),
        );
        assert_eq!(broken.recv(), Ok(1));
        sleep(1).unwrap();
        drop(broken);
    });
    assert_eq!(told, ["task 2 panicked, and nobody joined it: body broke"]);
}

// The end.

#[test]
fn dropping_a_stream_closes_a_generator_at_its_yield_which_may_wait_as_it_ends() {
    check(
        |log| {
            let mut items = channel::stream(0, polite(log));
            assert_eq!(items.next(), Some(1));
            drop(items);
            log.add("goes on");
            sleep(2).unwrap();
        },
        &["goes on", "told to end, waits: Ok(()) 1", "dropped"],
    );
}

#[test]
fn closing_a_stream_waits_until_the_generator_has_ended() {
    check(
        |log| {
            let mut items = channel::stream(1, polite(log));
            assert_eq!(items.next(), Some(1));
            task::yield_now();
            log.add(format!("{:?} {}", items.close(), clock()));
            // One that has ended by itself.
            let ended = channel::stream(1, generate(|co: &Yielder<u32>| co.yield_(1)));
            task::yield_now();
            log.add(format!("{:?}", ended.close()));
            let mut read = channel::stream(
                1,
                generate(|co: &Yielder<u32>| {
                    co.yield_(1);
                    5
                }),
            );
            read.by_ref().for_each(drop);
            log.add(format!("{:?}", read.close()));
        },
        &["told to end, waits: Ok(()) 1", "dropped", "Ok(Some(\"ended\")) 1", "Ok(Some(()))", "Ok(Some(5))"],
    );
}

/// As if it were read directly: it is at its yield until somebody wants another item.
#[test]
fn a_body_whose_item_has_just_been_taken_is_closed_where_it_is() {
    check(
        |log| {
            let ours = log.clone();
            let items = channel::stream(
                0,
                generate(move |co| {
                    if co.try_yield(1) == Err(Exit) {
                        ours.add(format!("told to end, waits: {:?}", sleep(1)));
                        return;
                    }
                    let _ = sleep(1000);
                    ours.add("went on");
                }),
            );
            sleep(1).unwrap();
            assert_eq!(items.recv(), Ok(1));
            drop(items);
            sleep(2).unwrap();
            log.add("the end");
        },
        &["told to end, waits: Ok(())", "the end"],
    );
}

/// As `GeneratorExit` does.
#[test]
fn a_body_in_a_plain_yield_is_unwound_and_waits_in_finally() {
    check(
        |log| {
            let ours = log.clone();
            let items = channel::stream(
                0,
                generate(move |co| {
                    let _dropped = ours.on_drop("dropped");
                    task::scope(|s| {
                        s.spawn(|| ours.add(format!("child: {:?}", sleep(9).map_err(|why| why.reason()))));
                        task::finally(
                            || loop {
                                co.yield_(1)
                            },
                            || ours.add(format!("finally: {:?}", sleep(1))),
                        );
                    });
                }),
            );
            assert_eq!(items.recv(), Ok(1));
            log.add(format!("{:?} at {}", items.close(), clock()));
        },
        &["finally: Ok(())", "child: Err(Parent)", "dropped", "Ok(None) at 1"],
    );
}

#[test]
fn a_body_that_waits_for_something_else_is_cancelled_when_its_stream_goes() {
    check(
        |log| {
            let ours = log.clone();
            let never = channel::stream(
                0,
                generate(move |co| {
                    let waited =
                        task::finally(|| sleep(1000), || ours.add(format!("finally: {:?}", sleep(1))));
                    ours.add(format!("{:?} {}", waited.map_err(|why| why.reason()), clock()));
                    ours.add(format!("{:?}", co.try_yield(1)));
                    ours.add(format!("{:?}", sleep(1).map_err(|why| why.reason())));
                }),
            );
            sleep(1).unwrap();
            drop(never);
            sleep(2).unwrap();
        },
        &["finally: Ok(())", "Err(Requested) 2", "Err(Exit)", "Err(Requested)"],
    );
}

#[test]
fn a_body_that_yields_again_after_it_was_told_to_end_is_unwound() {
    check(
        |log| {
            let ours = log.clone();
            let items = channel::stream(
                1,
                generate(move |co| {
                    let _dropped = ours.on_drop("dropped");
                    loop {
                        ours.add(format!("{:?} {}", co.try_yield(1), co.is_closing()));
                    }
                }),
            );
            task::yield_now();
            log.add(format!("{:?}", items.close()));
        },
        &["Ok(()) false", "Err(Exit) true", "dropped", "Ok(None)"],
    );
}

#[test]
fn a_stream_that_goes_before_its_generator_has_begun_drops_that() {
    check(
        |log| {
            let (ours, captured) = (log.clone(), log.on_drop("captured"));
            let items = channel::stream(
                0,
                generate(move |co: &Yielder<u32>| {
                    let _captured = &captured;
                    ours.add("begins");
                    co.yield_(1);
                }),
            );
            drop(items);
            task::yield_now();
            log.add("goes on");
            let ours = log.clone();
            let items = channel::stream(0, generate(move |_: &Yielder<u32>| ours.add("begins")));
            log.add(format!("{:?}", items.close()));
        },
        &["captured", "goes on", "Ok(None)"],
    );
}

#[test]
fn a_close_that_is_cancelled_has_told_the_generator_all_the_same() {
    check(
        |log| {
            let mut items = channel::stream(0, polite(log));
            items.next().unwrap();
            let cut = task::cancel_scope(|scope| {
                scope.cancel();
                items.close()
            });
            assert_eq!(cut, Err(REQUESTED));
            log.add("goes on");
            sleep(2).unwrap();
        },
        &["goes on", "told to end, waits: Ok(()) 1", "dropped"],
    );
}

#[test]
fn what_a_body_panics_with_while_it_ends_comes_out_of_a_close_or_goes_to_the_hook() {
    let ((), told) = unhandled_by(|| {
        let rude = || {
            channel::stream(
                0,
                generate(|co| {
                    let _ = co.try_yield(1);
                    panic!("will not end")
                }),
            )
        };
        let mut stream = rude();
        stream.next().unwrap();
        task::yield_now();
        assert_eq!(panic_text(|| stream.close()), "will not end");
        let mut stream = rude();
        stream.next().unwrap();
        drop(stream);
        task::yield_now();
    });
    assert_eq!(told, ["task 3 panicked, and nobody joined it: will not end"]);
}

#[test]
fn a_stream_that_is_dropped_last_of_all_leaves_nothing_behind() {
    let log = Log::new();
    testing::run(|| {
        let ours = log.clone();
        let items = channel::stream(
            1,
            generate(move |co| {
                let _dropped = ours.on_drop("dropped");
                while co.try_yield("item").is_ok() {}
                // It was told, but waits fail at the end of a run.
                ours.add(format!("{:?}", sleep(1).map_err(|why| why.reason())));
            }),
        );
        assert_eq!(items.take(2).count(), 2);
    });
    log.assert(&["Err(Shutdown)", "dropped"]);
}

#[test]
fn a_stream_may_outlive_its_run_which_ends_the_generator() {
    let (mut stream, told) = unhandled_by(|| {
        let stream = channel::stream(2, ticker());
        sleep(5).unwrap();
        stream
    });
    assert_eq!((told.len(), stream.len()), (1, 2), "that one was left behind: {told:?}");
    assert_eq!(
        (stream.try_recv(), stream.try_recv(), stream.try_recv()),
        (Ok(1), Ok(2), Err(TryRecvError::Closed))
    );
    assert_eq!(run(|| stream.next()), None);
}

// What kind of generator.

#[test]
fn a_generator_that_was_started_goes_on_in_the_task() {
    check(
        |log| {
            let generator = polite(log);
            assert_eq!(generator.start().unwrap(), Step::Yield(1));
            let mut items = channel::stream(1, generator);
            assert_eq!((items.next(), items.next()), (Some(2), Some(3)));
            log.add(format!("{:?}", items.close()));
            // One that the task has not resumed yet is closed there all the same, where it may wait.
            let generator = polite(log);
            generator.start().unwrap();
            drop(channel::stream(1, generator));
            sleep(2).unwrap();
        },
        &["told to end, waits: Ok(()) 1", "dropped", "Ok(None)", "told to end, waits: Ok(()) 2", "dropped"],
    );
}

#[test]
fn a_generator_that_was_started_is_not_resumed_for_a_stream_that_is_gone() {
    check(
        |log| {
            let ours = log.clone();
            let generator = generate(move |co| {
                for number in 1.. {
                    match co.try_yield(number) {
                        Ok(()) => ours.add("went on"),
                        Err(Exit) => return ours.add("was told to end"),
                    }
                }
            });
            assert_eq!(generator.next(), Some(1));
            drop(channel::stream(1, generator));
            task::yield_now();
        },
        &["was told to end"],
    );
}

#[test]
fn a_generator_that_was_started_keeps_to_the_rules_of_its_own_stack() {
    run(|| {
        let generator = generate(|co| {
            co.yield_(1);
            task::shield(|| co.yield_(2));
        });
        assert_eq!(generator.next(), Some(1));
        let items = channel::stream(1, generator);
        assert_eq!(panic_text(|| items.recv()), REFUSED);
    });
}

#[test]
fn a_generator_that_has_ended_is_an_empty_stream() {
    run(|| {
        let generator = generate(|co: &Yielder<u32>| {
            co.yield_(1);
            "done"
        });
        let items: Vec<_> = generator.by_ref_collect();
        assert_eq!(items, [1]);
        let mut stream = channel::stream(1, generator);
        assert_eq!((stream.next(), stream.take_return()), (None, Some("done")));
    });
}

trait Collect<T> {
    fn by_ref_collect(&self) -> Vec<T>;
}

impl<T, R> Collect<T> for Generator<T, (), R> {
    fn by_ref_collect(&self) -> Vec<T> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

#[test]
fn the_task_has_the_name_and_the_stack_that_the_generator_asked_for() {
    fn deep(depth: u32) -> u32 {
        let frame = std::hint::black_box([depth; 250]);
        if depth == 0 { 0 } else { deep(depth - 1) + frame[3].min(1) }
    }
    run(|| {
        // A megabyte of frames, four times the usual stack.
        let large = generator::Builder::new().name("deep").stack_size(8 << 20);
        let stream = channel::stream(
            0,
            large.generator(|co: &Yielder<(u32, Option<String>)>| {
                co.yield_((deep(1000), task::current().unwrap().name));
            }),
        );
        let id = stream.task();
        assert!(task::all().iter().any(|info| info.id == id && info.name.as_deref() == Some("deep")));
        assert_eq!(stream.recv(), Ok((1000, Some("deep".to_owned()))));
        let impossible = generator::Builder::new().stack_size(usize::MAX);
        let stream = channel::stream(0, impossible.generator(|co: &Yielder<u32>| co.yield_(1)));
        let text = panic_text(|| stream.recv());
        assert!(text.contains("stack"), "{text}");
    });
}

#[test]
fn outside_of_a_runtime_there_are_no_streams() {
    let text = panic_text(|| channel::stream(0, ticker()));
    assert_eq!(text, "no runtime runs on this thread: call this inside ropewalk::run");
}

#[test]
fn a_deadlock_says_that_a_reader_waits_for_a_stream_and_whose_it_is() {
    let stuck = Runtime::builder().build().try_run(|| {
        let (_kept, receiver) = channel::rendezvous::<u32>();
        let stream = channel::stream(
            0,
            generator::Builder::new().name("source").generator(move |co: &Yielder<u32>| {
                co.yield_all(&receiver);
            }),
        );
        let _ = stream.recv();
    });
    let Err(error) = stuck else { panic!("it ended") };
    let report = error.to_string();
    assert!(report.contains("waits for recv stream of task 2 ("), "{report}");
    assert!(report.contains("held by task 2"), "{report}");
}

// Every schedule, every moment.

/// What a crowd of readers and droppers finds is always the beginning of what was made, and the body always cleans up.
#[test]
fn items_come_in_order_and_the_body_ends_whatever_the_schedule() {
    testing::explore(0..2000, || {
        let (begun, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        struct Ends(Rc<Cell<u32>>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let body = {
            let (begun, ended) = (begun.clone(), ended.clone());
            move |co: &Yielder<u32>| {
                begun.set(begun.get() + 1);
                let _ends = Ends(ended);
                task::scope(|s| {
                    s.spawn_service(|| while sleep(1).is_ok() {});
                    for number in 0..6 {
                        match number % 3 {
                            0 => co.yield_(number),
                            1 if co.try_yield(number).is_err() => {
                                let _ = sleep(1);
                                return;
                            }
                            1 => {}
                            _ => {
                                _ = time::timeout(seconds(1), || {
                                    (0..2).for_each(|_| task::yield_now());
                                    co.yield_(number);
                                })
                            }
                        }
                        if sleep(1).is_err() {
                            return;
                        }
                    }
                });
            }
        };
        let mut got = Vec::new();
        let stream: Stream<u32> = channel::stream(testing::random(3), generate(body));
        let canceller = task::spawn(move || (0..testing::random(30)).for_each(|_| task::yield_now()));
        task::scope(|s| {
            let (got, stream) = (RefCell::new(&mut got), &stream);
            let reader = s.spawn(move || {
                for _ in 0..testing::random(8) {
                    let item = match testing::random(3) {
                        0 => stream.try_recv().ok(),
                        1 => match select((time::sleeping(seconds(1)), stream.receiving())) {
                            Ok(Chosen::Second(item)) => item.ok(),
                            _ => None,
                        },
                        _ => stream.recv().ok(),
                    };
                    got.borrow_mut().extend(item);
                }
            });
            canceller.join().unwrap();
            if testing::random(2) == 0 {
                reader.cancel();
            }
            let _ = reader.join();
        });
        match testing::random(3) {
            0 => drop(stream),
            1 => _ = stream.close().unwrap(),
            _ => got.extend(stream),
        }
        sleep(9).unwrap();
        assert_eq!(got, (0..got.len() as u32).collect::<Vec<_>>());
        assert_eq!(begun.get(), ended.get());
    });
}

#[test]
fn wherever_the_reader_is_cancelled_the_rest_comes_afterwards() {
    for seed in 0..20 {
        for capacity in [0, 2] {
            Setup::new().seed(seed).cancel_everywhere(|cut| {
                let mut stream = channel::stream(
                    capacity,
                    generate(|co| {
                        for number in 0..4 {
                            let _ = time::timeout(seconds(1), || co.yield_(number));
                            sleep(1).unwrap();
                        }
                    }),
                );
                let mut got = Vec::new();
                cut.here(|| got.extend(&stream));
                got.extend(stream.by_ref());
                assert_eq!(got, [0, 1, 2, 3]);
            });
        }
    }
}
