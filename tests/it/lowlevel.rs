//! What primitives are made of: wait lists, tickets, and the way in from other threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::lowlevel::{
    self, CrossError, CrossLine, CrossTicket, CrossWait, Next, Remote, Ticket, Undo, WaitList, Why,
};
use ropewalk::{Cancelled, Clock, Reason, RemoteError, RunError, Runtime, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep, unhandled_by};

const IT: Why<'static> = Why::new("it");

// Wait lists.

/// A13.
#[test]
fn waiters_are_woken_in_the_order_in_which_they_came() {
    check(
        |log| {
            let line = WaitList::new();
            assert!(line.is_empty() && line.first().is_none());
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let line = &line;
                    s.spawn(move || log.add(format!("{name}{}", line.wait(&IT).unwrap())));
                }
                task::yield_now();
                assert_eq!((line.len(), line.first().unwrap().get()), (3, 2));
                for value in 1..=3 {
                    line.wake_one(value).unwrap();
                }
                assert_eq!(line.wake_one(4), Err(4), "nobody waits: the value comes back");
                log.add("woken, and not run yet");
            });
        },
        &["woken, and not run yet", "a1", "b2", "c3"],
    );
}

#[test]
fn waking_all_wakes_those_who_wait_now() {
    check(
        |log| {
            let line = WaitList::new();
            task::scope(|s| {
                for name in ["a", "b"] {
                    let line = &line;
                    s.spawn(move || {
                        for _ in 0..2 {
                            log.add(format!("{name}: {}", line.wait(&IT).unwrap()));
                        }
                    });
                }
                for round in ["first", "second"] {
                    task::yield_now();
                    assert_eq!(line.wake_all(round), 2);
                }
                assert_eq!(line.wake_all("nobody"), 0);
            });
        },
        &["a: first", "b: first", "a: second", "b: second"],
    );
}

#[test]
fn a_value_may_borrow_and_is_not_cloned_for_one_waiter() {
    run(|| {
        struct NotClone<'a>(&'a str);
        let text = String::from("borrowed");
        let line = WaitList::new();
        task::scope(|s| {
            let waiter = s.spawn(|| line.wait(&IT).map(|NotClone(text)| text));
            task::yield_now();
            assert!(line.wake_one(NotClone(&text)).is_ok());
            assert_eq!(waiter.join().unwrap(), Ok("borrowed"));
        });
    });
}

// Tickets.

type Kept<T> = Rc<RefCell<Vec<Ticket<T>>>>;

/// Waits with a ticket that `kept` gets.
fn wait_with<T>(kept: &Kept<T>) -> Result<T, Cancelled> {
    lowlevel::park(&IT, |ticket| kept.borrow_mut().push(ticket), || Undo::Done)
}

#[test]
fn a_ticket_is_spent_once_and_gives_back_what_comes_too_late() {
    run(|| {
        let kept: Kept<&str> = Rc::default();
        let waiter = task::spawn({
            let kept = kept.clone();
            move || (wait_with(&kept), time::timeout(seconds(1), || wait_with(&kept)).is_err())
        });
        task::yield_now();
        let ticket = kept.borrow_mut().pop().unwrap();
        assert!(ticket.is_waiting());
        assert_eq!(ticket.task(), waiter.id());
        ticket.wake("in time").unwrap();
        assert_eq!(waiter.join().unwrap(), (Ok("in time"), true));
        // That of the second wait, which was cancelled, and whose task has ended.
        let stale = kept.borrow_mut().pop().unwrap();
        assert!(!stale.is_waiting());
        assert_eq!(stale.wake("too late"), Err("too late"));
    });
}

#[test]
fn a_ticket_of_an_earlier_wait_does_not_wake_a_later_one() {
    run(|| {
        let kept: Kept<u32> = Rc::default();
        let waiter = task::spawn({
            let kept = kept.clone();
            move || {
                let first = time::timeout(seconds(1), || wait_with(&kept));
                (first.is_err(), wait_with(&kept))
            }
        });
        sleep(2).unwrap();
        let mut tickets = kept.take();
        let (second, first) = (tickets.pop().unwrap(), tickets.pop().unwrap());
        assert_eq!(first.wake(1), Err(1));
        assert!(!waiter.is_finished() && second.is_waiting());
        second.wake(2).unwrap();
        assert_eq!(waiter.join().unwrap(), (true, Ok(2)));
    });
}

