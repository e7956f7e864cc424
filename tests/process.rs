//! What needs a process of its own: faults, aborts, limits, environment variables.
//!
//! Each test runs itself again in a child process, which plays the scenario; the parent looks at how it ended.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk::generator::{self, Builder};
use ropewalk::lowlevel::{self, Undo, WaitList, Why};
use ropewalk::{Generator, RunError, Runtime, StartError, Yielder, generate, inspect, stack, task, time};

/// Runs `scenario` in a child process, which ends well if the scenario returns.
fn in_child(test: &str, environment: &[(&str, &str)], scenario: impl FnOnce()) -> Output {
    const CHILD: &str = "ROPEWALK_TEST_CHILD";
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        scenario();
        std::process::exit(0);
    }
    let own = std::env::current_exe().expect("the test has an executable");
    Command::new(own)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env_remove("RUST_BACKTRACE")
        .env(CHILD, test)
        .envs(environment.iter().copied())
        .output()
        .expect("the test can run itself")
}

fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_ended_well(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, errors_of(output));
}

#[track_caller]
fn assert_killed_by(signal: i32, output: &Output) {
    assert_eq!(output.status.signal(), Some(signal), "{}\n{}", output.status, errors_of(output));
}

#[track_caller]
fn assert_says(output: &Output, text: &str) {
    assert!(errors_of(output).contains(text), "no {text:?} in:\n{}", errors_of(output));
}

/// Uses stack without end, in a way that no optimiser removes.
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1).wrapping_add(frame[(depth % 64) as usize]) }
}

#[test]
fn an_overflow_names_the_generator_its_birthplace_its_size_and_the_knob() {
    let line = line!() + 3;
    let name = "an_overflow_names_the_generator_its_birthplace_its_size_and_the_knob";
    let output = in_child(name, &[], || {
        let deep = Builder::new().name("deep").stack_size(128 << 10).generator(|co: &Yielder<u64>| {
            co.yield_(recurse(0));
        });
        deep.for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in generator 'deep' created at tests/process.rs:");
    assert_says(&output, &format!("process.rs:{line}:"));
    assert_says(&output, "131072 bytes");
    assert_says(&output, "generator::Builder::stack_size(524288)");
    // Which would change nothing for a generator that has asked for a size.
    assert!(!errors_of(&output).contains("ROPEWALK_STACK_SIZE"));
}

#[test]
fn an_overflow_on_a_thread_that_std_did_not_make_is_reported_too() {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        generate(|co| co.yield_(recurse(0))).for_each(drop);
        std::ptr::null_mut()
    }
    let output = in_child("an_overflow_on_a_thread_that_std_did_not_make_is_reported_too", &[], || {
        // SAFETY: a thread with default attributes and a body that takes no argument; it is joined at once.
        unsafe {
            let mut thread = std::mem::zeroed();
            let none = std::ptr::null_mut();
            assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), body, none), 0);
            libc::pthread_join(thread, std::ptr::null_mut());
        }
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in generator created at tests/process.rs");
}

