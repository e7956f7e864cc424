//! A thread that reads standard input where that cannot be done without blocking a thread.
//!
//! It reads when it is asked to, once each time. Nobody can take that back: a task that is cancelled goes on without it, and what
//! the thread brings is kept for whoever reads next.
//!
//! Invariant: the state is `Reading` exactly while there is a thread, and there is one at most. What it brought is taken by whoever has
//! the turn of the input.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::descriptor::{AT_A_TIME, Number, read_waiting};
use crate::scheduler::fork::PerProcess;
use crate::sync::cross::Event;

/// That of this process.
pub(super) fn pump() -> &'static Pump {
    static PUMP: PerProcess<Pump> = PerProcess::new();
    PUMP.get(|| Pump { state: Mutex::new(State::Idle), is_done: Event::new() })
}

pub(super) struct Pump {
    state: Mutex<State>,
    /// Set when a thread has read something, cleared before it begins.
    is_done: Event,
}

enum State {
    Idle,
    Reading,
    /// What is left of what was read; not empty, or the end.
    Done(io::Result<Vec<u8>>),
}

impl Pump {
    // What is locked here is whole whenever it is unlocked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing to wait for, and nothing left.
    pub(super) fn is_idle(&self) -> bool {
        matches!(*self.state(), State::Idle)
    }

    /// What the thread reads, or has read for somebody who was cancelled. Whoever calls this has the turn of the input.
    #[track_caller]
    pub(super) fn read(&'static self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(done) = self.take(buffer) {
                return done;
            }
            self.begin()?;
            self.is_done.wait()?;
        }
    }

    /// `None` if nothing was read yet.
    fn take(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Idle) {
            State::Done(Ok(mut bytes)) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                if !bytes.is_empty() {
                    *state = State::Done(Ok(bytes));
                }
                Some(Ok(count))
            }
            State::Done(Err(error)) => Some(Err(error)),
            before => {
                *state = before;
                None
            }
        }
    }

    /// Has a thread read, if none does.
    fn begin(&'static self) -> io::Result<()> {
        let mut state = self.state();
        if let State::Idle = *state {
            self.is_done.clear();
            thread::Builder::new().name("ropewalk-stdin".to_owned()).spawn(|| self.pump())?;
            *state = State::Reading;
        }
        Ok(())
    }

    /// The thread.
    fn pump(&self) {
        let mut bytes = vec![0; AT_A_TIME];
        let read = read_waiting(Number::Input.descriptor(), &mut bytes);
        let read = read.map(|count| {
            bytes.truncate(count);
            bytes
        });
        let mut state = self.state();
        *state = State::Done(read);
        // Not later: somebody may have taken it by then and have begun anew, and would find this for that.
        self.is_done.set();
        drop(state);
    }
}
