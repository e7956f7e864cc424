//! Waiting for several things: exactly one is committed, and the others have had no effect.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::channel::{self, RecvError, SendError};
use ropewalk::lowlevel::{self, Arm, ByTicket, InLine, Register, Ticket, WaitList};
use ropewalk::select::{Chosen, fairly, select, try_select};
use ropewalk::sync::Mutex;
use ropewalk::{JoinError, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep};

#[test]
fn the_first_arm_that_is_ready_wins_in_the_order_in_which_they_stand() {
    run(|| {
        let (sender, first) = channel::unbounded();
        let (other, second) = channel::unbounded();
        sender.send(1).unwrap();
        other.send(2).unwrap();
        for _ in 0..2 {
            match select((second.receiving(), first.receiving())) {
                Ok(Chosen::First(item)) => assert_eq!(item, Ok(2)),
                Ok(Chosen::Second(item)) => assert_eq!(item, Ok(1)),
                Err(_) => unreachable!(),
            }
        }
        assert_eq!((first.len(), second.len()), (0, 0));
    });
}

#[test]
fn one_arm_takes_an_item_and_the_others_leave_theirs() {
    run(|| {
        let (to_first, first) = channel::unbounded();
        let (to_second, second) = channel::unbounded();
        task::scope(|s| {
            let selected = s.spawn(|| select((first.receiving(), second.receiving())));
            task::yield_now();
            // Both before the task runs: the first is given, the second finds nobody.
            to_second.send("second").unwrap();
            to_first.send("first").unwrap();
            assert_eq!(selected.join().unwrap(), Ok(Chosen::Second(Ok("second"))));
        });
        assert_eq!(first.try_recv(), Ok("first"));
    });
}

#[test]
fn a_sending_arm_that_lost_has_its_item_still() {
    run(|| {
        let (full, _kept) = channel::rendezvous();
        let (sender, receiver) = channel::unbounded();
        task::scope(|s| {
            s.spawn(move || sender.send(()).unwrap());
            let mut sending = full.sending("mine".to_owned());
            match select((&mut sending, receiver.receiving())).unwrap() {
                Chosen::First(_) => unreachable!(),
                Chosen::Second(received) => assert_eq!(received, Ok(())),
            }
            assert_eq!(sending.into_item().as_deref(), Some("mine"));
        });
    });
}

#[test]
fn a_sending_arm_that_was_chosen_has_none_and_is_never_ready_again() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let mut sending = sender.sending(7);
        assert_eq!(select(&mut sending), Ok(Ok(())));
        assert_eq!(receiver.try_recv(), Ok(7));
        let late = select((&mut sending, time::sleeping(seconds(1))));
        assert_eq!(late, Ok(Chosen::Second(())));
        assert_eq!(sending.into_item(), None);
    });
}

#[test]
fn an_item_goes_from_a_selecting_sender_to_a_selecting_receiver() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let (_idle, quiet) = channel::rendezvous::<()>();
        task::scope(|s| {
            let sent = s.spawn(|| select((quiet.receiving(), sender.sending("rope"))));
            let received = s.spawn(|| select((quiet.receiving(), receiver.receiving())));
            assert_eq!(sent.join().unwrap(), Ok(Chosen::Second(Ok(()))));
            assert_eq!(received.join().unwrap(), Ok(Chosen::Second(Ok("rope"))));
        });
    });
}

#[test]
fn a_task_does_not_meet_itself() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let late = select((sender.sending(1), receiver.receiving(), time::sleeping(seconds(1))));
        assert_eq!(late, Ok(Chosen::Third(())));
        let statistics = receiver.statistics();
        assert_eq!((statistics.waiting_to_send, statistics.waiting_to_receive), (0, 0));
    });
}

