//! Question: what does it cost to wait for 2, 8 or 64 channels at once, and to receive from one?
//!
//! *One has an item*: a task sends to one of its own channels, in a random order, and then selects over all of them: nobody
//! waits. *Nothing is there*: two tasks, each of which selects over channels of its own and sends what comes on to one of
//! the other's; the figure is half of such a round trip, in which one select has waited and one send has woken it. That
//! over one channel (`channels.rs`) tells what the others add. As there, the waits stand in functions that bodies call.
//!
//! Not counted: making tasks and channels. What a contender's documents keep from one select to the next is made once: a
//! `FuturesUnordered`, a stream of streams, crossbeam's `Select`, a slice of arms. The others are made each time: what a
//! macro makes, boxed futures, a tuple or an array of arms.
//!
//! *Biased* is whoever takes the first of several in the order of the program, as ropewalk does unless it is asked to choose
//! `fairly`. `may` starts a coroutine for each arm and cancels those that lost, which unwinds them. Two threads are in
//! it for scale; pinned as everybody is, they share a core.

use std::array;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::future::select_all;
use futures_util::stream::{FuturesUnordered, SelectAll, StreamExt};
use ropewalk::channel::{Receiver, Receiving};
use ropewalk::select::{Chosen, fairly, select};
use ropewalk_benches::contest::{Contest, Figure, Scale, in_column, samples, samples_of_future, shuffled};
use ropewalk_benches::meetings::elsewhere::{asyncio, go, has_go};
use ropewalk_benches::meetings::threads::Crossbeam;
use ropewalk_benches::meetings::{
    DirectChannel, FutureChannel, Room, may as of_may, smol as of_smol, tokio as of_tokio,
};
use ropewalk_benches::tasks::ropewalk::Ropewalk;
use ropewalk_benches::tasks::{Direct, Futures, may, run_as_task, smol, tokio};

/// In one sample.
const fn repetitions(channels: usize) -> usize {
    // Most contenders need time for each channel.
    if channels <= 8 { 50_000 } else { 6_000 }
}

/// In one sample, where each is several microseconds.
const FEWER: usize = 500;

/// What one took: the column is that of so many channels.
const EACH: &str = "";

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("ns for send + select, one has an item");
    enter_all::<false>(&mut contest);
    contest.case("ns for send + select, nothing is there");
    enter_all::<true>(&mut contest);
    contest.hold()
}

/// What somebody does with so many channels.
type Play = fn(Scale) -> Vec<Figure>;

fn enter(
    contest: &mut Contest,
    name: &'static str,
    two: Option<Play>,
    eight: Option<Play>,
    many: Option<Play>,
) {
    contest.enter(name, move |scale| {
        let columns = [("2 channels", two), ("8 channels", eight), ("64 channels", many)];
        let figures = |(column, play): (_, Option<Play>)| Some(in_column(column, play?(scale)));
        columns.into_iter().filter_map(figures).flatten().collect()
    });
}