#[test]
fn a_ticket_may_be_forgotten_or_outlive_everything() {
    thread_local! {
        static KEPT: RefCell<Vec<Ticket<Rc<str>>>> = const { RefCell::new(Vec::new()) };
    }
    run(|| {
        let keep =
            || lowlevel::park(&IT, |ticket| KEPT.with_borrow_mut(|kept| kept.push(ticket)), || Undo::Done);
        assert!(time::timeout(seconds(1), keep).is_err());
        let forget = || lowlevel::park(&IT, |ticket: Ticket<u32>| std::mem::forget(ticket), || Undo::Done);
        assert!(time::timeout(seconds(1), forget).is_err());
    });
    let late = || KEPT.with_borrow_mut(|kept| kept.pop().map(|ticket| ticket.wake("late".into())));
    run(|| {
        // In another runtime, whose first task has the same number.
        KEPT.with_borrow(|kept| assert!(!kept[0].is_waiting()));
    });
    assert_eq!(late(), Some(Err("late".into())), "and outside of all");
}

#[test]
fn whoever_registers_may_wake_at_once() {
    run(|| {
        let at_once = lowlevel::park(&IT, |ticket| ticket.wake(5).unwrap(), || unreachable!());
        assert_eq!(at_once, Ok(5));
        let spawns = lowlevel::park(
            &IT,
            |ticket| {
                task::spawn(move || ticket.wake("by a task").unwrap());
            },
            || unreachable!(),
        );
        assert_eq!(spawns, Ok("by a task"));
    });
}

#[test]
fn a_panic_of_whoever_registers_goes_on_and_voids_the_ticket() {
    run(|| {
        let kept = Cell::new(None);
        let text = panic_text(|| {
            lowlevel::park(
                &IT,
                |ticket: Ticket<u32>| {
                    kept.set(Some(ticket));
                    panic!("could not register")
                },
                || unreachable!(),
            )
        });
        assert_eq!(text, "could not register");
        assert_eq!(kept.take().unwrap().wake(1), Err(1));
        sleep(1).unwrap();
    });
}

#[test]
fn whoever_registers_can_neither_wait_nor_yield() {
    run(|| {
        let generator = ropewalk::generate(|co: &ropewalk::Yielder<u32>| {
            let why = lowlevel::park(
                &IT,
                |ticket| {
                    assert!(panic_text(|| co.yield_(1)).contains("must not yield"));
                    ticket.wake(sleep(1).unwrap_err().reason()).unwrap();
                },
                || Undo::Done,
            );
            assert_eq!(why, Ok(Reason::OutsideTask));
            co.yield_(2);
        });
        assert_eq!(generator.collect::<Vec<_>>(), [2]);
        assert_eq!(task::current_id().unwrap().get(), 1);
    });
}

#[test]
fn whoever_registers_may_cancel_the_very_wait() {
    check(
        |log| {
            let kept = Cell::new(None);
            let waited = task::cancel_scope(|scope| {
                lowlevel::park(
                    &IT,
                    |ticket: Ticket<u32>| {
                        kept.set(Some(ticket));
                        scope.cancel();
                    },
                    || {
                        log.add("undone");
                        Undo::Done
                    },
                )
            });
            assert_eq!(waited.unwrap_err().reason(), Reason::Requested);
            assert_eq!(kept.take().unwrap().wake(1), Err(1));
        },
        &["undone"],
    );
}

#[test]
fn what_is_cancelled_already_does_not_register() {
    run(|| {
        task::cancel_scope(|scope| {
            scope.cancel();
            let waited = lowlevel::park(&IT, |_: Ticket<()>| unreachable!(), || unreachable!());
            assert_eq!(waited.unwrap_err().reason(), Reason::Requested);
        });
    });
}