#[test]
fn arms_of_all_kinds_stand_beside_one_another() {
    check(
        |log| {
            let (sender, receiver) = channel::unbounded();
            let lock = Mutex::new(());
            let guard = lock.lock().unwrap();
            task::scope(|s| {
                let helper = s.spawn(|| sleep(2));
                s.spawn(|| {
                    sleep(1).unwrap();
                    sender.send("item").unwrap();
                });
                let mut guard = Some(guard);
                for _ in 0..4 {
                    // Each is switched off once it was chosen.
                    let sleeping = time::sleeping(seconds(10));
                    let joining = (!helper.is_finished()).then(|| helper.joining());
                    match select((receiver.receiving(), lock.locking(), joining, sleeping)).unwrap() {
                        Chosen::First(item) => log.add(format!("{} item {item:?}", clock())),
                        Chosen::Second(locked) => {
                            log.add(format!("{} lock", clock()));
                            guard = Some(locked);
                        }
                        Chosen::Third(ended) => {
                            log.add(format!("{} joined {ended:?}", clock()));
                            drop(guard.take());
                        }
                        Chosen::Fourth(()) => log.add(format!("{} slept", clock())),
                    }
                }
            });
        },
        &["1 item Ok(\"item\")", "2 joined Ok(Ok(()))", "2 lock", "12 slept"],
    );
}

#[test]
fn an_arm_that_sleeps_counts_from_when_it_was_made() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let mut late = time::sleeping(seconds(5));
        task::spawn(move || {
            for number in 0.. {
                if sleep(2).is_err() || sender.send(number).is_err() {
                    break;
                }
            }
        });
        let mut received = Vec::new();
        while let Chosen::First(item) = select((receiver.receiving(), &mut late)).unwrap() {
            received.push(item.unwrap());
        }
        assert_eq!((received, clock()), (vec![0, 1], 5.0));
    });
}

#[test]
fn a_moment_that_has_passed_is_ready_at_once() {
    run(|| {
        let past = time::now();
        sleep(1).unwrap();
        assert_eq!(try_select(time::sleeping_until(past)), Some(()));
        assert_eq!(try_select(time::sleeping(seconds(1))), None);
    });
}

#[test]
fn a_timer_that_comes_with_an_item_takes_nothing() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        task::scope(|s| {
            s.spawn(|| {
                sleep(1).unwrap();
                sender.send("at the same moment").unwrap();
            });
            let mut received = 0;
            // Whichever comes first: what is not received now is there later.
            match select((receiver.receiving(), time::sleeping(seconds(1)))).unwrap() {
                Chosen::First(_) => received += 1,
                Chosen::Second(()) => {}
            }
            sleep(1).unwrap();
            received += receiver.try_iter().count();
            assert_eq!(received, 1);
        });
    });
}

#[test]
fn a_cancelled_select_has_had_no_effect_and_leaves_no_place() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let (full, full_receiver) = channel::rendezvous();
        let mut sending = full.sending("kept");
        let cut = time::move_on_after(seconds(1), |_| select((receiver.receiving(), &mut sending)));
        assert!(cut.is_none());
        assert_eq!(sending.into_item(), Some("kept"));
        assert_eq!(receiver.statistics().waiting_to_receive, 0);
        assert_eq!(full_receiver.statistics().waiting_to_send, 0);
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    });
}

#[test]
fn what_was_granted_before_the_cancellation_is_returned() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            let selecting = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(9)))));
            task::yield_now();
            sender.try_send("granted").unwrap();
            selecting.cancel();
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Ok("granted"))));
        });
    });
}

#[test]
fn a_select_that_was_cancelled_first_leaves_the_item_to_the_next() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            let cut = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(9)))));
            let next = s.spawn(|| receiver.recv());
            task::yield_now();
            cut.cancel();
            sender.try_send("for the next").unwrap();
            assert!(cut.join().unwrap().is_err());
            assert_eq!(next.join().unwrap(), Ok("for the next"));
        });
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_selected_even_if_it_is_ready() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(select((receiver.receiving(),)).is_err());
        });
        assert_eq!(receiver.len(), 1);
    });
}

#[test]
fn chance_lets_no_arm_starve_and_depends_on_the_seed_alone() {
    let chosen = || {
        run(|| {
            let channels: Vec<_> = (0..4).map(|_| channel::unbounded()).collect();
            for (sender, _) in &channels {
                (0..100).for_each(|_| sender.send(()).unwrap());
            }
            (0..100)
                .map(|_| {
                    let arms: Vec<_> = channels.iter().map(|(_, receiver)| receiver.receiving()).collect();
                    select(fairly(arms)).unwrap().0
                })
                .collect::<Vec<_>>()
        })
    };
    let first = chosen();
    for arm in 0..4 {
        let times = first.iter().filter(|&&index| index == arm).count();
        assert!((10..50).contains(&times), "arm {arm} was chosen {times} times");
    }
    assert_eq!(first, chosen());
}

