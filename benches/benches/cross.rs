//! Question: what does it cost to send something to another thread and to have an answer, and what does an item of many cost
//! on its way from there?
//!
//! *Round trip*: a task, or where it says so a thread, sends a number to a thread and waits for its answer, through channels
//! with room for one. Each is timed by itself; one side is idle and is woken each time. *An item*: a thread sends as
//! fast as it can, through a channel with room for 128, to a task or a thread that does nothing but receive. From the
//! first item on.
//!
//! To wake a core that sleeps takes longest, in a virtual machine above all. So both share a core in one column, and have
//! one each in the other; on two cores a partner that is still awake may answer before anybody sleeps. crossbeam's sees to
//! that: it spins for a while before it sleeps, with a core to itself. `taskset` must leave two cores for it. Not counted: starting threads and schedulers. `may` has channels without limit only, which is
//! not the same for items: it is not in that table.

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use ropewalk_benches::cores::{Cores, never_interrupt, stay_on};
use ropewalk_benches::meetings::flume::Flume;
use ropewalk_benches::meetings::ropewalk::Cross;
use ropewalk_benches::meetings::smol::AsyncChannel;
use ropewalk_benches::meetings::threads::{Crossbeam, StdBounded};
use ropewalk_benches::meetings::tokio::Bounded;
use ropewalk_benches::meetings::{DirectChannel, FutureChannel, Room, may as of_may};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, Futures, may, run_as_task, smol, tokio};

const ROUND_TRIPS: usize = 10_000;
const ITEMS: usize = 100_000;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("ns for a round trip with another thread");
    contest.enter("ropewalk", |scale| everywhere(|on| round_trips_of::<Ropewalk, Cross>(scale, on, ROOM)));
    contest.enter("ropewalk, two threads", |scale| everywhere(|on| thread_round_trips::<Cross>(scale, on)));
    contest.enter("tokio mpsc, LocalRuntime", |scale| {
        everywhere(|on| future_round_trips::<tokio::InLocalRuntime, Bounded>(scale, on))
    });
    contest.enter("async-channel, smol", |scale| {
        everywhere(|on| future_round_trips::<smol::Smol, AsyncChannel>(scale, on))
    });
    contest.enter("flume, LocalRuntime", |scale| {
        everywhere(|on| future_round_trips::<tokio::InLocalRuntime, Flume>(scale, on))
    });
    contest.enter("flume, two threads", |scale| everywhere(|on| thread_round_trips::<Flume>(scale, on)));
    contest.enter("may mpsc, one worker", |scale| {
        everywhere(|on| round_trips_of::<may::May, of_may::Mpsc>(scale, on, None))
    });
    contest
        .enter("crossbeam, two threads", |scale| everywhere(|on| thread_round_trips::<Crossbeam>(scale, on)));
    contest
        .enter("std mpsc, two threads", |scale| everywhere(|on| thread_round_trips::<StdBounded>(scale, on)));

    contest.case("ns for an item from another thread, 128 at most");
    contest.enter("ropewalk", |scale| everywhere(|on| Ropewalk::run(move || items::<Cross>(scale, on))));
    contest.enter("ropewalk, two threads", |scale| everywhere(|on| items::<Cross>(scale, on)));
    contest.enter("tokio mpsc, LocalRuntime", |scale| {
        everywhere(|on| future_items::<tokio::InLocalRuntime, Bounded>(scale, on))
    });
    contest.enter("async-channel, smol", |scale| {
        everywhere(|on| future_items::<smol::Smol, AsyncChannel>(scale, on))
    });
    contest.enter("flume, LocalRuntime", |scale| {
        everywhere(|on| future_items::<tokio::InLocalRuntime, Flume>(scale, on))
    });
    contest.enter("flume, two threads", |scale| everywhere(|on| items::<Flume>(scale, on)));
    contest.enter("crossbeam, two threads", |scale| everywhere(|on| items::<Crossbeam>(scale, on)));
    contest.enter("std mpsc, two threads", |scale| everywhere(|on| items::<StdBounded>(scale, on)));
    contest.hold()
}

const ROOM: Room = Some(1);

/// The core of the other thread, and the column for that.
#[derive(Clone, Copy)]
struct On {
    column: &'static str,
    other: usize,
}

