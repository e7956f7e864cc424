//! The open loop: messages are due at regular times, and wait for a connection if none is free.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Load;
use crate::connection::{Connection, Mail};
use crate::meter::{Meter, Phase};

pub(crate) fn run(load: &Load) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut mail = Mail::new(load.bytes);
    // With each, since when its message has been due.
    let mut connections = Vec::new();
    for number in 0..load.connections {
        let connection = Connection::open(load.port, number)?;
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&poll, &connection, EventData::new_u64(number as u64), both)?;
        connections.push((connection, None));
    }
    let mut free: VecDeque<usize> = (0..load.connections).collect();
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let interval = Duration::from_secs_f64(1.0 / load.rate);
    let mut next_due = Instant::now();
    let mut meter = Meter::new(load);
    let mut events = Vec::with_capacity(load.connections);
    loop {
        let now = Instant::now();
        match meter.phase(now)? {
            Phase::WarmUp => {}
            Phase::Counted => mail.compares = false,
            Phase::Over => {
                // These have no answer yet, and took at least so long.
                let unanswered = connections.iter().filter_map(|(_, due)| *due).chain(waiting);
                println!("unanswered\t{}", unanswered.count());
                return meter.report();
            }
        }
        while next_due <= now {
            waiting.push_back(next_due);
            next_due += interval;
        }
        while let (Some(&due), Some(&number)) = (waiting.front(), free.front()) {
            waiting.pop_front();
            free.pop_front();
            let (connection, since) = &mut connections[number];
            *since = Some(due);
            connection.begin(&mail)?;
        }
        let timeout =
            if load.spins { Duration::ZERO } else { next_due.saturating_duration_since(Instant::now()) };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), Some(&timeout))?;
        for event in &events {
            let number = event.data.u64() as usize;
            let (connection, since) = &mut connections[number];
            if since.is_some() && connection.go_on(&mut mail)? {
                meter.note(since.take().expect("it was there").elapsed());
                free.push_back(number);
            }
        }
    }
}
