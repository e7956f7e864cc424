//! Stacks: reuse, sizes, giving memory back, threads.

use std::collections::HashSet;

use ropewalk::generator::Builder;
use ropewalk::{Yielder, generate, stack};

/// An address near the hot end of the stack that runs this.
fn here() -> usize {
    let local = 0u8;
    std::hint::black_box(&raw const local) as usize
}

#[test]
fn the_stack_that_came_back_last_is_taken_first() {
    let place = || {
        let generator = generate(|co| co.yield_(here()));
        let place = generator.next().unwrap();
        drop(generator);
        place
    };
    let first = place();
    for _ in 0..100 {
        assert_eq!(place(), first);
    }
}

#[test]
fn stacks_in_use_do_not_overlap() {
    let generators: Vec<_> = (0..500).map(|_| generate(|co| co.yield_(here()))).collect();
    let mut places: Vec<usize> = generators.iter().map(|generator| generator.next().unwrap()).collect();
    places.sort_unstable();
    // Not a whole size apart, for each stack begins at a colour of its own.
    let close = places.windows(2).filter(|pair| pair[1] - pair[0] < stack::DEFAULT_SIZE).count();
    assert_eq!(close, 0, "stacks closer than their size");
}

#[test]
fn a_stack_is_as_large_as_it_was_asked_to_be() {
    fn use_up(bytes: usize) -> usize {
        let frame = std::hint::black_box([1u8; 1024]);
        let below = if bytes > 2048 { use_up(bytes - 1024) } else { 0 };
        below + usize::from(frame[bytes % 1024])
    }
    let builder = Builder::new().stack_size(8 << 20);
    let generator = builder.generator(|co: &Yielder<usize>| co.yield_(use_up(2 << 20)));
    assert_eq!(generator.sum::<usize>(), 2048 - 1);
}

#[test]
fn sizes_are_rounded_up_and_named_in_bytes() {
    assert_eq!(stack::DEFAULT_SIZE, 262_144);
    assert_eq!((stack::MIN_SIZE, stack::MAX_SIZE), (16_384, 1 << 30));
    for bytes in [0, 1, 16_384, 16_385, 100_000, stack::DEFAULT_SIZE] {
        let builder = Builder::new().stack_size(bytes).guard_size(bytes / 2);
        assert_eq!(builder.generator(|co: &Yielder<i32>| co.yield_(1)).sum::<i32>(), 1);
    }
}

#[test]
fn the_stacks_of_a_thread_that_has_ended_serve_others() {
    let places = |count: usize| -> HashSet<usize> {
        std::thread::spawn(move || {
            let generators: Vec<_> = (0..count)
                .map(|_| Builder::new().stack_size(32 << 10).generator(|co| co.yield_(here())))
                .collect();
            generators.iter().map(|generator| generator.next().unwrap()).collect()
        })
        .join()
        .unwrap()
    };
    // No other test uses this size.
    let first = places(40);
    let second = places(40);
    assert_eq!((first.len(), second.len()), (40, 40));
    assert!(first.intersection(&second).count() >= 30, "stacks are not handed on between threads");
}

#[test]
fn threads_have_generators_of_their_own_at_the_same_time() {
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut sum = 0;
                for round in 0..200 {
                    let mut generators: Vec<_> =
                        (0..20).map(|n| generate(move |co| co.yield_all(n..n + 3))).collect();
                    for generator in &mut generators {
                        sum += generator.next().unwrap();
                    }
                    if round % 3 == 0 {
                        generators.reverse();
                    }
                }
                (thread, sum)
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().1, 200 * 190);
    }
}

#[test]
fn the_numbers_add_up() {
    let stats = stack::stats();
    assert!(stats.slots >= stats.idle_warm + stats.idle_cold);
    assert!(stats.reserved_bytes >= stats.slots * stack::MIN_SIZE);
    assert!(stats.to_string().contains("stacks in use"));
}
