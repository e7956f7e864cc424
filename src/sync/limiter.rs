//! Tokens that somebody borrows, one each; and a limit to them that can be moved.
//!
//! Invariants:
//! - Nobody has two tokens.
//! - While somebody waits, no token is free: there are as many borrowers as the limit allows, or more where it was lowered.
//!   Therefore whoever gives one back or moves the limit has to [`serve`](Limiter::serve) those who wait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, Held, InLine, TaskId, WaitList, Why, Woken};

/// So many at a time, each of them once; trio's `CapacityLimiter`.
///
/// A [`Semaphore`](super::Semaphore) counts permits; this knows who has its tokens. Nobody borrows a second one, as a
/// function would that uses the limiter and calls another one that does: under load they would all wait for one another. It can be
/// told who they are, and the limit can be moved while it is in use.
///
/// ```
/// use ropewalk::sync::Limiter;
/// use ropewalk::{task, time};
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let limiter = Limiter::new(2);
///     task::scope(|s| {
///         for _ in 0..5 {
///             s.spawn(|| {
///                 let _token = limiter.acquire().unwrap();
///                 assert!(limiter.borrowed() <= 2);
///                 time::sleep(Duration::from_millis(1)).unwrap();
///             });
///         }
///     });
/// });
/// ```
///
/// Tokens are given strictly in the order of asking.
#[doc(alias = "CapacityLimiter")]
pub struct Limiter {
    limit: Cell<usize>,
    borrowers: RefCell<BTreeSet<Borrower>>,
    /// They offer their names. Each is told whether it has got a token: one that has one already is refused another.
    waiting: WaitList<bool, Borrower>,
}

/// A token of a [`Limiter`], which goes back when this is dropped.
///
/// It refers to the limiter with a plain reference, or owns a share of it: then it can go wherever it likes.
///
/// In debug mode a task that ends without having dropped its token is reported: see [`Held`]. One that owns a share is
/// not counted, for it is made for leaving the task.
#[must_use = "the token goes back when this is dropped"]
pub struct Token<L: Deref<Target = Limiter>> {
    limiter: L,
    /// `None` when somebody else sees to it.
    borrower: Option<Borrower>,
    _held: Option<Held>,
}

/// Who borrows a token of a [`Limiter`]: a task, or something else that was given a number.
///
/// It is one of this thread's, as limiters are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Borrower {
    who: Who,
    /// The numbers are counted on each thread.
    stays_here: PhantomData<*const ()>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Who {
    Task(TaskId),
    Other(u64),
}

/// What is going on at a limiter.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LimiterStatistics {
    /// How many tokens there are.
    pub limit: usize,
    /// How many of them are borrowed; more than there are, where the limit was lowered meanwhile.
    pub borrowed: usize,
    /// Who has them: tasks in the order in which they were spawned, then others in the order in which they were made.
    pub borrowers: Vec<Borrower>,
    /// Tasks that wait for a token.
    pub waiting: usize,
}

impl Limiter {
    /// With so many tokens. With none, all wait until the [limit is raised](Limiter::set_limit).
    pub const fn new(limit: usize) -> Limiter {
        Limiter {
            limit: Cell::new(limit),
            borrowers: RefCell::new(BTreeSet::new()),
            waiting: WaitList::new(),
        }
    }

