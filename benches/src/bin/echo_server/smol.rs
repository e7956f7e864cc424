//! smol: its executor for one thread, whose `block_on` does what its reactor has to do.

use std::io;
use std::net;

use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use ropewalk_benches::tasks::smol::executor;

pub(crate) fn serve(buffer_bytes: usize) -> io::Result<()> {
    async_io::block_on(executor().run(accept(buffer_bytes)))
}

async fn accept(buffer_bytes: usize) -> io::Result<()> {
    let address: net::SocketAddr = crate::ADDRESS.parse().expect("it is one");
    let listener = Async::<net::TcpListener>::bind(address)?;
    crate::announce(&listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = executor().spawn(async move {
            // A client that breaks off is the end of a connection like any other.
            let _ = echo(stream, buffer_bytes).await;
        });
        connection.detach();
    }
}

async fn echo(mut stream: Async<net::TcpStream>, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            received => stream.write_all(&buffer[..received]).await?,
        }
    }
}
