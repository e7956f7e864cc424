//! Jobs for other threads, in every order in which it can happen: that they are found, begun once, and over before their hosts go on.
//!
//! Everything is the library's own but the queues of crossbeam's, for which `src/work.rs` has a stand-in that orders as little, and the
//! scheduler, which is that of [`kernel`](crate::kernel).
//!
//! Each of these mistakes was made on purpose, and is found by the tests beside it:
//!
//! | mistake | found by |
//! |---|---|
//! | no fence in `Work::call`; none in `register`; no second look for jobs there; `idle` not stored there | `a_job_that_is_added_while_somebody_falls_asleep_is_found` and all who sleep without a limit |
//! | `undo` of a wait for jobs says *done* though it was called | `whoever_was_called_looks_even_if_the_time_is_over`, `a_task_that_is_cancelled_while_it_is_called_for_a_job_leaves_it_or_looks` |
//! | `close` wakes, and does not remember | `nobody_waits_for_work_that_is_closed`, `threads_that_are_closed_do_what_they_have_accepted_and_leave` |
//! | a thread leaves without a look for jobs, or looks before it has the count locked | `a_job_that_is_submitted_while_the_thread_leaves_is_done`, `jobs_of_two_submitters_are_done_by_no_more_threads_than_there_may_be` |
//! | a thread steps aside and starts nobody; or never steps back | `a_thread_that_waits_makes_room_for_what_it_waits_for` |
//! | the last thread tells nobody that it leaves | all who wait for the end of threads |
//! | a host that is cancelled leaves a call that runs | `a_call_is_begun_once_or_taken_back_and_is_over_when_its_host_goes_on` |
//! | `ask` wakes nobody; a host that is asked before it parks parks | `a_host_does_what_it_is_asked_for_while_the_thread_waits` |
//! | a host whose call is over before it parks parks | `a_call_is_begun_once_or_taken_back_and_is_over_when_its_host_goes_on` |
//! | a wait for a submitted call begins after its end | `a_submitted_call_is_begun_or_taken_back_and_all_who_wait_hear_of_its_end` |
//! | a submitted call that runs is said to be taken back | `a_submitted_call_is_begun_or_taken_back_and_all_who_wait_hear_of_its_end` |

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::job::{self, Call, Current, Hosted};
use super::submitted::Submitted;
use super::threads::{self, Nobody, Settings, Threads};
use crate::kernel::{Cancel, Deposit, task};
use crate::scheduler::lowlevel::Why;
use crate::work::{Called, Work};
use crate::{Message, Proof, explore, message};

const WHY: Why<'static> = Why::new("job");

/// Takes so many jobs, and waits for them.
fn take(work: &Work<Message>, jobs: usize) -> usize {
    let mut sum = 0;
    for _ in 0..jobs {
        sum += loop {
            match work.take() {
                Some(job) => break job.number.read(),
                None => work.wait(None, &WHY).unwrap(),
            }
        };
    }
    sum
}

#[test]
fn a_job_that_is_added_while_somebody_falls_asleep_is_found() {
    explore(None, || {
        let work = Arc::new(Work::new(0).0);
        let taker = thread::spawn({
            let work = work.clone();
            move || take(&work, 1)
        });
        work.add(message(0, 7));
        assert_eq!(taker.join().unwrap(), 7);
    });
}

#[test]
fn each_of_two_sleepers_is_called_for_a_job() {
    explore(Some(2), || {
        let work = Arc::new(Work::new(0).0);
        let takers = [(); 2].map(|()| {
            let work = work.clone();
            thread::spawn(move || take(&work, 1))
        });
        work.add(message(0, 1));
        work.add(message(0, 2));
        assert_eq!(takers.map(|taker| taker.join().unwrap()).iter().sum::<usize>(), 3);
    });
}

#[test]
fn two_who_add_a_job_each_are_heard_by_one_sleeper() {
    explore(Some(3), || {
        let work = Arc::new(Work::new(0).0);
        let adders = [1, 2].map(|number| {
            let work = work.clone();
            thread::spawn(move || work.add(message(0, number)))
        });
        assert_eq!(take(&work, 2), 3);
        adders.into_iter().for_each(|adder| drop(adder.join().unwrap()));
    });
}