#[test]
fn a_cancelled_wait_whose_ticket_is_spent_before_the_task_runs_has_its_value() {
    check(
        |log| {
            let kept: Kept<&str> = Rc::default();
            let waiter = task::spawn({
                let (kept, log) = (kept.clone(), log.clone());
                move || log.add(format!("{:?}, then {:?}", wait_with(&kept), sleep(1).is_err()))
            });
            task::yield_now();
            waiter.cancel();
            let ticket = kept.borrow_mut().pop().unwrap();
            ticket.wake("after all").unwrap();
            waiter.join().unwrap();
        },
        &["Ok(\"after all\"), then true"],
    );
}

#[test]
fn what_cannot_be_undone_at_once_is_awaited() {
    check(
        |log| {
            let waited = time::timeout(seconds(1), || {
                lowlevel::park(
                    &IT,
                    |ticket| {
                        time::call_later(seconds(5), move || ticket.wake("the answer").unwrap());
                    },
                    || {
                        log.add(format!("asked to undo at {} s", clock()));
                        Undo::Later
                    },
                )
            });
            // The value wins; that the deadline has passed is found out by the next wait, and there is none.
            log.add(format!("{:?} at {} s", waited.map_err(|late| late.into_inner()), clock()));
        },
        &["asked to undo at 1 s", "Ok(Ok(\"the answer\")) at 5 s"],
    );
}

#[test]
fn waking_a_task_that_has_ended_does_nothing() {
    run(|| {
        let kept: Kept<u32> = Rc::default();
        let waiter = task::spawn({
            let kept = kept.clone();
            move || time::timeout(seconds(1), || wait_with(&kept)).is_err()
        });
        assert!(waiter.join().unwrap());
        let ticket = kept.borrow_mut().pop().unwrap();
        // Its memory is kept by the ticket alone.
        drop(waiter);
        let next = task::spawn(|| sleep(1));
        assert_eq!(ticket.wake(1), Err(1));
        assert_eq!(next.join().unwrap(), Ok(()));
    });
}

#[test]
fn what_is_waited_for_is_told_by_who_waits() {
    run(|| {
        let holder = task::current_id();
        let waiter = task::spawn(move || {
            let held = || holder;
            WaitList::<()>::new().wait(&Why::new("lock").on(&"the log").held_by(&held))
        });
        sleep(1).unwrap();
        let told = waiter.info().state.to_string();
        let parts = ["waits for lock the log (", "lowlevel.rs:", ") since 1s, held by task 1"];
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        waiter.cancel();
    });
}

// Other threads.

/// Runs `act` in a thread while tasks go on, and gives what it returned.
fn in_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let register = |ticket: Ticket<T>| {
        let ticket = ticket.into_remote();
        thread::spawn(move || ticket.wake(act()).unwrap());
    };
    lowlevel::park(&Why::new("thread"), register, || Undo::Later).unwrap()
}

/// S4.12.
#[test]
fn what_other_threads_post_runs_in_order_and_outside_of_tasks() {
    run(|| {
        let remote = lowlevel::remote();
        let (sender, receiver) = mpsc::channel();
        in_thread(move || {
            for number in 0..100 {
                let sender = sender.clone();
                let call = move || sender.send((number, task::current().is_some())).unwrap();
                remote.post(call).unwrap();
            }
        });
        // What ended the wait was posted last.
        let posted: Vec<_> = receiver.try_iter().collect();
        assert!(posted.into_iter().eq((0..100).map(|number| (number, false))));
    });
}

#[test]
fn another_thread_spawns_tasks_that_wait_and_has_their_results() {
    run(|| {
        let remote = lowlevel::remote();
        assert!(remote.is_alive());
        let result = in_thread(move || {
            let spawned = remote.spawn(|| sleep(5).map(|()| task::current().unwrap().parent)).unwrap();
            (remote.run(|| 6 * 7), spawned.join())
        });
        assert_eq!(result, (Ok(42), Ok(Ok(None))));
    });
}

#[test]
fn a_task_of_another_thread_that_panics_is_lost_there_and_goes_to_the_hook_here() {
    let (line, (result, told)) = (
        line!() + 4,
        unhandled_by(|| {
            let remote = lowlevel::remote();
            in_thread(move || {
                let spawned = remote.spawn(|| {
                    let place = task::current().unwrap().spawned;
                    panic!("broke, of {}:{}", place.file(), place.line())
                });
                spawned.unwrap().join().map(|(): ()| ())
            })
        }),
    );
    assert_eq!(result, Err(RemoteError::Lost));
    let expected = format!("task 2 panicked, and nobody joined it: broke, of {}:{line}", file!());
    assert_eq!(told, [expected]);
}

