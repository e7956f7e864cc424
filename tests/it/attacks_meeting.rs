//! Attacks on waits, lines and selects from safe code.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::rc::Rc;

use ropewalk::channel;
use ropewalk::lowlevel::{self, Arm, ByTicket, InLine, Register, TaskId, Ticket, WaitList, Why};
use ropewalk::select::{Chosen, select};
use ropewalk::sync::Mutex;
use ropewalk::{Generator, Yielder, generate, inspect, task, testing, time};

use crate::log::{Log, panic_text};
use crate::world::{run, seconds, sleep, unhandled_by};

/// A writer in which others have their turn.
struct LetsOthersRun<'a>(&'a dyn Fn(&str), String);

impl Write for LetsOthersRun<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.1.push_str(text);
        (self.0)(text);
        Ok(())
    }
}

#[test]
fn whoever_writes_what_a_line_shows_may_let_its_waiters_go() {
    run(|| {
        let line: WaitList = WaitList::new();
        task::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| line.wait(&Why::new("turn")).unwrap());
            }
            task::yield_now();
            let first = Cell::new(true);
            let wakes = |text: &str| {
                if text.contains('2') && first.take() {
                    line.wake_all(());
                    (0..9).for_each(|_| task::yield_now());
                }
            };
            let mut writer = LetsOthersRun(&wakes, String::new());
            write!(writer, "{line:?}").unwrap();
            assert_eq!(writer.1, "[TaskId(2), TaskId(3), TaskId(4)]");
        });
    });
}

/// An arm that yields to whoever resumed its generator where it should say where to wait.
struct YieldsInPlace<'a, 'b>(&'a Yielder<()>, &'b WaitList);

impl<'b> Arm for YieldsInPlace<'_, 'b> {
    type Output = ();
    type Place = InLine<'b, ()>;
    fn try_now(&mut self) -> Option<()> {
        None
    }
    fn place(&mut self) -> Self::Place {
        self.0.yield_(());
        self.1.place(())
    }
    fn end(&mut self, place: Self::Place) -> Option<()> {
        place.into_woken(self.1).value
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("yields")
    }
}

#[test]
fn a_wait_that_is_arranged_in_one_task_and_begun_in_another_is_that_ones() {
    run(|| {
        let line: Rc<WaitList> = Rc::default();
        let inner = line.clone();
        let generator: Generator<()> = generate(move |co| {
            lowlevel::wait(&mut YieldsInPlace(co, &inner)).unwrap();
        });
        // Begun in a task that is gone when it goes on.
        let generator = task::spawn(move || {
            assert_eq!(generator.next(), Some(()));
            generator
        });
        let generator = generator.join().unwrap();
        let waker = line.clone();
        task::spawn(move || waker.wake_one(()).unwrap());
        assert_eq!(generator.next(), None);
    });
}

#[test]
fn a_wait_that_is_arranged_in_a_runtime_and_begun_outside_of_all_is_refused() {
    let line: Rc<WaitList> = Rc::default();
    let inner = line.clone();
    let generator: Generator<()> = generate(move |co| {
        lowlevel::wait(&mut YieldsInPlace(co, &inner)).unwrap();
    });
    run(|| assert_eq!(generator.next(), Some(())));
    let text = panic_text(|| generator.next());
    assert_eq!(text, "no runtime runs on this thread: call this inside ropewalk::run");
}

/// An arm that yields to whoever resumed its generator when its wait has ended.
struct YieldsAtEnd<'a, 'b>(&'a Yielder<()>, &'b WaitList);

impl<'b> Arm for YieldsAtEnd<'_, 'b> {
    type Output = ();
    type Place = InLine<'b, ()>;
    fn try_now(&mut self) -> Option<()> {
        None
    }
    fn place(&mut self) -> Self::Place {
        self.1.place(())
    }
    fn end(&mut self, place: Self::Place) -> Option<()> {
        self.0.yield_(());
        place.into_woken(self.1).value
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("yields")
    }
}

