//! Attacks on tasks from safe code. Each of these once got through.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use ropewalk::lowlevel::{self, Ticket, Undo, WaitList, Why};
use ropewalk::task::{self, JoinHandle};
use ropewalk::{Cancelled, Generator, Reason, Yielder, generate, inspect, time};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn a_task_that_a_service_starts_before_it_ends_is_waited_for() {
    ropewalk::run(|| {
        let seen = Cell::new(0);
        task::scope(|s| {
            s.spawn_service(|| {
                while time::sleep(SHORT).is_ok() {}
                s.spawn(|| {
                    for _ in 0..3 {
                        time::sleep(SHORT).unwrap();
                        seen.set(seen.get() + 1);
                    }
                });
            });
            s.spawn(|| time::sleep(SHORT).unwrap());
        });
        assert_eq!(seen.get(), 3);
    });
}

type Kept = Rc<RefCell<Option<JoinHandle<()>>>>;

struct Spawns(Kept);

impl Drop for Spawns {
    fn drop(&mut self) {
        *self.0.borrow_mut() = Some(task::spawn(|| ()));
    }
}

#[test]
fn a_task_that_is_spawned_when_run_drops_a_callback_has_ended_when_run_returns() {
    let kept = Kept::default();
    ropewalk::run(|| {
        let spawns = Spawns(kept.clone());
        time::call_later(Duration::from_secs(3600), move || drop(spawns));
    });
    let task = kept.borrow_mut().take().unwrap();
    assert!(task.is_finished());
    assert!(!task.cancel());
    assert_eq!(task.info().parent, None);
}

struct Yields<'a>(&'a Yielder<u8>, Rc<Cell<bool>>);

impl Drop for Yields<'_> {
    fn drop(&mut self) {
        let refused = panic::catch_unwind(AssertUnwindSafe(|| self.0.yield_(1))).is_err();
        self.1.set(refused);
    }
}

#[test]
fn a_yield_out_of_the_scheduler_is_refused_to_a_generator_that_a_callback_resumed() {
    let refused = Rc::new(Cell::new(false));
    ropewalk::run(|| {
        let flag = refused.clone();
        time::call_later(SHORT, move || {
            let generator: Generator<u8> = generate(move |co| {
                let yields = Yields(co, flag);
                // Nobody could wait for it: the scheduler drops the closure.
                task::scope(|s| drop(s.spawn(move || drop(yields))));
            });
            assert_eq!(generator.next(), None);
        });
        time::sleep(SHORT * 3).unwrap();
    });
    assert!(refused.get());
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_task_is_itself_again_after_a_scope_in_a_destructor_during_a_panic() {
    ropewalk::run(|| {
        let unwound = panic::catch_unwind(|| {
            let _scope = OnDrop(|| {
                let result = task::scope(|s| s.spawn(|| ()).join());
                assert!(result.is_err());
            });
            panic::resume_unwind(Box::new(()));
        });
        assert!(unwound.is_err());
        assert_eq!(task::current_id().map(|id| id.get()), Some(1));
        assert_eq!(time::sleep(SHORT), Ok(()));
    });
}

#[derive(Clone)]
struct Local(#[allow(dead_code)] Rc<Dropped>);

struct Dropped(Option<Rc<dyn Fn()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.as_ref().unwrap()();
    }
}

ropewalk::task_local! {
    static LOCAL: Option<Local> = None;
}

fn set_local(on_drop: impl Fn() + 'static) {
    LOCAL.set(Some(Local(Rc::new(Dropped(Some(Rc::new(on_drop)))))));
}

#[test]
fn a_local_that_is_set_while_locals_are_dropped_goes_with_the_task_too() {
    ropewalk::run(|| {
        let dropped = Rc::new(Cell::new(None));
        let seen = dropped.clone();
        drop(task::spawn(move || {
            set_local(move || {
                let seen = seen.clone();
                set_local(move || {
                    seen.set(task::current_id());
                    panic::resume_unwind(Box::new(()));
                });
            });
        }));
        task::yield_now();
        assert_eq!(dropped.get().map(|id| id.get()), Some(2));
    });
}

#[test]
fn a_result_is_dropped_when_a_local_of_its_task_had_the_handle() {
    type Handle = Rc<RefCell<Option<JoinHandle<Rc<()>>>>>;
    let result = Rc::new(());
    ropewalk::run(|| {
        let handle = Handle::default();
        let (kept, value) = (handle.clone(), result.clone());
        let task = task::spawn(move || {
            set_local(move || drop(kept.borrow_mut().take()));
            value
        });
        *handle.borrow_mut() = Some(task);
        task::yield_now();
    });
    assert_eq!(Rc::strong_count(&result), 1);
}

#[test]
fn a_race_where_no_task_can_begin_is_an_error() {
    ropewalk::run(|| {
        let outcome = Rc::new(Cell::new(None));
        let seen = outcome.clone();
        time::call_later(SHORT, move || seen.set(Some(task::race(|r| drop(r.add(|| ()))))));
        time::sleep(SHORT * 3).unwrap();
        assert_eq!(outcome.get(), Some(Err(Cancelled::new(Reason::OutsideTask))));

        let cancelled = task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            task::spawn(move || canceller.cancel());
            task::race(|r| drop(r.add(|| ())))
        });
        assert_eq!(cancelled, Err(Cancelled::new(Reason::Requested)));
    });
}

#[test]
fn a_wait_that_cannot_be_taken_back_and_is_granted_has_not_been_cut_short() {
    ropewalk::run(|| {
        let kept: Rc<Cell<Option<Ticket<u8>>>> = Rc::default();
        let late = kept.clone();
        let wait = || {
            let undo = || {
                time::call_later(SHORT, move || late.take().unwrap().wake(7).unwrap());
                Undo::Later
            };
            lowlevel::park(&Why::new("answer"), |ticket| kept.set(Some(ticket)), undo)
        };
        assert_eq!(time::move_on_after(SHORT, |_| wait()), Some(Ok(7)));
    });
}

/// Runs when the thread's locals are destroyed, after those that were used later than this one.
struct RunsLast;

impl Drop for RunsLast {
    fn drop(&mut self) {
        dump_beside_a_waiter();
    }
}

thread_local! {
    static LAST: RunsLast = const { RunsLast };
}

fn dump_beside_a_waiter() {
    ropewalk::run(|| {
        let line = Rc::new(WaitList::new());
        let waits = line.clone();
        let waiter = task::spawn(move || waits.wait(&Why::new("number")));
        task::yield_now();
        inspect::dump_with_backtraces();
        assert_eq!(line.wake_one(5), Ok(()));
        assert_eq!(waiter.join().unwrap(), Ok(5));
    });
}

#[test]
fn a_dump_when_the_locals_of_a_thread_are_gone_leaves_the_stacks_of_others_alone() {
    let thread = std::thread::spawn(|| {
        LAST.with(|_| ());
        dump_beside_a_waiter();
    });
    // If the second one panics, the process is gone: std does not let destructors of locals unwind.
    thread.join().unwrap();
}