fn enter_all<const WAITS: bool>(contest: &mut Contest) {
    type Tokio = tokio::InLocalRuntime;
    type AllOfTokio<const N: usize> = OfFutures<of_tokio::Bounded, N>;
    type AllOfSmol<const N: usize> = OfFutures<of_smol::AsyncChannel, N>;
    enter(
        contest,
        "ropewalk",
        Some(direct::<Ropewalk, Tuple<2>, 2, WAITS>),
        Some(direct::<Ropewalk, Tuple<8>, 8, WAITS>),
        Some(direct::<Ropewalk, Array<64>, 64, WAITS>),
    );
    enter(
        contest,
        "ropewalk, fairly",
        Some(direct::<Ropewalk, FairTuple<2>, 2, WAITS>),
        Some(direct::<Ropewalk, FairTuple<8>, 8, WAITS>),
        Some(direct::<Ropewalk, FairArray<64>, 64, WAITS>),
    );
    enter(
        contest,
        "ropewalk, slice of arms",
        Some(direct::<Ropewalk, Slice, 2, WAITS>),
        Some(direct::<Ropewalk, Slice, 8, WAITS>),
        Some(direct::<Ropewalk, Slice, 64, WAITS>),
    );
    enter(
        contest,
        "tokio::select!, biased",
        Some(future::<Tokio, Macro<2, true>, 2, WAITS>),
        Some(future::<Tokio, Macro<8, true>, 8, WAITS>),
        None,
    );
    enter(
        contest,
        "tokio::select!",
        Some(future::<Tokio, Macro<2, false>, 2, WAITS>),
        Some(future::<Tokio, Macro<8, false>, 8, WAITS>),
        None,
    );
    enter(
        contest,
        "tokio mpsc, FuturesUnordered",
        Some(future::<Tokio, Unordered, 2, WAITS>),
        Some(future::<Tokio, Unordered, 8, WAITS>),
        Some(future::<Tokio, Unordered, 64, WAITS>),
    );
    enter(
        contest,
        "tokio mpsc, select_all",
        Some(future::<Tokio, AllOfTokio<2>, 2, WAITS>),
        Some(future::<Tokio, AllOfTokio<8>, 8, WAITS>),
        Some(future::<Tokio, AllOfTokio<64>, 64, WAITS>),
    );
    enter(
        contest,
        "async-channel, select_all, smol",
        Some(future::<smol::Smol, AllOfSmol<2>, 2, WAITS>),
        Some(future::<smol::Smol, AllOfSmol<8>, 8, WAITS>),
        Some(future::<smol::Smol, AllOfSmol<64>, 64, WAITS>),
    );
    enter(
        contest,
        "async-channel, stream, smol",
        Some(future::<smol::Smol, OfStreams, 2, WAITS>),
        Some(future::<smol::Smol, OfStreams, 8, WAITS>),
        Some(future::<smol::Smol, OfStreams, 64, WAITS>),
    );
    enter(
        contest,
        "may::select!, one worker",
        Some(direct_rarely::<may::May, OfMay<2>, 2, WAITS>),
        Some(direct_rarely::<may::May, OfMay<8>, 8, WAITS>),
        None,
    );
    enter(
        contest,
        "crossbeam, two threads",
        Some(of_threads::<MacroOfCrossbeam<2>, 2, WAITS>),
        Some(of_threads::<MacroOfCrossbeam<8>, 8, WAITS>),
        Some(of_threads::<OfCrossbeam, 64, WAITS>),
    );
    if has_go() {
        enter(
            contest,
            "Go",
            Some(go_with::<2, WAITS>),
            Some(go_with::<8, WAITS>),
            Some(go_with::<64, WAITS>),
        );
    }
    enter(
        contest,
        "asyncio",
        Some(asyncio_with::<2, WAITS>),
        Some(asyncio_with::<8, WAITS>),
        Some(asyncio_with::<64, WAITS>),
    );
}

fn go_with<const N: usize, const WAITS: bool>(scale: Scale) -> Vec<Figure> {
    go(&case::<N, WAITS>(), scale)
}

fn asyncio_with<const N: usize, const WAITS: bool>(scale: Scale) -> Vec<Figure> {
    asyncio(&case::<N, WAITS>(), scale)
}

/// What the other programs call it.
fn case<const N: usize, const WAITS: bool>() -> String {
    format!("select-{}-{N}", if WAITS { "waits" } else { "ready" })
}

/// Waits for any of `N` channels in direct style.
trait DirectSelect<const N: usize>: Sized + 'static {
    type Channel: DirectChannel;
    const ROOM: Room = Some(1);

    fn over(receivers: [<Self::Channel as DirectChannel>::Receiver; N]) -> Self;
    fn select(&mut self) -> usize;

    fn open() -> (Vec<SenderOf<Self, N>>, Self) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..N).map(|_| Self::Channel::open(Self::ROOM)).unzip();
        (senders, Self::over(all(receivers)))
    }
}

type SenderOf<S, const N: usize> = <<S as DirectSelect<N>>::Channel as DirectChannel>::Sender;