#[test]
fn an_overflow_in_an_inner_generator_names_the_inner_one() {
    let output = in_child("an_overflow_in_an_inner_generator_names_the_inner_one", &[], || {
        let outer = generate(|co| {
            co.yield_from(Builder::new().name("inner").generator(|co: &Yielder<u64>| co.yield_(recurse(0))))
        });
        outer.for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "stack overflow in generator 'inner'");
}

#[test]
fn an_overflow_of_a_thread_still_gets_the_message_of_std() {
    let output = in_child("an_overflow_of_a_thread_still_gets_the_message_of_std", &[], || {
        assert_eq!(generate(|co| co.yield_(1)).sum::<i32>(), 1);
        let thread = std::thread::Builder::new().name("shallow".to_owned());
        let joined = thread.spawn(|| recurse(0)).expect("a thread can be made").join();
        unreachable!("the thread overflowed: {joined:?}");
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "thread 'shallow'");
    assert_says(&output, "has overflowed its stack");
    assert!(!errors_of(&output).contains("ropewalk"));
}

#[test]
fn another_fault_goes_to_the_handler_that_was_there_before() {
    extern "C" fn before(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid `siginfo_t`; `_exit` is async-signal-safe.
        unsafe { libc::_exit(if (*info).si_addr() as usize == 8 { 77 } else { 78 }) }
    }
    let output = in_child("another_fault_goes_to_the_handler_that_was_there_before", &[], || {
        // SAFETY: a handler with the signature that SA_SIGINFO asks for; then a read that faults, as it should.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = before as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
            generate(|co| co.yield_(black_box(std::ptr::without_provenance::<u64>(8)).read_volatile()))
                .for_each(drop);
        }
    });
    assert_eq!(output.status.code(), Some(77), "{}", errors_of(&output));
}

#[test]
fn another_fault_without_such_a_handler_kills_as_it_would_anyway() {
    let output = in_child("another_fault_without_such_a_handler_kills_as_it_would_anyway", &[], || {
        let nowhere = std::ptr::without_provenance::<u64>(8);
        // SAFETY: a read that faults, as it should.
        let read = move || unsafe { black_box(nowhere).read_volatile() };
        generate(move |co| co.yield_(read())).for_each(drop);
    });
    assert_killed_by(libc::SIGSEGV, &output);
    assert!(!errors_of(&output).contains("ropewalk"), "{}", errors_of(&output));
}

/// The end of the page that holds the hot end of the running generator's stack: where its slot ends.
fn top_of_this_slot() -> usize {
    let local = 0u8;
    (black_box(&raw const local) as usize).next_multiple_of(4096)
}

#[test]
fn a_wild_pointer_into_a_guard_page_is_not_called_an_overflow() {
    let output = in_child("a_wild_pointer_into_a_guard_page_is_not_called_an_overflow", &[], || {
        let generator = generate(|co| co.yield_(top_of_this_slot()));
        let guard = generator.next().expect("one item") - stack::DEFAULT_SIZE - 100;
        // SAFETY: a read that faults, as it should, from a stack that is not the generator's.
        unsafe { black_box(guard as *const u8).read_volatile() };
    });
    assert_killed_by(libc::SIGSEGV, &output);
    assert!(!errors_of(&output).contains("overflow"), "{}", errors_of(&output));
}

#[test]
fn a_large_guard_catches_what_jumps_over_a_page() {
    let output = in_child("a_large_guard_catches_what_jumps_over_a_page", &[], || {
        let builder = Builder::new().name("foreign").guard_size(1 << 20);
        let generator = builder.generator(|co: &Yielder<u8>| {
            let far_below = top_of_this_slot() - stack::DEFAULT_SIZE - (500 << 10);
            // SAFETY: what C code without stack probes does; the write faults, as it should.
            unsafe { black_box(far_below as *mut u8).write_volatile(1) };
            co.yield_(1);
        });
        generator.for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "stack overflow in generator 'foreign'");
}

#[test]
fn a_panic_with_a_backtrace_fits_on_the_default_stack_in_a_debug_build() {
    let name = "a_panic_with_a_backtrace_fits_on_the_default_stack_in_a_debug_build";
    let output = in_child(name, &[("RUST_BACKTRACE", "full")], || {
        let generator = Generator::<(), ()>::new(|_| panic!("deep inside"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| generator.start().is_ok()));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"deep inside"));
    });
    assert_ended_well(&output);
    assert_says(&output, "deep inside");
    assert_says(&output, "stack backtrace:");
    // The trace goes on from the generator's stack into whoever resumed it.
    assert_says(&output, "ropewalk::generator");
    assert_says(&output, "process::in_child");
}

#[test]
fn the_default_stack_has_four_times_the_room_for_that() {
    let name = "the_default_stack_has_four_times_the_room_for_that";
    let environment = [("RUST_BACKTRACE", "full"), ("ROPEWALK_STACK_SIZE", "65536")];
    let output = in_child(name, &environment, || {
        assert_eq!(4 * stack::default_size(), stack::DEFAULT_SIZE);
        let generator = Generator::<(), ()>::new(|_| panic!("deep inside"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| generator.start().is_ok()));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"deep inside"));
    });
    assert_ended_well(&output);
    assert_says(&output, "stack backtrace:");
}

#[test]
fn stacks_are_kept_out_of_huge_pages() {
    let output = in_child("stacks_are_kept_out_of_huge_pages", &[], || {
        let generator = generate(|co| co.yield_(top_of_this_slot()));
        let inside = generator.next().unwrap() - 1;
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = false;
        let flags = smaps.lines().find_map(|line| {
            if let Some((low, rest)) = line.split_once('-') {
                let high = rest.split(' ').next().unwrap_or_default();
                if let (Ok(low), Ok(high)) = (usize::from_str_radix(low, 16), usize::from_str_radix(high, 16))
                {
                    here = (low..high).contains(&inside);
                }
            }
            line.strip_prefix("VmFlags:").filter(|_| here).map(str::to_owned)
        });
        let flags = flags.expect("the stack is in a mapping");
        assert!(flags.split(' ').any(|flag| flag == "nh"), "{flags}");
    });
    assert_ended_well(&output);
}

#[test]
fn a_size_in_the_environment_that_is_no_number_is_said_to_be_none() {
    let name = "a_size_in_the_environment_that_is_no_number_is_said_to_be_none";
    let output = in_child(name, &[("ROPEWALK_STACK_SIZE", "512K")], || {
        assert_eq!(stack::default_size(), stack::DEFAULT_SIZE);
    });
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: ROPEWALK_STACK_SIZE=512K is not a number of bytes");
}

#[test]
fn the_environment_sets_the_size_of_stacks() {
    let environment = [("ROPEWALK_STACK_SIZE", "65536")];
    let output = in_child("the_environment_sets_the_size_of_stacks", &environment, || {
        stack::set_default_size(1 << 20);
        assert_eq!(stack::default_size(), 65536);
        generate(|co| co.yield_(recurse(0))).for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "its stack has 65536 bytes");
    assert_says(
        &output,
        "generator::Builder::stack_size(262144), or for all with ROPEWALK_STACK_SIZE=262144",
    );
}

struct YieldsInDrop<'a>(&'a Yielder<i32>);