    /// Waits for a token, for the running task.
    ///
    /// # Cancellation
    ///
    /// One that was given the token before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was borrowed.
    ///
    /// # Panics
    ///
    /// When this task has a token of this limiter already. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Result<Token<&Limiter>, Cancelled> {
        self.acquire_on_behalf_of(Borrower::current())
    }

    /// Waits for a token, for somebody else than the running task.
    ///
    /// So a task can have several, each for something that it does side by side:
    ///
    /// ```
    /// use ropewalk::sync::{Borrower, Limiter};
    /// use std::rc::Rc;
    ///
    /// ropewalk::run(|| {
    ///     let threads = Rc::new(Limiter::new(40));
    ///     let jobs: Vec<_> = (0..3)
    ///         .map(|_| threads.acquire_on_behalf_of(Borrower::new()).unwrap().into_owned(&threads))
    ///         .collect();
    ///     assert_eq!(threads.borrowed(), 3);
    ///     drop(jobs);                                               // Wherever they have ended.
    ///     assert_eq!(threads.borrowed(), 0);
    /// });
    /// ```
    ///
    /// # Cancellation
    ///
    /// One that was given the token before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: nothing was borrowed.
    ///
    /// # Panics
    ///
    /// When the borrower has a token of this limiter already, or when it would be given a second one because two tasks have
    /// waited on its behalf. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn acquire_on_behalf_of(&self, borrower: Borrower) -> Result<Token<&Limiter>, Cancelled> {
        lowlevel::may_wait()?;
        if !self.take(borrower) {
            self.wait_for(borrower)?;
        }
        Ok(self.token(borrower))
    }

    /// Takes a token for the running task if that needs no waiting; outside of tasks, for nobody else.
    ///
    /// # Panics
    ///
    /// When this task has a token of this limiter already.
    #[inline]
    #[track_caller]
    pub fn try_acquire(&self) -> Option<Token<&Limiter>> {
        self.try_acquire_on_behalf_of(Borrower::current())
    }

    /// Takes a token for somebody else than the running task if that needs no waiting. It works in callbacks, in destructors
    /// and outside of [`run`](crate::run) too.
    ///
    /// # Panics
    ///
    /// When the borrower has a token of this limiter already.
    #[inline]
    #[track_caller]
    pub fn try_acquire_on_behalf_of(&self, borrower: Borrower) -> Option<Token<&Limiter>> {
        self.take(borrower).then(|| self.token(borrower))
    }

    /// An arm that takes a token for the task that selects it, for [`select`](crate::select::select).
    ///
    /// Where that one has a token already, it panics.
    pub fn acquiring(&self) -> Borrowing<'_> {
        Borrowing { limiter: self, borrower: None }
    }

    /// An arm that takes a token for somebody else, for [`select`](crate::select::select).
    ///
    /// Where that one has a token already, it panics.
    pub fn acquiring_on_behalf_of(&self, borrower: Borrower) -> Borrowing<'_> {
        Borrowing { limiter: self, borrower: Some(borrower) }
    }

    /// How many tokens there are.
    pub fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Moves the limit. Those who wait have the tokens that come with a higher one; under a lower one tokens that are too many
    /// are not missed until they are given back.
    ///
    /// ```
    /// use ropewalk::sync::{Borrower, Limiter};
    ///
    /// let limiter = Limiter::new(2);
    /// let one = limiter.try_acquire_on_behalf_of(Borrower::new()).unwrap();
    /// let two = limiter.try_acquire_on_behalf_of(Borrower::new()).unwrap();
    /// limiter.set_limit(1);
    /// assert_eq!((limiter.borrowed(), limiter.available()), (2, 0));
    /// drop(one);
    /// assert_eq!((limiter.borrowed(), limiter.available()), (1, 0));
    /// drop(two);
    /// assert_eq!((limiter.borrowed(), limiter.available()), (0, 1));
    /// ```
    #[doc(alias = "total_tokens")]
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
        self.serve();
    }

    /// How many tokens are borrowed. These are more than there are where the limit was lowered meanwhile.
    pub fn borrowed(&self) -> usize {
        self.borrowers.borrow().len()
    }

    /// How many tokens are free.
    pub fn available(&self) -> usize {
        self.limit.get().saturating_sub(self.borrowed())
    }

    /// What is going on here.
    pub fn statistics(&self) -> LimiterStatistics {
        let borrowers: Vec<_> = self.borrowers.borrow().iter().copied().collect();
        LimiterStatistics {
            limit: self.limit.get(),
            borrowed: borrowers.len(),
            borrowers,
            waiting: self.waiting.len(),
        }
    }

    /// # Panics
    ///
    /// When the borrower has a token.
    #[inline]
    #[track_caller]
    fn take(&self, borrower: Borrower) -> bool {
        let mut borrowers = self.borrowers.borrow_mut();
        if borrowers.contains(&borrower) {
            drop(borrowers);
            already_has(borrower);
        }
        // Then nobody waits.
        let is_free = borrowers.len() < self.limit.get();
        if is_free {
            borrowers.insert(borrower);
        }
        is_free
    }

    #[track_caller]
    fn wait_for(&self, borrower: Borrower) -> Result<(), Cancelled> {
        let asked = Asked { limiter: self, borrower: Some(borrower) };
        let holder = || self.only_borrower();
        match self.waiting.wait_with(&Why::new("").on(&asked).held_by(&holder), borrower) {
            Ok(Woken { value: Some(true), .. }) => Ok(()),
            Ok(_) => already_has(borrower),
            Err((cancelled, _)) => Err(cancelled),
        }
    }

    /// For whoever has just taken one, or was given it.
    #[inline]
    fn token(&self, borrower: Borrower) -> Token<&Limiter> {
        Token { limiter: self, borrower: Some(borrower), _held: Some(Held::new()) }
    }

    /// Gives tokens to those who wait, as long as there are any.
    #[inline]
    fn serve(&self) {
        while self.borrowed() < self.limit.get() {
            let Some(borrower) = self.waiting.first_offer() else { return };
            let has_got_one = self.borrowers.borrow_mut().insert(borrower);
            self.waiting.wake_one(has_got_one).expect("it is the first of those who wait");
        }
    }

    /// The task that has the only token, if that is a task.
    fn only_borrower(&self) -> Option<TaskId> {
        let borrowers = self.borrowers.borrow();
        borrowers.first().filter(|_| borrowers.len() == 1)?.task()
    }
}

