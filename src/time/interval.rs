//! Ticks at regular times.

use std::fmt;
use std::time::{Duration, Instant};

use super::{now, sleep_until};
use crate::error::Cancelled;
use crate::scheduler::lowlevel::{Arm, AtTime};

/// Later than any program runs: a hundred years.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 100);

/// Ticks at regular times, when it is waited for. See [`interval`].
#[must_use = "it does nothing but in `tick`"]
#[derive(Clone, Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: Missed,
}

/// What an [`Interval`] does about ticks whose time passed while nobody waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They come at once, one after another, until none is left.
    Burst,
    /// They are left out; the rhythm stays.
    #[default]
    Skip,
    /// The next one comes a whole period after the late one.
    Delay,
}

/// Ticks every `period`; the first tick is now.
///
/// ```
/// use ropewalk::{Clock, Runtime, time};
/// use std::time::Duration;
///
/// Runtime::builder().clock(Clock::Virtual).build().run(|| {
///     let began = time::now();
///     let mut ticks = time::interval(Duration::from_secs(10));
///     for tick in 0..3 {
///         let at = ticks.tick().unwrap();
///         assert_eq!(at - began, Duration::from_secs(10) * tick);
///     }
/// });
/// ```
///
/// # Panics
///
/// A period of zero. Outside of [`run`](crate::run).
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `first`, and then every `period`.
///
/// # Panics
///
/// A period of zero.
#[track_caller]
pub fn interval_at(first: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must not be zero");
    Interval { next: first, period, missed: Missed::default() }
}

impl Interval {
    /// What to do about ticks that were missed.
    pub fn missed(mut self, missed: Missed) -> Interval {
        self.missed = missed;
        self
    }

    /// Waits for the next tick and returns the moment it was for.
    ///
    /// # Cancellation
    ///
    /// The tick is not lost: the next call waits for it again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[track_caller]
    pub fn tick(&mut self) -> Result<Instant, Cancelled> {
        sleep_until(self.next)?;
        Ok(self.pass())
    }

    /// An arm that waits for the next tick, for [`select`](crate::select::select); it gives what [`tick`](Interval::tick) returns.
    ///
    /// ```
    /// use ropewalk::select::{Chosen, select};
    /// use ropewalk::{channel, task, time};
    /// use std::time::Duration;
    ///
    /// ropewalk::run(|| {
    ///     let (sender, receiver) = channel::unbounded::<&str>();
    ///     let mut beat = time::interval(Duration::from_millis(1));
    ///     let mut beats = 0;
    ///     task::spawn(move || {
    ///         time::sleep(Duration::from_millis(5)).unwrap();
    ///         sender.send("stop").unwrap();
    ///     });
    ///     while let Ok(Chosen::Second(_)) = select((receiver.receiving(), beat.ticking())) {
    ///         beats += 1;
    ///     }
    ///     assert!(beats > 0);
    /// });
    /// ```
    pub fn ticking(&mut self) -> Ticking<'_> {
        Ticking { interval: self }
    }

    /// The next tick has come: sets the one after it.
    fn pass(&mut self) -> Instant {
        let tick = self.next;
        let now = now();
        // A tick that no clock can tell never comes.
        let far = |moment: Instant, by: Duration| moment.checked_add(by).unwrap_or(moment + NEVER);
        self.next = match self.missed {
            Missed::Burst => far(tick, self.period),
            Missed::Delay => far(now.max(tick), self.period),
            Missed::Skip => {
                let late = now.saturating_duration_since(tick).as_nanos();
                let whole = (late / self.period.as_nanos() + 1) * self.period.as_nanos();
                far(tick, Duration::from_nanos(u64::try_from(whole).unwrap_or(u64::MAX)))
            }
        };
        tick
    }

    /// When the next tick is due.
    pub fn next_tick(&self) -> Instant {
        self.next
    }
}

/// An arm that waits for a tick: see [`Interval::ticking`].
#[derive(Debug)]
#[must_use = "nothing is waited for until it is selected"]
pub struct Ticking<'a> {
    interval: &'a mut Interval,
}

impl Arm for Ticking<'_> {
    type Output = Instant;
    type Place = AtTime;

    fn try_now(&mut self) -> Option<Instant> {
        (now() >= self.interval.next).then(|| self.interval.pass())
    }

    fn place(&mut self) -> AtTime {
        AtTime::new(self.interval.next)
    }

    fn end(&mut self, place: AtTime) -> Option<Instant> {
        place.has_come().then(|| self.interval.pass())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tick")
    }
}
