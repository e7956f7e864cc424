//! `may`: a coroutine for each connection, on as many workers as it is told.

use std::io::{self, Read, Write};

use may::coroutine;
use may::net::{TcpListener, TcpStream};

pub(crate) fn serve(workers: usize, buffer_bytes: usize) -> io::Result<()> {
    // Where the process may run is for whoever starts it to say.
    may::config().set_workers(workers).set_worker_pin(false);
    // SAFETY: no body here needs more than the default stack, nor keeps a reference to a thread-local over a switch.
    let accepting = unsafe { coroutine::spawn(move || accept(buffer_bytes)) };
    accepting.join().expect("it does not panic")
}

fn accept(buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(crate::ADDRESS)?;
    crate::announce(listener.inner())?;
    loop {
        let (stream, _) = listener.accept()?;
        let connection = move || {
            // A client that breaks off is the end of a connection like any other.
            let _ = echo(stream, buffer_bytes);
        };
        // SAFETY: as above.
        unsafe { coroutine::spawn(connection) };
    }
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
