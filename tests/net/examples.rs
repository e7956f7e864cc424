//! The examples of sockets as their users run them: by what they print, send and exit with.
//!
//! `cargo test` builds them. With `--test net` alone, build them first.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ropewalk::net::{self, TcpListener};

/// How long a test waits for what should come at once, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example's binary, in the folder next to that of this test's.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(binary.exists(), "build the example first: cargo build --example {name}");
    binary
}

fn run(example: &str, arguments: &[&str]) -> Output {
    Command::new(binary(example)).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn succeeds(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An example that serves, until this is dropped.
struct Serving {
    process: Child,
    address: String,
}

impl Serving {
    fn start(example: &str, arguments: &[&str]) -> Serving {
        let mut process = Command::new(binary(example))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("it says {line:?}"));
        Serving { process, address: address.to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn the_echo_client_gets_from_the_echo_server_what_it_sends() {
    let server = Serving::start("echo", &["server", "127.0.0.1:0"]);
    for (connections, rounds, messages) in [("1", "1", 1), ("20", "50", 1000), ("3", "0", 0)] {
        let printed = succeeds("echo", &["client", &server.address, connections, rounds]);
        let expected = format!("{messages} messages over {connections} connections in ");
        assert!(printed.starts_with(&expected), "{printed}");
    }
}

#[test]
fn the_echo_server_goes_on_when_a_peer_resets_its_connection() {
    let server = Serving::start("echo", &["server", "127.0.0.1:0"]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(&[7; 100_000]).unwrap();
    // Closed with bytes that were not read: that is a reset.
    stream.read_exact(&mut [0]).unwrap();
    drop(stream);
    assert!(succeeds("echo", &["client", &server.address, "1", "1"]).starts_with("1 messages"));
}

#[test]
fn the_echo_example_says_what_is_wrong() {
    for arguments in
        [&[][..], &["serve"], &["client"], &["client", "127.0.0.1:1", "x"], &["server", "a", "b"]]
    {
        let output = run("echo", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("Usage: echo server"));
    }
    let server = Serving::start("echo", &["server", "127.0.0.1:0"]);
    let output = run("echo", &["server", &server.address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("echo: Address"), "{output:?}");
}

/// Somebody who chats.
struct Guest {
    stream: TcpStream,
    lines: io::Lines<BufReader<TcpStream>>,
}

impl Guest {
    fn connect(server: &Serving) -> Guest {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut guest = Guest { stream, lines };
        guest.hears("What is your name?");
        guest
    }

    fn enter(server: &Serving, name: &str, all: &str) -> Guest {
        let mut guest = Guest::connect(server);
        guest.says(name);
        guest.hears(&format!("* here are: {all}"));
        guest
    }

    fn says(&mut self, text: &str) {
        self.stream.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn hears(&mut self, text: &str) {
        assert_eq!(self.lines.next().unwrap().unwrap(), text);
    }
}

#[test]
fn what_one_says_in_the_chat_all_others_hear() {
    let server = Serving::start("chat", &["127.0.0.1:0"]);
    let mut ada = Guest::enter(&server, "Ada", "Ada");
    let mut bob = Guest::enter(&server, "Bob", "Ada, Bob");
    ada.hears("* Bob has come");

    // A name that is taken, one that is none, and then one that is free.
    let mut eve = Guest::connect(&server);
    eve.says("Bob");
    eve.hears("Bob is here already.");
    eve.hears("What is your name?");
    eve.says("   ");
    eve.hears("What is your name?");
    eve.says("Eve");
    eve.hears("* here are: Ada, Bob, Eve");
    ada.hears("* Eve has come");
    bob.hears("* Eve has come");

    ada.says("hello");
    bob.says("hi, Ada");
    // What Ada has said she does not hear; the others may hear both in either order.
    ada.hears("Bob: hi, Ada");
    let mut heard = [(); 2].map(|()| eve.lines.next().unwrap().unwrap());
    heard.sort();
    assert_eq!(heard, ["Ada: hello", "Bob: hi, Ada"]);
    bob.hears("Ada: hello");

    drop(bob);
    ada.hears("* Bob has left");
    eve.hears("* Bob has left");
    // The name is free again, and control characters do not get through.
    let mut bob = Guest::enter(&server, "Bob", "Ada, Bob, Eve");
    ada.hears("* Bob has come");
    bob.says("\x1b[2Jcleared?");
    ada.hears("Bob: [2Jcleared?");
    // A line without an end fills nobody's memory.
    bob.stream.write_all(&[b'x'; 5000]).unwrap();
    ada.hears("* Bob has left");
}

#[test]
fn who_does_not_read_in_the_chat_holds_up_nobody_and_learns_what_he_missed() {
    let server = Serving::start("chat", &["127.0.0.1:0"]);
    let mut slow = Guest::enter(&server, "Slow", "Slow");
    let mut ada = Guest::enter(&server, "Ada", "Ada, Slow");
    let mut bob = Guest::enter(&server, "Bob", "Ada, Bob, Slow");
    ada.hears("* Bob has come");
    // More than the buffers of the system hold; never so much at once that Bob could miss something.
    let (long, batches, batch) = ("x".repeat(1000), 600, 40);
    for _ in 0..batches {
        (0..batch).for_each(|_| ada.says(&long));
        (0..batch).for_each(|_| bob.hears(&format!("Ada: {long}")));
    }
    drop(ada);
    bob.hears("* Ada has left");
    slow.hears("* Ada has come");
    slow.hears("* Bob has come");
    let (mut heard, mut missed) = (0, 0);
    loop {
        let line = slow.lines.next().unwrap().unwrap();
        if let Some(count) = line.strip_prefix("* you have missed ") {
            missed += count.strip_suffix(" lines").unwrap().parse::<usize>().unwrap();
        } else if line == "* Ada has left" {
            break;
        } else {
            assert!(line.starts_with("Ada: xxx"), "{line}");
            heard += 1;
        }
    }
    assert!(missed > 0, "the system has kept it all: {heard} lines");
    assert_eq!(heard + missed, batches * batch);
}

#[test]
fn crawl_fetches_all_pages_in_three_ways_and_compares_them() {
    let printed = succeeds("crawl", &["--pages", "20", "--delay", "5"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("20 pages of http://127.0.0.1:"), "{printed}");
    assert!(lines[0].ends_with(", each after 5 ms"), "{printed}");
    for (line, way) in lines[3..6].iter().zip(["one after another", "a thread for each", "a task for each"]) {
        assert!(line.starts_with(way), "{printed}");
        let words: Vec<&str> = line[way.len()..].split_whitespace().collect();
        assert_eq!((words[1], words[3]), ("s", "ms"), "{printed}");
        assert!(words[0].parse::<f64>().is_ok() && words[2].parse::<f64>().is_ok(), "{printed}");
    }
    assert!(lines[7].starts_with("Tasks are done "), "{printed}");
    // Each page has three links; half of them lead to the first pages.
    assert!(lines[8].starts_with("with ") && lines[8].ends_with(" that threads take."), "{printed}");
    assert!(lines[9].starts_with("The pages have 60 links. Most of them, "), "{printed}");
}

/// Serves one kind of answer for each path, in a thread that ends with the test's process.
fn web() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        ropewalk::run(|| {
            net::serve(listener, |mut stream, _| {
                let mut lines = BufReader::new(&stream).lines();
                let request = lines.next().unwrap()?;
                while !lines.next().unwrap()?.is_empty() {}
                drop(lines);
                let answer = match request.split(' ').nth(1).unwrap() {
                    "/plain" => {
                        "HTTP/1.1 200 OK\r\n\r\n<title>Plain\n</title><a href='x'>x</a> <A class=y HREF=\"y\">"
                    }
                    "/chunks" => {
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                         9;a=b\r\n<title>In\r\n12\r\n chunks</title>\r\n\r\n\r\n0\r\n\r\n"
                    }
                    "/query?a=b" => "HTTP/1.0 200 OK\r\nContent-Length: 22\r\n\r\n<title>Query</title>..",
                    "/short" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot 100",
                    "/moved" => "HTTP/1.1 301 Moved Permanently\r\nLocation: https://rope/\r\n\r\n",
                    "/cut" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
                    "/noise" => "220 mail.example ESMTP\r\n\r\n",
                    "/silence" => "",
                    other => panic!("{other}"),
                };
                stream.write_all(answer.as_bytes())
            })
        })
    });
    format!("http://{address}")
}

#[test]
fn crawl_fetches_urls_and_says_of_each_what_became_of_it() {
    let web = web();
    let url = |path: &str| format!("{web}/{path}");
    let good = [url("plain"), url("chunks"), url("query?a=b"), url("plain#part")];
    let printed = succeeds("crawl", &good.each_ref().map(String::as_str));
    for expected in [
        format!("{web}/plain\n    \"Plain\", 2 links, 59 bytes\n"),
        format!("{web}/chunks\n    \"In chunks\", 0 links, 27 bytes\n"),
        format!("{web}/query?a=b\n    \"Query\", 0 links, 22 bytes\n"),
        "4 of 4 pages in ".to_owned(),
    ] {
        assert!(printed.contains(&expected), "no {expected:?} in:\n{printed}");
    }

    let bad = ["short", "moved", "cut", "noise", "silence", "plain"].map(url);
    let mut arguments: Vec<&str> = bad.iter().map(String::as_str).collect();
    arguments.push("http://127.0.0.1:1");
    let output = run("crawl", &arguments);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for expected in [
        "/short\n    failed: unexpected end of file\n",
        "/moved\n    failed: the server says: 301 Moved Permanently, see https://rope/\n",
        "/cut\n    failed: unexpected end of file\n",
        "/noise\n    failed: no answer in HTTP\n",
        "/silence\n    failed: no answer in HTTP\n",
        "http://127.0.0.1:1/\n    failed: Connection refused",
        "1 of 7 pages in ",
    ] {
        assert!(printed.contains(expected), "no {expected:?} in:\n{printed}");
    }
}

#[test]
fn crawl_says_what_is_wrong_with_its_arguments() {
    for (arguments, message) in [
        (&["https://example.com"][..], "crawl: only http:// can be fetched, not https://example.com"),
        (&["http://"], "crawl: no host and port: http://"),
        (&["http://host:99999/"], "crawl: no host and port: http://host:99999/"),
        (&["http://host/a path"], "crawl: no host and port: http://host/a path"),
        (&["--pages"], "crawl: --pages needs a number"),
        (&["--delay", "-1"], "crawl: --delay needs a number"),
        (&["--page", "1"], "crawl: there is no option --page"),
    ] {
        let output = run("crawl", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors.lines().next(), Some(message));
    }
    assert!(succeeds("crawl", &["--help"]).starts_with("Fetches pages that take their time"));
}
