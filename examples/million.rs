//! A million generators suspended at once, each on a guarded stack of the default size, on a stock kernel.
//!
//! `cargo run --release --example million [COUNT]` prints what they take, page tables included, and fails when that
//! is more than 4.7 KiB each. Linux 6.13 or later; needs 5 GB of memory for a million.

use std::process::ExitCode;
use std::time::Instant;

use ropewalk::{Generator, StartError, generate, stack};

/// What a suspended generator may take, in bytes: one page, its share of the page tables, and what is on the heap.
const MOST_BYTES_EACH: f64 = 4.7 * 1024.0;

/// A line of `/proc/self/status` in bytes, such as `VmRSS`.
fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this system has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says this");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<usize>().expect("a number of KiB") * 1024
}

fn main() -> ExitCode {
    let count: usize = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number"));
    let memory = || status("VmRSS") + status("VmPTE");
    let mut generators: Vec<Generator<usize>> = Vec::with_capacity(count);
    let before = memory();

    let created = Instant::now();
    generators.extend((0..count).map(|number| generate(move |co| co.yield_(number))));
    let created = created.elapsed();
    let unstarted = memory();

    let started = Instant::now();
    for (number, generator) in generators.iter().enumerate() {
        match generator.start() {
            Ok(step) => assert_eq!(step.yielded(), Some(number)),
            Err(StartError::NoStack(error)) => {
                eprintln!("after {number}: {error}");
                return ExitCode::FAILURE;
            }
            Err(error) => unreachable!("each is started once: {error}"),
        }
    }
    let started = started.elapsed();
    let suspended = memory();

    let mappings = std::fs::read_to_string("/proc/self/maps").expect("this system has /proc").lines().count();
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("this system has /proc");
    let guard = stack::stats().guard;

    let resumed = Instant::now();
    let ended = generators.iter().filter(|generator| generator.next().is_none()).count();
    let resumed = resumed.elapsed();
    assert_eq!(ended, count);

    let again = Instant::now();
    let sum: usize = (0..count).map(|number| generate(move |co| co.yield_(number)).sum::<usize>()).sum();
    let again = again.elapsed();
    assert_eq!(sum, count * (count - 1) / 2);

    if guard == Some(stack::GuardMethod::Madvise) {
        // Guards cost no mapping: that is why there is room for a million.
        assert!(mappings < 1_000, "{mappings} mappings");
    }

    let each = |bytes: usize| bytes as f64 / count as f64;
    let nanoseconds = |time: std::time::Duration| time.as_nanos() as f64 / count as f64;
    let bytes_each = each(suspended - before);
    println!("{count} generators, stacks of {} KiB, guards by {guard:?}", stack::default_size() >> 10);
    println!(
        "created:    {created:.2?} ({:.0} ns each), {:.0} bytes each",
        nanoseconds(created),
        each(unstarted - before)
    );
    println!(
        "suspended:  {started:.2?} ({:.0} ns each), {bytes_each:.0} bytes each, page tables counted",
        nanoseconds(started)
    );
    println!("mappings:   {mappings} (vm.max_map_count is {})", limit.trim());
    println!("ended:      {resumed:.2?} ({:.0} ns each)", nanoseconds(resumed));
    println!("one by one: {again:.2?} ({:.0} ns to create, run and drop each)", nanoseconds(again));
    if bytes_each > MOST_BYTES_EACH {
        eprintln!("more than {MOST_BYTES_EACH:.0} bytes each");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
