//! Question: what does a connection cost a server that sends back what it receives? One thread, one library, no end.
//!
//! `echo.py` starts it, loads it with `echo_client` and prints the tables. By hand: `echo_server <library> [buffer_bytes] [--threads N]`; it
//! prints the port on 127.0.0.1 at which it listens, and serves until it is killed.
//!
//! With more threads than one, ropewalk and the bare loop have a loop and a listener on each, and the system deals the connections out;
//! tokio and may have one listener, and move their tasks. The others have one thread.
//!
//! Each of them does the same: a task for each connection, with a buffer of its own on the heap, receives whatever there is and
//! sends all of it before it receives again. Nothing is parsed and nobody is timed out.
//!
//! The buffer is larger than any message, and this matters. Who receives fewer bytes than there is room for knows that there are
//! no more, and goes to wait; a full buffer means another system call, which finds nothing. So whoever works with readiness
//! pays for a message exactly as long as its buffer what io_uring and a shorter message do not pay. To see that:
//! `echo.py --buffer 16384`.
//!
//! Not counted: what a program would do with the bytes. The bare loops have no tasks, no timers, no cancellation and one kind of
//! event: they are what the system itself takes.

mod bare;
mod may;
mod monoio;
mod ropewalk;
mod smol;
mod tokio;

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The largest message, and enough besides that none fills the buffer.
const BUFFER_BYTES: usize = 16 * 1024 + 64;

/// Any port.
const ADDRESS: &str = "127.0.0.1:0";

/// As many as the system lets wait: all clients of a bench come at once.
const BACKLOG: i32 = 4096;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let threads = match arguments.iter().position(|argument| argument == "--threads") {
        Some(index) => {
            let threads = arguments.drain(index..).nth(1).and_then(|threads| threads.parse().ok());
            threads.expect("a number of threads")
        }
        None => 1,
    };
    let (name, bytes) = match arguments.as_slice() {
        [name] => (name, BUFFER_BYTES),
        [name, bytes] => (name, bytes.parse().expect("a number of bytes")),
        _ => {
            eprintln!("usage: echo_server <library> [buffer_bytes] [--threads N]");
            return ExitCode::FAILURE;
        }
    };
    let serve = move |bytes| match name.as_str() {
        "bare" => bare::serve_with_buffers(threads, bytes),
        "ropewalk" if threads > 1 => ropewalk::serve_on_shards(threads, bytes),
        "tokio" if threads > 1 => tokio::serve_on_threads(threads, bytes),
        "may" => may::serve(threads, bytes),
        _ if threads != 1 => Err(io::Error::other("it has one thread")),
        "bare-one-buffer" => bare::serve_with_one_buffer(bytes),
        "ropewalk" => ropewalk::serve(bytes),
        "tokio" => tokio::serve(bytes),
        "smol" => smol::serve(bytes),
        "monoio" => monoio::serve(bytes),
        _ => Err(io::Error::other("nothing here is called that")),
    };
    allow_many_descriptors();
    match serve(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As many as this process may allow itself.
fn allow_many_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the maximum is allowed");
}

/// Says where the clients find this listener, which is from here on like those of all others.
fn announce(listener: impl AsFd) -> io::Result<()> {
    make_ready(&listener)?;
    say_where(&listener)
}

/// What it accepts inherits that small packets are sent at once: the rest of a message does not wait for anybody.
fn make_ready(listener: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&listener, true)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(())
}

fn say_where(listener: impl AsFd) -> io::Result<()> {
    println!("{}", address_of(&listener)?.port());
    Ok(())
}

fn address_of(listener: impl AsFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(&listener)?)?)
}

/// So many listeners at one port, ready and announced.
fn listeners(count: usize) -> io::Result<Vec<TcpListener>> {
    let mut address: SocketAddr = ADDRESS.parse().expect("it is one");
    let mut listeners = Vec::new();
    for _ in 0..count {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        if count > 1 {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        make_ready(&socket)?;
        // The others at the port that the first one was given.
        address = address_of(&socket)?;
        listeners.push(TcpListener::from(socket));
    }
    say_where(&listeners[0])?;
    Ok(listeners)
}
