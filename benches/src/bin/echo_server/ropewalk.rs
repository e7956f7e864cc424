//! ropewalk: a task with a stack for each connection. `ROPEWALK_DRIVER` says which driver it has.

use std::io::{self, Read, Write};

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::shards;
use ropewalk::task;

pub(crate) fn serve(buffer_bytes: usize) -> io::Result<()> {
    ropewalk::run(|| {
        let listener = TcpListener::bind(crate::ADDRESS)?;
        crate::announce(&listener)?;
        accept(&listener, buffer_bytes)
    })
}

/// A listener on each.
pub(crate) fn serve_on_shards(count: usize, buffer_bytes: usize) -> io::Result<()> {
    let listeners: Vec<_> = crate::listeners(count)?.into_iter().map(TcpListener::from).collect();
    shards::try_run(count, |shard| accept(&listeners[shard.index()], buffer_bytes)).map(drop)
}

fn accept(listener: &TcpListener, buffer_bytes: usize) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        task::spawn(move || {
            // A client that breaks off is the end of a connection like any other.
            let _ = echo(stream, buffer_bytes);
        });
    }
    Ok(())
}

fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            received => stream.write_all(&buffer[..received])?,
        }
    }
}