#[test]
fn whoever_adds_to_a_queue_of_its_own_calls_somebody_to_steal() {
    explore(Some(3), || {
        let (work, mut locals) = Work::<Message>::new(2);
        let (other, own) = (locals.pop().unwrap(), locals.pop().unwrap());
        let work = Arc::new(work);
        let thief = thread::spawn({
            let work = work.clone();
            move || {
                loop {
                    match work.take_beside(&other) {
                        Some(job) => break job.number.read(),
                        None => work.wait(Some(&other), &WHY).unwrap(),
                    }
                }
            }
        });
        work.add_to(&own, message(0, 1));
        work.add_to(&own, message(0, 2));
        let kept = loop {
            match work.take_own(&own).or_else(|| work.take_beside(&own)) {
                Some(job) => break job.number.read(),
                None => thread::yield_now(),
            }
        };
        assert_eq!(kept + thief.join().unwrap(), 3);
    });
}

#[test]
fn whoever_was_called_looks_even_if_the_time_is_over() {
    explore(None, || {
        let work = Arc::new(Work::new(0).0);
        let waiter = thread::spawn({
            let work = work.clone();
            move || work.wait_for(Duration::ZERO, &WHY).unwrap()
        });
        let somebody_was_called = work.add(message(0, 7));
        let called = waiter.join().unwrap();
        assert!(!somebody_was_called || called == Called::Look);
        assert!(work.take().is_some());
    });
}

#[test]
fn a_task_that_is_cancelled_while_it_is_called_for_a_job_leaves_it_or_looks() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(4), move || {
            let work = Arc::new(Work::new(0).0);
            let adder = thread::spawn({
                let work = work.clone();
                move || work.add(message(0, 7))
            });
            let looks = task(cancel, || work.wait(None, &WHY).is_ok());
            assert!(looks || !adder.join().unwrap(), "nobody looks, though somebody was called");
            assert_eq!(work.idle(), 0);
        });
    }
}