#[test]
fn fair_tuples_and_arrays_give_what_plain_ones_do() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        sender.send('a').unwrap();
        let far = time::sleeping(seconds(9));
        assert_eq!(select(fairly((far, receiver.receiving()))), Ok(Chosen::Second(Ok('a'))));
        sender.send('b').unwrap();
        let (_kept, empty) = channel::unbounded();
        assert_eq!(select(fairly([empty.receiving(), receiver.receiving()])), Ok((1, Ok('b'))));
    });
}

#[test]
fn many_arms_in_arrays_slices_and_vectors() {
    run(|| {
        let channels: [_; 64] = std::array::from_fn(|_| channel::rendezvous());
        for chosen in [0, 17, 63] {
            let sender = channels[chosen].0.clone();
            let task = task::spawn(move || sender.send(chosen).unwrap());
            let arms: [_; 64] = std::array::from_fn(|index| channels[index].1.receiving());
            assert_eq!(select(arms), Ok((chosen, Ok(chosen))));
            task.join().unwrap();
            let sender = channels[chosen].0.clone();
            task::spawn(move || sender.send(chosen).unwrap());
            let mut arms: Vec<_> = channels.iter().map(|(_, receiver)| receiver.receiving()).collect();
            assert_eq!(select(arms.as_mut_slice()), Ok((chosen, Ok(chosen))));
            let left: usize =
                channels.iter().map(|(_, receiver)| receiver.statistics().waiting_to_receive).sum();
            assert_eq!(left, 0);
        }
    });
}

#[test]
fn selects_stand_in_selects() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let (_kept, other) = channel::unbounded::<()>();
        task::spawn(move || {
            sleep(1).unwrap();
            sender.send(5).unwrap();
        });
        let inner = (other.receiving(), receiver.receiving());
        match select((time::sleeping(seconds(9)), inner)).unwrap() {
            Chosen::Second(Chosen::Second(item)) => assert_eq!(item, Ok(5)),
            _ => unreachable!(),
        }
    });
}

#[test]
fn no_arms_and_arms_that_are_switched_off_wait_for_ever() {
    run(|| {
        let (_kept, receiver) = channel::unbounded::<()>();
        let nothing = time::move_on_after(seconds(1), |_| select(Vec::<time::Sleeping>::new()));
        assert!(nothing.is_none());
        let off =
            time::move_on_after(seconds(1), |_| select((Some(receiver.receiving()), None::<time::Sleeping>)));
        assert!(off.is_none());
        assert_eq!(clock(), 2.0);
    });
}

#[test]
fn closed_channels_are_ready_and_say_so() {
    run(|| {
        let (sender, receiver) = channel::unbounded::<()>();
        task::scope(|s| {
            let selecting = s.spawn(|| select((receiver.receiving(), time::sleeping(seconds(9)))));
            task::yield_now();
            drop(sender);
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(RecvError::Closed))));
        });
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            let sending = s.spawn(|| select((sender.sending(1), time::sleeping(seconds(9)))));
            task::yield_now();
            drop(receiver);
            assert_eq!(sending.join().unwrap(), Ok(Chosen::First(Err(SendError::Closed(1)))));
        });
    });
}

#[test]
fn outside_of_a_runtime_what_is_ready_can_be_selected() {
    let (sender, receiver) = channel::bounded(1);
    assert_eq!(try_select((receiver.receiving(), sender.sending(1))), Some(Chosen::Second(Ok(()))));
    assert_eq!(try_select(fairly((sender.sending(2), receiver.receiving()))), Some(Chosen::Second(Ok(1))));
    let text = panic_text(|| select(receiver.receiving()));
    assert_eq!(text, "no runtime runs on this thread: call this inside ropewalk::run");
}