#[test]
fn a_wait_that_failed_in_one_task_has_failed_wherever_its_arm_ends() {
    let line: Rc<WaitList> = Rc::default();
    let failed = Rc::new(Cell::new(false));
    let (inner, fails) = (line.clone(), failed.clone());
    let generator: Generator<()> = generate(move |co| {
        fails.set(lowlevel::wait(&mut YieldsAtEnd(co, &inner)).is_err());
    });
    run(|| {
        let waiting = task::spawn(move || {
            assert_eq!(generator.next(), Some(()));
            generator
        });
        task::yield_now();
        waiting.cancel();
        let generator = waiting.join().unwrap();
        // Outside of tasks, where there is nothing that could have been cancelled.
        let fails = failed.clone();
        time::call_later(seconds(0), move || {
            assert_eq!(generator.next(), None);
            assert!(fails.get());
        });
        sleep(1).unwrap();
        assert!(failed.get());
    });
}

/// An arm that waits in one place again and again.
struct Squats<'a, T> {
    line: &'a WaitList<T, String>,
    place: Option<InLine<'a, T, String>>,
}

impl<'a, T> Arm for Squats<'a, T> {
    type Output = ();
    type Place = InLine<'a, T, String>;
    fn try_now(&mut self) -> Option<()> {
        None
    }
    fn place(&mut self) -> Self::Place {
        self.place.take().unwrap_or_else(|| self.line.place("offer".to_owned()))
    }
    fn end(&mut self, place: Self::Place) -> Option<()> {
        self.place = Some(place);
        Some(())
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("squats")
    }
}

const USED: &str = "this place has been waited in: an arm makes a new one for each wait";

/// Does something when it is dropped.
struct Acts(Option<Box<dyn FnOnce()>>);

impl Drop for Acts {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

#[test]
fn a_place_is_waited_in_once() {
    run(|| {
        let line: Rc<WaitList<Acts, String>> = Rc::default();
        let waiting = Rc::new(RefCell::new(None));
        let inner = line.clone();
        *waiting.borrow_mut() = Some(task::spawn(move || {
            let mut arm = Squats { line: &inner, place: None };
            lowlevel::wait(&mut arm).unwrap();
            panic_text(|| lowlevel::wait(&mut arm).is_ok())
        }));
        task::yield_now();
        // The first value is dropped where the second one comes.
        let cancels = waiting.clone();
        let act = move || {
            cancels.borrow().as_ref().map(|waiting: &task::JoinHandle<String>| waiting.cancel());
            (0..9).for_each(|_| task::yield_now());
        };
        assert!(line.wake_one(Acts(Some(Box::new(act)))).is_ok());
        task::yield_now();
        assert!(line.exchange(Acts(None)).is_err());
        let waiting = waiting.take().unwrap();
        assert_eq!(waiting.join().unwrap(), USED);
    });
}

/// What an arm by ticket does when it is registered, undone, and ended.
#[derive(Clone)]
struct Deeds<'a> {
    register: &'a dyn Fn(Ticket<u32>),
    undo: &'a dyn Fn(),
    end: &'a dyn Fn(),
}

impl Register for Deeds<'_> {
    type Value = u32;
    fn register(&self, ticket: Ticket<u32>) {
        (self.register)(ticket);
    }
    fn undo(&self) {
        (self.undo)();
    }
}

impl<'a> Arm for Deeds<'a> {
    type Output = u32;
    type Place = ByTicket<Deeds<'a>>;
    fn try_now(&mut self) -> Option<u32> {
        None
    }
    fn place(&mut self) -> Self::Place {
        ByTicket::new(self.clone())
    }
    fn end(&mut self, place: Self::Place) -> Option<u32> {
        (self.end)();
        place.into_value()
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deeds")
    }
}

const IDLE: Deeds<'static> = Deeds { register: &drop, undo: &|| (), end: &|| () };

/// An arm that keeps its place by ticket.
struct SquatsByTicket<R: Register>(Option<ByTicket<R>>);

