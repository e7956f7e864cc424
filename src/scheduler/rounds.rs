//! The loop that drives all tasks of a thread, one step after another.
//!
//! A round: up to [`BATCH`] steps of ready tasks, in the order in which they became ready; then a look around, at the clock,
//! the timers that are due and the mail of other threads. If nobody is ready after that, the thread sleeps until a timer
//! is due or somebody rings; if neither can happen, all tasks wait for one another.
//!
//! Invariant: the loop ends when no task is left.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use super::branch::Branch;
use super::core::{Core, Target};
use super::fork;
use super::frame::Frame;
use super::here;
use super::place::AtTime;
use super::record::{Record, State};
use super::remote::Message;
use super::unhandled::Problem;
use crate::clock::NEVER;
use crate::error::Reason;
use crate::generator::switch::Turn;

/// Steps between two looks around: enough to make reading the clock cheap, few enough to be prompt.
const BATCH: usize = 64;

/// What the loop does when nobody is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// It goes on.
    None,
    /// It waits for the driver, for so long at most.
    Until(Option<Duration>),
}

impl Core {
    /// Runs tasks until `done`.
    pub(super) fn run_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.round();
            if self.queue.is_empty() && !done() {
                if let Rest::Until(timeout) = self.rest() {
                    self.sleep(timeout);
                }
            }
        }
    }

    /// Steps of tasks that are ready, and a look around.
    #[inline(always)]
    fn round(&self) {
        for _ in 0..BATCH {
            if self.queue.is_empty() {
                break;
            }
            let task = match &self.chance {
                None => self.queue.pop(),
                Some(chance) => self.queue.pop_at(chance.below(self.queue.len())),
            };
            // SAFETY: what is in the queue is alive, and has been told so by its state.
            unsafe { self.step(task) };
        }
        self.look_around();
    }

    /// As one turn of [`run_until`](Core::run_until), but the wait is somebody else's, who waits for the driver's descriptor.
    pub(super) fn turn(&self, done: impl Fn() -> bool) -> Rest {
        // It may have been left asleep.
        self.gate.wake_up();
        self.round();
        if !self.queue.is_empty() || done() {
            return Rest::None;
        }
        let rest = self.rest();
        if rest == Rest::None || !(self.gate.is_closed() || self.gate.fall_asleep()) {
            return Rest::None;
        }
        // What was submitted goes to the system, and what is there already is taken: only what comes later makes the descriptor ready.
        self.wait(Some(Duration::ZERO));
        // Whoever has left mail since has rung, and the ring may be among what was taken: it would not come again.
        let is_quiet = self.gate.is_closed() || self.gate.is_asleep();
        if self.queue.is_empty() && is_quiet { rest } else { Rest::None }
    }

    /// # Safety
    ///
    /// `task` must come from the queue.
    #[inline(always)]
    pub(super) unsafe fn step(&self, task: *const Record) {
        here::set_task(task);
        // SAFETY: alive, says the caller; what comes from the queue is `New` or `Ready`.
        unsafe {
            let hot = match (*task).hot.get() {
                hot if hot.is_null() => match self.begin(task) {
                    Some(hot) => hot,
                    None => return,
                },
                hot => hot,
            };
            (*task).state.set(State::Running);
            let turn = if self.config.debug {
                self.timed(task, || (*(*hot).fiber.get()).resume())
            } else {
                (*(*hot).fiber.get()).resume()
            };
            if let Turn::Returned(()) = turn {
                self.end(task, hot);
            }
        }
    }

    #[cold]
    fn timed<R>(&self, task: *const Record, step: impl FnOnce() -> R) -> R {
        self.pass_moment();
        let began = Instant::now();
        // SAFETY: it is alive, for it has come from the queue.
        let result = self.live.noting(unsafe { &*task }, step);
        let took = began.elapsed();
        if took >= self.config.slow_step {
            // SAFETY: the scheduler's reference is dropped after this.
            self.unhandled(unsafe { task.as_ref() }, Problem::SlowStep(took));
        }
        result
    }

    fn look_around(&self) {
        if self.config.debug {
            self.pass_moment();
        }
        // Where nobody is ready the loop goes on to wait, and sees it then.
        let looks_now = !self.queue.is_empty() || self.clock.is_virtual();
        if looks_now {
            self.look_at_operations();
        }
        let now = self.clock.now();
        self.seen.set(now);
        // No more than there are now: a callback may set another one that is due at once.
        let most = self.timers.borrow().len();
        for _ in 0..most {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                None => break,
                // SAFETY: a place that is left has cancelled its timer.
                Some(Target::Ring(place)) => unsafe { AtTime::ring(place, self) },
                // SAFETY: a frame that is closed has cancelled its timer.
                Some(Target::Cancel(branch)) => unsafe { Frame::expire(branch) },
                Some(Target::Call(call)) => self.outside(call),
            }
        }
        if self.gate.has_mail() {
            self.read_mail();
        }
        // Timers and mail have made tasks ready, and may do so each time: the loop does not wait.
        if !looks_now && !self.queue.is_empty() {
            self.look_at_operations();
        }
    }

    /// What has completed, without a wait.
    #[inline]
    fn look_at_operations(&self) {
        if self.driver.is_busy() {
            self.wait(Some(Duration::ZERO));
        }
    }

    #[inline]
    fn wait(&self, timeout: Option<Duration>) {
        here::count_wait();
        self.driver.wait(timeout, |key, completion| self.complete(key, completion));
    }

    #[cold]
    fn read_mail(&self) {
        for message in self.gate.take() {
            self.deliver(message);
        }
    }

    pub(super) fn deliver(&self, message: Message) {
        self.outside(message);
    }

    /// How long it is to the next deadline, if the clock is real.
    pub(super) fn time_left(&self) -> Option<Option<Duration>> {
        if self.clock.is_virtual() {
            return None;
        }
        let next = self.timers.borrow().next_deadline().filter(|&deadline| deadline != NEVER);
        Some(next.map(|deadline| Duration::from_nanos(deadline.saturating_sub(self.clock.now()))))
    }

    /// Nobody is ready. Changes that if nothing has to be waited for, and else says for how long to wait.
    #[cold]
    fn rest(&self) -> Rest {
        // What is set for never does not count, or a virtual clock would come there.
        let next = self.timers.borrow().next_deadline().filter(|&deadline| deadline != NEVER);
        // What a callback has set for at once is due before anybody can say that all wait.
        let is_due = next.is_some_and(|deadline| deadline <= self.clock.now());
        // What other threads do takes no virtual time, as what tasks do takes none: neither the time nor whoever waits for all others
        // goes on before it is done.
        let stands_still = self.clock.is_virtual() && self.is_busy_elsewhere() && !is_due;
        if stands_still {
            return Rest::Until(None);
        }
        if !is_due && !self.blocked.is_empty() {
            // A task whose input has come does not wait.
            self.look_at_operations();
            if self.queue.is_empty() {
                self.blocked.wake_all(());
            }
            return Rest::None;
        }
        match next {
            // What is in flight has been looked at just before: it is not there at this moment of a virtual time.
            Some(deadline) if self.clock.is_virtual() => self.clock.advance_to(deadline),
            // Whoever went last may have left a message: who sees that he is gone sees that too.
            None if !self.gate.can_bring()
                && !self.gate.has_mail()
                && !self.driver.is_busy()
                && !self.is_guest.get() =>
            {
                self.end_deadlock();
            }
            _ => {
                let now = self.clock.now();
                let timeout = next.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
                if timeout != Some(Duration::ZERO) {
                    return Rest::Until(timeout);
                }
                // By the time it is due the next callback may have been set for at once.
                self.look_at_operations();
            }
        }
        Rest::None
    }

    fn sleep(&self, timeout: Option<Duration>) {
        // A door that is closed does not sleep, and nobody rings.
        if self.gate.is_closed() || self.gate.fall_asleep() {
            self.wait(timeout);
            self.gate.wake_up();
        }
    }

    /// All tasks wait, and nothing is left that could wake one: cancels first what can be cancelled, then what is shielded.
    fn end_deadlock(&self) {
        let report = super::info::report(self);
        // It asks the program why tasks wait.
        fork::end_child();
        if self.past_shields.get() {
            crate::report::fatal(&format!("nothing can end the waits of these tasks:\n{report}"));
        }
        let again = self.deadlock.get().is_some() || self.ending.get();
        if self.ending.get() {
            self.unhandled(None, Problem::StuckAtEnd(&report));
        } else {
            let _ = self.deadlock.set(report);
        }
        // If all were cancelled before there was a deadlock, this wakes nobody, and the next round goes past shields.
        if !again {
            self.cancel_all(Reason::Deadlock);
            return;
        }
        self.past_shields.set(true);
        // SAFETY: the top is a field of this.
        unsafe { Branch::cancel_shields(&self.top, self, Reason::Deadlock) };
    }

    /// Cancels the first task and all others, up to shields. False if that was done before.
    pub(super) fn cancel_all(&self, reason: Reason) -> bool {
        // SAFETY: the top is a field of this.
        unsafe { Branch::cancel(&self.top, self, reason) }
    }

    /// The first task has ended: says who is left, and cancels them before any of them takes another step.
    #[cold]
    pub(super) fn first_task_ends(&self) {
        self.ending.set(true);
        for (task, _) in super::info::tasks(self) {
            let record = task.record();
            if !record.with_extras(|extras| extras.is_some_and(|extras| extras.is_dismissed)) {
                self.unhandled(Some(record), Problem::Leftover);
            }
        }
        // SAFETY: the trunk is a field of this.
        unsafe { Branch::cancel(&self.trunk, self, Reason::Shutdown) };
    }

    /// After the first task: runs those that are left to their end.
    pub(super) fn wind_up(&self) {
        loop {
            self.run_until(|| self.alive.get() == 0);
            if self.is_over() {
                return;
            }
        }
    }

    /// No task is left. Whether nothing else is, or something had to be dropped that may have begun tasks.
    pub(super) fn is_over(&self) -> bool {
        if self.gate.is_closed() {
            // What is dropped can spawn, and set timers: on with it until nothing is left.
            return !self.drop_leftovers();
        }
        // Whoever was told that their message arrived has it delivered. New tasks are born cancelled now.
        for message in self.gate.close() {
            self.deliver(message);
        }
        false
    }

    /// Callbacks that never came to be due, and what other threads never asked for. False if there was nothing.
    fn drop_leftovers(&self) -> bool {
        let timers = self.timers.borrow_mut().take();
        let kept = self.kept.take();
        let any = !timers.is_empty() || !kept.is_empty();
        self.outside(|| drop(timers));
        self.outside(|| drop(kept));
        any
    }
}