#[test]
fn a_thread_of_tasks_is_not_blocked_for_a_task() {
    let log = Log::new();
    run(|| {
        let remote = lowlevel::remote();
        let ours = log.clone();
        let text = panic_text(|| remote.run(|| ()));
        ours.add(text);
        sleep(1).unwrap();
        assert_eq!(task::spawn(|| ()).id().get(), 2, "nothing was spawned either");
    });
    log.assert(&["this would block the thread, and all its tasks: wait in another thread"]);
}

#[test]
fn a_runtime_that_is_gone_refuses_what_it_is_sent() {
    let (remote, ticket) = run(|| {
        let kept: Rc<Cell<Option<lowlevel::RemoteTicket<u32>>>> = Rc::default();
        let _ = time::timeout(seconds(1), || {
            lowlevel::park(&IT, |ticket: Ticket<u32>| kept.set(Some(ticket.into_remote())), || Undo::Done)
        });
        (lowlevel::remote(), kept.take().unwrap())
    });
    assert!(!remote.is_alive());
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let call = {
        let ran = ran.clone();
        move || ran.store(true, std::sync::atomic::Ordering::Relaxed)
    };
    let gone = remote.post(call).unwrap_err();
    assert_eq!(gone.to_string(), "the runtime is gone");
    (gone.0)();
    assert!(ran.load(std::sync::atomic::Ordering::Relaxed), "the closure came back");
    assert_eq!(remote.spawn(|| ()).map(drop), Err(RemoteError::Gone));
    assert_eq!(ticket.wake(1), Err(RemoteError::Gone));
}

#[test]
fn another_thread_ends_a_wait() {
    run(|| {
        let answer = lowlevel::park(
            &IT,
            |ticket| {
                let ticket = ticket.into_remote();
                thread::spawn(move || ticket.wake(vec![1, 2]).unwrap());
            },
            || unreachable!(),
        );
        assert_eq!(answer, Ok(vec![1, 2]));
    });
}

/// Its handle for the runtime goes right after the message: nobody may take that for a deadlock.
#[test]
fn a_message_is_heard_although_whoever_sent_it_is_gone() {
    // Each message keeps the loop awake for a moment: the last one may come when it is about to look who is left.
    let program = || {
        let remote = lowlevel::remote();
        in_thread(move || {
            for _ in 0..20 {
                remote.post(|| ()).unwrap();
            }
        });
    };
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..250).for_each(|_| run(program)));
        }
    });
}

#[test]
fn another_thread_may_be_too_late_or_never_come() {
    run(|| {
        let kept = Rc::new(Cell::new(None));
        let wait =
            || lowlevel::park(&IT, |ticket: Ticket<u32>| kept.set(Some(ticket.into_remote())), || Undo::Done);
        assert!(time::timeout(seconds(1), wait).is_err());
        let late = kept.take().unwrap();
        assert_eq!(in_thread(move || late.wake(1)), Ok(()), "that it is too late is found out here");
        assert!(time::timeout(seconds(1), wait).is_err());
        let dropped = kept.take().unwrap();
        in_thread(move || drop(dropped));
        sleep(1).unwrap();
    });
}

/// It needs no door: what is cancelled afterwards has been granted.
#[test]
fn a_ticket_for_other_threads_that_is_spent_at_home_wakes_at_once() {
    run(|| {
        let kept = Rc::new(Cell::new(None));
        task::scope(|s| {
            let waiting = s.spawn(|| {
                lowlevel::park(&IT, |ticket: Ticket<u32>| kept.set(Some(ticket.into_remote())), || Undo::Done)
            });
            task::yield_now();
            kept.take().unwrap().wake(1).unwrap();
            waiting.cancel();
            assert_eq!(waiting.join().unwrap(), Ok(1));
        });
    });
    // Another runtime on the same thread is not its home.
    let kept = run(|| {
        let kept = Rc::new(Cell::new(None));
        let _ = time::timeout(seconds(1), || {
            lowlevel::park(&IT, |ticket: Ticket<u32>| kept.set(Some(ticket.into_remote())), || Undo::Done)
        });
        kept.take().unwrap()
    });
    assert_eq!(run(|| kept.wake(1)), Err(RemoteError::Gone));
}

