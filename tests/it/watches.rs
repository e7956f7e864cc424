//! The latest value.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk::channel::{self, RecvError};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Reason, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep};

const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

#[test]
fn a_receiver_sees_the_latest_value_and_misses_those_between() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        assert_eq!((*receiver.get(), *sender.get(), receiver.has_changed()), (0, 0, false));
        for number in 1..=3 {
            sender.set(number);
        }
        assert!(receiver.has_changed());
        assert_eq!(receiver.changed().as_deref(), Ok(&3));
        assert!(!receiver.has_changed());
        assert!(time::timeout(seconds(1), || receiver.changed()).is_err(), "it has seen that");
    });
}

#[test]
fn whoever_waits_for_a_change_goes_on_with_it() {
    check(
        |log| {
            let (sender, receiver) = channel::watch(0);
            task::scope(|s| {
                for name in ["a", "b"] {
                    let receiver = receiver.clone();
                    s.spawn(move || {
                        for value in receiver {
                            log.add(format!("{} {name}{value}", clock()));
                        }
                    });
                }
                task::yield_now();
                sender.set(1);
                sleep(1).unwrap();
                sender.set(2);
                sender.set(3);
                sleep(1).unwrap();
                drop(sender);
            });
        },
        &["0 a1", "0 b1", "1 a3", "1 b3"],
    );
}

#[test]
fn what_is_set_after_a_waiter_was_woken_is_what_it_sees_and_it_sees_it_once() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.changed().map(|value| *value));
            task::yield_now();
            sender.set(1);
            sender.set(2);
            assert_eq!(waiting.join().unwrap(), Ok(2));
        });
        assert!(!receiver.has_changed());
    });
}

#[test]
fn looking_counts_as_seen_and_peeking_does_not() {
    run(|| {
        let (sender, receiver) = channel::watch('a');
        sender.set('b');
        assert_eq!((*receiver.peek(), receiver.has_changed()), ('b', true));
        assert_eq!((*receiver.get(), receiver.has_changed()), ('b', false));
        sender.set('c');
        assert_eq!((receiver.with(|value| *value), receiver.has_changed()), ('c', false));
        receiver.mark_changed();
        assert_eq!(receiver.changed().as_deref(), Ok(&'c'));
    });
}

#[test]
fn a_new_receiver_has_seen_what_is_there_and_a_clone_what_the_other_has_seen() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        sender.set(1);
        let (later, clone) = (sender.subscribe(), receiver.clone());
        assert_eq!((later.has_changed(), clone.has_changed()), (false, true));
        assert_eq!(clone.changed().as_deref(), Ok(&1));
        assert!(receiver.has_changed(), "each has its own memory");
        assert_eq!(sender.receiver_count(), 3);
    });
}

#[test]
fn the_last_version_is_seen_before_the_end() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        let other = sender.clone();
        other.set(1);
        drop(other);
        assert!(!receiver.is_closed());
        drop(sender);
        assert!(receiver.is_closed());
        assert_eq!(receiver.changed().as_deref(), Ok(&1));
        assert_eq!(receiver.changed(), Err(RecvError::Closed));
        assert_eq!(*receiver.get(), 1, "the value stays");
    });
}

#[test]
fn those_who_wait_are_told_when_the_last_sender_goes() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        task::scope(|s| {
            let waiting = s.spawn(|| receiver.changed().is_err());
            let selecting = s.spawn(|| select((receiver.changing(), time::sleeping(seconds(9)))));
            let wants = s.spawn(|| receiver.wait_for(|value| *value == 5).is_err());
            task::yield_now();
            drop(sender);
            assert!(waiting.join().unwrap() && wants.join().unwrap());
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(RecvError::Closed))));
        });
    });
}

#[test]
fn whoever_waits_for_a_state_looks_at_the_present_one_first() {
    check(
        |log| {
            let (sender, receiver) = channel::watch(3);
            let looked = RefCell::new(Vec::new());
            let is_five = |value: &u32| {
                looked.borrow_mut().push(*value);
                *value == 5
            };
            task::scope(|s| {
                s.spawn(|| {
                    let found = receiver.wait_for(is_five).unwrap();
                    log.add(format!("{} {found} after {:?}", clock(), looked.take()));
                    assert!(!receiver.has_changed());
                    let again = receiver.wait_for(is_five).unwrap();
                    log.add(format!("{} {again} after {:?}", clock(), looked.take()));
                });
                for value in [4, 5] {
                    sleep(1).unwrap();
                    sender.set(value);
                }
            });
        },
        &["2 5 after [3, 4, 5]", "2 5 after [5]"],
    );
}

#[test]
fn a_predicate_may_wait_and_use_the_channel() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        task::scope(|s| {
            let waiting = s.spawn(|| {
                receiver.wait_for(|value| {
                    // Meanwhile others are set.
                    sleep(1).unwrap();
                    if *value == 0 {
                        sender.set(7);
                    }
                    *value >= 2
                })
            });
            task::yield_now();
            sender.set(10);
            sender.set(20);
            assert_eq!(waiting.join().unwrap().as_deref(), Ok(&7));
        });
    });
}

