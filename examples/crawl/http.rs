//! As much of HTTP/1.1 as it takes to fetch a page, and what is extracted from it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

/// The largest answer that is read: a page, not a disk image.
const LARGEST: u64 = 16 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Url {
    /// As in the URL: a name, an address, or one of IPv6 in brackets.
    host: String,
    port: u16,
    path: String,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) links: Vec<String>,
    pub(crate) bytes: usize,
}

/// Fetches a page over a connection to its host.
///
/// It does not know whether its waits block a thread or park a task.
pub(crate) fn fetch(mut stream: impl Read + Write, url: &Url) -> io::Result<Page> {
    // The other side closes when it has answered: there is nothing to be counted.
    let request =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.path, url.authority());
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;

    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| bad("no answer in HTTP"))?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let Some((_, status)) = status.split_once(' ').filter(|(version, _)| version.starts_with("HTTP/1."))
    else {
        return Err(bad("no answer in HTTP"));
    };
    let headers: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let header = |name: &str| headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|h| h.1);
    if !status.starts_with('2') {
        return Err(match header("Location") {
            Some(location) => bad(&format!("the server says: {status}, see {location}")),
            None => bad(&format!("the server says: {status}")),
        });
    }
    let body = &answer[end + 4..];
    let body = match header("Transfer-Encoding") {
        Some(encoding) if encoding.eq_ignore_ascii_case("chunked") => &unchunked(body)?,
        _ => body,
    };
    let whole = header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(body.len());
    if body.len() < whole {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Page::of(&String::from_utf8_lossy(body), body.len()))
}

/// The body without the sizes of its chunks.
fn unchunked(mut chunked: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let cut_short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    loop {
        let end = chunked.windows(2).position(|two| two == b"\r\n").ok_or_else(cut_short)?;
        let size = String::from_utf8_lossy(&chunked[..end]);
        // What may follow the size is of no interest.
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("a chunk without a size"))?;
        let rest = &chunked[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend(rest.get(..size).ok_or_else(cut_short)?);
        chunked = rest.get(size + 2..).ok_or_else(cut_short)?;
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Page {
    fn of(html: &str, bytes: usize) -> Page {
        static TITLE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?is)<title[^>]*>\s*(.*?)\s*</title>").expect("it is good"));
        static LINK: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r#"(?is)<a\s[^>]*href\s*=\s*["']([^"']*)"#).expect("it is good"));
        Page {
            title: TITLE.captures(html).map_or("", |found| found.extract::<1>().1[0]).to_owned(),
            links: LINK.captures_iter(html).map(|found| found[1].to_owned()).collect(),
            bytes,
        }
    }
}

impl Url {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Url {
        format!("http://{address}{path}").parse().expect("it is one")
    }

    /// For `connect`.
    pub(crate) fn address(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn authority(&self) -> String {
        if self.port == 80 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let rest = text.strip_prefix("http://");
        let rest = rest.ok_or_else(|| format!("only http:// can be fetched, not {text}"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        // The colons of an address of IPv6 stand in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let is_good = !host.is_empty() && !text.contains(char::is_whitespace);
        match port {
            Some(port) if is_good => Ok(Url { host: host.to_owned(), port, path }),
            _ => Err(format!("no host and port: {text}")),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}
