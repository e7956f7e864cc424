//! The closed loop: as many messages are under way as there are connections.

use std::io;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Load;
use crate::connection::{Connection, Mail};
use crate::meter::{Meter, Phase};

pub(crate) fn run(load: &Load) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut mail = Mail::new(load.bytes);
    let mut connections = Vec::new();
    for number in 0..load.connections {
        let mut connection = Connection::open(load.port, number)?;
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&poll, &connection, EventData::new_u64(number as u64), both)?;
        connection.begin(&mail)?;
        connections.push((connection, Instant::now()));
    }
    let mut meter = Meter::new(load);
    let mut events = Vec::with_capacity(load.connections);
    loop {
        match meter.phase(Instant::now())? {
            Phase::WarmUp => {}
            Phase::Counted => mail.compares = false,
            Phase::Over => return meter.report(),
        }
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let (connection, began) = &mut connections[event.data.u64() as usize];
            if connection.go_on(&mut mail)? {
                let now = Instant::now();
                meter.note(now - *began);
                *began = now;
                connection.begin(&mail)?;
            }
        }
    }
}
