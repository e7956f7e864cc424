//! tokio's runtime for one thread.

use std::io;

use ropewalk_benches::tasks::tokio::local_runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task;

pub(crate) fn serve(buffer_bytes: usize) -> io::Result<()> {
    local_runtime(true).block_on(async move {
        // In a task: what is blocked on is woken in another way.
        task::spawn_local(accept(buffer_bytes)).await.expect("it does not panic")
    })
}

async fn accept(buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(crate::ADDRESS).await?;
    crate::announce(&listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        task::spawn_local(async move {
            // A client that breaks off is the end of a connection like any other.
            let _ = echo(stream, buffer_bytes).await;
        });
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            received => stream.write_all(&buffer[..received]).await?,
        }
    }
}
