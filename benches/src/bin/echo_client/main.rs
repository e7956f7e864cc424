//! Loads an echo server, whichever it is, and says what came of it. One thread and a bare epoll.
//!
//! - `echo`: so many connections, on each of which the next message goes out when the answer to the last is there (a closed
//!   loop): how much can the server do?
//! - `rate`: so many messages a second, whatever the server does about it (an open loop), each over the connection that has
//!   been free for longest: how long does an answer take? It counts from when the message was due, not from when it could be sent.
//! - `accept`: connects, has one message echoed and closes, so many at a time.
//! - `idle`: so many connections, each of which has one byte echoed and then does nothing, until standard input ends.
//!
//! Before the time that is counted comes a quarter of it that is not; in that all answers are compared with what was sent.
//!
//! What it found is printed as `name<TAB>value`. The server's CPU time is that of all threads of the process `--pid`, as the
//! kernel counts it, from the beginning to the end of what is counted.

mod accept;
mod closed;
mod connection;
mod idle;
mod meter;
mod open;

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const USAGE: &str = "usage: echo_client echo|rate|accept|idle --port PORT [--connections N] [--bytes N] [--seconds S] [--pid PID] \
                     [--rate PER_SECOND] [--spin]";

/// What is asked of the server.
#[derive(Debug)]
pub(crate) struct Load {
    port: u16,
    connections: usize,
    bytes: usize,
    counted: Duration,
    /// Of the server, if its CPU time is to be told.
    pid: Option<u32>,
    /// Messages a second.
    rate: f64,
    /// Never sleeps: for a core that it has for itself. What sleeps is woken late.
    spins: bool,
}

impl Load {
    fn warm_up(&self) -> Duration {
        self.counted / 4
    }
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(mode) = arguments.next() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut load = Load {
        port: 0,
        connections: 64,
        bytes: 64,
        counted: Duration::from_secs(1),
        pid: None,
        rate: 1000.0,
        spins: false,
    };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse::<f64>().ok()).expect("a number follows");
        match argument.as_str() {
            "--port" => load.port = number() as u16,
            "--connections" => load.connections = number() as usize,
            "--bytes" => load.bytes = number() as usize,
            "--seconds" => load.counted = Duration::from_secs_f64(number()),
            "--pid" => load.pid = Some(number() as u32),
            "--rate" => load.rate = number(),
            "--spin" => load.spins = true,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    allow_many_descriptors();
    let done = match mode.as_str() {
        "echo" => closed::run(&load),
        "rate" => open::run(&load),
        "accept" => accept::run(&load),
        "idle" => idle::run(&load),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{mode}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As many as this process may allow itself.
fn allow_many_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the maximum is allowed");
}
