//! Question: what does it cost to send something to another task and to have an answer? And to hand something to it?
//!
//! *Round trip*: a task sends a number through one channel and receives it through another, both with room for one; its
//! partner does the reverse. Each waits each time, so there are two switches in it. Where tasks have stacks, the waits
//! stand in functions that the tasks' bodies call (see README: why call depth), and these are two: as long as both tasks
//! run the same code, the processor guesses right where a task goes on, although it thinks of the other. *Rendezvous*: one
//! task sends another many items, one after the other, through a channel that holds nothing.
//!
//! Not counted: making tasks and channels. `may` has channels without limit only, which here is the same. Channels that
//! belong to no executor are driven by the one that is faster with them. Two threads are in it for scale; pinned as
//! everybody is, they share a core, and the kernel wakes them.

use std::process::ExitCode;
use std::thread;

use ropewalk_benches::contest::{Contest, Figure, Scale, samples, samples_of_future};
use ropewalk_benches::meetings::elsewhere::{asyncio, go, has_go};
use ropewalk_benches::meetings::{
    DirectChannel, FutureChannel, Room, flume::Flume, may as of_may, smol as of_smol, threads,
    tokio as of_tokio,
};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, Futures, may, run_as_task, smol, tokio};

const ROUND_TRIP: &str = "ns for a round trip";
const ITEM: &str = "ns for an item";

/// In one sample.
const REPETITIONS: usize = 100_000;

/// In one sample, where each is several microseconds.
const FEWER: usize = 5_000;

const ONE: Room = Some(1);
const NONE: Room = Some(0);

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("round trip between two tasks");
    contest.enter("ropewalk", |scale| round_trips::<Ropewalk, Ropewalk>(scale, ONE));
    contest.enter("tokio mpsc, LocalSet", |scale| {
        future_round_trips::<tokio::InLocalSet, of_tokio::Bounded>(scale, ONE)
    });
    contest.enter("tokio mpsc, LocalRuntime", |scale| {
        future_round_trips::<tokio::InLocalRuntime, of_tokio::Bounded>(scale, ONE)
    });
    contest.enter("async-channel, smol", |scale| {
        future_round_trips::<smol::Smol, of_smol::AsyncChannel>(scale, ONE)
    });
    contest.enter("async-channel, LocalRuntime", |scale| {
        future_round_trips::<tokio::InLocalRuntime, of_smol::AsyncChannel>(scale, ONE)
    });
    contest
        .enter("flume, LocalRuntime", |scale| future_round_trips::<tokio::InLocalRuntime, Flume>(scale, ONE));
    contest.enter("may mpsc, one worker", |scale| round_trips::<may::May, of_may::Mpsc>(scale, None));
    contest.enter("may spsc, one worker", |scale| round_trips::<may::May, of_may::Spsc>(scale, None));
    contest.enter("std mpsc, two threads", |scale| thread_round_trips::<threads::StdBounded>(scale, ONE));
    if has_go() {
        contest.enter("Go", |scale| go("round-trip", scale));
    }
    contest.enter("asyncio", |scale| asyncio("round-trip", scale));

    contest.case("rendezvous");
    contest.enter("ropewalk", |scale| items::<Ropewalk, Ropewalk>(scale, NONE));
    contest.enter("flume, LocalRuntime", |scale| future_items::<tokio::InLocalRuntime, Flume>(scale, NONE));
    contest.enter("std mpsc, two threads", |scale| thread_items::<threads::StdBounded>(scale, NONE));
    contest.enter("crossbeam, two threads", |scale| thread_items::<threads::Crossbeam>(scale, NONE));
    if has_go() {
        contest.enter("Go", |scale| go("rendezvous", scale));
    }
    contest.hold()
}

fn round_trips<D: Direct, C: DirectChannel>(scale: Scale, room: Room) -> Vec<Figure> {
    D::run(move || {
        let ((ask, mut asked), (answer, mut answered)) = (C::open(room), C::open(room));
        let partner = D::spawn(move || while_asked::<C>(&mut asked, &answer));
        let figures = ask_often::<C>(scale, REPETITIONS, &ask, &mut answered);
        drop(ask);
        D::join(partner);
        figures
    })
}

