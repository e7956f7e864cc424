//! Pi by chance: points in a square, and how many of them lie in the circle. A computation, in three places.
//!
//! ```text
//! cargo run --release --example pi [POINTS] [PARTS]
//! ```
//!
//! *On one loop* the parts are tasks. No task takes a turn from another one that computes: the loop does nothing else meanwhile, and uses one
//! core. *On the CPU pool* each part goes to a thread, and its task parks. The loop stays free for whatever waits. *On shards* each core has a
//! loop, and the parts are jobs for whichever is idle: between two of them a loop does what else it has to do.
//!
//! What that means to all others a ticker shows, which wants to tick each millisecond: the table says how late it was at worst. The
//! parts have seeds of their own, so that all three count the same points.

use std::cell::Cell;
use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::{blocking, shards, task, time};

const TICK: Duration = Duration::from_millis(1);

/// Some of the points.
#[derive(Clone, Copy)]
struct Part {
    seed: u64,
    points: u64,
}

impl Part {
    /// How many of them lie in the circle.
    fn count(self) -> u64 {
        // Odd, so that it is not zero; seeds that are neighbours are far from one another after this.
        let mut chance = (self.seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut is_inside = || {
            // Marsaglia's xorshift. Its halves are the coordinates: both from -1 to 1.
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let coordinate = |half: u64| half as u32 as i32 as f64 / 2_f64.powi(31);
            let (x, y) = (coordinate(chance), coordinate(chance >> 32));
            x * x + y * y <= 1.0
        };
        (0..self.points).map(|_| u64::from(is_inside())).sum()
    }
}

fn on_one_loop(parts: &[Part]) -> u64 {
    task::scope(|s| {
        let tasks: Vec<_> = parts.iter().map(|part| s.spawn(|| part.count())).collect();
        tasks.iter().map(|task| task.join().unwrap()).sum()
    })
}

fn on_the_cpu_pool(parts: &[Part]) -> u64 {
    task::scope(|s| {
        let on_thread = |part: &Part| blocking::unblock_cpu(|| part.count()).unwrap();
        let tasks: Vec<_> = parts.iter().map(|part| s.spawn(move || on_thread(part))).collect();
        tasks.iter().map(|task| task.join().unwrap()).sum()
    })
}

fn on_shards(cores: usize, parts: &[Part]) -> (u64, Duration) {
    let results = shards::run(cores, |shard| {
        // The first one adds the jobs; the others take what it has not begun.
        (shard.index() == 0).then(|| {
            beside_a_ticker(|| {
                let jobs: Vec<_> = parts.iter().map(|part| shard.spawn(|_| part.count())).collect();
                jobs.iter().map(|job| job.join().unwrap()).sum()
            })
        })
    });
    results.into_iter().flatten().next().unwrap()
}

/// Does it; says how late a ticker was meanwhile, at worst.
fn beside_a_ticker<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let worst = Cell::new(Duration::ZERO);
    let result = task::scope(|s| {
        s.spawn_service(|| {
            loop {
                let due = Instant::now() + TICK;
                let slept = time::sleep_until(due);
                worst.set(worst.get().max(due.elapsed()));
                if slept.is_err() {
                    // The work is done.
                    return;
                }
            }
        });
        task::yield_now();
        work()
    });
    (result, worst.get())
}

fn print_row(place: &str, points: u64, began: Instant, (inside, late): (u64, Duration)) {
    let (seconds, late) = (began.elapsed().as_secs_f64(), late.as_secs_f64() * 1e3);
    let estimate = 4.0 * inside as f64 / points as f64;
    println!("{place:<16} {estimate:>9.6} {seconds:>9.3} {late:>16.1}");
}

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = env::args().skip(1).map(|argument| argument.parse()).collect();
    let (points, parts) = match numbers.as_deref() {
        Ok([]) => (200_000_000, 64),
        Ok(&[points]) if points > 0 => (points, 64),
        Ok(&[points, parts]) if points > 0 && parts > 0 => (points, parts),
        _ => {
            eprintln!("Usage: pi [POINTS] [PARTS]");
            return ExitCode::from(2);
        }
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    println!("{points} points in {parts} parts, cores: {cores}");
    println!("{:<16} {:>9} {:>9} {:>16}", "", "estimate", "seconds", "ticker late, ms");
    let share = |seed| Part { seed, points: points / parts + u64::from(seed < points % parts) };
    let parts: Vec<Part> = (0..parts).map(share).collect();

    let began = Instant::now();
    let one = ropewalk::run(|| beside_a_ticker(|| on_one_loop(&parts)));
    print_row("on one loop", points, began, one);

    let began = Instant::now();
    let pool = ropewalk::run(|| beside_a_ticker(|| on_the_cpu_pool(&parts)));
    print_row("on the CPU pool", points, began, pool);

    let began = Instant::now();
    print_row("on shards", points, began, on_shards(cores, &parts));
    ExitCode::SUCCESS
}
