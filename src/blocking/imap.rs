//! Results as an iterator, a bounded number of jobs ahead of whoever reads them.
//!
//! Invariants:
//! - An item is taken from the iterator when there is room for its job, by whoever reads the results: it need not be `Send`, and goes no further
//!   than it has to.
//! - Jobs that are underway, and results that nobody has read, are together no more than [`ahead`](Imap::ahead).

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::Fuse;
use std::panic::{self, AssertUnwindSafe, Location};
use std::thread;

use super::pool::Pool;
use super::submitted::Submitted;
use super::threads;
use crate::error::{Cancelled, Reason};
use crate::primitive::{Arc, Lock};
use crate::report;
use crate::scheduler::lowlevel::{self, CrossLine, CrossTicket, CrossWait, Undo, Why};
use crate::scheduler::wait_elsewhere;

/// The results of a function for the items of an iterator. See [`Pool::imap`].
///
/// Dropping it takes back what no thread has begun; what runs finds itself [`cancelled`](super::cancelled). That waits for nobody.
#[must_use = "nothing is called until somebody asks for results"]
pub struct Imap<'a, I: Iterator, R> {
    items: Fuse<I>,
    start: Box<dyn Fn(usize, I::Item) -> Arc<Submitted> + 'a>,
    mail: Arc<Mail<R>>,
    ahead: usize,
    is_ordered: bool,
    /// How many items have been taken, and how many results given.
    taken: usize,
    given: usize,
    underway: BTreeMap<usize, Arc<Submitted>>,
    /// Results that are not next.
    early: BTreeMap<usize, Ended<R>>,
}

/// A result, or a panic, which is dropped where that can be caught.
struct Ended<R>(Option<thread::Result<R>>);

impl<R> Ended<R> {
    fn into_result(mut self) -> thread::Result<R> {
        self.0.take().expect("it is taken once")
    }
}

impl<R> Drop for Ended<R> {
    fn drop(&mut self) {
        if let Some(Err(panicked)) = self.0.take() {
            report::discard(panicked);
        }
    }
}

/// Where threads leave results, each with the number of its item.
struct Mail<R> {
    state: Lock<State<R>>,
}

struct State<R> {
    results: VecDeque<(usize, Ended<R>)>,
    reader: CrossLine,
}

impl<'a, I: Iterator, R: Send> Imap<'a, I, R> {
    pub(super) fn new<'call, F>(
        items: impl IntoIterator<IntoIter = I>,
        pool: &'a Pool,
        f: F,
        is_ordered: bool,
        start: impl Fn(Box<dyn FnOnce() + Send + 'call>) -> Arc<Submitted> + 'a,
    ) -> Imap<'a, I, R>
    where
        I::Item: Send + 'call,
        R: 'call,
        F: Fn(I::Item) -> R + Send + Sync + 'call,
        'call: 'a,
    {
        let f = std::sync::Arc::new(f);
        let mail =
            Arc::new(Mail { state: Lock::new(State { results: VecDeque::new(), reader: CrossLine::new() }) });
        let its_mail = mail.clone();
        let start = move |number, item| {
            let (f, mail) = (f.clone(), its_mail.clone());
            let call = pool.prepared(move || f(item));
            start(Box::new(move || mail.put(number, panic::catch_unwind(AssertUnwindSafe(call)))))
        };
        Imap {
            items: items.into_iter().fuse(),
            start: Box::new(start),
            mail,
            ahead: pool.size().saturating_mul(2),
            is_ordered,
            taken: 0,
            given: 0,
            underway: BTreeMap::new(),
            early: BTreeMap::new(),
        }
    }
}

impl<I: Iterator, R> Imap<'_, I, R> {
    /// So many items are underway, or done and not read yet; at least one. Unless it is set: twice as many as the pool has threads.
    pub fn ahead(mut self, items: usize) -> Self {
        self.ahead = items.max(1);
        self
    }

    fn fill(&mut self) {
        while self.underway.len() + self.early.len() < self.ahead {
            let Some(item) = self.items.next() else { return };
            let number = self.taken;
            self.taken += 1;
            let job = (self.start)(number, item);
            self.underway.insert(number, job);
        }
    }

    /// What is there to be given now.
    fn next_early(&mut self) -> Option<Ended<R>> {
        match self.is_ordered {
            true => self.early.remove(&self.given),
            false => self.early.pop_first().map(|(_, result)| result),
        }
    }
}

impl<I: Iterator, R> Iterator for Imap<'_, I, R> {
    type Item = Result<R, Cancelled>;

    /// The next result, or why this wait for it was cancelled: then it can be asked for again.
    ///
    /// # Panics
    ///
    /// With the panic of the function, for the item whose turn it is. The next call goes on after it.
    #[track_caller]
    fn next(&mut self) -> Option<Result<R, Cancelled>> {
        loop {
            self.fill();
            if let Some(result) = self.next_early() {
                self.given += 1;
                return match result.into_result() {
                    Ok(value) => Some(Ok(value)),
                    Err(panicked) => panic::resume_unwind(panicked),
                };
            }
            if self.underway.is_empty() {
                return None;
            }
            match self.mail.take() {
                Ok((number, result)) => {
                    self.underway.remove(&number);
                    self.early.insert(number, result);
                }
                Err(cancelled) => return Some(Err(cancelled)),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.items.size_hint();
        let more = self.taken - self.given;
        (least.saturating_add(more), most.and_then(|most| most.checked_add(more)))
    }
}

impl<I: Iterator, R> Drop for Imap<'_, I, R> {
    fn drop(&mut self) {
        for job in self.underway.values() {
            job.cancel(Reason::Done);
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Imap<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Imap");
        shown.field("given", &self.given).field("underway", &self.underway.len()).finish_non_exhaustive()
    }
}

impl<R> Mail<R> {
    fn put(&self, number: usize, result: thread::Result<R>) {
        let mut state = self.state.lock();
        state.results.push_back((number, Ended(Some(result))));
        let reader = state.reader.pop();
        drop(state);
        if let Some(reader) = reader {
            reader.ticket.wake();
        }
    }

    fn try_take(&self) -> Option<(usize, Ended<R>)> {
        self.state.lock().results.pop_front()
    }

    #[track_caller]
    fn take(&self) -> Result<(usize, Ended<R>), Cancelled> {
        lowlevel::cross_may_wait()?;
        loop {
            if let Some(result) = self.try_take() {
                return Ok(result);
            }
            let _aside = threads::step_aside();
            let reading = Reading { mail: self, number: Cell::new(0) };
            wait_elsewhere(Location::caller(), &Why::new("job"), &reading)?;
        }
    }
}

/// The wait for a result.
struct Reading<'a, R> {
    mail: &'a Mail<R>,
    number: Cell<u64>,
}

impl<R> CrossWait for Reading<'_, R> {
    fn register(&self, ticket: CrossTicket) {
        let mut state = self.mail.state.lock();
        if !state.results.is_empty() {
            drop(state);
            return ticket.wake();
        }
        self.number.set(state.reader.push(ticket, ()));
    }

    fn is_over(&self) -> bool {
        !self.mail.state.lock().reader.contains(self.number.get())
    }

    fn undo(&self) -> Undo {
        let left = self.mail.state.lock().reader.remove(self.number.get());
        if left.is_some() { Undo::Done } else { Undo::Later }
    }
}