/// Waits for any of `N` channels in a future.
trait FutureSelect<const N: usize>: Sized + 'static {
    type Channel: FutureChannel;

    fn over(receivers: [<Self::Channel as FutureChannel>::Receiver; N]) -> Self;
    fn select(&mut self) -> impl Future<Output = usize>;

    fn open() -> (Vec<<Self::Channel as FutureChannel>::Sender>, Self) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..N).map(|_| Self::Channel::open(Some(1))).unzip();
        (senders, Self::over(all(receivers)))
    }
}

fn all<T, const N: usize>(items: Vec<T>) -> [T; N] {
    items.try_into().unwrap_or_else(|_| unreachable!("there are N"))
}

/// Which of `N` is next: a random order that comes again and again.
fn picks<const N: usize>() -> impl FnMut() -> usize {
    let mut order = shuffled(1024);
    let mut at = 0;
    order.iter_mut().for_each(|pick| *pick %= N);
    move || {
        at = (at + 1) % order.len();
        order[at]
    }
}

fn direct<D: Direct, S: DirectSelect<N>, const N: usize, const WAITS: bool>(scale: Scale) -> Vec<Figure> {
    D::run(move || select_in_tasks::<D, S, N, WAITS>(scale, scale.of(repetitions(N))))
}

/// For whoever needs microseconds.
fn direct_rarely<D: Direct, S: DirectSelect<N>, const N: usize, const WAITS: bool>(
    scale: Scale,
) -> Vec<Figure> {
    D::run(move || select_in_tasks::<D, S, N, WAITS>(scale, scale.of(FEWER)))
}

fn select_in_tasks<D: Direct, S: DirectSelect<N>, const N: usize, const WAITS: bool>(
    scale: Scale,
    repetitions: usize,
) -> Vec<Figure> {
    if !WAITS {
        return send_and_select::<S, N>(scale, repetitions);
    }
    let ((to_me, me), (to_partner, partner)) = (S::open(), S::open());
    let times = repetitions * (scale.samples() + 1);
    let task = D::spawn(move || pass_on::<S, N>(times, partner, to_me));
    let figures = send_and_wait::<S, N>(scale, repetitions, &to_partner, me);
    D::join(task);
    figures
}

fn of_threads<S, const N: usize, const WAITS: bool>(scale: Scale) -> Vec<Figure>
where
    S: DirectSelect<N, Channel: DirectChannel<Sender: Send>> + Send,
{
    if !WAITS {
        return send_and_select::<S, N>(scale, scale.of(repetitions(N)));
    }
    let repetitions = scale.of(FEWER);
    let ((to_me, me), (to_partner, partner)) = (S::open(), S::open());
    let times = repetitions * (scale.samples() + 1);
    let thread = thread::spawn(move || pass_on::<S, N>(times, partner, to_me));
    let figures = send_and_wait::<S, N>(scale, repetitions, &to_partner, me);
    thread.join().expect("it only passes on");
    figures
}

fn send_and_select<S: DirectSelect<N>, const N: usize>(scale: Scale, repetitions: usize) -> Vec<Figure> {
    let (senders, mut receivers) = S::open();
    let (mut pick, mut item) = (picks::<N>(), 0);
    samples(scale, EACH, repetitions, || {
        S::Channel::send(&senders[pick()], item);
        let received = receivers.select();
        assert_eq!(received, item);
        item += 1;
    })
}

fn send_and_wait<S: DirectSelect<N>, const N: usize>(
    scale: Scale,
    repetitions: usize,
    senders: &[SenderOf<S, N>],
    mut receivers: S,
) -> Vec<Figure> {
    let (mut pick, mut item) = (picks::<N>(), 0);
    let round_trips = samples(scale, EACH, repetitions, || {
        let received = send_then_select(&senders[pick()], item, &mut receivers);
        assert_eq!(received, item);
        item += 1;
    });
    halves(round_trips)
}

fn pass_on<S: DirectSelect<N>, const N: usize>(times: usize, mut receivers: S, senders: Vec<SenderOf<S, N>>) {
    let mut pick = picks::<N>();
    for _ in 0..times {
        select_then_send(&mut receivers, &senders[pick()]);
    }
    // A channel that is closed would be ready before the last item is.
    mem::forget(senders);
}

