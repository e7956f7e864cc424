//! Python's queues: what CPython's own tests ask of `asyncio.Queue`, and what they cannot.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ropewalk::channel::queue::{AnyQueue, Order};
use ropewalk::channel::{LifoQueue, PriorityQueue, Queue, RecvError, SendError, TryRecvError, TrySendError};
use ropewalk::select::{Chosen, select, try_select};
use ropewalk::testing::{self, Setup};
use ropewalk::{Cancelled, Reason, Runtime, task, time};

use crate::log::{Log, panic_text};
use crate::world::{check, clock, run, seconds, sleep};

const REQUESTED: Cancelled = Cancelled::new(Reason::Requested);

/// What holds for all orders holds for each.
macro_rules! of_each_order {
    ($capacity:expr, |$queue:ident| $test:expr) => {{
        fn test<O: Order<u32>>($queue: &AnyQueue<u32, O>) {
            $test
        }
        run(|| test(&Queue::bounded($capacity)));
        run(|| test(&LifoQueue::bounded($capacity)));
        run(|| test(&PriorityQueue::bounded($capacity)));
    }};
}

fn queue_all<T, O: Order<T>, const N: usize>(queue: &AnyQueue<T, O>, items: [T; N]) {
    for item in items {
        queue.try_put(item).map_err(drop).unwrap();
    }
}

// Getting and putting.

#[test]
fn a_get_takes_what_is_there_or_waits_for_it() {
    of_each_order!(3, |queue| {
        queue.put(1).unwrap();
        assert_eq!((queue.get(), clock()), (Ok(1), 0.0));
        task::scope(|s| {
            s.spawn(|| {
                sleep(1).unwrap();
                queue.put(2).unwrap();
            });
            assert_eq!((queue.get(), clock()), (Ok(2), 1.0));
        });
        assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_put_finds_room_or_waits_for_it() {
    of_each_order!(1, |queue| {
        assert!(queue.is_empty() && !queue.is_full());
        queue.put(1).unwrap();
        assert!(queue.is_full());
        assert_eq!(
            (queue.len(), queue.capacity(), queue.try_put(2)),
            (1, Some(1), Err(TrySendError::Full(2)))
        );
        task::scope(|s| {
            s.spawn(|| {
                queue.put(2).unwrap();
                assert_eq!(clock(), 1.0);
            });
            sleep(1).unwrap();
            assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
        });
    });
}

#[test]
fn a_queue_without_a_limit_takes_everything() {
    run(|| {
        let queue = Queue::new();
        (0..1000).for_each(|number| queue.try_put(number).unwrap());
        assert_eq!(
            (queue.capacity(), queue.is_full(), queue.len(), queue.unfinished()),
            (None, false, 1000, 1000)
        );
        assert_eq!(queue.try_iter().sum::<u32>(), 499_500);
    });
}

#[test]
fn a_queue_that_holds_nothing_is_none() {
    let expected =
        "a queue of capacity 0: `new` makes one without a limit, and channel::rendezvous hands over";
    assert_eq!(panic_text(|| Queue::<()>::bounded(0)), expected);
    assert_eq!(panic_text(|| LifoQueue::<()>::bounded(0)), expected);
    assert_eq!(panic_text(|| PriorityQueue::<()>::bounded(0)), expected);
}

#[test]
fn getters_and_putters_are_served_in_order_and_nobody_passes() {
    run(|| {
        let queue = Queue::bounded(1);
        task::scope(|s| {
            let getters = [(); 3].map(|()| s.spawn(|| queue.get()));
            task::yield_now();
            (1..=3).for_each(|number| queue.try_put(number).unwrap());
            assert_eq!((queue.len(), queue.try_get()), (0, Err(TryRecvError::Empty)));
            assert_eq!(getters.map(|getter| getter.join().unwrap()), [Ok(1), Ok(2), Ok(3)]);
            queue.put(4).unwrap();
            let putters = [5, 6].map(|number| {
                s.spawn({
                    let queue = &queue;
                    move || queue.put(number)
                })
            });
            task::yield_now();
            assert_eq!((queue.try_get(), queue.try_put(7)), (Ok(4), Err(TrySendError::Full(7))));
            assert_eq!((queue.get(), queue.get()), (Ok(5), Ok(6)));
            assert!(putters.into_iter().all(|putter| putter.join().unwrap().is_ok()));
        });
    });
}

/// With asyncio's `maxsize=1` one consumer can take two items in a row while another waits.
#[test]
fn one_consumer_cannot_take_two_items_in_a_row_past_one_that_waits() {
    check(
        |log| {
            let queue = Queue::bounded(1);
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (log, queue) = (log.clone(), &queue);
                    s.spawn(move || queue.iter().for_each(|item| log.add(format!("{name}{item}"))));
                }
                for number in [1, 3] {
                    task::yield_now();
                    queue.put(number).unwrap();
                    queue.put(number + 1).unwrap();
                }
                queue.shutdown();
            });
        },
        &["a1", "b2", "a3", "b4"],
    );
}

