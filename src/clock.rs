//! Time: the one clock of a scheduler, real or virtual.
//!
//! Inside, a moment is a number of nanoseconds since the scheduler began, for numbers are cheap to compare; outside it is
//! an [`Instant`]. A virtual clock stands still until it is told to go on: nothing here ever waits.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Nanoseconds since the clock began. The last one, in the year 2610 or so, stands for "never".
pub(crate) type Nanos = u64;

pub(crate) const NEVER: Nanos = Nanos::MAX;

pub(crate) struct Clock {
    began: Instant,
    /// What a virtual clock shows; `None` for a real one.
    shown: Option<Cell<Nanos>>,
}

impl Clock {
    pub(crate) fn real() -> Clock {
        Clock { began: Instant::now(), shown: None }
    }

    pub(crate) fn virtual_() -> Clock {
        Clock { began: Instant::now(), shown: Some(Cell::new(0)) }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.shown.is_some()
    }

    pub(crate) fn now(&self) -> Nanos {
        match &self.shown {
            Some(shown) => shown.get(),
            None => nanos(self.began.elapsed()),
        }
    }

    /// Sets a virtual clock forward. It never goes back.
    pub(crate) fn advance_to(&self, moment: Nanos) {
        let shown = self.shown.as_ref().expect("only a virtual clock is set");
        shown.set(shown.get().max(moment));
    }

    pub(crate) fn instant(&self, moment: Nanos) -> Instant {
        // A moment that the system's clock cannot tell is as far as "never".
        let far = Duration::from_secs(60 * 60 * 24 * 365 * 30);
        self.began.checked_add(Duration::from_nanos(moment)).unwrap_or_else(|| self.began + far)
    }

    /// The first whole nanosecond that is not before `instant`; what lies before the beginning is the beginning.
    pub(crate) fn moment(&self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.began))
    }

    /// `delay` from now.
    pub(crate) fn after(&self, delay: Duration) -> Nanos {
        self.now().saturating_add(nanos(delay))
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(NEVER)
}