#[inline(never)]
fn send_then_select<S: DirectSelect<N>, const N: usize>(
    sender: &SenderOf<S, N>,
    item: usize,
    receivers: &mut S,
) -> usize {
    S::Channel::send(sender, item);
    receivers.select()
}

#[inline(never)]
fn select_then_send<S: DirectSelect<N>, const N: usize>(receivers: &mut S, sender: &SenderOf<S, N>) {
    let item = receivers.select();
    S::Channel::send(sender, item);
}

fn halves(round_trips: Vec<Figure>) -> Vec<Figure> {
    round_trips.into_iter().map(|(column, nanoseconds)| (column, nanoseconds / 2.0)).collect()
}

fn future<F: Futures, S: FutureSelect<N>, const N: usize, const WAITS: bool>(scale: Scale) -> Vec<Figure> {
    let repetitions = scale.of(repetitions(N));
    run_as_task::<F, _>(async move {
        // Where nobody waits, a task sends to itself.
        let ((to_me, mut me), (to_partner, partner)) = (S::open(), S::open());
        let (mut pick, mut item) = (picks::<N>(), 0);
        if !WAITS {
            let send_and_select = async || {
                S::Channel::send(&to_me[pick()], item).await;
                let received = me.select().await;
                assert_eq!(received, item);
                item += 1;
            };
            return samples_of_future(scale, EACH, repetitions, send_and_select).await;
        }
        let times = repetitions * (scale.samples() + 1);
        let task = F::spawn(pass_on_in_future::<S, N>(times, partner, to_me));
        let send_and_wait = async || {
            S::Channel::send(&to_partner[pick()], item).await;
            let received = me.select().await;
            assert_eq!(received, item);
            item += 1;
        };
        let round_trips = samples_of_future(scale, EACH, repetitions, send_and_wait).await;
        F::join(task).await;
        halves(round_trips)
    })
}

async fn pass_on_in_future<S: FutureSelect<N>, const N: usize>(
    times: usize,
    mut receivers: S,
    senders: Vec<<S::Channel as FutureChannel>::Sender>,
) {
    let mut pick = picks::<N>();
    for _ in 0..times {
        let item = receivers.select().await;
        S::Channel::send(&senders[pick()], item).await;
    }
    // As in `pass_on`.
    mem::forget(senders);
}

const OPEN: &str = "nobody closes a channel";

/// ropewalk: what is selected over, made anew each time.
macro_rules! of_ropewalk {
    ($([$($const:tt)*] $name:ident, $count:expr, |$receivers:ident| $select:expr;)*) => {$(
        impl<$($const)*> DirectSelect<$count> for $name<$count> {
            type Channel = Ropewalk;

            fn over(receivers: [Receiver<usize>; $count]) -> Self {
                $name(receivers)
            }

            #[inline(always)]
            fn select(&mut self) -> usize {
                let $receivers = &self.0;
                $select
            }
        }
    )*};
}

struct Tuple<const N: usize>([Receiver<usize>; N]);
struct FairTuple<const N: usize>([Receiver<usize>; N]);
struct Array<const N: usize>([Receiver<usize>; N]);
struct FairArray<const N: usize>([Receiver<usize>; N]);

of_ropewalk! {
    [] Tuple, 2, |receivers| of_two(select(two(receivers)));
    [] FairTuple, 2, |receivers| of_two(select(fairly(two(receivers))));
    [] Tuple, 8, |receivers| of_eight(select(eight(receivers)));
    [] FairTuple, 8, |receivers| of_eight(select(fairly(eight(receivers))));
    [const N: usize] Array, N, |receivers| of_many(select(arms(receivers)));
    [const N: usize] FairArray, N, |receivers| of_many(select(fairly(arms(receivers))));
}

type Arm<'a> = Receiving<'a, usize>;
type Received = Result<usize, ropewalk::channel::RecvError>;
type Selected<T> = Result<T, ropewalk::Cancelled>;

#[inline(always)]
fn two([a, b]: &[Receiver<usize>; 2]) -> (Arm<'_>, Arm<'_>) {
    (a.receiving(), b.receiving())
}

