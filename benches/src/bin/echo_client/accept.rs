//! Visitors: each connects, has one message echoed and closes, and the next one comes.

use std::io;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Load;
use crate::connection::{Connection, Mail};
use crate::meter::{Meter, Phase};

pub(crate) fn run(load: &Load) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut mail = Mail::new(load.bytes);
    let mut visits = 0;
    let mut visitors = Vec::new();
    for place in 0..load.connections {
        visitors.push(visit(load, &poll, &mail, place, &mut visits)?);
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
            let place = event.data.u64() as usize;
            let (connection, began) = &mut visitors[place];
            if connection.go_on(&mut mail)? {
                meter.note(began.elapsed());
                // Closes the old one.
                visitors[place] = visit(load, &poll, &mail, place, &mut visits)?;
            }
        }
    }
}

fn visit(
    load: &Load,
    poll: &OwnedFd,
    mail: &Mail,
    place: usize,
    visits: &mut usize,
) -> io::Result<(Connection, Instant)> {
    /// More than that one address after the other, and the ports of the first are free again.
    const ROUND: usize = 2_000_000;
    let began = Instant::now();
    let mut connection = Connection::open(load.port, *visits % ROUND)?;
    *visits += 1;
    let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    epoll::add(poll, &connection, EventData::new_u64(place as u64), both)?;
    connection.begin(mail)?;
    Ok((connection, began))
}