#[test]
fn values_are_set_whether_or_not_somebody_looks() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        drop(receiver);
        assert!(sender.is_closed());
        sender.set(1);
        let receiver = sender.subscribe();
        assert!(!sender.is_closed());
        assert_eq!(*receiver.get(), 1);
    });
}

#[test]
fn a_sender_can_wait_until_nobody_looks() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        let other = receiver.clone();
        task::scope(|s| {
            let waiting = s.spawn(|| sender.closed().map(|()| clock()));
            let selecting =
                s.spawn(|| select((time::sleeping(seconds(9)), sender.closing())).map(|_| clock()));
            drop(receiver);
            sleep(1).unwrap();
            drop(other);
            assert_eq!((waiting.join().unwrap(), selecting.join().unwrap()), (Ok(1.0), Ok(1.0)));
        });
        // Somebody comes back: it can be waited for again.
        let _again = sender.subscribe();
        assert_eq!(try_select(sender.closing()), None);
        assert!(time::timeout(seconds(1), || sender.closed()).is_err());
    });
}

// Snapshots and changes.

#[test]
fn a_snapshot_is_in_nobodys_way() {
    run(|| {
        let (sender, receiver) = channel::watch(String::from("old"));
        task::scope(|s| {
            let slow = s.spawn(|| {
                receiver.with(|value| {
                    sleep(5).unwrap();
                    value.clone()
                })
            });
            task::yield_now();
            let kept = receiver.get();
            sender.set("new".to_owned());
            sender.modify(|value| value.push_str("er"));
            assert_eq!((kept.as_str(), receiver.get().as_str(), clock()), ("old", "newer", 0.0));
            assert_eq!(slow.join().unwrap(), "old");
        });
    });
}

#[test]
fn a_change_in_place_clones_only_what_somebody_keeps() {
    struct Counted(Rc<Cell<u32>>, u32);
    impl Clone for Counted {
        fn clone(&self) -> Counted {
            self.0.set(self.0.get() + 1);
            Counted(self.0.clone(), self.1)
        }
    }
    run(|| {
        let clones = Rc::new(Cell::new(0));
        let (sender, receiver) = channel::watch(Counted(clones.clone(), 0));
        (0..10).for_each(|_| sender.modify(|value| value.1 += 1));
        assert_eq!((receiver.get().1, clones.get()), (10, 0));
        let kept = receiver.get();
        (0..10).for_each(|_| sender.modify(|value| value.1 += 1));
        assert_eq!((kept.1, receiver.get().1, clones.get()), (10, 20, 1));
    });
}

#[test]
fn a_change_that_changes_nothing_wakes_nobody() {
    run(|| {
        let (sender, receiver) = channel::watch(5);
        let is_new = |number| {
            sender.modify_if(|value| {
                let is_new = *value != number;
                *value = number;
                is_new
            })
        };
        assert!(!is_new(5) && !receiver.has_changed());
        assert!(is_new(6) && receiver.has_changed());
        assert_eq!(receiver.changed().as_deref(), Ok(&6));
    });
}

#[test]
fn a_change_that_panics_tells_nobody_and_leaves_the_channel_whole() {
    run(|| {
        let (sender, receiver) = channel::watch(1);
        let text = panic_text(|| {
            sender.modify(|value| {
                *value = 2;
                panic!("half done");
            })
        });
        assert_eq!((text.as_str(), receiver.has_changed(), *receiver.get()), ("half done", false, 2));
        sender.modify(|value| *value += 1);
        assert_eq!(receiver.changed().as_deref(), Ok(&3));
    });
}

#[test]
fn a_change_that_uses_its_channel_is_told_so_and_cannot_wait() {
    run(|| {
        let (sender, receiver) = channel::watch(1);
        let told = "the value is just being modified: use what the closure is given";
        sender.modify(|value| {
            assert_eq!(panic_text(|| receiver.get()), told);
            assert_eq!(panic_text(|| sender.set(5)), told);
            assert_eq!(panic_text(|| sender.modify(|_| ())), told);
            // If it could wait, somebody else would find the value missing.
            assert_eq!(sleep(1).map_err(|why| why.reason()), Err(Reason::OutsideTask));
            *value += 1;
        });
        assert_eq!(*receiver.get(), 2);
        sleep(1).unwrap();
    });
}

#[test]
fn a_value_may_use_the_channel_while_it_is_dropped_or_cloned() {
    #[derive(Clone)]
    struct Meddler(Log, Rc<RefCell<Option<channel::watch::Sender<Meddler>>>>, u32);
    impl Drop for Meddler {
        fn drop(&mut self) {
            let sender = self.1.borrow_mut().take();
            if let Some(sender) = sender {
                self.0.add(format!("{} goes, {} is there", self.2, sender.get().2));
                sender.set(Meddler(self.0.clone(), Rc::default(), 100));
            }
        }
    }
    let log = Log::new();
    run(|| {
        let own = Rc::new(RefCell::new(None));
        let (sender, receiver) = channel::watch(Meddler(log.clone(), own.clone(), 1));
        *own.borrow_mut() = Some(sender.clone());
        sender.set(Meddler(log.clone(), Rc::default(), 2));
        assert_eq!(receiver.get().2, 100);
    });
    log.assert(&["1 goes, 2 is there"]);
}