#[inline(always)]
fn of_two(selected: Selected<Chosen<Received, Received>>) -> usize {
    match selected.expect("nobody is cancelled") {
        Chosen::First(item) | Chosen::Second(item) => item.expect(OPEN),
    }
}

type Eight<T> = (T, T, T, T, T, T, T, T);
type OfEight<T> = Chosen<T, T, T, T, T, T, T, T>;

#[inline(always)]
fn eight([a, b, c, d, e, f, g, h]: &[Receiver<usize>; 8]) -> Eight<Arm<'_>> {
    (
        a.receiving(),
        b.receiving(),
        c.receiving(),
        d.receiving(),
        e.receiving(),
        f.receiving(),
        g.receiving(),
        h.receiving(),
    )
}

#[inline(always)]
fn of_eight(selected: Selected<OfEight<Received>>) -> usize {
    match selected.expect("nobody is cancelled") {
        Chosen::First(item)
        | Chosen::Second(item)
        | Chosen::Third(item)
        | Chosen::Fourth(item)
        | Chosen::Fifth(item)
        | Chosen::Sixth(item)
        | Chosen::Seventh(item)
        | Chosen::Eighth(item) => item.expect(OPEN),
    }
}

#[inline(always)]
fn arms<const N: usize>(receivers: &[Receiver<usize>; N]) -> [Arm<'_>; N] {
    array::from_fn(|index| receivers[index].receiving())
}

#[inline(always)]
fn of_many(selected: Selected<(usize, Received)>) -> usize {
    let (_index, item) = selected.expect("nobody is cancelled");
    item.expect(OPEN)
}

