//! A long life of tasks: whatever they do to one another, memory and stacks stay what they were.
//!
//! In a process of its own, for it looks at what the whole process takes up. `ROPEWALK_STRESS` in the environment says how
//! many tasks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::{Clock, Runtime, stack, task, time};

/// What the process has in memory, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Counts those that have not been dropped.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(alive: &Rc<Cell<usize>>) -> Counted {
        alive.set(alive.get() + 1);
        Counted(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Tasks that return, never run, sleep, are cut short, wait in line and are woken or cancelled there.
fn live(tasks: usize, alive: &Rc<Cell<usize>>) {
    for number in 0..tasks {
        let captured = Counted::new(alive);
        let handle = task::spawn(move || captured);
        match number % 6 {
            0 | 1 => drop(handle.join().unwrap()),
            2 => drop(handle.cancel()),
            _ => {}
        }
        if number % 64 == 0 {
            let nap = || time::sleep(Duration::from_millis(2));
            assert!(time::timeout(Duration::from_millis(1), nap).is_err());
        }
        if number % 1000 == 0 {
            let line = WaitList::<u8>::new();
            let woken = task::scope(|s| {
                let waiters: Vec<_> = (0..50).map(|_| s.spawn(|| line.wait(&Why::new("line")))).collect();
                task::yield_now();
                waiters.iter().step_by(2).for_each(|waiter| assert!(waiter.cancel()));
                line.wake_all(1)
            });
            assert_eq!(woken, 25);
        }
    }
    // Those that were left to themselves.
    task::yield_now();
}

#[test]
fn memory_stays_flat_while_tasks_come_and_go() {
    let wanted: usize = std::env::var("ROPEWALK_STRESS").map_or(200_000, |text| text.parse().unwrap());
    let runtime = Runtime::builder().clock(Clock::Virtual).build();
    let alive = Rc::new(Cell::new(0));
    let mut sizes = Vec::new();
    for _ in 0..20 {
        runtime.run(|| live(wanted / 20, &alive));
        assert_eq!(alive.get(), 0, "something that a task had was not dropped");
        sizes.push(resident_kib());
    }
    let (settled, highest) = (sizes[..5].iter().max().unwrap(), sizes[5..].iter().max().unwrap());
    // (AddressSanitizer keeps what was freed for a while; it looks for leaks by itself at the end.)
    if !cfg!(feature = "sanitizer") {
        assert!(*highest < settled + settled / 10 + 512, "from {settled} to {highest} KiB: {sizes:?}");
    }
    // A batch of slots of the usual size, and one of the first tasks' size.
    let stats = stack::stats();
    assert!(stats.slots < 1000, "{stats}");
}
