//! Echo: a server that sends back what it gets, and a client that sees how fast it does.
//!
//! ```text
//! cargo run --release --example echo -- server [ADDRESS]
//! cargo run --release --example echo -- client ADDRESS [CONNECTIONS [ROUNDS]]
//! ```
//!
//! The address of the server is 127.0.0.1:7007 unless another is given; `nc 127.0.0.1 7007` talks to it as well.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Instant;

use ropewalk::net::{Server, TcpListener, TcpStream};
use ropewalk::task;

/// Connections at the same time; those beyond wait until one of them ends.
const LIMIT: usize = 10_000;

/// What the client sends, again and again.
const MESSAGE: [u8; 64] = *b"A ropewalk is a long straight building in which rope is laid .\r\n";

fn server(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening at {}", listener.local_addr()?);
    let server = Server::new(listener).limit(LIMIT).on_error(|error| eprintln!("{error}"));
    // A task for each connection. `copy` is std's: it ends when the peer has said all it had to say.
    server.serve(|stream, _peer| io::copy(&mut &stream, &mut &stream).map(drop))?;
    Ok(())
}

fn client(address: &str, connections: usize, rounds: usize) -> io::Result<()> {
    let (began, done) = (Instant::now(), Cell::new(0));
    task::try_scope(|s| {
        for _ in 0..connections {
            s.spawn(|| {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let mut echo = [0; MESSAGE.len()];
                for _ in 0..rounds {
                    stream.write_all(&MESSAGE)?;
                    stream.read_exact(&mut echo)?;
                    assert_eq!(echo, MESSAGE);
                    done.set(done.get() + 1);
                }
                Ok(())
            });
        }
        Ok::<_, io::Error>(())
    })?;
    let took = began.elapsed();
    let rate = f64::from(done.get()) / took.as_secs_f64();
    println!("{} messages over {connections} connections in {took:.2?}: {rate:.0} a second", done.get());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |index: usize, default| match arguments.get(index) {
        Some(text) => text.parse().ok(),
        None => Some(default),
    };
    let result = match (arguments.as_slice(), number(2, 100), number(3, 1000)) {
        (["server"], ..) => ropewalk::run(|| server("127.0.0.1:7007")),
        (["server", address], ..) => ropewalk::run(|| server(address)),
        (["client", address, ..], Some(connections), Some(rounds)) if arguments.len() <= 4 => {
            ropewalk::run(|| client(address, connections, rounds))
        }
        _ => {
            eprintln!("Usage: echo server [ADDRESS]\n       echo client ADDRESS [CONNECTIONS [ROUNDS]]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}