/// A turnstile that lets one in for each push, for tasks and threads.
#[derive(Debug)]
struct Turnstile(std::sync::Mutex<(u32, CrossLine)>);

struct AtTurnstile<'a>(&'a Turnstile, Cell<u64>);

impl CrossWait for AtTurnstile<'_> {
    fn register(&self, ticket: CrossTicket) {
        let mut inside = self.0.0.lock().unwrap();
        match inside.0.checked_sub(1) {
            None => self.1.set(inside.1.push(ticket, ())),
            Some(left) => {
                inside.0 = left;
                drop(inside);
                ticket.wake();
            }
        }
    }

    fn is_over(&self) -> bool {
        !self.0.0.lock().unwrap().1.contains(self.1.get())
    }

    fn undo(&self) -> Undo {
        let left = self.0.0.lock().unwrap().1.remove(self.1.get());
        if left.is_some() { Undo::Done } else { Undo::Later }
    }
}

impl Turnstile {
    fn pass(&self, limit: Duration) -> Result<(), CrossError> {
        lowlevel::cross_may_wait()?;
        lowlevel::cross_park_for(limit, &IT, &AtTurnstile(self, Cell::new(0)))
    }

    fn push(&self) {
        let mut inside = self.0.lock().unwrap();
        let next = inside.1.pop();
        if next.is_none() {
            inside.0 += 1;
        }
        drop(inside);
        if let Some(next) = next {
            next.ticket.wake();
        }
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }
}

#[test]
fn a_wait_of_your_own_is_for_tasks_and_threads_alike() {
    let turnstile = Turnstile(std::sync::Mutex::new((0, CrossLine::new())));
    let for_ever = Duration::MAX;
    thread::scope(|s| {
        let passes = s.spawn(|| turnstile.pass(for_ever));
        while turnstile.waiting() < 1 {
            thread::yield_now();
        }
        let passes_in_task = s.spawn(|| ropewalk::run(|| turnstile.pass(for_ever)));
        while turnstile.waiting() < 2 {
            thread::yield_now();
        }
        assert!(format!("{turnstile:?}").contains("CrossTicket(task 1)"), "{turnstile:?}");
        (0..3).for_each(|_| turnstile.push());
        assert_eq!(passes.join().unwrap(), Ok(()));
        assert_eq!(passes_in_task.join().unwrap(), Ok(()));
    });
    // The third push is left, for whoever comes.
    assert_eq!(turnstile.pass(for_ever), Ok(()));
    let late = turnstile.pass(Duration::from_millis(1)).unwrap_err();
    assert_eq!((late, late.to_string().as_str()), (CrossError::Elapsed, "the time is over"));
    assert_eq!(std::io::Error::from(late).kind(), std::io::ErrorKind::TimedOut);
    run(|| {
        assert_eq!(turnstile.pass(seconds(9)), Err(CrossError::Elapsed));
        assert_eq!(clock(), 9.0);
        let cancelled = task::cancel_scope(|scope| {
            scope.cancel();
            turnstile.pass(for_ever)
        });
        assert!(matches!(cancelled, Err(CrossError::Cancelled(why)) if why.reason() == Reason::Requested));
    });
    assert_eq!(turnstile.waiting(), 0);
}

