//! tokio's runtime for one thread, and the one for several.

use std::io;

use ropewalk_benches::tasks::tokio::local_runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task;

pub(crate) fn serve(buffer_bytes: usize) -> io::Result<()> {
    local_runtime(true).block_on(async move {
        // In a task: what is blocked on is woken in another way.
        task::spawn_local(accept(buffer_bytes)).await.expect("it does not panic")
    })
}

pub(crate) fn serve_on_threads(threads: usize, buffer_bytes: usize) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let serving = async move {
        let listener = TcpListener::bind(crate::ADDRESS).await?;
        crate::announce(&listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A client that breaks off is the end of a connection like any other.
                let _ = echo(stream, buffer_bytes).await;
            });
        }
    };
    runtime.block_on(async { tokio::spawn(serving).await.expect("it does not panic") })
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