impl<R: Register> Arm for SquatsByTicket<R> {
    type Output = ();
    type Place = ByTicket<R>;
    fn try_now(&mut self) -> Option<()> {
        None
    }
    fn place(&mut self) -> Self::Place {
        self.0.take().unwrap()
    }
    fn end(&mut self, place: Self::Place) -> Option<()> {
        self.0 = Some(place);
        Some(())
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("squats")
    }
}

#[test]
fn a_place_by_ticket_is_waited_in_once() {
    /// Keeps its ticket for whoever asks.
    #[derive(Clone, Default)]
    struct Kept(Rc<Cell<Option<Ticket<Acts>>>>);
    impl Register for Kept {
        type Value = Acts;
        fn register(&self, ticket: Ticket<Acts>) {
            self.0.set(Some(ticket));
        }
        fn undo(&self) {}
    }
    run(|| {
        let kept = Kept::default();
        let inner = kept.clone();
        let waiting = Rc::new(RefCell::new(None));
        *waiting.borrow_mut() = Some(task::spawn(move || {
            let mut arm = SquatsByTicket(Some(ByTicket::new(inner)));
            lowlevel::wait(&mut arm).unwrap();
            panic_text(|| lowlevel::wait(&mut arm).is_ok())
        }));
        task::yield_now();
        let cancels = waiting.clone();
        let act = move || {
            cancels.borrow().as_ref().map(|waiting: &task::JoinHandle<String>| waiting.cancel());
            (0..9).for_each(|_| task::yield_now());
        };
        assert!(kept.0.take().unwrap().wake(Acts(Some(Box::new(act)))).is_ok());
        task::yield_now();
        assert!(kept.0.take().is_none());
        let waiting = waiting.take().unwrap();
        assert_eq!(waiting.join().unwrap(), USED);
    });
}

#[test]
fn whoever_registers_may_grant_any_other_arm_of_the_wait() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let sends = |ticket| {
            sender.try_send("sent while arranging").unwrap();
            drop(ticket);
        };
        let deeds = Deeds { register: &sends, ..IDLE };
        // Whichever stands first: whoever waits in a line is in it when others are told that it waits.
        let after = select((receiver.receiving(), deeds.clone(), time::sleeping(seconds(1))));
        assert_eq!(after, Ok(Chosen::First(Ok("sent while arranging"))));
        let before = select((deeds, receiver.receiving(), time::sleeping(seconds(1))));
        assert_eq!(before, Ok(Chosen::Second(Ok("sent while arranging"))));
        assert!(receiver.is_empty());
    });
}