// Cancelled getters and putters lose nothing.

#[test]
fn a_cancelled_get_takes_nothing_from_those_after_it() {
    of_each_order!(3, |queue| {
        assert!(time::timeout(seconds(1), || queue.get()).is_err());
        task::scope(|s| {
            let cut = s.spawn(|| queue.get());
            let next = s.spawn(|| queue.get());
            let last = s.spawn(|| queue.get());
            task::yield_now();
            cut.cancel();
            queue_all(queue, [1, 2]);
            assert_eq!(cut.join().unwrap(), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!((next.join().unwrap(), last.join().unwrap()), (Ok(1), Ok(2)));
        });
        // It is not in line any more.
        queue.put(3).unwrap();
        assert_eq!(queue.get(), Ok(3));
    });
}

#[test]
fn a_get_that_was_given_an_item_before_it_was_cancelled_returns_it() {
    of_each_order!(3, |queue| {
        task::scope(|s| {
            let readers = [(); 3].map(|()| s.spawn(|| queue.get()));
            task::yield_now();
            queue_all(queue, [1, 2]);
            readers[0].cancel();
            readers[2].cancel();
            let got = readers.map(|reader| reader.join().unwrap());
            assert_eq!(got, [Ok(1), Ok(2), Err(RecvError::Cancelled(REQUESTED))]);
        });
    });
}

#[test]
fn a_cancelled_put_has_its_item_back_and_lets_the_next_in() {
    of_each_order!(1, |queue| {
        queue.put(1).unwrap();
        task::scope(|s| {
            let put = |number| s.spawn(move || queue.put(number));
            let (first, cut, next) = (put(2), put(3), put(4));
            task::yield_now();
            cut.cancel();
            assert_eq!((queue.try_get(), queue.try_get(), queue.try_get()), (Ok(1), Ok(2), Ok(4)));
            assert_eq!(cut.join().unwrap(), Err(SendError::Cancelled(REQUESTED, 3)));
            assert_eq!((first.join().unwrap(), next.join().unwrap()), (Ok(()), Ok(())));
        });
        assert_eq!(queue.unfinished(), 3);
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_put_or_taken() {
    of_each_order!(3, |queue| {
        queue.put(1).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert_eq!(queue.get(), Err(RecvError::Cancelled(REQUESTED)));
            assert_eq!(queue.put(2), Err(SendError::Cancelled(REQUESTED, 2)));
            assert_eq!(queue.join(), Err(REQUESTED));
            assert_eq!(queue.get_job().unwrap_err(), RecvError::Cancelled(REQUESTED));
        });
        assert_eq!((queue.len(), queue.unfinished()), (1, 1));
    });
}

// Order.

#[test]
fn the_last_in_is_the_first_out() {
    run(|| {
        let queue = LifoQueue::bounded(3);
        queue_all(&queue, [1, 3, 2]);
        task::scope(|s| {
            s.spawn(|| queue.put(9).unwrap());
            task::yield_now();
            // The one who waited comes in when there is room, and is the last then.
            assert_eq!([queue.get(), queue.get(), queue.get(), queue.get()], [Ok(2), Ok(9), Ok(3), Ok(1)]);
        });
    });
}

#[test]
fn the_smallest_comes_first_and_of_equals_the_one_that_was_put_first() {
    #[derive(PartialEq, Eq, Debug)]
    struct Job(u32, &'static str);
    impl Ord for Job {
        fn cmp(&self, other: &Job) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    run(|| {
        let queue = PriorityQueue::new();
        for job in [Job(2, "a"), Job(1, "b"), Job(2, "c"), Job(3, "d"), Job(1, "e"), Job(2, "f"), Job(1, "g")]
        {
            queue.put(job).unwrap();
        }
        let order: Vec<_> = queue.try_iter().map(|job| job.1).collect();
        assert_eq!(order, ["b", "e", "g", "a", "c", "f", "d"]);
    });
}

#[test]
fn a_getter_that_waits_is_given_what_is_put_whatever_comes_after() {
    run(|| {
        let queue = PriorityQueue::new();
        task::scope(|s| {
            let waiting = s.spawn(|| queue.get());
            task::yield_now();
            queue.try_put(3).unwrap();
            queue.try_put(1).unwrap();
            assert_eq!((waiting.join().unwrap(), queue.get()), (Ok(3), Ok(1)));
        });
    });
}

#[test]
fn random_puts_and_gets_come_in_the_order_of_a_sorted_list() {
    testing::explore(0..300, || {
        let queue = PriorityQueue::new();
        // Kept sorted; by rank among equals.
        let mut list: Vec<(usize, u32)> = Vec::new();
        for rank in 0..60 {
            if testing::random(3) > 0 {
                let item = testing::random(8);
                queue.try_put(Equal(item, rank)).unwrap();
                list.push((item, rank));
                list.sort();
            } else {
                let expected = (!list.is_empty()).then(|| list.remove(0));
                assert_eq!(queue.try_get().ok().map(|item| (item.0, item.1)), expected);
            }
        }
        let left: Vec<_> = queue.shutdown_now().into_iter().map(|item| (item.0, item.1)).collect();
        assert_eq!(left, list);
    });
}

/// Equal to all with the same first number.
#[derive(Debug)]
struct Equal(usize, u32);

impl PartialEq for Equal {
    fn eq(&self, other: &Equal) -> bool {
        self.0 == other.0
    }
}

impl Eq for Equal {}

impl Ord for Equal {
    fn cmp(&self, other: &Equal) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Equal {
    fn partial_cmp(&self, other: &Equal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// Done and joined.

#[test]
fn a_join_waits_until_all_is_done_and_not_merely_taken() {
    check(
        |log| {
            let queue = Queue::new();
            task::scope(|s| {
                for name in ["a", "b"] {
                    let (log, queue) = (log.clone(), &queue);
                    s.spawn(move || {
                        for item in queue {
                            sleep(item).unwrap();
                            log.add(format!("{} {name} did {item}", clock()));
                            queue.task_done();
                        }
                    });
                }
                queue_all(&queue, [1, 2, 3]);
                queue.join().unwrap();
                log.add(format!("{} all done", clock()));
                queue.put(1).unwrap();
                queue.join().unwrap();
                log.add(format!("{} all done", clock()));
                queue.shutdown();
            });
        },
        &["1 a did 1", "2 b did 2", "4 a did 3", "4 all done", "5 b did 1", "5 all done"],
    );
}

#[test]
fn there_is_nothing_to_join_where_nothing_was_put() {
    of_each_order!(1, |queue| {
        queue.join().unwrap();
        assert_eq!((clock(), try_select(queue.joining())), (0.0, Some(())));
    });
}

#[test]
fn more_cannot_be_done_than_was_put() {
    of_each_order!(1, |queue| {
        let told = "task_done was called more often than items were put";
        assert_eq!(panic_text(|| queue.task_done()), told);
        queue.put(1).unwrap();
        // Python counts what is put and what is done, and not who has what.
        queue.task_done();
        queue.join().unwrap();
        assert_eq!(panic_text(|| queue.task_done()), told);
        assert_eq!(queue.get(), Ok(1));
    });
}

#[test]
fn all_who_join_go_on_and_a_cancelled_join_has_no_effect() {
    of_each_order!(1, |queue| {
        queue.put(1).unwrap();
        task::scope(|s| {
            let joins = [(); 3].map(|()| s.spawn(|| queue.join()));
            let selecting = s.spawn(|| select((time::sleeping(seconds(9)), queue.joining())));
            task::yield_now();
            joins[1].cancel();
            queue.get().unwrap();
            queue.task_done();
            // Who was woken has joined, whatever is put before it runs.
            queue.try_put(2).unwrap();
            assert_eq!(joins.map(|join| join.join().unwrap()), [Ok(()), Err(REQUESTED), Ok(())]);
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::Second(())));
        });
    });
}

#[test]
fn a_job_is_done_when_it_is_dropped_whatever_becomes_of_its_task() {
    run(|| {
        let queue = Queue::new();
        (1..=4).for_each(|number| queue.put(number).unwrap());
        let text = panic_text(|| {
            task::scope(|s| {
                s.spawn(|| {
                    let job = queue.get_job().unwrap();
                    sleep(*job).unwrap();
                    panic!("in the middle of job {}", *job)
                });
            });
        });
        assert_eq!((text.as_str(), queue.unfinished()), ("in the middle of job 1", 3));
        let early = || -> Result<u64, Cancelled> {
            let mut job = queue.get_job().unwrap();
            *job += 10;
            task::cancel_scope(|scope| {
                scope.cancel();
                sleep(1)
            })?;
            Ok(job.into_inner())
        };
        assert_eq!((early(), queue.unfinished()), (Err(REQUESTED), 2));
        assert_eq!(queue.get_job().unwrap().into_inner(), 3);
        // One too many is nobody's panic in a destructor.
        let job = queue.get_job().unwrap();
        queue.task_done();
        drop(job);
        queue.join().unwrap();
    });
}

#[test]
fn a_job_that_was_forgotten_is_reported_in_debug_mode() {
    let told = Rc::new(RefCell::new(String::new()));
    let hook = told.clone();
    let runtime =
        Runtime::builder().debug(true).on_unhandled(move |event| *hook.borrow_mut() = event.to_string());
    runtime.build().run(|| {
        let queue = Queue::new();
        queue.put(1).unwrap();
        task::spawn(move || std::mem::forget(queue.get_job().unwrap())).join().unwrap();
    });
    assert!(told.borrow().ends_with("ended with 1 guard that it did not give back"), "{}", told.borrow());
}

// Shutdown.

#[test]
fn an_empty_queue_that_is_shut_down_gives_and_takes_nothing() {
    of_each_order!(2, |queue| {
        queue.shutdown();
        assert!(queue.is_shut_down());
        assert_eq!(
            (queue.put(1), queue.try_put(2)),
            (Err(SendError::Closed(1)), Err(TrySendError::Closed(2)))
        );
        assert_eq!((queue.get(), queue.try_get()), (Err(RecvError::Closed), Err(TryRecvError::Closed)));
        queue.join().unwrap();
        queue.shutdown();
        assert!(queue.shutdown_now().is_empty());
    });
}

#[test]
fn what_is_there_when_a_queue_is_shut_down_can_be_taken() {
    of_each_order!(2, |queue| {
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        queue.shutdown();
        assert_eq!(queue.try_put(3), Err(TrySendError::Closed(3)), "and not that it is full");
        let mut got = vec![queue.get().unwrap(), queue.try_get().unwrap()];
        got.sort();
        assert_eq!(
            (got, queue.get(), queue.try_get()),
            (vec![1, 2], Err(RecvError::Closed), Err(TryRecvError::Closed))
        );
        assert!(time::timeout(seconds(1), || queue.join()).is_err(), "it is not done");
        queue.task_done();
        queue.task_done();
        queue.join().unwrap();
    });
}

#[test]
fn a_shutdown_wakes_all_who_wait_to_get_or_to_put() {
    of_each_order!(1, |queue| {
        task::scope(|s| {
            let getters = [(); 3].map(|()| s.spawn(|| queue.get()));
            let selecting = s.spawn(|| select((queue.getting(), time::sleeping(seconds(9)))));
            task::yield_now();
            queue.shutdown();
            assert_eq!(getters.map(|getter| getter.join().unwrap()), [Err(RecvError::Closed); 3]);
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(RecvError::Closed))));
        });
    });
    of_each_order!(1, |queue| {
        queue.put(0).unwrap();
        task::scope(|s| {
            let putters = [1, 2].map(|number| s.spawn(move || queue.put(number)));
            let selecting = s.spawn(|| select((queue.putting(3), time::sleeping(seconds(9)))));
            task::yield_now();
            queue.shutdown();
            assert_eq!(
                putters.map(|putter| putter.join().unwrap()),
                [Err(SendError::Closed(1)), Err(SendError::Closed(2))]
            );
            assert_eq!(selecting.join().unwrap(), Ok(Chosen::First(Err(SendError::Closed(3)))));
            assert_eq!((queue.get(), queue.unfinished()), (Ok(0), 1));
        });
    });
}

#[test]
fn a_getter_that_was_given_an_item_before_the_shutdown_has_it() {
    of_each_order!(1, |queue| {
        task::scope(|s| {
            let getters = [(); 2].map(|()| s.spawn(|| queue.get()));
            task::yield_now();
            queue.try_put(1).unwrap();
            queue.shutdown();
            assert_eq!(getters.map(|getter| getter.join().unwrap()), [Ok(1), Err(RecvError::Closed)]);
        });
    });
}

#[test]
fn a_shutdown_at_once_takes_out_what_is_there_and_lets_those_go_on_who_join() {
    of_each_order!(2, |queue| {
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        task::scope(|s| {
            let joining = s.spawn(|| queue.join());
            let putting = s.spawn(|| queue.put(3));
            task::yield_now();
            let mut there = queue.shutdown_now();
            there.sort();
            assert_eq!((there, queue.len(), queue.unfinished()), (vec![1, 2], 0, 0));
            assert_eq!(
                (joining.join().unwrap(), putting.join().unwrap()),
                (Ok(()), Err(SendError::Closed(3)))
            );
        });
        assert_eq!((queue.get(), queue.try_get()), (Err(RecvError::Closed), Err(TryRecvError::Closed)));
    });
}

#[test]
fn a_shutdown_at_once_does_not_make_done_what_was_taken_before() {
    of_each_order!(3, |queue| {
        queue_all(queue, [1, 2, 3]);
        let _taken = queue.get().unwrap();
        task::scope(|s| {
            let joining = s.spawn(|| queue.join().map(|()| clock()));
            task::yield_now();
            assert_eq!((queue.shutdown_now().len(), queue.unfinished()), (2, 1));
            sleep(1).unwrap();
            assert!(!joining.is_finished());
            queue.task_done();
            assert_eq!(joining.join().unwrap(), Ok(1.0));
        });
        assert_eq!(panic_text(|| queue.task_done()), "task_done was called more often than items were put");
    });
}

#[test]
fn a_queue_that_was_shut_down_can_be_shut_down_at_once_later() {
    run(|| {
        let queue = LifoQueue::new();
        (1..=3).for_each(|number| queue.put(number).unwrap());
        queue.shutdown();
        assert_eq!(queue.get(), Ok(3));
        assert_eq!(queue.shutdown_now(), [2, 1], "in the order in which they would have been taken");
        assert_eq!(queue.get(), Err(RecvError::Closed));
        // More was said to be done than was taken.
        let queue = PriorityQueue::new();
        queue_all(&queue, [2, 1]);
        (0..2).for_each(|_| queue.task_done());
        assert_eq!((queue.shutdown_now(), queue.unfinished()), (vec![1, 2], 0));
    });
}

#[test]
fn an_iteration_ends_when_the_queue_is_shut_down_and_empty() {
    run(|| {
        let queue = Queue::bounded(2);
        task::scope(|s| {
            let reading = s.spawn(|| queue.iter().collect::<Vec<_>>());
            (0..5).for_each(|number| queue.put(number).unwrap());
            queue.shutdown();
            assert_eq!(reading.join().unwrap(), [0, 1, 2, 3, 4]);
        });
        assert_eq!((&queue).into_iter().count(), 0);
        assert_eq!(
            format!("{queue:?}"),
            "Queue { len: 0, capacity: Some(2), unfinished: 5, is_shut_down: true }"
        );
    });
}

// Arms.

#[test]
fn arms_of_a_queue_are_chosen_or_have_no_effect() {
    of_each_order!(1, |queue| {
        assert_eq!(try_select((queue.getting(), queue.putting(1))), Some(Chosen::Second(Ok(()))));
        let mut putting = queue.putting(2);
        assert_eq!(select((&mut putting, time::sleeping(seconds(1)))), Ok(Chosen::Second(())));
        assert_eq!(select((queue.getting(), &mut putting)), Ok(Chosen::First(Ok(1))));
        assert_eq!(select(&mut putting), Ok(Ok(())));
        assert_eq!((putting.into_item(), queue.get(), queue.unfinished()), (None, Ok(2), 2));
        let other = queue.putting(3);
        assert_eq!(other.into_item(), Some(3));
    });
}

// Hostile comparisons.

/// Compares as its number does, after having meddled.
struct Meddler {
    number: u32,
    meddle: Rc<dyn Fn()>,
}

impl PartialEq for Meddler {
    fn eq(&self, other: &Meddler) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Meddler {}

impl PartialOrd for Meddler {
    fn partial_cmp(&self, other: &Meddler) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Meddler {
    fn cmp(&self, other: &Meddler) -> Ordering {
        (self.meddle)();
        self.number.cmp(&other.number)
    }
}

#[test]
fn a_comparison_that_panics_loses_no_item() {
    let mut panics = 0;
    for countdown in 0..40 {
        run(|| {
            let left = Rc::new(Cell::new(countdown));
            let queue = PriorityQueue::bounded(6);
            let item = |number| Meddler {
                number,
                meddle: Rc::new({
                    let left = left.clone();
                    move || match left.get() {
                        0 => {
                            left.set(u32::MAX);
                            panic!("cannot compare")
                        }
                        more => left.set(more - 1),
                    }
                }),
            };
            let mut got = Vec::new();
            let mut panicked = false;
            task::scope(|s| {
                let mut try_all = |act: &mut dyn FnMut()| {
                    panicked |= catch_unwind(AssertUnwindSafe(act)).is_err();
                };
                for number in [5, 3, 4, 1, 6, 2] {
                    try_all(&mut || queue.try_put(item(number)).map_err(|_| ()).unwrap());
                }
                assert_eq!((queue.len(), queue.unfinished()), (6, 6));
                // Two more wait, and come in as others go out.
                let queue = &queue;
                for number in [0, 7] {
                    let item = item(number);
                    s.spawn(move || queue.put(item).map_err(|_| ()).unwrap());
                }
                task::yield_now();
                for _ in 0..9 {
                    try_all(&mut || got.extend(queue.try_get().map(|item| item.number)));
                }
            });
            if panicked {
                got.sort();
                panics += 1;
            } else {
                assert_eq!(got, [1, 0, 2, 3, 4, 5, 6, 7]);
                got.sort();
            }
            assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7]);
            assert_eq!((queue.unfinished(), queue.len()), (8, 0));
        });
    }
    assert!(panics > 20, "{panics}");
}

#[test]
fn a_comparison_cannot_use_its_queue_and_cannot_wait() {
    run(|| {
        let queue: Rc<PriorityQueue<Meddler>> = Rc::new(PriorityQueue::new());
        let (log, inside) = (Log::new(), Rc::downgrade(&queue));
        let ours = log.clone();
        let meddle: Rc<dyn Fn()> = Rc::new(move || {
            let queue = inside.upgrade().unwrap();
            ours.add(panic_text(|| queue.len()));
            ours.add(panic_text(|| queue.try_get().map(drop)));
            ours.add(format!("{:?}", sleep(1).map_err(|why| why.reason())));
        });
        queue.put(Meddler { number: 2, meddle: meddle.clone() }).unwrap();
        queue.put(Meddler { number: 1, meddle }).unwrap();
        let told = "a comparison must not use the queue that it is made for";
        log.assert(&[told, told, "Err(OutsideTask)"]);
        assert_eq!(queue.len(), 2);
        // Where nothing is compared.
        assert_eq!(queue.get().map(|item| item.number), Ok(1));
        sleep(1).unwrap();
    });
}

#[test]
fn an_order_that_is_none_loses_no_item() {
    testing::explore(0..200, || {
        struct Any(u32);
        impl PartialEq for Any {
            fn eq(&self, _: &Any) -> bool {
                testing::random(2) == 0
            }
        }
        impl Eq for Any {}
        impl PartialOrd for Any {
            fn partial_cmp(&self, other: &Any) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Any {
            fn cmp(&self, _: &Any) -> Ordering {
                [Ordering::Less, Ordering::Equal, Ordering::Greater][testing::random(3)]
            }
        }
        let queue = PriorityQueue::new();
        (0..20).for_each(|number| queue.try_put(Any(number)).map_err(drop).unwrap());
        let mut got: Vec<_> = queue.try_iter().take(10).map(|item| item.0).collect();
        got.extend(queue.shutdown_now().into_iter().map(|item| item.0));
        got.sort();
        assert_eq!(got, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn outside_of_a_runtime_the_try_forms_work() {
    let queue = Queue::bounded(1);
    assert_eq!((queue.try_put(1), queue.try_put(2)), (Ok(()), Err(TrySendError::Full(2))));
    assert_eq!((queue.try_get(), queue.try_get()), (Ok(1), Err(TryRecvError::Empty)));
    queue.task_done();
    assert_eq!(panic_text(|| queue.get()), "no runtime runs on this thread: call this inside ropewalk::run");
}

// Every schedule, every moment.

fn a_crowded_queue<O: Order<u32>>(queue: &AnyQueue<u32, O>) {
    let put = RefCell::new(BTreeSet::new());
    let got = RefCell::new(BTreeSet::new());
    let next = Cell::new(0);
    let joined = Cell::new(0);
    task::scope(|s| {
        let (put, got, next, joined) = (&put, &got, &next, &joined);
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(s.spawn(move || {
                for _ in 0..4 {
                    next.set(next.get() + 1);
                    let item = next.get();
                    let is_put = match testing::random(3) {
                        0 => queue.try_put(item).is_ok(),
                        1 => {
                            let mut putting = queue.putting(item);
                            let chosen = select((&mut putting, time::sleeping(seconds(1))));
                            let is_put = matches!(chosen, Ok(Chosen::First(Ok(()))));
                            let back = putting.into_item();
                            assert!(back.is_none() || !is_put);
                            is_put
                        }
                        _ => queue.put(item).is_ok(),
                    };
                    if is_put {
                        put.borrow_mut().insert(item);
                    }
                }
            }));
            tasks.push(s.spawn(move || {
                for _ in 0..4 {
                    let item = match testing::random(4) {
                        0 => queue.try_get().ok(),
                        1 => match select((queue.getting(), time::sleeping(seconds(1)))) {
                            Ok(Chosen::First(item)) => item.ok(),
                            _ => None,
                        },
                        2 => queue.get().ok(),
                        _ => match queue.get_job() {
                            Ok(job) => {
                                task::yield_now();
                                assert!(got.borrow_mut().insert(*job), "{} came twice", *job);
                                continue;
                            }
                            Err(_) => None,
                        },
                    };
                    if let Some(item) = item {
                        assert!(got.borrow_mut().insert(item), "{item} came twice");
                        task::yield_now();
                        queue.task_done();
                    }
                }
            }));
            tasks.push(s.spawn(move || {
                if queue.join().is_ok() {
                    joined.set(joined.get() + 1);
                }
            }));
        }
        for _ in 0..testing::random(4) {
            (0..testing::random(8)).for_each(|_| task::yield_now());
            tasks[testing::random(tasks.len())].cancel();
        }
        let at_once = testing::random(2) == 0;
        // Whoever waits for nothing that will come.
        s.spawn_service(move || {
            sleep(10).ok()?;
            match at_once {
                true => got.borrow_mut().extend(queue.shutdown_now()),
                false => {
                    queue.shutdown();
                    queue.try_iter().for_each(|item| {
                        got.borrow_mut().insert(item);
                        queue.task_done();
                    });
                }
            }
            Some(())
        });
        tasks.iter().for_each(|task| _ = task.join());
    });
    let left: Vec<u32> = queue.shutdown_now();
    got.borrow_mut().extend(left);
    assert_eq!((put.take(), queue.unfinished(), queue.len()), (got.take(), 0, 0));
}

#[test]
fn nothing_is_lost_or_given_twice_whatever_the_schedule_and_whoever_is_cancelled() {
    testing::explore(0..2000, || match testing::random(3) {
        0 => a_crowded_queue(&Queue::bounded(1 + testing::random(3))),
        1 => a_crowded_queue(&LifoQueue::bounded(1 + testing::random(3))),
        _ => a_crowded_queue(&PriorityQueue::bounded(1 + testing::random(3))),
    });
}

#[test]
fn wherever_workers_are_cancelled_the_queue_is_whole_afterwards() {
    for seed in 0..20 {
        Setup::new().seed(seed).cancel_everywhere(|cut| {
            let queue = PriorityQueue::bounded(1);
            let (put, got) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
            cut.here(|| {
                task::scope(|s| {
                    let (queue, put, got) = (&queue, &put, &got);
                    for name in 0..2 {
                        s.spawn(move || {
                            for number in 0..3 {
                                if queue.put((name, number)).is_ok() {
                                    put.borrow_mut().insert((name, number));
                                }
                            }
                        });
                        s.spawn(move || {
                            for item in queue.iter().take(3) {
                                got.borrow_mut().insert(item);
                                let _ = task::checkpoint();
                                queue.task_done();
                            }
                        });
                    }
                    let _ = queue.join();
                });
            });
            let left = queue.len();
            assert_eq!((left, queue.unfinished()), (put.borrow().len() - got.borrow().len(), left));
            got.borrow_mut().extend(queue.shutdown_now());
            assert_eq!(put, got);
            queue.join().unwrap();
        });
    }
}