#[test]
fn a_join_arm_gives_what_a_join_would() {
    run(|| {
        let quick = task::spawn(|| 42);
        let cut = task::spawn(|| sleep(9));
        assert!(matches!(select((cut.joining(), quick.joining())), Ok(Chosen::Second(Ok(42)))));
        // The result can be taken once.
        assert!(matches!(select(quick.joining()), Ok(Err(JoinError::Taken))));
        cut.cancel();
        assert!(matches!(select(cut.joining()), Ok(Ok(Err(_)))));
    });
}

#[test]
fn dumps_show_what_a_select_waits_for_and_where() {
    run(|| {
        let (sender, receiver) = channel::rendezvous::<()>();
        let lock = Mutex::new(());
        let guard = lock.lock().unwrap();
        task::scope(|s| {
            let waiting = s.spawn(|| {
                select((receiver.receiving(), lock.locking(), time::sleeping(seconds(1)))).unwrap();
            });
            task::yield_now();
            let info = waiting.info().to_string();
            assert!(info.contains("waits for select recv, lock, sleep ("), "{info}");
            assert!(info.contains("select.rs"), "{info}");
            assert!(info.ends_with("held by task 1"), "{info}");
        });
        drop((guard, sender));
    });
}

/// Rung by whoever takes the ticket.
#[derive(Clone, Default)]
struct Bell {
    ticket: Rc<Cell<Option<Ticket<u32>>>>,
    undone: Rc<Cell<u32>>,
}

impl Register for Bell {
    type Value = u32;

    fn register(&self, ticket: Ticket<u32>) {
        self.ticket.set(Some(ticket));
    }

    fn undo(&self) {
        self.undone.set(self.undone.get() + 1);
    }
}

impl Arm for Bell {
    type Output = u32;
    type Place = ByTicket<Bell>;

    fn try_now(&mut self) -> Option<u32> {
        None
    }

    fn place(&mut self) -> ByTicket<Bell> {
        ByTicket::new(self.clone())
    }

    fn end(&mut self, place: ByTicket<Bell>) -> Option<u32> {
        place.into_value()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bell")
    }
}

#[test]
fn an_arm_by_ticket_is_undone_once_unless_it_was_spent() {
    run(|| {
        let (first, second) = (Bell::default(), Bell::default());
        let ringer = second.clone();
        task::spawn(move || ringer.ticket.take().unwrap().wake(9).unwrap());
        assert_eq!(select((first.clone(), second.clone())), Ok(Chosen::Second(9)));
        assert_eq!((first.undone.get(), second.undone.get()), (1, 0));
        // The wait is over: what comes late comes back.
        assert_eq!(first.ticket.take().unwrap().wake(1), Err(1));
    });
}

#[test]
fn two_tickets_of_one_wait_that_are_both_spent_give_one_value() {
    run(|| {
        let (first, second) = (Bell::default(), Bell::default());
        let ringers = (first.clone(), second.clone());
        let rung = task::spawn(move || {
            let second_rings = ringers.1.ticket.take().unwrap().wake(2);
            let first_rings = ringers.0.ticket.take().unwrap().wake(1);
            (first_rings, second_rings)
        });
        assert_eq!(select((first, second)), Ok(Chosen::Second(2)));
        assert_eq!(rung.join().unwrap(), (Err(1), Ok(())));
    });
}

#[test]
fn whoever_registers_may_grant_another_arm_of_the_same_wait() {
    /// Sends to a channel that the same select receives from.
    struct Meddler(channel::Sender<u32>);
    impl Register for Meddler {
        type Value = ();
        fn register(&self, _ticket: Ticket<()>) {
            self.0.try_send(1).unwrap();
        }
        fn undo(&self) {}
    }
    struct Meddling(channel::Sender<u32>);
    impl Arm for Meddling {
        type Output = ();
        type Place = ByTicket<Meddler>;
        fn try_now(&mut self) -> Option<()> {
            None
        }
        fn place(&mut self) -> Self::Place {
            ByTicket::new(Meddler(self.0.clone()))
        }
        fn end(&mut self, place: Self::Place) -> Option<()> {
            place.into_value()
        }
        fn show(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Ok(())
        }
    }
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        assert_eq!(select((receiver.receiving(), Meddling(sender))), Ok(Chosen::First(Ok(1))));
    });
}