#[test]
fn a_lock_that_was_granted_goes_on_when_another_arm_panics_as_it_is_undone() {
    run(|| {
        let lock = Mutex::new(());
        let guard = lock.lock().unwrap();
        task::scope(|s| {
            let deeds = Deeds { undo: &|| panic!("undone"), ..IDLE };
            // Both of them, for they are of a kind: that does not end the process.
            let arms = (deeds.clone(), deeds, lock.locking());
            let both = s.spawn(|| panic_text(|| drop(select(arms))));
            task::yield_now();
            drop(guard);
            assert_eq!(both.join().unwrap(), "undone");
        });
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_lock_that_was_granted_goes_on_when_another_arm_panics_as_it_ends() {
    run(|| {
        for many in [false, true] {
            let lock = Mutex::new(());
            let guard = lock.lock().unwrap();
            task::scope(|s| {
                let deeds = Deeds { end: &|| panic!("ended"), ..IDLE };
                let both = s.spawn(|| {
                    panic_text(|| {
                        let arms = (deeds, lock.locking());
                        if many { drop(select([Some(arms), None])) } else { drop(select(arms)) }
                    })
                });
                task::yield_now();
                drop(guard);
                assert_eq!(both.join().unwrap(), "ended");
            });
            assert!(!lock.is_locked());
        }
    });
}

#[test]
fn what_an_arm_has_been_granted_goes_back_when_another_panics_as_it_registers() {
    run(|| {
        let lock = Mutex::new(());
        let guard = Cell::new(lock.try_lock());
        let (sender, receiver) = channel::rendezvous();
        let mut sending = sender.sending("mine");
        let bombs = |_| {
            drop(guard.take());
            assert!(lock.is_locked(), "it is the next one's, who is just arranging to wait");
            panic!("registered");
        };
        let deeds = Deeds { register: &bombs, ..IDLE };
        assert_eq!(panic_text(|| drop(select((&mut sending, lock.locking(), deeds)))), "registered");
        assert!(!lock.is_locked());
        assert_eq!(sending.into_item(), Some("mine"));
        assert_eq!(receiver.statistics().waiting_to_send, 0);
    });
}

/// An arm that cannot say where to wait.
struct Nowhere;

impl Arm for Nowhere {
    type Output = ();
    type Place = InLine<'static, ()>;
    fn try_now(&mut self) -> Option<()> {
        None
    }
    fn place(&mut self) -> Self::Place {
        panic!("nowhere")
    }
    fn end(&mut self, _: Self::Place) -> Option<()> {
        None
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nowhere")
    }
}

#[test]
fn a_sending_arm_has_its_item_still_when_another_arm_panics_as_it_says_where_to_wait() {
    run(|| {
        let (sender, _receiver) = channel::rendezvous();
        let mut sending = sender.sending("mine");
        assert_eq!(panic_text(|| select((&mut sending, Nowhere)).is_ok()), "nowhere");
        assert_eq!(sending.into_item(), Some("mine"));
    });
}

#[test]
fn an_arm_that_always_has_to_try_again_keeps_nobody_from_running() {
    /// Granted at once, always, and never anything.
    struct Spins(u32);
    impl Arm for Spins {
        type Output = ();
        type Place = ByTicket<Deeds<'static>>;
        fn try_now(&mut self) -> Option<()> {
            self.0 += 1;
            assert!(self.0 < 10_000, "it has the thread for itself");
            None
        }
        fn place(&mut self) -> Self::Place {
            ByTicket::new(Deeds { register: &|ticket| ticket.wake(0).unwrap(), ..IDLE })
        }
        fn end(&mut self, _: Self::Place) -> Option<()> {
            None
        }
        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("spins")
        }
    }
    run(|| {
        let spinning = task::spawn(|| lowlevel::wait(&mut Spins(0)).unwrap_err());
        task::yield_now();
        spinning.cancel();
        let _ = spinning.join().unwrap();
    });
}

#[test]
fn a_lock_may_be_tried_and_waited_for_while_it_is_shown() {
    /// Tries the lock that it lies in when it is shown.
    #[derive(Default)]
    struct Tries(RefCell<Option<Rc<Mutex<Tries>>>>);
    impl fmt::Debug for Tries {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let lock = self.0.take().unwrap();
            let tried = lock.try_lock().is_some();
            let other = task::spawn(move || drop(lock.lock().unwrap()));
            (0..3).for_each(|_| task::yield_now());
            write!(f, "{} {}", tried, other.is_finished())
        }
    }
    run(|| {
        let lock = Rc::new(Mutex::new(Tries::default()));
        *lock.try_lock().unwrap().0.borrow_mut() = Some(lock.clone());
        assert_eq!(format!("{lock:?}"), "Mutex { value: false false }");
        task::yield_now();
        assert!(!lock.is_locked());
        assert!(lock.lock().is_ok());
    });
}

#[test]
fn an_eager_task_that_a_register_starts_may_meet_the_very_wait() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let meets = |ticket: Ticket<u32>| {
            let sender = sender.clone();
            let eager = task::Builder::new().eager(true).spawn(move || {
                sender.send("first").unwrap();
                // The wait is decided: nobody takes this one before the next receive.
                sender.send("second").unwrap();
                ticket.wake(1)
            });
            assert!(!eager.is_finished());
            drop(eager);
        };
        let deeds = Deeds { register: &meets, ..IDLE };
        assert_eq!(select((deeds, receiver.receiving())), Ok(Chosen::Second(Ok("first"))));
        assert_eq!(receiver.recv(), Ok("second"));
    });
}

