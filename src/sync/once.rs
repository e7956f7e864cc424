//! A value that is made once, by whoever asks first, who may have to wait for it.
//!
//! Words: a task that initialises the cell has the *claim*. If it fails, is cancelled or panics, the claim goes to the next
//! who wanted the value, and who brought an initialiser of its own.
//!
//! Invariants:
//! - Nobody sets the value but whoever has the claim, or somebody while nobody has it.
//! - While there is a value, or nobody has the claim, nobody waits for either.

use std::cell::{self, Cell};
use std::fmt;

use crate::error::Cancelled;
use crate::scheduler::lowlevel::{self, Arm, InLine, TaskId, WaitList, Why, Woken};

/// A value that is set once; whoever makes it may wait meanwhile, and others wait for that.
///
/// ```
/// use ropewalk::sync::OnceCell;
/// use ropewalk::{Cancelled, task, time};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// ropewalk::run(|| {
///     let (settings, loaded) = (OnceCell::new(), Cell::new(0));
///     let load = || {
///         time::sleep(Duration::from_millis(1))?;
///         loaded.set(loaded.get() + 1);
///         Ok::<_, Cancelled>("verbose")
///     };
///     task::scope(|s| {
///         for _ in 0..3 {
///             s.spawn(|| assert_eq!(settings.get_or_try_init(load), Ok(&"verbose")));
///         }
///     });
///     assert_eq!((settings.get(), loaded.get()), (Some(&"verbose"), 1));
/// });
/// ```
///
/// Where there is nothing to make, and some only wait for what another one sets, it is a promise:
///
/// ```
/// use ropewalk::sync::OnceCell;
/// use ropewalk::task;
///
/// ropewalk::run(|| {
///     let address = OnceCell::new();
///     task::scope(|s| {
///         let first = s.spawn(|| address.wait().copied());
///         let second = s.spawn(|| address.wait().copied());
///         address.set("127.0.0.1:80").unwrap();
///         assert_eq!(first.join().unwrap(), Ok("127.0.0.1:80"));
///         assert_eq!(second.join().unwrap(), Ok("127.0.0.1:80"));
///     });
/// });
/// ```
#[doc(alias = "Once")]
#[doc(alias = "OnceLock")]
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Who has the claim.
    claimed: Cell<Option<TaskId>>,
    /// They would initialise it as well, and offer their names.
    claiming: WaitList<Turn, TaskId>,
    /// They only wait for the value.
    watching: WaitList,
}

/// What those are told who would initialise a cell as well.
enum Turn {
    /// There is a value.
    Done,
    /// Somebody had to give up. The claim is theirs.
    Yours,
}

/// Who has the claim on a cell. When it is dropped all are told of the value; or, if there is none, the claim is passed on.
struct Claim<'a, T>(&'a OnceCell<T>);

impl<T> OnceCell<T> {
    /// One without a value.
    pub const fn new() -> OnceCell<T> {
        OnceCell {
            value: cell::OnceCell::new(),
            claimed: Cell::new(None),
            claiming: WaitList::new(),
            watching: WaitList::new(),
        }
    }