/// With a handle for other threads nobody can know that no one will come; without one it is a deadlock.
#[test]
fn when_the_last_handle_for_other_threads_goes_a_deadlock_is_seen() {
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    let ended = runtime.try_run(|| {
        let kept: Cell<Option<Remote>> = Cell::new(Some(lowlevel::remote()));
        lowlevel::park(
            &IT,
            |ticket: Ticket<u32>| {
                let (ticket, remote) = (ticket.into_remote(), kept.take());
                thread::spawn(move || drop((ticket, remote)));
            },
            || Undo::Done,
        )
    });
    let Err(RunError::Deadlock { value, report, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(value.unwrap_err().reason(), Reason::Deadlock);
    assert!(report.contains("waits for it ("), "{report}");
}

#[test]
fn what_is_posted_while_run_ends_is_delivered() {
    let (sender, receiver) = mpsc::channel();
    let ((), _) = unhandled_by(|| {
        let remote = lowlevel::remote();
        task::Builder::new().eager(true).spawn(move || {
            let _ = sleep(100);
            let late = sender.clone();
            remote.post(move || late.send("posted").unwrap()).unwrap();
            remote.spawn(move || sender.send("spawned").unwrap()).unwrap()
        });
    });
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["posted"], "a task that is spawned then never runs");
}

/// Waits in `hall`, and then at `counter` for a number.
fn wait_in_both(
    hall: &WaitList<u32>,
    counter: &WaitList<u32>,
    arrives: &dyn Fn(),
) -> Result<Option<u32>, Cancelled> {
    let why = Why::new("counter");
    let waited = hall.wait_then(&Why::new("call"), (), Next::new(counter, &why, arrives));
    waited.map(|woken| woken.value).map_err(|(cancelled, ())| cancelled)
}

#[test]
fn whoever_is_sent_on_stands_at_the_end_of_the_next_line() {
    check(
        |log| {
            let (hall, counter) = (WaitList::new(), WaitList::new());
            task::scope(|s| {
                for name in ["a", "b", "c"] {
                    let (hall, counter) = (&hall, &counter);
                    s.spawn(move || {
                        let number = wait_in_both(hall, counter, &|| log.add(format!("{name} arrives")));
                        log.add(format!("{name} has {number:?}"));
                    });
                }
                s.spawn(|| log.add(format!("d has {:?}", counter.wait(&IT))));
                task::yield_now();
                assert!(hall.send_on() && hall.send_on());
                assert_eq!((hall.len(), counter.len()), (1, 3));
                assert!(!counter.send_on(), "nobody is sent further");
                for number in 0..4 {
                    let _ = counter.wake_one(number);
                }
                // Whoever was not sent on can be woken where it waits.
                hall.wake_one(9).unwrap();
                assert!(!hall.send_on());
            });
        },
        &[
            "a arrives",
            "b arrives",
            "d has Ok(0)",
            "a has Ok(Some(1))",
            "b has Ok(Some(2))",
            "c has Ok(Some(9))",
        ],
    );
}

#[test]
fn whoever_was_sent_on_is_not_cancelled_any_more_and_whoever_was_cancelled_is_not_sent_on() {
    run(|| {
        let (hall, counter) = (WaitList::new(), WaitList::new());
        task::scope(|s| {
            let waiters: Vec<_> = (0..3).map(|_| s.spawn(|| wait_in_both(&hall, &counter, &|| ()))).collect();
            task::yield_now();
            waiters[0].cancel();
            assert!(hall.send_on());
            waiters[1].cancel();
            task::yield_now();
            assert_eq!((hall.len(), counter.len()), (1, 1));
            assert!(hall.send_on());
            assert_eq!(
                (counter.wake_one(1), counter.wake_one(2), counter.wake_one(3)),
                (Ok(()), Ok(()), Err(3))
            );
            let ends: Vec<_> = waiters.iter().map(|waiter| waiter.join().unwrap().ok()).collect();
            assert_eq!(ends, [None, Some(Some(1)), Some(Some(2))]);
        });
    });
}

#[test]
fn whoever_waits_in_one_line_only_is_not_sent_on() {
    run(|| {
        let (hall, counter) = (WaitList::new(), WaitList::new());
        task::scope(|s| {
            let stays = s.spawn(|| hall.wait(&IT));
            let goes = s.spawn(|| wait_in_both(&hall, &counter, &|| ()));
            task::yield_now();
            assert!(hall.send_on());
            assert!(!hall.send_on());
            hall.wake_one(1).unwrap();
            counter.wake_one(2).unwrap();
            assert_eq!((stays.join().unwrap(), goes.join().unwrap()), (Ok(1), Ok(Some(2))));
        });
    });
}

#[test]
fn what_is_called_on_arrival_may_end_the_wait_and_cannot_wait() {
    run(|| {
        let (hall, counter, line) = (WaitList::new(), WaitList::new(), WaitList::<()>::new());
        let served = Cell::new(false);
        let arrives = || {
            assert!(line.wait(&IT).is_err());
            task::yield_now();
            counter.wake_one(7).unwrap();
            served.set(true);
        };
        task::scope(|s| {
            let waiter = s.spawn(|| wait_in_both(&hall, &counter, &arrives));
            task::yield_now();
            assert!(hall.send_on());
            assert!(served.get() && !waiter.is_finished());
            assert_eq!(waiter.join().unwrap(), Ok(Some(7)));
        });
    });
}

#[test]
fn a_panic_on_arrival_goes_on_in_whoever_sends_on() {
    run(|| {
        let (hall, counter) = (WaitList::new(), WaitList::new());
        task::scope(|s| {
            let waiter = s.spawn(|| wait_in_both(&hall, &counter, &|| panic!("arrived")));
            task::yield_now();
            assert_eq!(panic_text(|| hall.send_on()), "arrived");
            counter.wake_one(1).unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(Some(1)));
        });
    });
}

