//! monoio, with io_uring or not at all. Its operations own their buffers meanwhile.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use rustix::fd::{AsRawFd, BorrowedFd};

pub(crate) fn serve(buffer_bytes: usize) -> io::Result<()> {
    RuntimeBuilder::<IoUringDriver>::new().build()?.block_on(async move {
        let listener = TcpListener::bind(crate::ADDRESS)?;
        // SAFETY: the listener is open until this function returns.
        crate::announce(unsafe { BorrowedFd::borrow_raw(listener.as_raw_fd()) })?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(async move {
                // A client that breaks off is the end of a connection like any other.
                let _ = echo(stream, buffer_bytes).await;
            });
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        // Receives into the capacity and sets the length.
        let (received, full) = stream.read(buffer).await;
        if received? == 0 {
            return Ok(());
        }
        let (sent, full) = stream.write_all(full).await;
        sent?;
        buffer = full;
        buffer.clear();
    }
}