#[test]
fn whoever_is_undone_may_use_the_lines_that_the_wait_stands_in() {
    run(|| {
        let (sender, receiver) = channel::bounded(4);
        let lock = Mutex::new(());
        let guard = Cell::new(lock.try_lock());
        let undoes = || {
            drop(guard.take());
            sender.try_send("while undone").unwrap();
            assert_eq!(receiver.statistics().waiting_to_receive, 0);
            task::yield_now();
            assert!(sender.send("cannot wait").is_err());
        };
        let deeds = Deeds { undo: &undoes, ..IDLE };
        let arms = (receiver.receiving(), deeds, lock.locking(), time::sleeping(seconds(1)));
        assert!(matches!(select(arms), Ok(Chosen::Fourth(()))));
        assert!(!lock.is_locked());
        assert_eq!(receiver.try_recv(), Ok("while undone"));
    });
}

#[test]
fn a_register_that_cancels_its_own_wait_leaves_no_place_and_no_item() {
    run(|| {
        let (sender, receiver) = channel::rendezvous();
        let lock = Mutex::new(());
        let guard = lock.lock().unwrap();
        let mut sending = sender.sending(Box::new(7));
        let undone = Cell::new(0);
        task::cancel_scope(|scope| {
            let cancels = |ticket: Ticket<u32>| {
                scope.cancel();
                assert!(ticket.is_waiting());
                // Kept for ever.
                std::mem::forget(ticket);
            };
            let deeds = Deeds { register: &cancels, undo: &|| undone.set(undone.get() + 1), ..IDLE };
            assert!(select((&mut sending, lock.locking(), deeds, time::sleeping(seconds(1)))).is_err());
        });
        drop(guard);
        assert!(!lock.is_locked());
        assert_eq!(undone.get(), 1);
        assert_eq!(sending.into_item().as_deref(), Some(&7));
        assert_eq!(receiver.statistics().waiting_to_send, 0);
        // Nothing is left that would keep the clock going.
        sleep(9).unwrap();
    });
}

#[test]
fn arms_that_were_made_in_one_run_can_be_used_in_the_next() {
    let line: WaitList = WaitList::new();
    let lock = Mutex::new(0);
    let (sender, receiver) = channel::bounded(1);
    let (mut sleeping, mut locking, mut sending, mut receiving) =
        run(|| (time::sleeping(seconds(5)), lock.locking(), sender.sending(1), receiver.receiving()));
    // A guard of a task of the first run.
    let guard = run(|| lock.lock().unwrap());
    run(|| {
        let first = select((&mut locking, &mut sleeping));
        assert!(matches!(first, Ok(Chosen::Second(()))));
        assert!(matches!(select(&mut sending), Ok(Ok(()))));
        assert_eq!(select((&mut locking, &mut receiving)).map(|_| ()), Ok(()));
        task::scope(|s| {
            let waiting = s.spawn(|| line.wait(&Why::new("turn")));
            let locks = s.spawn(|| lock.lock().map(|_| ()));
            task::yield_now();
            line.wake_one(()).unwrap();
            drop(guard);
            assert!(waiting.join().unwrap().is_ok() && locks.join().unwrap().is_ok());
        });
    });
    assert!(line.is_empty() && !lock.is_locked());
}

