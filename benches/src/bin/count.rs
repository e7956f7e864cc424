//! Does one thing `n` times, so that a simulator can count its instructions: `count <what> <n>`.
//!
//! `count.sh` runs it under cachegrind with two different `n` and divides the difference: starting the process,
//! growing the pool and loading libraries cancel out.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use corosensei::Coroutine;
use corosensei::stack::DefaultStack;
use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::select::select;
use ropewalk::sync::Mutex;
use ropewalk::{Generator, Step, channel, task, time};
use ropewalk_benches::suspend_at;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [what, n] = arguments.as_slice() else {
        eprintln!("usage: count <what> <n>");
        return ExitCode::FAILURE;
    };
    let n: usize = n.parse().expect("n is a number");
    match what.as_str() {
        "nothing" => (0..n).for_each(|i| {
            black_box(i);
        }),
        "ropewalk-send-0" => ropewalk_send::<0>(n),
        "ropewalk-send-1" => ropewalk_send::<1>(n),
        "corosensei-send-0" => corosensei_send::<0>(n),
        "corosensei-send-1" => corosensei_send::<1>(n),
        "ropewalk-next-0" => ropewalk_next::<0>(n),
        "ropewalk-next-1" => ropewalk_next::<1>(n),
        "corosensei-next-0" => corosensei_next::<0>(n),
        "corosensei-next-1" => corosensei_next::<1>(n),
        "ropewalk-create" => ropewalk_create(n),
        "corosensei-create" => corosensei_create(n),
        "boxed-create" => boxed_create(n),
        "ropewalk-unstarted" => ropewalk_unstarted(n),
        "task-yield" => task_yield(n),
        "task-spawn-join" => task_spawn_join(n),
        "task-spawn-only" => task_spawn_only(n),
        "task-wait-wake" => task_wait_wake(n),
        "task-timeout" => task_timeout(n),
        "task-cancel-scope" => task_cancel_scope(n),
        "task-scope-empty" => task_scope_empty(n),
        "lock-unlock" => lock_unlock(n),
        "lock-turn" => lock_turn(n),
        "channel-round-trip" => channel_round_trip(n),
        "channel-item" => channel_item(n),
        "select-2" => select_2(n),
        "select-2-waits" => select_2_waits(n),
        "select-8" => select_8(n),
        _ => {
            eprintln!("nothing here is called {what}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn ropewalk_send<const DEPTH: usize>(n: usize) {
    let generator = Generator::<usize, usize>::new(|mut co| {
        let mut value = 0;
        loop {
            value = suspend_at::<DEPTH>(&mut co, value);
        }
    });
    let _ = generator.start();
    for i in 0..n {
        let _ = black_box(generator.send(i));
    }
}

fn corosensei_send<const DEPTH: usize>(n: usize) {
    let mut coroutine = Coroutine::new(|mut co: &corosensei::Yielder<usize, usize>, first| -> () {
        let mut value = first;
        loop {
            value = suspend_at::<DEPTH>(&mut co, value);
        }
    });
    for i in 0..n {
        black_box(coroutine.resume(i));
    }
}

fn ropewalk_next<const DEPTH: usize>(n: usize) {
    let generator = ropewalk::generate(|mut co| {
        let mut value = 0;
        loop {
            value = suspend_at::<DEPTH>(&mut co, value) + 1;
        }
    });
    for _ in 0..n {
        black_box(generator.next());
    }
}

fn corosensei_next<const DEPTH: usize>(n: usize) {
    let mut coroutine = Coroutine::new(|mut co: &corosensei::Yielder<(), usize>, ()| -> () {
        let mut value = 0;
        loop {
            value = suspend_at::<DEPTH>(&mut co, value) + 1;
        }
    });
    for _ in 0..n {
        black_box(coroutine.resume(()));
    }
}

fn ropewalk_create(n: usize) {
    for i in 0..n {
        let number = black_box(i);
        black_box(Generator::<(), (), usize>::new(move |_| number).start().ok().and_then(Step::returned));
    }
}

/// On one stack, which is taken back each time.
fn corosensei_create(n: usize) {
    let mut stack = DefaultStack::default();
    for i in 0..n {
        let number = black_box(i);
        let mut coroutine = Coroutine::with_stack(stack, move |_: &corosensei::Yielder<(), ()>, ()| number);
        black_box(coroutine.resume(()).as_return());
        stack = coroutine.into_stack();
    }
}

fn boxed_create(n: usize) {
    for i in 0..n {
        let number = black_box(i);
        let body: Box<dyn FnOnce() -> usize> = black_box(Box::new(move || number));
        black_box(body());
    }
}

/// Two tasks, each of which yields `n / 2` times.
fn task_yield(n: usize) {
    ropewalk::run(|| {
        let other = task::spawn(move || (0..n / 2).for_each(|_| task::yield_now()));
        (0..n / 2).for_each(|_| task::yield_now());
        other.join().expect("it only yields");
    });
}

fn task_spawn_join(n: usize) {
    ropewalk::run(|| {
        for i in 0..n {
            let number = black_box(i);
            black_box(task::spawn(move || number).join().expect("it returns"));
        }
    });
}

/// Spawned in batches that are run and not joined.
fn task_spawn_only(n: usize) {
    ropewalk::run(|| {
        for _ in 0..n / 100 {
            for i in 0..100 {
                let number = black_box(i);
                drop(task::spawn(move || _ = black_box(number)));
            }
            task::yield_now();
        }
    });
}

/// A wait in a list, and the wake that ends it: two switches.
fn task_wait_wake(n: usize) {
    ropewalk::run(|| {
        let line = WaitList::<usize>::new();
        task::scope(|s| {
            s.spawn(|| (0..n).for_each(|_| _ = black_box(line.wait(&Why::new("number")))));
            task::yield_now();
            for i in 0..n {
                line.wake_one(i).expect("it waits");
                task::yield_now();
            }
        });
    });
}

/// A scope with a deadline around something that does not wait.
fn task_timeout(n: usize) {
    ropewalk::run(|| {
        for i in 0..n {
            _ = black_box(time::timeout(Duration::from_secs(1), || black_box(i)));
        }
    });
}

fn task_cancel_scope(n: usize) {
    ropewalk::run(|| (0..n).for_each(|i| _ = black_box(task::cancel_scope(|_| black_box(i)))));
}

fn task_scope_empty(n: usize) {
    ropewalk::run(|| (0..n).for_each(|i| _ = black_box(task::scope(|_| black_box(i)))));
}

/// A lock that nobody else wants.
fn lock_unlock(n: usize) {
    ropewalk::run(|| {
        let lock = Mutex::new(0);
        (0..n).for_each(|i| *black_box(&lock).lock().expect("nobody is cancelled") += i);
    });
}

/// Two tasks that hold a lock over a yield: a turn of one of them is a yield and a wait.
fn lock_turn(n: usize) {
    ropewalk::run(|| {
        let lock = Mutex::new(0);
        let take_turns = || {
            for _ in 0..n / 2 {
                let mut turns = lock.lock().expect("nobody is cancelled");
                *turns += 1;
                task::yield_now();
            }
        };
        task::scope(|s| {
            s.spawn(take_turns);
            take_turns();
        });
    });
}

/// An item each way, through channels with room for one: two switches.
fn channel_round_trip(n: usize) {
    ropewalk::run(|| {
        let ((ask, asked), (answer, answered)) = (channel::bounded(1), channel::bounded(1));
        task::scope(|s| {
            s.spawn(move || asked.iter().for_each(|i: usize| answer.send(i + 1).expect("it is received")));
            for i in 0..n {
                ask.send(i).expect("it is received");
                black_box(answered.recv().expect("it is sent"));
            }
            drop(ask);
        });
    });
}

/// One of many items from one task to another.
fn channel_item(n: usize) {
    ropewalk::run(|| {
        let (sender, receiver) = channel::bounded(128);
        task::scope(|s| {
            s.spawn(move || (0..n).for_each(|i| sender.send(i).expect("it is received")));
            receiver.iter().for_each(|i| _ = black_box(i));
        });
    });
}

/// A send, and a select over two channels that finds the item in the second.
fn select_2(n: usize) {
    ropewalk::run(|| {
        let ((_other, first), (sender, second)) = (channel::bounded::<usize>(1), channel::bounded(1));
        for i in 0..n {
            sender.send(i).expect("there is room");
            _ = black_box(select((first.receiving(), second.receiving())));
        }
    });
}

/// As `channel_round_trip`, but each task selects over two channels.
fn select_2_waits(n: usize) {
    ropewalk::run(|| {
        let ((ask, asked), (_other_ask, other_asked)) = (channel::bounded(1), channel::bounded::<usize>(1));
        let ((answer, answered), (_other_answer, other)) =
            (channel::bounded(1), channel::bounded::<usize>(1));
        task::scope(|s| {
            s.spawn(move || {
                for i in 0..n {
                    _ = black_box(select((other_asked.receiving(), asked.receiving())));
                    answer.send(i).expect("it is received");
                }
            });
            for i in 0..n {
                ask.send(i).expect("it is received");
                _ = black_box(select((other.receiving(), answered.receiving())));
            }
        });
    });
}

fn select_8(n: usize) {
    ropewalk::run(|| {
        let channels: [_; 8] = std::array::from_fn(|_| channel::bounded(1));
        for i in 0..n {
            channels[7].0.send(i).expect("there is room");
            let [a, b, c, d, e, f, g, h] = channels.each_ref().map(|(_, receiver)| receiver.receiving());
            _ = black_box(select((a, b, c, d, e, f, g, h)));
        }
    });
}

fn ropewalk_unstarted(n: usize) {
    for i in 0..n {
        let number = black_box(i);
        drop(black_box(Generator::<(), (), usize>::new(move |_| number)));
    }
}