#[test]
fn nobody_waits_for_work_that_is_closed() {
    explore(Some(3), || {
        let work = Arc::new(Work::<Message>::new(0).0);
        let waiters = [(); 2].map(|()| {
            let work = work.clone();
            thread::spawn(move || {
                while !work.is_closed() {
                    work.wait(None, &WHY).unwrap();
                }
            })
        });
        work.close();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// A job that counts how often it is done, and has it done by the counter's owner that what it has written is read.
struct Counted {
    count: Arc<AtomicUsize>,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl threads::Job for Counted {
    fn run(mut self) {
        if let Some(then) = self.then.take() {
            then();
        }
        // Relaxed: whoever waits for the end of the threads is to see it.
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn is_wanted(&self) -> bool {
        true
    }
}

fn of_threads(most: usize, patience: Duration) -> Arc<Threads<Counted>> {
    Arc::new(Threads::new(Settings { name: "loom".into(), most, patience }))
}

fn submit(threads: &Arc<Threads<Counted>>, count: &Arc<AtomicUsize>) {
    assert_eq!(Threads::run(threads, Counted { count: count.clone(), then: None }), Ok(()));
}

#[test]
fn a_job_that_is_submitted_while_the_thread_leaves_is_done() {
    explore(Some(4), || {
        let threads = of_threads(1, Duration::ZERO);
        let done = Arc::new(AtomicUsize::new(0));
        submit(&threads, &done);
        submit(&threads, &done);
        threads.wait_for_end().unwrap();
        assert_eq!((done.load(Ordering::Relaxed), threads.count()), (2, (0, 0)));
    });
}

#[test]
fn jobs_of_two_submitters_are_done_by_no_more_threads_than_there_may_be() {
    explore(Some(2), || {
        let threads = of_threads(1, Duration::ZERO);
        let done = Arc::new(AtomicUsize::new(0));
        let other = thread::spawn({
            let (threads, done) = (threads.clone(), done.clone());
            move || submit(&threads, &done)
        });
        submit(&threads, &done);
        assert!(threads.count().0 <= 1);
        other.join().unwrap();
        threads.wait_for_end().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    });
}

/// Their patience has no end here: they leave because they are told to.
#[test]
fn threads_that_are_closed_do_what_they_have_accepted_and_leave() {
    explore(Some(2), || {
        let threads = of_threads(2, Duration::MAX);
        let done = Arc::new(AtomicUsize::new(0));
        submit(&threads, &done);
        submit(&threads, &done);
        threads.close();
        threads.wait_for_end().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    });
}

/// The job on the only thread waits for one that is queued behind it.
#[test]
fn a_thread_that_waits_makes_room_for_what_it_waits_for() {
    explore(Some(2), || {
        let threads = of_threads(1, Duration::ZERO);
        let done = Arc::new(AtomicUsize::new(0));
        let inner = Submitted::new(Box::new({
            let done = done.clone();
            move || drop(done.fetch_add(1, Ordering::Relaxed))
        }));
        let then: Box<dyn FnOnce() + Send> = Box::new({
            let inner = inner.clone();
            move || inner.wait().unwrap()
        });
        let first = Counted { count: done.clone(), then: Some(then) };
        assert_eq!(Threads::run(&threads, first), Ok(()));
        let then: Box<dyn FnOnce() + Send> = Box::new(move || Submitted::run(&inner));
        let second = Counted { count: done.clone(), then: Some(then) };
        assert_eq!(Threads::run(&threads, second), Ok(()));
        threads.wait_for_end().unwrap();
        assert_eq!((done.load(Ordering::Relaxed), threads.count()), (3, (0, 0)));
    });
}

/// Has a thread do the job, which is all that there is for it to do.
fn on_a_thread(hosted: Hosted) -> Result<(), Nobody> {
    thread::spawn(move || hosted.run());
    Ok(())
}

const ALL: [Cancel; 3] = [Cancel::Never, Cancel::AtOnce, Cancel::AfterALook];

#[test]
fn a_call_is_begun_once_or_taken_back_and_is_over_when_its_host_goes_on() {
    for cancel in ALL {
        explore(None, move || {
            task(cancel, || {
                let (called, borrowed) = (AtomicUsize::new(0), Proof::of(0));
                let call = || {
                    called.fetch_add(1, Ordering::Relaxed);
                    borrowed.write(7);
                };
                let performed = job::perform(Call::Borrows(Box::new(call)), &WHY, on_a_thread, || None);
                // Nothing but the end of the job orders this read after that write.
                let expected = if performed.is_ok() { (1, 7) } else { (0, 0) };
                assert_eq!((called.load(Ordering::Relaxed), borrowed.read()), expected);
                assert!(cancel != Cancel::Never || performed.is_ok());
            });
        });
    }
}

/// The job that this thread does.
fn this_job() -> Arc<job::Job> {
    let Some(Current::Hosted(job)) = job::current() else { panic!("this is a job with a host") };
    job
}

#[test]
fn a_host_does_what_it_is_asked_for_while_the_thread_waits() {
    for cancel in ALL {
        explore(Some(3), move || {
            task(cancel, || {
                let proofs = [Proof::of(0), Proof::of(0)];
                let call = || {
                    let job = this_job();
                    for proof in &proofs {
                        proof.write(1);
                        let asked = job::ask(&job, || {
                            assert_eq!(proof.read(), 1);
                            proof.write(2);
                            3
                        });
                        assert!(matches!(asked, Ok(Ok(3))));
                        assert_eq!(proof.read(), 2);
                    }
                };
                let performed = job::perform(Call::Borrows(Box::new(call)), &WHY, on_a_thread, || None);
                let expected = if performed.is_ok() { 2 } else { 0 };
                assert!(proofs.iter().all(|proof| proof.read() == expected));
            });
        });
    }
}

#[test]
fn a_call_that_is_abandoned_ends_alone_and_asks_nobody() {
    for cancel in [Cancel::AtOnce, Cancel::AfterALook] {
        explore(Some(3), move || {
            // Loom finds what is left of it and of what was deposited.
            let kept = Arc::new(());
            let alive = kept.clone();
            task(cancel, || {
                let call = move || {
                    let _alive = alive;
                    match job::ask(&this_job(), || 3) {
                        Ok(answer) => assert!(matches!(answer, Ok(3))),
                        Err(call) => assert_eq!(call(), 3),
                    }
                };
                let leave = || Some(Deposit(kept));
                let _ = job::perform(Call::Owns(Box::new(call)), &WHY, on_a_thread, leave);
            });
        });
    }
}

#[test]
fn a_submitted_call_is_begun_or_taken_back_and_all_who_wait_hear_of_its_end() {
    explore(Some(3), || {
        let written = Arc::new(Proof::of(0));
        let called = Arc::new(AtomicUsize::new(0));
        let submitted = Submitted::new(Box::new({
            let (written, called) = (written.clone(), called.clone());
            move || {
                written.write(7);
                called.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let thread = thread::spawn({
            let submitted = submitted.clone();
            move || Submitted::run(&submitted)
        });
        let waiting = thread::spawn({
            let submitted = submitted.clone();
            move || submitted.wait().unwrap()
        });
        let taken_back = submitted.cancel(crate::error::Reason::Requested);
        task(Cancel::Never, || submitted.wait().unwrap());
        assert_eq!(submitted.was_called(), !taken_back);
        assert_eq!(written.read(), if taken_back { 0 } else { 7 });
        assert_eq!(called.load(Ordering::Relaxed), usize::from(!taken_back));
        waiting.join().unwrap();
        thread.join().unwrap();
    });
}
