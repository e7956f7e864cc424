//! Question: what does it cost to read 4 KiB of a file that is in memory, one after the other and by 32 tasks side by side?
//!
//! A file of 8 MiB is read from its beginning to its end, after it was read once; side by side each task has an open file of its own, and all of them together read as
//! much. Not counted: starting runtimes, opening files.
//!
//! *ropewalk* is the driver that works everywhere, which asks the system for what is in memory and for nothing else; what is on disk would go to a thread, as it does in
//! *ropewalk, by a thread*. std blocks whoever reads, and is here for what the system call costs. tokio reads on a thread, whatever is in memory.

use std::env;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Instant;

use ropewalk::{Driver, Runtime, blocking, task};
use ropewalk_benches::contest::{Contest, Figure, Scale, nanoseconds_each};
use tokio::io::AsyncReadExt;

const PIECE: usize = 4096;
const PIECES: usize = 2048;
const TASKS: usize = 32;

const ALONE: &str = "ns for a read, one after the other";
const BESIDE: &str = "ns for a read, 32 tasks";

fn main() -> ExitCode {
    let mut contest = Contest::new();
    contest.case("4 KiB that are in memory");
    contest.enter("ropewalk", |scale| ours(scale, Driver::Epoll, read_pieces));
    contest.enter("ropewalk, with a ring", |scale| ours(scale, Driver::Uring, read_pieces));
    contest.enter("ropewalk, by a thread", |scale| ours(scale, Driver::Epoll, read_pieces_on_a_thread));
    contest.enter("std, which blocks", of_std);
    contest.enter("tokio::fs", of_tokio);
    contest.hold()
}

/// A file in memory, which goes with it.
struct Sample(PathBuf);

impl Sample {
    fn new(pieces: usize) -> Sample {
        let path = env::temp_dir().join(format!("ropewalk-bench-{}", process::id()));
        fs::write(&path, vec![7; pieces * PIECE]).expect("there is room for a file");
        assert_eq!(fs::read(&path).expect("it is there").len(), pieces * PIECE);
        Sample(path)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Pieces for each of the tasks side by side.
fn share(pieces: usize) -> usize {
    pieces.div_ceil(TASKS)
}

fn read_pieces(file: &mut ropewalk::fs::File, count: usize) {
    let mut piece = [0; PIECE];
    (0..count).for_each(|_| file.read_exact(&mut piece).expect("it is long enough"));
}

fn read_pieces_on_a_thread(file: &mut ropewalk::fs::File, count: usize) {
    // Where no runtime runs, a file is read at once.
    for _ in 0..count {
        let mut piece = [0; PIECE];
        blocking::unblock(|| file.read_exact(&mut piece))
            .expect("nobody cancels")
            .expect("it is long enough");
    }
}

fn ours(scale: Scale, driver: Driver, read: fn(&mut ropewalk::fs::File, usize)) -> Vec<Figure> {
    let pieces = scale.of(PIECES);
    let sample = Sample::new(pieces);
    let open = || ropewalk::fs::File::open(&sample.0).expect("it is there");
    Runtime::builder().driver(driver).build().run(|| {
        read(&mut open(), share(pieces));
        let figures = (0..scale.samples()).flat_map(|_| {
            let mut file = open();
            let began = Instant::now();
            read(&mut file, pieces);
            let alone = nanoseconds_each(began, pieces);
            let files: Vec<_> = (0..TASKS).map(|_| open()).collect();
            let began = Instant::now();
            task::scope(|s| {
                for mut file in files {
                    s.spawn(move || read(&mut file, share(pieces)));
                }
            });
            [(ALONE, alone), (BESIDE, nanoseconds_each(began, share(pieces) * TASKS))]
        });
        figures.collect()
    })
}

fn of_std(scale: Scale) -> Vec<Figure> {
    let pieces = scale.of(PIECES);
    let sample = Sample::new(pieces);
    let figures = (0..scale.samples()).map(|_| {
        let mut file = fs::File::open(&sample.0).expect("it is there");
        let mut piece = [0; PIECE];
        let began = Instant::now();
        (0..pieces).for_each(|_| file.read_exact(&mut piece).expect("it is long enough"));
        (ALONE, nanoseconds_each(began, pieces))
    });
    figures.collect()
}

async fn read_with_tokio(mut file: tokio::fs::File, count: usize) {
    let mut piece = [0; PIECE];
    for _ in 0..count {
        file.read_exact(&mut piece).await.expect("it is long enough");
    }
}

fn of_tokio(scale: Scale) -> Vec<Figure> {
    let pieces = scale.of(PIECES);
    let sample = Sample::new(pieces);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let open = async || tokio::fs::File::open(&sample.0).await.expect("it is there");
        read_with_tokio(open().await, share(pieces)).await;
        let mut figures = Vec::new();
        for _ in 0..scale.samples() {
            let file = open().await;
            let began = Instant::now();
            read_with_tokio(file, pieces).await;
            figures.push((ALONE, nanoseconds_each(began, pieces)));
            let mut files = Vec::new();
            for _ in 0..TASKS {
                files.push(open().await);
            }
            let began = Instant::now();
            let tasks: Vec<_> =
                files.into_iter().map(|file| tokio::spawn(read_with_tokio(file, share(pieces)))).collect();
            for task in tasks {
                task.await.expect("it reads to its end");
            }
            figures.push((BESIDE, nanoseconds_each(began, share(pieces) * TASKS)));
        }
        figures
    })
}
