//! Question: what does it cost to be promised one thing by another task, and to have it?
//!
//! A oneshot channel is made, sent through, and received from: *by one task*, where nobody waits; and *by two*, where one
//! makes it and sends one end along as a request, and the other one answers. That is two switches.
//!
//! Not counted: making tasks, and the channel of the requests, which has room for one. `may` and smol have no oneshot
//! channel; asyncio's is a future, Go's a channel with room for one.

use std::process::ExitCode;

use ropewalk::channel;
use ropewalk_benches::contest::{Contest, Figure, Scale, in_column, samples, samples_of_future};
use ropewalk_benches::meetings::elsewhere::{asyncio, go, has_go};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, Futures, run_as_task, tokio};

const BY_ONE: &str = "by one task";
const BY_TWO: &str = "by two tasks";

/// In one sample.
const REPETITIONS: usize = 100_000;

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("ns for a oneshot channel");
    contest.enter("ropewalk", |scale| both(of_ropewalk(scale), of_ropewalk_by_two(scale)));
    contest.enter("tokio, LocalRuntime", |scale| both(of_tokio(scale), of_tokio_by_two(scale)));
    contest.enter("oneshot, LocalRuntime", |scale| both(of_oneshot(scale), of_oneshot_by_two(scale)));
    if has_go() {
        contest.enter("Go", |scale| both(go("oneshot", scale), go("oneshot-answered", scale)));
    }
    contest.enter("asyncio", |scale| both(asyncio("oneshot", scale), asyncio("oneshot-answered", scale)));
    contest.hold()
}

fn both(by_one: Vec<Figure>, by_two: Vec<Figure>) -> Vec<Figure> {
    [in_column(BY_ONE, by_one), in_column(BY_TWO, by_two)].concat()
}

fn of_ropewalk(scale: Scale) -> Vec<Figure> {
    Ropewalk::run(move || {
        samples(scale, BY_ONE, scale.of(REPETITIONS), || {
            let (sender, receiver) = channel::oneshot();
            assert!(sender.send(1).is_ok());
            assert_eq!(receiver.recv(), Ok(1));
        })
    })
}

type Question = channel::oneshot::Sender<usize>;

fn of_ropewalk_by_two(scale: Scale) -> Vec<Figure> {
    Ropewalk::run(move || {
        let (ask, asked) = channel::bounded(1);
        let partner = Ropewalk::spawn(move || while answer_one(&asked) {});
        let figures = samples(scale, BY_TWO, scale.of(REPETITIONS), || ask_one(&ask));
        drop(ask);
        Ropewalk::join(partner);
        figures
    })
}

/// In a function of its own: see README, why call depth.
#[inline(never)]
fn ask_one(ask: &channel::Sender<Question>) {
    let (sender, receiver) = channel::oneshot();
    ask.send(sender).expect("the partner answers");
    assert_eq!(receiver.recv(), Ok(1));
}

/// Whether there was a question.
#[inline(never)]
fn answer_one(asked: &channel::Receiver<Question>) -> bool {
    asked.recv().is_ok_and(|question| question.send(1).is_ok())
}

macro_rules! of_futures {
    ($by_one:ident $by_two:ident $library:path) => {
        fn $by_one(scale: Scale) -> Vec<Figure> {
            use $library as library;
            run_as_task::<tokio::InLocalRuntime, _>(async move {
                samples_of_future(scale, BY_ONE, scale.of(REPETITIONS), async || {
                    let (sender, receiver) = library::channel();
                    assert!(sender.send(1).is_ok());
                    assert_eq!(receiver.await, Ok(1));
                })
                .await
            })
        }

        fn $by_two(scale: Scale) -> Vec<Figure> {
            use $library as library;
            run_as_task::<tokio::InLocalRuntime, _>(async move {
                let (ask, mut asked) = ::tokio::sync::mpsc::channel::<library::Sender<usize>>(1);
                let partner = tokio::InLocalRuntime::spawn(async move {
                    while let Some(question) = asked.recv().await {
                        assert!(question.send(1).is_ok());
                    }
                });
                let figures = samples_of_future(scale, BY_TWO, scale.of(REPETITIONS), async || {
                    let (sender, receiver) = library::channel();
                    assert!(ask.send(sender).await.is_ok());
                    assert_eq!(receiver.await, Ok(1));
                });
                let figures = figures.await;
                drop(ask);
                tokio::InLocalRuntime::join(partner).await;
                figures
            })
        }
    };
}

of_futures!(of_tokio of_tokio_by_two ::tokio::sync::oneshot);
of_futures!(of_oneshot of_oneshot_by_two ::oneshot);