#[cold]
#[track_caller]
fn already_has(borrower: Borrower) -> ! {
    panic!("{borrower} has a token of this limiter already: it would wait for itself")
}

impl<L: Deref<Target = Limiter>> Token<L> {
    /// On whose behalf it was borrowed.
    pub fn borrower(&self) -> Borrower {
        self.borrower.expect("it has one until it is dropped")
    }
}

impl Token<&Limiter> {
    /// The same token, with a share of its limiter.
    ///
    /// # Panics
    ///
    /// When it is of another limiter.
    #[inline]
    #[track_caller]
    pub fn into_owned(mut self, limiter: &Rc<Limiter>) -> Token<Rc<Limiter>> {
        assert!(std::ptr::eq(self.limiter, &**limiter), "this is a token of another limiter");
        Token { limiter: limiter.clone(), borrower: self.borrower.take(), _held: None }
    }
}

impl<L: Deref<Target = Limiter>> Drop for Token<L> {
    #[inline]
    fn drop(&mut self) {
        if let Some(borrower) = self.borrower.take() {
            self.limiter.borrowers.borrow_mut().remove(&borrower);
            self.limiter.serve();
        }
    }
}

thread_local! {
    static BORROWERS: Cell<u64> = const { Cell::new(0) };
}

impl Borrower {
    /// Somebody who is no task, and nobody else.
    #[expect(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Borrower {
        let number = BORROWERS.get() + 1;
        BORROWERS.set(number);
        Borrower::of(Who::Other(number))
    }

    /// The running task; outside of tasks, nobody else.
    #[inline]
    fn current() -> Borrower {
        lowlevel::current_id().map_or_else(Borrower::new, Borrower::from)
    }

    /// The task, if it is one.
    pub fn task(self) -> Option<TaskId> {
        match self.who {
            Who::Task(task) => Some(task),
            Who::Other(_) => None,
        }
    }

    fn of(who: Who) -> Borrower {
        Borrower { who, stays_here: PhantomData }
    }
}

impl From<TaskId> for Borrower {
    fn from(task: TaskId) -> Borrower {
        Borrower::of(Who::Task(task))
    }
}

impl fmt::Display for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Task(task) => write!(f, "task {task}"),
            Who::Other(number) => write!(f, "borrower {number}"),
        }
    }
}

impl fmt::Debug for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Borrower({self})")
    }
}

/// An arm that takes a token: see [`Limiter::acquiring`].
#[derive(Clone, Copy)]
#[must_use = "nothing is borrowed until it is selected"]
pub struct Borrowing<'a> {
    limiter: &'a Limiter,
    /// `None`: the task that selects it.
    borrower: Option<Borrower>,
}

impl Borrowing<'_> {
    #[inline]
    fn borrower(&self) -> Borrower {
        self.borrower.unwrap_or_else(Borrower::current)
    }
}

impl<'a> Arm for Borrowing<'a> {
    type Output = Token<&'a Limiter>;
    type Place = InLine<'a, bool, Borrower>;

    #[inline]
    #[track_caller]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.limiter.try_acquire_on_behalf_of(self.borrower())
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.limiter.waiting.place(self.borrower())
    }

    /// One that was refused tries again, and is told then.
    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<Self::Output> {
        match place.into_woken(&self.limiter.waiting) {
            // Whoever asked has it, whatever task that has become meanwhile.
            Woken { value: Some(true), offer: Some(borrower) } => Some(self.limiter.token(borrower)),
            _ => None,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Asked { limiter: self.limiter, borrower: self.borrower })
    }

    fn holder(&self) -> Option<TaskId> {
        self.limiter.only_borrower()
    }
}

/// What is asked for; for dumps.
struct Asked<'a> {
    limiter: &'a Limiter,
    borrower: Option<Borrower>,
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limiter")?;
        // Of a task that waits it is known who it is.
        if let Some(borrower) = self.borrower.filter(|borrower| borrower.task().is_none()) {
            write!(f, " for {borrower}")?;
        }
        write!(f, ": {} of {} borrowed", self.limiter.borrowed(), self.limiter.limit())
    }
}

impl fmt::Debug for Borrowing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Borrowing")
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Looked at before anything is written: whoever reads may use the limiter meanwhile.
        let LimiterStatistics { limit, borrowers, waiting, .. } = self.statistics();
        let mut shown = f.debug_struct("Limiter");
        shown.field("limit", &limit).field("borrowers", &borrowers).field("waiting", &waiting).finish()
    }
}

impl<L: Deref<Target = Limiter>> fmt::Debug for Token<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.borrower {
            Some(borrower) => write!(f, "Token({borrower})"),
            None => f.write_str("Token"),
        }
    }
}