/// Arms that are kept. They borrow the receivers, which therefore stay for ever.
struct Slice(Vec<Arm<'static>>);

impl<const N: usize> DirectSelect<N> for Slice {
    type Channel = Ropewalk;

    fn over(receivers: [Receiver<usize>; N]) -> Slice {
        let receivers: &'static [Receiver<usize>; N] = Box::leak(Box::new(receivers));
        Slice(receivers.iter().map(Receiver::receiving).collect())
    }

    #[inline(always)]
    fn select(&mut self) -> usize {
        of_many(select(self.0.as_mut_slice()))
    }
}

/// `tokio::select!`
struct Macro<const N: usize, const BIASED: bool>([::tokio::sync::mpsc::Receiver<usize>; N]);

macro_rules! of_tokio {
    ($count:literal, $($receiver:ident)*) => {
        of_tokio!($count, true, [biased;] $($receiver)*);
        of_tokio!($count, false, [] $($receiver)*);
    };
    ($count:literal, $biased:literal, [$($option:tt)*] $($receiver:ident)*) => {
        impl FutureSelect<$count> for Macro<$count, $biased> {
            type Channel = of_tokio::Bounded;

            fn over(receivers: [::tokio::sync::mpsc::Receiver<usize>; $count]) -> Self {
                Macro(receivers)
            }

            #[inline(always)]
            async fn select(&mut self) -> usize {
                let [$($receiver),*] = &mut self.0;
                let item = ::tokio::select! {
                    $($option)*
                    $(item = $receiver.recv() => item,)*
                };
                item.expect(OPEN)
            }
        }
    };
}

of_tokio!(2, a b);
of_tokio!(8, a b c d e f g h);

/// `futures_util::future::select_all` over a boxed future for each channel.
struct OfFutures<C: FutureChannel, const N: usize>([C::Receiver; N]);

impl<C: FutureChannel, const N: usize> FutureSelect<N> for OfFutures<C, N> {
    type Channel = C;

    fn over(receivers: [C::Receiver; N]) -> Self {
        OfFutures(receivers)
    }

    #[inline(always)]
    async fn select(&mut self) -> usize {
        let futures = self.0.iter_mut().map(|receiver| Box::pin(C::recv(receiver)));
        let (item, _index, _others) = select_all(futures).await;
        item.expect(OPEN)
    }
}

/// A `FuturesUnordered`, into which whichever was ready is put back.
struct Unordered(FuturesUnordered<Next>);

/// The next item of a channel, and the channel.
struct Next(Option<::tokio::sync::mpsc::Receiver<usize>>);

impl Future for Next {
    type Output = (Option<usize>, ::tokio::sync::mpsc::Receiver<usize>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let receiver = self.0.as_mut().expect("it is polled until it is ready");
        let item = ready!(receiver.poll_recv(context));
        Poll::Ready((item, self.0.take().expect("it was there just now")))
    }
}

impl<const N: usize> FutureSelect<N> for Unordered {
    type Channel = of_tokio::Bounded;

    fn over(receivers: [::tokio::sync::mpsc::Receiver<usize>; N]) -> Self {
        Unordered(receivers.into_iter().map(|receiver| Next(Some(receiver))).collect())
    }

    #[inline(always)]
    async fn select(&mut self) -> usize {
        let (item, receiver) = self.0.next().await.expect("they are all in it");
        self.0.push(Next(Some(receiver)));
        item.expect(OPEN)
    }
}

/// One stream of all channels.
struct OfStreams(SelectAll<Pin<Box<async_channel::Receiver<usize>>>>);

impl<const N: usize> FutureSelect<N> for OfStreams {
    type Channel = of_smol::AsyncChannel;

    fn over(receivers: [async_channel::Receiver<usize>; N]) -> Self {
        OfStreams(receivers.into_iter().map(Box::pin).collect())
    }

    #[inline(always)]
    async fn select(&mut self) -> usize {
        self.0.next().await.expect(OPEN)
    }
}

/// `may::select!`
struct OfMay<const N: usize>([::may::sync::mpsc::Receiver<usize>; N]);

macro_rules! of_may {
    ($count:literal, $($receiver:ident)*) => {
        impl DirectSelect<$count> for OfMay<$count> {
            type Channel = of_may::Mpsc;
            const ROOM: Room = None;

            fn over(receivers: [::may::sync::mpsc::Receiver<usize>; $count]) -> Self {
                OfMay(receivers)
            }

            fn select(&mut self) -> usize {
                let [$($receiver),*] = &self.0;
                let received = AtomicUsize::new(0);
                ::may::select! {
                    $(item = $receiver.recv() => received.store(item.expect(OPEN), Ordering::Relaxed)),*
                };
                received.into_inner()
            }
        }
    };
}

of_may!(2, a b);
of_may!(8, a b c d e f g h);

/// `crossbeam_channel::select!`, which is not biased.
struct MacroOfCrossbeam<const N: usize>([crossbeam_channel::Receiver<usize>; N]);

macro_rules! of_crossbeam {
    ($count:literal, $($receiver:ident)*) => {
        impl DirectSelect<$count> for MacroOfCrossbeam<$count> {
            type Channel = Crossbeam;

            fn over(receivers: [crossbeam_channel::Receiver<usize>; $count]) -> Self {
                MacroOfCrossbeam(receivers)
            }

            #[inline(always)]
            fn select(&mut self) -> usize {
                let [$($receiver),*] = &self.0;
                let item = crossbeam_channel::select! {
                    $(recv($receiver) -> item => item,)*
                };
                item.expect(OPEN)
            }
        }
    };
}

of_crossbeam!(2, a b);
of_crossbeam!(8, a b c d e f g h);

/// A `Select` that is kept. It borrows the receivers, which therefore stay for ever.
struct OfCrossbeam {
    receivers: &'static [crossbeam_channel::Receiver<usize>],
    select: crossbeam_channel::Select<'static>,
}

impl<const N: usize> DirectSelect<N> for OfCrossbeam {
    type Channel = Crossbeam;

    fn over(receivers: [crossbeam_channel::Receiver<usize>; N]) -> Self {
        let receivers: &'static [_; N] = Box::leak(Box::new(receivers));
        let mut select = crossbeam_channel::Select::new();
        for receiver in receivers {
            select.recv(receiver);
        }
        OfCrossbeam { receivers, select }
    }

    #[inline(always)]
    fn select(&mut self) -> usize {
        let ready = self.select.select();
        let receiver = &self.receivers[ready.index()];
        ready.recv(receiver).expect(OPEN)
    }
}
