//! Pipelines: pulled from the end, pushed from the source.

use std::collections::HashSet;

use ropewalk::generate;
use ropewalk::generator;
use ropewalk::pipeline::{
    Ended, Incoming, Pipeline, Sink, broadcast, collect, consumer, count, filter, for_each, map, take,
};

use crate::log::{Log, panic_text};

#[test]
fn stages_are_written_in_the_order_in_which_items_pass() {
    fn evens(numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
        numbers.filter(|n| n % 2 == 0)
    }
    fn pairs(numbers: impl Iterator<Item = u32> + 'static) -> impl Iterator<Item = (u32, u32)> {
        let mut numbers = numbers;
        generate(move |co| {
            while let (Some(a), Some(b)) = (numbers.next(), numbers.next()) {
                co.yield_((a, b));
            }
        })
    }
    let sums = (1..).pipe(evens).pipe(pairs).map(|(a, b)| a + b).take(3);
    assert_eq!(sums.collect::<Vec<u32>>(), [6, 14, 22]);
}

#[test]
fn a_pulled_pipeline_does_no_more_than_it_is_asked() {
    let log = Log::new();
    let source = generate({
        let log = log.clone();
        move |co| {
            for item in 0.. {
                log.add(format!("made {item}"));
                co.yield_(item);
            }
        }
    });
    let first: Vec<i32> = source.filter(|n| n % 2 == 1).take(2).collect();
    assert_eq!(first, [1, 3]);
    log.assert(&["made 0", "made 1", "made 2", "made 3"]);
}

#[test]
fn a_consumer_keeps_its_place_between_items() {
    let mut pairs = consumer(|mut items: Incoming<u32>| {
        let mut sums = Vec::new();
        while let Some(first) = items.next() {
            let second = items.next().unwrap_or(1000);
            sums.push(first + second);
        }
        sums
    });
    for item in [1, 2, 3, 4, 5] {
        assert_eq!(pairs.send(item), Ok(()));
    }
    assert_eq!(pairs.finish(), [3, 7, 1005]);
}

#[test]
fn a_consumer_that_got_nothing_has_a_result_too() {
    assert_eq!(consumer(|items: Incoming<u8>| items.count()).finish(), 0);
}

#[test]
fn the_end_of_the_input_is_seen_once_and_for_ever() {
    let mut asking = consumer(|mut items: Incoming<u8>| {
        let seen: Vec<_> = (0..4).map(|_| items.next()).collect();
        seen
    });
    asking.send(7).unwrap();
    assert_eq!(asking.finish(), [Some(7), None, None, None]);
}

#[test]
fn a_sink_that_has_ended_gives_items_back_and_keeps_its_result() {
    let mut two = consumer(|mut items: Incoming<i32>| items.next().unwrap() + items.next().unwrap());
    assert_eq!((two.send(1), two.send(2)), (Ok(()), Ok(())));
    assert_eq!(two.send(3), Err(Ended(3)));
    assert_eq!(two.send(4).unwrap_err().to_string(), "the sink has ended and takes no more items");
    assert_eq!(two.finish(), 3);
}

#[test]
fn a_source_stops_when_its_sink_has_ended() {
    let log = Log::new();
    let source = generate({
        let log = log.clone();
        move |co| {
            for item in 0.. {
                log.add(format!("made {item}"));
                co.yield_(item);
            }
        }
    });
    assert_eq!(source.push_into(filter(|n| n % 2 == 0, take(2, collect()))), [0, 2]);
    log.assert(&["made 0", "made 1", "made 2"]);
}

#[test]
fn a_chain_of_stages_gives_the_result_of_its_last() {
    let shouted = ["a", "bb", "ccc"]
        .push_into(filter(|word: &&str| word.len() > 1, map(|word: &str| word.to_uppercase(), collect())));
    assert_eq!(shouted, ["BB", "CCC"]);
}

#[test]
fn one_source_feeds_several_sinks() {
    let log = Log::new();
    let (count, words, ()) = "to be or not to be".split(' ').push_into(broadcast((
        count(),
        consumer(|words: Incoming<&str>| words.collect::<HashSet<_>>().len()),
        for_each({
            let log = log.clone();
            move |word: &str| log.add(word)
        }),
    )));
    assert_eq!((count, words), (6, 4));
    log.assert(&["to", "be", "or", "not", "to", "be"]);
}

