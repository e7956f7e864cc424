//! A thread that does something whenever a signal has arrived, however busy the runtimes are.
//!
//! Invariant: the thread is no remote of any runtime, so that deadlocks are found as if it were not there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::handler::Listening;
use super::inbox::Inbox;
use super::name::Signal;

/// That a thread watches, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    inbox: Arc<Inbox>,
    _listening: Listening,
}

impl Watch {
    /// Has `action` called, in a thread of that name, when the signal has arrived. Signals that come while it goes on are one more.
    ///
    /// With `kills`, the signal that sets that is the last that is waited for: see [`Listening::new`].
    pub(crate) fn new(
        name: &str,
        signal: Signal,
        kills: Option<&Arc<AtomicBool>>,
        mut action: impl FnMut() + Send + 'static,
    ) -> io::Result<Watch> {
        let inbox = Arc::new(Inbox::new([signal])?);
        let seen = inbox.clone();
        // If there is no thread to be had, nothing has changed yet.
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(true) = seen.block() {
                if seen.take().is_some() {
                    action();
                }
            }
        })?;
        match Listening::new(&inbox, 0, kills) {
            Ok(listening) => Ok(Watch { inbox, _listening: listening }),
            Err(error) => {
                inbox.close();
                Err(error)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
