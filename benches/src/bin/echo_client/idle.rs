//! Connections that do nothing, but for one byte each: the server has begun with all of them.

use std::io::{self, Read};

use rustix::event::PollFd;

use crate::Load;
use crate::connection::{Connection, Mail};

/// Connected at a time: fewer than a listener lets wait.
const BATCH: usize = 256;

pub(crate) fn run(load: &Load) -> io::Result<()> {
    let mut mail = Mail::new(1);
    let mut connections: Vec<Connection> = Vec::new();
    while connections.len() < load.connections {
        let first = connections.len();
        for number in first..load.connections.min(first + BATCH) {
            let mut connection = Connection::open(load.port, number)?;
            connection.begin(&mail)?;
            connections.push(connection);
        }
        for connection in &mut connections[first..] {
            while !connection.go_on(&mut mail)? {
                let mut one = [PollFd::new(&*connection, connection.waits_for())];
                rustix::event::poll(&mut one, None)?;
            }
        }
    }
    println!("connections\t{}", connections.len());
    // Whoever measures says by this that he is done.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