#[test]
fn tickets_of_a_run_that_has_ended_do_nothing_in_the_next() {
    let tickets: RefCell<Vec<Ticket<u32>>> = RefCell::default();
    let keeps = |ticket| tickets.borrow_mut().push(ticket);
    let deeds = Deeds { register: &keeps, ..IDLE };
    run(|| assert_eq!(select((deeds.clone(), time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
    run(|| {
        let spends = |ticket: Ticket<u32>| {
            for (index, old) in tickets.take().into_iter().enumerate() {
                assert_eq!(old.wake(index as u32), Err(index as u32));
            }
            drop(ticket);
        };
        let deeds = Deeds { register: &spends, ..IDLE };
        assert_eq!(select((deeds.clone(), time::sleeping(seconds(1)))), Ok(Chosen::Second(())));
    });
    run(|| assert_eq!(select((deeds, time::sleeping(seconds(1)))), Ok(Chosen::Second(()))));
    assert_eq!(tickets.take().pop().unwrap().wake(1), Err(1));
}

/// An item that does something when it is dropped.
struct Huge<'a>([u8; 1 << 10], &'a Log);

impl Drop for Huge<'_> {
    fn drop(&mut self) {
        assert!(self.0.iter().all(|&byte| byte == self.0[0]));
        self.1.add(format!("{}", self.0[0]));
    }
}

#[test]
fn items_of_any_size_go_through_selects_whole() {
    let log = Log::new();
    run(|| {
        let (nothing, void) = channel::rendezvous::<()>();
        let (sender, receiver) = channel::rendezvous();
        task::scope(|s| {
            s.spawn(|| {
                let mut lost = sender.sending(Huge([1; 1 << 10], &log));
                assert!(matches!(select((&mut lost, nothing.sending(()))), Ok(Chosen::Second(Ok(())))));
                drop(lost);
                assert!(select((nothing.sending(()), sender.sending(Huge([2; 1 << 10], &log)))).is_ok());
            });
            assert_eq!(select([void.receiving(), void.receiving()]), Ok((0, Ok(()))));
            log.add("received nothing");
            let other = Rc::new(WaitList::<[(); 9]>::new());
            assert_eq!(other.wake_one([(); 9]), Err([(); 9]));
            drop(receiver.recv().unwrap());
        });
    });
    log.assert(&["1", "received nothing", "2"]);
}

#[test]
fn an_item_whose_drop_comes_back_to_its_channel_finds_it_whole() {
    /// Receives from the channel that it was in, and sends to it.
    struct Returns(channel::Receiver<Option<Returns>>, channel::Sender<Option<Returns>>, Log);
    impl Drop for Returns {
        fn drop(&mut self) {
            self.2.add(format!("{} underway", self.0.len()));
            while self.0.try_recv().is_ok() {}
            self.2.add(format!("sent: {}", self.1.try_send(None).is_ok()));
            panic!("dropped");
        }
    }
    let log = Log::new();
    run(|| {
        let (sender, receiver) = channel::bounded(3);
        task::scope(|s| {
            let text = s.spawn(|| {
                panic_text(|| {
                    let returns = Returns(receiver.clone(), sender.clone(), log.clone());
                    let mut arm = sender.sending(Some(returns));
                    (0..3).for_each(|_| sender.try_send(None).unwrap());
                    // Cancelled with its item, which is dropped with the arm.
                    time::move_on_after(seconds(1), |_| select(&mut arm).is_ok());
                    drop(arm);
                })
            });
            assert_eq!(text.join().unwrap(), "dropped");
        });
        assert_eq!((receiver.len(), receiver.statistics().waiting_to_send), (1, 0));
    });
    log.assert(&["3 underway", "sent: true"]);
}

#[test]
fn a_dump_may_wake_the_task_that_it_shows() {
    /// Rings itself when it is shown.
    struct RungWhenShown<'a>(&'a WaitList<u32>, &'a Log);
    impl<'a> Arm for RungWhenShown<'a> {
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
            self.1.add("shown");
            let _ = self.0.wake_one(7);
            let eager = task::Builder::new().eager(true).spawn(task::yield_now);
            f.write_str(if inspect::dump_with_backtraces().to_string().is_empty() {
                "none"
            } else {
                "bell"
            })?;
            drop(eager);
            panic!("shown")
        }
        fn holder(&self) -> Option<lowlevel::TaskId> {
            panic!("asked")
        }
    }
    let log = Log::new();
    let (rung, told) = unhandled_by(|| {
        let line = WaitList::new();
        task::scope(|s| {
            let waiting = s.spawn(|| select((RungWhenShown(&line, &log), time::sleeping(seconds(9)))));
            task::yield_now();
            drop(inspect::dump_with_backtraces());
            waiting.join().unwrap()
        })
    });
    assert_eq!(rung, Ok(Chosen::First(7)));
    assert_eq!(told.len(), 1, "{told:?}");
    log.assert(&["shown"]);
}

#[test]
fn wherever_waits_for_locks_and_items_are_cancelled_none_is_lost_and_none_is_there_twice() {
    let moments = testing::cancel_everywhere(|cut| {
        let (taken, given) = (Cell::new(0), Cell::new(0));
        let lock = Mutex::new(0);
        let (sender, receiver) = channel::rendezvous();
        let works = || {
            for _ in 0..3 {
                taken.set(taken.get() + 1);
                let mut sending = sender.sending(Item(&taken));
                match select((lock.locking(), &mut sending, receiver.receiving())) {
                    Ok(Chosen::First(mut count)) => {
                        *count += 1;
                        let before = *count;
                        let _ = sleep(1);
                        assert_eq!(*count, before, "somebody else had the lock");
                        assert!(sending.into_item().is_some());
                    }
                    Ok(Chosen::Second(sent)) => {
                        given.set(given.get() + i32::from(sent.is_ok()));
                        assert!(sending.into_item().is_none());
                    }
                    Ok(Chosen::Third(item)) => {
                        given.set(given.get() - i32::from(item.is_ok()));
                        assert!(sending.into_item().is_some());
                    }
                    Err(_) => assert!(sending.into_item().is_some()),
                }
            }
        };
        task::scope(|s| {
            s.spawn(|| cut.here(works));
            s.spawn(works);
            s.spawn(works);
            let _guard = lock.lock();
            let _ = sleep(1);
        });
        assert!(!lock.is_locked());
        assert_eq!((taken.get(), given.get(), lock.waiters()), (0, 0, 0));
    });
    assert!(moments > 10, "{moments}");
}

/// Counted while it is there.
struct Item<'a>(&'a Cell<i32>);

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[test]
fn a_timer_that_was_dropped_at_the_end_takes_no_later_one_with_it() {
    let (first, log) = (Rc::new(RefCell::new(None)), Log::new());
    run(|| {
        let (kept, log) = (first.clone(), log.clone());
        let acts = Acts(Some(Box::new(move || {
            let second = log.on_drop("the second is dropped");
            time::call_later(seconds(9), move || drop(second));
            let first: Option<time::Timer> = kept.borrow_mut().take();
            log.add(format!("the first is cancelled: {}", first.unwrap().cancel()));
        })));
        *first.borrow_mut() = Some(time::call_later(seconds(9), move || drop(acts)));
    });
    log.assert(&["the first is cancelled: false", "the second is dropped"]);
}

#[test]
fn a_place_in_a_line_of_ones_own_opens_no_lock() {
    /// Gives the very place that it was woken in.
    struct Forger<'a>(&'a WaitList<(), Option<TaskId>>);
    impl<'a> Arm for Forger<'a> {
        type Output = InLine<'a, (), Option<TaskId>>;
        type Place = InLine<'a, (), Option<TaskId>>;
        fn try_now(&mut self) -> Option<Self::Output> {
            None
        }
        fn place(&mut self) -> Self::Place {
            self.0.place(None)
        }
        fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
            Some(place)
        }
        fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("forgery")
        }
    }
    run(|| {
        let line = WaitList::new();
        let lock = Mutex::new(1);
        task::scope(|s| {
            s.spawn(|| {
                let forged = select(Forger(&line)).unwrap();
                let text = panic_text(|| lock.locking().end(forged).is_some());
                assert_eq!(text, "this place is in another line: an arm ends with a place of its own");
            });
            task::yield_now();
            line.wake_one(()).unwrap();
        });
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}
