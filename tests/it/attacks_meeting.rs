//! Attacks on waits, lines and selects from safe code.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::rc::Rc;

use ropewalk::channel;
use ropewalk::lowlevel::{self, Arm, ByTicket, InLine, Register, Ticket, WaitList, Why};
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