impl Drop for YieldsInDrop<'_> {
    fn drop(&mut self) {
        self.0.yield_(2);
    }
}

#[test]
fn a_plain_yield_in_a_destructor_of_an_unwinding_body_says_what_to_do_and_aborts() {
    let name = "a_plain_yield_in_a_destructor_of_an_unwinding_body_says_what_to_do_and_aborts";
    let output = in_child(name, &[], || {
        let generator = generate(|co| {
            let _guard = YieldsInDrop(co);
            co.yield_(1);
        });
        assert_eq!(generator.next(), Some(1));
        drop(generator);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "a generator must not yield while it unwinds: in a destructor use try_yield");
}

#[test]
fn a_borrowing_generator_that_will_not_end_aborts_rather_than_outlive_what_it_borrows() {
    let name = "a_borrowing_generator_that_will_not_end_aborts_rather_than_outlive_what_it_borrows";
    let output = in_child(name, &[], || {
        let data = [1, 2, 3];
        generator::scope(|s| {
            let stubborn = s.generator(|co: &Yielder<usize>| {
                loop {
                    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        co.yield_(data.len());
                    }));
                    drop(caught);
                }
            });
            assert_eq!(stubborn.start().unwrap().yielded(), Some(3));
        });
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "kept on yielding while its scope ended");
}

/// Suspends generators until there is no stack for one more, which must be before there are `too_many`.
fn suspend_until_refused(too_many: usize) -> (Vec<Generator<i32>>, std::io::Error) {
    let mut suspended = Vec::new();
    loop {
        let generator = generate(|co| co.yield_(1));
        match generator.start() {
            Ok(_) => suspended.push(generator),
            Err(StartError::NoStack(error)) => return (suspended, error),
            Err(other) => panic!("{other}"),
        }
        assert!(suspended.len() < too_many, "there is room for {too_many}");
    }
}

#[test]
fn without_address_space_starting_is_an_error_that_names_the_knob() {
    let output = in_child("without_address_space_starting_is_an_error_that_names_the_knob", &[], || {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: a valid limit for this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let (mut suspended, error) = suspend_until_refused(10_000);
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.contains("out of address space") && text.contains("ulimit -v"), "{text}");
        // The process goes on: there is memory for other things, and a stack that is given back serves again.
        assert_eq!(vec![1u8; 100_000].len(), 100_000);
        drop(suspended.pop());
        assert_eq!(generate(|co| co.yield_(5)).sum::<i32>(), 5);
    });
    assert_ended_well(&output);
}

#[test]
fn without_mappings_for_guards_starting_is_an_error_that_names_the_limit() {
    let environment = [("ROPEWALK_GUARD", "mprotect"), ("ROPEWALK_STACK_SIZE", "16384")];
    let name = "without_mappings_for_guards_starting_is_an_error_that_names_the_limit";
    let output = in_child(name, &environment, || {
        let most: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        // Beyond this the kernel is tuned, and the test would take more memory than it is worth.
        if most > 1 << 18 {
            eprintln!("vm.max_map_count is {most}: not exhausted");
            return;
        }
        let (mut suspended, error) = suspend_until_refused(most);
        assert_eq!(stack::stats().guard, Some(stack::GuardMethod::Mprotect));
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.contains(&format!("vm.max_map_count is {most}")), "{text}");
        // It was noticed before the allocator starves.
        assert!(suspended.len() > most * 2 / 5, "stopped early: {}", suspended.len());
        assert_eq!(vec![1u8; 10_000_000].len(), 10_000_000);
        drop(suspended.pop());
        assert_eq!(generate(|co| co.yield_(5)).sum::<i32>(), 5);
    });
    assert_ended_well(&output);
}

