//! A site whose pages take their time to answer, served by a thread of this process that has a runtime of its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk::io::LineReader;
use ropewalk::net::{self, TcpListener, TcpStream};
use ropewalk::time;
use rustix::time::ClockId;

/// The longest line of a request that is read, in bytes.
const LONGEST_LINE: usize = 8 << 10;

const FIBRES: [&str; 8] = ["Abaca", "Coir", "Cotton", "Flax", "Hemp", "Jute", "Manila", "Sisal"];

/// What the thread of the site has used of the CPU, in nanoseconds.
static CPU: AtomicU64 = AtomicU64::new(0);

/// Serves for as long as the program runs.
pub(crate) fn start(pages: usize, delay: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        ropewalk::run(|| {
            net::serve(listener, |stream, _peer| {
                let answered = answer(&stream, pages, delay);
                CPU.store(crate::meter::clock(ClockId::ThreadCPUTime).as_nanos() as u64, Ordering::Relaxed);
                answered
            })
        })
    });
    Ok(address)
}

/// Answers one request: the whole server. It runs in a task for each connection.
fn answer(mut stream: &TcpStream, pages: usize, delay: Duration) -> io::Result<()> {
    let mut lines = LineReader::with_limit(LONGEST_LINE, stream);
    // GET /page/7 HTTP/1.1
    let Some(request) = lines.next_line()?.map(str::to_owned) else { return Ok(()) };
    // What else the client has to say ends with an empty line.
    while lines.next_line()?.is_some_and(|header| !header.is_empty()) {}
    time::sleep(delay)?;

    let path = request.split(' ').nth(1).unwrap_or_default();
    let page =
        path.strip_prefix("/page/").and_then(|number| number.parse().ok()).filter(|&page| page < pages);
    let (status, body) = match page {
        Some(page) => ("200 OK", html(page, pages)),
        None => ("404 Not Found", "There is no such page.\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

pub(crate) fn path(page: usize) -> String {
    format!("/page/{page}")
}

fn html(page: usize, pages: usize) -> String {
    let title = format!("{}, part {page}", FIBRES[page % FIBRES.len()]);
    let links = [page / 2, page * 7 + 3, page * page].map(|other| path(other % pages));
    let links = links.map(|path| format!("<a href=\"{path}\">{path}</a>"));
    format!("<html><head><title>{title}</title></head><body>{}</body></html>\n", links.join(" "))
}

/// Has as many connections at once as there will be, so that the memory they take of the site is not counted later.
pub(crate) fn warm_up(address: SocketAddr, connections: usize) -> io::Result<()> {
    let connect = |_| std::net::TcpStream::connect(address);
    let streams = (0..connections).map(connect).collect::<io::Result<Vec<_>>>()?;
    streams.iter().try_for_each(|stream| stream.shutdown(Shutdown::Write))?;
    // Closed by the site: its tasks have ended.
    streams.into_iter().try_for_each(|mut stream| stream.read(&mut [0]).map(drop))
}

/// What serving has cost so far.
pub(crate) fn cpu() -> Duration {
    Duration::from_nanos(CPU.load(Ordering::Relaxed))
}