    /// The value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value; if there is none, `init` makes it. If another task is about to, waits for that.
    ///
    /// As [`get_or_try_init`](OnceCell::get_or_try_init), where nothing can go wrong but a panic.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]: `init` was not called.
    ///
    /// # Panics
    ///
    /// With the panic of `init`. When `init` asks for the value itself. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> Result<&T, Cancelled> {
        self.get_or_try_init(|| Ok(init()))
    }

    /// The value; if there is none, `init` makes it, and may wait. If another task is about to, waits for that.
    ///
    /// If the other task fails, is cancelled or panics, it is the turn of whoever has waited longest, with an `init` of its own.
    ///
    /// # Cancellation
    ///
    /// The value is unset if `init` says so. One whose turn came before it was cancelled calls `init`, whose waits fail.
    ///
    /// # Errors
    ///
    /// That of `init`, or [`Cancelled`], where `init` was not called.
    ///
    /// # Panics
    ///
    /// With the panic of `init`. When `init` asks for the value itself. Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn get_or_try_init<E: From<Cancelled>>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        lowlevel::may_wait()?;
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        if let Some(claim) = self.claim()? {
            let value = init()?;
            assert!(claim.0.value.set(value).is_ok(), "only whoever has the claim sets it");
        }
        Ok(self.made())
    }

    /// Waits for a value, which others make or set.
    ///
    /// # Cancellation
    ///
    /// One that waited for a value that came before it was cancelled has it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    ///
    /// # Panics
    ///
    /// Outside of [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> Result<&T, Cancelled> {
        lowlevel::may_wait()?;
        if self.value.get().is_none() {
            let holder = || self.claimed.get();
            self.watching.wait(&Why::new(WHAT).held_by(&holder))?;
        }
        Ok(self.made())
    }

    /// An arm that waits for a value, for [`select`](crate::select::select).
    pub fn waiting(&self) -> WaitingForValue<'_, T> {
        WaitingForValue { cell: self }
    }

    /// Sets the value, and tells those who wait. It works in callbacks, in destructors and outside of [`run`](crate::run) too.
    ///
    /// # Errors
    ///
    /// There is a value, or a task is about to make one: this one comes back.
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.claimed.get().is_some() {
            return Err(value);
        }
        self.value.set(value)?;
        self.tell();
        Ok(())
    }

    /// How many tasks wait for the value.
    pub fn waiters(&self) -> usize {
        self.claiming.len() + self.watching.len()
    }

    /// The value, for whoever has the cell to itself.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Takes the value out: then there is none, and one can be made again.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Waits for the claim, or for the value: then there is no claim.
    ///
    /// # Panics
    ///
    /// When this task has the claim.
    #[track_caller]
    fn claim(&self) -> Result<Option<Claim<'_, T>>, Cancelled> {
        let me = lowlevel::current_id().expect("whoever may wait is a task");
        if self.claimed.get().is_none() {
            self.claimed.set(Some(me));
            return Ok(Some(Claim(self)));
        }
        assert!(
            self.claimed.get() != Some(me),
            "this task is making the value of this cell: its initialiser cannot ask for it"
        );
        let holder = || self.claimed.get();
        match self.claiming.wait_with(&Why::new(WHAT).held_by(&holder), me) {
            Ok(Woken { value: Some(Turn::Yours), .. }) => Ok(Some(Claim(self))),
            Ok(_) => Ok(None),
            Err((cancelled, _)) => Err(cancelled),
        }
    }

    #[inline]
    fn made(&self) -> &T {
        // It is taken out only by who has the cell to itself, and not while somebody asks for it.
        self.value.get().expect("it was made, or all have been told that it was")
    }

    fn tell(&self) {
        while self.claiming.wake_one(Turn::Done).is_ok() {}
        while self.watching.wake_one(()).is_ok() {}
    }
}

/// What one waits for, in dumps.
const WHAT: &str = "once cell";

impl<T> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        let cell = self.0;
        if cell.value.get().is_some() {
            cell.claimed.set(None);
            cell.tell();
        } else {
            cell.claimed.set(cell.claiming.exchange(Turn::Yours).ok());
        }
    }
}

/// An arm that waits for a value: see [`OnceCell::waiting`].
#[must_use = "nothing waits until it is selected"]
pub struct WaitingForValue<'a, T> {
    cell: &'a OnceCell<T>,
}

impl<'a, T> Arm for WaitingForValue<'a, T> {
    type Output = &'a T;
    type Place = InLine<'a, ()>;

    #[inline]
    fn try_now(&mut self) -> Option<&'a T> {
        self.cell.get()
    }

    #[inline]
    fn place(&mut self) -> Self::Place {
        self.cell.watching.place(())
    }

    #[inline]
    fn end(&mut self, place: Self::Place) -> Option<&'a T> {
        place.into_woken(&self.cell.watching).value.map(|()| self.cell.made())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WHAT)
    }

    fn holder(&self) -> Option<TaskId> {
        self.cell.claimed.get()
    }
}

impl<T> Copy for WaitingForValue<'_, T> {}

impl<T> Clone for WaitingForValue<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for WaitingForValue<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingForValue")
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

/// One that has its value.
impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        OnceCell { value: value.into(), ..OnceCell::new() }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceCell");
        match (self.get(), self.claimed.get()) {
            (Some(value), _) => shown.field(value),
            (None, Some(task)) => shown.field(&format_args!("<task {task} makes it>")),
            (None, None) => shown.field(&format_args!("<unset>")),
        };
        shown.finish()
    }
}