fn thread_round_trips<C: DirectChannel<Sender: Send, Receiver: Send>>(
    scale: Scale,
    room: Room,
) -> Vec<Figure> {
    let ((ask, mut asked), (answer, mut answered)) = (C::open(room), C::open(room));
    let partner = thread::spawn(move || while_asked::<C>(&mut asked, &answer));
    let figures = ask_often::<C>(scale, FEWER, &ask, &mut answered);
    drop(ask);
    partner.join().expect("it only answers");
    figures
}

fn while_asked<C: DirectChannel>(asked: &mut C::Receiver, answer: &C::Sender) {
    while answer_one::<C>(asked, answer) {}
}

/// Whether there was a question.
#[inline(never)]
fn answer_one<C: DirectChannel>(asked: &mut C::Receiver, answer: &C::Sender) -> bool {
    let question = C::recv(asked);
    if let Some(number) = question {
        C::send(answer, number + 1);
    }
    question.is_some()
}

#[inline(never)]
fn ask_one<C: DirectChannel>(ask: &C::Sender, answered: &mut C::Receiver, number: usize) -> usize {
    C::send(ask, number);
    C::recv(answered).expect("the partner answers")
}

fn ask_often<C: DirectChannel>(
    scale: Scale,
    repetitions: usize,
    ask: &C::Sender,
    answered: &mut C::Receiver,
) -> Vec<Figure> {
    let mut number = 0;
    samples(scale, ROUND_TRIP, scale.of(repetitions), || {
        let answer = ask_one::<C>(ask, answered, number);
        assert_eq!(answer, number + 1);
        number = answer;
    })
}

fn future_round_trips<F: Futures, C: FutureChannel>(scale: Scale, room: Room) -> Vec<Figure> {
    run_as_task::<F, _>(async move {
        let ((ask, mut asked), (answer, mut answered)) = (C::open(room), C::open(room));
        let partner = F::spawn(async move {
            while let Some(number) = C::recv(&mut asked).await {
                C::send(&answer, number + 1).await;
            }
        });
        let mut number = 0;
        let figures = samples_of_future(scale, ROUND_TRIP, scale.of(REPETITIONS), async || {
            C::send(&ask, number).await;
            let answer = C::recv(&mut answered).await;
            assert_eq!(answer, Some(number + 1));
            number += 1;
        });
        let figures = figures.await;
        drop(ask);
        F::join(partner).await;
        figures
    })
}

fn items<D: Direct, C: DirectChannel>(scale: Scale, room: Room) -> Vec<Figure> {
    D::run(move || {
        let (sender, mut receiver) = C::open(room);
        let receiving = D::spawn(move || while C::recv(&mut receiver).is_some() {});
        let figures = samples(scale, ITEM, scale.of(REPETITIONS), || C::send(&sender, 1));
        drop(sender);
        D::join(receiving);
        figures
    })
}

fn thread_items<C: DirectChannel<Sender: Send, Receiver: Send>>(scale: Scale, room: Room) -> Vec<Figure> {
    let (sender, mut receiver) = C::open(room);
    let receiving = thread::spawn(move || while C::recv(&mut receiver).is_some() {});
    let figures = samples(scale, ITEM, scale.of(FEWER), || C::send(&sender, 1));
    drop(sender);
    receiving.join().expect("it only receives");
    figures
}

fn future_items<F: Futures, C: FutureChannel>(scale: Scale, room: Room) -> Vec<Figure> {
    run_as_task::<F, _>(async move {
        let (sender, mut receiver) = C::open(room);
        let receiving = F::spawn(async move { while C::recv(&mut receiver).await.is_some() {} });
        let repetitions = scale.of(REPETITIONS);
        let figures = samples_of_future(scale, ITEM, repetitions, async || C::send(&sender, 1).await).await;
        drop(sender);
        F::join(receiving).await;
        figures
    })
}