/// On one core, then on two.
fn everywhere(play: impl Fn(On) -> Vec<Figure>) -> Vec<Figure> {
    // Before this thread stays on one of them, for then it no longer sees the other.
    let places = [("on one core", Cores::One.cores()), ("on two cores", Cores::Two.cores())];
    let figures = places.into_iter().flat_map(|(column, (own, other))| {
        stay_on(own);
        play(On { column, other })
    });
    figures.collect()
}

/// What ends in threads have.
trait BetweenThreads: DirectChannel<Sender: Send, Receiver: Send> {}

impl<C: DirectChannel<Sender: Send, Receiver: Send>> BetweenThreads for C {}

/// What tasks and threads have at the same time.
trait Both:
    BetweenThreads
    + FutureChannel<Sender = <Self as DirectChannel>::Sender, Receiver = <Self as DirectChannel>::Receiver>
{
}

impl<C> Both for C where
    C: BetweenThreads
        + FutureChannel<Sender = <C as DirectChannel>::Sender, Receiver = <C as DirectChannel>::Receiver>
{
}

/// The ends of somebody who asks a thread that answers: it ends when nobody can ask any more.
fn partner<C: BetweenThreads>(On { other, .. }: On, room: Room) -> (C::Sender, C::Receiver) {
    let ((ask, mut asked), (answer, answered)) = (C::open(room), C::open(room));
    thread::spawn(move || {
        stay_on(other);
        never_interrupt();
        while let Some(number) = C::recv(&mut asked) {
            C::send(&answer, number + 1);
        }
    });
    (ask, answered)
}

fn ask_often<C: BetweenThreads>(scale: Scale, on: On, room: Room) -> Vec<Figure> {
    let (ask, mut answered) = partner::<C>(on, room);
    let figures = (0..scale.of(ROUND_TRIPS)).map(|number| {
        let began = Instant::now();
        C::send(&ask, number);
        let answer = C::recv(&mut answered);
        let figure = (on.column, nanoseconds_each(began, 1));
        assert_eq!(answer, Some(number + 1));
        figure
    });
    figures.collect()
}

fn round_trips_of<D: Direct, C: BetweenThreads>(scale: Scale, on: On, room: Room) -> Vec<Figure> {
    D::run(move || ask_often::<C>(scale, on, room))
}

fn thread_round_trips<C: BetweenThreads>(scale: Scale, on: On) -> Vec<Figure> {
    ask_often::<C>(scale, on, ROOM)
}

fn future_round_trips<F: Futures, C: Both>(scale: Scale, on: On) -> Vec<Figure> {
    run_as_task::<F, _>(async move {
        let (ask, mut answered) = partner::<C>(on, ROOM);
        let mut figures = Vec::new();
        for number in 0..scale.of(ROUND_TRIPS) {
            let began = Instant::now();
            <C as FutureChannel>::send(&ask, number).await;
            let answer = <C as FutureChannel>::recv(&mut answered).await;
            figures.push((on.column, nanoseconds_each(began, 1)));
            assert_eq!(answer, Some(number + 1));
        }
        figures
    })
}

/// The end of a channel into which a thread sends all items, and one before.
fn source<C: BetweenThreads>(items: usize, On { other, .. }: On) -> C::Receiver {
    let (sender, receiver) = C::open(Some(128));
    thread::spawn(move || {
        stay_on(other);
        (0..=items).for_each(|item| C::send(&sender, item));
    });
    receiver
}

fn items<C: BetweenThreads>(scale: Scale, on: On) -> Vec<Figure> {
    let items = scale.of(ITEMS);
    let figures = (0..scale.samples()).map(|_| {
        let mut receiver = source::<C>(items, on);
        C::recv(&mut receiver).expect("the thread sends it");
        let began = Instant::now();
        let received = std::iter::from_fn(|| C::recv(&mut receiver)).count();
        assert_eq!(received, items);
        (on.column, nanoseconds_each(began, items))
    });
    figures.collect()
}

fn future_items<F: Futures, C: Both>(scale: Scale, on: On) -> Vec<Figure> {
    run_as_task::<F, _>(async move {
        let items = scale.of(ITEMS);
        let mut figures = Vec::new();
        for _ in 0..scale.samples() {
            let mut receiver = source::<C>(items, on);
            <C as FutureChannel>::recv(&mut receiver).await.expect("the thread sends it");
            let began = Instant::now();
            let mut received = 0;
            while <C as FutureChannel>::recv(&mut receiver).await.is_some() {
                received += 1;
            }
            assert_eq!(received, items);
            figures.push((on.column, nanoseconds_each(began, items)));
        }
        figures
    })
}