#[test]
fn a_dump_shows_what_whoever_was_sent_on_waits_for_now() {
    run(|| {
        let (hall, counter) = (WaitList::new(), WaitList::new());
        task::scope(|s| {
            let waiter = s.spawn(|| wait_in_both(&hall, &counter, &|| ()));
            task::yield_now();
            assert!(waiter.info().to_string().contains(": waits for call (tests/it/lowlevel.rs:"));
            hall.send_on();
            assert!(waiter.info().to_string().contains(": waits for counter (tests/it/lowlevel.rs:"));
            counter.wake_one(0).unwrap();
        });
    });
}

#[test]
fn where_nothing_else_can_end_it_the_wait_of_whoever_was_sent_on_fails() {
    let mut reasons = Vec::new();
    let ended = Runtime::new().try_run(|| {
        let (hall, counter, nobody) = (WaitList::new(), WaitList::new(), WaitList::<()>::new());
        task::scope(|s| {
            let waiter = s.spawn(|| wait_in_both(&hall, &counter, &|| ()).unwrap_err().reason());
            task::yield_now();
            hall.send_on();
            // The first cancellation ends this and not that, the second one all.
            reasons.push(nobody.wait(&IT).unwrap_err().reason());
            assert!(waiter.join().is_err() && !waiter.is_finished());
            assert!(task::shield(|| nobody.wait(&IT)).is_err());
            task::yield_now();
            reasons.extend(waiter.try_result().unwrap().ok());
            assert_eq!(counter.wake_one(1), Err(1), "it has left the line it was in");
        });
    });
    let Err(RunError::Deadlock { report, .. }) = ended else { panic!("{ended:?}") };
    assert!(report.contains("waits for counter ("), "{report}");
    assert_eq!(reasons, [Reason::Deadlock; 2]);
}

#[test]
fn under_the_shield_of_primitives_waits_go_on_in_what_was_cancelled() {
    run(|| {
        let line = WaitList::new();
        task::scope(|s| {
            s.spawn(|| {
                sleep(1).unwrap();
                line.wake_one(1).unwrap();
            });
            task::cancel_scope(|scope| {
                scope.cancel();
                assert!(line.wait(&IT).is_err());
                assert_eq!(lowlevel::shield(|| line.wait(&IT)), Ok(1));
            });
        });
        assert_eq!(clock(), 1.0);
    });
}

#[test]
fn what_will_wait_finds_all_as_it_was_and_fails_where_a_wait_would() {
    run(|| {
        let turns = Cell::new(0);
        task::scope(|s| {
            s.spawn(|| turns.set(turns.get() + 1));
            // Many in a row let nobody run, unlike `may_wait`.
            (0..1000).for_each(|_| lowlevel::will_wait().unwrap());
            assert_eq!(turns.get(), 0);
            task::cancel_scope(|scope| {
                scope.cancel();
                assert_eq!(lowlevel::will_wait().unwrap_err().reason(), Reason::Requested);
            });
            assert_eq!(turns.get(), 1, "what fails lets others run");
        });
    });
    assert_eq!(
        panic_text(lowlevel::will_wait),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
}