/// Cannot be registered.
struct Bomb;

impl Register for Bomb {
    type Value = ();

    fn register(&self, _ticket: Ticket<()>) {
        panic!("cannot register");
    }

    fn undo(&self) {}
}

struct Fuse;

impl Arm for Fuse {
    type Output = ();
    type Place = ByTicket<Bomb>;

    fn try_now(&mut self) -> Option<()> {
        None
    }

    fn place(&mut self) -> Self::Place {
        ByTicket::new(Bomb)
    }

    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_value()
    }

    fn show(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

#[test]
fn a_panic_while_one_arm_registers_takes_the_others_out_of_their_lines() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let text = panic_text(|| select((receiver.receiving(), time::sleeping(seconds(1)), Fuse)));
        assert_eq!(text, "cannot register");
        assert_eq!(receiver.statistics().waiting_to_receive, 0);
        assert!(sender.try_send(()).is_err());
        // The timer is gone as well: nothing happens when it would have been due.
        sleep(2).unwrap();
    });
}

#[test]
fn what_an_arm_carries_comes_back_when_another_panics() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let (full, _kept) = channel::rendezvous();
        let (mut kept, mut also_kept) = (full.sending("kept"), full.sending("also kept"));
        // The one that is chosen panics before those beside it have ended.
        let text = task::scope(|s| {
            s.spawn(|| sender.send(()).unwrap());
            panic_text(|| select((receiver.receiving().map(|_| panic!("chosen")), &mut kept)))
        });
        assert_eq!(text, "chosen");
        assert_eq!(kept.into_item(), Some("kept"));
        // One cannot even register.
        assert_eq!(panic_text(|| select((&mut also_kept, Fuse))), "cannot register");
        assert_eq!(also_kept.into_item(), Some("also kept"));
        assert_eq!(full.statistics().waiting_to_send, 0);
    });
}

#[test]
fn what_arms_of_one_kind_carry_comes_back_when_one_of_them_panics() {
    run(|| {
        let channels: [_; 3] = std::array::from_fn(|_| channel::rendezvous());
        let mut sendings: Vec<_> = channels.iter().map(|(sender, _)| sender.sending("kept")).collect();
        let text = task::scope(|s| {
            s.spawn(|| channels[0].1.recv().unwrap());
            let arms: Vec<_> = sendings.iter_mut().map(|sending| sending.map(|_| panic!("chosen"))).collect();
            panic_text(|| select(arms))
        });
        assert_eq!(text, "chosen");
        let left: Vec<_> = sendings.into_iter().map(channel::Sending::into_item).collect();
        assert_eq!(left, [None, Some("kept"), Some("kept")]);
    });
}

#[test]
fn a_task_that_waits_in_several_places_of_a_line_is_one_of_those_who_wait() {
    run(|| {
        let line = WaitList::<u32>::new();
        let arm = || InThatLine(&line);
        task::scope(|s| {
            let twice = s.spawn(|| select((arm(), arm())));
            let once = s.spawn(|| select((arm(), time::sleeping(seconds(9)))));
            task::yield_now();
            assert_eq!(line.len(), 2);
            assert_eq!(format!("{line:?}"), "[TaskId(2), TaskId(3)]");
            assert_eq!(line.wake_all(7), 2);
            assert_eq!(twice.join().unwrap(), Ok(Chosen::First(7)));
            assert_eq!(once.join().unwrap(), Ok(Chosen::First(7)));
        });
    });
}

struct InThatLine<'a>(&'a WaitList<u32>);

impl<'a> Arm for InThatLine<'a> {
    type Output = u32;
    type Place = InLine<'a, u32>;

    fn try_now(&mut self) -> Option<u32> {
        None
    }

    fn place(&mut self) -> Self::Place {
        self.0.place(())
    }

    fn end(&mut self, place: Self::Place) -> Option<u32> {
        place.into_woken(self.0).value
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("line")
    }
}