// Cancellation and arms.

#[test]
fn a_cancelled_wait_has_seen_nothing_and_one_that_was_granted_sees() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        let other = receiver.clone();
        task::scope(|s| {
            let cut = s.spawn(move || (receiver.changed().map(|value| *value), receiver.has_changed()));
            let granted = s.spawn(move || other.changed().map(|value| *value));
            task::yield_now();
            cut.cancel();
            sender.set(1);
            granted.cancel();
            assert_eq!(cut.join().unwrap(), (Err(RecvError::Cancelled(REQUESTED)), true));
            assert_eq!(granted.join().unwrap(), Ok(1));
        });
        let receiver = sender.subscribe();
        sender.set(2);
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(receiver.changed(), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!(receiver.wait_for(|_| true), Err(RecvError::Cancelled(REQUESTED)));
        });
        assert!(receiver.has_changed());
    });
}

#[test]
fn an_arm_that_lost_has_seen_nothing() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        let (to_other, other) = channel::unbounded();
        task::scope(|s| {
            let selecting = s.spawn(|| select((other.receiving(), receiver.changing())).map(|_| ()));
            task::yield_now();
            to_other.send(()).unwrap();
            sender.set(1);
            selecting.join().unwrap().unwrap();
            assert!(receiver.has_changed());
            let selecting = s.spawn(|| select((other.receiving(), receiver.changing())));
            assert!(matches!(selecting.join().unwrap(), Ok(Chosen::Second(Ok(value))) if *value == 1));
        });
    });
}

#[test]
fn tasks_that_share_a_receiver_see_each_version_once_between_them() {
    run(|| {
        let (sender, receiver) = channel::watch(0);
        task::scope(|s| {
            let waiting = [
                s.spawn(|| receiver.changed().map(|value| *value)),
                s.spawn(|| {
                    select((receiver.changing(), time::sleeping(seconds(99))))
                        .map(|chosen| match chosen {
                            Chosen::First(value) => *value.unwrap(),
                            Chosen::Second(()) => 99,
                        })
                        .map_err(RecvError::from)
                }),
            ];
            task::yield_now();
            sender.set(1);
            sleep(1).unwrap();
            assert_eq!(waiting.iter().filter(|task| task.is_finished()).count(), 1);
            sender.set(2);
            assert_eq!(waiting.map(|task| task.join().unwrap()), [Ok(1), Ok(2)]);
        });
    });
}

#[test]
fn outside_of_a_runtime_there_is_a_value_but_no_waiting() {
    let (sender, receiver) = channel::watch(0);
    sender.set(1);
    sender.modify(|value| *value += 1);
    assert_eq!(*receiver.get(), 2);
    assert_eq!(
        panic_text(|| receiver.changed()),
        "no runtime runs on this thread: call this inside ropewalk::run"
    );
}

#[test]
fn nobody_misses_the_last_version_whatever_the_schedule() {
    testing::explore(0..2000, || {
        let (sender, receiver) = channel::watch(0);
        task::scope(|s| {
            for _ in 0..3 {
                let receiver = receiver.clone();
                s.spawn(move || {
                    let mut seen = vec![];
                    loop {
                        let got = match testing::random(3) {
                            0 => match select((receiver.changing(), time::sleeping(seconds(1)))) {
                                Ok(Chosen::First(got)) => got,
                                _ => continue,
                            },
                            1 => match time::move_on_after(seconds(1), |_| receiver.changed()) {
                                Some(got) => got,
                                None => continue,
                            },
                            _ => receiver.changed(),
                        };
                        match got {
                            Ok(value) => seen.push(*value),
                            Err(RecvError::Closed) => break,
                            Err(RecvError::Cancelled(_)) => continue,
                        }
                    }
                    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
                    assert_eq!(seen.last(), Some(&20), "{seen:?}");
                });
            }
            for setters in [sender.clone(), sender] {
                s.spawn(move || {
                    for _ in 0..10 {
                        setters.modify(|value| *value += 1);
                        (0..testing::random(3)).for_each(|_| task::yield_now());
                    }
                });
            }
        });
    });
}

#[test]
fn wherever_a_watcher_is_cancelled_the_next_wait_sees_the_latest_version() {
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(|cut| {
            let (sender, receiver) = channel::watch(0);
            let setter = task::spawn(move || {
                for number in 1..=3 {
                    task::yield_now();
                    sender.set(number);
                }
                sender
            });
            let mut seen = Vec::new();
            cut.here(|| {
                while seen.last() != Some(&3) {
                    let Ok(value) = receiver.changed() else { return };
                    seen.push(*value);
                }
            });
            let _sender = setter.join().unwrap();
            if seen.last() != Some(&3) {
                assert_eq!(receiver.changed().as_deref(), Ok(&3));
            }
            assert!(!receiver.has_changed() && seen.is_sorted());
        });
    }
}