#[test]
fn an_overflow_is_caught_by_the_older_guards_as_well() {
    let environment = [("ROPEWALK_GUARD", "mprotect")];
    let output = in_child("an_overflow_is_caught_by_the_older_guards_as_well", &environment, || {
        generate(|co| co.yield_(recurse(0))).for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in generator created at tests/process.rs");
}

#[test]
fn memory_that_must_not_be_swapped_gets_the_older_guards() {
    let output = in_child("memory_that_must_not_be_swapped_gets_the_older_guards", &[], || {
        // The first stack decides how guards are made; locking comes after it, so one slab has to differ.
        assert_eq!(generate(|co| co.yield_(1)).sum::<i32>(), 1);
        let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        // SAFETY: locks pages that are touched from now on.
        let locked = unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) } == 0;
        let before = mappings();
        let suspended: Vec<_> = (0..40).map(|n| generate(move |co| co.yield_(n))).collect();
        suspended.iter().for_each(|generator| assert!(generator.next().is_some()));
        // Guards of the older kind split their mapping. (Who may not lock memory has guards of the newer kind.)
        assert!(!locked || mappings() > before + 20, "{before} and {} mappings", mappings());
        generate(|co| co.yield_(recurse(0))).for_each(drop);
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in generator created at tests/process.rs");
}

#[test]
fn more_generators_are_suspended_at_once_than_the_kernel_has_mappings_for() {
    let output =
        in_child("more_generators_are_suspended_at_once_than_the_kernel_has_mappings_for", &[], || {
            const MANY: usize = 40_000;
            assert_eq!(generate(|co| co.yield_(1)).sum::<i32>(), 1);
            if stack::stats().guard == Some(stack::GuardMethod::Mprotect) {
                // What happens then is the business of the test above.
                eprintln!("this kernel makes guards of mappings: it has no room for {MANY}");
                return;
            }
            let mut suspended: Vec<_> = (0..MANY).map(|n| generate(move |co| co.yield_(n))).collect();
            for (n, generator) in suspended.iter_mut().enumerate() {
                assert_eq!(generator.next(), Some(n));
            }
            let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
            assert!(mappings < 1_000, "{mappings} mappings");
            for generator in &mut suspended {
                assert_eq!(generator.next(), None);
            }
        });
    assert_ended_well(&output);
}

#[test]
fn a_forked_child_has_stacks_and_guards_of_its_own() {
    let output = in_child("a_forked_child_has_stacks_and_guards_of_its_own", &[], || {
        let suspended = generate(|co| co.yield_all(1..));
        assert_eq!(suspended.next(), Some(1));
        // SAFETY: the child uses what it has a copy of, on the one thread that it has.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // A generator that was suspended before goes on in both; many new ones need new slots and guards.
            assert_eq!(suspended.next(), Some(2));
            let many: Vec<_> = (0..500).map(|n| generate(move |co| co.yield_(n))).collect();
            assert_eq!(many.iter().map(|generator| generator.next().unwrap()).sum::<i32>(), 124_750);
            generate(|co| co.yield_(recurse(0))).for_each(drop);
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status}");
        // What the child did to its memory was not done to ours.
        assert_eq!(suspended.next(), Some(2));
        let many: Vec<_> = (0..500).map(|n| generate(move |co| co.yield_(n))).collect();
        assert_eq!(many.iter().map(|generator| generator.next().unwrap()).sum::<i32>(), 124_750);
    });
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: stack overflow in generator created at tests/process.rs");
}

/// Stacks that somebody has.
fn stacks_in_use() -> usize {
    let stats = stack::stats();
    stats.slots - stats.idle_warm - stats.idle_cold
}

/// G1.
#[test]
fn a_generator_that_has_not_started_has_no_stack() {
    let output = in_child("a_generator_that_has_not_started_has_no_stack", &[], || {
        let waiting: Vec<_> = (0..1000).map(|n| generate(move |co| co.yield_(n))).collect();
        assert_eq!(stack::stats().slots, 0);
        assert_eq!(waiting[7].next(), Some(7));
        assert_eq!(stacks_in_use(), 1);
        drop(waiting);
        assert_eq!(stacks_in_use(), 0);
    });
    assert_ended_well(&output);
}

#[test]
fn what_idle_stacks_hold_can_be_given_back() {
    let output = in_child("what_idle_stacks_hold_can_be_given_back", &[], || {
        let resident_kib = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            4 * statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
        };
        const MANY: usize = 2000;
        let generators: Vec<_> = (0..MANY).map(|_| generate(|co| co.yield_(1))).collect();
        generators.iter().for_each(|generator| assert_eq!(generator.next(), Some(1)));
        drop(generators);
        assert_eq!((stack::stats().idle_warm, stacks_in_use()), (MANY, 0));
        let before = resident_kib();
        assert_eq!(stack::trim(), MANY);
        assert_eq!(stack::stats().idle_warm, 0);
        // A page each at the least.
        assert!(resident_kib() + 4 * MANY * 9 / 10 < before, "from {before} to {} KiB", resident_kib());
        // They serve again, from pages that are zero.
        assert_eq!(generate(|co| co.yield_all(1..=3)).sum::<i32>(), 6);
        assert_eq!(stack::trim(), 1);
    });
    assert_ended_well(&output);
}

#[test]
fn idle_stacks_above_the_high_water_mark_give_their_pages_back_by_themselves() {
    let name = "idle_stacks_above_the_high_water_mark_give_their_pages_back_by_themselves";
    let output = in_child(name, &[], || {
        stack::set_high_water(100);
        let suspend = |count: usize| {
            let generators: Vec<_> = (0..count).map(|_| generate(|co| co.yield_(1))).collect();
            generators.iter().for_each(|generator| assert_eq!(generator.next(), Some(1)));
        };
        suspend(1000);
        let stats = stack::stats();
        assert_eq!(stacks_in_use(), 0);
        // What is warm: those below the mark, up to a batch above it, and those that this thread keeps.
        assert!((100..300).contains(&stats.idle_warm), "{stats:?}");
        // All of them serve again.
        suspend(1000);
        assert_eq!(stack::stats().slots, stats.slots);
    });
    assert_ended_well(&output);
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    let output = in_child("a_hook_that_panics_harms_nobody", &[], || {
        ropewalk::set_unraisable_hook(|event| panic!("hook broke over: {event}"));
        let stubborn = generate(|co| {
            let _ = co.try_yield(1);
            co.yield_(2);
        });
        assert_eq!(stubborn.next(), Some(1));
        drop(stubborn);
        assert!(!std::thread::panicking());
    });
    assert_ended_well(&output);
    assert_says(&output, "hook broke over: generator created at tests/process.rs");
}