#[test]
fn an_arm_may_find_that_it_has_to_try_again() {
    /// A line whose wakes say nothing: whoever is woken looks again.
    #[derive(Default)]
    struct Pool {
        left: Cell<u32>,
        waiting: WaitList,
    }
    struct Taking<'a>(&'a Pool, Log);
    impl<'a> Arm for Taking<'a> {
        type Output = ();
        type Place = InLine<'a, ()>;
        fn try_now(&mut self) -> Option<()> {
            self.1.add("tries");
            self.0.left.set(self.0.left.get().checked_sub(1)?);
            Some(())
        }
        fn place(&mut self) -> Self::Place {
            self.0.waiting.place(())
        }
        fn end(&mut self, _: Self::Place) -> Option<()> {
            None
        }
        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("pool")
        }
    }
    check(
        |log| {
            let pool = Pool::default();
            task::scope(|s| {
                s.spawn(|| lowlevel::wait(&mut Taking(&pool, log.clone())).unwrap());
                task::yield_now();
                log.add("wakes");
                pool.waiting.wake_one(()).unwrap();
                task::yield_now();
                log.add("fills");
                pool.left.set(1);
                pool.waiting.wake_one(()).unwrap();
            });
        },
        &["tries", "wakes", "tries", "fills", "tries"],
    );
}

#[test]
fn offers_stay_with_those_who_are_not_chosen() {
    run(|| {
        let line: WaitList<u32, String> = WaitList::new();
        task::scope(|s| {
            let waiters: Vec<_> = ["a", "b", "c"]
                .into_iter()
                .map(|name| {
                    let line = &line;
                    s.spawn(move || line.wait_with(&lowlevel::Why::new("number"), name.to_owned()))
                })
                .collect();
            task::yield_now();
            waiters[0].cancel();
            // The first has been cancelled: it is passed over, and has its offer.
            assert_eq!(line.exchange(1).as_deref(), Ok("b"));
            assert_eq!(line.wake_one(2), Ok(()));
            assert_eq!(line.exchange(3), Err(3));
            let ends: Vec<_> = waiters.iter().map(|waiter| waiter.join().unwrap()).collect();
            assert_eq!(ends[0].as_ref().unwrap_err().1, "a");
            let woken = |index: usize| {
                let woken = ends[index].as_ref().unwrap();
                (woken.value, woken.offer.as_deref())
            };
            assert_eq!((woken(1), woken(2)), ((Some(1), None), (Some(2), Some("c"))));
        });
    });
}

#[test]
fn a_task_that_always_finds_what_it_asks_for_lets_others_run() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        (0..10_000).for_each(|number| sender.send(number).unwrap());
        let turns = RefCell::new(0);
        task::scope(|s| {
            s.spawn_service(|| {
                while task::checkpoint().is_ok() {
                    *turns.borrow_mut() += 1;
                }
            });
            receiver.iter().take(10_000).for_each(drop);
        });
        assert!(*turns.borrow() > 10, "others had {} turns", turns.borrow());
        drop(sender);
    });
}

#[test]
fn a_select_in_real_time_does_not_wait_for_its_other_arms() {
    ropewalk::run(|| {
        let (_sender, receiver) = channel::unbounded::<()>();
        let soon = time::sleeping(Duration::from_millis(1));
        let far = time::sleeping(Duration::from_secs(3600));
        assert_eq!(select((receiver.receiving(), far, soon)), Ok(Chosen::Third(())));
    });
}

#[test]
fn a_tick_is_an_arm_and_none_is_lost_to_what_was_chosen_instead() {
    check(
        |log| {
            let (sender, receiver) = channel::unbounded();
            let mut beat = time::interval_at(time::now() + seconds(2), seconds(2));
            task::spawn(move || {
                for second in [1, 2, 5] {
                    time::sleep_until(time::now() + seconds(second)).unwrap();
                    sender.send(second).unwrap();
                }
            });
            loop {
                match select((receiver.receiving(), beat.ticking())).unwrap() {
                    Chosen::First(Ok(_)) => log.add(format!("{} item", clock())),
                    Chosen::First(Err(_)) => break,
                    Chosen::Second(_) => log.add(format!("{} tick", clock())),
                }
            }
            assert_eq!(beat.next_tick() - time::now(), seconds(2));
        },
        &["1 item", "2 tick", "3 item", "4 tick", "6 tick", "8 tick", "8 item"],
    );
}