#[test]
fn a_broadcast_goes_on_until_the_last_of_its_sinks_has_ended() {
    assert_eq!(
        (1..).push_into(broadcast([take(1, collect()), take(3, collect())])),
        [vec![1], vec![1, 2, 3]]
    );
    let mut none = broadcast(Vec::<ropewalk::pipeline::Consumer<i32, ()>>::new());
    assert_eq!(none.send(1), Err(Ended(1)));
    assert!(none.finish().is_empty());
}

#[test]
fn consumers_in_a_scope_borrow() {
    let mut longest = String::new();
    let words = ["rope", "strand", "yarn"];
    let count = generator::scope(|s| {
        words.push_into(s.consumer(|words: Incoming<&str>| {
            words
                .inspect(|word| {
                    if word.len() > longest.len() {
                        longest = (*word).to_owned();
                    }
                })
                .count()
        }))
    });
    assert_eq!((count, longest.as_str()), (3, "strand"));
}

#[test]
fn a_panic_in_a_sink_reaches_the_source_through_the_chain() {
    let text = panic_text(|| {
        (1..).push_into(map(
            |n: i32| n * 2,
            for_each(|n| {
                if n == 6 {
                    panic!("sink broke at {n}")
                }
            }),
        ))
    });
    assert_eq!(text, "sink broke at 6");
    let mut broken = for_each(|_: i32| panic!("broken"));
    assert_eq!(panic_text(|| broken.send(1)), "broken");
    assert_eq!(broken.send(2), Err(Ended(2)));
    let text = panic_text(|| broken.finish());
    assert_eq!(text, "the consumer's body has panicked, so that it has no result");
}

#[test]
fn a_dropped_chain_ends_each_stage_in_order() {
    let log = Log::new();
    let end = consumer({
        let log = log.clone();
        move |items: Incoming<i32>| {
            let count = items.count();
            log.add(format!("end saw {count}"));
        }
    });
    let mut front = consumer({
        let log = log.clone();
        move |items: Incoming<i32>| {
            items.push_into(end);
            log.add("front ended");
        }
    });
    front.send(1).unwrap();
    front.send(2).unwrap();
    drop(front);
    log.assert(&["end saw 2", "front ended"]);
}

#[test]
fn a_pipeline_of_generators_takes_memory_for_one_item_at_a_time() {
    // A million items pass through three stages; a `Vec` of them would be 8 MB, and none is there.
    let stage = |numbers: Box<dyn Iterator<Item = u64>>| -> Box<dyn Iterator<Item = u64>> {
        Box::new(numbers.through(|numbers, co| numbers.for_each(|n| co.yield_(n + 1))))
    };
    let source: Box<dyn Iterator<Item = u64>> = Box::new(0..200_000);
    let sum: u64 = source.pipe(stage).pipe(stage).pipe(stage).sum();
    assert_eq!(sum, (3..200_003).sum::<u64>());
}

#[test]
fn a_broadcast_copies_for_all_sinks_but_the_last() {
    use std::cell::Cell;
    use std::rc::Rc;

    #[derive(Debug)]
    struct Dear(Rc<Cell<u32>>);
    impl Clone for Dear {
        fn clone(&self) -> Dear {
            self.0.set(self.0.get() + 1);
            Dear(self.0.clone())
        }
    }
    let copies = Rc::new(Cell::new(0));
    let items = (0..10).map({
        let copies = copies.clone();
        move |_| Dear(copies.clone())
    });
    // One sink that ends early and two that do not.
    let (first, all, last) = items.push_into(broadcast((take(1, count()), count(), count())));
    assert_eq!((first, all, last), (1, 10, 10));
    assert_eq!(copies.get(), 1 + 10);
}

#[test]
fn what_a_source_returns_can_be_asked_for_after_the_pipeline() {
    let source = generate(|co| -> Result<(), String> {
        co.yield_all(["1", "2"]);
        Err("line 3 is torn".to_owned())
    });
    let sum: i32 = (&source).pipe(|texts| texts.map(|text| text.parse::<i32>().unwrap())).sum();
    assert_eq!((sum, source.take_return()), (3, Some(Err("line 3 is torn".to_owned()))));
}
