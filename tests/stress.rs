//! Generators made and dropped in random order, for a long time: memory stays where it was.
//!
//! `ROPEWALK_STRESS` says how many, three million in CI; a test binary of its own, so that nothing else allocates.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::{Generator, State, Step, Yielder, generate, stack};

/// A small generator of pseudo-random numbers (xorshift64*), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Memory of this process that is in main memory, in KiB.
fn resident_kib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this system has /proc");
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4
}

/// Counts what is alive in bodies.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Alive {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

type Subject = Generator<usize, usize, usize>;

fn make(random: &mut Random, alive: &Rc<Cell<usize>>) -> Subject {
    let (kind, guard) = (random.below(8), Alive::new(alive));
    match kind {
        // Unwinding is the dear way to end: one in eight.
        0 => Generator::new(move |co| {
            let _guard = guard;
            loop {
                co.yield_(0);
            }
        }),
        1 => Generator::new(move |co| {
            let _guard = guard;
            co.try_yield_from(inner()).unwrap_or(0)
        }),
        2 => Generator::new(move |_| {
            drop(guard);
            1
        }),
        _ => Generator::new(move |co| {
            let _guard = guard;
            let mut sum = 0;
            while let Ok(number) = co.try_yield(sum) {
                sum += number;
            }
            sum
        }),
    }
}

fn inner() -> Subject {
    Generator::new(|co: &Yielder<usize, usize>| co.try_yield(1).unwrap_or(2))
}

#[test]
fn memory_stays_flat_while_millions_of_generators_come_and_go() {
    let wanted: usize = std::env::var("ROPEWALK_STRESS").map_or(100_000, |text| text.parse().unwrap());
    const LIVE: usize = 2_000;
    let (mut random, alive) = (Random(0x9e37_79b9), Rc::new(Cell::new(0)));
    let mut live: Vec<Option<Subject>> = (0..LIVE).map(|_| None).collect();
    let mut sizes = Vec::new();
    let (mut steps, mut closed) = (0, 0);
    for made in 0..wanted {
        // Replaces a generator in a random place, which drops that one in whatever state it is.
        live[random.below(LIVE)] = Some(make(&mut random, &alive));
        if let Some(generator) = &live[random.below(LIVE)] {
            steps += 1;
            match generator.state() {
                State::Created => drop(generator.start().unwrap()),
                State::Suspended if random.below(4) == 0 => {
                    closed += 1;
                    drop(generator.close());
                }
                State::Suspended => drop(generator.send(1)),
                State::Closed => assert_eq!(generator.send(7).unwrap_err().into_inner(), 7),
                State::Running => unreachable!("nobody is running it"),
            }
        }
        if (made + 1) % (wanted / 20) == 0 {
            sizes.push(resident_kib());
        }
    }
    let in_use = live.iter().flatten().count();
    assert!(steps > wanted / 2 && closed > wanted / 100, "{steps} steps, {closed} closed");
    assert!(alive.get() <= in_use);
    drop(live);
    assert_eq!(alive.get(), 0, "something in a body was not dropped");
    // The first quarter fills the pool; from then on nothing may grow.
    let (early, late) = (&sizes[..sizes.len() / 4], &sizes[sizes.len() / 4..]);
    let (settled, highest) = (early.iter().max().unwrap(), late.iter().max().unwrap());
    // (AddressSanitizer keeps what was freed for a while; it looks for leaks by itself at the end.)
    if !cfg!(feature = "sanitizer") {
        assert!(*highest < settled + settled / 10 + 1024, "from {settled} to {highest} KiB: {sizes:?}");
    }
    let stats = stack::stats();
    assert!(stats.slots < 2 * LIVE + 200, "{stats}");
    // What is idle can be given back.
    let before = resident_kib();
    stack::trim();
    assert!(resident_kib() < before, "trimming gave nothing back");
    assert_eq!(generate(|co| co.yield_(1)).start().unwrap(), Step::Yield(1));
}
