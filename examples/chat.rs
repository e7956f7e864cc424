//! A chat: what one says, all others hear.
//!
//! ```text
//! cargo run --release --example chat [ADDRESS]
//! nc 127.0.0.1 7008                               # In another window, and in another one.
//! ```
//!
//! Each connection has two tasks: one hears, one speaks. They share the room with all the others through plain references and
//! cells, for all of it runs on one thread: there is no lock, and nothing to lock.
//!
//! What is said goes to a broadcast channel that overwrites what somebody is too slow to receive. So a peer that does not
//! read misses lines, is told how many, and holds up nobody.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use ropewalk::channel::broadcast::{LossyReceiver, LossySender, lossy};
use ropewalk::io::LineReader;
use ropewalk::net::{Server, TcpListener, TcpStream};
use ropewalk::task;

/// Lines that somebody can be behind before he misses some.
const MEMORY: usize = 100;

/// The longest line that is read, in bytes. Who sends a longer one is sent away.
const LONGEST_LINE: usize = 1024;

/// Who is there, and what is said.
struct Room {
    names: RefCell<BTreeSet<String>>,
    said: LossySender<Rc<Line>>,
}

/// What all hear but the one who says it.
struct Line {
    from: String,
    text: String,
}

impl Room {
    fn say(&self, from: &str, text: String) {
        // It fails when nobody is there, and then nobody misses it.
        let _ = self.said.send(Rc::new(Line { from: from.to_owned(), text }));
    }
}

/// Somebody who is in the room, until this is dropped: whatever ends the connection, the others hear of it.
struct Member<'a> {
    room: &'a Room,
    name: String,
}

impl<'a> Member<'a> {
    /// `None` if somebody else has the name.
    fn enter(room: &'a Room, name: &str) -> Option<Member<'a>> {
        let is_free = room.names.borrow_mut().insert(name.to_owned());
        is_free.then(|| {
            room.say(name, format!("* {name} has come"));
            Member { room, name: name.to_owned() }
        })
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.room.names.borrow_mut().remove(&self.name);
        self.room.say(&self.name, format!("* {} has left", self.name));
    }
}

/// A connection, from its beginning to its end.
fn visit(room: &Room, stream: &TcpStream) -> io::Result<()> {
    // A line goes out when it is said, and not when the one before has arrived.
    stream.set_nodelay(true)?;
    let mut lines = LineReader::with_limit(LONGEST_LINE, stream);
    let member = loop {
        tell(stream, "What is your name?")?;
        let Some(name) = read_line(&mut lines)? else { return Ok(()) };
        if name.is_empty() {
            continue;
        }
        match Member::enter(room, &name) {
            Some(member) => break member,
            None => tell(stream, &format!("{name} is here already."))?,
        }
    };
    let names: Vec<_> = room.names.borrow().iter().cloned().collect();
    tell(stream, &format!("* here are: {}", names.join(", ")))?;

    let said = room.said.subscribe();
    task::scope(|s| {
        let speaking = s.spawn(|| speak(stream, &said, &member.name));
        let heard = hear(&mut lines, &member);
        // There is nobody left to speak to.
        speaking.cancel();
        heard
    })
}

/// Passes on what the member says, until he has left.
fn hear(lines: &mut LineReader<&TcpStream>, member: &Member<'_>) -> io::Result<()> {
    while let Some(text) = read_line(lines)? {
        if !text.is_empty() {
            member.room.say(&member.name, format!("{}: {text}", member.name));
        }
    }
    Ok(())
}

/// Writes what the others say. While the peer does not read, this task waits, and no other.
fn speak(stream: &TcpStream, said: &LossyReceiver<Rc<Line>>, own: &str) -> io::Result<()> {
    for line in said.iter() {
        match line {
            Ok(line) if line.from == own => {}
            Ok(line) => tell(stream, &line.text)?,
            Err(missed) => tell(stream, &format!("* you have missed {} lines", missed.0))?,
        }
    }
    Ok(())
}

fn tell(mut stream: &TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes())
}

/// The next line; `None` when there are no more.
fn read_line(lines: &mut LineReader<&TcpStream>) -> io::Result<Option<String>> {
    let line = lines.next_line()?;
    // Nothing that would move a cursor gets through.
    Ok(line.map(|line| line.replace(char::is_control, "").trim().to_owned()))
}

fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening at {}", listener.local_addr()?);
    let room = Room { names: RefCell::default(), said: lossy(MEMORY).0 };
    let server = Server::new(listener).on_error(|error| eprintln!("{error}"));
    server.serve(|stream, _peer| visit(&room, &stream))?;
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = match arguments.as_slice() {
        [] => "127.0.0.1:7008",
        [address] if !address.starts_with('-') => address,
        _ => {
            eprintln!("Usage: chat [ADDRESS]");
            return ExitCode::from(2);
        }
    };
    match ropewalk::run(|| serve(address)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}
