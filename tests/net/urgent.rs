//! Urgent bytes, with which a peer can cut reads short.

use std::io::{Read, Write};

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::task;
use rustix::net::SendFlags;

/// A read ends before what is urgent. Who takes a short read for the last waits for news that never come.
#[test]
fn what_comes_behind_urgent_bytes_is_read_too() {
    ropewalk::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        for has_looked in [false, true] {
            task::scope(|s| {
                let reading = s.spawn(|| {
                    let mut buffer = [0; 100];
                    let mut received = String::new();
                    while received.matches(char::is_alphabetic).count() < 6 {
                        let count = receiver.read(&mut buffer).unwrap();
                        received += &format!("{} ", String::from_utf8_lossy(&buffer[..count]));
                    }
                    received
                });
                task::yield_now();
                sender.write_all(b"abc").unwrap();
                if has_looked {
                    task::yield_now();
                }
                rustix::net::send(&sender, b"!", SendFlags::OOB).unwrap();
                sender.write_all(b"def").unwrap();
                let received = reading.join().unwrap();
                assert_eq!(received.replace(' ', ""), "abcdef");
                // Else this shows nothing.
                if cfg!(target_os = "linux") {
                    assert_eq!(received, "abc def ");
                }
            });
        }
        // And it goes on as before.
        task::scope(|s| {
            let reading = s.spawn(|| receiver.read(&mut [0; 10]).unwrap());
            task::yield_now();
            sender.write_all(b"more").unwrap();
            assert_eq!(reading.join().unwrap(), 4);
        });
    });
}