#[test]
fn without_a_hook_a_line_goes_to_standard_error() {
    let output = in_child("without_a_hook_a_line_goes_to_standard_error", &[], || {
        let builder = Builder::new().name("stubborn");
        let generator = builder.generator(|co: &Yielder<i32>| {
            let _ = co.try_yield(1);
            co.yield_(2);
        });
        assert_eq!(generator.next(), Some(1));
        drop(generator);
    });
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: generator 'stubborn' created at tests/process.rs");
    assert_says(&output, "ignored Exit while it was dropped: its body yielded");
}

#[test]
fn a_hook_may_have_something_to_report_when_it_is_replaced() {
    struct ReportsWhenDropped;
    impl Drop for ReportsWhenDropped {
        fn drop(&mut self) {
            let stubborn = generate(|co| {
                let _ = co.try_yield(1);
                co.yield_(2);
            });
            assert_eq!(stubborn.next(), Some(1));
            drop(stubborn);
        }
    }
    let output = in_child("a_hook_may_have_something_to_report_when_it_is_replaced", &[], || {
        let owned = ReportsWhenDropped;
        ropewalk::set_unraisable_hook(move |_| {
            let _owned = &owned;
        });
        ropewalk::set_unraisable_hook(|event| eprintln!("told the new hook: {event}"));
    });
    assert_ended_well(&output);
    assert_says(&output, "told the new hook: generator created at tests/process.rs");
}

#[test]
fn a_generator_stranded_by_one_that_was_forgotten_is_leaked_and_reported() {
    thread_local! {
        static INNER: Generator<u32> = generate(|co| co.yield_all(1..));
        static STARTED: Generator<u32> = generate(|co| co.yield_all(1..));
    }
    let output =
        in_child("a_generator_stranded_by_one_that_was_forgotten_is_leaked_and_reported", &[], || {
            let thread = std::thread::spawn(|| {
                let outer = generate(|co| INNER.with(|inner| co.yield_from(inner)));
                assert_eq!(outer.next(), Some(1));
                std::mem::forget(outer);
                let outer = generate(|co| {
                    STARTED.with(|inner| {
                        inner.next();
                        co.yield_from_started(inner, ());
                    })
                });
                assert_eq!(outer.next(), Some(2));
                std::mem::forget(outer);
            });
            thread.join().unwrap();
            assert_eq!(generate(|co| co.yield_(1)).sum::<i32>(), 1);
        });
    assert_ended_well(&output);
    let expected = "was dropped while it stood in for a generator that was forgotten: its stack is leaked";
    assert_eq!(errors_of(&output).matches(expected).count(), 2, "{}", errors_of(&output));
}

/// Notes the seeds it runs, and fails at 17.
fn seeds_that_fail_at_17() {
    ropewalk::testing::explore(10..20, || {
        let first = ropewalk::testing::random(1 << 20);
        eprintln!("drew {first}");
        assert_ne!(first, first_of(17), "this is the one");
    });
}

/// What a program draws first under that seed.
fn first_of(seed: u64) -> usize {
    static KNOWN: std::sync::Mutex<Vec<(u64, usize)>> = std::sync::Mutex::new(Vec::new());
    let known = KNOWN.lock().unwrap().iter().find(|(known, _)| *known == seed).map(|known| known.1);
    // Another thread, for this one may run a program already.
    known.unwrap_or_else(|| {
        let draw =
            move || ropewalk::testing::Setup::new().seed(seed).run(|| ropewalk::testing::random(1 << 20));
        let first = std::thread::spawn(draw).join().unwrap();
        KNOWN.lock().unwrap().push((seed, first));
        first
    })
}

#[test]
fn a_seed_that_fails_prints_the_line_that_replays_it() {
    let name = "a_seed_that_fails_prints_the_line_that_replays_it";
    let all = in_child(name, &[], seeds_that_fail_at_17);
    assert!(!all.status.success());
    assert_says(&all, &format!("ropewalk: seed 17 failed; to replay: ROPEWALK_SEED=17 cargo test {name}"));
    assert_eq!(errors_of(&all).matches("drew ").count(), 8, "{}", errors_of(&all));

    let replayed = in_child(name, &[("ROPEWALK_SEED", "17")], seeds_that_fail_at_17);
    assert_says(&replayed, "this is the one");
    assert_eq!(errors_of(&replayed).matches("drew ").count(), 1, "{}", errors_of(&replayed));
}

