//! A list of what happened, to be compared with what should have.

use std::cell::RefCell;
use std::rc::Rc;

/// A log that bodies can take a copy of.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Log {
        Log::default()
    }

    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    /// A value that says when it is dropped.
    pub(crate) fn on_drop(&self, event: &'static str) -> SaysWhenDropped {
        SaysWhenDropped { log: self.clone(), event }
    }

    /// What happened so far; the log is empty then.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    #[track_caller]
    pub(crate) fn assert(&self, expected: &[&str]) {
        assert_eq!(*self.0.borrow(), expected);
    }
}

pub(crate) struct SaysWhenDropped {
    log: Log,
    event: &'static str,
}

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        self.log.add(self.event);
    }
}

/// Runs `f` and returns the text of its panic. The panic's message goes to the test's captured output.
#[track_caller]
pub(crate) fn panic_text<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) else {
        panic!("it did not panic")
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast_ref::<&str>().expect("a panic with a text")).to_owned(),
    }
}

thread_local! {
    static UNRAISED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What went to the hook on this thread while `f` ran.
pub(crate) fn unraised_by(f: impl FnOnce()) -> Vec<String> {
    // The hook is the process's; each test looks at what its own thread said.
    ropewalk::set_unraisable_hook(|event| {
        let text = event.to_string();
        // Without the place, which changes with every line of the test.
        let text = text.split_once(" created at ").map_or(text.clone(), |(_, rest)| {
            rest.split_once(' ').map_or(text.clone(), |(_, what)| what.to_owned())
        });
        UNRAISED.with(|log| log.borrow_mut().push(text));
    });
    UNRAISED.take();
    f();
    UNRAISED.take()
}

/// Runs `act` in a destructor while the thread unwinds, and gives what it returned.
pub(crate) fn while_unwinding<T: 'static>(act: impl FnOnce() -> T + 'static) -> T {
    struct ActsWhenDropped<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for ActsWhenDropped<F> {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            self.0.take().expect("dropped once")();
        }
    }
    let result = Rc::new(RefCell::new(None));
    let act = {
        let result = result.clone();
        move || *result.borrow_mut() = Some(act())
    };
    panic_text(|| {
        let _acts = ActsWhenDropped(Some(act));
        panic!("unwinding");
    });
    result.take().expect("the destructor has run")
}