#[test]
fn the_environment_says_how_many_seeds_are_explored() {
    let name = "the_environment_says_how_many_seeds_are_explored";
    let few = in_child(name, &[("ROPEWALK_SEEDS", "3")], seeds_that_fail_at_17);
    assert_ended_well(&few);
    assert_eq!(errors_of(&few).matches("drew ").count(), 3);

    let wrong = in_child(name, &[("ROPEWALK_SEED", "one")], seeds_that_fail_at_17);
    assert_says(&wrong, "ROPEWALK_SEED must be a number, and is \"one\"");
}

#[test]
fn an_overflow_names_the_task_where_it_was_spawned_its_size_and_the_knob() {
    let line = line!() + 5;
    let name = "an_overflow_names_the_task_where_it_was_spawned_its_size_and_the_knob";
    let output = in_child(name, &[], || {
        ropewalk::run(|| {
            let deep = task::Builder::new().name("deep").stack_size(128 << 10);
            deep.spawn(|| recurse(0)).join().unwrap();
        });
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in task 'deep' spawned at tests/process.rs:");
    assert_says(&output, &format!("process.rs:{line}:"));
    assert_says(&output, "131072 bytes");
    assert_says(&output, "task::Builder::stack_size(524288)");
    assert!(!errors_of(&output).contains("ROPEWALK_STACK_SIZE"));
}

#[test]
fn an_overflow_in_a_task_of_a_scope_and_of_the_usual_size_names_the_variable() {
    let name = "an_overflow_in_a_task_of_a_scope_and_of_the_usual_size_names_the_variable";
    let output = in_child(name, &[("ROPEWALK_STACK_SIZE", "65536")], || {
        ropewalk::run(|| {
            task::scope(|s| {
                s.spawn(|| recurse(0));
            });
        });
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: stack overflow in task spawned at tests/process.rs:");
    assert_says(&output, "task::Builder::stack_size(262144), or for all with ROPEWALK_STACK_SIZE=262144");
}

#[test]
fn an_overflow_in_the_first_task_says_where_run_was_called() {
    let line = line!() + 2;
    let output = in_child("an_overflow_in_the_first_task_says_where_run_was_called", &[], || {
        ropewalk::run(|| recurse(0));
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, &format!("stack overflow in task spawned at tests/process.rs:{line}:"));
    assert_says(&output, "1048576 bytes");
}

#[test]
fn an_overflow_in_a_generator_of_a_task_names_the_generator() {
    let output = in_child("an_overflow_in_a_generator_of_a_task_names_the_generator", &[], || {
        ropewalk::run(|| {
            let numbers = Builder::new().name("numbers").generator(|co: &Yielder<u64>| co.yield_(recurse(0)));
            task::spawn(move || numbers.for_each(drop)).join().unwrap();
        });
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "stack overflow in generator 'numbers' created at tests/process.rs:");
}

#[test]
fn a_larger_stack_is_enough_for_a_task_that_overflows_the_usual_one() {
    let name = "a_larger_stack_is_enough_for_a_task_that_overflows_the_usual_one";
    let output = in_child(name, &[("ROPEWALK_STACK_SIZE", "65536")], || {
        let large = || {
            let room = black_box([1u8; 200 << 10]);
            room.iter().map(|&byte| usize::from(byte)).sum::<usize>()
        };
        ropewalk::run(|| {
            let sum = task::Builder::new().stack_size(1 << 20).spawn(large).join().unwrap();
            assert_eq!(sum, 200 << 10);
        });
    });
    assert_ended_well(&output);
}

/// Becomes true once `text` has gone to standard error.
fn hear(text: &'static str) -> Arc<AtomicBool> {
    hear_all(&[text])
}

/// Becomes true once all `texts` have gone to standard error.
fn hear_all<const N: usize>(texts: &[&'static str; N]) -> Arc<AtomicBool> {
    let texts = *texts;
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    // SAFETY: descriptors that are open; the copy belongs to nobody else.
    let mut real = unsafe {
        let real = std::fs::File::from_raw_fd(libc::dup(2));
        assert_eq!(libc::dup2(there.as_raw_fd(), 2), 2);
        let _ = there.into_raw_fd();
        real
    };
    let heard = Arc::new(AtomicBool::new(false));
    let set = heard.clone();
    std::thread::spawn(move || {
        let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(count) = here.read(&mut bytes) {
            real.write_all(&bytes[..count]).unwrap();
            all.extend_from_slice(&bytes[..count]);
            let said = String::from_utf8_lossy(&all);
            if texts.iter().all(|text| said.contains(text)) {
                set.store(true, Ordering::SeqCst);
            }
        }
    });
    heard
}

fn send_sigquit() {
    // SAFETY: a signal to this process.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) }, 0);
}

#[inline(never)]
fn waits_for_a_lock(line: &WaitList) {
    black_box(line.wait(&Why::new("lock")).is_ok());
}

#[test]
fn sigquit_prints_the_tasks_with_their_backtraces_and_the_process_goes_on() {
    let name = "sigquit_prints_the_tasks_with_their_backtraces_and_the_process_goes_on";
    let output = in_child(name, &[], || {
        let heard = hear("waits_for_a_lock at ");
        let sum = Runtime::builder().name("served").build().run(|| {
            // While the runtime runs, and twice.
            inspect::dump_on_sigquit().unwrap();
            inspect::dump_on_sigquit().unwrap();
            let line = WaitList::new();
            task::scope(|s| {
                task::Builder::new().name("waiter").spawn_in(s, || waits_for_a_lock(&line));
                task::yield_now();
                send_sigquit();
                while !heard.load(Ordering::SeqCst) {
                    task::yield_now();
                }
                line.wake_one(()).unwrap();
                20 + 22
            })
        });
        assert_eq!(sum, 42);
    });
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: SIGQUIT: runtime 'served' on thread '");
    assert_says(&output, "runtime 'served': 2 tasks, 0 timers, 0 remote handles\n");
    assert_says(&output, "task 1 spawned at tests/process.rs:");
    assert_says(&output, "\n  task 2 'waiter' spawned at tests/process.rs:");
    assert_says(&output, ": waits for lock (tests/process.rs:");
    assert_says(&output, "waits_for_a_lock at ");
    assert!(!errors_of(&output).contains("corosensei"), "{}", errors_of(&output));
}

#[test]
fn sigquit_wakes_a_runtime_that_sleeps_and_shows_all_runtimes() {
    let output = in_child("sigquit_wakes_a_runtime_that_sleeps_and_shows_all_runtimes", &[], || {
        inspect::dump_on_sigquit().unwrap();
        let heard = hear_all(&["runtime 'first': 1 task", "runtime 'second': 1 task"]);
        let sleeps = |name: &'static str| {
            let heard = heard.clone();
            move || {
                Runtime::builder().name(name).build().run(|| {
                    let wake = |ticket: lowlevel::Ticket<()>| {
                        let ticket = ticket.into_remote();
                        std::thread::spawn(move || {
                            while !heard.load(Ordering::SeqCst) {
                                std::thread::yield_now();
                            }
                            ticket.wake(()).unwrap();
                        });
                    };
                    lowlevel::park(&Why::new("signal"), wake, || Undo::Done).unwrap();
                });
            }
        };
        let first = std::thread::Builder::new().name("one".to_owned()).spawn(sleeps("first")).unwrap();
        let second = std::thread::Builder::new().name("two".to_owned()).spawn(sleeps("second")).unwrap();
        // Whichever begins last may have missed a signal that came earlier.
        while !heard.load(Ordering::SeqCst) {
            send_sigquit();
            std::thread::yield_now();
        }
        first.join().unwrap();
        second.join().unwrap();
    });
    assert_ended_well(&output);
    assert_says(&output, "SIGQUIT: runtime 'first' on thread 'one':\n");
    assert_says(&output, "SIGQUIT: runtime 'second' on thread 'two':\n");
    assert_says(&output, ": waits for signal (tests/process.rs:");
}

#[test]
fn sigquit_says_which_runtime_does_not_answer_and_in_debug_mode_which_task() {
    let name = "sigquit_says_which_runtime_does_not_answer_and_in_debug_mode_which_task";
    let output = in_child(name, &[], || {
        inspect::dump_on_sigquit().unwrap();
        let heard = hear_all(&["with ROPEWALK_DEBUG=1", "has its turn"]);
        let begun = Arc::new(std::sync::Barrier::new(3));
        let hogs = |debug: bool| {
            let (heard, begun) = (heard.clone(), begun.clone());
            std::thread::spawn(move || {
                let hog = move || {
                    // Has had a turn within this one's.
                    assert!(task::Builder::new().eager(true).spawn(|| ()).is_finished());
                    begun.wait();
                    while !heard.load(Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                };
                let runtime = Runtime::builder().debug(debug).on_unhandled(|_| ());
                runtime.build().run(|| task::Builder::new().name("hog").spawn(hog).join().unwrap());
            })
        };
        let known = hogs(true);
        let unknown = hogs(false);
        begun.wait();
        send_sigquit();
        known.join().unwrap();
        unknown.join().unwrap();
    });
    assert_ended_well(&output);
    assert_says(&output, "no answer within 1s: task 2 'hog' spawned at tests/process.rs:");
    assert_says(&output, "has its turn, and makes no call that switches\n");
    assert_says(
        &output,
        "no answer within 1s: a task makes no call that switches; with ROPEWALK_DEBUG=1 it is said which one\n",
    );
}

#[test]
fn sigquit_without_a_runtime_says_so() {
    let output = in_child("sigquit_without_a_runtime_says_so", &[], || {
        inspect::dump_on_sigquit().unwrap();
        let heard = hear("no runtime is live");
        ropewalk::run(|| ());
        send_sigquit();
        while !heard.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    });
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: SIGQUIT: no runtime is live in this process\n");
}

#[test]
fn who_listens_for_sigquit_does_not_keep_a_deadlock_from_being_found() {
    let name = "who_listens_for_sigquit_does_not_keep_a_deadlock_from_being_found";
    let output = in_child(name, &[], || {
        inspect::dump_on_sigquit().unwrap();
        let heard = hear("waits for nobody");
        let result = Runtime::new().try_run(|| {
            let line = WaitList::<()>::new();
            task::scope(|s| {
                s.spawn(|| line.wait(&Why::new("nobody")));
                task::yield_now();
                send_sigquit();
                while !heard.load(Ordering::SeqCst) {
                    task::yield_now();
                }
            });
        });
        assert!(matches!(result, Err(RunError::Deadlock { .. })));
    });
    assert_ended_well(&output);
}

#[test]
fn a_wait_that_nothing_can_end_ends_the_process_with_a_report() {
    let output = in_child("a_wait_that_nothing_can_end_ends_the_process_with_a_report", &[], || {
        ropewalk::run(|| {
            // It says that the answer will come, and it never does.
            lowlevel::park::<()>(&Why::new("answer"), std::mem::forget, || Undo::Later)
        })
        .expect("an answer");
    });
    assert_killed_by(libc::SIGABRT, &output);
    assert_says(&output, "ropewalk: nothing can end the waits of these tasks:\n");
    assert_says(&output, "task 1 spawned at tests/process.rs:");
    assert_says(&output, ": waits for answer (tests/process.rs:");
    assert_says(&output, "(cancelled: Deadlock)");
}

/// Runs tasks that do what debug mode finds.
fn misbehave() {
    ropewalk::run(|| {
        drop(task::spawn(|| Err::<(), _>("lost")));
        drop(task::Builder::new().name("clumsy").spawn(|| panic!("stumbled")));
        task::yield_now();
    });
}

#[test]
#[cfg(not(feature = "log"))]
fn the_environment_turns_debug_mode_on() {
    let name = "the_environment_turns_debug_mode_on";
    let output = in_child(name, &[("ROPEWALK_DEBUG", "1")], misbehave);
    assert_ended_well(&output);
    assert_says(&output, "ropewalk: task 2 spawned at tests/process.rs:");
    assert_says(&output, " returned an error, and nobody joined it: lost\n");
    assert_says(&output, "ropewalk: task 3 'clumsy' spawned at tests/process.rs:");
    assert_says(&output, " panicked, and nobody joined it: stumbled\n");
}

#[test]
#[cfg(not(feature = "log"))]
fn without_debug_mode_panics_are_told_and_errors_are_not() {
    let name = "without_debug_mode_panics_are_told_and_errors_are_not";
    for environment in [&[][..], &[("ROPEWALK_DEBUG", "0")], &[("ROPEWALK_DEBUG", "")]] {
        let output = in_child(name, environment, misbehave);
        assert_ended_well(&output);
        assert_says(&output, " panicked, and nobody joined it: stumbled\n");
        assert!(!errors_of(&output).contains("lost"), "{}", errors_of(&output));
    }
}

#[test]
#[cfg(feature = "log")]
fn with_the_log_feature_messages_go_to_the_logger() {
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            eprintln!("<{} {} {}>", record.level(), record.target(), record.args());
        }

        fn flush(&self) {}
    }
    let name = "with_the_log_feature_messages_go_to_the_logger";
    let output = in_child(name, &[("ROPEWALK_DEBUG", "1")], || {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        misbehave();
    });
    assert_ended_well(&output);
    assert_says(&output, "<WARN ropewalk task 2 spawned at tests/process.rs:");
    assert_says(&output, " returned an error, and nobody joined it: lost>\n");
    assert!(!errors_of(&output).contains("ropewalk: "), "{}", errors_of(&output));
}

/// A call outside of `run` is the first mistake that anybody makes.
#[test]
fn what_needs_a_runtime_panics_at_the_place_of_the_call() {
    let output = in_child("what_needs_a_runtime_panics_at_the_place_of_the_call", &[], || {
        let second = Duration::from_secs(1);
        let calls: [fn(Duration); 9] = [
            |second| {
                let _ = time::sleep(second);
            },
            |_| {
                let _ = time::sleep_until(Instant::now());
            },
            |second| {
                let _ = time::timeout(second, || ());
            },
            |_| {
                let _ = time::move_on_at(Instant::now(), |_| ());
            },
            |second| drop(time::interval(second)),
            |second| drop(time::call_later(second, || ())),
            |_| drop(task::spawn(|| ())),
            |_| drop(ropewalk::lowlevel::remote()),
            |_| drop(task::Builder::new().stack_size(usize::MAX)),
        ];
        for call in calls {
            std::panic::catch_unwind(|| call(second)).unwrap_err();
        }
    });
    assert_ended_well(&output);
    let told = errors_of(&output);
    assert_eq!(told.matches("panicked at tests/process.rs:").count(), 9, "{told}");
    assert!(!told.contains("panicked at src/"), "{told}");
}
